//! What `onsale benchmark` is told, what of it is wanted, and how far it is.

use super::goals::{AGAINST, GOALS, OPENING, PROJECTIONS, how_to_read};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::time::Duration;

pub const READY_WITHIN: Duration = Duration::from_secs(60);

/// Sign-ups are not measured; the users' passwords are hashed cheaply.
pub const SERVER_ARGS: [&str; 7] = [
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
pub const ALONE: [&str; 2] = ["--read-models", "off"];

/// Measures how fast and how big Onsale is on this machine.
#[derive(clap::Args, Debug, Clone)]
#[command(after_long_help = how_to_read())]
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
    /// Only the figures about the opening of a queue, by a real crowd: some minutes, with --quick half of one
    #[arg(long, conflicts_with_all = ["only", "projections"])]
    pub opening: bool,
    /// Only the figures that hold this build against itself with other settings ("--backup-to /mnt/x"), or with --against-binary against
    /// another build: holds and purchases of two servers in turns, a minute or two
    #[arg(
        long,
        value_name = "SETTINGS",
        conflicts_with_all = ["only", "projections", "opening"],
        allow_hyphen_values = true,
        num_args = 0..=1,
        default_missing_value = ""
    )]
    pub against: Option<String>,
    /// The other build of --against
    #[arg(long, value_name = "FILE", requires = "against")]
    pub against_binary: Option<PathBuf>,
    /// People of --opening who ask when they are told to
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub pollers: u32,
    /// People of --opening who have a stream
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub streams: u32,
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
    pub fn recovery_events(&self) -> u64 {
        self.recovery_events.unwrap_or(if self.quick { 300_000 } else { 10_000_000 })
    }

    pub fn seconds(&self) -> f64 {
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
    let elsewhere = [&PROJECTIONS[..], &OPENING, &AGAINST].concat();
    let names = || GOALS.iter().map(|goal| goal.name).filter(|name| !elsewhere.contains(name));
    if names().any(|name| name == text) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "there are {}, and those of --projections, --opening and --against",
        names().collect::<Vec<_>>().join(", ")
    ))
}

/// The figures asked for; all, when none was named.
pub struct FigureFilter(pub Vec<String>);

impl FigureFilter {
    pub fn any(&self, names: &[&str]) -> bool {
        self.0.is_empty() || self.0.iter().any(|wanted| names.contains(&wanted.as_str()))
    }
}

/// A bar over the rounds of the run, with the figure that is being measured.
pub struct Progress(pub ProgressBar);

impl Progress {
    pub fn new(steps: u64) -> Progress {
        let style = ProgressStyle::with_template("{msg:22} {wide_bar} {pos}/{len} {elapsed}").expect("a template");
        let bar = ProgressBar::new(steps).with_style(style);
        bar.tick();
        Progress(bar)
    }

    pub fn says(&self, name: &'static str) {
        self.0.set_message(name);
    }

    pub fn step(&self) {
        self.0.inc(1);
    }
}

pub fn server_alone() -> Vec<&'static str> {
    [&SERVER_ARGS[..], &ALONE[..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_is_wanted() {
        let all = FigureFilter(Vec::new());
        assert!(all.any(&["replay"]) && all.online());
        let one = FigureFilter(vec!["replay".into()]);
        assert!(one.any(&["replay"]) && !one.any(&["purchase"]) && !one.online());
        assert!(figure_name("replay").is_ok() && figure_name("reply").is_err());
        assert_eq!([seconds("6").is_ok(), seconds("0").is_ok(), seconds("1e9").is_ok()], [true, false, false]);
    }
}
