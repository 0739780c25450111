//! Sessions: e-mail and password for a token.

use super::body::Body;
use super::error::{Kind, Problem};
use super::limits::Class;
use super::reply::Reply;
use super::time::Time;
use super::users::{normal_email, personal, read};
use super::{Api, Endpoint, Shop};
use crate::config::PASSWORD_CHARS_MAX;
use crate::id::{AccountId, UserId};
use crate::secrets::Session;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use std::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;

/// Who signs in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    #[schema(format = "email")]
    email: String,
    #[schema(format = "password")]
    password: String,
}

/// A token that speaks for a user for one hour, unless the installation says otherwise.
#[derive(Serialize, ToSchema)]
pub struct NewSession {
    /// For the header `Authorization: Bearer …`
    #[schema(examples("ust_…"))]
    token: String,
    #[schema(examples("Bearer"))]
    token_type: &'static str,
    expires_at: Time,
}

/// A session with its user.
#[derive(Serialize, ToSchema)]
pub struct SignedIn {
    #[serde(flatten)]
    session: NewSession,
    user_id: Uuid,
}

pub fn endpoint() -> Endpoint {
    Endpoint::at("/v1/sessions").sign_in().post(create)
}

/// Sign in
#[utoipa::path(
    post, path = "/v1/sessions", tag = "users", operation_id = "sign_in", request_body = SignIn,
    responses(
        (status = 201, description = "Signed in", body = SignedIn, headers(("Location" = String))),
        (status = 401, description = "`bad-credentials`: the e-mail or the password, nobody says which",
            body = super::openapi::Problem),
    )
)]
pub async fn create(api: web::Data<Api>, body: Body<SignIn>) -> Result<HttpResponse, Problem> {
    let shop = api.shop()?;
    let SignIn { email, password } = body.0;
    let bad = || Problem::new(Kind::BadCredentials, "Check both, or sign up with POST /v1/users.");
    if password.chars().count() > PASSWORD_CHARS_MAX {
        return Err(bad());
    }
    let account = shop.secrets.account(&normal_email(&email)?);
    api.limits.take(Class::Account, account.0.as_bytes(), Instant::now())?;
    let found = match read(shop, account).await? {
        Some(done) => personal(shop, account, &done.answer.sealed).await.ok().map(|person| (done.answer.user, person)),
        None => None,
    };
    let (user, stored) = found.map(|(user, person)| (user, person.password)).unzip();
    // Also without an account: the time must not tell whether there is one.
    let matches = shop.passwords.matches(password, stored).await.map_err(|_| Problem::overloaded())?;
    let user = user.filter(|_| matches).ok_or_else(bad)?;
    let signed_in = SignedIn { session: new_session(shop, account, user), user_id: user.0 };
    Ok(Reply::created("/v1/me").header(CACHE_CONTROL, "no-store").json(&signed_in))
}

/// A session from now on.
pub fn new_session(shop: &Shop, account: AccountId, user: UserId) -> NewSession {
    let expires_at_ms = shop.clock.now() + shop.session_ttl_ms;
    let token = shop.secrets.issue(&Session { account, user, expires_at_ms });
    NewSession { token, token_type: "Bearer", expires_at: Time(expires_at_ms) }
}
