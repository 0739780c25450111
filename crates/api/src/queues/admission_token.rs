//! Admissions: the signed word that it is somebody's turn.

use crate::kit::error::{Kind, Problem};
use crate::kit::time::Time;
use actix_web::HttpRequest;
use base::clock::Clock;
use base::id::{PerformanceId, QueueId, UserId};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::queue::admitted::Session;
use domain::queue::{Claim, EntryRejection, FinishUser};
use engine::views::queues::{Gate, QueueView};
use engine::{Engine, Failure};
use rustc_hash::FxHashMap;
use security::secrets::waiting::Waiting;
use security::signing::{BadAdmission, Claims, Keyring};
use serde::Serialize;
use std::sync::{Arc, Mutex, PoisonError};
use utoipa::ToSchema;

/// Where the token is put on its way to the site.
pub const REDIRECT_PARAMETER: &str = "onsale_admission";
/// The header that holds one.
pub const HEADER: &str = "Onsale-Admission";
/// A token says that it was issued so long before the admission, s: those who check it have clocks of their own, and some
/// libraries refuse what was issued a second from now.
const EARLIER_S: u64 = 30;
/// Characters of a token: longer ones are none of ours.
const TOKEN_CHARS_MAX: usize = 2_048;
/// Admissions that were found right and are not checked again.
pub const VERIFIED_MAX: usize = 65_536;

/// It is your turn.
#[derive(Serialize, ToSchema)]
pub struct Admission {
    /// A JSON Web Token (EdDSA, `typ` `admission+jwt`), checked by `/.well-known/jwks.json`: `aud` is the queue, `sub` you,
    /// `jti` the entry, `pos` the how-manieth you are.
    token: String,
    /// Come before then: claim it, or book.
    expires_at: Time,
    /// Where to go, with the token in the query; null when the queue sends people nowhere.
    pub(crate) redirect_url: Option<String>,
}

/// What admissions are signed and checked with.
pub struct Admissions {
    pub engine: Engine,
    pub clock: Arc<dyn Clock>,
    pub keyring: Arc<Keyring>,
    pub verified: Verified,
    /// Who signs: `iss`.
    pub issuer: String,
}

/// Tokens that were found right, by the hash of their bytes.
#[derive(Default)]
pub struct Verified(Mutex<FxHashMap<[u8; 32], Arc<Claims>>>);

/// The admission that a session began with: the same bytes each time.
pub fn of(handle: &Admissions, view: &QueueView, waiting: Waiting, session: &Session) -> Option<Admission> {
    let claims = Claims {
        iss: handle.issuer.clone(),
        aud: view.id.to_string(),
        sub: session.subject.to_string(),
        jti: waiting.entry.to_string(),
        iat: (session.machine_ms / 1_000).saturating_sub(EARLIER_S),
        nbf: (session.machine_ms / 1_000).saturating_sub(EARLIER_S),
        // Rather a moment late than early: whoever is told a time may come until then.
        exp: session.claim_until_ms.div_ceil(1_000),
        pos: session.number,
    };
    let token = handle.keyring.sign(&claims, session.admitted_at_ms)?;
    let redirect = view.look(|live| {
        let urls = &live.facts()?.terms.redirect_urls;
        let asked = urls.iter().find(|url| Waiting::fingerprint(url) == waiting.redirect);
        asked.or(urls.first()).cloned()
    });
    let redirect_url = redirect.map(|url| with_token(&url, &token));
    Some(Admission { token, expires_at: Time(session.claim_until_ms), redirect_url })
}

/// A redirect URL with the token: in the place of one that is there already, or the site would have to choose.
fn with_token(url: &str, token: &str) -> String {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let is_other = |pair: &&str| {
        let name = form_urlencoded::parse(pair.as_bytes()).next().map(|(name, _)| name);
        name.is_some_and(|name| name != REDIRECT_PARAMETER)
    };
    let mut with = format!("{path}?");
    for pair in query.split('&').filter(is_other) {
        with.push_str(pair);
        with.push('&');
    }
    with.push_str(REDIRECT_PARAMETER);
    with.push('=');
    with.push_str(token);
    with
}

/// Whether a credential claims to be an admission, and not a token of an identity provider.
pub fn is_one(credential: &str) -> bool {
    let header = credential.split('.').next().unwrap_or_default();
    let header = URL_SAFE_NO_PAD.decode(header).unwrap_or_default();
    let header: serde_json::Value = serde_json::from_slice(&header).unwrap_or_default();
    header["typ"] == "admission+jwt"
}

/// What an admission to this queue says; refused when it is not ours, of another queue, or too old to be one that a
/// session lives by.
pub fn checked(handle: &Admissions, queue: QueueId, token: &str) -> Result<Arc<Claims>, Problem> {
    let claims = handle.verified.check(handle, token)?;
    if claims.aud != queue.to_string() || claims.iss != handle.issuer {
        return Err(bad("It is of another queue."));
    }
    Ok(claims)
}

fn bad(what: &'static str) -> Problem {
    Problem::new(Kind::BadAdmission, what)
}

impl Verified {
    fn check(&self, handle: &Admissions, token: &str) -> Result<Arc<Claims>, Problem> {
        if token.len() > TOKEN_CHARS_MAX {
            return Err(bad("It was not signed here, or was altered."));
        }
        let hash = *blake3::hash(token.as_bytes()).as_bytes();
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(claims) = known().get(&hash).cloned() {
            return Ok(claims);
        }
        let claims = handle.keyring.check(token, handle.clock.now()).map_err(|refused| match refused {
            BadAdmission::Forged => bad("It was not signed here, or was altered."),
            BadAdmission::Retired => bad("It is signed with a key that is retired: it is much too old."),
        })?;
        let claims = Arc::new(claims);
        let mut known = known();
        if known.len() >= VERIFIED_MAX {
            known.clear();
        }
        known.insert(hash, claims.clone());
        Ok(claims)
    }
}

/// Lets a user hold places of a performance: of one behind a queue only who is admitted.
pub async fn pass_gate(
    handle: &Admissions,
    performance: PerformanceId,
    user: UserId,
    request: &HttpRequest,
) -> Result<(), Problem> {
    match handle.engine.views().gate_of(performance) {
        None => Ok(()),
        Some(queue) => pass(handle, queue, user, in_header(request)).await,
    }
}

/// A user has bought: their session is over, if the queue says so. Again is once.
pub async fn note_purchase(handle: &Admissions, performance: PerformanceId, user: UserId) -> Result<(), Problem> {
    let Some(queue) = handle.engine.views().gate_of(performance) else { return Ok(()) };
    let Some(view) = handle.engine.views().queues().get(queue) else { return Ok(()) };
    if view.look(|live| live.facts().is_some_and(|facts| facts.terms.purchase_completes)) {
        handle.engine.ask(queue, FinishUser { user }).await?;
    }
    Ok(())
}

/// Lets a user book where only admitted people may. `token` is the admission, if one was sent: then it must be theirs.
async fn pass(handle: &Admissions, queue: QueueId, user: UserId, token: Option<&str>) -> Result<(), Problem> {
    let now = handle.clock.now();
    if let Some(token) = token {
        let claims = checked(handle, queue, token)?;
        if claims.sub != user.to_string() {
            return Err(bad("It is another user's."));
        }
    }
    let view = handle.engine.views().queues().get(queue).ok_or_else(|| not_admitted(queue))?;
    match view.gate(user, now) {
        Gate::Active => Ok(()),
        Gate::Admitted { ticket } => claim(handle, queue, ticket).await,
        Gate::Shut => Err(not_admitted(queue)),
    }
}

/// The first use of an admission.
async fn claim(handle: &Admissions, queue: QueueId, ticket: u32) -> Result<(), Problem> {
    match handle.engine.ask(queue, Claim { ticket }).await {
        Ok(_) => Ok(()),
        Err(Failure::Rejected { rejection: EntryRejection::WrongStanding { .. }, .. }) => Err(not_admitted(queue)),
        Err(failure) => Err(failure.into()),
    }
}

/// It is not, or not any more, the user's turn.
pub fn not_admitted(queue: QueueId) -> Problem {
    Problem::new(Kind::NotAdmitted, "Wait in the queue: join it, and book when it is your turn.")
        .with("queue_id", queue.to_string())
        .with("queue", format!("/v1/queues/{queue}/entries"))
}

/// The admission in a request's header.
fn in_header(request: &HttpRequest) -> Option<&str> {
    request.headers().get(HEADER).map(|value| value.to_str().unwrap_or("?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_url_has_one_admission() {
        let table = [
            ("https://a.example", "https://a.example?onsale_admission=T"),
            ("https://a.example/", "https://a.example/?onsale_admission=T"),
            ("https://a.example/?", "https://a.example/?onsale_admission=T"),
            ("https://a.example/?x=1&y", "https://a.example/?x=1&y&onsale_admission=T"),
            ("https://a.example/?x=%26&", "https://a.example/?x=%26&onsale_admission=T"),
            ("https://a.example/?onsale_admission=mine", "https://a.example/?onsale_admission=T"),
            ("https://a.example/?onsale_admission&x=1", "https://a.example/?x=1&onsale_admission=T"),
            ("https://a.example/?x=1&%6Fnsale%5fadmission=mine&x=2", "https://a.example/?x=1&x=2&onsale_admission=T"),
            ("https://a.example/?my_onsale_admission=1", "https://a.example/?my_onsale_admission=1&onsale_admission=T"),
            ("https://a.example/?x=onsale_admission", "https://a.example/?x=onsale_admission&onsale_admission=T"),
        ];
        for (url, redirect) in table {
            assert_eq!(with_token(url, "T"), redirect);
        }
    }
}
