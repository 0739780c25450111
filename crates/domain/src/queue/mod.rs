//! One queue: people who wait until it is their turn. The only judge of who is let in, and when.
//!
//! - [`entries`]: what is done with one entry; [`admit`]: letting people in; [`terms`]: how it is run
//! - [`description`]: as it is shown; [`event`]: what happens to it
//! - [`page`], [`look`]: what people see of it while they wait
//! - [`policy`]: how many may be let in; [`draw`]: the order of those who came before it opened
//! - [`order`]: where everybody stands; [`admitted`]: who was let in; [`members`]: who has which ticket
//! - [`presence`]: who is there

mod admit;
pub mod admitted;
mod check;
mod description;
pub mod draw;
mod entries;
pub mod event;
mod look;
mod members;
pub mod order;
mod page;
pub mod policy;
mod presence;
mod terms;
#[cfg(test)]
mod tests;

use crate::{Aggregate, Fingerprint, Owes};
pub use admit::*;
use admitted::Inside;
use base::id::{Category, EntryId, Millis, OrganizerId, QueueId};
pub use description::*;
pub use entries::*;
use event::{EVENT_ENTRIES_MAX, EntriesGivenUp, ExpiredBy, SessionsExpired};
pub use event::{Event, JoinPolicy, State, Terms};
pub use look::{Colors, LOGO_BYTES_MAX, Link, Logo, LogoType, Look};
use members::People;
pub use members::Person;
use order::joins::Joins;
use order::{Line, Standing};
pub use page::*;
use policy::Pace;
pub use presence::{AllPresent, Presence};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
pub use terms::*;

/// People who ever joined one queue.
pub const ENTRIES_MAX: u32 = 50_000_000;
/// People whose time is up who are recorded with one command.
const LAPSED_MAX: usize = 5_000;
/// Admission calls that are remembered by their Idempotency-Key, per queue.
const REPEATS_MAX: usize = 1_000;

/// No such queue, or not the caller's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnknownQueue;

/// A queue. Empty before `QueueCreated`.
#[derive(Default, Serialize, Deserialize)]
pub struct Queue {
    created: Option<Box<Created>>,
    line: Line,
    people: People,
    inside: Inside,
    pace: Pace,
    joins: Joins,
    /// Since when those who were passed over are.
    passed_over: BTreeMap<u32, Millis>,
    /// Admission calls, the oldest first.
    repeats: VecDeque<AdmissionCall>,
    /// Fingerprints of the join tokens by which somebody has joined: at most one for each who did.
    tokens: BTreeSet<Fingerprint>,
    version: u64,

    /// When the places of those who were passed over are given up.
    #[serde(skip)]
    given_up_at: BTreeSet<(Millis, u32)>,
}

#[derive(Serialize, Deserialize)]
struct Created {
    facts: Facts,
    content: Fingerprint,
    at_ms: Millis,
    edited_version: u64,
    /// The terms that it was created with, once they are others.
    #[serde(with = "super::as_json")]
    first_terms: Option<Box<Terms>>,
}

/// What came of an admission call, which is asked for again by its Idempotency-Key.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct AdmissionCall {
    key: Fingerprint,
    admitted: u32,
    /// People who waited, and who were inside, after it.
    waiting: u32,
    inside: u32,
}

/// How a queue is run, and what its draw rests on. Known to the queue itself and to whoever shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Facts {
    pub organizer: OrganizerId,
    #[serde(with = "super::as_json")]
    pub terms: Terms,
    pub state: State,
    pub commitment: String,
    /// Once it was drawn.
    pub seed: Option<String>,
    pub sealed: Option<String>,
    /// What everybody in line is told.
    pub notice: Option<String>,
    /// How its page looks.
    #[serde(with = "super::as_json")]
    pub look: Arc<Look>,
}

impl Facts {
    /// The facts of a queue that was just created.
    pub fn of(event: &event::QueueCreated) -> Facts {
        Facts {
            organizer: event.organizer_id,
            terms: event.terms.clone(),
            state: State::Open,
            commitment: event.commitment.clone(),
            seed: None,
            sealed: None,
            notice: None,
            look: Arc::default(),
        }
    }

    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::QueueChanged(event) => self.terms = event.terms.clone(),
            Event::QueueStateChanged(event) => self.state = event.state,
            Event::QueueNoticeSet(event) => self.notice = event.notice.clone(),
            Event::QueuePageSet(event) => self.look = Arc::new(event.look.clone()),
            Event::QueueDrawn(event) => {
                (self.seed, self.sealed) = (Some(event.seed.clone()), Some(event.sealed.clone()));
            }
            _ => {}
        }
    }
}

impl Queue {
    /// Where everybody stands.
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// Who was let in.
    pub fn inside(&self) -> &Inside {
        &self.inside
    }

    /// Since when people wait.
    pub fn joins(&self) -> &Joins {
        &self.joins
    }

    fn created(&self) -> Option<&Created> {
        self.created.as_deref()
    }

    /// What [`created`](Self::created) says, if the queue is this organizer's.
    fn of(&self, organizer: OrganizerId) -> Option<&Created> {
        self.created().filter(|created| created.facts.organizer == organizer)
    }

    /// How it is run; `None` before it was made.
    pub fn facts(&self) -> Option<&Facts> {
        self.created.as_ref().map(|created| &created.facts)
    }

    /// Whether [`Advance`] would change something, as far as the queue itself can tell.
    pub fn is_due(&self, now: Millis) -> bool {
        let Some(created) = &self.created else { return false };
        if created.facts.state == State::Closed || (!self.line.is_opened() && now < created.facts.terms.opens_at_ms) {
            return false;
        }
        !self.line.is_opened() || (self.line.counts.waiting > 0 && self.room(created, now) > 0)
    }

    /// When it is to be opened, if it is not and will be.
    fn opens_at(&self) -> Option<Millis> {
        let facts = self.facts().filter(|facts| facts.state != State::Closed)?;
        (!self.line.is_opened()).then_some(facts.terms.opens_at_ms)
    }

    fn note_given_up(&mut self) {
        let Some(absent_s) = self.created.as_ref().and_then(|created| created.facts.terms.absent_after_s) else {
            self.given_up_at.clear();
            return;
        };
        let at = |(ticket, since): (&u32, &Millis)| (since + Millis::from(absent_s) * 1_000, *ticket);
        self.given_up_at = self.passed_over.iter().map(at).collect();
    }

    fn pass_over(&mut self, ticket: u32, at_ms: Millis) {
        self.passed_over.insert(ticket, at_ms);
        if let Some(absent_s) = self.created.as_ref().and_then(|created| created.facts.terms.absent_after_s) {
            self.given_up_at.insert((at_ms + Millis::from(absent_s) * 1_000, ticket));
        }
    }

    fn forget_passed_over(&mut self, ticket: u32) {
        let Some(since) = self.passed_over.remove(&ticket) else { return };
        if let Some(absent_s) = self.created.as_ref().and_then(|created| created.facts.terms.absent_after_s) {
            self.given_up_at.remove(&(since + Millis::from(absent_s) * 1_000, ticket));
        }
    }

    fn note_admitted(&mut self, event: &event::EntriesAdmitted, at_ms: Millis) {
        let admitted = event.entries.len() as u32;
        if let Some(rate) = self.created.as_ref().and_then(|created| created.facts.terms.policy.rate) {
            self.pace.note(rate, admitted, at_ms);
        }
        let Some(key) = event.repeat else { return };
        let (waiting, inside) = (event.waiting, event.inside);
        match self.repeats.back_mut() {
            Some(last) if last.key == key => {
                let admitted = last.admitted + admitted;
                *last = AdmissionCall { key, admitted, waiting, inside };
            }
            _ => self.repeats.push_back(AdmissionCall { key, admitted, waiting, inside }),
        }
        if self.repeats.len() > REPEATS_MAX {
            self.repeats.pop_front();
        }
    }
}

impl Owes for Queue {
    type Work = Infallible;
}

impl Aggregate for Queue {
    const CATEGORY: Category = Category::Queue;
    type Id = QueueId;
    type Event = Event;
    const NEEDS_MACHINE_CLOCK: bool = true;
    const STAYS_IN_MEMORY: bool = true;

    fn lapsed(&self, now: Millis) -> Vec<Event> {
        // More of them wait for the next command: what is recorded at once is bounded.
        let ended: Vec<u32> = self.inside.ended(now).take(LAPSED_MAX).collect();
        let mut inside = self.line.counts.inside();
        let expired = ended.chunks(EVENT_ENTRIES_MAX).map(|tickets| {
            inside -= tickets.len() as u32;
            Event::SessionsExpired(SessionsExpired { tickets: tickets.into(), reason: ExpiredBy::Time, inside })
        });
        let given_up = self.given_up_at.iter().take_while(|(at, _)| *at <= now).map(|(_, ticket)| *ticket);
        let given_up: Vec<u32> = given_up.take(LAPSED_MAX).collect();
        let given_up = given_up.chunks(EVENT_ENTRIES_MAX);
        let given_up = given_up.map(|tickets| Event::EntriesGivenUp(EntriesGivenUp { tickets: tickets.into() }));
        expired.chain(given_up).collect()
    }

    fn evolve(&mut self, event: &Event, version: u64, at_ms: Millis) {
        self.version = version;
        match event {
            Event::QueueCreated(event) => {
                let (facts, content) = (Facts::of(event), event.content);
                let (edited_version, first_terms) = (version, None);
                self.created = Some(Box::new(Created { facts, content, at_ms, edited_version, first_terms }));
            }
            Event::EntriesAdmitted(event) => self.note_admitted(event, at_ms),
            Event::EntryJoined(joined) => {
                self.people.join(&Person::of(joined));
                self.tokens.extend(joined.token);
                self.joins.note(joined.ticket, at_ms);
            }
            _ => {}
        }
        if let Some(created) = &mut self.created {
            if matches!(event, Event::QueueChanged(_)) {
                created.first_terms.get_or_insert_with(|| Box::new(created.facts.terms.clone()));
            }
            created.facts.apply(event);
            if matches!(event, Event::QueueChanged(_) | Event::QueueStateChanged(_)) {
                created.edited_version = version;
            }
        }
        if let Event::QueueChanged(_) = event {
            self.note_given_up();
        }
        self.line.apply(event, at_ms);
        self.inside.apply(event, at_ms);
        if !self.passed_over.is_empty() || matches!(event, Event::EntriesPassedOver(_)) {
            self.note_passed_over(event, at_ms);
        }
        crate::check::after_event(self, version, self.parts());
    }

    fn next_due(&self) -> Option<Millis> {
        let given_up = self.given_up_at.first().map(|(at, _)| *at);
        [self.inside.next_end(), given_up, self.opens_at()].into_iter().flatten().min()
    }

    /// While somebody is there: people come and go, and room is made, without a word to the queue.
    fn is_watched(&self, now: Millis) -> bool {
        let counts = &self.line.counts;
        let somebody = counts.waiting > 0 || counts.inside() > 0 || !self.passed_over.is_empty();
        somebody || self.opens_at().is_some_and(|at| at <= now)
    }

    fn rebuild(&mut self) {
        self.inside.rebuild();
        self.note_given_up();
    }

    fn check(&self) {
        self.check_derived();
    }
}

impl Queue {
    /// Has everything ready that the first command would wait for.
    pub fn prepare(&self) {
        self.people.prepare();
    }

    fn note_passed_over(&mut self, event: &Event, at_ms: Millis) {
        match event.moved() {
            Some((Standing::PassedOver, tickets)) => tickets.for_each(|ticket| self.pass_over(ticket, at_ms)),
            Some((_, tickets)) => tickets.for_each(|ticket| self.forget_passed_over(ticket)),
            None => {}
        }
    }

    fn repeated(&self, repeat: Fingerprint) -> Option<AdmissionCall> {
        self.repeats.iter().find(|known| known.key == repeat).copied()
    }
}

/// The entry with this ticket.
fn entry(queue: QueueId, ticket: u32) -> EntryId {
    EntryId::of(queue, ticket)
}
