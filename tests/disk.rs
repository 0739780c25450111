//! Disks that are full, for real, and folders that are damaged: the server stops or refuses to start with one clear
//! line, loses nothing that it acknowledged, and leaves damaged data as it found it.

mod common;
mod load;
#[path = "disk/power.rs"]
mod power;

use common::Server;
use common::tmpfs::Tmpfs;
use load::buyer::{Crowd, Told};
use load::{run, stop_and_verify, target};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const BUYERS: usize = 16;
const JOURNAL_BYTES: &str = "131072";
const ARGUMENTS: [&str; 5] = ["--self-charge", "--journal-bytes", JOURNAL_BYTES, "--snapshot-events", "2000"];
/// sysexits' EX_IOERR.
const EXIT_LOG_FAILED: i32 = 74;

/// A disk of its own for a server's data, which can be too small.
trait Disk {
    fn path(&self) -> &Path;
    /// Lets a server that is about to start have no more than the disk gives now.
    fn confine(&self, _: &mut Command) {}
    fn grow(&mut self);
}

impl Disk for Tmpfs {
    fn path(&self) -> &Path {
        Tmpfs::path(self)
    }

    fn grow(&mut self) {
        Tmpfs::grow(self);
    }
}

/// A limit on the length of files, which a write then fails at.
struct Limited {
    folder: tempfile::TempDir,
    file_bytes: u64,
}

impl Disk for Limited {
    fn path(&self) -> &Path {
        self.folder.path()
    }

    #[expect(unsafe_code, reason = "what runs between fork and exec may do little")]
    fn confine(&self, command: &mut Command) {
        let limit = libc::rlimit { rlim_cur: self.file_bytes, rlim_max: self.file_bytes };
        // SAFETY: both are async-signal-safe. Without the signal a write beyond the limit is an error like any other.
        unsafe {
            command.pre_exec(move || {
                libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
                match libc::setrlimit(libc::RLIMIT_FSIZE, &limit) {
                    0 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                }
            });
        }
    }

    fn grow(&mut self) {
        self.file_bytes = libc::RLIM_INFINITY;
    }
}

fn command_on_path(data: &Path) -> Command {
    // Read models have a disk of their own, and are not what this is about.
    common::command(data, &[&ARGUMENTS[..], &["--read-models", "off"]].concat())
}

fn command_on(disk: &impl Disk, data: &Path) -> Command {
    let mut command = common::command(data, &ARGUMENTS);
    disk.confine(&mut command);
    command
}

/// Buys until the server is gone; it must say why, to everybody.
fn fill(mut disk: impl Disk) {
    let data = disk.path().join("data");
    // What a server says does not go to the disk that is full.
    let outside = tempfile::tempdir().unwrap();
    let said = outside.path().join("server");
    let mut server = Server::spawn(command_on(&disk, &data), &said);
    let (mut crowd, seen) = run(async {
        let mut crowd = Crowd::new(&server, BUYERS, 11).await;
        let target = target(&server);
        let (outcomes, refused) = (Cell::new(0), Cell::new(0));
        let lives = crowd.buyers.iter_mut().map(async |buyer| {
            let mut client = buyer.client(&target);
            while let Ok(told) = buyer.act(&mut client).await {
                let count = if told == Told::Outcome { &outcomes } else { &refused };
                count.set(count.get() + 1);
            }
        });
        futures_util::future::join_all(lives).await;
        (crowd, (outcomes.get(), refused.get()))
    });
    let (outcomes, refused) = seen;
    println!("{outcomes} answers, then {refused} times 503 log-unavailable; {:?}", crowd.counts());
    let status = server.wait();
    assert_eq!(status.code(), Some(EXIT_LOG_FAILED), "{status}; it said\n{}", server.errors());
    assert!(outcomes > 100, "the disk was full before anything was bought");
    assert!(refused > 0, "nobody was told");
    only_line(&server.errors());
    drop(server);

    disk.grow();
    let server = Server::spawn(command_on(&disk, &data), &said);
    run(crowd.audit(&target(&server), true));
    stop_and_verify(server, &data);
}

/// What a process said to whoever started it, which is one line and no panic.
#[track_caller]
fn only_line(said: &str) -> &str {
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("onsale: ")).collect();
    assert_eq!(lines.len(), 1, "{said}");
    assert!(!said.contains("panicked"), "{said}");
    lines[0]
}

#[test]
fn a_full_disk_stops_the_server_and_costs_nothing_acknowledged() {
    if let Some(disk) = Tmpfs::new(6) {
        fill(disk);
    }
}

#[test]
fn files_that_cannot_grow_stop_the_server_and_cost_nothing_acknowledged() {
    fill(Limited { folder: tempfile::tempdir().unwrap(), file_bytes: 3 << 20 });
}

/// What a start that failed said: one line.
fn refused_start(mut command: Command) -> String {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The end of its output, unless it starts after all.
    let mut started = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut started).unwrap();
    if !started.is_empty() {
        child.kill().unwrap();
    }
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(started.is_empty() && !output.status.success(), "{started}{said}");
    only_line(&said).to_owned()
}

#[test]
fn a_start_on_a_full_disk_says_so() {
    let Some(disk) = Tmpfs::new(8) else { return };
    let data = disk.path().join("data");
    let outside = tempfile::tempdir().unwrap();
    let server = Server::spawn(command_on(&disk, &data), &outside.path().join("server"));
    let mut crowd = run(Crowd::new(&server, 2, 5));
    server.stop();
    disk.fill();
    for folder in ["data", "new"] {
        let line = refused_start(command_on(&disk, &disk.path().join(folder)));
        println!("{line}");
        assert!(line.contains("No space left on device"), "{line}");
    }
    disk.grow();
    let server = Server::spawn(command_on(&disk, &data), &outside.path().join("server"));
    run(crowd.audit(&target(&server), true));
    stop_and_verify(server, &data);
}

/// A folder with archived events and, in the journal, events that are not: killed in the middle of its second run.
fn killed(data: &Path) {
    let server = Server::start(data, &ARGUMENTS);
    let mut crowd = run(Crowd::new(&server, 4, 3));
    run(act(&mut crowd, &server, 40));
    server.stop();
    // As often as it takes on a slow machine: the archive gets everything a second later.
    loop {
        let server = Server::start(data, &ARGUMENTS);
        run(act(&mut crowd, &server, 30));
        server.kill();
        let bytes = std::fs::read(records(data).0).unwrap();
        let archived_at_start = u64::from_le_bytes(bytes[88..96].try_into().unwrap());
        if archived(data) == archived_at_start {
            return;
        }
    }
}

async fn act(crowd: &mut Crowd, server: &Server, times: usize) {
    let target = target(server);
    let lives = crowd.buyers.iter_mut().map(async |buyer| {
        let mut client = buyer.client(&target);
        for _ in 0..times {
            assert_eq!(buyer.act(&mut client).await.expect("an answer"), Told::Outcome);
        }
    });
    futures_util::future::join_all(lives).await;
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => copy(&entry.path(), &target),
            kind if kind.is_file() => drop(std::fs::copy(entry.path(), target).unwrap()),
            // A socket of a server that was killed.
            _ => {}
        }
    }
}

/// Every file with its content's hash.
fn hashes(folder: &Path) -> BTreeMap<PathBuf, blake3::Hash> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.append(&mut hashes(&path));
        } else {
            let hash = blake3::hash(&std::fs::read(&path).unwrap());
            found.insert(path, hash);
        }
    }
    found
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 4;
    std::fs::write(path, bytes).unwrap();
}

/// Changes the archive by hand.
fn with_archive<T>(data: &Path, change: impl FnOnce(&sled::Tree) -> T) -> T {
    let db = sled::open(data.join("log/sled")).unwrap();
    let outcome = change(&db.open_tree("log").unwrap());
    db.flush().unwrap();
    outcome
}

/// The last position that is archived.
fn archived(data: &Path) -> u64 {
    let copied = tempfile::tempdir().unwrap();
    copy(data, copied.path());
    with_archive(copied.path(), |tree| {
        let head = tree.get("head").unwrap().expect("a head");
        u64::from_le_bytes(head[..8].try_into().unwrap()) - 1
    })
}

/// The records of the journal file that was used last: where each begins, and its first position.
fn records(data: &Path) -> (PathBuf, Vec<(usize, u64)>) {
    const MAGIC: [u8; 8] = 0xfe63_6f6d_6d69_74ff_u64.to_le_bytes();
    let number = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let mut newest = (0, PathBuf::new(), Vec::new());
    for name in ["journal-0", "journal-1"] {
        let path = data.join("log").join(name);
        let bytes = std::fs::read(&path).unwrap();
        let generation = number(&bytes, 32);
        let starts = (0..bytes.len() - 32).step_by(8).filter(|at| bytes[*at..*at + 8] == MAGIC);
        let starts = starts.filter(|at| number(&bytes, at + 8) == generation).map(|at| (at, number(&bytes, at + 16)));
        newest = newest.max((generation, path, starts.collect()));
    }
    (newest.1, newest.2)
}

/// Damages a folder; gives the positions one of which must be named.
type Damage = fn(&Path) -> std::ops::RangeInclusive<u64>;

fn flipped_in_journal(data: &Path) -> std::ops::RangeInclusive<u64> {
    let (head, (path, records)) = (archived(data), records(data));
    let lost: Vec<_> = records.iter().filter(|(_, first)| *first > head).collect();
    assert!(lost.len() > 2, "{} records are not archived", lost.len());
    let (at, first) = lost[lost.len() / 2];
    flip(&path, at + 100);
    *first..=*first
}

fn last_records_gone(data: &Path) -> std::ops::RangeInclusive<u64> {
    let (head, (path, records)) = (archived(data), records(data));
    let mut bytes = std::fs::read(&path).unwrap();
    // Up to there it was durable a moment before the end, says the journal's stamp.
    let durable = u64::from_le_bytes(bytes[4096 + 16..4096 + 24].try_into().unwrap());
    let (at, first) = *records.iter().rfind(|(_, first)| *first <= durable).unwrap();
    assert!(first > head, "{head} archived, {durable} durable");
    bytes[at..].fill(0);
    std::fs::write(path, bytes).unwrap();
    first..=first
}

fn journal_gone(data: &Path) -> std::ops::RangeInclusive<u64> {
    let head = archived(data);
    std::fs::remove_file(records(data).0).unwrap();
    head + 1..=head + 1
}

fn event_gone_from_archive(data: &Path) -> std::ops::RangeInclusive<u64> {
    with_archive(data, |tree| {
        let keys: Vec<sled::IVec> = tree.iter().keys().map(Result::unwrap).filter(|key| key.len() == 10).collect();
        let key = &keys[keys.len() / 2];
        tree.remove(key).unwrap();
        let first = u64::from_be_bytes(key[..8].try_into().unwrap());
        first..=first
    })
}

fn flipped_in_archive(data: &Path) -> std::ops::RangeInclusive<u64> {
    let path = data.join("log/sled/db");
    let bytes = std::fs::read(&path).unwrap();
    let magic = 0xfbc5_b10c_u32.to_le_bytes();
    let blocks: Vec<usize> = (0..bytes.len() - 20).filter(|at| bytes[*at..*at + 4] == magic).collect();
    let position = |at: usize| u64::from_le_bytes(bytes[at + 12..at + 20].try_into().unwrap());
    let chosen = position(blocks[blocks.len() / 2]);
    // Every copy of the block: some are what sled has no use for any more.
    for at in blocks.iter().filter(|at| position(**at) == chosen) {
        flip(&path, at + 60);
    }
    chosen..=chosen
}

#[test]
fn a_damaged_folder_is_refused_by_position_and_left_alone() {
    let origin = tempfile::tempdir().unwrap();
    killed(&origin.path().join("data"));
    // And whether sled is opened before it is noticed: then sled may tidy up its own files.
    let damages: [(&str, Damage, bool); 5] = [
        ("a flipped bit in the journal", flipped_in_journal, true),
        ("the journal's last records gone", last_records_gone, true),
        ("a journal file gone", journal_gone, true),
        ("an event gone from the archive", event_gone_from_archive, true),
        ("a flipped bit in the archive's file", flipped_in_archive, false),
    ];
    for (name, damage, opens_sled) in damages {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        copy(&origin.path().join("data"), &data);
        let named = damage(&data);
        let before = hashes(&data);
        let line = refused_start(common::command(&data, &ARGUMENTS));
        println!("{name}: {line}");
        let position = line.split("position ").nth(1).and_then(|rest| rest.split(':').next()?.parse::<u64>().ok());
        assert!(position.is_some_and(|position| named.contains(&position)), "{name}, {named:?}: {line}");
        let after = hashes(&data);
        let changed = before.keys().chain(after.keys()).filter(|path| before.get(*path) != after.get(*path));
        let changed: Vec<&PathBuf> =
            changed.filter(|path| !opens_sled || !path.starts_with(data.join("log/sled"))).collect();
        assert!(changed.is_empty(), "{name}: {changed:?} changed");
        assert_eq!(refused_start(common::command(&data, &ARGUMENTS)), line, "{name}: a second start says the same");
    }
}
