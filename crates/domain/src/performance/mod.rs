//! One performance: its seats and standing areas, and the reservations on them. The only judge of who has which place.
//!
//! - [`description`]: as it is shown; its making
//! - [`event`]: what happens to it; [`rejection`]: why it refuses
//! - [`terms`]: hours and limits of the sale
//! - [`hold`]: holds; [`decide`]: what becomes of them; [`fairness`]: what one person may not do to the others
//! - [`impossible`]: wishes that no sale can ever fulfil
//! - [`change`]: other terms, another chart; [`blocks`]: places out of the sale
//! - [`cancel`]: the end of a performance that will not take place
//! - [`evolve`]: what an event changes
//! - [`availability`], [`changes`]: which places are left, and which of them changed since an earlier version

mod availability;
mod blocks;
mod cancel;
mod change;
mod changes;
mod decide;
mod description;
pub mod event;
mod evolve;
pub mod fairness;
mod hold;
mod impossible;
mod rejection;
pub mod reservation;
pub mod seats;
mod terms;
#[cfg(test)]
mod tests;

use crate::performance::reservation::{Reservation, State, View};
use crate::performance::seats::chart::{Layout, Prices};
use crate::performance::seats::vacancy::Vacancies;
use crate::{Aggregate, Fingerprint};
pub use availability::*;
use base::id::{Category, ConcertId, Millis, OrganizerId, PerformanceId, ReservationId, UserId};
pub use blocks::*;
pub use cancel::*;
pub use change::*;
pub use changes::CHANGED_SEATS_MAX;
use changes::Changes;
pub use decide::*;
pub use description::*;
use event::PerformanceCreated;
pub use event::{Event, Refusal};
use fairness::Lapses;
pub use hold::*;
pub use rejection::*;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::sync::Arc;
pub use terms::{Change, Follows, Hours, NamedTimes, Sale, SaleState, Terms};

/// A seat that nobody has.
const FREE: u32 = 0;
/// A seat that is out of the sale.
const BLOCKED: u32 = u32::MAX;

/// Seats and reservations from which on a performance is large.
const LARGE: usize = 5_000;

/// What a performance was created with and does not have any more.
#[derive(Serialize, Deserialize)]
struct First {
    terms: Terms,
    prices: Prices,
    places: u32,
}

/// How far the cancellation of a performance is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cancellation {
    /// The organizer's words.
    pub reason: String,
    pub cancelled_at_ms: Millis,
    /// 0 while there is something left to do.
    pub finished_at_ms: Millis,
    /// Paid reservations, those included whose payment was under way and succeeded.
    pub reservations: u32,
    pub refunded: u32,
    pub points: u64,
    pub points_refunded: u64,
    /// Holds that were given up, or ran out, since.
    pub holds_released: u32,
}

/// A performance. Empty before `PerformanceCreated`.
#[derive(Default, Serialize, Deserialize)]
pub struct Performance {
    /// With the terms, the prices and the chart that it has now.
    #[serde(with = "super::as_json")]
    created: Option<PerformanceCreated>,
    created_at_ms: Millis,
    /// Once it was changed.
    #[serde(with = "super::as_json")]
    first: Option<Box<First>>,
    sale: Sale,
    /// The stream's version.
    version: u64,
    /// The version of the last change of terms, state or chart.
    edited_version: u64,
    /// Counts charts from 1.
    chart_version: u32,
    /// What there is to do, and was done, since the performance was cancelled.
    cancellation: Option<Box<Cancellation>>,
    /// Places out of the sale, per standing area.
    area_blocked: Vec<u32>,
    /// Per seat: [`FREE`], [`BLOCKED`], or 1 + the slot of the reservation that owns it.
    seats: Vec<u32>,
    /// Reservations by slot; a slot is used again once its reservation is forgotten.
    slots: Vec<Option<Reservation>>,
    /// Slots in the order in which their holds were made, to forget what is over and old.
    aging: VecDeque<(Millis, u32)>,
    lapses: Lapses,
    /// Why the organizer cancelled reservations that were paid.
    refund_reasons: BTreeMap<ReservationId, String>,

    #[serde(skip)]
    layout: Arc<Layout>,
    #[serde(skip)]
    vacancies: Vacancies,
    /// The lowest first: a state from a snapshot then goes on exactly as the one that it was taken of.
    #[serde(skip)]
    empty_slots: BinaryHeap<Reverse<u32>>,
    #[serde(skip)]
    by_id: FxHashMap<ReservationId, u32>,
    #[serde(skip)]
    by_key: FxHashMap<(UserId, Fingerprint), u32>,
    /// Places of live reservations per user.
    #[serde(skip)]
    places_by_user: FxHashMap<UserId, PlacesOfUser>,
    /// Held reservations by expiry, paying ones by payment deadline.
    #[serde(skip)]
    due: BTreeSet<(Millis, u32)>,
    /// Cancelling reservations: in flight until the wallet has refunded.
    #[serde(skip)]
    cancelling: BTreeSet<u32>,
    /// Reservations that are to be given up or refunded, once the performance is cancelled.
    #[serde(skip)]
    to_call_off: BTreeSet<u32>,
    /// Places taken per standing area.
    #[serde(skip)]
    area_taken: Vec<u32>,
    /// Places available per grade.
    #[serde(skip)]
    available_by_grade: Vec<u32>,
    #[serde(skip)]
    changes: Changes,
    /// Layouts of before that reservations may still refer to, and the slots up to which none does.
    #[serde(skip)]
    layouts_before: u32,
    #[serde(skip)]
    named_slots: usize,
    /// Of these layouts those that came since the first slot was looked at.
    #[serde(skip)]
    layouts_meanwhile: u32,
}

/// Places of one user's live reservations. What an organizer holds for a user as a group leaves the user's own limit alone,
/// and the other way round.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
struct PlacesOfUser {
    own: u32,
    group: u32,
    /// The slots of these reservations, in order.
    slots: SmallVec<[u32; 2]>,
}

impl PlacesOfUser {
    fn add(&mut self, slot: u32, reservation: &Reservation) {
        *self.of(reservation.by_organizer) += reservation.places();
        let at = self.slots.partition_point(|of_user| *of_user < slot);
        self.slots.insert(at, slot);
    }

    /// True when none is left.
    fn remove(&mut self, slot: u32, reservation: &Reservation) -> bool {
        *self.of(reservation.by_organizer) -= reservation.places();
        self.slots.retain(|of_user| *of_user != slot);
        self.slots.is_empty()
    }

    fn held(&self, by_organizer: bool) -> u32 {
        if by_organizer { self.group } else { self.own }
    }

    fn of(&mut self, by_organizer: bool) -> &mut u32 {
        if by_organizer { &mut self.group } else { &mut self.own }
    }
}

impl Performance {
    pub fn reservation(&self, id: ReservationId) -> Option<&Reservation> {
        self.slots[*self.by_id.get(&id)? as usize].as_ref()
    }

    fn reservation_of(&self, user: UserId, id: ReservationId) -> Result<&Reservation, Rejection> {
        self.reservation(id).filter(|reservation| reservation.user == user).ok_or(Rejection::UnknownReservation)
    }

    fn available(&self) -> u32 {
        self.available_by_grade.iter().sum()
    }

    /// How many of `places` can be had: none once the performance was cancelled.
    fn on_offer(&self, places: u32) -> u32 {
        if self.sale == Sale::Cancelled { 0 } else { places }
    }

    fn area_left(&self, area: usize) -> u32 {
        self.layout.areas[area].capacity - self.area_taken[area] - self.area_blocked[area]
    }

    /// What goes on of a user's: reservations that are held, and whether one is being paid.
    pub fn going_on(&self, user: UserId) -> (Vec<ReservationId>, bool) {
        let Some(places) = self.places_by_user.get(&user) else { return (vec![], false) };
        let of_user = || places.slots.iter().filter_map(|slot| self.slots[*slot as usize].as_ref());
        let held = of_user().filter(|reservation| reservation.state == State::Held).map(|reservation| reservation.id);
        (held.collect(), of_user().any(|reservation| reservation.state == State::Paying))
    }

    /// All reservations that it remembers, in no particular order.
    pub fn reservations(&self) -> impl Iterator<Item = &Reservation> {
        self.slots.iter().flatten()
    }

    /// Keeps what it was created with, because that is about to change.
    fn keep_first(&mut self) {
        let Some(created) = self.created.as_ref().filter(|_| self.first.is_none()) else { return };
        let (terms, prices, places) = (created.terms, created.prices.clone(), self.layout.places());
        self.first = Some(Box::new(First { terms, prices, places }));
    }

    fn view(&self, reservation: &Reservation) -> View {
        let view = reservation.view(reservation.id.performance(), &self.layout);
        match self.refund_reasons.get(&reservation.id) {
            Some(reason) => View { refund_reason: Some(reason.clone()), ..view },
            None => view,
        }
    }

    fn created(&self) -> Result<&PerformanceCreated, Rejection> {
        self.created.as_ref().ok_or(Rejection::UnknownPerformance)
    }

    /// The same, if it is this organizer's.
    fn sold_by(&self, organizer: OrganizerId) -> Result<&PerformanceCreated, Rejection> {
        self.created().ok().filter(|created| created.organizer_id == organizer).ok_or(Rejection::UnknownPerformance)
    }

    /// The same, if it was not cancelled: then nothing of it is changed any more.
    fn edited_by(&self, organizer: OrganizerId) -> Result<&PerformanceCreated, Rejection> {
        let created = self.sold_by(organizer)?;
        self.refuse_cancelled().map(|()| created)
    }

    /// Places that can be had now.
    pub fn left(&self) -> u32 {
        self.on_offer(self.available())
    }

    /// Its concert and terms, once it was created.
    pub fn listing(&self) -> Option<(ConcertId, &Terms)> {
        self.created.as_ref().map(|created| (created.concert_id, &created.terms))
    }

    /// Reservations that wait for a wallet, and should not any more at `now`.
    pub(crate) fn in_flight(&self, now: Millis) -> impl Iterator<Item = &Reservation> {
        let paying = self.due.iter().take_while(move |(at, _)| *at <= now).map(|(_, slot)| slot);
        let slots = paying.chain(self.cancelling.iter());
        slots.filter_map(|slot| self.slots[*slot as usize].as_ref())
    }

    /// Who sells it, once it was created.
    pub(crate) fn organizer(&self) -> Option<OrganizerId> {
        self.created.as_ref().map(|created| created.organizer_id)
    }

    /// What the organizer said who cancelled what was paid.
    pub(crate) fn refund_reason(&self, id: ReservationId) -> Option<&str> {
        self.refund_reasons.get(&id).map(String::as_str)
    }

    /// A reservation as its user sees it.
    pub(crate) fn shown(&self, id: ReservationId) -> Result<Box<View>, Rejection> {
        let reservation = self.reservation(id).ok_or(Rejection::UnknownReservation)?;
        Ok(Box::new(self.view(reservation)))
    }
}

impl Aggregate for Performance {
    const CATEGORY: Category = Category::Performance;
    type Id = PerformanceId;
    type Event = Event;

    fn lapsed(&self, now: Millis) -> Vec<Event> {
        self.lapsed_holds(now)
    }

    fn is_behind(&self, now: Millis) -> bool {
        self.has_many_lapsed(now)
    }

    fn evolve(&mut self, event: &Event, version: u64, at_ms: Millis) {
        self.apply(event, version, at_ms);
        crate::check::after_event(self, version, self.parts());
    }

    fn next_due(&self) -> Option<Millis> {
        if !self.cancelling.is_empty() || self.is_being_called_off() {
            return Some(0);
        }
        self.due.first().map(|(at, _)| *at)
    }

    /// For its timers and purchases in flight.
    fn is_listed(&self, _latest_ms: Millis) -> bool {
        true
    }

    fn is_large(&self) -> bool {
        self.seats.len() + self.slots.len() > LARGE
    }

    fn has_backlog(&self) -> bool {
        self.is_being_called_off()
    }

    fn rebuild(&mut self) {
        self.derive_all();
    }

    fn check(&self) {
        self.check_derived();
    }
}
