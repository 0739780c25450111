//! How many people may be let in: so many in an interval, so many inside at a time, or by hand.

use crate::event::recorded;
use base::id::Millis;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Admissions in one interval.
pub const RATE_COUNT: std::ops::RangeInclusive<u32> = 1..=100_000;
/// Length of an interval, s.
pub const RATE_INTERVAL_S: std::ops::RangeInclusive<u32> = 1..=3_600;
/// People inside at a time.
pub const ACTIVE: std::ops::RangeInclusive<u32> = 1..=1_000_000;
/// Admissions may be made up for that could have been made in this time, ms: what a tick brings, and not more.
const PACE_MS: Millis = 1_000;
/// Parts of an interval by which admissions are remembered.
const PARTS: Millis = 1_000;

recorded! {
    /// Who is let in, and when.
    #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct Policy {
        /// So many, evenly, and never more in any interval of that length.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub rate: Option<Rate>,
        /// So many inside at a time, admitted ones who have not come yet included.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub max_active: Option<u32>,
        /// Nobody is let in but by the organizer's call.
        #[serde(default)]
        pub manual: bool,
    }

    /// So many people in a time.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    pub struct Rate {
        pub count: u32,
        pub interval_s: u32,
    }
}

impl Policy {
    /// Why the policy makes no sense: the field, and what it should be.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        match self {
            Policy { manual: true, rate: Some(_), .. } => {
                Err(("policy.rate", "must be left out of a manual policy: nobody is let in by itself there".into()))
            }
            Policy { manual: false, rate: None, max_active: None } => Err((
                "policy",
                "give rate, max_active or both; or manual: true, to let people in by POST …/admissions".into(),
            )),
            Policy { rate: Some(rate), .. } if !RATE_COUNT.contains(&rate.count) => {
                Err(("policy.rate.count", format!("must be {RATE_COUNT:?} people")))
            }
            Policy { rate: Some(rate), .. } if !RATE_INTERVAL_S.contains(&rate.interval_s) => {
                Err(("policy.rate.interval_s", format!("must be {RATE_INTERVAL_S:?} seconds")))
            }
            Policy { max_active: Some(max), .. } if !ACTIVE.contains(max) => {
                Err(("policy.max_active", format!("must be {ACTIVE:?} people")))
            }
            _ => Ok(()),
        }
    }
}

impl Rate {
    fn interval_ms(self) -> Millis {
        Millis::from(self.interval_s) * 1_000
    }
}

/// What was admitted lately: so that no interval ever sees more than the rate allows, and they come evenly.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pace {
    /// The parts of the last interval in which somebody was admitted: when the part ends, and how many.
    recent: VecDeque<(Millis, u32)>,
    /// When the next one is due if all come evenly.
    due: Due,
}

/// An instant as a fraction, so that nothing is lost by rounding: `numerator / denominator` ms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Due {
    numerator: u64,
    denominator: u64,
}

impl Default for Due {
    fn default() -> Due {
        Due { numerator: 0, denominator: 1 }
    }
}

impl Pace {
    /// How many may be admitted at `now`.
    pub fn allows(&self, rate: Rate, now: Millis) -> u32 {
        let (count, interval) = (u64::from(rate.count), rate.interval_ms());
        // At least one admission's time, or there would never be one.
        let ahead = PACE_MS.max(interval.div_ceil(count));
        let due = self.due_by(count).max(now * count);
        let evenly = ((now + ahead) * count).saturating_sub(due) / interval;
        let recent: u64 = self.recent.iter().filter(|(end, _)| *end + interval > now).map(|(_, n)| u64::from(*n)).sum();
        evenly.min(count.saturating_sub(recent)) as u32
    }

    /// `admitted` people were let in at `now`.
    pub fn note(&mut self, rate: Rate, admitted: u32, now: Millis) {
        let (count, interval) = (u64::from(rate.count), rate.interval_ms());
        let due = self.due_by(count).max(now * count) + u64::from(admitted) * interval;
        self.due = Due { numerator: due, denominator: count };
        let part = (interval / PARTS).max(1);
        // The part's end: they are remembered a little too long rather than too short.
        let end = (now / part + 1) * part - 1;
        match self.recent.back_mut() {
            Some((last, n)) if *last == end => *n += admitted,
            _ => self.recent.push_back((end, admitted)),
        }
        while self.recent.front().is_some_and(|(end, _)| *end + interval <= now) {
            self.recent.pop_front();
        }
    }

    /// The instant that is due, in parts of `count` to the millisecond; rounded up.
    fn due_by(&self, count: u64) -> u64 {
        if self.due.denominator == count {
            self.due.numerator
        } else {
            self.due.numerator.div_ceil(self.due.denominator) * count
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(count: u32, interval_s: u32) -> Rate {
        Rate { count, interval_s }
    }

    /// Takes whatever is allowed at each of these instants; what was taken, and when.
    fn run(pace: &mut Pace, rate: Rate, at: impl Iterator<Item = Millis>) -> Vec<(Millis, u32)> {
        let mut taken = Vec::new();
        for now in at {
            let allowed = pace.allows(rate, now);
            if allowed > 0 {
                pace.note(rate, allowed, now);
                taken.push((now, allowed));
            }
        }
        taken
    }

    #[track_caller]
    fn check(taken: &[(Millis, u32)], rate: Rate) {
        for (index, (at, _)) in taken.iter().enumerate() {
            let window = taken[index..].iter().take_while(|(later, _)| later - at < rate.interval_ms());
            let sum: u32 = window.map(|(_, n)| n).sum();
            assert!(sum <= rate.count, "{sum} within {} s from {at}", rate.interval_s);
        }
    }

    /// When the next one may be admitted, at the earliest, if nobody may at `now`.
    fn next_at(pace: &Pace, rate: Rate, now: Millis) -> Millis {
        let (count, interval) = (u64::from(rate.count), rate.interval_ms());
        let ahead = PACE_MS.max(interval.div_ceil(count));
        let evenly = (pace.due_by(count) + interval).div_ceil(count).saturating_sub(ahead);
        let mut left: u64 = pace.recent.iter().map(|(_, n)| u64::from(*n)).sum();
        let mut at = now;
        for (end, n) in &pace.recent {
            if left < count {
                break;
            }
            left -= u64::from(*n);
            at = *end + interval;
        }
        at.max(evenly).max(now)
    }

    #[test]
    fn no_interval_sees_more_than_the_rate() {
        for (count, interval_s) in [(1, 1), (1, 60), (7, 1), (100, 60), (1000, 1), (333, 10), (100_000, 1), (5, 3600)] {
            let rate = rate(count, interval_s);
            let end = 1_000_000 + rate.interval_ms() * 3;
            let mut pace = Pace::default();
            let taken = run(&mut pace, rate, (1_000_000..end).step_by(100));
            check(&taken, rate);
            let sum: u32 = taken.iter().map(|(_, n)| n).sum();
            assert!(sum >= count * 3 * 95 / 100, "{count} in {interval_s} s: only {sum} in three intervals");
        }
    }

    #[test]
    fn what_was_not_used_is_not_saved_up() {
        let rate = rate(60, 60);
        let mut pace = Pace::default();
        run(&mut pace, rate, [1_000_000].into_iter());
        assert_eq!(pace.allows(rate, 2_000_000), 1);
        assert_eq!(next_at(&pace, rate, 1_000_000), 1_001_000);
    }

    #[test]
    fn a_clock_that_goes_back_lets_nobody_in_twice() {
        let rate = rate(10, 10);
        let mut pace = Pace::default();
        let before = run(&mut pace, rate, (1_000_000..1_010_000).step_by(100));
        assert_eq!(before.iter().map(|(_, n)| n).sum::<u32>(), 10);
        assert!(run(&mut pace, rate, (900_000..1_009_000).step_by(100)).is_empty());
    }

    #[test]
    fn another_rate_forgets_nothing() {
        let mut pace = Pace::default();
        let mut taken = Vec::new();
        for (step, now) in (1_000_000..1_060_000).step_by(100).enumerate() {
            let rate = rate(if step % 2 == 0 { 60 } else { 61 }, 60);
            taken.extend(run(&mut pace, rate, [now].into_iter()));
        }
        assert!(taken.iter().map(|(_, n)| n).sum::<u32>() <= 61);
    }

    #[test]
    fn the_next_one_comes_when_it_is_said() {
        for (count, interval_s) in [(1, 1), (100, 60), (7, 3), (5, 3600)] {
            let rate = rate(count, interval_s);
            let mut pace = Pace::default();
            let mut now = 1_000_000;
            for _ in 0..50 {
                let allowed = pace.allows(rate, now);
                assert!(allowed > 0, "{count} in {interval_s} s at {now}");
                pace.note(rate, allowed, now);
                let next = next_at(&pace, rate, now);
                assert!(
                    next > now && pace.allows(rate, next - 1) == 0,
                    "{count} in {interval_s} s: earlier than {next}"
                );
                now = next;
            }
        }
    }

    #[test]
    fn policies_that_make_no_sense() {
        let policy = |rate, max_active, manual| Policy { rate, max_active, manual };
        let table = [
            (policy(None, None, false), Some("policy")),
            (policy(Some(rate(1, 1)), None, true), Some("policy.rate")),
            (policy(Some(rate(0, 1)), None, false), Some("policy.rate.count")),
            (policy(Some(rate(100_001, 1)), None, false), Some("policy.rate.count")),
            (policy(Some(rate(1, 0)), None, false), Some("policy.rate.interval_s")),
            (policy(Some(rate(1, 3601)), None, false), Some("policy.rate.interval_s")),
            (policy(None, Some(0), false), Some("policy.max_active")),
            (policy(None, Some(1_000_001), true), Some("policy.max_active")),
            (policy(None, None, true), None),
            (policy(None, Some(5), true), None),
            (policy(Some(rate(5, 5)), Some(5), false), None),
        ];
        for (policy, field) in table {
            assert_eq!(policy.check().err().map(|(field, _)| field), field, "{policy:?}");
        }
    }
}
