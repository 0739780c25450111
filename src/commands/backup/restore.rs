//! `onsale restore`: a data folder of a backup.

use super::text::progress_bar;
use crate::commands::instant::{instant, rfc3339_short};
use ::config::Flags;
use anyhow::Context;
use backup::place::Place;
use backup::restore::{self, Restored, Until};
use base::clock::{Clock, SystemClock};
use base::report::Report;
use base::terminal::say;
use eventlog::Position;
use indicatif::HumanCount;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// What `onsale restore` is told.
#[derive(clap::Args, Debug)]
pub struct RestoreArgs {
    /// Where the backup is: a folder, or s3://BUCKET/PREFIX, gs://… or az://…
    #[arg(value_name = "FROM")]
    pub from: String,
    /// Data folder to make; it must be empty, or not there [default: the one of --data]
    #[arg(value_name = "TO")]
    pub to: Option<PathBuf>,
    /// Only events up to this position, or before this time, e.g. 2026-12-24T10:00:00Z. No command is cut in two
    #[arg(long, value_name = "POSITION|TIME")]
    pub until: Option<String>,
    /// One JSON object on the last line of stdout instead of a table
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub flags: Flags,
}

/// Makes the folder and says what is not in it.
pub fn run(args: &RestoreArgs) -> anyhow::Result<ExitCode> {
    let config = config::load(&args.flags, std::env::vars_os())?.serve;
    let to = args.to.as_ref().unwrap_or(&config.data);
    let until = args.until.as_deref().map(until).transpose()?.unwrap_or(Until::End);
    let started = Instant::now();
    let place = Place::open_existing(&args.from)?;
    let bar = progress_bar();
    let restored = restore::restore(&place, to, until, &mut |at| bar.set_position(at.0))?;
    bar.finish_and_clear();
    let Restored { log_id, last, backup, looked_ms, key_slots } = restored;
    let left_out_s = backup.at_ms.saturating_sub(last.at_ms) as f64 / 1000.0;
    let since_s = SystemClock::default().machine().saturating_sub(looked_ms) as f64 / 1000.0;
    if args.json {
        let mut report = Report::new("restore");
        (report.seconds, report.ok) = (started.elapsed().as_secs_f64(), true);
        let more = json!({
            "log_id": log_id, "position": last.position, "at": rfc3339_short(last.at_ms), "key_slots": key_slots,
            "backup_position": backup.position, "backup_at": rfc3339_short(backup.at_ms), "left_out_seconds": left_out_s,
            "backup_looked_at": rfc3339_short(looked_ms), "missing_seconds": since_s,
        });
        if let Value::Object(more) = more {
            report.more = more;
        }
        say(format_args!("{}\n", serde_json::to_string(&report)?));
        return Ok(ExitCode::SUCCESS);
    }
    let left_out = match backup.position - last.position {
        0 => "nothing of the backup".to_owned(),
        events => format!("{} events, {left_out_s:.1} s, of the backup: --until", HumanCount(events)),
    };
    say(format_args!(
        "restored    {} events, up to {}, into {} in {:.1} s\n\
         keys        {} of accounts; of people who were erased, none\n\
         left out    {left_out}\n\
         missing     what happened after {}, {since_s:.1} s ago: the backup was whole then\n\
         next        onsale verify {}\n",
        HumanCount(last.position),
        rfc3339_short(last.at_ms),
        to.display(),
        started.elapsed().as_secs_f64(),
        HumanCount(key_slots),
        rfc3339_short(looked_ms),
        to.display(),
    ));
    Ok(ExitCode::SUCCESS)
}

fn until(text: &str) -> anyhow::Result<Until> {
    match text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        true => Ok(Until::Position(Position(text.parse().context("--until")?))),
        false => {
            Ok(Until::Time(instant(text).with_context(|| format!("--until {text:?} is no position and no time"))?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_position_or_a_time() {
        assert_eq!(until("4711").unwrap(), Until::Position(Position(4711)));
        assert_eq!(until("1970-01-01T00:00:01.5Z").unwrap(), Until::Time(1_500));
        assert_eq!(until("1970-01-01T01:00:00+01:00").unwrap(), Until::Time(0));
        for wrong in ["", "yesterday", "-1", "99999999999999999999", "1960-01-01T00:00:00Z"] {
            assert!(until(wrong).is_err(), "{wrong}");
        }
    }
}
