//! Holds: what a wish comes to, and who may have it.

use super::event::{Event, PerformanceCreated, SeatsHeld};
use super::fairness::GROUP_PLACES_MAX;
use super::rejection::{Rejection, Replacement};
use super::reservation::{AreaView, Reservation, SeatView, View};
use super::seats::best::{self, PlacesByKind, Relaxed, Wanted, near};
use super::seats::chart::LaidRow;
use super::terms::{SaleState, sale_state};
use super::{FREE, Performance};
use crate::{Command, Context, Effect, IdempotencyRecord, REPEAT_KEPT_MS};
use base::id::{Millis, OrganizerId, PerformanceId, ReservationId, UserId};
use smallvec::SmallVec;

/// A user holds places.
#[derive(Clone, Debug)]
pub struct Hold {
    pub user: UserId,
    pub wish: SeatRequest,
    pub repeat: Option<IdempotencyRecord>,
}

/// Places that the organizer holds for a buyer, who pays for them: a group may be larger than what one user may have.
#[derive(Clone, Debug)]
pub struct HoldForBuyer {
    pub organizer: OrganizerId,
    pub user: UserId,
    pub wish: SeatRequest,
    pub repeat: Option<IdempotencyRecord>,
}

/// The hold that a request with this key made: for somebody who may not hold places any more, and asks again for the answer
/// to that request.
#[derive(Clone, Debug)]
pub struct FindHold {
    pub user: UserId,
    pub repeat: IdempotencyRecord,
}

/// The places that a user wants.
#[derive(Clone, Debug, PartialEq)]
pub enum SeatRequest {
    /// These seats, by label.
    Seats(Vec<String>),
    /// The best that are free; `accessible` of them for wheelchair users.
    Best { grade: Option<String>, section: Option<String>, count: u32, accessible: u32 },
    /// Standing places.
    Area { area: String, count: u32 },
    /// Seats, by label or the best, and standing places: all or nothing.
    Both { seats: Box<SeatRequest>, area: String, count: u32 },
}

/// Who will have the places, and whether their organizer asks for them.
#[derive(Clone, Copy)]
pub(super) struct Buyer {
    pub user: UserId,
    pub by_organizer: bool,
}

/// The places that a hold would take.
struct Offer {
    seats: SmallVec<[u32; 4]>,
    area: Option<(usize, u32)>,
    adjacent: bool,
    relaxed: Vec<Relaxed>,
}

/// The reservation that a hold came to.
#[derive(Clone, Debug)]
pub struct Held {
    pub view: Box<View>,
    /// The same request held them before: this is what was answered then.
    pub repeated: bool,
}

impl Command for Hold {
    type On = Performance;
    type Answer = Held;
    type Rejection = Rejection;

    fn decide(&self, performance: &Performance, context: &Context) -> Result<Vec<Event>, Rejection> {
        let buyer = Buyer { user: self.user, by_organizer: false };
        performance.hold(performance.created()?, buyer, &self.wish, self.repeat, context)
    }

    fn answer(&self, performance: &Performance, effect: &Effect<'_, Performance>) -> Held {
        performance.held(effect, self.user, self.repeat)
    }

    fn newcomer(&self) -> Option<UserId> {
        Some(self.user)
    }
}

impl Command for HoldForBuyer {
    type On = Performance;
    type Answer = Held;
    type Rejection = Rejection;

    fn decide(&self, performance: &Performance, context: &Context) -> Result<Vec<Event>, Rejection> {
        let created = performance.sold_by(self.organizer)?;
        let buyer = Buyer { user: self.user, by_organizer: true };
        performance.hold(created, buyer, &self.wish, self.repeat, context)
    }

    fn answer(&self, performance: &Performance, effect: &Effect<'_, Performance>) -> Held {
        performance.held(effect, self.user, self.repeat)
    }

    fn newcomer(&self) -> Option<UserId> {
        Some(self.user)
    }
}

impl Command for FindHold {
    type On = Performance;
    type Answer = Held;
    type Rejection = Rejection;

    fn decide(&self, performance: &Performance, context: &Context) -> Result<Vec<Event>, Rejection> {
        performance.created()?;
        let first = performance.repeated(self.user, self.repeat, context.now);
        first.unwrap_or(Err(Rejection::UnknownReservation)).map(|_| vec![])
    }

    fn answer(&self, performance: &Performance, effect: &Effect<'_, Performance>) -> Held {
        performance.held(effect, self.user, Some(self.repeat))
    }
}

impl Performance {
    /// What a hold came to: a new reservation, or the one that its key stands for.
    fn held(&self, effect: &Effect<'_, Performance>, user: UserId, repeat: Option<IdempotencyRecord>) -> Held {
        if let Some(Event::SeatsHeld(held)) = effect.events.last() {
            let view = self.shown(held.reservation_id).expect("what is held now is there");
            return Held { view, repeated: false };
        }
        let slot = repeat.and_then(|repeat| self.by_key.get(&(user, repeat.key)));
        let first = slot.and_then(|slot| self.slots[*slot as usize].as_ref());
        let first = first.expect("a hold that is asked for again is remembered");
        Held { view: Box::new(first.first_view(effect.id, &self.layout)), repeated: true }
    }

    fn hold(
        &self,
        created: &PerformanceCreated,
        buyer: Buyer,
        wish: &SeatRequest,
        repeat: Option<IdempotencyRecord>,
        context: &Context,
    ) -> Result<Vec<Event>, Rejection> {
        let user = buyer.user;
        if let Some(repeat) = repeat
            && let Some(first) = self.repeated(user, repeat, context.now)
        {
            return first.map(|_| vec![]);
        }
        let limit = if buyer.by_organizer { GROUP_PLACES_MAX } else { created.terms.seats_per_user_max };
        let at_once = match created.terms.seats_per_hold_max {
            max @ 1.. if !buyer.by_organizer => limit.min(max),
            _ => limit,
        };
        let seats = self.check_wish(wish, at_once)?;
        let granted = self.grant(created, buyer, wish, seats, (limit, repeat), context);
        // Asked only of what is refused anyway, and said before all that may be otherwise later.
        granted.map_err(|refused| self.impossible(wish).map_or(refused, Rejection::Invalid))
    }

    fn grant(
        &self,
        created: &PerformanceCreated,
        buyer: Buyer,
        wish: &SeatRequest,
        seats: SmallVec<[u32; 4]>,
        (limit, repeat): (u32, Option<IdempotencyRecord>),
        context: &Context,
    ) -> Result<Vec<Event>, Rejection> {
        let user = buyer.user;
        let state = sale_state(self.sale, created.terms.sale_opens_at_ms, created.terms.sale_closes_at_ms, context.now);
        self.refuse_cancelled()?;
        if state != SaleState::OnSale {
            return Err(Rejection::SaleNotOpen { state, opens_at_ms: created.terms.sale_opens_at_ms });
        }
        if !buyer.by_organizer
            && let Some(refused) = self.lapses.refuse(user, created.terms.lapsed_holds_max, context.now)
        {
            return Err(refused);
        }
        let held = self.places_by_user.get(&user).map_or(0, |places| places.held(buyer.by_organizer));
        if held + wish.count() > limit {
            return Err(Rejection::SeatLimit { limit, held });
        }
        let offer = self.offer(wish, seats)?;

        // Past this line the hold stands.
        let performance = PerformanceId(context.key);
        let mut bits = context.random as u64;
        let mut id = ReservationId::from_random(performance, bits);
        while self.by_id.contains_key(&id) {
            bits = bits.wrapping_add(1 << 4);
            id = ReservationId::from_random(performance, bits);
        }
        Ok(vec![Event::SeatsHeld(self.seats_held(id, buyer, offer, created, repeat, context.now))])
    }

    fn seats_held(
        &self,
        id: ReservationId,
        buyer: Buyer,
        offer: Offer,
        created: &PerformanceCreated,
        repeat: Option<IdempotencyRecord>,
        now: Millis,
    ) -> SeatsHeld {
        let seats = self.seat_views(&offer.seats);
        let area = offer.area.map(|(index, count)| {
            let area = &self.layout.areas[index];
            let (grade, points) = self.layout.price(area.grade);
            AreaView { area: area.name.to_string(), grade: grade.into(), count, points: points * count as u64 }
        });
        let points = seats.iter().map(|seat| seat.points).chain(area.iter().map(|area| area.points)).sum();
        let places = seats.len() as u32 + area.as_ref().map_or(0, |area| area.count);
        SeatsHeld {
            reservation_id: id,
            user_id: buyer.user,
            seats,
            area,
            points,
            adjacent: offer.adjacent,
            relaxed: offer.relaxed,
            by_organizer: buyer.by_organizer,
            expires_at_ms: now + created.terms.hold_ttl_s as Millis * 1000,
            available: self.available() - places,
            repeat,
        }
    }

    /// The hold that this key stands for, if any; refused when it was of other places.
    pub(super) fn repeated(
        &self,
        user: UserId,
        repeat: IdempotencyRecord,
        now: Millis,
    ) -> Option<Result<&Reservation, Rejection>> {
        let slot = *self.by_key.get(&(user, repeat.key))?;
        let first = self.slots[slot as usize].as_ref()?;
        if now >= first.held_at_ms + REPEAT_KEPT_MS {
            return None;
        }
        let same = first.repeat.is_some_and(|first| first.content == repeat.content);
        Some(if same { Ok(first) } else { Err(Rejection::KeyReused) })
    }

    /// Seats with their prices.
    fn seat_views(&self, seats: &[u32]) -> Vec<SeatView> {
        let mut row: Option<&LaidRow> = None;
        let view = |seat: &u32| {
            let known = row.filter(|row| row.seats().contains(seat));
            let row = *row.insert(known.unwrap_or_else(|| &self.layout.rows[self.layout.row_of(*seat)]));
            let (grade, points) = self.layout.price(row.grade_of(*seat));
            SeatView { seat: row.label(*seat), grade: grade.into(), points }
        };
        seats.iter().map(view).collect()
    }

    /// Everything about a wish that no other buyer can change: seats exist, are named once, are not too many.
    fn check_wish(&self, wish: &SeatRequest, limit: u32) -> Result<SmallVec<[u32; 4]>, Rejection> {
        let known_area = |area: &String| match self.layout.area(area) {
            Some(_) => Ok(()),
            None => Err(Rejection::UnknownArea { area: area.clone() }),
        };
        let seats = match wish {
            SeatRequest::Seats(labels) => self.named_seats(labels, limit as usize)?,
            SeatRequest::Best { grade, section, accessible, .. } => {
                if let Some(grade) = grade
                    && self.layout.grade_named(grade).is_none()
                {
                    return Err(Rejection::UnknownGrade { grade: grade.clone() });
                }
                if let Some(section) = section
                    && self.layout.section(section).is_none()
                {
                    return Err(Rejection::UnknownSection { section: section.clone() });
                }
                if *accessible > wish.count() {
                    return Err(Rejection::MoreAccessibleThanSeats);
                }
                SmallVec::new()
            }
            SeatRequest::Area { area, .. } => known_area(area).map(|()| SmallVec::new())?,
            SeatRequest::Both { seats, area, count } => {
                known_area(area)?;
                if *count == 0 || matches!(**seats, SeatRequest::Area { .. } | SeatRequest::Both { .. }) {
                    return Err(Rejection::NoPlaces);
                }
                self.check_wish(seats, limit)?
            }
        };
        match wish.count() {
            0 => Err(Rejection::NoPlaces),
            count if count > limit => Err(Rejection::TooManyPlaces { limit }),
            _ => Ok(seats),
        }
    }

    pub(super) fn named_seats(&self, labels: &[String], max: usize) -> Result<SmallVec<[u32; 4]>, Rejection> {
        if labels.is_empty() {
            return Err(Rejection::NoPlaces);
        }
        if labels.len() > max {
            return Err(Rejection::TooManyPlaces { limit: max as u32 });
        }
        let found: SmallVec<[Option<u32>; 4]> = labels.iter().map(|label| self.layout.seat(label)).collect();
        if found.iter().any(Option::is_none) {
            let unknown = labels.iter().zip(&found).filter(|(_, seat)| seat.is_none());
            return Err(Rejection::UnknownSeats { seats: unknown.map(|(label, _)| label.clone()).collect() });
        }
        let seats: SmallVec<[u32; 4]> = found.into_iter().flatten().collect();
        let mut sorted = seats.clone();
        sorted.sort_unstable();
        if let Some(twice) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Rejection::RepeatedSeat { seat: self.layout.label(twice[0]) });
        }
        Ok(seats)
    }

    pub(super) fn refuse_taken(
        &self,
        labels: &[String],
        seats: &[u32],
        takes: impl Fn(u32) -> bool,
    ) -> Result<(), Rejection> {
        let taken = labels.iter().zip(seats).filter(|(_, seat)| !takes(**seat));
        let taken: Vec<String> = taken.map(|(label, _)| label.clone()).collect();
        if taken.is_empty() { Ok(()) } else { Err(Rejection::SeatsUnavailable { seats: taken }) }
    }

    fn offer(&self, wish: &SeatRequest, seats: SmallVec<[u32; 4]>) -> Result<Offer, Rejection> {
        match wish {
            SeatRequest::Seats(labels) => {
                if seats.iter().any(|seat| self.seats[*seat as usize] != FREE) {
                    return Err(self.seats_taken(labels, &seats));
                }
                let adjacent = self.vacancies.are_neighbours(&seats);
                Ok(Offer { seats, area: None, adjacent, relaxed: Vec::new() })
            }
            SeatRequest::Best { grade, section, count, accessible } => {
                let grade = grade.as_deref().map(|grade| self.layout.grade_named(grade).expect("checked"));
                let section = section.as_deref().map(|section| self.layout.section(section).expect("checked"));
                let wanted = Wanted { grade, section, count: *count, accessible: *accessible };
                self.best(&wanted)
            }
            SeatRequest::Area { area, count } => self.standing(self.layout.area(area).expect("checked"), *count),
            SeatRequest::Both { seats: wish, area, count } => {
                let standing = self.standing(self.layout.area(area).expect("checked"), *count)?;
                match self.offer(wish, seats)? {
                    Offer { area: None, seats, adjacent, relaxed } => {
                        Ok(Offer { area: standing.area, seats, adjacent, relaxed })
                    }
                    // A grade of standing places was asked for, and other standing places: see `impossible`.
                    Offer { area: Some(_), .. } => Err(Rejection::NoPlaces),
                }
            }
        }
    }

    fn best(&self, wanted: &Wanted<'_>) -> Result<Offer, Rejection> {
        if let Some(found) = best::find(&self.layout, &self.vacancies, wanted) {
            let (seats, adjacent, relaxed) = (found.seats.into(), found.adjacent, found.relaxed);
            return Ok(Offer { seats, area: None, adjacent, relaxed });
        }
        let seated = |grade| self.layout.rows.iter().any(|row| row.has_grade(grade));
        if let Wanted { grade: Some(grade), section: None, accessible: 0, count } = *wanted
            && !seated(grade)
        {
            // The grade has standing places only: the best of them are those of the first area that has as many.
            let areas = || (0..self.layout.areas.len()).filter(|area| self.layout.areas[*area].grade == grade);
            let area = areas().find(|area| self.area_left(*area) >= count);
            let available = areas().map(|area| self.area_left(area)).max().unwrap_or(0);
            let places = PlacesByKind { standing: self.standing_left(wanted), ..PlacesByKind::default() };
            return area.map_or(Err(Rejection::TooFewLeft { available, places }), |area| self.standing(area, count));
        }
        let seats = best::free_by_kind(&self.layout, &self.vacancies, wanted);
        let available = match wanted.accessible {
            0 => seats.standard,
            accessible if seats.accessible < accessible => seats.accessible,
            _ => seats.seats(),
        };
        let places = PlacesByKind { standing: self.standing_left(wanted), ..seats };
        Err(Rejection::TooFewLeft { available, places })
    }

    /// Standing places that are left of the grade that is wanted, or of all; sections have none.
    fn standing_left(&self, wanted: &Wanted<'_>) -> u32 {
        let fits = |area: &usize| {
            wanted.section.is_none() && wanted.grade.is_none_or(|grade| grade == self.layout.areas[*area].grade)
        };
        (0..self.layout.areas.len()).filter(fits).map(|area| self.area_left(area)).sum()
    }

    fn standing(&self, area: usize, count: u32) -> Result<Offer, Rejection> {
        let available = self.area_left(area);
        if count > available {
            let places = PlacesByKind { standing: available, ..PlacesByKind::default() };
            return Err(Rejection::TooFewLeft { available, places });
        }
        Ok(Offer { seats: SmallVec::new(), area: Some((area, count)), adjacent: true, relaxed: Vec::new() })
    }

    /// Names the taken ones of `seats`, and what there is instead.
    fn seats_taken(&self, labels: &[String], seats: &[u32]) -> Rejection {
        let taken = labels.iter().zip(seats).filter(|(_, seat)| self.seats[**seat as usize] != FREE);
        let taken = taken.map(|(label, _)| label.clone()).collect();
        let replacement = near::replacement(&self.layout, &self.vacancies, seats).map(|found| {
            let seats = self.seat_views(&found.seats);
            let points = seats.iter().map(|seat| seat.points).sum();
            Box::new(Replacement { seats, points, adjacent: found.adjacent, relaxed: found.relaxed })
        });
        Rejection::SeatsTaken { seats: taken, replacement }
    }
}

impl SeatRequest {
    /// How many places are wanted.
    pub fn count(&self) -> u32 {
        match self {
            SeatRequest::Seats(labels) => labels.len() as u32,
            SeatRequest::Best { count, .. } | SeatRequest::Area { count, .. } => *count,
            SeatRequest::Both { seats, count, .. } => seats.count().saturating_add(*count),
        }
    }
}
