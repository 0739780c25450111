//! What each bad request gets: one table, and what does not fit into a table.

use crate::common::{self, OPERATOR_KEY, PATIENCE, Request, Server, User, read_answer};
use serde_json::{Value, json};
use std::io::{BufReader, Write};
use std::time::{Duration, Instant};

/// One server for all rows: each leaves it as it was.
struct Stage {
    server: Server,
    organizer: String,
    other_organizer: String,
    user: User,
    other: User,
    concert: String,
    performance: String,
    scheduled: String,
    held: String,
    _data: tempfile::TempDir,
}

fn stage() -> Stage {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &["--body-timeout-ms", "2000", "--head-timeout-ms", "2000"]);
    let (organizer, other_organizer) = (server.organizer(), server.organizer());
    let (user, other) = (server.user("user"), server.user("other"));
    let performance = server.performance(&organizer, json!({}));
    let scheduled = server.performance(&organizer, json!({"sale_opens_at": "2098-01-01T00:00:00Z"}));
    let held = server.hold(&performance, &user, json!({"seats": ["A-1-1", "A-1-2"]})).expect(201);
    let concert = server.concert(&organizer);
    let held = held.text("/reservation_id");
    Stage { server, organizer, other_organizer, user, other, concert, performance, scheduled, held, _data: data }
}

/// A request, and the status, slug and named field that it gets.
#[derive(Clone)]
struct Row(Request, u16, &'static str, Option<&'static str>);

fn altered(token: &str) -> String {
    let (rest, last) = token.split_at(token.len() - 1);
    format!("{rest}{}", if last == "A" { "B" } else { "A" })
}

#[test]
fn each_bad_request_gets_its_problem() {
    let stage = stage();
    let rows = [bodies(&stage), credentials(&stage), holds(&stage), catalogue(&stage), paths(&stage)].concat();
    for (index, Row(request, status, slug, field)) in rows.into_iter().enumerate() {
        let shown = String::from_utf8_lossy(&request.bytes("close")).chars().take(400).collect::<String>();
        println!("row {index}: {shown}");
        let answer = stage.server.send(request).expect_problem(status, slug);
        if let Some(field) = field {
            assert_eq!(answer.json()["field"], field, "row {index}: {}", answer.json());
        }
    }
    // And nothing of it left a trace.
    let availability = format!("/v1/performances/{}/availability", stage.performance);
    let left = stage.server.get(&availability, "").expect(200).json();
    assert_eq!(left["seats"]["held"], json!(["A-1-1", "A-1-2"]));
    assert_eq!(left["available"], json!({"R": 5, "VIP": 18}));
    assert_eq!(stage.server.balance(&stage.user), 0);
}

fn bodies(stage: &Stage) -> Vec<Row> {
    let raw = |body: &[u8]| {
        let path = "/v1/wallet/charges";
        Request::new("POST", path).token(OPERATOR_KEY).key("key-of-a-bad-body").body("application/json", body)
    };
    let points = |points: &str| raw(format!("{{\"user_id\":\"{}\",\"points\":{points}}}", stage.user.id).as_bytes());
    let sign_up = |body: Value| Request::new("POST", "/v1/users").json(body);
    let large = vec![b' '; (1 << 20) + 1];
    let long = "x".repeat(257);
    vec![
        Row(raw(b""), 400, "malformed-json", None),
        Row(raw(b"{"), 400, "malformed-json", None),
        Row(raw(b"{\"points\":1,}"), 400, "malformed-json", None),
        Row(raw(b"{\"points\":1} trailing"), 400, "malformed-json", None),
        Row(raw(b"points=1"), 400, "malformed-json", None),
        Row(raw(b"\xff\xfe"), 400, "malformed-json", None),
        Row(raw(b"{\"reference\":\"\xff\"}"), 400, "malformed-json", None),
        Row(raw("[".repeat(10_000).as_bytes()), 400, "malformed-json", None),
        Row(raw(b"null"), 400, "invalid-request", Some("body")),
        Row(raw(b"[5]"), 400, "invalid-request", Some("body")),
        Row(raw(b"{}"), 400, "invalid-request", Some("points")),
        Row(points("\"5\""), 400, "invalid-request", Some("points")),
        Row(points("null"), 400, "invalid-request", Some("points")),
        Row(points("true"), 400, "invalid-request", Some("points")),
        Row(points("1.5"), 400, "invalid-request", Some("points")),
        Row(points("1e-3"), 400, "invalid-request", Some("points")),
        Row(points("-1"), 400, "invalid-request", Some("points")),
        Row(points("0"), 400, "invalid-request", Some("points")),
        Row(points("10000001"), 400, "invalid-request", Some("points")),
        Row(points("18446744073709551615"), 400, "invalid-request", Some("points")),
        Row(points("18446744073709551616"), 400, "invalid-request", Some("points")),
        Row(points("1e400"), 400, "malformed-json", None),
        Row(points("5,\"points\":6"), 400, "invalid-request", Some("points")),
        Row(points("5,\"colour\":\"red\""), 400, "invalid-request", Some("colour")),
        Row(points(&format!("5,\"reference\":\"{long}\"")), 400, "invalid-request", Some("reference")),
        Row(raw(b"{\"points\":5}"), 400, "invalid-request", Some("user_id")),
        Row(raw(b"{\"points\":5,\"user_id\":\"somebody\"}"), 400, "invalid-request", Some("user_id")),
        Row(raw(&large), 413, "body-too-large", None),
        Row(raw(b"").header("Content-Length", "4294967296"), 413, "body-too-large", None),
        Row(Request::new("POST", "/v1/sessions").body("text/plain", b"{}"), 415, "unsupported-media-type", None),
        Row(Request::new("POST", "/v1/sessions").body("application/xml", b"<a/>"), 415, "unsupported-media-type", None),
        Row(Request::new("POST", "/v1/sessions"), 415, "unsupported-media-type", None),
        Row(sign_up(json!({"email": "nobody", "password": "long enough"})), 400, "invalid-request", Some("email")),
        Row(sign_up(json!({"email": "a@b.c", "password": "short"})), 400, "invalid-request", Some("password")),
        Row(sign_up(json!({"email": "a@b.c", "password": long})), 400, "invalid-request", Some("password")),
        Row(
            sign_up(json!({"email": "a@b.c", "password": "long enough", "name": long})),
            400,
            "invalid-request",
            Some("name"),
        ),
        Row(sign_up(json!({"email": " USER@Example.com ", "password": "long enough"})), 409, "email-taken", None),
    ]
}

fn credentials(stage: &Stage) -> Vec<Row> {
    let Stage { organizer, user, .. } = stage;
    let wallet = |token: &str| Request::new("GET", "/v1/wallet").token(token);
    let name = json!({"name": "Name"});
    let create_organizer = |token: &str| Request::new("POST", "/v1/organizers").token(token).json(name.clone());
    let concert = json!({"title": "T", "artist": "A", "venue": "V"});
    let create_concert = |token: &str| Request::new("POST", "/v1/concerts").token(token).json(concert.clone());
    let sign_in = |email: &str, password: &str| {
        Request::new("POST", "/v1/sessions").json(json!({"email": email, "password": password}))
    };
    let charge = |token: &str, user: &str| {
        let body = json!({"points": 5, "user_id": user});
        Request::new("POST", "/v1/wallet/charges").token(token).key("key-of-a-charge").json(body)
    };
    let nobody = uuid::Uuid::new_v4().to_string();
    vec![
        Row(wallet(""), 401, "unauthenticated", None),
        Row(wallet("ust_"), 401, "unauthenticated", None),
        Row(wallet("nonsense"), 401, "unauthenticated", None),
        Row(wallet(&altered(&user.token)), 401, "unauthenticated", None),
        Row(wallet(&user.token[..user.token.len() - 1]), 401, "unauthenticated", None),
        Row(wallet(&format!("{}A", user.token)), 401, "unauthenticated", None),
        Row(wallet("").header("Authorization", &format!("Basic {}", user.token)), 401, "unauthenticated", None),
        Row(wallet("").header("Authorization", "Bearer"), 401, "unauthenticated", None),
        Row(wallet("").header("Authorization", &user.token), 401, "unauthenticated", None),
        Row(wallet(organizer), 403, "forbidden", None),
        Row(wallet(OPERATOR_KEY), 403, "forbidden", None),
        Row(create_organizer(&user.token), 403, "forbidden", None),
        Row(create_organizer(organizer), 403, "forbidden", None),
        Row(create_organizer("opk_somebody-elses-operator-key"), 401, "unauthenticated", None),
        Row(create_organizer(""), 401, "unauthenticated", None),
        Row(create_concert(&user.token), 403, "forbidden", None),
        Row(create_concert(OPERATOR_KEY), 403, "forbidden", None),
        Row(create_concert(&altered(organizer)), 401, "unauthenticated", None),
        Row(create_concert("osk_nonsense"), 401, "unauthenticated", None),
        Row(sign_in("user@example.com", "wrong password"), 401, "bad-credentials", None),
        Row(sign_in("unknown@example.com", "correct horse"), 401, "bad-credentials", None),
        Row(charge(&user.token, &user.id), 403, "self-charge-off", None),
        Row(charge(organizer, &nobody), 404, "user-not-found", None),
        Row(charge("", &user.id), 401, "unauthenticated", None),
        Row(
            Request::new("POST", "/v1/wallet/charges").token(organizer).json(json!({"points": 5, "user_id": user.id})),
            400,
            "idempotency-key-required",
            None,
        ),
        Row(
            Request::new("POST", "/v1/wallet/charges").token(organizer).key("short").json(json!({})),
            400,
            "invalid-request",
            Some("Idempotency-Key"),
        ),
        Row(
            Request::new("POST", "/v1/concerts").token(organizer).key(&"k".repeat(256)).json(concert.clone()),
            400,
            "invalid-request",
            Some("Idempotency-Key"),
        ),
        Row(
            Request::new("POST", "/v1/concerts").token(organizer).key("with some spaces").json(concert),
            400,
            "invalid-request",
            Some("Idempotency-Key"),
        ),
    ]
}

fn holds(stage: &Stage) -> Vec<Row> {
    let Stage { user, other, performance, scheduled, held, .. } = stage;
    let hold_at = |performance: &str, wish: Value| {
        Request::new("POST", &format!("/v1/performances/{performance}/reservations")).token(&other.token).json(wish)
    };
    let hold = |wish: Value| hold_at(performance, wish);
    let on =
        |method, path: &str, token: &str| Request::new(method, &format!("/v1/reservations/{held}{path}")).token(token);
    let nothing = uuid::Uuid::new_v4().to_string();
    let labels = |numbers: std::ops::RangeInclusive<u32>| -> Vec<String> {
        numbers.map(|number| format!("A-2-{number}")).collect()
    };
    vec![
        Row(hold(json!({})), 400, "invalid-request", Some("body")),
        Row(hold(json!({"seats": []})), 400, "invalid-request", Some("seats")),
        Row(hold(json!({"seats": ["A-2-1", 7]})), 400, "invalid-request", Some("seats[1]")),
        Row(hold(json!({"seats": "A-2-1"})), 400, "invalid-request", Some("seats")),
        Row(hold(json!({"seats": ["A-2-1", "A-2-1"]})), 400, "invalid-request", Some("seats")),
        Row(hold(json!({"seats": labels(1..=5)})), 400, "invalid-request", Some("seats")),
        Row(hold(json!({"seats": ["A-2-11"]})), 400, "unknown-seat", None),
        Row(hold(json!({"seats": ["A-2-1", "Z-9-9"]})), 400, "unknown-seat", None),
        Row(hold(json!({"seats": ["A-2-1"], "count": 1})), 400, "invalid-request", Some("area")),
        Row(hold(json!({"seats": ["A-2-1"], "best_available": {"count": 1}})), 400, "invalid-request", Some("body")),
        Row(hold(json!({"seats": labels(1..=4), "area": "Floor", "count": 1})), 400, "invalid-request", Some("count")),
        Row(hold(json!({"seats": ["A-2-1"], "group": true})), 400, "invalid-request", Some("group")),
        Row(hold(json!({"seats": ["A-2-1"], "user_id": uuid::Uuid::nil()})), 400, "invalid-request", Some("user_id")),
        Row(hold(json!({"best_available": {"count": 5}})), 400, "invalid-request", Some("best_available.count")),
        Row(
            hold(json!({"best_available": {"count": 1, "accessible": 2}})),
            400,
            "invalid-request",
            Some("best_available.accessible"),
        ),
        Row(hold(json!({"area": "Floor"})), 400, "invalid-request", Some("count")),
        Row(hold(json!({"area": "Floor", "count": 0})), 400, "invalid-request", Some("count")),
        Row(hold(json!({"area": "Floor", "count": -1})), 400, "invalid-request", Some("count")),
        Row(hold(json!({"area": "Floor", "count": 4294967296u64})), 400, "invalid-request", Some("count")),
        Row(hold(json!({"area": "Floor", "count": 5})), 400, "invalid-request", Some("count")),
        Row(hold(json!({"area": "Roof", "count": 1})), 400, "unknown-area", None),
        Row(hold(json!({"best_available": {}})), 400, "invalid-request", Some("best_available.count")),
        Row(hold(json!({"best_available": {"count": 0}})), 400, "invalid-request", Some("best_available.count")),
        Row(
            hold(json!({"best_available": {"count": 1, "row": "1"}})),
            400,
            "invalid-request",
            Some("best_available.row"),
        ),
        Row(hold(json!({"best_available": {"count": 1, "grade": "Z"}})), 400, "unknown-grade", None),
        Row(hold(json!({"best_available": {"count": 1, "section": "Z"}})), 400, "unknown-section", None),
        Row(hold(json!({"seats": ["A-1-1"]})), 409, "seats-unavailable", None),
        Row(hold(json!({"seats": ["A-2-1", "A-1-2"]})), 409, "seats-unavailable", None),
        Row(hold_at(scheduled, json!({"seats": ["A-1-1"]})), 409, "sale-not-open", None),
        Row(hold_at(&nothing, json!({"seats": ["A-1-1"]})), 404, "not-found", None),
        Row(hold_at("nothing", json!({"seats": ["A-1-1"]})), 404, "not-found", None),
        Row(
            Request::new("POST", &format!("/v1/performances/{performance}/reservations"))
                .token(&user.token)
                .json(json!({"seats": ["A-2-1", "A-2-2", "A-2-3"]})),
            409,
            "seat-limit",
            None,
        ),
        // Somebody else's reservation is no reservation.
        Row(on("GET", "", &other.token), 404, "not-found", None),
        Row(on("DELETE", "", &other.token), 404, "not-found", None),
        Row(on("POST", "/payment", &other.token), 404, "not-found", None),
        Row(on("POST", "/extension", &other.token), 404, "not-found", None),
        Row(on("POST", "/payment", ""), 401, "unauthenticated", None),
        Row(on("POST", "/payment", &user.token).json(json!({"points": 1})), 400, "invalid-request", Some("points")),
        Row(on("POST", "/payment", &user.token), 409, "insufficient-points", None),
        Row(on("POST", "/extension", &user.token), 409, "extension-not-allowed", None),
        Row(Request::new("GET", &format!("/v1/reservations/{nothing}")).token(&user.token), 404, "not-found", None),
        Row(Request::new("GET", "/v1/reservations/7").token(&user.token), 404, "not-found", None),
    ]
}

fn catalogue(stage: &Stage) -> Vec<Row> {
    let Stage { organizer, other_organizer, concert, performance, .. } = stage;
    let create = |change: &dyn Fn(&mut Value)| {
        let mut body = common::performance_body();
        change(&mut body);
        Request::new("POST", &format!("/v1/concerts/{concert}/performances")).token(organizer).json(body)
    };
    let set = |name: &'static str, value: Value| create(&move |body: &mut Value| body[name] = value.clone());
    let change = |token: &str, state: &str| {
        Request::new("PATCH", &format!("/v1/performances/{performance}")).token(token).json(json!({"state": state}))
    };
    let block = |token: &str, seats: Value| {
        Request::new("POST", &format!("/v1/performances/{performance}/seat-blocks"))
            .token(token)
            .json(json!({"seats": seats}))
    };
    let large = vec![b' '; (8 << 20) + 1];
    vec![
        Row(set("starts_at", json!("tomorrow")), 400, "invalid-request", Some("starts_at")),
        Row(set("starts_at", json!(1_900_000_000)), 400, "invalid-request", Some("starts_at")),
        Row(set("hold_ttl_s", json!(0)), 400, "invalid-request", Some("hold_ttl_s")),
        Row(set("hold_ttl_s", json!(86_401)), 400, "invalid-request", Some("hold_ttl_s")),
        Row(set("payment_ttl_s", json!(-60)), 400, "invalid-request", Some("payment_ttl_s")),
        Row(set("lapsed_holds_max", json!(101)), 400, "invalid-request", Some("lapsed_holds_max")),
        Row(set("seats_per_user_max", json!(101)), 400, "invalid-request", Some("seats_per_user_max")),
        Row(set("sale_closes_at", json!("2001-01-01T00:00:00Z")), 400, "invalid-request", Some("sale_closes_at")),
        Row(set("prices", json!({})), 400, "invalid-request", Some("prices")),
        Row(set("prices", json!({"VIP": -1, "R": 1})), 400, "invalid-request", Some("prices.VIP")),
        Row(set("prices", json!({"VIP": 1})), 400, "invalid-request", Some("chart.areas[0].grade")),
        Row(set("chart", json!({})), 400, "invalid-request", Some("chart")),
        Row(
            create(&|body| body["chart"]["sections"][0]["rows"][1]["seat_count"] = json!(100_001)),
            400,
            "invalid-request",
            Some("chart.sections[0].rows[1].seats"),
        ),
        Row(
            create(&|body| body["chart"]["sections"][0]["rows"][1]["colour"] = json!("red")),
            400,
            "invalid-request",
            Some("chart.sections[0].rows[1].colour"),
        ),
        Row(set("colour", json!("red")), 400, "invalid-request", Some("colour")),
        Row(
            Request::new("POST", &format!("/v1/concerts/{concert}/performances"))
                .token(organizer)
                .body("application/json", &large),
            413,
            "body-too-large",
            None,
        ),
        Row(
            Request::new("POST", &format!("/v1/concerts/{concert}/performances"))
                .token(other_organizer)
                .json(common::performance_body()),
            404,
            "not-found",
            None,
        ),
        Row(change(other_organizer, "paused"), 404, "not-found", None),
        Row(change(organizer, "sold_out"), 400, "invalid-request", Some("state")),
        Row(block(organizer, json!(["A-1-1"])), 409, "seats-unavailable", None),
        Row(block(organizer, json!(["Z-1-1"])), 400, "unknown-seat", None),
        Row(block(other_organizer, json!(["A-2-1"])), 404, "not-found", None),
        Row(
            Request::new("POST", "/v1/concerts")
                .token(organizer)
                .json(json!({"title": " ", "artist": "A", "venue": "V"})),
            400,
            "invalid-request",
            Some("title"),
        ),
        Row(
            Request::new("POST", "/v1/organizers").token(OPERATOR_KEY).json(json!({"name": "x".repeat(201)})),
            400,
            "invalid-request",
            Some("name"),
        ),
    ]
}

fn paths(stage: &Stage) -> Vec<Row> {
    let get = |path: &str| Request::new("GET", path);
    let performance = &stage.performance;
    vec![
        Row(get("/"), 404, "not-found", None),
        Row(get("/v1"), 404, "not-found", None),
        Row(get("/v1/nothing"), 404, "not-found", None),
        Row(get("/v1/wallet/"), 404, "not-found", None),
        Row(get(&format!("/v1/performances/{performance}/chart/extra")), 404, "not-found", None),
        Row(get("/noop"), 404, "not-found", None),
        Row(get("/v1/concerts/7"), 404, "not-found", None),
        Row(get(&format!("/v1/performances/{}", uuid::Uuid::nil())), 404, "not-found", None),
        Row(get(&format!("/v1/performances/{}/availability", uuid::Uuid::nil())), 404, "not-found", None),
        Row(get("/v1/concerts?limit=0"), 400, "invalid-request", Some("limit")),
        Row(get("/v1/concerts?limit=501"), 400, "invalid-request", Some("limit")),
        Row(get("/v1/concerts?limit=many"), 400, "invalid-request", Some("limit")),
        Row(get("/v1/concerts?cursor=nonsense"), 400, "invalid-request", Some("cursor")),
        Row(get("/v1/concerts?colour=red"), 400, "invalid-request", Some("query")),
        Row(get("/v1/concerts?from=tomorrow"), 400, "invalid-request", Some("from")),
        Row(get("/v1/concerts?to=2026-11-21T10:00:00+09:00"), 400, "invalid-request", Some("to")),
        Row(get("/v1/concerts?organizer_id=7"), 400, "invalid-request", Some("organizer_id")),
        Row(get("/v1/performances?from=2026-11-21"), 400, "invalid-request", Some("from")),
        Row(get("/v1/performances?to="), 400, "invalid-request", Some("to")),
        Row(get("/v1/performances?concert_id=x"), 400, "invalid-request", Some("concert_id")),
        Row(get("/v1/performances?organizer_id=x"), 400, "invalid-request", Some("organizer_id")),
        Row(get("/readyz?verbose=perhaps"), 400, "invalid-request", Some("verbose")),
        Row(Request::new("PUT", "/v1/concerts"), 405, "method-not-allowed", None),
        Row(Request::new("DELETE", "/v1/users"), 405, "method-not-allowed", None),
        Row(Request::new("POST", "/livez"), 405, "method-not-allowed", None),
        Row(Request::new("BREW", "/v1/wallet"), 405, "method-not-allowed", None),
        Row(
            Request::new("PATCH", &format!("/v1/performances/{performance}/reservations")),
            405,
            "method-not-allowed",
            None,
        ),
    ]
}

#[test]
fn refusals_carry_what_a_program_needs() {
    let Stage { server, user, other, performance, scheduled, held, .. } = stage();
    let taken = server.hold(&performance, &other, json!({"seats": ["A-1-3", "A-1-2", "A-1-1"]}));
    assert_eq!(taken.expect_problem(409, "seats-unavailable").json()["seats"], json!(["A-1-2", "A-1-1"]));
    let unknown = server.hold(&performance, &other, json!({"seats": ["A-1-3", "Z-1-1"]}));
    assert_eq!(unknown.expect_problem(400, "unknown-seat").json()["seats"], json!(["Z-1-1"]));
    let limit = server.hold(&performance, &user, json!({"area": "Floor", "count": 3}));
    let limit = limit.expect_problem(409, "seat-limit").json();
    assert_eq!((&limit["limit"], &limit["held"]), (&json!(4), &json!(2)));
    let early = server.hold(&scheduled, &user, json!({"seats": ["A-1-1"]}));
    let early = early.expect_problem(409, "sale-not-open").json();
    assert_eq!((&early["state"], &early["sale_opens_at"]), (&json!("scheduled"), &json!("2098-01-01T00:00:00.000Z")));
    server.hold(&performance, &other, json!({"area": "Floor", "count": 4})).expect(201);
    let full = server.hold(&performance, &user, json!({"area": "Floor", "count": 2}));
    let full = full.expect_problem(409, "seats-unavailable").json();
    assert_eq!((&full["area"], &full["available"]), (&json!("Floor"), &json!(1)));
    let poor = server.post(&format!("/v1/reservations/{held}/payment"), &user.token, json!({}));
    let poor = poor.expect_problem(409, "insufficient-points").json();
    assert_eq!((&poor["balance"], &poor["required"]), (&json!(0), &json!(200)));
    assert!(poor["expires_at"].as_str().unwrap().ends_with('Z'));
    let allowed = server.send(Request::new("PUT", "/v1/concerts")).expect_problem(405, "method-not-allowed");
    assert_eq!(allowed.header("allow"), Some("GET, HEAD, POST, OPTIONS"));
}

#[test]
fn a_key_with_other_content_is_refused_on_every_path_that_takes_one() {
    let Stage { server, organizer, user, concert, performance, .. } = stage();
    let holds = format!("/v1/performances/{performance}/reservations");
    let performances = format!("/v1/concerts/{concert}/performances");
    let body = common::performance_body();
    let mut other_body = body.clone();
    other_body["hold_ttl_s"] = json!(10);
    let table = [
        (
            "/v1/wallet/charges",
            OPERATOR_KEY,
            json!({"points": 5, "user_id": user.id}),
            json!({"points": 6, "user_id": user.id}),
        ),
        (&holds, &user.token, json!({"seats": ["A-2-1"]}), json!({"seats": ["A-2-2"]})),
        (
            "/v1/concerts",
            &organizer,
            json!({"title": "T", "artist": "A", "venue": "V"}),
            json!({"title": "T", "artist": "A", "venue": "W"}),
        ),
        (&performances, &organizer, body, other_body),
        ("/v1/organizers", OPERATOR_KEY, json!({"name": "One"}), json!({"name": "Two"})),
        (
            "/v1/users",
            "",
            json!({"email": "key@example.com", "password": "correct horse"}),
            json!({"email": "key@example.com", "password": "another horse"}),
        ),
    ];
    for (path, token, first, other) in table {
        let send = |body: &Value| {
            server.send(Request::new("POST", path).token(token).key("one-key-for-two").json(body.clone()))
        };
        assert_eq!(send(&first).expect(201).header("idempotency-replayed"), None, "{path}");
        send(&other).expect_problem(422, "idempotency-key-reused");
        assert_eq!(send(&first).expect(201).header("idempotency-replayed"), Some("true"), "{path}");
    }
    assert_eq!(server.balance(&user), 5);
}

#[test]
fn a_client_that_stalls_is_told_so() {
    let Stage { server, .. } = stage();
    let started = Instant::now();
    for (sent, problem) in [
        (
            "POST /v1/users HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{\"email",
            true,
        ),
        ("POST /v1/users HTTP/1.1\r\nHost: t\r\nContent-Ty", false),
    ] {
        let mut stream = server.connect();
        stream.write_all(sent.as_bytes()).unwrap();
        let answer = read_answer(&mut BufReader::new(stream), "POST");
        if problem {
            answer.expect_problem(408, "request-timeout");
        } else {
            answer.expect(408);
        }
    }
    assert!(started.elapsed() < PATIENCE / 2, "{:?}", started.elapsed());
}

#[test]
fn a_token_expires() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &["--session-ttl-s", "1"]);
    let user = server.user("user");
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = server.get("/v1/wallet", &user.token);
        if answer.status != 200 {
            answer.expect_problem(401, "token-expired");
            break;
        }
        assert!(Instant::now() < until, "the token does not expire");
        std::thread::sleep(Duration::from_millis(50));
    }
    let sign_in = json!({"email": "user@example.com", "password": "correct horse"});
    let token = server.post("/v1/sessions", "", sign_in).expect(201).text("/token");
    server.get("/v1/me", &token).expect(200);
}

#[test]
fn a_full_mailbox_says_try_again() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &["--mailbox-commands-max", "1"]);
    let organizer = server.organizer();
    let concert = server.concert(&organizer);
    let mut large = common::performance_body();
    let rows = (10..100).map(|row| json!({"row": row.to_string(), "grade": "R", "seat_count": 1_000}));
    large["chart"]["sections"][0]["rows"].as_array_mut().unwrap().extend(rows);
    let until = Instant::now() + PATIENCE;
    let mut refused = 0;
    while refused == 0 {
        assert!(Instant::now() < until, "the mailbox is never full");
        // A shard that makes large performances leaves commands waiting; one may, the next is refused.
        let answers = std::thread::scope(|scope| {
            let make = || {
                let request = Request::new("POST", &format!("/v1/concerts/{concert}/performances"));
                server.send(request.token(&organizer).json(large.clone()))
            };
            let look = || server.get(&format!("/v1/concerts/{concert}"), "");
            let threads: Vec<_> =
                (0..16).map(|index| scope.spawn(move || if index % 4 == 0 { make() } else { look() })).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        for answer in answers {
            match answer.status {
                200 | 201 => {}
                _ => {
                    let answer = answer.expect_problem(503, "overloaded");
                    assert_eq!(answer.header("retry-after"), Some("1"));
                    refused += 1;
                }
            }
        }
    }
    server.get(&format!("/v1/concerts/{concert}"), "").expect(200);
}
