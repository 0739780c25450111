//! The terms of a sale: its hours, and what one buyer may do.

use super::Change;
use super::fairness::LAPSED_HOLDS_MAX;
use crate::performance::seats::chart::Invalid;
use base::id::{Millis, QueueId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// A hold's life, s. domain.md: default 300.
const HOLD_TTL_S: RangeInclusive<u32> = 1..=86_400;
/// How long a payment may take, s. domain.md: default 60.
const PAYMENT_TTL_S: RangeInclusive<u32> = 1..=3_600;
const EXTENSION_S_MAX: u32 = 86_400;
const SEATS_PER_USER: RangeInclusive<u32> = 1..=100;

/// What holds for everybody who buys, apart from places and prices. Times are absolute.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Terms {
    pub starts_at_ms: Millis,
    pub sale_opens_at_ms: Millis,
    pub sale_closes_at_ms: Millis,
    /// Until when a confirmed reservation can be cancelled.
    pub cancellation_closes_at_ms: Millis,
    pub hold_ttl_s: u32,
    pub payment_ttl_s: u32,
    /// How long a hold can be extended, once; 0 = not at all.
    pub extension_s: u32,
    pub seats_per_user_max: u32,
    /// Holds of one user that may come to nothing within an hour; 0 = as many as one likes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lapsed_holds_max: u32,
    /// Only who is admitted by this queue may hold places.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_id: Option<QueueId>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Terms {
    /// What makes no sense about them, if anything.
    pub fn check(&self) -> Result<(), Invalid> {
        let Terms { hold_ttl_s, payment_ttl_s, extension_s, seats_per_user_max, lapsed_holds_max, .. } = self;
        let table = [
            (self.sale_opens_at_ms < self.sale_closes_at_ms, "sale_closes_at", "must be after sale_opens_at".into()),
            (self.sale_opens_at_ms <= self.starts_at_ms, "sale_opens_at", "must not be after starts_at".to_string()),
            (HOLD_TTL_S.contains(hold_ttl_s), "hold_ttl_s", format!("must be {HOLD_TTL_S:?} seconds")),
            (PAYMENT_TTL_S.contains(payment_ttl_s), "payment_ttl_s", format!("must be {PAYMENT_TTL_S:?} seconds")),
            (*extension_s <= EXTENSION_S_MAX, "extension_s", format!("must be at most {EXTENSION_S_MAX} seconds")),
            (
                SEATS_PER_USER.contains(seats_per_user_max),
                "seats_per_user_max",
                format!("must be {SEATS_PER_USER:?} places"),
            ),
            (
                LAPSED_HOLDS_MAX.contains(lapsed_holds_max),
                "lapsed_holds_max",
                format!("must be {LAPSED_HOLDS_MAX:?} holds; 0 is no limit"),
            ),
        ];
        match table.into_iter().find(|(fits, ..)| !fits) {
            None => Ok(()),
            Some((_, field, reason)) => Err(Invalid { field: field.into(), reason }),
        }
    }

    /// These, as `change` wants them.
    pub fn changed_by(&self, change: &Change) -> Terms {
        Terms {
            starts_at_ms: change.starts_at_ms.unwrap_or(self.starts_at_ms),
            sale_opens_at_ms: change.sale_opens_at_ms.unwrap_or(self.sale_opens_at_ms),
            sale_closes_at_ms: change.sale_closes_at_ms.unwrap_or(self.sale_closes_at_ms),
            cancellation_closes_at_ms: change.cancellation_closes_at_ms.unwrap_or(self.cancellation_closes_at_ms),
            hold_ttl_s: change.hold_ttl_s.unwrap_or(self.hold_ttl_s),
            payment_ttl_s: change.payment_ttl_s.unwrap_or(self.payment_ttl_s),
            extension_s: change.extension_s.unwrap_or(self.extension_s),
            seats_per_user_max: change.seats_per_user_max.unwrap_or(self.seats_per_user_max),
            lapsed_holds_max: change.lapsed_holds_max.unwrap_or(self.lapsed_holds_max),
            queue_id: change.queue_id.unwrap_or(self.queue_id),
        }
    }

    /// When places are sold.
    pub fn hours(&self) -> (Millis, Millis) {
        (self.sale_opens_at_ms, self.sale_closes_at_ms)
    }
}
