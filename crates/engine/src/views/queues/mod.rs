//! Queues as anyone may look at them without asking an actor: who stands where, who is inside. Only durable facts; and who
//! is there, which is known here alone.

mod count;
pub mod eta_accuracy;
pub mod pace;
pub mod presence;
pub mod public_line;
pub mod queue_deltas;
pub mod rank_deltas;
pub mod statistics;

use base::id::{Millis, OrganizerId, QueueId, UserId};
use domain::queue::admitted::{Inside, Session};
use domain::queue::event::{self, Event};
use domain::queue::order::joins::Joins;
use domain::queue::order::{Counts, Line, Standing};
use domain::queue::{self, Facts, Queue, State};
use eta_accuracy::Told;
use pace::{Measured, PollLimit};
use presence::Heard;
use rank_deltas::Moves;
use rustc_hash::FxHashMap;
use statistics::Statistics;
use std::collections::BTreeSet;
use std::ops::{Bound, RangeInclusive};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use tokio::sync::Notify;
use uuid::Uuid;

/// Sessions that are looked at in one go for signs of life.
const LOOKED_AT_MAX: usize = 10_000;
/// People who came back and wait for the next tick.
const RETURNED_MAX: usize = 1_000;

/// All queues.
#[derive(Default)]
pub struct Queues(RwLock<Inner>, PollLimit);

#[derive(Default)]
struct Inner {
    queues: FxHashMap<QueueId, Arc<QueueView>>,
    by_organizer: BTreeSet<(OrganizerId, QueueId)>,
}

impl Queues {
    /// The queue, if there is one.
    pub fn get(&self, id: QueueId) -> Option<Arc<QueueView>> {
        self.read().queues.get(&id).cloned()
    }

    /// Up to `limit` of an organizer's queues after `after`, in the order of their ids.
    pub fn of(&self, organizer: OrganizerId, after: Option<QueueId>, limit: usize) -> Vec<QueueId> {
        let least = QueueId(Uuid::nil());
        let from = after.map_or(Bound::Included((organizer, least)), |after| Bound::Excluded((organizer, after)));
        let inner = self.read();
        let range = inner.by_organizer.range((from, Bound::Unbounded));
        range.take_while(|(of, _)| *of == organizer).take(limit).map(|(_, id)| *id).collect()
    }

    /// Of how many who ever joined: when whoever got no answer is back, at the latest, ms.
    pub(crate) fn retried_within_ms(&self, joined: u32) -> u64 {
        *pace::retry_ms(joined, self.1.get()).end()
    }

    /// From now on so many polls a second are enough for each queue.
    pub fn limit_polls(&self, polls_per_s_max: u32) {
        self.1.set(polls_per_s_max);
    }

    /// Every queue.
    pub fn all(&self) -> Vec<Arc<QueueView>> {
        self.read().queues.values().cloned().collect()
    }

    /// The queue, if it is this organizer's.
    pub fn own(&self, organizer: OrganizerId, id: QueueId) -> Option<Arc<QueueView>> {
        self.get(id).filter(|view| view.is_of(organizer))
    }

    /// The view that a queue's events are published to.
    pub fn of_events(&self, id: QueueId) -> Arc<QueueView> {
        if let Some(view) = self.get(id) {
            return view;
        }
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        inner.queues.entry(id).or_insert_with(|| Arc::new(QueueView::new(id, self.1.clone()))).clone()
    }

    /// Lists a queue; it has its first events.
    pub(crate) fn list(&self, organizer: OrganizerId, id: QueueId) {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        inner.by_organizer.insert((organizer, id));
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One queue.
pub struct QueueView {
    pub id: QueueId,
    live: RwLock<Live>,
    /// Signs of life of those who had been passed over, since the last tick.
    returned: Mutex<BTreeSet<u32>>,
    /// Rung when somebody whom others watch stands otherwise than before.
    changed: Notify,
    told: Told,
    statistics: Mutex<Option<Arc<Statistics>>>,
    /// Once it was drawn and somebody asked.
    marks: OnceLock<Arc<[u32]>>,
    /// The last ticket whose session was looked at for signs of life.
    looked_at: AtomicU32,
}

/// What is known of a queue at an instant.
#[derive(Default)]
pub struct Live {
    created: Option<Facts>,
    pub line: Line,
    pub inside: Inside,
    /// Of users who are inside.
    users: FxHashMap<Uuid, u32>,
    pub measured: Measured,
    /// How fast people gather.
    arrivals: Measured,
    pub heard: Heard,
    pub joins: Joins,
    pub version: u64,
    /// The places of those who come before all others, below those of all others; by ticket.
    firsts: FxHashMap<u32, i64>,
    /// The place of the next one of them.
    next_first: i64,
    moves: Moves,
    pub polls: PollLimit,
}

/// Somebody in a queue, as they are shown.
#[derive(Clone, Debug)]
pub struct Seen {
    pub ticket: u32,
    pub standing: Standing,
    /// People before them; `None` while there is no order, and of those who do not wait.
    pub rank: Option<u32>,
    /// By which the rank follows from the moves that are told to all; of those who have a rank.
    pub place: Option<i64>,
    pub waiting: u32,
    /// When it will be their turn, at the earliest and at the latest, ms from now.
    pub eta_ms: Option<(u64, u64)>,
    /// When to ask again.
    pub poll_after_ms: u64,
    /// When, should there be no answer then.
    pub retry_after_ms: RangeInclusive<u64>,
    pub session: Option<Session>,
    pub state: State,
    pub opens_at_ms: Option<Millis>,
    pub version: u64,
}

/// Whether a user may book.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gate {
    Active,
    /// Their session has yet to be claimed.
    Admitted {
        ticket: u32,
    },
    Shut,
}

impl QueueView {
    fn new(id: QueueId, polls: PollLimit) -> QueueView {
        QueueView {
            id,
            live: RwLock::new(Live { polls, ..Live::default() }),
            returned: Mutex::default(),
            changed: Notify::new(),
            told: Told::default(),
            statistics: Mutex::default(),
            marks: OnceLock::new(),
            looked_at: AtomicU32::default(),
        }
    }

    /// Whether it is this organizer's.
    pub fn is_of(&self, organizer: OrganizerId) -> bool {
        self.look(|live| live.facts().is_some_and(|facts| facts.organizer == organizer))
    }

    /// `None` before the queue was made.
    pub fn state(&self) -> Option<State> {
        self.look(|live| live.facts().map(|facts| facts.state))
    }

    /// Looks at the queue as it is at one instant. Keep it short: its events wait meanwhile.
    pub fn look<T>(&self, look: impl FnOnce(&Live) -> T) -> T {
        look(&self.live.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The same, where signs of life are noted.
    fn look_at<T>(&self, now: Millis, look: impl FnOnce(&Live) -> T) -> T {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        if !live.heard.is_late(now) {
            return look(&live);
        }
        drop(live);
        self.live.write().unwrap_or_else(PoisonError::into_inner).heard.move_along(now);
        self.look(look)
    }

    /// Where somebody stands. A sign of life, if `alive`.
    pub fn see(&self, ticket: u32, now: Millis, alive: bool) -> Option<Seen> {
        self.look_at(now, |live| {
            let mut seen = live.see(ticket, now)?;
            if alive {
                seen.poll_after_ms = self.note_alive(live, ticket, seen.standing, seen.poll_after_ms, now);
                if let (Some(rank), Some(eta_ms)) = (seen.rank, seen.eta_ms) {
                    self.told.note(ticket, rank, eta_ms, now);
                }
            }
            Some(seen)
        })
    }

    /// Somebody gave a sign of life, and will give the next one within `next_ms`.
    pub fn hear(&self, ticket: u32, next_ms: u64, now: Millis) {
        self.look_at(now, |live| {
            if let Some(standing) = live.line.standing(ticket) {
                self.note_alive(live, ticket, standing, next_ms, now);
            }
        });
    }

    /// Whether a user may book now; a sign of life, if so.
    pub fn gate(&self, user: UserId, now: Millis) -> Gate {
        self.look_at(now, |live| {
            let Some(ticket) = live.users.get(&user.0) else { return Gate::Shut };
            let Some(session) = live.inside.get(*ticket).filter(|session| now < session.until_ms) else {
                return Gate::Shut;
            };
            match session.is_claimed {
                true => {
                    live.heard.note(*ticket, Standing::Active, 0, now);
                    Gate::Active
                }
                false => Gate::Admitted { ticket: *ticket },
            }
        })
    }

    /// Gives when they are to be told to give the next sign of life.
    fn note_alive(&self, live: &Live, ticket: u32, standing: Standing, next_ms: u64, now: Millis) -> u64 {
        if standing == Standing::PassedOver {
            let mut returned = self.returned();
            if returned.len() < RETURNED_MAX {
                returned.insert(ticket);
            }
        }
        live.heard.note(ticket, standing, next_ms, now)
    }

    fn returned(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        self.returned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those who came back since the last time.
    pub(crate) fn take_returned(&self) -> Vec<u32> {
        std::mem::take(&mut *self.returned()).into_iter().collect()
    }

    /// Whether one look at its sessions is not a look at all of them.
    pub(crate) fn is_crowded(&self) -> bool {
        self.look(|live| live.inside.len() > LOOKED_AT_MAX)
    }

    /// Sessions without a sign of life for too long, of the next [`LOOKED_AT_MAX`]: a million looked at at once would hold
    /// everybody else up.
    pub(crate) fn idle(&self, now: Millis) -> Vec<u32> {
        self.look(|live| {
            let idle_ms = live.created.as_ref().and_then(|facts| facts.terms.idle_ttl_s);
            let Some(idle_ms) = idle_ms.map(|seconds| Millis::from(seconds) * 1_000) else { return vec![] };
            let after = self.looked_at.load(Ordering::Relaxed);
            let next = || live.inside.iter_after(after).take(LOOKED_AT_MAX);
            // Behind the last one it begins anew.
            let full = next().count() == LOOKED_AT_MAX;
            let last = next().last().map_or(0, |(ticket, _)| ticket);
            self.looked_at.store(if full { last } else { 0 }, Ordering::Relaxed);
            let claimed = next().filter(|(_, session)| session.is_claimed);
            claimed.map(|(ticket, _)| ticket).filter(|ticket| live.heard.silent_ms(*ticket, now) > idle_ms).collect()
        })
    }

    /// What was decided just now, before it is durable: somebody waits again whom the organizer had shut out. Who decides
    /// says so, because it may be their turn again before it is shown.
    pub(crate) fn note_restored(&self, ticket: u32, now: Millis) {
        self.look_at(now, |live| live.heard.restore(ticket, now));
    }

    /// Takes over a queue that was found at the start.
    pub(crate) fn restore(&self, queue: &Queue, version: u64, now: Millis) {
        queue.prepare();
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        live.created = queue.facts().cloned();
        live.line = queue.line().clone();
        live.inside = queue.inside().clone();
        live.inside.rebuild();
        let user = |(ticket, session): (u32, &Session)| Some((live.user(ticket, &session.subject)?, ticket));
        let users = live.inside.iter().filter_map(user).collect();
        live.users = users;
        let joined = live.line.joined();
        live.heard = Heard::of(joined, pace::told_ms_max(joined, live.polls.get()), now);
        let claimed = live.inside.iter().filter(|(_, session)| session.is_claimed);
        for (ticket, _) in claimed {
            live.heard.note(ticket, Standing::Active, 0, now + presence::FIRST_MS);
        }
        live.joins = queue.joins().clone();
        live.number_firsts();
        live.version = version;
    }

    /// Shows what happened, once it is durable.
    pub fn apply(&self, events: &[Event], version: u64, at_ms: Millis) {
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        events.iter().for_each(|event| live.apply(event, version, at_ms));
        live.version = version;
        let rings = live.close_moves();
        drop(live);
        if rings {
            self.changed.notify_one();
        }
        for event in events {
            match event {
                Event::EntriesAdmitted(event) => self.told.admit(event.entries.iter().map(|entry| entry.ticket), at_ms),
                Event::EntriesPutFirst(event) => self.told.forget(&event.tickets),
                Event::EntriesPassedOver(event) => self.told.forget(&event.tickets),
                Event::EntryLeft(event) => self.told.forget(&[event.ticket]),
                Event::EntryBlocked(event) => self.told.forget(&[event.ticket]),
                _ => {}
            }
        }
    }
}

impl queue::Presence for QueueView {
    fn is_away(&self, ticket: u32, now: Millis) -> bool {
        self.look(|live| live.heard.is_away(ticket, live.allowing_retries(now)))
    }

    fn knows(&self, ticket: u32) -> bool {
        self.look(|live| live.heard.knows(ticket))
    }

    fn summon(&self, ticket: u32, now: Millis) -> Millis {
        self.look_at(now, |live| live.heard.summon(ticket, now))
    }
}

impl std::fmt::Debug for QueueView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "QueueView({})", self.id)
    }
}

impl Live {
    /// How it is run; `None` before it was made.
    pub fn facts(&self) -> Option<&Facts> {
        self.created.as_ref()
    }

    pub fn counts(&self) -> Counts {
        self.line.counts
    }

    pub fn see(&self, ticket: u32, now: Millis) -> Option<Seen> {
        let facts = self.created.as_ref()?;
        let standing = self.line.standing(ticket)?;
        let (rank, waiting) = (self.line.rank(ticket), self.line.counts.waiting);
        let eta_ms = rank.filter(|_| facts.state == State::Open).and_then(|rank| self.measured.eta_ms(rank, now));
        let until_open_ms = (!self.line.is_opened()).then(|| facts.terms.opens_at_ms.saturating_sub(now));
        let wait_ms = eta_ms.map(|(earliest_ms, _)| earliest_ms).or_else(|| self.supposed_wait_ms(facts, rank?));
        let stands = pace::Stands {
            ticket,
            rank,
            waiting,
            expected: match until_open_ms {
                Some(_) => self.arrivals.expected(waiting, now, facts.terms.opens_at_ms),
                None => waiting,
            },
            inside: self.line.counts.inside(),
            idle_ms: facts.terms.idle_ttl_s.map(|seconds| u64::from(seconds) * 1_000),
            wait_ms,
            opens_at_ms: facts.terms.opens_at_ms,
            is_opened: self.line.is_opened(),
            polls_per_s_max: self.polls.get(),
        };
        let poll_after_ms = stands.poll_after_ms(now);
        Some(Seen {
            ticket,
            standing,
            rank,
            place: rank.and_then(|_| self.place(ticket)),
            waiting,
            eta_ms,
            poll_after_ms,
            retry_after_ms: self.retry_after_ms(),
            session: self.inside.get(ticket).cloned(),
            state: facts.state,
            opens_at_ms: until_open_ms.map(|_| facts.terms.opens_at_ms),
            version: self.version,
        })
    }

    /// When to ask again where there was no answer, or to open a stream again that broke off.
    pub fn retry_after_ms(&self) -> RangeInclusive<u64> {
        pace::retry_ms(self.line.counts.waiting, self.polls.get())
    }

    /// The instant before which somebody was to come, if they got an answer at the first try, who counts as away now.
    fn allowing_retries(&self, now: Millis) -> Millis {
        now.saturating_sub(pace::retry_late_ms(self.line.joined(), self.polls.get()))
    }

    /// How long somebody waits at least, while nothing is measured: as fast as the policy lets people in.
    fn supposed_wait_ms(&self, facts: &Facts, rank: u32) -> Option<u64> {
        let policy = &facts.terms.policy;
        let slots = policy.max_active.map_or(u32::MAX, |max| max.saturating_sub(self.line.counts.inside()));
        let is_free = facts.state == State::Open && !policy.manual && rank < slots;
        match policy.rate {
            Some(rate) if is_free => {
                Some(u64::from(rank) * u64::from(rate.interval_s) * 1_000 / u64::from(rate.count.max(1)))
            }
            None if is_free => Some(0),
            _ => None,
        }
    }

    fn apply(&mut self, event: &Event, version: u64, at_ms: Millis) {
        self.heard.move_along(at_ms);
        self.note_users(event);
        self.move_in_line(event, version, at_ms);
        self.inside.apply(event, at_ms);
        match event {
            Event::QueueCreated(created) => self.created = Some(Facts::of(created)),
            Event::EntryJoined(joined) => {
                self.heard.join(at_ms);
                self.arrivals.note(1, at_ms);
                self.joins.note(joined.ticket, at_ms);
            }
            Event::EntriesAdmitted(admitted) => self.measured.note(admitted.entries.len() as u32, at_ms),
            Event::SessionClaimed(claimed) => {
                self.heard.note(claimed.ticket, Standing::Active, 0, at_ms);
            }
            // What was measured was of another policy, or of a pause.
            Event::QueueChanged(changed)
                if self.facts().is_some_and(|facts| facts.terms.policy != changed.terms.policy) =>
            {
                self.measured = Measured::default();
            }
            Event::QueueStateChanged(_) => self.measured = Measured::default(),
            _ => {}
        }
        if let Some(facts) = &mut self.created {
            facts.apply(event);
        }
    }

    /// The user that somebody is, if they are one: another person's id may look the same.
    fn user(&self, ticket: u32, subject: &str) -> Option<Uuid> {
        let is_user = self.line.kind(ticket) == Some(queue::order::Kind::User);
        is_user.then(|| subject.parse().ok()).flatten()
    }

    fn note_users(&mut self, event: &Event) {
        let mut gone = |ticket: u32| {
            let session = self.inside.get(ticket);
            let user = session.and_then(|session| self.user(ticket, &session.subject));
            if let Some(user) = user.filter(|user| self.users.get(user) == Some(&ticket)) {
                self.users.remove(&user);
            }
        };
        match event {
            Event::EntriesAdmitted(event::EntriesAdmitted { entries, .. }) => {
                for entry in entries {
                    if let Some(user) = self.user(entry.ticket, &entry.subject) {
                        self.users.insert(user, entry.ticket);
                    }
                }
            }
            Event::SessionFinished(event) => gone(event.ticket),
            Event::EntryLeft(event) => gone(event.ticket),
            Event::EntryBlocked(event) => gone(event.ticket),
            Event::SessionsExpired(event) => event.tickets.iter().for_each(|ticket| gone(*ticket)),
            _ => {}
        }
    }
}
