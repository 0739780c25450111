//! Creations that are sent again: the first answer, again, whatever became of what was created.

use crate::api::manners::start;
use crate::common::{Answer, OPERATOR_KEY, Request, Server, performance_body};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A creation by somebody who gives an Idempotency-Key, as the document has it.
struct Creation {
    documented: &'static str,
    path: String,
    token: String,
    body: Value,
}

struct Stage {
    organizer_id: String,
    organizer: String,
    user: crate::common::User,
    creations: Vec<Creation>,
}

fn stage(server: &Server) -> Stage {
    let created = server.post("/v1/organizers", OPERATOR_KEY, json!({"name": "Org"})).expect(201);
    let (organizer_id, organizer) = (created.text("/organizer_id"), created.text("/key/secret"));
    let user = server.user("user");
    let concert = server.concert(&organizer);
    let performance = server.performance(&organizer, json!({}));
    let creation =
        |documented, path: String, token: &str, body| Creation { documented, path, token: token.into(), body };
    let holds = format!("/v1/performances/{performance}/reservations");
    let performances = format!("/v1/concerts/{concert}/performances");
    let concerts = json!({"title": "Title", "artist": "Artist", "venue": "Venue"});
    let charge = json!({"points": 700, "user_id": user.id, "reference": "ref"});
    let adjustments = format!("/v1/users/{}/wallet/adjustments", user.id);
    let operators = format!("/v1/organizers/{organizer_id}/keys");
    let queue = json!({"name": "Queue", "policy": {"manual": true}});
    let sign_up = json!({"email": "new@example.com", "password": "correct horse", "name": "New"});
    let creations = vec![
        creation("/v1/users", "/v1/users".into(), "", sign_up),
        creation("/v1/organizers", "/v1/organizers".into(), OPERATOR_KEY, json!({"name": "Second"})),
        creation("/v1/organizer/keys", "/v1/organizer/keys".into(), &organizer, json!({"name": "box office"})),
        creation("/v1/organizers/{id}/keys", operators, OPERATOR_KEY, json!({})),
        creation("/v1/concerts", "/v1/concerts".into(), &organizer, concerts),
        creation("/v1/concerts/{id}/performances", performances, &organizer, performance_body()),
        creation("/v1/queues", "/v1/queues".into(), &organizer, queue),
        creation("/v1/wallet/charges", "/v1/wallet/charges".into(), OPERATOR_KEY, charge),
        creation(
            "/v1/users/{id}/wallet/adjustments",
            adjustments,
            OPERATOR_KEY,
            json!({"points": -7, "reason": "a mistake"}),
        ),
        creation("/v1/performances/{id}/reservations", holds, &user.token, json!({"seats": ["A-1-1"]})),
    ];
    Stage { organizer_id, organizer, user, creations }
}

fn send(server: &Server, creation: &Creation, key: &str) -> Answer {
    // Keys of an organizer that the operator makes and those that it makes itself are of one scope.
    let key = format!("{key} {}", creation.documented).replace(' ', "-");
    let request = Request::new("POST", &creation.path).token(&creation.token).key(&key);
    server.send(request.json(creation.body.clone()))
}

/// What an answer says, but for what is its own each time: a session of who signs up, and where the log is.
fn said(answer: &Answer) -> (u16, Value, Vec<Option<String>>) {
    let mut body = answer.json();
    body.as_object_mut().unwrap().remove("session");
    let headers = ["location", "etag", "cache-control", "content-type"];
    (answer.status, body, headers.map(|name| answer.header(name).map(str::to_owned)).into())
}

fn replayed(answer: &Answer) -> bool {
    match answer.header("idempotency-replayed") {
        None => false,
        Some("true") => true,
        Some(other) => panic!("{other}"),
    }
}

/// Changes all that was created, in every way that there is.
fn change_everything(server: &Server, stage: &Stage, first: &[Answer]) {
    let of = |documented: &str| {
        let index = stage.creations.iter().position(|creation| creation.documented == documented).unwrap();
        &first[index]
    };
    let edit = |method, path: &str, token: &str, body: Value| {
        server.send(Request::new(method, path).token(token).header("If-Match", "*").json(body)).expect(200);
    };
    let organizer = &stage.organizer;
    // The new organizer: another name, and its first key replaced.
    let key = of("/v1/organizers").text("/key/secret");
    edit("PATCH", "/v1/organizer", &key, json!({"name": "Renamed"}));
    let other = server.post("/v1/organizer/keys", &key, json!({})).expect(201).text("/secret");
    let first_key = format!("/v1/organizer/keys/{}", of("/v1/organizers").text("/key/key_id"));
    server.send(Request::new("DELETE", &first_key).token(&other)).expect(204);
    // Keys: one that was used, one that was revoked.
    server.get("/v1/organizer", &of("/v1/organizer/keys").text("/secret")).expect(200);
    let location = of("/v1/organizers/{id}/keys").header("location").unwrap().to_owned();
    server.send(Request::new("DELETE", &location).token(OPERATOR_KEY)).expect(204);
    let concert = of("/v1/concerts").header("location").unwrap().to_owned();
    edit("PATCH", &concert, organizer, json!({"title": "Another title", "venue": "Another venue"}));
    edit("PATCH", &concert, organizer, json!({"title": "Title"}));

    let performance = of("/v1/concerts/{id}/performances").header("location").unwrap().to_owned();
    let id = performance.rsplit('/').next().unwrap();
    server.hold(id, &stage.user, json!({"seats": ["A-2-1"]})).expect(201);
    let terms = json!({"hold_ttl_s": 60, "prices": {"VIP": 500, "R": 50}, "sale_closes_at": "2098-01-01T00:00:00Z"});
    edit("PATCH", &performance, organizer, terms);
    let mut chart = performance_body()["chart"].clone();
    chart["areas"][0]["capacity"] = json!(500);
    edit("PUT", &format!("{performance}/chart"), organizer, json!({"chart": chart}));
    edit("PATCH", &performance, organizer, json!({"state": "closed"}));
    let reason = json!({"reason": "rain"});
    server.post(&format!("{performance}/cancellation"), organizer, reason).expect(202);

    let queue = of("/v1/queues").header("location").unwrap().to_owned();
    server.post(&format!("{queue}/entries"), &stage.user.token, json!({})).expect(201);
    edit("PATCH", &queue, organizer, json!({"name": "Renamed", "policy": {"max_active": 5}}));
    edit("PATCH", &queue, organizer, json!({"state": "closed"}));

    let reservation = of("/v1/performances/{id}/reservations").header("location").unwrap().to_owned();
    server.post(&format!("{reservation}/payment"), &stage.user.token, json!({})).expect(200);
    server.send(Request::new("DELETE", &reservation).token(&stage.user.token)).expect(200);
    server.charge(&stage.user, 5);
}

#[test]
fn a_repeated_creation_gets_the_first_answer_again() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let server = Server::start(&folder, &[]);
    let stage = stage(&server);
    // Every path that takes a key to create something; the two others say what there is now.
    let document = server.get("/openapi.json", "").expect(200).json();
    let mut documented = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let parameters = operations["post"]["parameters"].as_array().cloned().unwrap_or_default();
        if parameters.iter().any(|parameter| parameter["name"] == "Idempotency-Key") {
            documented.insert(path.as_str());
        }
    }
    let others = BTreeSet::from(["/v1/queues/{id}/entries", "/v1/queues/{id}/admissions"]);
    let tried: BTreeSet<&str> = stage.creations.iter().map(|creation| creation.documented).collect();
    assert_eq!(documented, &tried | &others);

    let first: Vec<Answer> =
        stage.creations.iter().map(|one| send(&server, one, "the-first-answer").expect(201)).collect();
    change_everything(&server, &stage, &first);
    let check = |server: &Server, when: &str| {
        for (creation, first) in stage.creations.iter().zip(&first) {
            let again = send(server, creation, "the-first-answer");
            assert_eq!(said(&again), said(first), "{} {when}", creation.path);
            assert!(replayed(&again) && !replayed(first), "{} {when}", creation.path);
        }
    };
    check(&server, "at once");
    // From the log alone, and from a snapshot.
    server.kill();
    let server = Server::start(&folder, &[]);
    check(&server, "after a crash");
    server.stop();
    let server = Server::start(&folder, &[]);
    check(&server, "after a stop");
    // What there is now is where Location says.
    let now = |index: usize| server.get(first[index].header("location").unwrap(), OPERATOR_KEY).expect(200);
    assert_eq!(now(1).text("/name"), "Renamed");
    let at = |documented: &str| stage.creations.iter().position(|one| one.documented == documented).unwrap();
    assert_eq!(now(at("/v1/concerts")).text("/venue"), "Another venue");
    assert_eq!(now(at("/v1/concerts/{id}/performances")).text("/state"), "cancelled");
    assert_eq!(now(at("/v1/queues")).text("/name"), "Renamed");
    assert_eq!(server.balance(&stage.user), 698);
    assert!(!stage.organizer_id.is_empty());
}

#[test]
fn of_equal_creations_at_once_one_is_the_first() {
    let (_data, server) = start(&[]);
    let stage = stage(&server);
    for creation in &stage.creations {
        for round in 0..5 {
            let key = format!("at-once-{round}");
            let fresh = Creation {
                documented: creation.documented,
                path: creation.path.clone(),
                token: creation.token.clone(),
                body: match creation.documented {
                    "/v1/users" => {
                        json!({"email": format!("at-once-{round}@example.com"), "password": "correct horse"})
                    }
                    "/v1/performances/{id}/reservations" => json!({"area": "Floor", "count": 1}),
                    _ => creation.body.clone(),
                },
            };
            // Somebody has four places at most.
            if round == 4 && creation.documented == "/v1/performances/{id}/reservations" {
                continue;
            }
            let answers: Vec<Answer> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..6).map(|_| scope.spawn(|| send(&server, &fresh, &key).expect(201))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let firsts = answers.iter().filter(|answer| !replayed(answer)).count();
            assert_eq!(firsts, 1, "{}", creation.path);
            assert!(answers.iter().all(|answer| said(answer) == said(&answers[0])), "{}", creation.path);
        }
    }
}

/// Also when the buyer could not do it any more.
#[test]
fn a_hold_is_told_again_to_whose_turn_is_over() {
    let (_data, server) = start(&[]);
    let organizer = server.organizer();
    let queue = json!({"name": "Gate", "policy": {"manual": true}});
    let queue = server.post("/v1/queues", &organizer, queue).expect(201).text("/queue_id");
    let performance = server.performance(&organizer, json!({"queue_id": queue}));
    let (ann, bob) = (server.user("ann"), server.user("bob"));
    let entries = format!("/v1/queues/{queue}/entries");
    let entry = server.post(&entries, &ann.token, json!({})).expect(201).text("/entry_id");
    server.post(&format!("/v1/queues/{queue}/admissions"), &organizer, json!({"count": 1})).expect(200);
    let path = format!("/v1/performances/{performance}/reservations");
    let hold = |user: &crate::common::User, key: &str, seat: &str| {
        server.send(Request::new("POST", &path).token(&user.token).key(key).json(json!({"seats": [seat]})))
    };
    let first = hold(&ann, "the-only-hold", "A-1-1").expect(201);
    server.post(&format!("{entries}/{entry}/completion"), &ann.token, json!({})).expect(200);
    hold(&ann, "another-hold", "A-1-2").expect_problem(403, "not-admitted");
    let again = hold(&ann, "the-only-hold", "A-1-1").expect(201);
    assert_eq!(said(&again), said(&first));
    assert!(replayed(&again));
    // It is one request of one person.
    hold(&ann, "the-only-hold", "A-1-2").expect_problem(403, "not-admitted");
    hold(&bob, "the-only-hold", "A-1-1").expect_problem(403, "not-admitted");
    // Nor does what happens to the performance change it.
    let change = Request::new("PATCH", &format!("/v1/performances/{performance}")).token(&organizer);
    server.send(change.json(json!({"state": "closed"}))).expect(200);
    assert_eq!(said(&hold(&ann, "the-only-hold", "A-1-1")), said(&first));
}

#[test]
fn letting_people_in_is_told_again() {
    let (_data, server) = start(&[]);
    let organizer = server.organizer();
    let queue = json!({"name": "Queue", "policy": {"manual": true}});
    let path = format!("/v1/queues/{}", server.post("/v1/queues", &organizer, queue).expect(201).text("/queue_id"));
    let join = |name: &str| server.post(&format!("{path}/entries"), &server.user(name).token, json!({})).expect(201);
    ["ann", "bob", "cid"].into_iter().for_each(|name| drop(join(name)));
    let admit = || {
        let request = Request::new("POST", &format!("{path}/admissions")).token(&organizer).key("let-two-in");
        server.send(request.json(json!({"count": 2}))).expect(200)
    };
    let first = admit();
    assert_eq!((first.json(), replayed(&first)), (json!({"admitted": 2, "waiting": 1, "inside": 2}), false));
    ["dan", "eve"].into_iter().for_each(|name| drop(join(name)));
    let again = admit();
    assert_eq!((again.json(), replayed(&again)), (first.json(), true));
}

/// A call of thousands is done in parts: twice at once, and again when others have come, it is one call.
#[test]
fn letting_thousands_in_is_one_call() {
    let (_data, server) = start(&["--limit-address-per-minute", "0"]);
    let organizer = server.organizer();
    let queue = json!({"name": "Queue", "policy": {"manual": true}});
    let path = format!("/v1/queues/{}", server.post("/v1/queues", &organizer, queue).expect(201).text("/queue_id"));
    let people = domain::queue::ADMITTED_AT_ONCE_MAX + 200;
    let join = |count: u32| {
        (0..count).for_each(|_| drop(server.post(&format!("{path}/entries"), "", json!({})).expect(201)));
    };
    std::thread::scope(|scope| (0..10).for_each(|_| drop(scope.spawn(|| join(people / 10)))));
    let admit = || {
        let request = Request::new("POST", &format!("{path}/admissions")).token(&organizer).key("let-them-in");
        server.send(request.json(json!({"count": 10_000}))).expect(200)
    };
    let both: Vec<Answer> = std::thread::scope(|scope| {
        let both = [(); 2].map(|()| scope.spawn(admit));
        both.into_iter().map(|answer| answer.join().unwrap()).collect()
    });
    let all = json!({"admitted": people, "waiting": 0, "inside": people});
    assert_eq!((both[0].json(), both[1].json()), (all.clone(), all.clone()));
    join(3);
    let again = admit();
    assert_eq!((again.json(), replayed(&again)), (all, true));
}

/// Two equal requests at once are one creation: one of the two answers is the repeated one, and both are the same.
#[test]
fn of_two_equal_creations_at_once_one_is_replayed() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let stage = stage(&server);
    let documented = "/v1/concerts/{id}/performances";
    let creation = stage.creations.iter().find(|creation| creation.documented == documented).unwrap();
    for round in 0..20 {
        let key = format!("at-once-{round}");
        let answers: Vec<Answer> = std::thread::scope(|scope| {
            let both = [(); 2].map(|()| scope.spawn(|| send(&server, creation, &key)));
            both.into_iter().map(|answer| answer.join().unwrap()).collect()
        });
        assert_eq!(said(&answers[0]), said(&answers[1]), "round {round}");
        assert_eq!(answers[0].status, 201, "round {round}");
        assert_eq!(answers.iter().filter(|answer| replayed(answer)).count(), 1, "round {round}");
    }
}
