//! Who asks: users by session token, organizers by secret key, the operator by the bootstrap key.

use super::error::{Kind, Problem};
use super::{Api, Shop};
use crate::config::{KEY_VERIFIED_TTL, KEYS_VERIFIED_MAX};
use crate::domain::{Fingerprint, organizer};
use crate::id::{AccountId, OrganizerId, UserId};
use crate::secrets::{self, BadToken, organizer_of};
use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{FromRequest, HttpRequest, web};
use futures_util::future::LocalBoxFuture;
use rustc_hash::FxHashMap;
use std::future::{Ready, ready};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// A user with a valid session.
#[derive(Clone, Copy, Debug)]
pub struct User {
    pub user: UserId,
    pub account: AccountId,
}

/// An organizer with a valid key.
#[derive(Clone, Copy, Debug)]
pub struct Organizer(pub OrganizerId);

/// The operator.
#[derive(Clone, Copy, Debug)]
pub struct Operator;

/// Anybody who is known here.
#[derive(Clone, Copy, Debug)]
pub enum Caller {
    User(User),
    Organizer(Organizer),
    Operator,
}

impl Caller {
    /// Who asks for what is another's: an organizer, or (`None`) the operator. Users do not.
    pub fn of_others(self) -> Result<Option<OrganizerId>, Problem> {
        match self {
            Caller::Operator => Ok(None),
            Caller::Organizer(Organizer(id)) => Ok(Some(id)),
            Caller::User(_) => Err(Problem::new(
                Kind::Forbidden,
                "This is for organizers and the operator: send a secret key (osk_… or opk_…).",
            )),
        }
    }
}

/// Organizer keys that were right a moment ago. Bounded, and believed for a moment only.
#[derive(Default)]
pub struct VerifiedKeys(Mutex<FxHashMap<Fingerprint, Instant>>);

impl VerifiedKeys {
    fn has(&self, hash: Fingerprint) -> bool {
        let keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.get(&hash).is_some_and(|at| at.elapsed() < KEY_VERIFIED_TTL)
    }

    fn put(&self, hash: Fingerprint) {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= KEYS_VERIFIED_MAX {
            keys.clear();
        }
        keys.insert(hash, Instant::now());
    }
}

fn credential(request: &HttpRequest) -> Result<&str, Problem> {
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

fn shop(request: &HttpRequest) -> Result<&Shop, Problem> {
    request.app_data::<web::Data<Api>>().ok_or_else(Problem::starting)?.shop()
}

/// The credential, when it is of the wanted kind.
fn credential_of(request: &HttpRequest, kind: secrets::Kind) -> Result<&str, Problem> {
    let credential = credential(request)?;
    let wanted = match kind {
        _ if secrets::Kind::of(credential) == kind => return Ok(credential),
        secrets::Kind::User => "This is for users: send a session token (ust_…) of POST /v1/sessions.",
        secrets::Kind::Organizer => "This is for organizers: send an organizer's secret key (osk_…).",
        secrets::Kind::Operator => "This is for the operator: send the operator's key (opk_…).",
    };
    // Something that is no credential of any kind does not deserve to be told what it lacks.
    match (kind, secrets::Kind::of(credential)) {
        (_, secrets::Kind::Operator) if !shop(request)?.operator.is(credential) => Err(bad_credential()),
        _ => Err(Problem::new(Kind::Forbidden, wanted)),
    }
}

fn bad_credential() -> Problem {
    Problem::new(Kind::Unauthenticated, "This token or key is not valid. Sign in again, or check the key.")
}

fn user(request: &HttpRequest) -> Result<User, Problem> {
    let token = credential_of(request, secrets::Kind::User)?;
    let shop = shop(request)?;
    match shop.secrets.check(token, shop.clock.now()) {
        Ok(session) => Ok(User { user: session.user, account: session.account }),
        Err(BadToken::Forged) => Err(bad_credential()),
        Err(BadToken::Expired) => {
            Err(Problem::new(Kind::TokenExpired, "Sign in again with POST /v1/sessions to get a new token."))
        }
    }
}

fn operator(request: &HttpRequest) -> Result<Operator, Problem> {
    let key = credential_of(request, secrets::Kind::Operator)?;
    if shop(request)?.operator.is(key) { Ok(Operator) } else { Err(bad_credential()) }
}

async fn organizer(request: HttpRequest) -> Result<Organizer, Problem> {
    let key = credential_of(&request, secrets::Kind::Organizer)?;
    let (id, hash) = organizer_of(key).ok_or_else(bad_credential)?;
    let shop = shop(&request)?;
    if shop.verified_keys.has(hash) {
        return Ok(Organizer(id));
    }
    use crate::actors::Failure;
    use organizer::Rejection::{UnknownOrganizer, WrongKey};
    match shop.engine.organizer(id, organizer::Command::Authenticate { hash }).await {
        Ok(_) => {
            shop.verified_keys.put(hash);
            Ok(Organizer(id))
        }
        Err(Failure::Rejected { rejection: UnknownOrganizer | WrongKey, .. }) => Err(bad_credential()),
        Err(failure) => Err(failure.into()),
    }
}

impl FromRequest for User {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(user(request))
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
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        Box::pin(organizer(request.clone()))
    }
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            match secrets::Kind::of(credential(&request)?) {
                secrets::Kind::User => user(&request).map(Caller::User),
                secrets::Kind::Organizer => organizer(request).await.map(Caller::Organizer),
                secrets::Kind::Operator => operator(&request).map(|_| Caller::Operator),
            }
        })
    }
}
