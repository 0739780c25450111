//! Steps under way: to another shard, or until their key has done what comes first.

use crate::outcome::{Done, Failure};
use base::id::{Millis, StreamId};
use base::moments::{Moment, Moments};
use domain::Step;
use domain::command::{IdOf, stream_of};
use std::fmt::{self, Debug};
use std::sync::Arc;
use tokio::sync::oneshot;

type Outcome<A, R> = Result<Done<A>, Failure<R>>;

/// Where an outcome goes. Dropped without an answer only when the process stops.
pub struct Reply<A, R> {
    to: oneshot::Sender<Outcome<A, R>>,
    /// What somebody wants to know of the command on its way.
    moments: Option<Arc<Moments>>,
}

impl<A, R> Reply<A, R> {
    /// With where the outcome arrives.
    pub fn channel() -> (Reply<A, R>, oneshot::Receiver<Outcome<A, R>>) {
        let (to, outcome) = oneshot::channel();
        (Reply::from(to), outcome)
    }

    pub fn new(to: oneshot::Sender<Outcome<A, R>>, moments: Option<Arc<Moments>>) -> Reply<A, R> {
        Reply { to, moments }
    }

    pub(super) fn moments(&self) -> Option<&Arc<Moments>> {
        self.moments.as_ref()
    }

    pub(super) fn note(&self, moment: Moment) {
        if let Some(moments) = &self.moments {
            moments.note(moment);
        }
    }

    /// A caller that went away is told nothing; what it asked for stays done.
    pub(super) fn send(self, outcome: Outcome<A, R>) {
        // Before the caller can have the answer, who uses them again then.
        drop(self.moments);
        let _ = self.to.send(outcome);
    }
}

impl<A, R> From<oneshot::Sender<Outcome<A, R>>> for Reply<A, R> {
    fn from(to: oneshot::Sender<Outcome<A, R>>) -> Reply<A, R> {
        Reply { to, moments: None }
    }
}

/// Where the outcome of a step's chain goes.
pub type ReplyTo<S> = Reply<<S as Step>::Answer, <S as Step>::Rejection>;

/// Who runs steps that were under way.
pub trait RunPending {
    /// Runs one and everything that follows from it.
    fn run_pending<S: Step>(&mut self, id: IdOf<S>, step: S, reply: Option<ReplyTo<S>>, now: Millis);
}

/// A step of any type, addressed, with whoever waits for the end of its chain. To be run by a `K`.
pub struct Pending<K>(Box<dyn AnyStep<K>>);

impl<K: RunPending> Pending<K> {
    pub(super) fn new<S: Step>(id: IdOf<S>, step: S, reply: Option<ReplyTo<S>>) -> Pending<K> {
        Pending(Box::new(Addressed { id, step, reply }))
    }

    /// The stream of the aggregate that it is for.
    pub fn stream(&self) -> StreamId {
        self.0.stream()
    }

    /// Runs it and everything that follows from it on `core`, which owns its stream.
    pub fn run(self, core: &mut K, now: Millis) {
        self.0.run(core, now);
    }
}

impl<K> Debug for Pending<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

trait AnyStep<K>: Debug + Send {
    fn stream(&self) -> StreamId;
    fn run(self: Box<Self>, core: &mut K, now: Millis);
}

struct Addressed<S: Step> {
    id: IdOf<S>,
    step: S,
    reply: Option<ReplyTo<S>>,
}

impl<S: Step, K: RunPending> AnyStep<K> for Addressed<S> {
    fn stream(&self) -> StreamId {
        stream_of::<S>(self.id)
    }

    fn run(self: Box<Self>, core: &mut K, now: Millis) {
        let Addressed { id, step, reply } = *self;
        core.run_pending(id, step, reply, now);
    }
}

impl<S: Step> Debug for Addressed<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} for {}", self.step, stream_of::<S>(self.id))
    }
}
