//! What one stream is told beside what all streams of its topic are told.

use super::{End, Text};
use std::task::Waker;

/// Somebody's own part of a stream. It lives as long as the stream does.
pub trait Personal {
    /// What is new. Asked before anything else whenever the stream may send; `waker` is woken when there is more.
    fn next(&mut self, waker: &Waker) -> Told;

    /// What the others were told meanwhile is gone: the next event has to tell all of it.
    fn again(&mut self);

    /// The connection took something.
    fn taken(&mut self);
}

/// What comes next.
pub enum Told {
    Nothing,
    /// An event, and the version where one is with it.
    Event {
        version: u64,
        text: Text,
    },
    /// The stream is to end.
    End(End),
}
