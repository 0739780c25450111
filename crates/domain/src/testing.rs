//! The tests' vocabulary: a history, a command at an instant, and the events or the rejection that it comes to.

use super::{Aggregate, Context, EventData};
use base::id::Millis;
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
}

impl<A: Aggregate> Story<A>
where
    A::Event: Clone + Debug + PartialEq,
    A::Answer: Debug,
    A::Rejection: Debug + PartialEq,
{
    pub fn new(key: Uuid) -> Self {
        let (state, twin) = (A::default(), A::default());
        Story { key, random: 0, machine_behind_ms: 0, state, twin, version: 0, history: Vec::new(), last: Vec::new() }
    }

    /// Runs `command` at `now` as the engine does: what has lapsed is recorded first, also when the command is refused.
    #[track_caller]
    pub fn when(&mut self, now: Millis, command: &A::Command) -> Result<A::Answer, A::Rejection> {
        self.twin = reloaded(&self.twin);
        self.last.clear();
        let lapsed = self.state.lapsed(now);
        assert_eq!(lapsed, self.twin.lapsed(now), "a state from a snapshot lapses otherwise");
        self.record(now, &lapsed);

        let machine = now.saturating_sub(self.machine_behind_ms);
        let context = Context { key: self.key, now, machine, random: self.random };
        let decided = self.state.decide(command, &context);
        assert_eq!(decided, self.twin.decide(command, &context), "a state from a snapshot decides otherwise");
        let events = decided.inspect_err(|_| self.compare())?;
        self.record(now, &events);
        self.compare();
        let answer = self.state.answer(self.key, self.version, command, &events);
        let twins = self.twin.answer(self.key, self.version, command, &events);
        assert_eq!(format!("{answer:?}"), format!("{twins:?}"), "a state from a snapshot answers otherwise");
        Ok(answer)
    }

    /// Takes an event over as history.
    #[track_caller]
    pub fn record(&mut self, now: Millis, events: &[A::Event]) {
        for event in events {
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
pub fn assert_same<A: Aggregate>(one: &A, other: &A, key: Uuid) {
    assert_eq!(stored(one), stored(other), "stored bytes");
    assert_eq!(one.next_due(), other.next_due(), "next due");
    let overdue = |state: &A| format!("{:?}", state.overdue(key, Millis::MAX));
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
