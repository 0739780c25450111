//! `onsale fill`: a data folder of a size, made by the rules and written through the log without HTTP in between, for who
//! measures what a server does with it (`load/scale`).

use super::benchmark::generate::{self, LogSize};
use super::benchmark::line;
use anyhow::bail;
use base::report::Report;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// Wallets and performances behind a log of events.
const WALLETS: u64 = 100_000;
const PERFORMANCES: u64 = 1_000;
/// A server makes a snapshot after 500,000 events; this is how old it is on average.
const SNAPSHOT_BEFORE: u64 = 250_000;

/// What `onsale fill` is told.
#[derive(clap::Args, Debug)]
pub struct FillArgs {
    /// The data folder, which must not be there yet
    pub dir: PathBuf,
    /// Sales, cancellations and given up holds until the log has so many events
    #[arg(long, value_name = "N", required_unless_present = "waiting", conflicts_with = "waiting")]
    pub events: Option<u64>,
    /// A queue in which so many people wait
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=50_000_000))]
    pub waiting: Option<u32>,
}

/// Makes the folder, and says on stdout how long it took: one JSON object.
pub fn run(args: &FillArgs) -> anyhow::Result<ExitCode> {
    if args.dir.exists() {
        bail!("{} is there already", args.dir.display());
    }
    let started = Instant::now();
    let mut report = Report::new("fill");
    if let Some(people) = args.waiting {
        line::generate(&args.dir, people, people / 2)?;
        report.more.insert("queue_id".into(), json!(line::queue()));
    } else if let Some(events) = args.events {
        let snapshot_before = Some((events / 4).min(SNAPSHOT_BEFORE));
        let (wallets, performances) = (WALLETS.min(events / 10), PERFORMANCES.min(events / 100).max(1));
        generate::generate(&args.dir, &LogSize { wallets, performances, events, snapshot_before })?;
    }
    (report.seconds, report.ok) = (started.elapsed().as_secs_f64(), true);
    base::terminal::say(format_args!("{}\n", serde_json::to_string(&report)?));
    Ok(ExitCode::SUCCESS)
}
