//! What those who watch a queue are to be told: how the ranks moved, and who stands otherwise than before.
//!
//! Kept as long as somebody watches, and bounded. Nothing here depends on how many watch.

use domain::queue::event::Event;
use serde::Serialize;
use smallvec::SmallVec;

/// Moves that are told one by one. Above it, ranks are told as samples.
const MOVES_MAX: usize = 256;
/// People who are told by name that they stand otherwise. Above it, everybody is asked to look.
const CHANGED_MAX: usize = 65_536;

/// At a version, the ranks of all whose place is greater than `place` changed by so much. Written as a list of the three.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Move(pub u64, pub i64, pub i32);

/// What happened since the last time that it was taken.
#[derive(Default)]
pub struct Moves {
    is_watched: bool,
    since: u64,
    list: Vec<Move>,
    /// The first of the list that are of the events at hand.
    at_hand: usize,
    is_coarse: bool,
    changed: Changed,
}

/// Who stands otherwise than before.
#[derive(Debug, PartialEq)]
pub enum Changed {
    These(Vec<u32>),
    /// Too many to name, or all.
    Everybody,
}

impl Default for Changed {
    fn default() -> Changed {
        Changed::These(Vec::new())
    }
}

impl Changed {
    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        matches!(self, Changed::These(tickets) if tickets.is_empty())
    }
}

impl Moves {
    /// From this version on.
    pub(super) fn start(&mut self, version: u64) {
        *self = Moves { is_watched: true, since: version, ..Moves::default() };
    }

    pub(super) fn stop(&mut self) {
        *self = Moves::default();
    }

    pub(super) fn is_watched(&self) -> bool {
        self.is_watched
    }

    /// Somebody went from a place to another; `None` where they do not wait.
    pub(super) fn note(&mut self, version: u64, from: Option<i64>, to: Option<i64>) {
        if from == to {
            return;
        }
        for (place, by) in [(from, -1), (to, 1)] {
            let Some(place) = place else { continue };
            match self.list.last_mut() {
                Some(last) if *last == Move(version, place, last.2) => last.2 += by,
                _ => self.list.push(Move(version, place, by)),
            }
        }
    }

    /// These stand otherwise than before.
    pub(super) fn note_changed(&mut self, tickets: &[u32]) {
        if let Changed::These(changed) = &mut self.changed {
            match changed.len() + tickets.len() <= CHANGED_MAX {
                true => changed.extend_from_slice(tickets),
                false => self.changed = Changed::Everybody,
            }
        }
    }

    /// Everybody does.
    pub(super) fn note_all_changed(&mut self) {
        self.changed = Changed::Everybody;
    }

    /// The events of a version are all noted. `frontier` is the first place at which somebody waits now: what happened
    /// before it is the same for all who wait, and becomes one move.
    pub(super) fn close(&mut self, version: u64, frontier: i64) {
        let mut before = 0;
        let mut kept = self.at_hand;
        for index in self.at_hand..self.list.len() {
            let Move(_, place, by) = self.list[index];
            if place < frontier {
                before += by;
            } else {
                self.list[kept] = self.list[index];
                kept += 1;
            }
        }
        self.list.truncate(kept);
        if before != 0 {
            self.list.push(Move(version, frontier - 1, before));
        }
        if self.is_coarse || self.list.len() > MOVES_MAX {
            self.is_coarse = true;
            self.list = Vec::new();
        }
        self.at_hand = self.list.len();
    }

    /// What moved since, and since when; `None` when it is too much to tell. It begins anew at `version`.
    pub(super) fn take(&mut self, version: u64) -> (u64, Option<Vec<Move>>) {
        let since = std::mem::replace(&mut self.since, version);
        let list = std::mem::take(&mut self.list);
        self.at_hand = 0;
        let is_coarse = std::mem::take(&mut self.is_coarse);
        (since, (!is_coarse).then_some(list))
    }

    pub(super) fn take_changed(&mut self) -> Changed {
        std::mem::take(&mut self.changed)
    }

    pub(super) fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }
}

/// The tickets of those who are to be told of an event: they stand otherwise after it, or their admission says another time.
pub(super) fn tickets_of(event: &Event) -> SmallVec<[u32; 8]> {
    match event {
        Event::ClaimsExtended(event) => event.tickets.as_slice().into(),
        _ => event.moved().map(|(_, tickets)| tickets.collect()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_before_the_frontier_is_one_move() {
        let mut moves = Moves::default();
        moves.start(7);
        for place in [10, 11, 12, 40] {
            moves.note(8, Some(place), None);
        }
        moves.close(8, 20);
        moves.note(9, None, Some(15));
        moves.close(9, 15);
        let told = vec![Move(8, 40, -1), Move(8, 19, -3), Move(9, 15, 1)];
        assert_eq!(moves.take(9), (7, Some(told)));
        assert_eq!(moves.take(9), (9, Some(vec![])));
    }

    #[test]
    fn too_many_are_not_listed() {
        let mut moves = Moves::default();
        moves.start(0);
        let max = MOVES_MAX as i64;
        (0..max).for_each(|place| moves.note(1, Some(place), None));
        moves.close(1, 0);
        moves.note(2, Some(max), None);
        moves.close(2, 0);
        moves.note(3, Some(max + 1), None);
        moves.close(3, 0);
        assert_eq!(moves.take(3), (0, None));
        assert_eq!(moves.take(3), (3, Some(vec![])));
        moves.note_changed(&vec![1; CHANGED_MAX]);
        assert_eq!(moves.take_changed(), Changed::These(vec![1; CHANGED_MAX]));
        moves.note_changed(&vec![1; CHANGED_MAX]);
        moves.note_changed(&[2]);
        moves.note_changed(&[3]);
        assert_eq!(moves.take_changed(), Changed::Everybody);
        assert!(!moves.has_changed());
    }
}
