//! Who was let in: sessions, from the admission to their end. Known to the queue itself and to whoever shows it.

use super::event::*;
use super::{Event, Terms};
use base::id::Millis;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A session. Everything but the ends and `is_claimed` is as it was at the admission, for good.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Who it is.
    pub subject: Arc<str>,
    pub admitted_at_ms: Millis,
    /// When that was by the machine's clock: for tokens that others check by theirs.
    pub machine_ms: Millis,
    /// Who has not come by then is not let in.
    pub claim_until_ms: Millis,
    /// Counts admissions from 1.
    pub number: u32,
    /// When it ends by itself.
    pub until_ms: Millis,
    pub is_claimed: bool,
}

/// All sessions of a queue, by ticket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Inside {
    /// Apart from the tree, which is built anew around them with each that comes.
    sessions: BTreeMap<u32, Box<Session>>,
    #[serde(skip)]
    due: BTreeSet<(Millis, u32)>,
}

impl Inside {
    pub fn get(&self, ticket: u32) -> Option<&Session> {
        self.sessions.get(&ticket).map(|session| &**session)
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &Session)> {
        self.sessions.iter().map(|(ticket, session)| (*ticket, &**session))
    }

    /// Those of the tickets after `ticket`, in order.
    pub fn iter_after(&self, ticket: u32) -> impl Iterator<Item = (u32, &Session)> {
        self.sessions.range(ticket.saturating_add(1)..).map(|(ticket, session)| (*ticket, &**session))
    }

    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// The tickets whose sessions have ended by themselves by `now`, the earliest first.
    pub fn ended(&self, now: Millis) -> impl Iterator<Item = u32> + '_ {
        self.due.iter().take_while(move |(at, _)| *at <= now).map(|(_, ticket)| *ticket)
    }

    /// When the next one ends by itself.
    pub fn next_end(&self) -> Option<Millis> {
        self.due.first().map(|(at, _)| *at)
    }

    pub fn apply(&mut self, event: &Event, at_ms: Millis) {
        match event {
            Event::EntriesAdmitted(event) => self.admit(event, at_ms),
            Event::ClaimsExtended(event) => {
                event.tickets.iter().for_each(|ticket| self.extend(*ticket, event.claim_until_ms));
            }
            Event::SessionClaimed(event) => {
                if let Some(session) = self.sessions.get_mut(&event.ticket) {
                    self.due.remove(&(session.until_ms, event.ticket));
                    session.is_claimed = true;
                    session.until_ms = event.until_ms;
                    self.due.insert((event.until_ms, event.ticket));
                }
            }
            Event::SessionFinished(event) => self.end(event.ticket),
            Event::SessionsExpired(event) => event.tickets.iter().for_each(|ticket| self.end(*ticket)),
            Event::EntryLeft(event) => self.end(event.ticket),
            Event::EntryBlocked(event) => self.end(event.ticket),
            _ => {}
        }
    }

    fn admit(&mut self, event: &EntriesAdmitted, at_ms: Millis) {
        let numbers = event.admitted_before + 1..;
        let mut admitted: Vec<(Millis, &AdmittedEntry, u32)> = event
            .entries
            .iter()
            .zip(numbers)
            .map(|(entry, number)| (entry.claim_until_ms.unwrap_or(event.claim_until_ms), entry, number))
            .collect();
        // In their order in the lists: those of a thousand are close together there, those of a draw are not.
        admitted.sort_unstable_by_key(|(until_ms, entry, _)| (*until_ms, entry.ticket));
        for (until_ms, entry, number) in admitted {
            let session = Session {
                subject: entry.subject.clone(),
                admitted_at_ms: at_ms,
                machine_ms: event.machine_ms.unwrap_or(at_ms),
                claim_until_ms: until_ms,
                number,
                until_ms,
                is_claimed: false,
            };
            self.sessions.insert(entry.ticket, Box::new(session));
            self.due.insert((until_ms, entry.ticket));
        }
    }

    fn extend(&mut self, ticket: u32, until_ms: Millis) {
        if let Some(session) = self.sessions.get_mut(&ticket).filter(|session| !session.is_claimed) {
            self.due.remove(&(session.until_ms, ticket));
            (session.until_ms, session.claim_until_ms) = (until_ms, until_ms);
            self.due.insert((until_ms, ticket));
        }
    }

    fn end(&mut self, ticket: u32) {
        if let Some(session) = self.sessions.remove(&ticket) {
            self.due.remove(&(session.until_ms, ticket));
        }
    }

    /// Panics where the order of the ends is not that of the sessions.
    pub fn check(&self) {
        let ends = self.sessions.iter().map(|(ticket, session)| (session.until_ms, *ticket));
        assert_eq!(self.due, ends.collect::<BTreeSet<_>>(), "when sessions end");
    }

    /// Restores what is derived.
    pub fn rebuild(&mut self) {
        self.due = self.sessions.iter().map(|(ticket, session)| (session.until_ms, *ticket)).collect();
    }
}

impl Terms {
    /// When a session that is claimed at `now` ends.
    pub fn session_until(&self, now: Millis) -> Millis {
        now + Millis::from(self.session_ttl_s) * 1_000
    }
}
