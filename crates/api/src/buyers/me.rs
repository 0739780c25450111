//! The user's own account: read it, change its password, erase it.

use super::passwords::{check_password, is_too_long};
use super::sessions::{NewSession, SignedIn, new_session};
use crate::Api;
use crate::auth::User;
use crate::auth::accounts::{self, Accounts, Personal, finish_erasure, key_of, personal, vault_failed};
use crate::kit::blocking::off_worker;
use crate::kit::body::{OptionalVerbatim, Verbatim};
use crate::kit::error::{Kind, Problem};
use crate::kit::reply::{Reply, etag, not_modified};
use crate::kit::time::Time;
use crate::route::{Route, routes};
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use base::id::AccountId;
use domain::account::{self, ChangePassword, Found, UnknownAccount};
use engine::Done;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::ToSchema;
use uuid::Uuid;

/// A user's own data.
#[derive(Serialize, ToSchema)]
pub struct Me {
    user_id: Uuid,
    /// Null of who came from an identity provider that did not tell it.
    email: Option<String>,
    name: Option<String>,
    /// Whose identity provider the user comes from; null of who signed up with a password.
    organizer_id: Option<Uuid>,
    created_at: Time,
}

impl Me {
    pub fn of(found: &Found, personal: Personal) -> Me {
        Me {
            user_id: found.user.0,
            email: personal.email,
            name: personal.name,
            organizer_id: personal.from.map(|from| from.organizer.0),
            created_at: Time(found.created_at_ms),
        }
    }
}

/// Who may do this: whoever knows the password, too.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Erasure {
    /// Required of users with a password.
    #[schema(format = "password")]
    password: Option<String>,
}

/// Another password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PasswordChange)]
pub struct NewPassword {
    #[schema(format = "password")]
    current_password: String,
    #[schema(format = "password", min_length = 8, max_length = 256)]
    new_password: String,
}

/// What goes on of an erased user's is ended in a fraction of a second, unless the server has too much to do.
const ERASED_WITHIN: Duration = Duration::from_secs(5);

pub fn routes() -> Vec<Route> {
    routes![read, erase, change_password]
}

/// Who am I
#[utoipa::path(
    get, path = "/v1/me", tag = "users", operation_id = "me", security(("user" = [])),
    params(("If-None-Match" = Option<String>, Header)),
    responses(
        (status = 200, description = "The user's own data", body = Me, headers(("ETag" = String))),
        (status = 304, description = "Unchanged"),
        (status = 404, description = "`not-found`: the account is being erased", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn read(api: web::Data<Api>, user: User, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let accounts = api.state::<Accounts>()?;
    let done = accounts.engine.ask(user.account, account::Read).await?;
    let personal = personal(accounts, user.account, &done.answer.sealed).await?;
    let etag = etag(done.answer.version);
    match not_modified(&request, &etag) {
        Some(unchanged) => Ok(unchanged),
        None => Ok(Reply::ok().etag(etag).json(&Me::of(&done.answer, personal))),
    }
}

/// Change the password
///
/// Ends all sessions of the user; the answer carries a new one.
#[utoipa::path(
    put, path = "/v1/me/password", tag = "users", operation_id = "change_password", request_body = NewPassword,
    security(("user" = [])),
    responses(
        (status = 200, description = "Changed", body = SignedIn, headers(("Onsale-Position" = u64))),
        (status = 403, description = "`wrong-password`, `forbidden`", body = crate::kit::error::ProblemBody),
        (status = 409, description = "`no-password`: the user comes from an identity provider",
            body = crate::kit::error::ProblemBody),
    )
)]
pub async fn change_password(
    api: web::Data<Api>,
    user: User,
    body: Verbatim<NewPassword>,
) -> Result<HttpResponse, Problem> {
    let accounts = api.state::<Accounts>()?;
    let NewPassword { current_password, new_password } = body.0;
    check_password(&new_password).map_err(|problem| problem.about("new_password"))?;
    let begun_at_ms = accounts.clock.now();
    let was = account_of(accounts, user).await?;
    let mut personal = personal(accounts, user.account, &was.sealed).await?;
    let Some(stored) = personal.password.take() else {
        return Err(Problem::new(Kind::NoPassword, "Change it at the identity provider."));
    };
    check_current(accounts, current_password, stored).await?;
    let new = accounts.passwords.hash(new_password).await?;
    personal.password = Some(new);
    let sealed = seal_again(accounts, user.account, &personal).await?;
    let command =
        ChangePassword { user: user.user, was: was.sealed, sealed, ttl_ms: accounts.sessions_end_within_ms() };
    let Done { answer, position } = accounts.engine.ask(user.account, command).await?;
    let session: NewSession = new_session(accounts, user.account, &answer, begun_at_ms);
    Ok(Reply::ok().position(position).header(CACHE_CONTROL, "no-store").json(&SignedIn::of(session, answer.user)))
}

/// Erase the account
///
/// The key of everything that tells who the user is gets destroyed, and all sessions end. What is held is given up, every
/// queue is left, and the wallet is closed: nobody can charge it, hold places for the user, or pay. Paid reservations, points
/// and events stay, as those of somebody unknown. There is no way back; the same e-mail may sign up again, as another user.
#[utoipa::path(
    delete, path = "/v1/me", tag = "users", operation_id = "erase_me", request_body = Option<Erasure>,
    security(("user" = [])),
    responses(
        (status = 204, description = "Erased", headers(("Onsale-Position" = u64))),
        (status = 403, description = "`wrong-password`, `forbidden`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn erase(api: web::Data<Api>, user: User, body: OptionalVerbatim<Erasure>) -> Result<HttpResponse, Problem> {
    let accounts = api.state::<Accounts>()?;
    // First, so that a key that is made later for somebody else is not the one that is destroyed.
    let key = key_of(accounts, user.account);
    let found = account_of(accounts, user).await?;
    if let Some(key) = key? {
        if let Some(stored) = personal(accounts, user.account, &found.sealed).await?.password {
            let password = body.0.and_then(|body| body.password);
            let password =
                password.ok_or_else(|| Problem::invalid("password", "say it once more to erase the account"))?;
            check_current(accounts, password, stored).await?;
        }
        let (vault, account) = (accounts.vault.clone(), user.account);
        let erased = off_worker(move || vault.erase(account, key)).await?;
        erased.map_err(vault_failed)?;
    }
    let position = finish_erasure(accounts, user.account, user.user).await?;
    // It is recorded, and goes on whoever waits; once it is answered, all of it has happened.
    let _ = tokio::time::timeout(ERASED_WITHIN, accounts.engine.views().erasures().finished(user.user)).await;
    let reply = Reply::no_content();
    Ok(match position {
        Some(position) => reply.position(position).empty(),
        None => reply.empty(),
    })
}

/// The user's account; not somebody else's who has the e-mail by now.
async fn account_of(accounts: &Accounts, user: User) -> Result<Found, Problem> {
    let done = accounts::read(accounts, user.account).await?.filter(|done| done.answer.user == user.user);
    done.map(|done| done.answer).ok_or_else(|| UnknownAccount.into())
}

async fn check_current(accounts: &Accounts, password: String, stored: String) -> Result<(), Problem> {
    let wrong = || Problem::new(Kind::WrongPassword, "Nothing was changed.");
    if is_too_long(&password) {
        return Err(wrong());
    }
    let matches = accounts.passwords.matches(password, Some(stored)).await?;
    if matches { Ok(()) } else { Err(wrong()) }
}

async fn seal_again(accounts: &Accounts, account: AccountId, personal: &Personal) -> Result<String, Problem> {
    let plain = serde_json::to_vec(personal).expect("plain data");
    let vault = accounts.vault.clone();
    let sealed = off_worker(move || vault.seal_again(account, &plain)).await?;
    sealed.map_err(vault_failed)?.ok_or_else(|| UnknownAccount.into())
}
