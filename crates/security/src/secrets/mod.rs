//! The installation's secret, and everything that is derived from it: session tokens, account ids, organizer keys,
//! [waiting tokens](waiting), [passes](pass) of the gate and seeds of draws.

pub mod pass;
pub mod waiting;

use base::id::{AccountId, Millis, OrganizerId, UserId};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::Fingerprint;
use eventlog::data_folder::checks::Checks;
use std::io;
use std::path::Path;
use uuid::Uuid;

/// File names in the data folder.
pub(crate) const SECRET_FILE: &str = "secret";
pub(crate) const OPERATOR_FILE: &str = "operator";

const SESSION_PREFIX: &str = "ust_";
const ORGANIZER_PREFIX: &str = "osk_";
const OPERATOR_PREFIX: &str = "opk_";
const WAITING_PREFIX: &str = "wqt_";
const PASS_PREFIX: &str = "wqp_";
const IDENTITY_PREFIX: &str = "eyJ";
/// account 16, user 16, begun_at_ms 8, expires_at_ms 8, nonce 4, MAC 32: a multiple of 3, so that base64 has exactly one
/// form of it.
const SESSION_BYTES: usize = 84;
const SESSION_SIGNED_BYTES: usize = 52;
const SESSION_CHARS: usize = SESSION_BYTES / 3 * 4;
/// the key's own id 6, organizer 16, secret 32; again a multiple of 3.
const ORGANIZER_BYTES: usize = 54;
const ORGANIZER_CHARS: usize = ORGANIZER_BYTES / 3 * 4;
/// `osk_` and the six bytes of the key's own id.
const SHOWN_CHARS: usize = 12;
const OPERATOR_KEY_CHARS_MIN: usize = 16;

/// What it means to do without the files.
const WITHOUT_SECRET: &str =
    "a new one is made then; all sessions end, and nobody can sign in to an account that was made before";
const WITHOUT_OPERATOR: &str = "a new operator's key is made and shown then, or what the file has is taken";

/// Keys derived from the 32 random bytes in `<data>/secret`. Whoever has that file can be anyone here.
pub struct Secrets {
    session: [u8; 32],
    email: [u8; 32],
    identity: [u8; 32],
    organizer: [u8; 32],
    draw: [u8; 32],
    waiting: [u8; 32],
    pass: [u8; 32],
}

/// Who a session token speaks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Session {
    pub account: AccountId,
    pub user: UserId,
    /// When the account was looked at for it: what ended the account's sessions since then ends this one, too.
    pub begun_at_ms: Millis,
    pub expires_at_ms: Millis,
    /// Tells sessions apart that began together.
    pub nonce: u32,
}

impl Session {
    /// What it is called when it is ended; says nothing about its token.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&[b"session", &self.signed()])
    }

    fn signed(&self) -> [u8; SESSION_SIGNED_BYTES] {
        let mut bytes = [0; SESSION_SIGNED_BYTES];
        bytes[..16].copy_from_slice(self.account.0.as_bytes());
        bytes[16..32].copy_from_slice(self.user.0.as_bytes());
        bytes[32..40].copy_from_slice(&self.begun_at_ms.to_be_bytes());
        bytes[40..48].copy_from_slice(&self.expires_at_ms.to_be_bytes());
        bytes[48..].copy_from_slice(&self.nonce.to_be_bytes());
        bytes
    }
}

/// Why a session token is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadToken {
    /// Not made here, or altered.
    Forged,
    Expired,
}

/// A new organizer key: `text` is shown once, the rest is kept.
pub struct OrganizerKey {
    pub key_id: Uuid,
    pub text: String,
    pub prefix: String,
    pub hash: Fingerprint,
}

/// What a credential claims to be, by its prefix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    User,
    /// A user whom an organizer's identity provider vouches for: a JSON Web Token.
    Identity,
    Organizer,
    /// Somebody in a queue, whoever it is.
    Waiting,
    Operator,
}

impl Kind {
    pub fn of(credential: &str) -> Kind {
        match credential.get(..4) {
            Some(SESSION_PREFIX) => Kind::User,
            Some(ORGANIZER_PREFIX) => Kind::Organizer,
            Some(WAITING_PREFIX) => Kind::Waiting,
            // `{"` in base64: how every JSON object begins, and no key of an operator may.
            Some(start) if start.starts_with(IDENTITY_PREFIX) => Kind::Identity,
            _ => Kind::Operator,
        }
    }
}

impl Secrets {
    /// Refuses a secret that is not the one that was here.
    pub fn check_file(checks: &Checks) -> io::Result<()> {
        checks.read(SECRET_FILE, WITHOUT_SECRET).map(drop)
    }

    /// Reads the secret of the folder `data`, or makes it; see [`Secrets::open_checked`].
    pub fn open(data: &Path, needed: bool) -> io::Result<Secrets> {
        Secrets::open_checked(&Checks::open(data)?, needed)
    }

    /// Reads the secret, or makes it when the data folder is new. `needed` says that something already rests on it.
    pub fn open_checked(checks: &Checks, needed: bool) -> io::Result<Secrets> {
        let secret: [u8; 32] = match checks.read(SECRET_FILE, WITHOUT_SECRET)? {
            Some(bytes) => {
                let refuse = || checks.refuse(SECRET_FILE, "is damaged: it has 32 bytes", WITHOUT_SECRET);
                let secret = <[u8; 32]>::try_from(bytes).map_err(|_| refuse())?;
                checks.note(SECRET_FILE, &secret)?;
                secret
            }
            None if needed && !checks.is_accepted(SECRET_FILE) => {
                return Err(checks.refuse(SECRET_FILE, "is missing", WITHOUT_SECRET));
            }
            None => {
                let secret = random_bytes();
                checks.write(SECRET_FILE, &secret)?;
                secret
            }
        };
        Ok(Secrets::from_secret(&secret))
    }

    fn from_secret(secret: &[u8; 32]) -> Secrets {
        Secrets {
            session: blake3::derive_key("onsale 2026-11-21 session tokens v1", secret),
            email: blake3::derive_key("onsale 2026-11-21 account ids of e-mails v1", secret),
            identity: blake3::derive_key("onsale 2026-11-21 account ids of identity providers' users v1", secret),
            organizer: blake3::derive_key("onsale 2026-11-21 organizer keys v1", secret),
            draw: blake3::derive_key("onsale 2026-11-21 seeds of draws v1", secret),
            waiting: blake3::derive_key("onsale 2026-11-21 waiting tokens v1", secret),
            pass: blake3::derive_key("onsale 2026-11-30 passes of the gate v1", secret),
        }
    }

    /// The account of a normalised e-mail: unique, and not to be guessed without the secret.
    pub fn account(&self, email: &str) -> AccountId {
        account_of(&blake3::keyed_hash(&self.email, email.as_bytes()))
    }

    /// The account of somebody at an organizer's identity provider: another one with each organizer, issuer and subject.
    pub fn account_at(&self, organizer: OrganizerId, issuer: &str, subject: &str) -> AccountId {
        let mut hasher = blake3::Hasher::new_keyed(&self.identity);
        hasher.update(organizer.0.as_bytes());
        for part in [issuer, subject] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        account_of(&hasher.finalize())
    }

    /// A token that speaks for `session` until it expires.
    pub fn issue(&self, session: &Session) -> String {
        let mut bytes = [0; SESSION_BYTES];
        bytes[..SESSION_SIGNED_BYTES].copy_from_slice(&session.signed());
        let mac = blake3::keyed_hash(&self.session, &bytes[..SESSION_SIGNED_BYTES]);
        bytes[SESSION_SIGNED_BYTES..].copy_from_slice(mac.as_bytes());
        encode(SESSION_PREFIX, &bytes)
    }

    /// Whom a token speaks for at `now`. One hash of 52 bytes, no allocation: it is asked for with every hold.
    pub fn check(&self, token: &str, now: Millis) -> Result<Session, BadToken> {
        let bytes: [u8; SESSION_BYTES] = decode(SESSION_PREFIX, SESSION_CHARS, token).ok_or(BadToken::Forged)?;
        let (signed, mac) = bytes.split_at(SESSION_SIGNED_BYTES);
        let mac: [u8; 32] = mac.try_into().expect("84 - 52 bytes");
        // The comparison of two `blake3::Hash`es takes the same time wherever they differ.
        if blake3::keyed_hash(&self.session, signed) != blake3::Hash::from_bytes(mac) {
            return Err(BadToken::Forged);
        }
        let session = Session {
            account: AccountId(Uuid::from_slice(&signed[..16]).expect("16 bytes")),
            user: UserId(Uuid::from_slice(&signed[16..32]).expect("16 bytes")),
            begun_at_ms: Millis::from_be_bytes(signed[32..40].try_into().expect("8 bytes")),
            expires_at_ms: Millis::from_be_bytes(signed[40..48].try_into().expect("8 bytes")),
            nonce: u32::from_be_bytes(signed[48..].try_into().expect("4 bytes")),
        };
        if now >= session.expires_at_ms { Err(BadToken::Expired) } else { Ok(session) }
    }

    /// A key of `organizer`. The same `seed` gives the same key again, for a request that is repeated; a random seed
    /// that is forgotten gives a key that cannot be had again.
    pub fn organizer_key(&self, organizer: OrganizerId, seed: &[u8]) -> OrganizerKey {
        let mut derived = [0; 48];
        let mut hasher = blake3::Hasher::new_keyed(&self.organizer);
        hasher.update(organizer.0.as_bytes()).update(seed).finalize_xof().fill(&mut derived);
        let key_id = uuid::Builder::from_random_bytes(derived[..16].try_into().expect("16 bytes")).into_uuid();
        let mut bytes = [0; ORGANIZER_BYTES];
        bytes[..6].copy_from_slice(&key_id.as_bytes()[..6]);
        bytes[6..22].copy_from_slice(organizer.0.as_bytes());
        bytes[22..].copy_from_slice(&derived[16..]);
        let text = encode(ORGANIZER_PREFIX, &bytes);
        OrganizerKey { key_id, prefix: text[..SHOWN_CHARS].into(), hash: organizer_key_hash(&text), text }
    }
}

fn account_of(hash: &blake3::Hash) -> AccountId {
    let bytes: [u8; 16] = hash.as_bytes()[..16].try_into().expect("a hash has 32 bytes");
    AccountId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

/// Whose key `text` claims to be, and the hash that such a key is known by.
pub fn organizer_of(text: &str) -> Option<(OrganizerId, Fingerprint)> {
    let bytes: [u8; ORGANIZER_BYTES] = decode(ORGANIZER_PREFIX, ORGANIZER_CHARS, text)?;
    let organizer = OrganizerId(Uuid::from_slice(&bytes[6..22]).expect("16 bytes"));
    Some((organizer, organizer_key_hash(text)))
}

/// 256 random bits need no slow hash.
fn organizer_key_hash(text: &str) -> Fingerprint {
    Fingerprint::of(&[b"organizer-key", text.as_bytes()])
}

/// The operator's key, as a hash.
pub struct Operator(blake3::Hash);

impl Operator {
    /// The operator with the `given` key; otherwise the one of the data folder, or a new one, whose key comes along to be
    /// shown this once.
    pub fn open(checks: &Checks, given: Option<&str>) -> io::Result<(Operator, Option<String>)> {
        if let Some(key) = given {
            let fits = key.len() >= OPERATOR_KEY_CHARS_MIN && key.bytes().all(|byte| byte.is_ascii_graphic());
            if !fits || Kind::of(key) != Kind::Operator {
                return Err(io::Error::other(format!(
                    "the operator's key must have at least {OPERATOR_KEY_CHARS_MIN} visible ASCII characters and not \
                     start with {SESSION_PREFIX}, {ORGANIZER_PREFIX} or {IDENTITY_PREFIX}"
                )));
            }
            return Ok((Operator::with(key), None));
        }
        let found = checks.read(OPERATOR_FILE, WITHOUT_OPERATOR)?;
        let hash = |text: &[u8]| blake3::Hash::from_hex(text.trim_ascii()).ok();
        match found.as_deref().map(|text| (text, hash(text))) {
            Some((text, Some(hash))) => {
                checks.note(OPERATOR_FILE, text)?;
                Ok((Operator(hash), None))
            }
            Some((_, None)) if !checks.is_accepted(OPERATOR_FILE) => {
                Err(checks.refuse(OPERATOR_FILE, "is damaged", WITHOUT_OPERATOR))
            }
            _ => {
                let key = encode(OPERATOR_PREFIX, &random_bytes::<33>());
                let operator = Operator::with(&key);
                checks.write(OPERATOR_FILE, format!("{}\n", operator.0.to_hex()).as_bytes())?;
                Ok((operator, Some(key)))
            }
        }
    }

    fn with(key: &str) -> Operator {
        Operator(blake3::hash(key.as_bytes()))
    }

    /// Whether `key` is the operator's, in constant time.
    pub fn is(&self, key: &str) -> bool {
        Operator::with(key).0 == self.0
    }
}

/// Bytes from the operating system's randomness.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

fn encode(prefix: &str, bytes: &[u8]) -> String {
    let mut text = String::with_capacity(prefix.len() + bytes.len() / 3 * 4 + 4);
    text.push_str(prefix);
    URL_SAFE_NO_PAD.encode_string(bytes, &mut text);
    text
}

fn decode<const N: usize>(prefix: &str, chars: usize, text: &str) -> Option<[u8; N]> {
    let encoded = text.strip_prefix(prefix).filter(|encoded| encoded.len() == chars)?;
    let mut bytes = [0; N];
    let filled = URL_SAFE_NO_PAD.decode_slice(encoded, &mut bytes).ok()?;
    (filled == N).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        let (account, user) = (AccountId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
        Session { account, user, begun_at_ms: 500, expires_at_ms: 1000, nonce: 3 }
    }

    #[test]
    fn a_token_speaks_for_its_session_until_it_expires() {
        let secrets = Secrets::from_secret(&[7; 32]);
        let token = secrets.issue(&session());
        assert_eq!(secrets.check(&token, 999), Ok(session()));
        assert_eq!(secrets.check(&token, 1000), Err(BadToken::Expired));
        assert_eq!(Secrets::from_secret(&[8; 32]).check(&token, 0), Err(BadToken::Forged));
    }

    #[test]
    fn a_token_with_any_character_altered_is_forged() {
        let secrets = Secrets::from_secret(&[7; 32]);
        let token = secrets.issue(&session());
        for index in 0..token.len() {
            let mut altered = token.clone().into_bytes();
            altered[index] = if altered[index] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            assert_eq!(secrets.check(&altered, 0), Err(BadToken::Forged), "{altered}");
        }
        for wrong in ["", "ust_", &token[..115], &format!("{token}A"), &format!("{token}=="), "ust_\u{e9}"] {
            assert_eq!(secrets.check(wrong, 0), Err(BadToken::Forged), "{wrong:?}");
        }
    }

    #[test]
    fn sessions_and_accounts_are_told_apart() {
        let others = [
            session(),
            Session { begun_at_ms: 501, ..session() },
            Session { expires_at_ms: 1001, ..session() },
            Session { nonce: 4, ..session() },
        ];
        for (index, one) in others.iter().enumerate() {
            assert!(others[..index].iter().all(|other| other.fingerprint() != one.fingerprint()));
        }
        let secrets = Secrets::from_secret(&[7; 32]);
        let [ann, bob] = [1, 2].map(|number| OrganizerId(Uuid::from_u128(number)));
        let accounts = [
            secrets.account_at(ann, "issuer", "subject"),
            secrets.account_at(bob, "issuer", "subject"),
            secrets.account_at(ann, "issuers", "ubject"),
            secrets.account_at(ann, "issuer", "other"),
            secrets.account("subject"),
        ];
        for (index, one) in accounts.iter().enumerate() {
            assert!(!accounts[..index].contains(one), "{index}");
        }
    }

    #[test]
    fn an_organizer_key_leads_to_its_organizer() {
        let secrets = Secrets::from_secret(&[7; 32]);
        let organizer = OrganizerId(Uuid::from_u128(9));
        let key = secrets.organizer_key(organizer, b"seed");
        assert_eq!(organizer_of(&key.text), Some((organizer, key.hash)));
        assert_eq!(key.text, secrets.organizer_key(organizer, b"seed").text);
        assert_ne!(key.text, secrets.organizer_key(organizer, b"other").text);
        assert!(key.text.starts_with(&key.prefix));
        assert_eq!(organizer_of("osk_x"), None);
    }

    #[test]
    fn secrets_and_the_operators_key_outlive_a_restart() {
        let data = tempfile::tempdir().unwrap();
        let checks = &Checks::open(data.path()).unwrap();
        let first = Secrets::open_checked(checks, false).unwrap();
        let again = Secrets::open_checked(checks, true).unwrap();
        assert_eq!(again.check(&first.issue(&session()), 0), Ok(session()));
        let (operator, key) = Operator::open(checks, None).unwrap();
        let key = key.expect("a new key is shown");
        assert!(operator.is(&key) && !operator.is("opk_other"));
        let (operator, shown) = Operator::open(checks, None).unwrap();
        assert!(operator.is(&key) && shown.is_none());
        let (operator, _) = Operator::open(checks, Some("a-key-from-the-environment")).unwrap();
        assert!(operator.is("a-key-from-the-environment") && !operator.is(&key));
        assert!(Operator::open(checks, Some("short")).is_err());
        for name in [SECRET_FILE, OPERATOR_FILE] {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(data.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert!(!std::fs::read_to_string(data.path().join(OPERATOR_FILE)).unwrap().contains(&key));
    }

    #[test]
    fn a_missing_secret_is_not_replaced_once_something_rests_on_it() {
        let data = tempfile::tempdir().unwrap();
        assert!(Secrets::open(data.path(), true).is_err());
    }
}
