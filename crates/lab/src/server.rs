//! A temporary server: a child process of this very binary on a free port, and the scratch folder of its data.

use super::client::{Connection, Target, write_request};
use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// A server promises to stop within 10 s of SIGTERM; this leaves it some more.
const STOP_WITHIN: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(2);

/// A folder that is removed with all it holds when dropped, unless it is to be kept.
pub struct Scratch {
    path: PathBuf,
    keep: bool,
}

impl Scratch {
    /// A new folder named after `tool` in `base`, by default the system's folder for temporary files.
    pub fn new(base: Option<&Path>, tool: &str, keep: bool) -> anyhow::Result<Scratch> {
        let name = format!("onsale-{tool}-{}", uuid::Uuid::new_v4().simple());
        let path = base.map_or_else(std::env::temp_dir, Path::to_owned).join(name);
        std::fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Scratch { path, keep })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes `folder` below it now, to make room for what comes next.
    pub fn clear(&self, folder: &str) {
        if !self.keep {
            let _ = std::fs::remove_dir_all(self.path.join(folder));
        }
    }

    /// Whether `bytes` fit on its disk and leave as much again for others.
    pub fn has_room(&self, bytes: u64) -> bool {
        let stat = rustix::fs::statvfs(&self.path);
        stat.is_ok_and(|stat| stat.f_bavail.saturating_mul(stat.f_frsize) / 2 >= bytes)
    }

    /// Whether it lies in memory (tmpfs), where a sync costs nothing and a figure of durable work would flatter.
    pub fn in_memory(&self) -> bool {
        const TMPFS: i64 = 0x0102_1994;
        rustix::fs::statfs(&self.path).is_ok_and(|stat| stat.f_type == TMPFS)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.keep {
            eprintln!("kept: {}", self.path.display());
        } else if let Err(error) = std::fs::remove_dir_all(&self.path) {
            eprintln!("cannot remove {}: {error}", self.path.display());
        }
    }
}

/// The server must not outlive a tool that was killed.
#[expect(unsafe_code, reason = "what runs between fork and exec may do little")]
fn end_with_this(command: &mut Command) {
    // SAFETY: prctl is async-signal-safe.
    unsafe {
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::TERM))?));
    }
}

/// A running child. Dropping it stops it.
pub struct Server {
    child: Child,
    output: PathBuf,
    pub url: String,
    pub operator_key: String,
    /// From the start of the process until `/readyz` answered 200.
    pub ready_after: Duration,
}

impl Server {
    /// Starts `onsale serve` with its data in `data` and `args` besides; returns once it is ready, at most
    /// `ready_within` later. What it prints goes to `<data>.out`.
    pub async fn start(data: &Path, args: &[&str], ready_within: Duration) -> anyhow::Result<Server> {
        Server::start_at("127.0.0.1:0", data, args, ready_within).await
    }

    /// The same at an address: of one that was there before.
    pub async fn start_at(address: &str, data: &Path, args: &[&str], ready_within: Duration) -> anyhow::Result<Server> {
        let this = std::env::current_exe().context("cannot find this program's own file")?;
        Server::start_program(&this, address, data, args, ready_within).await
    }

    /// The same of another build.
    pub async fn start_program(
        program: &Path,
        address: &str,
        data: &Path,
        args: &[&str],
        ready_within: Duration,
    ) -> anyhow::Result<Server> {
        let operator_key = format!("opk_{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        let output = data.with_extension("out");
        let file = File::create(&output).with_context(|| format!("cannot create {}", output.display()))?;
        let mut command = Command::new(program);
        command.arg("serve").arg("--data").arg(data).args(["--listen", address]).args(args);
        // Its callers are quicker than people: a few tokens and keys do what thousands would. Limits would be measured.
        command.args([
            "--limit-user-per-minute",
            "0",
            "--limit-key-per-minute",
            "0",
            "--limit-sign-in-per-minute",
            "0",
        ]);
        // Nothing set for another server counts here.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"ONSALE_")) {
            command.env_remove(name);
        }
        command.env("ONSALE_OPERATOR_KEY", &operator_key);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file.try_clone()?);
        // A group of its own: Ctrl-C reaches the tool alone, which then stops its server in order.
        command.process_group(0);
        end_with_this(&mut command);
        let started = Instant::now();
        let mut child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        let address = listen_for_address(child.stdout.take().expect("piped"), file);
        let mut server = Server { child, output, url: String::new(), operator_key, ready_after: Duration::ZERO };
        server.url = server.wait_for_address(address, started + ready_within).await?;
        server.wait_until_ready(started + ready_within).await?;
        server.ready_after = started.elapsed();
        Ok(server)
    }

    async fn wait_for_address(
        &mut self,
        mut address: tokio::sync::oneshot::Receiver<String>,
        until: Instant,
    ) -> anyhow::Result<String> {
        loop {
            match tokio::time::timeout(Duration::from_millis(20), &mut address).await {
                Ok(Ok(url)) => return Ok(url),
                // It closed its output: it is about to end.
                Ok(Err(_)) => bail!("the server did not start:\n{}", self.last_words()),
                Err(_) => self.still_starting(until)?,
            }
        }
    }

    async fn wait_until_ready(&mut self, until: Instant) -> anyhow::Result<()> {
        let mut connection = Connection::new(Target::resolve(&self.url).await?);
        let mut request = Vec::new();
        write_request(&mut request, "GET", "/readyz", "127.0.0.1", None, &[], None);
        loop {
            let reply = connection.exchange_within(Duration::from_secs(5), &request).await;
            if reply.is_ok_and(|reply| reply.status == 200) {
                return Ok(());
            }
            self.still_starting(until)?;
            tokio::time::sleep(POLL).await;
        }
    }

    fn still_starting(&mut self, until: Instant) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the server ended while it started ({status}):\n{}", self.last_words());
        }
        ensure!(Instant::now() < until, "the server was not ready in time:\n{}", self.last_words());
        Ok(())
    }

    /// The end of what it printed.
    fn last_words(&self) -> String {
        let text = std::fs::read(&self.output).unwrap_or_default();
        let text = String::from_utf8_lossy(&text[text.len().saturating_sub(4096)..]).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }

    /// Memory in use now and at its highest, in bytes (VmRSS and VmHWM of /proc).
    pub fn memory_bytes(&self) -> anyhow::Result<(u64, u64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))
            .context("this figure needs Linux' /proc")?;
        let read = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib << 10)
        };
        Ok((read("VmRSS:").context("no VmRSS")?, read("VmHWM:").context("no VmHWM")?))
    }

    /// Processor time it has used so far.
    pub fn cpu_time(&self) -> Option<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        // Fields 14 and 15 (user and system ticks of 10 ms); the second, its name, may hold spaces.
        let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
        let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
        Some(Duration::from_millis(ticks * 10))
    }

    /// Stops it as an operator would, with SIGTERM; it must exit with 0.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.signal(Signal::TERM);
        let until = Instant::now() + STOP_WITHIN;
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "the server stopped with {status}:\n{}", self.last_words());
                return Ok(());
            }
            ensure!(Instant::now() < until, "the server did not stop within {STOP_WITHIN:?}:\n{}", self.last_words());
            tokio::time::sleep(POLL).await;
        }
    }

    /// Ends it as a power cut would, as far as the process is concerned: SIGKILL.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().context("cannot kill the server")?;
        self.child.wait()?;
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        // The child has not been waited for, so its id is still its own.
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal(Signal::TERM);
            let until = Instant::now() + STOP_WITHIN;
            while Instant::now() < until && matches!(self.child.try_wait(), Ok(None)) {
                std::thread::sleep(POLL);
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Copies what the server prints to `file` and picks out the address that it listens on.
fn listen_for_address(stdout: std::process::ChildStdout, mut file: File) -> tokio::sync::oneshot::Receiver<String> {
    let (send, receive) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut send = Some(send);
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = writeln!(file, "{line}");
            if let Some(url) = address_in(&line)
                && let Some(send) = send.take()
            {
                let _ = send.send(url.to_owned());
            }
        }
    });
    receive
}

/// The address in a line such as `listening on http://127.0.0.1:41235`.
fn address_in(line: &str) -> Option<&str> {
    let rest = &line[line.find("listening on http://")? + "listening on ".len()..];
    Some(rest.split(|c: char| c.is_whitespace() || "\",".contains(c)).next().unwrap_or(rest).trim_end_matches('/'))
}

/// Runs `work` on a thread of its own runtime until it ends or the user ends it (Ctrl-C, SIGTERM); then everything
/// temporary is dropped, which removes it, and the exit code is 130.
pub fn run(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            outcome = work => outcome,
            _ = terminate.recv() => Ok(ExitCode::from(130)),
            _ = interrupt.recv() => Ok(ExitCode::from(130)),
        }
    });
    runtime.shutdown_background();
    outcome
}

/// Runs blocking `work` on a thread of its own, so that the user can end it.
pub async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let (send, receive) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || send.send(work()));
    receive.await.context("a worker thread panicked")?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_lines() {
        for (line, want) in [
            ("listening on http://127.0.0.1:41235", Some("http://127.0.0.1:41235")),
            ("onsale 0.1.0 listening on http://127.0.0.1:80/ (data in x)", Some("http://127.0.0.1:80")),
            ("{\"message\":\"listening on http://127.0.0.1:80\",\"x\":1}", Some("http://127.0.0.1:80")),
            ("operator key: opk_x", None),
        ] {
            assert_eq!(address_in(line), want, "{line}");
        }
    }

    #[test]
    fn a_scratch_folder_is_gone_after_use_unless_kept() {
        let base = tempfile::tempdir().unwrap();
        for keep in [false, true] {
            let scratch = Scratch::new(Some(base.path()), "test", keep).unwrap();
            let path = scratch.path().to_owned();
            std::fs::write(path.join("file"), "x").unwrap();
            drop(scratch);
            assert_eq!(path.exists(), keep);
        }
    }
}
