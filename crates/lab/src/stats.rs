//! Numbers about numbers: latencies, medians, seeded randomness.

use hdrhistogram::Histogram;
use std::time::Duration;

/// Latencies of one kind of request, from 1 µs to 5 minutes at three significant digits.
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Latencies(Histogram::new_with_bounds(1, 300_000_000, 3).expect("bounds in order"))
    }
}

impl Latencies {
    /// Adds one; what is longer than 5 minutes counts as 5 minutes.
    pub fn record(&mut self, took: Duration) {
        self.0.saturating_record((took.as_micros() as u64).max(1));
    }

    /// Adds all of `other`.
    pub fn add(&mut self, other: &Latencies) {
        self.0.add(&other.0).expect("same bounds");
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The latency in milliseconds that `share` (0.99: 99 %) of the requests did not exceed; 0 when there were none.
    pub fn percentile_ms(&self, share: f64) -> f64 {
        if self.0.is_empty() { 0.0 } else { self.0.value_at_quantile(share) as f64 / 1000.0 }
    }
}

/// The middle of `values` (of an even number: the mean of the two in the middle); 0 when there are none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

/// The next number of a generator in this state (SplitMix64; Steele, Lea and Flood).
pub fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Seeded randomness ([`split_mix`]): the same seed gives the same numbers on every machine. Not for secrets.
#[derive(Clone)]
pub struct Rng(u64);

impl Rng {
    /// The generator of `seed`'s stream number `stream`, e.g. one stream a buyer.
    pub fn new(seed: u64, stream: u64) -> Rng {
        let mut rng = Rng(seed ^ stream.wrapping_mul(0xd134_2543_de82_ef95));
        rng.draw();
        rng
    }

    pub fn draw(&mut self) -> u64 {
        split_mix(&mut self.0)
    }

    /// A number below `n`; `n` must not be 0.
    pub fn below(&mut self, n: usize) -> usize {
        (self.draw() % n as u64) as usize
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.draw() % 100 < percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_a_plain_sort() {
        let mut latencies = Latencies::default();
        for ms in (1..=1000u64).rev() {
            latencies.record(Duration::from_millis(ms));
        }
        for (share, want) in [(0.5, 500.0), (0.95, 950.0), (0.99, 990.0), (1.0, 1000.0)] {
            let got = latencies.percentile_ms(share);
            assert!((got - want).abs() <= want * 0.002, "p{share}: {got}, not {want}");
        }
        assert_eq!(latencies.count(), 1000);
        assert_eq!(Latencies::default().percentile_ms(0.99), 0.0);
    }

    #[test]
    fn latencies_beyond_the_scale_are_kept_at_its_ends() {
        let mut latencies = Latencies::default();
        latencies.record(Duration::ZERO);
        latencies.record(Duration::from_secs(3600));
        assert_eq!(latencies.count(), 2);
        assert!((latencies.percentile_ms(1.0) - 300_000.0).abs() < 300.0);
    }

    #[test]
    fn medians() {
        for (values, want) in [(&[][..], 0.0), (&[7.0], 7.0), (&[9.0, 1.0], 5.0), (&[3.0, 100.0, 1.0], 3.0)] {
            assert_eq!(median(values), want, "{values:?}");
        }
    }

    #[test]
    fn a_seed_repeats_itself_and_its_streams_differ() {
        let draw = |seed, stream| {
            let mut rng = Rng::new(seed, stream);
            [rng.draw(), rng.draw(), rng.draw()]
        };
        assert_eq!(draw(7, 1), draw(7, 1));
        assert_ne!(draw(7, 1), draw(7, 2));
        assert_ne!(draw(7, 1), draw(8, 1));
    }
}
