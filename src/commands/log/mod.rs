//! `onsale log`: events as JSON lines, from a data folder that a server runs on or not.

#[cfg(test)]
mod tests;

use crate::commands::instant::rfc3339;
use anyhow::{Context, bail};
use base::id::{Category, StreamId};
use eventlog::data_folder::{self, DataFolder};
use eventlog::remote::{Remote, Step};
use eventlog::{Position, Recorded};
use serde::Serialize;
use serde_json::value::RawValue;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use verifier::source::Source;

/// How often `--follow` looks for a server.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What `onsale log` is told.
#[derive(clap::Args, Debug)]
pub struct LogArgs {
    /// The data folder, of a running server or of none.
    pub dir: PathBuf,
    /// Only this stream, e.g. wallet-0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000.
    #[arg(long)]
    pub stream: Option<String>,
    /// Only events of this type: SeatsHeld or SeatsHeld.v1.
    #[arg(long = "type")]
    pub kind: Option<String>,
    /// Only events after this position.
    #[arg(long, default_value_t = 0)]
    pub after: u64,
    /// At most so many events.
    #[arg(long)]
    pub limit: Option<u64>,
    /// Go on with what happens, until interrupted. Waits for a server where none runs.
    #[arg(long)]
    pub follow: bool,
}

/// Prints events. A reader that goes away (`| head`) ends it quietly.
pub fn run(args: LogArgs) -> anyhow::Result<ExitCode> {
    let out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let mut printer = Printer::new(&args, out)?;
    let printed = if args.follow { follow(&args.dir, &mut printer) } else { print_once(&args.dir, &mut printer) };
    match printed.and_then(|()| Ok(printer.out.flush()?)) {
        Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
        printed => printed.map(|()| ExitCode::SUCCESS),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Prints what is there.
fn print_once(dir: &Path, printer: &mut Printer<impl Write>) -> anyhow::Result<()> {
    if printer.is_done() {
        return Ok(());
    }
    let source = Source::open(dir)?;
    let read = source.read(printer.at, &mut |event| printer.print(event));
    printer.take_error()?;
    read?;
    Ok(())
}

/// Prints what is there and then what happens, across the server's restarts.
fn follow(dir: &Path, printer: &mut Printer<impl Write>) -> anyhow::Result<()> {
    let socket = DataFolder::socket(dir);
    if Remote::connect(&socket).is_err() {
        match DataFolder::open_to_read(dir) {
            // A server that is starting.
            Err(data_folder::Error::InUse(_)) => {}
            Err(error) => return Err(error.into()),
            // No server: what is there is printed, and the folder is free again for one to start.
            Ok(folder) => {
                drop(folder);
                print_once(dir, printer)?;
                printer.out.flush()?;
            }
        }
    }
    while !printer.is_done() {
        let Ok(remote) = Remote::connect(&socket) else {
            std::thread::sleep(LOOK_EVERY);
            continue;
        };
        let read = remote.read_from(printer.at, true, &mut |step| match step {
            Step::Event(event) => printer.print(event),
            Step::CaughtUp => printer.flush(),
        });
        printer.take_error()?;
        match read {
            Err(error @ eventlog::Error::Damaged { .. }) => return Err(error.into()),
            // The server has gone: it may come back.
            Err(_) => std::thread::sleep(LOOK_EVERY),
            Ok(_) => {}
        }
    }
    Ok(())
}

/// Prints the events that are wanted.
struct Printer<W> {
    out: W,
    stream: Option<StreamId>,
    kind: Option<String>,
    left: u64,
    /// The last event that was looked at.
    at: Position,
    error: Option<anyhow::Error>,
}

#[derive(Serialize)]
struct Line<'a> {
    position: u64,
    stream: String,
    version: u64,
    #[serde(rename = "type")]
    kind: &'a str,
    at: String,
    data: &'a RawValue,
}

impl<W: Write> Printer<W> {
    fn new(args: &LogArgs, out: W) -> anyhow::Result<Printer<W>> {
        let stream =
            args.stream.as_deref().map(|name| name.parse().map_err(|error| anyhow::anyhow!("--stream: {error}")));
        if let Some(kind) = &args.kind
            && !known_types().iter().any(|name| is_of(name, kind))
        {
            bail!("--type: no event is called {kind:?}; there are {}", known_types().join(", "));
        }
        Ok(Printer {
            out,
            stream: stream.transpose()?,
            kind: args.kind.clone(),
            left: args.limit.unwrap_or(u64::MAX),
            at: Position(args.after),
            error: None,
        })
    }

    fn is_done(&self) -> bool {
        self.left == 0
    }

    /// Whether more is wanted.
    fn print(&mut self, event: Recorded<'_>) -> bool {
        self.at = event.position;
        let wanted = self.stream.is_none_or(|stream| stream == event.stream)
            && self.kind.as_deref().is_none_or(|kind| is_of(event.name, kind));
        if wanted {
            self.error = self.write(&event).err();
            self.left -= 1;
        }
        self.left > 0 && self.error.is_none()
    }

    fn flush(&mut self) -> bool {
        self.error = self.out.flush().err().map(Into::into);
        self.error.is_none()
    }

    fn write(&mut self, event: &Recorded<'_>) -> anyhow::Result<()> {
        let data = serde_json::from_slice(event.data)
            .with_context(|| format!("the event at position {} is not JSON", event.position))?;
        let line = Line {
            position: event.position.0,
            stream: event.stream.to_string(),
            version: event.version,
            kind: event.name,
            at: rfc3339(event.at_ms),
            data,
        };
        let mut text = serde_json::to_vec(&line)?;
        text.push(b'\n');
        Ok(self.out.write_all(&text)?)
    }

    fn take_error(&mut self) -> anyhow::Result<()> {
        self.error.take().map_or(Ok(()), Err)
    }
}

/// `SeatsHeld` is every version of it, `SeatsHeld.v1` the one.
fn is_of(name: &str, kind: &str) -> bool {
    name == kind || name.rsplit_once(".v").is_some_and(|(name, _)| name == kind)
}

fn known_types() -> Vec<&'static str> {
    Category::ALL.into_iter().flat_map(domain::event_names).copied().collect()
}
