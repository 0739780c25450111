//! Who has which ticket: the same person again finds the same one. 16 bytes for each, and an index of their tickets.

use super::event::EntryJoined;
use crate::Fingerprint;
use crate::queue::order::chunked_vec::Pieces;
use crate::queue::order::index::Index;
use base::id::UserId;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// Nobody that could be found again.
const UNKNOWN: u128 = 0;

/// Who wants to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Person {
    User(UserId),
    /// Somebody whom the organizer's site knows by an id of its own.
    Visitor(String),
    /// Somebody who is known by the waiting token alone; the fingerprint is that of the Idempotency-Key, if there was one.
    Anonymous(Option<Fingerprint>),
}

/// Everybody who ever joined.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct People {
    /// By ticket.
    keys: Pieces<u128>,
    /// Organizers' own ids of their visitors, by ticket.
    visitors: BTreeMap<u32, Box<str>>,
    /// The last ticket of each. Made when somebody is looked for, or by [`prepare`](Self::prepare): what only follows the log,
    /// as the maker of snapshots does, looks for nobody.
    #[serde(skip)]
    index: OnceLock<Index>,
}

impl Person {
    /// Who joined.
    pub fn of(joined: &EntryJoined) -> Person {
        match (joined.user_id, &joined.visitor) {
            (Some(user), _) => Person::User(user),
            (None, Some(visitor)) => Person::Visitor(visitor.clone()),
            (None, None) => Person::Anonymous(joined.repeat),
        }
    }

    fn key(&self) -> u128 {
        match self {
            Person::User(user) => user.0.as_u128(),
            Person::Visitor(visitor) => Fingerprint::of(&[b"visitor", visitor.as_bytes()]).0,
            Person::Anonymous(Some(repeat)) => Fingerprint::of(&[b"anonymous", &repeat.0.to_be_bytes()]).0,
            Person::Anonymous(None) => UNKNOWN,
        }
    }
}

impl People {
    /// The person's last ticket.
    pub fn find(&self, person: &Person) -> Option<u32> {
        let key = person.key();
        if key == UNKNOWN {
            return None;
        }
        self.index().find(hash(key), |ticket| self.key(ticket) == key)
    }

    /// Whether it is this person's ticket.
    pub fn is(&self, person: &Person, ticket: u32) -> bool {
        let key = person.key();
        key != UNKNOWN && ticket > 0 && self.keys.get(ticket as usize - 1) == Some(&key)
    }

    fn key(&self, ticket: u32) -> u128 {
        self.keys[ticket as usize - 1]
    }

    /// The user's id, of a ticket that is known to be a user's.
    pub fn user(&self, ticket: u32) -> uuid::Uuid {
        uuid::Uuid::from_u128(self.key(ticket))
    }

    /// The organizer's own id.
    pub fn visitor(&self, ticket: u32) -> Option<&str> {
        self.visitors.get(&ticket).map(|visitor| &**visitor)
    }

    /// The next ticket is theirs.
    pub fn join(&mut self, person: &Person) {
        let key = person.key();
        self.keys.push(key);
        let ticket = self.keys.len() as u32;
        if let Person::Visitor(visitor) = person {
            self.visitors.insert(ticket, visitor.as_str().into());
        }
        let keys = &self.keys;
        let key_of = |ticket: u32| keys[ticket as usize - 1];
        if let Some(index) = self.index.get_mut().filter(|_| key != UNKNOWN) {
            index.put(ticket, hash(key), |other| hash(key_of(other)), |other| key_of(other) == key);
        }
    }

    /// How many joined.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Panics where the index, if there is one, does not find each person's last ticket.
    pub fn check(&self) {
        let Some(index) = self.index.get() else { return };
        let known = (1..).zip(self.keys.iter()).filter(|(_, key)| **key != UNKNOWN);
        let last: FxHashMap<u128, u32> = known.map(|(ticket, key)| (*key, ticket)).collect();
        for (key, ticket) in last {
            let found = index.find(hash(key), |ticket| self.key(ticket) == key);
            assert_eq!(found, Some(ticket), "the last ticket of {key:x}");
        }
    }

    /// Has the index ready, so that the first one who joins does not wait for it: about 0.2 s for a million people.
    pub fn prepare(&self) {
        self.index();
    }

    fn index(&self) -> &Index {
        let hash_of = |ticket: u32| Some(self.key(ticket)).filter(|key| *key != UNKNOWN).map(hash);
        let same = |one: u32, other: u32| self.key(one) == self.key(other);
        self.index.get_or_init(|| Index::of(self.keys.len() as u32, hash_of, same))
    }
}

/// Ids and fingerprints are random already, but for the time in the front of an id.
fn hash(key: u128) -> u64 {
    ((key >> 64) as u64 ^ key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
