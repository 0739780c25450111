//! What is counted of a log.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// One commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommitInfo {
    pub events: u64,
    /// The bytes written to the journal.
    pub bytes: u64,
    /// How long the sync took.
    pub sync: Duration,
}

/// Sums over all commits since the log was opened.
#[derive(Default, Debug)]
pub struct StoreStats {
    pub commits: AtomicU64,
    pub events: AtomicU64,
    /// Bytes written to the journal.
    pub bytes: AtomicU64,
    pub sync_ns: AtomicU64,
}

impl StoreStats {
    pub(crate) fn count(&self, info: &CommitInfo) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.events.fetch_add(info.events, Ordering::Relaxed);
        self.bytes.fetch_add(info.bytes, Ordering::Relaxed);
        self.sync_ns.fetch_add(info.sync.as_nanos() as u64, Ordering::Relaxed);
    }
}
