//! What requests of all kinds say of themselves: that they are the same as before, and which version they mean.

use crate::event::recorded;
use crate::fingerprint::Fingerprint;
use base::id::Millis;
use serde::{Deserialize, Serialize};

recorded! {
    /// An Idempotency-Key and what it stood for: the same key with the same content is the same request.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
    #[serde(rename = "Repeat")]
    pub struct IdempotencyRecord {
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
