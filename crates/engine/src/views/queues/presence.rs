//! Who is there, and when they were told to ask again: in memory only, from polls and streams.
//!
//! It is one number for each person, and three rules rest on it, so that they fit together: whoever asks when they were told
//! to is never away; the time to come of somebody whose turn it is begins when they were told to ask again; and from the
//! instant at which that is decided until it is shown, whoever asks is told to ask again soon.

use base::id::Millis;
use domain::queue::order::Standing;
use domain::queue::order::chunked_vec::Pieces;
use std::sync::atomic::{AtomicU16, Ordering};

/// Somebody who waits is away when they are so much later than they were told to ask again, ms.
pub const LATE_MS: u64 = 15_000;
/// Whoever joined, or was restored, has so long for a sign of life, ms; so have sessions after a start.
pub const FIRST_MS: u64 = 60_000;
/// Somebody has learned that it is their turn so long after they were told to ask again, ms: their request takes its time,
/// and if it comes just before the log has taken their turn they are told to ask again in [`SOON_MS`].
const LEARN_MS: u64 = 5_000;
/// When somebody whose turn was decided, and is not shown yet, is told to ask again, ms.
const SOON_MS: u64 = 2_000;

/// Instants are kept in steps of so much since a beginning that moves along, ms; rounded up, in people's favour. Two bytes for
/// each of millions.
const STEP_MS: Millis = 2_000;
/// The beginning is at least so long ago: no session may be silent for longer.
const BACK_MS: Millis = 90_000_000;
/// And at most so long: what is told to somebody now, at most some minutes ahead, still has a number.
const BACK_MS_MAX: Millis = 120_000_000;
/// Instead of a step: it is their turn, and they have yet to learn of it.
const SUMMONED: u16 = u16::MAX;

/// By ticket: until when silence means nothing. Of those in a session: the last sign of life.
#[derive(Default)]
pub struct Heard {
    began_ms: Millis,
    steps: Pieces<AtomicU16>,
}

impl Heard {
    /// Of so many people at the start: what they were told is not known, only that it was `told_ms_max` at most.
    pub fn of(joined: u32, told_ms_max: u64, now: Millis) -> Heard {
        let mut heard = Heard { began_ms: began_ms(now), ..Heard::default() };
        let step = heard.step(now + told_ms_max + LATE_MS);
        (0..joined).for_each(|_| heard.steps.push(AtomicU16::new(step)));
        heard
    }

    /// One more.
    pub fn join(&mut self, now: Millis) {
        self.move_along(now);
        let step = self.step(now + FIRST_MS);
        self.steps.push(AtomicU16::new(step));
    }

    /// A sign of life. Whoever waits is to be told to give the next one in `next_ms`; gives what they are to be told.
    pub fn note(&self, ticket: u32, standing: Standing, next_ms: u64, now: Millis) -> u64 {
        let Some(heard) = self.at(ticket) else { return next_ms };
        match standing {
            Standing::Active => heard.store(self.step(now), Ordering::Relaxed),
            Standing::Admitted => {}
            _ => {
                let step = self.step(now + next_ms + LATE_MS);
                let unless_summoned = |before: u16| (before != SUMMONED).then_some(step);
                if heard.fetch_update(Ordering::Relaxed, Ordering::Relaxed, unless_summoned).is_err() {
                    return next_ms.min(SOON_MS);
                }
            }
        }
        next_ms
    }

    /// Whether there is something to be noted of somebody.
    pub fn knows(&self, ticket: u32) -> bool {
        self.at(ticket).is_some()
    }

    /// It is somebody's turn: when they will have learned of it, if they ask when they were told to.
    pub fn summon(&self, ticket: u32, now: Millis) -> Millis {
        // Whoever asks has been told before this, and counts, or is told after it, and then soon.
        let before = self.at(ticket).map_or(0, |heard| heard.swap(SUMMONED, Ordering::Relaxed));
        let told_ms = if before == SUMMONED { now } else { self.instant(before).saturating_sub(LATE_MS) };
        told_ms.max(now) + LEARN_MS
    }

    /// Somebody waits again whom the organizer had shut out, perhaps out of a session.
    pub fn restore(&self, ticket: u32, now: Millis) {
        let step = self.step(now + FIRST_MS);
        let unless_later = |before: u16| (before == SUMMONED || before < step).then_some(step);
        if let Some(heard) = self.at(ticket) {
            // That somebody was told a later time is as good.
            let _ = heard.fetch_update(Ordering::Relaxed, Ordering::Relaxed, unless_later);
        }
    }

    /// Whether somebody who waits should have been heard of since.
    pub fn is_away(&self, ticket: u32, now: Millis) -> bool {
        self.until_ms(ticket).is_some_and(|until_ms| until_ms < now)
    }

    /// For how long nothing was heard of somebody in a session, ms.
    pub fn silent_ms(&self, ticket: u32, now: Millis) -> u64 {
        self.until_ms(ticket).map_or(0, |heard_ms| now.saturating_sub(heard_ms))
    }

    /// Those of the tickets who are there.
    pub fn present(&self, tickets: impl Iterator<Item = u32>, now: Millis) -> u32 {
        tickets.filter(|ticket| !self.is_away(*ticket, now)).count() as u32
    }

    /// Whether [`move_along`](Self::move_along) is due.
    pub fn is_late(&self, now: Millis) -> bool {
        now > self.began_ms + BACK_MS_MAX
    }

    /// Has the beginning move along, when it is long ago: once in ten hours. To be done before anything is noted then.
    pub fn move_along(&mut self, now: Millis) {
        if !self.is_late(now) {
            return;
        }
        let by = (began_ms(now) - self.began_ms) / STEP_MS;
        self.began_ms += by * STEP_MS;
        for step in self.steps.iter_mut() {
            let step = step.get_mut();
            if *step != SUMMONED {
                *step = u64::from(*step).saturating_sub(by) as u16;
            }
        }
    }

    fn at(&self, ticket: u32) -> Option<&AtomicU16> {
        self.steps.get(ticket.checked_sub(1)? as usize)
    }

    fn until_ms(&self, ticket: u32) -> Option<Millis> {
        let step = self.at(ticket)?.load(Ordering::Relaxed);
        (step != SUMMONED).then(|| self.instant(step))
    }

    fn instant(&self, step: u16) -> Millis {
        self.began_ms + Millis::from(step) * STEP_MS
    }

    fn step(&self, at_ms: Millis) -> u16 {
        at_ms.saturating_sub(self.began_ms).div_ceil(STEP_MS).min((SUMMONED - 1).into()) as u16
    }
}

fn began_ms(now: Millis) -> Millis {
    now.saturating_sub(BACK_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_800_000_000_000;
    const HOUR_MS: Millis = 3_600_000;

    #[test]
    fn nobody_is_away_early_and_nobody_stays_for_long() {
        let heard = Heard::of(3, 45_000, NOW);
        heard.note(2, Standing::Waiting, 300_000, NOW + 1);
        heard.note(3, Standing::Active, 0, NOW + 7);
        for (ticket, until_ms) in [(1, FIRST_MS), (2, 300_001 + LATE_MS)] {
            assert!(!heard.is_away(ticket, NOW + until_ms), "{ticket}");
            assert!(heard.is_away(ticket, NOW + until_ms + STEP_MS), "{ticket}");
        }
        let silent_ms = heard.silent_ms(3, NOW + 10_007);
        assert!((10_000 - STEP_MS..=10_000).contains(&silent_ms), "{silent_ms}");
        assert!(!heard.is_away(4, NOW + HOUR_MS) && heard.silent_ms(0, NOW) == 0);
    }

    #[test]
    fn the_time_to_come_begins_when_somebody_was_told_to_ask() {
        let mut heard = Heard::of(4, 400_000, NOW);
        heard.note(2, Standing::Waiting, 71_000, NOW);
        heard.note(3, Standing::First, 2_000, NOW);
        assert!(heard.knows(4) && !heard.knows(5) && !heard.knows(0));
        heard.join(NOW);
        let later = NOW + 10_000;
        // In steps, rounded up.
        for (ticket, told_ms) in [(1, 400_000), (2, 71_000), (3, 10_000), (5, FIRST_MS - LATE_MS)] {
            let learns_in = heard.summon(ticket, later) - NOW - LEARN_MS;
            assert!((told_ms..=told_ms + STEP_MS).contains(&learns_in), "{ticket}: {learns_in}");
            assert!(!heard.is_away(ticket, later + HOUR_MS), "{ticket} has yet to learn of it");
            for (standing, next_ms, told) in [
                (Standing::Waiting, 71_000, SOON_MS),
                (Standing::PassedOver, 1_600, 1_600),
                (Standing::Admitted, 2_400, 2_400),
            ] {
                assert_eq!(heard.note(ticket, standing, next_ms, later), told, "{standing:?}");
            }
        }
        assert_eq!(heard.note(4, Standing::Waiting, 71_000, later), 71_000);
        heard.move_along(NOW + 20 * HOUR_MS);
        assert_eq!(heard.note(2, Standing::Waiting, 71_000, NOW + 20 * HOUR_MS), SOON_MS);
        // They came, and stay in a session; or were shut out, and wait again.
        heard.note(1, Standing::Active, 0, NOW + 20 * HOUR_MS);
        assert_eq!(heard.silent_ms(1, NOW + 21 * HOUR_MS) / HOUR_MS, 1);
        for ticket in [1, 2] {
            heard.restore(ticket, NOW + 20 * HOUR_MS);
            assert_eq!(heard.note(ticket, Standing::Waiting, 71_000, NOW + 20 * HOUR_MS), 71_000);
            heard.restore(ticket, NOW + 20 * HOUR_MS);
            assert!(!heard.is_away(ticket, NOW + 20 * HOUR_MS + 71_000 + LATE_MS));
        }
    }

    #[test]
    fn days_later_it_is_as_true_as_on_the_first() {
        let mut heard = Heard::of(3, 45_000, NOW);
        let mut now = NOW;
        for hour in 1..100 {
            now += HOUR_MS;
            heard.move_along(now);
            heard.note(1, Standing::Waiting, 300_000, now);
            assert!(!heard.is_away(1, now + 300_000 + LATE_MS) && heard.is_away(1, now + HOUR_MS), "hour {hour}");
            assert!(heard.is_away(2, now), "hour {hour}");
        }
        heard.note(3, Standing::Active, 0, now);
        for hours in 1..=24 {
            heard.move_along(now + hours * HOUR_MS);
            let silent_ms = heard.silent_ms(3, now + hours * HOUR_MS);
            assert!((hours * HOUR_MS - 2 * STEP_MS..=hours * HOUR_MS).contains(&silent_ms), "{hours} h: {silent_ms}");
        }
        heard.join(now + 30 * HOUR_MS);
        assert!(!heard.is_away(4, now + 30 * HOUR_MS) && heard.is_away(4, now + 31 * HOUR_MS));
    }
}
