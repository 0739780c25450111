//! What anyone may read without asking an actor: how far each performance is, and what there is to buy. Only durable facts.

pub mod credentials;
pub mod erasures;
pub mod publish;
pub mod queues;
pub mod sales;
pub mod sessions;
pub mod tenants;

use crate::views::credentials::{Credential, Credentials};
use crate::views::erasures::Erasures;
use crate::views::queues::{QueueView, Queues};
use crate::views::sales::{Places, Sales, Step};
use crate::views::sessions::EndedSessions;
use crate::views::tenants::Tenants;
use base::id::{AccountId, ConcertId, Millis, OrganizerId, PerformanceId, QueueId, UserId};
use bytes::Bytes;
use domain::performance::Stock;
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
    /// Of one behind a queue.
    stock: Mutex<Option<Stock>>,
    places: Places,
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

    /// How many places are left, held and sold.
    pub fn places(&self) -> &Places {
        &self.places
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

    /// What it has to sell; `None` of one that was never behind a queue.
    pub fn stock(&self) -> Option<Stock> {
        *self.stock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn reach(&self, version: u64) {
        self.version.fetch_max(version, Ordering::AcqRel);
    }
}

/// All live views of a partition.
#[derive(Default)]
pub struct Views {
    availability: RwLock<FxHashMap<PerformanceId, Arc<AvailabilityView>>>,
    concerts: RwLock<BTreeMap<ConcertId, concert::Description>>,
    performances: RwLock<BTreeSet<(ConcertId, PerformanceId)>>,
    sales: Sales,
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
    /// The same, by queue.
    performances: RwLock<BTreeSet<(QueueId, PerformanceId)>>,
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
        let before = match queue {
            Some(queue) => queues.insert(performance, queue),
            None => queues.remove(&performance),
        };
        self.count.store(queues.len(), Ordering::Release);
        if before != queue {
            let mut performances = self.performances.write().unwrap_or_else(PoisonError::into_inner);
            before.map(|before| performances.remove(&(before, performance)));
            queue.map(|queue| performances.insert((queue, performance)));
        }
    }

    fn behind(&self, queue: QueueId) -> Vec<PerformanceId> {
        let performances = self.performances.read().unwrap_or_else(PoisonError::into_inner);
        let range = performances.range((queue, PerformanceId(uuid::Uuid::nil()))..);
        range.take_while(|(of, _)| *of == queue).map(|(_, id)| *id).collect()
    }
}

/// A fact that readers see once it is durable.
pub enum ViewUpdate {
    /// When its sale opens and closes; comes before the version that it is of.
    Hours(Arc<AvailabilityView>, (Millis, Millis)),
    /// A performance has this version, and what that changed of its places.
    Reached(Arc<AvailabilityView>, u64, Step),
    Concert(Box<concert::Description>),
    Performance(ConcertId, PerformanceId),
    /// An account's sessions that were ended before their time.
    Sessions(AccountId, Box<account::Ended>),
    /// A user was erased, and something of theirs may go on.
    Erasing(AccountId, UserId),
    /// Nothing of an erased user's goes on.
    Erased(UserId),
    Organizer(Box<organizer::Description>),
    /// What happened in a queue, up to this version, and when.
    Queue(Arc<QueueView>, Vec<queue::Event>, u64, Millis),
    /// What a performance behind a queue has to sell.
    Stock(Arc<AvailabilityView>, Stock),
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
    pub fn concerts(&self, after: Option<ConcertId>, limit: usize) -> Vec<concert::Description> {
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

    /// Views of all performances.
    pub fn availabilities(&self) -> Vec<(PerformanceId, Arc<AvailabilityView>)> {
        let views = self.availability.read().unwrap_or_else(PoisonError::into_inner);
        views.iter().map(|(id, view)| (*id, view.clone())).collect()
    }

    /// What was held and sold since the start.
    pub fn sales(&self) -> &Sales {
        &self.sales
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

    /// What the performances behind a queue have to sell, in the order of their ids.
    pub fn stocks_behind(&self, queue: QueueId) -> Vec<Stock> {
        let behind = self.gates.behind(queue);
        behind.into_iter().filter_map(|id| self.availability(id)?.stock()).collect()
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

    pub(crate) fn publish(&self, update: ViewUpdate) {
        match update {
            ViewUpdate::Hours(view, (opens_at_ms, closes_at_ms)) => {
                view.opens_at_ms.store(opens_at_ms, Ordering::Release);
                view.closes_at_ms.store(closes_at_ms, Ordering::Release);
            }
            ViewUpdate::Reached(view, version, step) => {
                view.places.take(&step);
                self.sales.count(&step);
                view.reach(version);
            }
            ViewUpdate::Concert(concert) => {
                let mut concerts = self.concerts.write().unwrap_or_else(PoisonError::into_inner);
                concerts.insert(concert.id, *concert);
            }
            ViewUpdate::Performance(concert, id) => {
                let mut performances = self.performances.write().unwrap_or_else(PoisonError::into_inner);
                performances.insert((concert, id));
            }
            ViewUpdate::Sessions(account, ended) => {
                self.sessions.put(account, *ended);
                self.credentials.ring(Credential::Account(account));
            }
            ViewUpdate::Erasing(account, user) => self.erasures.begin(account, user),
            ViewUpdate::Erased(user) => self.erasures.finish(user),
            ViewUpdate::Organizer(organizer) => {
                let ended = self.tenants.put(*organizer);
                ended.into_iter().for_each(|credential| self.credentials.ring(credential));
            }
            ViewUpdate::Queue(view, events, version, at_ms) => view.apply(&events, version, at_ms),
            ViewUpdate::Stock(view, stock) => {
                *view.stock.lock().unwrap_or_else(PoisonError::into_inner) = Some(stock);
            }
            ViewUpdate::Gate(performance, queue) => self.gates.put(performance, queue),
            ViewUpdate::NewQueue(organizer, id) => self.queues.list(organizer, id),
        }
    }
}
