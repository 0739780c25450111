//! A queue as it is shown.

use super::event::{Event, State, Terms};
use super::order::Counts;
use super::{Queue, UnknownQueue};
use crate::{Command, Context, Effect, FIRST_VERSION};
use base::id::{Millis, OrganizerId, QueueId};

#[derive(Clone, Debug)]
pub struct Describe;

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
    /// What everybody in line is told.
    pub notice: Option<String>,
    pub joined: u32,
    pub counts: Counts,
    /// The version of the last change of terms or state.
    pub edited_version: u64,
    pub version: u64,
    /// It was created before, by the same request: this is what it was then.
    pub repeated: bool,
}

impl Command for Describe {
    type On = Queue;
    type Answer = Description;
    type Rejection = UnknownQueue;

    fn decide(&self, queue: &Queue, _: &Context) -> Result<Vec<Event>, UnknownQueue> {
        queue.created().map(|_| vec![]).ok_or(UnknownQueue)
    }

    fn answer(&self, queue: &Queue, effect: &Effect<'_, Queue>) -> Description {
        queue.describe(effect.id, effect.version)
    }
}

impl Queue {
    pub(super) fn describe(&self, id: QueueId, version: u64) -> Description {
        let created = self.created().expect("only an existing queue is described");
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
            notice: created.facts.notice.clone(),
            joined: self.line.joined(),
            counts: self.line.counts,
            edited_version: created.edited_version,
            version,
            repeated: false,
        }
    }

    /// The queue as it was created: what the request that created it was answered, and is answered again.
    pub(super) fn describe_first(&self, id: QueueId) -> Description {
        let now = self.describe(id, FIRST_VERSION);
        let first = self.created().and_then(|created| created.first_terms.as_deref().cloned());
        let terms = first.unwrap_or(now.terms);
        Description {
            opened: terms.opens_at_ms <= now.created_at_ms,
            terms,
            state: State::Open,
            seed: None,
            sealed: None,
            notice: None,
            joined: 0,
            counts: Counts::default(),
            edited_version: FIRST_VERSION,
            repeated: true,
            ..now
        }
    }
}
