//! Short names of long or secret things.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

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
