//! What goes on of somebody who is erased: nothing. What was theirs is given back, and nobody can do anything in their name.

use super::{PASSWORD, delete_with, put};
use crate::common::queues::Person;
use crate::common::{Answer, OPERATOR_KEY, Request, Server, User};
use serde_json::{Value, json};

fn erase(server: &Server, user: &User) {
    delete_with(server, "/v1/me", &user.token, json!({"password": PASSWORD})).expect(204);
}

fn join(server: &Server, queue: &str, token: &str) -> Person {
    Person::of(server.post(&format!("/v1/queues/{queue}/entries"), token, json!({})).expect(201))
}

fn charge(server: &Server, token: &str, user: &User, key: &str) -> Answer {
    let body = json!({"points": 5, "user_id": user.id});
    server.send(Request::new("POST", "/v1/wallet/charges").token(token).key(key).json(body))
}

fn adjust(server: &Server, user: &User, points: i64, key: &str) -> Answer {
    let body = json!({"points": points, "reason": "written off"});
    let path = format!("/v1/users/{}/wallet/adjustments", user.id);
    server.send(Request::new("POST", &path).token(OPERATOR_KEY).key(key).json(body))
}

fn hold_for(server: &Server, organizer: &str, performance: &str, user: &User, seat: &str) -> Answer {
    let body = json!({"seats": [seat], "user_id": user.id, "group": true});
    server.post(&format!("/v1/performances/{performance}/reservations"), organizer, body)
}

#[test]
fn nothing_goes_on_of_somebody_who_is_erased() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data, &["--shards", "2"]);
    let organizer = server.organizer();
    let house = server.performance(&organizer, json!({}));
    let queue = |more: Value| {
        let mut body = json!({"name": "Line", "policy": {"manual": true}});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        server.post("/v1/queues", &organizer, body).expect(201).text("/queue_id")
    };
    let queues: Vec<String> = (0..4).map(|_| queue(json!({}))).collect();
    let admit = |queue: &str| {
        let admitted = server.post(&format!("/v1/queues/{queue}/admissions"), &organizer, json!({"count": 1}));
        admitted.expect(200).json()["admitted"].as_u64().unwrap()
    };
    let (gone, other) = (server.user("gone"), server.user("other"));
    charge(&server, &organizer, &gone, "before-1").expect(201);
    server.charge(&gone, 495);
    let bought = server.hold(&house, &gone, json!({"seats": ["A-1-1"]})).expect(201).text("/reservation_id");
    server.post(&format!("/v1/reservations/{bought}/payment"), &gone.token, json!({})).expect(200);
    server.hold(&house, &gone, json!({"seats": ["A-1-2"]})).expect(201);
    hold_for(&server, &organizer, &house, &gone, "A-1-3").expect(201);
    // Waiting, admitted, inside, shut out; and somebody else behind.
    let entries: Vec<Person> = queues.iter().map(|queue| join(&server, queue, &gone.token)).collect();
    let behind: Vec<Person> = queues.iter().map(|queue| join(&server, queue, &other.token)).collect();
    assert_eq!((admit(&queues[1]), admit(&queues[2])), (1, 1));
    entries[2].act(&server, "claim").expect(200);
    let block = format!("{}/block", entries[3].path);
    put(&server, &block, &organizer, json!({"reason": "a bot"})).expect(200);

    erase(&server, &gone);
    let nothing_goes_on = |server: &Server| {
        let availability = server.get(&format!("/v1/performances/{house}/availability"), "").expect(200).json();
        assert_eq!((&availability["seats"]["held"], &availability["seats"]["booked"]), (&json!([]), &json!(["A-1-1"])));
        for entry in &entries {
            let seen = server.get(&entry.path, &organizer).expect(200).json();
            assert_eq!((&seen["state"], &seen["admission"]), (&json!("left"), &json!(null)), "{seen}");
            let admission = json!({"entries": [entry.entry], "reason": "first"});
            let path = entry.path.split("/entries").next().unwrap();
            server.post(&format!("{path}/admissions"), &organizer, admission).expect_problem(409, "entry-state");
        }
        server.send(Request::new("DELETE", &block).token(&organizer)).expect_problem(409, "entry-state");
        for (nth, key) in [organizer.as_str(), OPERATOR_KEY].into_iter().enumerate() {
            charge(server, key, &gone, &format!("after-erasure-{nth}")).expect_problem(404, "user-not-found");
        }
        adjust(server, &gone, 5, "goodwill").expect_problem(404, "user-not-found");
        hold_for(server, &organizer, &house, &gone, "A-2-1").expect_problem(404, "user-not-found");
        // What had happened is told again, whatever came after it.
        let again = charge(server, &organizer, &gone, "before-1").expect(201);
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
        behind[0].poll(server);
    };
    nothing_goes_on(&server);
    assert_eq!(behind[0].poll(&server)["rank"], 0, "the next one has moved up");
    assert_eq!((admit(&queues[0]), admit(&queues[1]), admit(&queues[2])), (1, 1, 1));
    // Somebody else can have the places.
    server.hold(&house, &other, json!({"seats": ["A-1-2", "A-1-3"]})).expect(201);
    server.kill();

    let server = Server::start(&data, &["--shards", "3"]);
    let path = format!("/v1/performances/{house}/availability");
    assert_eq!(server.get(&path, "").expect(200).json()["seats"]["held"], json!(["A-1-2", "A-1-3"]));
    charge(&server, &organizer, &gone, "after-erasure-2").expect_problem(404, "user-not-found");
    // A refund is booked, and what is left can be taken off the books.
    let refund = json!({"reason": "the house is closed"});
    let refunded = server.send(
        Request::new("POST", &format!("/v1/reservations/{bought}/refund"))
            .token(&organizer)
            .key("refund-1")
            .json(refund),
    );
    refunded.expect(200);
    let wallet = format!("/v1/users/{}/wallet", gone.id);
    assert_eq!(server.get(&wallet, OPERATOR_KEY).expect(200).json()["balance"], 500);
    adjust(&server, &gone, -500, "write-off").expect(201);
    assert_eq!(server.get(&wallet, OPERATOR_KEY).expect(200).json()["balance"], 0);
    // The same e-mail is somebody else, who starts with nothing and may have everything.
    let again = server.user("gone");
    charge(&server, OPERATOR_KEY, &again, "after-erasure-3").expect(201);
    assert_eq!(join(&server, &queues[0], &again.token).poll(&server)["state"], "waiting");
    erase(&server, &again);
    server.stop();
    let verified = std::process::Command::new(env!("CARGO_BIN_EXE_onsale")).arg("verify").arg(&data).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

/// Somebody is erased in the middle of everything that they, and others for them, ask for: whatever comes first, nothing of
/// theirs goes on after it.
#[test]
fn whatever_is_under_way_at_an_erasure_ends_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data, &["--shards", "2"]);
    let organizer = server.organizer();
    let house = server.performance(&organizer, json!({"seats_per_user_max": 20}));
    let queue = server.post("/v1/queues", &organizer, json!({"name": "Line", "policy": {"manual": true}}));
    let queue = queue.expect(201).text("/queue_id");
    for round in 0..8 {
        let user = server.user(&format!("user-{round}"));
        server.charge(&user, 1_000);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for seat in 1..=9 {
                    let held = server.hold(&house, &user, json!({"seats": [format!("A-1-{seat}")]}));
                    if held.status == 201 && seat % 3 == 0 {
                        let path = format!("/v1/reservations/{}/payment", held.text("/reservation_id"));
                        server.post(&path, &user.token, json!({}));
                    }
                }
            });
            scope.spawn(|| {
                (1..=9).for_each(|seat| _ = hold_for(&server, &organizer, &house, &user, &format!("A-2-{seat}")));
            });
            scope.spawn(|| {
                let path = format!("/v1/queues/{queue}/entries");
                (0..20).for_each(|_| _ = server.post(&path, &user.token, json!({})));
            });
            scope.spawn(|| erase(&server, &user));
        });
        let availability = server.get(&format!("/v1/performances/{house}/availability"), "").expect(200).json();
        assert_eq!(availability["seats"]["held"], json!([]), "round {round}");
        // Before somebody who comes now are only those who came so before.
        assert_eq!(join(&server, &queue, "").poll(&server)["rank"], round, "round {round}");
    }
    server.stop();
    let verified = std::process::Command::new(env!("CARGO_BIN_EXE_onsale")).arg("verify").arg(&data).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}
