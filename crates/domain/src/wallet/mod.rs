//! One user's points. Never negative, never overflowing; every movement carries the balance after it.
//!
//! - [`command`]: what it can be asked for, its answers and its rejections
//! - [`event`]: what happens to it
//! - [`history`]: what it shows of its past

mod check;
pub mod command;
pub mod event;
pub mod history;
#[cfg(test)]
mod tests;

use super::{Aggregate, Context, Fingerprint, REPEAT_KEPT_MS, Repeat, account, text_fits};
use crate::process::purchase;
use crate::seeded_faults::{self, Bug};
use base::id::{AccountId, Category, Millis, ReservationId, UserId};
pub use command::*;
pub use event::*;
use history::{Entry, EntryKind, History};
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

/// A wallet. Not open before `WalletOpened`.
/// A table of a million wallets has as many empty places: what a wallet holds is elsewhere.
#[derive(Default, Clone, Serialize, Deserialize)]
pub struct Wallet(Box<Purse>);

#[derive(Default, Clone, Serialize, Deserialize)]
struct Purse {
    account: Option<AccountId>,
    is_closed: bool,
    balance: u64,
    /// By key, sorted: what the requests of the last 24 h came to.
    repeats: Vec<Repeated>,
    /// By reservation, sorted.
    spends: Vec<Spend>,
    history: History,
}

#[derive(Clone, Serialize, Deserialize)]
struct Repeated {
    repeat: Repeat,
    movement: Movement,
    /// It was a charge, not an adjustment.
    charge: bool,
}

#[derive(Clone, Serialize, Deserialize)]
struct Spend {
    reservation: ReservationId,
    points: u64,
    refunded: bool,
}

impl Purse {
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

    fn charge(&self, command: &Command, context: &Context) -> Result<Vec<Event>, Rejection> {
        let Command::Charge { points, reference, by, organizer, day_points_max, repeat } = command else {
            unreachable!("decide gives charges only")
        };
        let points = *points;
        if !(1..=CHARGE_POINTS_MAX).contains(&points) {
            return Err(Rejection::ChargeOutOfRange);
        }
        if reference.as_ref().is_some_and(|text| !text.is_empty() && !text_fits(text, REFERENCE_CHARS_MAX)) {
            return Err(Rejection::TextOutOfRange { field: "reference" });
        }
        self.check_day(points, *day_points_max, context.now)?;
        let balance = self.balance + points;
        self.check_room(balance)?;
        Ok(vec![Event::PointsCharged(PointsCharged {
            charge_id: new_id(context),
            points,
            balance,
            reference: reference.clone(),
            charged_by: Some(*by),
            organizer_id: *organizer,
            repeat: *repeat,
        })])
    }

    fn adjust(&self, command: &Command, context: &Context) -> Result<Vec<Event>, Rejection> {
        let Command::Adjust { points, reason, organizer, repeat } = command else {
            unreachable!("decide gives adjustments only")
        };
        let points = *points;
        if points == 0 || points.unsigned_abs() > BALANCE_POINTS_MAX {
            return Err(Rejection::AdjustmentOutOfRange);
        }
        if !text_fits(reason, REFERENCE_CHARS_MAX) {
            return Err(Rejection::TextOutOfRange { field: "reason" });
        }
        let Some(balance) = self.balance.checked_add_signed(points) else {
            return Err(Rejection::InsufficientPoints { balance: self.balance, required: points.unsigned_abs() });
        };
        if points > 0 {
            self.check_room(balance)?;
        }
        Ok(vec![Event::PointsAdjusted(PointsAdjusted {
            adjustment_id: new_id(context),
            points,
            balance,
            reason: reason.clone(),
            organizer_id: *organizer,
            repeat: *repeat,
        })])
    }

    fn pay(&self, command: &Command, now: Millis) -> Result<Vec<Event>, Rejection> {
        let Command::Spend { performance, organizer, reservation, points, deadline_ms } = command else {
            unreachable!("decide gives payments only")
        };
        if self.spend(*reservation).is_some() {
            return Ok(vec![]);
        }
        if now >= *deadline_ms {
            return Err(Rejection::TooLate { balance: self.balance });
        }
        let Some(balance) = self.balance.checked_sub(*points) else {
            return Err(Rejection::InsufficientPoints { balance: self.balance, required: *points });
        };
        Ok(vec![Event::PointsSpent(PointsSpent {
            reservation_id: *reservation,
            performance_id: *performance,
            organizer_id: Some(*organizer),
            points: *points,
            balance,
        })])
    }

    /// Refuses a charge that goes beyond what may be charged within 24 h, and says when it fits.
    fn check_day(&self, points: u64, limit: u64, now: Millis) -> Result<(), Rejection> {
        let young = |first: &&Repeated| first.charge && now < first.movement.at_ms + REPEAT_KEPT_MS;
        let charged: u64 = self.repeats.iter().filter(young).map(|first| first.movement.points as u64).sum();
        if charged + points <= limit {
            return Ok(());
        }
        let mut aging: Vec<_> =
            self.repeats.iter().filter(young).map(|first| (first.movement.at_ms, first.movement.points)).collect();
        aging.sort_unstable();
        let mut left = charged;
        let fits = aging.into_iter().find(|(_, old)| {
            left -= *old as u64;
            left + points <= limit
        });
        let retry_at_ms = fits.map(|(at_ms, _)| at_ms + REPEAT_KEPT_MS);
        Err(Rejection::ChargeLimit { limit, charged, retry_at_ms })
    }

    /// When the day's number of charges and adjustments is used up: the instant at which there is room for one.
    fn day_is_full(&self, now: Millis) -> Option<Millis> {
        if self.repeats.len() < CHARGES_PER_DAY_MAX {
            return None;
        }
        let ages_at = |first: &Repeated| first.movement.at_ms + REPEAT_KEPT_MS;
        let young: Vec<Millis> = self.repeats.iter().map(ages_at).filter(|at| now < *at).collect();
        if young.len() < CHARGES_PER_DAY_MAX { None } else { young.into_iter().min() }
    }

    /// A refund cannot be refused, so a balance must leave room for everything that may yet come back.
    fn check_room(&self, balance: u64) -> Result<(), Rejection> {
        let refundable: u64 = self.spends.iter().filter(|spend| !spend.refunded).map(|spend| spend.points).sum();
        if balance + refundable > BALANCE_POINTS_MAX {
            return Err(Rejection::BalanceTooLarge { balance: self.balance });
        }
        Ok(())
    }

    fn remember(&mut self, repeat: Repeat, movement: Movement, charge: bool) {
        // Old keys go now and then. When: by the length, because a wallet from a snapshot has another capacity, and would
        // differ from the one that it was taken of.
        if self.repeats.len() >= 16 && self.repeats.len().is_power_of_two() {
            let now = movement.at_ms;
            self.repeats.retain(|repeated| now < repeated.movement.at_ms + REPEAT_KEPT_MS);
        }
        if self.repeats.is_empty() {
            self.repeats.reserve_exact(1);
        }
        let repeated = Repeated { repeat, movement, charge };
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
        let purse = &self.0;
        if let (Command::Open { account }, None) = (command, purse.account) {
            return Ok(vec![Event::WalletOpened(WalletOpened { account_id: *account })]);
        }
        if let Command::Close = command {
            let is_open = purse.account.is_some() && !purse.is_closed;
            let closed = WalletClosed { balance: purse.balance };
            return Ok(is_open.then_some(Event::WalletClosed(closed)).into_iter().collect());
        }
        if purse.account.is_none() {
            return Err(Rejection::UnknownWallet);
        }
        match command {
            Command::Close => unreachable!("handled above"),
            Command::Look { organizer } | Command::Statement { organizer: Some(organizer), .. }
                if !purse.history.knows(*organizer) =>
            {
                Err(Rejection::UnknownWallet)
            }
            Command::Open { .. } | Command::Read | Command::Look { .. } | Command::Statement { .. } => Ok(vec![]),
            Command::Charge { repeat, .. } | Command::Adjust { repeat, .. }
                if let Some(judged) = purse.judge_repeat(repeat, context.now) =>
            {
                judged
            }
            // What was done before is told again, above. What is left can be taken off the books, below.
            Command::Check | Command::Charge { .. } | Command::Adjust { points: 1.., .. } if purse.is_closed => {
                Err(Rejection::UnknownWallet)
            }
            Command::Check => Ok(vec![]),
            Command::Spend { reservation, .. } if purse.is_closed && purse.spend(*reservation).is_none() => {
                Err(Rejection::UnknownWallet)
            }
            Command::Charge { .. } | Command::Adjust { .. }
                if let Some(retry_at_ms) = purse.day_is_full(context.now) =>
            {
                Err(Rejection::TooManyCharges { retry_at_ms, wait_ms: retry_at_ms - context.now })
            }
            Command::Charge { .. } => purse.charge(command, context),
            Command::Adjust { .. } => purse.adjust(command, context),
            Command::Spend { .. } => purse.pay(command, context.now),
            Command::Refund { performance, organizer, reservation, reason } => match purse.spend(*reservation) {
                None => Err(Rejection::NeverSpent),
                Some(spend) if spend.refunded && !seeded_faults::is(Bug::RefundedTwice) => Ok(vec![]),
                Some(spend) => Ok(vec![Event::PointsRefunded(PointsRefunded {
                    reservation_id: *reservation,
                    performance_id: *performance,
                    organizer_id: Some(*organizer),
                    points: spend.points,
                    balance: purse.balance + spend.points,
                    reason: reason.clone(),
                })]),
            },
        }
    }

    fn evolve(&mut self, event: &Event, version: u64, at_ms: Millis) {
        let purse = &mut *self.0;
        if let Some(entry) = entry_of(event, version, at_ms) {
            purse.balance = entry.balance;
            purse.history.push(&entry);
        }
        match event {
            Event::WalletOpened(event) => purse.account = Some(event.account_id),
            Event::WalletClosed(_) => purse.is_closed = true,
            Event::PointsCharged(event) => {
                let (id, points) = (event.charge_id, event.points as i64);
                purse.remember(event.repeat, Movement { id, points, balance: event.balance, at_ms }, true);
            }
            Event::PointsAdjusted(event) => {
                let (id, points) = (event.adjustment_id, event.points);
                purse.remember(event.repeat, Movement { id, points, balance: event.balance, at_ms }, false);
            }
            Event::PointsSpent(event) => {
                let spend = Spend { reservation: event.reservation_id, points: event.points, refunded: false };
                if let Err(index) = purse.spends.binary_search_by_key(&event.reservation_id, |spend| spend.reservation)
                {
                    purse.spends.insert(index, spend);
                }
            }
            Event::PointsRefunded(event) => {
                if let Ok(index) = purse.spends.binary_search_by_key(&event.reservation_id, |spend| spend.reservation) {
                    purse.spends[index].refunded = true;
                }
            }
        }
        crate::check::after_event(self, version, self.parts());
    }

    fn check(&self) {
        self.check_lists();
    }

    fn answer(&self, key: Uuid, version: u64, command: &Command, events: &[Event]) -> Answer {
        let purse = &self.0;
        match command {
            Command::Charge { repeat, .. } | Command::Adjust { repeat, .. } => {
                let first = purse.repeated(repeat.key).expect("a charge is remembered for 24 h");
                Answer::Movement { movement: first.movement.clone(), repeated: events.is_empty() }
            }
            Command::Statement { organizer, before, limit } => {
                Answer::Statement(purse.history.page(*organizer, *before, *limit, purse.balance))
            }
            _ => Answer::Wallet { user: UserId(key), balance: purse.balance, version },
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

/// The one id that a command may make.
fn new_id(context: &Context) -> Uuid {
    uuid::Builder::from_random_bytes(context.random.to_be_bytes()).into_uuid()
}

/// A movement of points as a statement shows it; `None` of an event that moves nothing.
pub fn entry_of(event: &Event, version: u64, at_ms: Millis) -> Option<Entry> {
    let plain = |kind, points, balance, id, organizer| Entry {
        version,
        at_ms,
        kind,
        points,
        balance,
        id,
        charged_by: None,
        organizer,
        text: None,
    };
    Some(match event {
        Event::WalletOpened(_) | Event::WalletClosed(_) => return None,
        Event::PointsCharged(event) => Entry {
            charged_by: event.charged_by,
            text: event.reference.clone(),
            ..plain(EntryKind::Charged, event.points as i64, event.balance, event.charge_id, event.organizer_id)
        },
        Event::PointsSpent(event) => {
            let (points, id) = (-(event.points as i64), event.reservation_id.0);
            plain(EntryKind::Spent, points, event.balance, id, event.organizer_id)
        }
        Event::PointsRefunded(event) => {
            let (points, id) = (event.points as i64, event.reservation_id.0);
            let text = event.reason.clone();
            Entry { text, ..plain(EntryKind::Refunded, points, event.balance, id, event.organizer_id) }
        }
        Event::PointsAdjusted(event) => {
            let text = Some(event.reason.clone());
            let (id, organizer) = (event.adjustment_id, event.organizer_id);
            Entry { text, ..plain(EntryKind::Adjusted, event.points, event.balance, id, organizer) }
        }
    })
}
