//! What a queue can be asked for, what it answers, and why it refuses.

use super::draw::Seed;
use super::event::{State, Terms};
use super::policy::Policy;
use crate::queue::order::{Counts, Drawn, Standing};
use crate::{Expected, Fingerprint};
use base::id::{Millis, OrganizerId, QueueId, UserId};
use std::sync::Arc;

/// Tells who is there. Known from signs of life, in memory only.
pub trait Presence: Send + Sync + std::fmt::Debug {
    /// Whether somebody who waits has not been heard of for longer than they were told to stay silent.
    fn is_away(&self, ticket: u32, now: Millis) -> bool;

    /// Whether those who answer know of somebody. It cannot be the turn of others yet.
    fn knows(&self, ticket: u32) -> bool;

    /// It is somebody's turn. Gives when they will have learned of it at the latest, if they ask when they were told to.
    /// From here on they are told to ask again soon, so that this stays true.
    fn summon(&self, ticket: u32, now: Millis) -> Millis;
}

/// Everybody is there.
#[derive(Debug)]
pub struct AllPresent;

impl Presence for AllPresent {
    fn is_away(&self, _: u32, _: Millis) -> bool {
        false
    }

    fn knows(&self, _: u32) -> bool {
        true
    }

    fn summon(&self, _: u32, now: Millis) -> Millis {
        now
    }
}

/// Who wants to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Person {
    User(UserId),
    /// By the organizer's own id.
    Visitor(String),
    /// With the fingerprint of an Idempotency-Key, if there was one.
    Anonymous(Option<Fingerprint>),
}

/// What a queue can be asked for. Tickets are of this queue.
#[derive(Clone, Debug)]
pub enum Command {
    Create {
        organizer: OrganizerId,
        terms: Box<Terms>,
        commitment: String,
        content: Fingerprint,
    },
    Describe,
    /// What is `None` stays as it is.
    Change(Box<Change>),
    SetState {
        organizer: OrganizerId,
        state: State,
    },
    Join(Person),
    /// Refused unless it is this person's ticket.
    Find {
        person: Person,
        ticket: u32,
    },
    Leave {
        ticket: u32,
    },
    /// From the erasure of a user: whatever their place is, it is given up.
    Forget {
        user: UserId,
    },
    Claim {
        ticket: u32,
    },
    Finish {
        ticket: u32,
    },
    /// Ends the user's session, if there is one.
    FinishUser {
        user: UserId,
    },
    Block {
        organizer: OrganizerId,
        ticket: u32,
        reason: String,
    },
    Restore {
        organizer: OrganizerId,
        ticket: u32,
    },
    /// Lets so many in, the next in line. With the same `repeat` again: nobody.
    Admit {
        organizer: OrganizerId,
        count: u32,
        repeat: Option<Fingerprint>,
        presence: Arc<dyn Presence>,
    },
    /// Lets these in: at once where people are let in by hand, otherwise before all others.
    AdmitNamed {
        organizer: OrganizerId,
        tickets: Vec<u32>,
        reason: String,
        presence: Arc<dyn Presence>,
    },
    /// What the policy and the hour bring.
    Advance(Box<Advance>),
}

/// What is known outside of the queue, for [`Command::Advance`].
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

/// Other terms.
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
}

/// What a queue answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Queue(Box<Description>),
    /// A ticket, and whether it was there before.
    Ticket {
        ticket: u32,
        repeated: bool,
    },
    /// How many were let in, and how many waited and were inside after it; and whether that was so before.
    Admitted {
        admitted: u32,
        waiting: u32,
        inside: u32,
        repeated: bool,
    },
}

/// A queue as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    pub id: QueueId,
    pub organizer: OrganizerId,
    pub terms: Terms,
    pub state: State,
    pub opened: bool,
    pub created_at_ms: Millis,
    pub commitment: String,
    /// Once it was drawn.
    pub seed: Option<String>,
    pub sealed: Option<String>,
    pub joined: u32,
    pub counts: Counts,
    /// Of the last change of terms or state.
    pub edited_version: u64,
    pub version: u64,
    /// It was created before, by the same request: this is what it was then.
    pub repeated: bool,
}

/// Why a queue refuses.
#[derive(Clone, Debug, PartialEq)]
pub enum Rejection {
    UnknownQueue,
    UnknownEntry,
    KeyReused,
    Changed {
        version: u64,
    },
    Invalid {
        field: String,
        reason: String,
    },
    /// Nobody may come any more.
    Closed,
    /// As many have joined as it has room for.
    Full {
        limit: u32,
    },
    /// It has opened: that cannot be changed any more.
    Opened,
    /// Nobody is let in now: it has not opened, or is paused or closed.
    NotOpen {
        opens_at_ms: Option<Millis>,
        state: State,
    },
    /// People are let in by its policy.
    NotManual,
    /// More than may be inside.
    NoRoom {
        inside: u32,
        max_active: u32,
    },
    /// Somebody who does not wait, or has no session.
    WrongStanding {
        ticket: u32,
        standing: Standing,
    },
}
