//! What is asked for when a performance is made or changed. The terms that are numbers come from the domain's list.

use crate::kit::defaulted::Defaulted;
use crate::kit::error::Problem;
use crate::kit::extract::given;
use crate::kit::time::Time;
use base::id::{Millis, OrganizerId, QueueId};
use domain::Expected;
use domain::performance::seats::chart::{Chart, Prices};
use domain::performance::{Change, Follows, Sale, Terms};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

macro_rules! requests {
    ($({
        $name:ident $min:tt..=$max:tt, $default:tt, $reason:expr;
        event { $(#[$event:meta])* }
        create { $(#[$create:meta])* }
        change { $(#[$change:meta])* }
    })*) => {
        /// A performance to be.
        #[derive(Deserialize, Serialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        #[schema(as = PerformanceRequest)]
        pub struct NewPerformance {
            pub starts_at: Time,
            /// Now unless given. Before `sale_closes_at`.
            pub sale_opens_at: Option<Time>,
            /// `starts_at` unless given, also when that is moved. Not after it.
            pub sale_closes_at: Option<Time>,
            /// Until when a paid reservation can be cancelled; `starts_at` unless given, also when that is moved. Not after it.
            pub cancellation_closes_at: Option<Time>,
            $(
                $(#[$create])*
                #[serde(default)]
                #[schema(value_type = u32, minimum = $min, maximum = $max, default = $default)]
                pub $name: Defaulted<$default>,
            )*
            /// A queue of yours: only who is admitted by it may hold places.
            #[serde(skip_serializing_if = "Option::is_none")]
            pub queue_id: Option<Uuid>,
            /// Points per place of each grade.
            #[schema(value_type = std::collections::BTreeMap<String, u64>)]
            pub prices: Prices,
            pub chart: Chart,
        }

        impl NewPerformance {
            /// One of which nothing is said but when it starts, what it costs and which places there are.
            pub fn plain(starts_at: Time, prices: Prices, chart: Chart) -> NewPerformance {
                NewPerformance {
                    starts_at,
                    sale_opens_at: None,
                    sale_closes_at: None,
                    cancellation_closes_at: None,
                    $($name: Defaulted::default(),)*
                    queue_id: None,
                    prices,
                    chart,
                }
            }

            /// The terms that it asks for; without an opening the sale opens `now`.
            pub fn terms(&self, now: Millis, queue_id: Option<QueueId>) -> Terms {
                Terms {
                    starts_at_ms: self.starts_at.0,
                    sale_opens_at_ms: self.sale_opens_at.map_or(now, |at| at.0),
                    sale_closes_at_ms: self.sale_closes_at.unwrap_or(self.starts_at).0,
                    cancellation_closes_at_ms: self.cancellation_closes_at.unwrap_or(self.starts_at).0,
                    $($name: self.$name.0,)*
                    queue_id,
                    follows_starts_at: Some(Follows {
                        sale_closes_at: self.sale_closes_at.is_none(),
                        cancellation_closes_at: self.cancellation_closes_at.is_none(),
                    }),
                }
            }
        }

        /// What is to be changed of a performance; what is left out stays. Everything or nothing of it happens. What is held or
        /// sold keeps its price and its expiry.
        #[derive(Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        pub struct PerformanceChange {
            #[serde(default, deserialize_with = "given")]
            #[schema(nullable = false, inline)]
            state: Option<Wanted>,
            /// What was never set of `sale_closes_at` and `cancellation_closes_at` goes with it.
            #[serde(default, deserialize_with = "given")]
            #[schema(nullable = false)]
            starts_at: Option<Time>,
            /// Not to be put off once the sale has opened.
            #[serde(default, deserialize_with = "given")]
            #[schema(nullable = false)]
            sale_opens_at: Option<Time>,
            /// Null: `starts_at`, also when that is moved. One that has passed can be moved, not that of a sale with `state` closed.
            #[serde(default, deserialize_with = "given")]
            #[schema(value_type = Option<Time>)]
            sale_closes_at: Option<Option<Time>>,
            /// Null: `starts_at`, also when that is moved.
            #[serde(default, deserialize_with = "given")]
            #[schema(value_type = Option<Time>)]
            cancellation_closes_at: Option<Option<Time>>,
            $(
                $(#[$change])*
                #[serde(default, deserialize_with = "given")]
                #[schema(minimum = $min, maximum = $max, nullable = false)]
                $name: Option<u32>,
            )*
            /// Null: anybody may hold places.
            #[serde(default, deserialize_with = "given")]
            #[schema(value_type = Option<Uuid>)]
            pub queue_id: Option<Option<Uuid>>,
            /// All prices, not only those that change; every grade of the chart needs one.
            #[serde(default, deserialize_with = "given")]
            #[schema(value_type = std::collections::BTreeMap<String, u64>, nullable = false)]
            prices: Option<Prices>,
        }

        impl PerformanceChange {
            /// Whether terms are to be changed, which needs If-Match; a state alone does not.
            pub fn has_terms(&self) -> bool {
                let times = self.starts_at.is_some() || self.sale_opens_at.is_some();
                let ends = self.sale_closes_at.is_some() || self.cancellation_closes_at.is_some();
                let numbers = [$(self.$name.is_some()),*].contains(&true);
                times || ends || numbers || self.queue_id.is_some() || self.prices.is_some()
            }

            /// The change that it asks for.
            pub fn change(self, organizer: OrganizerId, expected: Expected, queue_id: Option<Option<QueueId>>) -> Change {
                let ms = |at: Option<Time>| at.map(|at| at.0);
                let end = |at: Option<Option<Time>>| at.map(ms);
                Change {
                    organizer,
                    expected,
                    sale: self.sale(),
                    starts_at_ms: ms(self.starts_at),
                    sale_opens_at_ms: ms(self.sale_opens_at),
                    sale_closes_at_ms: end(self.sale_closes_at),
                    cancellation_closes_at_ms: end(self.cancellation_closes_at),
                    $($name: self.$name,)*
                    queue_id,
                    prices: self.prices,
                    prepared: None,
                }
            }
        }
    };
}
domain::number_terms!(requests);

impl PerformanceChange {
    /// What the sale is to be, if that is to be changed.
    pub fn sale(&self) -> Option<Sale> {
        self.state.as_ref().map(|state| match state {
            Wanted::OnSale => Sale::Running,
            Wanted::Paused => Sale::Paused,
            Wanted::Closed => Sale::Closed,
        })
    }

    /// Refused when nothing is to be changed at all.
    pub fn check(&self) -> Result<(), Problem> {
        match self.has_terms() || self.state.is_some() {
            true => Ok(()),
            false => Err(Problem::invalid("body", "give at least one field that is to be changed")),
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    OnSale,
    Paused,
    /// For good.
    Closed,
}
