//! What a wallet can be asked for, what it answers and how it refuses.

use super::ChargedBy;
use super::history::Page;
use crate::Repeat;
use base::id::{AccountId, Millis, OrganizerId, PerformanceId, ReservationId, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a wallet can be asked for.
#[derive(Clone, Debug)]
pub enum Command {
    /// At sign-up; again at any time without effect.
    Open {
        account: AccountId,
    },
    /// From the erasure of its user. Again without effect; of a wallet that was never opened, too.
    Close,
    /// Refused unless there is somebody who can pay.
    Check,
    Charge {
        points: u64,
        reference: Option<String>,
        by: ChargedBy,
        /// The organizer whose key it is, when it is an organizer's.
        organizer: Option<OrganizerId>,
        /// Points that may be charged within 24 h.
        day_points_max: u64,
        repeat: Repeat,
    },
    Adjust {
        points: i64,
        reason: String,
        /// On whose account it is.
        organizer: Option<OrganizerId>,
        repeat: Repeat,
    },
    /// From the purchase. Not after `deadline_ms`, unless it was spent before.
    Spend {
        performance: PerformanceId,
        organizer: OrganizerId,
        reservation: ReservationId,
        points: u64,
        deadline_ms: Millis,
    },
    /// From the purchase.
    Refund {
        performance: PerformanceId,
        organizer: OrganizerId,
        reservation: ReservationId,
        reason: Option<String>,
    },
    Read,
    /// Read it for an organizer, who must have had to do with this user.
    Look {
        organizer: OrganizerId,
    },
    /// The latest movements, the newest first: at most `limit`, those before version `before`. For an organizer: those
    /// that are on its account.
    Statement {
        organizer: Option<OrganizerId>,
        before: Option<u64>,
        limit: usize,
    },
}

/// What a wallet answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Wallet { user: UserId, balance: u64, version: u64 },
    Movement { movement: Movement, repeated: bool },
    Statement(Page),
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
#[cfg_attr(test, derive(strum::IntoStaticStr, strum::VariantNames))]
pub enum Rejection {
    /// Not open, or closed.
    UnknownWallet,
    /// The same key stood for something else.
    KeyReused,
    /// A charge of nothing, or of too much.
    ChargeOutOfRange,
    /// A reference or reason that is too long or has control characters, or a reason that is missing.
    TextOutOfRange {
        field: &'static str,
    },
    AdjustmentOutOfRange,
    /// There is room for one more in `wait_ms`.
    TooManyCharges {
        retry_at_ms: Millis,
        wait_ms: Millis,
    },
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
