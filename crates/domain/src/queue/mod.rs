//! One queue: people who wait until it is their turn. The only judge of who is let in, and when.
//!
//! - [`command`]: what it can be asked for, its answers and its rejections; [`event`]: what happens to it
//! - [`decide`]: the rules; [`admit`]: those of letting people in; [`terms`]: those of how it is run
//! - [`policy`]: how many may be let in; [`draw`]: the order of those who came before it opened
//! - [`order`]: where everybody stands; [`admitted`]: who was let in; [`members`]: who has which ticket

mod admit;
pub mod admitted;
mod check;
pub mod command;
mod decide;
pub mod draw;
pub mod event;
mod members;
pub mod order;
pub mod policy;
mod terms;
#[cfg(test)]
mod tests;

use super::{Aggregate, Context, FIRST_VERSION, Fingerprint};
pub use admit::{ADMITTED_MAX, EXTENDED_MS_MAX, LEARN_MS_MAX, NAMED_MAX};
use admitted::Inside;
use base::id::{Category, EntryId, Millis, OrganizerId, QueueId, UserId};
pub use command::*;
pub use event::{Event, State, Terms};
use members::People;
use order::joins::Joins;
use order::{Counts, Line, Standing};
use policy::Pace;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use uuid::Uuid;

/// People who ever joined one queue.
pub const ENTRIES_MAX: u32 = 50_000_000;
/// A machine whose clock is behind by less is not worth a word: those who check tokens allow some seconds.
const MACHINE_BEHIND_MS_MIN: Millis = 1_000;
/// Admission calls that are remembered by their Idempotency-Key, per queue.
const REPEATS_MAX: usize = 1_000;

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
}

impl Facts {
    /// Of a queue that was made.
    pub fn of(event: &event::QueueCreated) -> Facts {
        Facts {
            organizer: event.organizer_id,
            terms: event.terms.clone(),
            state: State::Open,
            commitment: event.commitment.clone(),
            seed: None,
            sealed: None,
        }
    }

    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::QueueChanged(event) => self.terms = event.terms.clone(),
            Event::QueueStateChanged(event) => self.state = event.state,
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

    /// How it is run; `None` before it was made.
    pub fn facts(&self) -> Option<&Facts> {
        self.created.as_ref().map(|created| &created.facts)
    }

    /// Whether [`Command::Advance`] would change something, as far as the queue itself can tell.
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

    fn describe(&self, id: QueueId, version: u64) -> Description {
        let created = self.created.as_ref().expect("only an existing queue is described");
        Description {
            id,
            organizer: created.facts.organizer,
            terms: created.facts.terms.clone(),
            state: created.facts.state,
            opened: self.line.is_opened(),
            created_at_ms: created.at_ms,
            commitment: created.facts.commitment.clone(),
            seed: created.facts.seed.clone(),
            sealed: created.facts.sealed.clone(),
            joined: self.line.joined(),
            counts: self.line.counts,
            edited_version: created.edited_version,
            version,
            repeated: false,
        }
    }

    /// As it was created: the answer to the request that did it, again.
    fn describe_first(&self, id: QueueId) -> Description {
        let now = self.describe(id, FIRST_VERSION);
        let first = self.created.as_ref().and_then(|created| created.first_terms.as_deref().cloned());
        let terms = first.unwrap_or(now.terms);
        Description {
            opened: terms.opens_at_ms <= now.created_at_ms,
            terms,
            state: State::Open,
            seed: None,
            sealed: None,
            joined: 0,
            counts: Counts::default(),
            edited_version: FIRST_VERSION,
            repeated: true,
            ..now
        }
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

impl Aggregate for Queue {
    const CATEGORY: Category = Category::Queue;
    type Id = QueueId;
    type Event = Event;
    type Work = Infallible;
    const NEEDS_MACHINE_CLOCK: bool = true;
    const STAYS_IN_MEMORY: bool = true;

    crate::aggregates::part!(queues);

    fn lapsed(&self, now: Millis) -> Vec<Event> {
        self.lapsed_by(now)
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
    fn decide_on_command(&self, command: &Command, context: &Context) -> Result<Vec<Event>, Rejection> {
        let mut events = self.decide_on(command, QueueId(context.key), context.now)?;
        if context.machine + MACHINE_BEHIND_MS_MIN <= context.now {
            for event in &mut events {
                if let Event::EntriesAdmitted(admitted) = event {
                    admitted.machine_ms = Some(context.machine);
                }
            }
        }
        Ok(events)
    }

    pub fn answer_to(&self, key: Uuid, version: u64, command: &Command, events: &[Event]) -> Answer {
        let repeated = events.is_empty();
        match command {
            Command::Join(person) => {
                let joined = || self.people.find(person).unwrap_or(self.line.joined());
                let ticket = match events.last() {
                    Some(Event::EntryJoined(event)) => event.ticket,
                    _ => joined(),
                };
                Answer::Ticket { ticket, repeated }
            }
            Command::Find { ticket, .. }
            | Command::Leave { ticket }
            | Command::Claim { ticket }
            | Command::Finish { ticket }
            | Command::Block { ticket, .. }
            | Command::Restore { ticket, .. } => Answer::Ticket { ticket: *ticket, repeated },
            Command::FinishUser { user } | Command::Forget { user } => {
                Answer::Ticket { ticket: self.people.find(&Person::User(*user)).unwrap_or(0), repeated }
            }
            Command::Admit { repeat, .. } => match repeat.and_then(|repeat| self.repeated(repeat)) {
                Some(AdmissionCall { admitted, waiting, inside, .. }) => {
                    let admitted = if repeated { admitted } else { events.iter().map(admitted_by).sum() };
                    Answer::Admitted { admitted, waiting, inside, repeated }
                }
                None => self.let_in(events),
            },
            Command::AdmitNamed { .. } | Command::Advance(_) => self.let_in(events),
            Command::Create { .. } if repeated => Answer::Queue(Box::new(self.describe_first(QueueId(key)))),
            Command::Create { .. } | Command::Describe | Command::Change(_) | Command::SetState { .. } => {
                Answer::Queue(Box::new(self.describe(QueueId(key), version)))
            }
        }
    }
}

impl crate::Command for Command {
    type On = Queue;
    type Answer = Answer;
    type Rejection = Rejection;

    fn decide(&self, on: &Queue, context: &Context) -> Result<Vec<Event>, Rejection> {
        on.decide_on_command(self, context)
    }

    fn answer(&self, on: &Queue, effect: &crate::Effect<'_, Queue>) -> Answer {
        on.answer_to(effect.id.into(), effect.version, self, effect.events)
    }

    fn newcomer(&self) -> Option<UserId> {
        match self {
            Command::Join(Person::User(user)) => Some(*user),
            _ => None,
        }
    }
}

impl Queue {
    /// Has everything ready that the first command would wait for.
    pub fn prepare(&self) {
        self.people.prepare();
    }

    fn note_passed_over(&mut self, event: &Event, at_ms: Millis) {
        match event {
            Event::EntriesPassedOver(event) => event.tickets.iter().for_each(|ticket| self.pass_over(*ticket, at_ms)),
            Event::EntriesReturned(event) => event.tickets.iter().for_each(|ticket| self.forget_passed_over(*ticket)),
            Event::EntriesGivenUp(event) => event.tickets.iter().for_each(|ticket| self.forget_passed_over(*ticket)),
            Event::EntriesPutFirst(event) => event.tickets.iter().for_each(|ticket| self.forget_passed_over(*ticket)),
            Event::EntriesAdmitted(event) => {
                event.entries.iter().for_each(|entry| self.forget_passed_over(entry.ticket));
            }
            Event::EntryLeft(event) => self.forget_passed_over(event.ticket),
            Event::EntryBlocked(event) => self.forget_passed_over(event.ticket),
            _ => {}
        }
    }

    fn repeated(&self, repeat: Fingerprint) -> Option<AdmissionCall> {
        self.repeats.iter().find(|known| known.key == repeat).copied()
    }

    /// What came of `events`.
    fn let_in(&self, events: &[Event]) -> Answer {
        let admitted = events.iter().map(admitted_by).sum();
        let (waiting, inside) = (self.line.counts.waiting, self.line.counts.inside());
        Answer::Admitted { admitted, waiting, inside, repeated: false }
    }
}

impl Person {
    /// Who joined.
    pub fn of(joined: &event::EntryJoined) -> Person {
        match (joined.user_id, &joined.visitor) {
            (Some(user), _) => Person::User(user),
            (None, Some(visitor)) => Person::Visitor(visitor.clone()),
            (None, None) => Person::Anonymous(joined.repeat),
        }
    }
}

fn admitted_by(event: &Event) -> u32 {
    match event {
        Event::EntriesAdmitted(event) => event.entries.len() as u32,
        _ => 0,
    }
}

/// The entry with this ticket.
fn entry(queue: QueueId, ticket: u32) -> EntryId {
    EntryId::of(queue, ticket)
}

/// Makes a list `len` long, the new ones `value`. Grows by a sixteenth, not to the double: there may be millions.
fn push_tightly<T: Clone>(list: &mut Vec<T>, len: usize, value: T) {
    if list.capacity() < len {
        list.reserve_exact((len - list.len()).max(list.len() / 16).max(64));
    }
    list.resize(len, value);
}
