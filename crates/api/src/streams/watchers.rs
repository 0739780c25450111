//! Who watches one performance, and what they were told of late.

use super::sse::{CatchUp, Topic};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Who watches one performance.
#[derive(Default)]
pub struct Watch {
    pub topic: Mutex<Option<Arc<Topic>>>,
    /// What streams got of late that began, came back or had fallen behind, for the next ones.
    pub catch_ups: tokio::sync::Mutex<VecDeque<CachedCatchUp>>,
}

/// A catch-up that others may use.
pub struct CachedCatchUp {
    pub made: Instant,
    /// Of which topic.
    pub topic: u64,
    /// The version that it leads from; `None` when it is everything.
    pub since: Option<u64>,
    pub catch_up: CatchUp,
}

impl CachedCatchUp {
    /// Whether it leads one who is at `at` on, from `from` or later; from nothing, when that is `None`.
    pub fn suits(&self, from: Option<u64>, at: Option<u64>) -> bool {
        let begins_right = match (self.since, from, at) {
            (Some(since), Some(from), Some(at)) => (from..=at).contains(&since),
            (since, from, _) => since.is_none() && from.is_none(),
        };
        begins_right && at.is_none_or(|at| at <= self.catch_up.version)
    }
}
