//! How a queue goes, in numbers.

use crate::views::queues::eta_accuracy::Estimates;
use base::id::Millis;
use domain::queue::State;
use domain::queue::order::Counts;

/// A queue in numbers.
#[derive(Clone, Debug)]
pub struct Statistics {
    pub at_ms: Millis,
    pub version: u64,
    pub state: State,
    pub opened: bool,
    /// Ever.
    pub joined: u32,
    pub counts: Counts,
    /// Of those who wait, who gave a sign of life of late.
    pub present: u32,
    /// People let in per second, as measured.
    pub per_s: Option<f64>,
    /// Of the one whose turn is next.
    pub longest_wait_ms: Option<Millis>,
    pub estimates: Estimates,
}
