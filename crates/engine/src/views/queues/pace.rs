//! How fast a queue moves, as measured, and what follows from it: when it will be somebody's turn, and when to ask again.

use base::id::Millis;
use std::collections::VecDeque;

/// What is looked back at, ms.
const WINDOW_MS: Millis = 60_000;
/// Time is counted in parts of so much, ms.
const PART_MS: Millis = 1_000;
/// Below so many ms measured nothing is said.
const MEASURED_MS_MIN: Millis = 5_000;
/// It may be so much faster or slower than it was.
const FASTER: f64 = 0.75;
const SLOWER: f64 = 1.5;

/// Ask again within these, ms.
const POLL_MS: std::ops::RangeInclusive<u64> = 2_000..=300_000;
/// Before one's turn there are to be so many polls at least.
const POLLS_AHEAD: u64 = 6;
/// Without a measured speed: as if so many people were let in per second.
const SUPPOSED_PER_S: u64 = 50;
/// All who wait far back ask so many times per second together.
const POLLS_PER_S: u64 = 5_000;

/// Admissions of the last minute.
#[derive(Default)]
pub struct Measured {
    parts: VecDeque<(Millis, u32)>,
    first_ms: Option<Millis>,
}

impl Measured {
    pub(super) fn note(&mut self, admitted: u32, at_ms: Millis) {
        let part = at_ms / PART_MS;
        self.first_ms.get_or_insert(at_ms);
        match self.parts.back_mut() {
            Some((last, count)) if *last == part => *count += admitted,
            _ => self.parts.push_back((part, admitted)),
        }
        while self.parts.front().is_some_and(|(first, _)| (first + 1) * PART_MS + WINDOW_MS <= at_ms) {
            self.parts.pop_front();
        }
    }

    /// People let in per second; `None` when there is too little to tell from.
    pub fn per_s(&self, now: Millis) -> Option<f64> {
        let measured_ms = now.saturating_sub(self.first_ms?).min(WINDOW_MS);
        if measured_ms < MEASURED_MS_MIN {
            return None;
        }
        let from = now.saturating_sub(WINDOW_MS) / PART_MS;
        let admitted: u32 = self.parts.iter().filter(|(part, _)| *part >= from).map(|(_, count)| count).sum();
        (admitted > 0).then(|| f64::from(admitted) * 1_000.0 / measured_ms as f64)
    }

    /// When it will be the turn of somebody with `rank` people before them: at the earliest, at the latest, ms from now.
    pub fn eta_ms(&self, rank: u32, now: Millis) -> Option<(u64, u64)> {
        let wait_ms = f64::from(rank + 1) * 1_000.0 / self.per_s(now)?;
        Some(((wait_ms * FASTER) as u64, (wait_ms * SLOWER) as u64))
    }
}

/// When somebody should ask again: soon when their turn is near, seldom when it is far, and not all together.
pub fn poll_after_ms(
    ticket: u32,
    rank: Option<u32>,
    waiting: u32,
    eta_ms: Option<(u64, u64)>,
    until_open_ms: Option<u64>,
    now: Millis,
) -> u64 {
    let wait_ms = match (until_open_ms, rank, eta_ms) {
        (Some(until_open_ms), ..) => until_open_ms,
        (None, _, Some((earliest_ms, _))) => earliest_ms,
        (None, Some(rank), None) => u64::from(rank) * 1_000 / SUPPOSED_PER_S,
        (None, None, None) => 0,
    };
    // Never so late that somebody's turn could come meanwhile.
    let seldom = (u64::from(waiting) * 1_000 / POLLS_PER_S).min(wait_ms / 2);
    let base = (wait_ms / POLLS_AHEAD).max(seldom).clamp(*POLL_MS.start(), *POLL_MS.end());
    // Between 80 % and 120 %, another share each time.
    let spread = (u64::from(ticket) ^ now.rotate_left(20)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    base * 4 / 5 + ((base * 2 / 5 * spread) >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_turn_comes_as_fast_as_measured() {
        let mut measured = Measured::default();
        assert_eq!(measured.eta_ms(10, 1_000_000), None);
        for second in 0..30 {
            measured.note(10, 1_000_000 + second * 1_000);
        }
        let per_s = measured.per_s(1_030_000).unwrap();
        assert!((9.5..10.5).contains(&per_s), "{per_s}");
        let (earliest, latest) = measured.eta_ms(99, 1_030_000).unwrap();
        assert!(earliest < 10_000 && latest > 10_000, "{earliest} {latest}");
        assert_eq!(measured.eta_ms(99, 1_200_000), None, "nobody was let in for a while");
    }

    #[test]
    fn a_million_who_wait_are_not_a_million_requests_per_second() {
        let (waiting, per_s) = (1_000_000, 500.0);
        let mut polls_per_s = 0.0;
        for rank in (0..waiting).step_by(100) {
            let wait_ms = (f64::from(rank) * 1_000.0 / per_s) as u64;
            let after = poll_after_ms(rank, Some(rank), waiting, Some((wait_ms, wait_ms * 2)), None, 1_000_000);
            assert!(after <= wait_ms.max(2_400), "rank {rank} would come {after} ms late of {wait_ms}");
            polls_per_s += 100.0 * 1_000.0 / after as f64;
        }
        assert!(polls_per_s < 12_000.0, "{polls_per_s}");
    }

    #[test]
    fn not_all_at_once() {
        let after: std::collections::BTreeSet<u64> =
            (0..1000).map(|ticket| poll_after_ms(ticket, Some(50_000), 100_000, None, None, 7)).collect();
        assert!(after.len() > 900 && after.last().unwrap() > &(after.first().unwrap() * 4 / 3));
    }
}
