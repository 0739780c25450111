//! The keeper: a plain struct that owns keys and runs commands on them, one after the other. The shard actor is a few
//! lines around it; the simulator runs it without actix.
//!
//! Fail-stop pipelining: the keeper decides and evolves at once and hands the events to the log; the reply waits until they
//! are durable, and so does a refusal or a read that rests on events that are not durable yet. When the log refuses them,
//! what is in memory is no longer true: from then on every command fails, until the process has stopped.

mod draw;
mod erasures;
mod queues;
#[cfg(test)]
mod tests;

use super::views::{Publication, Views};
use super::{Done, Failure};
use crate::aggregate_store::{Happened, Kept, Slot, Slots, States, shard_of};
use base::id::{Category, Ids, Millis, PerformanceId, QueueId, StreamId};
use domain::account::Account;
use domain::concert::Concert;
use domain::organizer::Organizer;
use domain::performance::{self, Performance};
use domain::process::purchase;
use domain::queue::draw::Seeds;
use domain::queue::order::Drawn;
use domain::queue::{self, Queue};
use domain::seeded_faults::{self, Bug};
use domain::wallet::{self, Wallet};
use domain::{Aggregate, Answer, Command, Context, EventData, Rejection};
pub use draw::Draw;
use eventlog::snapshot::Snapshot;
use eventlog::{Batch, Log, Position};
use rustc_hash::FxHashMap;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use tokio::sync::oneshot;
use uuid::Uuid;

/// Where an outcome goes. Dropped without an answer only when the process stops.
pub type Reply = oneshot::Sender<Outcome>;
/// What came of a command, durable.
pub type Outcome = Result<Done<Answer>, Failure<Rejection>>;

/// Minutes without use after which a key whose events are all in the snapshot leaves memory.
const IDLE_MINUTES_MAX: u32 = 10;
/// Keys looked at for passivation, and timers taken up, per tick: a tick must not hold commands up.
const TICK_KEYS_MAX: usize = 2_000;
/// Timers that are run, and purchases of one performance that are taken up again, in one go.
const TIMERS_MAX: usize = 128;
/// Commands that wait for their own key, while others go on.
const DEFERRED_MAX: usize = 16_384;
/// People in a pre-queue from which on its draw is made elsewhere.
const DRAWN_HERE_MAX: u32 = 2_000;

/// Erasures that a tick goes on with.
const TICK_ERASURES_MAX: usize = 16;

/// Reservations of cancelled performances that are given up or refunded in one go, about a millisecond's work: commands
/// that came in meanwhile run before the next.
const CALL_OFFS_MAX: usize = 128;

/// What a keeper shares with the others.
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
pub struct Keeper {
    shard: usize,
    shards: usize,
    shared: Shared,
    states: States,
    /// When which performance is due. An entry that is not the one armed in its slot is out of date.
    timers: BinaryHeap<Reverse<(Millis, Uuid)>>,
    /// Cancelled performances with something left to give back.
    calling_off: VecDeque<Uuid>,
    /// Keys by the minute in which they were last used.
    used: VecDeque<(u32, StreamId)>,
    /// Commands for other shards, in the order in which they must be sent.
    outbox: Vec<(Command, Option<Reply>)>,
    /// Commands whose key has something to do first, in the order in which they came.
    deferred: VecDeque<(Command, Option<Reply>)>,
    /// Whether somebody makes the draws that are taken from `draws`; otherwise they are made here.
    draws_elsewhere: bool,
    /// Draws that are to be made.
    draws: Vec<Draw>,
    /// Queues whose draw is being made, and who asked for one of them meanwhile: nobody joins or leaves before it is made.
    being_drawn: FxHashMap<Uuid, VecDeque<(Command, Option<Reply>)>>,
    /// Timers that are due and were not run yet.
    due: VecDeque<(Millis, Uuid)>,
    /// What was recorded since the last append, the streams it belongs to, and what readers see once it is durable.
    batch: Batch,
    changed: Vec<StreamId>,
    publications: Vec<Publication>,
    /// The log refused an append, so memory holds what never happened: nothing may be decided or read from it.
    failed: bool,
    /// The second in which sleeping sessions were last looked for.
    second: u64,
    /// The latest instant at which a command ran.
    latest_ms: Millis,
}

/// What one step of a command came to.
struct Step {
    result: Result<Answer, Rejection>,
    follows: Option<Command>,
    /// The last event before this step that its result rests on.
    rests_on: Position,
}

impl Keeper {
    /// The keeper of `shard` of `shards`, with what recovery found of its keys. Publishes what is there, arms the timers
    /// and resumes what a crash interrupted.
    pub fn new(shard: usize, shards: usize, shared: Shared, states: States, now: Millis) -> Keeper {
        let mut keeper = Keeper {
            shard,
            shards,
            shared,
            states,
            timers: BinaryHeap::new(),
            calling_off: VecDeque::new(),
            used: VecDeque::new(),
            outbox: Vec::new(),
            deferred: VecDeque::new(),
            draws_elsewhere: false,
            draws: Vec::new(),
            being_drawn: FxHashMap::default(),
            due: VecDeque::new(),
            batch: Batch::new(),
            changed: Vec::new(),
            publications: Vec::new(),
            failed: false,
            second: 0,
            latest_ms: 0,
        };
        keeper.start(now);
        keeper
    }

    fn start(&mut self, now: Millis) {
        for key in keys(&self.states.concerts) {
            self.publish_found::<Concert>(key, now);
        }
        for key in keys(&self.states.organizers) {
            self.publish_found::<Organizer>(key, now);
        }
        for key in keys(&self.states.accounts) {
            self.publish_found::<Account>(key, now);
        }
        for key in keys(&self.states.performances) {
            self.publish_found::<Performance>(key, now);
            let overdue = self.states.performances[&key].state.overdue(key, Millis::MAX);
            for command in overdue {
                self.execute(command, None, now);
            }
            self.arm(key);
        }
        for key in keys(&self.states.queues) {
            self.extend_claims(key, now);
            self.publish_found::<Queue>(key, now);
        }
        // A log that fails stops the process by itself.
        let _ = self.append(None);
        self.used = self.states.mark_used(minute_of(now));
    }

    fn publish_found<A: Kept>(&mut self, key: Uuid, now: Millis) {
        let mut publications = Vec::new();
        if let Some(slot) = A::slots(&mut self.states).get(&key) {
            slot.state.publish_found(&self.shared.views, key, slot.version, now, &mut publications);
        }
        for publication in publications {
            self.shared.views.publish(publication);
        }
    }

    /// Commands that belong to other shards; to be sent there in this order.
    pub fn take_outbox(&mut self) -> Vec<(Command, Option<Reply>)> {
        std::mem::take(&mut self.outbox)
    }

    /// From now on large draws are left to whoever takes them with [`take_draws`](Self::take_draws), and gives them back
    /// with [`drawn`](Self::drawn).
    pub fn leave_draws(&mut self) {
        self.draws_elsewhere = true;
    }

    pub fn take_draws(&mut self) -> Vec<Draw> {
        std::mem::take(&mut self.draws)
    }

    /// A draw was made. `None` when it failed: then it is made here.
    pub fn drawn(&mut self, queue: QueueId, drawn: Option<Drawn>, now: Millis) {
        if drawn.is_none() {
            self.draws_elsewhere = false;
        }
        let waited = self.being_drawn.remove(&queue.0);
        self.open_drawn(queue, drawn, now);
        self.deferred.extend(waited.into_iter().flatten());
    }

    /// Runs the next timers that are due and the next command that had to wait for its key. True when there are more.
    pub fn resume(&mut self, now: Millis) -> bool {
        self.run_due(now);
        match self.deferred.pop_front() {
            // Its sender was erased while it waited.
            Some((command, Some(reply))) if self.is_too_late(&command) => answer(reply, Err(Failure::UserErased)),
            Some((command, reply)) => self.execute(command, reply, now),
            None => {}
        }
        self.is_waiting()
    }

    /// Whether [`resume`](Self::resume) has something to do.
    pub fn is_waiting(&self) -> bool {
        !self.deferred.is_empty() || !self.due.is_empty()
    }

    /// Whether another command may have to wait for its key.
    fn may_defer(&self, command: &Command) -> bool {
        let drawn = match command {
            Command::Queue(id, _) if !self.being_drawn.is_empty() => self.being_drawn.get(&id.0),
            _ => None,
        };
        drawn.map_or(self.deferred.len(), VecDeque::len) < DEFERRED_MAX
    }

    /// Whether it was sent before its sender was erased, and comes after what went on of theirs was ended here.
    fn is_too_late(&self, command: &Command) -> bool {
        command.newcomer().is_some_and(|user| self.shared.views.erasures().has(user))
    }

    /// Runs a command from outside. Refuses it while too much waits for the disk.
    pub fn accept(&mut self, command: Command, reply: Reply, now: Millis) {
        if self.is_too_late(&command) {
            answer(reply, Err(Failure::UserErased));
        } else if self.shared.log.has_room() && self.may_defer(&command) {
            self.execute(command, Some(reply), now);
        } else {
            answer(reply, Err(Failure::Overloaded));
        }
    }

    /// Runs a command and everything that follows from it here; what follows elsewhere goes to the outbox.
    pub fn execute(&mut self, command: Command, reply: Option<Reply>, now: Millis) {
        // Time does not go back here, whatever the clock does: a payment that was refused as too late stays refused.
        let now = now.max(self.latest_ms);
        self.latest_ms = now;
        let mut command = command;
        loop {
            if self.failed {
                return reply.map_or((), |reply| answer(reply, Err(Failure::LogFailed)));
            }
            if shard_of(command.stream(), self.shards) != self.shard {
                // What was recorded here must be in the log before anything that rests on it.
                match self.append(None) {
                    Ok(()) => self.outbox.push((command, reply)),
                    Err(error) => refuse(reply, &error),
                }
                return;
            }
            match self.has_to_wait(&command, now) {
                Ok(false) => {}
                Ok(true) => {
                    let _ = self.append(None);
                    return self.defer(command, reply);
                }
                Err(error) => {
                    let _ = self.append(None);
                    return refuse(reply, &error);
                }
            }
            match self.step(&command, now) {
                Ok(Step { follows: Some(next), .. }) => command = next,
                Ok(step) => return self.settle(step, reply),
                Err(error) => {
                    // Earlier steps stand; they are resumed like after a crash.
                    let _ = self.append(None);
                    return refuse(reply, &error);
                }
            }
        }
    }

    /// Whether a command's key has something to do first that takes longer than a command may: then a part of it is done.
    fn has_to_wait(&mut self, command: &Command, now: Millis) -> Result<bool, eventlog::Error> {
        match command {
            Command::Performance(id, _) => {
                let behind = self.states.load::<Performance>(id.0)?.is_some_and(|slot| slot.state.is_behind(now));
                if behind {
                    // Records what has lapsed, as much as one command may.
                    let look = performance::Command::Describe;
                    self.run::<Performance>(id.0, &look, now, Answer::Performance, Rejection::Performance)?;
                    self.arm(id.0);
                }
                Ok(behind)
            }
            Command::Queue(id, _) => Ok(self.being_drawn.contains_key(&id.0)),
            _ => Ok(false),
        }
    }

    fn defer(&mut self, command: Command, reply: Option<Reply>) {
        let drawn = match &command {
            Command::Queue(id, _) => self.being_drawn.get_mut(&id.0),
            _ => None,
        };
        drawn.unwrap_or(&mut self.deferred).push_back((command, reply));
    }

    fn step(&mut self, command: &Command, now: Millis) -> Result<Step, eventlog::Error> {
        match command {
            Command::Performance(id, command) => {
                let step = self.run::<Performance>(id.0, command, now, Answer::Performance, Rejection::Performance);
                self.arm(id.0);
                step
            }
            Command::Wallet(id, command) => self.run::<Wallet>(id.0, command, now, Answer::Wallet, Rejection::Wallet),
            Command::Account(id, command) => {
                self.run::<Account>(id.0, command, now, Answer::Account, Rejection::Account)
            }
            Command::Organizer(id, command) => {
                self.run::<Organizer>(id.0, command, now, Answer::Organizer, Rejection::Organizer)
            }
            Command::Concert(id, command) => {
                self.run::<Concert>(id.0, command, now, Answer::Concert, Rejection::Concert)
            }
            Command::Queue(id, command) => self.run::<Queue>(id.0, command, now, Answer::Queue, Rejection::Queue),
        }
    }

    /// Records what time alone made true, then decides, evolves and answers.
    fn run<A: Kept>(
        &mut self,
        key: Uuid,
        command: &A::Command,
        now: Millis,
        wrap: impl Fn(A::Answer) -> Answer,
        wrap_rejection: impl Fn(A::Rejection) -> Rejection,
    ) -> Result<Step, eventlog::Error> {
        // Asked for where somebody's clock is going to matter, and not by those who hold seats.
        let machine = if A::CATEGORY == Category::Queue { (self.shared.machine)(now) } else { now };
        let context = Context { key, now, machine, random: self.shared.ids.next() };
        let stream = StreamId { category: A::CATEGORY, key };
        let mut fresh = None;
        let slot = match self.states.load::<A>(key)? {
            Some(slot) => slot,
            None => fresh.insert(Slot::default()),
        };
        let (was, rests_on, minute) = (slot.version, slot.position, minute_of(now));

        let lapsed = slot.state.lapsed(now);
        record(&mut self.batch, slot, stream, &lapsed, now);
        let (views, publications) = (&self.shared.views, &mut self.publications);
        let mut publish = |slot: &Slot<A>, events: &[A::Event]| {
            if !events.is_empty() {
                slot.state.publish(views, Happened { key, version: slot.version, events, now }, publications);
            }
        };
        publish(slot, &lapsed);
        let result = slot.state.decide(command, &context).map(|events| {
            record(&mut self.batch, slot, stream, &events, now);
            publish(slot, &events);
            slot.state.answer(key, slot.version, command, &events)
        });
        let follows = slot.state.follows(key, command, result.as_ref().map(|_| ()));

        if slot.version > 0 && slot.used != minute {
            slot.used = minute;
            self.used.push_back((minute, stream));
        }
        if slot.version > was {
            self.changed.push(stream);
            if let Some(fresh) = fresh {
                A::slots(&mut self.states).insert(key, fresh);
            }
        }
        Ok(Step { result: result.map(wrap).map_err(wrap_rejection), follows, rests_on })
    }

    /// Hands the outcome to the caller once everything that it rests on is durable.
    fn settle(&mut self, step: Step, reply: Option<Reply>) {
        let result = step.result.and_then(purchase::outcome);
        let Some(reply) = reply else {
            // Our own work: nobody waits, and a log that fails stops the process by itself.
            let _ = self.append(None);
            return;
        };
        let durable = step.rests_on <= self.shared.log.durable() || seeded_faults::is(Bug::ToldBeforeDurable);
        if self.batch.is_empty() && durable {
            return answer(reply, outcome(result, step.rests_on));
        }
        // When the append is refused the reply is dropped with it, which its receiver reads as a failed log.
        let _ = self.append(Some((result, reply)));
    }

    /// Appends what was recorded since the last time, as one batch. `waiting` is answered once it is durable.
    fn append(&mut self, waiting: Option<(Result<Answer, Rejection>, Reply)>) -> Result<(), eventlog::Error> {
        if self.batch.is_empty() && waiting.is_none() {
            return Ok(());
        }
        let batch = std::mem::replace(&mut self.batch, Batch::with_capacity(BATCH_BYTES));
        let publications = std::mem::take(&mut self.publications);
        let views = self.shared.views.clone();
        let then: eventlog::Then = Box::new(move |durable| {
            if durable.is_ok() {
                publications.into_iter().for_each(|publication| views.publish(publication));
            }
            match (waiting, durable) {
                (Some((result, reply)), Ok(position)) => answer(reply, outcome(result, position)),
                (Some((_, reply)), Err(_)) => answer(reply, Err(Failure::LogFailed)),
                (None, _) => {}
            }
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
        self.advance(now);
        self.passivate(minute_of(now));
    }

    /// Runs some of the timers that are due; the others wait for [`resume`](Self::resume).
    fn run_due(&mut self, now: Millis) {
        for _ in 0..TIMERS_MAX {
            let Some((at, key)) = self.due.pop_front() else { return };
            let Some(slot) = self.states.performances.get_mut(&key) else { continue };
            if slot.armed_ms != at {
                continue;
            }
            slot.armed_ms = u64::MAX;
            let mut overdue = slot.state.overdue(key, now);
            overdue.truncate(TIMERS_MAX);
            // Any command records what has lapsed; a read does nothing else.
            let look = Command::Performance(PerformanceId(key), performance::Command::Describe);
            self.execute(look, None, now);
            for command in overdue {
                self.execute(command, None, now);
            }
        }
    }

    /// The timers that are due. Those that are armed anew by what is done now wait for the next tick.
    fn take_due(&mut self, now: Millis) -> VecDeque<(Millis, Uuid)> {
        let mut due = VecDeque::new();
        while due.len() < TICK_KEYS_MAX
            && let Some(Reverse((at, key))) = self.timers.peek().copied()
            && at <= now
        {
            self.timers.pop();
            due.push_back((at, key));
        }
        due
    }

    /// Gives up and refunds the next reservations of cancelled performances, a bounded number. True when there is more to
    /// do at once; otherwise the next tick sees to it.
    pub fn call_off(&mut self, now: Millis) -> bool {
        let mut left = CALL_OFFS_MAX;
        for _ in 0..self.calling_off.len() {
            if left == 0 || self.failed || !self.shared.log.has_room() {
                break;
            }
            let Some(key) = self.calling_off.pop_front() else { break };
            let Some(slot) = self.states.performances.get(&key).filter(|slot| slot.state.is_being_called_off()) else {
                continue;
            };
            self.calling_off.push_back(key);
            let commands = slot.state.call_offs(key, left);
            left -= commands.len();
            for command in commands {
                self.execute(command, None, now);
            }
        }
        left < CALL_OFFS_MAX && !self.failed && !self.calling_off.is_empty()
    }

    fn arm(&mut self, key: Uuid) {
        let Some(slot) = self.states.performances.get_mut(&key) else { return };
        if slot.state.is_being_called_off() && !self.calling_off.contains(&key) {
            self.calling_off.push_back(key);
        }
        let Some(due) = slot.state.next_due() else { return };
        if due < slot.armed_ms {
            slot.armed_ms = due;
            self.timers.push(Reverse((due, key)));
        }
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

fn record<A: Kept>(batch: &mut Batch, slot: &mut Slot<A>, stream: StreamId, events: &[A::Event], now: Millis) {
    for event in events {
        slot.version += 1;
        batch.push(stream, slot.version, now, event.name(), |out| event.encode(out));
        slot.state.evolve(event, slot.version, now);
    }
}

fn outcome(result: Result<Answer, Rejection>, position: Position) -> Outcome {
    match result {
        Ok(answer) => Ok(Done { answer, position }),
        Err(rejection) => Err(Failure::Rejected { rejection, position }),
    }
}

/// A caller that went away is told nothing; what it asked for stays done.
fn answer(reply: Reply, outcome: Outcome) {
    let _ = reply.send(outcome);
}

fn refuse(reply: Option<Reply>, error: &eventlog::Error) {
    tracing::error!(%error, "a command could not be run");
    if let Some(reply) = reply {
        answer(reply, Err(Failure::LogFailed));
    }
}

fn keys<A>(slots: &Slots<A>) -> Vec<Uuid> {
    slots.keys().copied().collect()
}

fn minute_of(now: Millis) -> u32 {
    (now / 60_000) as u32
}
