//! The keys that sign admissions: for everybody who checks one, and for the operator who rotates them.

use super::admission_token::Admissions;
use crate::Api;
use crate::auth::Operator;
use crate::kit::body::NoBody;
use crate::kit::error::{Kind, Problem};
use crate::kit::reply::Reply;
use crate::kit::time::Time;
use crate::route::{Route, routes};
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpResponse, web};
use security::signing::Listed;
use serde::Serialize;
use utoipa::ToSchema;

/// A key that signs admissions, did so until lately, or will.
#[derive(Serialize, ToSchema)]
pub struct SigningKey {
    /// Its thumbprint (RFC 7638): the `kid` in a token's header.
    kid: String,
    /// `next`, `current` or `retired` (still published, for the tokens that it signed).
    state: &'static str,
    signs_from: Option<Time>,
    signed_until: Option<Time>,
}

/// All of them.
#[derive(Serialize, ToSchema)]
pub struct SigningKeys {
    items: Vec<SigningKey>,
}

pub fn routes() -> Vec<Route> {
    routes![jwks, list, rotate]
}

/// The keys that admissions are checked by
///
/// A JSON Web Key Set (RFC 7517) of Ed25519 keys (RFC 8037): the current one, the next one and those that signed until
/// lately. Keep it for some minutes; a token with a `kid` that you do not know is a reason to fetch it again.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "queues", operation_id = "jwks",
    responses((status = 200, description = "The keys", body = serde_json::Value))
)]
pub async fn jwks(api: web::Data<Api>) -> Result<HttpResponse, Problem> {
    let handle = api.state::<Admissions>()?;
    let keys = handle.keyring.jwks(handle.clock.now());
    Ok(Reply::ok().header(CACHE_CONTROL, "public, max-age=300").json(&keys))
}

/// List the keys that sign admissions
#[utoipa::path(
    get, path = "/v1/signing-keys", tag = "queues", operation_id = "list_signing_keys", security(("operator" = [])),
    responses((status = 200, description = "The keys", body = SigningKeys))
)]
pub async fn list(api: web::Data<Api>, _: Operator) -> Result<HttpResponse, Problem> {
    let handle = api.state::<Admissions>()?;
    let now = handle.clock.now();
    Ok(Reply::ok().json(&SigningKeys::of(handle.keyring.list(now))))
}

/// Have the next key sign, and make a new next one
///
/// Every token that is valid stays valid: the key that signed it is published for another hour.
#[utoipa::path(
    post, path = "/v1/signing-keys/rotation", tag = "queues", operation_id = "rotate_signing_keys",
    security(("operator" = [])),
    responses((status = 200, description = "The keys from now on", body = SigningKeys))
)]
pub async fn rotate(api: web::Data<Api>, _: Operator, _: NoBody) -> Result<HttpResponse, Problem> {
    let handle = api.state::<Admissions>()?;
    let (keyring, now) = (handle.keyring.clone(), handle.clock.now());
    let rotated = web::block(move || keyring.rotate(now)).await;
    let rotated = rotated.map_err(|error| error.to_string()).and_then(|done| done.map_err(|error| error.to_string()));
    let listed = rotated.map_err(|error| {
        tracing::error!(error, "the signing keys cannot be rotated");
        Problem::new(Kind::Internal, "The new keys cannot be written; the old ones go on. See the server's log.")
    })?;
    Ok(Reply::ok().json(&SigningKeys::of(listed)))
}

impl SigningKeys {
    fn of(listed: Vec<Listed>) -> SigningKeys {
        let key = |key: Listed| SigningKey {
            state: match (key.from_ms, key.until_ms) {
                (None, _) => "next",
                (Some(_), None) => "current",
                (Some(_), Some(_)) => "retired",
            },
            kid: key.kid,
            signs_from: key.from_ms.filter(|from| *from > 0).map(Time),
            signed_until: key.until_ms.map(Time),
        };
        SigningKeys { items: listed.into_iter().map(key).collect() }
    }
}
