//! Queues whose people do what they are told: each asks when the last answer said, or listens, and comes as soon as told that
//! it is their turn. Meanwhile the organizer changes whatever can be changed, the log is slow and the server restarts. Nobody
//! may miss their turn.

use super::organizer;
use super::random::Random;
use base::id::{Ids, Millis, QueueId};
use domain::queue::draw::Seed;
use domain::queue::event::{JoinPolicy, Terms};
use domain::queue::order::Standing;
use domain::queue::policy::{Policy, Rate};
use domain::queue::{
    Admit, AdmitNamed, Block, Change, Claim, Create, Finish, Join, Person, Queue, Restore, SetState, State,
};
use domain::{Command, Expected, Fingerprint};
use engine::aggregate_store::AggregateStore;
use engine::shard_core::{ShardCore, Shared};
use engine::views::Views;
use engine::views::queues::QueueView;
use eventlog::memory::MemoryLog;
use eventlog::{Log, Position};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;
use verifier::Books;

const START_MS: Millis = 1_800_000_000_000;
/// The server looks for what is due so often, ms.
const TICK_MS: Millis = 100;
/// A run lasts so long, ms.
const LASTS_MS: Millis = 1_800_000;
/// The log takes at most so long, ms.
const COMMIT_MS_MAX: u64 = 1_500;
/// So does a request.
const REQUEST_MS_MAX: u64 = 800;
/// A server that is stopped is back within so long, ms.
const DOWN_MS_MAX: u64 = 90_000;
/// Who gets no answer, and never got one, asks again within so long, ms.
const RETRY_MS: RangeInclusive<u64> = 2_000..=4_000;
/// An open stream is a sign of life so often, and the next one is promised within so long, ms.
const BEAT_MS: u64 = 1_000;
const NEXT_SIGN_MS: u64 = 5_000;

/// What the queue tells somebody: their ticket, or how it refuses.
type EntryReply = Result<u32, String>;
/// Looks whether there is an answer.
type ReplyPoll = Box<dyn FnMut() -> Result<EntryReply, TryRecvError>>;

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub people: u64,
    pub polls: u64,
    /// Those who came when it was their turn.
    pub came: u64,
    /// Those who did what they were told and missed their turn.
    pub missed: u64,
    pub changes: u64,
    pub restarts: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Habit {
    Asks,
    Listens,
}

/// What somebody does when their time has come.
#[derive(Clone, Copy)]
enum Action {
    Join,
    Look,
    Claim,
    Finish,
    Done,
}

struct Participant {
    habit: Habit,
    next: Action,
    ticket: u32,
    claimed: bool,
    /// When to ask again, ms, should there be no answer.
    retry_ms: RangeInclusive<u64>,
    answer: Option<ReplyPoll>,
}

struct World {
    random: Random,
    now: Millis,
    log: Arc<MemoryLog>,
    shared: Shared,
    core: Option<ShardCore>,
    queue: QueueId,
    people: Vec<Participant>,
    due: BinaryHeap<Reverse<(Millis, usize)>>,
    polls_per_s_max: u32,
    commit_at: Millis,
    change_at: Millis,
    up_at: Millis,
    books: Books,
    checked: Position,
    /// Who was the first to miss their turn, and when.
    missed: Option<(Millis, String)>,
    outcome: Outcome,
}

struct SequentialIds(AtomicU64);

impl Ids for SequentialIds {
    fn next(&self) -> u128 {
        u128::from(self.0.fetch_add(1, Ordering::Relaxed)) << 64 | 7
    }
}

/// Runs one seed with so many people. The error says who missed their turn.
pub fn run(seed: u64, people: usize) -> Result<Outcome, String> {
    let (outcome, missed) = count(seed, people)?;
    missed.map_or(Ok(outcome), Err)
}

/// The same, to its end whoever misses their turn; with who was the first to.
pub fn count(seed: u64, people: usize) -> Result<(Outcome, Option<String>), String> {
    let mut world = World::new(seed, people)?;
    while world.now < START_MS + LASTS_MS && !world.people.iter().all(|it| matches!(it.next, Action::Done)) {
        world.step().map_err(|what| format!("seed {seed}, {} ms: {what}", world.now - START_MS))?;
    }
    let missed = world.missed.map(|(at_ms, what)| format!("seed {seed}, {at_ms} ms: {what}"));
    Ok((world.outcome, missed))
}

impl World {
    fn new(seed: u64, people: usize) -> Result<World, String> {
        let mut random = Random::new(seed);
        let log = Arc::new(MemoryLog::new());
        let seeds = Arc::new(|id: QueueId| Seed(*blake3::hash(id.0.as_bytes()).as_bytes()));
        let ids = Arc::new(SequentialIds(AtomicU64::new(1)));
        let shared = Shared {
            log: log.clone() as Arc<dyn Log>,
            ids,
            views: Arc::new(Views::default()),
            seeds,
            machine: Arc::new(|now| now),
        };
        let queue = QueueId::from_random(random.bits());
        let opens_in_ms = random.below(900_000);
        let opens_at_ms = START_MS + if random.chance(70) { opens_in_ms } else { 0 };
        let terms = Terms {
            name: "obedient".into(),
            redirect_urls: vec![],
            policy: policy(&mut random),
            opens_at_ms,
            claim_ttl_s: 1 + random.below(60) as u32,
            session_ttl_s: 600,
            idle_ttl_s: random.chance(50).then_some(20),
            absent_after_s: random.chance(70).then(|| 1 + random.below(30) as u32),
            purchase_completes: true,
            join: JoinPolicy::Anyone,
        };
        let commitment = shared.seeds.seed(queue).commitment();
        let somebody = |_| Participant {
            habit: if random.chance(20) { Habit::Listens } else { Habit::Asks },
            next: Action::Join,
            ticket: 0,
            claimed: false,
            retry_ms: RETRY_MS,
            answer: None,
        };
        let people: Vec<Participant> = (0..people).map(somebody).collect();
        let comes = |number| Reverse((START_MS + 1_000 + random.below(240_000), number));
        let due = (0..people.len()).map(comes).collect();
        let polls_per_s_max = [100, 1_000, 20_000][random.below(3) as usize];
        let mut world = World {
            random,
            now: START_MS,
            log,
            core: None,
            shared,
            queue,
            due,
            polls_per_s_max,
            commit_at: 0,
            change_at: START_MS + 60_000,
            up_at: 0,
            books: Books::new(),
            checked: Position(0),
            missed: None,
            outcome: Outcome { people: people.len() as u64, ..Outcome::default() },
            people,
        };
        world.start()?;
        let content = Fingerprint(1);
        world.send(Create { organizer: organizer::ID, terms, commitment, content });
        world.log.commit();
        Ok(world)
    }

    fn start(&mut self) -> Result<(), String> {
        self.shared.views = Arc::default();
        self.shared.views.queues().limit_polls(self.polls_per_s_max);
        let mut states = AggregateStore::default();
        let mut failed = None;
        let read = self.log.read_from(Position(0), &mut |event| {
            failed = states.apply(&event).err();
            failed.is_none()
        });
        read.map_err(|error| error.to_string())?;
        if let Some(error) = failed {
            return Err(error.to_string());
        }
        self.core = Some(ShardCore::new(0, 1, self.shared.clone(), states, self.now));
        Ok(())
    }

    /// Sends what nobody waits for.
    fn send(&mut self, command: impl Command<On = Queue>) {
        drop(self.ask(command, |_| 0));
    }

    /// Sends a command; its answer tells a ticket.
    fn ask<C: Command<On = Queue>>(&mut self, command: C, ticket: impl Fn(C::Answer) -> u32 + 'static) -> ReplyPoll {
        let (reply, mut answer) = oneshot::channel();
        if let Some(core) = &mut self.core {
            core.accept(self.queue, command, reply, self.now);
        }
        Box::new(move || {
            let told = answer.try_recv()?;
            Ok(told.map(|done| ticket(done.answer)).map_err(|failure| format!("{failure:?}")))
        })
    }

    fn view(&self) -> Option<Arc<QueueView>> {
        self.core.as_ref()?;
        self.shared.views.queues().get(self.queue)
    }

    fn step(&mut self) -> Result<(), String> {
        self.now += TICK_MS;
        if self.core.is_none() && self.now >= self.up_at {
            self.start()?;
        }
        if let Some(core) = &mut self.core {
            core.tick(self.now);
        }
        while let Some(Reverse((at, number))) = self.due.peek().copied()
            && at <= self.now
        {
            self.due.pop();
            let again_in = self.act(number)?;
            if !matches!(self.people[number].next, Action::Done) {
                self.due.push(Reverse((self.now + again_in, number)));
            }
        }
        if self.now >= self.change_at {
            self.change_at = self.now + self.random.below(60_000);
            self.outcome.changes += 1;
            self.change();
        }
        if self.now >= self.commit_at {
            self.log.commit();
            self.commit_at = self.now + if self.random.chance(5) { self.random.below(COMMIT_MS_MAX) } else { 0 };
            self.check()?;
        }
        Ok(())
    }

    /// Somebody does what is theirs to do now; gives when they do the next thing.
    fn act(&mut self, number: usize) -> Result<u64, String> {
        let latency = self.random.below(REQUEST_MS_MAX);
        if let Some(mut hear) = self.people[number].answer.take() {
            return match hear() {
                Err(TryRecvError::Empty) => {
                    self.people[number].answer = Some(hear);
                    Ok(TICK_MS)
                }
                // The server went away.
                Err(TryRecvError::Closed) => Ok(self.tries_again_in(number)),
                Ok(outcome) => self.answered(number, outcome).map(|after| after + latency),
            };
        }
        let Participant { next, ticket, .. } = self.people[number];
        match next {
            Action::Look => return self.look(number).map(|after| after + latency),
            Action::Done => return Ok(0),
            _ if self.core.is_none() => return Ok(self.tries_again_in(number)),
            _ => {}
        }
        let hear = match next {
            Action::Join => {
                let person = Person::Anonymous(Some(Fingerprint(number as u128 + 1)));
                self.ask(Join::of(person), |joined| joined.ticket)
            }
            Action::Claim => self.ask(Claim { ticket }, move |()| ticket),
            _ => self.ask(Finish { ticket }, move |()| ticket),
        };
        self.people[number].answer = Some(hear);
        Ok(TICK_MS)
    }

    fn answered(&mut self, number: usize, outcome: EntryReply) -> Result<u64, String> {
        let shut_out = self.standing(number) == Some(Standing::Blocked);
        let somebody = &mut self.people[number];
        match (somebody.next, outcome) {
            (Action::Join, Ok(ticket)) => {
                somebody.ticket = ticket;
                somebody.next = Action::Look;
                self.look(number)
            }
            (Action::Claim, Ok(_)) => {
                (somebody.claimed, somebody.next) = (true, Action::Finish);
                self.outcome.came += 1;
                Ok(self.random.below(4_000))
            }
            (Action::Finish, _) => {
                somebody.next = Action::Done;
                Ok(0)
            }
            // The organizer was faster.
            (Action::Claim, Err(_)) if shut_out => {
                somebody.next = Action::Look;
                Ok(0)
            }
            (Action::Claim, Err(_)) => {
                somebody.next = Action::Look;
                self.look(number).map(|_| 0)
            }
            (_, outcome) => Err(format!("{number} is answered {outcome:?}")),
        }
    }

    fn standing(&self, number: usize) -> Option<Standing> {
        let ticket = self.people[number].ticket;
        self.view()?.look(|live| live.line.standing(ticket))
    }

    fn tries_again_in(&mut self, number: usize) -> u64 {
        let retry_ms = &self.people[number].retry_ms;
        retry_ms.start() + self.random.below(retry_ms.end() - retry_ms.start())
    }

    /// They ask, or look at what their stream tells.
    fn look(&mut self, number: usize) -> Result<u64, String> {
        let Some(view) = self.view() else { return Ok(self.tries_again_in(number)) };
        let &Participant { habit, ticket, .. } = &self.people[number];
        let Some(seen) = view.see(ticket, self.now, habit == Habit::Asks) else {
            return Err(format!("{number} has ticket {ticket}, which nobody knows"));
        };
        self.outcome.polls += 1;
        self.people[number].retry_ms = seen.retry_after_ms.clone();
        match seen.standing {
            Standing::Admitted if seen.session.is_some_and(|session| self.now < session.until_ms) => {
                self.people[number].next = Action::Claim;
                return Ok(0);
            }
            Standing::Active => self.people[number].next = Action::Finish,
            Standing::Admitted | Standing::Expired | Standing::GivenUp if !self.people[number].claimed => {
                let what = format!("{number} with ticket {ticket} is {:?}: they missed their turn", seen.standing);
                self.missed.get_or_insert((self.now - START_MS, what));
                self.outcome.missed += 1;
                self.people[number].next = Action::Done;
                return Ok(0);
            }
            standing if standing.is_over() => self.people[number].next = Action::Done,
            _ => {}
        }
        if habit == Habit::Listens {
            view.hear(ticket, NEXT_SIGN_MS, self.now);
            // Now and then one is lost, and they ask.
            if self.random.chance(1) {
                self.people[number].habit = Habit::Asks;
                return Ok(self.random.below(NEXT_SIGN_MS));
            }
            return Ok(BEAT_MS - REQUEST_MS_MAX);
        }
        Ok(seen.poll_after_ms)
    }

    /// The organizer does something, or the server stops.
    fn change(&mut self) {
        let (organizer, random) = (organizer::ID, &mut self.random);
        let view = self.shared.views.queues().get(self.queue);
        let (opened, joined) =
            view.as_ref().map_or((false, 0), |view| view.look(|live| (live.line.is_opened(), live.line.joined())));
        let somebody = 1 + random.below(u64::from(joined).max(1)) as u32;
        match random.below(20) {
            0 | 1 if self.core.is_some() => {
                self.core = None;
                self.log.crash();
                let down_ms_max = if random.chance(50) { DOWN_MS_MAX } else { 1_000 };
                self.up_at = self.now + random.below(down_ms_max);
                self.outcome.restarts += 1;
            }
            2 => self.send(SetState { organizer, state: State::Paused }),
            3..=5 => self.send(SetState { organizer, state: State::Open }),
            6..=8 => {
                let Some(presence) = view else { return };
                let count = 1 + random.below(3_000) as u32;
                self.send(Admit { organizer, count, repeat: None, presence });
            }
            9..=11 => {
                let Some(presence) = view else { return };
                let reason = "obedient".into();
                self.send(AdmitNamed { organizer, tickets: vec![somebody], reason, presence });
            }
            12 => self.send(Block { organizer, ticket: somebody, reason: "obedient".into() }),
            13 => self.send(Restore { organizer, ticket: somebody }),
            _ => {
                let change = Change {
                    organizer,
                    expected: Expected::Any,
                    name: None,
                    redirect_urls: None,
                    policy: random.chance(70).then(|| policy(random)),
                    opens_at_ms: (!opened && random.chance(50)).then(|| self.now + random.below(400_000)),
                    claim_ttl_s: random.chance(30).then(|| 1 + random.below(60) as u32),
                    session_ttl_s: None,
                    idle_ttl_s: None,
                    absent_after_s: random.chance(30).then(|| random.chance(70).then(|| 1 + random.below(30) as u32)),
                    purchase_completes: None,
                    join: None,
                };
                self.send(change);
            }
        }
    }

    /// Whether the log holds, by the checker of `onsale verify`.
    fn check(&mut self) -> Result<(), String> {
        let (books, mut violation) = (&mut self.books, None);
        let read = self.log.read_from(self.checked, &mut |event| {
            violation = books.apply(event).err();
            violation.is_none()
        });
        self.checked = read.map_err(|error| error.to_string())?;
        violation.map_or(Ok(()), |violation| Err(violation.to_string()))
    }
}

/// From a handful in a minute to thousands in a second.
fn policy(random: &mut Random) -> Policy {
    let manual = random.chance(25);
    let count = [1, 20, 300, 2_000][random.below(4) as usize] + random.below(20) as u32;
    let rate = (!manual && random.chance(70)).then(|| Rate { count, interval_s: 1 + random.below(10) as u32 });
    let max_active = (!manual && rate.is_none() || random.chance(40)).then(|| 1 + random.below(3_000) as u32);
    Policy { rate, max_active, manual }
}
