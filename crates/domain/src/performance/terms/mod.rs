//! The terms of a sale: its hours, and what one buyer may do. Those that are numbers are listed in [`numbers`].

mod numbers;
mod sale;

use crate::Expected;
use crate::event::recorded;
use crate::number_terms;
use crate::performance::seats::chart::{Prepared, Prices};
use crate::text::Invalid;
use base::id::{Millis, OrganizerId, QueueId};
pub use sale::{Hours, Sale, SaleState, sale_state};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

macro_rules! terms {
    ($({
        $name:ident $min:literal..=$max:literal, $default:literal, $reason:expr;
        event { $(#[$event:meta])* }
        create { $(#[$create:meta])* }
        change { $(#[$change:meta])* }
    })*) => {
        recorded! {
            /// What holds for everybody who buys, apart from places and prices. Times are absolute.
            #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
            pub struct Terms {
                pub starts_at_ms: Millis,
                pub sale_opens_at_ms: Millis,
                pub sale_closes_at_ms: Millis,
                /// Until when a confirmed reservation can be cancelled.
                pub cancellation_closes_at_ms: Millis,
                $($(#[$event])* pub $name: u32,)*
                /// Only who is admitted by this queue may hold places.
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub queue_id: Option<QueueId>,
                /// Which times were never set. Not said in events of before: there one that equals `starts_at_ms` was not.
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub follows_starts_at: Option<Follows>,
            }
        }

        impl Terms {
            /// As they are where the organizer says nothing but when the sale opens and when the performance starts.
            pub fn usual(sale_opens_at_ms: Millis, starts_at_ms: Millis) -> Terms {
                Terms {
                    starts_at_ms,
                    sale_opens_at_ms,
                    sale_closes_at_ms: starts_at_ms,
                    cancellation_closes_at_ms: starts_at_ms,
                    $($name: $default,)*
                    queue_id: None,
                    follows_starts_at: None,
                }
            }

            /// What makes no sense about the numbers, if anything.
            pub fn check(&self) -> Result<(), Invalid> {
                $({
                    let range: RangeInclusive<u32> = $min..=$max;
                    if !range.contains(&self.$name) {
                        let reason: fn(RangeInclusive<u32>) -> String = $reason;
                        return Err(Invalid { field: stringify!($name).into(), reason: reason(range) });
                    }
                })*
                Ok(())
            }
        }

        /// New terms of a performance. What is `None` stays as it is.
        #[derive(Clone, Debug)]
        pub struct Change {
            pub organizer: OrganizerId,
            /// Terms, state and chart must not have changed since the version that the caller has seen.
            pub expected: Expected,
            pub sale: Option<Sale>,
            pub starts_at_ms: Option<Millis>,
            pub sale_opens_at_ms: Option<Millis>,
            /// `Some(None)`: it follows `starts_at_ms`.
            pub sale_closes_at_ms: Option<Option<Millis>>,
            /// `Some(None)`: it follows `starts_at_ms`.
            pub cancellation_closes_at_ms: Option<Option<Millis>>,
            $(pub $name: Option<u32>,)*
            /// `Some(None)`: no queue any more.
            pub queue_id: Option<Option<QueueId>>,
            /// All prices, not only those that change.
            pub prices: Option<Prices>,
            /// Of the performance's chart and `prices`; a large chart needs it.
            pub prepared: Option<Prepared>,
        }

        impl Change {
            /// A change of nothing yet, for whoever names a field or two.
            pub fn nothing(organizer: OrganizerId, expected: Expected) -> Change {
                Change {
                    organizer,
                    expected,
                    sale: None,
                    starts_at_ms: None,
                    sale_opens_at_ms: None,
                    sale_closes_at_ms: None,
                    cancellation_closes_at_ms: None,
                    $($name: None,)*
                    queue_id: None,
                    prices: None,
                    prepared: None,
                }
            }

            /// The numbers of `terms`, with those that it names.
            fn numbers(&self, terms: Terms) -> Terms {
                Terms { $($name: self.$name.unwrap_or(terms.$name),)* ..terms }
            }
        }
    };
}
number_terms!(terms);

impl Change {
    /// The times that it names.
    pub fn named_times(&self) -> NamedTimes {
        NamedTimes {
            starts_at: self.starts_at_ms.is_some(),
            sale_opens_at: self.sale_opens_at_ms.is_some(),
            sale_closes_at: self.sale_closes_at_ms.is_some(),
            cancellation_closes_at: self.cancellation_closes_at_ms.is_some(),
        }
    }
}

recorded! {
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
            queue_id: change.queue_id.unwrap_or(self.queue_id),
            follows_starts_at: Some(Follows {
                sale_closes_at: sale_closes.1,
                cancellation_closes_at: cancellation_closes.1,
            }),
            ..change.numbers(*self)
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
