//! Organizers: tenants that sell, made by the operator.

use super::auth::{Operator, Organizer};
use super::body::Body;
use super::error::Problem;
use super::extract::IdempotencyKey;
use super::reply::{Reply, etag, not_modified};
use super::time::Time;
use super::users::new_uuid;
use super::{Api, Endpoint, Shop};
use crate::actors::{Done, Failure};
use crate::domain::organizer::{self, Command, Rejection, SecretKey};
use crate::id::OrganizerId;
use crate::secrets::random_bytes;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Under which an operator's Idempotency-Keys become organizers' ids.
const NAMESPACE: Uuid = Uuid::from_u128(0x6f6e_7361_6c65_8000_8000_6f72_6761_6e69);

/// A tenant to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOrganizer {
    #[schema(min_length = 1, max_length = 200)]
    name: String,
}

/// A tenant.
#[derive(Serialize, ToSchema)]
#[schema(as = Organizer)]
pub struct Shown {
    organizer_id: Uuid,
    name: String,
    created_at: Time,
    key: Key,
}

/// A secret API key. Its secret is only ever shown here.
#[derive(Serialize, ToSchema)]
pub struct Key {
    key_id: Uuid,
    /// For the header `Authorization: Bearer …`. Shown once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(examples("osk_…"))]
    secret: Option<String>,
    /// The secret's first characters, to tell keys apart.
    prefix: String,
}

pub fn endpoints() -> [Endpoint; 2] {
    [Endpoint::at("/v1/organizers").post(create), Endpoint::at("/v1/organizer").get(read)]
}

/// Create an organizer
#[utoipa::path(
    post, path = "/v1/organizers", tag = "organizers", operation_id = "create_organizer", request_body = NewOrganizer,
    security(("operator" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "8 to 255 visible ASCII characters")),
    responses(
        (status = 201, description = "Created; the only time that the key's secret is shown", body = Shown, headers(
            ("Location" = String), ("Onsale-Position" = u64), ("Idempotency-Replayed" = bool))),
        (status = 422, description = "`idempotency-key-reused`", body = super::openapi::Problem),
    )
)]
pub async fn create(
    api: web::Data<Api>,
    _: Operator,
    key: IdempotencyKey,
    body: Body<NewOrganizer>,
) -> Result<HttpResponse, Problem> {
    let created = create_organizer(api.shop()?, &body.0.name, key.text()).await?;
    let Created { done, secret, repeated } = created;
    Ok(Reply::created("/v1/organizer")
        .position(done.position)
        .replayed(repeated)
        .header(CACHE_CONTROL, "no-store")
        .json(&shown(done.answer, Some(secret))))
}

/// An organizer, its secret key, and whether it was there before.
pub struct Created {
    pub done: Done<organizer::Answer>,
    pub secret: String,
    pub repeated: bool,
}

/// The organizer that was, or will be, created with this idempotency key.
pub fn organizer_of(key: &str) -> OrganizerId {
    OrganizerId(Uuid::new_v5(&NAMESPACE, key.as_bytes()))
}

/// Creates an organizer. With the same idempotency key again: the same organizer with the same secret key, which is
/// derived from the installation's secret and that key and is not stored anywhere.
pub async fn create_organizer(shop: &Shop, name: &str, key: Option<&str>) -> Result<Created, Problem> {
    let (id, seed) = match key {
        Some(key) => (organizer_of(key).0, key.as_bytes().to_vec()),
        None => (new_uuid(shop), random_bytes::<32>().to_vec()),
    };
    let id = OrganizerId(id);
    let secret = shop.secrets.organizer_key(id, &seed);
    let kept = SecretKey { key_id: secret.key_id, prefix: secret.prefix, hash: secret.hash };
    match shop.engine.organizer(id, Command::Create { name: name.into(), key: kept }).await {
        Ok(done) => Ok(Created { done, secret: secret.text, repeated: false }),
        Err(Failure::Rejected { rejection: Rejection::AlreadyThere, .. }) => {
            let done = shop.engine.organizer(id, Command::Read).await?;
            if done.answer.name != name {
                return Err(Problem::key_reused());
            }
            Ok(Created { done, secret: secret.text, repeated: true })
        }
        Err(failure) => Err(failure.into()),
    }
}

/// Read the own organizer
#[utoipa::path(
    get, path = "/v1/organizer", tag = "organizers", operation_id = "read_organizer", security(("organizer" = [])),
    params(("If-None-Match" = Option<String>, Header)),
    responses(
        (status = 200, description = "The organizer of the key", body = Shown, headers(("ETag" = String))),
        (status = 304, description = "Unchanged"),
    )
)]
pub async fn read(api: web::Data<Api>, organizer: Organizer, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let done = api.shop()?.engine.organizer(organizer.0, Command::Read).await?;
    let etag = etag(1);
    match not_modified(&request, &etag) {
        Some(unchanged) => Ok(unchanged),
        None => Ok(Reply::ok().etag(etag).json(&shown(done.answer, None))),
    }
}

fn shown(answer: organizer::Answer, secret: Option<String>) -> Shown {
    Shown {
        organizer_id: answer.id.0,
        name: answer.name,
        created_at: Time(answer.created_at_ms),
        key: Key { key_id: answer.key.key_id, secret, prefix: answer.key.prefix },
    }
}
