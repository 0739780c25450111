//! Whether an organizer's users may come from an identity provider of its own: setting and removing it.

use super::Organizer;
use super::description::{Description, UnknownOrganizer};
use super::event::{Event, IdentityProviderRemoved, IdentityProviderSet};
use super::provider::IdentityProvider;
use crate::text::Invalid;
use crate::{Command, Context, Effect, Expected};

/// Another provider, or the first one.
#[derive(Clone, Debug)]
pub struct SetProvider {
    pub provider: IdentityProvider,
    /// The version of the provider that is there; `None` when there is none.
    pub expected: Option<Expected>,
}

/// Removing it twice is removing it once.
#[derive(Clone, Debug)]
pub struct RemoveProvider;

/// Why a provider is not set, in order of precedence.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(strum::VariantNames))]
pub enum SetProviderRejection {
    UnknownOrganizer,
    /// There is one already: say which version of it is meant.
    ProviderThere {
        version: u64,
    },
    /// The caller has seen another version than this one.
    Changed {
        version: u64,
    },
    Invalid(Invalid),
}

impl Command for SetProvider {
    type On = Organizer;
    type Answer = Description;
    type Rejection = SetProviderRejection;

    fn decide(&self, organizer: &Organizer, _: &Context) -> Result<Vec<Event>, SetProviderRejection> {
        use SetProviderRejection as R;
        let created = organizer.created.as_ref().ok_or(R::UnknownOrganizer)?;
        match (&created.provider, &self.expected) {
            (None, None) => {}
            (Some(there), None) => return Err(R::ProviderThere { version: there.version }),
            (Some(there), Some(expected)) if expected.allows(|version| version == there.version) => {}
            (there, Some(_)) => {
                return Err(R::Changed { version: there.as_ref().map_or(0, |there| there.version) });
            }
        }
        self.provider.check().map_err(R::Invalid)?;
        Ok(vec![Event::IdentityProviderSet(IdentityProviderSet { provider: self.provider.clone() })])
    }

    fn answer(&self, organizer: &Organizer, effect: &Effect<'_, Organizer>) -> Description {
        organizer.described(effect.id)
    }
}

impl Command for RemoveProvider {
    type On = Organizer;
    type Answer = Description;
    type Rejection = UnknownOrganizer;

    fn decide(&self, organizer: &Organizer, _: &Context) -> Result<Vec<Event>, UnknownOrganizer> {
        let created = organizer.created.as_ref().ok_or(UnknownOrganizer)?;
        let removed = created.provider.as_ref().map(|_| Event::IdentityProviderRemoved(IdentityProviderRemoved {}));
        Ok(removed.into_iter().collect())
    }

    fn answer(&self, organizer: &Organizer, effect: &Effect<'_, Organizer>) -> Description {
        organizer.described(effect.id)
    }
}
