//! Who may do what: every route of the published contract, asked by everybody, about one's own and about another's.

use crate::common::queues::Person;
use crate::common::{OPERATOR_KEY, Request, Server, performance_body, read_answer};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};

const CONTRACT: &str = include_str!("../../../schema/openapi.json");

/// Done at the end, because afterwards there is something less to ask about.
const LAST: [&str; 7] = [
    "leave",
    "revoke_own_key",
    "revoke_key",
    "remove_identity_provider",
    "cancel_performance",
    "sign_out",
    "sign_out_everywhere",
];
/// Routes whose path names something that is no caller's own: whoever has this role may.
const NOBODYS: [(&str, &str); 3] = [("hold", "user"), ("join", "user"), ("join", "waiting")];
/// What is not there yet, though it is one's own place for it.
const EMPTY: [&str; 3] = ["read_identity_provider", "read_cancellation", "read_handover"];

/// Somebody who asks.
struct Role {
    name: &'static str,
    /// As the contract calls the credential; empty for none.
    scheme: &'static str,
    token: String,
    forged: bool,
    /// What there is is theirs, as far as it can be of somebody of their kind.
    owns: bool,
}

/// What there is: everything is organizer `A`'s and user `Ann`'s.
struct World {
    server: Server,
    roles: Vec<Role>,
    concert: String,
    performance: String,
    queue: String,
    entry: String,
    reservation: String,
    organizer: String,
    ann: String,
    spare_keys: Vec<String>,
}

impl World {
    fn new(data: &std::path::Path) -> World {
        let server = Server::start(data, &["--self-charge"]);
        let made = server.post("/v1/organizers", OPERATOR_KEY, json!({"name": "A"})).expect(201);
        let (organizer, a, b) = (made.text("/organizer_id"), made.text("/key/secret"), server.organizer());
        let concert = server.concert(&a);
        let performances = format!("/v1/concerts/{concert}/performances");
        let performance = server.post(&performances, &a, performance_body()).expect(201).text("/performance_id");
        let (ann, bob) = (server.user("ann"), server.user("bob"));
        server.charge(&ann, 500);
        let held = server.hold(&performance, &ann, json!({"seats": ["A-1-1"]})).expect(201);
        let reservation = held.text("/reservation_id");
        server.post(&format!("/v1/reservations/{reservation}/payment"), &ann.token, json!({})).expect(200);
        let policy = json!({"name": "Q", "policy": {"manual": true}});
        let queue = server.post("/v1/queues", &a, policy).expect(201).text("/queue_id");
        let join =
            |token: &str| Person::of(server.post(&format!("/v1/queues/{queue}/entries"), token, json!({})).expect(201));
        let (own, other) = (join(&ann.token), join(&bob.token));
        let admissions = format!("/v1/queues/{queue}/admissions");
        let all = json!({"count": 2});
        server.post(&admissions, &a, all).expect(200);
        let admission =
            |person: &Person| person.until(&server, "admitted")["admission"]["token"].as_str().unwrap().to_owned();
        let admissions = [admission(&own), admission(&other)];
        let key = || {
            let made = Request::new("POST", "/v1/organizer/keys").token(&a).key(&uuid::Uuid::new_v4().to_string());
            server.send(made.json(json!({"name": "spare"}))).expect(201).text("/key_id")
        };
        let spare_keys = vec![key(), key()];
        let role =
            |name, scheme, token: &str, owns| Role { name, scheme, token: token.to_owned(), forged: false, owns };
        let forged =
            |name, scheme, token: &str| Role { forged: true, ..role(name, scheme, &format!("{token}x"), true) };
        let roles = vec![
            role("nobody", "", "", false),
            forged("a forged session", "user", &ann.token),
            forged("a forged key", "organizer", &a),
            forged("a forged operator", "operator", OPERATOR_KEY),
            forged("a forged place in the queue", "waiting", &own.token),
            forged("a forged admission", "admission", &admissions[0]),
            forged("somebody with an open word", "", "let-me-in"),
            role("the other user", "user", &bob.token, false),
            role("the other organizer", "organizer", &b, false),
            role("the other in the queue", "waiting", &other.token, false),
            role("the other who was let in", "admission", &admissions[1], false),
            role("the operator", "operator", OPERATOR_KEY, true),
            role("who was let in", "admission", &admissions[0], true),
            role("who waits", "waiting", &own.token, true),
            role("the organizer", "organizer", &a, true),
            role("the user", "user", &ann.token, true),
        ];
        let (entry, ann) = (own.entry, ann.id);
        World { server, roles, concert, performance, queue, entry, reservation, organizer, ann, spare_keys }
    }

    fn path(&self, operation: &str, template: &str) -> String {
        let id = match template.split('/').nth(2).unwrap_or_default() {
            "concerts" => &self.concert,
            "performances" => &self.performance,
            "queues" => &self.queue,
            "reservations" => &self.reservation,
            "organizers" => &self.organizer,
            "users" => &self.ann,
            _ => "",
        };
        let key = &self.spare_keys[usize::from(operation == "revoke_key")];
        let file = template.replace("{file}", "no-such-file");
        file.replace("{id}", id).replace("{entry}", &self.entry).replace("{key_id}", key)
    }

    /// A body that makes sense, where one is needed.
    fn body(&self, operation: &str) -> Option<Value> {
        let chart = performance_body()["chart"].clone();
        Some(match operation {
            "validate_chart" => json!({"chart": chart, "prices": {"VIP": 1, "R": 1}}),
            "create_concert" => json!({"title": "T", "artist": "A", "venue": "V"}),
            "change_concert" => json!({"title": "Another"}),
            "create_performance" => performance_body(),
            "erase_me" | "change_password" => json!({"password": "wrong horse", "current_password": "x"}),
            "rename_own_organizer" | "create_organizer" => json!({"name": "Another"}),
            "set_identity_provider" => json!({}),
            "create_own_key" | "create_key" => json!({"name": "another"}),
            "change_performance" | "change_queue" => json!({"state": "paused"}),
            "block_areas" => json!({"areas": [{"area": "Floor", "blocked": 1}]}),
            "cancel_performance" | "block_entry" | "refund" => json!({"reason": "rain"}),
            "replace_chart" => json!({"chart": chart}),
            "hold" => json!({"seats": ["A-1-2"]}),
            "block_seats" | "unblock_seats" => json!({"seats": ["A-2-1"]}),
            "create_queue" => json!({"name": "Q", "policy": {"manual": true}}),
            "admit" => json!({"count": 1}),
            "join" | "create_handover" => json!({}),
            "take_handover" => json!({"code": "of nobody"}),
            "set_queue_notice" => json!({"notice": "Doors open late."}),
            "set_queue_page" => json!({}),
            "sign_in" => json!({"email": "nobody@example.com", "password": "wrong horse"}),
            "sign_up" => json!({"email": "x", "password": "y"}),
            "adjust" => json!({"points": 1, "reason": "rain"}),
            "charge" => json!({"points": 1}),
            _ => return None,
        })
    }

    fn session(&self, role: &Role) -> String {
        let email = if role.owns { "ann@example.com" } else { "bob@example.com" };
        let body = json!({"email": email, "password": "correct horse"});
        self.server.post("/v1/sessions", "", body).expect(201).text("/token")
    }

    /// The status of an answer, and the answer, unless it is a stream.
    fn ask(&self, method: &'static str, path: &str, body: Option<Value>, token: &str) -> (u16, String) {
        let mut request = Request::new(method, path).token(token).header("If-Match", "\"1\"");
        if let Some(body) = body {
            request = request.key(&uuid::Uuid::new_v4().to_string()).json(body);
        }
        let mut stream = self.server.connect();
        stream.write_all(&request.bytes("close")).unwrap();
        let mut reader = BufReader::new(stream);
        if path.ends_with("/events") {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            return (line.split(' ').nth(1).unwrap().parse().unwrap(), line);
        }
        let answer = read_answer(&mut reader, method);
        (answer.status, String::from_utf8_lossy(&answer.body).into_owned())
    }
}

/// Path, method and what the contract says of it; the most final ones last.
fn operations() -> Vec<(String, &'static str, Value)> {
    let contract: Value = serde_json::from_str(CONTRACT).unwrap();
    let mut operations = Vec::new();
    for (path, methods) in contract["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let method =
                ["GET", "POST", "PUT", "PATCH", "DELETE"].into_iter().find(|name| name.eq_ignore_ascii_case(method));
            operations.push((path.clone(), method.expect("a method"), operation.clone()));
        }
    }
    operations.sort_by_key(|(_, _, operation)| LAST.iter().position(|last| operation["operationId"] == *last));
    operations
}

/// What is wrong with an answer; nothing when it is as it should be.
fn judge(operation: &Value, path: &str, role: &Role, status: u16) -> Option<&'static str> {
    let name = operation["operationId"].as_str().unwrap();
    let security = operation["security"].as_array().expect("each says who may");
    let schemes: Vec<&str> =
        security.iter().flat_map(|one| one.as_object().unwrap().keys()).map(String::as_str).collect();
    // A token in the query stands for none in the headers there.
    let anybody = security.contains(&json!({})) && name != "watch_entry";
    let refused = matches!(status, 401 | 403);
    if security.is_empty() {
        // Wrong passwords are told so; and the gate tells who may not pass.
        return (refused && !["sign_in", "pass_gate"].contains(&name)).then_some("is for everybody");
    }
    match role.scheme {
        "" if anybody && !role.forged => return refused.then_some("is for everybody"),
        "" => return (status != 401).then_some("is for who is known: 401"),
        scheme if !schemes.contains(&scheme) => return (!refused).then_some("is not for this role: 401 or 403"),
        // Of an admission it is said what is wrong with it.
        "admission" if role.forged => return (!refused).then_some("is for who is let in: 401 or 403"),
        _ if role.forged => return (status != 401).then_some("is for who is known: 401"),
        _ => {}
    }
    let somebodys = path.contains('{') && !NOBODYS.contains(&(name, role.scheme));
    if somebodys && !role.owns {
        return (status != 404).then_some("is another's: 404");
    }
    let wrong_password = matches!(name, "erase_me" | "change_password");
    if refused && !wrong_password {
        return Some("is this role's own");
    }
    (status == 404 && !EMPTY.contains(&name)).then_some("is there")
}

#[test]
fn everybody_may_do_what_the_contract_says_and_nothing_else() {
    let data = tempfile::tempdir().unwrap();
    let world = World::new(&data.path().join("data"));
    let (mut wrong, mut asked) = (Vec::new(), 0);
    for (template, method, operation) in operations() {
        let name = operation["operationId"].as_str().unwrap();
        let path = world.path(name, &template);
        let needs = operation.get("requestBody").is_some();
        assert_eq!(world.body(name).is_some(), needs, "{method} {template} ({name}) needs a body here");
        for role in &world.roles {
            let mut body = world.body(name);
            // Organizers say for whom.
            if let ("hold" | "charge", "organizer" | "operator") = (name, role.scheme) {
                body.as_mut().unwrap()["user_id"] = json!(world.ann);
            }
            if let ("hold", "organizer") = (name, role.scheme) {
                body.as_mut().unwrap()["group"] = json!(true);
            }
            if let ("join", "organizer") = (name, role.scheme) {
                body = Some(json!({"visitor": "v"}));
            }
            // A session of its own to end.
            let session = (name == "sign_out" && role.scheme == "user" && !role.forged).then(|| world.session(role));
            let (status, answer) = world.ask(method, &path, body, session.as_deref().unwrap_or(&role.token));
            asked += 1;
            let documented = operation["responses"].get(status.to_string()).is_some();
            let what = judge(&operation, &template, role, status);
            let what = what.or((!documented).then_some("may not be answered so, by the contract"));
            wrong.extend(
                what.map(|what| format!("{method} {template} as {}: {status}; it {what}\n    {answer}", role.name)),
            );
        }
    }
    println!("{asked} questions");
    assert!(wrong.is_empty(), "{} of {asked}:\n{}", wrong.len(), wrong.join("\n"));
}
