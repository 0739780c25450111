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
//! - [`shard_stall`]: how long one command holds a shard, in this process

mod copy;
mod disk;
pub mod generate;
pub mod goals;
mod load;
mod offline;
mod online;
mod outputs;
mod queue;
mod read_models;
mod search;
mod shard_stall;
mod stage;
mod watch;

pub use queue::line;

use super::server::{Scratch, Server};
use base::clock::{Clock, SystemClock};
use base::id::{AccountId, UserId};
use base::report::{Figure, Report, figures_table};
use goals::GOALS;
use indicatif::{ProgressBar, ProgressStyle};
use online::{Online, ROUNDS};
use security::secrets::{Secrets, Session};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const READY_WITHIN: Duration = Duration::from_secs(60);
/// Sign-ups are not measured; the users' passwords are hashed cheaply.
const SERVER_ARGS: [&str; 7] = [
    "--benchmark-routes",
    "--password-memory-kib",
    "64",
    "--password-passes",
    "1",
    // All watchers come from here.
    "--streams-per-address-max",
    "100000",
];
/// No read models, where selling and queues are measured by themselves: what those take is a figure of its own.
const ALONE: [&str; 2] = ["--read-models", "off"];
/// What the figures over HTTP may write, at most a minute each.
const ONLINE_BYTES_PER_SECOND: u64 = 100_000_000;

/// Measures how fast and how big Onsale is on this machine.
#[derive(clap::Args, Debug, Clone)]
#[command(after_long_help = goals::how_to_read())]
pub struct BenchmarkArgs {
    /// A few seconds in all and a smaller log: to see that it works, not to quote
    #[arg(long)]
    pub quick: bool,
    /// Seconds for each figure over HTTP [default: 6, with --quick 0.9]
    #[arg(long, value_parser = seconds)]
    pub seconds: Option<f64>,
    /// Connections of all figures that do not say otherwise
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub connections: u16,
    /// Watchers of watch_p99 and watch_core
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub watchers: u32,
    /// Only these figures, separated by commas (and those that they are shares of)
    #[arg(long, value_delimiter = ',', value_parser = figure_name)]
    pub only: Vec<String>,
    /// Only the figures about read models. Those of PostgreSQL need ONSALE_TEST_POSTGRES
    #[arg(long, conflicts_with = "only")]
    pub projections: bool,
    /// A Kafka to publish to, for the figures about it; its topics are made and deleted again
    #[arg(long, value_name = "HOST:PORT")]
    pub kafka: Option<String>,
    /// Events in the log of replay and recovery [default: 10000000, with --quick 300000]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    pub recovery_events: Option<u64>,
    /// Print one JSON object instead of the table
    #[arg(long)]
    pub json: bool,
    /// Exit with 1 when a figure is short of its goal
    #[arg(long)]
    pub strict: bool,
    /// Where the data goes; a folder of its own in here, removed afterwards (default: the folder for temporary files)
    #[arg(long)]
    pub data: Option<PathBuf>,
}

impl BenchmarkArgs {
    fn recovery_events(&self) -> u64 {
        self.recovery_events.unwrap_or(if self.quick { 300_000 } else { 10_000_000 })
    }

    fn seconds(&self) -> f64 {
        self.seconds.unwrap_or(if self.quick { 0.9 } else { 6.0 })
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=60.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds from 0.1 to 60".to_owned()),
    }
}

fn figure_name(text: &str) -> Result<String, String> {
    let names = || GOALS.iter().map(|goal| goal.name).filter(|name| !read_models::NAMES.contains(name));
    if names().any(|name| name == text) {
        return Ok(text.to_owned());
    }
    Err(format!("there are {}, and those of --projections", names().collect::<Vec<_>>().join(", ")))
}

/// The figures asked for; all, when none was named.
struct Wanted(Vec<String>);

impl Wanted {
    fn any(&self, names: &[&str]) -> bool {
        self.0.is_empty() || self.0.iter().any(|wanted| names.contains(&wanted.as_str()))
    }

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

/// A bar over the rounds of the run, with the figure that is being measured.
struct Progress(ProgressBar);

impl Progress {
    fn new(steps: u64) -> Progress {
        let style = ProgressStyle::with_template("{msg:22} {wide_bar} {pos}/{len} {elapsed}").expect("a template");
        let bar = ProgressBar::new(steps).with_style(style);
        bar.tick();
        Progress(bar)
    }

    fn says(&self, name: &'static str) {
        self.0.set_message(name);
    }

    fn step(&self) {
        self.0.inc(1);
    }
}

/// Measures and prints. The exit code is 1 when the books do not hold, and with `--strict` when a figure is short.
pub fn run(args: BenchmarkArgs) -> anyhow::Result<ExitCode> {
    super::server::run(benchmark(args))
}

async fn benchmark(args: BenchmarkArgs) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let wanted = Wanted(args.only.clone());
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

fn server_alone() -> Vec<&'static str> {
    [&SERVER_ARGS[..], &ALONE[..]].concat()
}

async fn online(
    args: &BenchmarkArgs,
    wanted: &Wanted,
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

    #[test]
    fn only_what_is_named_is_wanted() {
        let all = Wanted(Vec::new());
        assert!(all.any(&["replay"]) && all.online());
        let one = Wanted(vec!["replay".into()]);
        assert!(one.any(&["replay"]) && !one.any(&["purchase"]) && !one.online());
        assert!(figure_name("replay").is_ok() && figure_name("reply").is_err());
        assert_eq!([seconds("6").is_ok(), seconds("0").is_ok(), seconds("1e9").is_ok()], [true, false, false]);
    }
}
