//! What became of traces.

use super::figure::{Collectors, counter, expect};
use prometheus::{IntCounter, IntCounterVec, Opts};
use std::sync::atomic::Ordering::Relaxed;

pub struct Traces {
    sent: IntCounter,
    dropped: IntCounterVec,
}

impl Traces {
    pub(super) fn new() -> Traces {
        let dropped = Opts::new(
            "onsale_traces_dropped_total",
            "Traces of requests that were not sent: over the limit (`limit`), the queue was full (`queue_full`), the \
             collector did not take them (`refused`)",
        );
        Traces {
            sent: counter("onsale_traces_sent_total", "Traces of requests that the collector took"),
            dropped: expect(IntCounterVec::new(dropped, &["reason"])),
        }
    }

    pub(super) fn collectors(&self) -> Collectors {
        vec![Box::new(self.sent.clone()), Box::new(self.dropped.clone())]
    }

    /// How it is now. Only one scrape at a time may tell it.
    pub fn set(&self, figures: &traces::Figures) {
        let tell = |counter: &IntCounter, now: u64| counter.inc_by(now.saturating_sub(counter.get()));
        tell(&self.sent, figures.sent.load(Relaxed));
        for (reason, now) in
            [("limit", &figures.limited), ("queue_full", &figures.queue_full), ("refused", &figures.refused)]
        {
            tell(&self.dropped.with_label_values(&[reason]), now.load(Relaxed));
        }
    }
}
