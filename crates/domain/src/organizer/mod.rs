//! An organizer: a tenant that sells tickets, known by its secret keys. Its users may come from an identity provider of
//! its own ([`provider`]).

pub mod event;
pub mod provider;
#[cfg(test)]
mod tests;

use super::{Aggregate, Context, Expected, FIRST_VERSION, Fingerprint};
use base::id::{Category, Millis, OrganizerId};
pub use event::*;
pub use provider::{IdentityProvider, InvalidProvider};
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use uuid::Uuid;

/// Characters of an organizer's name.
pub const NAME_CHARS_MAX: usize = 200;
/// Characters of a key's name.
pub const KEY_NAME_CHARS_MAX: usize = 100;
/// Keys of one organizer that are valid at a time.
pub const KEYS_LIVE_MAX: usize = 20;
/// Revoked keys of one organizer that are listed; beyond that the one that was revoked first is forgotten.
pub const KEYS_REVOKED_MAX: usize = 100;
/// The use of a key is recorded when the last recorded one is so long ago, ms.
pub const KEY_USE_RECORDED_EVERY_MS: Millis = 3_600_000;

/// What an organizer can be asked for. What is `expected` is a version of [`Answer`], or of its provider.
#[derive(Clone, Debug)]
pub enum Command {
    Create {
        name: String,
        key: SecretKey,
    },
    Read,
    Rename {
        name: String,
        expected: Expected,
    },
    /// One more key. The same `repeat` again is the same key again.
    CreateKey {
        key: SecretKey,
        name: Option<String>,
        repeat: Option<Fingerprint>,
    },
    /// Revoking twice is revoking once. Only the operator may revoke the last one.
    RevokeKey {
        key_id: Uuid,
        by_operator: bool,
    },
    /// Records that a key was used.
    NoteUse {
        key_id: Uuid,
        at_ms: Millis,
    },
    /// `expected`: of the provider that is there; `None` when there is none.
    SetProvider {
        provider: Box<IdentityProvider>,
        expected: Option<Expected>,
    },
    /// Removing it twice is removing it once.
    RemoveProvider,
}

/// What an organizer answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub id: OrganizerId,
    pub name: String,
    pub created_at_ms: Millis,
    /// Of the last event that changed what is here but for the keys and the provider.
    pub version: u64,
    /// The oldest first; revoked ones, too.
    pub keys: Vec<Key>,
    /// How many keys there ever were.
    pub keys_ever: u64,
    pub provider: Option<Provided>,
    /// What was to be created was created before, by the same request. Of an organizer name and version are then those of
    /// that time.
    pub repeated: bool,
}

/// An identity provider as it was set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provided {
    pub provider: IdentityProvider,
    /// Of the event that set it.
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

/// Why an organizer refuses.
#[derive(Clone, Debug, PartialEq)]
pub enum Rejection {
    UnknownOrganizer,
    NameOutOfRange,
    KeyNameOutOfRange,
    UnknownKey,
    /// Without it nobody could make another one.
    LastKey,
    /// So many keys are valid.
    TooManyKeys {
        limit: usize,
    },
    /// The Idempotency-Key stood for an organizer or a key with another name.
    KeyReused,
    /// The caller has seen another version than this one.
    Changed {
        version: u64,
    },
    /// There is one already: say which version of it is meant.
    ProviderThere {
        version: u64,
    },
    InvalidProvider(InvalidProvider),
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

    fn create_key(&self, key: &SecretKey, name: &Option<String>, repeat: Option<Fingerprint>) -> Decided {
        if name.as_ref().is_some_and(|name| !super::text_fits(name, KEY_NAME_CHARS_MAX)) {
            return Err(Rejection::KeyNameOutOfRange);
        }
        if let Some(same) = self.keys.iter().find(|key| repeat.is_some() && key.repeat == repeat) {
            return if same.name == *name { Ok(vec![]) } else { Err(Rejection::KeyReused) };
        }
        if self.live().count() >= KEYS_LIVE_MAX {
            return Err(Rejection::TooManyKeys { limit: KEYS_LIVE_MAX });
        }
        Ok(vec![Event::KeyCreated(KeyCreated { key: key.clone(), name: name.clone(), repeat })])
    }

    fn revoke_key(&self, key_id: Uuid, by_operator: bool) -> Decided {
        let key = self.key(key_id).ok_or(Rejection::UnknownKey)?;
        if key.revoked_at_ms.is_some() {
            return Ok(vec![]);
        }
        if !by_operator && self.live().count() == 1 {
            return Err(Rejection::LastKey);
        }
        Ok(vec![Event::KeyRevoked(KeyRevoked { key_id })])
    }

    fn note_use(&self, key_id: Uuid, at_ms: Millis) -> Decided {
        let key = self.key(key_id).ok_or(Rejection::UnknownKey)?;
        let due = key.used_at_ms.is_none_or(|before| at_ms >= before.saturating_add(KEY_USE_RECORDED_EVERY_MS));
        Ok(if due { vec![Event::KeyUsed(KeyUsed { key_id, used_at_ms: at_ms })] } else { vec![] })
    }

    fn set_provider(&self, provider: &IdentityProvider, expected: Option<&Expected>) -> Decided {
        match (&self.provider, expected) {
            (None, None) => {}
            (Some(there), None) => return Err(Rejection::ProviderThere { version: there.version }),
            (Some(there), Some(expected)) if expected.allows(|version| version == there.version) => {}
            (there, Some(_)) => {
                return Err(Rejection::Changed { version: there.as_ref().map_or(0, |there| there.version) });
            }
        }
        provider.check().map_err(Rejection::InvalidProvider)?;
        Ok(vec![Event::IdentityProviderSet(IdentityProviderSet { provider: provider.clone() })])
    }
}

type Decided = Result<Vec<Event>, Rejection>;

impl Aggregate for Organizer {
    const CATEGORY: Category = Category::Organizer;
    type Id = OrganizerId;
    type Event = Event;
    type Work = Infallible;
    const STAYS_IN_MEMORY: bool = true;

    crate::aggregates::part!(organizers);

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

impl Organizer {
    fn decide_on_command(&self, command: &Command) -> Decided {
        let Some(created) = &self.created else {
            return match command {
                Command::Create { name, .. } if !super::text_fits(name, NAME_CHARS_MAX) => {
                    Err(Rejection::NameOutOfRange)
                }
                Command::Create { name, key } => {
                    Ok(vec![Event::OrganizerCreated(OrganizerCreated { name: name.clone(), key: key.clone() })])
                }
                _ => Err(Rejection::UnknownOrganizer),
            };
        };
        match command {
            Command::Create { name, key } => {
                let same = created.first_name == *name && created.first_key == *key;
                if same { Ok(vec![]) } else { Err(Rejection::KeyReused) }
            }
            Command::Read => Ok(vec![]),
            Command::Rename { expected, .. } if !expected.allows(|version| version == created.version) => {
                Err(Rejection::Changed { version: created.version })
            }
            Command::Rename { name, .. } if !super::text_fits(name, NAME_CHARS_MAX) => Err(Rejection::NameOutOfRange),
            Command::Rename { name, .. } if *name == created.name => Ok(vec![]),
            Command::Rename { name, .. } => Ok(vec![Event::OrganizerRenamed(OrganizerRenamed { name: name.clone() })]),
            Command::CreateKey { key, name, repeat } => created.create_key(key, name, *repeat),
            Command::RevokeKey { key_id, by_operator } => created.revoke_key(*key_id, *by_operator),
            Command::NoteUse { key_id, at_ms } => created.note_use(*key_id, *at_ms),
            Command::SetProvider { provider, expected } => created.set_provider(provider, expected.as_ref()),
            Command::RemoveProvider if created.provider.is_none() => Ok(vec![]),
            Command::RemoveProvider => Ok(vec![Event::IdentityProviderRemoved(IdentityProviderRemoved {})]),
        }
    }

    /// As its keys are checked by, once it was created.
    pub fn shown(&self, id: OrganizerId) -> Option<Answer> {
        let created = self.created.as_ref()?;
        Some(Answer {
            id,
            name: created.name.clone(),
            created_at_ms: created.at_ms,
            version: created.version,
            keys: created.keys.clone(),
            keys_ever: created.keys_ever,
            provider: created.provider.clone(),
            repeated: false,
        })
    }

    pub fn answer_to(&self, key: Uuid, _version: u64, command: &Command, events: &[Event]) -> Answer {
        let created = self.created.as_ref().expect("only an existing organizer answers");
        let repeated = matches!(command, Command::Create { .. } | Command::CreateKey { .. }) && events.is_empty();
        let (name, version) = match command {
            Command::Create { .. } if repeated => (&created.first_name, FIRST_VERSION),
            _ => (&created.name, created.version),
        };
        Answer {
            id: OrganizerId(key),
            name: name.clone(),
            created_at_ms: created.at_ms,
            version,
            keys: created.keys.clone(),
            keys_ever: created.keys_ever,
            provider: created.provider.clone(),
            repeated,
        }
    }
}

impl crate::Command for Command {
    type On = Organizer;
    type Answer = Answer;
    type Rejection = Rejection;

    fn decide(&self, on: &Organizer, _: &Context) -> Result<Vec<Event>, Rejection> {
        on.decide_on_command(self)
    }

    fn answer(&self, on: &Organizer, effect: &crate::Effect<'_, Organizer>) -> Answer {
        on.answer_to(effect.id.into(), effect.version, self, effect.events)
    }
}
