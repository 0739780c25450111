//! What anyone may read without asking an actor: how far each performance is, and what there is to buy. Only durable facts.

pub mod credentials;
pub mod erasures;
pub mod publish;
pub mod queues;
pub mod sessions;
pub mod tenants;

use crate::views::credentials::{Credential, Credentials};
use crate::views::erasures::Erasures;
use crate::views::queues::{QueueView, Queues};
use crate::views::sessions::EndedSessions;
use crate::views::tenants::Tenants;
use base::id::{AccountId, ConcertId, Millis, OrganizerId, PerformanceId, QueueId, UserId};
use bytes::Bytes;
use domain::{account, concert, organizer, queue};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// How far one performance is, and the answer that shows it.
#[derive(Default)]
pub struct AvailabilityView {
    version: AtomicU64,
    /// When the sale opens and closes.
    opens_at_ms: AtomicU64,
    closes_at_ms: AtomicU64,
    /// The body for the version beside it, made at most once per version.
    body: Mutex<Option<(u64, Bytes)>>,
}

impl AvailabilityView {
    /// The version of the performance that is durable. Never goes back.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// When the sale opens and closes.
    pub fn hours(&self) -> (Millis, Millis) {
        (self.opens_at_ms.load(Ordering::Acquire), self.closes_at_ms.load(Ordering::Acquire))
    }

    /// The body made for `version`, if that is the one kept.
    pub fn body(&self, version: u64) -> Option<Bytes> {
        let kept = self.body.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().filter(|(of, _)| *of == version).map(|(_, body)| body.clone())
    }

    /// Keeps the body of `version`, unless a later one is kept.
    pub fn store_body(&self, version: u64, body: Bytes) {
        let mut kept = self.body.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.as_ref().is_none_or(|(of, _)| *of <= version) {
            *kept = Some((version, body));
        }
    }

    pub(crate) fn reach(&self, version: u64) {
        self.version.fetch_max(version, Ordering::AcqRel);
    }
}

/// All live views of a partition.
#[derive(Default)]
pub struct Views {
    availability: RwLock<FxHashMap<PerformanceId, Arc<AvailabilityView>>>,
    concerts: RwLock<BTreeMap<ConcertId, concert::Answer>>,
    performances: RwLock<BTreeSet<(ConcertId, PerformanceId)>>,
    sales: AtomicU64,
    sessions: EndedSessions,
    erasures: Erasures,
    tenants: Tenants,
    credentials: Arc<Credentials>,
    queues: Queues,
    gates: Gates,
}

/// Which performances are behind a queue. Every hold asks, and most installations have none.
#[derive(Default)]
struct Gates {
    count: AtomicUsize,
    queues: RwLock<FxHashMap<PerformanceId, QueueId>>,
}

impl Gates {
    fn get(&self, performance: PerformanceId) -> Option<QueueId> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.queues.read().unwrap_or_else(PoisonError::into_inner).get(&performance).copied()
    }

    fn put(&self, performance: PerformanceId, queue: Option<QueueId>) {
        let mut queues = self.queues.write().unwrap_or_else(PoisonError::into_inner);
        match queue {
            Some(queue) => queues.insert(performance, queue),
            None => queues.remove(&performance),
        };
        self.count.store(queues.len(), Ordering::Release);
    }
}

/// A fact that readers see once it is durable.
pub enum Publication {
    /// A reservation was confirmed.
    Sale,
    /// When its sale opens and closes; comes before the version that it is of.
    Hours(Arc<AvailabilityView>, (Millis, Millis)),
    Reached(Arc<AvailabilityView>, u64),
    Concert(Box<concert::Answer>),
    Performance(ConcertId, PerformanceId),
    /// An account's sessions that were ended before their time.
    Sessions(AccountId, Box<account::Ended>),
    /// A user was erased, and something of theirs may go on.
    Erasing(AccountId, UserId),
    /// Nothing of an erased user's goes on.
    Erased(UserId),
    Organizer(Box<organizer::Answer>),
    /// What happened in a queue, up to this version, and when.
    Queue(Arc<QueueView>, Vec<queue::Event>, u64, Millis),
    /// The queue that a performance is behind, if any.
    Gate(PerformanceId, Option<QueueId>),
    /// There is such a queue.
    NewQueue(OrganizerId, QueueId),
}

impl Views {
    /// The view of a performance that exists.
    pub fn availability(&self, id: PerformanceId) -> Option<Arc<AvailabilityView>> {
        let views = self.availability.read().unwrap_or_else(PoisonError::into_inner);
        views.get(&id).cloned()
    }

    /// Up to `limit` concerts after `after`, in the order of their ids.
    pub fn concerts(&self, after: Option<ConcertId>, limit: usize) -> Vec<concert::Answer> {
        let concerts = self.concerts.read().unwrap_or_else(PoisonError::into_inner);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        concerts.range((from, Bound::Unbounded)).take(limit).map(|(_, concert)| concert.clone()).collect()
    }

    /// Whose concert it is.
    pub fn owner_of(&self, concert: ConcertId) -> Option<OrganizerId> {
        let concerts = self.concerts.read().unwrap_or_else(PoisonError::into_inner);
        concerts.get(&concert).map(|concert| concert.organizer)
    }

    /// The performances of a concert, in the order of their ids.
    pub fn performances_of(&self, concert: ConcertId) -> Vec<PerformanceId> {
        let performances = self.performances.read().unwrap_or_else(PoisonError::into_inner);
        let least = PerformanceId(uuid::Uuid::nil());
        let range = performances.range((concert, least)..);
        range.take_while(|(of, _)| *of == concert).map(|(_, id)| *id).collect()
    }

    /// Reservations confirmed since the start.
    pub fn sales(&self) -> u64 {
        self.sales.load(Ordering::Relaxed)
    }

    /// Sessions that were ended before their time.
    pub fn sessions(&self) -> &EndedSessions {
        &self.sessions
    }

    /// Users who were erased.
    pub fn erasures(&self) -> &Erasures {
        &self.erasures
    }

    /// Organizers, their keys and identity providers.
    pub fn tenants(&self) -> &Tenants {
        &self.tenants
    }

    /// Who is told when a session, a key or an identity provider ends.
    pub fn credentials(&self) -> &Arc<Credentials> {
        &self.credentials
    }

    /// The queue that a performance is behind.
    pub fn gate_of(&self, performance: PerformanceId) -> Option<QueueId> {
        self.gates.get(performance)
    }

    /// Queues, who stands where, and who is there.
    pub fn queues(&self) -> &Queues {
        &self.queues
    }

    /// The view to publish a performance's progress to.
    pub(crate) fn availability_of(&self, id: PerformanceId) -> Arc<AvailabilityView> {
        if let Some(view) = self.availability(id) {
            return view;
        }
        let mut views = self.availability.write().unwrap_or_else(PoisonError::into_inner);
        views.entry(id).or_default().clone()
    }

    pub(crate) fn publish(&self, publication: Publication) {
        match publication {
            Publication::Sale => {
                self.sales.fetch_add(1, Ordering::Relaxed);
            }
            Publication::Hours(view, (opens_at_ms, closes_at_ms)) => {
                view.opens_at_ms.store(opens_at_ms, Ordering::Release);
                view.closes_at_ms.store(closes_at_ms, Ordering::Release);
            }
            Publication::Reached(view, version) => view.reach(version),
            Publication::Concert(concert) => {
                let mut concerts = self.concerts.write().unwrap_or_else(PoisonError::into_inner);
                concerts.insert(concert.id, *concert);
            }
            Publication::Performance(concert, id) => {
                let mut performances = self.performances.write().unwrap_or_else(PoisonError::into_inner);
                performances.insert((concert, id));
            }
            Publication::Sessions(account, ended) => {
                self.sessions.put(account, *ended);
                self.credentials.ring(Credential::Account(account));
            }
            Publication::Erasing(account, user) => self.erasures.begin(account, user),
            Publication::Erased(user) => self.erasures.finish(user),
            Publication::Organizer(organizer) => {
                let ended = self.tenants.put(*organizer);
                ended.into_iter().for_each(|credential| self.credentials.ring(credential));
            }
            Publication::Queue(view, events, version, at_ms) => view.apply(&events, version, at_ms),
            Publication::Gate(performance, queue) => self.gates.put(performance, queue),
            Publication::NewQueue(organizer, id) => self.queues.list(organizer, id),
        }
    }
}
