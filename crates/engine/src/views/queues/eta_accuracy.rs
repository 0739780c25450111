//! How far what people were told about their turn was from what happened: a bounded sample.

use base::id::Millis;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Ranks are divided by powers of two; so many people of each division are remembered, so that those far back do not take
/// all the room.
const DIVISIONS: usize = 26;
const PER_DIVISION_MAX: usize = 16;
/// Ends that are looked back at.
const ENDED_MAX: usize = 256;

/// Who was told what, and how it ended.
#[derive(Default)]
pub struct Told {
    /// One bit for each division without room: looked at before the lock is taken, as every poll comes by.
    full: AtomicU32,
    notes: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    /// By ticket: the division, and when it would be their turn, at the earliest and at the latest.
    open: FxHashMap<u32, (usize, Millis, Millis)>,
    taken: [usize; DIVISIONS],
    /// How much later than the latest it was, ms; negative: earlier than the earliest.
    ended: VecDeque<i64>,
}

/// How good the estimates were, of the last few hundred people whose turn came after they had been told one.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub struct Estimates {
    pub people: u32,
    /// Those whose turn came within what they had been told.
    pub right: u32,
    /// How far off it was, on average, ms; 0 for those who were told right.
    pub mean_ms: u64,
    /// How much earlier, and how much later, than told, at worst, ms.
    pub early_ms: u64,
    pub late_ms: u64,
}

fn division_of(rank: u32) -> usize {
    ((rank + 1).ilog2() as usize).min(DIVISIONS - 1)
}

impl Told {
    /// Somebody was told when it will be their turn. The first word counts.
    pub fn note(&self, ticket: u32, rank: u32, eta_ms: (u64, u64), now: Millis) {
        let division = division_of(rank);
        if self.full.load(Ordering::Relaxed) >> division & 1 == 1 {
            return;
        }
        let mut notes = self.notes();
        if notes.open.contains_key(&ticket) {
            return;
        }
        notes.open.insert(ticket, (division, now + eta_ms.0, now + eta_ms.1));
        notes.taken[division] += 1;
        if notes.taken[division] == PER_DIVISION_MAX {
            self.full.fetch_or(1 << division, Ordering::Relaxed);
        }
    }

    /// It is their turn.
    pub fn admit(&self, tickets: impl Iterator<Item = u32>, at_ms: Millis) {
        let mut notes = self.notes();
        for ticket in tickets {
            let Some((earliest, latest)) = self.forget_one(&mut notes, ticket) else { continue };
            let off =
                if at_ms < earliest { at_ms as i64 - earliest as i64 } else { at_ms.saturating_sub(latest) as i64 };
            if notes.ended.len() == ENDED_MAX {
                notes.ended.pop_front();
            }
            notes.ended.push_back(off);
        }
    }

    /// These went away, or out of turn: what they were told does not count.
    pub fn forget(&self, tickets: &[u32]) {
        let mut notes = self.notes();
        for ticket in tickets {
            self.forget_one(&mut notes, *ticket);
        }
    }

    fn forget_one(&self, notes: &mut Notes, ticket: u32) -> Option<(Millis, Millis)> {
        let (division, earliest, latest) = notes.open.remove(&ticket)?;
        notes.taken[division] -= 1;
        self.full.fetch_and(!(1 << division), Ordering::Relaxed);
        Some((earliest, latest))
    }

    pub fn estimates(&self) -> Estimates {
        let notes = self.notes();
        let ended = || notes.ended.iter();
        let off: u64 = ended().map(|off| off.unsigned_abs()).sum();
        Estimates {
            people: notes.ended.len() as u32,
            right: ended().filter(|off| **off == 0).count() as u32,
            mean_ms: off / (notes.ended.len() as u64).max(1),
            early_ms: ended().map(|off| (-off).max(0) as u64).max().unwrap_or(0),
            late_ms: ended().map(|off| (*off).max(0) as u64).max().unwrap_or(0),
        }
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_are_held_against_what_happened() {
        let told = Told::default();
        told.note(1, 10, (1_000, 2_000), 0);
        told.note(1, 9, (9_000, 9_999), 50);
        told.note(2, 10, (1_000, 2_000), 0);
        told.note(3, 10, (1_000, 2_000), 0);
        told.note(4, 10, (1_000, 2_000), 0);
        told.admit([1, 99].into_iter(), 1_500);
        told.admit([2].into_iter(), 400);
        told.admit([3].into_iter(), 2_900);
        told.forget(&[4, 5]);
        told.admit([4].into_iter(), 9_000);
        assert_eq!(told.estimates(), Estimates { people: 3, right: 1, mean_ms: 500, early_ms: 600, late_ms: 900 });
    }

    #[test]
    fn the_sample_is_bounded_and_those_far_back_leave_room() {
        let told = Told::default();
        (0..10_000).for_each(|ticket| told.note(ticket, 1_000_000, (1, 2), 0));
        told.note(20_000, 0, (1, 2), 0);
        assert_eq!(told.notes().open.len(), PER_DIVISION_MAX + 1);
        told.admit(0..10_000, 1);
        told.note(30_000, 1_000_000, (1, 2), 0);
        assert_eq!(told.notes().open.len(), 2);
        (0..1_000).for_each(|ticket| {
            told.note(ticket, 5, (1, 2), 0);
            told.admit([ticket].into_iter(), 1);
        });
        assert_eq!(told.estimates().people, ENDED_MAX as u32);
    }
}
