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

/// Ask again within these, ms; the later one where no more people wait than can ask so often.
const POLL_MS: std::ops::RangeInclusive<u64> = 2_000..=300_000;
/// Nobody is told to ask again only later than that, ms.
const TOLD_MS_MAX: u64 = 2_400_000;
/// Before one's turn there are to be so many polls at least.
const POLLS_AHEAD: u64 = 6;
/// Without a measured speed, and without a policy that says one: as if so many people were let in per second.
const SUPPOSED_PER_S: u64 = 50;
/// All who wait far back ask so many times per second together.
const FAR_POLLS_PER_S: u64 = 5_000;
/// All who wait ask so many times per second together at most.
pub const POLLS_PER_S_MAX: u64 = 20_000;
/// In so long before it opens nobody asks, ms: whoever would is told to come after it.
const BEFORE_OPENING_MS: u64 = 60_000;
/// Those who gathered before it opens come within this at least, ms.
const OPENING_MS_MIN: u64 = 2_000;
/// While they come, those who ask again may ask so many times per second together at least.
const OPENING_POLLS_PER_S_MIN: u64 = POLLS_PER_S_MAX / 5;

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

/// Where somebody stands, as far as it says when they should ask again.
#[derive(Clone, Copy, Debug)]
pub struct Stands {
    pub ticket: u32,
    /// People before them; `None` while there is no order, and of those who do not wait.
    pub rank: Option<u32>,
    pub waiting: u32,
    /// How long they wait at least, if that is known.
    pub wait_ms: Option<u64>,
    pub opens_at_ms: Millis,
    pub is_opened: bool,
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
        let base = (until_open_ms / POLLS_AHEAD).max(u64::from(self.waiting) * 1_000 / FAR_POLLS_PER_S);
        let after_ms = self.spread(base.clamp(*POLL_MS.start(), poll_ms_max(self.waiting)), now);
        if until_open_ms == 0 {
            // It is about to be drawn.
            return self.spread(*POLL_MS.start(), now);
        }
        if after_ms + BEFORE_OPENING_MS <= until_open_ms {
            return after_ms;
        }
        let share = u64::from(self.ticket).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        until_open_ms + ((opening_ms(self.waiting) * share) >> 32)
    }

    fn opened_ms(&self, now: Millis) -> u64 {
        let Some(rank) = self.rank.map(u64::from) else { return self.spread(*POLL_MS.start(), now) };
        let wait_ms = self.wait_ms.unwrap_or(rank * 1_000 / SUPPOSED_PER_S);
        // Never so late that somebody's turn could come meanwhile.
        let far_back = (u64::from(self.waiting) * 1_000 / FAR_POLLS_PER_S).min(wait_ms / 2);
        let base = (wait_ms / POLLS_AHEAD).max(far_back).clamp(*POLL_MS.start(), poll_ms_max(self.waiting));
        let seldom = self.seldom_ms(rank, now);
        self.spread(base.max(seldom.min(poll_ms_max(self.waiting))), now)
    }

    /// How seldom all have to ask, by rank, so that together they do not ask too often.
    fn seldom_ms(&self, rank: u64, now: Millis) -> u64 {
        let after_ms = |per_s| rank * 1_000 / ranks_per_s(self.waiting, per_s);
        let (later, opening_ms) = (after_ms(POLLS_PER_S_MAX), opening_ms(self.waiting));
        let opening_left_ms = (self.opens_at_ms + opening_ms).saturating_sub(now);
        if opening_left_ms == 0 {
            return later;
        }
        let come_per_s = u64::from(self.waiting) * 1_000 / opening_ms;
        let meanwhile = after_ms(POLLS_PER_S_MAX.saturating_sub(come_per_s).max(OPENING_POLLS_PER_S_MIN));
        // Who would ask after those who gathered have come needs to spare them no longer.
        if meanwhile <= opening_left_ms { meanwhile } else { meanwhile.min(opening_left_ms + later) }
    }

    /// Between 80 % and 120 %, another share each time.
    fn spread(&self, base: u64, now: Millis) -> u64 {
        let share = (u64::from(self.ticket) ^ now.rotate_left(20)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        base * 4 / 5 + ((base * 2 / 5 * share) >> 32)
    }
}

/// The longest time that anybody is told, with so many who ever joined, ms.
pub fn told_ms_max(joined: u32) -> u64 {
    let opening = BEFORE_OPENING_MS + opening_ms(joined);
    (poll_ms_max(joined) * 6 / 5 + opening).min(TOLD_MS_MAX)
}

/// How long those take to come who gathered before the queue opened.
fn opening_ms(waiting: u32) -> u64 {
    OPENING_MS_MIN.max(u64::from(waiting) * 1_000 / POLLS_PER_S_MAX)
}

fn poll_ms_max(waiting: u32) -> u64 {
    (*POLL_MS.end()).max(u64::from(waiting) * 1_000 / POLLS_PER_S_MAX)
}

/// Whoever asks again only after the time in which so many people per second would have come before them asks `per_s` times
/// per second together with all others: with k of them that is k, of the 2 k people in front, who ask every 2 s, and k
/// times the logarithm of waiting / 2 k, of all others.
fn ranks_per_s(waiting: u32, per_s: u64) -> u64 {
    let front = per_s as f64 / 5.0;
    let logarithm = (f64::from(waiting) / front).max(1.0).ln();
    (per_s as f64 / (1.0 + logarithm)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    const NOW: Millis = 1_800_000_000_000;
    const OPENS_AT_MS: Millis = NOW - 1_000_000;

    fn stands(rank: u32, waiting: u32, wait_ms: Option<u64>) -> Stands {
        Stands { ticket: rank, rank: Some(rank), waiting, wait_ms, opens_at_ms: OPENS_AT_MS, is_opened: true }
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
            let max = told_ms_max(joined);
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

    /// Polls in the worst second from 120 s before a queue opens to so many seconds after it.
    fn worst_second(people: u32, per_s: u32, measured: bool, seconds: u64) -> u64 {
        let opens_at_ms = NOW + 600_000;
        // Everybody came within the ten minutes before, evenly; whose ticket is whose rank does not matter to anybody.
        let rank_of = |ticket: u32| (u64::from(ticket) * 617_647 % u64::from(people)) as u32;
        let mut due: BinaryHeap<Reverse<(Millis, u32)>> = (0..people)
            .map(|ticket| Reverse((NOW + u64::from(ticket) * 600_000 / u64::from(people), ticket)))
            .collect();
        let mut polls = vec![0_u64; (720 + seconds) as usize];
        while let Some(Reverse((now, ticket))) = due.pop() {
            let Some(second) = polls.get_mut(((now - NOW) / 1_000) as usize) else { break };
            *second += 1;
            let admitted = now.saturating_sub(opens_at_ms) * u64::from(per_s) / 1_000;
            let is_opened = now >= opens_at_ms;
            let Some(rank) = u64::from(rank_of(ticket)).checked_sub(admitted) else { continue };
            let waiting = people - admitted as u32;
            let wait_ms = measured.then(|| rank * 1_000 / u64::from(per_s.max(1)) * 3 / 4);
            let rank = is_opened.then_some(rank as u32);
            let after = Stands { ticket, rank, waiting, wait_ms, opens_at_ms, is_opened }.poll_after_ms(now);
            due.push(Reverse((now + after, ticket)));
        }
        // The joins themselves are not polls that anybody was told.
        polls[480..].iter().copied().max().unwrap_or(0)
    }

    #[test]
    fn a_million_who_gather_are_no_crowd_at_the_opening() {
        for (people, per_s, measured) in
            [(1_000_000, 500, true), (1_000_000, 0, false), (300_000, 5_000, true), (100_000, 2_000, true)]
        {
            let worst = worst_second(people, per_s, measured, 300);
            assert!(worst <= POLLS_PER_S_MAX * 5 / 4, "{worst} polls in a second of {people}, {per_s} per second");
        }
    }
}
