//! What is told as it changes.

pub mod entry_events;
pub mod opener;
pub mod position_stream;
pub mod sse;
pub mod watch;
pub mod watchers;
