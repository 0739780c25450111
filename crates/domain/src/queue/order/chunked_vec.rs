//! A list that grows by pieces: what is in it never moves, however long it becomes, so nobody waits while it is copied; and at
//! most one piece is not full.

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::marker::PhantomData;

/// Items of a piece.
const ITEMS: usize = 4096;

/// Items by their number, from 0. Stored like a `Vec`.
#[derive(Clone, Debug)]
pub struct Pieces<T>(Vec<Vec<T>>);

impl<T> Default for Pieces<T> {
    fn default() -> Self {
        Pieces(Vec::new())
    }
}

impl<T> Pieces<T> {
    pub fn len(&self) -> usize {
        self.0.last().map_or(0, |last| (self.0.len() - 1) * ITEMS + last.len())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn get(&self, index: usize) -> Option<&T> {
        self.0.get(index / ITEMS)?.get(index % ITEMS)
    }

    pub fn push(&mut self, item: T) {
        match self.0.last_mut() {
            Some(last) if last.len() < ITEMS => last.push(item),
            // The first one grows to what a small queue needs; after it there will be many.
            None => self.0.push(vec![item]),
            Some(_) => {
                let mut piece = Vec::with_capacity(ITEMS);
                piece.push(item);
                self.0.push(piece);
            }
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().flatten()
    }
}

impl<T> FromIterator<T> for Pieces<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        let mut pieces = Pieces::default();
        items.into_iter().for_each(|item| pieces.push(item));
        pieces
    }
}

impl<T> std::ops::Index<usize> for Pieces<T> {
    type Output = T;

    fn index(&self, index: usize) -> &T {
        &self.0[index / ITEMS][index % ITEMS]
    }
}

impl<T: Serialize> Serialize for Pieces<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeSeq;
        let mut seq = serializer.serialize_seq(Some(self.len()))?;
        self.iter().try_for_each(|item| seq.serialize_element(item))?;
        seq.end()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pieces<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Items<T> {
            type Value = Pieces<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Pieces<T>, A::Error> {
                let mut pieces = Pieces::default();
                while let Some(item) = seq.next_element()? {
                    pieces.push(item);
                }
                Ok(pieces)
            }
        }

        deserializer.deserialize_seq(Items(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_list_of_any_length_and_stored_as_one() {
        for len in [0, 1, ITEMS - 1, ITEMS, ITEMS + 1, 3 * ITEMS] {
            let list: Vec<u64> = (0..len as u64).map(|item| item * 7).collect();
            let pieces: Pieces<u64> = list.iter().copied().collect();
            assert_eq!((pieces.len(), pieces.is_empty()), (len, len == 0));
            assert!(pieces.iter().eq(&list));
            assert!((0..len).all(|index| pieces[index] == list[index]) && pieces.get(len).is_none());
            let stored = postcard::to_stdvec(&pieces).unwrap();
            assert_eq!(stored, postcard::to_stdvec(&list).unwrap());
            assert!(postcard::from_bytes::<Pieces<u64>>(&stored).unwrap().iter().eq(&list));
        }
    }
}
