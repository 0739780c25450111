//! Actors: thin shells around plain structs. A shard owns many keys and runs their commands serially, so there are no locks.
//!
//! - [`shard_core`]: the plain struct that owns keys; the simulator runs it without actix
//! - [`shard`]: the actix actor around a keeper, on an arbiter thread of its own
//! - [`aggregate_store`]: aggregates in memory, from snapshot and log
//! - [`views`]: what anyone may read without asking an actor
//! - [`ledger`]: sums of points by organizer and day
//! - [`lifecycle`]: opens a data folder, recovers, starts and stops

pub mod aggregate_store;
#[cfg(test)]
mod golden;
pub mod ledger;
pub mod lifecycle;
pub mod shard;
pub mod shard_core;
pub mod views;

use base::id::{AccountId, ConcertId, OrganizerId, PerformanceId, QueueId, UserId};
use domain::{Answer, Command, Rejection, account, concert, organizer, performance, queue, wallet};
use eventlog::Position;
use eventlog::snapshot::Snapshot;
use shard::{Mailbox, Rebase};
use std::sync::Arc;
use views::Views;

/// An accepted command: its answer, and the position up to which the log was durable for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Done<T> {
    pub answer: T,
    pub position: Position,
}

/// A command that did not come to an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure<R> {
    /// Refused by the rules; what the refusal rests on is durable up to `position`.
    Rejected { rejection: R, position: Position },
    /// The user was erased: nothing begins for them any more.
    UserErased,
    /// Too much is waiting, for the actor or for the disk. Nothing happened: try again in a moment.
    Overloaded,
    /// The log cannot be written, the process is about to stop. It may have happened or not: the same request again, with
    /// the same key, tells.
    LogFailed,
}

/// Runs commands. Cheap to clone; every reply is durable when it arrives.
#[derive(Clone)]
pub struct Engine {
    shards: Arc<[Mailbox]>,
    views: Arc<Views>,
}

macro_rules! typed {
    ($(#[$doc:meta])* $name:ident, $id:ty, $module:ident, $variant:ident) => {
        $(#[$doc])*
        pub async fn $name(
            &self,
            id: $id,
            command: $module::Command,
        ) -> Result<Done<$module::Answer>, Failure<$module::Rejection>> {
            match self.send(Command::$variant(id, command)).await {
                Ok(Done { answer: Answer::$variant(answer), position }) => Ok(Done { answer, position }),
                Err(Failure::Rejected { rejection: Rejection::$variant(rejection), position }) => {
                    Err(Failure::Rejected { rejection, position })
                }
                Err(Failure::UserErased) => Err(Failure::UserErased),
                Err(Failure::Overloaded) => Err(Failure::Overloaded),
                Err(Failure::LogFailed) => Err(Failure::LogFailed),
                Ok(Done { answer, .. }) => unreachable!("a {} answered {answer:?}", stringify!($name)),
                Err(Failure::Rejected { rejection, .. }) => {
                    unreachable!("a {} refused with {rejection:?}", stringify!($name))
                }
            }
        }
    };
}

impl Engine {
    pub(crate) fn new(shards: Vec<Mailbox>, views: Arc<Views>) -> Engine {
        Engine { shards: shards.into(), views }
    }

    typed!(
        /// Asks a performance; payment and cancellation answer once the wallet is settled too.
        performance, PerformanceId, performance, Performance
    );
    typed!(
        /// Asks a user's wallet.
        wallet, UserId, wallet, Wallet
    );
    typed!(
        /// Asks an organizer.
        organizer, OrganizerId, organizer, Organizer
    );
    typed!(
        /// Asks a concert.
        concert, ConcertId, concert, Concert
    );
    typed!(
        /// Asks a queue.
        queue, QueueId, queue, Queue
    );

    typed!(
        /// Asks an account. Creating one and signing in open its wallet too, if it is not open.
        account, AccountId, account, Account
    );

    /// Runs a command on the shard that owns its key.
    pub async fn send(&self, command: Command) -> Result<Done<Answer>, Failure<Rejection>> {
        let shard = aggregate_store::shard_of(command.stream(), self.shards.len());
        self.shards[shard].ask(command).await
    }

    /// What can be read without asking an actor.
    pub fn views(&self) -> &Views {
        &self.views
    }

    /// Commands that wait in mailboxes.
    pub fn waiting(&self) -> usize {
        self.shards.iter().map(Mailbox::waiting).sum()
    }

    /// Tells every shard of a newer snapshot.
    pub(crate) fn rebase(&self, base: &Arc<Snapshot>) {
        for shard in self.shards.iter() {
            shard.rebase(Rebase(base.clone()));
        }
    }
}
