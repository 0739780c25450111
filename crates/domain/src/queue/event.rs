//! What happens to a queue and to those who wait in it.

use super::look::Look;
use super::policy::Policy;
use crate::Fingerprint;
use crate::event::{events, recorded, words};
use crate::queue::order::{Drawn, Standing};
use base::id::{EntryId, Millis, OrganizerId, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// People in one event.
pub(super) const EVENT_ENTRIES_MAX: usize = 1_000;

events! {
    QueueCreated = "QueueCreated.v1",
    QueueChanged = "QueueChanged.v1",
    QueueStateChanged = "QueueStateChanged.v1",
    QueueNoticeSet = "QueueNoticeSet.v1",
    QueuePageSet = "QueuePageSet.v1",
    QueueDrawn = "QueueDrawn.v1",
    EntryJoined = "EntryJoined.v1",
    EntriesAdmitted = "EntriesAdmitted.v1",
    ClaimsExtended = "ClaimsExtended.v1",
    EntriesPassedOver = "EntriesPassedOver.v1",
    EntriesReturned = "EntriesReturned.v1",
    EntriesGivenUp = "EntriesGivenUp.v1",
    EntriesPutFirst = "EntriesPutFirst.v1",
    EntryLeft = "EntryLeft.v1",
    EntryBlocked = "EntryBlocked.v1",
    EntryRestored = "EntryRestored.v1",
    SessionClaimed = "SessionClaimed.v1",
    SessionFinished = "SessionFinished.v1",
    SessionsExpired = "SessionsExpired.v1",
}

recorded! {
    /// How a queue is run.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct Terms {
        pub name: String as public,
        /// Where people may be sent when it is their turn: exactly these.
        pub redirect_urls: Vec<String> as public,
        pub policy: Policy,
        /// Whoever comes before waits in the pre-queue, which is drawn then.
        pub opens_at_ms: Millis,
        /// How long an admitted person has to come, s.
        pub claim_ttl_s: u32,
        /// How long a session lasts once it was claimed, s.
        pub session_ttl_s: u32,
        /// After so long without a sign of life a session ends, s; never when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub idle_ttl_s: Option<u32>,
        /// After so long the place of somebody who was passed over is given up, s; never when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub absent_after_s: Option<u32>,
        /// A purchase ends the buyer's session.
        pub purchase_completes: bool,
        /// Who may join; anyone when absent.
        #[serde(default, skip_serializing_if = "JoinPolicy::is_anyone")]
        pub join: JoinPolicy,
    }

    /// An organizer made a queue.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct QueueCreated {
        pub organizer_id: OrganizerId,
        #[serde(flatten)]
        pub terms: Terms,
        /// SHA-256 of the seed of the draw, 64 hex digits: published before anybody waits.
        pub commitment: String as public,
        /// Fingerprint of the request; a repeated one with the same key gives the same queue.
        pub content: Fingerprint as public,
    }

    /// Its organizer changed how a queue is run. All as it is now.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct QueueChanged {
        #[serde(flatten)]
        pub terms: Terms,
    }

    /// Its organizer paused, resumed or closed a queue.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct QueueStateChanged {
        pub state: State,
    }

    /// Its organizer tells everybody in line something, or nothing any more.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct QueueNoticeSet {
        /// Plain text; nothing when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub notice: Option<String> as public,
    }

    /// Its organizer gave the queue's page another look. All of it as it is now.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct QueuePageSet {
        #[serde(flatten)]
        pub look: Look,
    }
}

/// Who may join a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JoinPolicy {
    /// Whoever comes, in whatever way.
    #[default]
    Anyone,
    /// Users, wherever their accounts are from.
    Account,
    /// Users whom the organizer's identity provider vouches for.
    Identity,
    /// Visitors whom the organizer's own backend brings.
    Visitor,
    /// Who has a token that the organizer has signed for this queue.
    Token,
}

impl JoinPolicy {
    pub fn is_anyone(&self) -> bool {
        *self == JoinPolicy::Anyone
    }
}

/// Whether a queue lets people in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    #[default]
    Open,
    /// People may come and wait; nobody is let in.
    Paused,
    /// Nobody may come any more and nobody is let in, for good.
    Closed,
}

recorded! {
    /// A queue has opened: those who waited in the pre-queue were drawn, and now have an order.
    #[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
    pub struct QueueDrawn {
        /// The seed, 64 hex digits: its SHA-256 is the commitment.
        pub seed: String as public,
        /// SHA-256 of the sealed list: the tickets that were drawn, ascending, in decimal, with commas between them.
        pub sealed: String as public,
        /// How many tickets there were.
        pub tickets: u32,
        /// How many of them were drawn: all but those who had left.
        pub drawn: u32,
        /// The order, if it is known already.
        #[serde(skip)]
        pub ready: Option<Drawn> as private,
    }
}

/// What happened counts; whether its order is at hand does not.
impl PartialEq for QueueDrawn {
    fn eq(&self, other: &QueueDrawn) -> bool {
        let told = |event: &QueueDrawn| (event.tickets, event.drawn);
        self.seed == other.seed && self.sealed == other.sealed && told(self) == told(other)
    }
}

recorded! {
    /// Somebody waits: the user, the visitor of an organizer's own site, or anybody.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct EntryJoined {
        pub entry_id: EntryId,
        /// Counts from 1 in the order of joining.
        pub ticket: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub user_id: Option<UserId>,
        /// The organizer's own id of the visitor, which may be anything that they know somebody by.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub visitor: Option<String> as private,
        /// Fingerprint of the Idempotency-Key of somebody who is otherwise unknown.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub repeat: Option<Fingerprint> as public,
        /// Fingerprint of the `jti` of the token that the organizer signed for this visitor: it opens one place, ever.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub token: Option<Fingerprint> as public,
        /// People who wait now.
        pub waiting: u32,
    }

    /// It is these people's turn. The first in line comes first.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct EntriesAdmitted {
        pub entries: Vec<AdmittedEntry>,
        pub by: AdmittedBy,
        /// Why the organizer let them in before others.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub reason: Option<String> as public,
        /// Fingerprint of the request's Idempotency-Key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub repeat: Option<Fingerprint> as public,
        /// Who has not come by then is not let in any more, unless their entry says a later time.
        pub claim_until_ms: Millis,
        /// What the machine's clock said, where that had been set back and was behind the time of this event: the admissions'
        /// tokens, which others check by their own clocks, begin then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub machine_ms: Option<Millis>,
        /// How many were admitted before them, ever.
        pub admitted_before: u32,
        /// People inside now: admitted or active.
        pub inside: u32,
        /// People who wait now.
        pub waiting: u32,
    }

    /// One of those who were admitted.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct AdmittedEntry {
        pub entry_id: EntryId,
        pub ticket: u32,
        /// Who it is: the user's id, the organizer's id of the visitor, or the entry's id.
        pub subject: Arc<str> as private,
        /// Who has not come by then is not let in any more: of those who were told to ask again only later than others.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub claim_until_ms: Option<Millis>,
    }
}

/// Who let them in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AdmittedBy {
    /// The policy, in the order of the line.
    Policy,
    /// The organizer, so many, in the order of the line.
    Count,
    /// The organizer, these by name.
    Name,
}

recorded! {
    /// These people have more time to come, because the server was down while it was their turn.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct ClaimsExtended {
        pub tickets: Vec<u32>,
        /// Who has not come by then is not let in any more.
        pub claim_until_ms: Millis,
    }

    /// It was these people's turn, and they were away. They keep their place.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct EntriesPassedOver {
        pub tickets: Vec<u32>,
        pub waiting: u32,
    }

    /// People who had been passed over are back, in front of those who came after them.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct EntriesReturned {
        pub tickets: Vec<u32>,
        pub waiting: u32,
    }

    /// People who had been passed over did not come back in time.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct EntriesGivenUp {
        pub tickets: Vec<u32>,
    }

    /// The organizer put these people before all others.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct EntriesPutFirst {
        pub tickets: Vec<u32>,
        pub reason: String as public,
        pub waiting: u32,
    }

    /// Somebody does not want to wait, or to be inside, any more.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct EntryLeft {
        pub entry_id: EntryId,
        pub ticket: u32,
        pub inside: u32,
        pub waiting: u32,
    }

    /// The organizer shut somebody out.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct EntryBlocked {
        pub entry_id: EntryId,
        pub ticket: u32,
        pub reason: String as public,
        pub inside: u32,
        pub waiting: u32,
    }

    /// Somebody who was blocked waits again, at the same place.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct EntryRestored {
        pub entry_id: EntryId,
        pub ticket: u32,
        pub waiting: u32,
    }

    /// Somebody who was admitted has come.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct SessionClaimed {
        pub entry_id: EntryId,
        pub ticket: u32,
        /// The session ends then at the latest.
        pub until_ms: Millis,
    }

    /// Somebody has done what they came for.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct SessionFinished {
        pub entry_id: EntryId,
        pub ticket: u32,
        pub inside: u32,
    }

    /// Sessions ended by themselves; their slots are free.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct SessionsExpired {
        pub tickets: Vec<u32>,
        pub reason: ExpiredBy,
        pub inside: u32,
    }
}

/// Why sessions ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExpiredBy {
    /// They were not claimed in time, or had lasted as long as they may.
    Time,
    /// There was no sign of life.
    Idle,
}

words!(State, JoinPolicy, AdmittedBy, ExpiredBy);

impl Event {
    /// How people stand after it who stood otherwise before, and their tickets; `None` where everybody stands as before.
    /// Whoever joins is not among them: they stand nowhere before.
    pub fn moved(&self) -> Option<(Standing, impl Iterator<Item = u32> + '_)> {
        use Standing as S;
        let (standing, one, several, admitted): (_, Option<u32>, &[u32], &[AdmittedEntry]) = match self {
            Event::EntriesAdmitted(event) => (S::Admitted, None, &[], &event.entries),
            Event::EntriesPassedOver(event) => (S::PassedOver, None, &event.tickets, &[]),
            Event::EntriesReturned(event) => (S::Waiting, None, &event.tickets, &[]),
            Event::EntriesGivenUp(event) => (S::GivenUp, None, &event.tickets, &[]),
            Event::EntriesPutFirst(event) => (S::First, None, &event.tickets, &[]),
            Event::EntryLeft(event) => (S::Left, Some(event.ticket), &[], &[]),
            Event::EntryBlocked(event) => (S::Blocked, Some(event.ticket), &[], &[]),
            Event::EntryRestored(event) => (S::Waiting, Some(event.ticket), &[], &[]),
            Event::SessionClaimed(event) => (S::Active, Some(event.ticket), &[], &[]),
            Event::SessionFinished(event) => (S::Finished, Some(event.ticket), &[], &[]),
            Event::SessionsExpired(event) => (S::Expired, None, &event.tickets, &[]),
            Event::QueueCreated(_)
            | Event::QueueChanged(_)
            | Event::QueueStateChanged(_)
            | Event::QueueNoticeSet(_)
            | Event::QueuePageSet(_)
            | Event::QueueDrawn(_)
            | Event::EntryJoined(_)
            | Event::ClaimsExtended(_) => return None,
        };
        let tickets = one.into_iter().chain(several.iter().copied()).chain(admitted.iter().map(|entry| entry.ticket));
        Some((standing, tickets))
    }
}
