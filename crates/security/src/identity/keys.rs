//! Public keys of identity providers: JSON Web Key Sets (RFC 7517), and signatures checked with them.

use domain::organizer::provider::{Algorithm, JWKS_BYTES_MAX, JWKS_KEYS_MAX};
use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{DecodingKey, DecodingKeyKind, signature};
use ring::signature as ring_signature;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The public keys of one provider that can check a signature.
pub struct KeySet(Vec<PublicKey>);

struct PublicKey {
    kid: Option<String>,
    family: Family,
    /// The only algorithm that it is meant for, if the set says so.
    algorithm: Option<String>,
    key: DecodingKey,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// The members of a key that matter here. Every other one is left out of what is kept.
#[derive(Serialize, Deserialize)]
struct Jwk {
    kty: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    used_for: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alg: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crv: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Set<K> {
    keys: Vec<K>,
}

impl KeySet {
    /// Reads a set. Keys of kinds that are not known here are passed over; the error says why there is none left.
    pub fn parse(document: &[u8]) -> Result<KeySet, String> {
        if document.len() > JWKS_BYTES_MAX {
            return Err(format!("must have at most {JWKS_BYTES_MAX} bytes"));
        }
        let document = document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document);
        let set: Set<Value> =
            serde_json::from_slice(document).map_err(|_| "must be a JSON Web Key Set: {\"keys\": […]}".to_owned())?;
        if set.keys.len() > JWKS_KEYS_MAX {
            return Err(format!("must have at most {JWKS_KEYS_MAX} keys"));
        }
        let read = set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok());
        let keys: Vec<PublicKey> = read.filter_map(PublicKey::of).collect();
        if keys.is_empty() {
            return Err("must have a public key for signatures: RSA, P-256, P-384 or Ed25519".into());
        }
        Ok(KeySet(keys))
    }

    /// Whether a key of this name is there; of no name: any.
    pub fn knows(&self, kid: Option<&str>) -> bool {
        kid.is_none_or(|kid| self.0.iter().any(|key| key.kid.as_deref() == Some(kid)))
    }

    /// The keys that a token with this header may be signed with. Without a name there must be just one that fits.
    pub fn fitting(&self, kid: Option<&str>, algorithm: Algorithm) -> Vec<&DecodingKey> {
        let fits = |key: &&PublicKey| {
            let named = kid.is_none() || key.kid.as_deref() == kid;
            named
                && key.family == family_of(algorithm)
                && key.algorithm.as_deref().is_none_or(|only| only == algorithm.as_str())
        };
        let found: Vec<&DecodingKey> = self.0.iter().filter(fits).map(|key| &key.key).collect();
        if kid.is_none() && found.len() > 1 { Vec::new() } else { found }
    }
}

/// A set as it is kept: only public members, so that a private key given by mistake is refused rather than stored.
pub fn public_document(document: &Value) -> Result<String, String> {
    let text = document.to_string();
    KeySet::parse(text.as_bytes())?;
    let keys = document["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
    if keys.iter().any(|key| ["d", "k", "p", "q"].iter().any(|member| key.get(member).is_some())) {
        return Err("has a private or secret key in it: give the public keys only, and replace that key".into());
    }
    let keys: Vec<Jwk> = keys.iter().filter_map(|key| Jwk::deserialize(key).ok()).collect();
    Ok(serde_json::to_string(&Set { keys }).expect("plain data"))
}

impl PublicKey {
    fn of(jwk: Jwk) -> Option<PublicKey> {
        if jwk.used_for.as_deref().is_some_and(|used_for| used_for != "sig") {
            return None;
        }
        let (family, key) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => (Family::Rsa, DecodingKey::from_rsa_components(jwk.n.as_deref()?, jwk.e.as_deref()?)),
            ("EC", Some("P-256")) => {
                (Family::P256, DecodingKey::from_ec_components(jwk.x.as_deref()?, jwk.y.as_deref()?))
            }
            ("EC", Some("P-384")) => {
                (Family::P384, DecodingKey::from_ec_components(jwk.x.as_deref()?, jwk.y.as_deref()?))
            }
            ("OKP", Some("Ed25519")) => (Family::Ed25519, DecodingKey::from_ed_components(jwk.x.as_deref()?)),
            _ => return None,
        };
        Some(PublicKey { kid: jwk.kid, family, algorithm: jwk.alg, key: key.ok()? })
    }
}

fn family_of(algorithm: Algorithm) -> Family {
    use Algorithm::*;
    match algorithm {
        RS256 | RS384 | RS512 | PS256 | PS384 | PS512 => Family::Rsa,
        ES256 => Family::P256,
        ES384 => Family::P384,
        EdDSA => Family::Ed25519,
    }
}

/// Signatures are checked with ring, which TLS uses, too: one library of that kind is enough. Nothing is signed here.
static RING: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(ErrorKind::UnsupportedAlgorithm.into()),
    verifier_factory: |algorithm, key| Ok(Box::new(RingVerifier { algorithm: *algorithm, key: key.clone() })),
    key_utils: KeyUtils::new_unimplemented(),
};

/// To be called before the first token is checked.
pub fn use_ring() {
    // Fails only when it was done before.
    let _ = RING.install_default();
}

struct RingVerifier {
    algorithm: jsonwebtoken::Algorithm,
    key: DecodingKey,
}

impl signature::Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        use jsonwebtoken::Algorithm as A;
        use ring_signature as r;
        let checked = match self.key.kind() {
            DecodingKeyKind::RsaModulusExponent { n, e } => {
                let parameters = match self.algorithm {
                    A::RS256 => &r::RSA_PKCS1_2048_8192_SHA256,
                    A::RS384 => &r::RSA_PKCS1_2048_8192_SHA384,
                    A::RS512 => &r::RSA_PKCS1_2048_8192_SHA512,
                    A::PS256 => &r::RSA_PSS_2048_8192_SHA256,
                    A::PS384 => &r::RSA_PSS_2048_8192_SHA384,
                    A::PS512 => &r::RSA_PSS_2048_8192_SHA512,
                    _ => return Err(signature::Error::new()),
                };
                // A modulus may come with leading zeros, which ring takes for a mistake.
                let n = &n[n.iter().position(|byte| *byte != 0).unwrap_or(0)..];
                r::RsaPublicKeyComponents { n, e: e.as_slice() }.verify(parameters, message, signature)
            }
            DecodingKeyKind::SecretOrDer(point) => {
                let algorithm: &dyn r::VerificationAlgorithm = match self.algorithm {
                    A::ES256 => &r::ECDSA_P256_SHA256_FIXED,
                    A::ES384 => &r::ECDSA_P384_SHA384_FIXED,
                    A::EdDSA => &r::ED25519,
                    _ => return Err(signature::Error::new()),
                };
                r::UnparsedPublicKey::new(algorithm, point).verify(message, signature)
            }
        };
        checked.map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> jsonwebtoken::Algorithm {
        self.algorithm
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    #[test]
    fn sets_are_read_as_far_as_they_are_understood() {
        let ed = |kid: &str| json!({"kty": "OKP", "crv": "Ed25519", "x": X, "kid": kid});
        let table = [
            (json!({"keys": [ed("a"), {"kty": "oct", "k": "c2VjcmV0"}, {"kty": "new"}, 7]}), Ok(1)),
            (json!({"keys": [ed("a"), ed("b")]}), Ok(2)),
            (json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": X, "use": "enc"}]}), Err("public key")),
            (json!({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}), Err("public key")),
            (json!({"keys": []}), Err("public key")),
            (json!({"keys": vec![ed("a"); 101]}), Err("at most 100")),
            (json!({"key": []}), Err("JSON Web Key Set")),
            (json!([]), Err("JSON Web Key Set")),
            (json!({"keys": [ed(&"x".repeat(JWKS_BYTES_MAX))]}), Err("at most 262144 bytes")),
        ];
        for (document, want) in table {
            let found = KeySet::parse(document.to_string().as_bytes());
            match (found, want) {
                (Ok(set), Ok(count)) => assert_eq!(set.0.len(), count),
                (Err(error), Err(want)) => assert!(error.contains(want), "{error}"),
                (found, want) => panic!("{:?} instead of {want:?}", found.map(|set| set.0.len())),
            }
        }
    }

    #[test]
    fn a_key_fits_by_name_kind_and_algorithm() {
        let set = json!({"keys": [
            {"kty": "OKP", "crv": "Ed25519", "x": X, "kid": "a"},
            {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "r", "alg": "RS256"},
            {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "s"},
        ]});
        let set = KeySet::parse(set.to_string().as_bytes()).unwrap();
        let table = [
            (Some("a"), Algorithm::EdDSA, 1),
            (Some("a"), Algorithm::RS256, 0),
            (Some("r"), Algorithm::RS256, 1),
            (Some("r"), Algorithm::RS384, 0),
            (Some("b"), Algorithm::EdDSA, 0),
            (None, Algorithm::EdDSA, 1),
            (None, Algorithm::RS256, 0),
            (None, Algorithm::RS512, 1),
        ];
        for (kid, algorithm, count) in table {
            assert_eq!(set.fitting(kid, algorithm).len(), count, "{kid:?} {algorithm:?}");
        }
        assert!(set.knows(Some("a")) && set.knows(None) && !set.knows(Some("b")));
    }

    #[test]
    fn only_public_members_are_kept() {
        let given = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": X, "kid": "a", "note": "mine"}], "more": 1});
        let kept: Value = serde_json::from_str(&public_document(&given).unwrap()).unwrap();
        assert_eq!(kept, json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": X, "kid": "a"}]}));
        let private = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": X, "d": X}]});
        assert!(public_document(&private).unwrap_err().contains("private"));
    }

    /// Made with openssl of the message "signed"; the private keys are gone.
    const N: &str = "w9KqN3MuhOd4GSw_1_D76QKjPyYvo-CBCEMyb9SOSvAjLOYNbRIt5IIvwPBa92YwTQllJN-WQHPZdiRlhTv5VPNKtHHKyN4x\
        RfvAcE7EUgtOnNVEvocVGRNYfQOCX_RJfOHdyUSdLtugUCTFKQaSm0VzXzGqI-amUjnDnB7Amn3NVroG4LzB2RsiPpBG8X1p\
        5sRJx5dR6NHuJwDFBmyWB7HhFzkDE0Zrc82uUbVRE3stlsYqCv0bzOzxvT-amqPDXDEtZGcukppd4BtEjusRpmsv48wMmF60\
        pPlnFp5mOzNAFTF0Vqu-oirRey-t_tMGjOSBQTXISibikkqELnqktw";
    const RS256: &str = "Sp1xjMEagrSLZmR1ILA4c70tpybTypZl_pAYkNBfDPtBnMp6I2g7SBSEsCS3V1I53S6G_0U9qp_b7v1qmKnKqVk0hQJUrZPJ\
        upmH8j9O8CCaIEp5K1ysJ8w8NQI5Kj7o-dTyb3AcUy6W9_l8B-3OxlGHYkcUjIdcLhLrlDoetPH-FNeZgkScbBlJumKL2oV_\
        vDMzCWFzvDaaZuEnvpsW2tRa9Ml2Ny91WPLHnxlonKgk4MuQ2MMWXOsME_UTeLA2fiBT_SiARAwnRMzWkEBTgc7to1Ps0DhF\
        nQhpfWvX0qXZVEW5GSRXoUtTX8VtGbr8LA_YAgUEJojdOgQtZj7TsA";
    const PS256: &str = "WkTJ6UbE8WYEnjfPdDWPLwCdXR25aUddS5r6gOC1VcrGh-DJ1ZCPX3w_51smFW9lf32GagYgdcngI1jO8V2xaYzKqTZwaASo\
        tE5RCIcKiAHMS_tii_ktM8kHFQSyfXePTMAnW_KhMRV8gHNxpOWmSY2gqtob53_DaBEJFxVuuU7ti3TMiqxhee2J8Y3oY_xI\
        wZuG6vr5BtcxW9HUYc0SXlq6w_Y-jNWhoyWp9Wrm-EGaYN68lc04VbNV2VPXS1Lw420AXZ9rkUHyLz0CNkg9dU1doD6GQ4mX\
        usOe1jSawvI5hI5aKk8A3b7oavkSrCCx6ZdoSOKRpqG8LjJ0uZ5KyA";
    const P384_X: &str = "9pgGSr64R5XXOewAMivGAUDYVOBNjXN9cI6RKM49-xStXUMkR5r5nUX6b4nOQoea";
    const P384_Y: &str = "JoUgY63Cx-_A8KGoOuG86XHEbTM-PCFOgs0KpagziI0wp1sVzpWhinbkLv3XdkVw";
    const ES384: &str = "t1Hf8zk6yc-B8RvuKVfPBsEeE1JHGXF8uV5RW9UjVWhJHVnuMAFconyyyZJodPNqGkQ_zUkE74aQZFJ3Qd9AQznxOHbwL-c7\
        pRygO7bW61wBAxoDt8hSyNu9ZDUx_gTl";

    #[test]
    fn a_set_may_begin_with_a_byte_order_mark() {
        let set = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
        for mark in ["", "\u{feff}"] {
            assert!(KeySet::parse(format!("{mark}{set}").as_bytes()).is_ok(), "{mark:?}");
        }
        assert!(KeySet::parse(format!("\u{feff}\u{feff}{set}").as_bytes()).is_err());
    }

    #[test]
    fn signatures_of_each_kind_are_checked() {
        use jsonwebtoken::Algorithm as A;
        let rsa = || DecodingKey::from_rsa_components(N, "AQAB").unwrap();
        let p384 = || DecodingKey::from_ec_components(P384_X, P384_Y).unwrap();
        let table = [
            (A::RS256, rsa(), RS256, true),
            (A::PS256, rsa(), PS256, true),
            (A::ES384, p384(), ES384, true),
            (A::RS256, rsa(), PS256, false),
            (A::PS256, rsa(), RS256, false),
            (A::RS384, rsa(), RS256, false),
            (A::ES256, p384(), ES384, false),
            (A::EdDSA, p384(), ES384, false),
            (A::HS256, rsa(), RS256, false),
        ];
        for (algorithm, key, signature, holds) in table {
            let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
            let verifier = (RING.verifier_factory)(&algorithm, &key).unwrap();
            assert_eq!(verifier.verify(b"signed", &signature).is_ok(), holds, "{algorithm:?}");
            assert!(verifier.verify(b"Signed", &signature).is_err(), "{algorithm:?}");
            assert!(verifier.verify(b"signed", &Vec::new()).is_err(), "{algorithm:?}");
        }
    }
}
