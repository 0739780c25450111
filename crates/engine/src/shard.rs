//! The shard actor: an actix actor around a [`Keeper`], on an arbiter thread of its own.

use super::{Done, Failure};
use crate::shard_core::{Keeper, Pending, ReplyTo};
use actix::prelude::*;
use base::clock::Clock;
use base::id::QueueId;
use domain::Step;
use domain::command::IdOf;
use domain::queue::order::Drawn;
use eventlog::snapshot::Snapshot;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;

/// How often lapsed holds are looked for, ms. Only the record waits for it: a lapsed hold's places are free at once.
const TICK_MS: u64 = 100;

/// Owns the keys of one shard.
pub struct Shard {
    keeper: Keeper,
    clock: Arc<dyn Clock>,
    peers: Peers,
    waiting: Arc<AtomicUsize>,
    /// Whether a [`CallOff`] is in the mailbox.
    calling_off: bool,
    /// Whether a [`Resume`] is in the mailbox.
    resuming: bool,
}

/// The other shards' addresses, known once all have started.
pub type Peers = Arc<std::sync::OnceLock<Vec<Addr<Shard>>>>;

impl Shard {
    pub fn new(keeper: Keeper, clock: Arc<dyn Clock>, peers: Peers, waiting: Arc<AtomicUsize>) -> Shard {
        let mut keeper = keeper;
        keeper.leave_draws();
        Shard { keeper, clock, peers, waiting, calling_off: false, resuming: false }
    }

    /// Sees to what a message has left to do: elsewhere, or later.
    fn after(&mut self, context: &mut Context<Self>) {
        self.deliver();
        if self.keeper.is_waiting() && !self.resuming {
            self.resuming = true;
            context.address().do_send(Resume);
        }
    }

    /// Has draws made on threads of their own: they take a second or more of a large queue.
    fn make_draws(&mut self, context: &mut Context<Self>) {
        for draw in self.keeper.take_draws() {
            let (address, queue) = (context.address(), draw.queue());
            let make = move || {
                let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| draw.make())).ok();
                address.do_send(Made { queue, drawn: made });
            };
            if let Err(error) = std::thread::Builder::new().name("draw".into()).spawn(make) {
                tracing::warn!(%error, "a draw is made by its shard");
                context.address().do_send(Made { queue, drawn: None });
            }
        }
    }

    fn call_off(&mut self, context: &mut Context<Self>) {
        self.calling_off = self.keeper.call_off(self.clock.now());
        self.after(context);
        if self.calling_off {
            context.address().do_send(CallOff);
        }
    }

    /// Sends what belongs elsewhere. These are parts of commands that were accepted, so they are never refused: each
    /// accepted command has at most one under way, and accepted commands are bounded by the mailboxes.
    fn deliver(&mut self) {
        for pending in self.keeper.take_outbox() {
            let Some(peers) = self.peers.get() else {
                tracing::error!("a shard ran before its peers were known");
                continue;
            };
            let shard = crate::aggregate_store::shard_of(pending.stream(), peers.len());
            peers[shard].do_send(Continue(pending));
        }
    }
}

impl Actor for Shard {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(Duration::from_millis(TICK_MS), |shard, context| {
            shard.keeper.tick(shard.clock.now());
            shard.make_draws(context);
            shard.after(context);
            if !shard.calling_off {
                shard.call_off(context);
            }
        });
    }
}

/// Go on with what cancelled performances have to give back. It waits its turn in the mailbox: a full house that is
/// refunded does not hold buyers of another one up.
#[derive(Message)]
#[rtype(result = "()")]
struct CallOff;

impl Handler<CallOff> for Shard {
    type Result = ();
    fn handle(&mut self, _: CallOff, context: &mut Self::Context) {
        self.call_off(context);
    }
}

/// Go on with a command that had to wait for its own key. It waits its turn in the mailbox, like everybody else.
#[derive(Message)]
#[rtype(result = "()")]
struct Resume;

impl Handler<Resume> for Shard {
    type Result = ();
    fn handle(&mut self, _: Resume, context: &mut Self::Context) {
        self.resuming = false;
        self.keeper.resume(self.clock.now());
        self.after(context);
    }
}

/// A draw was made; without one, it could not be.
#[derive(Message)]
#[rtype(result = "()")]
struct Made {
    queue: QueueId,
    drawn: Option<Drawn>,
}

impl Handler<Made> for Shard {
    type Result = ();
    fn handle(&mut self, made: Made, context: &mut Self::Context) {
        self.keeper.drawn(made.queue, made.drawn, self.clock.now());
        self.after(context);
    }
}

/// A command from outside.
struct Ask<S: Step> {
    id: IdOf<S>,
    step: S,
    reply: ReplyTo<S>,
}

impl<S: Step> Message for Ask<S> {
    type Result = ();
}

/// A part of a command that another shard accepted.
#[derive(Message)]
#[rtype(result = "()")]
struct Continue(Pending);

/// A newer snapshot.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Rebase(pub Arc<Snapshot>);

impl<S: Step> Handler<Ask<S>> for Shard {
    type Result = ();
    fn handle(&mut self, ask: Ask<S>, context: &mut Self::Context) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.keeper.accept(ask.id, ask.step, ask.reply, self.clock.now());
        self.after(context);
    }
}

impl Handler<Continue> for Shard {
    type Result = ();
    fn handle(&mut self, Continue(pending): Continue, context: &mut Self::Context) {
        pending.run(&mut self.keeper, self.clock.now());
        self.after(context);
    }
}

impl Handler<Rebase> for Shard {
    type Result = ();
    fn handle(&mut self, Rebase(base): Rebase, _: &mut Self::Context) {
        self.keeper.rebase(base);
    }
}

/// The way into a shard: bounded, and full rather than slow.
pub struct Mailbox {
    address: Addr<Shard>,
    waiting: Arc<AtomicUsize>,
}

impl Mailbox {
    pub fn new(address: Addr<Shard>, waiting: Arc<AtomicUsize>) -> Mailbox {
        Mailbox { address, waiting }
    }

    /// Sends a command and waits for its outcome.
    pub async fn ask<S: Step>(&self, id: IdOf<S>, step: S) -> Result<Done<S::Answer>, Failure<S::Rejection>> {
        let (reply, outcome) = oneshot::channel();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        match self.address.try_send(Ask { id, step, reply }) {
            Ok(()) => outcome.await.unwrap_or(Err(Failure::LogFailed)),
            Err(refused) => {
                self.waiting.fetch_sub(1, Ordering::Relaxed);
                Err(match refused {
                    SendError::Full(_) => Failure::Overloaded,
                    SendError::Closed(_) => Failure::LogFailed,
                })
            }
        }
    }

    /// Commands that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub fn rebase(&self, rebase: Rebase) {
        self.address.do_send(rebase);
    }
}
