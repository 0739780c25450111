//! For operators, programs and those who write them.

pub mod docs;
pub mod health;
pub mod inherited;
pub mod metrics;
pub mod noop;
pub mod openapi;
pub mod server;
