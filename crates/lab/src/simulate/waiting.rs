//! The simulated queues: people who join, come and go, claim and complete; an organizer who changes, pauses and lets in.

use super::organizer;
use super::random::Random;
use super::request::Request;
use base::id::{Millis, QueueId, UserId};
use domain::queue::draw::Seeds;
use domain::queue::event::JoinPolicy;
use domain::queue::policy::{Policy, Rate};
use domain::queue::{
    Admit, AdmitNamed, AllPresent, Block, Change, Claim, Create, Describe, Find, Finish, FinishUser, Join, Joined,
    Leave, Person, Presence, Restore, SetState, State, Terms,
};
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
                join: JoinPolicy::Anyone,
            };
            let (commitment, content) = (seeds.seed(self.queues[index]).commitment(), Fingerprint(index as u128));
            Request::CreateQueue(self.queues[index], Create { organizer: organizer::ID, terms, commitment, content })
        };
        policies.into_iter().enumerate().map(create).collect()
    }

    /// What somebody does next.
    pub fn next(&mut self, random: &mut Random, views: &Views) -> Request {
        let index = random.below(QUEUES as u64) as usize;
        let person = random.below(PEOPLE as u64) as usize;
        let queue = self.queues[index];
        match random.below(100) {
            0..=34 => Request::Join(queue, Join::of(self.people[person].clone())),
            35..=74 => self.of_somebody(index, random, views),
            75..=76 => match &self.people[person] {
                Person::User(user) => Request::FinishUser(queue, FinishUser { user: *user }),
                _ => Request::DescribeQueue(queue, Describe),
            },
            77..=87 => self.admit(queue, random, views),
            _ => run(queue, random),
        }
    }

    fn of_somebody(&self, index: usize, random: &mut Random, views: &Views) -> Request {
        let known: Vec<u32> = self.tickets.iter().filter(|((of, _), _)| *of == index).map(|(_, it)| *it).collect();
        // Now and then nobody's.
        let ticket = random.pick(&known).copied().filter(|_| !random.chance(3)).unwrap_or(random.below(50) as u32);
        let (organizer, reason, queue) = (organizer::ID, "simulated".to_owned(), self.queues[index]);
        match random.below(20) {
            0..=2 => Request::Leave(queue, Leave { ticket }),
            3..=9 => Request::Claim(queue, Claim { ticket }),
            10..=14 => Request::Finish(queue, Finish { ticket }),
            15..=16 => Request::BlockEntry(queue, Block { organizer, ticket, reason }),
            17..=18 => Request::RestoreEntry(queue, Restore { organizer, ticket }),
            _ => {
                let presence = presence(views, queue);
                Request::AdmitNamed(queue, AdmitNamed { organizer, tickets: vec![ticket], reason, presence })
            }
        }
    }

    fn admit(&mut self, queue: QueueId, random: &mut Random, views: &Views) -> Request {
        if !random.chance(20) {
            self.keys += 1;
        }
        let presence = presence(views, queue);
        let repeat = random.chance(70).then_some(Fingerprint(self.keys));
        let count = 1 + random.below(3) as u32;
        Request::Admit(queue, Admit { organizer: organizer::ID, count, repeat, presence })
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

    /// Somebody was told their ticket; an error when that breaks an earlier promise.
    pub fn joined(&mut self, queue: QueueId, person: &Person, joined: &Joined) -> Result<(), String> {
        let Joined { ticket, repeated } = *joined;
        let number = self.people.iter().position(|known| known == person).expect("one of them");
        let index = self.queues.iter().position(|known| *known == queue).expect("one of them");
        let before = self.tickets.insert((index, number), ticket).unwrap_or(0);
        if ticket < before || (ticket == before && !repeated) {
            return Err(format!("{person:?} had ticket {before} and was then given {ticket}"));
        }
        let others = self.tickets.iter().any(|((of, who), it)| *of == index && *who != number && *it == ticket);
        if others { Err(format!("ticket {ticket} of {queue} was given to two people")) } else { Ok(()) }
    }

    /// The organizer was told how many came in by a call with a key; an error when it was another number before.
    pub fn let_in(&mut self, queue: QueueId, repeat: Fingerprint, admitted: u32) -> Result<(), String> {
        if admitted == 0 {
            return Ok(());
        }
        match self.calls.insert((queue, repeat), admitted) {
            Some(before) if before != admitted => Err(format!("one key let {before} in, and then {admitted} more")),
            _ => Ok(()),
        }
    }

    /// Asked at the end, all of these must be answered: the entries that somebody was told of.
    pub fn promises(&self) -> Vec<(QueueId, Find)> {
        let find = |((queue, person), ticket): (&(usize, usize), &u32)| {
            (self.queues[*queue], Find { person: self.people[*person].clone(), ticket: *ticket })
        };
        self.tickets.iter().map(find).collect()
    }
}

/// Who is there, as those who answer know it.
fn presence(views: &Views, queue: QueueId) -> Arc<dyn Presence> {
    views.queues().get(queue).map_or_else(|| Arc::new(AllPresent) as _, |view| view as _)
}

/// What the organizer does to how a queue is run.
fn run(queue: QueueId, random: &mut Random) -> Request {
    let organizer = organizer::ID;
    let set = |state| Request::SetQueueState(queue, SetState { organizer, state });
    match random.below(20) {
        0..=5 => set(State::Open),
        6..=7 => set(State::Paused),
        // Seldom: nobody comes in any more.
        8 if random.chance(10) => set(State::Closed),
        _ => {
            let change = Change {
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
                join: None,
            };
            Request::ChangeQueue(queue, change)
        }
    }
}

fn policy(random: &mut Random) -> Policy {
    let manual = random.chance(20);
    let rate = (!manual && random.chance(60))
        .then(|| Rate { count: 1 + random.below(5) as u32, interval_s: 1 + random.below(20) as u32 });
    let max_active = (!manual && rate.is_none() || random.chance(50)).then(|| 1 + random.below(5) as u32);
    Policy { rate, max_active, manual }
}
