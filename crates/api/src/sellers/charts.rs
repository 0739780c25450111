//! Seat charts: read by anyone, changed by the organizer while the sale runs, checked before that.

use super::chart_csv;
use crate::auth::{Caller, Organizer};
use crate::catalogue::performance::{Performance, shown};
use crate::kit::blocking::off_worker;
use crate::kit::body::JsonOrCsv;
use crate::kit::error::{Kind, Problem};
use crate::kit::extract::{Id, IfMatch};
use crate::kit::query;
use crate::kit::reply::{Reply, etag, not_modified};
use crate::route::{Route, routes};
use crate::{Api, EngineHandle};
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use base::id::PerformanceId;
use bytes::Bytes;
use config::CHART_BODY_BYTES_MAX;
use domain::performance::seats::chart::names::canonical_prices;
use domain::performance::seats::chart::{Chart, Invalid, Layout, Prepared, Prices, SharedChart, check_size};
use domain::performance::{ChangeChart, ChartShown, Describe, Description, Rejection, Sale, ShowChart};
use engine::{Done, Failure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// A chart, and the prices of its grades where they change with it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChartWithPrices {
    chart: Chart,
    /// All prices; left out, they stay as they are.
    #[serde(default, deserialize_with = "crate::kit::extract::given")]
    #[schema(value_type = BTreeMap<String, u64>, nullable = false)]
    prices: Option<Prices>,
}

/// A chart that was checked.
#[derive(Serialize, ToSchema)]
pub struct CheckedChart {
    /// As it can be sent on.
    chart: Chart,
    /// All places, seats and standing.
    places: u32,
    seats: u32,
    /// Places of each grade.
    grades: BTreeMap<String, u32>,
}

/// Which chart is wanted.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ChartQuery {
    /// The performance's `chart_version`: the answer can then be kept for ever.
    #[param(minimum = 1, required = false, value_type = u32)]
    version: Option<String>,
}

pub fn routes() -> Vec<Route> {
    routes![read, replace.body_bytes_max(CHART_BODY_BYTES_MAX), validate.body_bytes_max(CHART_BODY_BYTES_MAX)]
}

/// Read the seat chart
///
/// Ask for it with the performance's `chart_version` and keep it: that answer never changes. Without a version it is the
/// current one, to be asked for again with If-None-Match. Charts before the current one are not kept.
#[utoipa::path(
    get, path = "/v1/performances/{id}/chart", tag = "performances", operation_id = "read_chart",
    params(("id" = Uuid, Path), ChartQuery, ("If-None-Match" = Option<String>, Header)),
    responses(
        (status = 200, description = "The chart", body = Chart, headers(("ETag" = String), ("Cache-Control" = String))),
        (status = 304, description = "Unchanged"),
        (status = 404, description = "`not-found`, with the current `chart_version` where another one was asked for",
            body = crate::kit::error::ProblemBody),
    )
)]
pub async fn read(api: web::Data<Api>, id: Id<PerformanceId>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let wanted = wanted_version(request.query_string())?;
    let (chart, version) = chart_of(api.handle()?, id.0).await?;
    if wanted.is_some_and(|wanted| wanted != version as u64) {
        let detail = format!("The chart is at version {version}; others are not kept.");
        return Err(Problem::new(Kind::NotFound, detail).with("chart_version", version));
    }
    let etag = etag(version as u64);
    if let Some(unchanged) = not_modified(&request, &etag) {
        return Ok(unchanged);
    }
    let cached = if wanted.is_some() { "public, max-age=31536000, immutable" } else { "no-cache" };
    Ok(Reply::ok().etag(etag).header(CACHE_CONTROL, cached).json(&*chart))
}

fn wanted_version(query: &str) -> Result<Option<u64>, Problem> {
    let query: ChartQuery = query::read(query)?;
    let version = query.version.as_deref().map(|version| {
        let number = version.parse().ok().filter(|number| *number > 0);
        number.ok_or_else(|| Problem::invalid("version", "must be a whole number, 1 or more"))
    });
    version.transpose()
}

async fn chart_of(handle: &EngineHandle, id: PerformanceId) -> Result<(SharedChart, u32), Problem> {
    let ChartShown { chart, version, .. } = handle.engine.ask(id, ShowChart).await?.answer;
    Ok((chart, version))
}

/// Replace the seat chart
///
/// Places may be added, moved, regraded and, as long as they are nobody's, removed. They are known by their labels: what
/// is held or sold keeps its places and its price, what is blocked stays blocked. A new grade needs a price, in the same
/// body or before.
#[utoipa::path(
    put, path = "/v1/performances/{id}/chart", tag = "performances", operation_id = "replace_chart",
    request_body(content((ChartWithPrices = "application/json"), (String = "text/csv"))), security(("organizer" = [])),
    params(("id" = Uuid, Path), ("If-Match" = String, Header, description = "The ETag of the chart that is replaced")),
    responses(
        (status = 200, description = "The performance", body = Performance, headers(
            ("Onsale-Position" = u64), ("ETag" = String, description = "The chart's"))),
        (status = 400, description = "`invalid-request`, `malformed-json`, `invalid-chart` (with `errors` by line)",
            body = crate::kit::error::ProblemBody),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
        (status = 409, description = "`places-in-use`, `performance-cancelled`", body = crate::kit::error::ProblemBody),
        (status = 412, description = "`precondition-failed`", body = crate::kit::error::ProblemBody),
        (status = 428, description = "`precondition-required`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn replace(
    api: web::Data<Api>,
    organizer: Organizer,
    id: Id<PerformanceId>,
    if_match: IfMatch,
    body: JsonOrCsv<ChartWithPrices>,
) -> Result<HttpResponse, Problem> {
    let handle = api.handle()?;
    let (chart, prices) = match body {
        JsonOrCsv::Json(body) => (body.chart, body.prices),
        JsonOrCsv::Csv(file) => (read_file(handle, organizer, id.0, file).await?, None),
    };
    let expected = if_match.required()?;
    let new = ChangeChart { organizer: organizer.0, expected, chart: chart.into(), prices };
    let done = change_chart(handle, id.0, new).await?;
    let etag = etag(done.answer.chart_version as u64);
    let body = shown(done.answer, handle.clock.now());
    Ok(Reply::ok().position(done.position).etag(etag).json(&body))
}

/// A chart from a file; what is wrong with it is told by line, grades without a price included.
async fn read_file(
    handle: &EngineHandle,
    organizer: Organizer,
    id: PerformanceId,
    file: Bytes,
) -> Result<Chart, Problem> {
    let found = handle.engine.ask(id, Describe).await.map_err(Problem::unless_yours)?.answer;
    if found.organizer != organizer.0 {
        return Err(Problem::not_found("performance"));
    }
    let read = off_worker(move || chart_csv::parse(&file)).await?;
    let read = read?;
    read.check_prices(&found.prices)?;
    Ok(read.chart)
}

/// How often a chart is prepared anew because chart or prices were changed meanwhile.
const PREPARED_TIMES_MAX: usize = 5;

/// Changes a chart. Whatever is long about it is done here and not by the performance, for which others wait.
async fn change_chart(
    handle: &EngineHandle,
    id: PerformanceId,
    mut new: ChangeChart,
) -> Result<Done<Description>, Problem> {
    for _ in 0..PREPARED_TIMES_MAX {
        let found = handle.engine.ask(id, Describe).await.map_err(Problem::unless_yours)?.answer;
        if found.organizer != new.organizer {
            return Err(Problem::not_found("performance"));
        }
        let refused =
            found.sale == Sale::Cancelled || !new.expected.allows(|seen| seen == u64::from(found.chart_version));
        // What is refused anyway is for the performance to say.
        if !refused {
            let ChartShown { chart: before, layout, .. } = handle.engine.ask(id, ShowChart).await?.answer;
            let (chart, prices) = (new.chart.clone(), new.prices.clone().unwrap_or(found.prices));
            new.chart = prepare(chart, prices, Some((before, layout))).await?;
        }
        match handle.engine.ask(id, new.clone()).await {
            Err(Failure::Rejected { rejection: Rejection::NotPrepared, .. }) => {}
            done => return done.map_err(Problem::unless_yours),
        }
    }
    Err(Problem::overloaded())
}

/// Checks a chart and has it ready for its performance, on a thread that nobody waits for.
pub async fn prepare(
    chart: SharedChart,
    prices: Prices,
    before: Option<(SharedChart, Arc<Layout>)>,
) -> Result<SharedChart, Problem> {
    let prepared = off_worker(move || {
        let prepared = chart.prepare(&prices, before.as_ref().map(|(chart, layout)| (chart, layout)));
        let prepared = prepared.map_err(|invalid| Problem::invalid(invalid.field, invalid.reason))?;
        check_size(&chart).map_err(Problem::chart_too_large)?;
        Ok(prepared)
    });
    prepared.await?
}

/// Has a performance's chart ready for other prices; `None` where they do not fit, which the performance says.
pub async fn prepare_prices(
    handle: &EngineHandle,
    id: PerformanceId,
    prices: Prices,
) -> Result<Option<Prepared>, Problem> {
    let ChartShown { chart, layout, .. } = match handle.engine.ask(id, ShowChart).await {
        Ok(done) => done.answer,
        Err(Failure::Rejected { rejection: Rejection::UnknownPerformance, .. }) => return Ok(None),
        Err(failure) => return Err(failure.into()),
    };
    off_worker(move || chart.prepare_prices(&prices, &layout).ok()).await
}

/// Check a seat chart
///
/// Nothing is changed: the answer is the chart as it would be, so a file can be looked at, and turned into JSON, before it
/// is used.
#[utoipa::path(
    post, path = "/v1/charts/validation", tag = "performances", operation_id = "validate_chart",
    request_body(content((ChartWithPrices = "application/json"), (String = "text/csv"))),
    security(("organizer" = []), ("operator" = [])),
    responses(
        (status = 200, description = "The chart has no mistakes", body = CheckedChart),
        (status = 400, description = "`invalid-request`, `malformed-json`, `invalid-chart` (with `errors` by line)",
            body = crate::kit::error::ProblemBody),
    )
)]
pub async fn validate(caller: Caller, body: JsonOrCsv<ChartWithPrices>) -> Result<HttpResponse, Problem> {
    if let Caller::User(_) = caller {
        return Err(Problem::new(Kind::Forbidden, "This is for organizers and the operator."));
    }
    let (chart, prices) = match body {
        JsonOrCsv::Json(body) => (body.chart, body.prices),
        JsonOrCsv::Csv(file) => {
            let read = off_worker(move || chart_csv::parse(&file)).await?;
            (read?.chart, None)
        }
    };
    let checked = off_worker(move || check(chart, prices)).await?;
    Ok(Reply::ok().json(&checked?))
}

fn check(chart: Chart, prices: Option<Prices>) -> Result<CheckedChart, Problem> {
    let chart = chart.canonical().into_owned();
    // Without prices every grade is taken as it comes.
    let prices = prices.unwrap_or_else(|| {
        let rows = chart.sections.iter().flat_map(|section| &section.rows);
        let others = rows.clone().flat_map(|row| &row.other_grades).map(|other| &other.grade);
        let grades = rows.map(|row| &row.grade).chain(others).chain(chart.areas.iter().map(|area| &area.grade));
        grades.map(|grade| (grade.clone(), 0)).collect()
    });
    let invalid = |invalid: Invalid| Problem::invalid(invalid.field, invalid.reason);
    let prices = canonical_prices(&prices, None).map_err(invalid)?;
    let layout = Layout::new(&chart, &prices).map_err(invalid)?;
    check_size(&chart).map_err(Problem::chart_too_large)?;
    let mut grades = BTreeMap::new();
    let rows = layout.rows.iter().flat_map(|row| row.runs_of_one_grade());
    let rows = rows.map(|(seats, grade)| (grade, seats.end - seats.start));
    for (grade, places) in rows.chain(layout.areas.iter().map(|area| (area.grade, area.capacity))) {
        *grades.entry(layout.price(grade).0.to_owned()).or_default() += places;
    }
    Ok(CheckedChart { places: layout.places(), seats: layout.seats, grades, chart })
}
