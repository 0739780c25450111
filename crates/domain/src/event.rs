//! Events on paper: versioned names, JSON there and back.

use base::id::{AccountId, ConcertId, EntryId, OrganizerId, PerformanceId, QueueId, ReservationId, UserId};
use schemars::Schema;
use uuid::Uuid;

/// A recorded event that no code here can read: written by a newer version, or damaged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {name}: {reason}")]
pub struct DecodeError {
    pub name: String,
    pub reason: String,
}

/// What the schema of a private field has: it stays in the log, being personal data or made of secrets.
pub const PRIVATE: &str = "x-private";

/// What may be a field of an event without a mark: numbers, ids, words of a closed set, and structs whose own texts are marked.
/// Everything else says whether it is published, so that nothing leaves because nobody thought of it.
#[diagnostic::on_unimplemented(
    message = "a field of an event that may hold a text must say whether it is published",
    label = "write `{Self} as public` or `{Self} as private`, or declare the struct by `recorded!`"
)]
pub trait Marked {}

macro_rules! plain {
    ($($type:ty),+ $(,)?) => { $(impl Marked for $type {})+ };
}
plain!(bool, u8, u32, u64, i64, Uuid);
plain!(UserId, AccountId, OrganizerId, ConcertId, PerformanceId, ReservationId, QueueId, EntryId);
impl<T: Marked> Marked for Option<T> {}
impl<T: Marked> Marked for Vec<T> {}

/// The mark of a field that may be published.
pub fn public(_: &mut Schema) {}

/// The mark of a field that stays in the log.
pub fn private(schema: &mut Schema) {
    schema.insert(PRIVATE.into(), true.into());
}

/// Declares structs that are in events. Behind the type of a field that may hold a text stands `as public` or `as private`.
macro_rules! recorded {
    ($(
        $(#[$about:meta])*
        pub struct $name:ident {
            $($(#[$about_field:meta])* pub $field:ident: $type:ty $(as $mark:ident)?,)*
        }
    )+) => {$(
        $(#[$about])*
        pub struct $name {
            $(
                $(#[$about_field])*
                $(#[schemars(transform = $crate::event::$mark)])?
                pub $field: $type,
            )*
        }

        impl $crate::event::Marked for $name {}
        $($crate::event::marked!($type $(as $mark)?);)*
    )+};
}
pub(crate) use recorded;

/// Does not compile where a type without a mark may hold a text.
macro_rules! marked {
    ($type:ty) => {
        const _: fn() = || {
            fn needs_no_mark<T: $crate::event::Marked>() {}
            needs_no_mark::<$type>();
        };
    };
    ($type:ty as $mark:ident) => {};
}
pub(crate) use marked;

/// Says of enums that each is a closed set of words. Does not compile where a variant holds something.
macro_rules! words {
    ($($type:ty),+) => {$(
        impl $crate::event::Marked for $type {}
        const _: fn($type) -> u8 = |word| word as u8;
    )+};
}
pub(crate) use words;

/// An aggregate's events: a closed set of named, versioned JSON documents.
pub trait EventData: Sized {
    /// Name and schema version, e.g. `SeatsHeld.v1`.
    fn name(&self) -> &'static str;
    /// Appends the event's JSON.
    fn encode(&self, out: &mut Vec<u8>);
    /// Reads what [`encode`](Self::encode) wrote, in this or any released version before.
    fn decode(name: &str, data: &[u8]) -> Result<Self, DecodeError>;
    /// Every event's name, as they are declared.
    const NAMES: &'static [&'static str];
    /// Every event's name and JSON Schema, for `schema/`.
    fn schemas() -> Vec<(&'static str, Schema)>;
}

/// Declares an aggregate's events: each variant holds the struct of the same name, stored as `Name.vN`.
macro_rules! events {
    ($($variant:ident = $name:literal),+ $(,)?) => {
        /// What can happen here.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Event {
            $($variant($variant)),+
        }

        $($crate::event::marked!($variant);)+

        impl $crate::EventData for Event {
            const NAMES: &'static [&'static str] = &[$($name),+];

            fn name(&self) -> &'static str {
                match self {
                    $(Event::$variant(_) => $name),+
                }
            }

            fn encode(&self, out: &mut Vec<u8>) {
                let written = match self {
                    $(Event::$variant(event) => serde_json::to_writer(out, event)),+
                };
                written.expect("an event is plain data, and a Vec takes every byte");
            }

            fn decode(name: &str, data: &[u8]) -> Result<Self, $crate::DecodeError> {
                let read = match name {
                    $($name => serde_json::from_slice(data).map(Event::$variant),)+
                    _ => return Err($crate::DecodeError {
                        name: name.into(),
                        reason: "unknown here; was it written by a newer version?".into(),
                    }),
                };
                read.map_err(|error| $crate::DecodeError { name: name.into(), reason: error.to_string() })
            }

            fn schemas() -> Vec<(&'static str, schemars::Schema)> {
                vec![$(($name, schemars::schema_for!($variant))),+]
            }
        }
    };
}
pub(crate) use events;
