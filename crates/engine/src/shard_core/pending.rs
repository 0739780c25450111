//! Steps under way: to another shard, or until their key has done what comes first.

use super::{Failure, Keeper, ReplyTo, answer};
use base::id::{Millis, StreamId};
use domain::Step;
use domain::command::{IdOf, stream_of};
use std::fmt::{self, Debug};

/// A step of any type, addressed, with whoever waits for the end of its chain.
pub struct Pending(Box<dyn AnyStep>);

impl Pending {
    pub(super) fn new<S: Step>(id: IdOf<S>, step: S, reply: Option<ReplyTo<S>>) -> Pending {
        Pending(Box::new(Addressed { id, step, reply }))
    }

    /// The stream of the aggregate that it is for.
    pub fn stream(&self) -> StreamId {
        self.0.stream()
    }

    /// Runs it and everything that follows from it on `keeper`, which owns its stream.
    pub fn run(self, keeper: &mut Keeper, now: Millis) {
        self.0.run(keeper, now);
    }
}

impl Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

trait AnyStep: Debug + Send {
    fn stream(&self) -> StreamId;
    fn run(self: Box<Self>, keeper: &mut Keeper, now: Millis);
}

struct Addressed<S: Step> {
    id: IdOf<S>,
    step: S,
    reply: Option<ReplyTo<S>>,
}

impl<S: Step> AnyStep for Addressed<S> {
    fn stream(&self) -> StreamId {
        stream_of::<S>(self.id)
    }

    fn run(self: Box<Self>, keeper: &mut Keeper, now: Millis) {
        let Addressed { id, step, reply } = *self;
        match reply {
            // Its sender was erased while it waited.
            Some(reply) if keeper.is_too_late(&step) => answer(reply, Err(Failure::UserErased)),
            reply => keeper.execute(id, step, reply, now),
        }
    }
}

impl<S: Step> Debug for Addressed<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} for {}", self.step, self.stream())
    }
}
