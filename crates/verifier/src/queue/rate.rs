//! How many were let in lately.

use base::id::Millis;
use domain::queue::policy::Rate;
use std::collections::VecDeque;

/// Admissions of the last interval, in the order of time.
#[derive(Default)]
pub struct Window {
    recent: VecDeque<(Millis, u32)>,
    sum: u64,
}

impl Window {
    /// So many are let in `at`; gives how many that makes within the rate's interval around it.
    pub fn admit(&mut self, rate: Rate, at: Millis, count: u32) -> u64 {
        let interval = Millis::from(rate.interval_s) * 1_000;
        let latest = self.recent.back().map_or(at, |(last, _)| at.max(*last));
        while let Some((first, many)) = self.recent.front().copied().filter(|(first, _)| first + interval <= latest) {
            if first == at {
                break;
            }
            self.recent.pop_front();
            self.sum -= u64::from(many);
        }
        // A clock that was set back: it has its place among the others all the same.
        let place = self.recent.partition_point(|(before, _)| *before < at);
        match self.recent.get_mut(place) {
            Some((same, many)) if *same == at => *many += count,
            _ => self.recent.insert(place, (at, count)),
        }
        self.sum += u64::from(count);
        let beside = self.recent.iter().skip(place).take_while(|(other, _)| *other < at + interval);
        match at + interval > latest {
            true => self.sum,
            false => beside.map(|(_, many)| u64::from(*many)).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_interval_is_counted() {
        let rate = Rate { count: 5, interval_s: 1 };
        let mut window = Window::default();
        let table = [
            // at, how many, in the interval
            (10_000, 2, 2),
            (10_000, 1, 3),
            (10_999, 1, 4),
            (11_000, 1, 2),
            // Set back, within the interval and before it.
            (10_500, 1, 3),
            (9_000, 1, 1),
            (11_998, 1, 3),
            (20_000, 7, 7),
        ];
        for (at, count, within) in table {
            assert_eq!(window.admit(rate, at, count), within, "at {at}");
        }
    }
}
