//! What can go wrong with the log.

use super::event::Position;
use std::path::PathBuf;

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
