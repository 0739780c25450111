//! Tenants and roles: sessions that end, keys that are revoked, erased accounts, and that nobody sees what is not theirs.

mod erasure;
mod identity;
mod matrix;
mod planted;

use crate::common::{self, OPERATOR_KEY, PATIENCE, Request, Server, User};
use security::vault::KeyState;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

const PASSWORD: &str = "correct horse";

fn session_of(server: &Server, name: &str) -> String {
    let body = json!({"email": format!("{name}@example.com"), "password": PASSWORD});
    server.post("/v1/sessions", "", body).expect(201).text("/token")
}

fn delete(server: &Server, path: &str, token: &str) -> common::Answer {
    server.send(Request::new("DELETE", path).token(token))
}

fn delete_with(server: &Server, path: &str, token: &str, body: Value) -> common::Answer {
    server.send(Request::new("DELETE", path).token(token).json(body))
}

fn put(server: &Server, path: &str, token: &str, body: Value) -> common::Answer {
    server.send(Request::new("PUT", path).token(token).json(body))
}

/// Waits until a snapshot with everything up to `position` is there.
fn await_snapshot(data: &Path, position: u64) {
    let until = Instant::now() + PATIENCE;
    let newest = || {
        let files = std::fs::read_dir(data.join("snapshots")).ok()?;
        let name = |file: std::fs::DirEntry| file.file_name().to_str()?.strip_prefix("snapshot-")?.parse::<u64>().ok();
        files.flatten().filter_map(name).max()
    };
    while newest().is_none_or(|newest| newest < position) {
        assert!(Instant::now() < until, "no snapshot is made");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_log_out_ends_one_session_and_one_from_everywhere_all_of_them() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path().join("data");
    let server = Server::start(&data, &["--snapshot-events", "1"]);
    let ann = server.user("ann");
    let bob = server.user("bob");
    let me = |server: &Server, token: &str| server.get("/v1/me", token);
    let tokens: Vec<String> = (0..3).map(|_| session_of(&server, "ann")).collect();

    delete(&server, "/v1/sessions/current", &tokens[0]).expect(204);
    me(&server, &tokens[0]).expect_problem(401, "session-ended");
    delete(&server, "/v1/sessions/current", &tokens[0]).expect_problem(401, "session-ended");
    server.get("/v1/wallet", &tokens[0]).expect_problem(401, "session-ended");
    for token in [&tokens[1], &ann.token, &bob.token] {
        me(&server, token).expect(200);
    }
    delete(&server, "/v1/sessions", &tokens[1]).expect(204);
    // In the same millisecond or not: what begins afterwards holds.
    let later: Vec<String> = (0..20)
        .map(|_| {
            let token = session_of(&server, "ann");
            delete(&server, "/v1/sessions", &token).expect(204);
            let new = session_of(&server, "ann");
            me(&server, &token).expect_problem(401, "session-ended");
            me(&server, &new).expect(200);
            new
        })
        .collect();
    let last = later.last().unwrap();
    let ended = delete(&server, "/v1/sessions/current", &session_of(&server, "bob")).expect(204);
    let position: u64 = ended.header("onsale-position").unwrap().parse().unwrap();

    let check = |server: &Server| {
        for token in tokens.iter().chain([&ann.token]).chain(&later[..19]) {
            me(server, token).expect_problem(401, "session-ended");
        }
        me(server, last).expect(200);
        me(server, &bob.token).expect(200);
    };
    check(&server);
    // From the log, and from a snapshot.
    server.kill();
    let server = Server::start(&data, &["--snapshot-events", "1"]);
    check(&server);
    await_snapshot(&data, position);
    server.kill();
    check(&Server::start(&data, &[]));
}

#[test]
fn another_password_ends_all_sessions() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path().join("data");
    let server = Server::start(&data, &[]);
    let ann = server.user("ann");
    let change = |token: &str, current: &str, new: &str| {
        put(&server, "/v1/me/password", token, json!({"current_password": current, "new_password": new}))
    };
    change(&ann.token, "wrong horse", "battery staple").expect_problem(403, "wrong-password");
    change(&ann.token, &"x".repeat(300), "battery staple").expect_problem(403, "wrong-password");
    let short = change(&ann.token, PASSWORD, "short").expect_problem(400, "invalid-request");
    assert_eq!(short.json()["field"], "new_password");
    assert!(short.text("/detail").starts_with("new_password: "), "{}", short.json());
    change("", PASSWORD, "battery staple").expect_problem(401, "unauthenticated");
    let before = server.get("/v1/me", &ann.token).expect(200);
    let changed = change(&ann.token, PASSWORD, "battery staple").expect(200);
    let new = changed.text("/token");
    assert_eq!(changed.text("/user_id"), ann.id);
    server.get("/v1/me", &ann.token).expect_problem(401, "session-ended");
    let after = server.get("/v1/me", &new).expect(200);
    assert_eq!(after.json(), before.json());
    assert_ne!(after.header("etag"), before.header("etag"));
    change(&new, PASSWORD, "battery staple").expect_problem(403, "wrong-password");

    let sign_in = |server: &Server, password: &str| {
        server.post("/v1/sessions", "", json!({"email": "ann@example.com", "password": password}))
    };
    sign_in(&server, PASSWORD).expect_problem(401, "bad-credentials");
    sign_in(&server, "battery staple").expect(201);
    server.kill();
    let server = Server::start(&data, &[]);
    sign_in(&server, PASSWORD).expect_problem(401, "bad-credentials");
    sign_in(&server, "battery staple").expect(201);
    server.get("/v1/me", &ann.token).expect_problem(401, "session-ended");
    server.get("/v1/me", &new).expect(200);
}

#[test]
fn keys_are_made_listed_used_and_revoked() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path().join("data");
    let server = Server::start(&data, &[]);
    let created = server.post("/v1/organizers", OPERATOR_KEY, json!({"name": "Org"})).expect(201);
    let (id, first) = (created.text("/organizer_id"), created.text("/key/secret"));
    assert_eq!(created.header("location"), Some(format!("/v1/organizers/{id}").as_str()));
    let keys = |token: &str| server.get("/v1/organizer/keys", token).expect(200).json()["items"].clone();
    let create = |token: &str, key: &str, name: Value| {
        server.send(Request::new("POST", "/v1/organizer/keys").token(token).key(key).json(json!({"name": name})))
    };

    let second = create(&first, "second-key", json!("box office")).expect(201);
    let again = create(&first, "second-key", json!("box office")).expect(201);
    assert_eq!(second.text("/secret"), again.text("/secret"));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    create(&first, "second-key", json!("other")).expect_problem(422, "idempotency-key-reused");
    let unnamed = server.post("/v1/organizer/keys", &first, json!({})).expect(201);
    assert_eq!(unnamed.json()["name"], Value::Null);
    let second_secret = second.text("/secret");
    let own = server.get("/v1/organizer", &second_secret).expect(200);
    assert_eq!((own.text("/organizer_id"), own.text("/key/name")), (id.clone(), "box office".into()));

    let listed = keys(&first);
    assert_eq!(listed.as_array().unwrap().len(), 3);
    for key in listed.as_array().unwrap() {
        assert!(key.get("secret").is_none() && key["revoked_at"].is_null(), "{key}");
    }
    assert!(listed[1]["last_used_at"].is_string() && listed[2]["last_used_at"].is_null(), "{listed}");
    assert_eq!(listed[1]["prefix"].as_str(), second_secret.get(..12));

    // Revoked, the next request is refused; twice is once.
    let key = |index: usize| format!("/v1/organizer/keys/{}", listed[index]["key_id"].as_str().unwrap());
    for _ in 0..2 {
        delete(&server, &key(1), &first).expect(204);
        server.get("/v1/organizer", &second_secret).expect_problem(401, "unauthenticated");
    }
    delete(&server, &key(2), &first).expect(204);
    delete(&server, &key(0), &first).expect_problem(409, "last-key");
    let nothing = format!("/v1/organizer/keys/{}", uuid::Uuid::new_v4());
    delete(&server, &nothing, &first).expect_problem(404, "not-found");
    delete(&server, "/v1/organizer/keys/x", &first).expect_problem(404, "not-found");
    assert!(keys(&first)[1]["revoked_at"].is_string());

    // A page at a time.
    let page = server.get("/v1/organizer/keys?limit=2", &first).expect(200);
    assert_eq!(page.json()["items"].as_array().unwrap().len(), 2);
    let rest = server.get(&format!("/v1/organizer/keys?cursor={}", page.text("/next_cursor")), &first).expect(200);
    assert_eq!((rest.json()["items"].as_array().unwrap().len(), &rest.json()["next_cursor"]), (1, &Value::Null));

    // At most twenty at a time.
    for number in 1..20 {
        create(&first, &format!("one-of-many-{number}"), Value::Null).expect(201);
    }
    let full = create(&first, "one-too-many", Value::Null).expect_problem(409, "too-many-keys");
    assert_eq!(full.json()["limit"], 20);

    server.kill();
    let server = Server::start(&data, &[]);
    server.get("/v1/organizer", &second_secret).expect_problem(401, "unauthenticated");
    let listed = server.get("/v1/organizer/keys", &first).expect(200).json()["items"].clone();
    assert!(listed[1]["last_used_at"].is_string(), "the use was recorded: {listed}");

    // The operator may do all of it, also take the last one away and give another.
    let path = format!("/v1/organizers/{id}/keys");
    let shown = server.get(&path, OPERATOR_KEY).expect(200).json()["items"].clone();
    assert_eq!(shown.as_array().unwrap().len(), 22);
    for key in shown.as_array().unwrap() {
        delete(&server, &format!("{path}/{}", key["key_id"].as_str().unwrap()), OPERATOR_KEY).expect(204);
    }
    server.get("/v1/organizer", &first).expect_problem(401, "unauthenticated");
    let fresh = server.post(&path, OPERATOR_KEY, json!({"name": "fresh"})).expect(201).text("/secret");
    server.get("/v1/organizer", &fresh).expect(200);
    server.stop();
    let verified = std::process::Command::new(env!("CARGO_BIN_EXE_onsale")).arg("verify").arg(&data).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[test]
fn the_operator_lists_organizers_and_they_rename_themselves() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let keys: Vec<String> = (0..3).map(|_| server.organizer()).collect();
    let page = server.get("/v1/organizers?limit=2", OPERATOR_KEY).expect(200);
    assert_eq!(page.json()["items"].as_array().unwrap().len(), 2);
    let rest = server.get(&format!("/v1/organizers?cursor={}", page.text("/next_cursor")), OPERATOR_KEY).expect(200);
    assert_eq!(rest.json()["items"].as_array().unwrap().len(), 1);
    let id = page.text("/items/0/organizer_id");
    assert_eq!(server.get(&format!("/v1/organizers/{id}"), OPERATOR_KEY).expect(200).json(), page.json()["items"][0]);

    let rename = |tag: Option<&str>, name: &str| {
        let request = Request::new("PATCH", "/v1/organizer").token(&keys[0]).json(json!({"name": name}));
        server.send(match tag {
            Some(tag) => request.header("If-Match", tag),
            None => request,
        })
    };
    let tag = server.get("/v1/organizer", &keys[0]).expect(200).header("etag").unwrap().to_owned();
    rename(None, "New").expect_problem(428, "precondition-required");
    rename(Some("\"99\""), "New").expect_problem(412, "precondition-failed");
    rename(Some("W/\"99\""), "New").expect_problem(412, "precondition-failed");
    rename(Some(&tag), " ").expect_problem(400, "invalid-request");
    let renamed = rename(Some(&tag), "New").expect(200);
    assert_eq!(renamed.text("/name"), "New");
    rename(Some(&tag), "Newer").expect_problem(412, "precondition-failed");
    let tag = renamed.header("etag").unwrap().to_owned();
    assert_eq!(server.get("/v1/organizer", &keys[0]).expect(200).header("etag"), Some(tag.as_str()));
}

/// Everything below a folder, as bytes.
fn all_bytes(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(all_bytes(&entry.path()));
        } else if kind.is_file() {
            found.push((entry.path(), std::fs::read(entry.path()).unwrap()));
        }
    }
    found
}

/// What would tell who somebody is, however it is written.
fn traces(texts: &[&str]) -> Vec<Vec<u8>> {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
    let mut found = Vec::new();
    for text in texts {
        found.push(text.as_bytes().to_vec());
        found.push(text.to_uppercase().into_bytes());
        found.push(text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes());
        // However it is aligned: the first and last characters depend on what is beside it.
        for shift in 0..3 {
            for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                let encoded = engine.encode([&vec![b' '; shift][..], text.as_bytes()].concat());
                found.push(encoded.as_bytes()[if shift == 0 { 0 } else { 4 }..encoded.len() - 2].to_vec());
            }
        }
    }
    found
}

fn assert_no_trace(data: &Path, texts: &[&str]) {
    let traces = traces(texts);
    for (path, bytes) in all_bytes(data) {
        // Most of a journal is zeros; what is left is looked through once for all of them.
        for piece in bytes.split(|byte| *byte == 0).filter(|piece| !piece.is_empty()) {
            for trace in traces.iter().filter(|trace| trace.len() <= piece.len()) {
                let at = piece.windows(trace.len()).position(|window| window == trace);
                assert_eq!(at, None, "{} has {:?}", path.display(), String::from_utf8_lossy(trace));
            }
        }
    }
}

/// Everything sealed in the log of a stopped server that the vault beside it still opens.
fn opened(data: &Path) -> Vec<String> {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_onsale")).arg("log").arg(data).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let vault = security::vault::Vault::open(data).unwrap();
    let mut found = Vec::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        let Some(sealed) = event.pointer("/data/sealed").and_then(Value::as_str) else { continue };
        let stream = event["stream"].as_str().unwrap().strip_prefix("account-").unwrap();
        if let Some(plain) = vault.open_sealed(stream.parse().unwrap(), sealed).unwrap() {
            found.push(String::from_utf8(plain).unwrap());
        }
    }
    found
}

#[test]
fn an_erased_person_is_gone_and_the_books_hold() {
    const EMAIL: &str = "grace.hopper.1906@example.com";
    const NAME: &str = "Grace Brewster Hopper";
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data, &["--snapshot-events", "1", "--journal-bytes", "131072"]);
    let organizer = server.organizer();
    let performance = server.performance(&organizer, json!({}));
    let sign_up = |server: &Server, name: &str| {
        let body = json!({"email": EMAIL, "password": PASSWORD, "name": name});
        server.send(Request::new("POST", "/v1/users").key("sign-up-of-grace").json(body))
    };
    let signed_up = sign_up(&server, NAME).expect(201);
    let grace = User { id: signed_up.text("/user_id"), token: signed_up.text("/session/token") };
    let other = server.user("other");
    server.charge(&grace, 500);
    let held = server.hold(&performance, &grace, json!({"seats": ["A-1-1"]})).expect(201).text("/reservation_id");
    server.send(Request::new("POST", &format!("/v1/reservations/{held}/payment")).token(&grace.token)).expect(200);

    let erase = |body: Value| delete_with(&server, "/v1/me", &grace.token, body);
    let missing = delete(&server, "/v1/me", &grace.token).expect_problem(400, "invalid-request");
    assert_eq!(missing.json()["field"], "password");
    erase(json!({})).expect_problem(400, "invalid-request");
    erase(json!({"password": "wrong horse"})).expect_problem(403, "wrong-password");
    erase(json!({"password": PASSWORD, "really": true})).expect_problem(400, "invalid-request");
    server.get("/v1/me", &grace.token).expect(200);
    let erased = erase(json!({"password": PASSWORD})).expect(204);
    let position: u64 = erased.header("onsale-position").unwrap().parse().unwrap();

    let gone = |server: &Server| {
        server.get("/v1/me", &grace.token).expect_problem(401, "session-ended");
        server.get("/v1/wallet", &grace.token).expect_problem(401, "session-ended");
        server
            .post("/v1/sessions", "", json!({"email": EMAIL, "password": PASSWORD}))
            .expect_problem(401, "bad-credentials");
        let availability = server.get(&format!("/v1/performances/{performance}/availability"), "").expect(200);
        assert_eq!(availability.json()["seats"]["booked"], json!(["A-1-1"]));
        server.get("/v1/me", &other.token).expect(200);
    };
    gone(&server);
    assert!(!server.errors().contains(EMAIL) && !server.errors().contains(NAME));
    await_snapshot(&data, position);
    server.stop();
    let verify = || {
        let output =
            std::process::Command::new(env!("CARGO_BIN_EXE_onsale")).args(["verify", "--json"]).arg(&data).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let last = String::from_utf8(output.stdout).unwrap().lines().last().unwrap().to_owned();
        serde_json::from_str::<Value>(&last).unwrap()["counts"].clone()
    };
    assert_no_trace(&data, &[EMAIL, NAME]);
    let counts = verify();
    assert_eq!((&counts["users_erased"], &counts["places_sold"]), (&json!(1), &json!(1)));
    // Two sign-ups and one erasure: only the other person's can be read.
    let readable = opened(&data);
    assert!(readable.len() == 1 && readable[0].contains("other@example.com"), "{readable:?}");

    // The same e-mail is somebody new, with the same Idempotency-Key even, and with nothing.
    let server = Server::start(&data, &["--journal-bytes", "131072"]);
    gone(&server);
    let again = sign_up(&server, "Grace again").expect(201);
    assert_ne!(again.text("/user_id"), grace.id);
    assert_eq!(again.text("/name"), "Grace again");
    let token = again.text("/session/token");
    server.get("/v1/me", &token).expect(200);
    server.get("/v1/me", &grace.token).expect_problem(401, "session-ended");
    assert_eq!(server.get("/v1/wallet", &token).expect(200).json()["balance"], 0);
    server.get(&format!("/v1/reservations/{held}"), &token).expect_problem(404, "not-found");
    server.stop();
    assert_no_trace(&data, &[NAME]);
    assert_eq!(verify()["users"], 3);
}

/// A crash came between the key and the event: whatever comes next finishes it.
#[test]
fn an_erasure_that_was_interrupted_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data, &[]);
    let people: Vec<User> = ["ann", "bob", "cid"].iter().map(|name| server.user(name)).collect();
    server.stop();
    // The keys are destroyed, and nothing else has happened.
    let slots = std::fs::read(data.join("vault")).unwrap();
    let vault = security::vault::Vault::open(&data).unwrap();
    for slot in slots.chunks(64) {
        let account = base::id::AccountId(uuid::Uuid::from_slice(&slot[8..24]).unwrap());
        let KeyState::There(key) = vault.key(account) else { panic!("{account:?} has no key") };
        vault.erase(account, key).unwrap();
    }
    drop(vault);
    let server = Server::start(&data, &[]);
    let sign_in = |name: &str| {
        server.post("/v1/sessions", "", json!({"email": format!("{name}@example.com"), "password": PASSWORD}))
    };
    sign_in("ann").expect_problem(401, "bad-credentials");
    server.get("/v1/me", &people[0].token).expect_problem(404, "not-found");
    // Asked once more, without a password: there is none to compare with.
    delete(&server, "/v1/me", &people[0].token).expect(204);
    delete(&server, "/v1/me", &people[0].token).expect_problem(401, "session-ended");
    let new = server.user("bob");
    assert_ne!(new.id, people[1].id);
    server.get("/v1/me", &people[1].token).expect_problem(401, "session-ended");
    server.get("/v1/me", &new.token).expect(200);
    sign_in("bob").expect(201);
    let change = json!({"current_password": PASSWORD, "new_password": "battery staple"});
    put(&server, "/v1/me/password", &people[2].token, change).expect_problem(404, "not-found");
    server.stop();
    let verified = std::process::Command::new(env!("CARGO_BIN_EXE_onsale")).arg("verify").arg(&data).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

/// Every route that names a thing, for whoever it is not: never more than that there is nothing, or who one must be.
#[test]
fn nobody_sees_what_is_not_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &[]);
    let created = server.post("/v1/organizers", OPERATOR_KEY, json!({"name": "Org"})).expect(201);
    let (organizer, owner) = (created.text("/organizer_id"), created.text("/key/secret"));
    let key_id = created.text("/key/key_id");
    let stranger = server.organizer();
    let (user, other) = (server.user("user"), server.user("other"));
    let concert = server.concert(&owner);
    let performance = server.performance(&owner, json!({}));
    let held = server.hold(&performance, &user, json!({"seats": ["A-1-1"]})).expect(201).text("/reservation_id");
    let missing = uuid::Uuid::new_v4();
    let reservation = format!("/v1/reservations/{held}");
    let seats = json!({"seats": ["A-2-1"]});
    let chart = json!({"chart": common::performance_body()["chart"]});
    // Method, path, body; then what another user, another organizer, and nobody get.
    let table = [
        ("GET", reservation.clone(), None, (404, 403, 401)),
        ("DELETE", reservation.clone(), None, (404, 403, 401)),
        ("POST", format!("{reservation}/payment"), None, (404, 403, 401)),
        ("POST", format!("{reservation}/extension"), None, (404, 403, 401)),
        ("PATCH", format!("/v1/performances/{performance}"), Some(json!({"state": "paused"})), (403, 404, 401)),
        ("POST", format!("/v1/performances/{performance}/seat-blocks"), Some(seats.clone()), (403, 404, 401)),
        ("POST", format!("/v1/performances/{performance}/seat-unblocks"), Some(seats), (403, 404, 401)),
        ("POST", format!("/v1/concerts/{concert}/performances"), Some(common::performance_body()), (403, 404, 401)),
        ("PATCH", format!("/v1/concerts/{concert}"), Some(json!({"title": "Mine"})), (403, 404, 401)),
        ("PUT", format!("/v1/performances/{performance}/chart"), Some(chart), (403, 404, 401)),
        ("GET", format!("/v1/performances/{performance}/blocks"), None, (403, 404, 401)),
        (
            "POST",
            format!("/v1/performances/{performance}/cancellation"),
            Some(json!({"reason": "ill"})),
            (403, 404, 401),
        ),
        ("GET", format!("/v1/performances/{performance}/cancellation"), None, (403, 404, 401)),
        ("GET", format!("/v1/organizers/{organizer}"), None, (403, 403, 401)),
        ("GET", format!("/v1/organizers/{organizer}/keys"), None, (403, 403, 401)),
        ("POST", format!("/v1/organizers/{organizer}/keys"), Some(json!({})), (403, 403, 401)),
        ("DELETE", format!("/v1/organizers/{organizer}/keys/{key_id}"), None, (403, 403, 401)),
        ("DELETE", format!("/v1/organizer/keys/{key_id}"), None, (403, 404, 401)),
        ("GET", "/v1/organizer/identity-provider".to_owned(), None, (403, 404, 401)),
    ];
    for (method, path, body, (as_user, as_organizer, as_nobody)) in &table {
        let tagged = ["PATCH", "PUT"].contains(method);
        for (token, status) in [(&other.token, as_user), (&stranger, as_organizer), (&String::new(), as_nobody)] {
            let mut request = Request::new(method, path).token(token);
            if let Some(body) = body {
                request = request.json(body.clone());
            }
            if tagged {
                request = request.header("If-Match", "\"1\"");
            }
            let answer = server.send(request);
            let slug = match status {
                404 => "not-found",
                403 => "forbidden",
                _ => "unauthenticated",
            };
            println!("{method} {path}");
            let problem = answer.expect_problem(*status, slug);
            let shown = problem.json().to_string();
            for secret in [&held, &user.id, &organizer, &key_id, &"A-1-1".to_owned()] {
                assert!(!shown.contains(secret.as_str()), "{method} {path} tells {secret}: {shown}");
            }
            // What is there and not theirs looks like what is not there.
            if *status == 404 {
                let ids = [&held, &performance, &concert, &key_id];
                let elsewhere =
                    ids.iter().fold(path.clone(), |path, id| path.replace(id.as_str(), &missing.to_string()));
                let mut request = Request::new(method, &elsewhere).token(token);
                if let Some(body) = body {
                    request = request.json(body.clone());
                }
                if tagged {
                    request = request.header("If-Match", "\"1\"");
                }
                let nothing = server.send(request).expect_problem(404, "not-found");
                assert_eq!(nothing.text("/detail"), problem.text("/detail"), "{method} {path}");
            }
        }
    }
    // What anyone may read is not said to be somebody's.
    for path in [format!("/v1/concerts/{missing}"), format!("/v1/performances/{missing}")] {
        let detail = server.get(&path, "").expect_problem(404, "not-found").text("/detail");
        assert!(!detail.contains("yours"), "{detail}");
    }
    // And nothing happened.
    server.get(&reservation, &user.token).expect(200);
    server.get("/v1/organizer", &owner).expect(200);
}
