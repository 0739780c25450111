//! Organizers' secret API keys: made, listed and revoked by the organizer itself or by the operator.

use crate::auth::{Operator, Organizer};
use crate::kit::body::{NoBody, OptionalBody};
use crate::kit::error::Problem;
use crate::kit::extract::{Id, IdempotencyKey, KeyId, Page};
use crate::kit::reply::Reply;
use crate::kit::time::Time;
use crate::route::{Route, routes};
use crate::{Api, EngineHandle};
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpResponse, web};
use base::id::{Millis, OrganizerId};
use domain::organizer::{self, CreateKey, Describe, RevokeKey, SecretKey};
use engine::Done;
use security::secrets::{Secrets, random_bytes};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Keys that other requests may have made between the reading and the writing of one.
const ORDINALS_TRIED_MAX: usize = 1_000;

/// A key to be.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = KeyRequest)]
pub struct NewKey {
    /// What you call it, e.g. what it is used for.
    #[schema(min_length = 1, max_length = 100)]
    name: Option<String>,
}

/// A secret API key. Its secret is only ever shown when it is created.
#[derive(Serialize, ToSchema)]
pub struct Key {
    key_id: Uuid,
    name: Option<String>,
    /// For the header `Authorization: Bearer …`. Shown once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(examples("osk_…"))]
    secret: Option<String>,
    /// The secret's first characters, to tell keys apart.
    prefix: String,
    created_at: Time,
    revoked_at: Option<Time>,
    /// After a restart of the server it may be up to an hour out of date.
    last_used_at: Option<Time>,
}

/// One page of an organizer's keys, the oldest first: those that are valid, and the last hundred that were revoked.
#[derive(Serialize, ToSchema)]
pub struct Keys {
    items: Vec<Key>,
    /// For `?cursor=`; null on the last page.
    next_cursor: Option<String>,
}

impl Key {
    pub fn of(key: &organizer::Key) -> Key {
        Key {
            key_id: key.key.key_id,
            name: key.name.clone(),
            secret: None,
            prefix: key.key.prefix.clone(),
            created_at: Time(key.created_at_ms),
            revoked_at: key.revoked_at_ms.map(Time),
            last_used_at: key.used_at_ms.map(Time),
        }
    }

    /// With the last use as it is known in memory, which is exact.
    pub fn used(handle: &EngineHandle, key: &organizer::Key) -> Key {
        let live = handle.engine.views().tenants().key(key.key.hash);
        let used_at_ms = live.map_or(0, |live| live.used_at_ms()).max(key.used_at_ms.unwrap_or(0));
        Key { last_used_at: (used_at_ms > 0).then_some(Time(used_at_ms)), ..Key::of(key) }
    }

    /// As it is shown when it is created, and never again but to who repeats that request.
    pub fn created(kept: SecretKey, name: Option<String>, created_at_ms: Millis, secret: String) -> Key {
        Key {
            key_id: kept.key_id,
            name,
            secret: Some(secret),
            prefix: kept.prefix,
            created_at: Time(created_at_ms),
            revoked_at: None,
            last_used_at: None,
        }
    }
}

pub fn routes() -> Vec<Route> {
    routes![list_own, create_own, revoke_own, list, create, revoke]
}

/// Create a key
///
/// The same Idempotency-Key again gives the same secret again.
#[utoipa::path(
    post, path = "/v1/organizer/keys", tag = "organizers", operation_id = "create_own_key", request_body = Option<NewKey>,
    security(("organizer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "8 to 255 visible ASCII characters")),
    responses(
        (status = 201, description = "Created; the only time that the secret is shown", body = Key, headers(
            ("Location" = String), ("Onsale-Position" = u64), ("Idempotency-Replayed" = bool))),
        (status = 409, description = "`too-many-keys`", body = crate::kit::error::ProblemBody),
        (status = 422, description = "`idempotency-key-reused`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn create_own(
    api: web::Data<Api>,
    organizer: Organizer,
    key: IdempotencyKey,
    body: OptionalBody<NewKey>,
) -> Result<HttpResponse, Problem> {
    create_key(&api, organizer.0, key, body.0.unwrap_or_default(), "/v1/organizer/keys").await
}

/// Create a key of an organizer
#[utoipa::path(
    post, path = "/v1/organizers/{id}/keys", tag = "organizers", operation_id = "create_key", request_body = Option<NewKey>,
    security(("operator" = [])),
    params(
        ("id" = Uuid, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "8 to 255 visible ASCII characters"),
    ),
    responses(
        (status = 201, description = "Created; the only time that the secret is shown", body = Key, headers(
            ("Location" = String), ("Onsale-Position" = u64), ("Idempotency-Replayed" = bool))),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
        (status = 409, description = "`too-many-keys`", body = crate::kit::error::ProblemBody),
        (status = 422, description = "`idempotency-key-reused`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn create(
    api: web::Data<Api>,
    _: Operator,
    id: Id<OrganizerId>,
    key: IdempotencyKey,
    body: OptionalBody<NewKey>,
) -> Result<HttpResponse, Problem> {
    create_key(&api, id.0, key, body.0.unwrap_or_default(), &format!("/v1/organizers/{}/keys", id.0)).await
}

/// A secret is derived from the installation's secret, the Idempotency-Key and the number of keys before: not stored, and
/// the same for a repeated request, but never again that of a key which was revoked and forgotten.
async fn create_key(
    api: &Api,
    organizer: OrganizerId,
    key: IdempotencyKey,
    new: NewKey,
    path: &str,
) -> Result<HttpResponse, Problem> {
    let (handle, secrets) = (api.handle()?, api.state::<Secrets>()?);
    let repeat = key.within(b"key");
    let known = handle.engine.ask(organizer, Describe).await?.answer;
    let is_same = |key: &&organizer::Key| repeat.is_some() && key.repeat == repeat;
    let same = known.keys.iter().find(is_same);
    let ordinal = same.map_or(known.keys_ever, |key| key.ordinal);
    let made = |ordinal: u64| {
        let seed = match key.text() {
            Some(key) => [b"key", &ordinal.to_be_bytes()[..], key.as_bytes()].concat(),
            None => random_bytes::<32>().to_vec(),
        };
        let secret = secrets.organizer_key(organizer, &seed);
        (SecretKey { key_id: secret.key_id, prefix: secret.prefix, hash: secret.hash }, secret.text)
    };
    let (mut kept, mut secret) = made(ordinal);
    let command = CreateKey { key: kept.clone(), name: new.name, repeat };
    let Done { answer, position } = handle.engine.ask(organizer, command).await?;
    let there = answer.keys.iter().find(|key| if answer.repeated { is_same(key) } else { key.key == kept });
    let there = there.ok_or_else(|| Problem::internal("A key that was created is not there."))?;
    // Of two equal requests at once the one that came second may have counted other keys than the first.
    if there.key != kept {
        let mut earlier = (0..=there.ordinal).rev().take(ORDINALS_TRIED_MAX).map(made);
        (kept, secret) = earlier.find(|(kept, _)| *kept == there.key).ok_or_else(Problem::overloaded)?;
    }
    Ok(Reply::created(&format!("{path}/{}", kept.key_id))
        .position(position)
        .replayed(answer.repeated)
        .header(CACHE_CONTROL, "no-store")
        .json(&Key::created(kept, there.name.clone(), there.created_at_ms, secret)))
}

/// List the own keys
#[utoipa::path(
    get, path = "/v1/organizer/keys", tag = "organizers", operation_id = "list_own_keys", security(("organizer" = [])),
    params(crate::kit::extract::PageQuery),
    responses((status = 200, description = "A page of keys", body = Keys))
)]
pub async fn list_own(api: web::Data<Api>, organizer: Organizer, page: Page) -> Result<HttpResponse, Problem> {
    list_keys(api.handle()?, organizer.0, page).await
}

/// List an organizer's keys
#[utoipa::path(
    get, path = "/v1/organizers/{id}/keys", tag = "organizers", operation_id = "list_keys",
    security(("operator" = [])),
    params(("id" = Uuid, Path), crate::kit::extract::PageQuery),
    responses(
        (status = 200, description = "A page of keys", body = Keys),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn list(api: web::Data<Api>, _: Operator, id: Id<OrganizerId>, page: Page) -> Result<HttpResponse, Problem> {
    list_keys(api.handle()?, id.0, page).await
}

async fn list_keys(handle: &EngineHandle, organizer: OrganizerId, page: Page) -> Result<HttpResponse, Problem> {
    let keys = handle.engine.ask(organizer, Describe).await?.answer.keys;
    let from = match page.after {
        None => 0,
        // A cursor that is of another list, or of a key that is listed no longer.
        Some(after) => keys.iter().position(|key| key.key.key_id == after).map_or(keys.len(), |index| index + 1),
    };
    let shown = &keys[from..keys.len().min(from + page.limit)];
    let more = from + shown.len() < keys.len();
    let items = shown.iter().map(|key| Key::used(handle, key));
    let next_cursor = shown.last().filter(|_| more).map(|last| Page::cursor(last.key.key_id));
    Ok(Reply::ok().json(&Keys { items: items.collect(), next_cursor }))
}

/// Revoke a key
///
/// From this answer on nobody gets in with it. The last valid key can only be revoked by the operator.
#[utoipa::path(
    delete, path = "/v1/organizer/keys/{key_id}", tag = "organizers", operation_id = "revoke_own_key",
    security(("organizer" = [])),
    params(("key_id" = Uuid, Path)),
    responses(
        (status = 204, description = "Revoked, now or before", headers(("Onsale-Position" = u64))),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
        (status = 409, description = "`last-key`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn revoke_own(
    api: web::Data<Api>,
    organizer: Organizer,
    key_id: KeyId,
    _: NoBody,
) -> Result<HttpResponse, Problem> {
    revoke_key(api.handle()?, organizer.0, key_id.0, false).await
}

/// Revoke an organizer's key
///
/// Any, also the last one: then only the operator can create another.
#[utoipa::path(
    delete, path = "/v1/organizers/{id}/keys/{key_id}", tag = "organizers", operation_id = "revoke_key",
    security(("operator" = [])),
    params(("id" = Uuid, Path), ("key_id" = Uuid, Path)),
    responses(
        (status = 204, description = "Revoked, now or before", headers(("Onsale-Position" = u64))),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn revoke(
    api: web::Data<Api>,
    _: Operator,
    id: Id<OrganizerId>,
    key_id: KeyId,
    _: NoBody,
) -> Result<HttpResponse, Problem> {
    revoke_key(api.handle()?, id.0, key_id.0, true).await
}

async fn revoke_key(
    handle: &EngineHandle,
    organizer: OrganizerId,
    key_id: Uuid,
    by_operator: bool,
) -> Result<HttpResponse, Problem> {
    let done = handle.engine.ask(organizer, RevokeKey { key_id, by_operator }).await?;
    Ok(Reply::no_content().position(done.position).empty())
}
