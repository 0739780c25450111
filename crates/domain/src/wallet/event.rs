//! What happens to a wallet. Every movement carries the balance after it.

use crate::IdempotencyRecord;
use crate::event::{events, recorded, words};
use base::id::{AccountId, OrganizerId, PerformanceId, ReservationId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

events! {
    WalletOpened = "WalletOpened.v1",
    PointsCharged = "PointsCharged.v1",
    PointsSpent = "PointsSpent.v1",
    PointsRefunded = "PointsRefunded.v1",
    PointsAdjusted = "PointsAdjusted.v1",
    WalletClosed = "WalletClosed.v1",
}

recorded! {
    /// A user signed up and has a wallet, empty.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct WalletOpened {
        pub account_id: AccountId,
    }

    /// The user was erased: nothing is charged or spent any more. What is refunded later still comes back here.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct WalletClosed {
        /// Points that are left.
        pub balance: u64,
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
        pub reference: Option<String> as public,
        /// Whose key or token it was; not known of charges before this was recorded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub charged_by: Option<ChargedBy>,
        /// The organizer whose key charged.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub organizer_id: Option<OrganizerId>,
        pub repeat: IdempotencyRecord,
    }
}

/// Who charged a wallet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChargedBy {
    /// An organizer's key.
    Organizer,
    /// The operator's key.
    Operator,
    /// The user, where that is switched on.
    #[serde(rename = "self")]
    User,
}

recorded! {
    /// A reservation was paid. At most once per reservation.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct PointsSpent {
        pub reservation_id: ReservationId,
        pub performance_id: PerformanceId,
        /// Who sells the performance; not recorded at first, then the performance tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub organizer_id: Option<OrganizerId>,
        pub points: u64,
        pub balance: u64,
    }

    /// A paid reservation was cancelled. At most once per reservation.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct PointsRefunded {
        pub reservation_id: ReservationId,
        pub performance_id: PerformanceId,
        /// Who sells the performance; not recorded at first, then the performance tells.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub organizer_id: Option<OrganizerId>,
        pub points: u64,
        pub balance: u64,
        /// What the organizer said, when it was the organizer who cancelled.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub reason: Option<String> as public,
    }

    /// The operator corrected a balance.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct PointsAdjusted {
        pub adjustment_id: Uuid,
        /// Added when positive, taken when negative.
        pub points: i64,
        pub balance: u64,
        pub reason: String as public,
        /// The organizer on whose account it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub organizer_id: Option<OrganizerId>,
        pub repeat: IdempotencyRecord,
    }
}

words!(ChargedBy);
