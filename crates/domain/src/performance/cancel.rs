//! The cancellation of a performance: nothing is sold any more, what is held is given up, and everyone who had paid gets
//! their points back.
//!
//! `PerformanceCancelled` is the fact. What follows from it is done one reservation after the other, each by a command
//! that can be sent again ([`RefundNext`](crate::process::purchase::RefundNext)), so that a full house never holds other commands up. What is still to be
//! done is derived from the reservations' states, so a crash forgets nothing and repeats nothing: a hold is released, or a
//! paid reservation goes confirmed → cancelling → cancelled with a refund that happens once (see [`purchase`](crate::process::purchase)). When nobody
//! has a place any more, `PerformanceCancellationFinished` says so.

use super::event::{Event, HoldReleased, PerformanceCancellationFinished, PerformanceCancelled};
use super::rejection::Rejection;
use super::reservation::{Reservation, State};
use super::terms::Sale;
use super::{Cancellation, Performance};
use crate::text::{Invalid, text_fits};
use crate::{Command, Context, Effect};
use base::id::{Millis, OrganizerId, ReservationId};

/// Characters of the reason for a cancellation.
const REASON_CHARS_MAX: usize = 500;
/// Holds that are given up by the command that cancels; the others follow at once, in parts.
const HOLDS_AT_ONCE_MAX: usize = 100;
/// Refunds under way at a time, when wallets are owned by other threads.
const UNDER_WAY_MAX: usize = 1_000;

/// From the cancellation of the performance: nothing may be left to do.
#[derive(Clone, Debug)]
pub struct FinishPerformanceCancellation;

/// Nothing is sold any more, and everyone gets their points back. Again: nothing more.
#[derive(Clone, Debug)]
pub struct CancelPerformance {
    pub organizer: OrganizerId,
    pub reason: String,
}

/// How far the cancellation is.
#[derive(Clone, Debug)]
pub struct ShowCancellation {
    pub organizer: OrganizerId,
}

/// A cancellation as its organizer sees it.
#[derive(Clone, Debug)]
pub struct CancellationShown {
    pub cancellation: Box<Cancellation>,
    /// Of the performance.
    pub version: u64,
}

impl Command for CancelPerformance {
    type On = Performance;
    type Answer = CancellationShown;
    type Rejection = Rejection;

    fn decide(&self, performance: &Performance, _: &Context) -> Result<Vec<Event>, Rejection> {
        performance.sold_by(self.organizer)?;
        performance.cancel_performance(&self.reason)
    }

    fn answer(&self, performance: &Performance, effect: &Effect<'_, Performance>) -> CancellationShown {
        performance.show_cancellation(effect.version)
    }
}

impl Command for ShowCancellation {
    type On = Performance;
    type Answer = CancellationShown;
    type Rejection = Rejection;

    fn decide(&self, performance: &Performance, _: &Context) -> Result<Vec<Event>, Rejection> {
        performance.sold_by(self.organizer)?;
        performance.cancellation.as_ref().map(|_| vec![]).ok_or(Rejection::NotCancelled)
    }

    fn answer(&self, performance: &Performance, effect: &Effect<'_, Performance>) -> CancellationShown {
        performance.show_cancellation(effect.version)
    }
}

impl Command for FinishPerformanceCancellation {
    type On = Performance;
    type Answer = ();
    type Rejection = Rejection;

    fn decide(&self, performance: &Performance, _: &Context) -> Result<Vec<Event>, Rejection> {
        performance.finish_performance_cancellation()
    }

    fn answer(&self, _: &Performance, _: &Effect<'_, Performance>) {}
}

impl Performance {
    pub(super) fn refuse_cancelled(&self) -> Result<(), Rejection> {
        match &self.cancellation {
            Some(cancellation) => {
                Err(Rejection::PerformanceCancelled { cancelled_at_ms: cancellation.cancelled_at_ms })
            }
            None => Ok(()),
        }
    }

    fn show_cancellation(&self, version: u64) -> CancellationShown {
        let cancellation = self.cancellation.clone().expect("only a cancelled performance shows its cancellation");
        CancellationShown { cancellation, version }
    }

    fn cancel_performance(&self, reason: &str) -> Result<Vec<Event>, Rejection> {
        if self.cancellation.is_some() {
            return Ok(vec![]);
        }
        if !text_fits(reason, REASON_CHARS_MAX) {
            return Err(Rejection::Invalid(Invalid::text("reason", REASON_CHARS_MAX)));
        }
        let (mut holds, mut reservations, mut points) = (0, 0, 0);
        for reservation in self.reservations() {
            match reservation.state {
                State::Held => holds += 1,
                State::Confirmed | State::Cancelling => {
                    reservations += 1;
                    points += reservation.points;
                }
                State::Paying | State::Cancelled | State::Released | State::Expired => {}
            }
        }
        let cancelled = PerformanceCancelled { reason: reason.to_owned(), holds, reservations, points };
        let mut events = vec![Event::PerformanceCancelled(cancelled)];
        let mut available = self.available();
        let held = self.reservations().filter(|reservation| reservation.state == State::Held);
        for reservation in held.take(HOLDS_AT_ONCE_MAX) {
            available += reservation.places();
            events.push(Event::HoldReleased(HoldReleased {
                reservation_id: reservation.id,
                user_id: reservation.user,
                places: self.places_of(reservation),
                available,
            }));
        }
        Ok(events)
    }

    /// One step of the cancellation. Sent again, or after the user was quicker, it does nothing.
    pub(crate) fn refund_next(&self, id: ReservationId, now: Millis) -> Result<Vec<Event>, Rejection> {
        let created = self.created()?;
        match self.reservation(id) {
            Some(reservation) if self.cancellation.is_some() && reservation.state.is_to_call_off() => {
                self.cancel(created, reservation, now)
            }
            _ => Ok(vec![]),
        }
    }

    fn finish_performance_cancellation(&self) -> Result<Vec<Event>, Rejection> {
        self.created()?;
        match &self.cancellation {
            Some(cancellation) if self.is_being_called_off() && self.places_by_user.is_empty() => {
                Ok(vec![Event::PerformanceCancellationFinished(PerformanceCancellationFinished {
                    reservations: cancellation.refunded,
                    points: cancellation.points_refunded,
                    holds_released: cancellation.holds_released,
                })])
            }
            _ => Ok(vec![]),
        }
    }

    /// Whether the performance was cancelled and somebody may still have to be given something back.
    pub fn is_being_called_off(&self) -> bool {
        self.cancellation.as_ref().is_some_and(|cancellation| cancellation.finished_at_ms == 0)
    }

    /// Whether the cancellation is done but for saying so: nobody has a place any more.
    pub(crate) fn has_nobody(&self) -> bool {
        self.places_by_user.is_empty()
    }

    /// What is to be given up or refunded next, at most `max`; nothing when what is left waits for wallets.
    pub(crate) fn next_to_call_off(&self, max: usize) -> impl Iterator<Item = &Reservation> {
        let room = UNDER_WAY_MAX.saturating_sub(self.cancelling.len());
        let slots = self.to_call_off.iter().take(max.min(room));
        slots.filter_map(|slot| self.slots[*slot as usize].as_ref())
    }

    pub(super) fn start_calling_off(&mut self, event: &PerformanceCancelled, at_ms: Millis) {
        self.sale = Sale::Cancelled;
        self.cancellation = Some(Box::new(Cancellation {
            reason: event.reason.clone(),
            cancelled_at_ms: at_ms,
            finished_at_ms: 0,
            reservations: event.reservations,
            refunded: 0,
            points: event.points,
            points_refunded: 0,
            holds_released: 0,
        }));
        self.list_to_call_off();
    }

    /// Lists what is to be given up or refunded: in order and at once, without looking each of them up in the list.
    pub(super) fn list_to_call_off(&mut self) {
        let slots = if self.cancellation.is_some() { &self.slots[..] } else { &[] };
        self.to_call_off = (0..).zip(slots).filter(|(_, slot)| is_to_call_off(slot)).map(|(slot, _)| slot).collect();
    }

    /// Keeps the list of what is to be given up or refunded, when a reservation has changed.
    pub(super) fn note_to_call_off(&mut self, slot: u32) {
        if self.cancellation.is_none() {
            return;
        }
        if is_to_call_off(&self.slots[slot as usize]) {
            self.to_call_off.insert(slot);
        } else {
            self.to_call_off.remove(&slot);
        }
    }

    /// Counts what an event did for the cancellation.
    pub(super) fn count_called_off(&mut self, event: &Event, at_ms: Millis) {
        let Some(cancellation) = &mut self.cancellation else { return };
        match event {
            Event::ReservationConfirmed(event) => {
                cancellation.reservations += 1;
                cancellation.points += event.points;
            }
            Event::ReservationCancelled(event) => {
                cancellation.refunded += 1;
                cancellation.points_refunded += event.points;
            }
            Event::HoldReleased(_) | Event::HoldExpired(_) => cancellation.holds_released += 1,
            Event::PerformanceCancellationFinished(_) => cancellation.finished_at_ms = at_ms,
            _ => {}
        }
    }
}

fn is_to_call_off(slot: &Option<Reservation>) -> bool {
    slot.as_ref().is_some_and(|reservation| reservation.state.is_to_call_off())
}
