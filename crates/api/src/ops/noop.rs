//! What everything else is measured against: requests that do nothing but come and go. Only with `--benchmark-routes`.

use crate::kit::body::Body;
use crate::kit::error::Problem;
use crate::kit::reply::{Reply, etag};
use crate::route::Route;
use actix_web::HttpResponse;
use serde::{Deserialize, Serialize};
use utoipa::openapi::path::HttpMethod;

/// Reads like a hold.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoopRequest {
    seats: Vec<String>,
}

#[derive(Serialize)]
struct Nothing {
    status: &'static str,
    count: usize,
}

pub fn routes() -> Vec<Route> {
    vec![Route::undocumented(HttpMethod::Get, "/noop", get), Route::undocumented(HttpMethod::Post, "/noop", post)]
}

/// A small JSON answer.
pub async fn get() -> HttpResponse {
    Reply::ok().etag(etag(1)).json(&Nothing { status: "ok", count: 0 })
}

/// A JSON body read, a small JSON answer.
pub async fn post(body: Body<NoopRequest>) -> Result<HttpResponse, Problem> {
    Ok(Reply::ok().json(&Nothing { status: "ok", count: body.0.seats.len() }))
}
