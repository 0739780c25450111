//! The rules of a performance. Each refuses from the top down; what is left at the end happens.

use super::event::*;
use super::*;
use crate::domain::best::{self, Wanted};
use crate::domain::chart::Invalid;
use crate::domain::reservation::{AreaView, SeatView};
use crate::domain::{REPEAT_KEPT_MS, Repeat};
use smallvec::SmallVec;

/// A hold's life, s. domain.md: default 300.
const HOLD_TTL_S: std::ops::RangeInclusive<u32> = 1..=86_400;
/// How long a payment may take, s. domain.md: default 60.
const PAYMENT_TTL_S: std::ops::RangeInclusive<u32> = 1..=3_600;
const EXTENSION_S_MAX: u32 = 86_400;
const SEATS_PER_USER: std::ops::RangeInclusive<u32> = 1..=100;
/// After a refused payment a user has at least this long to charge and try again, ms. domain.md: 60 s.
const LEFT_AFTER_REFUSAL_MS: Millis = 60_000;
/// Labels that one block or unblock names.
const BLOCK_SEATS_MAX: usize = 10_000;

pub(super) fn lapsed(performance: &Performance, now: Millis) -> Vec<Event> {
    let mut available = performance.available();
    let mut events = Vec::new();
    for (_, slot) in performance.due.iter().take_while(|(at, _)| *at <= now) {
        let Some(reservation) = &performance.slots[*slot as usize] else { continue };
        if reservation.state == State::Held {
            available += reservation.places();
            events.push(Event::HoldExpired(HoldExpired {
                reservation_id: reservation.id,
                user_id: reservation.user,
                places: performance.places_of(reservation),
                available,
            }));
        }
    }
    events
}

pub(super) fn decide(performance: &Performance, command: &Command, context: &Context) -> Result<Vec<Event>, Rejection> {
    if let Command::Create(create) = command {
        return performance.create(create);
    }
    let Some(created) = &performance.created else { return Err(Rejection::UnknownPerformance) };
    match command {
        Command::Create(_) => unreachable!("handled above"),
        Command::Describe | Command::ShowChart | Command::Availability | Command::Changes { .. } => Ok(vec![]),
        Command::SetSale { organizer, .. } | Command::Block { organizer, .. } | Command::Unblock { organizer, .. }
            if *organizer != created.organizer_id =>
        {
            Err(Rejection::UnknownPerformance)
        }
        Command::SetSale { sale, .. } => performance.set_sale(*sale, created, context.now),
        Command::Block { seats, .. } => performance.block(seats),
        Command::Unblock { seats, .. } => performance.unblock(seats),
        Command::Hold { user, wish, repeat } => performance.hold(created, *user, wish, *repeat, context),
        Command::Extend { user, reservation } => {
            performance.extend(created, performance.reservation_of(*user, *reservation)?)
        }
        Command::Pay { user, reservation } => {
            performance.pay(created, performance.reservation_of(*user, *reservation)?, context.now)
        }
        Command::Cancel { user, reservation } => {
            performance.cancel(created, performance.reservation_of(*user, *reservation)?, context.now)
        }
        Command::Read { user, reservation } => performance.reservation_of(*user, *reservation).map(|_| vec![]),
        Command::Confirm { reservation } => performance.confirm(*reservation),
        Command::RefusePayment { reservation, reason, balance, payment_deadline_ms } => {
            performance.refuse_payment(*reservation, (*reason, *balance), *payment_deadline_ms, context.now)
        }
        Command::FinishCancellation { reservation } => performance.finish_cancellation(*reservation),
    }
}

/// The places that a hold would take, with their price.
struct Offer {
    seats: SmallVec<[u32; 4]>,
    area: Option<(usize, u32)>,
    adjacent: bool,
}

impl Performance {
    fn create(&self, create: &Create) -> Result<Vec<Event>, Rejection> {
        if let Some(created) = &self.created {
            let same = created.content == create.content && created.organizer_id == create.organizer;
            return if same { Ok(vec![]) } else { Err(Rejection::KeyReused) };
        }
        let layout = Layout::new(&create.chart, &create.prices).map_err(Rejection::Invalid)?;
        check_terms(create).map_err(Rejection::Invalid)?;
        Ok(vec![Event::PerformanceCreated(PerformanceCreated {
            concert_id: create.concert,
            organizer_id: create.organizer,
            starts_at_ms: create.starts_at_ms,
            sale_opens_at_ms: create.sale_opens_at_ms,
            sale_closes_at_ms: create.sale_closes_at_ms,
            cancellation_closes_at_ms: create.cancellation_closes_at_ms,
            hold_ttl_s: create.hold_ttl_s,
            payment_ttl_s: create.payment_ttl_s,
            extension_s: create.extension_s,
            seats_per_user_max: create.seats_per_user_max,
            prices: create.prices.clone(),
            chart: create.chart.clone().into(),
            content: create.content,
            available: layout.places(),
        })])
    }

    fn set_sale(&self, sale: Sale, created: &PerformanceCreated, now: Millis) -> Result<Vec<Event>, Rejection> {
        let over = self.sale == Sale::Closed || now >= created.sale_closes_at_ms;
        match sale {
            Sale::Closed if self.sale == Sale::Closed => Ok(vec![]),
            Sale::Closed => Ok(vec![Event::SaleClosed(SaleClosed {})]),
            _ if over => Err(Rejection::SaleClosed),
            _ if sale == self.sale => Ok(vec![]),
            Sale::Paused => Ok(vec![Event::SalePaused(SalePaused {})]),
            Sale::Running => Ok(vec![Event::SaleResumed(SaleResumed {})]),
        }
    }

    fn block(&self, labels: &[String]) -> Result<Vec<Event>, Rejection> {
        let seats = self.named_seats(labels, BLOCK_SEATS_MAX)?;
        let holder = |seat: &u32| self.seats[*seat as usize];
        self.refuse_taken(labels, &seats, |seat| matches!(holder(&seat), FREE | BLOCKED))?;
        let free: Vec<u32> = seats.into_iter().filter(|seat| holder(seat) == FREE).collect();
        if free.is_empty() {
            return Ok(vec![]);
        }
        let available = self.available() - free.len() as u32;
        let seats = free.iter().map(|seat| self.layout.label(*seat)).collect();
        Ok(vec![Event::SeatsBlocked(SeatsBlocked { seats, available })])
    }

    fn unblock(&self, labels: &[String]) -> Result<Vec<Event>, Rejection> {
        let seats = self.named_seats(labels, BLOCK_SEATS_MAX)?;
        let blocked: Vec<u32> = seats.into_iter().filter(|seat| self.seats[*seat as usize] == BLOCKED).collect();
        if blocked.is_empty() {
            return Ok(vec![]);
        }
        let available = self.available() + blocked.len() as u32;
        let seats = blocked.iter().map(|seat| self.layout.label(*seat)).collect();
        Ok(vec![Event::SeatsUnblocked(SeatsUnblocked { seats, available })])
    }

    fn hold(
        &self,
        created: &PerformanceCreated,
        user: UserId,
        wish: &Wish,
        repeat: Option<Repeat>,
        context: &Context,
    ) -> Result<Vec<Event>, Rejection> {
        if let Some(first) = self.repeated(user, repeat, context.now) {
            let same = first.repeat.map(|first| first.content) == repeat.map(|repeat| repeat.content);
            return if same { Ok(vec![]) } else { Err(Rejection::KeyReused) };
        }
        let limit = created.seats_per_user_max;
        let seats = self.check_wish(wish, limit)?;

        let state = command::sale_state(self.sale, created.sale_opens_at_ms, created.sale_closes_at_ms, context.now);
        if state != SaleState::OnSale {
            return Err(Rejection::SaleNotOpen { state, opens_at_ms: created.sale_opens_at_ms });
        }
        let held = self.places_by_user.get(&user).copied().unwrap_or(0);
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
        Ok(vec![Event::SeatsHeld(self.seats_held(id, user, offer, created, repeat, context.now))])
    }

    fn seats_held(
        &self,
        id: ReservationId,
        user: UserId,
        offer: Offer,
        created: &PerformanceCreated,
        repeat: Option<Repeat>,
        now: Millis,
    ) -> SeatsHeld {
        let seat = |seat: &u32| {
            let (grade, points) = self.layout.price(self.layout.rows[self.layout.row_of(*seat)].grade);
            SeatView { seat: self.layout.label(*seat), grade: grade.into(), points }
        };
        let seats: Vec<SeatView> = offer.seats.iter().map(seat).collect();
        let area = offer.area.map(|(index, count)| {
            let area = &self.layout.areas[index];
            let (grade, points) = self.layout.price(area.grade);
            AreaView { area: area.name.to_string(), grade: grade.into(), count, points: points * count as u64 }
        });
        let points = seats.iter().map(|seat| seat.points).chain(area.iter().map(|area| area.points)).sum();
        let places = seats.len() as u32 + area.as_ref().map_or(0, |area| area.count);
        SeatsHeld {
            reservation_id: id,
            user_id: user,
            seats,
            area,
            points,
            adjacent: offer.adjacent,
            expires_at_ms: now + created.hold_ttl_s as Millis * 1000,
            available: self.available() - places,
            repeat,
        }
    }

    fn repeated(&self, user: UserId, repeat: Option<Repeat>, now: Millis) -> Option<&Reservation> {
        let slot = *self.by_key.get(&(user, repeat?.key))?;
        let first = self.slots[slot as usize].as_ref()?;
        (now < first.held_at_ms + REPEAT_KEPT_MS).then_some(first)
    }

    /// Everything about a wish that no other buyer can change: seats exist, are named once, are not too many.
    fn check_wish(&self, wish: &Wish, limit: u32) -> Result<SmallVec<[u32; 4]>, Rejection> {
        let seats = match wish {
            Wish::Seats(labels) => self.named_seats(labels, limit as usize)?,
            Wish::Best { grade, section, .. } => {
                if let Some(grade) = grade
                    && !self.layout.grades.iter().any(|(name, _)| name == grade)
                {
                    return Err(Rejection::UnknownGrade { grade: grade.clone() });
                }
                if let Some(section) = section
                    && !self.layout.rows.iter().any(|row| *row.section == **section)
                {
                    return Err(Rejection::UnknownSection { section: section.clone() });
                }
                SmallVec::new()
            }
            Wish::Area { area, .. } if self.layout.area(area).is_none() => {
                return Err(Rejection::UnknownArea { area: area.clone() });
            }
            Wish::Area { .. } => SmallVec::new(),
        };
        match wish.count() {
            0 => Err(Rejection::NoPlaces),
            count if count > limit => Err(Rejection::TooManyPlaces { limit }),
            _ => Ok(seats),
        }
    }

    fn named_seats(&self, labels: &[String], max: usize) -> Result<SmallVec<[u32; 4]>, Rejection> {
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

    fn refuse_taken(&self, labels: &[String], seats: &[u32], takes: impl Fn(u32) -> bool) -> Result<(), Rejection> {
        let taken = labels.iter().zip(seats).filter(|(_, seat)| !takes(**seat));
        let taken: Vec<String> = taken.map(|(label, _)| label.clone()).collect();
        if taken.is_empty() { Ok(()) } else { Err(Rejection::SeatsUnavailable { seats: taken }) }
    }

    fn offer(&self, wish: &Wish, seats: SmallVec<[u32; 4]>) -> Result<Offer, Rejection> {
        let free = |seat: u32| self.seats[seat as usize] == FREE;
        match wish {
            Wish::Seats(labels) => {
                self.refuse_taken(labels, &seats, free)?;
                let adjacent = self.are_neighbours(&seats);
                Ok(Offer { seats, area: None, adjacent })
            }
            Wish::Best { grade, section, count } => {
                let grade = grade
                    .as_deref()
                    .map(|grade| self.layout.grades.iter().position(|(name, _)| name == grade).expect("checked") as u8);
                let wanted = Wanted { grade, section: section.as_deref(), count: *count };
                match best::find(&self.layout, &wanted, &free) {
                    Some((seats, adjacent)) => Ok(Offer { seats: seats.into(), area: None, adjacent }),
                    None => Err(Rejection::TooFewLeft { available: self.free_seats(&wanted) }),
                }
            }
            Wish::Area { area, count } => {
                let index = self.layout.area(area).expect("checked");
                let available = self.area_left(index);
                if *count > available {
                    return Err(Rejection::TooFewLeft { available });
                }
                Ok(Offer { seats: SmallVec::new(), area: Some((index, *count)), adjacent: true })
            }
        }
    }

    fn free_seats(&self, wanted: &Wanted<'_>) -> u32 {
        let fits = |seat: &u32| {
            let row = &self.layout.rows[self.layout.row_of(*seat)];
            wanted.grade.is_none_or(|grade| grade == row.grade)
                && wanted.section.is_none_or(|section| *section == *row.section)
        };
        (0..self.layout.seats).filter(|seat| self.seats[*seat as usize] == FREE).filter(fits).count() as u32
    }

    fn are_neighbours(&self, seats: &[u32]) -> bool {
        let (Some(first), Some(last)) = (seats.iter().min(), seats.iter().max()) else { return true };
        last - first + 1 == seats.len() as u32 && self.layout.row_of(*first) == self.layout.row_of(*last)
    }

    fn extend(&self, created: &PerformanceCreated, reservation: &Reservation) -> Result<Vec<Event>, Rejection> {
        refuse_dead(reservation)?;
        if reservation.state != State::Held {
            return Err(Rejection::WrongState { state: reservation.state });
        }
        if created.extension_s == 0 || reservation.extended {
            return Err(Rejection::ExtensionNotAllowed { already: reservation.extended });
        }
        let extension_ms = created.extension_s as Millis * 1000;
        // The cap is absolute: time won by a refused payment is not extended on top.
        let cap_ms = reservation.held_at_ms + created.hold_ttl_s as Millis * 1000 + extension_ms;
        let expires_at_ms = (reservation.expires_at_ms + extension_ms).min(cap_ms).max(reservation.expires_at_ms);
        let (reservation_id, user_id) = (reservation.id, reservation.user);
        Ok(vec![Event::HoldExtended(HoldExtended { reservation_id, user_id, expires_at_ms })])
    }

    fn pay(
        &self,
        created: &PerformanceCreated,
        reservation: &Reservation,
        now: Millis,
    ) -> Result<Vec<Event>, Rejection> {
        refuse_dead(reservation)?;
        match reservation.state {
            State::Confirmed => Ok(vec![]),
            State::Held => Ok(vec![Event::PaymentStarted(PaymentStarted {
                reservation_id: reservation.id,
                user_id: reservation.user,
                points: reservation.points,
                payment_deadline_ms: now + created.payment_ttl_s as Millis * 1000,
                left_ms: reservation.expires_at_ms.saturating_sub(now),
            })]),
            // A second attempt beside one in flight could be answered differently by the wallet; it must wait its turn.
            state => Err(Rejection::WrongState { state }),
        }
    }

    fn cancel(
        &self,
        created: &PerformanceCreated,
        reservation: &Reservation,
        now: Millis,
    ) -> Result<Vec<Event>, Rejection> {
        match reservation.state {
            State::Cancelled | State::Released | State::Cancelling => Ok(vec![]),
            State::Expired => Err(Rejection::HoldExpired { expired_at_ms: reservation.expires_at_ms }),
            State::Paying => Err(Rejection::WrongState { state: State::Paying }),
            State::Held => Ok(vec![Event::HoldReleased(HoldReleased {
                reservation_id: reservation.id,
                user_id: reservation.user,
                places: self.places_of(reservation),
                available: self.available() + reservation.places(),
            })]),
            State::Confirmed if now >= created.cancellation_closes_at_ms => {
                Err(Rejection::CancellationClosed { closed_at_ms: created.cancellation_closes_at_ms })
            }
            State::Confirmed => Ok(vec![Event::CancellationStarted(CancellationStarted {
                reservation_id: reservation.id,
                user_id: reservation.user,
                points: reservation.points,
            })]),
        }
    }

    fn confirm(&self, id: ReservationId) -> Result<Vec<Event>, Rejection> {
        match self.reservation(id) {
            Some(reservation) if reservation.state == State::Paying => {
                Ok(vec![Event::ReservationConfirmed(ReservationConfirmed {
                    reservation_id: id,
                    user_id: reservation.user,
                    places: self.places_of(reservation),
                    points: reservation.points,
                })])
            }
            // Told again after a crash: it is confirmed, or even cancelled since.
            _ => Ok(vec![]),
        }
    }

    fn refuse_payment(
        &self,
        id: ReservationId,
        (reason, balance): (Refusal, u64),
        payment_deadline_ms: Millis,
        now: Millis,
    ) -> Result<Vec<Event>, Rejection> {
        let Some(reservation) = self.reservation(id) else { return Ok(vec![]) };
        if reservation.state != State::Paying || reservation.payment_deadline_ms != payment_deadline_ms {
            return Ok(vec![]);
        }
        Ok(vec![Event::PaymentRefused(PaymentRefused {
            reservation_id: id,
            user_id: reservation.user,
            reason,
            points: reservation.points,
            balance,
            expires_at_ms: now + reservation.left_ms.max(LEFT_AFTER_REFUSAL_MS),
        })])
    }

    fn finish_cancellation(&self, id: ReservationId) -> Result<Vec<Event>, Rejection> {
        match self.reservation(id) {
            Some(reservation) if reservation.state == State::Cancelling => {
                Ok(vec![Event::ReservationCancelled(ReservationCancelled {
                    reservation_id: id,
                    user_id: reservation.user,
                    places: self.places_of(reservation),
                    points: reservation.points,
                    available: self.available() + reservation.places(),
                })])
            }
            _ => Ok(vec![]),
        }
    }

    fn places_of(&self, reservation: &Reservation) -> Places {
        Places {
            seats: reservation.seats.iter().map(|seat| self.layout.label(*seat)).collect(),
            area: reservation
                .area
                .map(|(index, count)| AreaCount { area: self.layout.areas[index as usize].name.to_string(), count }),
        }
    }
}

impl Wish {
    /// How many places are wanted.
    pub fn count(&self) -> u32 {
        match self {
            Wish::Seats(labels) => labels.len() as u32,
            Wish::Best { count, .. } | Wish::Area { count, .. } => *count,
        }
    }
}

/// Refuses what was expired, released or cancelled.
fn refuse_dead(reservation: &Reservation) -> Result<(), Rejection> {
    match reservation.state {
        State::Expired => Err(Rejection::HoldExpired { expired_at_ms: reservation.expires_at_ms }),
        State::Released | State::Cancelled | State::Cancelling => {
            Err(Rejection::WrongState { state: reservation.state })
        }
        State::Held | State::Paying | State::Confirmed => Ok(()),
    }
}

fn check_terms(create: &Create) -> Result<(), Invalid> {
    let Create { hold_ttl_s, payment_ttl_s, extension_s, seats_per_user_max, .. } = create;
    let table = [
        (create.sale_opens_at_ms < create.sale_closes_at_ms, "sale_closes_at", "must be after sale_opens_at".into()),
        (create.sale_opens_at_ms <= create.starts_at_ms, "sale_opens_at", "must not be after starts_at".to_string()),
        (HOLD_TTL_S.contains(hold_ttl_s), "hold_ttl_s", format!("must be {HOLD_TTL_S:?} seconds")),
        (PAYMENT_TTL_S.contains(payment_ttl_s), "payment_ttl_s", format!("must be {PAYMENT_TTL_S:?} seconds")),
        (*extension_s <= EXTENSION_S_MAX, "extension_s", format!("must be at most {EXTENSION_S_MAX} seconds")),
        (
            SEATS_PER_USER.contains(seats_per_user_max),
            "seats_per_user_max",
            format!("must be {SEATS_PER_USER:?} places"),
        ),
    ];
    match table.into_iter().find(|(fits, ..)| !fits) {
        None => Ok(()),
        Some((_, field, reason)) => Err(Invalid { field: field.into(), reason }),
    }
}
