//! One queue as its events describe it: who waits where and who is inside, and whether whoever was let in might be.
//!
//! - [`order`]: who comes next; [`rate`]: how many were let in lately; [`admit`]: letting in, and passing over

mod admit;
mod order;
mod rate;

use super::summary::Summary;
use super::violation::{Fault, Kind, ensure, same};
use base::id::{EntryId, Millis, QueueId, UserId};
use domain::Fingerprint;
use domain::queue::draw::{self, Seed};
use domain::queue::event::*;
use domain::queue::policy::Policy;
use order::Order;
use rate::Window;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::VecDeque;

/// Where somebody is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Waiting,
    /// Before all others.
    First,
    /// It was their turn, and they were away.
    PassedOver,
    Admitted,
    Active,
    /// Finished, expired, left or given up.
    Over,
    Blocked,
}

impl Stage {
    fn waits(self) -> bool {
        matches!(self, Stage::Waiting | Stage::First)
    }

    fn is_inside(self) -> bool {
        matches!(self, Stage::Admitted | Stage::Active)
    }
}

/// Who somebody is.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
enum IdentityKind {
    User,
    Visitor,
    Key,
    Nobody,
}

struct Participant {
    /// The user's id; a fingerprint of the visitor's; the key's.
    key: u128,
    known: IdentityKind,
    stage: Stage,
}

/// From an admission to its end.
struct Session {
    until: Millis,
    claimed_at: Millis,
    /// The shortest time of silence that the queue has allowed since it was claimed, s.
    idle_s: u32,
}

/// A queue.
pub struct Queue {
    id: QueueId,
    terms: Terms,
    state: State,
    is_open: bool,
    commitment: String,
    people: Vec<Participant>,
    /// The last ticket of everybody who can be known again.
    tickets: FxHashMap<(IdentityKind, u128), u32>,
    /// By which somebody has joined.
    tokens: FxHashSet<Fingerprint>,
    order: Order,
    sessions: FxHashMap<u32, Session>,
    /// Users who ever came in.
    came: FxHashSet<u128>,
    /// Since when.
    passed_over: FxHashMap<u32, Millis>,
    /// The last of those who were passed over just now stood here: whoever is before is let in next.
    passed_at: Option<u64>,
    window: Window,
    /// Of the organizer's calls, the oldest first.
    calls: VecDeque<Fingerprint>,
    /// The call that the event before was of.
    last_call: Option<Fingerprint>,
    waiting: u32,
    inside: u32,
    admitted: u32,
}

fn rule(holds: bool, what: impl FnOnce() -> String) -> Result<(), Fault> {
    ensure(holds, Kind::RulesBroken, what)
}

fn count(what: &str, recorded: u32, expected: u32) -> Result<(), Fault> {
    same(Kind::RulesBroken, what, recorded, expected)
}

impl Queue {
    pub fn new(id: QueueId, event: QueueCreated, at: Millis) -> Result<Queue, Fault> {
        check_policy(&event.terms.policy)?;
        Ok(Queue {
            id,
            is_open: event.terms.opens_at_ms <= at,
            terms: event.terms,
            state: State::Open,
            commitment: event.commitment,
            people: vec![],
            tickets: FxHashMap::default(),
            tokens: FxHashSet::default(),
            order: Order::default(),
            sessions: FxHashMap::default(),
            came: FxHashSet::default(),
            passed_over: FxHashMap::default(),
            passed_at: None,
            window: Window::default(),
            calls: VecDeque::new(),
            last_call: None,
            waiting: 0,
            inside: 0,
            admitted: 0,
        })
    }

    /// People who wait, those who were passed over included.
    pub fn waiting(&self) -> u64 {
        u64::from(self.waiting) + self.passed_over.len() as u64
    }

    /// Whether a user waits, is inside or is shut out.
    pub fn has(&self, user: UserId) -> bool {
        let ticket = self.tickets.get(&(IdentityKind::User, user.0.as_u128()));
        ticket.is_some_and(|ticket| self.people[*ticket as usize - 1].stage != Stage::Over)
    }

    /// Whether a user was let in and came, ever.
    pub fn has_come(&self, user: UserId) -> bool {
        self.came.contains(&user.0.as_u128())
    }

    /// People inside: admitted or active.
    pub fn inside(&self) -> u64 {
        self.inside.into()
    }

    pub fn apply(&mut self, event: Event, at: Millis, counts: &mut Summary) -> Result<(), Fault> {
        if !matches!(event, Event::EntriesPassedOver(_) | Event::EntriesAdmitted(_)) {
            self.check_passed()?;
        }
        let call = match &event {
            Event::EntriesAdmitted(event) => event.repeat,
            _ => None,
        };
        match event {
            Event::QueueCreated(_) => rule(false, || "the queue was created before".into()),
            Event::QueueChanged(event) => self.change(event.terms, at),
            Event::QueueStateChanged(event) => {
                let may = self.state != State::Closed && self.state != event.state;
                rule(may, || format!("the queue is {:?} already, or closed for good", self.state))?;
                self.state = event.state;
                Ok(())
            }
            // Nothing follows from it.
            Event::QueueNoticeSet(_) | Event::QueuePageSet(_) => Ok(()),
            Event::QueueDrawn(event) => self.draw(&event, at),
            Event::EntryJoined(event) => {
                counts.entries_joined += 1;
                self.join(&event)
            }
            Event::EntriesAdmitted(event) => {
                counts.entries_admitted += event.entries.len() as u64;
                self.admit(&event, at)
            }
            Event::ClaimsExtended(event) => self.extend(&event, at),
            Event::EntriesPassedOver(event) => self.pass_over(&event, at),
            Event::EntriesReturned(event) => {
                self.move_all(&event.tickets, &[Stage::PassedOver], Stage::Waiting)?;
                count("waiting", event.waiting, self.waiting)
            }
            Event::EntriesGivenUp(event) => {
                counts.entries_left += event.tickets.len() as u64;
                self.give_up(&event.tickets, at)
            }
            Event::EntriesPutFirst(event) => self.put_first(&event),
            Event::EntryLeft(event) => {
                counts.entries_left += 1;
                self.check_entry(event.entry_id, event.ticket)?;
                self.check_lasts(event.ticket, at)?;
                // Of somebody who is shut out: the user was erased.
                let from =
                    [Stage::Waiting, Stage::First, Stage::PassedOver, Stage::Admitted, Stage::Active, Stage::Blocked];
                self.move_to(event.ticket, &from, Stage::Over)?;
                self.check_counts(event.waiting, event.inside)
            }
            Event::EntryBlocked(event) => self.block(&event, at),
            Event::EntryRestored(event) => {
                self.check_entry(event.entry_id, event.ticket)?;
                self.move_to(event.ticket, &[Stage::Blocked], Stage::Waiting)?;
                count("waiting", event.waiting, self.waiting)
            }
            Event::SessionClaimed(event) => self.claim(&event, at),
            Event::SessionFinished(event) => {
                counts.entries_finished += 1;
                self.check_entry(event.entry_id, event.ticket)?;
                self.check_lasts(event.ticket, at)?;
                self.move_to(event.ticket, &[Stage::Admitted, Stage::Active], Stage::Over)?;
                count("inside", event.inside, self.inside)
            }
            Event::SessionsExpired(event) => {
                counts.entries_expired += event.tickets.len() as u64;
                self.expire(&event, at)
            }
        }?;
        self.last_call = call;
        Ok(())
    }

    fn change(&mut self, terms: Terms, at: Millis) -> Result<(), Fault> {
        rule(self.state != State::Closed, || "the queue is closed for good".into())?;
        let opening = self.is_open || at >= self.terms.opens_at_ms;
        rule(!opening || terms.opens_at_ms == self.terms.opens_at_ms, || "the queue has opened before".into())?;
        check_policy(&terms.policy)?;
        if terms.policy.rate != self.terms.policy.rate {
            self.window = Window::default();
        }
        if let Some(idle_s) = terms.idle_ttl_s {
            self.sessions.values_mut().for_each(|session| session.idle_s = session.idle_s.min(idle_s));
        }
        self.terms = terms;
        Ok(())
    }

    fn draw(&mut self, event: &QueueDrawn, at: Millis) -> Result<(), Fault> {
        let fault = |what: &str| (Kind::QueueOrderBroken, what.to_owned());
        ensure(!self.is_open, Kind::QueueOrderBroken, || "the queue had an order before".into())?;
        let due = self.state != State::Closed && at >= self.terms.opens_at_ms;
        ensure(due, Kind::QueuePolicyBroken, || format!("it was to open at {} only", self.terms.opens_at_ms))?;
        let seed = Seed::read(&event.seed).ok_or_else(|| fault("the seed has not 64 hex digits"))?;
        same(Kind::QueueOrderBroken, "the seed's hash", seed.commitment(), self.commitment.clone())?;
        let there =
            |(index, somebody): (usize, &Participant)| (somebody.stage != Stage::Over).then_some(index as u32 + 1);
        let sealed: Vec<u32> = self.people.iter().enumerate().filter_map(there).collect();
        same(Kind::QueueOrderBroken, "the sealed list's hash", &event.sealed, &draw::hex(&draw::seal(&sealed)))?;
        count("tickets", event.tickets, self.people.len() as u32)?;
        count("drawn", event.drawn, sealed.len() as u32)?;
        self.is_open = true;
        self.order.draw(&draw::order(seed, &sealed));
        for ticket in sealed {
            if self.people[ticket as usize - 1].stage == Stage::Waiting {
                self.order.enter(ticket);
            }
        }
        Ok(())
    }

    fn join(&mut self, event: &EntryJoined) -> Result<(), Fault> {
        rule(self.state != State::Closed, || "the queue is closed".into())?;
        same(Kind::QueueOrderBroken, "the ticket", event.ticket, self.people.len() as u32 + 1)?;
        let by_token = event.token.is_some();
        let is_allowed = match self.terms.join {
            JoinPolicy::Anyone => true,
            JoinPolicy::Account | JoinPolicy::Identity => event.user_id.is_some(),
            JoinPolicy::Visitor => event.visitor.is_some() && !by_token,
            JoinPolicy::Token => event.visitor.is_some() && by_token,
        };
        rule(is_allowed, || format!("only who comes as {:?} may join", self.terms.join))?;
        rule(!by_token || event.visitor.is_some(), || "a token names a visitor".into())?;
        rule(event.token.is_none_or(|token| self.tokens.insert(token)), || "its token was used before".into())?;
        let key = match (event.user_id, &event.visitor, event.repeat) {
            (Some(user), None, None) => (IdentityKind::User, user.0.as_u128()),
            (None, Some(visitor), None) => (IdentityKind::Visitor, Fingerprint::of(&[visitor.as_bytes()]).0),
            (None, None, Some(repeat)) => (IdentityKind::Key, repeat.0),
            (None, None, None) => (IdentityKind::Nobody, 0),
            _ => return Err((Kind::RulesBroken, "it is known in two ways who joined".into())),
        };
        if key.0 != IdentityKind::Nobody
            && let Some(before) = self.tickets.insert(key, event.ticket)
        {
            let over = self.people[before as usize - 1].stage == Stage::Over;
            rule(over, || format!("the same person has the live ticket {before}"))?;
        }
        self.people.push(Participant { key: key.1, known: key.0, stage: Stage::Over });
        self.check_entry(event.entry_id, event.ticket)?;
        self.order.join(self.is_open);
        self.move_to(event.ticket, &[Stage::Over], Stage::Waiting)?;
        count("waiting", event.waiting, self.waiting)
    }

    fn give_up(&mut self, tickets: &[u32], at: Millis) -> Result<(), Fault> {
        for ticket in tickets {
            let since = self.passed_over.get(ticket).copied();
            let due = since.zip(self.terms.absent_after_s).map(|(since, after)| since + Millis::from(after) * 1_000);
            let is_due = due.is_some_and(|due| due <= at);
            rule(is_due, || {
                format!("ticket {ticket} was passed over at {since:?}: not to be given up before {due:?}")
            })?;
        }
        self.move_all(tickets, &[Stage::PassedOver], Stage::Over)
    }

    fn block(&mut self, event: &EntryBlocked, at: Millis) -> Result<(), Fault> {
        rule(!event.reason.trim().is_empty(), || "there is no reason".into())?;
        self.check_entry(event.entry_id, event.ticket)?;
        self.check_lasts(event.ticket, at)?;
        let from = [Stage::Waiting, Stage::First, Stage::PassedOver, Stage::Admitted, Stage::Active];
        self.move_to(event.ticket, &from, Stage::Blocked)?;
        self.check_counts(event.waiting, event.inside)
    }

    fn claim(&mut self, event: &SessionClaimed, at: Millis) -> Result<(), Fault> {
        self.check_entry(event.entry_id, event.ticket)?;
        self.check_lasts(event.ticket, at)?;
        let until = at + Millis::from(self.terms.session_ttl_s) * 1_000;
        same(Kind::RulesBroken, "the session's end", event.until_ms, until)?;
        let stage = self.stage(event.ticket)?;
        rule(stage == Stage::Admitted, || format!("ticket {} is {stage:?}, not Admitted", event.ticket))?;
        let somebody = &mut self.people[event.ticket as usize - 1];
        somebody.stage = Stage::Active;
        if somebody.known == IdentityKind::User {
            self.came.insert(somebody.key);
        }
        let idle_s = self.terms.idle_ttl_s.unwrap_or(u32::MAX);
        self.sessions.insert(event.ticket, Session { until, claimed_at: at, idle_s });
        Ok(())
    }

    fn expire(&mut self, event: &SessionsExpired, at: Millis) -> Result<(), Fault> {
        for ticket in &event.tickets {
            let stage = self.stage(*ticket)?;
            let Some(session) = self.sessions.get(ticket) else {
                return Err((Kind::RulesBroken, format!("ticket {ticket} is {stage:?}: there is no session to end")));
            };
            match event.reason {
                ExpiredBy::Time => {
                    rule(session.until <= at, || format!("the session of {ticket} lasts until {}", session.until))?;
                }
                ExpiredBy::Idle => {
                    let ends = stage == Stage::Active && self.terms.idle_ttl_s.is_some();
                    rule(ends, || format!("the session of {ticket}, {stage:?}, does not end by silence"))?;
                    let silent = session.claimed_at + Millis::from(session.idle_s) * 1_000 < at;
                    rule(silent, || format!("{ticket} came at {}: too short a silence", session.claimed_at))?;
                }
            }
        }
        self.move_all(&event.tickets, &[Stage::Admitted, Stage::Active], Stage::Over)?;
        count("inside", event.inside, self.inside)
    }

    /// Whatever somebody inside does, they do before their session ends.
    fn check_lasts(&self, ticket: u32, at: Millis) -> Result<(), Fault> {
        let until = self.sessions.get(&ticket).map(|session| session.until);
        rule(until.is_none_or(|until| at < until), || format!("the session of {ticket} ended at {until:?}"))
    }

    fn check_counts(&self, waiting: u32, inside: u32) -> Result<(), Fault> {
        count("waiting", waiting, self.waiting)?;
        count("inside", inside, self.inside)
    }

    fn check_entry(&self, entry: EntryId, ticket: u32) -> Result<(), Fault> {
        same(Kind::RulesBroken, "the entry", entry, EntryId::of(self.id, ticket))
    }

    fn stage(&self, ticket: u32) -> Result<Stage, Fault> {
        let index = (ticket as usize).checked_sub(1);
        let somebody = index.and_then(|index| self.people.get(index));
        somebody
            .map(|somebody| somebody.stage)
            .ok_or_else(|| (Kind::RulesBroken, format!("nobody has ticket {ticket}")))
    }

    fn move_all(&mut self, tickets: &[u32], from: &[Stage], to: Stage) -> Result<(), Fault> {
        rule(!tickets.is_empty(), || "it is about nobody".into())?;
        tickets.iter().try_for_each(|ticket| self.move_to(*ticket, from, to).map(drop))
    }

    /// Gives where they stood in the order, if they did.
    fn move_to(&mut self, ticket: u32, from: &[Stage], to: Stage) -> Result<Option<u64>, Fault> {
        let before = self.stage(ticket)?;
        rule(from.contains(&before), || format!("ticket {ticket} is {before:?}, not one of {from:?}"))?;
        self.waiting = self.waiting + u32::from(to.waits()) - u32::from(before.waits());
        self.inside = self.inside + u32::from(to.is_inside()) - u32::from(before.is_inside());
        let stood = before.waits().then(|| self.order.leave(ticket));
        self.sessions.remove(&ticket);
        self.passed_over.remove(&ticket);
        match to {
            Stage::Waiting => self.order.enter(ticket),
            Stage::First => self.order.put_first(ticket),
            _ => {}
        }
        self.people[ticket as usize - 1].stage = to;
        Ok(stood)
    }
}

fn check_policy(policy: &Policy) -> Result<(), Fault> {
    let by_itself = policy.rate.is_some() || policy.max_active.is_some();
    let makes_sense = if policy.manual { policy.rate.is_none() } else { by_itself };
    let nobody =
        policy.max_active == Some(0) || policy.rate.is_some_and(|rate| rate.count == 0 || rate.interval_s == 0);
    ensure(makes_sense && !nobody, Kind::QueuePolicyBroken, || format!("the policy makes no sense: {policy:?}"))
}
