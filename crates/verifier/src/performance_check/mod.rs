//! One performance as its events describe it: who has which place, and where every reservation stands.
//!
//! What its organizer changes, up to its cancellation, is in [`changes`].

mod changes;
mod following;

use super::seating::{Price, Seating};
use super::violation::{Fault, Kind, ensure, same};
use base::id::{Millis, OrganizerId, PerformanceId, ReservationId, UserId};
use domain::performance::Event;
use domain::performance::event::*;
use domain::performance::seats::best::Relaxed;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

const FREE: u32 = 0;
const BLOCKED: u32 = u32::MAX;
/// The index of a reservation that is over: its id is not used again.
const OVER: u32 = u32::MAX;
/// domain.md: after a refused payment at least 60 s are left.
const LEFT_AFTER_REFUSAL_MS: Millis = 60_000;
/// An organizer holds at most so many places for one buyer.
const GROUP_PLACES: u32 = 500;
/// Holds that came to nothing count for an hour; one that was given up within a minute does not, a minute of them does.
const LAPSES_WINDOW_MS: Millis = 3_600_000;
const CHANGE_OF_MIND_MS: Millis = 60_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    Held,
    Paying,
    Confirmed,
    Cancelling,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sale {
    Running,
    Paused,
    Closed,
    Cancelled,
}

/// A reservation that has its places.
#[derive(Debug)]
pub struct Reservation {
    pub id: ReservationId,
    user: UserId,
    pub stage: Stage,
    pub spent: bool,
    pub refunded: bool,
    extended: bool,
    points: u64,
    held_at: Millis,
    by_organizer: bool,
    first_expires_at: Millis,
    expires_at: Millis,
    payment_deadline: Millis,
    left: Millis,
    seats: SmallVec<[u32; 4]>,
    /// Index of the area, and how many places.
    area: Option<(u32, u32)>,
}

impl Reservation {
    pub fn places(&self) -> u32 {
        self.seats.len() as u32 + self.area.map_or(0, |(_, count)| count)
    }
}

/// One performance.
pub struct House {
    id: PerformanceId,
    created: PerformanceCreated,
    sale: Sale,
    seating: Seating,
    /// Per seat: [`FREE`], [`BLOCKED`] or 1 + the index of its owner.
    owners: Vec<u32>,
    standing_taken: Vec<u32>,
    standing_blocked: Vec<u32>,
    chart_version: u32,
    end: End,
    available: u32,
    reservations: Vec<Option<Reservation>>,
    vacant: Vec<u32>,
    ids: FxHashMap<ReservationId, u32>,
    /// Places of live reservations, of users' own and of groups that the organizer holds for them.
    places_by_user: FxHashMap<(UserId, bool), u32>,
    /// When holds of a user came to nothing; the last hour's at least.
    lapses: FxHashMap<UserId, Vec<Millis>>,
    /// Whether they are counted: see [`House::adds_up`].
    moments_count: bool,
    /// Per user the time of holds that were given up within a minute and has not counted yet, and when the last of them was.
    moments: FxHashMap<UserId, (Millis, Millis)>,
}

/// What happened since the performance was cancelled.
#[derive(Default)]
pub struct End {
    pub finished: bool,
    pub refunded: u32,
    pub points_refunded: u64,
    pub holds_released: u32,
}

/// What an event did, for the counts.
pub enum EventEffect {
    Other,
    Held(Option<(UserId, domain::IdempotencyRecord)>),
    Confirmed,
    Cancelled,
    Expired,
    Released,
    Refused,
    CancelledAll,
}

impl House {
    pub fn new(id: PerformanceId, event: PerformanceCreated) -> Result<House, Fault> {
        let seating = Seating::new(&event.chart, &event.prices).map_err(|what| (Kind::RulesBroken, what))?;
        same(Kind::RulesBroken, "available", event.available, seating.places())?;
        following::check_following(&event.terms)?;
        Ok(House {
            id,
            sale: Sale::Running,
            owners: vec![FREE; seating.seats as usize],
            standing_taken: vec![0; seating.standing.len()],
            standing_blocked: vec![0; seating.standing.len()],
            chart_version: 1,
            end: End::default(),
            available: event.available,
            seating,
            moments_count: event.terms.follows_starts_at.is_some(),
            created: event,
            reservations: Vec::new(),
            vacant: Vec::new(),
            ids: FxHashMap::default(),
            places_by_user: FxHashMap::default(),
            lapses: FxHashMap::default(),
            moments: FxHashMap::default(),
        })
    }

    /// Whether places are held for a user, or being paid.
    pub fn has_under_way(&self, user: UserId) -> bool {
        let under_way = |stage| matches!(stage, Stage::Held | Stage::Paying);
        [false, true].iter().any(|by_organizer| self.places_by_user.contains_key(&(user, *by_organizer)))
            && self.reservations.iter().flatten().any(|one| one.user == user && under_way(one.stage))
    }

    /// Takes an event over.
    pub fn apply(&mut self, event: Event, at: Millis) -> Result<EventEffect, Fault> {
        self.check_cancelled(&event)?;
        match event {
            Event::PerformanceChanged(event) => self.terms_changed(event, at),
            Event::ChartChanged(event) => self.chart_changed(event),
            Event::AreasBlocked(event) => self.areas_blocked(&event),
            Event::PerformanceCancelled(event) => self.cancelled(&event),
            Event::PerformanceCancellationFinished(event) => self.cancellation_finished(&event),
            Event::PerformanceCreated(_) => Err((Kind::RulesBroken, "the performance was created before".into())),
            Event::SalePaused(_) => self.set_sale(&[Sale::Running], Sale::Paused),
            Event::SaleResumed(_) => self.set_sale(&[Sale::Paused], Sale::Running),
            Event::SaleClosed(_) => self.set_sale(&[Sale::Running, Sale::Paused], Sale::Closed),
            Event::SeatsBlocked(event) => self.block(&event.seats, (FREE, BLOCKED), event.available),
            Event::SeatsUnblocked(event) => self.block(&event.seats, (BLOCKED, FREE), event.available),
            Event::SeatsHeld(event) => self.held(event, at),
            Event::HoldExtended(event) => self.extended(&event, at),
            Event::HoldReleased(event) => {
                let hold = self.stage(event.reservation_id, event.user_id, &[Stage::Held])?;
                let (by_organizer, held) = (hold.by_organizer, at.saturating_sub(hold.held_at));
                self.free(event.reservation_id, &event.places, event.available)?;
                let counts = !by_organizer && (held >= CHANGE_OF_MIND_MS || self.adds_up(event.user_id, held, at));
                self.lapsed(event.user_id, at, counts);
                self.end.holds_released += u32::from(self.sale == Sale::Cancelled);
                Ok(EventEffect::Released)
            }
            Event::HoldExpired(event) => {
                let hold = self.stage(event.reservation_id, event.user_id, &[Stage::Held])?;
                ensure(hold.expires_at <= at, Kind::RulesBroken, || {
                    format!("hold {} expired at {at}, before {}", event.reservation_id, hold.expires_at)
                })?;
                let counts = !hold.by_organizer;
                self.free(event.reservation_id, &event.places, event.available)?;
                self.lapsed(event.user_id, at, counts);
                self.end.holds_released += u32::from(self.sale == Sale::Cancelled);
                Ok(EventEffect::Expired)
            }
            Event::PaymentStarted(event) => self.payment_started(&event, at),
            Event::PaymentRefused(event) => self.payment_refused(&event, at),
            Event::ReservationConfirmed(event) => {
                let paid = self.stage(event.reservation_id, event.user_id, &[Stage::Paying])?;
                ensure(paid.spent, Kind::PurchasesBroken, || {
                    format!("{} is confirmed but not paid", event.reservation_id)
                })?;
                same(Kind::PointsOff, "points", event.points, paid.points)?;
                paid.stage = Stage::Confirmed;
                self.check_places(event.reservation_id, &event.places)?;
                Ok(EventEffect::Confirmed)
            }
            Event::CancellationStarted(event) => {
                let closes_at = match self.sale {
                    Sale::Cancelled => Millis::MAX,
                    _ => self.created.terms.cancellation_closes_at_ms,
                };
                let sold = self.stage(event.reservation_id, event.user_id, &[Stage::Confirmed])?;
                same(Kind::PointsOff, "points", event.points, sold.points)?;
                sold.stage = Stage::Cancelling;
                let in_time = at < closes_at || event.organizer_reason.is_some();
                ensure(in_time, Kind::RulesBroken, || format!("cancelled at {at}, after {closes_at}"))?;
                Ok(EventEffect::Other)
            }
            Event::ReservationCancelled(event) => {
                let sold = self.stage(event.reservation_id, event.user_id, &[Stage::Cancelling])?;
                ensure(sold.refunded, Kind::PurchasesBroken, || {
                    format!("{} is cancelled but not refunded", event.reservation_id)
                })?;
                same(Kind::PointsOff, "points", event.points, sold.points)?;
                self.free(event.reservation_id, &event.places, event.available)?;
                if self.sale == Sale::Cancelled {
                    self.end.refunded += 1;
                    self.end.points_refunded += event.points;
                }
                Ok(EventEffect::Cancelled)
            }
        }
    }

    /// A wallet spent points on a reservation here.
    pub fn spent(&mut self, id: ReservationId, user: UserId, points: u64, at: Millis) -> Result<(), Fault> {
        let paying = self.stage(id, user, &[Stage::Paying])?;
        ensure(!paying.spent, Kind::PurchasesBroken, || format!("{id} is paid twice"))?;
        same(Kind::PointsOff, "points", points, paying.points)?;
        ensure(at < paying.payment_deadline, Kind::PurchasesBroken, || {
            format!("{id} is paid at {at}, after its deadline {}", paying.payment_deadline)
        })?;
        paying.spent = true;
        Ok(())
    }

    /// A wallet got its points back for a reservation here.
    pub fn refunded(&mut self, id: ReservationId, user: UserId, points: u64) -> Result<(), Fault> {
        let cancelling = self.stage(id, user, &[Stage::Cancelling])?;
        ensure(cancelling.spent, Kind::PurchasesBroken, || format!("{id} is refunded but was never paid"))?;
        ensure(!cancelling.refunded, Kind::PurchasesBroken, || format!("{id} is refunded twice"))?;
        same(Kind::PointsOff, "points", points, cancelling.points)?;
        cancelling.refunded = true;
        Ok(())
    }

    /// Who sells it; an event that names somebody else is wrong.
    pub fn seller(&self, named: Option<OrganizerId>) -> Result<OrganizerId, Fault> {
        let seller = self.created.organizer_id;
        same(Kind::PointsOff, "organizer_id", named.unwrap_or(seller), seller)?;
        Ok(seller)
    }

    /// Reservations that have places.
    pub fn reservations(&self) -> impl Iterator<Item = &Reservation> {
        self.reservations.iter().flatten()
    }

    pub fn places(&self) -> u32 {
        self.seating.places()
    }

    pub fn blocked(&self) -> usize {
        let seats = self.owners.iter().filter(|owner| **owner == BLOCKED).count();
        seats + self.standing_blocked.iter().sum::<u32>() as usize
    }

    fn set_sale(&mut self, from: &[Sale], to: Sale) -> Result<EventEffect, Fault> {
        ensure(from.contains(&self.sale), Kind::RulesBroken, || format!("from {:?} to {to:?}", self.sale))?;
        self.sale = to;
        Ok(EventEffect::Other)
    }

    fn block(&mut self, labels: &[String], (from, to): (u32, u32), available: u32) -> Result<EventEffect, Fault> {
        for label in labels {
            let (seat, _) = self.seat(label)?;
            self.own(seat, label, from, to)?;
        }
        let count = labels.len() as u32;
        self.available = if to == FREE { self.available + count } else { self.available - count };
        same(Kind::RulesBroken, "available", available, self.available)?;
        Ok(EventEffect::Other)
    }

    fn seat(&self, label: &str) -> Result<(u32, &Price), Fault> {
        self.seating.seat(label).ok_or_else(|| (Kind::PlacesSoldTwice, format!("there is no seat {label:?}")))
    }

    /// Moves a seat from one owner to the next.
    fn own(&mut self, seat: u32, label: &str, from: u32, to: u32) -> Result<(), Fault> {
        let owner = self.owners[seat as usize];
        ensure(owner == from, Kind::PlacesSoldTwice, || {
            let of = |owner| self.owner(owner);
            format!("seat {label} goes from {} to {}, but it is with {}", of(from), of(to), of(owner))
        })?;
        self.owners[seat as usize] = to;
        Ok(())
    }

    fn owner(&self, owner: u32) -> String {
        match owner {
            FREE => "nobody".into(),
            BLOCKED => "the house".into(),
            index => match self.reservations.get(index as usize - 1) {
                Some(Some(reservation)) => reservation.id.to_string(),
                _ => "a new reservation".into(),
            },
        }
    }

    fn held(&mut self, event: SeatsHeld, at: Millis) -> Result<EventEffect, Fault> {
        let id = event.reservation_id;
        ensure(!self.ids.contains_key(&id), Kind::PurchasesBroken, || format!("{id} is held twice"))?;
        ensure(id.performance() == self.id, Kind::RulesBroken, || format!("{id} belongs to another performance"))?;
        let on_sale = self.sale == Sale::Running
            && (self.created.terms.sale_opens_at_ms..self.created.terms.sale_closes_at_ms).contains(&at);
        ensure(on_sale, Kind::RulesBroken, || format!("{id} is held at {at}, while nothing is sold"))?;
        let ttl = self.created.terms.hold_ttl_s as Millis * 1000;
        same(Kind::RulesBroken, "expires_at_ms", event.expires_at_ms, at + ttl)?;

        let index = self.vacant.pop().unwrap_or_else(|| {
            self.reservations.push(None);
            self.reservations.len() as u32 - 1
        });
        let mut hold = Reservation {
            id,
            user: event.user_id,
            stage: Stage::Held,
            spent: false,
            refunded: false,
            extended: false,
            points: 0,
            held_at: at,
            by_organizer: event.by_organizer,
            first_expires_at: event.expires_at_ms,
            expires_at: event.expires_at_ms,
            payment_deadline: 0,
            left: 0,
            seats: SmallVec::new(),
            area: None,
        };
        for named in &event.seats {
            let (seat, price) = self.seat(&named.seat)?;
            same(Kind::PointsOff, "the price of a seat", named.points, price.points)?;
            same(Kind::RulesBroken, "the grade of a seat", &*named.grade, &*price.grade)?;
            self.own(seat, &named.seat, FREE, index + 1)?;
            hold.points += named.points;
            hold.seats.push(seat);
        }
        if let Some(area) = &event.area {
            let (found, price) = self.stand(&area.area, area.count)?;
            same(Kind::PointsOff, "the price of standing places", area.points, price.points * area.count as u64)?;
            same(Kind::RulesBroken, "the grade of standing places", &*area.grade, &*price.grade)?;
            hold.points += area.points;
            hold.area = Some((found, area.count));
        }
        same(Kind::PointsOff, "points", event.points, hold.points)?;
        same(Kind::RulesBroken, "adjacent", event.adjacent, self.seating.are_neighbours(&hold.seats))?;
        let apart = event.relaxed.iter().any(|step| *step != Relaxed::Orphan);
        ensure(!(apart && event.adjacent), Kind::RulesBroken, || {
            format!("{id} has seats side by side, but {:?} is said of it", event.relaxed)
        })?;
        ensure(hold.places() > 0, Kind::RulesBroken, || format!("{id} has no places"))?;
        let places = self.places_by_user.entry((hold.user, hold.by_organizer)).or_default();
        *places += hold.places();
        let limit = if event.by_organizer { GROUP_PLACES } else { self.created.terms.seats_per_user_max };
        let places = *places;
        ensure(places <= limit, Kind::RulesBroken, || format!("user {} has {places} of {limit} places", hold.user))?;
        let at_once = self.created.terms.seats_per_hold_max;
        let is_one_too_large = !event.by_organizer && at_once > 0 && hold.places() > at_once;
        ensure(!is_one_too_large, Kind::RulesBroken, || format!("{id} has {} places, above {at_once}", hold.places()))?;
        self.check_lapses(&hold, at)?;
        self.available = self.available.checked_sub(hold.places()).ok_or((Kind::PlacesSoldTwice, "too many".into()))?;
        same(Kind::RulesBroken, "available", event.available, self.available)?;
        self.ids.insert(id, index);
        let repeat = event.repeat.map(|repeat| (hold.user, repeat));
        self.reservations[index as usize] = Some(hold);
        Ok(EventEffect::Held(repeat))
    }

    /// A hold came to nothing.
    fn lapsed(&mut self, user: UserId, at: Millis, counts: bool) {
        if counts && self.created.terms.lapsed_holds_max > 0 {
            let lapses = self.lapses.entry(user).or_default();
            // An hour, and another one for clocks that are set back.
            lapses.retain(|lapsed| at < lapsed + 2 * LAPSES_WINDOW_MS);
            lapses.push(at);
        }
    }

    /// Whether holds given up within a minute make up one more minute. Performances that were created before that counted do
    /// not say which of their times follow the start: what was held there then was granted without it.
    fn adds_up(&mut self, user: UserId, held: Millis, at: Millis) -> bool {
        if !self.moments_count || self.created.terms.lapsed_holds_max == 0 {
            return false;
        }
        let (moments, last) = self.moments.entry(user).or_default();
        *moments = if at >= *last + LAPSES_WINDOW_MS { held } else { *moments + held };
        *last = at;
        let counts = *moments >= CHANGE_OF_MIND_MS;
        if counts {
            *moments -= CHANGE_OF_MIND_MS;
        }
        counts
    }

    /// Who let too many holds come to nothing gets no new one.
    fn check_lapses(&self, hold: &Reservation, at: Millis) -> Result<(), Fault> {
        let max = self.created.terms.lapsed_holds_max as usize;
        let Some(lapses) = self.lapses.get(&hold.user).filter(|_| max > 0 && !hold.by_organizer) else { return Ok(()) };
        let counted = lapses.iter().filter(|lapsed| at < **lapsed + LAPSES_WINDOW_MS).count();
        ensure(counted <= max, Kind::RulesBroken, || {
            format!(
                "user {} holds again after {counted} holds that came to nothing, of {max} within an hour",
                hold.user
            )
        })
    }

    fn stand(&mut self, name: &str, count: u32) -> Result<(u32, &Price), Fault> {
        let area = self.seating.area(name).ok_or((Kind::PlacesSoldTwice, format!("there is no area {name:?}")))?;
        let (capacity, price) = &self.seating.standing[area];
        let (taken, blocked) = (self.standing_taken[area].saturating_add(count), self.standing_blocked[area]);
        ensure(taken.saturating_add(blocked) <= *capacity, Kind::PlacesSoldTwice, || {
            format!("{taken} places of area {name:?} are taken, {blocked} blocked, of {capacity}")
        })?;
        self.standing_taken[area] = taken;
        Ok((area as u32, price))
    }

    /// The live reservation of `user`, which must be at one of `stages`.
    fn stage(&mut self, id: ReservationId, user: UserId, stages: &[Stage]) -> Result<&mut Reservation, Fault> {
        let broken = |what: String| Err((Kind::PurchasesBroken, what));
        let Some(index) = self.ids.get(&id).copied() else { return broken(format!("there is no reservation {id}")) };
        let Some(Some(reservation)) = self.reservations.get_mut(index as usize) else {
            return broken(format!("{id} was over before"));
        };
        if reservation.user != user {
            return broken(format!("{id} is of user {}, not of {user}", reservation.user));
        }
        if !stages.contains(&reservation.stage) {
            return broken(format!("{id} is {:?}, must be {stages:?}", reservation.stage));
        }
        Ok(reservation)
    }

    fn extended(&mut self, event: &HoldExtended, at: Millis) -> Result<EventEffect, Fault> {
        let extension = self.created.terms.extension_s as Millis * 1000;
        let hold = self.stage(event.reservation_id, event.user_id, &[Stage::Held])?;
        let allowed = extension > 0 && !hold.extended && at < hold.expires_at;
        ensure(allowed, Kind::RulesBroken, || format!("{} must not be extended", event.reservation_id))?;
        let cap = hold.first_expires_at + extension;
        let expected = (hold.expires_at + extension).min(cap).max(hold.expires_at);
        same(Kind::RulesBroken, "expires_at_ms", event.expires_at_ms, expected)?;
        (hold.expires_at, hold.extended) = (expected, true);
        Ok(EventEffect::Other)
    }

    fn payment_started(&mut self, event: &PaymentStarted, at: Millis) -> Result<EventEffect, Fault> {
        let ttl = self.created.terms.payment_ttl_s as Millis * 1000;
        let hold = self.stage(event.reservation_id, event.user_id, &[Stage::Held])?;
        ensure(at < hold.expires_at, Kind::RulesBroken, || {
            format!("{} is paid at {at}, but expired at {}", event.reservation_id, hold.expires_at)
        })?;
        same(Kind::PointsOff, "points", event.points, hold.points)?;
        same(Kind::RulesBroken, "left_ms", event.left_ms, hold.expires_at - at)?;
        same(Kind::RulesBroken, "payment_deadline_ms", event.payment_deadline_ms, at + ttl)?;
        (hold.stage, hold.left, hold.payment_deadline) = (Stage::Paying, event.left_ms, event.payment_deadline_ms);
        Ok(EventEffect::Other)
    }

    fn payment_refused(&mut self, event: &PaymentRefused, at: Millis) -> Result<EventEffect, Fault> {
        let (grace, extension) = (self.created.refusal_grace_s, self.created.terms.extension_s);
        let paying = self.stage(event.reservation_id, event.user_id, &[Stage::Paying])?;
        ensure(!paying.spent, Kind::PurchasesBroken, || format!("{} is paid, and refused", event.reservation_id))?;
        same(Kind::PointsOff, "points", event.points, paying.points)?;
        let extension = if paying.extended { extension } else { 0 };
        let end = grace.map(|grace| paying.first_expires_at + (extension + grace) as Millis * 1000);
        // Performances of before there was an absolute end have none.
        let expected = (at + paying.left.max(LEFT_AFTER_REFUSAL_MS)).min(end.map_or(Millis::MAX, |end| end.max(at)));
        same(Kind::RulesBroken, "expires_at_ms", event.expires_at_ms, expected)?;
        (paying.stage, paying.expires_at) = (Stage::Held, expected);
        Ok(EventEffect::Refused)
    }

    /// Whether an event names the places that its reservation has.
    fn check_places(&self, id: ReservationId, places: &Places) -> Result<SmallVec<[u32; 4]>, Fault> {
        let reservation = self.ids.get(&id).and_then(|index| self.reservations[*index as usize].as_ref());
        let reservation = reservation.expect("its stage was checked");
        let mut named = SmallVec::<[u32; 4]>::new();
        for label in &places.seats {
            named.push(self.seat(label)?.0);
        }
        let area = places.area.as_ref().map(|area| (self.seating.area(&area.area).map(|area| area as u32), area.count));
        let fits = named == reservation.seats && area == reservation.area.map(|(area, count)| (Some(area), count));
        ensure(fits, Kind::PlacesSoldTwice, || format!("{id} has other places than {places:?}"))?;
        Ok(named)
    }

    /// Ends a reservation: its places are free.
    fn free(&mut self, id: ReservationId, places: &Places, available: u32) -> Result<(), Fault> {
        let seats = self.check_places(id, places)?;
        let index = self.ids.insert(id, OVER).expect("its stage was checked");
        for (seat, label) in seats.into_iter().zip(&places.seats) {
            self.own(seat, label, index + 1, FREE)?;
        }
        let over = self.reservations[index as usize].take().expect("its stage was checked");
        self.vacant.push(index);
        if let Some((area, count)) = over.area {
            self.standing_taken[area as usize] -= count;
        }
        let owner = (over.user, over.by_organizer);
        if let Some(left) = self.places_by_user.get_mut(&owner) {
            *left -= over.places();
            if *left == 0 {
                self.places_by_user.remove(&owner);
            }
        }
        self.available += over.places();
        same(Kind::RulesBroken, "available", available, self.available)
    }
}
