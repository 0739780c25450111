//! An organizer as it is shown; its making and its name.

use super::event::{Event, OrganizerCreated, OrganizerRenamed, SecretKey};
use super::{Key, Organizer, Provided};
use crate::text::text_fits;
use crate::{Command, Context, Effect, Expected, FIRST_VERSION};
use base::id::{Millis, OrganizerId};

/// Characters of an organizer's name.
pub const NAME_CHARS_MAX: usize = 200;

/// A new organizer. Again with the same key: it is described with the name that it was made with.
#[derive(Clone, Debug)]
pub struct Create {
    pub name: String,
    pub key: SecretKey,
}

#[derive(Clone, Debug)]
pub struct Describe;

/// Another name. What is `expected` is a version of [`Description`].
#[derive(Clone, Debug)]
pub struct Rename {
    pub name: String,
    pub expected: Expected,
}

/// An organizer as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    pub id: OrganizerId,
    pub name: String,
    pub created_at_ms: Millis,
    /// The version of the last event that changed something here but the keys and the provider.
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

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnknownOrganizer;

/// Why an organizer is not made, in order of precedence.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(strum::VariantNames))]
pub enum CreateRejection {
    /// The Idempotency-Key stood for an organizer with another name.
    KeyReused,
    NameOutOfRange,
}

/// Why a name stays, in order of precedence.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(strum::VariantNames))]
pub enum RenameRejection {
    UnknownOrganizer,
    /// The caller has seen another version than this one.
    Changed {
        version: u64,
    },
    NameOutOfRange,
}

impl Command for Create {
    type On = Organizer;
    type Answer = Description;
    type Rejection = CreateRejection;

    fn decide(&self, organizer: &Organizer, _: &Context) -> Result<Vec<Event>, CreateRejection> {
        if let Some(created) = &organizer.created {
            let same = created.first_name == self.name && created.first_key == self.key;
            return if same { Ok(vec![]) } else { Err(CreateRejection::KeyReused) };
        }
        if !text_fits(&self.name, NAME_CHARS_MAX) {
            return Err(CreateRejection::NameOutOfRange);
        }
        let Create { name, key } = self.clone();
        Ok(vec![Event::OrganizerCreated(OrganizerCreated { name, key })])
    }

    fn answer(&self, organizer: &Organizer, effect: &Effect<'_, Organizer>) -> Description {
        match effect.events {
            [] => {
                let (name, version) = (self.name.clone(), FIRST_VERSION);
                Description { name, version, repeated: true, ..organizer.described(effect.id) }
            }
            _ => organizer.described(effect.id),
        }
    }
}

impl Command for Describe {
    type On = Organizer;
    type Answer = Description;
    type Rejection = UnknownOrganizer;

    fn decide(&self, organizer: &Organizer, _: &Context) -> Result<Vec<Event>, UnknownOrganizer> {
        organizer.created.as_ref().map(|_| vec![]).ok_or(UnknownOrganizer)
    }

    fn answer(&self, organizer: &Organizer, effect: &Effect<'_, Organizer>) -> Description {
        organizer.described(effect.id)
    }
}

impl Command for Rename {
    type On = Organizer;
    type Answer = Description;
    type Rejection = RenameRejection;

    fn decide(&self, organizer: &Organizer, _: &Context) -> Result<Vec<Event>, RenameRejection> {
        use RenameRejection as R;
        let created = organizer.created.as_ref().ok_or(R::UnknownOrganizer)?;
        if !self.expected.allows(|version| version == created.version) {
            return Err(R::Changed { version: created.version });
        }
        if !text_fits(&self.name, NAME_CHARS_MAX) {
            return Err(R::NameOutOfRange);
        }
        let renamed = OrganizerRenamed { name: self.name.clone() };
        Ok(if self.name == created.name { vec![] } else { vec![Event::OrganizerRenamed(renamed)] })
    }

    fn answer(&self, organizer: &Organizer, effect: &Effect<'_, Organizer>) -> Description {
        organizer.described(effect.id)
    }
}

impl Organizer {
    /// The organizer as its keys are checked by; `None` before it was created.
    pub fn shown(&self, id: OrganizerId) -> Option<Description> {
        let created = self.created.as_ref()?;
        Some(Description {
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

    pub(super) fn described(&self, id: OrganizerId) -> Description {
        self.shown(id).expect("only an existing organizer answers")
    }
}
