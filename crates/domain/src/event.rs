//! Events on paper: versioned names, JSON there and back.

use schemars::Schema;

/// A recorded event that no code here can read: written by a newer version, or damaged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {name}: {reason}")]
pub struct DecodeError {
    pub name: String,
    pub reason: String,
}

/// What a field is marked with (`#[schemars(extend("x-private" = true))]`) that stays in the log: personal data, what is made of
/// secrets. Everything else may be published.
pub const PRIVATE: &str = "x-private";

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
