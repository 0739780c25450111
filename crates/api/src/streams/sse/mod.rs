//! Server-sent events: frames that are made once and sent to everyone who watches the same thing.
//!
//! - [`hub`]: who may open a stream, and the thread on which frames are made
//! - [`topic`]: what is watched: the last frames of it, and how a stream that cannot go on with them gets back in step
//! - [`worker_topic`]: the streams of one topic on one HTTP worker, woken a few at a time so that other requests get their turn
//! - [`pace`]: how often a stream is written to
//! - [`stream`]: one connection: the body of its answer; [`personal`]: what it alone is told; [`end`]: its last event
//! - [`text`]: what is sent, compressed once for all
//!
//! Measured on the two cores that this was made on: what a watcher costs is the kernel's work for one write (over loopback
//! 10-13 µs for 500 bytes as for 5,000, with the receiver's half of it), not the waking of a task. So streams are ordinary
//! answers of the HTTP server, and the saving is in writing seldom: streams are spread over [`PHASES`], and each is
//! written to once in a period with all that happened meanwhile. How long writing to all of them takes is measured all
//! the time, and the period follows it. What is written is compressed for another reason: connections' buffers stay as
//! they are. Where thousands of them grew, more time went into new memory than into writing.

mod end;
mod hub;
mod locked;
mod pace;
mod personal;
mod stream;
mod text;
mod topic;
mod worker_topic;

pub use end::{END_ID, End, LAST_EVENT_ID, LastEvent, was_told_of_end};
pub use hub::{Hub, Permit};
pub use pace::{PHASES, Pace};
pub use personal::{Personal, Told};
pub use stream::{Start, answer, head, over};
pub use text::Text;
pub use topic::{CatchUp, Cursor, Frame, Source, Subscription, Topic};
