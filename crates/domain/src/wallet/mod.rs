//! One user's points. Never negative, never overflowing; every movement carries the balance after it.
//!
//! - [`movement`]: charges and adjustments; [`read`]: what it shows
//! - [`event`]: what happens to it
//! - [`history`]: what it shows of its past

mod check;
pub mod event;
pub mod history;
mod movement;
mod read;
#[cfg(test)]
mod tests;

use crate::seeded_faults::{self, Bug};
use crate::{Aggregate, Context, Effect, Fingerprint, IdempotencyRecord, Owes, REPEAT_KEPT_MS};
use base::id::{AccountId, Category, Millis, OrganizerId, PerformanceId, ReservationId, UserId};
pub use event::*;
use history::{Entry, EntryKind, History};
pub use movement::*;
pub use read::*;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
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
pub struct Wallet(Box<WalletState>);

#[derive(Default, Clone, Serialize, Deserialize)]
struct WalletState {
    account: Option<AccountId>,
    is_closed: bool,
    balance: u64,
    /// What the requests of the last 24 h came to, sorted by key.
    repeats: Vec<Repeated>,
    /// By reservation, sorted.
    spends: Vec<Spend>,
    history: History,
}

#[derive(Clone, Serialize, Deserialize)]
struct Repeated {
    repeat: IdempotencyRecord,
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

impl WalletState {
    fn spend(&self, reservation: ReservationId) -> Option<&Spend> {
        let index = self.spends.binary_search_by_key(&reservation, |spend| spend.reservation).ok()?;
        Some(&self.spends[index])
    }

    fn repeated(&self, key: Fingerprint) -> Option<&Repeated> {
        let index = self.repeats.binary_search_by_key(&key, |repeated| repeated.repeat.key).ok()?;
        Some(&self.repeats[index])
    }

    /// `Some` when the key of `repeat` was used within the last 24 h: whether it stood for the same.
    fn repeats(&self, repeat: &IdempotencyRecord, now: Millis) -> Option<bool> {
        let first = self.repeated(repeat.key).filter(|first| now < first.movement.at_ms + REPEAT_KEPT_MS)?;
        Some(first.repeat.content == repeat.content)
    }

    /// Points and instants of the charges of the last 24 h.
    fn charges_of_the_day(&self, now: Millis) -> impl Iterator<Item = (Millis, u64)> {
        let young = move |first: &&Repeated| first.charge && now < first.movement.at_ms + REPEAT_KEPT_MS;
        self.repeats.iter().filter(young).map(|first| (first.movement.at_ms, first.movement.points as u64))
    }

    fn charged_within_a_day(&self, now: Millis) -> u64 {
        self.charges_of_the_day(now).map(|(_, points)| points).sum()
    }

    /// When so many points more are within what may be charged in 24 h, if ever.
    fn fits_at(&self, points: u64, limit: u64, now: Millis) -> Option<Millis> {
        let mut left = self.charged_within_a_day(now);
        let mut aging: Vec<_> = self.charges_of_the_day(now).collect();
        aging.sort_unstable();
        let fits = aging.into_iter().find(|(_, old)| {
            left -= old;
            left + points <= limit
        });
        fits.map(|(at_ms, _)| at_ms + REPEAT_KEPT_MS)
    }

    /// Points leave for a reservation, once. Not after `deadline_ms`, unless they left before.
    fn spend_on(&self, due: &Due, points: u64, deadline_ms: Millis, now: Millis) -> Result<Vec<Event>, SpendRefusal> {
        if self.spend(due.reservation).is_some() {
            return Ok(vec![]);
        }
        if self.is_closed {
            return Err(SpendRefusal::UnknownWallet);
        }
        if now >= deadline_ms {
            return Err(SpendRefusal::TooLate { balance: self.balance });
        }
        let Some(balance) = self.balance.checked_sub(points) else {
            return Err(SpendRefusal::InsufficientPoints { balance: self.balance });
        };
        Ok(vec![Event::PointsSpent(PointsSpent {
            reservation_id: due.reservation,
            performance_id: due.performance,
            organizer_id: Some(due.organizer),
            points,
            balance,
        })])
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
    fn has_room(&self, balance: u64) -> bool {
        let refundable: u64 = self.spends.iter().filter(|spend| !spend.refunded).map(|spend| spend.points).sum();
        balance + refundable <= BALANCE_POINTS_MAX
    }

    fn remember(&mut self, repeat: IdempotencyRecord, movement: Movement, charge: bool) {
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

impl Wallet {
    /// What is in it, once it was opened.
    fn opened(&self) -> Option<&WalletState> {
        self.0.account.is_some().then_some(&*self.0)
    }

    /// The movement that a key stands for.
    fn moved(&self, repeat: &IdempotencyRecord, effect: &Effect<'_, Wallet>) -> Moved {
        let first = self.0.repeated(repeat.key).expect("a charge is remembered for 24 h");
        Moved { movement: first.movement.clone(), repeated: effect.events.is_empty() }
    }

    /// At sign-up; again at any time without effect.
    pub(crate) fn open(&self, account: AccountId) -> Vec<Event> {
        if self.0.account.is_some() {
            return vec![];
        }
        vec![Event::WalletOpened(WalletOpened { account_id: account })]
    }

    /// Points leave for a reservation, once. Not after `deadline_ms`, unless they left before.
    pub(crate) fn spend(
        &self,
        due: &Due,
        points: u64,
        deadline_ms: Millis,
        now: Millis,
    ) -> Result<Vec<Event>, SpendRefusal> {
        self.opened().ok_or(SpendRefusal::UnknownWallet)?.spend_on(due, points, deadline_ms, now)
    }

    /// The points of a reservation come back, once.
    pub(crate) fn give_back(&self, due: &Due, reason: Option<&str>) -> Result<Vec<Event>, NeverSpent> {
        let purse = self.opened().ok_or(NeverSpent)?;
        let spend = purse.spend(due.reservation).ok_or(NeverSpent)?;
        if spend.refunded && !seeded_faults::is(Bug::RefundedTwice) {
            return Ok(vec![]);
        }
        Ok(vec![Event::PointsRefunded(PointsRefunded {
            reservation_id: due.reservation,
            performance_id: due.performance,
            organizer_id: Some(due.organizer),
            points: spend.points,
            balance: purse.balance + spend.points,
            reason: reason.map(str::to_owned),
        })])
    }
}

/// A charge or an adjustment that took place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Movement {
    pub id: Uuid,
    pub points: i64,
    pub balance: u64,
    pub at_ms: Millis,
}

/// The movement that a request came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Moved {
    pub movement: Movement,
    /// The same request moved the points before.
    pub repeated: bool,
}

/// What points are spent on, and to whom they are due.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    pub reservation: ReservationId,
    pub performance: PerformanceId,
    pub organizer: OrganizerId,
}

/// Not open, or closed, or nothing to the organizer who asks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnknownWallet;

/// Why a wallet does not spend.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(test, derive(strum::VariantNames))]
pub enum SpendRefusal {
    /// Not open, or closed.
    UnknownWallet,
    /// The purchase took too long.
    TooLate {
        balance: u64,
    },
    InsufficientPoints {
        balance: u64,
    },
}

/// Nothing was spent on that reservation: there is nothing to give back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NeverSpent;

impl Owes for Wallet {
    type Work = Infallible;
}

impl Aggregate for Wallet {
    const CATEGORY: Category = Category::Wallet;
    type Id = UserId;
    type Event = Event;

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
