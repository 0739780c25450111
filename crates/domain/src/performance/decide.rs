//! The rules of a performance. Each refuses from the top down; what is left at the end happens.

use super::event::*;
use super::fairness::REFUSAL_GRACE_S;
use super::*;
use crate::performance::seats::chart::names::canonical_prices;
use crate::performance::seats::chart::{Invalid, check_size};
use crate::process::purchase::RefusePayment;
use crate::seeded_faults::{self, Bug};
use crate::text_fits;
use base::id::OrganizerId;

/// Labels that one block or unblock names.
const BLOCK_SEATS_MAX: usize = 10_000;
/// Holds that ran out of which one command records the end. Where more did, the command waits for the next ones to record
/// the others: see [`Performance::is_behind`].
const LAPSED_MAX: usize = 200;
/// Characters of an organizer's reason for a refund.
pub const REASON_CHARS_MAX: usize = 200;

pub(super) fn lapsed(performance: &Performance, now: Millis) -> Vec<Event> {
    let mut available = performance.available();
    let mut events = Vec::new();
    let early_ms = if seeded_faults::is(Bug::SeatFreedEarly) { 1_000 } else { 0 };
    for (_, slot) in performance.due.iter().take_while(|(at, _)| *at <= now + early_ms) {
        if events.len() == LAPSED_MAX {
            break;
        }
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

/// Whether more holds have run out by `now` than one command records.
pub(super) fn is_behind(performance: &Performance, now: Millis) -> bool {
    let due = performance.due.iter().take_while(|(at, _)| *at <= now);
    let held = due.filter(|(_, slot)| {
        performance.slots[*slot as usize].as_ref().is_some_and(|reservation| reservation.state == State::Held)
    });
    held.take(LAPSED_MAX + 1).count() > LAPSED_MAX
}

pub(super) fn decide(performance: &Performance, command: &Command, context: &Context) -> Result<Vec<Event>, Rejection> {
    if let Command::Create(create) = command {
        return performance.create(create);
    }
    let Some(created) = &performance.created else { return Err(Rejection::UnknownPerformance) };
    match command {
        Command::Create(_) => unreachable!("handled above"),
        Command::Describe | Command::ShowChart | Command::Availability | Command::Changes { .. } => Ok(vec![]),
        _ if command.organizer().is_some_and(|organizer| organizer != created.organizer_id) => {
            Err(Rejection::UnknownPerformance)
        }
        Command::CancelPerformance { reason, .. } => performance.cancel_performance(reason),
        Command::ShowCancellation { .. } if performance.cancellation.is_none() => Err(Rejection::NotCancelled),
        Command::ShowCancellation { .. } | Command::ShowBlocks { .. } => Ok(vec![]),
        _ if command.organizer().is_some() && performance.cancellation.is_some() => {
            performance.refuse_cancelled().map(|()| vec![])
        }
        Command::Change(change) => performance.change_terms(created, change, context.now),
        Command::ChangeChart(chart) => performance.change_chart(created, chart),
        Command::BlockAreas { areas, .. } => performance.block_areas(areas),
        Command::SetSale { sale, .. } => performance.set_sale(*sale, created, context.now),
        Command::Block { seats, .. } => performance.block(seats),
        Command::Unblock { seats, .. } => performance.unblock(seats),
    }
}

impl Performance {
    fn create(&self, create: &Create) -> Result<Vec<Event>, Rejection> {
        if let Some(created) = &self.created {
            let same = created.content == create.content && created.organizer_id == create.organizer;
            return if same { Ok(vec![]) } else { Err(Rejection::KeyReused) };
        }
        check_size(&create.chart).map_err(Rejection::Invalid)?;
        let chart = create.chart.in_form();
        let prices = canonical_prices(&create.prices, None).map_err(Rejection::Invalid)?;
        let layout = chart.laid_out(&prices).map_err(Rejection::Invalid)?;
        create.terms.check_times(NamedTimes::ALL, false).map_err(Rejection::Invalid)?;
        create.terms.check().map_err(Rejection::Invalid)?;
        Ok(vec![Event::PerformanceCreated(PerformanceCreated {
            concert_id: create.concert,
            organizer_id: create.organizer,
            terms: create.terms,
            refusal_grace_s: Some(REFUSAL_GRACE_S),
            prices: prices.into_owned(),
            chart,
            content: create.content,
            available: layout.places(),
        })])
    }

    pub(super) fn set_sale(
        &self,
        sale: Sale,
        created: &PerformanceCreated,
        now: Millis,
    ) -> Result<Vec<Event>, Rejection> {
        let ended_at_ms = created.terms.sale_closes_at_ms;
        match sale {
            Sale::Closed if self.sale == Sale::Closed => Ok(vec![]),
            Sale::Closed => Ok(vec![Event::SaleClosed(SaleClosed {})]),
            _ if self.sale == Sale::Closed => Err(Rejection::SaleClosed),
            _ if now >= ended_at_ms => Err(Rejection::SaleEnded { ended_at_ms }),
            _ if sale == self.sale => Ok(vec![]),
            Sale::Paused => Ok(vec![Event::SalePaused(SalePaused {})]),
            Sale::Running => Ok(vec![Event::SaleResumed(SaleResumed {})]),
            // There is a command of its own for that: it needs a reason.
            Sale::Cancelled => Ok(vec![]),
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
        let seats = self.layout.labels(&free);
        Ok(vec![Event::SeatsBlocked(SeatsBlocked { seats, available })])
    }

    fn unblock(&self, labels: &[String]) -> Result<Vec<Event>, Rejection> {
        let seats = self.named_seats(labels, BLOCK_SEATS_MAX)?;
        let blocked: Vec<u32> = seats.into_iter().filter(|seat| self.seats[*seat as usize] == BLOCKED).collect();
        if blocked.is_empty() {
            return Ok(vec![]);
        }
        let available = self.available() + blocked.len() as u32;
        let seats = self.layout.labels(&blocked);
        Ok(vec![Event::SeatsUnblocked(SeatsUnblocked { seats, available })])
    }

    fn extend(&self, user: UserId, id: ReservationId) -> Result<Vec<Event>, Rejection> {
        let created = self.created()?;
        let reservation = self.reservation_of(user, id)?;
        refuse_dead(reservation)?;
        if reservation.state != State::Held {
            return Err(Rejection::WrongState { state: reservation.state });
        }
        self.refuse_cancelled()?;
        if created.terms.extension_s == 0 || reservation.extended {
            return Err(Rejection::ExtensionNotAllowed { already: reservation.extended });
        }
        let extension_ms = created.terms.extension_s as Millis * 1000;
        // The cap is absolute: time won by a refused payment is not extended on top.
        let cap_ms = reservation.first_expires_at_ms + extension_ms;
        if cap_ms <= reservation.expires_at_ms {
            return Err(Rejection::ExtensionGainsNothing { expires_at_ms: reservation.expires_at_ms });
        }
        let expires_at_ms = (reservation.expires_at_ms + extension_ms).min(cap_ms);
        let (reservation_id, user_id) = (reservation.id, reservation.user);
        Ok(vec![Event::HoldExtended(HoldExtended { reservation_id, user_id, expires_at_ms })])
    }

    pub(super) fn created(&self) -> Result<&PerformanceCreated, Rejection> {
        self.created.as_ref().ok_or(Rejection::UnknownPerformance)
    }

    pub(crate) fn pay(&self, user: UserId, id: ReservationId, now: Millis) -> Result<Vec<Event>, Rejection> {
        let created = self.created()?;
        let reservation = self.reservation_of(user, id)?;
        refuse_dead(reservation)?;
        match reservation.state {
            State::Confirmed => Ok(vec![]),
            State::Held if self.cancellation.is_some() => self.refuse_cancelled().map(|()| vec![]),
            State::Held => Ok(vec![Event::PaymentStarted(PaymentStarted {
                reservation_id: reservation.id,
                user_id: reservation.user,
                points: reservation.points,
                payment_deadline_ms: now + created.terms.payment_ttl_s as Millis * 1000,
                left_ms: reservation.expires_at_ms.saturating_sub(now),
            })]),
            // A second attempt beside one in flight could be answered differently by the wallet; it must wait its turn.
            state => Err(Rejection::WrongState { state }),
        }
    }

    pub(crate) fn cancel_for(&self, user: UserId, id: ReservationId, now: Millis) -> Result<Vec<Event>, Rejection> {
        self.cancel(self.created()?, self.reservation_of(user, id)?, now)
    }

    pub(super) fn cancel(
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
            State::Confirmed if now >= created.terms.cancellation_closes_at_ms && self.cancellation.is_none() => {
                Err(Rejection::CancellationClosed { closed_at_ms: created.terms.cancellation_closes_at_ms })
            }
            State::Confirmed => Ok(vec![Event::CancellationStarted(CancellationStarted {
                reservation_id: reservation.id,
                user_id: reservation.user,
                points: reservation.points,
                organizer_reason: None,
            })]),
        }
    }

    pub(crate) fn refund(
        &self,
        organizer: OrganizerId,
        id: ReservationId,
        reason: &str,
    ) -> Result<Vec<Event>, Rejection> {
        let created = self.created()?;
        let reservation = self.reservation(id).filter(|_| created.organizer_id == organizer);
        let reservation = reservation.ok_or(Rejection::UnknownReservation)?;
        if !text_fits(reason, REASON_CHARS_MAX) {
            let reason =
                format!("must have 1 to {REASON_CHARS_MAX} characters and none that are invisible or of control");
            return Err(Rejection::Invalid(Invalid { field: "reason".into(), reason }));
        }
        match reservation.state {
            State::Cancelled | State::Cancelling => Ok(vec![]),
            State::Confirmed => Ok(vec![Event::CancellationStarted(CancellationStarted {
                reservation_id: reservation.id,
                user_id: reservation.user,
                points: reservation.points,
                organizer_reason: Some(reason.to_owned()),
            })]),
            state => Err(Rejection::WrongState { state }),
        }
    }

    pub(crate) fn confirm(&self, id: ReservationId) -> Result<Vec<Event>, Rejection> {
        self.created()?;
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

    pub(crate) fn refuse_payment(&self, refuse: &RefusePayment, now: Millis) -> Result<Vec<Event>, Rejection> {
        let created = self.created()?;
        let Some(reservation) = self.reservation(refuse.reservation) else { return Ok(vec![]) };
        if reservation.state != State::Paying || reservation.payment_deadline_ms != refuse.payment_deadline_ms {
            return Ok(vec![]);
        }
        Ok(vec![Event::PaymentRefused(PaymentRefused {
            reservation_id: reservation.id,
            user_id: reservation.user,
            reason: refuse.reason,
            points: reservation.points,
            balance: refuse.balance,
            expires_at_ms: fairness::expiry_after_refusal(created, reservation, now),
        })])
    }

    pub(crate) fn finish_refund(&self, id: ReservationId) -> Result<Vec<Event>, Rejection> {
        self.created()?;
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

    pub(super) fn places_of(&self, reservation: &Reservation) -> Places {
        Places {
            seats: reservation.seats.iter().map(|seat| self.layout.label(*seat)).collect(),
            area: reservation
                .area
                .map(|(index, count)| AreaCount { area: self.layout.areas[index as usize].name.to_string(), count }),
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

impl crate::Command for Extend {
    type On = Performance;
    type Answer = Box<View>;
    type Rejection = Rejection;

    fn decide(&self, performance: &Performance, _: &Context) -> Result<Vec<Event>, Rejection> {
        performance.extend(self.user, self.reservation)
    }

    fn answer(&self, performance: &Performance, _: &Effect<'_, Performance>) -> Box<View> {
        performance.shown(self.reservation).expect("a hold that was extended is there")
    }
}

impl crate::Command for ReadReservation {
    type On = Performance;
    type Answer = Box<View>;
    type Rejection = Rejection;

    fn decide(&self, performance: &Performance, _: &Context) -> Result<Vec<Event>, Rejection> {
        performance.created()?;
        performance.reservation_of(self.user, self.reservation).map(|_| vec![])
    }

    fn answer(&self, performance: &Performance, _: &Effect<'_, Performance>) -> Box<View> {
        performance.shown(self.reservation).expect("a reservation that was found is there")
    }
}
