//! Users: sign up; and what is known of a person, sealed.

use super::email::Email;
use super::me::Me;
use super::sessions::{NewSession, new_session};
use crate::kit::body::Verbatim;
use crate::kit::error::{Kind, Problem};
use crate::kit::extract::IdempotencyKey;
use crate::kit::reply::Reply;
use crate::middleware::client_address::client_address;
use crate::{Api, Endpoint, Shop};
use actix_web::{HttpRequest, HttpResponse, web};
use base::id::{AccountId, OrganizerId, UserId};
use base::text;
use config::{PASSWORD_CHARS_MAX, PASSWORD_CHARS_MIN};
use domain::account::{self, Answer, Found};
use engine::{Done, Failure};
use security::vault::{KeySlot, KeyState};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

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

/// What is sealed with the account's own key.
#[derive(Serialize, Deserialize)]
pub struct Personal {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    pub name: Option<String>,
    /// argon2id, as a PHC string. Of who signed up here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Of who came from an organizer's identity provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Origin>,
}

/// Who somebody is at an identity provider.
#[derive(Serialize, Deserialize)]
pub struct Origin {
    pub organizer: OrganizerId,
    pub issuer: String,
    pub subject: String,
}

pub fn endpoint() -> Endpoint {
    Endpoint::at("/v1/users").sign_in().post(create)
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
        (status = 409, description = "`email-taken`", body = crate::ops::openapi::Problem),
        (status = 422, description = "`idempotency-key-reused`", body = crate::ops::openapi::Problem),
    )
)]
pub async fn create(
    api: web::Data<Api>,
    request: HttpRequest,
    key: IdempotencyKey,
    body: Verbatim<SignUp>,
) -> Result<HttpResponse, Problem> {
    let shop = api.shop()?;
    let SignUp { email, password, name } = body.0;
    let email = Email::new(&email)?;
    check_password(&password)?;
    let name = name.map(|name| text::nfc(name.trim()).into_owned()).filter(|name| !name.is_empty());
    let name_fits = |name: &str| name.chars().count() <= NAME_CHARS_MAX && text::misleading(name).is_none();
    if name.as_deref().is_some_and(|name| !name_fits(name)) {
        let reason = format!("must have at most {NAME_CHARS_MAX} characters and none that are invisible or of control");
        return Err(Problem::invalid("name", reason));
    }
    let (account, found) = account_of(shop, &email.keys).await?;
    let key = key.within(account.0.as_bytes());

    let begun_at_ms = shop.clock.now();
    // An e-mail that is taken costs neither a key nor a hash.
    if found.as_ref().is_some_and(|done| key.is_none() || done.answer.key != key) {
        return Err(account::Rejection::EmailTaken.into());
    }
    let (done, personal) = match found {
        Some(done) => (done, None),
        None => {
            let password = shop.passwords.hash(password.clone()).await.map_err(|_| Problem::overloaded())?;
            let personal =
                Personal { email: Some(email.shown), name: name.clone(), password: Some(password), from: None };
            let user = UserId(new_uuid(shop));
            let done = create_account(shop, account, user, &personal, key).await?;
            // Another request with the same key was quicker when the user is not the one made here.
            let personal = (done.answer.user == user).then_some(personal);
            (done, personal)
        }
    };
    let replayed = personal.is_none();
    let personal = match personal {
        Some(personal) => personal,
        None => same_person(shop, account, &done.answer.sealed, password, name).await?,
    };
    if let Some(address) = client_address(request.head(), &api.live.load().proxy_trusted) {
        api.limits.familiar.greet(account, address);
    }
    let Done { answer, position } = done;
    let session = new_session(shop, account, &answer, begun_at_ms);
    let signed_up = SignedUp { me: Me::of(&answer, personal), session };
    Ok(Reply::created("/v1/me").position(position).replayed(replayed).json(&signed_up))
}

/// The account that an e-mail has, or will have. One of before may have it under another key: each is looked at.
async fn account_of(shop: &Shop, keys: &[String]) -> Result<(AccountId, Option<Done<Found>>), Problem> {
    for key in keys {
        let account = shop.secrets.account(key);
        if let Some(found) = read_unerased(shop, account).await? {
            return Ok((account, Some(found)));
        }
    }
    Ok((shop.secrets.account(&keys[0]), None))
}

/// A repeated sign-up must be the same one: whoever knows the key alone gets no session.
async fn same_person(
    shop: &Shop,
    account: AccountId,
    sealed: &str,
    password: String,
    name: Option<String>,
) -> Result<Personal, Problem> {
    let personal = personal(shop, account, sealed).await?;
    let matches = shop.passwords.matches(password, personal.password.clone());
    if matches.await.map_err(|_| Problem::overloaded())? && personal.name == name {
        return Ok(personal);
    }
    Err(Problem::key_reused())
}

/// Creates an account with its wallet.
pub async fn create_account(
    shop: &Shop,
    account: AccountId,
    user: UserId,
    personal: &Personal,
    key: Option<domain::Fingerprint>,
) -> Result<Done<Found>, Problem> {
    let plain = serde_json::to_vec(personal).expect("plain data");
    let vault = shop.vault.clone();
    let sealed = web::block(move || vault.seal(account, &plain)).await.map_err(|_| Problem::overloaded())?;
    let sealed = sealed.map_err(vault_failed)?;
    found(shop.engine.account(account, account::Command::Create { user, sealed, key }).await?)
}

/// The account, if there is one.
pub async fn read(shop: &Shop, account: AccountId) -> Result<Option<Done<Found>>, Problem> {
    match shop.engine.account(account, account::Command::Read).await {
        Ok(done) => found(done).map(Some),
        Err(Failure::Rejected { rejection: account::Rejection::UnknownAccount, .. }) => Ok(None),
        Err(failure) => Err(failure.into()),
    }
}

/// The same; of an account whose key was destroyed the erasure is finished first, in case that a crash came between.
pub async fn read_unerased(shop: &Shop, account: AccountId) -> Result<Option<Done<Found>>, Problem> {
    let found = read(shop, account).await?;
    match found {
        Some(done) if key_of(shop, account)?.is_none() => {
            finish_erasure(shop, account, done.answer.user).await?;
            Ok(None)
        }
        found => Ok(found),
    }
}

/// The key of an account that is there; `None` when it was destroyed. That there never was one is no erasure.
pub fn key_of(shop: &Shop, account: AccountId) -> Result<Option<KeySlot>, Problem> {
    match shop.vault.key(account) {
        KeyState::There(key) => Ok(Some(key)),
        KeyState::Destroyed => Ok(None),
        KeyState::None => Err(vault_failed(std::io::Error::other(format!("no key of account {}", account.0)))),
    }
}

/// Records that an account's key was destroyed. Again without effect; gives the position.
pub async fn finish_erasure(
    shop: &Shop,
    account: AccountId,
    user: UserId,
) -> Result<Option<eventlog::Position>, Problem> {
    let command = account::Command::Erase { user, ttl_ms: shop.sessions_end_within_ms() };
    match shop.engine.account(account, command).await {
        Ok(done) => Ok(Some(done.position)),
        Err(Failure::Rejected { rejection: account::Rejection::UnknownAccount, .. }) => Ok(None),
        Err(failure) => Err(failure.into()),
    }
}

/// What an account that is there answers.
pub fn found(done: Done<Answer>) -> Result<Done<Found>, Problem> {
    match done.answer {
        Answer::Account(answer) => Ok(Done { answer, position: done.position }),
        Answer::Erased => Err(account::Rejection::UnknownAccount.into()),
    }
}

/// Opens what was sealed; gone once the account's key was destroyed.
pub async fn personal(shop: &Shop, account: AccountId, sealed: &str) -> Result<Personal, Problem> {
    let (vault, sealed) = (shop.vault.clone(), sealed.to_owned());
    let opened = web::block(move || vault.open_sealed(account, &sealed)).await.map_err(|_| Problem::overloaded())?;
    let opened = opened.map_err(vault_failed)?;
    opened.and_then(|bytes| serde_json::from_slice(&bytes).ok()).ok_or_else(|| Problem::not_found("account"))
}

/// The vault could not be read or written.
pub fn vault_failed(error: std::io::Error) -> Problem {
    tracing::error!(%error, "the vault cannot be used");
    Problem::log_unavailable()
}

/// A time-ordered id.
pub fn new_uuid(shop: &Shop) -> Uuid {
    let random: [u8; 10] = shop.ids.next().to_be_bytes()[..10].try_into().expect("16 bytes");
    uuid::Builder::from_unix_timestamp_millis(shop.clock.now(), &random).into_uuid()
}

/// Whether a password can be one: told by its characters in the form in which they are hashed.
pub fn check_password(password: &str) -> Result<(), Problem> {
    let reason = match text::opaque(password) {
        None if !password.is_empty() => {
            "must have letters, digits, punctuation, symbols and spaces only: none of its characters may be of control, \
             invisible or unknown to Unicode"
                .into()
        }
        form => match form.map_or(0, |form| form.chars().count()) {
            PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX => return Ok(()),
            _ => format!("must have {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters"),
        },
    };
    Err(Problem::new(Kind::InvalidRequest, format!("password: {reason}")).with("field", "password"))
}

/// Whether a password is longer than any is, in the form in which it is hashed and as it was typed.
pub fn is_too_long(password: &str) -> bool {
    const TYPED_BYTES_MAX: usize = 16 * PASSWORD_CHARS_MAX;
    let too_long = |text: &str| text.chars().count() > PASSWORD_CHARS_MAX;
    too_long(password)
        && (password.len() > TYPED_BYTES_MAX || text::opaque(password).is_none_or(|form| too_long(&form)))
}
