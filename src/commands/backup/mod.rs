//! `onsale backup` and `onsale restore`: a data folder goes elsewhere while a server runs on it or not, and comes back.

mod restore;
mod text;

pub use restore::{RestoreArgs, run as restore};

use crate::commands::instant::rfc3339_short;
use ::config::{Flags, Serve};
use anyhow::bail;
use backup::follow;
use backup::place::Place;
use backup::ship::{Settings, Shipped, Shipper, keys_keep_ms};
use backup::source::Source;
use base::clock::{Clock, SystemClock};
use base::id::Millis;
use base::report::Report;
use base::terminal::say;
use eventlog::data_folder::DataFolder;
use eventlog::remote::Remote;
use indicatif::{HumanBytes, HumanCount};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use text::progress_bar;

/// How often `--follow` looks for a server.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What `onsale backup` is told.
#[derive(clap::Args, Debug)]
pub struct BackupArgs {
    /// Where to: a folder, or s3://BUCKET/PREFIX, gs://… or az://… [default: the setting backup.to]
    #[arg(value_name = "TO")]
    pub to: Option<String>,
    /// Go on with what happens, until interrupted: each commit is there within a second. Waits for a server where none runs
    #[arg(long)]
    pub follow: bool,
    /// Hours that keys stay which were replaced there, those of people who were erased among them [default: the setting
    /// backup.keys_keep_h]
    #[arg(long, value_name = "HOURS")]
    pub keys_keep: Option<u32>,
    /// One JSON object on the last line of stdout; with --follow, one on each
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub flags: Flags,
}

/// Ships what is not there yet.
pub fn run(args: &BackupArgs) -> anyhow::Result<ExitCode> {
    let config = config::load(&args.flags, std::env::vars_os())?.serve;
    let Some(to) = args.to.as_ref().or(config.backup_to.as_ref()) else {
        bail!("where to? Name a folder, or a bucket as s3://BUCKET/PREFIX, or set backup.to");
    };
    if args.follow {
        return follow(args, &config, to);
    }
    let started = Instant::now();
    let (log_id, source) = Source::open(&config.data)?;
    let mut shipper = Shipper::open(Place::open(to)?, log_id, settings(args, &config))?;
    let bar = progress_bar();
    let shipped = shipper.pass(&source, &mut |at| bar.set_position(at.0))?;
    bar.finish_and_clear();
    let mut report = Report::new("backup");
    report.seconds = started.elapsed().as_secs_f64();
    report.ok = true;
    report.more = as_json(&shipped);
    let manifest = shipper.manifest();
    report.more.insert("log_id".into(), json!(manifest.log_id));
    report.more.insert("segments_in_all".into(), json!(manifest.segments));
    report.more.insert("segment_bytes_in_all".into(), json!(manifest.segment_bytes));
    if args.json {
        say(format_args!("{}\n", serde_json::to_string(&report)?));
        return Ok(ExitCode::SUCCESS);
    }
    say(format_args!(
        "shipped     {} events, {} blocks of keys: {} in {:.1} s\n\
         whole       up to position {}, of {}\n\
         has         {} segments, {} in {to}\n",
        HumanCount(shipped.events),
        HumanCount(shipped.key_blocks),
        HumanBytes(shipped.bytes),
        report.seconds,
        HumanCount(shipped.end.position),
        rfc3339_short(shipped.end.at_ms),
        HumanCount(manifest.segments),
        HumanBytes(manifest.segment_bytes),
    ));
    Ok(ExitCode::SUCCESS)
}

fn settings(args: &BackupArgs, config: &Serve) -> Settings {
    let hours = args.keys_keep.unwrap_or(config.backup_keys_keep_h);
    Settings { data: config.data.clone(), keys_keep_ms: keys_keep_ms(hours), clock: Arc::new(SystemClock::default()) }
}

/// Ships pass after pass, across the server's restarts.
fn follow(args: &BackupArgs, config: &Serve, to: &str) -> anyhow::Result<ExitCode> {
    let (mut shipper, mut without_server, clock) = (None, false, SystemClock::default());
    loop {
        let begun = Instant::now();
        // Without a server nothing comes: the folder is left to one.
        if without_server && Remote::connect(&DataFolder::socket(&config.data)).is_err() {
            std::thread::sleep(LOOK_EVERY);
            continue;
        }
        match pass(args, config, to, &mut shipper) {
            Ok((shipped, stopped)) => {
                without_server = stopped;
                tell(args, &shipped, clock.machine(), begun.elapsed());
                std::thread::sleep(follow::EVERY.saturating_sub(begun.elapsed()));
            }
            // The server has gone, or starts.
            Err(error) if shipper.is_some() && is_in_use(&config.data) => {
                eprintln!("onsale: {error:#}; trying again");
                shipper = None;
                std::thread::sleep(LOOK_EVERY);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether a server has the folder, or one has just been there.
fn is_in_use(data: &Path) -> bool {
    Source::open(data).map_or(true, |(_, source)| matches!(source, Source::Running(_)))
}

/// Ships once. Gives also whether no server runs.
fn pass(args: &BackupArgs, config: &Serve, to: &str, shipper: &mut Option<Shipper>) -> anyhow::Result<(Shipped, bool)> {
    let (log_id, source) = Source::open(&config.data)?;
    let shipper = match shipper {
        Some(shipper) if shipper.manifest().log_id == log_id => shipper,
        shipper => shipper.insert(Shipper::open(Place::open(to)?, log_id, settings(args, config))?),
    };
    let shipped = shipper.pass(&source, &mut |_| {})?;
    Ok((shipped, matches!(source, Source::Stopped { .. })))
}

/// Says what was shipped, if anything was.
fn tell(args: &BackupArgs, shipped: &Shipped, now: Millis, took: Duration) {
    let Some(first_at_ms) = shipped.first_at_ms else { return };
    let lag = now.saturating_sub(first_at_ms) as f64 / 1000.0;
    if args.json {
        let mut line = as_json(shipped);
        line.insert("lag_seconds".into(), json!(lag));
        return say(format_args!("{}\n", Value::Object(line)));
    }
    say(format_args!(
        "position {}: {} events, {} in {:.2} s; the first had waited {lag:.2} s\n",
        HumanCount(shipped.end.position),
        HumanCount(shipped.events),
        HumanBytes(shipped.bytes),
        took.as_secs_f64(),
    ));
}

fn as_json(shipped: &Shipped) -> Map<String, Value> {
    let text = json!({
        "events": shipped.events, "segments": shipped.segments, "bytes": shipped.bytes, "key_blocks": shipped.key_blocks,
        "position": shipped.end.position, "at": rfc3339_short(shipped.end.at_ms),
    });
    let Value::Object(object) = text else { unreachable!("it is an object") };
    object
}
