//! The rules, pure: no actix, no async, no clock, no randomness, no IO.
//!
//! One file per aggregate. An aggregate decides (`&self`, command → events or a rejection) and evolves (`&mut self`, event);
//! `evolve` never fails and reads no clock, so that replaying the log gives the same state on every machine.
//!
//! - [`performance`]: seats, standing areas, holds and reservations of one performance
//! - [`wallet`]: one user's points
//! - [`process`]: what aggregates owe each other; the only place that knows two of them
//! - [`queue`]: people who wait until it is their turn
//! - [`account`], [`organizer`], [`concert`]: who buys, who sells, what is played
//! - [`seeded_faults`]: bugs that the simulator has to find

pub mod account;
mod check;
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

use base::id::{AccountId, Category, ConcertId, Millis, OrganizerId, PerformanceId, QueueId, StreamId, UserId};
use event::recorded;
pub use event::{DecodeError, EventData, PRIVATE};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
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
    type Command;
    type Answer;
    type Event: EventData;
    type Rejection;

    /// What time alone has made true at `now`; recorded before any command is decided.
    fn lapsed(&self, _now: Millis) -> Vec<Self::Event> {
        Vec::new()
    }

    /// Decides `command`: the events it causes (none for a read, or for a repeated request), or why it is refused.
    fn decide(&self, command: &Self::Command, context: &Context) -> Result<Vec<Self::Event>, Self::Rejection>;

    /// Takes over what happened at `at_ms`, as the stream's event number `version`. Never fails, reads no clock.
    fn evolve(&mut self, event: &Self::Event, version: u64, at_ms: Millis);

    /// The answer to an accepted `command`, from the state after its `events`. `key` and `version` are the stream's.
    fn answer(&self, key: Uuid, version: u64, command: &Self::Command, events: &[Self::Event]) -> Self::Answer;

    /// What another aggregate must be asked because of `command`'s `result`; the caller is answered after that.
    fn follows(&self, _key: Uuid, _command: &Self::Command, _result: Result<(), &Self::Rejection>) -> Option<Command> {
        None
    }

    /// The next instant at which [`lapsed`](Self::lapsed) or [`overdue`](Self::overdue) will have something, if known.
    fn next_due(&self) -> Option<Millis> {
        None
    }

    /// Work with other aggregates that is in flight and was due before `now`: sent again. All of it is idempotent.
    fn overdue(&self, _key: Uuid, _now: Millis) -> Vec<Command> {
        Vec::new()
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

/// A command, addressed.
#[derive(Clone, Debug)]
pub enum Command {
    Performance(PerformanceId, performance::Command),
    Wallet(UserId, wallet::Command),
    Account(AccountId, account::Command),
    Organizer(OrganizerId, organizer::Command),
    Concert(ConcertId, concert::Command),
    Queue(QueueId, queue::Command),
}

impl Command {
    /// The stream of the aggregate that it is for.
    pub fn stream(&self) -> StreamId {
        let (category, key) = match self {
            Command::Performance(id, _) => (Category::Performance, id.0),
            Command::Wallet(id, _) => (Category::Wallet, id.0),
            Command::Account(id, _) => (Category::Account, id.0),
            Command::Organizer(id, _) => (Category::Organizer, id.0),
            Command::Concert(id, _) => (Category::Concert, id.0),
            Command::Queue(id, _) => (Category::Queue, id.0),
        };
        StreamId { category, key }
    }
}

impl Command {
    /// The user who would have more to do with this installation after it: refused once they are erased.
    pub fn newcomer(&self) -> Option<UserId> {
        match self {
            Command::Performance(
                _,
                performance::Command::Hold { user, .. } | performance::Command::HoldForBuyer { user, .. },
            )
            | Command::Queue(_, queue::Command::Join(queue::Person::User(user))) => Some(*user),
            _ => None,
        }
    }
}

/// The answer to an accepted command.
#[derive(Clone, Debug)]
pub enum Answer {
    Performance(performance::Answer),
    Wallet(wallet::Answer),
    Account(account::Answer),
    Organizer(organizer::Answer),
    Concert(concert::Answer),
    Queue(queue::Answer),
}

/// Why a command was refused. Expected; never a fault.
#[derive(Clone, Debug, PartialEq)]
pub enum Rejection {
    Performance(performance::Rejection),
    Wallet(wallet::Rejection),
    Account(account::Rejection),
    Organizer(organizer::Rejection),
    Concert(concert::Rejection),
    Queue(queue::Rejection),
}

/// What the events of a category are called.
pub fn event_names(category: Category) -> &'static [&'static str] {
    match category {
        Category::Performance => performance::Event::NAMES,
        Category::Wallet => wallet::Event::NAMES,
        Category::Account => account::Event::NAMES,
        Category::Organizer => organizer::Event::NAMES,
        Category::Concert => concert::Event::NAMES,
        Category::Queue => queue::Event::NAMES,
    }
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
