//! Blocks: places that are not for sale, such as house seats. Everything that is asked for happens, or nothing.

use crate::Api;
use crate::auth::Organizer;
use crate::catalogue::performance::{Performance, command};
use crate::kit::body::Verbatim;
use crate::kit::error::Problem;
use crate::kit::extract::Id;
use crate::kit::reply::Reply;
use crate::route::{Route, routes};
use actix_web::{HttpResponse, web};
use base::id::PerformanceId;
use domain::performance;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Seats by their labels.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Seats {
    #[schema(min_items = 1, max_items = 10_000, examples(json!(["A-1-1", "A-1-2"])))]
    seats: Vec<String>,
}

/// Places of standing areas.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BlockAreas {
    #[schema(min_items = 1, max_items = 1_000)]
    areas: Vec<AreaBlock>,
}

/// How many places of a standing area are out of the sale, all in all.
#[derive(Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AreaBlock {
    area: String,
    blocked: u32,
}

/// What is out of the sale.
#[derive(Serialize, ToSchema)]
pub struct Blocks {
    performance_id: Uuid,
    /// In the order of the chart.
    seats: Vec<String>,
    /// Areas of which places are blocked.
    areas: Vec<AreaBlock>,
    /// The performance's.
    version: u64,
}

pub fn routes() -> Vec<Route> {
    routes![block_seats, unblock_seats, block_areas, read]
}

/// Take free seats out of the sale
#[utoipa::path(
    post, path = "/v1/performances/{id}/seat-blocks", tag = "performances", operation_id = "block_seats",
    request_body = Seats, security(("organizer" = [])), params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The performance", body = Performance, headers(
            ("Onsale-Position" = u64), ("ETag" = String))),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
        (status = 409, description = "`seats-unavailable`, `performance-cancelled`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn block_seats(
    api: web::Data<Api>,
    organizer: Organizer,
    id: Id<PerformanceId>,
    body: Verbatim<Seats>,
) -> Result<HttpResponse, Problem> {
    command(&api, id.0, performance::Block { organizer: organizer.0, seats: body.0.seats }).await
}

/// Give blocked seats to the sale
#[utoipa::path(
    post, path = "/v1/performances/{id}/seat-unblocks", tag = "performances", operation_id = "unblock_seats",
    request_body = Seats, security(("organizer" = [])), params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The performance", body = Performance, headers(
            ("Onsale-Position" = u64), ("ETag" = String))),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
        (status = 409, description = "`performance-cancelled`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn unblock_seats(
    api: web::Data<Api>,
    organizer: Organizer,
    id: Id<PerformanceId>,
    body: Verbatim<Seats>,
) -> Result<HttpResponse, Problem> {
    command(&api, id.0, performance::Unblock { organizer: organizer.0, seats: body.0.seats }).await
}

/// Say how many standing places are out of the sale
///
/// The number is absolute: sent again it changes nothing, and 0 gives all places back.
#[utoipa::path(
    post, path = "/v1/performances/{id}/area-blocks", tag = "performances", operation_id = "block_areas",
    request_body = BlockAreas, security(("organizer" = [])), params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The performance", body = Performance, headers(
            ("Onsale-Position" = u64), ("ETag" = String))),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
        (status = 409, description = "`seats-unavailable` (with `areas` and how many can be blocked of each), \
            `performance-cancelled`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn block_areas(
    api: web::Data<Api>,
    organizer: Organizer,
    id: Id<PerformanceId>,
    body: Verbatim<BlockAreas>,
) -> Result<HttpResponse, Problem> {
    let areas = body.0.areas.into_iter().map(|AreaBlock { area, blocked }| (area, blocked)).collect();
    command(&api, id.0, performance::BlockAreas { organizer: organizer.0, areas }).await
}

/// Read what is out of the sale
#[utoipa::path(
    get, path = "/v1/performances/{id}/blocks", tag = "performances", operation_id = "read_blocks",
    security(("organizer" = [])), params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "All blocked places", body = Blocks),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn read(api: web::Data<Api>, organizer: Organizer, id: Id<PerformanceId>) -> Result<HttpResponse, Problem> {
    let show = performance::ShowBlocks { organizer: organizer.0 };
    let blocks = api.handle()?.engine.ask(id.0, show).await.map_err(Problem::unless_yours)?.answer;
    let areas = blocks.areas.into_iter().map(|(area, blocked)| AreaBlock { area, blocked }).collect();
    let seats = blocks.seats.labels().blocked;
    Ok(Reply::ok().json(&Blocks { performance_id: id.0.0, seats, areas, version: blocks.version }))
}
