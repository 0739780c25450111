//! A concert: title, artist, venue. Its performances are aggregates of their own.

#[cfg(test)]
mod tests;

use super::event::events;
use super::{Aggregate, Context, Fingerprint};
use crate::id::{Category, ConcertId, Millis, OrganizerId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Characters of a title, an artist's or a venue's name.
pub const TEXT_CHARS_MAX: usize = 200;

events! {
    ConcertCreated = "ConcertCreated.v1",
}

/// An organizer announced a concert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConcertCreated {
    pub organizer_id: OrganizerId,
    pub title: String,
    pub artist: String,
    pub venue: String,
    /// Fingerprint of the request; a repeated one with the same key gives the same concert.
    pub content: Fingerprint,
}

/// What a concert can be asked for.
#[derive(Clone, Debug)]
pub enum Command {
    Create { organizer: OrganizerId, title: String, artist: String, venue: String, content: Fingerprint },
    Read,
}

/// What a concert answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub id: ConcertId,
    pub organizer: OrganizerId,
    pub title: String,
    pub artist: String,
    pub venue: String,
    pub created_at_ms: Millis,
    pub repeated: bool,
}

/// Why a concert refuses.
#[derive(Clone, Debug, PartialEq)]
pub enum Rejection {
    UnknownConcert,
    /// The same key stood for something else.
    KeyReused,
    TextOutOfRange {
        field: &'static str,
    },
}

/// A concert. Empty before `ConcertCreated`.
#[derive(Default, Serialize, Deserialize)]
pub struct Concert {
    created: Option<Created>,
}

#[derive(Serialize, Deserialize)]
struct Created {
    organizer: OrganizerId,
    title: String,
    artist: String,
    venue: String,
    content: Fingerprint,
    at_ms: Millis,
}

impl Aggregate for Concert {
    const CATEGORY: Category = Category::Concert;
    type Command = Command;
    type Answer = Answer;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(&self, command: &Command, _context: &Context) -> Result<Vec<Event>, Rejection> {
        match (command, &self.created) {
            (Command::Read, None) => Err(Rejection::UnknownConcert),
            (Command::Read, Some(_)) => Ok(vec![]),
            (Command::Create { organizer, content, .. }, Some(created)) => {
                let same = created.organizer == *organizer && created.content == *content;
                if same { Ok(vec![]) } else { Err(Rejection::KeyReused) }
            }
            (Command::Create { organizer, title, artist, venue, content }, None) => {
                for (field, text) in [("title", title), ("artist", artist), ("venue", venue)] {
                    if !super::text_fits(text, TEXT_CHARS_MAX) {
                        return Err(Rejection::TextOutOfRange { field });
                    }
                }
                Ok(vec![Event::ConcertCreated(ConcertCreated {
                    organizer_id: *organizer,
                    title: title.clone(),
                    artist: artist.clone(),
                    venue: venue.clone(),
                    content: *content,
                })])
            }
        }
    }

    fn evolve(&mut self, event: &Event, _version: u64, at_ms: Millis) {
        let Event::ConcertCreated(event) = event;
        self.created = Some(Created {
            organizer: event.organizer_id,
            title: event.title.clone(),
            artist: event.artist.clone(),
            venue: event.venue.clone(),
            content: event.content,
            at_ms,
        });
    }

    fn answer(&self, key: Uuid, _version: u64, command: &Command, events: &[Event]) -> Answer {
        let created = self.created.as_ref().expect("only an existing concert answers");
        Answer {
            id: ConcertId(key),
            organizer: created.organizer,
            title: created.title.clone(),
            artist: created.artist.clone(),
            venue: created.venue.clone(),
            created_at_ms: created.at_ms,
            repeated: matches!(command, Command::Create { .. }) && events.is_empty(),
        }
    }
}
