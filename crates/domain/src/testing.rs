//! The tests' vocabulary: a history, a command at an instant, and the events or the rejection that it comes to.

pub mod coverage;

use super::{Aggregate, Command, Context, Effect, EventData, Outcome, Owes, Step};
use crate::command::{EventsOf, OutcomeOf};
use base::id::Millis;
use coverage::Known;
use std::fmt::Debug;
use uuid::Uuid;

/// One aggregate and all that happened to it. Every event passes through its JSON, and every command runs twice: on the
/// state, and on a twin that is written to a snapshot and read back before. Both must come to the same.
pub struct Story<A: Aggregate> {
    pub key: Uuid,
    /// The randomness of the next command.
    pub random: u128,
    /// How far the machine's clock is behind the next command's instant.
    pub machine_behind_ms: Millis,
    pub state: A,
    twin: A,
    pub version: u64,
    /// Everything recorded, with its instant.
    pub history: Vec<(Millis, A::Event)>,
    /// What the last command recorded, what had lapsed before it included.
    pub last: Vec<A::Event>,
    /// How the aggregate refused the last command, if it did.
    pub refusal: Option<String>,
}

fn outcome<S: Step>(
    step: &S,
    state: &S::On,
    key: Uuid,
    version: u64,
    decided: Result<EventsOf<S>, S::Refusal>,
) -> OutcomeOf<S> {
    match decided {
        Ok(events) => step.outcome(state, Ok(Effect { id: key.into(), version, events: &events })),
        Err(refusal) => step.outcome(state, Err(refusal)),
    }
}

/// Runs a command in a story.
type Run<A> = Box<dyn Fn(&mut Story<A>, Millis) -> Result<(), String>>;

/// A command of any type, for the rows of a table.
pub struct Attempt<A: Aggregate> {
    said: String,
    run: Run<A>,
}

impl<A: Owes> Attempt<A>
where
    A::Event: Clone + Debug + PartialEq,
{
    pub fn of<S: Step<On = A, Refusal: Known>>(step: S) -> Attempt<A> {
        let said = format!("{step:?}");
        let run = move |story: &mut Story<A>, now| {
            story.step(now, &step);
            story.refusal.clone().map_or(Ok(()), Err)
        };
        Attempt { said, run: Box::new(run) }
    }

    /// Runs it; refused as the aggregate itself refuses, in its own words.
    pub fn run(&self, story: &mut Story<A>, now: Millis) -> Result<(), String> {
        (self.run)(story, now)
    }
}

impl<A: Aggregate> Debug for Attempt<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.said)
    }
}

impl<A: Owes> Story<A>
where
    A::Event: Clone + Debug + PartialEq,
{
    pub fn new(key: Uuid) -> Self {
        let (state, twin) = (A::default(), A::default());
        let (history, last) = (Vec::new(), Vec::new());
        Story { key, random: 0, machine_behind_ms: 0, state, twin, version: 0, history, last, refusal: None }
    }

    /// Runs `command` at `now` as the engine does: what has lapsed is recorded first, also when the command is refused.
    #[track_caller]
    pub fn when<C: Command<On = A, Rejection: Known>>(
        &mut self,
        now: Millis,
        command: &C,
    ) -> Result<C::Answer, C::Rejection> {
        match self.step(now, command) {
            Outcome::Told(result) => result,
            Outcome::Next(never) => match never {},
        }
    }

    /// The same with a step of a chain.
    #[track_caller]
    pub fn step<S: Step<On = A, Refusal: Known>>(&mut self, now: Millis, step: &S) -> OutcomeOf<S> {
        self.twin = reloaded(&self.twin);
        self.last.clear();
        let lapsed = self.state.lapsed(now);
        assert_eq!(lapsed, self.twin.lapsed(now), "a state from a snapshot lapses otherwise");
        self.record(now, &lapsed);

        let machine = now.saturating_sub(self.machine_behind_ms);
        let context = Context { key: self.key, now, machine, random: self.random };
        let (decided, twins) = (step.decide(&self.state, &context), step.decide(&self.twin, &context));
        assert_eq!(format!("{decided:?}"), format!("{twins:?}"), "a state from a snapshot decides otherwise");
        self.refusal = decided.as_ref().err().map(|refusal| format!("{refusal:?}"));
        match &decided {
            Ok(events) => self.record(now, events),
            Err(refusal) => coverage::note_refused(refusal),
        }
        self.compare();
        let outcome = self::outcome(step, &self.state, self.key, self.version, decided);
        let twins = self::outcome(step, &self.twin, self.key, self.version, twins);
        assert_eq!(format!("{outcome:?}"), format!("{twins:?}"), "a state from a snapshot answers otherwise");
        outcome
    }

    /// What comes of a step that changes nothing any more.
    pub fn again<S: Step<On = A>>(&self, step: &S) -> OutcomeOf<S> {
        outcome(step, &self.state, self.key, self.version, Ok(vec![]))
    }

    /// Takes an event over as history.
    #[track_caller]
    pub fn record(&mut self, now: Millis, events: &[A::Event]) {
        for event in events {
            coverage::note_recorded(event.name());
            let mut json = Vec::new();
            event.encode(&mut json);
            let read = A::Event::decode(event.name(), &json).expect("an event reads back");
            assert_eq!(read, *event, "JSON keeps an event as it is");
            self.version += 1;
            self.state.evolve(event, self.version, now);
            self.twin.evolve(&read, self.version, now);
            self.history.push((now, read.clone()));
            self.last.push(read);
        }
    }

    #[track_caller]
    fn compare(&self) {
        assert_same(&self.state, &self.twin, self.key);
    }

    /// The state that the recorded events alone lead to.
    pub fn replayed(&self) -> A {
        let mut state = A::default();
        for (index, (at_ms, event)) in self.history.iter().enumerate() {
            state.evolve(event, index as u64 + 1, *at_ms);
        }
        state
    }
}

/// Two states that store the same and owe the same.
#[track_caller]
pub fn assert_same<A: Owes>(one: &A, other: &A, key: Uuid) {
    assert_eq!(stored(one), stored(other), "stored bytes");
    assert_eq!(one.next_due(), other.next_due(), "next due");
    let overdue = |state: &A| format!("{:?}", state.overdue(key.into(), Millis::MAX));
    assert_eq!(overdue(one), overdue(other), "work in flight");
}

fn stored<A: Aggregate>(state: &A) -> Vec<u8> {
    postcard::to_stdvec(state).expect("a state can be stored")
}

/// Written to a snapshot and read back.
#[track_caller]
pub fn reloaded<A: Aggregate>(state: &A) -> A {
    let mut read: A = postcard::from_bytes(&stored(state)).expect("a stored state reads back");
    read.rebuild();
    read
}
