//! For operators and their machines: alive, ready, figures. These paths answer while the server starts, too.

use super::error::{Kind, Problem};
use super::reply::Reply;
use super::{Api, Endpoint, Phase};
use actix_web::http::header;
use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

const LIVEZ: &str = "/livez";
const READYZ: &str = "/readyz";
const METRICS: &str = "/metrics";

/// Whether a path answers at any time.
pub fn is_path(path: &str) -> bool {
    [LIVEZ, READYZ, METRICS, super::openapi::PATH, super::docs::PATH, super::docs::PART].contains(&path)
}

/// How the server is.
#[derive(Serialize, ToSchema)]
pub struct Health {
    #[schema(examples("ok"))]
    status: &'static str,
}

pub fn endpoints() -> [Endpoint; 3] {
    [Endpoint::at(LIVEZ).get(livez), Endpoint::at(READYZ).get(readyz), Endpoint::at(METRICS).get(metrics)]
}

/// Is the process alive
#[utoipa::path(
    get, path = "/livez", tag = "health", operation_id = "livez",
    responses((status = 200, description = "Alive, perhaps still reading its log", body = Health))
)]
pub async fn livez() -> HttpResponse {
    Reply::ok().json(&Health { status: "ok" })
}

/// Can it serve
#[utoipa::path(
    get, path = "/readyz", tag = "health", operation_id = "readyz",
    responses(
        (status = 200, description = "Its log is read and its paths are warm", body = Health),
        (status = 503, description = "`starting`", body = super::openapi::Problem),
    )
)]
pub async fn readyz(api: web::Data<Api>) -> Result<HttpResponse, Problem> {
    match api.phase() {
        Phase::Ready => Ok(Reply::ok().json(&Health { status: "ready" })),
        Phase::Stopping => Err(Problem::new(Kind::Starting, "The server is stopping.")),
        Phase::Starting | Phase::Warming => Err(Problem::starting()),
    }
}

/// Figures for Prometheus
#[utoipa::path(
    get, path = "/metrics", tag = "health", operation_id = "metrics",
    responses((status = 200, description = "Prometheus' text format", body = String, content_type = "text/plain"))
)]
pub async fn metrics(api: web::Data<Api>) -> HttpResponse {
    if let Ok(shop) = api.shop() {
        (shop.refresh)(&api.metrics);
    }
    let figures = api.metrics.render();
    HttpResponse::Ok().insert_header((header::CONTENT_TYPE, "text/plain; version=0.0.4")).body(figures)
}
