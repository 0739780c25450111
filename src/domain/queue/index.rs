//! Who has which ticket, found by the hash of their key: tickets in the order of their hashes, in many short lists. Four bytes
//! and a little for each. A hash table takes twice that and, each time that it is full, moves everybody at once while those who
//! join wait.

/// So many tickets are in one list; when there are more, in [`LISTS`].
const ONE_LIST_MAX: usize = 2_048;
/// A power of two.
const LISTS: usize = 4_096;
/// Steps of a search that trust in the hashes being evenly spread. After them it halves.
const TRUSTING_STEPS: usize = 6;

/// Tickets by hash. The hashes themselves are not kept: each call brings the way from a ticket to its hash.
#[derive(Clone, Default)]
pub struct Index {
    /// The first bits of a hash are the number of its list.
    lists: Vec<Vec<u32>>,
}

impl Index {
    /// Of so many tickets, from 1. Of those that are `same` the last one counts.
    pub fn of(count: u32, hash_of: impl Fn(u32) -> Option<u64>, same: impl Fn(u32, u32) -> bool) -> Index {
        let lists = if count as usize > ONE_LIST_MAX { LISTS } else { 1 };
        let each = count as usize / lists;
        let mut index = Index { lists: (0..lists).map(|_| Vec::with_capacity(each + each / 16)).collect() };
        for ticket in 1..=count {
            if let Some(hash) = hash_of(ticket) {
                let number = index.number(hash);
                index.lists[number].push(ticket);
            }
        }
        let mut sorted = Vec::new();
        for list in &mut index.lists {
            sorted.extend(list.drain(..).filter_map(|ticket| Some((hash_of(ticket)?, ticket))));
            sorted.sort_unstable();
            for (at, (hash, ticket)) in sorted.iter().enumerate() {
                let mut later = sorted[at + 1..].iter().take_while(|(other, _)| other == hash);
                if !later.any(|(_, later)| same(*later, *ticket)) {
                    list.push(*ticket);
                }
            }
            sorted.clear();
        }
        index
    }

    /// The ticket with this hash that is the one wanted.
    pub fn find(&self, hash: u64, hash_of: impl Fn(u32) -> u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let list = self.lists.get(self.number(hash))?;
        self.at(list, hash, &hash_of, is_it).ok().map(|at| list[at])
    }

    /// `ticket` takes the place of the one that is meant, or comes to it.
    pub fn put(&mut self, ticket: u32, hash: u64, hash_of: impl Fn(u32) -> u64, is_it: impl Fn(u32) -> bool) {
        if self.lists.is_empty() {
            self.lists.push(Vec::new());
        }
        if self.lists.len() == 1 && self.lists[0].len() >= ONE_LIST_MAX {
            self.split(&hash_of);
        }
        let number = self.number(hash);
        match self.at(&self.lists[number], hash, &hash_of, is_it) {
            Ok(at) => self.lists[number][at] = ticket,
            Err(at) => {
                let list = &mut self.lists[number];
                if list.len() == list.capacity() {
                    list.reserve_exact((list.len() / 16).max(16));
                }
                list.insert(at, ticket);
            }
        }
    }

    fn split(&mut self, hash_of: impl Fn(u32) -> u64) {
        let all = std::mem::take(&mut self.lists[0]);
        self.lists = vec![Vec::new(); LISTS];
        for ticket in all {
            let number = self.number(hash_of(ticket));
            self.lists[number].push(ticket);
        }
    }

    fn number(&self, hash: u64) -> usize {
        if self.lists.len() <= 1 { 0 } else { (hash >> (64 - LISTS.ilog2())) as usize }
    }

    /// Where in the list the ticket is, or where it belongs.
    fn at(
        &self,
        list: &[u32],
        hash: u64,
        hash_of: impl Fn(u32) -> u64,
        is_it: impl Fn(u32) -> bool,
    ) -> Result<usize, usize> {
        let width = if self.lists.len() <= 1 { u64::MAX } else { u64::MAX / LISTS as u64 };
        // The hashes before `low` are less than `hash`, those from `high` on are not. `from` and `to` are the hashes there.
        let (mut low, mut high) = (0, list.len());
        let mut from = hash & !width;
        let mut to = from | width;
        for step in 0.. {
            if low == high {
                break;
            }
            let share = u128::from(hash - from) * (high - low) as u128 / (u128::from(to - from) + 1);
            let guess =
                if step < TRUSTING_STEPS { low + (share as usize).min(high - low - 1) } else { (low + high) / 2 };
            let found = hash_of(list[guess]);
            if found < hash {
                (low, from) = (guess + 1, found);
            } else {
                (high, to) = (guess, found);
            }
        }
        let same = list[low..].iter().take_while(|ticket| hash_of(**ticket) == hash);
        same.zip(low..).find(|(ticket, _)| is_it(**ticket)).map(|(_, at)| at).ok_or(low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Hashes as they come: spread, all the same, and in a corner of one list.
    fn hash(key: u32, kind: u8) -> u64 {
        match kind {
            0 => u64::from(key).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            1 => 1 << 63,
            _ => (7 << 52) + u64::from(key % 1_000),
        }
    }

    proptest! {
        #[test]
        fn the_last_ticket_of_each_is_found(
            keys in prop::collection::vec(0u32..4_000, 1..6_000),
            kind in 0u8..3,
        ) {
            let (mut index, mut last) = (Index::default(), BTreeMap::new());
            // With one hash for all, each search looks at all.
            let keys = if kind == 1 { &keys[..keys.len().min(300)] } else { &keys[..] };
            let key_of = |ticket: u32| keys[ticket as usize - 1];
            let hash_of = |ticket: u32| hash(key_of(ticket), kind);
            for (ticket, key) in (1..).zip(keys) {
                index.put(ticket, hash(*key, kind), hash_of, |other| key_of(other) == *key);
                last.insert(*key, ticket);
            }
            let same = |one: u32, other: u32| key_of(one) == key_of(other);
            let at_once = Index::of(keys.len() as u32, |ticket| Some(hash_of(ticket)), same);
            for index in [index, at_once] {
                for key in 0..4_000 {
                    let found = index.find(hash(key, kind), hash_of, |other| key_of(other) == key);
                    prop_assert_eq!(found, last.get(&key).copied());
                }
                prop_assert_eq!(index.lists.iter().map(Vec::len).sum::<usize>(), last.len());
            }
        }
    }
}
