//! Who is there: in memory only, from polls and streams.

use crate::domain::queue::line::Standing;
use crate::id::Millis;
use std::sync::atomic::{AtomicU32, Ordering};

/// Somebody who waits is away when they are so much later than they were told to ask again, ms.
pub const LATE_MS: u64 = 15_000;
/// Whoever joined, and everybody after a start, has so long for a first sign of life, ms.
pub const FIRST_MS: u64 = 60_000;

/// By ticket: until when, in seconds since 1970, silence means nothing. Of those in a session: the last sign of life.
#[derive(Default)]
pub struct Heard(Vec<AtomicU32>);

impl Heard {
    /// Of so many people at the start, of whom nothing is known yet.
    pub fn of(joined: u32, now: Millis) -> Heard {
        Heard((0..joined).map(|_| AtomicU32::new(seconds(now + FIRST_MS))).collect())
    }

    /// One more.
    pub fn join(&mut self, now: Millis) {
        if self.0.len() == self.0.capacity() {
            self.0.reserve_exact((self.0.len() / 16).max(64));
        }
        self.0.push(AtomicU32::new(seconds(now + FIRST_MS)));
    }

    /// A sign of life. Whoever waits gives the next one in `next_ms`.
    pub fn note(&self, ticket: u32, standing: Standing, next_ms: u64, now: Millis) {
        let until = if standing == Standing::Active { now } else { now + next_ms + LATE_MS };
        if let Some(heard) = self.at(ticket) {
            heard.store(seconds(until), Ordering::Relaxed);
        }
    }

    /// Whether somebody who waits should have been heard of since.
    pub fn is_away(&self, ticket: u32, now: Millis) -> bool {
        self.at(ticket).is_some_and(|heard| heard.load(Ordering::Relaxed) < seconds(now))
    }

    /// For how long nothing was heard of somebody in a session, ms.
    pub fn silent_ms(&self, ticket: u32, now: Millis) -> u64 {
        let heard = self.at(ticket).map_or(u32::MAX, |heard| heard.load(Ordering::Relaxed));
        u64::from(seconds(now).saturating_sub(heard)) * 1_000
    }

    /// Those of the tickets who are there.
    pub fn present(&self, tickets: impl Iterator<Item = u32>, now: Millis) -> u32 {
        tickets.filter(|ticket| !self.is_away(*ticket, now)).count() as u32
    }

    fn at(&self, ticket: u32) -> Option<&AtomicU32> {
        self.0.get(ticket.checked_sub(1)? as usize)
    }
}

fn seconds(at: Millis) -> u32 {
    (at / 1_000) as u32
}
