//! `onsale projections`: which tables are live, how far they are, and what could not be applied.

use super::rebuild::{self, RebuildArgs};
use super::{Events, From, Setup};
use ::config::Flags;
use anyhow::bail;
use readmodels::checkpoints::{self, Build, Parked, State};
use readmodels::source::Source;
use serde_json::{Value, json};
use std::process::ExitCode;

/// What `onsale projections` is told.
#[derive(clap::Args, Debug)]
pub struct ListArgs {
    #[command(subcommand)]
    pub command: Option<ListCommand>,
    /// One JSON object on the last line of stdout instead of a table
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub flags: Flags,
}

#[derive(clap::Subcommand, Debug)]
pub enum ListCommand {
    /// Apply what was parked: makes the projection anew, because later events rest on earlier ones
    Retry {
        name: String,
        #[command(flatten)]
        flags: Flags,
    },
    /// Check projections' files without a database
    Check {
        #[command(flatten)]
        flags: Flags,
    },
}

/// Prints, or does what the subcommand says. Exit code 1 when a projection is not live or has parked events.
pub fn run(args: ListArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        Some(ListCommand::Retry { name, flags }) => retry(name, flags),
        Some(ListCommand::Check { flags }) => {
            let setup = Setup::of(&flags)?;
            base::terminal::say(format_args!("{} projections make sense\n", setup.projections.len()));
            Ok(ExitCode::SUCCESS)
        }
        None => list(&args.flags, args.json),
    }
}

fn retry(name: String, flags: Flags) -> anyhow::Result<ExitCode> {
    let setup = Setup::of(&flags)?;
    let mut store = setup.place.open()?;
    if !checkpoints::exist(&mut *store)? {
        bail!("there are no read models in {}", setup.place);
    }
    let live = checkpoints::read(&mut *store)?.live(&name).map(|live| live.number);
    let parked = checkpoints::parked(&mut *store)?;
    let waiting = parked.iter().filter(|parked| parked.projection == name && Some(parked.build) == live).count();
    if waiting == 0 {
        bail!("{name} has no parked events");
    }
    drop(store);
    eprintln!("{name}: making it anew with its {waiting} parked events");
    rebuild::run(&RebuildArgs { names: vec![name], all: false, afresh: true, rollback: false, from: From::Log, flags })
}

fn list(flags: &Flags, as_json: bool) -> anyhow::Result<ExitCode> {
    let setup = Setup::of(flags)?;
    let mut store = setup.place.open_to_read()?;
    if !checkpoints::exist(&mut *store)? {
        bail!("there are no read models in {} yet", setup.place);
    }
    let found = checkpoints::read(&mut *store)?;
    let parked = checkpoints::parked(&mut *store)?;
    // The log's end is not known where its folder cannot be read from here.
    let dir = setup.config.data.clone();
    let end = Events::open(&dir).ok().and_then(|events| {
        let mut source: Box<dyn Source> = events.opener()().ok()?;
        source.end().ok()
    });
    let at = |build: &Build| if build.state == State::Live { found.position } else { build.position };
    let mut well = true;
    let mut rows = Vec::new();
    for projection in &setup.projections {
        well &= found.live(&projection.name).is_some();
    }
    for build in &found.builds {
        let of = |parked: &&Parked| parked.projection == build.projection.name && parked.build == build.number;
        let waiting: Vec<&Parked> = parked.iter().filter(of).collect();
        well &= build.state != State::Failed && (build.state != State::Live || waiting.is_empty());
        let lag = end.map(|end| end.0.saturating_sub(at(build).0));
        rows.push(json!({
            "projection": build.projection.name, "version": build.projection.version, "build": build.number,
            "state": build.state.as_str(), "position": at(build).0, "lag_events": lag, "reason": build.reason,
            "parked": waiting.iter().map(|parked| json!({
                "position": parked.position.0, "stream": parked.stream_id, "type": parked.kind, "reason": parked.reason,
            })).collect::<Vec<_>>(),
        }));
    }
    if as_json {
        let report = json!({"tool": "projections", "place": setup.place.to_string(), "ok": well, "projections": rows});
        base::terminal::say(format_args!("{report}\n"));
    } else {
        base::terminal::say(format_args!("{}", table(&rows)));
    }
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn table(rows: &[Value]) -> String {
    let shown = |value: &Value| match value {
        Value::Null => "?".to_owned(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    let mut text = format!(
        "{:24} {:>7} {:>5} {:8} {:>12} {:>8} {:>6}\n",
        "projection", "version", "build", "state", "position", "lag", "parked"
    );
    for row in rows {
        let parked = row["parked"].as_array().map_or(0, Vec::len);
        text += &format!(
            "{:24} {:>7} {:>5} {:8} {:>12} {:>8} {parked:>6}\n",
            shown(&row["projection"]),
            shown(&row["version"]),
            shown(&row["build"]),
            shown(&row["state"]),
            shown(&row["position"]),
            shown(&row["lag_events"]),
        );
    }
    for row in rows {
        if let Some(reason) = row["reason"].as_str() {
            text += &format!("{} failed: {reason}\n", shown(&row["projection"]));
        }
        for parked in row["parked"].as_array().into_iter().flatten() {
            text += &format!(
                "{}: the event at {}, {}, is parked: {}\n",
                shown(&row["projection"]),
                shown(&parked["position"]),
                shown(&parked["type"]),
                shown(&parked["reason"]),
            );
        }
    }
    text
}
