//! Actors: thin shells around plain structs. A shard owns many keys and runs their commands serially, so there are no locks.
//!
//! - [`shard_core`]: the plain struct that owns keys; the simulator runs it without actix
//! - [`shard`]: the actix actor around a core, on an arbiter thread of its own
//! - [`aggregate_store`]: aggregates in memory, from snapshot and log
//! - [`views`]: what anyone may read without asking an actor
//! - [`ledger`]: sums of points by organizer and day
//! - [`lifecycle`]: opens a data folder, recovers, starts and stops

pub mod aggregate_store;
#[cfg(test)]
mod golden;
pub mod ledger;
pub mod lifecycle;
mod outcome;
pub mod shard;
pub mod shard_core;
pub mod views;

use domain::Step;
use domain::command::{IdOf, stream_of};
use eventlog::snapshot::Snapshot;
pub use outcome::{Done, Failure};
use shard::{Mailbox, Rebase};
use std::sync::Arc;
use views::Views;

/// Runs commands. Cheap to clone; every reply is durable when it arrives.
#[derive(Clone)]
pub struct Engine {
    shards: Arc<[Mailbox]>,
    views: Arc<Views>,
}

impl Engine {
    pub(crate) fn new(shards: Vec<Mailbox>, views: Arc<Views>) -> Engine {
        Engine { shards: shards.into(), views }
    }

    /// Runs a command on the shard that owns its key. Of a chain of steps the answer comes at the end: a payment is
    /// answered once the wallet is settled, too.
    pub async fn ask<S: Step>(&self, id: IdOf<S>, step: S) -> Result<Done<S::Answer>, Failure<S::Rejection>> {
        let shard = aggregate_store::shard_of(stream_of::<S>(id), self.shards.len());
        self.shards[shard].ask(id, step).await
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
