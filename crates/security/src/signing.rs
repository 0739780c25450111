//! Keys that sign admissions (Ed25519), so that anybody can check one by `/.well-known/jwks.json`: the current one, the
//! next one, which is published long before it signs, and those that signed until lately.
//!
//! Which key signs depends on the instant of the admission alone, so that a token is made of the same bytes whenever it is
//! asked for.

use arc_swap::ArcSwap;
use base::id::Millis;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use eventlog::data_folder::checks::Checks;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// In the data folder.
pub(crate) const FILE: &str = "signing-keys";
/// A key that does not sign any more is published for so long, ms: longer than an admission lives.
const KEPT_MS: Millis = 3_600_000;
/// The next key begins to sign after so long, ms: whoever signs has heard of it by then.
const AHEAD_MS: Millis = 1_000;

/// What it means to do without the file.
const WITHOUT: &str = "new keys are made then, and admissions that are under way have to be fetched again";

/// The keys. Cheap to ask.
pub struct Keyring {
    checks: Arc<Checks>,
    keys: ArcSwap<Vec<Key>>,
    rotating: Mutex<()>,
}

/// One key.
struct Key {
    stored: Stored,
    pair: Ed25519KeyPair,
    kid: String,
}

#[derive(Clone, Serialize, Deserialize)]
struct Stored {
    /// Its 32 secret bytes.
    seed: String,
    /// Since when it signs; the next one not yet.
    from_ms: Option<Millis>,
    /// Until when it signed.
    until_ms: Option<Millis>,
}

/// A key as it is listed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    pub kid: String,
    pub from_ms: Option<Millis>,
    pub until_ms: Option<Millis>,
}

/// What a signed token says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Claims {
    pub iss: String,
    /// The queue.
    pub aud: String,
    /// Who it is: the user's id, the organizer's id of the visitor, or the entry's id.
    pub sub: String,
    /// The entry.
    pub jti: String,
    /// Seconds since 1970.
    pub iat: u64,
    pub nbf: u64,
    pub exp: u64,
    /// Counts admissions of the queue from 1.
    pub pos: u32,
}

/// Why a token is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadAdmission {
    /// Not signed by us, altered, or of another kind.
    Forged,
    /// Signed with a key that is retired.
    Retired,
}

/// `typ` of an admission's header.
const TYP: &str = "admission+jwt";

#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

impl Keyring {
    /// Refuses keys that are not those that were here.
    pub fn check_file(checks: &Checks) -> io::Result<()> {
        checks.read(FILE, WITHOUT).map(drop)
    }

    /// Reads the keys, or makes them.
    pub fn open(checks: &Arc<Checks>) -> io::Result<Keyring> {
        let damaged = |what: &str| checks.refuse(FILE, &format!("is damaged ({what})"), WITHOUT);
        let keys = match checks.read(FILE, WITHOUT)?.map(|bytes| (parse(&bytes), bytes)) {
            Some((Ok(keys), bytes)) => {
                checks.note(FILE, &bytes)?;
                keys
            }
            Some((Err(what), _)) if !checks.is_accepted(FILE) => return Err(damaged(&what)),
            _ => {
                let stored = vec![Stored::new(Some(0)), Stored::new(None)];
                checks.write(FILE, &render(&stored))?;
                keys_of(stored).map_err(|what| damaged(&what))?
            }
        };
        Ok(Keyring { checks: checks.clone(), keys: ArcSwap::from_pointee(keys), rotating: Mutex::default() })
    }

    /// The next key is to sign, and a new one is next. No token that is valid becomes invalid by that.
    pub fn rotate(&self, now: Millis) -> io::Result<Vec<Listed>> {
        let _one_at_a_time = self.rotating.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = self.keys.load_full();
        let at = now + AHEAD_MS;
        let mut stored: Vec<Stored> = keys.iter().map(|key| key.stored.clone()).collect();
        for key in &mut stored {
            match key {
                Stored { from_ms: Some(_), until_ms: until_ms @ None, .. } => *until_ms = Some(at),
                Stored { from_ms: from_ms @ None, .. } => *from_ms = Some(at),
                _ => {}
            }
        }
        stored.retain(|key| key.until_ms.is_none_or(|until| now < until + KEPT_MS));
        stored.push(Stored::new(None));
        // On disk first: a token must not be signed by a key that a crash could take away.
        self.checks.write(FILE, &render(&stored))?;
        self.keys.store(Arc::new(keys_of(stored).map_err(io::Error::other)?));
        Ok(self.list(now))
    }

    /// The keys that are published at `now`.
    pub fn list(&self, now: Millis) -> Vec<Listed> {
        let keys = self.keys.load();
        let published = keys.iter().filter(|key| key.is_published(now));
        published
            .map(|key| Listed { kid: key.kid.clone(), from_ms: key.stored.from_ms, until_ms: key.stored.until_ms })
            .collect()
    }

    /// The JSON Web Key Set (RFC 7517, RFC 8037).
    pub fn jwks(&self, now: Millis) -> Value {
        let keys = self.keys.load();
        let published = keys.iter().filter(|key| key.is_published(now));
        let keys: Vec<Value> = published.map(Key::jwk).collect();
        json!({ "keys": keys })
    }

    /// A signed token (RFC 7515, compact) of an admission at `admitted_at_ms`: the same bytes each time.
    pub fn sign(&self, claims: &Claims, admitted_at_ms: Millis) -> Option<String> {
        let keys = self.keys.load();
        let key = keys.iter().find(|key| key.signs_at(admitted_at_ms))?;
        let header = format!(r#"{{"alg":"EdDSA","typ":"{TYP}","kid":"{}"}}"#, key.kid);
        let mut token = String::with_capacity(512);
        URL_SAFE_NO_PAD.encode_string(header, &mut token);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(claims).expect("plain data"), &mut token);
        let signature = key.pair.sign(token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Some(token)
    }

    /// What a token says, if one of the published keys signed it. Whether it is still valid is another question.
    pub fn check(&self, token: &str, now: Millis) -> Result<Claims, BadAdmission> {
        let (signed, signature) = token.rsplit_once('.').ok_or(BadAdmission::Forged)?;
        let (header, claims) = signed.split_once('.').ok_or(BadAdmission::Forged)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| BadAdmission::Forged);
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| BadAdmission::Forged)?;
        // The key says how it signs, not the token.
        if header.alg != "EdDSA" || header.typ != TYP {
            return Err(BadAdmission::Forged);
        }
        let keys = self.keys.load();
        let key = keys.iter().find(|key| key.kid == header.kid).ok_or(BadAdmission::Forged)?;
        let public = UnparsedPublicKey::new(&ED25519, key.pair.public_key());
        public.verify(signed.as_bytes(), &decode(signature)?).map_err(|_| BadAdmission::Forged)?;
        let claims: Claims = serde_json::from_slice(&decode(claims)?).map_err(|_| BadAdmission::Forged)?;
        if key.is_published(now) { Ok(claims) } else { Err(BadAdmission::Retired) }
    }
}

impl Stored {
    fn new(from_ms: Option<Millis>) -> Stored {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).expect("the operating system gives random bytes");
        Stored { seed: URL_SAFE_NO_PAD.encode(seed), from_ms, until_ms: None }
    }
}

impl Key {
    fn of(stored: Stored) -> Result<Key, &'static str> {
        let seed = URL_SAFE_NO_PAD.decode(&stored.seed).map_err(|_| "a key is no base64")?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| "a key has not 32 bytes")?;
        // RFC 7638: the key's thumbprint.
        let x = URL_SAFE_NO_PAD.encode(pair.public_key());
        let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        let kid = URL_SAFE_NO_PAD.encode(ring::digest::digest(&ring::digest::SHA256, canonical.as_bytes()));
        Ok(Key { stored, pair, kid })
    }

    fn is_current(&self) -> bool {
        self.stored.from_ms.is_some() && self.stored.until_ms.is_none()
    }

    fn is_published(&self, now: Millis) -> bool {
        self.stored.until_ms.is_none_or(|until| now < until + KEPT_MS)
    }

    fn signs_at(&self, at: Millis) -> bool {
        self.stored.from_ms.is_some_and(|from| from <= at) && self.stored.until_ms.is_none_or(|until| at < until)
    }

    fn jwk(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.pair.public_key());
        json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": self.kid, "x": x})
    }
}

fn render(keys: &[Stored]) -> Vec<u8> {
    serde_json::to_vec_pretty(keys).expect("plain data")
}

fn parse(bytes: &[u8]) -> Result<Vec<Key>, String> {
    let keys = keys_of(serde_json::from_slice(bytes).map_err(|error| error.to_string())?)?;
    match keys.iter().any(Key::is_current) && keys.iter().any(|key| key.stored.from_ms.is_none()) {
        true => Ok(keys),
        false => Err("it needs a current and a next key".into()),
    }
}

fn keys_of(stored: Vec<Stored>) -> Result<Vec<Key>, String> {
    stored.into_iter().map(|stored| Key::of(stored).map_err(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(data: &std::path::Path) -> io::Result<Keyring> {
        Keyring::open(&Arc::new(Checks::open(data).unwrap()))
    }

    fn claims() -> Claims {
        let (aud, sub, jti) = ("queue".into(), "user".into(), "entry".into());
        Claims { iss: "onsale".into(), aud, sub, jti, iat: 1, nbf: 1, exp: 300, pos: 7 }
    }

    #[test]
    fn tokens_are_the_same_each_time_and_outlive_rotations_and_restarts() {
        let data = tempfile::tempdir().unwrap();
        let keyring = open(data.path()).unwrap();
        let token = keyring.sign(&claims(), 1_000).unwrap();
        assert_eq!(keyring.check(&token, 1_000), Ok(claims()));
        let next = keyring.list(1_000)[1].kid.clone();
        keyring.rotate(2_000).unwrap();
        let reopened = open(data.path()).unwrap();
        for keyring in [&keyring, &reopened] {
            assert_eq!(keyring.sign(&claims(), 1_000).as_ref(), Some(&token), "the key of then");
            assert_eq!(keyring.check(&token, 2_500), Ok(claims()));
            let later = keyring.sign(&claims(), 3_000).unwrap();
            assert_ne!(later, token);
            assert_eq!(keyring.check(&later, 3_000), Ok(claims()));
            assert_eq!(keyring.list(3_000).len(), 3);
            assert_eq!(keyring.list(3_000)[1].kid, next, "it was published before it signed");
            assert_eq!(keyring.jwks(3_000)["keys"].as_array().unwrap().len(), 3);
            assert_eq!(keyring.check(&token, 3_000 + KEPT_MS), Err(BadAdmission::Retired));
        }
        reopened.rotate(10_000_000).unwrap();
        assert_eq!(reopened.check(&token, 10_000_000), Err(BadAdmission::Forged), "its key is gone");
    }

    #[test]
    fn forged_tokens() {
        let data = tempfile::tempdir().unwrap();
        let keyring = open(data.path()).unwrap();
        let token = keyring.sign(&claims(), 1_000).unwrap();
        let parts: Vec<&str> = token.split('.').collect();
        let kid = keyring.list(1_000)[0].kid.clone();
        let header = |text: String| URL_SAFE_NO_PAD.encode(text);
        let other = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&Claims { sub: "other".into(), ..claims() }).unwrap());
        let none = header(format!(r#"{{"alg":"none","typ":"{TYP}","kid":"{kid}"}}"#));
        let hs256 = header(format!(r#"{{"alg":"HS256","typ":"{TYP}","kid":"{kid}"}}"#));
        let untyped = header(format!(r#"{{"alg":"EdDSA","typ":"JWT","kid":"{kid}"}}"#));
        let elsewhere = tempfile::tempdir().unwrap();
        let table = [
            format!("{}.{}.{}", parts[0], other, parts[2]),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{none}.{}.", parts[1]),
            format!("{none}.{}.{}", parts[1], parts[2]),
            format!("{hs256}.{}.{}", parts[1], parts[2]),
            format!("{untyped}.{}.{}", parts[1], parts[2]),
            format!("{}.{}.{}A", parts[0], parts[1], parts[2]),
            open(elsewhere.path()).unwrap().sign(&claims(), 1_000).unwrap(),
            "..".into(),
            "".into(),
        ];
        for token in table {
            assert_eq!(keyring.check(&token, 1_000), Err(BadAdmission::Forged), "{token}");
        }
    }

    #[test]
    fn a_damaged_file_is_named() {
        let data = tempfile::tempdir().unwrap();
        std::fs::write(data.path().join(FILE), "[]").unwrap();
        assert!(open(data.path()).err().unwrap().to_string().contains("signing-keys is damaged"));
    }
}
