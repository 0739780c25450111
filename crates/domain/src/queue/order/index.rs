//! Who has which ticket, found by the hash of their key: tickets in the order of some bits of their hashes, in many short lists.
//! Six bytes and a little for each. A hash table takes half as much again and, each time that it is full, moves everybody at
//! once while those who join wait.

/// So many tickets are in one list; when there are more, in [`LISTS`].
const ONE_LIST_MAX: usize = 2_048;
/// A power of two.
const LISTS: usize = 1 << LIST_BITS;
const LIST_BITS: u32 = 12;
const TAG_BITS: u32 = u16::BITS;

/// Tickets by hash. The hashes themselves are not kept: who asks says whether a ticket is the one.
#[derive(Clone, Default)]
pub struct Index {
    /// The first bits of a hash are the number of its list.
    lists: Vec<List>,
}

/// Tickets in the order of their tags, which are the next bits of their hashes.
#[derive(Clone, Default)]
struct List {
    tags: Vec<u16>,
    tickets: Vec<u32>,
}

impl Index {
    /// Of so many tickets, from 1. Of those that are `same` the last one counts.
    pub fn of(count: u32, hash_of: impl Fn(u32) -> Option<u64>, same: impl Fn(u32, u32) -> bool) -> Index {
        let lists = if count as usize > ONE_LIST_MAX { LISTS } else { 1 };
        let mut index = Index { lists: vec![List::default(); lists] };
        let mut sorted: Vec<Vec<(u16, u32)>> = vec![Vec::new(); lists];
        for ticket in 1..=count {
            if let Some(hash) = hash_of(ticket) {
                let (number, tag) = index.place(hash);
                sorted[number].push((tag, ticket));
            }
        }
        for (list, mut sorted) in index.lists.iter_mut().zip(sorted) {
            sorted.sort_unstable();
            list.reserve(sorted.len());
            for (at, (tag, ticket)) in sorted.iter().enumerate() {
                let mut later = sorted[at + 1..].iter().take_while(|(other, _)| other == tag);
                if !later.any(|(_, later)| same(*later, *ticket)) {
                    list.tags.push(*tag);
                    list.tickets.push(*ticket);
                }
            }
        }
        index
    }

    /// The ticket with this hash that is the one wanted.
    pub fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let (number, tag) = self.place(hash);
        let list = self.lists.get(number)?;
        list.at(tag, is_it).ok().map(|at| list.tickets[at])
    }

    /// `ticket` takes the place of the one that is meant, or comes to it.
    pub fn put(&mut self, ticket: u32, hash: u64, hash_of: impl Fn(u32) -> u64, is_it: impl Fn(u32) -> bool) {
        match &mut *self.lists {
            [] => self.lists.push(List::default()),
            [all] if all.tickets.len() >= ONE_LIST_MAX => {
                let all = std::mem::take(all);
                self.lists = vec![List::default(); LISTS];
                for ticket in all.tickets {
                    let (number, tag) = self.place(hash_of(ticket));
                    self.lists[number].insert(tag, ticket);
                }
            }
            _ => {}
        }
        let (number, tag) = self.place(hash);
        let list = &mut self.lists[number];
        match list.at(tag, is_it) {
            Ok(at) => list.tickets[at] = ticket,
            Err(_) => list.insert(tag, ticket),
        }
    }

    /// The number of its list, and its tag there.
    fn place(&self, hash: u64) -> (usize, u16) {
        let list_bits = if self.lists.len() <= 1 { 0 } else { LIST_BITS };
        let number = hash.checked_shr(u64::BITS - list_bits).unwrap_or(0);
        (number as usize, (hash << list_bits >> (u64::BITS - TAG_BITS)) as u16)
    }
}

impl List {
    /// Where the ticket is, or where the next one with such a tag belongs.
    fn at(&self, tag: u16, is_it: impl Fn(u32) -> bool) -> Result<usize, usize> {
        let first = self.tags.partition_point(|other| *other < tag);
        let same = self.tags[first..].iter().take_while(|other| **other == tag).count();
        let mut same = first..first + same;
        same.find(|at| is_it(self.tickets[*at])).ok_or(same.end)
    }

    fn insert(&mut self, tag: u16, ticket: u32) {
        let at = self.tags.partition_point(|other| *other <= tag);
        if self.tickets.len() == self.tickets.capacity() {
            self.reserve((self.tickets.len() / 16).max(16));
        }
        self.tags.insert(at, tag);
        self.tickets.insert(at, ticket);
    }

    fn reserve(&mut self, more: usize) {
        self.tags.reserve_exact(more);
        self.tickets.reserve_exact(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Hashes as they come: spread, all the same, and many with one tag.
    fn hash(key: u32, kind: u8) -> u64 {
        match kind {
            0 => u64::from(key).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            1 => 1 << 63,
            _ => u64::from(key % 64) << 40 | u64::from(key),
        }
    }

    proptest! {
        // Each case has thousands of people, more of them than one list takes in every other case.
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

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
                // Everybody who came, and some who did not.
                for key in last.keys().copied().chain(4_000..4_040) {
                    let found = index.find(hash(key, kind), |other| key_of(other) == key);
                    prop_assert_eq!(found, last.get(&key).copied());
                }
                prop_assert_eq!(index.lists.iter().map(|list| list.tickets.len()).sum::<usize>(), last.len());
            }
        }
    }
}
