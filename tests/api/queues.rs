//! Queues over HTTP: join, poll, be let in, come, go; whose they are; what a crash and a restart leave.

use crate::common::queues::Person;
use crate::common::{self, OPERATOR_KEY, PATIENCE, Request, Server};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const URL: &str = "https://tickets.example.com/shop?tour=7";

fn queue(server: &Server, organizer: &str, more: Value) -> String {
    let mut body = json!({"name": "Tour", "redirect_urls": [URL], "policy": {"manual": true}});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    server.post("/v1/queues", organizer, body).expect(201).text("/queue_id")
}

fn join(server: &Server, queue: &str, token: &str) -> Person {
    Person::of(server.post(&format!("/v1/queues/{queue}/entries"), token, json!({})).expect(201))
}

fn admit(server: &Server, queue: &str, organizer: &str, count: u32) -> u64 {
    let admitted = server.post(&format!("/v1/queues/{queue}/admissions"), organizer, json!({"count": count}));
    admitted.expect(200).json()["admitted"].as_u64().unwrap()
}

#[test]
fn people_wait_in_order_and_are_let_in() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let organizer = server.organizer();
    let queue = queue(&server, &organizer, json!({}));
    let people: Vec<Person> = (0..5).map(|_| join(&server, &queue, "")).collect();
    for (rank, person) in people.iter().enumerate() {
        let entry = person.poll(&server);
        assert_eq!((&entry["state"], &entry["rank"], &entry["waiting"]), (&json!("waiting"), &json!(rank), &json!(5)));
        assert!(entry["poll_after_ms"].as_u64().unwrap() >= 1_000 && entry["eta"].is_null(), "{entry}");
    }
    let left = server.send(Request::new("DELETE", &people[1].path).token(&people[1].token)).expect(200);
    assert_eq!((left.text("/state"), people[4].poll(&server)["rank"].as_u64()), ("left".into(), Some(3)));
    assert_eq!(admit(&server, &queue, &organizer, 2), 2);
    let entry = people[0].poll(&server);
    assert_eq!((&entry["state"], &entry["rank"]), (&json!("admitted"), &Value::Null));
    let token = entry["admission"]["token"].as_str().unwrap();
    assert_eq!(entry["admission"]["redirect_url"], format!("{URL}&onsale_admission={token}"));
    assert_eq!(people[0].poll(&server)["admission"], entry["admission"], "the same bytes each time");
    assert_eq!(people[2].poll(&server)["state"], "admitted");
    assert_eq!(people[3].poll(&server)["rank"], 0);
    let active = people[0].act(&server, "claim").expect(200).json();
    assert_eq!((&active["state"], &active["admission"]), (&json!("active"), &Value::Null));
    assert!(active["session_expires_at"].is_string());
    people[0].act(&server, "claim").expect(200);
    assert_eq!(people[0].act(&server, "completion").expect(200).text("/state"), "finished");
    people[0].act(&server, "completion").expect(200);
    assert_eq!(people[3].act(&server, "claim").expect_problem(409, "entry-state").text("/state"), "waiting");
    assert_eq!(admit(&server, &queue, &organizer, 9), 2, "as many as wait");
    // The same call again, by its key, lets nobody else in.
    let newcomer = join(&server, &queue, "");
    let body = json!({"count": 1});
    let call = || Request::new("POST", &format!("/v1/queues/{queue}/admissions")).token(&organizer).key("admit-0001");
    let first = server.send(call().json(body.clone())).expect(200);
    join(&server, &queue, "");
    let again = server.send(call().json(body)).expect(200);
    assert_eq!((&first.json()["admitted"], &first.json()["waiting"]), (&json!(1), &json!(0)));
    // What the first call came to, although somebody has come since.
    assert_eq!((again.header("idempotency-replayed"), again.json()), (Some("true"), first.json()));
    newcomer.until(&server, "admitted");
}

#[test]
fn the_same_person_has_the_same_entry_after_kill_and_restart() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let server = Server::start(&folder, &[]);
    let organizer = server.organizer();
    let user = server.user("ada");
    let queue = queue(&server, &organizer, json!({}));
    let path = format!("/v1/queues/{queue}/entries");
    let visitor = |server: &Server| server.post(&path, &organizer, json!({"visitor": "v-1"}));
    let keyed = |server: &Server| server.send(Request::new("POST", &path).key("somebody-1"));
    let mut entries = vec![join(&server, &queue, &user.token), Person::of(visitor(&server).expect(201))];
    entries.push(Person::of(keyed(&server).expect(201)));
    entries.push(join(&server, &queue, ""));
    assert_eq!(admit(&server, &queue, &organizer, 1), 1);
    let admitted = entries[0].poll(&server)["admission"].clone();
    let before: Vec<Value> = entries.iter().map(|person| person.poll(&server)["rank"].clone()).collect();
    let told = |server: &Server| {
        assert_eq!(server.post(&path, &user.token, json!({})).expect(200).text("/entry_id"), entries[0].entry);
        assert_eq!(visitor(server).expect(200).text("/entry_id"), entries[1].entry);
        assert_eq!(keyed(server).expect(200).text("/entry_id"), entries[2].entry);
        let again = server.post(&path, &entries[3].token, json!({})).expect(200);
        assert_eq!(
            (again.text("/entry_id"), again.text("/waiting_token")),
            (entries[3].entry.clone(), entries[3].token.clone())
        );
        let after: Vec<Value> = entries.iter().map(|person| person.poll(server)["rank"].clone()).collect();
        assert_eq!(after, before);
        assert_eq!(entries[0].poll(server)["admission"], admitted, "the same bytes");
        assert_eq!(server.get(&entries[0].path, &user.token).expect(200).text("/state"), "admitted");
    };
    told(&server);
    server.kill();
    let server = Server::start(&folder, &[]);
    told(&server);
    server.stop();
    let server = Server::start(&folder, &[]);
    told(&server);
    server.stop();
}

#[test]
fn another_persons_queue_or_entry_is_not_there() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let (organizer, rival) = (server.organizer(), server.organizer());
    let (ada, bob) = (server.user("ada"), server.user("bob"));
    let [one, other] = [0, 1].map(|_| queue(&server, &organizer, json!({})));
    let mine = join(&server, &one, &ada.token);
    let theirs = join(&server, &other, "");
    let elsewhere = format!("/v1/queues/{other}/entries/{}", mine.entry);
    for (path, token) in [
        (&mine.path, &theirs.token),
        (&mine.path, &bob.token),
        (&mine.path, &rival),
        (&theirs.path, &mine.token),
        (&theirs.path, &ada.token),
        (&elsewhere, &mine.token),
        (&elsewhere, &organizer),
    ] {
        server.get(path, token).expect_problem(404, "not-found");
        server.send(Request::new("DELETE", path).token(token)).expect_problem(404, "not-found");
        server.post(&format!("{path}/claim"), token, json!({})).expect_problem(404, "not-found");
    }
    server.get(&mine.path, "").expect_problem(401, "unauthenticated");
    server.get(&mine.path, &format!("{}x", mine.token)).expect_problem(401, "unauthenticated");
    let last = if mine.token.ends_with('A') { "B" } else { "A" };
    let forged = format!("{}{last}", &mine.token[..mine.token.len() - 1]);
    server.get(&mine.path, &forged).expect_problem(401, "unauthenticated");
    server.post(&format!("/v1/queues/{one}/entries"), &theirs.token, json!({})).expect_problem(404, "not-found");
    let queue_path = format!("/v1/queues/{one}");
    for (path, body) in [
        ("admissions", json!({"count": 1})),
        ("admissions", json!({"entries": [mine.entry], "reason": "x"})),
        ("entries", json!({"visitor": "v"})),
    ] {
        server.post(&format!("{queue_path}/{path}"), &rival, body).expect_problem(404, "not-found");
    }
    let patch = Request::new("PATCH", &queue_path).json(json!({"state": "paused"}));
    server.send(patch.clone().token(&rival)).expect_problem(404, "not-found");
    server.send(patch.clone().token(&ada.token)).expect_problem(403, "forbidden");
    server.send(patch.token(&mine.token)).expect_problem(403, "forbidden");
    let block = Request::new("PUT", &format!("{}/block", mine.path)).json(json!({"reason": "x"}));
    server.send(block.clone().token(&rival)).expect_problem(404, "not-found");
    server.send(block.token(&mine.token)).expect_problem(403, "forbidden");
    assert_eq!(server.get("/v1/queues", &rival).expect(200).json()["items"], json!([]));
    assert_eq!(server.get("/v1/queues", &organizer).expect(200).json()["items"].as_array().unwrap().len(), 2);
    assert_eq!(mine.poll(&server)["state"], "waiting");
}

#[test]
fn policies_let_people_in_and_every_end_frees_a_slot() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let organizer = server.organizer();
    let queue = queue(&server, &organizer, json!({"policy": {"max_active": 2}, "claim_ttl_s": 1}));
    let path = format!("/v1/queues/{queue}");
    server.send(Request::new("PATCH", &path).token(&organizer).json(json!({"state": "paused"}))).expect(200);
    let people: Vec<Person> = (0..6).map(|_| join(&server, &queue, "")).collect();
    let first = json!({"entries": [people[4].entry], "reason": "they wait since yesterday"});
    assert_eq!(server.post(&format!("{path}/admissions"), &organizer, first).expect(200).json()["admitted"], 0);
    assert_eq!(
        (people[4].poll(&server)["rank"].clone(), people[0].poll(&server)["rank"].clone()),
        (json!(0), json!(1))
    );
    server.post(&format!("{path}/admissions"), &organizer, json!({"count": 1})).expect_problem(409, "queue-not-manual");
    server.send(Request::new("PATCH", &path).token(&organizer).json(json!({"state": "open"}))).expect(200);
    people[4].until(&server, "admitted");
    people[4].act(&server, "claim").expect(200);
    people[0].until(&server, "expired");
    assert_eq!(people[4].poll(&server)["state"], "active");
    people[1].until(&server, "admitted");
    people[1].act(&server, "completion").expect(200);
    people[2].until(&server, "admitted");
    let block =
        Request::new("PUT", &format!("{}/block", people[3].path)).token(&organizer).json(json!({"reason": "a bot"}));
    server.send(block).expect(200);
    people[5].until(&server, "admitted");
    let etag = server.get(&path, "").expect(200).header("etag").unwrap().to_owned();
    let change = Request::new("PATCH", &path).token(&organizer).header("If-Match", &etag);
    let changed = server.send(change.json(json!({"policy": {"rate": {"count": 5, "interval_s": 1}}}))).expect(200);
    assert_eq!(
        changed.json()["policy"],
        json!({"rate": {"count": 5, "interval_s": 1}, "max_active": null, "manual": false})
    );
    server.send(Request::new("DELETE", &format!("{}/block", people[3].path)).token(&organizer)).expect(200);
    people[3].until(&server, "admitted");
}

#[test]
fn what_makes_no_sense_is_named() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let organizer = server.organizer();
    let good = json!({"name": "Tour", "policy": {"manual": true}});
    for (field, value, named) in [
        ("policy", json!({}), "policy"),
        ("policy", json!({"manual": true, "rate": {"count": 1, "interval_s": 1}}), "policy.rate"),
        ("policy", json!({"rate": {"count": 0, "interval_s": 1}}), "policy.rate.count"),
        ("policy", json!({"rate": {"count": 1}}), "policy.rate.interval_s"),
        ("policy", json!({"max_active": 0}), "policy.max_active"),
        ("policy", json!({"max_active": 1, "speed": 7}), "policy.speed"),
        ("name", json!(""), "name"),
        ("claim_ttl_s", json!(301), "claim_ttl_s"),
        ("session_ttl_s", json!(0), "session_ttl_s"),
        ("idle_ttl_s", json!(9), "idle_ttl_s"),
        ("redirect_urls", json!(["http://tickets.example.com/"]), "redirect_urls[0]"),
        ("redirect_urls", json!([URL, URL]), "redirect_urls[1]"),
        ("redirect_urls", json!(vec![URL; 21]), "redirect_urls"),
    ] {
        let mut body = good.clone();
        body[field] = value;
        let refused = server.post("/v1/queues", &organizer, body).expect_problem(400, "invalid-request");
        assert_eq!(refused.json()["field"], named);
    }
    let queue = queue(&server, &organizer, json!({}));
    let entries = format!("/v1/queues/{queue}/entries");
    let elsewhere = json!({"redirect_url": "https://evil.example.com/"});
    server.post(&entries, "", elsewhere).expect_problem(400, "redirect-not-allowed");
    server.post(&entries, "", json!({"visitor": "v"})).expect_problem(400, "invalid-request");
    server.post(&entries, &organizer, json!({})).expect_problem(400, "invalid-request");
    let admissions = format!("/v1/queues/{queue}/admissions");
    for body in [
        json!({}),
        json!({"count": 0}),
        json!({"count": 1, "reason": "x"}),
        json!({"entries": []}),
        json!({"entries": [uuid::Uuid::nil()], "reason": "x"}),
        json!({"entries": [], "reason": "x"}),
    ] {
        server.post(&admissions, &organizer, body).expect_problem(400, "invalid-request");
    }
    server
        .send(Request::new("PATCH", &format!("/v1/queues/{queue}")).token(&organizer).json(json!({"name": "x"})))
        .expect_problem(428, "precondition-required");
    let nowhere = "/v1/queues/00000000-0000-0000-0000-000000000000";
    server.get(nowhere, "").expect_problem(404, "not-found");
    server.post(&format!("{nowhere}/entries"), "", json!({})).expect_problem(404, "not-found");
    let close =
        Request::new("PATCH", &format!("/v1/queues/{queue}")).token(&organizer).json(json!({"state": "closed"}));
    let waiting = join(&server, &queue, "");
    server.send(close).expect(200);
    server.post(&entries, "", json!({})).expect_problem(409, "queue-closed");
    assert_eq!(waiting.poll(&server)["queue_state"], "closed");
    server.post(&admissions, &organizer, json!({"count": 1})).expect_problem(409, "queue-not-open");
}

#[test]
fn the_pre_queue_is_drawn_and_the_draw_can_be_checked() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let organizer = server.organizer();
    let soon = std::time::SystemTime::now() + Duration::from_secs(2);
    let at = time::OffsetDateTime::from(soon).format(&time::format_description::well_known::Rfc3339).unwrap();
    let queue = queue(&server, &organizer, json!({"opens_at": at}));
    let people: Vec<Person> = (0..20).map(|_| join(&server, &queue, "")).collect();
    let entry = people[0].poll(&server);
    assert_eq!((&entry["rank"], entry["opens_at"].is_string()), (&Value::Null, true));
    let path = format!("/v1/queues/{queue}/draw");
    let before = server.get(&path, "").expect(200).json();
    assert_eq!((&before["seed"], &before["order"]), (&Value::Null, &json!([])));
    server
        .post(&format!("/v1/queues/{queue}/admissions"), &organizer, json!({"count": 1}))
        .expect_problem(409, "queue-not-open");
    let until = Instant::now() + PATIENCE;
    while people[0].poll(&server)["rank"].is_null() {
        assert!(Instant::now() < until, "it does not open");
        std::thread::sleep(Duration::from_millis(20));
    }
    let draw = server.get(&path, "").expect(200).json();
    assert_eq!(draw["commitment"], before["commitment"], "it was promised");
    let order: Vec<u64> = draw["order"].as_array().unwrap().iter().map(|ticket| ticket.as_u64().unwrap()).collect();
    assert_eq!(order.len(), 20);
    for person in &people {
        let entry = person.poll(&server);
        let rank = order.iter().position(|ticket| entry["ticket"] == *ticket).unwrap();
        assert_eq!(entry["rank"], rank);
    }
    let late = join(&server, &queue, "");
    assert_eq!(late.poll(&server)["rank"], 20);
}

#[test]
fn signing_keys_rotate_without_a_gap() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let server = Server::start(&folder, &["--issuer", "https://onsale.example.com"]);
    let organizer = server.organizer();
    let queue = queue(&server, &organizer, json!({}));
    let person = join(&server, &queue, "");
    admit(&server, &queue, &organizer, 1);
    let before = person.poll(&server)["admission"].clone();
    let jwks = |server: &Server| server.get("/.well-known/jwks.json", "").expect(200).json()["keys"].clone();
    let first = jwks(&server);
    assert_eq!(first.as_array().unwrap().len(), 2);
    server.post("/v1/signing-keys/rotation", &organizer, json!({})).expect_problem(403, "forbidden");
    let rotated = server.post("/v1/signing-keys/rotation", OPERATOR_KEY, json!({})).expect(200).json();
    let states: Vec<&str> =
        rotated["items"].as_array().unwrap().iter().map(|key| key["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["retired", "current", "next"]);
    assert_eq!(jwks(&server).as_array().unwrap()[..2], first.as_array().unwrap()[..], "both are still there");
    assert_eq!(person.poll(&server)["admission"], before);
    let token = before["token"].as_str().unwrap();
    // The admission speaks for its own entry, and for nothing else.
    let other = join(&server, &queue, "");
    server.post(&format!("{}/claim", other.path), token, json!({})).expect_problem(404, "not-found");
    server.get(&person.path, token).expect_problem(403, "forbidden");
    server
        .post(&format!("{}/claim", person.path), &format!("{token}x"), json!({}))
        .expect_problem(403, "bad-admission");
    server.post(&format!("{}/claim", person.path), token, json!({})).expect(200);
    server.stop();
    let server = Server::start(&folder, &["--issuer", "https://onsale.example.com"]);
    assert_eq!(jwks(&server).as_array().unwrap().len(), 3);
    server.post(&format!("{}/completion", person.path), token, json!({})).expect(200);
}

#[test]
fn only_who_is_admitted_may_hold_places() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let server = Server::start(&folder, &[]);
    let (organizer, rival) = (server.organizer(), server.organizer());
    let queue = queue(&server, &organizer, json!({"policy": {"max_active": 1}}));
    let other = self::queue(&server, &organizer, json!({"policy": {"max_active": 9}}));
    let foreign = self::queue(&server, &rival, json!({}));
    let performance = server.performance(&organizer, json!({"queue_id": queue}));
    let path = format!("/v1/performances/{performance}");
    let patch = |body: Value| Request::new("PATCH", &path).token(&organizer).header("If-Match", "*").json(body);
    for wrong in [json!(foreign), json!(uuid::Uuid::nil())] {
        let refused = server.send(patch(json!({"queue_id": wrong}))).expect_problem(400, "invalid-request");
        assert_eq!(refused.text("/field"), "queue_id");
    }
    let (ada, bob) = (server.user("ada"), server.user("bob"));
    [&ada, &bob].into_iter().for_each(|user| server.charge(user, 1000));
    let refused = server.hold(&performance, &ada, json!({"seats": ["A-1-1"]})).expect_problem(403, "not-admitted");
    assert_eq!(
        (refused.text("/queue_id"), refused.text("/queue")),
        (queue.clone(), format!("/v1/queues/{queue}/entries"))
    );
    let first = join(&server, &queue, &ada.token);
    let token = first.until(&server, "admitted")["admission"]["token"].as_str().unwrap().to_owned();
    let second = join(&server, &queue, &bob.token);
    server.hold(&performance, &bob, json!({"seats": ["A-1-1"]})).expect_problem(403, "not-admitted");
    let elsewhere = join(&server, &other, &ada.token).until(&server, "admitted")["admission"]["token"].clone();
    let hold = |user: &common::User, admission: &str| {
        let at = format!("{path}/reservations");
        let request = Request::new("POST", &at).token(&user.token).header("Onsale-Admission", admission);
        server.send(request.json(json!({"seats": ["A-1-1"]})))
    };
    hold(&bob, &token).expect_problem(403, "bad-admission");
    hold(&ada, elsewhere.as_str().unwrap()).expect_problem(403, "bad-admission");
    hold(&ada, &format!("{token}x")).expect_problem(403, "bad-admission");
    hold(&ada, "nonsense").expect_problem(403, "bad-admission");
    for (what, token) in crate::api::attacks::admissions::forged(&server, &token, &bob.id) {
        println!("{what}");
        hold(&bob, &token).expect_problem(403, "bad-admission");
        server.post(&format!("{}/claim", first.path), &token, json!({})).expect_problem(403, "bad-admission");
    }
    assert_eq!(first.poll(&server)["state"], "admitted", "nothing of that was a use");
    let held = hold(&ada, &token).expect(201).text("/reservation_id");
    assert_eq!(first.poll(&server)["state"], "active", "the first use claims");
    server.hold(&performance, &ada, json!({"seats": ["A-1-2"]})).expect(201);
    let paid = format!("/v1/reservations/{held}/payment");
    server.post(&paid, &ada.token, json!({})).expect(200);
    assert_eq!(first.poll(&server)["state"], "finished", "a purchase completes");
    server.post(&paid, &ada.token, json!({})).expect(200);
    server.hold(&performance, &ada, json!({"seats": ["A-1-3"]})).expect_problem(403, "not-admitted");
    second.until(&server, "admitted");
    server.kill();
    let server = Server::start(&folder, &[]);
    server.hold(&performance, &ada, json!({"seats": ["A-1-3"]})).expect_problem(403, "not-admitted");
    server.hold(&performance, &bob, json!({"seats": ["A-1-3"]})).expect(201);
    assert_eq!(second.poll(&server)["state"], "active");
    // Who leaves the queue is out; who opens the gate lets everybody in.
    server.send(Request::new("DELETE", &second.path).token(&second.token)).expect(200);
    server.hold(&performance, &bob, json!({"seats": ["A-1-4"]})).expect_problem(403, "not-admitted");
    server.send(patch(json!({"queue_id": null}))).expect(200);
    server.hold(&performance, &bob, json!({"seats": ["A-1-4"]})).expect(201);
}

#[test]
fn a_visitor_whose_id_reads_like_a_users_is_not_that_user() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let server = Server::start(&folder, &[]);
    let (organizer, ada) = (server.organizer(), server.user("ada"));
    let queue = queue(&server, &organizer, json!({"policy": {"max_active": 1}}));
    let performance = server.performance(&organizer, json!({"queue_id": queue}));
    let visitor = json!({"visitor": ada.id});
    let visitor = Person::of(server.post(&format!("/v1/queues/{queue}/entries"), &organizer, visitor).expect(201));
    visitor.until(&server, "admitted");
    visitor.act(&server, "claim").expect(200);
    let refused = |server: &Server| {
        server.hold(&performance, &ada, json!({"seats": ["A-1-1"]})).expect_problem(403, "not-admitted");
    };
    refused(&server);
    server.kill();
    let server = Server::start(&folder, &[]);
    refused(&server);
    assert_eq!(visitor.poll(&server)["state"], "active");
}
