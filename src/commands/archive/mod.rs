//! `onsale archive`: moves a log's old events into compressed files, and back.
//!
//! - [`bounds`]: which events have to stay

mod bounds;

use ::config::{Flags, Serve};
use anyhow::{Context, bail};
use base::report::Report;
use bounds::Bound;
use engine::ledger;
use engine::lifecycle::snapshots;
use eventlog::archive::{self, Part, relocate};
use eventlog::data_folder::DataFolder;
use eventlog::store::{Options, Store};
use eventlog::{Log, Position};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// What `onsale archive` is told.
#[derive(clap::Args, Debug)]
pub struct ArchiveArgs {
    /// Events of so many days stay where they are
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    pub keep_days: u32,
    /// Folder for archive files, on a larger disk for example; the log keeps a link to it [default: log/archive in the data
    /// folder]
    #[arg(long, value_name = "FOLDER")]
    pub to: Option<PathBuf>,
    /// Move events back into the log: those of this archive file and of all after it; of all of them, without FILE
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = ".", conflicts_with_all = ["keep_days", "to"])]
    pub restore: Option<PathBuf>,
    /// List the archive files; also while a server runs
    #[arg(long, conflicts_with_all = ["restore", "keep_days", "to"])]
    pub list: bool,
    /// One JSON object on the last line of stdout instead of a table
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub flags: Flags,
}

/// Moves events, or lists where they are. An error when a server runs on the folder.
pub fn run(args: &ArchiveArgs) -> anyhow::Result<ExitCode> {
    let config = config::load(&args.flags, std::env::vars_os())?.serve;
    let started = Instant::now();
    let mut report = Report::new("archive");
    let told = if args.list {
        list(&config.data)?
    } else {
        let folder = DataFolder::open(&config.data)?;
        if !folder.log().is_dir() {
            bail!("{} has no log yet", config.data.display());
        }
        match &args.restore {
            Some(from) => restore(&folder, &config, from)?,
            None => archive(&folder, &config, args)?,
        }
    };
    report.seconds = started.elapsed().as_secs_f64();
    report.ok = told.ok;
    if let Value::Object(more) = told.json {
        report.more = more;
    }
    let text = if args.json { serde_json::to_string(&report)? + "\n" } else { told.text };
    base::terminal::say(format_args!("{text}"));
    Ok(if told.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What was done, for people and for scripts.
struct Told {
    text: String,
    json: Value,
    ok: bool,
}

fn archive(folder: &DataFolder, config: &Serve, args: &ArchiveArgs) -> anyhow::Result<Told> {
    let store = open(folder, config)?;
    let (first, end) = (store.first(), store.durable());
    let bound = bounds::lowest(bounds::of(config, folder, &store, args.keep_days)?, end);
    if bound.position < first {
        store.close()?;
        let text = format!("nothing was archived: {}\n", bound.why);
        return Ok(Told {
            text,
            json: json!({"archived_events": 0, "kept_because": bound.why, "files": []}),
            ok: true,
        });
    }
    keep_up(folder, &store, bound.position)?;
    store.close()?;
    drop(store);
    if let Some(to) = &args.to {
        link(&folder.log(), to)?;
    }
    let bar = progress_bar(first, end);
    let moved = relocate::archive(&folder.log(), bound.position, &options(&bar));
    bar.finish_and_clear();
    let moved = moved.inspect_err(|_| tidy(folder))?;
    Ok(told_of(&moved, &folder.log(), &bound, end))
}

fn open(folder: &DataFolder, config: &Serve) -> anyhow::Result<Store> {
    let on_failure = Box::new(|what| eprintln!("onsale: {what}"));
    let known = folder.known_log();
    let options = Options { journal_bytes: config.journal_bytes, known, on_failure, ..Options::default() };
    Ok(Store::open(&folder.log(), options)?.0)
}

/// Brings what a start would otherwise read old events for up to them: a snapshot and the ledger's copy. Then archive files
/// may be anywhere.
fn keep_up(folder: &DataFolder, store: &Store, up_to: Position) -> anyhow::Result<()> {
    let newest = snapshots::newest(&folder.snapshots(), store)?;
    if newest.as_ref().is_none_or(|newest| newest.position() < up_to) {
        snapshots::make(store, newest, &folder.snapshots(), &AtomicBool::new(false))?
            .context("a snapshot that was just written cannot be read")?;
    }
    let at = ledger::catch_up(store, store.id(), folder.ledger())?;
    if at < up_to {
        bail!("{} cannot be written; nothing was archived", folder.ledger().display());
    }
    Ok(())
}

fn options(bar: &ProgressBar) -> relocate::Options {
    let bar = bar.clone();
    relocate::Options { progress: Box::new(move |at| bar.set_position(at.0)), ..relocate::Options::default() }
}

/// Gives back the room of what was begun.
fn tidy(folder: &DataFolder) {
    if let Err(error) = relocate::settle(&folder.log()) {
        eprintln!("onsale: {error}; the next start goes on from there");
    }
}

/// Makes `to` the folder of archive files of the log in `log`.
fn link(log: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    let to = to.canonicalize().with_context(|| to.display().to_string())?;
    base::durable::sync_names(&to).with_context(|| to.display().to_string())?;
    let link = archive::folder(log);
    if link.symlink_metadata().is_err() {
        std::os::unix::fs::symlink(&to, &link).with_context(|| link.display().to_string())?;
        return std::fs::File::open(log).and_then(|log| log.sync_all()).with_context(|| log.display().to_string());
    }
    if link.canonicalize().ok().as_ref() != Some(&to) {
        let (is, to) = (link.display(), to.display());
        bail!(
            "archive files are in {is} already: move them to {to}, put a link to it in their place, and leave --to out"
        );
    }
    Ok(())
}

fn told_of(moved: &relocate::Shifted, log: &Path, bound: &Bound, end: Position) -> Told {
    let (Some(first), Some(last)) = (moved.parts.first(), moved.parts.last()) else {
        let why = format!("the chunk of events that {} is in stays whole", bound.position);
        let text = format!("nothing was archived: {why}\n");
        return Told { text, json: json!({"archived_events": 0, "kept_because": why, "files": []}), ok: true };
    };
    let events: u64 = moved.parts.iter().map(Part::events).sum();
    let file_bytes = moved.parts.iter().map(|part| part.file_bytes).sum();
    let chunk_bytes = moved.parts.iter().map(|part| part.chunk_bytes).sum();
    let stay = end.0 - last.last.0;
    let text = format!(
        "archived    {} events, {} to {}\n\
         files       {} in {}: {} for {} of events\n\
         log         {}, was {}\n\
         stays       {} of {} events: {}\n",
        HumanCount(events),
        first.first,
        last.last,
        moved.parts.len(),
        archive::folder(log).display(),
        HumanBytes(file_bytes),
        HumanBytes(chunk_bytes),
        HumanBytes(moved.after_bytes),
        HumanBytes(moved.before_bytes),
        HumanCount(stay),
        HumanCount(end.0),
        bound.why,
    );
    let json = json!({
        "archived_events": events, "first": first.first, "last": last.last, "file_bytes": file_bytes,
        "chunk_bytes": chunk_bytes, "log_bytes": moved.after_bytes, "log_bytes_before": moved.before_bytes,
        "kept_events": stay, "kept_because": bound.why, "files": moved.parts.iter().map(as_json).collect::<Vec<_>>(),
    });
    Told { text, json, ok: true }
}

fn as_json(part: &Part) -> Value {
    json!({
        "name": part.name(), "first": part.first, "last": part.last, "file_bytes": part.file_bytes,
        "chunk_bytes": part.chunk_bytes,
    })
}

fn restore(folder: &DataFolder, config: &Serve, from: &Path) -> anyhow::Result<Told> {
    let store = open(folder, config)?;
    let end = store.durable();
    store.close()?;
    drop(store);
    let log = folder.log();
    let parts = archive::list(&log)?;
    let Some((oldest, ..)) = parts.first() else { bail!("{} has no archive files", folder.path().display()) };
    let first = match from.file_name() {
        None => oldest.first,
        Some(name) => match parts.iter().find(|(part, ..)| *part.name() == *name) {
            Some((part, ..)) => part.first,
            None => bail!("{} is no archive file of this log; onsale archive --list names them", from.display()),
        },
    };
    let bar = progress_bar(first, end);
    let moved = relocate::restore(&log, first, &options(&bar));
    bar.finish_and_clear();
    let moved = moved.inspect_err(|_| tidy(folder))?;
    let events: u64 = moved.parts.iter().map(Part::events).sum();
    let text = format!(
        "moved back  {} events, {first} to {}\n\
         log         {}, was {}\n\
         not needed  {} files in {}: delete them when you like\n",
        HumanCount(events),
        moved.parts.last().map_or(first, |part| part.last),
        HumanBytes(moved.after_bytes),
        HumanBytes(moved.before_bytes),
        moved.parts.len(),
        archive::folder(&log).display(),
    );
    let json = json!({
        "restored_events": events, "log_bytes": moved.after_bytes, "log_bytes_before": moved.before_bytes,
        "files": moved.parts.iter().map(as_json).collect::<Vec<_>>(),
    });
    Ok(Told { text, json, ok: true })
}

fn list(data: &Path) -> anyhow::Result<Told> {
    let log = DataFolder::log_of(data);
    if !log.is_dir() {
        bail!("{} has no log", data.display());
    }
    let parts = archive::list(&log)?;
    let mut text = String::new();
    let mut files = Vec::new();
    for (part, path, there) in &parts {
        let state = if *there { "there" } else { "NOT THERE" };
        let (events, bytes) = (HumanCount(part.events()).to_string(), HumanBytes(part.file_bytes).to_string());
        text += &format!("{events:>14} events {bytes:>12}  {state:9}  {}\n", path.display());
        let mut file = as_json(part);
        file["there"] = json!(there);
        files.push(file);
    }
    if parts.is_empty() {
        text = "no events are archived\n".into();
    }
    let ok = parts.iter().all(|(_, _, there)| *there);
    Ok(Told { text, json: json!({"files": files}), ok })
}

fn progress_bar(first: Position, end: Position) -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_bar} {human_pos} of {human_len} events, {eta} left");
    let bar = ProgressBar::new(end.0).with_style(style.expect("the template is a constant that parses"));
    bar.set_position(first.0);
    bar.reset_eta();
    bar
}
