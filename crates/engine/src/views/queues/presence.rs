//! Who is there: in memory only, from polls and streams.

use base::id::Millis;
use domain::queue::order::Standing;
use domain::queue::order::chunked_vec::Pieces;
use std::sync::atomic::{AtomicU16, Ordering};

/// Somebody who waits is away when they are so much later than they were told to ask again, ms.
pub const LATE_MS: u64 = 15_000;
/// Whoever joined, and everybody after a start, has so long for a first sign of life, ms.
pub const FIRST_MS: u64 = 60_000;

/// Instants are kept in steps of so much since a beginning that moves along, ms; rounded up, in people's favour. Two bytes for
/// each of millions.
const STEP_MS: Millis = 2_000;
/// The beginning is at least so long ago: no session may be silent for longer.
const BACK_MS: Millis = 90_000_000;
/// And at most so long: what is told to somebody now, at most some minutes ahead, still has a number.
const BACK_MS_MAX: Millis = 126_000_000;

/// By ticket: until when silence means nothing. Of those in a session: the last sign of life.
#[derive(Default)]
pub struct Heard {
    began_ms: Millis,
    steps: Pieces<AtomicU16>,
}

impl Heard {
    /// Of so many people at the start, of whom nothing is known yet.
    pub fn of(joined: u32, now: Millis) -> Heard {
        let mut heard = Heard { began_ms: began_ms(now), ..Heard::default() };
        (0..joined).for_each(|_| heard.join(now));
        heard
    }

    /// One more.
    pub fn join(&mut self, now: Millis) {
        self.move_along(now);
        let step = self.step(now + FIRST_MS);
        self.steps.push(AtomicU16::new(step));
    }

    /// A sign of life. Whoever waits gives the next one in `next_ms`.
    pub fn note(&self, ticket: u32, standing: Standing, next_ms: u64, now: Millis) {
        let until_ms = if standing == Standing::Active { now } else { now + next_ms + LATE_MS };
        if let Some(heard) = self.at(ticket) {
            heard.store(self.step(until_ms), Ordering::Relaxed);
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
            *step.get_mut() = u64::from(*step.get_mut()).saturating_sub(by) as u16;
        }
    }

    fn at(&self, ticket: u32) -> Option<&AtomicU16> {
        self.steps.get(ticket.checked_sub(1)? as usize)
    }

    fn until_ms(&self, ticket: u32) -> Option<Millis> {
        self.at(ticket).map(|heard| self.began_ms + Millis::from(heard.load(Ordering::Relaxed)) * STEP_MS)
    }

    fn step(&self, at_ms: Millis) -> u16 {
        at_ms.saturating_sub(self.began_ms).div_ceil(STEP_MS).min(u16::MAX.into()) as u16
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
        let heard = Heard::of(3, NOW);
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
    fn days_later_it_is_as_true_as_on_the_first() {
        let mut heard = Heard::of(3, NOW);
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
