//! What tries Onsale out: from outside over HTTP, and the shards' plain structs under a simulation.
//!
//! - [`crowd`]: buyers who race for seats, then a check of the books from outside and from the log
//! - [`benchmark`]: the figures of docs/performance.md, in one run
//! - [`simulate`]: the shards' plain structs under a seeded simulation
//! - [`fill`]: data folders of a size, to measure with
//! - [`client`], [`watch`]: the HTTP client of both, and streams
//! - [`server`]: a temporary server of this very binary, and its scratch folder
//! - [`stats`]: latencies, medians, seeded randomness

pub mod benchmark;
pub mod client;
pub mod crowd;
pub mod fill;
pub mod server;
pub mod simulate;
pub mod stats;
pub mod watch;

use serde_json::{Map, Value};
use std::path::Path;

/// Verifies the log in `data` as `onsale verify` does; its outcome as JSON.
async fn check_log(data: &Path) -> anyhow::Result<Map<String, Value>> {
    let data = data.to_owned();
    // Off the runtime's thread, because it reads the whole log.
    server::off_thread(move || verifier::outcome_of(&data)).await
}
