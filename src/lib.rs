//! Onsale: queues the crowd fairly, sells each seat exactly once, takes payment in points, keeps every change as an event.

pub mod clock;
pub mod feed;
pub mod id;
pub mod log;
