//! The rules, pure: no actix, no async, no clock, no randomness, no IO.
//!
//! One folder per aggregate. A [`Command`] decides by an aggregate's state (events, or its own rejection), and the aggregate
//! evolves by the events; `evolve` never fails and reads no clock, so that replaying the log gives the same state on every
//! machine.
//!
//! - [`command`]: commands with their answers, and chains of steps over two aggregates
//! - [`performance`]: seats, standing areas, holds and reservations of one performance
//! - [`wallet`]: one user's points
//! - [`process`]: what aggregates owe each other; the only place that knows two of them
//! - [`queue`]: people who wait until it is their turn
//! - [`account`], [`organizer`], [`concert`]: who buys, who sells, what is played
//! - [`seeded_faults`]: bugs that the simulator has to find

pub mod account;
mod aggregates;
mod check;
pub mod command;
pub mod concert;
pub mod event;
pub mod organizer;
pub mod performance;
pub mod process;
pub mod queue;
pub mod seeded_faults;
#[cfg(test)]
pub mod testing;
pub mod wallet;

pub use aggregates::{Aggregates, PerAggregate};
use base::id::{Category, Millis};
pub use command::{Command, Effect, Outcome, Step, Work};
use event::recorded;
pub use event::{DecodeError, EventData, PRIVATE};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::fmt::Debug;
use uuid::Uuid;

/// What a decision may know besides state and command.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// The aggregate's own key.
    pub key: Uuid,
    /// When the command runs.
    pub now: Millis,
    /// What the machine's clock says, which may be behind `now`: for what others check by their own clocks.
    pub machine: Millis,
    /// 128 random bits, for the one id that a command may make.
    pub random: u128,
}

/// A consistency boundary: commands on one key run one after the other.
pub trait Aggregate: Default + Serialize + DeserializeOwned + Send + 'static {
    const CATEGORY: Category;
    type Id: Copy + Debug + PartialEq + Send + From<Uuid> + Into<Uuid> + 'static;
    type Event: EventData + Send + 'static;
    /// What it has to do itself, or to ask others, without being asked.
    type Work: Work;
    /// Whether its events carry what the machine's clock says.
    const NEEDS_MACHINE_CLOCK: bool = false;
    /// Whether it stays in memory: few, small and often asked for.
    const STAYS_IN_MEMORY: bool = false;
    /// Whether what [`is_listed`](Self::is_listed) says changes by the passing of time.
    const LISTED_FOR_A_TIME: bool = false;

    /// This aggregate's part of what there is for all of them.
    fn part<T: PerAggregate>(of: &Aggregates<T>) -> &T::Of<Self>;
    fn part_mut<T: PerAggregate>(of: &mut Aggregates<T>) -> &mut T::Of<Self>;

    /// What time alone has made true at `now`; recorded before any command is decided.
    fn lapsed(&self, _now: Millis) -> Vec<Self::Event> {
        Vec::new()
    }

    /// Whether so much has lapsed by `now` that one command does not record it all: then commands wait for that.
    fn is_behind(&self, _now: Millis) -> bool {
        false
    }

    /// Takes over what happened at `at_ms`, as the stream's event number `version`. Never fails, reads no clock.
    fn evolve(&mut self, event: &Self::Event, version: u64, at_ms: Millis);

    /// The next instant at which [`lapsed`](Self::lapsed) or [`overdue`](Self::overdue) will have something, if known.
    fn next_due(&self) -> Option<Millis> {
        None
    }

    /// Whether it is to be looked at again and again: it waits for what it is not told of.
    fn is_watched(&self, _now: Millis) -> bool {
        false
    }

    /// Work with other aggregates that is in flight and was due before `now`: sent again. All of it is idempotent.
    fn overdue(&self, _id: Self::Id, _now: Millis) -> Vec<Self::Work> {
        Vec::new()
    }

    /// Whether it has something long to do, in parts, beside what it is asked.
    fn has_backlog(&self) -> bool {
        false
    }

    /// The next parts of that, at most `max`; none when it waits for others.
    fn backlog(&self, _id: Self::Id, _max: usize) -> Vec<Self::Work> {
        Vec::new()
    }

    /// Whether it is loaded at the start, not only when it is asked for. `latest_ms`: of the latest event there is.
    fn is_listed(&self, _latest_ms: Millis) -> bool {
        Self::STAYS_IN_MEMORY
    }

    /// Whether it takes long to read it from a snapshot.
    fn is_large(&self) -> bool {
        false
    }

    /// Restores what is derived from stored fields, after a snapshot was read.
    fn rebuild(&mut self) {}

    /// Panics where something that is derived is not what the stored fields give. Looks at everything; in debug builds `evolve`
    /// calls it by [`check::after_event`].
    fn check(&self);
}

/// 128 bits of a keyed or plain hash; 32 hex digits in JSON.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, schemars::JsonSchema)]
pub struct Fingerprint(#[schemars(with = "String")] pub u128);

impl Fingerprint {
    /// Of parts, each marked off by its length.
    pub fn of(parts: &[&[u8]]) -> Fingerprint {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let bytes: [u8; 16] = hasher.finalize().as_bytes()[..16].try_into().expect("a hash has 32 bytes");
        Fingerprint(u128::from_be_bytes(bytes))
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(Uuid::from_u128(self.0).simple().encode_lower(&mut [0; 32]))
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            // A UUID's simple form is the same 32 digits, and its parser does not allocate.
            Uuid::deserialize(deserializer).map(|id| Fingerprint(id.as_u128()))
        } else {
            u128::deserialize(deserializer).map(Fingerprint)
        }
    }
}

recorded! {
    /// An Idempotency-Key and what it stood for: the same key with the same content is the same request.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
    pub struct Repeat {
        /// Fingerprint of the key (in its scope: the user's, or the organizer's).
        pub key: Fingerprint as public,
        /// Fingerprint of what was asked for.
        pub content: Fingerprint as public,
    }
}

/// What an edit may replace (HTTP's If-Match): whoever edits says which version they have seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Expected {
    /// Whatever is there.
    Any,
    /// One of these versions.
    OneOf(Vec<u64>),
}

impl Expected {
    /// Whether an edit of what `fits` describes is meant.
    pub fn allows(&self, fits: impl Fn(u64) -> bool) -> bool {
        match self {
            Expected::Any => true,
            Expected::OneOf(versions) => versions.iter().any(|version| fits(*version)),
        }
    }
}

/// The version that a creation leads to: nothing happens to what is not there. A repeated creation is answered with what
/// was true then.
pub const FIRST_VERSION: u64 = 1;

/// How long an Idempotency-Key is remembered, ms. domain.md: 24 h.
pub const REPEAT_KEPT_MS: Millis = 24 * 3600 * 1000;

/// What the events of a category are called.
pub fn event_names(category: Category) -> &'static [&'static str] {
    by_category!(category, A => <A as Aggregate>::Event::NAMES)
}

/// Whether a text is not blank, has at most `chars_max` characters and none that mislead.
fn text_fits(text: &str, chars_max: usize) -> bool {
    !text.trim().is_empty() && text.chars().count() <= chars_max && base::text::misleading(text).is_none()
}

/// Of what is stored in snapshots as JSON, like the event that it is of.
mod as_json {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};

    pub fn serialize<T: Serialize, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::to_string(value).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }

    pub fn deserialize<'de, T: DeserializeOwned, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        serde_json::from_str(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
