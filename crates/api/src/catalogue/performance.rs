//! A performance as it is shown: read by itself, in lists, and in the answers to what changes it.

use crate::kit::error::Problem;
use crate::kit::reply::{Reply, etag};
use crate::kit::time::Time;
use crate::{Api, EngineHandle};
use actix_web::HttpResponse;
use actix_web::http::header::HeaderValue;
use base::id::{Millis, PerformanceId};
use domain::Command;
use domain::performance::seats::chart::Prices;
use domain::performance::{self, Description, Rejection, SaleState};
use engine::Done;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

macro_rules! performance {
    // `extension_s` stood behind the others before there was a list of them.
    ($hold:tt $payment:tt $extension:tt $($others:tt)*) => {
        performance_as! { $hold $payment $($others)* $extension }
    };
}

macro_rules! performance_as {
    ($({ $name:ident $($row:tt)* })*) => {
        /// A performance. Its chart and its availability are read apart.
        #[derive(Serialize, ToSchema)]
        pub struct Performance {
            pub performance_id: Uuid,
            concert_id: Uuid,
            organizer_id: Uuid,
            state: SaleState,
            starts_at: Time,
            sale_opens_at: Time,
            sale_closes_at: Time,
            cancellation_closes_at: Time,
            /// The times that were never set: each is that of `starts_at`, also when that is moved.
            follows_starts_at: Vec<FollowingTime>,
            $($name: u32,)*
            /// Who wants to hold places must be admitted by this queue; null when anybody may.
            queue_id: Option<Uuid>,
            #[schema(value_type = std::collections::BTreeMap<String, u64>)]
            prices: Prices,
            /// All places, seats and standing.
            places: u32,
            /// Places that can be held now; none means sold out.
            available: u32,
            created_at: Time,
            /// Counts the charts that it has had; for `/chart?version=`.
            chart_version: u32,
            /// Counts changes; also the ETag.
            version: u64,
        }

        /// A performance as it is shown.
        pub fn shown(found: Description, now: Millis) -> Performance {
            let terms = found.terms;
            let follows = terms.follows();
            let following = [
                (follows.sale_closes_at, FollowingTime::SaleClosesAt),
                (follows.cancellation_closes_at, FollowingTime::CancellationClosesAt),
            ];
            Performance {
                performance_id: found.id.0,
                concert_id: found.concert.0,
                organizer_id: found.organizer.0,
                state: found.state(now),
                starts_at: Time(terms.starts_at_ms),
                sale_opens_at: Time(terms.sale_opens_at_ms),
                sale_closes_at: Time(terms.sale_closes_at_ms),
                cancellation_closes_at: Time(terms.cancellation_closes_at_ms),
                follows_starts_at: following.into_iter().filter(|(follows, _)| *follows).map(|(_, time)| time).collect(),
                $($name: terms.$name,)*
                queue_id: terms.queue_id.map(|queue| queue.0),
                prices: found.prices,
                places: found.places,
                available: found.available,
                created_at: Time(found.created_at_ms),
                chart_version: found.chart_version,
                version: found.version,
            }
        }
    };
}
domain::number_terms!(performance);

/// A time that can follow `starts_at`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FollowingTime {
    SaleClosesAt,
    CancellationClosesAt,
}

/// A sale opens and closes without an event, so the version alone does not name what is shown: see [`tag`].
pub fn etag_at(found: &Description, now: Millis) -> HeaderValue {
    let (opens_at_ms, closes_at_ms) = found.terms.hours();
    tag(found.version, opens_at_ms, closes_at_ms, now)
}

/// The ETag of a version while the sale's hours last; before and after them another one.
pub fn tag(version: u64, opens_at_ms: Millis, closes_at_ms: Millis, now: Millis) -> HeaderValue {
    match (now < opens_at_ms, now >= closes_at_ms) {
        (false, false) => etag(version),
        (early, _) => {
            let text = format!("\"{version}-{}\"", if early { "before" } else { "after" });
            HeaderValue::from_str(&text).expect("digits, letters and quotes")
        }
    }
}

/// The performance, with what names this version of it.
pub fn described_reply(handle: &EngineHandle, done: Done<Description>) -> HttpResponse {
    let now = handle.clock.now();
    let etag = etag_at(&done.answer, now);
    Reply::ok().position(done.position).etag(etag).json(&shown(done.answer, now))
}

/// Runs a command that is answered with the performance.
pub async fn command<C>(api: &Api, id: PerformanceId, command: C) -> Result<HttpResponse, Problem>
where
    C: Command<On = performance::Performance, Answer = Description, Rejection = Rejection>,
{
    let handle = api.handle()?;
    let done = handle.engine.ask(id, command).await.map_err(Problem::unless_yours)?;
    Ok(described_reply(handle, done))
}
