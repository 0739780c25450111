//! The shard actor: an actix actor around a [`ShardCore`], on an arbiter thread of its own.

use crate::outcome::{Done, Failure};
use crate::shard_core::{self, Pending, Reply, ReplyTo, ShardCore};
use actix::prelude::*;
use base::clock::Clock;
use base::id::StreamId;
use base::moments::{self, Moment};
use domain::Step;
use domain::command::IdOf;
use eventlog::snapshot::Snapshot;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;

/// How often lapsed holds are looked for, ms. Only the record waits for it: a lapsed hold's places are free at once.
const TICK_MS: u64 = 100;

/// Owns the keys of one shard.
pub struct Shard {
    core: ShardCore,
    clock: Arc<dyn Clock>,
    peers: Peers,
    waiting: Arc<AtomicUsize>,
    /// Whether a [`RefundReservations`] is in the mailbox.
    refunding: bool,
    /// Whether a [`Resume`] is in the mailbox.
    resuming: bool,
}

/// The other shards' addresses, known once all have started.
pub type Peers = Arc<std::sync::OnceLock<Vec<Addr<Shard>>>>;

impl Shard {
    pub fn new(core: ShardCore, clock: Arc<dyn Clock>, peers: Peers, waiting: Arc<AtomicUsize>) -> Shard {
        let mut core = core;
        core.leave_errands();
        Shard { core, clock, peers, waiting, refunding: false, resuming: false }
    }

    /// Sees to what a message has left to do: elsewhere, or later.
    fn after(&mut self, context: &mut Context<Self>) {
        self.deliver();
        if self.core.is_waiting() && !self.resuming {
            self.resuming = true;
            context.address().do_send(Resume);
        }
    }

    /// Has errands done on threads of their own: the draw of a large queue takes a second or more.
    fn run_errands(&mut self, context: &mut Context<Self>) {
        for errand in self.core.take_errands() {
            let (address, stream) = (context.address(), errand.stream());
            let make = move || {
                let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| errand.make())).ok();
                address.do_send(Made { stream, made });
            };
            if let Err(error) = std::thread::Builder::new().name("errand".into()).spawn(make) {
                tracing::warn!(%error, "long work is done by its shard");
                context.address().do_send(Made { stream, made: None });
            }
        }
    }

    fn refund_next(&mut self, context: &mut Context<Self>) {
        self.refunding = self.core.refund_next(self.clock.now());
        self.after(context);
        if self.refunding {
            context.address().do_send(RefundReservations);
        }
    }

    /// Sends what belongs elsewhere. These are parts of commands that were accepted, so they are never refused: each
    /// accepted command has at most one under way, and accepted commands are bounded by the mailboxes.
    fn deliver(&mut self) {
        for pending in self.core.take_outbox() {
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
            shard.core.tick(shard.clock.now());
            shard.run_errands(context);
            shard.after(context);
            if !shard.refunding {
                shard.refund_next(context);
            }
        });
    }
}

/// Go on with what cancelled performances have to give back. It waits its turn in the mailbox: a full house that is
/// refunded does not hold buyers of another one up.
#[derive(Message)]
#[rtype(result = "()")]
struct RefundReservations;

impl Handler<RefundReservations> for Shard {
    type Result = ();
    fn handle(&mut self, _: RefundReservations, context: &mut Self::Context) {
        self.refund_next(context);
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
        self.core.resume(self.clock.now());
        self.after(context);
    }
}

/// An errand was done; without what came of it, it could not be.
#[derive(Message)]
#[rtype(result = "()")]
struct Made {
    stream: StreamId,
    made: Option<shard_core::Made>,
}

impl Handler<Made> for Shard {
    type Result = ();
    fn handle(&mut self, made: Made, context: &mut Self::Context) {
        self.core.made(made.stream, made.made, self.clock.now());
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
        self.core.accept(ask.id, ask.step, ask.reply, self.clock.now());
        self.after(context);
    }
}

impl Handler<Continue> for Shard {
    type Result = ();
    fn handle(&mut self, Continue(pending): Continue, context: &mut Self::Context) {
        pending.run(&mut self.core, self.clock.now());
        self.after(context);
    }
}

impl Handler<Rebase> for Shard {
    type Result = ();
    fn handle(&mut self, Rebase(base): Rebase, _: &mut Self::Context) {
        self.core.rebase(base);
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
        let (to, outcome) = oneshot::channel();
        let moments = moments::command(std::any::type_name::<S>());
        let reply = Reply::new(to, moments.clone());
        self.waiting.fetch_add(1, Ordering::Relaxed);
        match self.address.try_send(Ask { id, step, reply }) {
            Ok(()) => {
                let outcome = outcome.await.unwrap_or(Err(Failure::LogFailed));
                if let Some(moments) = moments {
                    moments.note(Moment::Told);
                }
                outcome
            }
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
