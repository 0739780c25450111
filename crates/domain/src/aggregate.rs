//! What every aggregate is: an id, events, and a state that evolves by them.

use crate::event::EventData;
use base::id::{Category, Millis};
use serde::{Serialize, de::DeserializeOwned};
use std::fmt::Debug;
use uuid::Uuid;

/// What a decision may know besides state and command.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// The aggregate's own key.
    pub key: Uuid,
    /// When the command runs.
    pub now: Millis,
    /// What the machine's clock says, which may be behind `now`: for what others check by their own clocks.
    pub machine: Millis,
    /// 128 random bits, for the one id that a command may make.
    pub random: u128,
}

/// A consistency boundary: commands on one key run one after the other.
pub trait Aggregate: Default + Serialize + DeserializeOwned + Send + 'static {
    const CATEGORY: Category;
    type Id: Copy + Debug + PartialEq + Send + From<Uuid> + Into<Uuid> + 'static;
    type Event: EventData + Send + 'static;
    /// Whether its events carry what the machine's clock says.
    const NEEDS_MACHINE_CLOCK: bool = false;
    /// Whether it stays in memory: few, small and often asked for.
    const STAYS_IN_MEMORY: bool = false;
    /// Whether what [`is_listed`](Self::is_listed) says changes by the passing of time.
    const LISTED_FOR_A_TIME: bool = false;

    /// What time alone has made true at `now`; recorded before any command is decided.
    fn lapsed(&self, _now: Millis) -> Vec<Self::Event> {
        Vec::new()
    }

    /// Whether so much has lapsed by `now` that one command does not record it all: then commands wait for that.
    fn is_behind(&self, _now: Millis) -> bool {
        false
    }

    /// Takes over what happened at `at_ms`, as the stream's event number `version`. Never fails, reads no clock.
    fn evolve(&mut self, event: &Self::Event, version: u64, at_ms: Millis);

    /// The next instant at which [`lapsed`](Self::lapsed) or what it [owes](crate::command::Owes) will have something, if known.
    fn next_due(&self) -> Option<Millis> {
        None
    }

    /// Whether it is to be looked at again and again: it waits for what it is not told of.
    fn is_watched(&self, _now: Millis) -> bool {
        false
    }

    /// Whether it has something long to do, in parts, beside what it is asked: see [`backlog`](crate::command::Owes::backlog).
    fn has_backlog(&self) -> bool {
        false
    }

    /// Whether it is loaded at the start, not only when it is asked for. `latest_ms`: of the latest event there is.
    fn is_listed(&self, _latest_ms: Millis) -> bool {
        Self::STAYS_IN_MEMORY
    }

    /// Whether it takes long to read it from a snapshot.
    fn is_large(&self) -> bool {
        false
    }

    /// Restores what is derived from stored fields, after a snapshot was read.
    fn rebuild(&mut self) {}

    /// Panics where something that is derived is not what the stored fields give. Looks at everything; in debug builds `evolve`
    /// calls it by [`check::after_event`](crate::check::after_event).
    fn check(&self);
}
