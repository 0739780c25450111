//! How figures are made.

use prometheus::{IntCounter, IntGauge};

/// Figures that are to be registered.
pub(super) type Collectors = Vec<Box<dyn prometheus::core::Collector>>;

pub(super) fn expect<T>(made: prometheus::Result<T>) -> T {
    made.expect("names and labels are constants that fit")
}

pub(super) fn counter(name: &str, help: &str) -> IntCounter {
    expect(IntCounter::new(name, help))
}

pub(super) fn gauge(name: &str, help: &str) -> IntGauge {
    expect(IntGauge::new(name, help))
}
