//! What moves points by hand: a charge after a payment, an adjustment by the operator. Each with the rules of its own.

use super::event::{Event, PointsAdjusted, PointsCharged};
use super::{BALANCE_POINTS_MAX, CHARGE_POINTS_MAX, ChargedBy, Moved, REFERENCE_CHARS_MAX, Wallet, new_id};
use crate::text::text_fits;
use crate::{Command, Context, Effect, IdempotencyRecord};
use base::id::{Millis, OrganizerId};

/// Points were paid for.
#[derive(Clone, Debug)]
pub struct Charge {
    pub points: u64,
    pub reference: Option<String>,
    pub by: ChargedBy,
    /// The organizer whose key it is, when it is an organizer's.
    pub organizer: Option<OrganizerId>,
    /// Points that may be charged within 24 h.
    pub day_points_max: u64,
    pub repeat: IdempotencyRecord,
}

/// The operator corrects the balance.
#[derive(Clone, Debug)]
pub struct Adjust {
    pub points: i64,
    pub reason: String,
    /// On whose account it is.
    pub organizer: Option<OrganizerId>,
    pub repeat: IdempotencyRecord,
}

/// Why points are not charged, in order of precedence.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(strum::VariantNames))]
pub enum ChargeRejection {
    /// Not open, or closed.
    UnknownWallet,
    /// The same key stood for something else.
    KeyReused,
    /// There is room for one more in `wait_ms`.
    TooManyCharges {
        retry_at_ms: Millis,
        wait_ms: Millis,
    },
    /// Nothing, or too much.
    PointsOutOfRange,
    /// Too long, or with control characters.
    ReferenceOutOfRange,
    /// So many points must not be charged within 24 h.
    ChargeLimit {
        limit: u64,
        charged: u64,
        /// When there is room again, if ever.
        retry_at_ms: Option<Millis>,
    },
    BalanceTooLarge {
        balance: u64,
    },
}

/// Why a balance is not corrected, in order of precedence.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(strum::VariantNames))]
pub enum AdjustRejection {
    /// Not open; or closed, and something was to be added.
    UnknownWallet,
    /// The same key stood for something else.
    KeyReused,
    /// There is room for one more in `wait_ms`.
    TooManyCharges {
        retry_at_ms: Millis,
        wait_ms: Millis,
    },
    /// Nothing, or more than a wallet holds.
    PointsOutOfRange,
    /// Missing, too long, or with control characters.
    ReasonOutOfRange,
    InsufficientPoints {
        balance: u64,
        required: u64,
    },
    BalanceTooLarge {
        balance: u64,
    },
}

impl Command for Charge {
    type On = Wallet;
    type Answer = Moved;
    type Rejection = ChargeRejection;

    fn decide(&self, wallet: &Wallet, context: &Context) -> Result<Vec<Event>, ChargeRejection> {
        use ChargeRejection as R;
        let purse = wallet.opened().ok_or(R::UnknownWallet)?;
        if let Some(same) = purse.repeats(&self.repeat, context.now) {
            return if same { Ok(vec![]) } else { Err(R::KeyReused) };
        }
        if purse.is_closed {
            return Err(R::UnknownWallet);
        }
        if let Some(retry_at_ms) = purse.day_is_full(context.now) {
            return Err(R::TooManyCharges { retry_at_ms, wait_ms: retry_at_ms - context.now });
        }
        if !(1..=CHARGE_POINTS_MAX).contains(&self.points) {
            return Err(R::PointsOutOfRange);
        }
        if self.reference.as_ref().is_some_and(|text| !text.is_empty() && !text_fits(text, REFERENCE_CHARS_MAX)) {
            return Err(R::ReferenceOutOfRange);
        }
        let charged = purse.charged_within_a_day(context.now);
        if charged + self.points > self.day_points_max {
            let (limit, retry_at_ms) =
                (self.day_points_max, purse.fits_at(self.points, self.day_points_max, context.now));
            return Err(R::ChargeLimit { limit, charged, retry_at_ms });
        }
        let balance = purse.balance + self.points;
        if !purse.has_room(balance) {
            return Err(R::BalanceTooLarge { balance: purse.balance });
        }
        Ok(vec![Event::PointsCharged(PointsCharged {
            charge_id: new_id(context),
            points: self.points,
            balance,
            reference: self.reference.clone(),
            charged_by: Some(self.by),
            organizer_id: self.organizer,
            repeat: self.repeat,
        })])
    }

    fn answer(&self, wallet: &Wallet, effect: &Effect<'_, Wallet>) -> Moved {
        wallet.moved(&self.repeat, effect)
    }
}

impl Command for Adjust {
    type On = Wallet;
    type Answer = Moved;
    type Rejection = AdjustRejection;

    fn decide(&self, wallet: &Wallet, context: &Context) -> Result<Vec<Event>, AdjustRejection> {
        use AdjustRejection as R;
        let purse = wallet.opened().ok_or(R::UnknownWallet)?;
        if let Some(same) = purse.repeats(&self.repeat, context.now) {
            return if same { Ok(vec![]) } else { Err(R::KeyReused) };
        }
        // What is left can be taken off the books.
        if purse.is_closed && self.points > 0 {
            return Err(R::UnknownWallet);
        }
        if let Some(retry_at_ms) = purse.day_is_full(context.now) {
            return Err(R::TooManyCharges { retry_at_ms, wait_ms: retry_at_ms - context.now });
        }
        if self.points == 0 || self.points.unsigned_abs() > BALANCE_POINTS_MAX {
            return Err(R::PointsOutOfRange);
        }
        if !text_fits(&self.reason, REFERENCE_CHARS_MAX) {
            return Err(R::ReasonOutOfRange);
        }
        let Some(balance) = purse.balance.checked_add_signed(self.points) else {
            return Err(R::InsufficientPoints { balance: purse.balance, required: self.points.unsigned_abs() });
        };
        if self.points > 0 && !purse.has_room(balance) {
            return Err(R::BalanceTooLarge { balance: purse.balance });
        }
        Ok(vec![Event::PointsAdjusted(PointsAdjusted {
            adjustment_id: new_id(context),
            points: self.points,
            balance,
            reason: self.reason.clone(),
            organizer_id: self.organizer,
            repeat: self.repeat,
        })])
    }

    fn answer(&self, wallet: &Wallet, effect: &Effect<'_, Wallet>) -> Moved {
        wallet.moved(&self.repeat, effect)
    }
}
