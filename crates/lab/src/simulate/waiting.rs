//! The simulated queues: people who join, come and go, claim and complete; an organizer who changes, pauses and lets in.

use super::organizer;
use super::random::Random;
use super::request::Request;
use base::id::{Millis, QueueId, UserId};
use domain::queue::draw::Seeds;
use domain::queue::policy::{Policy, Rate};
use domain::queue::{AllPresent, Answer, Change, Command, Person, Presence, State, Terms};
use domain::{Expected, Fingerprint};
use engine::views::Views;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::sync::Arc;

const QUEUES: usize = 3;
const PEOPLE: usize = 12;
/// One of the queues opens so much later.
const OPENS_IN_MS: Millis = 20_000;

/// Everybody who waits somewhere, and what they were promised.
pub struct Waiting {
    queues: Vec<QueueId>,
    people: Vec<Person>,
    /// Who is there; the others give no sign of life.
    here: Vec<bool>,
    /// The last ticket that somebody was told, by queue and person.
    tickets: BTreeMap<(usize, usize), u32>,
    /// How many an organizer's call let in, by queue and key.
    calls: FxHashMap<(QueueId, Fingerprint), u32>,
    keys: u128,
    /// The latest time there was: the machine's clock, within one run of a server, never goes back.
    latest: Millis,
}

impl Waiting {
    pub fn new(random: &mut Random) -> Waiting {
        let person = |number: usize| match number % 3 {
            0 => Person::User(UserId(uuid::Uuid::from_u128((number as u128) << 70 | 0x0e11))),
            1 => Person::Visitor(format!("visitor-{number}")),
            _ => Person::Anonymous(Some(Fingerprint(number as u128))),
        };
        Waiting {
            queues: (0..QUEUES).map(|_| QueueId::from_random(random.bits())).collect(),
            people: (0..PEOPLE).map(person).collect(),
            here: vec![true; PEOPLE],
            tickets: BTreeMap::new(),
            calls: FxHashMap::default(),
            keys: 0,
            latest: 0,
        }
    }

    /// Makes the queues: one that opens later, one that lets in by the policy, one that lets in by hand.
    pub fn opening(&self, seeds: &dyn Seeds, now: Millis) -> Vec<Request> {
        let policies = [
            Policy { rate: None, max_active: Some(3), manual: false },
            Policy { rate: Some(Rate { count: 2, interval_s: 5 }), max_active: None, manual: false },
            Policy { rate: None, max_active: Some(4), manual: true },
        ];
        let create = |(index, policy): (usize, Policy)| {
            let terms = Terms {
                name: "simulated".into(),
                redirect_urls: vec![],
                policy,
                opens_at_ms: if index == 0 { now + OPENS_IN_MS } else { now },
                claim_ttl_s: 60,
                session_ttl_s: 300,
                idle_ttl_s: (index == 1).then_some(30),
                absent_after_s: (index > 0).then_some(90),
                purchase_completes: true,
            };
            let (commitment, content) = (seeds.seed(self.queues[index]).commitment(), Fingerprint(index as u128));
            let create = Command::Create { organizer: organizer::ID, terms: Box::new(terms), commitment, content };
            Request::Queue(self.queues[index], create)
        };
        policies.into_iter().enumerate().map(create).collect()
    }

    /// What somebody does next.
    pub fn next(&mut self, random: &mut Random, views: &Views) -> Request {
        let queue = random.below(QUEUES as u64) as usize;
        let person = random.below(PEOPLE as u64) as usize;
        let command = match random.below(100) {
            0..=34 => Command::Join(self.people[person].clone()),
            35..=74 => self.of_somebody(queue, random, views),
            75..=76 => match &self.people[person] {
                Person::User(user) => Command::FinishUser { user: *user },
                _ => Command::Describe,
            },
            77..=87 => self.admit(queue, random, views),
            _ => run(random),
        };
        Request::Queue(self.queues[queue], command)
    }

    fn of_somebody(&self, queue: usize, random: &mut Random, views: &Views) -> Command {
        let known: Vec<u32> = self.tickets.iter().filter(|((of, _), _)| *of == queue).map(|(_, it)| *it).collect();
        // Now and then nobody's.
        let ticket = random.pick(&known).copied().filter(|_| !random.chance(3)).unwrap_or(random.below(50) as u32);
        let (organizer, reason) = (organizer::ID, "simulated".to_owned());
        match random.below(20) {
            0..=2 => Command::Leave { ticket },
            3..=9 => Command::Claim { ticket },
            10..=14 => Command::Finish { ticket },
            15..=16 => Command::Block { organizer, ticket, reason },
            17..=18 => Command::Restore { organizer, ticket },
            _ => {
                let presence = presence(views, self.queues[queue]);
                Command::AdmitNamed { organizer, tickets: vec![ticket], reason, presence }
            }
        }
    }

    fn admit(&mut self, queue: usize, random: &mut Random, views: &Views) -> Command {
        if !random.chance(20) {
            self.keys += 1;
        }
        let presence = presence(views, self.queues[queue]);
        let repeat = random.chance(70).then_some(Fingerprint(self.keys));
        Command::Admit { organizer: organizer::ID, count: 1 + random.below(3) as u32, repeat, presence }
    }

    /// Time has passed: some come and some go, and whoever is there looks where they are.
    pub fn look(&mut self, random: &mut Random, views: &Views, now: Millis) {
        self.latest = self.latest.max(now);
        for here in &mut self.here {
            *here ^= random.chance(10);
        }
        for ((queue, person), ticket) in &self.tickets {
            if self.here[*person]
                && let Some(view) = views.queues().get(self.queues[*queue])
            {
                view.see(*ticket, self.latest, true);
            }
        }
    }

    /// Takes an acknowledged answer; an error when it breaks an earlier promise.
    pub fn acknowledged(&mut self, queue: QueueId, command: &Command, answer: &Answer) -> Result<(), String> {
        match (command, answer) {
            (Command::Join(person), Answer::Ticket { ticket, repeated }) => {
                let number = self.people.iter().position(|known| known == person).expect("one of them");
                let index = self.queues.iter().position(|known| *known == queue).expect("one of them");
                let before = self.tickets.insert((index, number), *ticket).unwrap_or(0);
                if *ticket < before || (*ticket == before && !*repeated) {
                    return Err(format!("{person:?} had ticket {before} and was then given {ticket}"));
                }
                let others = self.tickets.iter().any(|((of, who), it)| *of == index && *who != number && it == ticket);
                if others { Err(format!("ticket {ticket} of {queue} was given to two people")) } else { Ok(()) }
            }
            (Command::Admit { repeat: Some(repeat), .. }, Answer::Admitted { admitted, .. }) if *admitted > 0 => {
                match self.calls.insert((queue, *repeat), *admitted) {
                    Some(before) if before != *admitted => {
                        Err(format!("one key let {before} in, and then {admitted} more"))
                    }
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// Asked at the end, all of these must be answered: the entries that somebody was told of.
    pub fn promises(&self) -> Vec<(QueueId, Command)> {
        let find = |((queue, person), ticket): (&(usize, usize), &u32)| {
            let find = Command::Find { person: self.people[*person].clone(), ticket: *ticket };
            (self.queues[*queue], find)
        };
        self.tickets.iter().map(find).collect()
    }
}

/// Who is there, as those who answer know it.
fn presence(views: &Views, queue: QueueId) -> Arc<dyn Presence> {
    views.queues().get(queue).map_or_else(|| Arc::new(AllPresent) as _, |view| view as _)
}

/// What the organizer does to how a queue is run.
fn run(random: &mut Random) -> Command {
    let organizer = organizer::ID;
    match random.below(20) {
        0..=5 => Command::SetState { organizer, state: State::Open },
        6..=7 => Command::SetState { organizer, state: State::Paused },
        // Seldom: nobody comes in any more.
        8 if random.chance(10) => Command::SetState { organizer, state: State::Closed },
        _ => Command::Change(Box::new(Change {
            organizer,
            expected: Expected::Any,
            name: None,
            redirect_urls: None,
            policy: random.chance(70).then(|| policy(random)),
            opens_at_ms: None,
            claim_ttl_s: random.chance(30).then(|| 10 + random.below(100) as u32),
            session_ttl_s: random.chance(30).then(|| 10 + random.below(400) as u32),
            idle_ttl_s: random.chance(30).then(|| random.chance(70).then(|| 10 + random.below(60) as u32)),
            absent_after_s: random.chance(30).then(|| random.chance(70).then(|| 1 + random.below(100) as u32)),
            purchase_completes: None,
        })),
    }
}

fn policy(random: &mut Random) -> Policy {
    let manual = random.chance(20);
    let rate = (!manual && random.chance(60))
        .then(|| Rate { count: 1 + random.below(5) as u32, interval_s: 1 + random.below(20) as u32 });
    let max_active = (!manual && rate.is_none() || random.chance(50)).then(|| 1 + random.below(5) as u32);
    Policy { rate, max_active, manual }
}
