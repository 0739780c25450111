//! An organizer: a tenant that sells tickets, known by its secret keys.

#[cfg(test)]
mod tests;

use super::event::events;
use super::{Aggregate, Context, Fingerprint};
use crate::id::{Category, Millis, OrganizerId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Characters of an organizer's name.
pub const NAME_CHARS_MAX: usize = 200;

events! {
    OrganizerCreated = "OrganizerCreated.v1",
}

/// A tenant was created, with its first secret key (only the key's hash is kept).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OrganizerCreated {
    pub name: String,
    pub key: SecretKey,
}

/// What is kept of a secret API key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SecretKey {
    pub key_id: Uuid,
    /// The key's first characters, for people to tell keys apart.
    pub prefix: String,
    pub hash: Fingerprint,
}

/// What an organizer can be asked for.
#[derive(Clone, Debug)]
pub enum Command {
    Create {
        name: String,
        key: SecretKey,
    },
    /// Is this the hash of one of its keys?
    Authenticate {
        hash: Fingerprint,
    },
    Read,
}

/// What an organizer answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub id: OrganizerId,
    pub name: String,
    pub key: SecretKey,
    pub created_at_ms: Millis,
}

/// Why an organizer refuses.
#[derive(Clone, Debug, PartialEq)]
pub enum Rejection {
    UnknownOrganizer,
    AlreadyThere,
    NameOutOfRange,
    WrongKey,
}

/// An organizer. Empty before `OrganizerCreated`.
#[derive(Default, Serialize, Deserialize)]
pub struct Organizer {
    created: Option<Created>,
}

#[derive(Serialize, Deserialize)]
struct Created {
    name: String,
    key: SecretKey,
    at_ms: Millis,
}

impl Aggregate for Organizer {
    const CATEGORY: Category = Category::Organizer;
    type Command = Command;
    type Answer = Answer;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(&self, command: &Command, _context: &Context) -> Result<Vec<Event>, Rejection> {
        match (command, &self.created) {
            (Command::Create { name, .. }, None) if !super::text_fits(name, NAME_CHARS_MAX) => {
                Err(Rejection::NameOutOfRange)
            }
            (Command::Create { name, key }, None) => {
                Ok(vec![Event::OrganizerCreated(OrganizerCreated { name: name.clone(), key: key.clone() })])
            }
            (Command::Create { .. }, Some(_)) => Err(Rejection::AlreadyThere),
            (_, None) => Err(Rejection::UnknownOrganizer),
            (Command::Authenticate { hash }, Some(created)) if created.key.hash != *hash => Err(Rejection::WrongKey),
            (Command::Authenticate { .. } | Command::Read, Some(_)) => Ok(vec![]),
        }
    }

    fn evolve(&mut self, event: &Event, _version: u64, at_ms: Millis) {
        let Event::OrganizerCreated(event) = event;
        self.created = Some(Created { name: event.name.clone(), key: event.key.clone(), at_ms });
    }

    fn answer(&self, key: Uuid, _version: u64, _command: &Command, _events: &[Event]) -> Answer {
        let created = self.created.as_ref().expect("only an existing organizer answers");
        Answer {
            id: OrganizerId(key),
            name: created.name.clone(),
            key: created.key.clone(),
            created_at_ms: created.at_ms,
        }
    }
}
