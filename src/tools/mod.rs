//! Tools that look at Onsale from outside: they speak HTTP to a server, their own temporary one unless told otherwise.
//!
//! - [`crowd`]: buyers who race for seats, then a check of the books from outside and from the log
//! - [`benchmark`]: the figures of the README's table, in one run
//! - [`verify`]: checks a log from its own events
//! - [`archive`]: moves a log's old events to compressed files, and back
//! - [`log`]: prints a log's events; [`source`] the log of a data folder, whether a server runs on it or not
//! - [`simulate`]: the actors' plain structs under a seeded simulation
//! - [`admin`]: what an operator does over HTTP, from the shell
//! - [`draw`]: checks the draw of a queue
//! - [`fill`]: data folders of a size, to measure with
//! - [`config`]: the effective configuration
//! - [`read_models`]: keeps, makes anew and lists read models
//! - [`client`]: the HTTP client of both
//! - [`server`]: a temporary server of this very binary, and its scratch folder
//! - [`report`]: the table and the JSON object that both print
//! - [`stats`]: latencies, medians, seeded randomness

pub mod admin;
pub mod archive;
pub mod benchmark;
pub mod client;
pub mod config;
pub mod crowd;
pub mod draw;
pub mod fill;
pub mod log;
pub mod read_models;
pub mod report;
pub mod server;
pub mod simulate;
pub mod source;
pub mod stats;
pub mod verify;
pub mod watch;

use serde_json::{Map, Value};
use std::fmt;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// Verifies the log in `data` as `onsale verify` does; its outcome as JSON.
async fn check_log(data: &Path) -> anyhow::Result<Map<String, Value>> {
    let data = data.to_owned();
    // Off the runtime's thread, because it reads the whole log.
    server::off_thread(move || verify::outcome_of(&data)).await
}

/// Prints to stdout. A reader that has seen enough (`| head`) is no failure.
pub fn print(text: &str) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// A part of what a tool prints. That nobody reads any more must not keep it from its end.
fn say(text: fmt::Arguments<'_>) {
    let _ = std::io::stdout().lock().write_fmt(text);
}
