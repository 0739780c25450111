//! Charges, statements, refunds by the organizer, adjustments, and the reconciliation, through a real server.

use crate::common::{Answer, OPERATOR_KEY, PATIENCE, Request, Server, User, command, performance_body};
use serde_json::{Value, json};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// An organizer: its id and its key.
struct Organizer {
    id: String,
    key: String,
}

fn organizer(server: &Server) -> Organizer {
    let answer = server.post("/v1/organizers", OPERATOR_KEY, json!({"name": "Org"})).expect(201);
    Organizer { id: answer.text("/organizer_id"), key: answer.text("/key/secret") }
}

fn keyed(server: &Server, path: &str, token: &str, key: &str, body: Value) -> Answer {
    server.send(Request::new("POST", path).token(token).key(key).json(body))
}

fn charge(server: &Server, token: &str, user: &User, points: u64, key: &str) -> Answer {
    let body = json!({"points": points, "user_id": user.id, "reference": "pay_1"});
    keyed(server, "/v1/wallet/charges", token, key, body)
}

/// A reservation that is paid.
fn buy(server: &Server, performance: &str, user: &User) -> String {
    let wish = json!({"best_available": {"count": 1, "grade": "VIP"}});
    let reservation = server.hold(performance, user, wish).expect(201).text("/reservation_id");
    server.post(&format!("/v1/reservations/{reservation}/payment"), &user.token, json!({})).expect(200);
    reservation
}

fn today() -> String {
    let days = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 86_400;
    let day = time::Date::from_julian_day(2_440_588 + days as i32).unwrap();
    format!("{}-{:02}-{:02}", day.year(), u8::from(day.month()), day.day())
}

/// The reconciliation of a span, once the sums are made.
fn reconcile(server: &Server, path: &str, token: &str) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = server.get(path, token);
        if answer.status != 503 || Instant::now() > until {
            return answer.expect(200).json();
        }
        answer.expect_problem(503, "reconciliation-behind");
    }
}

fn all_time(path: &str) -> String {
    // A test that runs over midnight has its points on one day or the other.
    let today = today();
    let year: u32 = today[..4].parse().unwrap();
    format!("{path}from={today}&to={}{}", year + 1, "-01-01")
}

/// Type, points and balance of each entry.
fn told(answer: &Value) -> Vec<(String, i64, i64)> {
    let number = |entry: &Value, name: &str| entry[name].as_i64().unwrap();
    let items = answer["items"].as_array().unwrap().iter();
    items.map(|item| (item["type"].as_str().unwrap().into(), number(item, "points"), number(item, "balance"))).collect()
}

fn row(kind: &str, points: i64, balance: i64) -> (String, i64, i64) {
    (kind.into(), points, balance)
}

#[test]
fn a_statement_tells_everything_that_moved_the_points() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &[]);
    let (seller, rival) = (organizer(&server), organizer(&server));
    let (user, other) = (server.user("ann"), server.user("bob"));
    let performance = server.performance(&seller.key, json!({}));
    let entries = |path: &str, token: &str| server.get(path, token).expect(200).json();

    assert_eq!(entries("/v1/wallet/entries", &user.token), json!({"items": [], "next_cursor": null, "older": false}));
    let charged = charge(&server, &seller.key, &user, 500, "charge-0001").expect(201);
    let reservation = buy(&server, &performance, &user);
    let of_user = format!("/v1/users/{}/wallet", user.id);
    let adjust = json!({"points": -50, "reason": "a fee", "organizer_id": rival.id});
    let adjusted = keyed(&server, &format!("{of_user}/adjustments"), OPERATOR_KEY, "adjust-0001", adjust).expect(201);
    let refund = format!("/v1/reservations/{reservation}/refund");
    server.post(&refund, &seller.key, json!({"reason": "no balcony"})).expect(200);

    let whole = entries("/v1/wallet/entries", &user.token);
    let rows =
        [row("refunded", 100, 450), row("adjusted", -50, 350), row("spent", -100, 400), row("charged", 500, 500)];
    assert_eq!(told(&whole), rows);
    let item = |nth: usize| whole["items"][nth].as_object().unwrap().clone();
    let fields = [
        (0, "reason", json!("no balcony")),
        (0, "reservation_id", json!(reservation)),
        (0, "organizer_id", json!(seller.id)),
        (1, "adjustment_id", adjusted.json()["adjustment_id"].clone()),
        (1, "reason", json!("a fee")),
        (1, "organizer_id", json!(rival.id)),
        (2, "performance_id", json!(performance)),
        (3, "charge_id", charged.json()["charge_id"].clone()),
        (3, "reference", json!("pay_1")),
        (3, "charged_by", json!("organizer")),
        (3, "organizer_id", json!(seller.id)),
    ];
    for (nth, name, value) in fields {
        assert_eq!(item(nth).get(name), Some(&value), "{nth} {name}");
    }
    // Page by page, also while something new comes.
    let first = entries("/v1/wallet/entries?limit=2", &user.token);
    charge(&server, OPERATOR_KEY, &user, 1, "charge-0002").expect(201);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = entries(&format!("/v1/wallet/entries?limit=2&cursor={cursor}"), &user.token);
    assert_eq!([told(&first), told(&second)].concat(), rows);
    assert_eq!(second["next_cursor"], Value::Null);

    // The operator sees all, an organizer what is on its account, nobody else anything.
    let of_entries = format!("{of_user}/entries");
    assert_eq!(told(&entries(&of_entries, OPERATOR_KEY)).len(), 5);
    let sellers = [row("refunded", 100, 450), row("spent", -100, 400), row("charged", 500, 500)];
    assert_eq!(told(&entries(&of_entries, &seller.key)), sellers);
    assert_eq!(told(&entries(&of_entries, &rival.key)), [row("adjusted", -50, 350)]);
    assert_eq!(server.get(&of_user, &seller.key).expect(200).json()["balance"], 451);
    server.get(&of_user, &user.token).expect_problem(403, "forbidden");
    let of_other = format!("/v1/users/{}/wallet", other.id);
    for path in [of_other.clone(), format!("{of_other}/entries")] {
        server.get(&path, &seller.key).expect_problem(404, "user-not-found");
        server.get(&path, OPERATOR_KEY).expect(200);
    }
}

#[test]
fn refunds_by_the_organizer_happen_once_and_at_any_time() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &[]);
    let (seller, rival, user) = (organizer(&server), organizer(&server), server.user("ann"));
    // Users could cancel until 1970.
    let performance = server.performance(&seller.key, json!({"cancellation_closes_at": "1970-01-02T00:00:00Z"}));
    charge(&server, &seller.key, &user, 1_000, "charge-0001").expect(201);
    let reservation = buy(&server, &performance, &user);
    let path = format!("/v1/reservations/{reservation}");
    server.send(Request::new("DELETE", &path).token(&user.token)).expect_problem(409, "cancellation-closed");

    let refund = |key: &str, body| server.post(&format!("{path}/refund"), key, body);
    let because = || json!({"reason": "no balcony"});
    refund(&rival.key, because()).expect_problem(404, "not-found");
    refund(&user.token, because()).expect_problem(403, "forbidden");
    refund(OPERATOR_KEY, because()).expect_problem(403, "forbidden");
    for body in [json!({}), json!({"reason": ""}), json!({"reason": " "}), json!({"reason": "x".repeat(201)})] {
        refund(&seller.key, body).expect_problem(400, "invalid-request");
    }
    assert_eq!(server.balance(&user), 900);
    let done = refund(&seller.key, because()).expect(200);
    assert_eq!((done.text("/state"), done.text("/refund_reason")), ("cancelled".into(), "no balcony".into()));
    let again = refund(&seller.key, json!({"reason": "another"})).expect(200);
    assert_eq!(again.json(), done.json());
    assert_eq!(server.send(Request::new("DELETE", &path).token(&user.token)).expect(200).json(), done.json());
    assert_eq!(server.balance(&user), 1_000);

    // What is not paid has nothing to give back.
    let held = server.hold(&performance, &user, json!({"seats": ["A-2-1"]})).expect(201).text("/reservation_id");
    let path = format!("/v1/reservations/{held}/refund");
    server.post(&path, &seller.key, because()).expect_problem(409, "reservation-held");
    server
        .post(&format!("/v1/reservations/{}/refund", user.id), &seller.key, because())
        .expect_problem(404, "not-found");
}

/// The user cancels and the organizer refunds, at the same moment: the points come back once.
#[test]
fn two_who_cancel_at_once_refund_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &[]);
    let (seller, user) = (organizer(&server), server.user("ann"));
    let performance = server.performance(&seller.key, json!({"seats_per_user_max": 20}));
    charge(&server, &seller.key, &user, 1_000, "charge-0001").expect(201);
    for _ in 0..10 {
        let path = format!("/v1/reservations/{}", buy(&server, &performance, &user));
        std::thread::scope(|scope| {
            scope.spawn(|| server.send(Request::new("DELETE", &path).token(&user.token)).expect(200));
            scope.spawn(|| server.post(&format!("{path}/refund"), &seller.key, json!({"reason": "x"})).expect(200));
        });
    }
    assert_eq!(server.balance(&user), 1_000);
    let entries = server.get("/v1/wallet/entries", &user.token).expect(200).json();
    assert_eq!(told(&entries).iter().filter(|(kind, ..)| kind == "refunded").count(), 10);
}

#[test]
fn adjustments_and_limits_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &["--charge-points-per-day-max", "1000"]);
    let (seller, user) = (organizer(&server), server.user("ann"));
    let path = format!("/v1/users/{}/wallet/adjustments", user.id);
    let adjust = |token: &str, key: &str, body: Value| keyed(&server, &path, token, key, body);
    let give = |points: i64| json!({"points": points, "reason": "goodwill"});

    server.post(&path, OPERATOR_KEY, give(5)).expect_problem(400, "idempotency-key-required");
    adjust(&seller.key, "adjust-0001", give(5)).expect_problem(403, "forbidden");
    let made = adjust(OPERATOR_KEY, "adjust-0001", give(5)).expect(201);
    assert_eq!((made.json()["points"].clone(), made.json()["balance"].clone()), (json!(5), json!(5)));
    let again = adjust(OPERATOR_KEY, "adjust-0001", give(5)).expect(201);
    assert_eq!((again.json(), again.header("idempotency-replayed")), (made.json(), Some("true")));
    adjust(OPERATOR_KEY, "adjust-0001", give(6)).expect_problem(422, "idempotency-key-reused");
    let short = adjust(OPERATOR_KEY, "adjust-0002", give(-6)).expect_problem(409, "insufficient-points").json();
    assert_eq!((&short["balance"], &short["required"]), (&json!(5), &json!(6)));
    let nobody = json!({"points": 1, "reason": "x", "organizer_id": user.id});
    adjust(OPERATOR_KEY, "adjust-0003", nobody).expect_problem(404, "not-found");
    let refused = [
        (give(0), "points"),
        (give(1 << 53), "points"),
        (json!({"points": 1}), "reason"),
        (json!({"points": 1, "reason": "  "}), "reason"),
        (json!({"points": 1, "reason": "a\nb"}), "reason"),
        (json!({"points": 1.5, "reason": "x"}), "points"),
        (json!({"points": 1, "reason": "x", "more": 1}), "more"),
    ];
    for (body, field) in refused {
        let problem = adjust(OPERATOR_KEY, "adjust-0004", body).expect_problem(400, "invalid-request").json();
        assert_eq!(problem["field"], field, "{problem}");
    }
    let stranger = format!("/v1/users/{}/wallet/adjustments", seller.id);
    keyed(&server, &stranger, OPERATOR_KEY, "adjust-0005", give(1)).expect_problem(404, "user-not-found");

    charge(&server, &seller.key, &user, 600, "charge-0001").expect(201);
    let full = charge(&server, OPERATOR_KEY, &user, 401, "charge-0002").expect_problem(409, "charge-limit").json();
    assert_eq!((&full["limit"], &full["charged"]), (&json!(1000), &json!(600)));
    assert!(full["retry_at"].is_string(), "{full}");
    let never = charge(&server, OPERATOR_KEY, &user, 1001, "charge-0002").expect_problem(409, "charge-limit").json();
    assert_eq!(never["retry_at"], Value::Null);
    charge(&server, OPERATOR_KEY, &user, 400, "charge-0002").expect(201);
    let body = json!({"points": 1, "user_id": user.id, "reference": "a\u{7}b"});
    let problem = keyed(&server, "/v1/wallet/charges", OPERATOR_KEY, "charge-0003", body);
    assert_eq!(problem.expect_problem(400, "invalid-request").json()["field"], "reference");
}

/// The figures of a reconciliation, in one line.
fn figures(found: &Value) -> String {
    let names = ["charged", "spent", "refunded", "adjusted", "net", "charges", "payments", "refunds", "adjustments"];
    names.map(|name| found["totals"][name].to_string()).join(" ") + &format!(" = {}", found["outstanding"])
}

#[test]
fn the_reconciliation_equals_what_was_done() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut server = Server::start(&data, &["--self-charge"]);
    let (seller, rival) = (organizer(&server), organizer(&server));
    let (user, other) = (server.user("ann"), server.user("bob"));
    let (mine, theirs) = (server.performance(&seller.key, json!({})), server.performance(&rival.key, json!({})));
    charge(&server, &seller.key, &user, 500, "charge-0001").expect(201);
    charge(&server, OPERATOR_KEY, &user, 30, "charge-0001").expect(201);
    keyed(&server, "/v1/wallet/charges", &other.token, "charge-0001", json!({"points": 200})).expect(201);
    buy(&server, &mine, &user);
    buy(&server, &theirs, &user);
    let reservation = buy(&server, &mine, &user);
    server.send(Request::new("DELETE", &format!("/v1/reservations/{reservation}")).token(&user.token)).expect(200);
    let adjust = json!({"points": -7, "reason": "a fee", "organizer_id": rival.id});
    let path = format!("/v1/users/{}/wallet/adjustments", user.id);
    keyed(&server, &path, OPERATOR_KEY, "adjust-0001", adjust).expect(201);

    let own = all_time("/v1/organizer/reconciliation?");
    let of = |organizer: &str| all_time(&format!("/v1/reconciliation?organizer_id={organizer}&"));
    let all = all_time("/v1/reconciliation?");
    let table = [
        (own.clone(), seller.key.clone(), "500 200 100 0 400 1 2 1 0 = 400"),
        (own.clone(), rival.key.clone(), "0 100 0 -7 -107 0 1 0 1 = -107"),
        (of(&seller.id), OPERATOR_KEY.into(), "500 200 100 0 400 1 2 1 0 = 400"),
        (of("none"), OPERATOR_KEY.into(), "230 0 0 0 230 2 0 0 0 = 230"),
        (all.clone(), OPERATOR_KEY.into(), "730 300 100 -7 523 3 3 1 1 = 523"),
    ];
    // Now, after a stop, after a crash, and without the copy.
    for round in 0..4 {
        for (path, token, expected) in &table {
            assert_eq!(figures(&reconcile(&server, path, token)), *expected, "{path} in round {round}");
        }
        assert_eq!(server.balance(&user) + server.balance(&other), 523);
        match round {
            0 | 2 => server.stop(),
            _ => server.kill(),
        }
        if round == 2 {
            std::fs::write(data.join("ledger"), b"something else").unwrap();
        }
        server = Server::start(&data, &["--self-charge"]);
    }

    // What was just answered is in it.
    let before = reconcile(&server, &own, &seller.key)["position"].as_u64().unwrap();
    let charged = charge(&server, &seller.key, &user, 1, "charge-0009").expect(201);
    let after = reconcile(&server, &own, &seller.key);
    let position: u64 = charged.header("onsale-position").unwrap().parse().unwrap();
    assert!(position > before && after["position"].as_u64().unwrap() >= position);
    assert_eq!(after["totals"]["charged"], 501);
    assert_eq!(after["organizer_id"], seller.id);
    let days = after["days"].as_array().unwrap();
    assert!(days.len() > 1 && days[0]["date"] == today() || days[1]["date"] == today());
    assert_eq!(days.iter().map(|day| day["charged"].as_u64().unwrap()).sum::<u64>(), 501);
    assert_eq!(days.last().unwrap()["outstanding"], after["outstanding"]);

    let csv = server.send(Request::new("GET", &own).token(&seller.key).header("Accept", "text/csv")).expect(200);
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    let text = String::from_utf8(csv.body.clone()).unwrap();
    let lines: Vec<&str> = text.split_terminator("\r\n").collect();
    assert_eq!(lines[0], "date,charged,spent,refunded,adjusted,net,outstanding,charges,payments,refunds,adjustments");
    assert_eq!(lines.len(), days.len() + 1);
    assert!(lines.iter().any(|line| line.ends_with(",501,200,100,0,401,401,2,2,1,0")), "{text}");

    // A day of the past has nothing.
    let past = "/v1/organizer/reconciliation?from=1970-01-01&to=1970-01-01";
    assert_eq!(figures(&reconcile(&server, past, &seller.key)), "0 0 0 0 0 0 0 0 0 = 0");
}

/// The document promises numbers of 64 bits.
#[test]
fn sums_beyond_64_bits_are_told_as_csv() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &[]);
    let most = (1i64 << 53) - 1;
    // Over 64 bits it takes 1,025 of the largest there are.
    let wallets = 1_030;
    for number in 0..wallets {
        let user = server.user(&format!("rich-{number}"));
        let path = format!("/v1/users/{}/wallet/adjustments", user.id);
        let body = json!({"points": most, "reason": "a test"});
        server.send(Request::new("POST", &path).token(OPERATOR_KEY).key("as-many-as-there-are").json(body)).expect(201);
    }
    server.get("/v1/reconciliation?from=2020-01-01&to=2020-01-01", OPERATOR_KEY).expect(200);
    let today = today();
    let path = format!("/v1/reconciliation?from={today}&to={today}");
    server.get(&path, OPERATOR_KEY).expect_problem(409, "sums-too-large");
    let csv = server.send(Request::new("GET", &path).token(OPERATOR_KEY).header("Accept", "text/csv")).expect(200);
    let sum = (i128::from(most) * wallets).to_string();
    assert!(String::from_utf8(csv.body).unwrap().contains(&format!(",{sum},{sum},{sum},")), "{sum}");
}

#[test]
fn a_reconciliation_that_makes_no_sense_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &[]);
    let (seller, user) = (organizer(&server), server.user("ann"));
    let table = [
        ("", "from"),
        ("from=2026-01-01", "to"),
        ("from=2026-02-30&to=2026-03-01", "from"),
        ("from=2026-01-01T00:00:00Z&to=2026-01-01", "from"),
        ("from=2026-1-1&to=2026-01-01", "from"),
        ("from=1969-12-31&to=2026-01-01", "from"),
        ("from=2026-01-02&to=2026-01-01", "to"),
        ("from=2026-01-01&to=2027-01-02", "to"),
        ("from=2026-01-01&to=2026-01-01&colour=red", "query"),
        ("from=2026-01-01&to=2026-01-01&from=2026-01-01", "query"),
        ("from=%22%22&to=2026-01-01", "from"),
    ];
    for (query, field) in table {
        let path = format!("/v1/organizer/reconciliation?{query}");
        let problem = server.get(&path, &seller.key).expect_problem(400, "invalid-request").json();
        assert_eq!(problem["field"], field, "{query}");
        server.get(&format!("/v1/reconciliation?{query}"), OPERATOR_KEY).expect_problem(400, "invalid-request");
    }
    reconcile(&server, "/v1/organizer/reconciliation?from=2026-01-01&to=2027-01-01", &seller.key);
    let span = "from=2026-01-01&to=2026-01-01";
    server.get(&format!("/v1/organizer/reconciliation?{span}"), OPERATOR_KEY).expect_problem(403, "forbidden");
    server.get(&format!("/v1/reconciliation?{span}"), &seller.key).expect_problem(403, "forbidden");
    server.get(&format!("/v1/reconciliation?{span}"), &user.token).expect_problem(403, "forbidden");
    let of = |id: &str| server.get(&format!("/v1/reconciliation?{span}&organizer_id={id}"), OPERATOR_KEY);
    of("somebody").expect_problem(400, "invalid-request");
    of(&user.id).expect_problem(404, "not-found");
}

/// Points are money elsewhere: a demo must not be started on them by a slip.
#[test]
fn a_demo_does_not_start_on_what_is_no_demo() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data, &[]);
    server.performance(&organizer(&server).key, performance_body());
    server.stop();
    let output = command(&data, &["--demo"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("was not made by --demo"), "{said}");
    // Nothing happened to it; and a demo of its own starts again.
    Server::start(&data, &[]).stop();
    let demo = folder.path().join("demo");
    Server::start(&demo, &["--demo"]).stop();
    Server::start(&demo, &["--demo"]).stop();
}
