//! The draw of a pre-queue: everything that it takes to check it.

use crate::Api;
use crate::kit::error::Problem;
use crate::kit::extract::Id;
use crate::kit::reply::{Reply, etag, not_modified};
use crate::route::{Route, routes};
use actix_web::{HttpRequest, HttpResponse, web};
use base::id::QueueId;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// The draw of a queue.
///
/// The order is that of SHA-256(seed ‖ sealed ‖ ticket in decimal), where `sealed` is the SHA-256 of the tickets in
/// decimal with commas between them, and `commitment` the SHA-256 of the seed. docs/guides/queue.md has it in ten lines of Python.
#[derive(Serialize, ToSchema)]
pub struct Draw {
    queue_id: Uuid,
    /// Published with the queue, before anybody waited; 64 hex digits.
    commitment: String,
    /// Null until the queue opens.
    seed: Option<String>,
    /// Null until the queue opens.
    sealed: Option<String>,
    /// Who took part, ascending: everybody who had joined before and not left. Empty until the queue opens.
    tickets: Vec<u32>,
    /// The same tickets as they were drawn: the first one comes first.
    order: Vec<u32>,
}

pub fn routes() -> Vec<Route> {
    routes![read]
}

/// Read the draw
#[utoipa::path(
    get, path = "/v1/queues/{id}/draw", tag = "queues", operation_id = "read_draw",
    params(("id" = Uuid, Path), ("If-None-Match" = Option<String>, Header)),
    responses(
        (status = 200, description = "The draw", body = Draw, headers(("ETag" = String))),
        (status = 304, description = "Unchanged"),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn read(api: web::Data<Api>, id: Id<QueueId>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let view = api.handle()?.engine.views().queues().get(id.0).ok_or_else(|| Problem::no_such("queue"))?;
    let drawn = view.look(|live| live.facts().is_some_and(|facts| facts.seed.is_some()));
    // Before the draw there is one answer, and after it another.
    let etag = etag(u64::from(drawn));
    if let Some(unchanged) = not_modified(&request, &etag) {
        return Ok(unchanged);
    }
    let draw = view.look(|live| {
        let facts = live.facts()?;
        let order = live.line.drawn().to_vec();
        let (commitment, seed, sealed) = (facts.commitment.clone(), facts.seed.clone(), facts.sealed.clone());
        Some(Draw { queue_id: id.0.0, commitment, seed, sealed, tickets: order.clone(), order })
    });
    let mut draw = draw.ok_or_else(|| Problem::no_such("queue"))?;
    draw.tickets.sort_unstable();
    Ok(Reply::ok().etag(etag).json(&draw))
}
