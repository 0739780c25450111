//! A shard alone, and how long it is held.

use anyhow::{Context, bail};
use base::id::{Millis, OrganizerId, QueueId, RandomIds, UserId};
use domain::Step;
use domain::command::IdOf;
use domain::queue::draw::Seed;
use engine::aggregate_store::AggregateStore;
use engine::shard_core::{ReplyTo, ShardCore, Shared};
use engine::views::Views;
use eventlog::memory::MemoryLog;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

pub const ORGANIZER: OrganizerId = OrganizerId(Uuid::from_u128(2));

pub const NOW: Millis = 1_800_000_000_000;

pub const SEED: Seed = Seed([7; 32]);

/// What this thread had of a processor: what else runs on the machine takes nothing from anybody on this shard, and would
/// be found in the longest of a thousand parts.
pub struct Stopwatch(Duration);

impl Stopwatch {
    pub fn start() -> Stopwatch {
        Stopwatch(base::clock::thread_time())
    }

    pub fn elapsed(&self) -> Duration {
        base::clock::thread_time().saturating_sub(self.0)
    }
}

pub fn user(number: u128) -> UserId {
    UserId(Uuid::from_u128(1 << 64 | number))
}

/// A shard alone, and its log.
pub struct Shard {
    pub core: ShardCore,
    pub log: Arc<MemoryLog>,
    pub now: Millis,
}

impl Shard {
    pub fn new() -> Shard {
        let log = Arc::new(MemoryLog::new());
        let seeds = Arc::new(|_: QueueId| SEED);
        let (ids, views) = (Arc::new(RandomIds), Arc::new(Views::default()));
        let shared = Shared { log: log.clone(), ids, views, seeds, machine: Arc::new(|now| now) };
        let mut core = ShardCore::new(0, 1, shared, AggregateStore::on(None), NOW);
        core.leave_errands();
        Shard { core, log, now: NOW }
    }

    /// Runs a command; how long it held the shard, the parts that it was done in each by itself.
    pub fn asks<S: Step>(&mut self, id: IdOf<S>, step: S) -> anyhow::Result<(Duration, S::Answer)> {
        let (reply, mut outcome) = ReplyTo::<S>::channel();
        let started = Stopwatch::start();
        self.core.accept(id, step, reply, self.now);
        let longest = self.rest(started.elapsed());
        self.log.commit();
        match outcome.try_recv().context("a command was not answered")? {
            Ok(done) => Ok((longest, done.answer)),
            Err(refused) => bail!("{refused:?}"),
        }
    }

    /// What was left for later; the longest part, or `first`.
    pub fn rest(&mut self, first: Duration) -> Duration {
        let mut longest = first;
        while self.core.is_waiting() {
            let started = Stopwatch::start();
            self.core.resume(self.now);
            longest = longest.max(started.elapsed());
            self.log.commit();
        }
        longest
    }
}
