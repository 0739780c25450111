//! Where checkers fetch their keys: Onsale's own, and one with which a test signs what Onsale never would.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

pub struct Keys {
    pub url: String,
    pair: Ed25519KeyPair,
    asked: Arc<AtomicU32>,
}

const KID: &str = "of-the-test";

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn jwk_of(pair: &Ed25519KeyPair) -> Value {
    let x = URL_SAFE_NO_PAD.encode(pair.public_key());
    json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": KID, "x": x})
}

/// Seconds since 1970.
pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

impl Keys {
    /// Serves the keys that `jwks` has, and the test's.
    pub fn serve(jwks: &Value) -> Keys {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let mut set = jwks.clone();
        set["keys"].as_array_mut().unwrap().push(jwk_of(&pair));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<AtomicU32> = Arc::default();
        let count = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut line = String::new();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let _ = reader.read_line(&mut line);
                assert!(line.starts_with("GET /.well-known/jwks.json "), "a checker asks for nothing else: {line}");
                while reader.read_line(&mut line).is_ok_and(|read| read > 2) {}
                count.fetch_add(1, Ordering::Relaxed);
                let body = set.to_string();
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
                let _ = write!(&stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len());
            }
        });
        Keys { url, pair, asked }
    }

    /// The test's own key.
    pub fn jwk(&self) -> Value {
        jwk_of(&self.pair)
    }

    /// How often somebody has fetched them.
    pub fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }

    /// What an admission to `queue` says that has just been made.
    pub fn claims(queue: &str) -> Value {
        let now = now_s();
        let (iat, exp) = (now - 30, now + 120);
        json!({"iss": "onsale", "aud": queue, "sub": "s", "jti": "j", "iat": iat, "nbf": iat, "exp": exp, "pos": 1})
    }

    /// A token, signed with the test's key.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let signed = format!("{}.{}", encoded(header), encoded(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    /// The header of an admission.
    pub fn header() -> Value {
        json!({"alg": "EdDSA", "typ": "admission+jwt", "kid": KID})
    }

    /// Tokens that no checker may take, each with what is wrong with it.
    pub fn forged(&self, queue: &str) -> Vec<(&'static str, String)> {
        let (header, claims) = (Keys::header(), Keys::claims(queue));
        let but = |value: &Value, name: &str, to: Value| {
            let mut value = value.clone();
            value[name] = to;
            value
        };
        let without = |name: &str| {
            let mut claims = claims.clone();
            claims.as_object_mut().unwrap().remove(name);
            self.sign(&header, &claims)
        };
        let now = now_s();
        let good = self.sign(&header, &claims);
        let unsigned = good.rsplit_once('.').unwrap().0;
        let none = format!("{}.{}", encoded(&but(&header, "alg", json!("none"))), encoded(&claims));
        let signature = good.rsplit('.').next().unwrap();
        let other = encoded(&but(&claims, "sub", json!("other")));
        vec![
            ("nothing", String::new()),
            ("nonsense", "nonsense".into()),
            ("another queue", self.sign(&header, &but(&claims, "aud", json!("other")))),
            ("another issuer", self.sign(&header, &but(&claims, "iss", json!("other")))),
            ("another kind", self.sign(&but(&header, "typ", json!("JWT")), &claims)),
            ("another algorithm", self.sign(&but(&header, "alg", json!("HS256")), &claims)),
            ("an unknown key", self.sign(&but(&header, "kid", json!("unknown")), &claims)),
            ("too late", self.sign(&header, &but(&claims, "exp", json!(now - 32)))),
            ("too early", self.sign(&header, &but(&claims, "nbf", json!(now + 1_000)))),
            ("no exp", without("exp")),
            ("no jti", without("jti")),
            ("no sub", without("sub")),
            ("no aud", without("aud")),
            ("no signature", format!("{unsigned}.")),
            ("alg none", format!("{none}.")),
            ("alg none with a signature", format!("{none}.{signature}")),
            ("altered", format!("{}.{other}.{signature}", encoded(&header))),
        ]
    }
}
