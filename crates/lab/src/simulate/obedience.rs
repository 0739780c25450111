//! Queues whose people do what they are told: each asks when the last answer said, or listens, and comes as soon as told that
//! it is their turn. Meanwhile the organizer changes whatever can be changed, the log is slow and the server restarts. Nobody
//! may miss their turn.

use super::organizer;
use super::random::Random;
use base::id::{Ids, Millis, QueueId};
use domain::queue::draw::Seed;
use domain::queue::event::Terms;
use domain::queue::order::Standing;
use domain::queue::policy::{Policy, Rate};
use domain::queue::{Answer, Change, Command, Person, Rejection, State};
use domain::{Expected, Fingerprint};
use engine::aggregate_store::States;
use engine::shard_core::{Keeper, Shared};
use engine::views::Views;
use engine::views::queues::QueueView;
use engine::{Done, Failure};
use eventlog::memory::MemoryLog;
use eventlog::{Log, Position};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::oneshot;
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
/// Who gets no answer asks again within so long, ms.
const RETRY_MS_MAX: u64 = 5_000;
/// An open stream is a sign of life so often, and the next one is promised within so long, ms.
const BEAT_MS: u64 = 1_000;
const NEXT_SIGN_MS: u64 = 5_000;

/// What the queue tells somebody.
type Told = Result<Done<Answer>, Failure<Rejection>>;

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub people: u64,
    pub polls: u64,
    /// Those who came when it was their turn.
    pub came: u64,
    pub changes: u64,
    pub restarts: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Habit {
    Asks,
    Listens,
}

/// What somebody does when their time has come.
enum Deed {
    Join,
    Look,
    Claim,
    Finish,
    Done,
}

struct Somebody {
    habit: Habit,
    next: Deed,
    ticket: u32,
    claimed: bool,
    answer: Option<oneshot::Receiver<Told>>,
}

struct World {
    random: Random,
    now: Millis,
    log: Arc<MemoryLog>,
    shared: Shared,
    keeper: Option<Keeper>,
    queue: QueueId,
    people: Vec<Somebody>,
    due: BinaryHeap<Reverse<(Millis, usize)>>,
    commit_at: Millis,
    change_at: Millis,
    up_at: Millis,
    books: Books,
    checked: Position,
    outcome: Outcome,
}

struct Counted(AtomicU64);

impl Ids for Counted {
    fn next(&self) -> u128 {
        u128::from(self.0.fetch_add(1, Ordering::Relaxed)) << 64 | 7
    }
}

/// Runs one seed with so many people. The error says who missed their turn.
pub fn run(seed: u64, people: usize) -> Result<Outcome, String> {
    let mut world = World::new(seed, people)?;
    while world.now < START_MS + LASTS_MS && !world.people.iter().all(|it| matches!(it.next, Deed::Done)) {
        world.step().map_err(|what| format!("seed {seed}, {} ms: {what}", world.now - START_MS))?;
    }
    Ok(world.outcome)
}

impl World {
    fn new(seed: u64, people: usize) -> Result<World, String> {
        let mut random = Random::new(seed);
        let log = Arc::new(MemoryLog::new());
        let seeds = Arc::new(|id: QueueId| Seed(*blake3::hash(id.0.as_bytes()).as_bytes()));
        let ids = Arc::new(Counted(AtomicU64::new(1)));
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
        };
        let commitment = shared.seeds.seed(queue).commitment();
        let somebody = |_| Somebody {
            habit: if random.chance(20) { Habit::Listens } else { Habit::Asks },
            next: Deed::Join,
            ticket: 0,
            claimed: false,
            answer: None,
        };
        let people: Vec<Somebody> = (0..people).map(somebody).collect();
        let comes = |number| Reverse((START_MS + 1_000 + random.below(240_000), number));
        let due = (0..people.len()).map(comes).collect();
        let mut world = World {
            random,
            now: START_MS,
            log,
            keeper: None,
            shared,
            queue,
            due,
            commit_at: 0,
            change_at: START_MS + 60_000,
            up_at: 0,
            books: Books::new(),
            checked: Position(0),
            outcome: Outcome { people: people.len() as u64, ..Outcome::default() },
            people,
        };
        world.start()?;
        let content = Fingerprint(1);
        let create = Command::Create { organizer: organizer::ID, terms: Box::new(terms), commitment, content };
        drop(world.send(create));
        world.log.commit();
        Ok(world)
    }

    fn start(&mut self) -> Result<(), String> {
        self.shared.views = Arc::default();
        let mut states = States::default();
        let mut failed = None;
        let read = self.log.read_from(Position(0), &mut |event| {
            failed = states.apply(&event).err();
            failed.is_none()
        });
        read.map_err(|error| error.to_string())?;
        if let Some(error) = failed {
            return Err(error.to_string());
        }
        self.keeper = Some(Keeper::new(0, 1, self.shared.clone(), states, self.now));
        Ok(())
    }

    fn send(&mut self, command: Command) -> oneshot::Receiver<Told> {
        let (reply, answer) = oneshot::channel();
        if let Some(keeper) = &mut self.keeper {
            keeper.accept(self.queue, command, reply, self.now);
        }
        answer
    }

    fn view(&self) -> Option<Arc<QueueView>> {
        self.keeper.as_ref()?;
        self.shared.views.queues().get(self.queue)
    }

    fn step(&mut self) -> Result<(), String> {
        self.now += TICK_MS;
        if self.keeper.is_none() && self.now >= self.up_at {
            self.start()?;
        }
        if let Some(keeper) = &mut self.keeper {
            keeper.tick(self.now);
        }
        while let Some(Reverse((at, number))) = self.due.peek().copied()
            && at <= self.now
        {
            self.due.pop();
            let again_in = self.act(number)?;
            if !matches!(self.people[number].next, Deed::Done) {
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
        if let Some(mut answer) = self.people[number].answer.take() {
            return match answer.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => {
                    self.people[number].answer = Some(answer);
                    Ok(TICK_MS)
                }
                // The server went away.
                Err(oneshot::error::TryRecvError::Closed) => Ok(self.random.below(RETRY_MS_MAX)),
                Ok(outcome) => self.answered(number, outcome).map(|after| after + latency),
            };
        }
        let command = match self.people[number].next {
            Deed::Look => return self.look(number).map(|after| after + latency),
            Deed::Done => return Ok(0),
            Deed::Join => Command::Join(Person::Anonymous(Some(Fingerprint(number as u128 + 1)))),
            Deed::Claim => Command::Claim { ticket: self.people[number].ticket },
            Deed::Finish => Command::Finish { ticket: self.people[number].ticket },
        };
        if self.keeper.is_none() {
            return Ok(self.random.below(RETRY_MS_MAX));
        }
        self.people[number].answer = Some(self.send(command));
        Ok(TICK_MS)
    }

    fn answered(&mut self, number: usize, outcome: Told) -> Result<u64, String> {
        let shut_out = self.standing(number) == Some(Standing::Blocked);
        let somebody = &mut self.people[number];
        match (&somebody.next, outcome) {
            (Deed::Join, Ok(done)) => {
                let Answer::Ticket { ticket, .. } = done.answer else {
                    return Err("no ticket".into());
                };
                somebody.ticket = ticket;
                somebody.next = Deed::Look;
                self.look(number)
            }
            (Deed::Claim, Ok(_)) => {
                (somebody.claimed, somebody.next) = (true, Deed::Finish);
                self.outcome.came += 1;
                Ok(self.random.below(4_000))
            }
            (Deed::Finish, _) => {
                somebody.next = Deed::Done;
                Ok(0)
            }
            // The organizer was faster.
            (Deed::Claim, Err(_)) if shut_out => {
                somebody.next = Deed::Look;
                Ok(0)
            }
            (Deed::Claim, Err(_)) => {
                somebody.next = Deed::Look;
                self.look(number).map(|_| 0)
            }
            (_, outcome) => Err(format!("{number} is answered {outcome:?}")),
        }
    }

    fn standing(&self, number: usize) -> Option<Standing> {
        let ticket = self.people[number].ticket;
        self.view()?.look(|live| live.line.standing(ticket))
    }

    /// They ask, or look at what their stream tells.
    fn look(&mut self, number: usize) -> Result<u64, String> {
        let Some(view) = self.view() else { return Ok(self.random.below(RETRY_MS_MAX)) };
        let Somebody { habit, ticket, .. } = self.people[number];
        let Some(seen) = view.see(ticket, self.now, habit == Habit::Asks) else {
            return Err(format!("{number} has ticket {ticket}, which nobody knows"));
        };
        self.outcome.polls += 1;
        match seen.standing {
            Standing::Admitted if seen.session.is_some_and(|session| self.now < session.until_ms) => {
                self.people[number].next = Deed::Claim;
                return Ok(0);
            }
            Standing::Active => self.people[number].next = Deed::Finish,
            Standing::Admitted | Standing::Expired | Standing::GivenUp if !self.people[number].claimed => {
                return Err(format!("{number} with ticket {ticket} is {:?}: they missed their turn", seen.standing));
            }
            standing if standing.is_over() => self.people[number].next = Deed::Done,
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
        let command = match random.below(20) {
            0 | 1 if self.keeper.is_some() => {
                self.keeper = None;
                self.log.crash();
                let down_ms_max = if random.chance(50) { DOWN_MS_MAX } else { 1_000 };
                self.up_at = self.now + random.below(down_ms_max);
                self.outcome.restarts += 1;
                return;
            }
            2 => Command::SetState { organizer, state: State::Paused },
            3..=5 => Command::SetState { organizer, state: State::Open },
            6..=8 => {
                let Some(presence) = view else { return };
                Command::Admit { organizer, count: 1 + random.below(3_000) as u32, repeat: None, presence }
            }
            9..=11 => {
                let Some(presence) = view else { return };
                let reason = "obedient".into();
                Command::AdmitNamed { organizer, tickets: vec![somebody], reason, presence }
            }
            12 => Command::Block { organizer, ticket: somebody, reason: "obedient".into() },
            13 => Command::Restore { organizer, ticket: somebody },
            _ => Command::Change(Box::new(Change {
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
            })),
        };
        drop(self.send(command));
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
