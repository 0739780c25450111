//! One user's points. Never negative, never overflowing; every movement carries the balance after it.

#[cfg(test)]
mod tests;

use super::event::events;
use super::{Aggregate, Context, Fingerprint, REPEAT_KEPT_MS, Repeat, account, purchase};
use crate::id::{AccountId, Category, Millis, PerformanceId, ReservationId, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Points of one charge. domain.md: 1 … 10,000,000.
pub const CHARGE_POINTS_MAX: u64 = 10_000_000;
/// Points of a wallet: the largest integer that every JSON reader keeps exact (2^53 - 1).
pub const BALANCE_POINTS_MAX: u64 = (1 << 53) - 1;
/// Charges of one wallet within 24 h: as many keys are remembered.
pub const CHARGES_PER_DAY_MAX: usize = 10_000;
/// Characters of a charge's reference or an adjustment's reason.
pub const REFERENCE_CHARS_MAX: usize = 200;

events! {
    WalletOpened = "WalletOpened.v1",
    PointsCharged = "PointsCharged.v1",
    PointsSpent = "PointsSpent.v1",
    PointsRefunded = "PointsRefunded.v1",
    PointsAdjusted = "PointsAdjusted.v1",
}

/// A user signed up and has a wallet, empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WalletOpened {
    pub account_id: AccountId,
}

/// Points were bought.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PointsCharged {
    pub charge_id: Uuid,
    pub points: u64,
    /// Points after this.
    pub balance: u64,
    /// The caller's own name for it, e.g. their payment provider's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    pub repeat: Repeat,
}

/// A reservation was paid. At most once per reservation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PointsSpent {
    pub reservation_id: ReservationId,
    pub performance_id: PerformanceId,
    pub points: u64,
    pub balance: u64,
}

/// A paid reservation was cancelled. At most once per reservation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PointsRefunded {
    pub reservation_id: ReservationId,
    pub performance_id: PerformanceId,
    pub points: u64,
    pub balance: u64,
}

/// The operator corrected a balance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PointsAdjusted {
    pub adjustment_id: Uuid,
    /// Added when positive, taken when negative.
    pub points: i64,
    pub balance: u64,
    pub reason: String,
    pub repeat: Repeat,
}

/// What a wallet can be asked for.
#[derive(Clone, Debug)]
pub enum Command {
    /// At sign-up; again at any time without effect.
    Open {
        account: AccountId,
    },
    Charge {
        points: u64,
        reference: Option<String>,
        repeat: Repeat,
    },
    Adjust {
        points: i64,
        reason: String,
        repeat: Repeat,
    },
    /// From the purchase. Not after `deadline_ms`, unless it was spent before.
    Spend {
        performance: PerformanceId,
        reservation: ReservationId,
        points: u64,
        deadline_ms: Millis,
    },
    /// From the purchase.
    Refund {
        performance: PerformanceId,
        reservation: ReservationId,
    },
    Read,
}

/// What a wallet answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Wallet { user: UserId, balance: u64, version: u64 },
    Movement { movement: Movement, repeated: bool },
}

/// A charge or an adjustment that took place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Movement {
    pub id: Uuid,
    pub points: i64,
    pub balance: u64,
    pub at_ms: Millis,
}

/// Why a wallet refuses.
#[derive(Clone, Debug, PartialEq)]
pub enum Rejection {
    UnknownWallet,
    /// The same key stood for something else.
    KeyReused,
    /// A charge of nothing, or of too much.
    ChargeOutOfRange,
    /// A reference or reason that is too long, or a reason that is missing.
    TextOutOfRange,
    AdjustmentOutOfRange,
    TooManyCharges,
    BalanceTooLarge {
        balance: u64,
    },
    InsufficientPoints {
        balance: u64,
        required: u64,
    },
    /// The purchase took too long.
    TooLate {
        balance: u64,
    },
    NeverSpent,
}

impl Rejection {
    /// The balance that the refusal rests on, where it does.
    pub fn balance(&self) -> u64 {
        match self {
            Rejection::InsufficientPoints { balance, .. }
            | Rejection::TooLate { balance }
            | Rejection::BalanceTooLarge { balance } => *balance,
            _ => 0,
        }
    }
}

/// A wallet. Not open before `WalletOpened`.
#[derive(Default, Clone, Serialize, Deserialize)]
pub struct Wallet {
    account: Option<AccountId>,
    balance: u64,
    /// By key, sorted: what the requests of the last 24 h came to.
    repeats: Vec<Repeated>,
    /// By reservation, sorted.
    spends: Vec<Spend>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Repeated {
    repeat: Repeat,
    movement: Movement,
}

#[derive(Clone, Serialize, Deserialize)]
struct Spend {
    reservation: ReservationId,
    points: u64,
    refunded: bool,
}

impl Wallet {
    fn spend(&self, reservation: ReservationId) -> Option<&Spend> {
        let index = self.spends.binary_search_by_key(&reservation, |spend| spend.reservation).ok()?;
        Some(&self.spends[index])
    }

    fn repeated(&self, key: Fingerprint) -> Option<&Repeated> {
        let index = self.repeats.binary_search_by_key(&key, |repeated| repeated.repeat.key).ok()?;
        Some(&self.repeats[index])
    }

    /// `Some` when `repeat`'s key was used within the last 24 h.
    fn judge_repeat(&self, repeat: &Repeat, now: Millis) -> Option<Result<Vec<Event>, Rejection>> {
        let first = self.repeated(repeat.key).filter(|first| now < first.movement.at_ms + REPEAT_KEPT_MS)?;
        Some(if first.repeat.content == repeat.content { Ok(vec![]) } else { Err(Rejection::KeyReused) })
    }

    fn charge(&self, points: u64, reference: &Option<String>, repeat: &Repeat, id: Uuid) -> Result<Event, Rejection> {
        if !(1..=CHARGE_POINTS_MAX).contains(&points) {
            return Err(Rejection::ChargeOutOfRange);
        }
        if reference.as_ref().is_some_and(|text| text.chars().count() > REFERENCE_CHARS_MAX) {
            return Err(Rejection::TextOutOfRange);
        }
        let balance = self.balance + points;
        self.check_room(balance)?;
        let reference = reference.clone();
        Ok(Event::PointsCharged(PointsCharged { charge_id: id, points, balance, reference, repeat: *repeat }))
    }

    fn adjust(&self, points: i64, reason: &str, repeat: &Repeat, id: Uuid) -> Result<Event, Rejection> {
        if points == 0 || points.unsigned_abs() > BALANCE_POINTS_MAX {
            return Err(Rejection::AdjustmentOutOfRange);
        }
        if reason.trim().is_empty() || reason.chars().count() > REFERENCE_CHARS_MAX {
            return Err(Rejection::TextOutOfRange);
        }
        let Some(balance) = self.balance.checked_add_signed(points) else {
            return Err(Rejection::InsufficientPoints { balance: self.balance, required: points.unsigned_abs() });
        };
        if points > 0 {
            self.check_room(balance)?;
        }
        let reason = reason.to_owned();
        Ok(Event::PointsAdjusted(PointsAdjusted { adjustment_id: id, points, balance, reason, repeat: *repeat }))
    }

    /// A refund cannot be refused, so a balance must leave room for everything that may yet come back.
    fn check_room(&self, balance: u64) -> Result<(), Rejection> {
        let refundable: u64 = self.spends.iter().filter(|spend| !spend.refunded).map(|spend| spend.points).sum();
        if balance + refundable > BALANCE_POINTS_MAX {
            return Err(Rejection::BalanceTooLarge { balance: self.balance });
        }
        Ok(())
    }

    fn remember(&mut self, repeat: Repeat, movement: Movement) {
        // Old keys go now and then. When: by the length, because a wallet from a snapshot has another capacity, and would
        // differ from the one that it was taken of.
        if self.repeats.len() >= 16 && self.repeats.len().is_power_of_two() {
            let now = movement.at_ms;
            self.repeats.retain(|repeated| now < repeated.movement.at_ms + REPEAT_KEPT_MS);
        }
        if self.repeats.is_empty() {
            self.repeats.reserve_exact(1);
        }
        let repeated = Repeated { repeat, movement };
        match self.repeats.binary_search_by_key(&repeat.key, |repeated| repeated.repeat.key) {
            Ok(index) => self.repeats[index] = repeated,
            Err(index) => self.repeats.insert(index, repeated),
        }
    }
}

impl Aggregate for Wallet {
    const CATEGORY: Category = Category::Wallet;
    type Command = Command;
    type Answer = Answer;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(&self, command: &Command, context: &Context) -> Result<Vec<Event>, Rejection> {
        if let (Command::Open { account }, None) = (command, self.account) {
            return Ok(vec![Event::WalletOpened(WalletOpened { account_id: *account })]);
        }
        if self.account.is_none() {
            return Err(Rejection::UnknownWallet);
        }
        let id = uuid::Builder::from_random_bytes(context.random.to_be_bytes()).into_uuid();
        match command {
            Command::Open { .. } | Command::Read => Ok(vec![]),
            Command::Charge { repeat, .. } | Command::Adjust { repeat, .. }
                if let Some(judged) = self.judge_repeat(repeat, context.now) =>
            {
                judged
            }
            Command::Charge { .. } | Command::Adjust { .. } if self.day_is_full(context.now) => {
                Err(Rejection::TooManyCharges)
            }
            Command::Charge { points, reference, repeat } => {
                self.charge(*points, reference, repeat, id).map(|event| vec![event])
            }
            Command::Adjust { points, reason, repeat } => {
                self.adjust(*points, reason, repeat, id).map(|event| vec![event])
            }
            Command::Spend { performance, reservation, points, deadline_ms } => {
                if self.spend(*reservation).is_some() {
                    return Ok(vec![]);
                }
                if context.now >= *deadline_ms {
                    return Err(Rejection::TooLate { balance: self.balance });
                }
                let Some(balance) = self.balance.checked_sub(*points) else {
                    return Err(Rejection::InsufficientPoints { balance: self.balance, required: *points });
                };
                Ok(vec![Event::PointsSpent(PointsSpent {
                    reservation_id: *reservation,
                    performance_id: *performance,
                    points: *points,
                    balance,
                })])
            }
            Command::Refund { performance, reservation } => match self.spend(*reservation) {
                None => Err(Rejection::NeverSpent),
                Some(spend) if spend.refunded => Ok(vec![]),
                Some(spend) => Ok(vec![Event::PointsRefunded(PointsRefunded {
                    reservation_id: *reservation,
                    performance_id: *performance,
                    points: spend.points,
                    balance: self.balance + spend.points,
                })]),
            },
        }
    }

    fn evolve(&mut self, event: &Event, _version: u64, at_ms: Millis) {
        match event {
            Event::WalletOpened(event) => self.account = Some(event.account_id),
            Event::PointsCharged(event) => {
                self.balance = event.balance;
                let (id, points) = (event.charge_id, event.points as i64);
                self.remember(event.repeat, Movement { id, points, balance: event.balance, at_ms });
            }
            Event::PointsAdjusted(event) => {
                self.balance = event.balance;
                let (id, points) = (event.adjustment_id, event.points);
                self.remember(event.repeat, Movement { id, points, balance: event.balance, at_ms });
            }
            Event::PointsSpent(event) => {
                self.balance = event.balance;
                let spend = Spend { reservation: event.reservation_id, points: event.points, refunded: false };
                if let Err(index) = self.spends.binary_search_by_key(&event.reservation_id, |spend| spend.reservation) {
                    self.spends.insert(index, spend);
                }
            }
            Event::PointsRefunded(event) => {
                self.balance = event.balance;
                if let Ok(index) = self.spends.binary_search_by_key(&event.reservation_id, |spend| spend.reservation) {
                    self.spends[index].refunded = true;
                }
            }
        }
    }

    fn answer(&self, key: Uuid, version: u64, command: &Command, events: &[Event]) -> Answer {
        match command {
            Command::Charge { repeat, .. } | Command::Adjust { repeat, .. } => {
                let first = self.repeated(repeat.key).expect("a charge is remembered for 24 h");
                Answer::Movement { movement: first.movement.clone(), repeated: events.is_empty() }
            }
            _ => Answer::Wallet { user: UserId(key), balance: self.balance, version },
        }
    }

    fn follows(&self, _key: Uuid, command: &Command, result: Result<(), &Rejection>) -> Option<super::Command> {
        match command {
            // Opening is part of signing up: the account has the answer.
            Command::Open { account } => Some(super::Command::Account(*account, account::Command::Read)),
            _ => purchase::settled(command, result),
        }
    }
}

impl Wallet {
    fn day_is_full(&self, now: Millis) -> bool {
        self.repeats.len() >= CHARGES_PER_DAY_MAX
            && self.repeats.iter().filter(|first| now < first.movement.at_ms + REPEAT_KEPT_MS).count()
                >= CHARGES_PER_DAY_MAX
    }
}
