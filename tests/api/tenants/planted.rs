//! Secrets and who people are: planted in every way that they come in, and then looked for wherever something is written or
//! answered. What goes out through Kafka is looked at by `services_kafka`.

use crate::common::queues::Person;
use crate::common::{OPERATOR_KEY, PATIENCE, Request, Server};
use serde_json::json;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

const EMAIL: &str = "kim.minsu@plant.example";
const NAME: &str = "Kim Minsu of Plant";
const PASSWORD: &str = "planted horse one";
const NEW_PASSWORD: &str = "planted horse two";
const WRONG_PASSWORD: &str = "planted horse three";
const OF_POSTGRES: &str = "planted-of-postgres";
const OF_KAFKA: &str = "planted-of-kafka";
/// A token of an identity provider that nobody knows.
const ID_TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJwbGFudGVkIn0.cGxhbnRlZA";

/// None of what was planted is in there.
#[track_caller]
fn look(planted: &[String], place: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for planted in planted {
        if let Some(at) = text.find(planted.as_str()) {
            let around: String = text[at..].chars().take(200).collect();
            panic!("{planted:?} is in {place}: {around}");
        }
    }
}

#[test]
fn secrets_are_in_no_log_no_error_no_figure_and_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let postgres = format!("postgres://reader:{OF_POSTGRES}@127.0.0.1:1/read");
    let mut flags = vec!["--log", "trace", "--log-format", "text", "--snapshot-events", "5", "--self-charge"];
    flags.extend(["--journal-bytes", "131072"]);
    flags.extend(["--postgres", &postgres, "--kafka", "127.0.0.1:1", "--kafka-sasl", "PLAIN"]);
    flags.extend(["--kafka-sasl-username", "onsale", "--kafka-sasl-password", OF_KAFKA]);
    let server = Server::start(&data, &flags);
    let sign_up = json!({"email": EMAIL, "name": NAME, "password": PASSWORD});
    let user = server.post("/v1/users", "", sign_up.clone()).expect(201).text("/session/token");
    let key = server.organizer();
    let queue = server.post("/v1/queues", &key, json!({"name": "Q", "policy": {"manual": true}})).expect(201);
    let queue = format!("/v1/queues/{}", queue.text("/queue_id"));
    let person = Person::of(server.post(&format!("{queue}/entries"), "", json!({})).expect(201));
    server.post(&format!("{queue}/admissions"), &key, json!({"count": 1})).expect(200);
    let admission = person.until(&server, "admitted")["admission"]["token"].as_str().unwrap().to_owned();
    server.post(&format!("{}/claim", person.path), &admission, json!({})).expect(200);
    let session = json!({"email": EMAIL, "password": PASSWORD});
    let session = server.post("/v1/sessions", "", session).expect(201).text("/token");
    server.send(Request::new("DELETE", "/v1/sessions/current").token(&session)).expect(204);

    let secrets = [EMAIL, NAME, PASSWORD, NEW_PASSWORD, WRONG_PASSWORD, OF_POSTGRES, OF_KAFKA, ID_TOKEN, OPERATOR_KEY];
    let tokens = [&user, &key, &person.token, &admission, &session];
    // Of tokens what follows the kind and the public part.
    let planted = secrets.iter().map(|text| (*text).to_owned());
    let planted: Vec<String> = planted.chain(tokens.iter().map(|token| token[token.len() / 2..].to_owned())).collect();
    let refuse = |request: Request| {
        let answer = server.send(request);
        assert!((400..500).contains(&answer.status), "{answer:?}");
        look(&planted, "an answer", &answer.body);
    };
    let post = |path: &str| Request::new("POST", path);
    // Somebody is known here, or not; a password is wrong, too long, no text, in the wrong place.
    refuse(post("/v1/users").json(sign_up));
    refuse(post("/v1/sessions").json(json!({"email": EMAIL, "password": WRONG_PASSWORD})));
    refuse(post("/v1/sessions").json(json!({"email": EMAIL, "password": [PASSWORD]})));
    refuse(post("/v1/sessions").json(json!({"email": [EMAIL], "password": PASSWORD, "name": NAME})));
    refuse(post("/v1/sessions").json(json!({"email": EMAIL, "password": PASSWORD.repeat(100)})));
    refuse(post("/v1/sessions").body("application/json", format!("{{\"password\": \"{PASSWORD}\"").as_bytes()));
    refuse(post("/v1/sessions").body("text/plain", PASSWORD.as_bytes()));
    refuse(post("/v1/sessions").json(json!({"organizer_id": uuid::Uuid::nil(), "id_token": ID_TOKEN})));
    refuse(post("/v1/users").json(json!({"email": format!("{EMAIL} "), "password": "x", "name": NAME})));
    let change = json!({"current_password": WRONG_PASSWORD, "new_password": NEW_PASSWORD});
    refuse(Request::new("PUT", "/v1/me/password").token(&user).json(change));
    refuse(Request::new("DELETE", "/v1/me").token(&user).json(json!({"password": WRONG_PASSWORD})));
    // Tokens that were ended, altered, of another kind, or that stand where none should.
    for token in tokens.into_iter().map(String::as_str).chain([ID_TOKEN, OPERATOR_KEY]) {
        refuse(Request::new("GET", "/v1/me").token(&format!("{token}x")));
        refuse(Request::new("GET", &format!("/v1/reservations/{token}")).token(token));
        refuse(Request::new("GET", &format!("/v1/me/reservations?cursor={token}")).token(&user));
        refuse(Request::new("GET", &format!("/v1/organizers/{token}?{token}={token}")).token(token));
        refuse(Request::new("GET", &format!("{}/events?waiting_token={token}x", person.path)));
        refuse(post("/v1/wallet/charges").token(token).key(token).json(json!({"points": 0, "reference": token})));
        refuse(Request::new(if token == user { "PATCH" } else { "GET" }, "/v1/me").header("Authorization", token));
        refuse(Request::new("GET", &format!("/{}", token.repeat(200))));
        refuse(Request::new("GET", "/v1/me").header("X-Long", &token.repeat(2_000)));
    }
    let changed = json!({"current_password": PASSWORD, "new_password": NEW_PASSWORD});
    let answer = server.send(Request::new("PUT", "/v1/me/password").token(&user).json(changed)).expect(200);
    let newest = answer.text("/token");
    // Databases and brokers that are not there are complained about.
    let until = Instant::now() + PATIENCE;
    loop {
        let ready = server.get("/readyz?verbose", "");
        look(&planted, "/readyz?verbose", &ready.body);
        let outputs = ready.json()["outputs"].as_array().unwrap().clone();
        if outputs.iter().all(|output| output["status"] == "failing") {
            assert_eq!(outputs.len(), 2);
            break;
        }
        assert!(Instant::now() < until, "{outputs:?}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    for path in ["/metrics", "/readyz?verbose", "/openapi.json", "/v1/organizers"] {
        look(&planted, path, &server.get(path, if path.starts_with("/v1") { OPERATOR_KEY } else { "" }).body);
    }
    let said = server.errors();
    assert!(said.contains("TRACE") && said.contains("/v1/sessions"), "everything is logged here");
    let told = ["config"].into_iter().chain(flags.iter().copied());
    let shown = Command::new(env!("CARGO_BIN_EXE_onsale")).args(told).env("ONSALE_OPERATOR_KEY", OPERATOR_KEY).output();
    let shown = shown.unwrap();
    assert!(shown.status.success() && String::from_utf8_lossy(&shown.stdout).contains("postgres"), "{shown:?}");
    look(&planted, "onsale config", &shown.stdout);
    server.stop();
    let planted = [planted, vec![newest[newest.len() / 2..].to_owned()]].concat();
    look(&planted, "what is logged", said.as_bytes());
    let listed = Command::new(env!("CARGO_BIN_EXE_onsale")).arg("log").arg(&data).output().unwrap();
    assert!(listed.status.success() && !listed.stdout.is_empty(), "{listed:?}");
    look(&planted, "onsale log", &listed.stdout);
    files(&data, &|path, bytes| look(&planted, &path.display().to_string(), bytes));
}

/// Every file below a folder.
fn files(folder: &Path, each: &dyn Fn(&Path, &[u8])) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, each);
        } else if let Ok(bytes) = std::fs::read(&path) {
            each(&path, &bytes);
        }
    }
}
