//! An organizer: a tenant that sells tickets, known by its secret keys. Its users may come from an identity provider of
//! its own ([`provider`]).
//!
//! - [`description`]: as it is shown; its making and its name
//! - [`keys`], [`set_provider`]: what is done with its keys, and with its provider

mod description;
pub mod event;
mod keys;
pub mod provider;
mod set_provider;
#[cfg(test)]
mod tests;

use crate::{Aggregate, Fingerprint, Owes};
use base::id::{Category, Millis, OrganizerId};
pub use description::*;
pub use event::*;
pub use keys::*;
pub use provider::IdentityProvider;
use serde::{Deserialize, Serialize};
pub use set_provider::*;
use std::convert::Infallible;
use uuid::Uuid;

/// Keys of one organizer that are valid at a time.
pub const KEYS_LIVE_MAX: usize = 20;
/// Revoked keys of one organizer that are listed; beyond that the one that was revoked first is forgotten.
pub const KEYS_REVOKED_MAX: usize = 100;

/// An identity provider as it was set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provided {
    pub provider: IdentityProvider,
    /// The version of the event that set it.
    pub version: u64,
    /// Since when it has this issuer and audience.
    pub since_ms: Millis,
}

/// An organizer's secret key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Key {
    pub key: SecretKey,
    pub name: Option<String>,
    pub created_at_ms: Millis,
    pub revoked_at_ms: Option<Millis>,
    /// As it was recorded: at most [`KEY_USE_RECORDED_EVERY_MS`] out of date.
    pub used_at_ms: Option<Millis>,
    /// Of the request that made it: what its Idempotency-Key stood for.
    pub repeat: Option<Fingerprint>,
    /// How many keys there had been before it.
    pub ordinal: u64,
}

/// An organizer. Empty before `OrganizerCreated`.
#[derive(Default, Serialize, Deserialize)]
pub struct Organizer {
    created: Option<Created>,
}

#[derive(Serialize, Deserialize)]
struct Created {
    name: String,
    first_name: String,
    first_key: SecretKey,
    at_ms: Millis,
    version: u64,
    keys: Vec<Key>,
    keys_ever: u64,
    provider: Option<Provided>,
}

impl Created {
    fn live(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(|key| key.revoked_at_ms.is_none())
    }

    fn key(&self, key_id: Uuid) -> Option<&Key> {
        self.keys.iter().find(|key| key.key.key_id == key_id)
    }

    fn key_mut(&mut self, key_id: Uuid) -> Option<&mut Key> {
        self.keys.iter_mut().find(|key| key.key.key_id == key_id)
    }

    fn add(&mut self, key: SecretKey, name: Option<String>, repeat: Option<Fingerprint>, created_at_ms: Millis) {
        let ordinal = self.keys_ever;
        self.keys_ever += 1;
        self.keys.push(Key { key, name, created_at_ms, revoked_at_ms: None, used_at_ms: None, repeat, ordinal });
    }

    fn revoke(&mut self, key_id: Uuid, at_ms: Millis) {
        if let Some(key) = self.key_mut(key_id) {
            key.revoked_at_ms = Some(at_ms);
        }
        let revoked = self.keys.iter().filter_map(|key| key.revoked_at_ms.map(|at_ms| (at_ms, key.ordinal)));
        if revoked.clone().count() > KEYS_REVOKED_MAX
            && let Some((_, first)) = revoked.min()
        {
            self.keys.retain(|key| key.ordinal != first);
        }
    }

    fn provide(&mut self, provider: IdentityProvider, version: u64, at_ms: Millis) {
        let same = |before: &&Provided| {
            (&before.provider.issuer, &before.provider.audience) == (&provider.issuer, &provider.audience)
        };
        let since_ms = self.provider.as_ref().filter(same).map_or(at_ms, |before| before.since_ms);
        self.provider = Some(Provided { provider, version, since_ms });
    }
}

impl Owes for Organizer {
    type Work = Infallible;
}

impl Aggregate for Organizer {
    const CATEGORY: Category = Category::Organizer;
    type Id = OrganizerId;
    type Event = Event;
    const STAYS_IN_MEMORY: bool = true;

    fn evolve(&mut self, event: &Event, version: u64, at_ms: Millis) {
        if let Event::OrganizerCreated(event) = event {
            let OrganizerCreated { name, key } = event.clone();
            let (first_name, first_key) = (name.clone(), key.clone());
            let (keys, keys_ever, provider) = (vec![], 0, None);
            let mut created = Created { name, first_name, first_key, at_ms, version, keys, keys_ever, provider };
            created.add(key, None, None, at_ms);
            self.created = Some(created);
        }
        let Some(created) = &mut self.created else { return };
        match event {
            Event::OrganizerCreated(_) => {}
            Event::OrganizerRenamed(event) => (created.name, created.version) = (event.name.clone(), version),
            Event::KeyCreated(event) => created.add(event.key.clone(), event.name.clone(), event.repeat, at_ms),
            Event::KeyRevoked(event) => created.revoke(event.key_id, at_ms),
            Event::KeyUsed(event) => {
                if let Some(key) = created.key_mut(event.key_id) {
                    key.used_at_ms = Some(event.used_at_ms);
                }
            }
            Event::IdentityProviderSet(event) => created.provide(event.provider.clone(), version, at_ms),
            Event::IdentityProviderRemoved(_) => created.provider = None,
        }
        crate::check::after_event(self, version, KEYS_LIVE_MAX);
    }

    /// Keys stand in the order in which they came, and no more are kept than may be.
    fn check(&self) {
        let Some(created) = &self.created else { return };
        let ordinals = created.keys.iter().map(|key| key.ordinal);
        assert!(ordinals.clone().is_sorted_by(|one, next| one < next), "keys in order, each once");
        assert!(ordinals.max().is_none_or(|last| last < created.keys_ever), "keys that were counted");
        let revoked = created.keys.len() - created.live().count();
        assert!(revoked <= KEYS_REVOKED_MAX, "{revoked} revoked keys are kept");
    }
}
