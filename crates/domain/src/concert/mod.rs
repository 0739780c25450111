//! A concert: title, artist, venue. Its performances are aggregates of their own.

mod command;
#[cfg(test)]
mod tests;

use crate::event::{events, recorded};
use crate::{Aggregate, FIRST_VERSION, Fingerprint, Owes};
use base::id::{Category, ConcertId, Millis, OrganizerId};
pub use command::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;

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

impl Owes for Concert {
    type Work = Infallible;
}

impl Aggregate for Concert {
    const CATEGORY: Category = Category::Concert;
    type Id = ConcertId;
    type Event = Event;
    const STAYS_IN_MEMORY: bool = true;

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
