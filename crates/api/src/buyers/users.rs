//! Users: sign up.

use super::email::Email;
use super::me::Me;
use super::passwords::check_password;
use super::sessions::{NewSession, new_session};
use crate::Api;
use crate::auth::accounts::{Accounts, Personal, create_account, personal, read_unerased};
use crate::kit::body::Verbatim;
use crate::kit::error::Problem;
use crate::kit::extract::IdempotencyKey;
use crate::kit::reply::Reply;
use crate::middleware::client_address::client_address;
use crate::route::{Route, routes};
use crate::state::new_uuid;
use actix_web::{HttpRequest, HttpResponse, web};
use base::id::{AccountId, UserId};
use base::text;
use domain::account::Found;
use domain::process::sign_up;
use engine::Done;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Characters of a person's name.
const NAME_CHARS_MAX: usize = 200;

/// Who signs up.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignUp {
    /// Unique, whatever its case, and however its domain is written: `x@bücher.de` is `X@xn--bcher-kva.de`.
    #[schema(format = "email", max_length = 254, examples("ada@example.com"))]
    email: String,
    #[schema(format = "password", min_length = 8, max_length = 256)]
    password: String,
    #[schema(max_length = 200)]
    name: Option<String>,
}

/// A new user, signed in.
#[derive(Serialize, ToSchema)]
pub struct SignedUp {
    #[serde(flatten)]
    me: Me,
    session: NewSession,
}

pub fn routes() -> Vec<Route> {
    routes![create.sign_in()]
}

/// Sign up
///
/// The answer carries a session, so that no second request is needed.
#[utoipa::path(
    post, path = "/v1/users", tag = "users", operation_id = "sign_up", request_body = SignUp,
    params(("Idempotency-Key" = Option<String>, Header, description = "8 to 255 visible ASCII characters")),
    responses(
        (status = 201, description = "Signed up", body = SignedUp, headers(
            ("Location" = String), ("Onsale-Position" = u64), ("Idempotency-Replayed" = bool))),
        (status = 409, description = "`email-taken`", body = crate::kit::error::ProblemBody),
        (status = 422, description = "`idempotency-key-reused`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn create(
    api: web::Data<Api>,
    request: HttpRequest,
    key: IdempotencyKey,
    body: Verbatim<SignUp>,
) -> Result<HttpResponse, Problem> {
    let handle = api.state::<Accounts>()?;
    let SignUp { email, password, name } = body.0;
    let email = Email::new(&email)?;
    check_password(&password)?;
    let name = name.map(|name| text::nfc(name.trim()).into_owned()).filter(|name| !name.is_empty());
    let name_fits = |name: &str| name.chars().count() <= NAME_CHARS_MAX && text::misleading(name).is_none();
    if name.as_deref().is_some_and(|name| !name_fits(name)) {
        let reason = format!("must have at most {NAME_CHARS_MAX} characters and none that are invisible or of control");
        return Err(Problem::invalid("name", reason));
    }
    let (account, found) = account_of(handle, &email.keys).await?;
    let key = key.within(account.0.as_bytes());

    let begun_at_ms = handle.clock.now();
    // An e-mail that is taken costs neither a key nor a hash.
    if found.as_ref().is_some_and(|done| key.is_none() || done.answer.key != key) {
        return Err(sign_up::Rejection::EmailTaken.into());
    }
    let (done, personal) = match found {
        Some(done) => (done, None),
        None => {
            let password = handle.passwords.hash(password.clone()).await?;
            let personal =
                Personal { email: Some(email.shown), name: name.clone(), password: Some(password), from: None };
            let user = UserId(new_uuid(&*handle.ids, handle.clock.now()));
            let done = create_account(handle, account, user, &personal, key).await?;
            // Another request with the same key was quicker when the user is not the one made here.
            let personal = (done.answer.user == user).then_some(personal);
            (done, personal)
        }
    };
    let replayed = personal.is_none();
    let personal = match personal {
        Some(personal) => personal,
        None => same_person(handle, account, &done.answer.sealed, password, name).await?,
    };
    if let Some(address) = client_address(request.head(), &api.live.load().proxy_trusted) {
        api.limits.known_addresses.greet(account, address);
    }
    let Done { answer, position } = done;
    let session = new_session(handle, account, &answer, begun_at_ms);
    let signed_up = SignedUp { me: Me::of(&answer, personal), session };
    Ok(Reply::created("/v1/me").position(position).replayed(replayed).json(&signed_up))
}

/// The account that an e-mail has, or will have. One of before may have it under another key: each is looked at.
async fn account_of(handle: &Accounts, keys: &[String]) -> Result<(AccountId, Option<Done<Found>>), Problem> {
    for key in keys {
        let account = handle.secrets.account(key);
        if let Some(found) = read_unerased(handle, account).await? {
            return Ok((account, Some(found)));
        }
    }
    Ok((handle.secrets.account(&keys[0]), None))
}

/// A repeated sign-up must be the same one: whoever knows the key alone gets no session.
async fn same_person(
    handle: &Accounts,
    account: AccountId,
    sealed: &str,
    password: String,
    name: Option<String>,
) -> Result<Personal, Problem> {
    let personal = personal(handle, account, sealed).await?;
    let matches = handle.passwords.matches(password, personal.password.clone());
    if matches.await? && personal.name == name {
        return Ok(personal);
    }
    Err(Problem::key_reused())
}
