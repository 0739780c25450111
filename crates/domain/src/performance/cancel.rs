//! The cancellation of a performance: nothing is sold any more, what is held is given up, and everyone who had paid gets
//! their points back.
//!
//! `PerformanceCancelled` is the fact. What follows from it is done one reservation after the other, each by a command
//! that can be sent again ([`RefundNext`]), so that a full house never holds other commands up. What is still to be
//! done is derived from the reservations' states, so a crash forgets nothing and repeats nothing: a hold is released, or a
//! paid reservation goes confirmed → cancelling → cancelled with a refund that happens once (see [`purchase`]). When nobody
//! has a place any more, `PerformanceCancellationFinished` says so.

use super::event::*;
use super::*;
use crate::command::To;
use crate::performance::seats::chart::Invalid;
use crate::process::purchase::{PerformanceWork, RefundNext};
use crate::text_fits;

/// Characters of the reason for a cancellation.
pub const REASON_CHARS_MAX: usize = 500;
/// Holds that are given up by the command that cancels; the others follow at once, in parts.
const HOLDS_AT_ONCE_MAX: usize = 100;
/// Refunds under way at a time, when wallets are owned by other threads.
const UNDER_WAY_MAX: usize = 1_000;

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

/// From the cancellation of the performance: nothing may be left to do.
#[derive(Clone, Debug)]
pub struct FinishPerformanceCancellation;

impl crate::Command for FinishPerformanceCancellation {
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

    pub(super) fn cancel_performance(&self, reason: &str) -> Result<Vec<Event>, Rejection> {
        if self.cancellation.is_some() {
            return Ok(vec![]);
        }
        if !text_fits(reason, REASON_CHARS_MAX) {
            let reason =
                format!("must have 1 to {REASON_CHARS_MAX} characters and none that are invisible or of control");
            return Err(Rejection::Invalid(Invalid { field: "reason".into(), reason }));
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

    /// The next steps of the cancellation, at most `max`; none when it is finished, or when what is left waits for wallets.
    pub(super) fn next_refunds(&self, id: PerformanceId, max: usize) -> Vec<PerformanceWork> {
        if !self.is_being_called_off() {
            return Vec::new();
        }
        if self.places_by_user.is_empty() {
            return vec![PerformanceWork::Finish(To(id, FinishPerformanceCancellation))];
        }
        let room = UNDER_WAY_MAX.saturating_sub(self.cancelling.len());
        let reservations = self.to_call_off.iter().take(max.min(room));
        let reservations = reservations.filter_map(|slot| self.slots[*slot as usize].as_ref());
        let next = |reservation: &Reservation| RefundNext { reservation: reservation.id };
        reservations.map(|reservation| PerformanceWork::RefundNext(To(id, next(reservation)))).collect()
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
