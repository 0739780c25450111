//! What is done with one entry: by the person whose it is, or by the queue's organizer.

use super::event::{
    EntryBlocked, EntryJoined, EntryLeft, EntryRestored, Event, JoinPolicy, SessionClaimed, SessionFinished, State,
};
use super::members::Person;
use super::order::Standing;
use super::{ENTRIES_MAX, Queue, entry};
use crate::text::{Invalid, text_fits};
use crate::{Command, Context, Effect, Fingerprint};
use base::id::{OrganizerId, QueueId, UserId};
use std::convert::Infallible;

/// Characters of an organizer's own id of a visitor.
pub const VISITOR_CHARS_MAX: usize = 128;
/// Characters of a reason.
pub const REASON_CHARS_MAX: usize = 200;

/// Somebody wants to wait. Whoever waits or is inside already stays where they are.
#[derive(Clone, Debug)]
pub struct Join {
    pub person: Person,
    pub by: Credential,
}

/// What speaks for somebody who wants to wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Credential {
    Account,
    /// An account, by a token of the identity provider of the queue's organizer.
    Identity,
    /// The key of the organizer's backend.
    Visitor,
    /// A token that the organizer has signed for this queue, with the fingerprint of its `jti`.
    Token(Fingerprint),
    Nothing,
}

/// Refused unless it is this person's ticket.
#[derive(Clone, Debug)]
pub struct Find {
    pub person: Person,
    pub ticket: u32,
}

/// Again without effect, here and below.
#[derive(Clone, Debug)]
pub struct Leave {
    pub ticket: u32,
}

/// From the erasure of a user: whatever their place is, it is given up.
#[derive(Clone, Debug)]
pub struct Forget {
    pub user: UserId,
}

/// The first use of an admission: the session begins.
#[derive(Clone, Debug)]
pub struct Claim {
    pub ticket: u32,
}

/// The session is over.
#[derive(Clone, Debug)]
pub struct Finish {
    pub ticket: u32,
}

/// Ends the user's session, if there is one.
#[derive(Clone, Debug)]
pub struct FinishUser {
    pub user: UserId,
}

/// Shuts somebody out, who keeps the place.
#[derive(Clone, Debug)]
pub struct Block {
    pub organizer: OrganizerId,
    pub ticket: u32,
    pub reason: String,
}

/// Ends a block.
#[derive(Clone, Debug)]
pub struct Restore {
    pub organizer: OrganizerId,
    pub ticket: u32,
}

/// Somebody's ticket.
#[derive(Clone, Debug, PartialEq)]
pub struct Joined {
    pub ticket: u32,
    /// They had it before.
    pub repeated: bool,
}

/// Why somebody cannot wait, in order of precedence.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(strum::VariantNames))]
pub enum JoinRejection {
    UnknownQueue,
    /// Nobody may come any more.
    Closed,
    /// Not in this way.
    NotAllowed {
        join: JoinPolicy,
    },
    Invalid(Invalid),
    /// Somebody has joined with this token, who is not this person or does not wait any more.
    TokenUsed,
    /// The queue has room for so many, and so many have joined.
    Full {
        limit: u32,
    },
}

/// Why nothing is done with an entry, in order of precedence.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(strum::VariantNames))]
pub enum EntryRejection {
    /// Or not the organizer's who asks.
    UnknownQueue,
    /// Nobody's ticket, or another's than who asks.
    UnknownEntry,
    /// Somebody who does not wait, or has no session.
    WrongStanding { ticket: u32, standing: Standing },
}

/// Why somebody is not shut out, in order of precedence.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(strum::VariantNames))]
pub enum BlockRejection {
    UnknownQueue,
    /// The reason.
    Invalid(Invalid),
    UnknownEntry,
    /// For them it is over.
    WrongStanding {
        ticket: u32,
        standing: Standing,
    },
}

impl Join {
    /// Somebody who is known in the plainest way.
    pub fn of(person: Person) -> Join {
        let by = match person {
            Person::User(_) => Credential::Account,
            Person::Visitor(_) => Credential::Visitor,
            Person::Anonymous(_) => Credential::Nothing,
        };
        Join { person, by }
    }
}

impl Credential {
    fn is_allowed(self, join: JoinPolicy) -> bool {
        match join {
            JoinPolicy::Anyone => true,
            JoinPolicy::Account => matches!(self, Credential::Account | Credential::Identity),
            JoinPolicy::Identity => self == Credential::Identity,
            JoinPolicy::Visitor => self == Credential::Visitor,
            JoinPolicy::Token => matches!(self, Credential::Token(_)),
        }
    }
}

impl Command for Join {
    type On = Queue;
    type Answer = Joined;
    type Rejection = JoinRejection;

    fn decide(&self, queue: &Queue, context: &Context) -> Result<Vec<Event>, JoinRejection> {
        use JoinRejection as R;
        let created = queue.created().ok_or(R::UnknownQueue)?;
        let standing = queue.people.find(&self.person).and_then(|ticket| queue.line.standing(ticket));
        if standing.is_some_and(|standing| !standing.is_over()) {
            return Ok(vec![]);
        }
        if created.facts.state == State::Closed {
            return Err(R::Closed);
        }
        let join = created.facts.terms.join;
        if !self.by.is_allowed(join) {
            return Err(R::NotAllowed { join });
        }
        if let Person::Visitor(visitor) = &self.person
            && !text_fits(visitor, VISITOR_CHARS_MAX)
        {
            return Err(R::Invalid(Invalid::text("visitor", VISITOR_CHARS_MAX)));
        }
        let token = match self.by {
            Credential::Token(token) => Some(token),
            _ => None,
        };
        if token.is_some_and(|token| queue.tokens.contains(&token)) {
            return Err(R::TokenUsed);
        }
        if queue.line.joined() >= ENTRIES_MAX {
            return Err(R::Full { limit: ENTRIES_MAX });
        }
        let ticket = queue.line.joined() + 1;
        let mut joined = EntryJoined {
            entry_id: entry(QueueId(context.key), ticket),
            ticket,
            user_id: None,
            visitor: None,
            repeat: None,
            token,
            waiting: queue.line.counts.waiting + 1,
        };
        match &self.person {
            Person::User(user) => joined.user_id = Some(*user),
            Person::Visitor(visitor) => joined.visitor = Some(visitor.clone()),
            Person::Anonymous(repeat) => joined.repeat = *repeat,
        }
        Ok(vec![Event::EntryJoined(joined)])
    }

    fn answer(&self, queue: &Queue, effect: &Effect<'_, Queue>) -> Joined {
        let ticket = match effect.events.last() {
            Some(Event::EntryJoined(event)) => event.ticket,
            _ => queue.people.find(&self.person).unwrap_or(queue.line.joined()),
        };
        Joined { ticket, repeated: effect.events.is_empty() }
    }

    fn newcomer(&self) -> Option<UserId> {
        match self.person {
            Person::User(user) => Some(user),
            _ => None,
        }
    }
}

impl Command for Find {
    type On = Queue;
    type Answer = ();
    type Rejection = EntryRejection;

    fn decide(&self, queue: &Queue, _: &Context) -> Result<Vec<Event>, EntryRejection> {
        queue.created().ok_or(EntryRejection::UnknownQueue)?;
        if queue.people.is(&self.person, self.ticket) { Ok(vec![]) } else { Err(EntryRejection::UnknownEntry) }
    }

    fn answer(&self, _: &Queue, _: &Effect<'_, Queue>) {}
}

impl Command for Leave {
    type On = Queue;
    type Answer = ();
    type Rejection = EntryRejection;

    fn decide(&self, queue: &Queue, context: &Context) -> Result<Vec<Event>, EntryRejection> {
        match queue.standing(self.ticket)? {
            standing @ Standing::Blocked => Err(EntryRejection::WrongStanding { ticket: self.ticket, standing }),
            standing if standing.is_over() => Ok(vec![]),
            standing => Ok(vec![queue.left(self.ticket, standing, context)]),
        }
    }

    fn answer(&self, _: &Queue, _: &Effect<'_, Queue>) {}
}

impl Command for Forget {
    type On = Queue;
    type Answer = ();
    type Rejection = Infallible;

    fn decide(&self, queue: &Queue, context: &Context) -> Result<Vec<Event>, Infallible> {
        let place = queue.ticket_of(self.user);
        Ok(place.map(|(ticket, standing)| queue.left(ticket, standing, context)).into_iter().collect())
    }

    fn answer(&self, _: &Queue, _: &Effect<'_, Queue>) {}
}

impl Command for Claim {
    type On = Queue;
    type Answer = ();
    type Rejection = EntryRejection;

    fn decide(&self, queue: &Queue, context: &Context) -> Result<Vec<Event>, EntryRejection> {
        let Claim { ticket } = *self;
        let created = queue.created().ok_or(EntryRejection::UnknownQueue)?;
        let is_over = || queue.inside.get(ticket).is_some_and(|session| context.now >= session.until_ms);
        match queue.standing(ticket)? {
            Standing::Active => Ok(vec![]),
            // It may have ended by itself; that is about to be recorded.
            Standing::Admitted if !is_over() => Ok(vec![Event::SessionClaimed(SessionClaimed {
                entry_id: entry(QueueId(context.key), ticket),
                ticket,
                until_ms: created.facts.terms.session_until(context.now),
            })]),
            standing => Err(EntryRejection::WrongStanding { ticket, standing }),
        }
    }

    fn answer(&self, _: &Queue, _: &Effect<'_, Queue>) {}
}

impl Command for Finish {
    type On = Queue;
    type Answer = ();
    type Rejection = EntryRejection;

    fn decide(&self, queue: &Queue, context: &Context) -> Result<Vec<Event>, EntryRejection> {
        let Finish { ticket } = *self;
        match queue.standing(ticket)? {
            Standing::Finished => Ok(vec![]),
            standing if standing.is_inside() => Ok(vec![queue.finished(ticket, standing, context)]),
            standing => Err(EntryRejection::WrongStanding { ticket, standing }),
        }
    }

    fn answer(&self, _: &Queue, _: &Effect<'_, Queue>) {}
}

impl Command for FinishUser {
    type On = Queue;
    type Answer = ();
    type Rejection = Infallible;

    fn decide(&self, queue: &Queue, context: &Context) -> Result<Vec<Event>, Infallible> {
        let session = queue.ticket_of(self.user).filter(|(_, standing)| standing.is_inside());
        Ok(session.map(|(ticket, standing)| queue.finished(ticket, standing, context)).into_iter().collect())
    }

    fn answer(&self, _: &Queue, _: &Effect<'_, Queue>) {}
}

impl Command for Block {
    type On = Queue;
    type Answer = ();
    type Rejection = BlockRejection;

    fn decide(&self, queue: &Queue, context: &Context) -> Result<Vec<Event>, BlockRejection> {
        use BlockRejection as R;
        queue.of(self.organizer).ok_or(R::UnknownQueue)?;
        check_reason(&self.reason).map_err(R::Invalid)?;
        let ticket = self.ticket;
        match queue.line.standing(ticket).ok_or(R::UnknownEntry)? {
            Standing::Blocked => Ok(vec![]),
            standing if standing.is_over() => Err(R::WrongStanding { ticket, standing }),
            standing => Ok(vec![Event::EntryBlocked(EntryBlocked {
                entry_id: entry(QueueId(context.key), ticket),
                ticket,
                reason: self.reason.clone(),
                inside: queue.inside_without(standing),
                waiting: queue.waiting_without(standing),
            })]),
        }
    }

    fn answer(&self, _: &Queue, _: &Effect<'_, Queue>) {}
}

impl Command for Restore {
    type On = Queue;
    type Answer = ();
    type Rejection = EntryRejection;

    fn decide(&self, queue: &Queue, context: &Context) -> Result<Vec<Event>, EntryRejection> {
        let Restore { ticket, .. } = *self;
        queue.of(self.organizer).ok_or(EntryRejection::UnknownQueue)?;
        match queue.standing(ticket)? {
            Standing::Blocked => Ok(vec![Event::EntryRestored(EntryRestored {
                entry_id: entry(QueueId(context.key), ticket),
                ticket,
                waiting: queue.line.counts.waiting + 1,
            })]),
            standing if standing.is_over() => Err(EntryRejection::WrongStanding { ticket, standing }),
            _ => Ok(vec![]),
        }
    }

    fn answer(&self, _: &Queue, _: &Effect<'_, Queue>) {}
}

impl Queue {
    fn standing(&self, ticket: u32) -> Result<Standing, EntryRejection> {
        self.created().ok_or(EntryRejection::UnknownQueue)?;
        self.line.standing(ticket).ok_or(EntryRejection::UnknownEntry)
    }

    /// The ticket of a user who waits, is inside or is shut out, and where they stand.
    pub fn ticket_of(&self, user: UserId) -> Option<(u32, Standing)> {
        let ticket = self.people.find(&Person::User(user))?;
        self.line.standing(ticket).filter(|standing| !standing.is_over()).map(|standing| (ticket, standing))
    }

    fn left(&self, ticket: u32, standing: Standing, context: &Context) -> Event {
        Event::EntryLeft(EntryLeft {
            entry_id: entry(QueueId(context.key), ticket),
            ticket,
            inside: self.inside_without(standing),
            waiting: self.waiting_without(standing),
        })
    }

    fn finished(&self, ticket: u32, standing: Standing, context: &Context) -> Event {
        Event::SessionFinished(SessionFinished {
            entry_id: entry(QueueId(context.key), ticket),
            ticket,
            inside: self.inside_without(standing),
        })
    }

    fn inside_without(&self, standing: Standing) -> u32 {
        self.line.counts.inside() - u32::from(standing.is_inside())
    }

    fn waiting_without(&self, standing: Standing) -> u32 {
        self.line.counts.waiting - u32::from(matches!(standing, Standing::Waiting | Standing::First))
    }
}

/// Refuses a reason that says nothing.
pub(super) fn check_reason(reason: &str) -> Result<(), Invalid> {
    if text_fits(reason, REASON_CHARS_MAX) { Ok(()) } else { Err(Invalid::text("reason", REASON_CHARS_MAX)) }
}
