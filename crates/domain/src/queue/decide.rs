//! The rules of a queue. Each refuses from the top down; what is left at the end happens.

use super::event::*;
use super::*;
use crate::text_fits;

/// Characters of an organizer's own id of a visitor.
pub const VISITOR_CHARS_MAX: usize = 128;
/// Characters of a reason.
pub const REASON_CHARS_MAX: usize = 200;
/// People in one event.
pub(super) const EVENT_ENTRIES_MAX: usize = 1_000;
/// People whose time is up who are recorded with one command.
const LAPSED_MAX: usize = 5_000;

type Decided = Result<Vec<Event>, Rejection>;

impl Queue {
    pub(super) fn decide_on(&self, command: &Command, id: QueueId, now: Millis) -> Decided {
        if let Command::Create { organizer, terms, commitment, content } = command {
            return self.create(*organizer, terms, commitment, *content);
        }
        let Some(created) = &self.created else { return Err(Rejection::UnknownQueue) };
        if command.organizer().is_some_and(|organizer| organizer != created.facts.organizer) {
            return Err(Rejection::UnknownQueue);
        }
        match command {
            Command::Create { .. } => unreachable!("handled above"),
            Command::Describe => Ok(vec![]),
            Command::Change(change) => self.change(created, change, now),
            Command::SetState { state, .. } => self.set_state(created, *state),
            Command::Join(person) => self.join(created, person, id),
            Command::Find { person, ticket } => match self.people.is(person, *ticket) {
                true => Ok(vec![]),
                false => Err(Rejection::UnknownEntry),
            },
            Command::Leave { ticket } => self.leave(*ticket, id),
            Command::Forget { user } => {
                Ok(self.ticket_of(*user).map(|(ticket, at)| self.left(ticket, at, id)).into_iter().collect())
            }
            Command::Claim { ticket } => self.claim(created, *ticket, id, now),
            Command::Finish { ticket } => self.finish(*ticket, id),
            Command::FinishUser { user } => match self.people.find(&Person::User(*user)) {
                Some(ticket) if self.standing(ticket)?.is_inside() => self.finish(ticket, id),
                _ => Ok(vec![]),
            },
            Command::Block { ticket, reason, .. } => self.block(*ticket, reason, id),
            Command::Restore { ticket, .. } => self.restore(*ticket, id),
            Command::Admit { count, repeat, presence, .. } => {
                self.admit_count(created, *count, *repeat, &**presence, id, now)
            }
            Command::AdmitNamed { tickets, reason, presence, .. } => {
                self.admit_named(created, tickets, reason, &**presence, id, now)
            }
            Command::Advance(advance) => self.advance(created, advance, id, now),
        }
    }

    pub(super) fn standing(&self, ticket: u32) -> Result<Standing, Rejection> {
        self.line.standing(ticket).ok_or(Rejection::UnknownEntry)
    }

    /// What time alone has made true.
    pub(super) fn lapsed_by(&self, now: Millis) -> Vec<Event> {
        // More of them wait for the next command: what is recorded at once is bounded.
        let ended: Vec<u32> = self.inside.ended(now).take(LAPSED_MAX).collect();
        let mut inside = self.line.counts.inside();
        let expired = ended.chunks(EVENT_ENTRIES_MAX).map(|tickets| {
            inside -= tickets.len() as u32;
            Event::SessionsExpired(SessionsExpired { tickets: tickets.into(), reason: ExpiredBy::Time, inside })
        });
        let expired: Vec<Event> = expired.collect();
        let given_up: Vec<u32> = self
            .given_up_at
            .iter()
            .take_while(|(at, _)| *at <= now)
            .map(|(_, ticket)| *ticket)
            .take(LAPSED_MAX)
            .collect();
        let given_up = given_up.chunks(EVENT_ENTRIES_MAX);
        let given_up = given_up.map(|tickets| Event::EntriesGivenUp(EntriesGivenUp { tickets: tickets.into() }));
        expired.into_iter().chain(given_up).collect()
    }

    fn join(&self, created: &Created, person: &Person, id: QueueId) -> Decided {
        if let Some(ticket) = self.people.find(person)
            && !self.standing(ticket)?.is_over()
        {
            return Ok(vec![]);
        }
        if created.facts.state == State::Closed {
            return Err(Rejection::Closed);
        }
        if let Person::Visitor(visitor) = person
            && !text_fits(visitor, VISITOR_CHARS_MAX)
        {
            let reason =
                format!("must have 1 to {VISITOR_CHARS_MAX} characters and none that are invisible or of control");
            return Err(Rejection::Invalid { field: "visitor".into(), reason });
        }
        if self.line.joined() >= ENTRIES_MAX {
            return Err(Rejection::Full { limit: ENTRIES_MAX });
        }
        let ticket = self.line.joined() + 1;
        let mut joined = EntryJoined {
            entry_id: entry(id, ticket),
            ticket,
            user_id: None,
            visitor: None,
            repeat: None,
            waiting: self.line.counts.waiting + 1,
        };
        match person {
            Person::User(user) => joined.user_id = Some(*user),
            Person::Visitor(visitor) => joined.visitor = Some(visitor.clone()),
            Person::Anonymous(repeat) => joined.repeat = *repeat,
        }
        Ok(vec![Event::EntryJoined(joined)])
    }

    fn leave(&self, ticket: u32, id: QueueId) -> Decided {
        let standing = self.standing(ticket)?;
        match standing {
            Standing::Blocked => Err(Rejection::WrongStanding { ticket, standing }),
            standing if standing.is_over() => Ok(vec![]),
            standing => Ok(vec![self.left(ticket, standing, id)]),
        }
    }

    fn left(&self, ticket: u32, standing: Standing, id: QueueId) -> Event {
        Event::EntryLeft(EntryLeft {
            entry_id: entry(id, ticket),
            ticket,
            inside: self.inside_without(standing),
            waiting: self.waiting_without(standing),
        })
    }

    /// The ticket of a user who waits, is inside or is shut out, and where they stand.
    pub fn ticket_of(&self, user: UserId) -> Option<(u32, Standing)> {
        let ticket = self.people.find(&Person::User(user))?;
        self.line.standing(ticket).filter(|standing| !standing.is_over()).map(|standing| (ticket, standing))
    }

    fn claim(&self, created: &Created, ticket: u32, id: QueueId, now: Millis) -> Decided {
        match self.standing(ticket)? {
            Standing::Active => Ok(vec![]),
            // It has ended by itself; that is about to be recorded.
            standing if self.inside.get(ticket).is_some_and(|session| now >= session.until_ms) => {
                Err(Rejection::WrongStanding { ticket, standing })
            }
            Standing::Admitted => Ok(vec![Event::SessionClaimed(SessionClaimed {
                entry_id: entry(id, ticket),
                ticket,
                until_ms: created.facts.terms.session_until(now),
            })]),
            standing => Err(Rejection::WrongStanding { ticket, standing }),
        }
    }

    fn finish(&self, ticket: u32, id: QueueId) -> Decided {
        match self.standing(ticket)? {
            Standing::Finished => Ok(vec![]),
            standing if standing.is_inside() => Ok(vec![Event::SessionFinished(SessionFinished {
                entry_id: entry(id, ticket),
                ticket,
                inside: self.inside_without(standing),
            })]),
            standing => Err(Rejection::WrongStanding { ticket, standing }),
        }
    }

    fn block(&self, ticket: u32, reason: &str, id: QueueId) -> Decided {
        check_reason(reason)?;
        match self.standing(ticket)? {
            Standing::Blocked => Ok(vec![]),
            standing if standing.is_over() => Err(Rejection::WrongStanding { ticket, standing }),
            standing => Ok(vec![Event::EntryBlocked(EntryBlocked {
                entry_id: entry(id, ticket),
                ticket,
                reason: reason.to_owned(),
                inside: self.inside_without(standing),
                waiting: self.waiting_without(standing),
            })]),
        }
    }

    fn restore(&self, ticket: u32, id: QueueId) -> Decided {
        match self.standing(ticket)? {
            Standing::Blocked => Ok(vec![Event::EntryRestored(EntryRestored {
                entry_id: entry(id, ticket),
                ticket,
                waiting: self.line.counts.waiting + 1,
            })]),
            standing if standing.is_over() => Err(Rejection::WrongStanding { ticket, standing }),
            _ => Ok(vec![]),
        }
    }

    fn inside_without(&self, standing: Standing) -> u32 {
        self.line.counts.inside() - u32::from(standing.is_inside())
    }

    fn waiting_without(&self, standing: Standing) -> u32 {
        self.line.counts.waiting - u32::from(matches!(standing, Standing::Waiting | Standing::First))
    }
}

impl Command {
    /// The organizer who asks, where only the queue's own may.
    fn organizer(&self) -> Option<OrganizerId> {
        match self {
            Command::Change(change) => Some(change.organizer),
            Command::SetState { organizer, .. }
            | Command::Block { organizer, .. }
            | Command::Restore { organizer, .. }
            | Command::Admit { organizer, .. }
            | Command::AdmitNamed { organizer, .. } => Some(*organizer),
            _ => None,
        }
    }
}

pub(super) fn check_reason(reason: &str) -> Result<(), Rejection> {
    if text_fits(reason, REASON_CHARS_MAX) {
        return Ok(());
    }
    let reason = format!("must have 1 to {REASON_CHARS_MAX} characters and none that are invisible or of control");
    Err(Rejection::Invalid { field: "reason".into(), reason })
}
