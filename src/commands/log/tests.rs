use super::*;
use eventlog::data_folder::DataFolder;
use eventlog::store::{Options, Store};
use eventlog::{Batch, Log, tail};
use serde_json::Value;
use std::sync::mpsc;
use uuid::Uuid;

fn args(dir: &Path) -> LogArgs {
    LogArgs { dir: dir.into(), stream: None, kind: None, after: 0, limit: None, follow: false }
}

/// A data folder with a server's half on it: the lock and the log.
fn open(dir: &Path) -> (DataFolder, Store) {
    let folder = DataFolder::create_or_open(dir).unwrap();
    let options = Options { journal_bytes: 1 << 20, ..Options::default() };
    let (store, _) = Store::open(&folder.log(), options).unwrap();
    (folder, store)
}

fn append(log: &dyn Log, key: u128, version: u64, name: &str, data: &str) {
    let stream = StreamId { category: Category::Wallet, key: Uuid::from_u128(key) };
    let mut batch = Batch::new();
    batch.push(stream, version, 1_795_000_000_123, name, |out| out.extend_from_slice(data.as_bytes()));
    let position = log.append(batch, None).unwrap();
    while log.durable() < position {
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn fill(log: &dyn Log) {
    append(log, 1, 1, "WalletOpened.v1", r#"{"account_id":"x"}"#);
    append(log, 2, 1, "WalletOpened.v1", "{}");
    append(log, 1, 2, "PointsCharged.v1", r#"{"points":5}"#);
    append(log, 1, 3, "PointsSpent.v1", r#"{"points":2}"#);
}

fn printed(args: &LogArgs) -> anyhow::Result<Vec<Value>> {
    let mut printer = Printer::new(args, Vec::new())?;
    print_once(&args.dir, &mut printer)?;
    let text = String::from_utf8(printer.out)?;
    Ok(text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect())
}

fn positions(args: &LogArgs) -> Vec<u64> {
    printed(args).unwrap().iter().map(|line| line["position"].as_u64().unwrap()).collect()
}

#[test]
fn events_are_lines_and_can_be_chosen() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, store) = open(dir.path());
    fill(&store);
    let check = || {
        let all = args(dir.path());
        let first = serde_json::json!({
            "position": 1,
            "stream": "wallet-00000000-0000-0000-0000-000000000001",
            "version": 1,
            "type": "WalletOpened.v1",
            "at": "2026-11-18T11:06:40.123Z",
            "data": {"account_id": "x"},
        });
        assert_eq!(printed(&all).unwrap()[0], first);
        let of = |kind: &str| LogArgs { kind: Some(kind.into()), ..args(dir.path()) };
        let stream = |name: &str| LogArgs { stream: Some(name.into()), ..args(dir.path()) };
        let rows = [
            (all, vec![1, 2, 3, 4]),
            (of("WalletOpened"), vec![1, 2]),
            (of("WalletOpened.v1"), vec![1, 2]),
            (of("PointsRefunded"), vec![]),
            (stream("wallet-00000000-0000-0000-0000-000000000001"), vec![1, 3, 4]),
            (LogArgs { after: 2, ..args(dir.path()) }, vec![3, 4]),
            (LogArgs { after: 99, ..args(dir.path()) }, vec![]),
            (LogArgs { limit: Some(1), after: 1, ..args(dir.path()) }, vec![2]),
            (LogArgs { limit: Some(0), ..args(dir.path()) }, vec![]),
            (LogArgs { limit: Some(1), ..of("PointsSpent") }, vec![4]),
        ];
        for (args, expected) in rows {
            assert_eq!(positions(&args), expected, "{args:?}");
        }
    };
    // First as another process while a server runs, then on the folder alone.
    let store = std::sync::Arc::new(store);
    let tail = tail::serve(store.clone(), &DataFolder::socket(dir.path())).unwrap();
    check();
    drop(tail);
    store.close().unwrap();
    drop((store, folder));
    check();
}

/// Every event that has a contract can be asked for, with and without its version; of the aggregates' own lists none is
/// missing in the message.
#[test]
fn every_event_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let contracts = contracts::contracts();
    let of = |kind: &str| LogArgs { kind: Some(kind.into()), ..args(dir.path()) };
    let names = contracts.iter().map(|contract| contract.name);
    let unversioned = names.clone().map(|name| name.rsplit_once(".v").unwrap().0);
    for name in names.clone().chain(unversioned).chain(["EntriesAdmitted", "QueueDrawn.v1"]) {
        Printer::new(&of(name), Vec::new()).unwrap_or_else(|error| panic!("{error}"));
    }
    let error = Printer::new(&of("SeatsSold"), Vec::new()).err().unwrap().to_string();
    names.for_each(|name| assert!(error.contains(name), "{name} is not in {error}"));
}

#[test]
fn what_cannot_be_done_is_said_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("nowhere");
    let rows = [
        (args(&missing), "there is no folder"),
        (args(dir.path()), "is not a data folder of onsale"),
        (LogArgs { stream: Some("wallet".into()), ..args(dir.path()) }, "a stream is written category-uuid"),
        (LogArgs { stream: Some("cellar-1".into()), ..args(dir.path()) }, "no category \"cellar\""),
        (LogArgs { stream: Some("wallet-1".into()), ..args(dir.path()) }, "is not a UUID"),
        (LogArgs { kind: Some("SeatsSold".into()), ..args(dir.path()) }, "no event is called \"SeatsSold\""),
    ];
    for (args, part) in rows {
        let error = format!("{:#}", printed(&args).unwrap_err());
        assert!(error.contains(part) && !error.contains('\n'), "{error}");
    }
    assert!(!missing.exists(), "looking creates nothing");
    let folder = DataFolder::create_or_open(dir.path()).unwrap();
    let error = format!("{:#}", printed(&args(dir.path())).unwrap_err());
    assert!(error.contains("is in use") && !error.contains('\n'), "{error}");
    drop(folder);
    let error = format!("{:#}", printed(&args(dir.path())).unwrap_err());
    assert!(error.contains("has no log yet"), "{error}");
}

/// Sends each line that is printed.
struct Lines(mpsc::Sender<String>, Vec<u8>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        for line in String::from_utf8(std::mem::take(&mut self.1)).unwrap().lines() {
            self.0.send(line.into()).map_err(|_| io::ErrorKind::BrokenPipe)?;
        }
        Ok(())
    }
}

#[test]
fn following_outlives_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, store) = open(dir.path());
    fill(&store);
    store.close().unwrap();
    drop((store, folder));

    let (sender, lines) = mpsc::channel();
    let args = LogArgs { follow: true, after: 2, ..args(dir.path()) };
    let follower = std::thread::spawn(move || {
        let mut printer = Printer::new(&args, Lines(sender, Vec::new())).unwrap();
        follow(&args.dir, &mut printer)
    });
    let next = || lines.recv_timeout(Duration::from_secs(20)).expect("a line");
    assert!(next().starts_with("{\"position\":3"));
    assert!(next().starts_with("{\"position\":4"));
    // Two servers, one after the other.
    for position in [5, 6] {
        let (folder, store) = (0..200)
            .find_map(|_| {
                std::thread::sleep(Duration::from_millis(10));
                let folder = DataFolder::open(dir.path()).ok()?;
                let options = Options { journal_bytes: 1 << 20, ..Options::default() };
                Some((Store::open(&folder.log(), options).ok()?.0, folder))
            })
            .map(|(store, folder)| (folder, std::sync::Arc::new(store)))
            .expect("the follower leaves the folder to a server");
        let tail = tail::serve(store.clone(), &DataFolder::socket(dir.path())).unwrap();
        append(&*store, 1, position - 1, "PointsSpent.v1", "{}");
        assert!(next().starts_with(&format!("{{\"position\":{position}")));
        drop(tail);
        store.close().unwrap();
        drop((store, folder));
    }
    drop(lines);
    // Nobody reads any more: the next event, or the server's next sign of life, ends it.
    let (_folder, store) = open(dir.path());
    let store = std::sync::Arc::new(store);
    let _tail = tail::serve(store.clone(), &DataFolder::socket(dir.path())).unwrap();
    append(&*store, 1, 6, "PointsSpent.v1", "{}");
    let ended = follower.join().unwrap();
    assert!(ended.is_err_and(|error| is_broken_pipe(&error)));
}
