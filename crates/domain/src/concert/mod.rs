//! A concert: title, artist, venue. Its performances are aggregates of their own.

#[cfg(test)]
mod tests;

use super::event::{events, recorded};
use super::{Aggregate, Context, Expected, FIRST_VERSION, Fingerprint};
use base::id::{Category, ConcertId, Millis, OrganizerId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use uuid::Uuid;

/// Characters of a title, an artist's or a venue's name.
pub const TEXT_CHARS_MAX: usize = 200;

events! {
    ConcertCreated = "ConcertCreated.v1",
    ConcertChanged = "ConcertChanged.v1",
}

recorded! {
    /// An organizer announced a concert.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct ConcertCreated {
        pub organizer_id: OrganizerId,
        pub title: String as public,
        pub artist: String as public,
        pub venue: String as public,
        /// Fingerprint of the request; a repeated one with the same key gives the same concert.
        pub content: Fingerprint as public,
    }

    /// Its organizer changed what is announced. All as it is now.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct ConcertChanged {
        pub title: String as public,
        pub artist: String as public,
        pub venue: String as public,
    }
}

/// What a concert can be asked for.
#[derive(Clone, Debug)]
pub enum Command {
    Create {
        organizer: OrganizerId,
        title: String,
        artist: String,
        venue: String,
        content: Fingerprint,
    },
    /// What is `None` stays as it is.
    Change {
        organizer: OrganizerId,
        expected: Expected,
        title: Option<String>,
        artist: Option<String>,
        venue: Option<String>,
    },
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
    pub version: u64,
    /// It was created before, by the same request: this is the answer that was given then.
    pub repeated: bool,
}

/// Why a concert refuses.
#[derive(Clone, Debug, PartialEq)]
pub enum Rejection {
    UnknownConcert,
    /// The same key stood for something else.
    KeyReused,
    /// It was changed since the version that the caller has seen.
    Changed {
        version: u64,
    },
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
    version: u64,
    /// Title, artist and venue as they were at first, once they are others.
    first: Option<Box<[String; 3]>>,
}

fn check_texts(texts: [&String; 3]) -> Result<(), Rejection> {
    let named = ["title", "artist", "venue"].into_iter().zip(texts);
    match named.into_iter().find(|(_, text)| !super::text_fits(text, TEXT_CHARS_MAX)) {
        Some((field, _)) => Err(Rejection::TextOutOfRange { field }),
        None => Ok(()),
    }
}

impl Aggregate for Concert {
    const CATEGORY: Category = Category::Concert;
    type Id = ConcertId;
    type Event = Event;
    type Work = Infallible;
    const STAYS_IN_MEMORY: bool = true;

    crate::aggregates::part!(concerts);

    fn evolve(&mut self, event: &Event, version: u64, at_ms: Millis) {
        match (event, &mut self.created) {
            (Event::ConcertCreated(event), _) => {
                self.created = Some(Created {
                    organizer: event.organizer_id,
                    title: event.title.clone(),
                    artist: event.artist.clone(),
                    venue: event.venue.clone(),
                    content: event.content,
                    at_ms,
                    version,
                    first: None,
                });
            }
            (Event::ConcertChanged(event), Some(concert)) => {
                let Created { title, artist, venue, first, .. } = concert;
                first.get_or_insert_with(|| Box::new([title.clone(), artist.clone(), venue.clone()]));
                (*title, *artist, *venue) = (event.title.clone(), event.artist.clone(), event.venue.clone());
                concert.version = version;
            }
            (Event::ConcertChanged(_), None) => {}
        }
        crate::check::after_event(self, version, 1);
    }

    /// Nothing is derived; but what it was at first is kept from the first change on, and not before.
    fn check(&self) {
        if let Some(created) = &self.created {
            assert_eq!(created.first.is_some(), created.version > FIRST_VERSION, "what it was at first");
        }
    }
}

impl Concert {
    fn decide_on_command(&self, command: &Command) -> Result<Vec<Event>, Rejection> {
        match (command, &self.created) {
            (Command::Read | Command::Change { .. }, None) => Err(Rejection::UnknownConcert),
            (Command::Read, Some(_)) => Ok(vec![]),
            (Command::Change { organizer, .. }, Some(created)) if *organizer != created.organizer => {
                Err(Rejection::UnknownConcert)
            }
            (Command::Change { expected, title, artist, venue, .. }, Some(created)) => {
                if !expected.allows(|version| version == created.version) {
                    return Err(Rejection::Changed { version: created.version });
                }
                let or = |new: &Option<String>, old: &String| new.as_ref().unwrap_or(old).clone();
                let changed = ConcertChanged {
                    title: or(title, &created.title),
                    artist: or(artist, &created.artist),
                    venue: or(venue, &created.venue),
                };
                check_texts([&changed.title, &changed.artist, &changed.venue])?;
                let same = [&changed.title, &changed.artist, &changed.venue]
                    == [&created.title, &created.artist, &created.venue];
                Ok(if same { vec![] } else { vec![Event::ConcertChanged(changed)] })
            }
            (Command::Create { organizer, content, .. }, Some(created)) => {
                let same = created.organizer == *organizer && created.content == *content;
                if same { Ok(vec![]) } else { Err(Rejection::KeyReused) }
            }
            (Command::Create { organizer, title, artist, venue, content }, None) => {
                check_texts([title, artist, venue])?;
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

    /// As everybody sees it, once it was created.
    pub fn shown(&self, id: ConcertId) -> Option<Answer> {
        let created = self.created.as_ref()?;
        Some(Answer {
            id,
            organizer: created.organizer,
            title: created.title.clone(),
            artist: created.artist.clone(),
            venue: created.venue.clone(),
            created_at_ms: created.at_ms,
            version: created.version,
            repeated: false,
        })
    }

    pub fn answer_to(&self, key: Uuid, _version: u64, command: &Command, events: &[Event]) -> Answer {
        let created = self.created.as_ref().expect("only an existing concert answers");
        let repeated = matches!(command, Command::Create { .. }) && events.is_empty();
        let now = [&created.title, &created.artist, &created.venue];
        let first = created.first.as_ref().filter(|_| repeated).map(|first| first.each_ref());
        let [title, artist, venue] = first.unwrap_or(now).map(String::clone);
        let version = if repeated { FIRST_VERSION } else { created.version };
        let (organizer, created_at_ms) = (created.organizer, created.at_ms);
        Answer { id: ConcertId(key), organizer, title, artist, venue, created_at_ms, version, repeated }
    }
}

impl crate::Command for Command {
    type On = Concert;
    type Answer = Answer;
    type Rejection = Rejection;

    fn decide(&self, on: &Concert, _: &Context) -> Result<Vec<Event>, Rejection> {
        on.decide_on_command(self)
    }

    fn answer(&self, on: &Concert, effect: &crate::Effect<'_, Concert>) -> Answer {
        on.answer_to(effect.id.into(), effect.version, self, effect.events)
    }
}
