//! The log: the only truth. Events are appended in atomic batches, get dense positions at once, and are durable a
//! moment later; nothing is acknowledged before.
//!
//! - [`frame`]: the bytes of events, of chunks of events and of the hash chain through the chunks
//! - [`memory`]: a log that forgets what was not committed when it "crashes", for tests and the simulator
//! - [`store`]: the durable log of a data folder (journal in front, sled behind)
//! - [`reader`]: the same log for who only reads, and changes nothing
//! - [`mod@sled`]: sled as the tier behind the journal, with everything that is known about its ways
//! - [`archive`]: the first events, where `onsale archive` moved them out of sled to compressed files
//! - [`archive::refill`]: a log that is made of another one's chunks
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
mod log;
pub mod memory;
pub mod reader;
mod recover;
pub mod remote;
pub mod sinks;
pub mod sled;
pub mod snapshot;
mod stats;
pub mod store;
pub mod tail;
mod writer;

pub use log::{Batch, Chunks, Error, Log, OnDurable, Position, Recorded};
