//! The terms of a sale: its hours, and what one buyer may do.

use super::Change;
use super::fairness::LAPSED_HOLDS_MAX;
use crate::event::recorded;
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

recorded! {
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
        /// Which times were never set. Not said in events of before: there one that equals `starts_at_ms` was not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub follows_starts_at: Option<Follows>,
    }

    /// The times that were never set: each is that of `starts_at_ms`, also when that is moved.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
    pub struct Follows {
        pub sale_closes_at: bool,
        pub cancellation_closes_at: bool,
    }
}

/// The times that a request names. A rule between two times is told by the one that was named.
#[derive(Clone, Copy, Debug)]
pub struct NamedTimes {
    pub starts_at: bool,
    pub sale_opens_at: bool,
    pub sale_closes_at: bool,
    pub cancellation_closes_at: bool,
}

impl NamedTimes {
    /// What a creation names: what it leaves out breaks no rule by itself.
    pub const ALL: NamedTimes =
        NamedTimes { starts_at: true, sale_opens_at: true, sale_closes_at: true, cancellation_closes_at: true };

    fn has(&self, field: &str) -> bool {
        match field {
            "starts_at" => self.starts_at,
            "sale_opens_at" => self.sale_opens_at,
            "sale_closes_at" => self.sale_closes_at,
            _ => self.cancellation_closes_at,
        }
    }
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Terms {
    /// What makes no sense about the numbers, if anything.
    pub fn check(&self) -> Result<(), Invalid> {
        let Terms { hold_ttl_s, payment_ttl_s, extension_s, seats_per_user_max, lapsed_holds_max, .. } = self;
        let table = [
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

    /// The order of the times: the sale opens before it closes, and it, the cancellations and the opening are over when
    /// the performance starts. Checked whenever a time is set; performances of before the rule keep what they have. The hours
    /// of a sale that is closed for good cannot be changed and say nothing any more: they keep no start from being moved.
    pub fn check_times(&self, named: NamedTimes, is_closed: bool) -> Result<(), Invalid> {
        let Terms { starts_at_ms: starts, sale_opens_at_ms: opens, sale_closes_at_ms: closes, .. } = *self;
        // Of two fields the first is told when both or neither were named.
        let rules = match self.follows().sale_closes_at {
            _ if is_closed => vec![],
            true => vec![(
                opens < starts,
                ("sale_opens_at", "must be before starts_at, when the sale closes"),
                ("starts_at", "must be after sale_opens_at, for the sale closes when it starts"),
            )],
            false => vec![
                (
                    opens < closes,
                    ("sale_closes_at", "must be after sale_opens_at"),
                    ("sale_opens_at", "must be before sale_closes_at"),
                ),
                (
                    opens <= starts,
                    ("sale_opens_at", "must not be after starts_at"),
                    ("starts_at", "must not be before sale_opens_at"),
                ),
                (
                    closes <= starts,
                    ("sale_closes_at", "must not be after starts_at"),
                    ("starts_at", "must not be before sale_closes_at; set that too, or to null to let it follow"),
                ),
            ],
        };
        let cancellation = (
            self.cancellation_closes_at_ms <= starts,
            ("cancellation_closes_at", "must not be after starts_at"),
            ("starts_at", "must not be before cancellation_closes_at; set that too, or to null to let it follow"),
        );
        let Some((_, one, other)) = rules.into_iter().chain([cancellation]).find(|(fits, ..)| !fits) else {
            return Ok(());
        };
        let (field, reason) = if named.has(other.0) && !named.has(one.0) { other } else { one };
        Err(Invalid { field: field.into(), reason: reason.into() })
    }

    /// Which times were never set. Events of before did not say so: there a time that equals `starts_at_ms` is one that was
    /// left out, as far as anybody can tell, and whoever did set it so wanted it there.
    pub fn follows(&self) -> Follows {
        self.follows_starts_at.unwrap_or(Follows {
            sale_closes_at: self.sale_closes_at_ms == self.starts_at_ms,
            cancellation_closes_at: self.cancellation_closes_at_ms == self.starts_at_ms,
        })
    }

    fn times(&self) -> ([Millis; 4], Follows) {
        let hours = [self.sale_opens_at_ms, self.sale_closes_at_ms];
        ([self.starts_at_ms, hours[0], hours[1], self.cancellation_closes_at_ms], self.follows())
    }

    /// Whether `other` has other times, or other ones that were set.
    pub fn has_other_times(&self, other: &Terms) -> bool {
        self.times() != other.times()
    }

    /// The hours as they were set: a closing that follows the start is none.
    pub fn set_hours(&self) -> (Millis, Option<Millis>) {
        (self.sale_opens_at_ms, (!self.follows().sale_closes_at).then_some(self.sale_closes_at_ms))
    }

    /// These, as `change` wants them.
    pub fn changed_by(&self, change: &Change) -> Terms {
        let follows = self.follows();
        let starts_at_ms = change.starts_at_ms.unwrap_or(self.starts_at_ms);
        let moved = |wanted: Option<Option<Millis>>, was: Millis, followed: bool| match wanted {
            None if followed => (starts_at_ms, true),
            None => (was, false),
            Some(None) => (starts_at_ms, true),
            Some(Some(at)) => (at, false),
        };
        let sale_closes = moved(change.sale_closes_at_ms, self.sale_closes_at_ms, follows.sale_closes_at);
        let cancellation_closes =
            moved(change.cancellation_closes_at_ms, self.cancellation_closes_at_ms, follows.cancellation_closes_at);
        let changed = Terms {
            starts_at_ms,
            sale_opens_at_ms: change.sale_opens_at_ms.unwrap_or(self.sale_opens_at_ms),
            sale_closes_at_ms: sale_closes.0,
            cancellation_closes_at_ms: cancellation_closes.0,
            hold_ttl_s: change.hold_ttl_s.unwrap_or(self.hold_ttl_s),
            payment_ttl_s: change.payment_ttl_s.unwrap_or(self.payment_ttl_s),
            extension_s: change.extension_s.unwrap_or(self.extension_s),
            seats_per_user_max: change.seats_per_user_max.unwrap_or(self.seats_per_user_max),
            lapsed_holds_max: change.lapsed_holds_max.unwrap_or(self.lapsed_holds_max),
            queue_id: change.queue_id.unwrap_or(self.queue_id),
            follows_starts_at: Some(Follows {
                sale_closes_at: sale_closes.1,
                cancellation_closes_at: cancellation_closes.1,
            }),
        };
        // An edit that changes nothing must not be one because of what was not said before.
        let follows_starts_at =
            if self.has_other_times(&changed) { changed.follows_starts_at } else { self.follows_starts_at };
        Terms { follows_starts_at, ..changed }
    }

    /// When places are sold.
    pub fn hours(&self) -> (Millis, Millis) {
        (self.sale_opens_at_ms, self.sale_closes_at_ms)
    }
}
