//! What a concert can be asked for.

use super::{Concert, ConcertChanged, ConcertCreated, Event};
use crate::text::text_fits;
use crate::{Command, Context, Effect, Expected, FIRST_VERSION, Fingerprint};
use base::id::{ConcertId, Millis, OrganizerId};

/// Characters of a title, an artist's or a venue's name.
pub const TEXT_CHARS_MAX: usize = 200;

/// A new concert. Again with the same content: it is described as it was made.
#[derive(Clone, Debug)]
pub struct Create {
    pub organizer: OrganizerId,
    pub title: String,
    pub artist: String,
    pub venue: String,
    pub content: Fingerprint,
}

/// Other texts. What is `None` stays as it is.
#[derive(Clone, Debug)]
pub struct Change {
    pub organizer: OrganizerId,
    pub expected: Expected,
    pub title: Option<String>,
    pub artist: Option<String>,
    pub venue: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Describe;

/// A concert as everybody sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    pub id: ConcertId,
    pub organizer: OrganizerId,
    pub title: String,
    pub artist: String,
    pub venue: String,
    pub created_at_ms: Millis,
    pub version: u64,
    /// It was created before, by the same request: this is what it was then.
    pub repeated: bool,
}

/// There is none, or it is not the caller's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnknownConcert;

/// A title, an artist's or a venue's name that says nothing, or too much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TextOutOfRange {
    pub field: &'static str,
}

/// Why a concert is not made, in order of precedence.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(strum::VariantNames))]
pub enum CreateRejection {
    /// The same key stood for something else.
    KeyReused,
    TextOutOfRange(TextOutOfRange),
}

/// Why a concert stays as it is, in order of precedence.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(strum::VariantNames))]
pub enum ChangeRejection {
    UnknownConcert,
    /// Since the version that the caller has seen.
    Changed {
        version: u64,
    },
    TextOutOfRange(TextOutOfRange),
}

impl Command for Create {
    type On = Concert;
    type Answer = Description;
    type Rejection = CreateRejection;

    fn decide(&self, concert: &Concert, _: &Context) -> Result<Vec<Event>, CreateRejection> {
        if let Some(created) = &concert.created {
            let same = created.organizer == self.organizer && created.content == self.content;
            return if same { Ok(vec![]) } else { Err(CreateRejection::KeyReused) };
        }
        check_texts([&self.title, &self.artist, &self.venue]).map_err(CreateRejection::TextOutOfRange)?;
        Ok(vec![Event::ConcertCreated(ConcertCreated {
            organizer_id: self.organizer,
            title: self.title.clone(),
            artist: self.artist.clone(),
            venue: self.venue.clone(),
            content: self.content,
        })])
    }

    fn answer(&self, concert: &Concert, effect: &Effect<'_, Concert>) -> Description {
        match effect.events {
            [] => concert.described_first(effect.id),
            _ => concert.described(effect.id),
        }
    }
}

impl Command for Change {
    type On = Concert;
    type Answer = Description;
    type Rejection = ChangeRejection;

    fn decide(&self, concert: &Concert, _: &Context) -> Result<Vec<Event>, ChangeRejection> {
        use ChangeRejection as R;
        let created = concert.created.as_ref().filter(|created| created.organizer == self.organizer);
        let created = created.ok_or(R::UnknownConcert)?;
        if !self.expected.allows(|version| version == created.version) {
            return Err(R::Changed { version: created.version });
        }
        let or = |new: &Option<String>, old: &String| new.as_ref().unwrap_or(old).clone();
        let changed = ConcertChanged {
            title: or(&self.title, &created.title),
            artist: or(&self.artist, &created.artist),
            venue: or(&self.venue, &created.venue),
        };
        let texts = [&changed.title, &changed.artist, &changed.venue];
        check_texts(texts).map_err(R::TextOutOfRange)?;
        let same = texts == [&created.title, &created.artist, &created.venue];
        Ok(if same { vec![] } else { vec![Event::ConcertChanged(changed)] })
    }

    fn answer(&self, concert: &Concert, effect: &Effect<'_, Concert>) -> Description {
        concert.described(effect.id)
    }
}

impl Command for Describe {
    type On = Concert;
    type Answer = Description;
    type Rejection = UnknownConcert;

    fn decide(&self, concert: &Concert, _: &Context) -> Result<Vec<Event>, UnknownConcert> {
        concert.created.as_ref().map(|_| vec![]).ok_or(UnknownConcert)
    }

    fn answer(&self, concert: &Concert, effect: &Effect<'_, Concert>) -> Description {
        concert.described(effect.id)
    }
}

impl Concert {
    /// The concert as everybody sees it; `None` before it was created.
    pub fn shown(&self, id: ConcertId) -> Option<Description> {
        let created = self.created.as_ref()?;
        Some(Description {
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

    fn described(&self, id: ConcertId) -> Description {
        self.shown(id).expect("only an existing concert answers")
    }

    /// The concert as it was created: what the request that created it was answered, and is answered again.
    fn described_first(&self, id: ConcertId) -> Description {
        let now = self.described(id);
        let first = self.created.as_ref().and_then(|created| created.first.as_deref().cloned());
        let [title, artist, venue] = first.unwrap_or([now.title, now.artist, now.venue]);
        Description { title, artist, venue, version: FIRST_VERSION, repeated: true, ..now }
    }
}

fn check_texts(texts: [&String; 3]) -> Result<(), TextOutOfRange> {
    let named = ["title", "artist", "venue"].into_iter().zip(texts);
    match named.into_iter().find(|(_, text)| !text_fits(text, TEXT_CHARS_MAX)) {
        Some((field, _)) => Err(TextOutOfRange { field }),
        None => Ok(()),
    }
}
