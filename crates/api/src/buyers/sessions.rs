//! Sessions: e-mail and password, or an identity provider's token, for a session's token; and their end.

use super::email::Email;
use super::passwords::is_too_long;
use crate::Api;
use crate::auth::accounts::{Accounts, personal, read};
use crate::auth::idp_sign_in;
use crate::auth::{Current, User};
use crate::kit::body::{NoBody, Verbatim};
use crate::kit::error::rate_limit_status::Class;
use crate::kit::error::{Kind, Problem};
use crate::kit::reply::Reply;
use crate::kit::time::Time;
use crate::middleware::client_address::client_address;
use crate::middleware::rate_limits::Limits;
use crate::route::{Route, routes};
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use base::id::{AccountId, Millis, OrganizerId, UserId};
use domain::account::{EndSession, EndSessions, Found};
use domain::process::sign_up;
use security::secrets::Session;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;

/// Who signs in: `email` and `password`; or `organizer_id` and `id_token`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    #[schema(format = "email")]
    email: Option<String>,
    #[schema(format = "password")]
    password: Option<String>,
    /// Whose identity provider has issued the token.
    organizer_id: Option<Uuid>,
    /// A JSON Web Token of the organizer's identity provider.
    #[schema(max_length = 16384, examples("eyJ…"))]
    id_token: Option<String>,
}

/// A token that speaks for a user for one hour, unless the installation says otherwise.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
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

impl SignedIn {
    pub fn of(session: NewSession, user: UserId) -> SignedIn {
        SignedIn { session, user_id: user.0 }
    }
}

pub fn routes() -> Vec<Route> {
    routes![create.sign_in(), end_all, end]
}

/// Sign in
///
/// With `email` and `password`; or with `organizer_id` and `id_token`, a token of the organizer's identity provider. Who
/// comes from there for the first time gets an account and a wallet.
#[utoipa::path(
    post, path = "/v1/sessions", tag = "users", operation_id = "sign_in", request_body = SignIn,
    responses(
        (status = 201, description = "Signed in", body = SignedIn, headers(("Location" = String))),
        (status = 401, description = "`bad-credentials`: the e-mail or the password, nobody says which; `bad-id-token`, \
            `token-expired`, `session-ended`: the identity provider's token", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn create(
    api: web::Data<Api>,
    request: HttpRequest,
    body: Verbatim<SignIn>,
) -> Result<HttpResponse, Problem> {
    let handle = api.state::<Accounts>()?;
    let missing = |field: &'static str| Problem::invalid(field, format!("missing field `{field}`"));
    let signed_in = match body.0 {
        SignIn { organizer_id: None, id_token: None, email, password } => {
            let email = email.ok_or_else(|| missing("email"))?;
            let address = client_address(request.head(), &api.live.load().proxy_trusted);
            let password = password.ok_or_else(|| missing("password"))?;
            by_password(handle, &api.limits, address, &email, password).await?
        }
        SignIn { email: None, password: None, organizer_id, id_token } => {
            let organizer = OrganizerId(organizer_id.ok_or_else(|| missing("organizer_id"))?);
            by_identity(handle, organizer, &id_token.ok_or_else(|| missing("id_token"))?).await?
        }
        _ => {
            let reason = "send email and password, or organizer_id and id_token";
            return Err(Problem::invalid("body", reason));
        }
    };
    Ok(Reply::created("/v1/me").header(CACHE_CONTROL, "no-store").json(&signed_in))
}

async fn by_password(
    handle: &Accounts,
    limits: &Limits,
    address: Option<IpAddr>,
    email: &str,
    password: String,
) -> Result<SignedIn, Problem> {
    let bad = || Problem::new(Kind::BadCredentials, "Check both, or sign up with POST /v1/users.");
    if is_too_long(&password) {
        return Err(bad());
    }
    let accounts: Vec<AccountId> = Email::of_account(email)?.iter().map(|key| handle.secrets.account(key)).collect();
    // Tries are counted for the e-mail, whichever of its accounts they are for.
    let named = accounts[0];
    let counted = limits.take(Class::Account, named.0.as_bytes(), Instant::now());
    // Strangers who try do not lock out who belongs here.
    let is_known = address.is_some_and(|address| limits.known_addresses.knows(named, address));
    let counted = if is_known { counted.unwrap_or(None) } else { counted? };
    let (account, was) = whose(handle, &accounts, password).await?.ok_or_else(bad)?;
    if let Some(counted) = counted {
        limits.give_back(counted, named.0.as_bytes());
    }
    if let Some(address) = address {
        limits.known_addresses.greet(named, address);
    }
    // Once more: a password that was changed, or an account that was erased meanwhile, gives no session.
    let begun_at_ms = handle.clock.now();
    let now = handle.engine.ask(account, sign_up::SignIn).await.map_err(|failure| match failure {
        engine::Failure::Rejected { rejection: sign_up::Rejection::UnknownAccount, .. } => bad(),
        failure => failure.into(),
    })?;
    if (now.answer.user, &now.answer.sealed) != (was.user, &was.sealed) {
        return Err(bad());
    }
    Ok(SignedIn::of(new_session(handle, account, &now.answer, begun_at_ms), now.answer.user))
}

/// The account, of those that an e-mail may have, whose password it is. Two are there only where they were made before
/// their e-mails were one.
async fn whose(
    handle: &Accounts,
    accounts: &[AccountId],
    password: String,
) -> Result<Option<(AccountId, Found)>, Problem> {
    let mut found = Vec::new();
    for account in accounts {
        if let Some(done) = read(handle, *account).await?
            && let Ok(person) = personal(handle, *account, &done.answer.sealed).await
        {
            found.push((Some((*account, done.answer)), person.password));
        }
    }
    if found.is_empty() {
        // Also without an account: the time must not tell whether there is one.
        found.push((None, None));
    }
    for (account, stored) in found {
        let matches = handle.passwords.matches(password.clone(), stored).await?;
        if matches {
            return Ok(account);
        }
    }
    Ok(None)
}

async fn by_identity(handle: &Accounts, organizer: OrganizerId, token: &str) -> Result<SignedIn, Problem> {
    let begun_at_ms = handle.clock.now();
    let (account, found) = idp_sign_in::sign_in(handle, organizer, token).await?;
    Ok(SignedIn::of(new_session(handle, account, &found, begun_at_ms), found.user))
}

/// Log out
///
/// Ends the session of the token that this comes with.
#[utoipa::path(
    delete, path = "/v1/sessions/current", tag = "users", operation_id = "sign_out", security(("user" = [])),
    responses((status = 204, description = "The token is not valid any more", headers(("Onsale-Position" = u64))))
)]
pub async fn end(api: web::Data<Api>, current: Current, _: NoBody) -> Result<HttpResponse, Problem> {
    let handle = api.state::<Accounts>()?;
    let Current { user, session, expires_at_ms, .. } = current;
    let ttl_ms = handle.sessions_end_within_ms();
    let command = EndSession { user: user.user, session, expires_at_ms, ttl_ms };
    let done = handle.engine.ask(user.account, command).await?;
    Ok(Reply::no_content().position(done.position).empty())
}

/// Log out everywhere
///
/// Ends all sessions of the user.
#[utoipa::path(
    delete, path = "/v1/sessions", tag = "users", operation_id = "sign_out_everywhere", security(("user" = [])),
    responses((status = 204, description = "No token of the user is valid any more", headers(("Onsale-Position" = u64))))
)]
pub async fn end_all(api: web::Data<Api>, user: User, _: NoBody) -> Result<HttpResponse, Problem> {
    let handle = api.state::<Accounts>()?;
    let command = EndSessions { user: user.user, ttl_ms: handle.sessions_end_within_ms() };
    let done = handle.engine.ask(user.account, command).await?;
    Ok(Reply::no_content().position(done.position).empty())
}

/// A session of the account as it was found after `begun_at_ms`: what ends the account's sessions later ends this one.
pub fn new_session(handle: &Accounts, account: AccountId, found: &Found, begun_at_ms: Millis) -> NewSession {
    let begun_at_ms = begun_at_ms.max(found.sessions_from_ms);
    let expires_at_ms = begun_at_ms + handle.session_ttl_ms;
    let nonce = handle.ids.next() as u32;
    let token = handle.secrets.issue(&Session { account, user: found.user, begun_at_ms, expires_at_ms, nonce });
    NewSession { token, token_type: "Bearer", expires_at: Time(expires_at_ms) }
}
