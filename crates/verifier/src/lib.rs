//! `onsale verify`: reads a log from its first event to its last and says whether the books hold.
//!
//! - [`books`]: the checker; [`performance_check`] one performance in it, [`seating`] its places; [`queue`] one queue; [`people`] who
//!   there is
//! - [`violation`], [`summary`]: what it finds
//! - [`read_models`]: whether the SQL books equal the log's

pub mod books;
mod people;
mod performance_check;
mod queue;
pub mod read_models;
mod seating;
pub mod source;
pub mod summary;
#[cfg(test)]
mod tests;
pub mod violation;

use crate::source::Source;
use base::report::Report;
pub use books::Books;
use eventlog::data_folder::DataFolder;
use eventlog::{Position, Recorded, archive};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use readmodels::store::{Place, Postgres};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use summary::Attributed;
pub use summary::Summary;
pub use violation::{Kind, Violation};

/// Events between two movements of the progress bar.
const PROGRESS_EVENTS: u64 = 1 << 14;

/// What `onsale verify` is told.
#[derive(clap::Args, Debug)]
pub struct VerifyArgs {
    /// The data folder, of a running server or of none.
    pub dir: PathBuf,
    /// Also compare the read models with the log: those of the folder, unless another place is given
    #[arg(long)]
    pub read_models: bool,
    /// File of the read models
    #[arg(long, value_name = "FILE", requires = "read_models", conflicts_with = "postgres")]
    pub sqlite: Option<PathBuf>,
    /// Read models in PostgreSQL
    #[arg(long, value_name = "URL", requires = "read_models", env = "ONSALE_POSTGRES", hide_env_values = true)]
    pub postgres: Option<String>,
    /// Schema of the tables in PostgreSQL
    #[arg(long, value_name = "NAME", default_value = "onsale", env = "ONSALE_POSTGRES_SCHEMA")]
    pub postgres_schema: String,
    /// PEM file with the authorities that PostgreSQL's certificate is trusted by
    #[arg(long, value_name = "FILE", env = "ONSALE_POSTGRES_CA")]
    pub postgres_ca: Option<PathBuf>,
    /// One JSON object on the last line of stdout instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Checks a log and prints what it found. Exit code 1 when the books do not hold; an error when there is no log to read.
pub fn run(args: VerifyArgs) -> anyhow::Result<ExitCode> {
    let source = Source::open(&args.dir);
    // A log that cannot even be opened for damage is a violation, not a mistake of the caller's.
    let (source, opened) = match source {
        Ok(source) => (Some(source), None),
        Err(error) => match error.downcast_ref::<eventlog::Error>().and_then(Violation::of_log) {
            Some(violation) => (None, Some(violation)),
            None => return Err(error),
        },
    };
    let started = Instant::now();
    let result = match (&source, opened) {
        (_, Some(violation)) => Err(violation),
        (Some(source), None) => {
            let bar = progress_bar(source.events());
            let result = check(&mut |each| source.read(Position(0), each), &mut |position| bar.set_position(position));
            bar.finish_and_clear();
            result?
        }
        (None, None) => unreachable!("it was opened or not"),
    };
    let read_models = match &source {
        Some(source) if args.read_models && result.is_ok() => {
            Some(read_models::check(&place(&args), &mut |each| source.read(Position(0), each))?)
        }
        _ => None,
    };
    let seconds = started.elapsed().as_secs_f64();
    if let Some((position, wrong)) = &read_models {
        for line in wrong {
            eprintln!("onsale: {line}");
        }
        let how = if wrong.is_empty() { "equal the log" } else { "DIFFER from the log" };
        eprintln!("the read models {how} up to position {position}");
    }
    let equal = read_models.is_none_or(|(_, wrong)| wrong.is_empty());
    let archived = archived(&args.dir);
    if args.json {
        base::terminal::say(format_args!("{}\n", as_json(&result, archived, seconds)));
    } else {
        print(&result, archived, seconds);
    }
    Ok(if result.is_ok() && equal { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How many of the log's events were in archive files.
fn archived(dir: &Path) -> u64 {
    let parts = archive::list(&DataFolder::log_of(dir)).unwrap_or_default();
    parts.iter().map(|(part, ..)| part.events()).sum()
}

fn place(args: &VerifyArgs) -> Place {
    match &args.postgres {
        Some(url) => Place::Postgres(Postgres {
            url: url.clone(),
            schema: args.postgres_schema.clone(),
            ca: args.postgres_ca.clone(),
            connections_max: 1,
        }),
        None => Place::Sqlite(args.sqlite.clone().unwrap_or_else(|| DataFolder::read_models(&args.dir))),
    }
}

/// Checks the log of a data folder. The error is a [`Violation`] when the books do not hold.
pub fn verify_dir(dir: &Path) -> anyhow::Result<Summary> {
    let source = Source::open(dir)?;
    Ok(check(&mut |each| source.read(Position(0), each), &mut |_| {})??)
}

type Each<'a> = &'a mut dyn FnMut(Recorded<'_>) -> bool;

/// The outer error is a log that cannot be read, for another reason than damage.
fn check(
    read: &mut dyn FnMut(Each<'_>) -> Result<Position, eventlog::Error>,
    progress: &mut dyn FnMut(u64),
) -> Result<Result<Summary, Violation>, eventlog::Error> {
    let mut books = Books::new();
    let mut found = None;
    let read = read(&mut |event| {
        if event.position.0.is_multiple_of(PROGRESS_EVENTS) {
            progress(event.position.0);
        }
        found = books.apply(event).err();
        found.is_none()
    });
    match (found, read) {
        (Some(violation), _) => Ok(Err(violation)),
        (None, Ok(_)) => Ok(books.finish()),
        (None, Err(error)) => Violation::of_log(&error).map(Err).ok_or(error),
    }
}

fn progress_bar(events: Option<u64>) -> ProgressBar {
    let template = match events {
        Some(_) => "{wide_bar} {human_pos} of {human_len} events, {per_sec}, {eta} left",
        None => "{spinner} {human_pos} events, {per_sec}",
    };
    let style = ProgressStyle::with_template(template).expect("the template is a constant that parses");
    events.map_or_else(ProgressBar::new_spinner, ProgressBar::new).with_style(style)
}

/// What `verify` says of a data folder, for the report of another tool: the books, with the counts or the violation.
pub fn outcome_of(dir: &Path) -> anyhow::Result<Map<String, Value>> {
    let result = match verify_dir(dir) {
        Ok(summary) => Ok(summary),
        Err(error) => Err(error.downcast::<Violation>()?),
    };
    let mut outcome = summary::books(result.as_ref().err().map(|violation| violation.kind));
    outcome.extend(details(&result));
    Ok(outcome)
}

/// The counts, or the violation.
fn details(result: &Result<Summary, Violation>) -> Map<String, Value> {
    match result {
        Ok(summary) => Map::from_iter([("counts".to_owned(), json!(summary))]),
        Err(violation) => Map::from_iter([("violation".to_owned(), json!(violation))]),
    }
}

fn as_json(result: &Result<Summary, Violation>, archived: u64, seconds: f64) -> String {
    let mut report = Report::new("verify");
    report.seconds = seconds;
    report.books = summary::books(result.as_ref().err().map(|violation| violation.kind));
    report.ok = result.is_ok();
    report.more = details(result);
    report.more.insert("archived_events".to_owned(), json!(archived));
    serde_json::to_string(&report).expect("a report is plain data")
}

fn print(result: &Result<Summary, Violation>, archived: u64, seconds: f64) {
    match result {
        Err(violation) => base::terminal::say(format_args!("the books do not hold: {violation}\n")),
        Ok(summary) => {
            for (name, count) in summary.rows() {
                let sign = if count < 0 { "-" } else { "" };
                let count = format!("{sign}{}", HumanCount(count.unsigned_abs() as u64));
                base::terminal::say(format_args!("{name:<20} {count:>22}\n"));
            }
            for account in &summary.accounts {
                let whose = account.organizer.map_or("nobody".to_owned(), |organizer| organizer.to_string());
                let Attributed { charged, spent, refunded, adjusted } = account.points;
                let outstanding = account.outstanding;
                println!(
                    "account of {whose}: charged {charged}, spent {spent}, refunded {refunded}, adjusted {adjusted}, \
                     outstanding {outstanding}"
                );
            }
            for purchase in &summary.in_flight {
                base::terminal::say(format_args!(
                    "in flight: reservation {} waits for {}\n",
                    purchase.reservation, purchase.waits_for
                ));
            }
            if archived > 0 {
                base::terminal::say(format_args!(
                    "{} of the events were read from archive files\n",
                    HumanCount(archived)
                ));
            }
            let rate = HumanCount((summary.events as f64 / seconds.max(1e-9)) as u64);
            base::terminal::say(format_args!("the books hold ({seconds:.1} s, {rate} events/s)\n"));
        }
    }
}
