//! What happens to an organizer.

use super::provider::IdentityProvider;
use crate::Fingerprint;
use crate::event::{events, recorded};
use base::id::Millis;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

events! {
    OrganizerCreated = "OrganizerCreated.v1",
    OrganizerRenamed = "OrganizerRenamed.v1",
    KeyCreated = "KeyCreated.v1",
    KeyRevoked = "KeyRevoked.v1",
    KeyUsed = "KeyUsed.v1",
    IdentityProviderSet = "IdentityProviderSet.v1",
    IdentityProviderRemoved = "IdentityProviderRemoved.v1",
}

recorded! {
    /// A tenant was created, with its first secret key (only the key's hash is kept).
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct OrganizerCreated {
        pub name: String as public,
        pub key: SecretKey,
    }

    /// What is kept of a secret API key.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct SecretKey {
        pub key_id: Uuid,
        /// The key's first characters, for people to tell keys apart.
        pub prefix: String as private,
        pub hash: Fingerprint as private,
    }

    /// A tenant has another name.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct OrganizerRenamed {
        pub name: String as public,
    }

    /// A tenant has one more secret key (only the key's hash is kept).
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct KeyCreated {
        pub key: SecretKey,
        /// What the tenant calls it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub name: Option<String> as public,
        /// Fingerprint of the request's Idempotency-Key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub repeat: Option<Fingerprint> as public,
    }

    /// A secret key is not valid any more.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct KeyRevoked {
        pub key_id: Uuid,
    }

    /// A secret key was used. Recorded once an hour at most, so it tells the last use roughly.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct KeyUsed {
        pub key_id: Uuid,
        pub used_at_ms: Millis,
    }

    /// A tenant's users may sign in with this identity provider, as from now.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct IdentityProviderSet {
        pub provider: IdentityProvider,
    }

    /// A tenant has no identity provider any more.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct IdentityProviderRemoved {}
}
