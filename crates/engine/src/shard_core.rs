//! The core: a plain struct that owns keys and runs commands on them, one after the other. The shard actor is a few
//! lines around it; the simulator runs it without actix.
//!
//! Fail-stop pipelining: the core decides and evolves at once and hands the events to the log; the reply waits until they
//! are durable, and so does a refusal or a read that rests on events that are not durable yet. When the log refuses them,
//! what is in memory is no longer true: from then on every command fails, until the process has stopped.

mod attended;
mod erasures;
mod errand;
mod pending;
mod queues;
mod schedule;
#[cfg(test)]
mod tests;
mod timers;
mod visit;

use super::views::{ViewUpdate, Views};
use super::{Done, Failure};
use crate::aggregate_store::{AggregateStore, RecordedEvents, Slot, shard_of};
use crate::views::publish::shown;
use base::id::{Ids, Millis, StreamId};
use base::moments::Moment;
use domain::command::{IdOf, Next, OutcomeOf, RunNext, RunWork, stream_of};
use domain::queue::draw::Seeds;
use domain::seeded_faults::{self, Bug};
use domain::{Aggregate, Context, Effect, Outcome, Owes, Step, Work, each_aggregate};
use eventlog::snapshot::Snapshot;
use eventlog::{Batch, Log, Position};
use pending::RunPending;
pub use pending::{Reply, ReplyTo};
use rustc_hash::{FxHashMap, FxHashSet};
use schedule::arm;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use uuid::Uuid;
use visit::Visit;

/// Minutes without use after which a key whose events are all in the snapshot leaves memory.
const IDLE_MINUTES_MAX: u32 = 10;
/// Keys looked at for passivation per tick: a tick must not hold commands up.
const TICK_KEYS_MAX: usize = 2_000;
/// Commands that wait for their own key, while others go on.
const DEFERRED_MAX: usize = 16_384;

/// A step under way to this shard, or until its key has done what comes first.
pub type Pending = pending::Pending<ShardCore>;
/// Long work that is done elsewhere.
pub type Errand = errand::Errand<ShardCore>;
/// What is done with what came of it.
pub type Made = errand::Made<ShardCore>;

/// What a core shares with the others.
#[derive(Clone)]
pub struct Shared {
    pub log: Arc<dyn Log>,
    pub ids: Arc<dyn Ids>,
    pub views: Arc<Views>,
    /// Of draws that are yet to come.
    pub seeds: Arc<dyn Seeds>,
    /// What the machine's clock says when the time is the one given.
    pub machine: Arc<dyn Fn(Millis) -> Millis + Send + Sync>,
}

/// Owns the keys of one shard.
pub struct ShardCore {
    shard: usize,
    shards: usize,
    shared: Shared,
    states: AggregateStore,
    /// When which aggregate is due. An entry that is not the one armed in its slot is out of date.
    timers: BinaryHeap<Reverse<(Millis, StreamId)>>,
    /// Those that are looked at on every tick.
    watched: FxHashSet<StreamId>,
    /// Those with something long to do, in parts.
    backlogs: VecDeque<StreamId>,
    /// Keys by the minute in which they were last used.
    used: VecDeque<(u32, StreamId)>,
    /// Commands for other shards, in the order in which they must be sent.
    outbox: Vec<Pending>,
    /// Commands whose key has something to do first, in the order in which they came.
    deferred: VecDeque<Pending>,
    /// Whether somebody does the errands that are taken from `errands`; otherwise their work is done here.
    errands_elsewhere: bool,
    /// Long work that is to be done.
    errands: Vec<Errand>,
    /// Aggregates with an errand under way, and who asked for one of them meanwhile: nothing changes before it is done.
    away: FxHashMap<StreamId, VecDeque<Pending>>,
    /// Timers that are due and were not run yet.
    due: VecDeque<(Millis, StreamId)>,
    /// What was recorded since the last append, the streams it belongs to, and what readers see once it is durable.
    batch: Batch,
    changed: Vec<StreamId>,
    view_updates: Vec<ViewUpdate>,
    /// The log refused an append, so memory holds what never happened: nothing may be decided or read from it.
    failed: bool,
    /// The second of the last tick.
    second: u64,
    /// The latest instant at which a command ran.
    latest_ms: Millis,
}

/// What a step came to here.
enum Ran<S: Step> {
    /// Its outcome, and the last event before it that it rests on.
    Done(OutcomeOf<S>, Position),
    /// So much had lapsed that only a part of that was recorded: the step is to wait.
    Behind,
}

impl ShardCore {
    /// The core of `shard` of `shards`, with what recovery found of its keys. Publishes what is there, arms the timers
    /// and resumes what a crash interrupted.
    pub fn new(shard: usize, shards: usize, shared: Shared, states: AggregateStore, now: Millis) -> ShardCore {
        let mut core = ShardCore {
            shard,
            shards,
            shared,
            states,
            timers: BinaryHeap::new(),
            watched: FxHashSet::default(),
            backlogs: VecDeque::new(),
            used: VecDeque::new(),
            outbox: Vec::new(),
            deferred: VecDeque::new(),
            errands_elsewhere: false,
            errands: Vec::new(),
            away: FxHashMap::default(),
            due: VecDeque::new(),
            batch: Batch::new(),
            changed: Vec::new(),
            view_updates: Vec::new(),
            failed: false,
            second: 0,
            latest_ms: 0,
        };
        core.start(now);
        core
    }

    fn start(&mut self, now: Millis) {
        self.note_start(now);
        each_aggregate!(A => self.start_with::<A>(now));
        // A log that fails stops the process by itself.
        let _ = self.flush();
        self.used = self.states.mark_used(minute_of(now));
    }

    fn start_with<A: Owes>(&mut self, now: Millis) {
        for key in self.states.keys::<A>() {
            self.publish_found::<A>(key, now);
            let Some(slot) = self.states.slots::<A>().get(&key) else { continue };
            for work in slot.state.overdue(key.into(), Millis::MAX) {
                self.execute_work(work, now);
            }
            self.arm::<A>(key, now);
        }
    }

    fn publish_found<A: Aggregate>(&mut self, key: Uuid, now: Millis) {
        let mut view_updates = Vec::new();
        if let Some(slot) = self.states.slots::<A>().get(&key) {
            let found = RecordedEvents { key, version: slot.version, events: &[], now };
            (shown::<A>().found)(&slot.state, &self.shared.views, found, &mut view_updates);
        }
        for update in view_updates {
            self.shared.views.publish(update);
        }
    }

    /// Commands that belong to other shards; to be sent there in this order.
    pub fn take_outbox(&mut self) -> Vec<Pending> {
        std::mem::take(&mut self.outbox)
    }

    /// From now on long work is left to whoever takes it with [`take_errands`](Self::take_errands), and gives back what came of
    /// it with [`made`](Self::made).
    pub fn leave_errands(&mut self) {
        self.errands_elsewhere = true;
    }

    pub fn take_errands(&mut self) -> Vec<Errand> {
        std::mem::take(&mut self.errands)
    }

    /// Has a long piece of work done elsewhere; until then nobody changes its aggregate.
    fn leave(&mut self, errand: Errand) {
        self.away.insert(errand.stream(), VecDeque::new());
        self.errands.push(errand);
    }

    /// An errand was done. `None` when it failed: then its work is done here, and that of all others.
    pub fn made(&mut self, stream: StreamId, made: Option<Made>, now: Millis) {
        let waited = self.away.remove(&stream);
        match made {
            Some(made) => made(self, now),
            None => {
                self.errands_elsewhere = false;
                self.attend_to(stream, false, now);
            }
        }
        self.deferred.extend(waited.into_iter().flatten());
    }

    /// Runs the next timers that are due and the next command that had to wait for its key. True when there are more.
    pub fn resume(&mut self, now: Millis) -> bool {
        self.run_due(now);
        if let Some(pending) = self.deferred.pop_front() {
            pending.run(self, now);
        }
        self.is_waiting()
    }

    /// Whether [`resume`](Self::resume) has something to do.
    pub fn is_waiting(&self) -> bool {
        !self.deferred.is_empty() || !self.due.is_empty()
    }

    /// Whether another command may have to wait for its key.
    fn may_defer(&self, stream: StreamId) -> bool {
        let away = self.away.get(&stream);
        away.map_or(self.deferred.len(), VecDeque::len) < DEFERRED_MAX
    }

    /// Whether it was sent before its sender was erased, and comes after what went on of theirs was ended here.
    fn is_too_late(&self, step: &impl Step) -> bool {
        step.newcomer().is_some_and(|user| self.shared.views.erasures().has(user))
    }

    /// Runs a command from outside. Refuses it while too much waits for the disk.
    pub fn accept<S: Step>(&mut self, id: IdOf<S>, step: S, reply: impl Into<ReplyTo<S>>, now: Millis) {
        let reply = reply.into();
        if self.is_too_late(&step) {
            reply.send(Err(Failure::UserErased));
        } else if self.shared.log.has_room() && self.may_defer(stream_of::<S>(id)) {
            self.execute(id, step, Some(reply), now);
        } else {
            reply.send(Err(Failure::Overloaded));
        }
    }

    /// Runs a step and everything that follows from it here; what follows elsewhere goes to the outbox.
    pub fn execute<S: Step>(&mut self, id: IdOf<S>, step: S, reply: Option<ReplyTo<S>>, now: Millis) {
        // Time does not go back here, whatever the clock does: a payment that was refused as too late stays refused.
        let now = now.max(self.latest_ms);
        self.latest_ms = now;
        if self.failed {
            return reply.map_or((), |reply| reply.send(Err(Failure::LogFailed)));
        }
        let stream = stream_of::<S>(id);
        if shard_of(stream, self.shards) != self.shard {
            // What was recorded here must be in the log before anything that rests on it.
            match self.flush() {
                Ok(()) => self.outbox.push(Pending::new(id, step, reply)),
                Err(error) => refuse(reply, &error),
            }
            return;
        }
        if self.away.contains_key(&stream) {
            let _ = self.flush();
            return self.defer(stream, Pending::new(id, step, reply));
        }
        let moments = reply.as_ref().and_then(Reply::moments);
        if let Some(moments) = moments {
            moments.step();
        }
        self.batch.follow(moments.cloned());
        match self.run(id, &step, now) {
            Ok(Ran::Done(Outcome::Told(result), rests_on)) => self.settle(result, rests_on, reply),
            Ok(Ran::Done(Outcome::Next(next), _)) => next.pass_to(Onward { core: self, reply, now }),
            Ok(Ran::Behind) => {
                let _ = self.flush();
                self.defer(stream, Pending::new(id, step, reply));
            }
            Err(error) => {
                // Earlier steps stand; they are resumed like after a crash.
                let _ = self.flush();
                refuse(reply, &error);
            }
        }
    }

    /// Runs what nobody waits for.
    fn execute_work(&mut self, work: impl Work, now: Millis) {
        work.run_by(&mut Unasked { core: self, now });
    }

    fn defer(&mut self, stream: StreamId, pending: Pending) {
        self.away.get_mut(&stream).unwrap_or(&mut self.deferred).push_back(pending);
    }

    /// Records what time alone made true, then decides and evolves.
    fn run<S: Step>(&mut self, id: IdOf<S>, step: &S, now: Millis) -> Result<Ran<S>, eventlog::Error> {
        // Asked for where somebody's clock is going to matter, and not by those who hold seats.
        let machine = if S::On::NEEDS_MACHINE_CLOCK { (self.shared.machine)(now) } else { now };
        let context = Context { key: id.into(), now, machine, random: self.shared.ids.next() };
        self.visit::<S::On, _>(id.into(), now, |visit| {
            let rests_on = visit.slot.position;
            if visit.record_lapsed() {
                return Ran::Behind;
            }
            let outcome = match step.decide(&visit.slot.state, &context) {
                Ok(events) => {
                    visit.record(&events);
                    let effect = Effect { id, version: visit.slot.version, events: &events };
                    step.outcome(&visit.slot.state, Ok(effect))
                }
                Err(refusal) => step.outcome(&visit.slot.state, Err(refusal)),
            };
            Ran::Done(outcome, rests_on)
        })
    }

    /// Looks an aggregate up, once, for `act` to change it, and arms its timer.
    fn visit<A: Aggregate, T>(
        &mut self,
        key: Uuid,
        now: Millis,
        act: impl FnOnce(&mut Visit<'_, A>) -> T,
    ) -> Result<T, eventlog::Error> {
        let (stream, minute) = (StreamId { category: A::CATEGORY, key }, minute_of(now));
        let mut fresh = None;
        let slot = match self.states.load::<A>(key)? {
            Some(slot) => slot,
            None => fresh.insert(Slot::default()),
        };
        let was = slot.version;
        let (batch, views, view_updates) = (&mut self.batch, &*self.shared.views, &mut self.view_updates);
        let result = act(&mut Visit { stream, now, slot, batch, views, view_updates });

        if slot.version > 0 && slot.used != minute && !A::STAYS_IN_MEMORY {
            slot.used = minute;
            self.used.push_back((minute, stream));
        }
        arm(slot, (stream, now), &mut self.timers, &mut self.watched, &mut self.backlogs);
        if slot.version > was {
            self.changed.push(stream);
            if let Some(fresh) = fresh {
                self.states.slots_mut().insert(key, fresh);
            }
        }
        Ok(result)
    }

    /// Hands the outcome to the caller once everything that it rests on is durable.
    fn settle<A, R>(&mut self, result: Result<A, R>, rests_on: Position, reply: Option<Reply<A, R>>)
    where
        A: Send + 'static,
        R: Send + 'static,
    {
        let Some(reply) = reply else {
            // Our own work: nobody waits, and a log that fails stops the process by itself.
            let _ = self.flush();
            return;
        };
        reply.note(Moment::Decided);
        let durable = rests_on <= self.shared.log.durable() || seeded_faults::is(Bug::ToldBeforeDurable);
        if self.batch.is_empty() && durable {
            self.batch.follow(None);
            return reply.send(outcome(result, rests_on));
        }
        // When the append is refused the reply is dropped with it, which its receiver reads as a failed log.
        let _ = self.append(move |durable| {
            let told = durable.map_or(Err(Failure::LogFailed), |position| outcome(result, position));
            reply.send(told);
        });
    }

    /// Appends what was recorded since the last time, if anything was.
    fn flush(&mut self) -> Result<(), eventlog::Error> {
        if self.batch.is_empty() { Ok(()) } else { self.append(|_| {}) }
    }

    /// Appends what was recorded since the last time, as one batch; then `tell`s up to where it is durable, or that it will
    /// not be.
    fn append(&mut self, tell: impl FnOnce(Option<Position>) + Send + 'static) -> Result<(), eventlog::Error> {
        let batch = std::mem::replace(&mut self.batch, Batch::with_capacity(BATCH_BYTES));
        let view_updates = std::mem::take(&mut self.view_updates);
        let views = self.shared.views.clone();
        let then: eventlog::OnDurable = Box::new(move |durable| {
            if durable.is_ok() {
                view_updates.into_iter().for_each(|update| views.publish(update));
            }
            tell(durable.ok());
        });
        let position = self.shared.log.append(batch, Some(then)).inspect_err(|_| self.failed = true)?;
        for stream in self.changed.drain(..) {
            self.states.set_position(stream, position);
        }
        Ok(())
    }

    /// Runs what is due at `now` (lapsed holds, purchases that were never answered) and passivates idle keys.
    pub fn tick(&mut self, now: Millis) {
        self.end_erased(now);
        if self.due.is_empty() {
            self.due = self.take_due(now);
        }
        self.run_due(now);
        self.attend(now);
        self.passivate(minute_of(now));
    }

    /// Later events of these keys are in `base`: keys that have none since can leave memory.
    pub fn rebase(&mut self, base: Arc<Snapshot>) {
        self.states.base = Some(base);
    }

    fn passivate(&mut self, minute: u32) {
        let Some(durable) = self.states.base.as_ref().map(|base| base.position()) else { return };
        for _ in 0..TICK_KEYS_MAX {
            match self.used.front() {
                Some((used, _)) if used + IDLE_MINUTES_MAX <= minute => {}
                _ => return,
            }
            let Some((used, stream)) = self.used.pop_front() else { return };
            if let Some(again) = self.states.passivate(stream, used, durable, minute) {
                self.used.push_back((again, stream));
            }
        }
    }

    /// Keys in memory.
    pub fn keys(&self) -> usize {
        self.states.len()
    }
}

/// Room for the events of a usual command, bytes.
const BATCH_BYTES: usize = 1024;

impl RunPending for ShardCore {
    fn run_pending<S: Step>(&mut self, id: IdOf<S>, step: S, reply: Option<ReplyTo<S>>, now: Millis) {
        match reply {
            // Its sender was erased while it waited.
            Some(reply) if self.is_too_late(&step) => reply.send(Err(Failure::UserErased)),
            reply => self.execute(id, step, reply, now),
        }
    }
}

/// The next step of a chain, with the caller who waits for its end.
struct Onward<'a, A, R> {
    core: &'a mut ShardCore,
    reply: Option<Reply<A, R>>,
    now: Millis,
}

impl<A, R> RunNext<A, R> for Onward<'_, A, R> {
    fn run<S: Step<Answer = A, Rejection = R>>(self, id: IdOf<S>, step: S) {
        self.core.execute(id, step, self.reply, self.now);
    }
}

/// A step that nobody waits for.
struct Unasked<'a> {
    core: &'a mut ShardCore,
    now: Millis,
}

impl RunWork for Unasked<'_> {
    fn run<S: Step>(&mut self, id: IdOf<S>, step: S) {
        self.core.execute(id, step, None, self.now);
    }
}

fn outcome<A, R>(result: Result<A, R>, position: Position) -> Result<Done<A>, Failure<R>> {
    match result {
        Ok(answer) => Ok(Done { answer, position }),
        Err(rejection) => Err(Failure::Rejected { rejection, position }),
    }
}

fn refuse<A, R>(reply: Option<Reply<A, R>>, error: &eventlog::Error) {
    tracing::error!(%error, "a command could not be run");
    if let Some(reply) = reply {
        reply.send(Err(Failure::LogFailed));
    }
}

fn minute_of(now: Millis) -> u32 {
    (now / 60_000) as u32
}
