//! `onsale benchmark`: how fast and how big, all figures in one run, each beside its goal.
//!
//! The server is a child process of this very binary; this process is the client, one thread on plain keep-alive
//! connections (see [`super::client`]). Both share the machine. What a figure means stands in [`goals`]. How to read them:
//! - A rate alone says as much about the machine and the client as about Onsale. So rates of the same run are compared:
//!   a hold with a no-op through the same server, client and connections, measured in turns. That share is what is held
//!   against a goal.
//! - A rate is the median of three rounds. `p50` and `p99` beside a rate are of a loop that always waits for its answers,
//!   under full load; they show how long requests queue, not how fast the server can be. `hold_p99` is the one to quote.
//! - Everything is on the disk of `--data`. In a folder in memory a sync costs nothing, and the run says so.
//!
//! - [`load`]: rounds at full speed and at a fixed rate
//! - [`stage`]: users, performances and seats to ask for
//! - [`mod@online`]: the figures over HTTP
//! - [`watch`]: the figures about those who watch
//! - [`offline`]: the figures about size
//! - [`disk`]: the log beside a plain file
//! - [`read_models`]: the figures about read models; [`copy`]: what PostgreSQL itself takes
//! - [`outputs`]: the figures about Kafka
//! - [`search`]: the figures of the search for seats, in this process
//! - [`queue`]: the figures of the queue
//! - [`opening`]: those of thousands through the opening of a queue
//! - [`shard_stall`]: how long one command holds a shard, in this process

mod args;
mod copy;
mod disk;
pub mod generate;
pub mod goals;
mod load;
mod offline;
mod online;
mod opening;
mod outputs;
mod queue;
mod read_models;
mod rounds;
mod search;
mod shard_stall;
mod stage;
mod watch;

pub use args::BenchmarkArgs;
pub use queue::line;

use super::server::{Scratch, Server};
use args::{ALONE, FigureFilter, Progress, READY_WITHIN, SERVER_ARGS, server_alone};
use base::clock::{Clock, SystemClock};
use base::id::{AccountId, UserId};
use base::report::{Figure, Report, figures_table};
use goals::GOALS;
use online::{Online, ROUNDS};
use security::secrets::{Secrets, Session};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What the figures over HTTP may write, at most a minute each.
const ONLINE_BYTES_PER_SECOND: u64 = 100_000_000;

impl FigureFilter {
    fn online(&self) -> bool {
        let offline = ["replay", "disk_per_event", "recovery_snapshot", "memory_million"];
        let elsewhere = |wanted: &str| {
            [&search::NAMES[..], &shard_stall::NAMES, &queue::NAMES, &outputs::NAMES, &disk::NAMES]
                .iter()
                .any(|names| names.contains(&wanted))
        };
        let offline = |wanted: &str| offline.contains(&wanted) || elsewhere(wanted);
        self.0.is_empty() || self.0.iter().any(|wanted| !offline(wanted))
    }

    /// Steps of the progress bar.
    fn steps(&self) -> u64 {
        let groups: [(&[&str], u64); 4] = [
            (&["noop_post", "hold_durable", "refuse_taken", "hold_p99", "auth_share"], 2),
            (&["noop_post_256", "hold_durable_256"], 2),
            (&["purchase"], 1),
            (&["noop_get", "availability_304"], 2),
        ];
        let rounds: u64 = groups.iter().filter(|(names, _)| self.any(names)).map(|(_, acts)| acts).sum();
        let refused = u64::from(self.any(&["refuse_taken"]));
        let watched = u64::from(self.any(&watch::NAMES)) * 2;
        watched
            + (rounds + refused) * u64::from(ROUNDS)
            + u64::from(self.any(&["hold_p99"]))
            + u64::from(self.any(&search::NAMES))
            + u64::from(self.any(&shard_stall::NAMES))
            + disk::steps(self)
            + queue::steps(self)
            + offline::steps(self)
    }
}

/// Measures and prints. The exit code is 1 when the books do not hold, and with `--strict` when a figure is short.
pub fn run(args: BenchmarkArgs) -> anyhow::Result<ExitCode> {
    super::server::run(benchmark(args))
}

async fn benchmark(args: BenchmarkArgs) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let wanted = FigureFilter(args.only.clone());
    let scratch = Scratch::new(args.data.as_deref(), "benchmark", false)?;
    if scratch.in_memory() {
        eprintln!("{} is in memory, where nothing is durable: give --data", scratch.path().display());
    }
    if args.projections {
        let progress = Progress::new(read_models::STEPS);
        let mut report = Report::new("benchmark");
        report.figures = read_models::measure(&args, &scratch, &progress).await?;
        report.books.insert("ok".into(), json!(true));
        return print(&args, report, &progress, started);
    }
    if args.opening {
        let progress = Progress::new(opening::STEPS);
        let mut report = Report::new("benchmark");
        report.figures = opening::measure(&args, &scratch, &progress).await?;
        report.books.insert("ok".into(), json!(true));
        return print(&args, report, &progress, started);
    }
    if let Some(settings) = &args.against {
        let progress = Progress::new(online::against::STEPS);
        let mut report = Report::new("benchmark");
        report.figures = online::against::measure(settings, &args, &scratch, &progress).await?;
        report.books.insert("ok".into(), json!(true));
        return print(&args, report, &progress, started);
    }
    let asked_for = args.only.iter().any(|name| outputs::NAMES.contains(&name.as_str()));
    anyhow::ensure!(args.kafka.is_some() || !asked_for, "the figures about Kafka need --kafka HOST:PORT");
    let steps = wanted.steps() + args.kafka.as_ref().map_or(0, |_| outputs::steps(&wanted));
    let progress = Progress::new(steps);
    let mut report = Report::new("benchmark");
    let in_process = queue::in_process(&wanted, &args, &scratch, &progress).await?;
    report.books.insert("ok".into(), json!(true));
    if wanted.online() {
        (report.figures, report.books) = online(&args, &wanted, &scratch, &progress).await?;
        scratch.clear("data");
    }
    if let Some((figures, log)) = queue::online(&wanted, &args, &scratch, &progress).await? {
        // Its rivals are those of the first server, measured again.
        let known: Vec<&str> = report.figures.iter().map(|figure| figure.name).collect();
        report.figures.extend(figures.into_iter().filter(|figure| !known.contains(&figure.name)));
        let holds = report.books_hold() && log.get("ok") == Some(&json!(true));
        report.books.insert("ok".into(), json!(holds));
        report.books.insert("queue_log".into(), Value::Object(log));
        scratch.clear("queue");
    }
    report.figures.extend(in_process);
    report.figures.extend(search::measure(&wanted, &progress)?);
    report.figures.extend(shard_stall::measure(&wanted, args.quick, &progress)?);
    report.figures.extend(disk::measure(&wanted, &args, &scratch, &progress).await?);
    if let Some(kafka) = &args.kafka {
        report.figures.extend(outputs::measure(kafka, &wanted, &args, &scratch, &progress).await?);
    }
    report.figures.extend(offline::measure(&wanted, &args, &scratch, &progress).await?);
    print(&args, report, &progress, started)
}

fn print(args: &BenchmarkArgs, mut report: Report, progress: &Progress, started: Instant) -> anyhow::Result<ExitCode> {
    report.figures.sort_by_key(|figure| GOALS.iter().position(|goal| goal.name == figure.name));
    report.seconds = started.elapsed().as_secs_f64();
    report.ok = report.books_hold() && !report.is_short();
    progress.0.finish_and_clear();
    if args.json {
        base::terminal::say(format_args!("{}\n", serde_json::to_string(&report)?));
    } else {
        base::terminal::say(format_args!("{}", text(&report)));
    }
    let failed = !report.books_hold() || (args.strict && report.is_short());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn online(
    args: &BenchmarkArgs,
    wanted: &FigureFilter,
    scratch: &Scratch,
    progress: &Progress,
) -> anyhow::Result<(Vec<Figure>, Map<String, Value>)> {
    let bytes = (args.seconds() * 8.0) as u64 * ONLINE_BYTES_PER_SECOND;
    anyhow::ensure!(scratch.has_room(bytes), "this run needs {} GB free on disk", bytes * 2 / 1_000_000_000 + 1);
    let data = scratch.path().join("data");
    let server = Server::start(&data, &server_alone(), READY_WITHIN).await?;
    let round = Duration::from_secs_f64(args.seconds() / f64::from(ROUNDS));
    let mut online = Online::new(&server, args.connections.into(), round, progress).await?;
    let mut figures = online.measure(wanted).await?;
    if wanted.any(&watch::NAMES) {
        figures.extend(online.watch(args.watchers as usize).await?);
    }
    if wanted.any(&["auth_share"]) {
        figures.push(online.auth_share(token_check_us(&scratch.path().join("auth"))?));
    }
    let wallets = online.check_books().await;
    drop(online);
    server.stop().await?;
    progress.says("the books");
    Ok((figures, books(wallets, crate::check_log(&data).await?)))
}

/// The books hold when the wallets show every purchase once and the log verifies.
fn books(wallets: anyhow::Result<()>, log: Map<String, Value>) -> Map<String, Value> {
    let mut books = Map::new();
    let log_holds = log.get("ok") == Some(&json!(true));
    books.insert("ok".into(), json!(wallets.is_ok() && log_holds));
    if let Err(error) = wallets {
        books.insert("first".into(), json!(format!("{error:#}")));
    }
    books.insert("log".into(), Value::Object(log));
    books
}

fn text(report: &Report) -> String {
    let machine = &report.machine;
    let gib = machine.memory_bytes as f64 / f64::from(1 << 30);
    let mut out = format!("{} cores, {}, {gib:.0} GiB; {:.0} s\n\n", machine.cores, machine.cpu, report.seconds);
    out.push_str(&figures_table(&report.figures));
    out.push('\n');
    for figure in &report.figures {
        let note = if figure.note.is_empty() { String::new() } else { format!(" [{}]", figure.note) };
        out.push_str(&format!("{}: {}{note}\n", figure.name, goals::find(figure.name).meaning));
    }
    out.push_str(if report.books_hold() { "books hold\n" } else { "books DO NOT HOLD\n" });
    if let Some(first) = report.books.get("first").and_then(Value::as_str) {
        out.push_str(&format!("  {first}\n"));
    }
    out
}

/// Microseconds that the server's check of a session's token takes, measured in this process. `folder` takes the secret
/// that signs the token.
fn token_check_us(folder: &Path) -> anyhow::Result<f64> {
    const CHECKS: u32 = 200_000;
    let now = SystemClock::default().now();
    std::fs::create_dir_all(folder)?;
    let secrets = Secrets::open(folder, false)?;
    let (account, user) = (AccountId(uuid::Uuid::new_v4()), UserId(uuid::Uuid::new_v4()));
    let session = Session { account, user, begun_at_ms: now, expires_at_ms: now + 60_000, nonce: 0 };
    let token = secrets.issue(&session);
    let started = Instant::now();
    for _ in 0..CHECKS {
        let checked = secrets.check(std::hint::black_box(&token), now);
        anyhow::ensure!(
            std::hint::black_box(checked).is_ok_and(|session| session.user == user),
            "the token is refused"
        );
    }
    Ok(started.elapsed().as_secs_f64() * 1e6 / f64::from(CHECKS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_books_need_the_wallets_and_the_log() {
        let log = |ok: bool| json!({"ok": ok}).as_object().unwrap().clone();
        assert_eq!(books(Ok(()), log(true))["ok"], true);
        assert_eq!(books(Ok(()), log(false))["ok"], false);
        let off = books(Err(anyhow::anyhow!("a point too few")), log(true));
        assert_eq!((&off["ok"], &off["first"]), (&json!(false), &json!("a point too few")));
    }
}
