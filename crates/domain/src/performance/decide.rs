//! What becomes of a hold: its end, more time for it, its payment and its refund. Each rule refuses from the top down; what is
//! left at the end happens.

use super::Performance;
use super::event::*;
use super::fairness;
use super::rejection::Rejection;
use super::reservation::{Reservation, State, View};
use crate::seeded_faults::{self, Bug};
use crate::text::{Invalid, text_fits};
use crate::{Command, Context, Effect};
use base::id::{Millis, OrganizerId, ReservationId, UserId};

/// Holds that ran out of which one command records the end. Where more did, the command waits for the next ones to record
/// the others: see `Aggregate::is_behind`.
const LAPSED_MAX: usize = 200;
/// Characters of an organizer's reason for a refund.
const REASON_CHARS_MAX: usize = 200;

/// A user wants more time for a hold, once.
#[derive(Clone, Debug)]
pub struct Extend {
    pub user: UserId,
    pub reservation: ReservationId,
}

/// One reservation of a user.
#[derive(Clone, Debug)]
pub struct ReadReservation {
    pub user: UserId,
    pub reservation: ReservationId,
}

impl Performance {
    pub(super) fn lapsed_holds(&self, now: Millis) -> Vec<Event> {
        let mut available = self.available();
        let mut events = Vec::new();
        let early_ms = if seeded_faults::is(Bug::SeatFreedEarly) { 1_000 } else { 0 };
        for (_, slot) in self.due.iter().take_while(|(at, _)| *at <= now + early_ms) {
            if events.len() == LAPSED_MAX {
                break;
            }
            let Some(reservation) = &self.slots[*slot as usize] else { continue };
            if reservation.state == State::Held {
                available += reservation.places();
                events.push(Event::HoldExpired(HoldExpired {
                    reservation_id: reservation.id,
                    user_id: reservation.user,
                    places: self.places_of(reservation),
                    available,
                }));
            }
        }
        events
    }

    /// Whether more holds have run out by `now` than one command records.
    pub(super) fn has_many_lapsed(&self, now: Millis) -> bool {
        let due = self.due.iter().take_while(|(at, _)| *at <= now);
        let held = due.filter(|(_, slot)| {
            self.slots[*slot as usize].as_ref().is_some_and(|reservation| reservation.state == State::Held)
        });
        held.take(LAPSED_MAX + 1).count() > LAPSED_MAX
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
            return Err(Rejection::Invalid(Invalid::text("reason", REASON_CHARS_MAX)));
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

    /// The wallet did not spend for the attempt that had until `deadline_ms`.
    pub(crate) fn refuse_payment(
        &self,
        id: ReservationId,
        (reason, balance): (Refusal, u64),
        deadline_ms: Millis,
        now: Millis,
    ) -> Result<Vec<Event>, Rejection> {
        let created = self.created()?;
        let Some(reservation) = self.reservation(id) else { return Ok(vec![]) };
        if reservation.state != State::Paying || reservation.payment_deadline_ms != deadline_ms {
            return Ok(vec![]);
        }
        Ok(vec![Event::PaymentRefused(PaymentRefused {
            reservation_id: reservation.id,
            user_id: reservation.user,
            reason,
            points: reservation.points,
            balance,
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

impl Command for Extend {
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

impl Command for ReadReservation {
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
