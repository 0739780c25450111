//! The purchase: what a performance and a wallet owe each other. The only place that knows both.
//!
//! Pay: the performance freezes the hold (PaymentStarted), the wallet spends (PointsSpent: the commit point), the
//! performance confirms; or the wallet refuses and the hold runs again. Cancel: the performance marks the reservation
//! (CancellationStarted), the wallet refunds, the performance frees the places. Everything in flight is part of the
//! performance's state, and every step can be repeated: after a crash whoever loads the performance sends it again.
//!
//! ```text
//! Pay ──► Spend ──► Confirm | RefusePayment            Cancel | Refund | RefundNext ──► GiveBack ──► FinishRefund
//! ```

#[cfg(test)]
mod tests;

use crate::command::{EventsOf, Next, OutcomeOf, RunNext, RunWork, To};
use crate::performance::reservation::{Reservation, State, View};
use crate::performance::{FinishPerformanceCancellation, Performance, Refusal, Rejection};
use crate::wallet::{Due, NeverSpent, SpendRefusal, Wallet};
use crate::{Context, Effect, Outcome, Owes, Step, Work};
use base::id::{Millis, OrganizerId, PerformanceId, ReservationId, UserId};
use std::convert::Infallible;

/// A user pays for what they hold.
#[derive(Clone, Debug)]
pub struct Pay {
    pub user: UserId,
    pub reservation: ReservationId,
}

/// A user gives a hold up, or cancels what is paid.
#[derive(Clone, Debug)]
pub struct Cancel {
    pub user: UserId,
    pub reservation: ReservationId,
}

/// The organizer cancels what is paid, at any time; all of its points go back.
#[derive(Clone, Debug)]
pub struct Refund {
    pub organizer: OrganizerId,
    pub reservation: ReservationId,
    pub reason: String,
}

/// From the cancellation of the performance: gives one reservation up, or refunds it.
#[derive(Clone, Debug)]
pub struct RefundNext {
    pub reservation: ReservationId,
}

/// Asks the wallet for the points of a reservation. Not after `deadline_ms`, unless they were spent before.
#[derive(Clone, Debug, PartialEq)]
pub struct Spend {
    pub performance: PerformanceId,
    pub organizer: OrganizerId,
    pub reservation: ReservationId,
    pub points: u64,
    pub deadline_ms: Millis,
}

/// Gives the wallet the points of a reservation back.
#[derive(Clone, Debug, PartialEq)]
pub struct GiveBack {
    pub performance: PerformanceId,
    pub organizer: OrganizerId,
    pub reservation: ReservationId,
    /// What the organizer said who cancelled.
    pub reason: Option<String>,
}

/// The points are spent.
#[derive(Clone, Debug, PartialEq)]
pub struct Confirm {
    pub reservation: ReservationId,
}

/// The wallet did not spend.
#[derive(Clone, Debug, PartialEq)]
pub struct RefusePayment {
    pub reservation: ReservationId,
    pub reason: Refusal,
    pub balance: u64,
    /// Which attempt it was: a later one is not meant.
    pub payment_deadline_ms: Millis,
}

/// The points are given back.
#[derive(Clone, Debug, PartialEq)]
pub struct FinishRefund {
    pub reservation: ReservationId,
}

/// A wallet's word on a payment, for the performance.
#[derive(Clone, Debug, PartialEq)]
pub enum Settlement {
    Confirm(To<Confirm>),
    Refuse(To<RefusePayment>),
}

impl Next<Box<View>, Rejection> for Settlement {
    fn pass_to(self, runner: impl RunNext<Box<View>, Rejection>) {
        match self {
            Settlement::Confirm(to) => to.pass_to(runner),
            Settlement::Refuse(to) => to.pass_to(runner),
        }
    }
}

/// What a performance has in flight or in hand without being asked.
#[derive(Clone, Debug)]
pub enum PerformanceWork {
    Spend(To<Spend>),
    GiveBack(To<GiveBack>),
    RefundNext(To<RefundNext>),
    Finish(To<FinishPerformanceCancellation>),
}

impl Work for PerformanceWork {
    fn run_by(self, runner: &mut impl RunWork) {
        match self {
            PerformanceWork::Spend(to) => to.run_by(runner),
            PerformanceWork::GiveBack(to) => to.run_by(runner),
            PerformanceWork::RefundNext(to) => to.run_by(runner),
            PerformanceWork::Finish(to) => to.run_by(runner),
        }
    }
}

impl Owes for Performance {
    type Work = PerformanceWork;

    fn overdue(&self, id: PerformanceId, now: Millis) -> Vec<PerformanceWork> {
        self.in_flight(now).filter_map(|reservation| owed(self, id, reservation)).collect()
    }

    fn backlog(&self, id: PerformanceId, max: usize) -> Vec<PerformanceWork> {
        if !self.is_being_called_off() {
            return Vec::new();
        }
        if self.has_nobody() {
            return vec![PerformanceWork::Finish(To(id, FinishPerformanceCancellation))];
        }
        let next = |reservation: &Reservation| RefundNext { reservation: reservation.id };
        self.next_to_call_off(max).map(|of| PerformanceWork::RefundNext(To(id, next(of)))).collect()
    }
}

/// What a reservation in flight asks of its user's wallet; `None` when it is not in flight.
pub fn owed(performance: &Performance, id: PerformanceId, reservation: &Reservation) -> Option<PerformanceWork> {
    let spend = || spend(performance, id, reservation).map(PerformanceWork::Spend);
    spend().or_else(|| give_back(performance, id, reservation).map(PerformanceWork::GiveBack))
}

fn spend(performance: &Performance, id: PerformanceId, of: &Reservation) -> Option<To<Spend>> {
    if of.state != State::Paying {
        return None;
    }
    let organizer = performance.organizer()?;
    let (reservation, points, deadline_ms) = (of.id, of.points, of.payment_deadline_ms);
    Some(To(of.user, Spend { performance: id, organizer, reservation, points, deadline_ms }))
}

fn give_back(performance: &Performance, id: PerformanceId, of: &Reservation) -> Option<To<GiveBack>> {
    if of.state != State::Cancelling {
        return None;
    }
    let organizer = performance.organizer()?;
    let reason = performance.refund_reason(of.id).map(str::to_owned);
    Some(To(of.user, GiveBack { performance: id, organizer, reservation: of.id, reason }))
}

/// The wallet is asked if points are to move; otherwise the caller is shown the reservation.
fn next_or_shown<N>(
    performance: &Performance,
    reservation: ReservationId,
    decided: Result<Effect<'_, Performance>, Rejection>,
    next: fn(&Performance, PerformanceId, &Reservation) -> Option<N>,
) -> Outcome<Box<View>, Rejection, N> {
    let next = match decided {
        Ok(effect) => performance.reservation(reservation).and_then(|found| next(performance, effect.id, found)),
        Err(rejection) => return Outcome::Told(Err(rejection)),
    };
    next.map_or_else(|| Outcome::Told(performance.shown(reservation)), Outcome::Next)
}

/// Steps of a performance, after which its reservation asks the wallet for points, or to take them back.
macro_rules! asking_steps {
    ($($step:ident, by $sent:ident of $next:ident: |$self:ident, $performance:ident, $context:ident| $decide:expr;)+) => {$(
        impl Step for $step {
            type On = Performance;
            type Answer = Box<View>;
            type Rejection = Rejection;
            type Refusal = Rejection;
            type Next = To<$sent>;

            fn decide(&$self, $performance: &Performance, $context: &Context) -> Result<EventsOf<Self>, Rejection> {
                $decide
            }

            fn outcome(
                &self,
                performance: &Performance,
                decided: Result<Effect<'_, Performance>, Rejection>,
            ) -> OutcomeOf<Self> {
                next_or_shown(performance, self.reservation, decided, $next)
            }
        }
    )+};
}

asking_steps! {
    Pay, by Spend of spend: |self, performance, context| performance.pay(self.user, self.reservation, context.now);
    Cancel, by GiveBack of give_back: |self, performance, context| {
        performance.cancel_for(self.user, self.reservation, context.now)
    };
    Refund, by GiveBack of give_back: |self, performance, _context| {
        performance.refund(self.organizer, self.reservation, &self.reason)
    };
    RefundNext, by GiveBack of give_back: |self, performance, context| {
        performance.refund_next(self.reservation, context.now)
    };
}

impl Step for Spend {
    type On = Wallet;
    type Answer = Box<View>;
    type Rejection = Rejection;
    type Refusal = SpendRefusal;
    type Next = Settlement;

    fn decide(&self, wallet: &Wallet, context: &Context) -> Result<EventsOf<Self>, SpendRefusal> {
        let due = Due { reservation: self.reservation, performance: self.performance, organizer: self.organizer };
        wallet.spend(&due, self.points, self.deadline_ms, context.now)
    }

    fn outcome(&self, _: &Wallet, decided: Result<Effect<'_, Wallet>, SpendRefusal>) -> OutcomeOf<Self> {
        let reservation = self.reservation;
        let (reason, balance) = match decided {
            Ok(_) => {
                return Outcome::Next(Settlement::Confirm(To(self.performance, Confirm { reservation })));
            }
            Err(SpendRefusal::TooLate { balance }) => (Refusal::TooLate, balance),
            Err(SpendRefusal::InsufficientPoints { balance }) => (Refusal::InsufficientPoints, balance),
            Err(SpendRefusal::UnknownWallet) => (Refusal::InsufficientPoints, 0),
        };
        let refuse = RefusePayment { reservation, reason, balance, payment_deadline_ms: self.deadline_ms };
        Outcome::Next(Settlement::Refuse(To(self.performance, refuse)))
    }
}

impl Step for GiveBack {
    type On = Wallet;
    type Answer = Box<View>;
    type Rejection = Rejection;
    type Refusal = NeverSpent;
    type Next = To<FinishRefund>;

    fn decide(&self, wallet: &Wallet, _: &Context) -> Result<EventsOf<Self>, NeverSpent> {
        let due = Due { reservation: self.reservation, performance: self.performance, organizer: self.organizer };
        wallet.give_back(&due, self.reason.as_deref())
    }

    fn outcome(&self, _: &Wallet, decided: Result<Effect<'_, Wallet>, NeverSpent>) -> OutcomeOf<Self> {
        match decided {
            Ok(_) => Outcome::Next(To(self.performance, FinishRefund { reservation: self.reservation })),
            // Only of a log that something is missing from: the reservation stays as it is.
            Err(NeverSpent) => Outcome::Told(Err(Rejection::WrongState { state: State::Cancelling })),
        }
    }
}

impl Step for Confirm {
    type On = Performance;
    type Answer = Box<View>;
    type Rejection = Rejection;
    type Refusal = Rejection;
    type Next = Infallible;

    fn decide(&self, performance: &Performance, _: &Context) -> Result<EventsOf<Self>, Rejection> {
        performance.confirm(self.reservation)
    }

    fn outcome(
        &self,
        performance: &Performance,
        decided: Result<Effect<'_, Performance>, Rejection>,
    ) -> OutcomeOf<Self> {
        Outcome::Told(decided.and_then(|_| performance.shown(self.reservation)))
    }
}

impl Step for RefusePayment {
    type On = Performance;
    type Answer = Box<View>;
    type Rejection = Rejection;
    type Refusal = Rejection;
    type Next = Infallible;

    fn decide(&self, performance: &Performance, context: &Context) -> Result<EventsOf<Self>, Rejection> {
        let RefusePayment { reservation, reason, balance, payment_deadline_ms } = *self;
        performance.refuse_payment(reservation, (reason, balance), payment_deadline_ms, context.now)
    }

    fn outcome(
        &self,
        performance: &Performance,
        decided: Result<Effect<'_, Performance>, Rejection>,
    ) -> OutcomeOf<Self> {
        Outcome::Told(decided.and_then(|_| {
            let refused = performance.reservation(self.reservation).ok_or(Rejection::UnknownReservation)?;
            let (balance, required, expires_at_ms) = (self.balance, refused.points, refused.expires_at_ms);
            Err(match self.reason {
                Refusal::InsufficientPoints => Rejection::InsufficientPoints { balance, required, expires_at_ms },
                Refusal::TooLate => Rejection::PaymentTimedOut { expires_at_ms },
            })
        }))
    }
}

impl Step for FinishRefund {
    type On = Performance;
    type Answer = Box<View>;
    type Rejection = Rejection;
    type Refusal = Rejection;
    type Next = Infallible;

    fn decide(&self, performance: &Performance, _: &Context) -> Result<EventsOf<Self>, Rejection> {
        performance.finish_refund(self.reservation)
    }

    fn outcome(
        &self,
        performance: &Performance,
        decided: Result<Effect<'_, Performance>, Rejection>,
    ) -> OutcomeOf<Self> {
        Outcome::Told(decided.and_then(|_| performance.shown(self.reservation)))
    }
}
