//! Users of an organizer's identity provider, which is a little server here.

use super::{assert_no_trace, delete, put};
use crate::common::streams::{Stream, again};
use crate::common::{Answer, OPERATOR_KEY, Request, Server};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

const ISSUER: &str = "https://login.example.com";
const AUDIENCE: &str = "tickets";
const PRIVATE: &str = "--allow-private-identity-providers";

fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A key that signs tokens.
struct Signer {
    kid: &'static str,
    pair: Ed25519KeyPair,
}

impl Signer {
    fn new(kid: &'static str) -> Signer {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Signer { kid, pair: Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap() }
    }

    fn jwk(&self) -> Value {
        let x = b64(self.pair.public_key().as_ref());
        json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": self.kid, "use": "sig", "alg": "EdDSA"})
    }

    fn set(&self) -> Value {
        json!({"keys": [self.jwk()]})
    }

    fn sign(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", b64(header.to_string().as_bytes()), b64(claims.to_string().as_bytes()));
        let signature = self.pair.sign(message.as_bytes());
        format!("{message}.{}", b64(signature.as_ref()))
    }

    fn token(&self, subject: &str) -> String {
        self.token_with(subject, |_| ())
    }

    fn token_with(&self, subject: &str, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = claims(subject);
        change(&mut claims);
        self.sign(&json!({"alg": "EdDSA", "typ": "JWT", "kid": self.kid}), &claims)
    }
}

fn claims(subject: &str) -> Value {
    let now = now_s();
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + 600,
        "email": format!("{subject}@idp.example.net"), "name": format!("Name of {subject}"),
    })
}

/// Serves a key set, or what else it is told to.
struct Provider {
    url: String,
    answer: Arc<Mutex<String>>,
    hits: Arc<AtomicU64>,
}

impl Provider {
    fn start(set: &Value) -> Provider {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let answer = Arc::new(Mutex::new(ok(set)));
        let hits = Arc::new(AtomicU64::new(0));
        let (shown, counted) = (answer.clone(), hits.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut line = String::from("x");
                while !line.trim_end().is_empty() {
                    line.clear();
                    if reader.read_line(&mut line).is_err() {
                        break;
                    }
                }
                counted.fetch_add(1, Ordering::SeqCst);
                let _ = stream.write_all(shown.lock().unwrap().as_bytes());
            }
        });
        Provider { url, answer, hits }
    }

    fn say(&self, answer: String) {
        *self.answer.lock().unwrap() = answer;
    }

    fn hits(&self) -> u64 {
        self.hits.load(Ordering::SeqCst)
    }
}

fn http(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn ok(set: &Value) -> String {
    http("200 OK", &set.to_string())
}

/// An organizer: id and key.
fn organizer(server: &Server) -> (String, String) {
    let created = server.post("/v1/organizers", OPERATOR_KEY, json!({"name": "Org"})).expect(201);
    (created.text("/organizer_id"), created.text("/key/secret"))
}

fn trust(server: &Server, key: &str, jwks: Value) -> Answer {
    let mut body = json!({"issuer": ISSUER, "audience": AUDIENCE});
    body.as_object_mut().unwrap().extend(jwks.as_object().unwrap().clone());
    put(server, "/v1/organizer/identity-provider", key, body)
}

fn sign_in(server: &Server, organizer: &str, token: &str) -> Answer {
    server.post("/v1/sessions", "", json!({"organizer_id": organizer, "id_token": token}))
}

#[test]
fn a_provider_is_set_read_changed_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &[]);
    let (_, key) = organizer(&server);
    let path = "/v1/organizer/identity-provider";
    let signer = Signer::new("a");
    let ec = {
        let rng = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &rng).unwrap();
        let point = pair.public_key().as_ref().to_vec();
        json!({"kty": "EC", "crv": "P-256", "x": b64(&point[1..33]), "y": b64(&point[33..]), "kid": "e"})
    };
    let private = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": signer.jwk()["x"], "d": "AAAA"}]});
    let table = [
        (json!({}), "jwks_url"),
        (json!({"jwks_url": "https://login.example.com/jwks", "jwks": signer.set()}), "jwks_url"),
        (json!({"jwks_url": "http://login.example.com/jwks"}), "jwks_url"),
        (json!({"jwks_url": "https://127.0.0.1/jwks"}), "jwks_url"),
        (json!({"jwks_url": "https://[fd00::1]/jwks"}), "jwks_url"),
        (json!({"jwks_url": "jwks"}), "jwks_url"),
        (json!({"jwks": {"keys": []}}), "jwks"),
        (json!({"jwks": []}), "jwks"),
        (json!({"jwks": {"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}}), "jwks"),
        (json!({"jwks": private}), "jwks"),
        (json!({"jwks": signer.set(), "algorithms": []}), "algorithms"),
        (json!({"jwks": signer.set(), "algorithms": ["HS256"]}), "algorithms"),
        (json!({"jwks": signer.set(), "algorithms": ["none"]}), "algorithms"),
        (json!({"jwks": signer.set(), "algorithms": ["EdDSA", "EdDSA"]}), "algorithms"),
        (json!({"jwks": signer.set(), "issuer": ""}), "issuer"),
        (json!({"jwks": signer.set(), "audience": "x".repeat(501)}), "audience"),
        (json!({"jwks": signer.set(), "colour": "red"}), "colour"),
    ];
    for (body, field) in table {
        let answer = trust(&server, &key, body.clone()).expect_problem(400, "invalid-request");
        assert_eq!(answer.json()["field"], field, "{body}: {}", answer.json());
    }
    server.get(path, &key).expect_problem(404, "not-found");
    let set = trust(&server, &key, json!({"jwks": {"keys": [signer.jwk(), ec]}})).expect(200);
    assert_eq!(set.json()["algorithms"], json!(["RS256", "ES256", "EdDSA"]));
    assert_eq!((&set.json()["enabled"], &set.json()["bearer"]), (&json!(true), &json!(true)));
    let tag = set.header("etag").unwrap().to_owned();
    let read = server.get(path, &key).expect(200);
    assert_eq!((read.json(), read.header("etag")), (set.json(), Some(tag.as_str())));
    let unchanged = server.send(Request::new("GET", path).token(&key).header("If-None-Match", &tag));
    unchanged.expect(304);

    trust(&server, &key, json!({"jwks": signer.set()})).expect_problem(428, "precondition-required");
    let change = |tag: &str| {
        let body = json!({"issuer": ISSUER, "audience": AUDIENCE, "jwks": signer.set(), "enabled": false});
        server.send(Request::new("PUT", path).token(&key).header("If-Match", tag).json(body))
    };
    change("\"77\"").expect_problem(412, "precondition-failed");
    let changed = change(&tag).expect(200);
    assert_eq!((&changed.json()["enabled"], &changed.json()["bearer"]), (&json!(false), &json!(false)));
    change(&tag).expect_problem(412, "precondition-failed");
    delete(&server, path, &key).expect(204);
    delete(&server, path, &key).expect(204);
    server.get(path, &key).expect_problem(404, "not-found");
}

#[test]
fn a_token_of_the_provider_signs_in() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data, &["--journal-bytes", "131072"]);
    let (org, key) = organizer(&server);
    let (other_org, other_key) = organizer(&server);
    let (signer, forger) = (Signer::new("a"), Signer::new("a"));
    sign_in(&server, &org, &signer.token("ann")).expect_problem(401, "bad-id-token");
    trust(&server, &key, json!({"jwks": signer.set()})).expect(200);

    let first = sign_in(&server, &org, &signer.token("ann")).expect(201);
    let (user, session) = (first.text("/user_id"), first.text("/token"));
    let me = server.get("/v1/me", &session).expect(200).json();
    assert_eq!((&me["email"], &me["name"]), (&json!("ann@idp.example.net"), &json!("Name of ann")));
    assert_eq!((&me["user_id"], &me["organizer_id"]), (&json!(user), &json!(org)));
    assert_eq!(server.get("/v1/wallet", &session).expect(200).json()["balance"], 0);
    assert_eq!(sign_in(&server, &org, &signer.token("ann")).expect(201).text("/user_id"), user);
    let bob = sign_in(&server, &org, &signer.token("bob")).expect(201);
    assert_ne!(bob.text("/user_id"), user);
    // The token itself speaks for the same user.
    for _ in 0..2 {
        let token = signer.token("ann");
        for _ in 0..2 {
            assert_eq!(server.get("/v1/me", &token).expect(200).text("/user_id"), user);
        }
    }
    assert_eq!(server.get("/v1/me", &signer.token("cid")).expect(200).text("/email"), "cid@idp.example.net");
    // It is not good for what organizers and the operator do.
    server.get("/v1/organizer", &signer.token("ann")).expect_problem(403, "forbidden");

    // Another organizer that trusts the same keys has other users, and takes none away.
    trust(&server, &other_key, json!({"jwks": signer.set()})).expect(200);
    let elsewhere = server.get("/v1/organizer/identity-provider", &other_key).expect(200).json();
    assert_eq!(elsewhere["bearer"], false);
    assert_ne!(sign_in(&server, &other_org, &signer.token("ann")).expect(201).text("/user_id"), user);
    assert_eq!(server.get("/v1/me", &signer.token("ann")).expect(200).text("/user_id"), user);

    let now = now_s();
    let with = |change: &dyn Fn(&mut Value)| signer.token_with("ann", change);
    let header = |header: Value| signer.sign(&header, &claims("ann"));
    let set = |field: &'static str, value: Value| with(&move |claims: &mut Value| claims[field] = value.clone());
    let without = |field: &'static str| {
        with(&move |claims: &mut Value| {
            claims.as_object_mut().unwrap().remove(field);
        })
    };
    let hs256 = {
        let message = format!("{}.{}", b64(br#"{"alg":"HS256","kid":"a"}"#), b64(claims("ann").to_string().as_bytes()));
        // Signed with the public key as if it were a secret.
        let secret = signer.pair.public_key().as_ref().to_vec();
        let tag = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &secret), message.as_bytes());
        format!("{message}.{}", b64(tag.as_ref()))
    };
    let none = format!("{}.{}.", b64(br#"{"alg":"none"}"#), b64(claims("ann").to_string().as_bytes()));
    let good = signer.token("ann");
    let altered = format!("{}AA{}", &good[..good.len() - 40], &good[good.len() - 38..]);
    let table = [
        ("altered", altered, "bad-id-token"),
        ("forged", forger.token("ann"), "bad-id-token"),
        ("unsigned", none, "bad-id-token"),
        ("symmetric", hs256, "bad-id-token"),
        ("another key", header(json!({"alg": "EdDSA", "kid": "b"})), "bad-id-token"),
        ("another algorithm", header(json!({"alg": "RS256", "kid": "a"})), "bad-id-token"),
        ("critical", header(json!({"alg": "EdDSA", "kid": "a", "crit": ["exp"], "exp": 1})), "bad-id-token"),
        ("critical, of nothing", header(json!({"alg": "EdDSA", "kid": "a", "crit": []})), "bad-id-token"),
        ("unencoded", header(json!({"alg": "EdDSA", "kid": "a", "crit": ["b64"], "b64": false})), "bad-id-token"),
        ("another issuer", set("iss", json!("https://evil.example.com")), "bad-id-token"),
        ("issuers", set("iss", json!([ISSUER])), "bad-id-token"),
        ("another audience", set("aud", json!("other")), "bad-id-token"),
        ("other audiences", set("aud", json!(["other", "more"])), "bad-id-token"),
        ("expired", set("exp", json!(now - 61)), "token-expired"),
        ("not yet", set("nbf", json!(now + 120)), "bad-id-token"),
        ("from the future", set("iat", json!(now + 120)), "bad-id-token"),
        ("too old", set("iat", json!(now - 25 * 3600)), "token-expired"),
        ("no end", without("exp"), "bad-id-token"),
        ("no start", without("iat"), "bad-id-token"),
        ("nobody", without("sub"), "bad-id-token"),
        ("nobody's", without("iss"), "bad-id-token"),
        ("for nobody", without("aud"), "bad-id-token"),
        ("an empty subject", set("sub", json!("")), "bad-id-token"),
        ("a long subject", set("sub", json!("x".repeat(256))), "bad-id-token"),
        ("a number", set("sub", json!(7)), "bad-id-token"),
        ("no token", "eyJ".into(), "bad-id-token"),
        ("nothing", String::new(), "bad-id-token"),
        ("too much", format!("eyJ{}", "x".repeat(20_000)), "bad-id-token"),
    ];
    for (what, token, slug) in table {
        println!("{what}");
        sign_in(&server, &org, &token).expect_problem(401, slug);
        if token.starts_with("eyJ") && token.len() < 8_000 {
            let answer = server.get("/v1/me", &token);
            assert_eq!(answer.status, 401, "{what}: {}", answer.json());
        }
    }
    // A minute's leeway, several audiences, no name of the key.
    for token in [
        set("exp", json!(now - 30)),
        set("nbf", json!(now + 30)),
        set("aud", json!(["other", AUDIENCE])),
        set("exp", json!(now as f64 + 60.5)),
        header(json!({"alg": "EdDSA"})),
    ] {
        sign_in(&server, &org, &token).expect(201);
        assert_eq!(server.get("/v1/me", &token).expect(200).text("/user_id"), user);
    }
    for (body, field) in [
        (json!({"organizer_id": org}), "id_token"),
        (json!({"id_token": "x"}), "organizer_id"),
        (json!({"email": "a@b.c", "id_token": "x", "organizer_id": org}), "body"),
        (json!({}), "email"),
    ] {
        let answer = server.post("/v1/sessions", "", body).expect_problem(400, "invalid-request");
        assert_eq!(answer.json()["field"], field);
    }
    let change = json!({"current_password": "correct horse", "new_password": "battery staple"});
    put(&server, "/v1/me/password", &session, change).expect_problem(409, "no-password");

    // Log-out ends the token itself, too, and everything that is as old.
    let token = signer.token("ann");
    server.get("/v1/me", &token).expect(200);
    delete(&server, "/v1/sessions/current", &token).expect(204);
    server.get("/v1/me", &token).expect_problem(401, "session-ended");
    server.get("/v1/me", &session).expect(200);
    delete(&server, "/v1/sessions", &session).expect(204);
    server.get("/v1/me", &session).expect_problem(401, "session-ended");
    sign_in(&server, &org, &token).expect_problem(401, "session-ended");

    // Erased without a password; an old token does not bring the person back, a new one brings somebody new.
    let bobs = signer.token("bob");
    delete(&server, "/v1/me", &bob.text("/token")).expect(204);
    server.get("/v1/me", &bobs).expect_problem(401, "session-ended");
    sign_in(&server, &org, &bobs).expect_problem(401, "session-ended");
    let later = signer.token_with("bob", |claims| claims["iat"] = json!(now_s() + 2));
    let new = sign_in(&server, &org, &later).expect(201);
    assert_ne!(new.text("/user_id"), bob.text("/user_id"));
    delete(&server, "/v1/me", &new.text("/token")).expect(204);

    // Without the provider nobody comes in with its tokens.
    let path = "/v1/organizer/identity-provider";
    let fresh = signer.token("cid");
    server.get("/v1/me", &fresh).expect(200);
    delete(&server, path, &other_key).expect(204);
    delete(&server, path, &key).expect(204);
    server.get("/v1/me", &fresh).expect_problem(401, "unauthenticated");
    sign_in(&server, &org, &fresh).expect_problem(401, "bad-id-token");
    server.stop();
    assert_no_trace(&data, &["bob@idp.example.net", "Name of bob"]);
    let verified = std::process::Command::new(env!("CARGO_BIN_EXE_onsale")).arg("verify").arg(&data).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

/// Ways to name this machine and its network, whatever a resolver makes of them.
#[test]
fn a_key_set_that_is_inside_is_not_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &[]);
    // Not every machine has the second.
    let inside: Vec<_> = ["127.0.0.1:0", "[::1]:0"].into_iter().flat_map(TcpListener::bind).collect();
    let ports: Vec<u16> = inside.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
    inside.iter().for_each(|listener| listener.set_nonblocking(true).unwrap());
    let signer = Signer::new("a");
    let literals = ["127.0.0.1", "127.1.2.3", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "169.254.169.254"];
    let networks =
        ["10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "[fd00::1]", "[fe80::1]", "[64:ff9b::a00:1]"];
    for host in literals.into_iter().chain(networks) {
        let (_, key) = organizer(&server);
        let refused = trust(&server, &key, json!({"jwks_url": format!("https://{host}:{}/", ports[0])}));
        assert_eq!(refused.expect_problem(400, "invalid-request").json()["field"], "jwks_url", "{host}");
    }
    // What is only known once it is looked up: names, and numbers that some resolvers take for addresses.
    for host in ["localhost", "LOCALHOST", "localhost.", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0"] {
        for port in &ports {
            let (org, key) = organizer(&server);
            let answer = trust(&server, &key, json!({"jwks_url": format!("https://{host}:{port}/jwks.json")}));
            if answer.status == 200 {
                let refused = sign_in(&server, &org, &signer.token("ann"));
                refused.expect_problem(503, "identity-provider-unavailable");
            } else {
                answer.expect_problem(400, "invalid-request");
            }
        }
    }
    for listener in inside {
        assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "somebody called");
    }
}

#[test]
fn keys_are_fetched_cached_and_survive_the_providers_outage() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data, &[PRIVATE]);
    let (org, key) = organizer(&server);
    let (a, b) = (Signer::new("a"), Signer::new("b"));
    let provider = Provider::start(&a.set());
    trust(&server, &key, json!({"jwks_url": provider.url})).expect(200);
    for subject in ["ann", "bob", "cid"] {
        sign_in(&server, &org, &a.token(subject)).expect(201);
    }
    assert_eq!(provider.hits(), 1, "it is fetched once");
    // A key that was never there: the provider was asked a moment ago.
    for _ in 0..5 {
        sign_in(&server, &org, &b.token("ann")).expect_problem(401, "bad-id-token");
    }
    assert_eq!(provider.hits(), 1);
    // The provider is away: what was fetched is good.
    provider.say(http("500 Internal Server Error", "away"));
    sign_in(&server, &org, &a.token("ann")).expect(201);
    server.get("/v1/me", &a.token("ann")).expect(200);
    server.kill();

    // There never were keys: that is told, with a time to try again, and the provider is not asked every time.
    let server = Server::start(&data, &[PRIVATE]);
    let refused = sign_in(&server, &org, &a.token("ann")).expect_problem(503, "identity-provider-unavailable");
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    for _ in 0..9 {
        server.get("/v1/me", &a.token("ann")).expect_problem(503, "identity-provider-unavailable");
    }
    assert!(provider.hits() < 10, "it was asked {} times", provider.hits());
    // Neither a redirect, nor too much, nor nonsense is taken; each is tried by another organizer.
    let other = Provider::start(&a.set());
    let large = json!({"keys": [a.jwk()], "more": "x".repeat(300 << 10)});
    for answer in [
        format!("HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", other.url),
        ok(&large),
        http("200 OK", "<html>"),
        http("200 OK", "{\"keys\":[]}"),
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".into(),
    ] {
        let (org, key) = organizer(&server);
        let bad = Provider::start(&a.set());
        bad.say(answer);
        trust(&server, &key, json!({"jwks_url": bad.url})).expect(200);
        sign_in(&server, &org, &a.token("ann")).expect_problem(503, "identity-provider-unavailable");
        assert_eq!(bad.hits(), 1);
    }
    assert_eq!(other.hits(), 0, "a redirect is not followed");
    // It is back.
    provider.say(ok(&json!({"keys": [a.jwk(), b.jwk()]})));
    let until = std::time::Instant::now() + crate::common::PATIENCE;
    while sign_in(&server, &org, &b.token("ann")).status != 201 {
        assert!(std::time::Instant::now() < until, "the provider is never asked again");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    sign_in(&server, &org, &a.token("ann")).expect(201);
}

#[test]
fn a_stream_ends_with_the_token_and_the_provider_that_opened_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &[]);
    let (_, key) = organizer(&server);
    let (signer, other) = (Signer::new("a"), Signer::new("b"));
    trust(&server, &key, json!({"jwks": signer.set()})).expect(200);
    let queue = json!({"name": "Tour", "policy": {"manual": true}});
    let queue = server.post("/v1/queues", &key, queue).expect(201).text("/queue_id");
    let join = |token: &str| {
        let joined = server.post(&format!("/v1/queues/{queue}/entries"), token, json!({})).expect(201);
        format!("{}/events", joined.header("location").unwrap())
    };
    let open = |path: &str, token: &str| {
        let mut stream = Stream::of(&server, path, token);
        stream.until(|(name, ..)| name == "entry");
        stream
    };
    // Signed out: both tokens of the person, and nobody else's.
    let (ann, anns_second, bob) =
        (signer.token("ann"), signer.token_with("ann", |claims| claims["n"] = 2.into()), signer.token("bob"));
    let (anns, bobs) = (join(&ann), join(&bob));
    let mut streams = [open(&anns, &ann), open(&anns, &anns_second)];
    let mut bob_watches = open(&bobs, &bob);
    delete(&server, "/v1/sessions", &ann).expect(204);
    for (stream, token) in streams.iter_mut().zip([&ann, &anns_second]) {
        stream.ends_for_good("session-ended");
        server.send(again(&anns, token)).expect_problem(401, "session-ended");
    }
    // It expires; up to a minute later it is taken.
    let short = signer.token_with("cid", |claims| claims["exp"] = (now_s() - 55).into());
    let cids = join(&short);
    open(&cids, &short).ends_for_good("token-expired");
    assert_eq!(server.get(&cids, &short).status, 401);
    // Another provider, whose token it may be as well: whoever comes back is checked anew.
    let path = "/v1/organizer/identity-provider";
    let change = |body: Value| {
        let mut all = json!({"issuer": ISSUER, "audience": AUDIENCE});
        all.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        let tag = server.get(path, &key).expect(200).header("etag").unwrap().to_owned();
        server.send(Request::new("PUT", path).token(&key).header("If-Match", &tag).json(all)).expect(200);
    };
    change(json!({"jwks": {"keys": [signer.jwk(), other.jwk()]}}));
    let end = bob_watches.end();
    assert_eq!((end.reason.as_str(), end.reconnect), ("provider-changed", true));
    let mut bob_watches = open(&bobs, &bob);
    change(json!({"jwks": other.set()}));
    assert_eq!(bob_watches.end().reason, "provider-changed");
    assert_eq!(server.get(&bobs, &bob).status, 401);
    // Off, and gone.
    let dan = other.token("dan");
    let dans = join(&dan);
    let mut dan_watches = open(&dans, &dan);
    change(json!({"jwks": other.set(), "enabled": false}));
    dan_watches.ends_for_good("provider-disabled");
    assert_eq!(server.send(again(&dans, &dan)).status, 401);
    change(json!({"jwks": other.set()}));
    let mut dan_watches = open(&dans, &dan);
    delete(&server, path, &key).expect(204);
    dan_watches.ends_for_good("provider-disabled");
    server.stop();
}
