//! Power cuts, and disks that fail or take their time, by a file system that knows what was synced.

use super::{ARGUMENTS, EXIT_LOG_FAILED, command_on_path, only_line, refused_start};
use crate::common::Server;
use crate::common::skip::skip;
use crate::load::buyer::{Crowd, Told};
use crate::load::{run, stop_and_verify, target};
use lab::stats::Rng;
use std::cell::Cell;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

const BUYERS: usize = 8;
const CUTS: u64 = 8;
/// Answers between two cuts, at most.
const ANSWERS_MAX: usize = 400;

const PAGE: usize = 4_096;

/// tests/forgetful, built; why not, otherwise.
static PROGRAM: LazyLock<Result<PathBuf, String>> = LazyLock::new(|| {
    if !Path::new("/dev/fuse").exists() {
        return Err("there is no /dev/fuse".into());
    }
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/forgetful/Cargo.toml");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("forgetful");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--locked", "--manifest-path", manifest, "--target-dir"]).arg(&target);
    let built = cargo.env_remove("CARGO_TARGET_DIR").output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    Ok(target.join("debug/forgetful"))
});

/// A disk that forgets what was not synced.
struct Forgetful {
    folder: tempfile::TempDir,
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Forgetful {
    /// None where this process may not mount, and where that is allowed.
    fn new() -> Option<Forgetful> {
        let without = |why: &str| skip(&format!("no FUSE file system can be mounted here for power cuts: {why}"));
        let program = PROGRAM.as_ref().map_err(|why| without(why)).ok()?;
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(program);
        let mut child = command.arg(folder.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut disk = Forgetful { folder, child, answers };
        if disk.answer() != "mounted" {
            without("it says why above");
            return None;
        }
        Some(disk)
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn order(&mut self, order: &str) -> String {
        writeln!(self.child.stdin.as_ref().expect("open until the end"), "{order}").unwrap();
        self.answer()
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What goes wrong from now on: `reads`, `writes`, `syncs`, `slow=MS`, or nothing.
    fn trouble(&mut self, what: &str) {
        assert_eq!(self.order(format!("trouble {what}").trim_end()), "noted");
    }

    /// The power is gone, and comes back. Nobody may have a file open. Gives how many changes were not synced.
    fn cut_power(&mut self, random: &mut Rng) -> usize {
        self.order(&format!("cut {}", random.below(usize::MAX))).parse().expect("a number")
    }
}

impl Drop for Forgetful {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

#[test]
fn the_disk_forgets_what_was_not_synced_and_nothing_else() {
    let Some(mut disk) = Forgetful::new() else { return };
    let mut random = Rng::new(1, 1);
    let at = |name: &str| disk.path().join(name);
    let (synced, half, unnamed) = (at("synced"), at("half"), at("unnamed"));
    let write = |path: &Path, bytes: &[u8], sync: bool| {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(bytes).unwrap();
        if sync {
            file.sync_data().unwrap();
        }
    };
    write(&synced, b"kept", true);
    write(&half, b"kept", true);
    std::fs::File::open(disk.path()).unwrap().sync_all().unwrap();
    write(&half, &[1; 40 * PAGE], false);
    for name in 0..10 {
        write(&unnamed.with_extension(name.to_string()), b"of no name", true);
    }
    assert_eq!(std::fs::read(&half).unwrap().len(), 4 + 40 * PAGE);
    let unsynced = disk.cut_power(&mut random);
    assert!(unsynced > 50, "{unsynced}");
    assert_eq!(std::fs::read(&synced).unwrap(), b"kept");
    let half = std::fs::read(&half).unwrap();
    assert!(
        half.starts_with(b"kept") && half.contains(&0) && half.contains(&1),
        "some pages are missing, some are not"
    );
    assert!(std::fs::read_dir(disk.path()).unwrap().count() < 12, "names were forgotten");
    disk.trouble("syncs");
    let failed = std::fs::File::open(&synced).unwrap().sync_data().unwrap_err();
    assert_eq!(failed.raw_os_error(), Some(libc::EIO));
}

/// More rounds, or the same ones again: `ONSALE_CUTS=200 ONSALE_SEED=… cargo test --test disk power -- --nocapture`.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// What a server says does not go to the disk that forgets.
fn start(data: &Path, said: &Path) -> Server {
    Server::spawn(command_on_path(data), said)
}

/// Buys until so many answers were given, or the server is gone; gives how many there were.
async fn buy(crowd: &mut Crowd, server: &Server, answers_max: usize) -> usize {
    let (target, answers) = (target(server), Cell::new(0));
    let lives = crowd.buyers.iter_mut().map(async |buyer| {
        let mut client = buyer.client(&target);
        while answers.get() < answers_max {
            match buyer.act(&mut client).await {
                Ok(Told::Outcome) => answers.set(answers.get() + 1),
                Ok(_) => {}
                Err(_) => break,
            }
        }
    });
    futures_util::future::join_all(lives).await;
    answers.get()
}

#[test]
fn a_power_cut_costs_nothing_acknowledged() {
    let Some(mut disk) = Forgetful::new() else { return };
    let outside = tempfile::tempdir().unwrap();
    let (data, said) = (disk.path().join("data"), outside.path().join("server"));
    let seed = number("ONSALE_SEED").unwrap_or_else(|| u64::from(std::process::id()) ^ 0xc07);
    let cuts = number("ONSALE_CUTS").unwrap_or(CUTS);
    println!("{cuts} power cuts; again with ONSALE_SEED={seed}");
    let mut random = Rng::new(seed, u64::MAX);
    let mut server = start(&data, &said);
    let mut crowd = run(Crowd::new(&server, BUYERS, seed));
    let mut forgotten = 0;
    for cut in 1..=cuts {
        let (answers_max, moment) = (1 + random.below(ANSWERS_MAX), random.below(5_000));
        let answers = run(async {
            let answers = buy(&mut crowd, &server, answers_max).await;
            tokio::time::sleep(Duration::from_micros(moment as u64)).await;
            answers
        });
        server.kill();
        let unsynced = disk.cut_power(&mut random);
        forgotten += unsynced;
        println!("cut {cut}, after {answers} answers: {unsynced} changes were not synced");
        server = start(&data, &said);
        run(crowd.audit(&target(&server), cut == cuts));
    }
    assert!(forgotten > 0, "everything was synced at every cut, which proves nothing");
    stop_and_verify(server, &data);
}

/// Moves what is there into archive files; killed after so long, if at all.
fn archive(data: &Path, killed_after: Option<Duration>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onsale"));
    command.args(["archive", "--keep-days", "0", "--read-models", "off", "--data"]).arg(data).args(ARGUMENTS);
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    if let Some(after) = killed_after {
        std::thread::sleep(after);
        child.kill().unwrap();
    }
    assert!(child.wait().unwrap().success() || killed_after.is_some());
}

#[test]
fn a_power_cut_while_events_are_archived_costs_nothing() {
    let Some(mut disk) = Forgetful::new() else { return };
    let outside = tempfile::tempdir().unwrap();
    let (data, said) = (disk.path().join("data"), outside.path().join("server"));
    let seed = number("ONSALE_SEED").unwrap_or_else(|| u64::from(std::process::id()) ^ 0xc01d);
    let mut random = Rng::new(seed, u64::MAX);
    let mut server = start(&data, &said);
    let mut crowd = run(Crowd::new(&server, BUYERS, seed));
    // The last one is not killed: what it said to have done must be on the disk.
    let cuts = number("ONSALE_CUTS").unwrap_or(3);
    println!("{cuts} power cuts; again with ONSALE_SEED={seed}");
    for cut in 1..=cuts {
        run(buy(&mut crowd, &server, 50));
        server.stop();
        let killed_after = (cut < cuts).then(|| Duration::from_millis(random.below(200) as u64));
        archive(&data, killed_after);
        let unsynced = disk.cut_power(&mut random);
        let files = std::fs::read_dir(data.join("log/archive")).map_or(0, Iterator::count);
        println!("cut {cut}, after {killed_after:?}: {unsynced} changes were not synced, {files} files");
        server = start(&data, &said);
        run(crowd.audit(&target(&server), cut == cuts));
    }
    stop_and_verify(server, &data);
    assert!(data.join("log/archive").read_dir().unwrap().count() > 0, "events are in files");
}

#[test]
fn a_disk_that_fails_stops_the_server_and_costs_nothing_acknowledged() {
    let Some(mut disk) = Forgetful::new() else { return };
    let outside = tempfile::tempdir().unwrap();
    let (data, said) = (disk.path().join("data"), outside.path().join("server"));
    let mut random = Rng::new(7, u64::MAX);
    let mut server = start(&data, &said);
    let mut crowd = run(Crowd::new(&server, BUYERS, 7));
    for trouble in ["writes", "syncs"] {
        assert!(run(buy(&mut crowd, &server, 50)) >= 50);
        disk.trouble(trouble);
        run(buy(&mut crowd, &server, usize::MAX));
        let status = server.wait();
        assert_eq!(status.code(), Some(EXIT_LOG_FAILED), "{status}; it said\n{}", server.errors());
        assert!(only_line(&server.errors()).contains("error"), "{}", server.errors());
        drop(server);
        // What a failed sync has left of it, nobody knows.
        disk.trouble("");
        disk.cut_power(&mut random);
        server = start(&data, &said);
        run(crowd.audit(&target(&server), false));
    }
    // What is sold needs nothing that is read.
    disk.trouble("reads");
    assert!(run(buy(&mut crowd, &server, 200)) >= 200);
    disk.trouble("");
    run(crowd.audit(&target(&server), false));
    server.stop();
    disk.trouble("reads");
    let line = refused_start(command_on_path(&data));
    assert!(line.contains("Input/output error"), "{line}");
    disk.trouble("");
    server = start(&data, &said);
    run(crowd.audit(&target(&server), true));
    stop_and_verify(server, &data);
}

#[test]
fn a_slow_disk_makes_answers_late_and_nothing_else() {
    let Some(mut disk) = Forgetful::new() else { return };
    let outside = tempfile::tempdir().unwrap();
    let (data, said) = (disk.path().join("data"), outside.path().join("server"));
    let server = start(&data, &said);
    let mut crowd = run(Crowd::new(&server, BUYERS, 9));
    let sync_takes = Duration::from_millis(500);
    disk.trouble("slow=500");
    let begun = Instant::now();
    assert!(run(buy(&mut crowd, &server, 3 * BUYERS)) >= 3 * BUYERS);
    assert!(begun.elapsed() >= sync_takes, "nobody is told before it is durable");
    // What rests on nothing new does not wait.
    let begun = Instant::now();
    server.get("/livez", "").expect(200);
    server.get("/v1/performances/00000000-0000-0000-0000-000000000001", "").expect_problem(404, "not-found");
    assert!(begun.elapsed() < sync_takes, "{:?}", begun.elapsed());
    disk.trouble("");
    run(crowd.audit(&target(&server), true));
    stop_and_verify(server, &data);
}
