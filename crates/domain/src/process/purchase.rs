//! The purchase: what a performance and a wallet owe each other. The only place that knows both.
//!
//! Pay: the performance freezes the hold (PaymentStarted), the wallet spends (PointsSpent: the commit point), the
//! performance confirms; or the wallet refuses and the hold runs again. Cancel: the performance marks the reservation
//! (CancellationStarted), the wallet refunds, the performance frees the places. Everything in flight is part of the
//! performance's state, and every step can be repeated: after a crash whoever loads the performance sends it again.

#[cfg(test)]
mod tests;

use crate::performance::reservation::{Reservation, State};
use crate::{Answer, Command, Rejection, performance, wallet};
use base::id::{OrganizerId, PerformanceId};

/// What a reservation in flight asks of its user's wallet; `None` when it is not in flight.
/// `organizer` sells the performance; `reason` is what the organizer said who cancelled.
pub fn owed(
    performance: PerformanceId,
    organizer: OrganizerId,
    reservation: &Reservation,
    reason: Option<&str>,
) -> Option<Command> {
    let command = match reservation.state {
        State::Paying => wallet::Command::Spend {
            performance,
            organizer,
            reservation: reservation.id,
            points: reservation.points,
            deadline_ms: reservation.payment_deadline_ms,
        },
        State::Cancelling => wallet::Command::Refund {
            performance,
            organizer,
            reservation: reservation.id,
            reason: reason.map(str::to_owned),
        },
        _ => return None,
    };
    Some(Command::Wallet(reservation.user, command))
}

/// What the performance is told of the wallet's answer.
pub fn settled(command: &wallet::Command, result: Result<(), &wallet::Rejection>) -> Option<Command> {
    match *command {
        wallet::Command::Spend { performance, reservation, deadline_ms, .. } => {
            let told = match result {
                Ok(()) => performance::Command::Confirm { reservation },
                Err(rejection) => performance::Command::RefusePayment {
                    reservation,
                    balance: rejection.balance(),
                    reason: match rejection {
                        wallet::Rejection::TooLate { .. } => performance::Refusal::TooLate,
                        _ => performance::Refusal::InsufficientPoints,
                    },
                    payment_deadline_ms: deadline_ms,
                },
            };
            Some(Command::Performance(performance, told))
        }
        wallet::Command::Refund { performance, reservation, .. } if result.is_ok() => {
            Some(Command::Performance(performance, performance::Command::FinishCancellation { reservation }))
        }
        _ => None,
    }
}

/// The caller of a purchase whose payment was refused is told why.
pub fn outcome(answer: Answer) -> Result<Answer, Rejection> {
    match answer {
        Answer::Performance(performance::Answer::PaymentRefused { reason, balance, required, expires_at_ms }) => {
            Err(Rejection::Performance(match reason {
                performance::Refusal::InsufficientPoints => {
                    performance::Rejection::InsufficientPoints { balance, required, expires_at_ms }
                }
                performance::Refusal::TooLate => performance::Rejection::PaymentTimedOut { expires_at_ms },
            }))
        }
        answer => Ok(answer),
    }
}
