//! Who may join a queue, and the tokens that its organizer signs.

use super::keys::{Keys, now_s};
use crate::common::{Answer, Request, Server, User};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

const ISSUER: &str = "https://shop.example";

struct Shop {
    server: Server,
    organizer: String,
    keys: Keys,
    data: tempfile::TempDir,
}

impl Shop {
    fn start() -> Shop {
        let data = tempfile::tempdir().unwrap();
        let server = Server::start(&data.path().join("data"), &[]);
        let (organizer, keys) = (server.organizer(), Keys::serve(&json!({"keys": []})));
        let provider = json!({"issuer": ISSUER, "audience": "shop", "jwks": {"keys": [keys.jwk()]}});
        let set = Request::new("PUT", "/v1/organizer/identity-provider").token(&organizer).json(provider);
        server.send(set).expect(200);
        Shop { server, organizer, keys, data }
    }

    fn data(&self) -> std::path::PathBuf {
        self.data.path().join("data")
    }

    fn queue(&self, join: &str) -> String {
        let body = json!({"name": "Tour", "policy": {"manual": true}, "join": join});
        let made = self.server.post("/v1/queues", &self.organizer, body).expect(201);
        assert_eq!(made.text("/join"), join);
        made.text("/queue_id")
    }

    fn token(&self, queue: &str, sub: &str, jti: &str) -> String {
        self.keys.sign(&Keys::header(), &json!({"iss": ISSUER, "aud": queue, "sub": sub, "jti": jti}))
    }

    fn join(&self, queue: &str, token: &str) -> Answer {
        self.server.post(&format!("/v1/queues/{queue}/entries"), "", json!({"token": token}))
    }
}

fn verified(data: &Path) {
    let checked = Command::new(env!("CARGO_BIN_EXE_onsale")).arg("verify").arg(data).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}

#[test]
fn a_queue_says_who_may_join() {
    let shop = Shop::start();
    let User { token: user, .. } = shop.server.user("ann");
    let claims = json!({"iss": ISSUER, "aud": "shop", "sub": "p", "iat": now_s(), "exp": now_s() + 600});
    let identity = shop.keys.sign(&Keys::header(), &claims);
    let table = [
        ("anyone", [true, true, true, true, true]),
        ("account", [true, true, false, false, false]),
        ("identity", [false, true, false, false, false]),
        ("visitor", [false, false, true, false, false]),
        ("token", [false, false, false, true, false]),
    ];
    for (join, allowed) in table {
        let queue = shop.queue(join);
        let path = format!("/v1/queues/{queue}/entries");
        let token = json!({"token": shop.token(&queue, "w", "j")});
        let ways = [
            ("account", user.as_str(), json!({})),
            ("identity", &identity, json!({})),
            ("visitor", &shop.organizer, json!({"visitor": "v"})),
            ("token", "", token.clone()),
            ("nothing", "", json!({})),
        ];
        for ((way, credential, body), allowed) in ways.into_iter().zip(allowed) {
            let answer = shop.server.post(&path, credential, body);
            assert_eq!((join, way, answer.status), (join, way, if allowed { 201 } else { 403 }));
            if !allowed {
                assert_eq!(answer.expect_problem(403, "join-not-allowed").text("/join"), join);
            }
        }
        let both = shop.server.post(&path, &user, token);
        assert_eq!(both.expect_problem(400, "invalid-request").text("/field"), "token");
    }
    // Another rule from now on: whoever waits goes on, and comes back by what they are known by here.
    let queue = shop.queue("anyone");
    let path = format!("/v1/queues/{queue}/entries");
    let nobody = shop.server.post(&path, "", json!({})).expect(201);
    let change = Request::new("PATCH", &format!("/v1/queues/{queue}")).token(&shop.organizer).header("If-Match", "*");
    assert_eq!(shop.server.send(change.json(json!({"join": "token"}))).expect(200).text("/join"), "token");
    shop.server.post(&path, "", json!({})).expect(403);
    shop.server.post(&path, &nobody.text("/waiting_token"), json!({})).expect(200);
    let data = shop.data();
    shop.server.stop();
    verified(&data);
}

#[test]
fn only_what_the_organizer_has_signed_for_this_queue_is_taken() {
    let shop = Shop::start();
    let queue = shop.queue("token");
    let (header, good) = (Keys::header(), json!({"iss": ISSUER, "aud": queue, "sub": "s", "jti": "j"}));
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        shop.keys.sign(&header, &claims)
    };
    let headed = |name: &str, value: Value| {
        let mut header = header.clone();
        header[name] = value;
        shop.keys.sign(&header, &good)
    };
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        shop.keys.sign(&header, &claims)
    };
    let token = shop.keys.sign(&header, &good);
    let (unsigned, signature) = token.rsplit_once('.').unwrap();
    let table = [
        ("nonsense", "nonsense".to_owned()),
        ("nothing", String::new()),
        ("another queue", with("aud", json!(shop.queue("token")))),
        ("several queues", with("aud", json!([queue, "other"]))),
        ("signing in", with("aud", json!("shop"))),
        ("another issuer", with("iss", json!("https://other.example"))),
        ("no issuer", without("iss")),
        ("no queue", without("aud")),
        ("nobody", without("sub")),
        ("nobody's name", with("sub", json!(""))),
        ("too long a name", with("sub", json!("x".repeat(129)))),
        ("no jti", without("jti")),
        ("an empty jti", with("jti", json!(""))),
        ("too long a jti", with("jti", json!("x".repeat(256)))),
        ("expired", with("exp", json!(now_s() - 120))),
        ("not valid yet", with("nbf", json!(now_s() + 600))),
        ("an unknown key", headed("kid", json!("other"))),
        ("an extension", headed("crit", json!(["b64"]))),
        ("HMAC", headed("alg", json!("HS256"))),
        ("alg none", format!("{}.", headed("alg", json!("none")).rsplit_once('.').unwrap().0)),
        ("no signature", format!("{unsigned}.")),
        ("another signature", format!("{}.{signature}", with("sub", json!("t")).rsplit_once('.').unwrap().0)),
    ];
    for (what, token) in table {
        let answer = shop.join(&queue, &token);
        assert_eq!((what, answer.status), (what, 401), "{}", String::from_utf8_lossy(&answer.body));
        answer.expect_problem(401, "bad-join-token");
    }
    shop.join(&queue, &token).expect(201);
    // The organizer switches its keys off.
    let provider = json!({"issuer": ISSUER, "audience": "shop", "jwks": {"keys": [shop.keys.jwk()]}, "enabled": false});
    let off = Request::new("PUT", "/v1/organizer/identity-provider").token(&shop.organizer).header("If-Match", "*");
    shop.server.send(off.json(provider)).expect(200);
    shop.join(&queue, &shop.token(&queue, "t", "k")).expect_problem(401, "bad-join-token");
    shop.server.stop();
}

#[test]
fn a_jti_opens_one_place_whatever_happens_in_between() {
    let shop = Shop::start();
    let queue = shop.queue("token");
    let first = shop.join(&queue, &shop.token(&queue, "ann", "first")).expect(201);
    let again = shop.join(&queue, &shop.token(&queue, "ann", "first")).expect(200);
    assert_eq!(first.text("/entry_id"), again.text("/entry_id"), "an answer that was lost");
    let other = shop.join(&queue, &shop.token(&queue, "ann", "second")).expect(200);
    assert_eq!(first.text("/entry_id"), other.text("/entry_id"), "one place a person");
    shop.join(&queue, &shop.token(&queue, "bob", "first")).expect_problem(409, "join-token-used");
    // Ten people with each of many tokens, at once, until the server dies.
    let (stop, url) = (AtomicBool::new(false), shop.server.address().to_owned());
    let joined: Vec<(u32, u32)> = std::thread::scope(|scope| {
        let people = (0..10u32).map(|person| {
            let (stop, url, shop, queue) = (&stop, &url, &shop, &queue);
            scope.spawn(move || {
                let mut joined = Vec::new();
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let token = shop.token(queue, &format!("p-{person}-{number}"), &format!("j-{number}"));
                    match status_of(url, &format!("/v1/queues/{queue}/entries"), &json!({"token": token})) {
                        Some(201) => joined.push((number, person)),
                        Some(409) => {}
                        Some(status) => panic!("{status}"),
                        None => break,
                    }
                }
                joined
            })
        });
        let people: Vec<_> = people.collect();
        std::thread::sleep(std::time::Duration::from_millis(1_500));
        shop.server.signal("KILL");
        stop.store(true, Ordering::Relaxed);
        people.into_iter().flat_map(|person| person.join().unwrap()).collect()
    });
    assert!(joined.len() > 20, "only {} joined", joined.len());
    let mut numbers: Vec<u32> = joined.iter().map(|(number, _)| *number).collect();
    numbers.sort_unstable();
    assert!(numbers.windows(2).all(|pair| pair[0] != pair[1]), "a token opened two places");
    let data = shop.data();
    let Shop { organizer, keys, data: folder, .. } = shop;
    let server = Server::start(&data, &[]);
    let shop = Shop { server, organizer, keys, data: folder };
    for (number, person) in joined {
        let token = |name: &str| shop.token(&queue, name, &format!("j-{number}"));
        shop.join(&queue, &token("eve")).expect_problem(409, "join-token-used");
        shop.join(&queue, &token(&format!("p-{person}-{number}"))).expect(200);
    }
    shop.join(&queue, &shop.token(&queue, "bob", "first")).expect_problem(409, "join-token-used");
    shop.server.stop();
    verified(&data);
}

/// The status of an answer; none from a server that dies meanwhile.
fn status_of(address: &str, path: &str, body: &Value) -> Option<u16> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    stream.write_all(&Request::new("POST", path).json(body.clone()).bytes("close")).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split(' ').nth(1)?.parse().ok()
}
