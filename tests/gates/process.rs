//! Other people's programs, gone when their test is.

use crate::common::{PATIENCE, end_with_test};
use rustix::process::{Pid, Signal, kill_process_group};
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
        end_with_test(&mut command);
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
        // The group was made for this child.
        let group = Pid::from_child(&self.child);
        let _ = kill_process_group(group, Signal::TERM);
        let until = Instant::now() + Duration::from_secs(3);
        while self.child.try_wait().is_ok_and(|ended| ended.is_none()) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        // What is left of the group goes, too.
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.child.wait();
    }
}
