//! Other people's programs, gone when their test is.

use crate::common::PATIENCE;
use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A program that listens.
pub struct Process {
    child: Child,
    pub address: String,
    output: PathBuf,
}

/// A port that nobody listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A file of the repository.
pub fn own(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

impl Process {
    /// Starts it in a folder, and waits until it listens. What it prints is in `folder/output`.
    pub fn start(mut command: Command, folder: &Path, port: u16) -> Process {
        let output = folder.join("output");
        let file = File::create(&output).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        // Also its children end with it.
        command.process_group(0);
        // SAFETY: prctl is async-signal-safe. A test that is killed leaves nothing behind.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        let mut process = Process { child, address: format!("127.0.0.1:{port}"), output };
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(&process.address).is_err() {
            let ended = process.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < until, "{command:?} does not listen: {}", process.printed());
            std::thread::sleep(Duration::from_millis(20));
        }
        process
    }

    /// All that it has printed so far.
    pub fn printed(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let group = -(self.child.id() as i32);
        // SAFETY: it only sends a signal, to the group that was made for this child.
        unsafe { libc::kill(group, libc::SIGTERM) };
        let until = Instant::now() + Duration::from_secs(3);
        while self.child.try_wait().is_ok_and(|ended| ended.is_none()) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        // SAFETY: as above. What is left of the group goes, too.
        unsafe { libc::kill(group, libc::SIGKILL) };
        let _ = self.child.wait();
    }
}
