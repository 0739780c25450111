//! For operators and their machines: alive, ready, figures. These paths answer while the server starts, too.

use crate::kit::error::{Kind, Problem};
use crate::kit::query;
use crate::kit::reply::Reply;
use crate::{Api, Endpoint, Phase};
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use eventlog::sinks::Look;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

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
    /// What the log goes out to, when it was asked for with `?verbose`
    #[serde(skip_serializing_if = "Option::is_none")]
    outputs: Option<Vec<OutputHealth>>,
}

/// How far something is that the log goes out to. However it is, selling goes on.
#[derive(Serialize, ToSchema)]
pub struct OutputHealth {
    #[schema(examples("kafka"))]
    name: &'static str,
    /// `ok`; `behind` while it catches up, and until it has looked what is there; `failing` while it cannot go on, which it tries again and again
    #[schema(examples("ok"))]
    status: &'static str,
    /// Every event up to this position is there
    position: u64,
    /// Durable events that are not there yet
    lag_events: u64,
    /// How long the first of them has waited; null while that is not known
    #[schema(required = true)]
    lag_seconds: Option<f64>,
    /// What keeps it from going on
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
}

/// What `/readyz` can be asked with.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReadyQuery {
    /// Also how far everything is that the log goes out to; `?verbose` alone is enough
    verbose: Option<String>,
}

impl From<Look> for OutputHealth {
    fn from(look: Look) -> OutputHealth {
        OutputHealth {
            name: look.name,
            status: look.state.as_str(),
            position: look.position.0,
            lag_events: look.lag_events,
            lag_seconds: look.lag_seconds,
            trouble: look.trouble,
        }
    }
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
    Reply::ok().json(&Health { status: "ok", outputs: None })
}

/// Can it serve
#[utoipa::path(
    get, path = "/readyz", tag = "health", operation_id = "readyz", params(ReadyQuery),
    responses(
        (status = 200, description = "Its log is read and its paths are warm", body = Health),
        (status = 400, description = "`invalid-request`: the query", body = super::openapi::Problem),
        (status = 503, description = "`starting`", body = super::openapi::Problem),
    )
)]
pub async fn readyz(api: web::Data<Api>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let query: ReadyQuery = query::read(request.query_string())?;
    let verbose = match query.verbose.as_deref() {
        None | Some("false" | "0") => false,
        Some("" | "true" | "1") => true,
        Some(_) => return Err(Problem::invalid("verbose", "must be left out, or be true or false")),
    };
    let outputs = || {
        let shop = api.shop().ok()?;
        let now = shop.clock.now();
        Some(shop.outputs.iter().map(|output| output.look(now).into()).collect())
    };
    match api.phase() {
        Phase::Ready => {
            Ok(Reply::ok().json(&Health { status: "ready", outputs: if verbose { outputs() } else { None } }))
        }
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
