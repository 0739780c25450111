//! What a seller changes while places are held and sold: concerts, terms, charts, blocks, and the cancellation of it all.

use crate::common::{Answer, OPERATOR_KEY, PATIENCE, Request, Server, User};
use serde_json::{Value, json};
use std::time::Instant;

fn edit(server: &Server, method: &'static str, path: &str, token: &str, etag: &str, body: Value) -> Answer {
    let request = Request::new(method, path).token(token).json(body);
    server.send(if etag.is_empty() { request } else { request.header("If-Match", etag) })
}

fn etag_of(server: &Server, path: &str) -> String {
    server.get(path, "").expect(200).header("etag").unwrap().to_owned()
}

/// A user with points who has bought this.
fn buyer(server: &Server, performance: &str, name: &str, wish: Value) -> (User, String) {
    let user = server.user(name);
    server.charge(&user, 1000);
    let held = server.hold(performance, &user, wish).expect(201);
    let at = format!("/v1/reservations/{}", held.text("/reservation_id"));
    server.post(&format!("{at}/payment"), &user.token, json!({})).expect(200);
    (user, at)
}

#[test]
fn a_concert_is_changed_by_whoever_has_seen_it() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let (organizer, rival) = (server.organizer(), server.organizer());
    let path = format!("/v1/concerts/{}", server.concert(&organizer));
    let patch = |token: &str, etag: &str, body: Value| edit(&server, "PATCH", &path, token, etag, body);
    let encore = || json!({"title": "The encore"});
    assert_eq!(etag_of(&server, &path), "\"1\"");
    patch(&organizer, "", encore()).expect_problem(428, "precondition-required");
    let stale = patch(&organizer, "\"7\"", encore()).expect_problem(412, "precondition-failed");
    assert_eq!(stale.json()["version"], 1);
    patch(&rival, "\"1\"", encore()).expect_problem(404, "not-found");
    patch(&organizer, "W/\"2\"", encore()).expect_problem(412, "precondition-failed");
    for (body, field) in [
        (json!({}), "body"),
        (json!({"title": ""}), "title"),
        (json!({"venue": null}), "venue"),
        (json!({"artist": "x".repeat(201)}), "artist"),
        (json!({"tour": "x"}), "tour"),
    ] {
        let refused = patch(&organizer, "\"1\"", body).expect_problem(400, "invalid-request");
        assert_eq!(refused.json()["field"], field);
    }
    let changed = patch(&organizer, "\"1\"", encore()).expect(200);
    assert_eq!(
        (changed.header("etag"), changed.text("/title"), changed.text("/venue")),
        (Some("\"2\""), "The encore".into(), "Venue".into())
    );
    // The same again changes nothing; of two who saw the same version the second is told.
    assert_eq!(patch(&organizer, "\"2\"", encore()).expect(200).header("etag"), Some("\"2\""));
    patch(&organizer, "\"1\"", json!({"venue": "Elsewhere"})).expect_problem(412, "precondition-failed");
    assert_eq!(patch(&organizer, "*", json!({"venue": "Elsewhere"})).expect(200).text("/title"), "The encore");
    let listed = server.get("/v1/concerts", "").expect(200).json();
    assert_eq!(
        (&listed["items"][0]["venue"], &listed["items"][0]["title"]),
        (&json!("Elsewhere"), &json!("The encore"))
    );
    server.stop();
    let server = Server::start(&data.path().join("data"), &[]);
    assert_eq!(etag_of(&server, &path), "\"3\"");
}

#[test]
fn terms_change_and_what_is_held_stays_as_it_is() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let organizer = server.organizer();
    let performance = server.performance(&organizer, json!({"sale_opens_at": "2020-01-01T00:00:00Z"}));
    let path = format!("/v1/performances/{performance}");
    let patch = |etag: &str, body: Value| edit(&server, "PATCH", &path, &organizer, etag, body);
    let first = etag_of(&server, &path);
    let (ada, at) = buyer(&server, &performance, "ada", json!({"seats": ["A-1-1"]}));
    let bob = server.user("bob");
    let held = server.hold(&performance, &bob, json!({"seats": ["A-1-2"]})).expect(201).json();

    patch("", json!({"hold_ttl_s": 60})).expect_problem(428, "precondition-required");
    for (body, field) in [
        (json!({"hold_ttl_s": 0}), "hold_ttl_s"),
        (json!({"payment_ttl_s": 3601}), "payment_ttl_s"),
        (json!({"prices": {"VIP": 5}}), "prices.R"),
        (json!({"prices": {"VIP": 5, "R": 10_000_001}}), "prices.R"),
        (json!({"sale_closes_at": "1999-01-01T00:00:00Z"}), "sale_closes_at"),
        (json!({"state": "paused", "extension_s": 86_401}), "extension_s"),
        (json!({"hold_ttl_s": null}), "hold_ttl_s"),
        (json!({"state": "cancelled"}), "state"),
        (json!({}), "body"),
    ] {
        let refused = patch(&first, body.clone()).expect_problem(400, "invalid-request");
        assert_eq!(refused.json()["field"], field, "{body}");
    }
    patch(&first, json!({"sale_opens_at": "2098-01-01T00:00:00Z"})).expect_problem(409, "sale-opened");
    assert_eq!(server.get(&path, "").json()["state"], "on_sale");

    // Sales do not make a version stale, edits do.
    let changed = patch(&first, json!({"prices": {"VIP": 150, "R": 20}, "hold_ttl_s": 60, "state": "paused"}));
    let changed = changed.expect(200);
    assert_eq!((&changed.json()["prices"]["VIP"], &changed.json()["state"]), (&json!(150), &json!("paused")));
    assert_eq!(changed.header("etag"), Some(etag_of(&server, &path).as_str()));
    patch(&first, json!({"hold_ttl_s": 90})).expect_problem(412, "precondition-failed");
    patch("", json!({"state": "on_sale"})).expect(200);

    let shown = server.get(&format!("/v1/reservations/{}", held["reservation_id"].as_str().unwrap()), &bob.token);
    let shown = shown.expect(200).json();
    assert_eq!(
        (&shown["points"], &shown["seats"], &shown["expires_at"]),
        (&held["points"], &held["seats"], &held["expires_at"])
    );
    let paid = server.get(&at, &ada.token).expect(200).json();
    assert_eq!((&paid["points"], &paid["seats"][0]["points"]), (&json!(100), &json!(100)));
    let new = server.hold(&performance, &bob, json!({"seats": ["A-1-3"]})).expect(201).json();
    assert_eq!(new["points"], 150);

    // The availability knows of other hours at once, though its version may be a kept one.
    let left = format!("{path}/availability");
    assert_eq!(server.get(&left, "").json()["state"], "on_sale");
    let soon = json!({"sale_closes_at": "2020-01-02T00:00:00Z"});
    patch("*", soon).expect(200);
    assert_eq!(server.get(&left, "").json()["state"], "closed");
    // An end that merely passed can be moved; what was closed is closed for good.
    let ended = patch("", json!({"state": "on_sale"})).expect_problem(409, "sale-closed").json();
    assert_eq!(ended["sale_closes_at"], "2020-01-02T00:00:00.000Z");
    let later = json!({"sale_closes_at": "2098-01-01T00:00:00Z"});
    assert_eq!(patch("*", later).expect(200).json()["state"], "on_sale");
    assert_eq!(server.get(&left, "").json()["state"], "on_sale");
    server.hold(&performance, &bob, json!({"seats": ["A-1-4"]})).expect(201);
    patch("", json!({"state": "closed"})).expect(200);
    for body in [json!({"sale_closes_at": "2097-01-01T00:00:00Z"}), json!({"sale_closes_at": null})] {
        patch("*", body).expect_problem(409, "sale-closed");
    }
    patch("", json!({"state": "on_sale"})).expect_problem(409, "sale-closed");
}

/// What was never set goes with `starts_at`, wherever that is moved; what was set stays, or is refused with what to do.
#[test]
fn the_sale_follows_the_performance() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let server = Server::start(&folder, &[]);
    let organizer = server.organizer();
    let performance = server.performance(&organizer, json!({"sale_opens_at": "2020-01-01T00:00:00Z"}));
    let path = format!("/v1/performances/{performance}");
    let patch = |body: Value| edit(&server, "PATCH", &path, &organizer, &etag_of(&server, &path), body);
    let times = |shown: &Value| {
        let at = |name: &str| shown[name].as_str().unwrap()[..10].to_owned();
        (at("starts_at"), at("sale_closes_at"), at("cancellation_closes_at"), shown["follows_starts_at"].clone())
    };
    let want = |starts: &str, closes: &str, cancellable: &str, follows: Value| {
        (starts.to_owned(), closes.to_owned(), cancellable.to_owned(), follows)
    };
    let both = || json!(["sale_closes_at", "cancellation_closes_at"]);
    let read = || server.get(&path, "").expect(200).json();
    assert_eq!(times(&read()), want("2099-01-01", "2099-01-01", "2099-01-01", both()));
    let created_at = read()["created_at"].clone();
    assert!(created_at.as_str().is_some_and(|at| at > "2026" && at < "2090"), "{created_at}");
    let (ada, at) = buyer(&server, &performance, "ada", json!({"seats": ["A-1-1"]}));
    let bob = server.user("bob");

    // Moved to before now: the concert has begun.
    let begun = patch(json!({"starts_at": "2021-01-01T19:00:00Z"})).expect(200).json();
    assert_eq!(times(&begun), want("2021-01-01", "2021-01-01", "2021-01-01", both()));
    assert_eq!((&begun["state"], &read()["state"]), (&json!("closed"), &json!("closed")));
    let late = server.hold(&performance, &bob, json!({"seats": ["A-1-2"]})).expect_problem(409, "sale-not-open");
    assert_eq!(late.json()["state"], "closed");
    let cancel = || server.send(Request::new("DELETE", &at).token(&ada.token));
    cancel().expect_problem(409, "cancellation-closed");
    // Put off after that: on sale until then.
    let put_off = patch(json!({"starts_at": "2098-05-01T19:00:00Z"})).expect(200).json();
    assert_eq!(times(&put_off), want("2098-05-01", "2098-05-01", "2098-05-01", both()));
    assert_eq!((&put_off["state"], &put_off["created_at"]), (&json!("on_sale"), &created_at));
    let left = server.get(&format!("{path}/availability"), "").expect(200).json();
    assert_eq!(left["state"], "on_sale");
    server.hold(&performance, &bob, json!({"seats": ["A-1-2"]})).expect(201);
    cancel().expect(200);

    // Set, they stay where they are; against the start they are checked whichever is moved.
    let set = patch(json!({"sale_closes_at": "2098-04-30T00:00:00Z"})).expect(200).json();
    assert_eq!(times(&set), want("2098-05-01", "2098-04-30", "2098-05-01", json!(["cancellation_closes_at"])));
    for (body, field) in [
        (json!({"starts_at": "2098-04-29T00:00:00Z"}), "starts_at"),
        (json!({"sale_closes_at": "2098-05-02T00:00:00Z"}), "sale_closes_at"),
        (json!({"cancellation_closes_at": "2098-05-02T00:00:00Z"}), "cancellation_closes_at"),
        (json!({"sale_closes_at": "2019-01-01T00:00:00Z"}), "sale_closes_at"),
        (json!({"starts_at": "2019-01-01T00:00:00Z", "sale_closes_at": null}), "starts_at"),
        (json!({"starts_at": null}), "starts_at"),
        (json!({"sale_opens_at": null}), "sale_opens_at"),
    ] {
        let refused = patch(body.clone()).expect_problem(400, "invalid-request").json();
        assert_eq!(refused["field"], field, "{body}");
    }
    let earlier = json!({"starts_at": "2098-04-29T00:00:00Z", "sale_closes_at": null});
    assert_eq!(times(&patch(earlier).expect(200).json()), want("2098-04-29", "2098-04-29", "2098-04-29", both()));
    server.stop();

    // The same after a start, and as a creation.
    let server = Server::start(&folder, &[]);
    assert_eq!(
        times(&server.get(&path, "").expect(200).json()),
        want("2098-04-29", "2098-04-29", "2098-04-29", both())
    );
    let concert = server.concert(&organizer);
    for (times, field) in [
        (json!({"sale_closes_at": "2099-01-01T19:00:00.001Z"}), "sale_closes_at"),
        (json!({"cancellation_closes_at": "2099-01-01T19:00:00.001Z"}), "cancellation_closes_at"),
        (json!({"sale_opens_at": "2099-01-01T19:00:00Z"}), "sale_opens_at"),
        (json!({"sale_opens_at": "2099-01-02T19:00:00Z"}), "sale_opens_at"),
        (json!({"starts_at": "2020-01-01T00:00:00Z"}), "starts_at"),
    ] {
        let mut body = crate::common::performance_body();
        body.as_object_mut().unwrap().extend(times.as_object().unwrap().clone());
        let refused = server.post(&format!("/v1/concerts/{concert}/performances"), &organizer, body);
        assert_eq!(refused.expect_problem(400, "invalid-request").json()["field"], field, "{times}");
    }
}

#[test]
fn a_chart_is_replaced_around_what_is_sold() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let server = Server::start(&folder, &[]);
    let organizer = server.organizer();
    let performance = server.performance(&organizer, json!({}));
    let path = format!("/v1/performances/{performance}");
    let at = format!("{path}/chart");
    let put = |etag: &str, body: Value| edit(&server, "PUT", &at, &organizer, etag, body);
    let (ada, bought) = buyer(&server, &performance, "ada", json!({"seats": ["A-1-9", "A-1-10"]}));
    server.post(&format!("{path}/seat-blocks"), &organizer, json!({"seats": ["A-2-1"]})).expect(200);

    let shown = server.get(&at, "").expect(200);
    assert_eq!((shown.header("etag"), shown.header("cache-control")), (Some("\"1\""), Some("no-cache")));
    let kept = server.get(&format!("{at}?version=1"), "").expect(200);
    assert_eq!(kept.header("cache-control"), Some("public, max-age=31536000, immutable"));
    let unchanged = server.send(Request::new("GET", &at).header("If-None-Match", "\"1\""));
    assert_eq!(unchanged.status, 304);
    let other = server.get(&format!("{at}?version=2"), "").expect_problem(404, "not-found");
    assert_eq!(other.json()["chart_version"], 1);
    for bad in ["version=0", "version=x", "colour=1", "version=1&version=1"] {
        server.get(&format!("{at}?{bad}"), "").expect_problem(400, "invalid-request");
    }

    let row = |row: &str, grade: &str, count: u32| json!({"row": row, "grade": grade, "seat_count": count});
    let chart = |rows: Vec<Value>| json!({"sections": [{"section": "A", "rows": rows}]});
    let smaller = json!({"chart": chart(vec![row("1", "VIP", 9), row("2", "VIP", 10)])});
    put("", smaller.clone()).expect_problem(428, "precondition-required");
    put("\"2\"", smaller.clone()).expect_problem(412, "precondition-failed");
    let refused = put("\"1\"", smaller).expect_problem(409, "places-in-use").json();
    assert_eq!((&refused["seats"], &refused["seats_total"]), (&json!(["A-1-10"]), &json!(1)));
    let unpriced = json!({"chart": chart(vec![row("1", "GOLD", 10)])});
    let field = put("\"1\"", unpriced).expect_problem(400, "invalid-request").json()["field"].clone();
    assert_eq!(field, "chart.sections[0].rows[0].grade");

    let mut gold = row("1", "GOLD", 12);
    gold["breaks_after"] = json!(["6"]);
    gold["accessible"] = json!(["1"]);
    let new = json!({"chart": chart(vec![row("2", "VIP", 8), gold]), "prices": {"VIP": 100, "GOLD": 500}});
    let answer = put("\"1\"", new.clone()).expect(200);
    let body = answer.json();
    assert_eq!(
        (answer.header("etag"), &body["chart_version"], &body["places"]),
        (Some("\"2\""), &json!(2), &json!(20))
    );
    assert_eq!(body["available"], 17);
    put("\"1\"", new.clone()).expect_problem(412, "precondition-failed");
    assert_eq!(put("\"2\"", new).expect(200).header("etag"), Some("\"2\""));
    server.get(&format!("{at}?version=1"), "").expect_problem(404, "not-found");

    let check = |server: &Server| {
        assert_eq!(server.get(&at, "").expect(200).json()["sections"][0]["rows"][1]["breaks_after"], json!(["6"]));
        let left = server.get(&format!("{path}/availability"), "").expect(200).json();
        assert_eq!(left["seats"], json!({"held": [], "booked": ["A-1-9", "A-1-10"], "blocked": ["A-2-1"]}));
        assert_eq!(left["available"], json!({"VIP": 7, "GOLD": 10}));
        let mine = server.get(&bought, &ada.token).expect(200).json();
        assert_eq!((&mine["points"], &mine["seats"][0]["grade"]), (&json!(200), &json!("VIP")));
    };
    check(&server);
    let bob = server.user("bob");
    assert_eq!(server.hold(&performance, &bob, json!({"seats": ["A-1-12"]})).expect(201).json()["points"], 500);
    server.stop();
    let server = Server::start(&folder, &[]);
    server.send(Request::new("DELETE", &bought).token(&ada.token)).expect(200);
    assert_eq!(server.balance(&ada), 1000);
}

#[test]
fn charts_come_as_csv_with_errors_by_line() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let organizer = server.organizer();
    let user = server.user("ada");
    let check = |token: &str, media_type: &str, body: &str| {
        server.send(Request::new("POST", "/v1/charts/validation").token(token).body(media_type, body.as_bytes()))
    };
    let file = "\u{feff}section;row;seat;grade;kind;area;capacity\r\nA;1;1;VIP;accessible;;\r\nA;1;2;VIP;companion;;\r\n\
        ;;;R;;Floor;50\r\n";
    let checked = check(&organizer, "text/csv; charset=utf-8", file).expect(200).json();
    assert_eq!(
        (&checked["places"], &checked["seats"], &checked["grades"]),
        (&json!(52), &json!(2), &json!({"R": 50, "VIP": 2}))
    );
    let again = json!({"chart": checked["chart"]}).to_string();
    assert_eq!(check(OPERATOR_KEY, "application/json", &again).expect(200).json(), checked);
    check(&user.token, "text/csv", file).expect_problem(403, "forbidden");
    check("", "text/csv", file).expect_problem(401, "unauthenticated");
    check(&organizer, "text/plain", file).expect_problem(415, "unsupported-media-type");
    check(&organizer, "text/csv", "").expect_problem(400, "invalid-chart");
    check(&organizer, "application/json", "{}").expect_problem(400, "invalid-request");

    let wrong = "section,row,seat,grade\nA,1,1,VIP\nA,1,1,VIP\nA,,3,VIP\n";
    let told = check(&organizer, "text/csv", wrong).expect_problem(400, "invalid-chart").json();
    assert_eq!(
        (&told["errors_total"], &told["errors"][1]["line"], &told["errors"][1]["column"]),
        (&json!(2), &json!(4), &json!("row"))
    );

    let performance = server.performance(&organizer, json!({}));
    let at = format!("/v1/performances/{performance}/chart");
    let put = |token: &str, etag: &str, body: &str| {
        let request = Request::new("PUT", &at).token(token).header("If-Match", etag);
        server.send(request.body("text/csv", body.as_bytes()))
    };
    put(&organizer, "\"1\"", wrong).expect_problem(400, "invalid-chart");
    let unpriced = put(&organizer, "\"1\"", "section,row,seat,grade\nA,1,1,VIP\nA,2,1,GOLD\n");
    let unpriced = unpriced.expect_problem(400, "invalid-chart").json();
    assert_eq!((&unpriced["errors"][0]["line"], &unpriced["errors"][0]["column"]), (&json!(3), &json!("grade")));
    put(&server.organizer(), "\"1\"", file).expect_problem(404, "not-found");
    assert_eq!(put(&organizer, "\"1\"", file).expect(200).json()["places"], 52);
    assert_eq!(server.get(&at, "").expect(200).json(), checked["chart"]);
}

#[test]
fn standing_places_are_blocked_by_number() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(&data.path().join("data"), &[]);
    let organizer = server.organizer();
    let performance = server.performance(&organizer, json!({}));
    let path = format!("/v1/performances/{performance}");
    let block = |body: Value| server.post(&format!("{path}/area-blocks"), &organizer, body);
    let floor = |blocked: u32| json!({"areas": [{"area": "Floor", "blocked": blocked}]});
    buyer(&server, &performance, "ada", json!({"area": "Floor", "count": 2}));
    assert_eq!(block(floor(2)).expect(200).json()["available"], 21);
    assert_eq!(block(floor(2)).expect(200).json()["available"], 21);
    let full = block(floor(4)).expect_problem(409, "seats-unavailable").json();
    assert_eq!(full["areas"], json!([{"area": "Floor", "blocked_max": 3}]));
    block(json!({"areas": [{"area": "Pit", "blocked": 1}]})).expect_problem(400, "unknown-area");
    block(json!({"areas": []})).expect_problem(400, "invalid-request");
    server.post(&format!("{path}/seat-blocks"), &organizer, json!({"seats": ["A-1-1"]})).expect(200);
    let taken = server.post(&format!("{path}/seat-blocks"), &organizer, json!({"seats": ["A-1-2", "A-9-9"]}));
    assert_eq!(taken.expect_problem(400, "unknown-seat").json()["seats"], json!(["A-9-9"]));
    let blocks = server.get(&format!("{path}/blocks"), &organizer).expect(200).json();
    assert_eq!((&blocks["seats"], &blocks["areas"]), (&json!(["A-1-1"]), &floor(2)["areas"]));
    server.get(&format!("{path}/blocks"), &server.organizer()).expect_problem(404, "not-found");
    assert_eq!(block(floor(0)).expect(200).json()["available"], 22);
}

#[test]
fn a_cancelled_performance_gives_everything_back() {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let server = Server::start(&folder, &[]);
    let organizer = server.organizer();
    let performance = server.performance(&organizer, json!({"cancellation_closes_at": "2001-01-01T00:00:00Z"}));
    let path = format!("/v1/performances/{performance}");
    let at = format!("{path}/cancellation");
    let (ada, seats) = buyer(&server, &performance, "ada", json!({"seats": ["A-1-1", "A-1-2"]}));
    let (bob, _) = buyer(&server, &performance, "bob", json!({"area": "Floor", "count": 2}));
    let cat = server.user("cat");
    let held = server.hold(&performance, &cat, json!({"seats": ["A-2-1"]})).expect(201);
    let held = format!("/v1/reservations/{}", held.text("/reservation_id"));
    server.send(Request::new("DELETE", &seats).token(&ada.token)).expect_problem(409, "cancellation-closed");

    server.get(&at, &organizer).expect_problem(404, "not-found");
    server.post(&at, &organizer, json!({"reason": " "})).expect_problem(400, "invalid-request");
    server.post(&at, &organizer, json!({})).expect_problem(400, "invalid-request");
    server.post(&at, &server.organizer(), json!({"reason": "ill"})).expect_problem(404, "not-found");
    server.post(&at, &ada.token, json!({"reason": "ill"})).expect_problem(403, "forbidden");
    let told = server.post(&at, &organizer, json!({"reason": "The artist is ill."})).expect(202);
    assert_eq!(told.header("location"), Some(at.as_str()));
    let until = Instant::now() + PATIENCE;
    let done = loop {
        let read = server.get(&at, &organizer).expect(200).json();
        if read["state"] == "done" {
            break read;
        }
        assert!(Instant::now() < until, "{read}");
    };
    assert_eq!(done["reservations"], json!({"total": 2, "refunded": 2, "remaining": 0}));
    assert_eq!(done["points"], json!({"total": 220, "refunded": 220}));
    assert_eq!((&done["held_released"], &done["reason"]), (&json!(1), &json!("The artist is ill.")));
    assert!(done["finished_at"].as_str() >= done["cancelled_at"].as_str());
    let again = server.post(&at, &organizer, json!({"reason": "Another one."})).expect(202);
    assert_eq!(again.json(), done);

    let nothing = |server: &Server| {
        let refused = server.hold(&performance, &cat, json!({"seats": ["A-2-2"]}));
        assert!(refused.expect_problem(409, "performance-cancelled").json()["cancelled_at"].is_string());
        server.post(&format!("{held}/payment"), &cat.token, json!({})).expect_problem(409, "reservation-released");
        edit(server, "PATCH", &path, &organizer, "", json!({"state": "on_sale"}))
            .expect_problem(409, "performance-cancelled");
        edit(server, "PATCH", &path, &organizer, "*", json!({"hold_ttl_s": 9}))
            .expect_problem(409, "performance-cancelled");
        let chart = server.get(&format!("{path}/chart"), "").expect(200).json();
        let chart = edit(server, "PUT", &format!("{path}/chart"), &organizer, "*", json!({"chart": chart}));
        chart.expect_problem(409, "performance-cancelled");
        let blocked = server.post(&format!("{path}/seat-blocks"), &organizer, json!({"seats": ["A-2-2"]}));
        blocked.expect_problem(409, "performance-cancelled");
        let shown = server.get(&path, "").expect(200).json();
        assert_eq!((&shown["state"], &shown["available"]), (&json!("cancelled"), &json!(0)));
        let left = server.get(&format!("{path}/availability"), "").expect(200).json();
        assert_eq!((&left["state"], &left["available"]), (&json!("cancelled"), &json!({"VIP": 0, "R": 0})));
        let mine = server.send(Request::new("DELETE", &seats).token(&ada.token)).expect(200).json();
        assert_eq!(mine["state"], "cancelled");
        assert_eq!((server.balance(&ada), server.balance(&bob)), (1000, 1000));
        assert_eq!(server.get(&at, &organizer).expect(200).json(), done);
    };
    nothing(&server);
    server.stop();
    nothing(&Server::start(&folder, &[]));
}
