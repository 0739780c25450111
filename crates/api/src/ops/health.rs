//! For operators and their machines: alive, ready, figures. These paths answer while the server starts, too.

use crate::kit::error::{Kind, Problem};
use crate::kit::query;
use crate::kit::reply::Reply;
use crate::kit::time::Time;
use crate::middleware::connections;
use crate::ops::metrics::Metrics;
use crate::ops::metrics::machine::Server;
use crate::route::{Route, routes};
use crate::{Api, Phase};
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use base::clock::{Clock, ClockReading};
use eventlog::sinks::{self, Output};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// How the server is looked at.
pub struct Operations {
    pub clock: Arc<dyn Clock>,
    /// What the log goes out to.
    pub outputs: Vec<Arc<Output>>,
    /// Brings those figures up to date that are looked up rather than counted.
    pub refresh: Box<dyn Fn(&Metrics) + Send + Sync>,
}

/// How the server is.
#[derive(Serialize, ToSchema)]
pub struct Health {
    #[schema(examples("ok"))]
    status: &'static str,
    /// What the log goes out to, when it was asked for with `?verbose`
    #[serde(skip_serializing_if = "Option::is_none")]
    outputs: Option<Vec<OutputHealth>>,
    /// How the server's time stands to the machine's clock, when it was asked for with `?verbose`
    #[serde(skip_serializing_if = "Option::is_none")]
    clock: Option<ClockHealth>,
}

/// The time that everything happens at. It never goes back: of a machine whose clock was set back it is ahead.
#[derive(Serialize, ToSchema)]
pub struct ClockHealth {
    /// `ok`; `standing-still` while the machine's clock is behind by a second or more: the time waits until it has caught up
    #[schema(examples("ok"))]
    status: &'static str,
    time: Time,
    machine_time: Time,
    /// How far the time is ahead of the machine's clock
    offset_seconds: f64,
    /// How often since the start the machine's clock was set forwards by a second or more, which was followed at once
    steps: u64,
    /// By how much in all
    stepped_seconds: f64,
    /// What it means and what to do
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<&'static str>,
}

/// What is said of a clock that is waited for.
pub const STANDS_STILL: &str = "the machine's clock is behind the time of what has happened here: nothing runs out, no sale \
    opens and no queue lets people in by its rate until it has caught up. If it is wrong, set it right. If it is right, what \
    happened before was timed wrong: wait; a restart takes the machine's time if that is behind by more than 24 hours";

impl From<ClockReading> for ClockHealth {
    fn from(look: ClockReading) -> ClockHealth {
        ClockHealth {
            status: if look.stands_still() { "standing-still" } else { "ok" },
            time: Time(look.now),
            machine_time: Time(look.machine),
            offset_seconds: look.offset_ms() as f64 / 1_000.0,
            steps: look.steps,
            stepped_seconds: look.stepped_ms as f64 / 1_000.0,
            trouble: look.stands_still().then_some(STANDS_STILL),
        }
    }
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
    /// Also how far everything is that the log goes out to, and how the clock is; `?verbose` alone is enough
    verbose: Option<String>,
}

impl From<sinks::SinkStatus> for OutputHealth {
    fn from(look: sinks::SinkStatus) -> OutputHealth {
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

pub fn routes() -> Vec<Route> {
    routes![livez.open_always(), readyz.open_always(), metrics.open_always()]
}

/// Is the process alive
#[utoipa::path(
    get, path = "/livez", tag = "health", operation_id = "livez",
    responses((status = 200, description = "Alive, perhaps still reading its log", body = Health))
)]
pub async fn livez() -> HttpResponse {
    Reply::ok().json(&Health { status: "ok", outputs: None, clock: None })
}

/// Can it serve
#[utoipa::path(
    get, path = "/readyz", tag = "health", operation_id = "readyz", params(ReadyQuery),
    responses(
        (status = 200, description = "Its log is read and its paths are warm", body = Health),
        (status = 400, description = "`invalid-request`: the query", body = crate::kit::error::ProblemBody),
        (status = 503, description = "`starting`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn readyz(api: web::Data<Api>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let query: ReadyQuery = query::read(request.query_string())?;
    let verbose = match query.verbose.as_deref() {
        None | Some("false" | "0") => false,
        Some("" | "true" | "1") => true,
        Some(_) => return Err(Problem::invalid("verbose", "must be left out, or be true or false")),
    };
    match api.phase() {
        Phase::Ready => {
            let operations = api.state::<Operations>().ok().filter(|_| verbose);
            let clock = operations.map(|operations| operations.clock.look());
            let outputs = operations.zip(clock).map(|(operations, clock)| {
                operations.outputs.iter().map(|output| output.look(clock.now).into()).collect()
            });
            Ok(Reply::ok().json(&Health { status: "ready", outputs, clock: clock.map(Into::into) }))
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
    api.metrics.machine.look(&Server {
        ready: api.phase() == Phase::Ready,
        connections_open: connections::open(),
        connections_max: api.config.connections_max,
        data: &api.config.data,
    });
    if let Ok(operations) = api.state::<Operations>() {
        (operations.refresh)(&api.metrics);
    }
    let figures = api.metrics.render();
    HttpResponse::Ok().insert_header((header::CONTENT_TYPE, "text/plain; version=0.0.4")).body(figures)
}
