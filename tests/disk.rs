//! Disks that are full, for real, and folders that are damaged: the server stops or refuses to start with one clear
//! line, loses nothing that it acknowledged, and leaves damaged data as it found it.

mod common;
mod load;

use common::Server;
use load::buyer::{Crowd, Told};
use load::{run, stop_and_verify, target};
use std::cell::Cell;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

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

/// A file system in memory.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    /// None where this process may not mount.
    fn new(megabytes: u32) -> Option<Tmpfs> {
        let folder = tempfile::tempdir().unwrap();
        let options = format!("size={megabytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Tmpfs(folder)),
            other => {
                eprintln!("no file system can be mounted here, so this is left to the other test: {other:?}");
                None
            }
        }
    }
}

impl Disk for Tmpfs {
    fn path(&self) -> &Path {
        self.0.path()
    }

    fn grow(&mut self) {
        let grown = Command::new("mount").args(["-o", "remount,size=256m"]).arg(self.0.path()).status().unwrap();
        assert!(grown.success());
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
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
    let said = server.errors();
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("onsale: ")).collect();
    assert_eq!(lines.len(), 1, "{said}");
    assert!(!said.contains("panicked"), "{said}");
    drop(server);

    disk.grow();
    let server = Server::spawn(command_on(&disk, &data), &outside.path().join("again"));
    run(crowd.audit(&target(&server), true));
    stop_and_verify(server, &data);
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
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "it started; it said\n{said}");
    assert_eq!(output.stdout, b"", "{said}");
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("onsale: ")).collect();
    assert_eq!(lines.len(), 1, "{said}");
    assert!(!said.contains("panicked"), "{said}");
    lines[0].to_owned()
}

#[test]
fn a_start_on_a_full_disk_says_so() {
    let Some(mut disk) = Tmpfs::new(8) else { return };
    let data = disk.path().join("data");
    let outside = tempfile::tempdir().unwrap();
    let server = Server::spawn(command_on(&disk, &data), &outside.path().join("server"));
    let mut crowd = run(Crowd::new(&server, 2, 5));
    server.stop();
    // Everything that is left is used up, to the last byte.
    let filler = std::fs::File::create(disk.path().join("filler")).unwrap();
    let mut at = 0;
    for size in [1 << 20, 4096, 1] {
        while filler.write_all_at(&vec![1; size], at).is_ok() {
            at += size as u64;
        }
    }
    for folder in ["data", "new"] {
        let line = refused_start(command_on(&disk, &disk.path().join(folder)));
        println!("{line}");
        assert!(line.contains("No space left on device"), "{line}");
    }
    disk.grow();
    let server = Server::spawn(command_on(&disk, &data), &outside.path().join("again"));
    run(crowd.audit(&target(&server), true));
    stop_and_verify(server, &data);
}
