//! Onsale: queues the crowd fairly, sells each seat exactly once, takes payment in points, keeps every change as an event.

pub mod actors;
pub mod app;
pub mod clock;
pub mod config;
pub mod data;
pub mod demo;
pub mod domain;
pub mod feed;
pub mod http;
pub mod id;
pub mod identity;
pub mod kafka;
pub mod ledger;
pub mod limits;
pub mod log;
pub mod metrics;
pub mod outputs;
pub mod passwords;
pub mod schema;
pub mod secrets;
pub mod serve;
pub mod signing;
pub mod tls;
pub mod tools;
pub mod vault;
