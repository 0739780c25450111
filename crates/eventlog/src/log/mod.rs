//! What a log is: events are appended in batches, and become durable in order.

mod error;
mod event;
pub(crate) mod origins;

pub use error::Error;
pub use event::{Position, Recorded};

use crate::frame;
use base::id::{Millis, StreamId};
use base::moments::Moments;
use base::trace_context::TraceContext;
use std::sync::Arc;

/// Events to append together, already framed: all of them become durable, or none.
#[derive(Default, Clone)]
pub struct Batch {
    pub(crate) frames: Vec<u8>,
    pub(crate) count: u32,
    /// The bytes of the largest frame, so that the log can refuse it without walking the frames.
    pub(crate) largest: usize,
    /// Of the command that they come from, where somebody wants to know.
    pub(crate) moments: Option<Arc<Moments>>,
}

impl Batch {
    pub fn new() -> Batch {
        Batch::default()
    }

    /// With room for `bytes` of events.
    pub fn with_capacity(bytes: usize) -> Batch {
        Batch { frames: Vec::with_capacity(bytes), ..Batch::default() }
    }

    /// Adds an event; `write` appends its JSON.
    pub fn push(
        &mut self,
        stream: StreamId,
        version: u64,
        at_ms: Millis,
        name: &str,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let start = self.frames.len();
        frame::write_event(&mut self.frames, stream, version, at_ms, name, write);
        self.largest = self.largest.max(self.frames.len() - start);
        self.count += 1;
    }

    /// Whose moments the log notes, and whose origin it remembers for a while. Neither is stored.
    pub fn follow(&mut self, moments: Option<Arc<Moments>>) {
        self.moments = moments;
    }

    pub fn count(&self) -> u32 {
        self.count
    }

    pub fn bytes(&self) -> usize {
        self.frames.len()
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// An error when it cannot be one record of a log that takes `bytes_max` of frames at once.
    pub(crate) fn check(&self, bytes_max: usize) -> Result<(), Error> {
        let event_max = frame::EVENT_BYTES_MAX;
        if self.largest > event_max {
            return Err(Error::Other(format!("an event of {} bytes: at most {event_max} fit", self.largest)));
        }
        if self.frames.len() > bytes_max {
            return Err(Error::Other(format!("a batch of {} bytes: at most {bytes_max} fit", self.frames.len())));
        }
        Ok(())
    }
}

/// Runs once the log knows: `Ok`, with the position that `append` gave, when everything up to there is durable; `Err` when
/// it never will be.
/// Runs on the log's thread: it must be short and must not block.
pub type OnDurable = Box<dyn FnOnce(Result<Position, Error>) + Send>;

/// An append-only log of events.
///
/// `appended()` ≥ `durable()`; positions are dense; a batch is durable whole or not at all, and batches become durable in
/// the order of their appends.
pub trait Log: Send + Sync {
    /// Appends `batch` and gives the position of its last event (of the last event so far when it is empty: then `then`
    /// waits for everything appended before). Never waits for the disk. After a failed write every call is an error.
    /// When the answer is an error, nothing was appended and `then` is dropped uncalled.
    fn append(&self, batch: Batch, then: Option<OnDurable>) -> Result<Position, Error>;

    /// The position of the last durable event. Never goes back.
    fn durable(&self) -> Position;

    /// The position of the last appended event.
    fn appended(&self) -> Position;

    /// False while too much waits for the disk: the caller should refuse new work for a moment.
    fn has_room(&self) -> bool;

    /// What the event at `position` was told to come from: of the last ones that were appended to this log since it was
    /// opened, and that came with one.
    fn origin(&self, _position: Position) -> Option<Arc<TraceContext>> {
        None
    }

    /// Calls `each` with every durable event after `after`, in order, until it returns false; checks bytes and chain on
    /// the way. Gives the position of the last event it was called with (`after` when there was none).
    fn read_from(&self, after: Position, each: &mut dyn FnMut(Recorded<'_>) -> bool) -> Result<Position, Error>;

    /// The same for one stream. Scans, unless the implementation knows better.
    fn read_stream(&self, stream: StreamId, each: &mut dyn FnMut(Recorded<'_>) -> bool) -> Result<(), Error> {
        self.read_from(Position(0), &mut |event| event.stream != stream || each(event)).map(|_| ())
    }
}

/// A log whose chunks can be had as they are: for other processes, and for checking without decoding.
pub trait Chunks: Log {
    /// Calls `each` with every durable chunk from the one that holds the event after `after`, until it returns false.
    /// CRC, contiguity and the hash chain are checked on the way.
    fn read_chunks(&self, after: Position, each: &mut dyn FnMut(frame::Chunk<'_>) -> bool) -> Result<(), Error>;

    /// The hash of the chunk that ends with the event at `position`; `None` when none does.
    fn hash_at(&self, position: Position) -> Result<Option<frame::Hash>, Error> {
        hash_at(self, position)
    }
}

pub(crate) fn hash_at(log: &(impl Chunks + ?Sized), position: Position) -> Result<Option<frame::Hash>, Error> {
    let mut hash = None;
    if position == Position(0) {
        return Ok(Some(frame::Hash::default()));
    }
    log.read_chunks(Position(position.0 - 1), &mut |chunk| {
        hash = (chunk.last() == position).then(|| chunk.hash());
        false
    })?;
    Ok(hash)
}

/// [`Log::read_from`] on top of [`Chunks::read_chunks`].
pub(crate) fn read_events(
    log: &(impl Chunks + ?Sized),
    after: Position,
    each: &mut dyn FnMut(Recorded<'_>) -> bool,
) -> Result<Position, Error> {
    let mut at = after;
    let mut failed = None;
    log.read_chunks(after, &mut |chunk| match chunk.deliver(at, each) {
        Ok((last, more)) => {
            at = last.unwrap_or(at);
            more
        }
        Err(error) => {
            failed = Some(error);
            false
        }
    })?;
    failed.map_or(Ok(at), Err)
}
