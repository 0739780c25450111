//! How fast a queue moves, as measured, and what follows from it: when it will be somebody's turn, and when to ask again.

use base::id::Millis;
use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

pub use config::POLLS_PER_S_MAX;

/// What is looked back at, ms.
const WINDOW_MS: Millis = 60_000;
/// Time is counted in parts of so much, ms.
const PART_MS: Millis = 1_000;
/// Below so many ms measured nothing is said.
const MEASURED_MS_MIN: Millis = 5_000;
/// It may be so much faster or slower than it was.
const FASTER: f64 = 0.75;
const SLOWER: f64 = 1.5;

/// Ask again within these, ms; the later one where no more people wait than can ask so often.
const POLL_MS: RangeInclusive<u64> = 2_000..=300_000;
/// Nobody is told to ask again only later than that, ms.
const TOLD_MS_MAX: u64 = 2_400_000;
/// Before one's turn there are to be so many polls at least.
const POLLS_AHEAD: u64 = 6;
/// Without a measured speed, and without a policy that says one: as if so many people were let in per second.
const SUPPOSED_PER_S: u64 = 50;
/// All who wait far back ask this share of the most that all may ask.
const FAR_SHARE: u64 = 4;
/// In so long before it opens nobody asks, ms: whoever would is told to come after it.
const BEFORE_OPENING_MS: u64 = 60_000;
/// Those who gathered before it opens come within this at least, ms.
const OPENING_MS_MIN: u64 = 2_000;
/// No more are expected than so many times those who are there.
pub const EXPECTED_MAX: u32 = 3;
/// While they come, those who ask again may ask this share at least.
const OPENING_SHARE: u64 = 5;
/// Those who are inside ask this share together.
const INSIDE_SHARE: u64 = 5;
/// Who gets no answer asks again after so long at least, ms; and at most after twice as long.
const RETRY_MS_MIN: u64 = 2_000;
/// Who asks for the document that is the same for all asks again within these, as parts of the mean, percent.
const LINE_POLL_PERCENT: RangeInclusive<u64> = 80..=120;
/// And on average after so long at least, ms.
const LINE_POLL_MS_MIN: u64 = 2_500;
/// All who wait ask for it this share together.
const LINE_SHARE: u64 = 2;

/// How many polls a second all who wait in a queue may make together. Clones are the same.
#[derive(Clone, Debug)]
pub struct PollLimit(Arc<AtomicU32>);

impl Default for PollLimit {
    fn default() -> PollLimit {
        PollLimit(Arc::new(AtomicU32::new(POLLS_PER_S_MAX)))
    }
}

impl PollLimit {
    pub fn set(&self, polls_per_s_max: u32) {
        self.0.store(polls_per_s_max.max(1), Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed).into()
    }
}

/// Admissions of the last minute; or arrivals.
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

    /// How many there will be by then, of so many now, if they come as they did.
    pub fn expected(&self, now_there: u32, now: Millis, until_ms: Millis) -> u32 {
        let coming = self.per_s(now).unwrap_or(0.0) * until_ms.saturating_sub(now) as f64 / 1_000.0;
        now_there.saturating_add(coming as u32).min(now_there.saturating_mul(EXPECTED_MAX))
    }

    /// When it will be the turn of somebody with `rank` people before them: at the earliest, at the latest, ms from now.
    pub fn eta_ms(&self, rank: u32, now: Millis) -> Option<(u64, u64)> {
        let wait_ms = f64::from(rank + 1) * 1_000.0 / self.per_s(now)?;
        Some(((wait_ms * FASTER) as u64, (wait_ms * SLOWER) as u64))
    }
}

/// Where somebody stands, as far as it says when they should ask again.
#[derive(Clone, Copy, Debug)]
pub struct Stands {
    pub ticket: u32,
    /// People before them; `None` while there is no order, and of those who do not wait.
    pub rank: Option<u32>,
    pub waiting: u32,
    /// People who will have gathered when it opens, if they come as they did of late.
    pub expected: u32,
    /// People in a session, or expected.
    pub inside: u32,
    /// After so long without a sign of life a session ends, ms.
    pub idle_ms: Option<u64>,
    /// How long they wait at least, if that is known.
    pub wait_ms: Option<u64>,
    pub opens_at_ms: Millis,
    pub is_opened: bool,
    pub polls_per_s_max: u64,
}

impl Stands {
    /// When they should ask again: soon when their turn is near, seldom when it is far, not all together, and not just
    /// before the queue opens.
    pub fn poll_after_ms(&self, now: Millis) -> u64 {
        let after_ms = match self.is_opened {
            true => self.opened_ms(now),
            false => self.gathering_ms(now),
        };
        after_ms.min(TOLD_MS_MAX)
    }

    /// In the pre-queue. Whoever would ask just before it opens comes after it, at a time of their own.
    fn gathering_ms(&self, now: Millis) -> u64 {
        let until_open_ms = self.opens_at_ms.saturating_sub(now);
        if until_open_ms == 0 {
            // It is about to be drawn; those who gathered are still coming.
            return self.spread(self.once_ms().max(*POLL_MS.start()), now);
        }
        let base = (until_open_ms / POLLS_AHEAD).max(self.far_ms());
        let after_ms = self.spread(base.clamp(*POLL_MS.start(), self.poll_ms_max()), now);
        if after_ms + BEFORE_OPENING_MS <= until_open_ms {
            return after_ms;
        }
        let share = u64::from(self.ticket).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        until_open_ms + ((opening_ms(self.expected, self.polls_per_s_max) * share) >> 32)
    }

    fn opened_ms(&self, now: Millis) -> u64 {
        let Some(rank) = self.rank.map(u64::from) else { return self.inside_ms(now) };
        let wait_ms = self.wait_ms.unwrap_or(rank * 1_000 / SUPPOSED_PER_S);
        // Never so late that somebody's turn could come meanwhile.
        let far_back = self.far_ms().min(wait_ms / 2);
        let base = (wait_ms / POLLS_AHEAD).max(far_back).clamp(*POLL_MS.start(), self.poll_ms_max());
        let seldom = self.seldom_ms(rank, now);
        self.spread(base.max(seldom), now)
    }

    /// Of those who do not wait. Whoever is in a session is to be heard of before that counts as left.
    fn inside_ms(&self, now: Millis) -> u64 {
        let shared = all_ms(self.inside, self.polls_per_s_max / INSIDE_SHARE);
        let heard = self.idle_ms.map_or(*POLL_MS.end(), |idle_ms| idle_ms / 2);
        self.spread(shared.min(heard).max(*POLL_MS.start()), now)
    }

    /// How seldom all have to ask, by rank, so that together they do not ask too often.
    fn seldom_ms(&self, rank: u64, now: Millis) -> u64 {
        let after_ms = |per_s| rank * 1_000 / ranks_per_s(self.waiting, per_s);
        let (later, opening_ms) = (after_ms(self.polls_per_s_max), self.opening_ms());
        let opening_left_ms = (self.opens_at_ms + opening_ms).saturating_sub(now);
        if opening_left_ms == 0 {
            return later;
        }
        let come_per_s = u64::from(self.waiting) * 1_000 / opening_ms;
        let beside = self.polls_per_s_max.saturating_sub(come_per_s).max(self.polls_per_s_max / OPENING_SHARE);
        let meanwhile = after_ms(beside);
        // Who would ask after those who gathered have come needs to spare them no longer; also who comes a fifth earlier.
        if meanwhile <= opening_left_ms { meanwhile } else { meanwhile.min(opening_left_ms * 5 / 4 + later) }
    }

    /// Between 80 % and 120 %, another share each time.
    fn spread(&self, base: u64, now: Millis) -> u64 {
        let share = (u64::from(self.ticket) ^ now.rotate_left(20)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        base * 4 / 5 + ((base * 2 / 5 * share) >> 32)
    }

    /// How long all who wait take to ask once.
    fn once_ms(&self) -> u64 {
        all_ms(self.waiting, self.polls_per_s_max)
    }

    fn far_ms(&self) -> u64 {
        all_ms(self.waiting, self.polls_per_s_max / FAR_SHARE)
    }

    fn opening_ms(&self) -> u64 {
        opening_ms(self.waiting, self.polls_per_s_max)
    }

    fn poll_ms_max(&self) -> u64 {
        poll_ms_max(self.waiting, self.polls_per_s_max)
    }
}

/// How long so many people take to ask once, ms.
fn all_ms(people: u32, per_s: u64) -> u64 {
    u64::from(people) * 1_000 / per_s.max(1)
}

/// When to ask again for the document that is the same for all: at a time between these, drawn evenly, ms.
pub fn line_poll_ms(waiting: u32, polls_per_s_max: u64) -> RangeInclusive<u64> {
    let mean_ms = all_ms(waiting, polls_per_s_max / LINE_SHARE).clamp(LINE_POLL_MS_MIN, TOLD_MS_MAX / 2);
    let part = |percent: u64| mean_ms * percent / 100;
    part(*LINE_POLL_PERCENT.start())..=part(*LINE_POLL_PERCENT.end())
}

/// When to ask again where there was no answer: at a time between these, drawn evenly, ms. Were they all to get none at the
/// same instant, the first try of each would be within the limit; and whoever was to come just now comes later than those who
/// are yet to come.
pub fn retry_ms(people: u32, polls_per_s_max: u64) -> RangeInclusive<u64> {
    let least_ms = all_ms(people, polls_per_s_max).clamp(RETRY_MS_MIN, TOLD_MS_MAX / 2);
    least_ms..=least_ms * 2
}

/// How much later than others' those may come who got no answer, where so many joined that they have to wait for long, ms.
pub fn retry_late_ms(joined: u32, polls_per_s_max: u64) -> u64 {
    retry_ms(joined, polls_per_s_max).end() - RETRY_MS_MIN * 2
}

/// The longest time that anybody is told, with so many who ever joined, ms.
pub fn told_ms_max(joined: u32, polls_per_s_max: u64) -> u64 {
    let (opening_ms, expected_ms) =
        (opening_ms(joined, polls_per_s_max), opening_ms(joined.saturating_mul(EXPECTED_MAX), polls_per_s_max));
    let gathering_ms = poll_ms_max(joined, polls_per_s_max) * 6 / 5 + BEFORE_OPENING_MS + expected_ms;
    let last_ms = u64::from(joined) * 1_000 / ranks_per_s(joined, polls_per_s_max);
    gathering_ms.max((last_ms + opening_ms * 5 / 4) * 6 / 5).min(TOLD_MS_MAX)
}

/// How long those take to come who gathered before the queue opened.
fn opening_ms(waiting: u32, polls_per_s_max: u64) -> u64 {
    all_ms(waiting, polls_per_s_max).max(OPENING_MS_MIN)
}

fn poll_ms_max(waiting: u32, polls_per_s_max: u64) -> u64 {
    all_ms(waiting, polls_per_s_max).max(*POLL_MS.end())
}

/// Whoever asks again only after the time in which so many people per second would have come before them asks `per_s` times
/// per second together with all others: with k of them that is k, of the 2 k people in front, who ask every 2 s, and k
/// times the logarithm of waiting / 2 k, of all others.
fn ranks_per_s(waiting: u32, per_s: u64) -> u64 {
    let front = per_s as f64 / 5.0;
    let logarithm = (f64::from(waiting) / front).max(1.0).ln();
    ((per_s as f64 / (1.0 + logarithm)) as u64).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_800_000_000_000;
    const OPENS_AT_MS: Millis = NOW - 1_000_000;

    const LIMIT: u64 = POLLS_PER_S_MAX as u64;

    fn stands(rank: u32, waiting: u32, wait_ms: Option<u64>) -> Stands {
        Stands {
            ticket: rank,
            rank: Some(rank),
            waiting,
            expected: waiting,
            inside: 0,
            idle_ms: None,
            wait_ms,
            opens_at_ms: OPENS_AT_MS,
            is_opened: true,
            polls_per_s_max: LIMIT,
        }
    }

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
            let after = stands(rank, waiting, Some(wait_ms)).poll_after_ms(NOW);
            assert!(after <= wait_ms.max(2_400), "rank {rank} would come {after} ms late of {wait_ms}");
            polls_per_s += 100.0 * 1_000.0 / after as f64;
        }
        assert!(polls_per_s < 12_000.0, "{polls_per_s}");
    }

    #[test]
    fn nobody_comes_late_where_there_is_room_for_all() {
        // 20,000 who gathered, of whom 2,000 are let in per second.
        for rank in 0..20_000 {
            let wait_ms = u64::from(rank) / 2;
            for after_ms in [0, 1_000, 5_000] {
                let after = stands(rank, 20_000, Some(wait_ms)).poll_after_ms(OPENS_AT_MS + after_ms);
                assert!(after <= wait_ms.max(2_400), "rank {rank} would come {after} ms late of {wait_ms}");
            }
        }
    }

    #[test]
    fn those_who_are_yet_to_come_are_expected() {
        let mut arrivals = Measured::default();
        assert_eq!(arrivals.expected(10, NOW, NOW + 60_000), 10);
        (0..60).for_each(|second| arrivals.note(100, NOW + second * 1_000));
        let now = NOW + 60_000;
        let expected = arrivals.expected(6_000, now, now + 60_000);
        assert!((11_800..=12_200).contains(&expected), "{expected}");
        assert_eq!(arrivals.expected(6_000, now, now + 3_600_000), 18_000, "three times as many at most");
        assert_eq!(arrivals.expected(6_000, now, now - 1), 6_000);
    }

    #[test]
    fn not_all_at_once() {
        let after: std::collections::BTreeSet<u64> =
            (0..1000).map(|ticket| Stands { ticket, ..stands(50_000, 100_000, None) }.poll_after_ms(NOW)).collect();
        assert!(after.len() > 900 && after.last().unwrap() > &(after.first().unwrap() * 4 / 3));
    }

    /// Whoever is let in has so long to learn of it that the longest time that is told fits in.
    const _: () = assert!(TOLD_MS_MAX < domain::queue::LEARN_MS_MAX);

    #[test]
    fn nobody_is_told_a_later_time_than_there_is() {
        for joined in [1, 20_000, 1_000_000, 6_000_000, 50_000_000] {
            let max = told_ms_max(joined, LIMIT);
            assert!(max <= TOLD_MS_MAX);
            for rank in [0, joined / 1_000, joined / 2, joined - 1] {
                for wait_ms in [None, Some(0), Some(10_000_000_000)] {
                    let opened = stands(rank, joined, wait_ms);
                    let waits = Stands { rank: None, is_opened: false, ..opened };
                    // Before it opens, when it opens, just after it, and much later.
                    for before in [2_000_000, 470_000, 350_000, 100_000, 59_000, 1, 0] {
                        let told = waits.poll_after_ms(OPENS_AT_MS - before);
                        assert!(told <= max, "{told} ms of {max}, {before} ms before, of {joined}");
                        let lands = told as i64 - before as i64;
                        assert!(before <= 60_000 || !(-60_000..0).contains(&lands), "{lands} ms from the opening");
                    }
                    for after in [0, 40_000, 10_000_000] {
                        let told = opened.poll_after_ms(OPENS_AT_MS + after);
                        assert!((1_600..=max).contains(&told), "{told} ms of {max}, of {joined}");
                    }
                }
            }
        }
    }

    #[test]
    fn those_inside_ask_seldom_where_they_are_many_and_are_heard_of_in_time() {
        for (inside, idle_ms, told) in [
            (100, None, 2_000),
            (8_000, None, 2_000),
            (100_000, None, 25_000),
            (1_000_000, None, 250_000),
            (1_000_000, Some(20_000), 10_000),
            (1_000_000, Some(1_000), 2_000),
        ] {
            let stands = Stands { rank: None, inside, idle_ms, ..stands(7, 0, None) };
            let after = stands.poll_after_ms(NOW);
            assert!((told * 4 / 5..=told * 6 / 5).contains(&after), "{after} of {inside}, {idle_ms:?}");
        }
    }

    #[test]
    fn who_got_no_answer_comes_back_by_and_by() {
        assert_eq!(retry_ms(100, 20_000), 2_000..=4_000);
        assert_eq!(retry_ms(1_000_000, 20_000), 50_000..=100_000);
        assert_eq!((retry_late_ms(100, 20_000), retry_late_ms(1_000_000, 20_000)), (0, 96_000));
        // As long as they try they count as there after a restart.
        for (joined, limit) in [(1, 100), (1_000_000, 20_000), (50_000_000, 100)] {
            assert!(*retry_ms(joined, limit).end() <= told_ms_max(joined, limit));
        }
    }

    #[test]
    fn a_low_limit_is_kept_as_far_as_forty_minutes_go() {
        let polls = |waiting: u32, polls_per_s_max: u64| -> f64 {
            let told = |rank| Stands { polls_per_s_max, ..stands(rank, waiting, None) }.poll_after_ms(NOW);
            (0..waiting).step_by(10).map(|rank| 10.0 * 1_000.0 / told(rank) as f64).sum()
        };
        for (waiting, limit) in [(1_000, 100), (100_000, 100), (1_000_000, 2_000), (1_000_000, 20_000)] {
            let polls = polls(waiting, limit);
            assert!(polls < limit as f64 * 1.25, "{polls} per second of {waiting}, {limit} allowed");
        }
    }
}
