//! Events as the log gives them back, and their places.

use base::id::{Millis, StreamId};
use std::fmt;

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
