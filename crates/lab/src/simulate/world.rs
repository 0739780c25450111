//! The simulated world: cores and the messages between them, the log, the clock; its steps and its crashes.

use super::buyers::Buyers;
use super::organizer::START_MS;
use super::random::Random;
use super::waiting::Waiting;
use base::id::{Ids, Millis, QueueId, StreamId};
use domain::Step;
use domain::command::{IdOf, stream_of};
use domain::performance::ReadReservation;
use domain::performance::reservation::State;
use domain::queue::Queue;
use domain::queue::draw::Seed;
use domain::seeded_faults::{self, Bug};
use engine::Failure;
use engine::aggregate_store::{AggregateStore, shard_of};
use engine::shard_core::{Pending, ReplyTo, ShardCore, Shared};
use engine::views::Views;
use eventlog::memory::MemoryLog;
use eventlog::{Log, Position, Recorded};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;
use verifier::Books;

const SHARDS: usize = 3;

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub events: u64,
    pub crashes: u64,
    pub acknowledged: u64,
    pub sales: u64,
    /// People who were let in by a queue.
    pub admissions: u64,
}

/// Those who ask, and what they were promised.
pub struct Crowd {
    pub buyers: Buyers,
    pub queues: Waiting,
}

/// A request that was sent, and how its answer is judged.
struct PendingRequest {
    said: String,
    judge: Box<dyn FnMut(&mut Crowd) -> ReplyOutcome>,
}

/// What somebody hears who waits for an answer.
enum ReplyOutcome {
    Nothing,
    /// It never comes: the process was killed.
    NeverComes,
    /// Nobody is served any more who was erased.
    Erased,
    /// It is durable up to here, and in order, or not.
    Answer(Position, Result<(), String>),
    Failed(String),
}

pub struct World {
    random: Random,
    trace: bool,
    log: Arc<MemoryLog>,
    shared: Shared,
    cores: Vec<ShardCore>,
    now: Millis,
    /// Messages under way, by sender and receiver: in order between two, in any order otherwise.
    network: Vec<VecDeque<Pending>>,
    crowd: Crowd,
    waiting: Vec<PendingRequest>,
    books: Books,
    checked: Position,
    outcome: Outcome,
}

/// Ids from the seed.
struct SeededIds(Mutex<Random>);

impl Ids for SeededIds {
    fn next(&self) -> u128 {
        let mut random = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ((random.bits() as u128) << 64) | random.bits() as u128
    }
}

/// Runs one seed; the error says which promise was broken at which step.
pub fn run(seed: u64, steps: u32, trace: bool) -> Result<Outcome, String> {
    let mut world = World::new(seed, trace)?;
    for step in 0..steps {
        world.step().and_then(|()| world.check()).map_err(|failure| format!("step {step}: {failure}"))?;
    }
    world.settle().map_err(|failure| format!("at the end: {failure}"))?;
    Ok(world.outcome)
}

/// The events of one seed's run, in order.
pub fn events(seed: u64, steps: u32, each: &mut dyn FnMut(Recorded<'_>)) -> Result<(), String> {
    let mut world = World::new(seed, false)?;
    for step in 0..steps {
        world.step().map_err(|failure| format!("step {step}: {failure}"))?;
    }
    world.settle().map_err(|failure| format!("at the end: {failure}"))?;
    let read = world.log.read_from(Position(0), &mut |event| {
        each(event);
        true
    });
    read.map(drop).map_err(|error| error.to_string())
}

impl World {
    fn new(seed: u64, trace: bool) -> Result<World, String> {
        let mut random = Random::new(seed);
        let log = Arc::new(MemoryLog::new());
        if seeded_faults::is(Bug::SyncLost) {
            log.lose_syncs();
        }
        let ids = Arc::new(SeededIds(Mutex::new(Random::new(seed ^ 0x1d5))));
        let seeds = Arc::new(|id: QueueId| Seed(*blake3::hash(id.0.as_bytes()).as_bytes()));
        // Behind by five seconds, every other ten.
        let machine = Arc::new(|now: Millis| now - now / 10_000 % 2 * 5_000);
        let (shared_log, views) = (log.clone() as Arc<dyn Log>, Arc::new(Views::default()));
        let shared = Shared { log: shared_log, ids, views, seeds, machine };
        let (buyers, queues) = (Buyers::new(&mut random), Waiting::new(&mut random));
        let mut world = World {
            random,
            trace,
            log,
            shared,
            cores: Vec::new(),
            now: START_MS,
            network: (0..SHARDS * SHARDS).map(|_| VecDeque::new()).collect(),
            crowd: Crowd { buyers, queues },
            waiting: Vec::new(),
            books: Books::new(),
            checked: Position(0),
            outcome: Outcome::default(),
        };
        world.recover()?;
        let queues = world.crowd.queues.opening(&*world.shared.seeds, START_MS);
        for command in world.crowd.buyers.opening(START_MS).into_iter().chain(queues) {
            world.send(command);
        }
        world.settle_messages();
        world.log.commit();
        world.check()?;
        Ok(world)
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            base::terminal::say(format_args!("{:>10} ms  {}\n", self.now - START_MS.min(self.now), what()));
        }
    }

    /// One thing happens.
    fn step(&mut self) -> Result<(), String> {
        match self.random.below(100) {
            0..=44 => {
                let command = match self.random.chance(30) {
                    true => self.crowd.queues.next(&mut self.random, &self.shared.views),
                    false => self.crowd.buyers.next(&mut self.random),
                };
                self.say(|| format!("send {command:?}"));
                self.send(command);
            }
            45..=64 => self.deliver(),
            65..=79 => {
                let batches = 1 + self.random.below(4) as usize;
                let committed = self.log.commit_n(batches);
                self.say(|| format!("commit {committed} batches"));
            }
            80..=89 => {
                self.advance();
                let now = self.now;
                self.say(|| "tick".into());
                for shard in 0..SHARDS {
                    self.cores[shard].tick(now);
                    self.cores[shard].refund_next(now);
                    while self.cores[shard].resume(now) {}
                    self.collect(shard);
                }
            }
            90..=96 => self.advance(),
            _ => self.crash()?,
        }
        Ok(())
    }

    /// Time passes, mostly a little; clocks are set back too.
    fn advance(&mut self) {
        self.now = match self.random.below(20) {
            0 => self.now.saturating_sub(self.random.below(30_000)),
            1 => self.now + self.random.below(400_000),
            2..=5 => self.now + self.random.below(60_000),
            _ => self.now + self.random.below(2_000),
        };
        self.crowd.queues.look(&mut self.random, &self.shared.views, self.now);
        self.say(|| "time".into());
    }

    fn collect(&mut self, from: usize) {
        for pending in self.cores[from].take_outbox() {
            let to = shard_of(pending.stream(), SHARDS);
            self.network[from * SHARDS + to].push_back(pending);
        }
    }

    fn deliver(&mut self) {
        let lines: Vec<usize> = (0..self.network.len()).filter(|line| !self.network[*line].is_empty()).collect();
        let Some(line) = self.random.pick(&lines).copied() else { return };
        let Some(pending) = self.network[line].pop_front() else { return };
        self.say(|| format!("deliver {pending:?}"));
        let to = line % SHARDS;
        pending.run(&mut self.cores[to], self.now);
        self.collect(to);
    }

    /// The process is killed: memory, messages and what was not durable are gone. Then it starts again.
    fn crash(&mut self) -> Result<(), String> {
        self.say(|| format!("crash; {} batches are lost", self.log.queued()));
        self.outcome.crashes += 1;
        self.cores.clear();
        self.network.iter_mut().for_each(VecDeque::clear);
        self.log.crash();
        self.shared.views = Arc::default();
        // Answers that left before the crash were given; the others never will be.
        self.take_answers()?;
        self.waiting.clear();
        self.recover()
    }

    fn recover(&mut self) -> Result<(), String> {
        let mut states = AggregateStore::default();
        let mut failed = None;
        let read = self.log.read_from(Position(0), &mut |event| {
            failed = states.apply(&event).err();
            failed.is_none()
        });
        read.map_err(|error| error.to_string())?;
        if let Some(error) = failed {
            return Err(format!("recovery: {error}"));
        }
        if self.random.chance(50) {
            states = states.through_snapshot().map_err(|error| format!("snapshot: {error}"))?;
        }
        let mut parts: Vec<AggregateStore> = (0..SHARDS).map(|_| AggregateStore::default()).collect();
        states.deal(&|stream| shard_of(stream, SHARDS), &mut parts);
        for (shard, states) in parts.into_iter().enumerate() {
            self.cores.push(ShardCore::new(shard, SHARDS, self.shared.clone(), states, self.now));
        }
        for shard in 0..SHARDS {
            self.collect(shard);
        }
        Ok(())
    }

    /// The checker reads what became durable; acknowledged answers are compared with earlier ones.
    fn check(&mut self) -> Result<(), String> {
        let (books, checked) = (&mut self.books, self.checked);
        let mut violation = None;
        let read = self.log.read_from(checked, &mut |event| {
            violation = books.apply(event).err();
            violation.is_none()
        });
        let last = read.map_err(|error| error.to_string())?;
        if let Some(violation) = violation {
            return Err(violation.to_string());
        }
        self.outcome.events += last.0 - checked.0;
        self.checked = last;
        self.take_answers()
    }

    fn take_answers(&mut self) -> Result<(), String> {
        let mut rest = Vec::new();
        for mut sent in std::mem::take(&mut self.waiting) {
            match (sent.judge)(&mut self.crowd) {
                ReplyOutcome::Nothing => rest.push(sent),
                ReplyOutcome::NeverComes | ReplyOutcome::Erased => {}
                ReplyOutcome::Failed(failure) => return Err(format!("{} failed with {failure}", sent.said)),
                ReplyOutcome::Answer(position, _) if position > self.log.durable() => {
                    let durable = self.log.durable();
                    return Err(format!("{} was answered at {position}, durable is {durable}", sent.said));
                }
                ReplyOutcome::Answer(_, judged) => {
                    self.outcome.acknowledged += 1;
                    judged?;
                }
            }
        }
        self.waiting = rest;
        Ok(())
    }

    /// Asks; the answer will be judged.
    pub(super) fn ask<S: Step>(
        &mut self,
        id: IdOf<S>,
        step: S,
        judge: impl FnOnce(&mut Crowd, S::Answer) -> Result<(), String> + 'static,
    ) {
        let shard = shard_of(stream_of::<S>(id), SHARDS);
        let (reply, mut answer) = ReplyTo::<S>::channel();
        let mut judge = Some(judge);
        let hear = move |crowd: &mut Crowd| match answer.try_recv() {
            Err(oneshot::error::TryRecvError::Empty) => ReplyOutcome::Nothing,
            Err(oneshot::error::TryRecvError::Closed) => ReplyOutcome::NeverComes,
            Ok(Ok(done)) => {
                let judged = judge.take().map_or(Ok(()), |judge| judge(crowd, done.answer));
                ReplyOutcome::Answer(done.position, judged)
            }
            Ok(Err(Failure::Rejected { position, .. })) => ReplyOutcome::Answer(position, Ok(())),
            Ok(Err(Failure::UserErased)) => ReplyOutcome::Erased,
            Ok(Err(failure)) => ReplyOutcome::Failed(format!("{failure:?}")),
        };
        self.waiting.push(PendingRequest { said: format!("{step:?}"), judge: Box::new(hear) });
        self.cores[shard].accept(id, step, reply, self.now);
        self.collect(shard);
    }

    /// Asks, and has the answer at once.
    fn ask_now<S: Step>(&mut self, id: IdOf<S>, step: S) -> Result<S::Answer, String> {
        let shard = shard_of(stream_of::<S>(id), SHARDS);
        let (reply, mut answer) = oneshot::channel();
        self.cores[shard].accept(id, step, reply, self.now);
        self.collect(shard);
        self.log.commit();
        let told = answer.try_recv().map_err(|error| error.to_string())?;
        told.map(|done| done.answer).map_err(|failure| format!("{failure:?}"))
    }

    fn settle_messages(&mut self) {
        while self.network.iter().any(|line| !line.is_empty()) {
            self.deliver();
        }
    }

    /// Everything comes to rest: nothing is in flight any more, and every promise still holds.
    fn settle(&mut self) -> Result<(), String> {
        for _ in 0..8 {
            self.settle_messages();
            self.log.commit();
            self.check()?;
            for shard in 0..SHARDS {
                self.cores[shard].tick(self.now);
                self.cores[shard].refund_next(self.now);
                while self.cores[shard].resume(self.now) {}
                self.collect(shard);
            }
        }
        if let Some(sent) = self.waiting.first() {
            return Err(format!("{} was never answered", sent.said));
        }
        if let Some(due) = (0..SHARDS).find_map(|shard| self.shared.views.erasures().due(shard, SHARDS, 1).pop()) {
            return Err(format!("an erasure does not come to its end: {due:?}"));
        }
        for (user, reservation, reached) in self.crowd.buyers.promises() {
            let found = self.ask_now(reservation.performance(), ReadReservation { user, reservation });
            let found = found.map_err(|gone| format!("{reservation} was acknowledged and is gone: {gone}"))?.state;
            let kept = match reached {
                Some(State::Confirmed) => {
                    matches!(found, State::Confirmed | State::Cancelled | State::Cancelling)
                }
                Some(reached) => found == reached,
                None => true,
            };
            if !kept || matches!(found, State::Paying | State::Cancelling) {
                return Err(format!("{reservation} was acknowledged as {reached:?} and is {found:?}"));
            }
        }
        for (queue, find) in self.crowd.queues.promises() {
            let said = format!("{find:?}");
            self.ask_now(queue, find)
                .map_err(|gone| format!("an entry was acknowledged and is gone: {said}, {gone}"))?;
        }
        self.check()?;
        self.compare_states()?;
        let summary = self.books.finish().map_err(|violation| violation.to_string())?;
        if summary.purchases_in_flight != 0 {
            return Err(format!("{} purchases are still in flight", summary.purchases_in_flight));
        }
        if summary.performances_being_cancelled != 0 {
            return Err("the cancellation of a performance is not finished".into());
        }
        self.outcome.sales = summary.purchases_complete;
        self.outcome.admissions = summary.entries_admitted;
        Ok(())
    }

    /// What all events give is what a snapshot at any position and the events after it give, and what queues show.
    fn compare_states(&mut self) -> Result<(), String> {
        let middle = Position(1 + self.random.below(self.log.durable().0));
        let (mut whole, mut later) = (AggregateStore::default(), AggregateStore::default());
        let mut failed = None;
        let read = self.log.read_from(Position(0), &mut |event| {
            let mut apply = || -> Result<(), eventlog::Error> {
                whole.apply(&event)?;
                later.apply(&event)?;
                if event.position == middle {
                    later = later.through_snapshot()?;
                }
                Ok(())
            };
            failed = apply().err();
            failed.is_none()
        });
        read.map_err(|error| error.to_string())?;
        if let Some(error) = failed {
            return Err(format!("replay: {error}"));
        }
        let (one, other) = (stored(&whole)?, stored(&later)?);
        if let Some((stream, _)) = one.iter().find(|(stream, state)| other.get(stream) != Some(state)) {
            return Err(format!("{stream} is another after a snapshot at {middle}"));
        }
        for (key, slot) in whole.slots::<Queue>() {
            let view = self.shared.views.queues().get(QueueId(*key));
            let shown = view.is_some_and(|view| {
                view.look(|live| live.line == *slot.state.line() && live.inside == *slot.state.inside())
            });
            if !shown {
                return Err(format!("queue {key} is shown otherwise than it is"));
            }
        }
        Ok(())
    }
}

/// Every state, by stream, as a snapshot has it.
fn stored(states: &AggregateStore) -> Result<BTreeMap<StreamId, (u64, Vec<u8>)>, String> {
    let mut all = BTreeMap::new();
    let each = states.each_stored(&mut |stored| {
        all.insert(stored.stream, (stored.version, stored.bytes.to_vec()));
        Ok(())
    });
    each.map_err(|error| error.to_string()).map(|()| all)
}
