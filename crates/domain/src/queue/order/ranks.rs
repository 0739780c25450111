//! How many wait before a place: a bitmap of the places, and sums over blocks of it (a Fenwick tree). 9 bits and a little
//! for each place; a rank is found in a few dozen steps, however many there are.

use super::tight::push_tightly;
use serde::{Deserialize, Serialize};

/// Words of 64 places in a block.
pub(super) const WORDS: usize = 64;
const PLACES: u32 = (WORDS * 64) as u32;

/// The places of a line at which somebody waits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ranks {
    pub(super) bits: Vec<u64>,
    /// A Fenwick tree: the sum of the block `i` and of those before it, as many as the lowest bit of `i + 1` says.
    sums: Vec<u32>,
    pub(super) live: u32,
}

impl Ranks {
    pub fn contains(&self, place: u32) -> bool {
        self.bits.get(place as usize / 64).is_some_and(|word| word >> (place % 64) & 1 == 1)
    }

    /// Somebody waits at this place.
    pub fn insert(&mut self, place: u32) {
        self.grow(place);
        let word = &mut self.bits[place as usize / 64];
        if *word >> (place % 64) & 1 == 0 {
            *word |= 1 << (place % 64);
            self.live += 1;
            self.add(place, 1);
        }
    }

    /// Nobody waits at this place any more.
    pub fn remove(&mut self, place: u32) {
        if self.contains(place) {
            self.bits[place as usize / 64] &= !(1 << (place % 64));
            self.live -= 1;
            self.add(place, u32::MAX);
        }
    }

    /// How many wait before this place.
    pub fn before(&self, place: u32) -> u32 {
        let (block, word) = ((place / PLACES) as usize, place as usize / 64);
        let mut sum = self.sum(block.min(self.sums.len()));
        let words = self.bits.iter().take(word).skip(block * WORDS);
        sum += words.map(|word| word.count_ones()).sum::<u32>();
        let own = self.bits.get(word).map_or(0, |bits| bits & ((1 << (place % 64)) - 1));
        sum + own.count_ones()
    }

    /// The first place from this one on at which somebody waits.
    pub fn next(&self, place: u32) -> Option<u32> {
        self.nth(self.before(place))
    }

    /// The place that so many wait before.
    pub fn nth(&self, rank: u32) -> Option<u32> {
        if rank >= self.live {
            return None;
        }
        let (mut block, mut left) = (0, rank);
        let mut step = self.sums.len().next_power_of_two();
        while step > 0 {
            if block + step <= self.sums.len() && self.sums[block + step - 1] <= left {
                left -= self.sums[block + step - 1];
                block += step;
            }
            step /= 2;
        }
        for (index, word) in self.bits.iter().enumerate().skip(block * WORDS) {
            if left < word.count_ones() {
                let mut bits = *word;
                (0..left).for_each(|_| bits &= bits - 1);
                return Some(index as u32 * 64 + bits.trailing_zeros());
            }
            left -= word.count_ones();
        }
        None
    }

    /// The places at which somebody waits, from one on.
    pub fn from(&self, place: u32) -> impl Iterator<Item = u32> + '_ {
        let first = place as usize / 64;
        let masked =
            move |index: usize, word: u64| if index == first { word & (u64::MAX << (place % 64)) } else { word };
        let words = self.bits.iter().enumerate().skip(first).map(move |(index, word)| (index, masked(index, *word)));
        words.filter(|(_, word)| *word != 0).flat_map(|(index, word)| {
            let next = |bits: &u64| Some(bits & (bits - 1)).filter(|bits| *bits != 0);
            std::iter::successors(Some(word), next).map(move |bits| index as u32 * 64 + bits.trailing_zeros())
        })
    }

    fn grow(&mut self, place: u32) {
        let words = place as usize / 64 + 1;
        if self.bits.len() < words {
            push_tightly(&mut self.bits, words, 0);
        }
        while self.sums.len() <= (place / PLACES) as usize {
            // The new block is empty; what the tree says of it is what those before it sum up to.
            let index = self.sums.len() + 1;
            let covered = index - (index & index.wrapping_neg());
            let sum = self.sum(index - 1) - self.sum(covered);
            self.sums.push(sum);
        }
    }

    /// The sum of the first so many blocks.
    pub(super) fn sum(&self, blocks: usize) -> u32 {
        let lower = |index: &usize| Some(index & (index - 1)).filter(|index| *index > 0);
        std::iter::successors(Some(blocks).filter(|blocks| *blocks > 0), lower).map(|index| self.sums[index - 1]).sum()
    }

    fn add(&mut self, place: u32, by: u32) {
        let mut index = (place / PLACES) as usize + 1;
        while index <= self.sums.len() {
            self.sums[index - 1] = self.sums[index - 1].wrapping_add(by);
            index += index & index.wrapping_neg();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn ranks_are_those_of_a_sorted_list(
            steps in prop::collection::vec((any::<bool>(), prop_oneof![0u32..200, 0u32..70_000]), 1..200),
            asked in 0u32..80_000,
        ) {
            let (mut ranks, mut list) = (Ranks::default(), BTreeSet::new());
            for (insert, place) in steps {
                if insert {
                    ranks.insert(place);
                    list.insert(place);
                } else {
                    ranks.remove(place);
                    list.remove(&place);
                }
                for place in [place, place + 1, asked] {
                    prop_assert_eq!(ranks.before(place), list.range(..place).count() as u32);
                    prop_assert_eq!(ranks.next(place), list.range(place..).next().copied());
                }
            }
            for (rank, place) in list.iter().enumerate() {
                prop_assert!(ranks.contains(*place));
                prop_assert_eq!(ranks.nth(rank as u32), Some(*place));
            }
            prop_assert_eq!(ranks.nth(list.len() as u32), None);
            prop_assert_eq!(ranks.from(asked).collect::<Vec<_>>(), list.range(asked..).copied().collect::<Vec<_>>());
        }
    }
}
