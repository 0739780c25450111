//! Where an organizer's users may come from: an identity provider that signs JSON Web Tokens.

use crate::event::{recorded, words};
use crate::text::{Invalid, text_fits};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Characters of an issuer, an audience, and of the URL of the keys.
pub const ISSUER_CHARS_MAX: usize = 500;
pub const AUDIENCE_CHARS_MAX: usize = 500;
pub const JWKS_URL_CHARS_MAX: usize = 2000;
/// Bytes of a JSON Web Key Set, given or fetched.
pub const JWKS_BYTES_MAX: usize = 256 << 10;
/// Keys of a set that are looked at.
pub const JWKS_KEYS_MAX: usize = 100;

/// How a token may be signed (RFC 7518, RFC 8037). Symmetric algorithms and `none` are not among them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

words!(Algorithm);

impl Algorithm {
    pub const ALL: [Algorithm; 9] = [
        Algorithm::RS256,
        Algorithm::RS384,
        Algorithm::RS512,
        Algorithm::PS256,
        Algorithm::PS384,
        Algorithm::PS512,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::EdDSA,
    ];
    /// Those that are taken unless the organizer says otherwise.
    pub const USUAL: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

    /// As it stands in a token's header.
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::RS256 => "RS256",
            Algorithm::RS384 => "RS384",
            Algorithm::RS512 => "RS512",
            Algorithm::PS256 => "PS256",
            Algorithm::PS384 => "PS384",
            Algorithm::PS512 => "PS512",
            Algorithm::ES256 => "ES256",
            Algorithm::ES384 => "ES384",
            Algorithm::EdDSA => "EdDSA",
        }
    }
}

/// Where the provider's public keys are.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Jwks {
    /// Fetched from this URL, and again when they change.
    Url(String),
    /// This JSON Web Key Set (RFC 7517).
    Document(String),
}

recorded! {
    /// An identity provider that an organizer trusts with its users.
    #[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
    pub struct IdentityProvider {
        /// What a token's `iss` must be.
        pub issuer: String as public,
        /// What must be among a token's `aud`.
        pub audience: String as public,
        pub jwks: Jwks as public,
        pub algorithms: Vec<Algorithm>,
        /// Whether anybody can sign in with it.
        pub enabled: bool,
    }
}

impl IdentityProvider {
    /// What can be told without looking at keys.
    pub fn check(&self) -> Result<(), Invalid> {
        let text = |field, text: &str, chars_max: usize| match text_fits(text, chars_max) {
            true => Ok(()),
            false => Err(Invalid::text(field, chars_max)),
        };
        text("issuer", &self.issuer, ISSUER_CHARS_MAX)?;
        text("audience", &self.audience, AUDIENCE_CHARS_MAX)?;
        match &self.jwks {
            Jwks::Url(url) => text("jwks_url", url, JWKS_URL_CHARS_MAX)?,
            Jwks::Document(document) if document.len() > JWKS_BYTES_MAX => {
                return Err(Invalid::new("jwks", format!("must have at most {JWKS_BYTES_MAX} bytes")));
            }
            Jwks::Document(_) => {}
        }
        if self.algorithms.is_empty() {
            return Err(Invalid::new("algorithms", "name at least one"));
        }
        let twice = |index: usize| self.algorithms[..index].contains(&self.algorithms[index]);
        match (0..self.algorithms.len()).find(|index| twice(*index)) {
            Some(index) => {
                Err(Invalid::new("algorithms", format!("{} is named twice", self.algorithms[index].as_str())))
            }
            None => Ok(()),
        }
    }
}
