//! The cancellation of a performance: asked for once, then watched until everyone has their points back.

use crate::Api;
use crate::auth::Organizer;
use crate::kit::body::Body;
use crate::kit::error::Problem;
use crate::kit::extract::Id;
use crate::kit::reply::{Reply, etag, not_modified};
use crate::kit::time::Time;
use crate::route::{Route, routes};
use actix_web::{HttpRequest, HttpResponse, web};
use base::id::PerformanceId;
use domain::performance::{CancelPerformance, Cancellation as Found, CancellationShown, ShowCancellation};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Why a performance will not take place.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CancellationRequest)]
pub struct NewCancellation {
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// How far the cancellation of a performance is.
#[derive(Serialize, ToSchema)]
pub struct Cancellation {
    performance_id: Uuid,
    state: Progress,
    reason: String,
    cancelled_at: Time,
    /// Null while it runs.
    finished_at: Option<Time>,
    reservations: Reservations,
    points: Points,
    /// Holds that were given up, or ran out, since.
    held_released: u32,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CancellationState)]
pub enum Progress {
    Running,
    /// Everyone who had paid has their points back.
    Done,
}

/// Paid reservations, those included whose payment was under way and succeeded.
#[derive(Serialize, ToSchema)]
#[schema(as = CancelledReservations)]
pub struct Reservations {
    total: u32,
    refunded: u32,
    remaining: u32,
}

#[derive(Serialize, ToSchema)]
#[schema(as = CancelledPoints)]
pub struct Points {
    total: u64,
    refunded: u64,
}

pub fn routes() -> Vec<Route> {
    routes![read, create]
}

/// Cancel a performance
///
/// From now on nothing is held or paid any more. What is held is given up, and everyone who has paid gets their points
/// back, also after `cancellation_closes_at`: read how far that is at the path in Location. Sent again, it is the same
/// cancellation, with the first reason.
#[utoipa::path(
    post, path = "/v1/performances/{id}/cancellation", tag = "performances", operation_id = "cancel_performance",
    request_body = NewCancellation, security(("organizer" = [])), params(("id" = Uuid, Path)),
    responses(
        (status = 202, description = "Cancelled; the refunds are on the way", body = Cancellation, headers(
            ("Location" = String), ("Onsale-Position" = u64), ("ETag" = String))),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn create(
    api: web::Data<Api>,
    organizer: Organizer,
    id: Id<PerformanceId>,
    body: Body<NewCancellation>,
) -> Result<HttpResponse, Problem> {
    let cancel = CancelPerformance { organizer: organizer.0, reason: body.0.reason };
    let done = api.handle()?.engine.ask(id.0, cancel).await.map_err(Problem::unless_yours)?;
    let CancellationShown { cancellation, version } = done.answer;
    let reply = Reply::accepted(&format!("/v1/performances/{}/cancellation", id.0)).position(done.position);
    Ok(reply.etag(etag(version)).json(&shown(id.0, *cancellation)))
}

/// Read how far the cancellation is
#[utoipa::path(
    get, path = "/v1/performances/{id}/cancellation", tag = "performances", operation_id = "read_cancellation",
    security(("organizer" = [])), params(("id" = Uuid, Path), ("If-None-Match" = Option<String>, Header)),
    responses(
        (status = 200, description = "How far it is", body = Cancellation, headers(("ETag" = String))),
        (status = 304, description = "Unchanged"),
        (status = 404, description = "`not-found`: there is no such performance, or it was not cancelled",
            body = crate::kit::error::ProblemBody),
    )
)]
pub async fn read(
    api: web::Data<Api>,
    organizer: Organizer,
    id: Id<PerformanceId>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let show = ShowCancellation { organizer: organizer.0 };
    let done = api.handle()?.engine.ask(id.0, show).await.map_err(Problem::unless_yours)?;
    let CancellationShown { cancellation, version } = done.answer;
    let etag = etag(version);
    match not_modified(&request, &etag) {
        Some(unchanged) => Ok(unchanged),
        None => Ok(Reply::ok().etag(etag).json(&shown(id.0, *cancellation))),
    }
}

fn shown(id: PerformanceId, found: Found) -> Cancellation {
    let finished_at = Some(Time(found.finished_at_ms)).filter(|at| at.0 > 0);
    Cancellation {
        performance_id: id.0,
        state: if finished_at.is_some() { Progress::Done } else { Progress::Running },
        reason: found.reason,
        cancelled_at: Time(found.cancelled_at_ms),
        finished_at,
        reservations: Reservations {
            total: found.reservations,
            refunded: found.refunded,
            remaining: found.reservations.saturating_sub(found.refunded),
        },
        points: Points { total: found.points, refunded: found.points_refunded },
        held_released: found.holds_released,
    }
}
