//! Performances: what is for sale. Made and steered by organizers, read by anyone.

use super::performance::{Performance, command, described_reply, etag_at, shown};
use super::performance_request::{NewPerformance, PerformanceChange};
use crate::auth::Organizer;
use crate::kit::blocking::off_worker;
use crate::kit::body::Body;
use crate::kit::error::Problem;
use crate::kit::extract::{Id, IdempotencyKey, IfMatch, Page};
use crate::kit::reply::{Reply, not_modified};
use crate::route::{Route, routes};
use crate::sellers::charts::{prepare, prepare_prices};
use crate::{Api, EngineHandle};
use actix_web::{HttpRequest, HttpResponse, web};
use base::id::{ConcertId, OrganizerId, PerformanceId, QueueId};
use config::CHART_BODY_BYTES_MAX;
use domain::performance::seats::chart::SharedChart;
use domain::performance::{Change, Create, Describe, Description, Rejection, SetSale};
use domain::{Fingerprint, concert};
use engine::{Done, Failure};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// A page of performances.
#[derive(Serialize, ToSchema)]
pub struct Performances {
    items: Vec<Performance>,
    next_cursor: Option<String>,
}

pub fn routes() -> Vec<Route> {
    routes![read, change, list, create.body_bytes_max(CHART_BODY_BYTES_MAX)]
}

/// Create a performance
#[utoipa::path(
    post, path = "/v1/concerts/{id}/performances", tag = "performances", operation_id = "create_performance",
    request_body = NewPerformance, security(("organizer" = [])),
    params(
        ("id" = Uuid, Path, description = "The concert"),
        ("Idempotency-Key" = Option<String>, Header, description = "8 to 255 visible ASCII characters")),
    responses(
        (status = 201, description = "Created", body = Performance, headers(
            ("Location" = String), ("Onsale-Position" = u64), ("Idempotency-Replayed" = bool), ("ETag" = String))),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
        (status = 422, description = "`idempotency-key-reused`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn create(
    api: web::Data<Api>,
    organizer: Organizer,
    concert: Id<ConcertId>,
    key: IdempotencyKey,
    body: Body<NewPerformance>,
) -> Result<HttpResponse, Problem> {
    let handle = api.handle()?;
    let done = create_performance(handle, organizer.0, concert.0, key.text(), body.0).await?;
    // Of the instant at which it was created, also when it is told again.
    let at = done.answer.created_at_ms;
    let etag = etag_at(&done.answer, at);
    Ok(Reply::created(&format!("/v1/performances/{}", done.answer.id))
        .position(done.position)
        .replayed(done.answer.repeated)
        .etag(etag)
        .json(&shown(done.answer, at)))
}

/// Creates a performance of the organizer's own concert; with the same key again it is the same performance, as it was
/// then.
pub async fn create_performance(
    handle: &EngineHandle,
    organizer: OrganizerId,
    concert: ConcertId,
    key: Option<&str>,
    new: NewPerformance,
) -> Result<Done<Description>, Problem> {
    // Shown before its creation was answered, and never another's.
    if handle.engine.views().owner_of(concert) != Some(organizer) {
        return Err(Problem::not_found("concert"));
    }
    let (new, content) = fingerprint(concert, new).await?;
    let scoped = |key: &str| Fingerprint::of(&[b"performance", organizer.0.as_bytes(), key.as_bytes()]).0 as u64;
    let id = PerformanceId::from_random(key.map_or_else(|| handle.ids.next() as u64, scoped));
    let queue_id = own_queue(handle, organizer, new.queue_id)?;
    let terms = new.terms(handle.clock.now(), queue_id);
    let chart = SharedChart::from(new.chart);
    let chart = match prepare(chart.clone(), new.prices.clone(), None).await {
        Ok(prepared) => prepared,
        // What was created with this key before is for the performance to say: it looks at no chart then.
        Err(_) if key.is_some() && is_created(handle, id).await? => chart,
        Err(problem) => return Err(problem),
    };
    let create = Create { concert, organizer, terms, prices: new.prices, chart, content };
    // Who repeats the request later gets the first answer again, so this is known only when it was refused.
    let is_over = new.sale_opens_at.is_none() && new.starts_at.0 <= handle.clock.now();
    handle.engine.ask(id, create).await.map_err(|failure| match failure {
        Failure::Rejected { rejection: Rejection::Invalid(invalid), .. }
            if is_over && TIMES.contains(&&*invalid.field) =>
        {
            Problem::invalid("starts_at", "is over, and the sale opens now unless sale_opens_at is given")
        }
        failure => failure.into(),
    })
}

/// Fields of a performance that are checked against each other.
const TIMES: [&str; 4] = ["starts_at", "sale_opens_at", "sale_closes_at", "cancellation_closes_at"];

/// Whether there is a performance, which then answers whatever is asked of it.
async fn is_created(handle: &EngineHandle, id: PerformanceId) -> Result<bool, Problem> {
    match handle.engine.ask(id, Describe).await {
        Ok(_) => Ok(true),
        Err(Failure::Rejected { rejection: Rejection::UnknownPerformance, .. }) => Ok(false),
        Err(failure) => Err(failure.into()),
    }
}

/// What is asked for, as a number: a large chart takes long to write down.
async fn fingerprint(concert: ConcertId, new: NewPerformance) -> Result<(NewPerformance, Fingerprint), Problem> {
    let of = move || {
        let canonical = serde_json::to_vec(&new).expect("plain data");
        let content = Fingerprint::of(&[concert.0.as_bytes(), &canonical]);
        (new, content)
    };
    off_worker(of).await
}

/// The gate of a performance: a queue of the same organizer.
fn own_queue(handle: &EngineHandle, organizer: OrganizerId, queue: Option<Uuid>) -> Result<Option<QueueId>, Problem> {
    let Some(queue) = queue.map(QueueId) else { return Ok(None) };
    let own = handle.engine.views().queues().own(organizer, queue).is_some();
    if own { Ok(Some(queue)) } else { Err(Problem::invalid("queue_id", "must be a queue of yours")) }
}

/// List a concert's performances
#[utoipa::path(
    get, path = "/v1/concerts/{id}/performances", tag = "performances", operation_id = "list_performances",
    params(("id" = Uuid, Path, description = "The concert"), crate::kit::extract::PageQuery),
    responses(
        (status = 200, description = "A page of performances", body = Performances),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn list(api: web::Data<Api>, concert: Id<ConcertId>, page: Page) -> Result<HttpResponse, Problem> {
    let handle = api.handle()?;
    handle.engine.ask(concert.0, concert::Describe).await?;
    let ids = handle.engine.views().performances_of(concert.0);
    let mut ids = ids.into_iter().filter(|id| page.after.is_none_or(|after| id.0 > after));
    let mut items = Vec::new();
    for id in ids.by_ref().take(page.limit) {
        let done = handle.engine.ask(id, Describe).await?;
        items.push(shown(done.answer, handle.clock.now()));
    }
    let more = ids.next().is_some();
    let next_cursor = items.last().filter(|_| more).map(|last| Page::cursor(last.performance_id));
    Ok(Reply::ok().json(&Performances { items, next_cursor }))
}

/// Read a performance
#[utoipa::path(
    get, path = "/v1/performances/{id}", tag = "performances", operation_id = "read_performance",
    params(("id" = Uuid, Path), ("If-None-Match" = Option<String>, Header)),
    responses(
        (status = 200, description = "The performance", body = Performance, headers(("ETag" = String))),
        (status = 304, description = "Unchanged"),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn read(api: web::Data<Api>, id: Id<PerformanceId>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let handle = api.handle()?;
    let done = handle.engine.ask(id.0, Describe).await?;
    let now = handle.clock.now();
    let etag = etag_at(&done.answer, now);
    match not_modified(&request, &etag) {
        Some(unchanged) => Ok(unchanged),
        None => Ok(Reply::ok().etag(etag).json(&shown(done.answer, now))),
    }
}

/// Change terms, or pause, resume or close the sale
///
/// A change of the state alone needs no If-Match. A version is good for an edit as long as neither state, terms nor chart
/// were changed since, whatever was sold meanwhile. A sale whose `state` was set to `closed` stays closed; one that ended at
/// `sale_closes_at` goes on when that is moved.
///
/// Times are checked against each other whenever one is changed: `sale_opens_at` before `sale_closes_at`, and that and
/// `cancellation_closes_at` not after `starts_at`.
#[utoipa::path(
    patch, path = "/v1/performances/{id}", tag = "performances", operation_id = "change_performance",
    request_body = PerformanceChange, security(("organizer" = [])),
    params(
        ("id" = Uuid, Path),
        ("If-Match" = Option<String>, Header, description = "The ETag of the version that is changed; required for terms")),
    responses(
        (status = 200, description = "The performance", body = Performance, headers(
            ("Onsale-Position" = u64), ("ETag" = String))),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
        (status = 409, description = "`sale-closed`, `sale-opened`, `performance-cancelled`",
            body = crate::kit::error::ProblemBody),
        (status = 412, description = "`precondition-failed`", body = crate::kit::error::ProblemBody),
        (status = 428, description = "`precondition-required`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn change(
    api: web::Data<Api>,
    organizer: Organizer,
    id: Id<PerformanceId>,
    if_match: IfMatch,
    body: Body<PerformanceChange>,
) -> Result<HttpResponse, Problem> {
    let (organizer, body) = (organizer.0, body.0);
    body.check()?;
    if let (false, Some(sale)) = (body.has_terms(), body.sale()) {
        return command(&api, id.0, SetSale { organizer, sale }).await;
    }
    let expected = if_match.required()?;
    let queue_id = body.queue_id.map(|queue| own_queue(api.handle()?, organizer, queue)).transpose()?;
    change_terms(&api, id.0, body.change(organizer, expected, queue_id)).await
}

/// How often prices are prepared anew because the chart was changed meanwhile.
const PREPARED_TIMES_MAX: usize = 5;

/// Changes terms; other prices of a large chart are laid out here and not by the performance, for which others wait.
async fn change_terms(api: &Api, id: PerformanceId, mut change: Change) -> Result<HttpResponse, Problem> {
    let handle = api.handle()?;
    for _ in 0..PREPARED_TIMES_MAX {
        if let Some(prices) = &change.prices {
            change.prepared = prepare_prices(handle, id, prices.clone()).await?;
        }
        match handle.engine.ask(id, change.clone()).await {
            Err(Failure::Rejected { rejection: Rejection::NotPrepared, .. }) => {}
            done => return Ok(described_reply(handle, done.map_err(Problem::unless_yours)?)),
        }
    }
    Err(Problem::overloaded())
}
