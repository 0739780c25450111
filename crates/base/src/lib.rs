//! What every other crate stands on; it knows none of them.
//!
//! - [`clock`], [`id`]: the only sources of time and of ids
//! - [`durable`]: files that are there whole after a crash, or not at all
//! - [`process_limits`]: what the operating system lets this process and its threads have
//! - [`tls`]: certificates from files
//! - [`trace_context`]: which trace something belongs to; [`moments`]: what took how long of a request
//! - [`text`]: the forms in which people's texts are kept and compared
//! - [`report`], [`terminal`]: what the tools print

pub mod clock;
pub mod durable;
pub mod id;
pub mod moments;
pub mod process_limits;
pub mod process_usage;
pub mod report;
pub mod terminal;
pub mod text;
pub mod tls;
pub mod trace_context;
