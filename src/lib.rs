//! Onsale: queues the crowd fairly, sells each seat exactly once, takes payment in points, keeps every change as an event.

pub mod actors;
pub mod app;
pub mod clock;
pub mod data;
pub mod domain;
pub mod id;
pub mod log;
pub mod schema;
pub mod tools;
