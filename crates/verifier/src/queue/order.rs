//! Who comes next in a queue.

use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

/// Own places count from here; those of people who were put first are below.
const OWN: u64 = 1 << 32;
/// Of somebody for whom no place was drawn: they had left before.
const NOWHERE: u32 = u32::MAX;

/// The order of a queue.
#[derive(Default)]
pub struct Order {
    /// Those whose turn will come, by where they stand.
    line: BTreeMap<u64, u32>,
    /// Everybody's own place, by ticket.
    own: Vec<u32>,
    /// Where those stand who were put first.
    first: FxHashMap<u32, u64>,
    next_own: u32,
    next_first: u64,
}

impl Order {
    /// One more ticket. It has a place at the end, unless places are yet to be drawn.
    pub fn join(&mut self, is_open: bool) {
        self.own.push(if is_open { self.next_own } else { NOWHERE });
        self.next_own += u32::from(is_open);
    }

    /// These tickets have places from now on, in this order.
    pub fn draw(&mut self, drawn: &[u32]) {
        for (place, ticket) in drawn.iter().enumerate() {
            self.own[*ticket as usize - 1] = place as u32;
        }
        self.next_own = drawn.len() as u32;
    }

    /// Somebody waits at their own place, if there are places.
    pub fn enter(&mut self, ticket: u32) {
        let own = self.own[ticket as usize - 1];
        if own != NOWHERE {
            self.line.insert(OWN + u64::from(own), ticket);
        }
    }

    /// Somebody waits before everybody's own places, behind others who were put there.
    pub fn put_first(&mut self, ticket: u32) {
        self.next_first += 1;
        self.first.insert(ticket, self.next_first);
        self.line.insert(self.next_first, ticket);
    }

    /// Somebody does not wait any more; gives where they stood.
    pub fn leave(&mut self, ticket: u32) -> u64 {
        let own = || OWN + u64::from(self.own[ticket as usize - 1]);
        let stood = self.first.get(&ticket).copied().unwrap_or_else(own);
        self.first.remove(&ticket);
        self.line.remove(&stood);
        stood
    }

    /// Whose turn it is, and where they stand.
    pub fn next(&self) -> Option<(u64, u32)> {
        self.line.first_key_value().map(|(place, ticket)| (*place, *ticket))
    }
}
