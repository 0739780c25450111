//! Organizers: tenants that sell, made by the operator.

use super::keys::Key;
use crate::auth::{Operator, OrganizerKey};
use crate::kit::body::Body;
use crate::kit::error::Problem;
use crate::kit::extract::{Id, IdempotencyKey, IfMatch, Page};
use crate::kit::reply::{Reply, etag, not_modified};
use crate::kit::time::Time;
use crate::route::{Route, routes};
use crate::{Api, EngineHandle};
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use base::id::OrganizerId;
use domain::organizer::{Create, Describe, Description, Rename, SecretKey};
use engine::Done;
use security::secrets::{Secrets, random_bytes};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Under which an operator's Idempotency-Keys become organizers' ids.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f6e_7361_6c65_8000_8000_6f72_6761_6e69);

/// A tenant to be, or its new name.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OrganizerRequest)]
pub struct NewOrganizer {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
}

/// A tenant.
#[derive(Serialize, ToSchema)]
pub struct Organizer {
    organizer_id: Uuid,
    name: String,
    created_at: Time,
}

/// A tenant with one of its keys: its first one, with the secret, when it is created; afterwards the one that asks.
#[derive(Serialize, ToSchema)]
pub struct OrganizerWithKey {
    #[serde(flatten)]
    organizer: Organizer,
    /// Null of one that was revoked at this very moment, and forgotten.
    key: Option<Key>,
}

/// One page of organizers, in the order of their ids: those made without an Idempotency-Key the oldest first.
#[derive(Serialize, ToSchema)]
pub struct Organizers {
    items: Vec<Organizer>,
    /// For `?cursor=`; null on the last page.
    next_cursor: Option<String>,
}

pub fn routes() -> Vec<Route> {
    routes![list, create, read, read_own, rename_own]
}

/// Create an organizer
#[utoipa::path(
    post, path = "/v1/organizers", tag = "organizers", operation_id = "create_organizer", request_body = NewOrganizer,
    security(("operator" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "8 to 255 visible ASCII characters")),
    responses(
        (status = 201, description = "Created; the only time that the key's secret is shown", body = OrganizerWithKey, headers(
            ("Location" = String), ("Onsale-Position" = u64), ("Idempotency-Replayed" = bool))),
        (status = 422, description = "`idempotency-key-reused`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn create(
    api: web::Data<Api>,
    _: Operator,
    key: IdempotencyKey,
    body: Body<NewOrganizer>,
) -> Result<HttpResponse, Problem> {
    let Created { done, key, .. } = create_organizer(api.handle()?, api.state()?, &body.0.name, key.text()).await?;
    let Done { answer, position } = done;
    let location = format!("/v1/organizers/{}", answer.id);
    Ok(Reply::created(&location)
        .position(position)
        .replayed(answer.repeated)
        .etag(etag(answer.version))
        .header(CACHE_CONTROL, "no-store")
        .json(&OrganizerWithKey { organizer: Organizer::of(&answer), key: Some(key) }))
}

/// List organizers
#[utoipa::path(
    get, path = "/v1/organizers", tag = "organizers", operation_id = "list_organizers", security(("operator" = [])),
    params(crate::kit::extract::PageQuery),
    responses((status = 200, description = "A page of organizers", body = Organizers))
)]
pub async fn list(api: web::Data<Api>, _: Operator, page: Page) -> Result<HttpResponse, Problem> {
    let tenants = api.handle()?.engine.views().tenants();
    let mut found = tenants.list(page.after.map(OrganizerId), page.limit + 1);
    let more = found.len() > page.limit;
    found.truncate(page.limit);
    let next_cursor = found.last().filter(|_| more).map(|last| Page::cursor(last.id.0));
    let items = found.into_iter().map(|tenant| Organizer {
        organizer_id: tenant.id.0,
        name: tenant.name,
        created_at: Time(tenant.created_at_ms),
    });
    Ok(Reply::ok().json(&Organizers { items: items.collect(), next_cursor }))
}

/// Read an organizer
#[utoipa::path(
    get, path = "/v1/organizers/{id}", tag = "organizers", operation_id = "read_organizer",
    security(("operator" = [])),
    params(("id" = Uuid, Path), ("If-None-Match" = Option<String>, Header)),
    responses(
        (status = 200, description = "The organizer", body = Organizer, headers(("ETag" = String))),
        (status = 304, description = "Unchanged"),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn read(
    api: web::Data<Api>,
    _: Operator,
    id: Id<OrganizerId>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let answer = api.handle()?.engine.ask(id.0, Describe).await?.answer;
    let etag = etag(answer.version);
    match not_modified(&request, &etag) {
        Some(unchanged) => Ok(unchanged),
        None => Ok(Reply::ok().etag(etag).json(&Organizer::of(&answer))),
    }
}

/// Rename the own organizer
#[utoipa::path(
    patch, path = "/v1/organizer", tag = "organizers", operation_id = "rename_own_organizer",
    request_body = NewOrganizer, security(("organizer" = [])),
    params(("If-Match" = String, Header, description = "The ETag of what is to be changed")),
    responses(
        (status = 200, description = "The organizer with its new name", body = OrganizerWithKey, headers(
            ("ETag" = String), ("Onsale-Position" = u64))),
        (status = 412, description = "`precondition-failed`", body = crate::kit::error::ProblemBody),
        (status = 428, description = "`precondition-required`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn rename_own(
    api: web::Data<Api>,
    caller: OrganizerKey,
    seen: IfMatch,
    body: Body<NewOrganizer>,
) -> Result<HttpResponse, Problem> {
    let command = Rename { name: body.0.name, expected: seen.required()? };
    let handle = api.handle()?;
    let Done { answer, position } = handle.engine.ask(caller.organizer, command).await?;
    let etag = etag(answer.version);
    Ok(Reply::ok().etag(etag).position(position).json(&OrganizerWithKey::asking(handle, &answer, caller)))
}

/// An organizer and its secret key, as they were created.
pub struct Created {
    pub done: Done<Description>,
    key: Key,
    pub secret: String,
}

/// The organizer that this Idempotency-Key makes.
pub fn id_of(key: &str) -> OrganizerId {
    OrganizerId(Uuid::new_v5(&NAMESPACE, key.as_bytes()))
}

/// Creates an organizer. With the same idempotency key again: the same organizer with the same secret key, which is
/// derived from the installation's secret and that key and is not stored anywhere.
pub async fn create_organizer(
    handle: &EngineHandle,
    secrets: &Secrets,
    name: &str,
    key: Option<&str>,
) -> Result<Created, Problem> {
    let (id, seed) = match key {
        Some(key) => (id_of(key).0, key.as_bytes().to_vec()),
        None => (handle.new_uuid(), random_bytes::<32>().to_vec()),
    };
    let id = OrganizerId(id);
    let secret = secrets.organizer_key(id, &seed);
    let kept = SecretKey { key_id: secret.key_id, prefix: secret.prefix, hash: secret.hash };
    let done = handle.engine.ask(id, Create { name: name.into(), key: kept.clone() }).await?;
    let key = Key::created(kept, None, done.answer.created_at_ms, secret.text.clone());
    Ok(Created { done, key, secret: secret.text })
}

/// Read the own organizer
#[utoipa::path(
    get, path = "/v1/organizer", tag = "organizers", operation_id = "read_own_organizer", security(("organizer" = [])),
    params(("If-None-Match" = Option<String>, Header)),
    responses(
        (status = 200, description = "The organizer of the key", body = OrganizerWithKey, headers(("ETag" = String))),
        (status = 304, description = "Unchanged"),
    )
)]
pub async fn read_own(
    api: web::Data<Api>,
    caller: OrganizerKey,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let handle = api.handle()?;
    let answer = handle.engine.ask(caller.organizer, Describe).await?.answer;
    let etag = etag(answer.version);
    match not_modified(&request, &etag) {
        Some(unchanged) => Ok(unchanged),
        None => Ok(Reply::ok().etag(etag).json(&OrganizerWithKey::asking(handle, &answer, caller))),
    }
}

impl Organizer {
    fn of(answer: &Description) -> Organizer {
        Organizer { organizer_id: answer.id.0, name: answer.name.clone(), created_at: Time(answer.created_at_ms) }
    }
}

impl OrganizerWithKey {
    fn asking(handle: &EngineHandle, answer: &Description, caller: OrganizerKey) -> OrganizerWithKey {
        let asking = answer.keys.iter().find(|key| key.key.key_id == caller.key_id);
        OrganizerWithKey { organizer: Organizer::of(answer), key: asking.map(|key| Key::used(handle, key)) }
    }
}
