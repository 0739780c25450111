//! `onsale doctor`: looks at the machine before a sale, and says what to do.
//!
//! - [`check`]: what a look found
//! - [`machine`]: disk, memory, files, clock
//! - [`settings`]: what does not fit together, certificate and key
//! - [`others`]: Kafka, PostgreSQL, the backup's place

mod check;
mod machine;
mod others;
mod settings;

use ::config::Flags;
use base::report::{Report, grouped, table};
use base::terminal::say;
use check::{Check, State};
use serde_json::json;
use std::process::ExitCode;
use std::time::Instant;

/// What `onsale doctor` is told.
#[derive(clap::Args, Debug)]
pub struct DoctorArgs {
    /// Places that are for sale
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub seats: u64,
    /// People who come, in the queue and for seats
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub people: u64,
    /// Warnings are failures, too: exit code 1
    #[arg(long)]
    pub strict: bool,
    /// One JSON object on the last line of stdout instead of a table
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub flags: Flags,
}

/// Looks at everything. Nothing of it is changed, but for a file of 1 MiB beside the log, which has no name.
pub fn run(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let loaded = config::load(&args.flags, std::env::vars_os())?;
    let started = Instant::now();
    let config = &loaded.serve;
    let mut checks = machine::look(config, args.seats, args.people);
    checks.extend(settings::look(&loaded, args.people));
    checks.extend(others::look(config));
    let worst = checks.iter().map(|check| check.state).max().unwrap_or(State::Ok);
    let failed = worst == State::Failure || (args.strict && worst == State::Warning);
    if args.json {
        let mut report = Report::new("doctor");
        (report.seconds, report.ok) = (started.elapsed().as_secs_f64(), !failed);
        report.more.insert("checks".into(), json!(checks));
        report.more.insert("seats".into(), json!(args.seats));
        report.more.insert("people".into(), json!(args.people));
        say(format_args!("{}\n", serde_json::to_string(&report)?));
    } else {
        say(format_args!("{}", text(&checks, args)));
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn text(checks: &[Check], args: &DoctorArgs) -> String {
    let rows: Vec<Vec<String>> =
        checks.iter().map(|check| vec![check.state.as_str().into(), check.name.into()]).collect();
    // Sentences at the end of each line stay to the left.
    let mut text = String::new();
    for (line, check) in table(&rows).lines().zip(checks) {
        text += &format!("{line}  {}\n", check.found);
        if !check.todo.is_empty() {
            text += &format!("         -> {}\n", check.todo);
        }
    }
    let count = |state| checks.iter().filter(|check| check.state == state).count();
    text + &format!(
        "for {} places and {} people: {} failures, {} warnings\n",
        grouped(args.seats),
        grouped(args.people),
        count(State::Failure),
        count(State::Warning),
    )
}
