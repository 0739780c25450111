//! What people would write instead: a sorted set in Redis. Measured with its own client, without HTTP, where it is installed.

use crate::benchmark::goals::figure;
use crate::server::off_thread;
use anyhow::{Context, bail, ensure};
use base::report::Figure;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How fast it is at most; a round has as many requests as that takes.
const RATE_GUESS: f64 = 50_000.0;
/// Members of the set that ranks are asked of, and requests that add nearly all of them.
const MEMBERS: u32 = 1_000_000;
const FILLING: u32 = 4 * MEMBERS;
/// Names that newcomers have: so many that hardly two have the same.
const STRANGERS: u32 = 1_000_000_000;
const UP_WITHIN: Duration = Duration::from_secs(10);
const SERVER: &str = "redis-server";
const CLIENT: &str = "redis-benchmark";

/// A Redis of our own. Dropping it ends it.
pub struct Redis {
    server: Child,
    port: String,
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A figure of Redis; one that could not be measured says why, and is not short.
pub fn figure_of(name: &'static str, rate: Option<f64>) -> Figure {
    let note =
        if rate.is_some() { "" } else { "not measured: there is no redis-server (Debian's package redis-server)" };
    Figure { note: note.into(), ..figure(name, rate, None) }
}

impl Redis {
    /// Starts one that syncs each write before its answer; `None` where there is none.
    pub async fn start(scratch: &Path) -> anyhow::Result<Option<Redis>> {
        if !is_installed(SERVER) || !is_installed(CLIENT) {
            return Ok(None);
        }
        let folder = scratch.join("redis");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder)?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
        let mut command = Command::new(SERVER);
        command.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"]);
        command.args(["--appendfsync", "always", "--dir"]).arg(&folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let redis = Redis { server: command.spawn().context("cannot start redis-server")?, port };
        let started = Instant::now();
        while std::net::TcpStream::connect(format!("127.0.0.1:{}", redis.port)).is_err() {
            ensure!(started.elapsed() < UP_WITHIN, "redis-server does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Some(redis))
    }

    /// Adds people for about `window`; gives their rate.
    pub async fn zadd(&mut self, connections: usize, window: Duration) -> anyhow::Result<f64> {
        let requests = requests(window);
        self.client(connections, requests, STRANGERS, &[], &["zadd", "line", "__rand_int__", "user:__rand_int__"]).await
    }

    /// Makes a set of members to ask for.
    pub async fn fill(&mut self) -> anyhow::Result<()> {
        let command = ["zadd", "people", "__rand_int__", "user:__rand_int__"];
        self.client(16, FILLING, MEMBERS, &["-P", "1000"], &command).await.map(|_| ())
    }

    /// Asks for ranks for about `window`; gives their rate.
    pub async fn zrank(&mut self, connections: usize, window: Duration) -> anyhow::Result<f64> {
        self.client(connections, requests(window), MEMBERS, &[], &["zrank", "people", "user:__rand_int__"]).await
    }

    async fn client(
        &mut self,
        connections: usize,
        requests: u32,
        members: u32,
        options: &[&str],
        command: &[&str],
    ) -> anyhow::Result<f64> {
        let mut client = Command::new(CLIENT);
        client.args(["-h", "127.0.0.1", "-p", &self.port, "--csv", "-c", &connections.to_string()]);
        client.args(["-n", &requests.to_string(), "-r", &members.to_string()]).args(options).args(command);
        let output =
            off_thread(move || client.stdin(Stdio::null()).output().context("cannot run redis-benchmark")).await?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "redis-benchmark: {text}{}", String::from_utf8_lossy(&output.stderr));
        rate(&text, command[0])
    }
}

fn requests(window: Duration) -> u32 {
    (RATE_GUESS * window.as_secs_f64()) as u32 + 1
}

fn is_installed(command: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(command).is_file())
}

/// The rate in a line such as `"zadd line 1 user:1","58823.53","0.5",…`.
fn rate(text: &str, command: &str) -> anyhow::Result<f64> {
    let line = text.lines().rfind(|line| line.to_ascii_lowercase().starts_with(&format!("\"{command} ")));
    let Some(line) = line else { bail!("redis-benchmark printed {text:?}") };
    let field = line.split("\",\"").nth(1).with_context(|| format!("no rate in {line:?}"))?;
    field.trim_end_matches('"').parse().with_context(|| format!("{field:?} is no rate"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_found_in_what_its_client_prints() {
        let text = "\"test\",\"rps\",\"avg_latency_ms\"\n\"zadd line __rand_int__ x\",\"58823.53\",\"0.5\",\"0.1\"\n";
        assert_eq!(rate(text, "zadd").unwrap(), 58823.53);
        assert_eq!(rate("\"zrank a b\",\"99.5\"", "zrank").unwrap(), 99.5);
        assert!(rate(text, "zrank").is_err() && rate("", "zadd").is_err());
    }

    #[test]
    fn what_is_not_there_is_not_short() {
        let figure = figure_of("redis_zadd_fsync", None);
        assert_eq!((figure.value, figure.ok), (None, None));
        assert!(figure.note.starts_with("not measured"));
    }
}
