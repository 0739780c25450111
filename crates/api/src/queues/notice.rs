//! `PUT /v1/queues/{id}/notice`: what everybody in line is told.

use crate::Api;
use crate::auth::Organizer;
use crate::kit::body::Body;
use crate::kit::error::Problem;
use crate::kit::extract::Id;
use crate::kit::reply::{Reply, etag};
use crate::queues::queue::Queue;
use crate::route::{Route, routes};
use actix_web::{HttpResponse, web};
use base::id::QueueId;
use domain::queue::SetNotice;
use serde::Deserialize;
use utoipa::ToSchema;

/// What everybody in line is told.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QueueNotice)]
pub struct Notice {
    /// Plain text of one paragraph; null takes it away.
    // It has to be said, also that it is null.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(
        min_length = 1,
        max_length = 500,
        required = true,
        examples("We are back in ten minutes. Your place is kept.")
    )]
    notice: Option<String>,
}

pub fn routes() -> Vec<Route> {
    routes![set]
}

/// Tell everybody in line
///
/// The queue's page shows it, and `…/line` and the event `line` of `…/events` have it within 2 s. It may be set in any state of
/// the queue, also when it is closed. It needs no If-Match: the last word counts.
#[utoipa::path(
    put, path = "/v1/queues/{id}/notice", tag = "queues", operation_id = "set_queue_notice", request_body = Notice,
    security(("organizer" = [])), params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The queue", body = Queue, headers(("Onsale-Position" = u64), ("ETag" = String))),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn set(
    api: web::Data<Api>,
    organizer: Organizer,
    id: Id<QueueId>,
    body: Body<Notice>,
) -> Result<HttpResponse, Problem> {
    let set = SetNotice { organizer: organizer.0, notice: body.0.notice };
    let done = api.handle()?.engine.ask(id.0, set).await.map_err(Problem::unless_yours)?;
    let etag = etag(done.answer.version);
    Ok(Reply::ok().position(done.position).etag(etag).json(&Queue::from(done.answer)))
}
