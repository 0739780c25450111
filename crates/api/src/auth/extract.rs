//! Who asks: users by session token or by a token of an identity provider, organizers by secret key, the operator by the
//! bootstrap key.

use super::accounts::Accounts;
use super::caller::{Caller, Current, Operator, Organizer, OrganizerKey, User, bad_credential, session_ended};
use super::idp_sign_in;
use crate::Api;
use crate::kit::error::{Kind, Problem};
use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{FromRequest, HttpRequest, web};
use domain::organizer;
use futures_util::future::{Either, LocalBoxFuture};
use security::secrets::{self, BadToken, Session, organizer_of};
use std::future::{Ready, ready};

pub fn credential(request: &HttpRequest) -> Result<&str, Problem> {
    let value = request.headers().get(AUTHORIZATION).ok_or_else(|| {
        Problem::new(Kind::Unauthenticated, "Send a token or key in the header Authorization: Bearer …")
    })?;
    let value = value.to_str().unwrap_or_default();
    match value.split_at_checked("bearer ".len()) {
        Some((scheme, credential)) if scheme.eq_ignore_ascii_case("bearer ") && !credential.trim().is_empty() => {
            Ok(credential.trim())
        }
        _ => {
            Err(Problem::new(Kind::Unauthenticated, "The Authorization header must read: Bearer, a space, the token."))
        }
    }
}

fn accounts(request: &HttpRequest) -> Result<&Accounts, Problem> {
    request.app_data::<web::Data<Api>>().ok_or_else(Problem::starting)?.state::<Accounts>()
}

/// The credential, when it is of the wanted kind.
fn credential_of(request: &HttpRequest, kind: secrets::Kind) -> Result<&str, Problem> {
    let credential = credential(request)?;
    let wanted = match kind {
        _ if secrets::Kind::of(credential) == kind => return Ok(credential),
        secrets::Kind::User | secrets::Kind::Identity => {
            "This is for users: send a session token (ust_…) of POST /v1/sessions."
        }
        secrets::Kind::Organizer => "This is for organizers: send an organizer's secret key (osk_…).",
        secrets::Kind::Waiting => "This is for people in a queue: send a waiting token (wqt_…).",
        secrets::Kind::Operator => "This is for the operator: send the operator's key (opk_…).",
    };
    // Something that is no credential of any kind does not deserve to be told what it lacks.
    match (kind, secrets::Kind::of(credential)) {
        (_, secrets::Kind::Operator) if !accounts(request)?.operator.is(credential) => Err(bad_credential()),
        _ => Err(Problem::new(Kind::Forbidden, wanted)),
    }
}

/// By a session token. The way of every hold: no allocation, no lock unless sessions were ended lately.
fn session(request: &HttpRequest) -> Result<Session, Problem> {
    let token = credential_of(request, secrets::Kind::User)?;
    let accounts = accounts(request)?;
    let now = accounts.clock.now();
    let session = match accounts.secrets.check(token, now) {
        // A life that was set shorter since holds for the sessions that are there, too.
        Ok(session) if session.expires_at_ms <= session.begun_at_ms.saturating_add(accounts.session_ttl_ms) => session,
        Ok(_) | Err(BadToken::Expired) => {
            return Err(Problem::new(Kind::TokenExpired, "Sign in again with POST /v1/sessions to get a new token."));
        }
        Err(BadToken::Forged) => return Err(bad_credential()),
    };
    let ended = accounts.engine.views().sessions();
    match ended.has(session.account, session.begun_at_ms, now, || session.fingerprint()) {
        false => Ok(session),
        true => Err(session_ended()),
    }
}

fn user(request: &HttpRequest) -> Result<User, Problem> {
    session(request).map(|session| User { user: session.user, account: session.account })
}

/// By a token of an identity provider.
async fn identity(request: HttpRequest) -> Result<Current, Problem> {
    let token = credential_of(&request, secrets::Kind::Identity)?;
    idp_sign_in::current(accounts(&request)?, token).await
}

/// The session of whoever asks.
pub async fn current(request: HttpRequest) -> Result<Current, Problem> {
    if is_identity(&request) {
        return identity(request).await;
    }
    let session = session(&request)?;
    Ok(Current {
        user: User { user: session.user, account: session.account },
        session: session.fingerprint(),
        begun_at_ms: session.begun_at_ms,
        expires_at_ms: session.expires_at_ms,
        provider: None,
    })
}

fn is_identity(request: &HttpRequest) -> bool {
    credential(request).is_ok_and(|credential| secrets::Kind::of(credential) == secrets::Kind::Identity)
}

fn operator(request: &HttpRequest) -> Result<Operator, Problem> {
    let key = credential_of(request, secrets::Kind::Operator)?;
    if accounts(request)?.operator.is(key) { Ok(Operator) } else { Err(bad_credential()) }
}

pub fn organizer(request: &HttpRequest) -> Result<OrganizerKey, Problem> {
    let text = credential_of(request, secrets::Kind::Organizer)?;
    let (organizer, hash) = organizer_of(text).ok_or_else(bad_credential)?;
    let accounts = accounts(request)?;
    let key = accounts.engine.views().tenants().key(hash).filter(|key| key.organizer == organizer);
    let key = key.ok_or_else(bad_credential)?;
    let at_ms = accounts.clock.now();
    if key.note_use(at_ms) {
        // Nobody waits for it. When it is lost, the next hour's use is recorded.
        let (engine, key_id) = (accounts.engine.clone(), key.key_id);
        actix_web::rt::spawn(async move {
            let _ = engine.ask(organizer, organizer::NoteUse { key_id, at_ms }).await;
        });
    }
    Ok(OrganizerKey { organizer, key_id: key.key_id, hash })
}

impl FromRequest for User {
    type Error = Problem;
    type Future = Either<Ready<Result<Self, Problem>>, LocalBoxFuture<'static, Result<Self, Problem>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        if is_identity(request) {
            let identity = identity(request.clone());
            return Either::Right(Box::pin(async move { identity.await.map(|current| current.user) }));
        }
        Either::Left(ready(user(request)))
    }
}

impl FromRequest for Current {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        Box::pin(current(request.clone()))
    }
}

impl FromRequest for Operator {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(operator(request))
    }
}

impl FromRequest for Organizer {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(organizer(request).map(|key| Organizer(key.organizer)))
    }
}

impl FromRequest for OrganizerKey {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(organizer(request))
    }
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            match secrets::Kind::of(credential(&request)?) {
                secrets::Kind::User | secrets::Kind::Waiting => user(&request).map(Caller::User),
                secrets::Kind::Identity => identity(request).await.map(|current| Caller::User(current.user)),
                secrets::Kind::Organizer => organizer(&request).map(|key| Caller::Organizer(Organizer(key.organizer))),
                secrets::Kind::Operator => operator(&request).map(|_| Caller::Operator),
            }
        })
    }
}
