//! An organizer's secret keys: one more, one less, and when one was used.

use super::description::Description;
use super::event::{Event, KeyCreated, KeyRevoked, KeyUsed, SecretKey};
use super::{KEYS_LIVE_MAX, Organizer};
use crate::text::text_fits;
use crate::{Command, Context, Effect, Fingerprint};
use base::id::Millis;
use uuid::Uuid;

/// Characters of a key's name.
pub const KEY_NAME_CHARS_MAX: usize = 100;
/// The use of a key is recorded when the last recorded one is so long ago, ms.
pub const KEY_USE_RECORDED_EVERY_MS: Millis = 3_600_000;

/// One more key. The same `repeat` again is the same key again.
#[derive(Clone, Debug)]
pub struct CreateKey {
    pub key: SecretKey,
    pub name: Option<String>,
    pub repeat: Option<Fingerprint>,
}

/// Revoking twice is revoking once. Only the operator may revoke the last one.
#[derive(Clone, Debug)]
pub struct RevokeKey {
    pub key_id: Uuid,
    pub by_operator: bool,
}

/// Records that a key was used.
#[derive(Clone, Debug)]
pub struct NoteUse {
    pub key_id: Uuid,
    pub at_ms: Millis,
}

/// Why there is no further key, in order of precedence.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(strum::VariantNames))]
pub enum CreateKeyRejection {
    UnknownOrganizer,
    NameOutOfRange,
    /// The Idempotency-Key stood for a key with another name.
    KeyReused,
    /// So many keys are valid.
    TooManyKeys {
        limit: usize,
    },
}

/// Why a key stays valid, in order of precedence.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(strum::VariantNames))]
pub enum RevokeKeyRejection {
    UnknownOrganizer,
    UnknownKey,
    /// Without it nobody could make another one.
    LastKey,
}

/// The organizer has none with this id, or there is no such organizer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnknownKey;

impl Command for CreateKey {
    type On = Organizer;
    type Answer = Description;
    type Rejection = CreateKeyRejection;

    fn decide(&self, organizer: &Organizer, _: &Context) -> Result<Vec<Event>, CreateKeyRejection> {
        use CreateKeyRejection as R;
        let CreateKey { key, name, repeat } = self.clone();
        let created = organizer.created.as_ref().ok_or(R::UnknownOrganizer)?;
        if name.as_ref().is_some_and(|name| !text_fits(name, KEY_NAME_CHARS_MAX)) {
            return Err(R::NameOutOfRange);
        }
        if let Some(same) = created.keys.iter().find(|key| repeat.is_some() && key.repeat == repeat) {
            return if same.name == name { Ok(vec![]) } else { Err(R::KeyReused) };
        }
        if created.live().count() >= KEYS_LIVE_MAX {
            return Err(R::TooManyKeys { limit: KEYS_LIVE_MAX });
        }
        Ok(vec![Event::KeyCreated(KeyCreated { key, name, repeat })])
    }

    fn answer(&self, organizer: &Organizer, effect: &Effect<'_, Organizer>) -> Description {
        Description { repeated: effect.events.is_empty(), ..organizer.described(effect.id) }
    }
}

impl Command for RevokeKey {
    type On = Organizer;
    type Answer = Description;
    type Rejection = RevokeKeyRejection;

    fn decide(&self, organizer: &Organizer, _: &Context) -> Result<Vec<Event>, RevokeKeyRejection> {
        use RevokeKeyRejection as R;
        let created = organizer.created.as_ref().ok_or(R::UnknownOrganizer)?;
        let key = created.key(self.key_id).ok_or(R::UnknownKey)?;
        if key.revoked_at_ms.is_some() {
            return Ok(vec![]);
        }
        if !self.by_operator && created.live().count() == 1 {
            return Err(R::LastKey);
        }
        Ok(vec![Event::KeyRevoked(KeyRevoked { key_id: self.key_id })])
    }

    fn answer(&self, organizer: &Organizer, effect: &Effect<'_, Organizer>) -> Description {
        organizer.described(effect.id)
    }
}

impl Command for NoteUse {
    type On = Organizer;
    type Answer = ();
    type Rejection = UnknownKey;

    fn decide(&self, organizer: &Organizer, _: &Context) -> Result<Vec<Event>, UnknownKey> {
        let key = organizer.created.as_ref().and_then(|created| created.key(self.key_id)).ok_or(UnknownKey)?;
        let due = key.used_at_ms.is_none_or(|before| self.at_ms >= before.saturating_add(KEY_USE_RECORDED_EVERY_MS));
        let used = KeyUsed { key_id: self.key_id, used_at_ms: self.at_ms };
        Ok(if due { vec![Event::KeyUsed(used)] } else { vec![] })
    }

    fn answer(&self, _: &Organizer, _: &Effect<'_, Organizer>) {}
}
