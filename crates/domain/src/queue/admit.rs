//! Letting people in: by the policy, by the organizer's call, before others.

use super::admitted::Session;
use super::draw::Seed;
use super::entries::check_reason;
use super::event::*;
use super::order::{Drawn, Kind, Standing};
use super::presence::Presence;
use super::{Created, Queue, entry};
use crate::seeded_faults::{self, Bug};
use crate::text::Invalid;
use crate::{Command, Context, Effect, Fingerprint};
use base::id::{Millis, OrganizerId, QueueId};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use uuid::Uuid;

/// People who are looked at in one go: whoever is away is passed over, and a front full of them must not hold others up.
const LOOKED_AT_MAX: usize = 20_000;
/// People let in by one tick or call.
pub const ADMITTED_MAX: u32 = 10_000;
/// People let in by one command, in which a shard does nothing else: a tick or a call of more is several.
pub const ADMITTED_AT_ONCE_MAX: u32 = 2_500;
/// People named in one call.
pub const NAMED_MAX: usize = 1_000;
/// People who are before all others at a time.
pub const FIRST_MAX: usize = 10_000;
/// Whoever is let in has learned of it after so long, ms: nobody is told to ask again only later than that. With the time
/// to come it is less than admissions can be checked for.
pub const LEARN_MS_MAX: Millis = 2_700_000;
/// After a start people have so long to ask again, ms, and then at most so long to come: the server was not there when it
/// was their time.
const ASK_AGAIN_MS: Millis = 15_000;
/// A request takes so long at most.
const REQUEST_MS: Millis = 5_000;
const COME_MS_MAX: Millis = 30_000;
/// So much later than the start nobody's time is moved.
pub const EXTENDED_MS_MAX: Millis = LEARN_MS_MAX + COME_MS_MAX;

/// A machine whose clock is behind by less is not worth a word: those who check tokens allow some seconds.
const MACHINE_BEHIND_MS_MIN: Millis = 1_000;

/// Lets so many in, the next in line, but not more than [`ADMITTED_AT_ONCE_MAX`]: the rest is asked for again, with a `repeat`
/// of its own. With the same `repeat` again: nobody.
#[derive(Clone, Debug)]
pub struct Admit {
    pub organizer: OrganizerId,
    pub count: u32,
    pub repeat: Option<Fingerprint>,
    pub presence: Arc<dyn Presence>,
}

/// Lets these in: at once where people are let in by hand, otherwise before all others.
#[derive(Clone, Debug)]
pub struct AdmitNamed {
    pub organizer: OrganizerId,
    /// Of this queue.
    pub tickets: Vec<u32>,
    pub reason: String,
    pub presence: Arc<dyn Presence>,
}

/// What the policy and the hour bring, with what is known outside of the queue.
#[derive(Clone, Debug)]
pub struct Advance {
    pub presence: Arc<dyn Presence>,
    /// Of a queue that has not been drawn.
    pub seed: Option<Seed>,
    /// The draw of a large one, made beforehand.
    pub drawn: Option<Drawn>,
    /// People who had been passed over and gave a sign of life.
    pub returned: Vec<u32>,
    /// Sessions without a sign of life for longer than the queue allows.
    pub idle: Vec<u32>,
}

/// How many were let in, and how many waited and were inside after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Admissions {
    pub admitted: u32,
    pub waiting: u32,
    pub inside: u32,
    /// The same call let them in before.
    pub repeated: bool,
}

/// Why the next in line are not let in, in order of precedence.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(strum::VariantNames))]
pub enum AdmitRejection {
    /// Or not the organizer's.
    UnknownQueue,
    /// Nobody, or too many.
    Invalid(Invalid),
    /// People are let in by its policy.
    NotManual,
    NotOpen(NotOpen),
}

/// Why named people are not let in, in order of precedence.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(strum::VariantNames))]
pub enum AdmitNamedRejection {
    /// Or not the organizer's.
    UnknownQueue,
    /// The reason, or the list.
    Invalid(Invalid),
    UnknownEntry,
    /// Somebody who neither waits nor is inside.
    WrongStanding {
        ticket: u32,
        standing: Standing,
    },
    NotOpen(NotOpen),
    /// More than may be inside.
    NoRoom {
        inside: u32,
        max_active: u32,
    },
    /// Nobody is let in any more.
    Closed,
    /// So many may be before all others.
    Full {
        limit: u32,
    },
}

/// Nobody is let in now: the queue has not opened, or is paused or closed.
#[derive(Clone, Debug, PartialEq)]
pub struct NotOpen {
    pub opens_at_ms: Option<Millis>,
    pub state: State,
}

/// Whose turn it is, and when they will have learned of it at the latest.
type Next = (u32, Millis);
/// What somebody is known by, and their key, which is the user's id of a user.
type Who = (Option<Kind>, Uuid);

/// On whose word, and why.
struct AdmissionCause {
    by: AdmittedBy,
    reason: Option<String>,
    repeat: Option<Fingerprint>,
}

/// How many are where, with what the command at hand has changed so far.
struct Occupancy {
    waiting: u32,
    inside: u32,
    /// The places of those who have just come back.
    back: BTreeSet<u32>,
    queue: QueueId,
    now: Millis,
    /// What the machine's clock says, if that is less.
    machine_ms: Option<Millis>,
}

impl Command for Admit {
    type On = Queue;
    type Answer = Admissions;
    type Rejection = AdmitRejection;

    fn decide(&self, queue: &Queue, context: &Context) -> Result<Vec<Event>, AdmitRejection> {
        use AdmitRejection as R;
        let created = queue.of(self.organizer).ok_or(R::UnknownQueue)?;
        let is_repeated = self.repeat.is_some_and(|repeat| queue.repeated(repeat).is_some());
        if is_repeated && !seeded_faults::is(Bug::AdmittedTwice) {
            return Ok(vec![]);
        }
        if !(1..=ADMITTED_MAX).contains(&self.count) {
            return Err(R::Invalid(Invalid::new("count", format!("must be 1 to {ADMITTED_MAX} people"))));
        }
        if !created.facts.terms.policy.manual {
            return Err(R::NotManual);
        }
        queue.check_open(created).map_err(R::NotOpen)?;
        let occupancy = queue.occupancy(context);
        let room = self.count.min(slots(created, occupancy.inside));
        let cause = AdmissionCause { by: AdmittedBy::Count, reason: None, repeat: self.repeat };
        Ok(queue.admit_next(created, room, &*self.presence, cause, occupancy))
    }

    fn answer(&self, queue: &Queue, effect: &Effect<'_, Queue>) -> Admissions {
        let now = queue.let_in(effect.events);
        let Some(call) = self.repeat.and_then(|repeat| queue.repeated(repeat)) else { return now };
        let repeated = effect.events.is_empty();
        let admitted = if repeated { call.admitted } else { now.admitted };
        Admissions { admitted, waiting: call.waiting, inside: call.inside, repeated }
    }
}

impl Command for AdmitNamed {
    type On = Queue;
    type Answer = Admissions;
    type Rejection = AdmitNamedRejection;

    fn decide(&self, queue: &Queue, context: &Context) -> Result<Vec<Event>, AdmitNamedRejection> {
        use AdmitNamedRejection as R;
        let created = queue.of(self.organizer).ok_or(R::UnknownQueue)?;
        check_reason(&self.reason).map_err(R::Invalid)?;
        let once: BTreeSet<u32> = self.tickets.iter().copied().collect();
        if once.len() != self.tickets.len() || !(1..=NAMED_MAX).contains(&self.tickets.len()) {
            let reason = format!("name 1 to {NAMED_MAX} entries, each once");
            return Err(R::Invalid(Invalid::new("entries", reason)));
        }
        for ticket in self.tickets.iter().copied() {
            let standing = queue.line.standing(ticket).ok_or(R::UnknownEntry)?;
            if !standing.waits() && !standing.is_inside() {
                return Err(R::WrongStanding { ticket, standing });
            }
        }
        // Again is once: those who are where they should be stay there.
        match created.facts.terms.policy.manual {
            true => self.let_in(queue, created, context),
            false => self.put_first(queue, created),
        }
    }

    fn answer(&self, queue: &Queue, effect: &Effect<'_, Queue>) -> Admissions {
        queue.let_in(effect.events)
    }
}

impl AdmitNamed {
    /// The named tickets whose standing is `wanted`.
    fn named(&self, queue: &Queue, wanted: fn(Standing) -> bool) -> Vec<u32> {
        let stands = |ticket: &u32| queue.line.standing(*ticket).is_some_and(wanted);
        self.tickets.iter().copied().filter(stands).collect()
    }

    fn let_in(&self, queue: &Queue, created: &Created, context: &Context) -> Result<Vec<Event>, AdmitNamedRejection> {
        use AdmitNamedRejection as R;
        queue.check_open(created).map_err(R::NotOpen)?;
        let named = self.named(queue, Standing::waits);
        let inside = queue.line.counts.inside();
        if let Some(max_active) = created.facts.terms.policy.max_active
            && named.len() as u32 > slots(created, inside)
        {
            return Err(R::NoRoom { inside, max_active });
        }
        if !named.iter().all(|ticket| self.presence.knows(*ticket)) {
            return Err(R::UnknownEntry);
        }
        let cause = AdmissionCause { by: AdmittedBy::Name, reason: Some(self.reason.clone()), repeat: None };
        let summoned = |ticket: &u32| (*ticket, self.presence.summon(*ticket, context.now));
        let next: Vec<Next> = named.iter().map(summoned).collect();
        Ok(queue.admitted(created, &next, cause, queue.occupancy(context)))
    }

    fn put_first(&self, queue: &Queue, created: &Created) -> Result<Vec<Event>, AdmitNamedRejection> {
        if created.facts.state == State::Closed {
            return Err(AdmitNamedRejection::Closed);
        }
        let named = self.named(queue, |standing| matches!(standing, Standing::Waiting | Standing::PassedOver));
        if named.is_empty() {
            return Ok(vec![]);
        }
        if queue.line.first().len() + named.len() > FIRST_MAX {
            return Err(AdmitNamedRejection::Full { limit: FIRST_MAX as u32 });
        }
        let back = named.iter().filter(|ticket| queue.line.standing(**ticket) == Some(Standing::PassedOver)).count();
        let waiting = queue.line.counts.waiting + back as u32;
        let reason = self.reason.clone();
        Ok(vec![Event::EntriesPutFirst(EntriesPutFirst { tickets: named, reason, waiting })])
    }
}

impl Command for Advance {
    type On = Queue;
    type Answer = Admissions;
    type Rejection = Infallible;

    fn decide(&self, queue: &Queue, context: &Context) -> Result<Vec<Event>, Infallible> {
        Ok(queue.created().map_or(vec![], |created| queue.advance(created, self, context)))
    }

    fn answer(&self, queue: &Queue, effect: &Effect<'_, Queue>) -> Admissions {
        queue.let_in(effect.events)
    }
}

impl Queue {
    /// How many may be let in at `now`, by the policy alone.
    pub(super) fn room(&self, created: &Created, now: Millis) -> u32 {
        self.room_beside(created, self.line.counts.inside(), now)
    }

    /// The same beside so many who are inside.
    fn room_beside(&self, created: &Created, inside: u32, now: Millis) -> u32 {
        let policy = &created.facts.terms.policy;
        if policy.manual || created.facts.state != State::Open {
            return 0;
        }
        let by_rate = policy.rate.map_or(u32::MAX, |rate| self.pace.allows(rate, now));
        by_rate.min(slots(created, inside))
    }

    fn advance(&self, created: &Created, advance: &Advance, context: &Context) -> Vec<Event> {
        if created.facts.state == State::Closed {
            return vec![];
        }
        if !self.line.is_opened() {
            return self.open(created, advance, context.now).into_iter().collect();
        }
        let mut events = Vec::new();
        let mut occupancy = self.occupancy(context);
        let idle = created
            .facts
            .terms
            .idle_ttl_s
            .map_or(vec![], |_| self.only(&advance.idle, |standing| standing == Standing::Active));
        if !idle.is_empty() {
            occupancy.inside -= idle.len() as u32;
            let (reason, inside) = (ExpiredBy::Idle, occupancy.inside);
            events.push(Event::SessionsExpired(SessionsExpired { tickets: idle, reason, inside }));
        }
        let returned = self.only(&advance.returned, |standing| standing == Standing::PassedOver);
        if !returned.is_empty() {
            occupancy.waiting += returned.len() as u32;
            let waiting = occupancy.waiting;
            occupancy.back = returned.iter().filter_map(|ticket| self.line.place(*ticket)).collect();
            events.push(Event::EntriesReturned(EntriesReturned { tickets: returned, waiting }));
        }
        let room = self.room_beside(created, occupancy.inside, context.now);
        let cause = AdmissionCause { by: AdmittedBy::Policy, reason: None, repeat: None };
        events.extend(self.admit_next(created, room, &*advance.presence, cause, occupancy));
        events
    }

    /// What a start brings: whoever was let in, and may not have learned of it or been able to come, has time to do so, once
    /// they have tried again, within so long.
    pub fn extended(&self, now: Millis, retried_within_ms: Millis) -> Vec<Event> {
        let Some(created) = &self.created else { return vec![] };
        let ttl_ms = Millis::from(created.facts.terms.claim_ttl_s) * 1_000;
        let ask_again_ms = (retried_within_ms + REQUEST_MS).clamp(ASK_AGAIN_MS, LEARN_MS_MAX);
        let claim_until_ms = now + ask_again_ms + ttl_ms.min(COME_MS_MAX);
        let short = |(ticket, session): (u32, &Session)| {
            (!session.is_claimed && session.until_ms < claim_until_ms).then_some(ticket)
        };
        let tickets: Vec<u32> = self.inside.iter().filter_map(short).collect();
        let extended = tickets.chunks(EVENT_ENTRIES_MAX);
        extended
            .map(|tickets| Event::ClaimsExtended(ClaimsExtended { tickets: tickets.into(), claim_until_ms }))
            .collect()
    }

    fn occupancy(&self, context: &Context) -> Occupancy {
        let counts = self.line.counts;
        Occupancy {
            waiting: counts.waiting,
            inside: counts.inside(),
            back: BTreeSet::new(),
            queue: QueueId(context.key),
            now: context.now,
            machine_ms: (context.machine + MACHINE_BEHIND_MS_MIN <= context.now).then_some(context.machine),
        }
    }

    /// Those of the tickets that stand so, each once.
    fn only(&self, tickets: &[u32], stands: impl Fn(Standing) -> bool) -> Vec<u32> {
        let stand = tickets.iter().copied().filter(|ticket| self.line.standing(*ticket).is_some_and(&stands));
        let once: BTreeSet<u32> = stand.take(EVENT_ENTRIES_MAX).collect();
        once.into_iter().collect()
    }

    /// The draw, once it is time.
    fn open(&self, created: &Created, advance: &Advance, now: Millis) -> Option<Event> {
        let seed = advance
            .seed
            .filter(|seed| now >= created.facts.terms.opens_at_ms && seed.commitment() == created.facts.commitment)?;
        let ready = advance.drawn.as_ref().filter(|drawn| self.line.is_of(drawn, seed)).cloned();
        let ready = ready.unwrap_or_else(|| self.line.seal().draw(seed));
        let (sealed, drawn) = ready.sealed();
        let (sealed, tickets) = (sealed.to_owned(), self.line.joined());
        Some(Event::QueueDrawn(QueueDrawn { seed: seed.text(), sealed, tickets, drawn, ready: Some(ready) }))
    }

    /// What came of `events`.
    fn let_in(&self, events: &[Event]) -> Admissions {
        let admitted = |event: &Event| match event {
            Event::EntriesAdmitted(event) => event.entries.len() as u32,
            _ => 0,
        };
        let (waiting, inside) = (self.line.counts.waiting, self.line.counts.inside());
        Admissions { admitted: events.iter().map(admitted).sum(), waiting, inside, repeated: false }
    }

    fn check_open(&self, created: &Created) -> Result<(), NotOpen> {
        let opens_at_ms = Some(created.facts.terms.opens_at_ms).filter(|_| !self.line.is_opened());
        if created.facts.state == State::Open && opens_at_ms.is_none() {
            return Ok(());
        }
        Err(NotOpen { opens_at_ms, state: created.facts.state })
    }

    /// Lets the next ones in, up to `room` of them and of what is done at once; those who are away are passed over. Where the
    /// rest comes with another command, so are those behind them: it shows whether there is a rest.
    fn admit_next(
        &self,
        created: &Created,
        room: u32,
        presence: &dyn Presence,
        cause: AdmissionCause,
        mut occupancy: Occupancy,
    ) -> Vec<Event> {
        let (mut away, mut next) = (Vec::new(), Vec::new());
        let at_once = room.min(ADMITTED_AT_ONCE_MAX) as usize;
        if room > 0 {
            for ticket in self.line.upcoming(&occupancy.back).take(LOOKED_AT_MAX) {
                if presence.is_away(ticket, occupancy.now) {
                    away.push(ticket);
                    continue;
                }
                if next.len() == at_once || !presence.knows(ticket) {
                    break;
                }
                next.push((ticket, presence.summon(ticket, occupancy.now)));
                if next.len() == room as usize {
                    break;
                }
            }
        }
        let mut events = Vec::new();
        for tickets in away.chunks(EVENT_ENTRIES_MAX) {
            occupancy.waiting -= tickets.len() as u32;
            let waiting = occupancy.waiting;
            events.push(Event::EntriesPassedOver(EntriesPassedOver { tickets: tickets.into(), waiting }));
        }
        events.extend(self.admitted(created, &next, cause, occupancy));
        events
    }

    /// The time to come begins when people have learned of it, so that nobody who asks when they were told to misses it.
    fn admitted(
        &self,
        created: &Created,
        next: &[Next],
        cause: AdmissionCause,
        mut occupancy: Occupancy,
    ) -> Vec<Event> {
        let mut admitted_before = self.line.counts.admitted_ever;
        let (now, ttl_ms) = (occupancy.now, Millis::from(created.facts.terms.claim_ttl_s) * 1_000);
        let until_ms = |learns_at: Millis| learns_at.clamp(now, now + LEARN_MS_MAX) + ttl_ms;
        let event = |next: &[Next]| {
            let waits = |(ticket, _): &&Next| {
                let back = || self.line.place(*ticket).is_some_and(|place| occupancy.back.contains(&place));
                self.line.standing(*ticket) != Some(Standing::PassedOver) || back()
            };
            occupancy.waiting -= next.iter().filter(waits).count() as u32;
            occupancy.inside += next.len() as u32;
            let claim_until_ms = next.iter().map(|(_, learns_at)| until_ms(*learns_at)).min().unwrap_or(now + ttl_ms);
            let entry = |((ticket, learns_at), who): (&Next, Who)| AdmittedEntry {
                entry_id: entry(occupancy.queue, *ticket),
                ticket: *ticket,
                subject: self.subject(*ticket, who, occupancy.queue),
                claim_until_ms: Some(until_ms(*learns_at)).filter(|until_ms| *until_ms != claim_until_ms),
            };
            // Looked up for all at once: each lies somewhere else in memory, and a processor waits for many of them together.
            let who: Vec<Who> = next.iter().map(|(ticket, _)| self.who(*ticket)).collect();
            let entries = next.iter().zip(who).map(entry).collect();
            let before = admitted_before;
            admitted_before += next.len() as u32;
            Event::EntriesAdmitted(EntriesAdmitted {
                entries,
                by: cause.by,
                reason: cause.reason.clone(),
                repeat: cause.repeat,
                claim_until_ms,
                machine_ms: occupancy.machine_ms,
                admitted_before: before,
                inside: occupancy.inside,
                waiting: occupancy.waiting,
            })
        };
        next.chunks(EVENT_ENTRIES_MAX).map(event).collect()
    }

    fn who(&self, ticket: u32) -> Who {
        (self.line.kind(ticket), self.people.user(ticket))
    }

    /// What an admission calls somebody.
    fn subject(&self, ticket: u32, (kind, user): Who, queue: QueueId) -> Arc<str> {
        let text = |id: Uuid| Arc::from(&*id.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
        match kind {
            Some(Kind::User) => text(user),
            Some(Kind::Visitor) => self.people.visitor(ticket).unwrap_or_default().into(),
            Some(Kind::Anonymous) | None => text(entry(queue, ticket).0),
        }
    }
}

/// How many more may be inside, beside so many.
fn slots(created: &Created, inside: u32) -> u32 {
    created.facts.terms.policy.max_active.map_or(u32::MAX, |max| max.saturating_sub(inside))
}
