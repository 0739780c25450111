//! How a queue is run: making it, changing it, pausing and closing it.

use super::Queue;
use super::description::Description;
use super::event::{Event, JoinPolicy, QueueChanged, QueueCreated, QueueStateChanged, State, Terms};
use super::policy::Policy;
use crate::text::{Invalid, is_plain_url, text_fits};
use crate::{Command, Context, Effect, Expected, Fingerprint};
use base::id::{Millis, OrganizerId};

/// Characters of a queue's name.
pub const NAME_CHARS_MAX: usize = 200;
/// Allowed redirect URLs.
pub const REDIRECT_URLS_MAX: usize = 20;
/// Characters of one.
pub const REDIRECT_URL_CHARS_MAX: usize = 1_000;
/// How long an admitted person has to come, s. domain.md: at most 5 min.
const CLAIM_TTL_S: std::ops::RangeInclusive<u32> = 1..=300;
const SESSION_TTL_S: std::ops::RangeInclusive<u32> = 1..=86_400;
/// Shorter than a few polls would end sessions of people who are there.
const IDLE_TTL_S: std::ops::RangeInclusive<u32> = 10..=86_400;
const ABSENT_AFTER_S: std::ops::RangeInclusive<u32> = 1..=86_400;

/// A new queue. Again with the same content: it is described as it was made.
#[derive(Clone, Debug)]
pub struct Create {
    pub organizer: OrganizerId,
    pub terms: Terms,
    pub commitment: String,
    pub content: Fingerprint,
}

/// Other terms. What is `None` stays as it is.
#[derive(Clone, Debug)]
pub struct Change {
    pub organizer: OrganizerId,
    pub expected: Expected,
    pub name: Option<String>,
    pub redirect_urls: Option<Vec<String>>,
    pub policy: Option<Policy>,
    pub opens_at_ms: Option<Millis>,
    pub claim_ttl_s: Option<u32>,
    pub session_ttl_s: Option<u32>,
    /// `Some(None)`: sessions do not end for want of a sign of life any more.
    pub idle_ttl_s: Option<Option<u32>>,
    pub absent_after_s: Option<Option<u32>>,
    pub purchase_completes: Option<bool>,
    pub join: Option<JoinPolicy>,
}

/// Pauses a queue, resumes it, or closes it for good.
#[derive(Clone, Debug)]
pub struct SetState {
    pub organizer: OrganizerId,
    pub state: State,
}

/// Why a queue is not made, in order of precedence.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(strum::VariantNames))]
pub enum CreateRejection {
    /// The same key stood for something else.
    KeyReused,
    Invalid(Invalid),
}

/// Why terms are not changed, in order of precedence.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(strum::VariantNames))]
pub enum ChangeRejection {
    /// Or not the organizer's.
    UnknownQueue,
    /// Since the version that the caller has seen.
    Changed {
        version: u64,
    },
    Closed,
    /// It has opened: the hour cannot be changed any more.
    Opened,
    Invalid(Invalid),
}

/// Why a queue stays in its state, in order of precedence.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(strum::VariantNames))]
pub enum SetStateRejection {
    /// Or not the organizer's.
    UnknownQueue,
    /// For good.
    Closed,
}

impl Command for Create {
    type On = Queue;
    type Answer = Description;
    type Rejection = CreateRejection;

    fn decide(&self, queue: &Queue, _: &Context) -> Result<Vec<Event>, CreateRejection> {
        if let Some(created) = queue.created() {
            let same = created.facts.organizer == self.organizer && created.content == self.content;
            return if same { Ok(vec![]) } else { Err(CreateRejection::KeyReused) };
        }
        self.terms.check().map_err(CreateRejection::Invalid)?;
        Ok(vec![Event::QueueCreated(QueueCreated {
            organizer_id: self.organizer,
            terms: self.terms.clone(),
            commitment: self.commitment.clone(),
            content: self.content,
        })])
    }

    fn answer(&self, queue: &Queue, effect: &Effect<'_, Queue>) -> Description {
        match effect.events {
            [] => queue.describe_first(effect.id),
            _ => queue.describe(effect.id, effect.version),
        }
    }
}

impl Command for Change {
    type On = Queue;
    type Answer = Description;
    type Rejection = ChangeRejection;

    fn decide(&self, queue: &Queue, context: &Context) -> Result<Vec<Event>, ChangeRejection> {
        use ChangeRejection as R;
        let created = queue.of(self.organizer).ok_or(R::UnknownQueue)?;
        if !self.expected.allows(|version| version >= created.edited_version && version <= queue.version) {
            return Err(R::Changed { version: queue.version });
        }
        if created.facts.state == State::Closed {
            return Err(R::Closed);
        }
        let old = &created.facts.terms;
        let terms = self.of(old.clone());
        let has_opened = || queue.line.is_opened() || context.now >= old.opens_at_ms;
        if terms.opens_at_ms != old.opens_at_ms && has_opened() {
            return Err(R::Opened);
        }
        terms.check().map_err(R::Invalid)?;
        Ok(if terms == *old { vec![] } else { vec![Event::QueueChanged(QueueChanged { terms })] })
    }

    fn answer(&self, queue: &Queue, effect: &Effect<'_, Queue>) -> Description {
        queue.describe(effect.id, effect.version)
    }
}

impl Change {
    /// What becomes of the old terms.
    fn of(&self, old: Terms) -> Terms {
        Terms {
            name: self.name.clone().unwrap_or(old.name),
            redirect_urls: self.redirect_urls.clone().unwrap_or(old.redirect_urls),
            policy: self.policy.clone().unwrap_or(old.policy),
            opens_at_ms: self.opens_at_ms.unwrap_or(old.opens_at_ms),
            claim_ttl_s: self.claim_ttl_s.unwrap_or(old.claim_ttl_s),
            session_ttl_s: self.session_ttl_s.unwrap_or(old.session_ttl_s),
            idle_ttl_s: self.idle_ttl_s.unwrap_or(old.idle_ttl_s),
            absent_after_s: self.absent_after_s.unwrap_or(old.absent_after_s),
            purchase_completes: self.purchase_completes.unwrap_or(old.purchase_completes),
            join: self.join.unwrap_or(old.join),
        }
    }
}

impl Command for SetState {
    type On = Queue;
    type Answer = Description;
    type Rejection = SetStateRejection;

    fn decide(&self, queue: &Queue, _: &Context) -> Result<Vec<Event>, SetStateRejection> {
        let created = queue.of(self.organizer).ok_or(SetStateRejection::UnknownQueue)?;
        match created.facts.state {
            before if before == self.state => Ok(vec![]),
            State::Closed => Err(SetStateRejection::Closed),
            _ => Ok(vec![Event::QueueStateChanged(QueueStateChanged { state: self.state })]),
        }
    }

    fn answer(&self, queue: &Queue, effect: &Effect<'_, Queue>) -> Description {
        queue.describe(effect.id, effect.version)
    }
}

impl Terms {
    fn check(&self) -> Result<(), Invalid> {
        let invalid = |field: &str, reason: String| Err(Invalid::new(field, reason));
        if !text_fits(&self.name, NAME_CHARS_MAX) {
            return Err(Invalid::text("name", NAME_CHARS_MAX));
        }
        self.policy.check().or_else(|(field, reason)| invalid(field, reason))?;
        let within = |range: &std::ops::RangeInclusive<u32>, seconds: Option<u32>| {
            seconds.is_none_or(|seconds| range.contains(&seconds))
        };
        let seconds = [
            ("claim_ttl_s", CLAIM_TTL_S, Some(self.claim_ttl_s)),
            ("session_ttl_s", SESSION_TTL_S, Some(self.session_ttl_s)),
            ("idle_ttl_s", IDLE_TTL_S, self.idle_ttl_s),
            ("absent_after_s", ABSENT_AFTER_S, self.absent_after_s),
        ];
        if let Some((field, range, _)) = seconds.iter().find(|(_, range, seconds)| !within(range, *seconds)) {
            return invalid(field, format!("must be {range:?} seconds"));
        }
        if self.redirect_urls.len() > REDIRECT_URLS_MAX {
            return invalid("redirect_urls", format!("give at most {REDIRECT_URLS_MAX}"));
        }
        for (index, url) in self.redirect_urls.iter().enumerate() {
            let once = !self.redirect_urls[..index].contains(url);
            if !once || url.len() > REDIRECT_URL_CHARS_MAX || !is_plain_url(url) {
                let reason = format!(
                    "must be an https URL (http for localhost only) of at most {REDIRECT_URL_CHARS_MAX} characters, \
                     without user, fragment or spaces, named once"
                );
                return invalid(&format!("redirect_urls[{index}]"), reason);
            }
        }
        Ok(())
    }
}
