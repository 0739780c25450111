//! The log: the only truth. Events are appended in atomic batches, get dense positions at once, and are durable a
//! moment later; nothing is acknowledged before.
//!
//! - [`frame`]: the bytes of events, of chunks of events and of the hash chain through the chunks
//! - [`memory`]: a log that forgets what was not committed when it "crashes", for tests and the simulator
//! - [`store`]: the durable log of a data folder (journal in front, sled behind)
//! - [`reader`]: the same log for who only reads, and changes nothing
//! - [`mod@sled`]: sled as the tier behind the journal, with everything that is known about its ways
//! - [`archive`]: the first events, where `onsale archive` moved them out of sled to compressed files
//! - [`snapshot`]: files of aggregate states at a position
//! - [`tail`] and [`remote`]: the log of a running server, read by another process
//! - [`feed`]: durable events from a position on, then new ones; [`sinks`]: how far anything is that the log goes out to
//! - [`data_folder`]: who may use the folder that all of this is in

pub mod archive;
pub mod data_folder;
mod failure;
pub mod feed;
pub mod frame;
mod journal;
pub mod memory;
pub mod reader;
mod recover;
pub mod remote;
pub mod sinks;
pub mod sled;
pub mod snapshot;
pub mod store;
pub mod tail;
mod writer;

use base::id::{Millis, StreamId};
use std::fmt;
use std::path::PathBuf;

/// An event's place in the log: 1 for the first, dense. 0 is "before the first".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Position(pub u64);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An event as the log gives it back; borrowed from the chunk it was read from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Recorded<'a> {
    pub position: Position,
    pub stream: StreamId,
    /// The event's number within its stream: 1 for the first, dense.
    pub version: u64,
    pub at_ms: Millis,
    /// The event's name and schema version, e.g. `SeatsHeld.v1`.
    pub name: &'a str,
    /// The event's JSON.
    pub data: &'a [u8],
}

/// Events to append together, already framed: all of them become durable, or none.
#[derive(Default, Clone)]
pub struct Batch {
    pub(crate) frames: Vec<u8>,
    pub(crate) count: u32,
    /// The bytes of the largest frame, so that the log can refuse it without walking the frames.
    pub(crate) largest: usize,
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
pub type Then = Box<dyn FnOnce(Result<Position, Error>) + Send>;

/// What can go wrong with the log. All of these are operational; none is the caller's mistake.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// A write or a sync failed. The process must stop and recover: memory may not run ahead of the log.
    #[error("the log cannot be written: {0}")]
    Failed(String),
    /// Bytes are missing or not what was written.
    #[error("the log is damaged at position {position}: {what}")]
    Damaged { position: Position, what: String },
    /// Events that were moved out of the log's folder, and their archive file cannot be read. Nothing is lost while there
    /// is a copy of it.
    #[error("events {first} to {last} are in the archive file {}, {what}; put it back there, or a link to its folder", .path.display())]
    Away { first: Position, last: Position, path: PathBuf, what: String },
    #[error("the log is in use by another process")]
    InUse,
    #[error("{0}")]
    Other(String),
}

/// An append-only log of events.
///
/// `appended()` ≥ `durable()`; positions are dense; a batch is durable whole or not at all, and batches become durable in
/// the order of their appends.
pub trait Log: Send + Sync {
    /// Appends `batch` and gives the position of its last event (of the last event so far when it is empty: then `then`
    /// waits for everything appended before). Never waits for the disk. After a failed write every call is an error.
    /// When the answer is an error, nothing was appended and `then` is dropped uncalled.
    fn append(&self, batch: Batch, then: Option<Then>) -> Result<Position, Error>;

    /// The position of the last durable event. Never goes back.
    fn durable(&self) -> Position;

    /// The position of the last appended event.
    fn appended(&self) -> Position;

    /// False while too much waits for the disk: the caller should refuse new work for a moment.
    fn has_room(&self) -> bool;

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

fn hash_at(log: &(impl Chunks + ?Sized), position: Position) -> Result<Option<frame::Hash>, Error> {
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
fn read_events(
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
