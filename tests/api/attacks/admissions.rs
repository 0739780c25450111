//! Admissions that nobody gave.

use crate::common::Server;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

/// What somebody can make of another's `token`, for themselves: each with what it is.
pub fn forged(server: &Server, token: &str, user: &str) -> Vec<(&'static str, String)> {
    let parts: Vec<&str> = token.split('.').collect();
    let read = |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    let (header, mut claims) = (read(parts[0]), read(parts[1]));
    claims["sub"] = json!(user);
    let write = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let claims = write(&claims);
    let with = |field: &str, value: Value| {
        let mut changed = header.clone();
        changed[field] = value;
        write(&changed)
    };
    let pair = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(pair.as_ref()).unwrap();
    let signed = |header: String| {
        let message = format!("{header}.{claims}");
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(pair.sign(message.as_bytes())))
    };
    let own = URL_SAFE_NO_PAD.encode(pair.public_key());
    let own = json!({"kty": "OKP", "crv": "Ed25519", "x": own, "kid": header["kid"], "alg": "EdDSA"});
    // The public key, taken for a secret.
    let published = server.get("/.well-known/jwks.json", "").expect(200).json();
    let secret = URL_SAFE_NO_PAD.decode(published["keys"][0]["x"].as_str().unwrap()).unwrap();
    let message = format!("{}.{claims}", with("alg", json!("HS256")));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), message.as_bytes());
    vec![
        ("altered claims", format!("{}.{claims}.{}", parts[0], parts[2])),
        ("no signature", format!("{}.{claims}.", parts[0])),
        ("alg none", format!("{}.{claims}.", with("alg", json!("none")))),
        ("alg None, signed", format!("{}.{claims}.{}", with("alg", json!("None")), parts[2])),
        ("HS256 by the public key", format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))),
        ("another key", signed(parts[0].to_owned())),
        ("a key of its own", signed(with("jwk", own))),
        ("a key from elsewhere", signed(with("jku", json!("https://localhost:1/jwks.json")))),
        ("a kid that nobody has", signed(with("kid", json!("../../secret")))),
        ("a header that must be understood", signed(with("crit", json!(["b64"])))),
    ]
}
