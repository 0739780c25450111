//! Where events come from: this process' log, the log of a running server, or [`kafka`]; [`Ahead`] reads on while others work.

pub mod kafka;

use super::event::{Event, Rows};
use super::{Error, Kind};
use eventlog::feed::Feed;
use eventlog::remote::{Remote, Step};
use eventlog::{Log, Position};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Events after a position, in order. It blocks, so it belongs on a thread of its own.
pub trait Source: Send {
    /// The log's identity.
    fn log_id(&self) -> Uuid;
    /// Up to where there are events.
    fn end(&mut self) -> Result<Position, Error>;
    /// The next events after `after`, from at most `events_max` of the log and up to `to`, and up to which position that is:
    /// not all of them may leave. Does not wait.
    fn read(&mut self, after: Position, to: Position, events_max: usize) -> Result<(Vec<Event>, Position), Error>;
    /// Waits until there is something after `after`, at most `timeout`.
    fn wait(&mut self, after: Position, timeout: Duration) -> Result<(), Error>;
    /// What it means that tables are at `at` and the events end at `end`, before.
    fn is_behind(&self, at: Position, end: Position) -> Error {
        Error::refused(format!(
            "the read model is at position {at}, the log ends at {end}: was the log put back from a copy? Drop the read model"
        ))
    }
}

/// The log of this process.
pub struct Local {
    log: Arc<dyn Log>,
    log_id: Uuid,
    rows: Rows,
}

impl Local {
    pub fn new(log: Arc<dyn Log>, log_id: Uuid) -> Local {
        Local { log, log_id, rows: Rows::default() }
    }
}

impl Source for Local {
    fn log_id(&self) -> Uuid {
        self.log_id
    }

    fn end(&mut self) -> Result<Position, Error> {
        Ok(self.log.durable())
    }

    fn read(&mut self, after: Position, to: Position, events_max: usize) -> Result<(Vec<Event>, Position), Error> {
        let mut feed = Feed::new(self.log.clone(), after);
        let events_max = events_max.min(to.0.saturating_sub(after.0) as usize);
        let mut events = Vec::with_capacity(events_max);
        let rows = &mut self.rows;
        let read = feed.poll(events_max, &mut |event| {
            events.push(rows.row(&event));
            true
        });
        read.map_err(|error| unreadable(&error))?;
        Ok((events, feed.position()))
    }

    fn wait(&mut self, after: Position, timeout: Duration) -> Result<(), Error> {
        Feed::new(self.log.clone(), after).wait(timeout);
        Ok(())
    }
}

/// A log that cannot be read; the server itself stops when its own cannot.
pub fn unreadable(error: &eventlog::Error) -> Error {
    Error::new(Kind::Away, format!("reading the log: {error}"))
}

/// The log of a running server, over its socket.
pub struct Running {
    remote: Remote,
    log_id: Uuid,
    rows: Rows,
}

impl Running {
    /// An error when no server runs there.
    pub fn connect(socket: &Path, log_id: Uuid) -> Result<Running, Error> {
        let remote = Remote::connect(socket).map_err(|error| unreadable(&error))?;
        Ok(Running { remote, log_id, rows: Rows::default() })
    }
}

impl Source for Running {
    fn log_id(&self) -> Uuid {
        self.log_id
    }

    fn end(&mut self) -> Result<Position, Error> {
        self.remote.durable().map_err(|error| unreadable(&error))
    }

    fn read(&mut self, after: Position, to: Position, events_max: usize) -> Result<(Vec<Event>, Position), Error> {
        let to = to.min(Position(after.0.saturating_add(events_max as u64)));
        if to <= after {
            return Ok((Vec::new(), after));
        }
        let (mut events, mut at) = (Vec::new(), after);
        let rows = &mut self.rows;
        let read = self.remote.read_from(after, false, &mut |step| match step {
            Step::Event(event) => {
                events.push(rows.row(&event));
                at = event.position;
                at < to
            }
            Step::CaughtUp => true,
        });
        read.map_err(|error| unreadable(&error))?;
        Ok((events, at))
    }

    fn wait(&mut self, after: Position, timeout: Duration) -> Result<(), Error> {
        let start = Instant::now();
        while start.elapsed() < timeout && self.end()? <= after {
            std::thread::sleep(ASK_EVERY.min(timeout));
        }
        Ok(())
    }
}

/// How often a server is asked whether there is more.
const ASK_EVERY: Duration = Duration::from_millis(20);
/// Batches that are read before they are wanted.
const AHEAD_BATCHES_MAX: usize = 2;

type Batch = Result<(Position, Vec<Event>, Position), Error>;

/// A source that reads on, on a thread of its own, while what it gave is worked on.
pub struct Ahead {
    open: Box<dyn Fn() -> Result<Box<dyn Source>, Error> + Send>,
    source: Box<dyn Source>,
    batches: Option<Receiver<Batch>>,
    /// A batch that was read and not given yet.
    next: Option<(Position, Vec<Event>, Position)>,
}

impl Ahead {
    /// `open` makes the source, once for each thread.
    pub fn new(open: impl Fn() -> Result<Box<dyn Source>, Error> + Send + 'static) -> Result<Ahead, Error> {
        Ok(Ahead { source: open()?, open: Box::new(open), batches: None, next: None })
    }

    fn start(&mut self, after: Position, events_max: usize) -> Result<(), Error> {
        let (send, batches) = sync_channel(AHEAD_BATCHES_MAX);
        let source = (self.open)()?;
        let thread = std::thread::Builder::new().name("read-ahead".into());
        thread
            .spawn(move || read_on(source, after, events_max, &send))
            .map_err(|error| Error::new(Kind::Away, format!("cannot start a thread: {error}")))?;
        (self.batches, self.next) = (Some(batches), None);
        Ok(())
    }
}

fn read_on(mut source: Box<dyn Source>, mut after: Position, events_max: usize, send: &SyncSender<Batch>) {
    loop {
        let read = source.end().and_then(|end| source.read(after, end, events_max));
        let batch = read.map(|(events, to)| (after, events, to));
        let to = batch.as_ref().map_or(after, |(.., to)| *to);
        if to == after && batch.is_ok() {
            // Nothing new; whoever reads may have gone meanwhile, which only sending tells.
            if source.wait(after, ASK_EVERY).is_err() || send.try_send(Ok((after, Vec::new(), after))).is_err_and(gone)
            {
                return;
            }
            continue;
        }
        let failed = batch.is_err();
        if send.send(batch).is_err() || failed {
            return;
        }
        after = to;
    }
}

fn gone<T>(error: std::sync::mpsc::TrySendError<T>) -> bool {
    matches!(error, std::sync::mpsc::TrySendError::Disconnected(_))
}

impl Source for Ahead {
    fn log_id(&self) -> Uuid {
        self.source.log_id()
    }

    fn end(&mut self) -> Result<Position, Error> {
        self.source.end()
    }

    fn read(&mut self, after: Position, to: Position, events_max: usize) -> Result<(Vec<Event>, Position), Error> {
        if to <= after {
            return Ok((Vec::new(), after));
        }
        loop {
            if let Some((from, events, last)) = self.next.take() {
                if from == after && last > from {
                    return Ok(self.give(from, events, last, to));
                }
                if from != after {
                    self.batches = None;
                }
            }
            let Some(batches) = &self.batches else {
                self.start(after, events_max)?;
                continue;
            };
            match batches.recv_timeout(PATIENCE) {
                Ok(batch) => self.next = Some(batch?),
                Err(RecvTimeoutError::Timeout) => return Ok((Vec::new(), after)),
                Err(RecvTimeoutError::Disconnected) => self.batches = None,
            }
        }
    }

    fn wait(&mut self, after: Position, timeout: Duration) -> Result<(), Error> {
        self.source.wait(after, timeout)
    }

    fn is_behind(&self, at: Position, end: Position) -> Error {
        self.source.is_behind(at, end)
    }
}

/// How long a batch may take to be read.
const PATIENCE: Duration = Duration::from_secs(30);

impl Ahead {
    /// What of a batch is up to `to`; the rest is kept.
    fn give(&mut self, from: Position, mut events: Vec<Event>, last: Position, to: Position) -> (Vec<Event>, Position) {
        if last <= to {
            return (events, last);
        }
        debug_assert!(from < to);
        let rest = events.split_off(events.partition_point(|event| event.position <= to));
        self.next = Some((to, rest, last));
        (events, to)
    }
}
