//! The identity provider that an organizer trusts with its users.

use crate::auth::Organizer;
use crate::auth::accounts::Accounts;
use crate::kit::body::{NoBody, Verbatim};
use crate::kit::error::Problem;
use crate::kit::extract::IfMatch;
use crate::kit::reply::{Reply, etag, not_modified};
use crate::route::{Route, routes};
use crate::{Api, EngineHandle};
use actix_web::{HttpRequest, HttpResponse, web};
use domain::organizer::provider::{Algorithm, IdentityProvider, Jwks};
use domain::organizer::{Describe, Description, RemoveProvider, SetProvider};
use engine::Done;
use security::identity::public_document;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// An identity provider whose JSON Web Tokens are taken for users of the organizer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ProviderRequest)]
pub struct NewProvider {
    /// What a token's `iss` must be.
    #[schema(max_length = 500, examples("https://login.example.com"))]
    issuer: String,
    /// What must be among a token's `aud`.
    #[schema(max_length = 500)]
    audience: String,
    /// Where its JSON Web Key Set is; this or `jwks`.
    #[schema(max_length = 2000, examples("https://login.example.com/.well-known/jwks.json"))]
    jwks_url: Option<String>,
    /// Its JSON Web Key Set itself (RFC 7517): public keys only, up to 100.
    jwks: Option<Value>,
    /// How tokens may be signed: RS256, ES256 and EdDSA unless given; also RS384, RS512, PS256, PS384, PS512, ES384.
    algorithms: Option<Vec<String>>,
    /// Whether anybody can sign in with it; true unless given.
    enabled: Option<bool>,
}

/// An identity provider.
#[derive(Serialize, ToSchema)]
pub struct Provider {
    issuer: String,
    audience: String,
    jwks_url: Option<String>,
    /// As far as it is understood here.
    jwks: Option<Value>,
    algorithms: Vec<&'static str>,
    enabled: bool,
    /// Whether its tokens are taken in `Authorization` themselves. Not so when another organizer named the same issuer and
    /// audience before; then users exchange them with POST /v1/sessions.
    bearer: bool,
}

pub fn routes() -> Vec<Route> {
    routes![read, set, remove]
}

/// Set the identity provider
///
/// Its users sign in with POST /v1/sessions, or send its token as `Authorization: Bearer` right away.
#[utoipa::path(
    put, path = "/v1/organizer/identity-provider", tag = "organizers", operation_id = "set_identity_provider",
    request_body = NewProvider, security(("organizer" = [])),
    params(("If-Match" = Option<String>, Header, description = "The ETag of what is there; required once there is one")),
    responses(
        (status = 200, description = "Set", body = Provider, headers(("ETag" = String), ("Onsale-Position" = u64))),
        (status = 412, description = "`precondition-failed`", body = crate::kit::error::ProblemBody),
        (status = 428, description = "`precondition-required`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn set(
    api: web::Data<Api>,
    organizer: Organizer,
    seen: IfMatch,
    body: Verbatim<NewProvider>,
) -> Result<HttpResponse, Problem> {
    let handle = api.handle()?;
    let provider = checked(api.state()?, body.0)?;
    let command = SetProvider { provider, expected: seen.given() };
    let Done { answer, position } = handle.engine.ask(organizer.0, command).await?;
    let (provider, version) = shown(handle, &answer)?;
    Ok(Reply::ok().etag(etag(version)).position(position).json(&provider))
}

/// Read the identity provider
#[utoipa::path(
    get, path = "/v1/organizer/identity-provider", tag = "organizers", operation_id = "read_identity_provider",
    security(("organizer" = [])),
    params(("If-None-Match" = Option<String>, Header)),
    responses(
        (status = 200, description = "The identity provider", body = Provider, headers(("ETag" = String))),
        (status = 304, description = "Unchanged"),
        (status = 404, description = "`not-found`: there is none", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn read(api: web::Data<Api>, organizer: Organizer, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let handle = api.handle()?;
    let answer = handle.engine.ask(organizer.0, Describe).await?.answer;
    let (provider, version) = shown(handle, &answer)?;
    let etag = etag(version);
    match not_modified(&request, &etag) {
        Some(unchanged) => Ok(unchanged),
        None => Ok(Reply::ok().etag(etag).json(&provider)),
    }
}

/// Remove the identity provider
///
/// Its tokens are not taken any more; sessions that were begun with them go on until they end.
#[utoipa::path(
    delete, path = "/v1/organizer/identity-provider", tag = "organizers", operation_id = "remove_identity_provider",
    security(("organizer" = [])),
    responses((status = 204, description = "There is none now", headers(("Onsale-Position" = u64))))
)]
pub async fn remove(api: web::Data<Api>, organizer: Organizer, _: NoBody) -> Result<HttpResponse, Problem> {
    let done = api.handle()?.engine.ask(organizer.0, RemoveProvider).await?;
    Ok(Reply::no_content().position(done.position).empty())
}

fn checked(accounts: &Accounts, new: NewProvider) -> Result<IdentityProvider, Problem> {
    let jwks = match (new.jwks_url, new.jwks) {
        (Some(url), None) => {
            accounts.identities.check_url(&url).map_err(|reason| Problem::invalid("jwks_url", reason))?;
            Jwks::Url(url)
        }
        (None, Some(document)) => {
            Jwks::Document(public_document(&document).map_err(|reason| Problem::invalid("jwks", reason))?)
        }
        _ => return Err(Problem::invalid("jwks_url", "give either jwks_url or jwks")),
    };
    let algorithms = match new.algorithms {
        None => Algorithm::USUAL.to_vec(),
        Some(names) => {
            let known = |name: String| {
                let found = Algorithm::ALL.into_iter().find(|algorithm| algorithm.as_str() == name);
                let known = Algorithm::ALL.map(Algorithm::as_str).join(", ");
                found.ok_or_else(|| Problem::invalid("algorithms", format!("{name:?} is not one of {known}")))
            };
            names.into_iter().map(known).collect::<Result<_, _>>()?
        }
    };
    let enabled = new.enabled.unwrap_or(true);
    Ok(IdentityProvider { issuer: new.issuer, audience: new.audience, jwks, algorithms, enabled })
}

fn shown(handle: &EngineHandle, answer: &Description) -> Result<(Provider, u64), Problem> {
    let provided = answer.provider.as_ref().ok_or_else(|| Problem::no_such("identity provider"))?;
    let IdentityProvider { issuer, audience, jwks, algorithms, enabled } = provided.provider.clone();
    let (jwks_url, jwks) = match jwks {
        Jwks::Url(url) => (Some(url), None),
        Jwks::Document(document) => (None, serde_json::from_str(&document).ok()),
    };
    let algorithms = algorithms.into_iter().map(Algorithm::as_str).collect();
    let bearer = handle.engine.views().tenants().is_first(answer.id);
    Ok((Provider { issuer, audience, jwks_url, jwks, algorithms, enabled, bearer }, provided.version))
}
