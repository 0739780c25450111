//! Users whom an organizer's identity provider vouches for: JSON Web Tokens (RFC 7519), checked against the provider's
//! public keys.
//!
//! - [`keys`]: key sets and signatures
//! - [`fetch`]: key sets from a URL
//! - [`source`]: a fetched set, kept fresh, and kept while the provider is away

mod fetch;
mod keys;
mod refused;
mod source;

use base::id::{AccountId, Millis, OrganizerId, QueueId, UserId};
use config::{IDENTITIES_VERIFIED_MAX, IDENTITY_TOKEN_CHARS_MAX, IDENTITY_TOKEN_LIFE_MS, JWKS_SOURCES_MAX};
use domain::Fingerprint;
use domain::organizer::Provided;
use domain::organizer::provider::{Algorithm, IdentityProvider, Jwks};
use domain::queue::VISITOR_CHARS_MAX;
use fetch::Fetcher;
use jsonwebtoken::{Validation, dangerous};
use keys::KeySet;
pub use keys::public_document;
pub use refused::Refused;
use rustc_hash::FxHashMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use source::Sources;
use std::sync::{Arc, Mutex, PoisonError};

/// How far the provider's clock may be off, s.
const LEEWAY_S: u64 = 60;
/// Characters of a subject. OpenID Connect Core, 2.
const SUBJECT_CHARS_MAX: usize = 255;
/// Characters of an e-mail and a name that are kept.
const EMAIL_CHARS_MAX: usize = 254;
const NAME_CHARS_MAX: usize = 200;

/// Checks tokens of identity providers.
pub struct Identities {
    sources: Sources,
    /// Sets that were given, read once: by organizer, with the provider's version.
    given: Mutex<FxHashMap<OrganizerId, (u64, Arc<KeySet>)>>,
    verified: Mutex<FxHashMap<Fingerprint, Verified>>,
}

/// What a provider says of a person.
#[derive(Clone, Debug, PartialEq)]
pub struct Person {
    pub subject: String,
    pub email: Option<String>,
    pub name: Option<String>,
    /// When the token was issued.
    pub begun_at_ms: Millis,
    /// Until when it is taken.
    pub expires_at_ms: Millis,
}

/// Whom an organizer lets join a queue.
#[derive(Clone, Debug, PartialEq)]
pub struct Invited {
    /// The organizer's own id of the person.
    pub subject: String,
    /// Fingerprint of the token's `jti`.
    pub token: Fingerprint,
}

/// A token that was right before, and whom it speaks for.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Verified {
    pub organizer: OrganizerId,
    /// Of the provider that it was checked against.
    pub version: u64,
    pub account: AccountId,
    pub user: UserId,
    pub begun_at_ms: Millis,
    pub expires_at_ms: Millis,
}

/// Whose token it claims to be.
pub struct Claimed {
    pub issuer: String,
    pub audiences: Vec<String>,
}

#[derive(Deserialize)]
struct ClaimedParts {
    iss: String,
    aud: Audience,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    exp: f64,
    iat: Option<f64>,
    email: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct JoinClaims {
    iss: String,
    aud: String,
    sub: String,
    jti: String,
}

/// What a token claims, nothing of which was checked.
pub fn claimed(token: &str) -> Option<Claimed> {
    if token.len() > IDENTITY_TOKEN_CHARS_MAX {
        return None;
    }
    let parts: ClaimedParts = dangerous::insecure_decode_claims(token).ok()?;
    let audiences = match parts.aud {
        Audience::One(one) => vec![one],
        Audience::Many(many) => many,
    };
    Some(Claimed { issuer: parts.iss, audiences })
}

/// What a token is remembered by.
pub fn token_hash(token: &str) -> Fingerprint {
    Fingerprint::of(&[b"identity token", token.as_bytes()])
}

impl Identities {
    /// `allow_private`: keys may be fetched from private addresses, and without TLS.
    pub fn new(allow_private: bool) -> Arc<Identities> {
        keys::use_ring();
        let sources = Sources::new(Fetcher::new(allow_private));
        Arc::new(Identities { sources, given: Mutex::default(), verified: Mutex::default() })
    }

    /// The error says what is wrong with the URL of a key set.
    pub fn check_url(&self, url: &str) -> Result<(), String> {
        self.sources.check_url(url)
    }

    /// Who a token speaks for according to the organizer's provider, at `now`.
    pub async fn verify(
        &self,
        organizer: OrganizerId,
        provided: &Provided,
        token: &str,
        now: Millis,
    ) -> Result<Person, Refused> {
        let provider = &provided.provider;
        let claims = self.decode(organizer, provided, token, &provider.audience, &["exp", "iss", "aud", "sub"]).await?;
        person(claims, provider, now)
    }

    /// Who may join a queue according to a token that its organizer has signed, with a key of its provider.
    pub async fn verify_join(
        &self,
        organizer: OrganizerId,
        provided: &Provided,
        token: &str,
        queue: QueueId,
    ) -> Result<Invited, Refused> {
        let audience = queue.to_string();
        let claims: JoinClaims = self.decode(organizer, provided, token, &audience, &["iss", "aud", "sub"]).await?;
        // Lists of either are none: it is for this queue alone.
        if claims.iss != provided.provider.issuer || claims.aud != audience {
            return Err(Refused::Invalid("its iss or aud is a list, or another one"));
        }
        let is_name = !claims.sub.trim().is_empty() && base::text::misleading(&claims.sub).is_none();
        if !is_name || claims.sub.chars().count() > VISITOR_CHARS_MAX {
            return Err(Refused::Invalid(
                "its sub is empty, has more than 128 characters, or some that cannot be seen",
            ));
        }
        if claims.jti.is_empty() || claims.jti.chars().count() > SUBJECT_CHARS_MAX {
            return Err(Refused::Invalid("its jti is empty or too long"));
        }
        let token = Fingerprint::of(&[b"join token", audience.as_bytes(), claims.jti.as_bytes()]);
        Ok(Invited { subject: claims.sub, token })
    }

    /// What a token claims that is signed with a key of the provider, by it, for `audience`, and in time.
    async fn decode<T: DeserializeOwned>(
        &self,
        organizer: OrganizerId,
        provided: &Provided,
        token: &str,
        audience: &str,
        required: &[&str],
    ) -> Result<T, Refused> {
        let provider = &provided.provider;
        if token.len() > IDENTITY_TOKEN_CHARS_MAX {
            return Err(Refused::Invalid("it is too long"));
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| Refused::Invalid("it is no JSON Web Token"))?;
        // RFC 7515, 4.1.11: who does not understand all that is named there must not take the token. Nothing is understood.
        if header.crit.is_some() {
            return Err(Refused::Invalid("its header has crit, and no extension is understood here"));
        }
        let taken = |algorithm: &&Algorithm| format!("{:?}", header.alg) == algorithm.as_str();
        let algorithm = provider.algorithms.iter().find(taken).copied();
        let algorithm = algorithm.ok_or(Refused::Invalid("it is signed with an algorithm that is not allowed"))?;
        let kid = header.kid.as_deref();
        let keys = match &provider.jwks {
            Jwks::Document(document) => self.given(organizer, provided.version, document)?,
            Jwks::Url(url) => self.sources.keys(url, kid).await?,
        };
        let mut validation = Validation::new(header.alg);
        validation.leeway = LEEWAY_S;
        validation.validate_nbf = true;
        validation.set_issuer(&[&provider.issuer]);
        validation.set_audience(&[audience]);
        validation.set_required_spec_claims(required);
        let mut why = Refused::Invalid("no key of the provider's is the one that it names");
        for key in keys.fitting(kid, algorithm) {
            match jsonwebtoken::decode::<T>(token, key, &validation) {
                Ok(decoded) => return Ok(decoded.claims),
                Err(error) => why = refused(&error),
            }
        }
        Err(why)
    }

    fn given(&self, organizer: OrganizerId, version: u64, document: &str) -> Result<Arc<KeySet>, Refused> {
        let known = || self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, keys)) = known().get(&organizer).filter(|(of, _)| *of == version) {
            return Ok(keys.clone());
        }
        let keys = KeySet::parse(document.as_bytes());
        let keys = Arc::new(keys.map_err(|_| Refused::Invalid("the provider has no usable keys"))?);
        let mut known = known();
        if known.len() >= JWKS_SOURCES_MAX {
            known.clear();
        }
        known.insert(organizer, (version, keys.clone()));
        Ok(keys)
    }

    /// Whom a token was found to speak for before, if that is still so.
    pub fn verified(&self, token: Fingerprint, now: Millis) -> Option<Verified> {
        let verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        verified.get(&token).copied().filter(|verified| now < verified.expires_at_ms)
    }

    /// Remembers whom a token speaks for.
    pub fn remember(&self, token: Fingerprint, person: Verified, now: Millis) {
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.len() >= IDENTITIES_VERIFIED_MAX {
            verified.retain(|_, verified| now < verified.expires_at_ms);
        }
        if verified.len() >= IDENTITIES_VERIFIED_MAX {
            verified.clear();
        }
        verified.insert(token, person);
    }
}

fn refused(error: &jsonwebtoken::errors::Error) -> Refused {
    use jsonwebtoken::errors::ErrorKind as E;
    Refused::Invalid(match error.kind() {
        E::ExpiredSignature => return Refused::Expired,
        E::ImmatureSignature => "it is not valid yet",
        E::InvalidIssuer => "its iss is another one than the provider's",
        E::InvalidAudience => "its aud is not for this",
        E::InvalidSignature => "its signature is wrong",
        _ => "it cannot be read, or a claim is missing (iss, aud, sub; exp and iat, or jti)",
    })
}

fn person(claims: Claims, provider: &IdentityProvider, now: Millis) -> Result<Person, Refused> {
    let leeway_ms = LEEWAY_S * 1000;
    // A list of issuers is none.
    if claims.iss != provider.issuer {
        return Err(Refused::Invalid("its iss is another one than the provider's"));
    }
    if claims.sub.is_empty() || claims.sub.chars().count() > SUBJECT_CHARS_MAX {
        return Err(Refused::Invalid("its sub is empty or too long"));
    }
    let begun_at_ms = ms(claims.iat.ok_or(Refused::Invalid("it lacks iat"))?);
    if begun_at_ms > now + leeway_ms {
        return Err(Refused::Invalid("it is not valid yet"));
    }
    // Sessions that were ended are remembered for a while only: nothing may outlive that.
    let expires_at_ms = (ms(claims.exp) + leeway_ms).min(begun_at_ms.saturating_add(IDENTITY_TOKEN_LIFE_MS));
    if now >= expires_at_ms {
        return Err(Refused::Expired);
    }
    let kept = |text: String, chars_max: usize| {
        let text = base::text::nfc(&text).into_owned();
        let fits = text.chars().count() <= chars_max && base::text::misleading(&text).is_none();
        Some(text).filter(|text| fits && !text.trim().is_empty())
    };
    Ok(Person {
        subject: claims.sub,
        email: claims.email.and_then(|email| kept(email, EMAIL_CHARS_MAX)),
        name: claims.name.and_then(|name| kept(name, NAME_CHARS_MAX)),
        begun_at_ms,
        expires_at_ms,
    })
}

/// Seconds since 1970, with or without fraction.
fn ms(seconds: f64) -> Millis {
    const LAST_S: f64 = 253_402_300_799.0;
    (seconds.clamp(0.0, LAST_S) * 1000.0) as Millis
}
