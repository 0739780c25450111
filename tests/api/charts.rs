//! Charts as large as they may be: nothing about them is lost, and what is larger is refused with what to do.

use crate::common::{Answer, Request, Server, performance_body};
use serde_json::{Value, json};

const ROWS: usize = 100;
const SEATS: usize = 1_000;

/// 100,000 seats with printed numbers; `turned`, the other way round.
fn largest(turned: bool) -> Value {
    let row = |row: usize| {
        let mut seats: Vec<String> = (0..SEATS).map(|seat| format!("{}", 2 * seat + 1)).collect();
        if turned {
            seats.reverse();
        }
        json!({"row": row.to_string(), "grade": if row < 10 { "VIP" } else { "R" }, "seats": seats})
    };
    let mut rows: Vec<Value> = (1..=ROWS).map(row).collect();
    if turned {
        rows.reverse();
    }
    json!({"sections": [{"section": "A", "rows": rows}]})
}

fn put(server: &Server, path: &str, organizer: &str, etag: &str, body: &Value) -> Answer {
    server.send(Request::new("PUT", path).token(organizer).header("if-match", etag).json(body.clone()))
}

#[test]
fn the_largest_chart_lives_as_a_small_one_does() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let mut server = Server::start(&folder, &[]);
    let organizer = server.organizer();
    let performance = server.performance(&organizer, json!({"chart": largest(false)}));
    let path = format!("/v1/performances/{performance}");
    let ann = server.user("ann");
    let held = server.hold(&performance, &ann, json!({"seats": ["A-1-1", "A-100-1999"]})).expect(201).json();
    assert_eq!(held["points"], 110);

    let labels: Vec<String> =
        (0..10_000).map(|seat| format!("A-{}-{}", 20 + seat / SEATS, seat % SEATS * 2 + 1)).collect();
    let blocked = server.post(&format!("{path}/seat-blocks"), &organizer, json!({"seats": labels})).expect(200);
    assert_eq!(blocked.json()["available"], 100_000 - 2 - 10_000);
    let shown = server.get(&format!("{path}/blocks"), &organizer).expect(200).json();
    assert_eq!(shown["seats"], json!(labels));
    let left = server.get(&format!("{path}/availability"), "").expect(200).json();
    assert_eq!((&left["seats"]["blocked"], &left["seats"]["held"]), (&json!(labels), &json!(["A-1-1", "A-100-1999"])));

    // Another order and other prices: whoever has a place keeps it, at its price.
    let other = json!({"chart": largest(true), "prices": {"VIP": 300, "R": 30}});
    put(&server, &format!("{path}/chart"), &organizer, "\"1\"", &other).expect(200);
    put(&server, &format!("{path}/chart"), &organizer, "\"1\"", &other).expect_problem(412, "precondition-failed");
    let etag = server.get(&path, "").header("etag").unwrap().to_owned();
    let change = Request::new("PATCH", &path).token(&organizer).header("if-match", &etag);
    server.send(change.clone().json(json!({"prices": {"R": 40}}))).expect_problem(400, "invalid-request");
    let changed = server.send(change.json(json!({"prices": {"VIP": 400, "R": 40}}))).expect(200).json();
    assert_eq!((&changed["prices"]["R"], &changed["available"]), (&json!(40), &json!(100_000 - 2 - 10_000)));

    for restarted in [false, true] {
        if restarted {
            server.kill();
            server = Server::start(&folder, &[]);
        }
        let reservation = format!("/v1/reservations/{}", held["reservation_id"].as_str().unwrap());
        let kept = server.get(&reservation, &ann.token).expect(200).json();
        assert_eq!((&kept["seats"], &kept["points"]), (&held["seats"], &json!(110)), "{restarted}");
        let left = server.get(&format!("{path}/availability"), "").expect(200).json();
        assert_eq!(left["seats"]["held"], json!(["A-100-1999", "A-1-1"]), "in the order of the chart of now");
        assert_eq!(left["seats"]["blocked"].as_array().unwrap().len(), 10_000);
        let chart = server.get(&format!("{path}/chart"), "").expect(200).json();
        assert_eq!(chart, largest(true));
    }
    let bob = server.user("bob");
    assert_eq!(server.hold(&performance, &bob, json!({"seats": ["A-99-1"]})).expect(201).json()["points"], 40);
    let unblocked = server.post(&format!("{path}/seat-unblocks"), &organizer, json!({"seats": labels})).expect(200);
    assert_eq!(unblocked.json()["available"], 100_000 - 3);
    server.stop();
}

#[test]
fn what_no_hall_has_is_refused_wherever_a_chart_comes_in() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let organizer = server.organizer();
    let performance = server.performance(&organizer, json!({}));
    let concert = server.concert(&organizer);
    let row = |row: usize, seats: usize| json!({"row": row.to_string(), "grade": "R", "seat_count": seats});
    let areas: Vec<Value> =
        (0..201).map(|area| json!({"area": format!("F{area}"), "grade": "R", "capacity": 1})).collect();
    let sections: Vec<Value> =
        (0..2_001).map(|section| json!({"section": section.to_string(), "rows": [row(1, 1)]})).collect();
    let rows: Vec<Value> = (0..20_001).map(|number| row(number, 1)).collect();
    let printed: Vec<String> = (0..1_001).map(|seat| seat.to_string()).collect();
    let table = [
        (json!({"areas": areas}), "chart.areas"),
        (json!({"sections": sections}), "chart.sections"),
        (json!({"sections": [{"section": "A", "rows": rows}]}), "chart.sections"),
        (json!({"sections": [{"section": "A", "rows": [row(1, 1_001)]}]}), "chart.sections[0].rows[0].seats"),
        (
            json!({"sections": [{"section": "A", "rows": [{"row": "1", "grade": "R", "seats": printed}]}]}),
            "chart.sections[0].rows[0].seats",
        ),
    ];
    let at = format!("/v1/performances/{performance}/chart");
    for (chart, field) in table {
        let mut create = performance_body();
        create["chart"] = chart.clone();
        let with_prices = json!({"chart": chart, "prices": {"R": 10, "VIP": 100}});
        let answers = [
            put(&server, &at, &organizer, "\"1\"", &with_prices),
            server.post(&format!("/v1/concerts/{concert}/performances"), &organizer, create),
            server.post("/v1/charts/validation", &organizer, with_prices.clone()),
        ];
        for answer in answers {
            let refused = answer.expect_problem(400, "invalid-chart").json();
            assert_eq!(refused["field"], field);
            assert!(refused["detail"].as_str().unwrap().contains("at most"), "{refused}");
        }
        // What is refused anyway is refused for that: it is not this organizer's, or of another version.
        let rival = server.organizer();
        put(&server, &at, &rival, "\"1\"", &with_prices).expect_problem(404, "not-found");
        put(&server, &at, &organizer, "\"9\"", &with_prices).expect_problem(412, "precondition-failed");
    }
    let lines: String = (0..201).map(|area| format!("F{area},R,1\n")).collect();
    let csv = format!("area,grade,capacity\n{lines}");
    let request = Request::new("POST", "/v1/charts/validation").token(&organizer).body("text/csv", csv.as_bytes());
    server.send(request).expect_problem(400, "invalid-chart");
    assert_eq!(server.get(&at, "").expect(200).json(), performance_body()["chart"]);
}

/// A key that stood for a chart stands for it, even when what comes with it later would be refused.
#[test]
fn a_repeated_creation_of_a_large_performance_is_the_first_one() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let organizer = server.organizer();
    let concert = server.concert(&organizer);
    let mut body = performance_body();
    body["chart"] = largest(false);
    let create = |body: &Value| {
        let path = format!("/v1/concerts/{concert}/performances");
        server.send(Request::new("POST", &path).token(&organizer).key("large-hall").json(body.clone()))
    };
    let first = create(&body).expect(201).text("/performance_id");
    assert_eq!(create(&body).expect(201).text("/performance_id"), first);
    let mut bad = body.clone();
    bad["chart"]["sections"][0]["rows"][0]["grade"] = json!("GOLD");
    create(&bad).expect_problem(422, "idempotency-key-reused");
}
