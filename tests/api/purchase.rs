//! From sign-up to confirmed and back, through the public routes; repeats, versions, restarts.

use crate::common::{self, OPERATOR_KEY, Request, Server};
use serde_json::{Value, json};

#[test]
fn a_seat_is_bought_and_given_back() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &["--self-charge"]);
    let organizer = server.organizer();
    let me = server.get("/v1/organizer", &organizer).expect(200).json();
    assert_eq!(me["name"], "Org");
    assert!(me["key"]["secret"].is_null() && organizer.starts_with(me["key"]["prefix"].as_str().unwrap()), "{me}");
    let performance = server.performance(&organizer, json!({"extension_s": 60}));

    let sign_up = json!({"email": " Ada@Example.com", "password": "correct horse", "name": "Ada"});
    let answer = server.post("/v1/users", "", sign_up).expect(201);
    assert_eq!((answer.header("location"), answer.header("onsale-position").is_some()), (Some("/v1/me"), true));
    let body = answer.json();
    assert_eq!((&body["email"], &body["name"]), (&json!("ada@example.com"), &json!("Ada")));
    let sign_in = json!({"email": "ADA@example.com", "password": "correct horse"});
    let session = server.post("/v1/sessions", "", sign_in).expect(201).json();
    assert_eq!((&session["user_id"], &session["token_type"]), (&body["user_id"], &json!("Bearer")));
    let token = session["token"].as_str().unwrap();
    let me = server.get("/v1/me", token).expect(200).json();
    assert_eq!((&me["user_id"], &me["created_at"]), (&body["user_id"], &body["created_at"]));

    let charge =
        Request::new("POST", "/v1/wallet/charges").token(token).key("first-charge").json(json!({"points": 500}));
    let charged = server.send(charge).expect(201).json();
    assert_eq!(
        (&charged["points"], &charged["balance"], &charged["reference"]),
        (&json!(500), &json!(500), &json!(null))
    );

    let holds = format!("/v1/performances/{performance}/reservations");
    let answer = server.post(&holds, token, json!({"best_available": {"grade": "VIP", "count": 2}})).expect(201);
    let held = answer.json();
    let at = format!("/v1/reservations/{}", held["reservation_id"].as_str().unwrap());
    assert_eq!(answer.header("location"), Some(at.as_str()));
    assert_eq!(answer.header("etag"), Some(format!("\"{}\"", held["version"]).as_str()));
    assert_eq!((&held["state"], &held["points"], &held["adjacent"]), (&json!("held"), &json!(200), &json!(true)));
    assert_eq!(held["seats"].as_array().unwrap().len(), 2);
    assert_eq!((&held["confirmed_at"], &held["area"]), (&json!(null), &json!(null)));

    let extended = server.send(Request::new("POST", &format!("{at}/extension")).token(token)).expect(200).json();
    assert!(extended["expires_at"].as_str() > held["expires_at"].as_str(), "{extended}");
    // A body is optional, and paying twice is paying once.
    for body in ["", "{}", "{}"] {
        let request = Request::new("POST", &format!("{at}/payment")).token(token);
        let request = if body.is_empty() { request } else { request.body("application/json", body.as_bytes()) };
        assert_eq!(server.send(request).expect(200).json()["state"], "confirmed");
    }
    let wallet = server.get("/v1/wallet", token).expect(200).json();
    assert_eq!(wallet["balance"], 300);
    let left = server.get(&format!("/v1/performances/{performance}/availability"), "").expect(200).json();
    assert_eq!((left["seats"]["booked"].as_array().unwrap().len(), &left["available"]["VIP"]), (2, &json!(18)));

    for _ in 0..2 {
        let cancelled = server.send(Request::new("DELETE", &at).token(token)).expect(200).json();
        assert_eq!(cancelled["state"], "cancelled");
        assert!(cancelled["cancelled_at"].is_string());
    }
    assert_eq!(server.get("/v1/wallet", token).expect(200).json()["balance"], 500);
    server.post(&format!("{at}/payment"), token, json!({})).expect_problem(409, "reservation-cancelled");

    let standing = server.post(&holds, token, json!({"area": "Floor", "count": 3})).expect(201).json();
    assert_eq!(standing["area"], json!({"area": "Floor", "grade": "R", "count": 3, "points": 30}));
    let standing = format!("/v1/reservations/{}", standing["reservation_id"].as_str().unwrap());
    let released = server.send(Request::new("DELETE", &standing).token(token)).expect(200).json();
    assert_eq!(released["state"], "released");
    server.post(&format!("{standing}/payment"), token, json!({})).expect_problem(409, "reservation-released");
}

#[test]
fn the_catalogue_is_listed_page_by_page_and_steered_by_its_organizer() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let (organizer, user) = (server.organizer(), server.user("user"));
    let concerts: Vec<String> = (0..5).map(|_| server.concert(&organizer)).collect();
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = server.get(&format!("/v1/concerts?limit=2{cursor}"), "").expect(200).json();
        found.extend(
            page["items"].as_array().unwrap().iter().map(|item| item["concert_id"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(found.len(), 5);
    assert!(concerts.iter().all(|concert| found.contains(concert)));

    let performances = format!("/v1/concerts/{}/performances", concerts[0]);
    let created = server.post(&performances, &organizer, common::performance_body()).expect(201);
    let id = created.text("/performance_id");
    let path = format!("/v1/performances/{id}");
    assert_eq!(created.header("location"), Some(path.as_str()));
    let listed = server.get(&performances, "").expect(200).json();
    assert_eq!((&listed["items"][0], &listed["next_cursor"]), (&created.json(), &json!(null)));
    let read = server.get(&path, "").expect(200).json();
    let want = json!({"state": "on_sale", "places": 25, "available": 25, "hold_ttl_s": 300, "payment_ttl_s": 60,
        "seats_per_user_max": 4, "lapsed_holds_max": 5, "extension_s": 0, "starts_at": "2099-01-01T19:00:00.000Z",
        "sale_closes_at": "2099-01-01T19:00:00.000Z", "prices": {"VIP": 100, "R": 10}});
    for (name, value) in want.as_object().unwrap() {
        assert_eq!(&read[name], value, "{name}");
    }
    let chart = server.get(&format!("{path}/chart?version=1"), "").expect(200);
    assert_eq!(chart.json(), common::performance_body()["chart"]);
    assert!(chart.header("cache-control").unwrap().contains("immutable"));

    let blocks =
        |what: &str| server.post(&format!("{path}/{what}"), &organizer, json!({"seats": ["A-1-1"]})).expect(200);
    assert_eq!(blocks("seat-blocks").json()["available"], 24);
    server.hold(&id, &user, json!({"seats": ["A-1-1"]})).expect_problem(409, "seats-unavailable");
    assert_eq!(blocks("seat-unblocks").json()["available"], 25);
    let held = server.hold(&id, &user, json!({"seats": ["A-1-1"]})).expect(201).text("/reservation_id");

    let change =
        |state: &str| server.send(Request::new("PATCH", &path).token(&organizer).json(json!({"state": state})));
    assert_eq!(change("paused").expect(200).json()["state"], "paused");
    server.hold(&id, &user, json!({"seats": ["A-1-2"]})).expect_problem(409, "sale-not-open");
    assert_eq!(server.get(&format!("/v1/reservations/{held}"), &user.token).expect(200).json()["state"], "held");
    assert_eq!(server.get(&format!("{path}/availability"), "").expect(200).json()["state"], "paused");
    assert_eq!(change("on_sale").expect(200).json()["state"], "on_sale");
    server.hold(&id, &user, json!({"seats": ["A-1-2"]})).expect(201);
    assert_eq!(change("closed").expect(200).json()["state"], "closed");
    change("on_sale").expect_problem(409, "sale-closed");
}

#[test]
fn a_repeated_request_gets_its_first_answer_also_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let server = Server::start(&folder, &[]);
    let (organizer, user) = (server.organizer(), server.user("user"));
    let concert = server.concert(&organizer);
    let performance = server.performance(&organizer, json!({}));
    let requests = [
        ("/v1/wallet/charges".to_owned(), OPERATOR_KEY, json!({"points": 5, "user_id": user.id, "reference": "r-1"})),
        (format!("/v1/performances/{performance}/reservations"), &user.token, json!({"seats": ["A-1-1"]})),
        (format!("/v1/performances/{performance}/reservations"), &user.token, json!({"best_available": {"count": 1}})),
        ("/v1/concerts".into(), &organizer, json!({"title": "T", "artist": "A", "venue": "V"})),
        (format!("/v1/concerts/{concert}/performances"), &organizer, common::performance_body()),
        ("/v1/organizers".into(), OPERATOR_KEY, json!({"name": "Again"})),
        ("/v1/users".into(), "", json!({"email": "again@example.com", "password": "correct horse"})),
    ];
    let send = |server: &Server, index: usize| {
        let (path, token, body) = &requests[index];
        let key = format!("key-number-{index}");
        server.send(Request::new("POST", path).token(token).key(&key).json(body.clone())).expect(201)
    };
    let strip = |mut body: Value| {
        // Each sign-up gets a session of its own.
        if let Some(body) = body.as_object_mut() {
            body.remove("session");
        }
        body
    };
    let first: Vec<Value> = (0..requests.len())
        .map(|index| {
            let answer = send(&server, index);
            assert_eq!(answer.header("idempotency-replayed"), None, "request {index}");
            strip(answer.json())
        })
        .collect();
    let check = |server: &Server| {
        for (index, first) in first.iter().enumerate() {
            let answer = send(server, index);
            assert_eq!(answer.header("idempotency-replayed"), Some("true"), "request {index}");
            assert_eq!(&strip(answer.json()), first, "request {index}");
        }
        assert_eq!(server.balance(&user), 5);
    };
    check(&server);
    server.stop();
    let server = Server::start(&folder, &[]);
    check(&server);
    server.kill();
    let server = Server::start(&folder, &[]);
    check(&server);
    // The key of somebody else is another key.
    let other = server.user("other");
    let (path, _, body) = &requests[1];
    let taken = server.send(Request::new("POST", path).token(&other.token).key("key-number-1").json(body.clone()));
    taken.expect_problem(409, "seats-unavailable");
}

#[test]
fn what_has_not_changed_is_not_sent_again() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let (organizer, user) = (server.organizer(), server.user("user"));
    let performance = server.performance(&organizer, json!({}));
    let held = server.hold(&performance, &user, json!({"seats": ["A-1-1"]})).expect(201).text("/reservation_id");
    let concert = server.get(&format!("/v1/performances/{performance}"), "").text("/concert_id");
    let paths = [
        (format!("/v1/performances/{performance}/availability"), "", true),
        (format!("/v1/performances/{performance}"), "", true),
        (format!("/v1/performances/{performance}/chart"), "", false),
        (format!("/v1/concerts/{concert}"), "", false),
        (format!("/v1/reservations/{held}"), &user.token, true),
        ("/v1/wallet".into(), &user.token, true),
        ("/v1/me".into(), &user.token, false),
        ("/v1/organizer".into(), &organizer, false),
    ];
    let ask = |path: &str, token: &str, tags: &str| {
        server.send(Request::new("GET", path).token(token).header("If-None-Match", tags))
    };
    let tags: Vec<String> = paths
        .iter()
        .map(|(path, token, _)| {
            let full = server.get(path, token).expect(200);
            let tag = full.header("etag").unwrap_or_else(|| panic!("{path} has no ETag")).to_owned();
            for tags in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".into()] {
                let unchanged = ask(path, token, &tags).expect(304);
                assert_eq!((unchanged.header("etag"), unchanged.body.len()), (Some(tag.as_str()), 0), "{path} {tags}");
            }
            // A key's last use is told as it is, and is no change.
            let told = |mut body: Value| {
                body.pointer_mut("/key/last_used_at").map(Value::take);
                body
            };
            assert_eq!(told(ask(path, token, "\"x\"").expect(200).json()), told(full.json()), "{path}");
            let head = server.send(Request::new("HEAD", path).token(token)).expect(200);
            let length = full.body.len().to_string();
            assert_eq!(
                (head.header("etag"), head.header("content-length")),
                (Some(tag.as_str()), Some(length.as_str()))
            );
            tag
        })
        .collect();

    server.charge(&user, 100);
    server.post(&format!("/v1/reservations/{held}/payment"), &user.token, json!({})).expect(200);
    for ((path, token, changes), tag) in paths.iter().zip(&tags) {
        let answer = ask(path, token, tag);
        assert_eq!(answer.status, if *changes { 200 } else { 304 }, "{path}");
        assert_eq!(answer.header("etag") != Some(tag.as_str()), *changes, "{path}");
    }
}

#[test]
fn a_sale_that_opens_by_the_clock_shows_it() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let organizer = server.organizer();
    let opens_at = time::OffsetDateTime::now_utc() + time::Duration::seconds(2);
    let opens_at = opens_at.format(&time::format_description::well_known::Rfc3339).unwrap();
    let performance = server.performance(&organizer, json!({"sale_opens_at": opens_at}));
    let path = format!("/v1/performances/{performance}/availability");
    let before = server.get(&path, "").expect(200);
    assert_eq!(before.json()["state"], "scheduled");
    let tag = before.header("etag").unwrap();
    let until = std::time::Instant::now() + common::PATIENCE;
    // Nothing is recorded when a sale opens: who asks with the old tag must learn it all the same.
    let after = loop {
        let answer = server.send(Request::new("GET", &path).header("If-None-Match", tag));
        if answer.status == 200 {
            break answer;
        }
        assert!(std::time::Instant::now() < until, "the sale does not open");
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    assert_eq!(
        (after.json()["state"].as_str(), &after.json()["version"]),
        (Some("on_sale"), &before.json()["version"])
    );
}

#[test]
fn request_ids_and_figures() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let given = server.send(Request::new("GET", "/v1/concerts").header("X-Request-Id", "mine-1")).expect(200);
    assert_eq!(given.header("x-request-id"), Some("mine-1"));
    let own = |id: &str| {
        let answer = server.send(Request::new("GET", "/v1/nothing").header("X-Request-Id", id));
        answer.expect_problem(404, "not-found").header("x-request-id").unwrap().to_owned()
    };
    let (long, spaced) = (own(&"x".repeat(129)), own("a b"));
    assert!(long != spaced && long.len() < 30 && spaced.len() < 30, "{long} {spaced}");

    let (organizer, user) = (server.organizer(), server.user("user"));
    let performance = server.performance(&organizer, json!({}));
    server.charge(&user, 500);
    for _ in 0..2 {
        server.hold(&performance, &user, json!({"seats": ["A-1-1"]}));
    }
    let held = server.hold(&performance, &user, json!({"seats": ["A-1-2"]})).expect(201).text("/reservation_id");
    server.post(&format!("/v1/reservations/{held}/payment"), &user.token, json!({})).expect(200);
    let figures = String::from_utf8(server.get("/metrics", "").expect(200).body).unwrap();
    let value = |name: &str| {
        let line = figures.lines().find(|line| line.starts_with(name));
        let value = line.and_then(|line| line.rsplit(' ').next()).and_then(|value| value.parse::<f64>().ok());
        value.unwrap_or_else(|| panic!("{name} is not in\n{figures}"))
    };
    let holds = "route=\"/v1/performances/{id}/reservations\"";
    for (name, want) in [
        (format!("onsale_http_requests_total{{method=\"POST\",{holds},status=\"201\"}}"), 2.0),
        (format!("onsale_http_requests_total{{method=\"POST\",{holds},status=\"409\"}}"), 1.0),
        (format!("onsale_http_request_seconds_count{{method=\"POST\",{holds},status=\"201\"}}"), 2.0),
        ("onsale_refusals_total{reason=\"seats-unavailable\"}".into(), 1.0),
        ("onsale_sales_total".into(), 1.0),
        ("onsale_mailbox_depth".into(), 0.0),
    ] {
        assert_eq!(value(&name), want, "{name}");
    }
    let events = value("onsale_log_position");
    assert!(events >= 11.0 && value("onsale_log_durable_position") == events, "{figures}");
    assert_eq!(value("onsale_log_events_total"), events);
    assert!(value("onsale_log_commits_total") > 0.0 && value("onsale_log_fsync_seconds_count") > 0.0);
    assert!(value("onsale_log_bytes") > 0.0);
}
