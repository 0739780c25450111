//! Letting people in: by the policy, by the organizer's call, before others.

use super::admitted::Session;
use super::decide::{EVENT_ENTRIES_MAX, check_reason};
use super::event::*;
use super::*;
use crate::queue::order::Kind;
use crate::seeded_faults::{self, Bug};

/// People who are looked at in one go: whoever is away is passed over, and a front full of them must not hold others up.
const LOOKED_AT_MAX: usize = 20_000;
/// People let in by one tick or call.
pub const ADMITTED_MAX: u32 = 10_000;
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
const COME_MS_MAX: Millis = 30_000;
/// So much later than the start nobody's time is moved.
pub const EXTENDED_MS_MAX: Millis = ASK_AGAIN_MS + COME_MS_MAX;

type Decided = Result<Vec<Event>, Rejection>;
/// Whose turn it is, and when they will have learned of it at the latest.
type Next = (u32, Millis);

/// On whose word, and why.
struct Word {
    by: AdmittedBy,
    reason: Option<String>,
    repeat: Option<Fingerprint>,
}

/// How many are where, with what the command at hand has changed so far.
struct There {
    waiting: u32,
    inside: u32,
    /// The places of those who have just come back.
    back: BTreeSet<u32>,
    queue: QueueId,
    now: Millis,
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

    pub(super) fn advance(&self, created: &Created, advance: &Advance, id: QueueId, now: Millis) -> Decided {
        if created.facts.state == State::Closed {
            return Ok(vec![]);
        }
        if !self.line.is_opened() {
            return Ok(self.open(created, advance, now).into_iter().collect());
        }
        let mut events = Vec::new();
        let mut there = self.there(id, now);
        let idle = created
            .facts
            .terms
            .idle_ttl_s
            .map_or(vec![], |_| self.only(&advance.idle, |standing| standing == Standing::Active));
        if !idle.is_empty() {
            there.inside -= idle.len() as u32;
            let (reason, inside) = (ExpiredBy::Idle, there.inside);
            events.push(Event::SessionsExpired(SessionsExpired { tickets: idle, reason, inside }));
        }
        let returned = self.only(&advance.returned, |standing| standing == Standing::PassedOver);
        if !returned.is_empty() {
            there.waiting += returned.len() as u32;
            let waiting = there.waiting;
            there.back = returned.iter().filter_map(|ticket| self.line.place(*ticket)).collect();
            events.push(Event::EntriesReturned(EntriesReturned { tickets: returned, waiting }));
        }
        let room = self.room_beside(created, there.inside, now);
        let word = Word { by: AdmittedBy::Policy, reason: None, repeat: None };
        events.extend(self.admit_next(created, room, &*advance.presence, word, there));
        Ok(events)
    }

    /// What a start brings: whoever was let in, and may not have learned of it or been able to come, has time to do so.
    pub fn extended(&self, now: Millis) -> Vec<Event> {
        let Some(created) = &self.created else { return vec![] };
        let ttl_ms = Millis::from(created.facts.terms.claim_ttl_s) * 1_000;
        let claim_until_ms = now + ASK_AGAIN_MS + ttl_ms.min(COME_MS_MAX);
        let short = |(ticket, session): (u32, &Session)| {
            (!session.is_claimed && session.until_ms < claim_until_ms).then_some(ticket)
        };
        let tickets: Vec<u32> = self.inside.iter().filter_map(short).collect();
        let extended = tickets.chunks(EVENT_ENTRIES_MAX);
        extended
            .map(|tickets| Event::ClaimsExtended(ClaimsExtended { tickets: tickets.into(), claim_until_ms }))
            .collect()
    }

    fn there(&self, queue: QueueId, now: Millis) -> There {
        let counts = self.line.counts;
        There { waiting: counts.waiting, inside: counts.inside(), back: BTreeSet::new(), queue, now }
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

    pub(super) fn admit_count(
        &self,
        created: &Created,
        count: u32,
        repeat: Option<Fingerprint>,
        presence: &dyn Presence,
        id: QueueId,
        now: Millis,
    ) -> Decided {
        if repeat.is_some_and(|repeat| self.repeated(repeat).is_some()) && !seeded_faults::is(Bug::AdmittedTwice) {
            return Ok(vec![]);
        }
        if !(1..=ADMITTED_MAX).contains(&count) {
            let reason = format!("must be 1 to {ADMITTED_MAX} people");
            return Err(Rejection::Invalid { field: "count".into(), reason });
        }
        if !created.facts.terms.policy.manual {
            return Err(Rejection::NotManual);
        }
        self.check_open(created)?;
        let there = self.there(id, now);
        let room = count.min(slots(created, there.inside));
        let word = Word { by: AdmittedBy::Count, reason: None, repeat };
        Ok(self.admit_next(created, room, presence, word, there))
    }

    pub(super) fn admit_named(
        &self,
        created: &Created,
        tickets: &[u32],
        reason: &str,
        presence: &dyn Presence,
        id: QueueId,
        now: Millis,
    ) -> Decided {
        check_reason(reason)?;
        let once: BTreeSet<u32> = tickets.iter().copied().collect();
        if once.len() != tickets.len() || !(1..=NAMED_MAX).contains(&tickets.len()) {
            let reason = format!("name 1 to {NAMED_MAX} entries, each once");
            return Err(Rejection::Invalid { field: "entries".into(), reason });
        }
        for ticket in tickets {
            let standing = self.standing(*ticket)?;
            if !standing.waits() && !standing.is_inside() {
                return Err(Rejection::WrongStanding { ticket: *ticket, standing });
            }
        }
        // Again is once: those who are where they should be stay there.
        let named = |wanted: fn(Standing) -> bool| {
            tickets.iter().copied().filter(move |ticket| self.line.standing(*ticket).is_some_and(wanted))
        };
        if created.facts.terms.policy.manual {
            self.check_open(created)?;
            let named: Vec<u32> = named(Standing::waits).collect();
            if let Some(max_active) = created.facts.terms.policy.max_active
                && named.len() as u32 > slots(created, self.line.counts.inside())
            {
                return Err(Rejection::NoRoom { inside: self.line.counts.inside(), max_active });
            }
            let word = Word { by: AdmittedBy::Name, reason: Some(reason.to_owned()), repeat: None };
            if !named.iter().all(|ticket| presence.knows(*ticket)) {
                return Err(Rejection::UnknownEntry);
            }
            let next: Vec<Next> = named.iter().map(|ticket| (*ticket, presence.summon(*ticket, now))).collect();
            return Ok(self.admitted(created, &next, word, self.there(id, now)));
        }
        if created.facts.state == State::Closed {
            return Err(Rejection::Closed);
        }
        let named: Vec<u32> = named(|standing| matches!(standing, Standing::Waiting | Standing::PassedOver)).collect();
        if named.is_empty() {
            return Ok(vec![]);
        }
        if self.line.first().len() + named.len() > FIRST_MAX {
            return Err(Rejection::Full { limit: FIRST_MAX as u32 });
        }
        let back = named.iter().filter(|ticket| self.line.standing(**ticket) == Some(Standing::PassedOver)).count();
        let waiting = self.line.counts.waiting + back as u32;
        Ok(vec![Event::EntriesPutFirst(EntriesPutFirst { tickets: named, reason: reason.to_owned(), waiting })])
    }

    fn check_open(&self, created: &Created) -> Result<(), Rejection> {
        let opens_at_ms = Some(created.facts.terms.opens_at_ms).filter(|_| !self.line.is_opened());
        if created.facts.state == State::Open && opens_at_ms.is_none() {
            return Ok(());
        }
        Err(Rejection::NotOpen { opens_at_ms, state: created.facts.state })
    }

    /// Lets the next ones in, up to `room` of them; those who are away are passed over.
    fn admit_next(
        &self,
        created: &Created,
        room: u32,
        presence: &dyn Presence,
        word: Word,
        mut there: There,
    ) -> Vec<Event> {
        let (mut away, mut next) = (Vec::new(), Vec::new());
        let room = room.min(ADMITTED_MAX) as usize;
        if room > 0 {
            for ticket in self.line.upcoming(&there.back).take(LOOKED_AT_MAX) {
                if presence.is_away(ticket, there.now) {
                    away.push(ticket);
                    continue;
                }
                if !presence.knows(ticket) {
                    break;
                }
                next.push((ticket, presence.summon(ticket, there.now)));
                if next.len() == room {
                    break;
                }
            }
        }
        let mut events = Vec::new();
        for tickets in away.chunks(EVENT_ENTRIES_MAX) {
            there.waiting -= tickets.len() as u32;
            let waiting = there.waiting;
            events.push(Event::EntriesPassedOver(EntriesPassedOver { tickets: tickets.into(), waiting }));
        }
        events.extend(self.admitted(created, &next, word, there));
        events
    }

    /// The time to come begins when people have learned of it, so that nobody who asks when they were told to misses it.
    fn admitted(&self, created: &Created, next: &[Next], word: Word, mut there: There) -> Vec<Event> {
        let mut admitted_before = self.line.counts.admitted_ever;
        let (now, ttl_ms) = (there.now, Millis::from(created.facts.terms.claim_ttl_s) * 1_000);
        let until_ms = |learns_at: Millis| learns_at.clamp(now, now + LEARN_MS_MAX) + ttl_ms;
        let event = |next: &[Next]| {
            let waits = |(ticket, _): &&Next| {
                let back = || self.line.place(*ticket).is_some_and(|place| there.back.contains(&place));
                self.line.standing(*ticket) != Some(Standing::PassedOver) || back()
            };
            there.waiting -= next.iter().filter(waits).count() as u32;
            there.inside += next.len() as u32;
            let claim_until_ms = next.iter().map(|(_, learns_at)| until_ms(*learns_at)).min().unwrap_or(now + ttl_ms);
            let entry = |(ticket, learns_at): &Next| AdmittedEntry {
                claim_until_ms: Some(until_ms(*learns_at)).filter(|until_ms| *until_ms != claim_until_ms),
                ..self.admitted_entry(*ticket, there.queue)
            };
            let entries = next.iter().map(entry).collect();
            let before = admitted_before;
            admitted_before += next.len() as u32;
            Event::EntriesAdmitted(EntriesAdmitted {
                entries,
                by: word.by,
                reason: word.reason.clone(),
                repeat: word.repeat,
                claim_until_ms,
                machine_ms: None,
                admitted_before: before,
                inside: there.inside,
                waiting: there.waiting,
            })
        };
        next.chunks(EVENT_ENTRIES_MAX).map(event).collect()
    }

    fn admitted_entry(&self, ticket: u32, id: QueueId) -> AdmittedEntry {
        let entry_id = entry(id, ticket);
        let subject = match self.line.kind(ticket) {
            Some(Kind::User) => self.people.user(ticket).to_string(),
            Some(Kind::Visitor) => self.people.visitor(ticket).unwrap_or_default().to_owned(),
            Some(Kind::Anonymous) | None => entry_id.to_string(),
        };
        AdmittedEntry { entry_id, ticket, subject, claim_until_ms: None }
    }
}

/// How many more may be inside, beside so many.
fn slots(created: &Created, inside: u32) -> u32 {
    created.facts.terms.policy.max_active.map_or(u32::MAX, |max| max.saturating_sub(inside))
}
