//! Commands: what an aggregate can be asked for, one type each, with the answer and the rejection that its caller gets.
//!
//! Most commands are decided by one aggregate: a [`Command`]. What spans two of them is a chain of [`Step`]s (see
//! [`process`](crate::process)): each step names the next one, and whoever waits for the first is told the outcome of the
//! last, so all steps of a chain have the same answer and the same rejection. Every command is a chain of one step.

use crate::{Aggregate, Context};
use base::id::{Millis, StreamId, UserId};
use std::convert::Infallible;
use std::fmt::Debug;

/// The key of the aggregate that a step is for.
pub type IdOf<S> = <<S as Step>::On as Aggregate>::Id;
/// The events of the aggregate that a step is for.
pub type EventsOf<S> = Vec<<<S as Step>::On as Aggregate>::Event>;

/// What one aggregate is asked for and decides alone.
pub trait Command: Debug + Send + 'static {
    type On: Aggregate;
    type Answer: Debug + Send + 'static;
    /// Expected; never a fault.
    type Rejection: Debug + Send + 'static;

    /// The events that it causes (none for a read, or for a repeated request), or why it is refused.
    fn decide(&self, on: &Self::On, context: &Context) -> Result<Vec<<Self::On as Aggregate>::Event>, Self::Rejection>;

    /// The answer, from the state after its events.
    fn answer(&self, on: &Self::On, effect: &Effect<'_, Self::On>) -> Self::Answer;

    /// The user who would have more to do with this installation after it: refused once they are erased.
    fn newcomer(&self) -> Option<UserId> {
        None
    }
}

/// What a step did to its aggregate.
pub struct Effect<'a, A: Aggregate> {
    pub id: A::Id,
    /// The stream's version after the events.
    pub version: u64,
    pub events: &'a [A::Event],
}

/// One step of a chain: decided by one aggregate, then told or followed by the next step.
pub trait Step: Debug + Send + 'static {
    type On: Aggregate;
    /// What whoever waits for the chain is told at its end.
    type Answer: Debug + Send + 'static;
    type Rejection: Debug + Send + 'static;
    /// Why its own aggregate refuses it.
    type Refusal: Debug;
    type Next: Next<Self::Answer, Self::Rejection>;

    fn decide(&self, on: &Self::On, context: &Context) -> Result<EventsOf<Self>, Self::Refusal>
    where
        Self: Sized;

    /// What comes of it, from the state after its events.
    fn outcome(&self, on: &Self::On, decided: Result<Effect<'_, Self::On>, Self::Refusal>) -> OutcomeOf<Self>
    where
        Self: Sized;

    /// See [`Command::newcomer`].
    fn newcomer(&self) -> Option<UserId> {
        None
    }
}

/// What comes of a step.
#[derive(Debug, PartialEq)]
pub enum Outcome<A, R, N> {
    /// The end: whoever waits is told this.
    Told(Result<A, R>),
    /// Another step comes first.
    Next(N),
}

/// What comes of a step `S`.
pub type OutcomeOf<S> = Outcome<<S as Step>::Answer, <S as Step>::Rejection, <S as Step>::Next>;

impl<C: Command> Step for C {
    type On = C::On;
    type Answer = C::Answer;
    type Rejection = C::Rejection;
    type Refusal = C::Rejection;
    type Next = Infallible;

    fn decide(&self, on: &C::On, context: &Context) -> Result<EventsOf<C>, C::Rejection> {
        Command::decide(self, on, context)
    }

    fn outcome(&self, on: &C::On, decided: Result<Effect<'_, C::On>, C::Rejection>) -> OutcomeOf<C> {
        Outcome::Told(decided.map(|effect| self.answer(on, &effect)))
    }

    fn newcomer(&self) -> Option<UserId> {
        Command::newcomer(self)
    }
}

/// The step that may follow, for somebody who is told an `A` or an `R` at the end.
pub trait Next<A, R>: Debug + Send {
    fn pass_to(self, runner: impl RunNext<A, R>);
}

/// Runs the next step of a chain, with the caller who waits for its end.
pub trait RunNext<A, R> {
    fn run<S: Step<Answer = A, Rejection = R>>(self, id: IdOf<S>, step: S);
}

/// What an aggregate has to do itself, or to ask others, without being asked.
pub trait Owes: Aggregate {
    type Work: Work;

    /// Work with other aggregates that is in flight and was due before `now`: sent again. All of it is idempotent.
    fn overdue(&self, _id: Self::Id, _now: Millis) -> Vec<Self::Work> {
        Vec::new()
    }

    /// The next parts of what is long, at most `max`; none when it waits for others.
    fn backlog(&self, _id: Self::Id, _max: usize) -> Vec<Self::Work> {
        Vec::new()
    }
}

/// Steps that nobody waits for: what is left of chains that are in flight, or what has to be done in parts.
pub trait Work: Debug + Send {
    fn run_by(self, runner: &mut impl RunWork);
}

/// Runs steps that nobody waits for.
pub trait RunWork {
    fn run<S: Step>(&mut self, id: IdOf<S>, step: S);
}

/// A step and the aggregate that it is for.
#[derive(Clone, Debug, PartialEq)]
pub struct To<S: Step>(pub IdOf<S>, pub S);

impl<S: Step> Next<S::Answer, S::Rejection> for To<S> {
    fn pass_to(self, runner: impl RunNext<S::Answer, S::Rejection>) {
        runner.run(self.0, self.1);
    }
}

impl<S: Step> Work for To<S> {
    fn run_by(self, runner: &mut impl RunWork) {
        runner.run(self.0, self.1);
    }
}

/// Nothing follows.
impl<A, R> Next<A, R> for Infallible {
    fn pass_to(self, _: impl RunNext<A, R>) {
        match self {}
    }
}

impl Work for Infallible {
    fn run_by(self, _: &mut impl RunWork) {
        match self {}
    }
}

/// The stream of the aggregate that a step is for.
pub fn stream_of<S: Step>(id: IdOf<S>) -> StreamId {
    StreamId { category: S::On::CATEGORY, key: id.into() }
}
