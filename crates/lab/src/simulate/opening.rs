//! A queue's opening as a million people make it who ask when they are told to: how many ask in each second. What they are
//! told comes from the view that answers polls in a server; what happens to the queue is given as events.

use super::organizer;
use super::random::Random;
use base::id::{EntryId, Millis, QueueId};
use domain::Fingerprint;
use domain::queue::draw::Seed;
use domain::queue::event::*;
use domain::queue::order::{Drawn, Standing};
use domain::queue::policy::{Policy, Rate};
use domain::queue::{JoinPolicy, State};
use engine::views::queues::{QueueView, Queues};
use std::collections::BTreeSet;
use std::sync::Arc;

const START_MS: Millis = 1_800_000_000_000;
/// Everybody comes within so long before the queue opens, ms.
const GATHER_MS: Millis = 600_000;
const OPENS_AT_MS: Millis = START_MS + GATHER_MS;
const TICK_MS: Millis = 100;
/// Seconds from which on it counts: those before have only people who join.
const COUNTED_FROM_S: u64 = GATHER_MS / 1_000 - 120;
/// A draw takes about so long, people for each ms.
const DRAWN_PER_MS: u64 = 1_000;

/// What is played.
#[derive(Clone)]
pub struct Plan {
    pub people: u32,
    /// Of them so many have a stream instead of asking: the first ones.
    pub listeners: u32,
    pub polls_per_s_max: u32,
    /// People let in per second; `None` where that is done by hand.
    pub rate: Option<u32>,
    /// What happens so many ms after the queue opens; negative: before. In order.
    pub changes: Vec<(i64, Change)>,
    /// How long it goes on after the queue opens, s.
    pub lasts_s: u64,
}

#[derive(Clone, Copy)]
pub enum Change {
    Pause,
    Resume,
    /// People let in per second, from now on.
    Rate(u32),
    /// The server is away for so long, ms.
    Stop(Millis),
    /// Every stream breaks off.
    Break,
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// Polls that the server got, of all.
    pub polls: u64,
    /// And in the worst second from 120 s before the opening on; and which that was, s after the opening.
    pub polls_max: u64,
    pub worst_s: i64,
    /// When everybody had been told their place, ms after the opening.
    pub known_after_ms: u64,
    /// Those who never were.
    pub unknown: u64,
}

struct World {
    plan: Plan,
    random: Random,
    now: Millis,
    queues: Queues,
    view: Arc<QueueView>,
    version: u64,
    joined: u32,
    drawn: Option<Drawn>,
    admitted: Vec<u32>,
    state: State,
    /// People who may be let in by now and were not, in thousandths.
    owed: u64,
    up_at: Millis,
    /// Who asks in which tick.
    due: Vec<Vec<u32>>,
    /// What each was told last of when to ask again should there be no answer, ms.
    retry_ms: Vec<u32>,
    knows: Vec<bool>,
    polls: Vec<u64>,
    outcome: Outcome,
}

/// Plays it.
pub fn play(plan: Plan) -> Outcome {
    let mut world = World::new(plan);
    let end = OPENS_AT_MS + world.plan.lasts_s * 1_000;
    while world.now < end {
        world.step();
        world.now += TICK_MS;
    }
    let counted = world.polls.iter().enumerate().skip(COUNTED_FROM_S as usize);
    let (second, most) = counted.max_by_key(|(_, polls)| **polls).unwrap_or((0, &0));
    let unknown = world.knows.iter().filter(|knows| !**knows).count() as u64;
    let worst_s = second as i64 - (GATHER_MS / 1_000) as i64;
    Outcome { polls: world.polls.iter().sum(), polls_max: *most, worst_s, unknown, ..world.outcome }
}

impl World {
    fn new(plan: Plan) -> World {
        let ticks = (GATHER_MS + plan.lasts_s * 1_000) / TICK_MS;
        let queues = Queues::default();
        queues.limit_polls(plan.polls_per_s_max);
        let mut world = World {
            random: Random::new(7),
            now: START_MS,
            view: queues.of_events(QueueId::from_random(1)),
            queues,
            version: 0,
            joined: 0,
            drawn: None,
            admitted: vec![],
            state: State::Open,
            owed: 0,
            up_at: START_MS,
            due: vec![vec![]; ticks as usize],
            retry_ms: vec![2_000; plan.people as usize],
            knows: vec![false; plan.people as usize],
            polls: vec![0; (ticks * TICK_MS / 1_000) as usize],
            outcome: Outcome::default(),
            plan,
        };
        world.create();
        world
    }

    fn step(&mut self) {
        let since_ms = self.now as i64 - OPENS_AT_MS as i64;
        while let Some((_, change)) = self.plan.changes.first().copied().filter(|(at, _)| *at <= since_ms) {
            self.plan.changes.remove(0);
            self.change(change);
        }
        let is_up = self.now >= self.up_at;
        if is_up {
            self.join();
            self.draw();
            self.admit();
        }
        let tick = ((self.now - START_MS) / TICK_MS) as usize;
        for ticket in std::mem::take(&mut self.due[tick]) {
            match is_up {
                true => self.ask(ticket),
                false => self.tries_again(ticket),
            }
        }
    }

    /// Somebody asks, and will ask again when they are told to.
    fn ask(&mut self, ticket: u32) {
        self.polls[((self.now - START_MS) / 1_000) as usize] += 1;
        let Some(seen) = self.view.see(ticket, self.now, true) else { return };
        let index = ticket as usize - 1;
        self.retry_ms[index] = *seen.retry_after_ms.start() as u32;
        if (seen.rank.is_some() || seen.standing == Standing::Admitted) && !self.knows[index] {
            self.knows[index] = true;
            self.outcome.known_after_ms = self.now - OPENS_AT_MS;
        }
        if seen.standing.waits() && ticket > self.plan.listeners {
            self.ask_in(ticket, seen.poll_after_ms);
        }
    }

    fn ask_in(&mut self, ticket: u32, ms: u64) {
        // Within the tick they come evenly; later ones are behind the end.
        let at = (self.now - START_MS + ms).div_ceil(TICK_MS) as usize;
        if let Some(due) = self.due.get_mut(at) {
            due.push(ticket);
        }
    }

    fn tries_again(&mut self, ticket: u32) {
        let least_ms = u64::from(self.retry_ms[ticket as usize - 1]);
        let after_ms = least_ms + self.random.below(least_ms);
        self.ask_in(ticket, after_ms);
    }

    fn change(&mut self, change: Change) {
        match change {
            Change::Pause => self.set_state(State::Paused),
            Change::Resume => self.set_state(State::Open),
            Change::Rate(rate) => {
                self.plan.rate = Some(rate);
                let changed = QueueChanged { terms: self.terms() };
                self.apply(vec![Event::QueueChanged(changed)]);
            }
            Change::Stop(down_ms) => {
                self.up_at = self.now + down_ms;
                self.restart();
                self.break_streams();
            }
            Change::Break => self.break_streams(),
        }
    }

    /// Whoever listens comes back as their stream told them to, when it began.
    fn break_streams(&mut self) {
        let retry_ms = self.view.look(|live| live.retry_after_ms());
        for ticket in 1..=self.plan.listeners.min(self.joined) {
            let after_ms = retry_ms.start() + self.random.below(retry_ms.end() - retry_ms.start());
            self.ask_in(ticket, after_ms);
        }
    }

    fn set_state(&mut self, state: State) {
        self.state = state;
        self.apply(vec![Event::QueueStateChanged(QueueStateChanged { state })]);
    }

    fn apply(&mut self, events: Vec<Event>) {
        self.version += events.len() as u64;
        self.view.apply(&events, self.version, self.now);
    }

    fn terms(&self) -> Terms {
        Terms {
            name: "The opening".into(),
            redirect_urls: vec![],
            policy: Policy {
                rate: self.plan.rate.map(|count| Rate { count, interval_s: 1 }),
                max_active: None,
                manual: self.plan.rate.is_none(),
            },
            opens_at_ms: OPENS_AT_MS,
            claim_ttl_s: 120,
            session_ttl_s: 900,
            idle_ttl_s: None,
            absent_after_s: None,
            purchase_completes: true,
            join: JoinPolicy::Anyone,
        }
    }

    fn create(&mut self) {
        let (terms, commitment, content) = (self.terms(), SEED.commitment(), Fingerprint(1));
        self.apply(vec![Event::QueueCreated(QueueCreated { organizer_id: organizer::ID, terms, commitment, content })]);
    }

    /// Those join whose time it is, and get their first answer, which is no poll.
    fn join(&mut self) {
        let so_far = (self.now + TICK_MS - START_MS).min(GATHER_MS);
        let until = (u64::from(self.plan.people) * so_far / GATHER_MS) as u32;
        let new = self.joined + 1..=until;
        if new.is_empty() {
            return;
        }
        self.apply(new.clone().map(joins).collect());
        self.joined = until;
        for ticket in new {
            let Some(seen) = self.view.see(ticket, self.now, true) else { continue };
            self.retry_ms[ticket as usize - 1] = *seen.retry_after_ms.start() as u32;
            if ticket > self.plan.listeners {
                self.ask_in(ticket, seen.poll_after_ms);
            } else {
                // Their stream tells them.
                self.knows[ticket as usize - 1] = true;
            }
        }
    }

    fn draw(&mut self) {
        let takes_ms = u64::from(self.joined) / DRAWN_PER_MS;
        if self.drawn.is_some() || self.now < OPENS_AT_MS.max(self.up_at) + takes_ms {
            return;
        }
        let drawn = self.view.look(|live| live.line.seal()).draw(SEED);
        self.drawn = Some(drawn.clone());
        self.apply(vec![was_drawn(drawn, self.joined)]);
    }

    fn admit(&mut self) {
        let (Some(rate), State::Open, true) = (self.plan.rate, self.state, self.drawn.is_some()) else { return };
        self.owed += u64::from(rate) * TICK_MS;
        let count = (self.owed / 1_000) as usize;
        self.owed %= 1_000;
        let nobody = BTreeSet::new();
        let tickets: Vec<u32> = self.view.look(|live| live.line.upcoming(&nobody).take(count).collect());
        if !tickets.is_empty() {
            self.apply(vec![admitted(&tickets)]);
            self.admitted.extend(tickets);
        }
    }

    /// What a server knows that has read its log: what happened, and not what was told or measured.
    fn restart(&mut self) {
        let queues = Queues::default();
        queues.limit_polls(self.plan.polls_per_s_max);
        self.view = queues.of_events(self.view.id);
        self.queues = queues;
        self.version = 0;
        self.create();
        self.apply((1..=self.joined).map(joins).collect());
        if let Some(drawn) = self.drawn.clone() {
            self.apply(vec![was_drawn(drawn, self.joined)]);
        }
        for tickets in std::mem::take(&mut self.admitted).chunks(1_000) {
            self.apply(vec![admitted(tickets)]);
            self.admitted.extend(tickets);
        }
        // Which also has what was measured forgotten.
        self.set_state(self.state);
    }
}

const SEED: Seed = Seed([7; 32]);

fn joins(ticket: u32) -> Event {
    let entry_id = EntryId(uuid::Uuid::nil());
    let (user_id, visitor, repeat, token) = (None, None, None, None);
    Event::EntryJoined(EntryJoined { entry_id, ticket, user_id, visitor, repeat, token, waiting: ticket })
}

fn was_drawn(drawn: Drawn, joined: u32) -> Event {
    let (sealed, count) = drawn.sealed();
    let (seed, sealed) = (SEED.text(), sealed.to_owned());
    Event::QueueDrawn(QueueDrawn { seed, sealed, tickets: joined, drawn: count, ready: Some(drawn) })
}

fn admitted(tickets: &[u32]) -> Event {
    let entry_id = EntryId(uuid::Uuid::nil());
    let entry =
        |ticket: &u32| AdmittedEntry { entry_id, ticket: *ticket, subject: Default::default(), claim_until_ms: None };
    Event::EntriesAdmitted(EntriesAdmitted {
        entries: tickets.iter().map(entry).collect(),
        by: AdmittedBy::Policy,
        reason: None,
        repeat: None,
        claim_until_ms: Millis::MAX,
        machine_ms: None,
        admitted_before: 0,
        inside: 0,
        waiting: 0,
    })
}

/// Openings that are hard: how they are called, and what is played with so many people for each poll that is allowed in a
/// second.
pub fn plans(people: u32, polls_per_s_max: u32) -> Vec<(&'static str, Plan)> {
    use Change::{Break, Pause, Rate, Resume, Stop};
    let rate = (people / 2_000).max(1);
    let plain = Plan { people, listeners: 0, polls_per_s_max, rate: Some(rate), changes: vec![], lasts_s: 120 };
    let with = |changes: Vec<(i64, Change)>, lasts_s: u64| Plan { changes, lasts_s, ..plain.clone() };
    vec![
        ("the opening", plain.clone()),
        ("by hand, nobody let in", Plan { rate: None, ..plain.clone() }),
        ("a fast sale", Plan { rate: Some((people / 60).max(1)), ..plain.clone() }),
        ("paused and resumed", with(vec![(20_000, Pause), (70_000, Resume), (90_000, Rate(rate * 20))], 240)),
        ("paused over the opening", with(vec![(-30_000, Pause), (60_000, Resume)], 240)),
        ("stopped over the opening", with(vec![(-20_000, Stop(40_000))], 240)),
        ("stopped while they come", with(vec![(10_000, Stop(15_000))], 240)),
        ("stopped later", with(vec![(120_000, Stop(30_000))], 300)),
        (
            "streams break",
            Plan { listeners: people / 20, ..with(vec![(-10_000, Break), (30_000, Break), (100_000, Break)], 180) },
        ),
    ]
}
