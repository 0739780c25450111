//! Concerts: what is played. Made by organizers, read by anyone.

use super::concert::{Concert, Concerts};
use super::search::{self, ConcertQuery};
use crate::auth::Organizer;
use crate::kit::body::Body;
use crate::kit::error::Problem;
use crate::kit::extract::{Id, IdempotencyKey, IfMatch, Page, given};
use crate::kit::lists::After;
use crate::kit::reply::{Reply, etag, not_modified};
use crate::route::{Route, routes};
use crate::{Api, EngineHandle};
use actix_web::{HttpRequest, HttpResponse, web};
use base::id::{ConcertId, OrganizerId};
use domain::Fingerprint;
use domain::concert::{Change, Create, Describe, Description};
use engine::Done;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// A concert to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ConcertRequest)]
pub struct NewConcert {
    #[schema(min_length = 1, max_length = 200)]
    pub title: String,
    #[schema(min_length = 1, max_length = 200)]
    pub artist: String,
    #[schema(min_length = 1, max_length = 200)]
    pub venue: String,
}

/// What is to be changed of a concert; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConcertChange {
    #[serde(default, deserialize_with = "given")]
    #[schema(min_length = 1, max_length = 200, nullable = false)]
    title: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(min_length = 1, max_length = 200, nullable = false)]
    artist: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(min_length = 1, max_length = 200, nullable = false)]
    venue: Option<String>,
}

pub fn routes() -> Vec<Route> {
    routes![list, create, read, change]
}

/// Create a concert
#[utoipa::path(
    post, path = "/v1/concerts", tag = "concerts", operation_id = "create_concert", request_body = NewConcert,
    security(("organizer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "8 to 255 visible ASCII characters")),
    responses(
        (status = 201, description = "Created", body = Concert, headers(
            ("Location" = String), ("Onsale-Position" = u64), ("Idempotency-Replayed" = bool))),
        (status = 422, description = "`idempotency-key-reused`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn create(
    api: web::Data<Api>,
    organizer: Organizer,
    key: IdempotencyKey,
    body: Body<NewConcert>,
) -> Result<HttpResponse, Problem> {
    let Done { answer, position } = create_concert(api.handle()?, organizer.0, key.text(), body.0).await?;
    let (replayed, version) = (answer.repeated, answer.version);
    Ok(Reply::created(&format!("/v1/concerts/{}", answer.id))
        .position(position)
        .replayed(replayed)
        .etag(etag(version))
        .json(&Concert::from(answer)))
}

/// Creates a concert; with the same key again it is the same concert.
pub async fn create_concert(
    handle: &EngineHandle,
    organizer: OrganizerId,
    key: Option<&str>,
    new: NewConcert,
) -> Result<Done<Description>, Problem> {
    let NewConcert { title, artist, venue } = new;
    // The key is the id: the same key again finds the same concert, also years later.
    let id = key.map_or_else(|| handle.new_uuid(), |key| Uuid::new_v5(&organizer.0, key.as_bytes()));
    let content = Fingerprint::of(&[title.as_bytes(), artist.as_bytes(), venue.as_bytes()]);
    let command = Create { organizer, title, artist, venue, content };
    Ok(handle.engine.ask(ConcertId(id), command).await?)
}

/// List or find concerts
///
/// All of them, as they are now; or with a filter those that fit, from the read models: what was answered a moment ago may be
/// missing then, unless its `Onsale-Position` is sent as `Onsale-After`. They come in the order of their ids; those found by
/// dates alone in the order of their first performance in that time.
#[utoipa::path(
    get, path = "/v1/concerts", tag = "concerts", operation_id = "list_concerts",
    params(ConcertQuery, ("Onsale-After" = Option<u64>, Header, description = "An `Onsale-Position` that the list has to know of")),
    responses(
        (status = 200, description = "A page of concerts", body = Concerts, headers(
            ("Onsale-Position" = Option<u64>, description = "With a filter: up to where the list is complete"))),
        (status = 503, description = "`read-models-behind` (with `lag_events`), `read-models-unavailable`",
            body = crate::kit::error::ProblemBody),
    )
)]
pub async fn list(api: web::Data<Api>, after: After, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let query = ConcertQuery::read(&request)?;
    if query.filters() {
        return search::concerts(&api, after, query).await;
    }
    let page = Page::of(query.limit.as_deref(), query.cursor.as_deref())?;
    let mut found = api.handle()?.engine.views().concerts(page.after.map(ConcertId), page.limit + 1);
    let more = found.len() > page.limit;
    found.truncate(page.limit);
    let next_cursor = found.last().filter(|_| more).map(|last| Page::cursor(last.id.0));
    Ok(Reply::ok().json(&Concerts { items: found.into_iter().map(Concert::from).collect(), next_cursor }))
}

/// Read a concert
#[utoipa::path(
    get, path = "/v1/concerts/{id}", tag = "concerts", operation_id = "read_concert",
    params(("id" = Uuid, Path), ("If-None-Match" = Option<String>, Header)),
    responses(
        (status = 200, description = "The concert", body = Concert, headers(("ETag" = String))),
        (status = 304, description = "Unchanged"),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn read(api: web::Data<Api>, id: Id<ConcertId>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let done = api.handle()?.engine.ask(id.0, Describe).await?;
    let etag = etag(done.answer.version);
    match not_modified(&request, &etag) {
        Some(unchanged) => Ok(unchanged),
        None => Ok(Reply::ok().etag(etag).json(&Concert::from(done.answer))),
    }
}

/// Change a concert
#[utoipa::path(
    patch, path = "/v1/concerts/{id}", tag = "concerts", operation_id = "change_concert", request_body = ConcertChange,
    security(("organizer" = [])),
    params(("id" = Uuid, Path), ("If-Match" = String, Header, description = "The ETag of the version that is changed")),
    responses(
        (status = 200, description = "The concert", body = Concert, headers(
            ("Onsale-Position" = u64), ("ETag" = String))),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
        (status = 412, description = "`precondition-failed`", body = crate::kit::error::ProblemBody),
        (status = 428, description = "`precondition-required`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn change(
    api: web::Data<Api>,
    organizer: Organizer,
    id: Id<ConcertId>,
    if_match: IfMatch,
    body: Body<ConcertChange>,
) -> Result<HttpResponse, Problem> {
    let ConcertChange { title, artist, venue } = body.0;
    if title.is_none() && artist.is_none() && venue.is_none() {
        return Err(Problem::invalid("body", "give at least one of title, artist and venue"));
    }
    let expected = if_match.required()?;
    let command = Change { organizer: organizer.0, expected, title, artist, venue };
    let Done { answer, position } = api.handle()?.engine.ask(id.0, command).await.map_err(Problem::unless_yours)?;
    let etag = etag(answer.version);
    Ok(Reply::ok().position(position).etag(etag).json(&Concert::from(answer)))
}
