//! The rules, pure: no actix, no async, no clock, no randomness, no IO.
//!
//! One folder per aggregate. A [`Command`] decides by an aggregate's state (events, or its own rejection), and the aggregate
//! evolves by the events; `evolve` never fails and reads no clock, so that replaying the log gives the same state on every
//! machine.
//!
//! - [`command`]: commands with their answers, and chains of steps over two aggregates
//! - [`performance`]: seats, standing areas, holds and reservations of one performance
//! - [`wallet`]: one user's points
//! - [`process`]: what aggregates owe each other; the only place that knows two of them
//! - [`queue`]: people who wait until it is their turn
//! - [`account`], [`organizer`], [`concert`]: who buys, who sells, what is played
//! - [`seeded_faults`]: bugs that the simulator has to find

pub mod account;
mod aggregate;
mod aggregates;
mod as_json;
mod check;
pub mod command;
pub mod concert;
pub mod event;
mod fingerprint;
pub mod organizer;
pub mod performance;
pub mod process;
pub mod queue;
mod request;
pub mod seeded_faults;
#[cfg(test)]
pub mod testing;
mod text;
pub mod wallet;

pub use aggregate::{Aggregate, Context};
pub use aggregates::{Aggregates, PerAggregate, event_names};
pub use command::{Command, Effect, Outcome, Owes, Step, Work};
pub use event::{DecodeError, EventData, PRIVATE};
pub use fingerprint::Fingerprint;
pub use request::{Expected, FIRST_VERSION, IdempotencyRecord, REPEAT_KEPT_MS};
pub use text::Invalid;
