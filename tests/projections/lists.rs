//! Lists over HTTP: pages, filters, read-your-writes, reports; no list reads a whole table; and a database that goes away.

use super::places::{Home, URL, built_in, concert, log_of, project};
use crate::common::queues::Person;
use crate::common::{Request, Server};
use api::buyers::{history, statement};
use api::catalogue::search;
use api::sellers::reports;
use base::clock::{Clock, SystemClock};
use base::id::{AccountId, Category, StreamId, UserId};
use eventlog::Batch;
use eventlog::Log;
use eventlog::data_folder::DataFolder;
use eventlog::store::{Options, Store};
use readmodels::store::Place;
use readmodels::{Row, Value, checkpoints, text};
use security::secrets::{Secrets, Session};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use uuid::Uuid;

fn start(home: &Home, data: &std::path::Path) -> Server {
    let flags = home.flags();
    Server::start(data, &flags.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn my_reservations_page_by_page_while_more_come() {
    for home in Home::both() {
        let folder = tempfile::tempdir().unwrap();
        let server = start(&home, &folder.path().join("data"));
        let organizer = server.organizer();
        let performance = server.performance(&organizer, json!({"seats_per_user_max": 100}));
        let (ada, bob) = (server.user("ada"), server.user("bob"));
        server.charge(&ada, 1_000);
        let hold =
            |user, seat: u32| server.hold(&performance, user, json!({"seats": [format!("A-1-{seat}")]})).expect(201);
        let ids: Vec<String> = (1..=5).map(|seat| hold(&ada, seat).text("/reservation_id")).collect();
        server.post(&format!("/v1/reservations/{}/payment", ids[1]), &ada.token, json!({})).expect(200);
        let last = hold(&bob, 6);
        let after = last.header("onsale-position").unwrap();
        let list = |token: &str, query: &str| {
            let request = Request::new("GET", &format!("/v1/me/reservations{query}")).token(token);
            server.send(request.header("Onsale-After", after))
        };
        let shown = |body: &serde_json::Value| -> Vec<String> {
            let items = body["items"].as_array().unwrap().iter();
            items.map(|item| item["reservation_id"].as_str().unwrap().to_owned()).collect()
        };
        let first = list(&ada.token, "?limit=2").expect(200).json();
        assert_eq!(shown(&first), [ids[4].clone(), ids[3].clone()]);
        // What comes now does not move what comes next.
        hold(&ada, 7);
        let cursor = first["next_cursor"].as_str().unwrap().to_owned();
        let second = list(&ada.token, &format!("?limit=2&cursor={cursor}")).expect(200).json();
        assert_eq!(shown(&second), [ids[2].clone(), ids[1].clone()]);
        let cursor = second["next_cursor"].as_str().unwrap().to_owned();
        let third = list(&ada.token, &format!("?limit=2&cursor={cursor}")).expect(200).json();
        assert_eq!((shown(&third), &third["next_cursor"]), (vec![ids[0].clone()], &json!(null)));
        // The same reservation, as it is shown by itself.
        let alone = server.get(&format!("/v1/reservations/{}", ids[1]), &ada.token).expect(200).json();
        assert_eq!((&second["items"][1], &alone["state"]), (&alone, &json!("confirmed")));
        let paid = list(&ada.token, "?state=confirmed").expect(200).json();
        assert_eq!(shown(&paid), [ids[1].clone()]);
        assert_eq!(shown(&list(&bob.token, "").expect(200).json()), [last.text("/reservation_id")]);
        // Cursors are of one list: not altered, not another user's, not of another filter.
        for (token, query) in [
            (&ada.token, format!("?cursor=A{cursor}")),
            (&bob.token, format!("?cursor={cursor}")),
            (&ada.token, format!("?state=held&cursor={cursor}")),
        ] {
            assert_eq!(list(token, &query).expect_problem(400, "invalid-request").text("/field"), "cursor");
        }
        for query in ["?limit=0", "?limit=501", "?state=paid", "?colour=red", "?limit=1&limit=2"] {
            list(&ada.token, query).expect_problem(400, "invalid-request");
        }
        for after in ["x", "-1", "99999999"] {
            let request = Request::new("GET", "/v1/me/reservations").token(&ada.token).header("Onsale-After", after);
            server.send(request).expect_problem(400, "invalid-request");
        }
    }
}

#[test]
fn concerts_are_found_and_the_schedule_is_read() {
    for home in Home::both() {
        let folder = tempfile::tempdir().unwrap();
        let server = start(&home, &folder.path().join("data"));
        let organizer = server.organizer();
        let mut concerts = Vec::new();
        for (title, starts_at) in [
            ("Winter Night", "2099-01-03"),
            ("겨울밤 Élan", "2099-01-01"),
            ("Winter's Tale", "2099-01-02"),
            ("Summer", "2098-01-01"),
        ] {
            let body = json!({"title": title, "artist": "The Understudies", "venue": "Han River Arena"});
            let concert = server.post("/v1/concerts", &organizer, body).expect(201).text("/concert_id");
            let mut performance = crate::common::performance_body();
            performance["starts_at"] = json!(format!("{starts_at}T19:00:00Z"));
            server.post(&format!("/v1/concerts/{concert}/performances"), &organizer, performance).expect(201);
            concerts.push(concert);
        }
        let user = server.user("searcher");
        let performance = server.get(&format!("/v1/concerts/{}/performances", concerts[3]), "").expect(200);
        let performance = performance.text("/items/0/performance_id");
        let held = server.hold(&performance, &user, json!({"seats": ["A-1-1", "A-1-2"]})).expect(201);
        let after = held.header("onsale-position").unwrap();
        let get = |path: &str| server.send(Request::new("GET", path).header("Onsale-After", after));
        let titles = |query: &str| -> Vec<String> {
            let found = get(&format!("/v1/concerts?{query}")).expect(200).json();
            found["items"].as_array().unwrap().iter().map(|item| item["title"].as_str().unwrap().to_owned()).collect()
        };
        let sorted = |mut titles: Vec<String>| {
            titles.sort();
            titles
        };
        assert_eq!(sorted(titles("q=WINT")), ["Winter Night", "Winter's Tale"]);
        assert_eq!(titles("q=wint%20nig%20arena"), ["Winter Night"]);
        assert_eq!(titles("q=%EA%B2%A8%EC%9A%B8"), ["겨울밤 Élan"], "겨울");
        assert_eq!(titles("q=%C3%A9l"), ["겨울밤 Élan"], "él");
        assert_eq!(titles("q=inter"), Vec::<String>::new(), "words are found by their beginnings");
        assert_eq!(titles("q=wint&from=2099-01-03T00:00:00Z"), ["Winter Night"]);
        assert_eq!(titles("from=2099-01-01T00:00:00Z&to=2099-01-03T00:00:00Z"), ["겨울밤 Élan", "Winter's Tale"]);
        assert_eq!(titles(&format!("organizer_id={}", Uuid::nil())), Vec::<String>::new());
        for page in ["q=winter&limit=1", "from=2099-01-01T00:00:00Z&limit=1"] {
            let mut found = Vec::new();
            let mut query = page.to_owned();
            loop {
                let answer = get(&format!("/v1/concerts?{query}")).expect(200).json();
                found.extend(answer["items"].as_array().unwrap().iter().map(|item| item["concert_id"].clone()));
                let Some(cursor) = answer["next_cursor"].as_str() else { break };
                query = format!("{page}&cursor={cursor}");
            }
            let all = get(&format!("/v1/concerts?{}", page.replace("&limit=1", ""))).expect(200).json();
            let all: Vec<_> = all["items"].as_array().unwrap().iter().map(|item| item["concert_id"].clone()).collect();
            assert_eq!(found, all, "{page}");
        }
        for wrong in ["q=", "q=!!", "q=a%20b%20c%20d%20e%20f%20g%20h%20i", "from=tomorrow", "organizer_id=x", "color=x"]
        {
            get(&format!("/v1/concerts?{wrong}")).expect_problem(400, "invalid-request");
        }

        let schedule = get("/v1/performances?limit=3").expect(200).json();
        let items = schedule["items"].as_array().unwrap();
        let order: Vec<&str> = items.iter().map(|item| item["title"].as_str().unwrap()).collect();
        assert_eq!(order, ["Summer", "겨울밤 Élan", "Winter's Tale"]);
        assert_eq!(
            (&items[0]["price_min"], &items[0]["price_max"], &items[0]["available"]),
            (&json!(10), &json!(100), &json!(23))
        );
        assert_eq!((&items[0]["state"], &items[0]["performance_id"]), (&json!("on_sale"), &json!(performance)));
        let grades = json!([{"grade": "R", "points": 10, "places": 5, "available": 5},
            {"grade": "VIP", "points": 100, "places": 20, "available": 18}]);
        assert_eq!(items[0]["grades"], grades);
        let cursor = schedule["next_cursor"].as_str().unwrap();
        let rest = get(&format!("/v1/performances?cursor={cursor}")).expect(200).json();
        assert_eq!((rest["items"].as_array().unwrap().len(), &rest["items"][0]["title"]), (1, &json!("Winter Night")));
        let one = get(&format!("/v1/performances?concert_id={}", concerts[0])).expect(200).json();
        assert_eq!(one["items"].as_array().unwrap().len(), 1);

        // Times that follow the start are moved with it, here as there.
        let path = format!("/v1/performances/{performance}");
        let put_off = Request::new("PATCH", &path).token(&organizer).header("If-Match", "*");
        let moved = server.send(put_off.json(json!({"starts_at": "2098-03-01T19:00:00Z"}))).expect(200);
        let request = Request::new("GET", "/v1/performances?limit=1");
        let listed = server.send(request.header("Onsale-After", moved.header("onsale-position").unwrap()));
        let (listed, alone) = (listed.expect(200).json(), server.get(&path, "").expect(200).json());
        assert_eq!(alone["sale_closes_at"], "2098-03-01T19:00:00.000Z");
        for name in ["starts_at", "sale_opens_at", "sale_closes_at", "state"] {
            assert_eq!(listed["items"][0][name], alone[name], "{name}");
        }
    }
}

#[test]
fn reports_are_whole_as_json_and_csv() {
    for home in Home::both() {
        let folder = tempfile::tempdir().unwrap();
        let server = start(&home, &folder.path().join("data"));
        let (organizer, other) = (server.organizer(), server.organizer());
        let concert = json!({"title": "=cmd|' /C calc'!A0, \"x\"", "artist": "A", "venue": "V"});
        let concert = server.post("/v1/concerts", &organizer, concert).expect(201).text("/concert_id");
        let path = format!("/v1/concerts/{concert}/performances");
        let performance =
            server.post(&path, &organizer, crate::common::performance_body()).expect(201).text("/performance_id");
        let user = server.user("buyer");
        server.charge(&user, 1_000);
        let held =
            server.hold(&performance, &user, json!({"seats": ["A-1-1", "A-1-2"]})).expect(201).text("/reservation_id");
        server.post(&format!("/v1/reservations/{held}/payment"), &user.token, json!({})).expect(200);
        let standing =
            server.hold(&performance, &user, json!({"area": "Floor", "count": 2})).expect(201).text("/reservation_id");
        let paid = server.post(&format!("/v1/reservations/{standing}/payment"), &user.token, json!({})).expect(200);
        let cancelled =
            server.send(Request::new("DELETE", &format!("/v1/reservations/{standing}")).token(&user.token)).expect(200);
        assert!(paid.header("onsale-position") < cancelled.header("onsale-position"));
        let after = cancelled.header("onsale-position").unwrap();
        let get = |path: &str, key: &str, accept: &str| {
            let request = Request::new("GET", path).token(key).header("Onsale-After", after);
            server.send(request.header("Accept", accept))
        };
        let sales = get("/v1/organizer/reports/sales", &organizer, "application/json").expect(200).json();
        let lines: Vec<_> = sales["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| {
                (
                    line["grade"].as_str().unwrap().to_owned(),
                    line["sold_places"].clone(),
                    line["sold_points"].clone(),
                    line["refunded_places"].clone(),
                    line["refunded_points"].clone(),
                )
            })
            .collect();
        assert_eq!(
            lines,
            [
                ("R".to_owned(), json!(2), json!(20), json!(2), json!(20)),
                ("VIP".to_owned(), json!(2), json!(200), json!(0), json!(0)),
            ]
        );
        let csv = get("/v1/organizer/reports/sales", &organizer, "text/csv").expect(200);
        assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
        let csv = String::from_utf8(csv.body).unwrap();
        let rows: Vec<&str> = csv.split("\r\n").collect();
        assert_eq!((rows.len(), rows[3]), (4, ""), "{csv}");
        assert!(csv.starts_with("\u{feff}performance_id,"), "{csv}");
        assert!(rows[1].contains(",\"'=cmd|' /C calc'!A0, \"\"x\"\"\",R,"), "{csv}");
        let none = get("/v1/organizer/reports/sales", &other, "application/json").expect(200).json();
        assert_eq!(none, json!({"items": []}));
        let path = format!("/v1/performances/{performance}/reservations/report");
        let all = get(&path, &organizer, "application/json").expect(200).json();
        let states: Vec<_> = all["items"].as_array().unwrap().iter().map(|item| item["state"].clone()).collect();
        assert_eq!(states, ["confirmed", "cancelled"]);
        let csv = String::from_utf8(get(&path, &organizer, "text/csv").expect(200).body).unwrap();
        assert!(csv.starts_with("\u{feff}reservation_id,"), "{csv}");
        assert!(csv.contains(",confirmed,A-1-1 A-1-2,200,") && csv.contains(",cancelled,2 × Floor,20,"), "{csv}");
        get(&path, &other, "application/json").expect_problem(404, "not-found");
        get(&path, &user.token, "application/json").expect_problem(403, "forbidden");
    }
}

#[test]
fn a_queue_is_reported_minute_by_minute() {
    // Ms since 1970, of two minutes with one between them.
    let (first, later) = (1_750_000_020_000u64, 1_750_000_140_000u64);
    for home in Home::both() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let server = start(&home, &data);
        let (organizer, other) = (server.organizer(), server.organizer());
        let body = json!({"name": "Sale", "policy": {"manual": true}});
        let queue = server.post("/v1/queues", &organizer, body).expect(201).text("/queue_id");
        let path = format!("/v1/queues/{queue}");
        let people: Vec<Person> =
            (0..4).map(|_| Person::of(server.post(&format!("{path}/entries"), "", json!({})).expect(201))).collect();
        people[3].leave(&server);
        let admitted = server.post(&format!("{path}/admissions"), &organizer, json!({"count": 2})).expect(200);
        let after = admitted.header("onsale-position").unwrap();
        let get = |query: &str, key: &str, accept: &str| {
            let request = Request::new("GET", &format!("{path}/report{query}")).token(key).header("Accept", accept);
            server.send(request.header("Onsale-After", after))
        };
        // In one minute, or in two when one ended meanwhile.
        let lines = get("", &organizer, "application/json").expect(200).json()["items"].clone();
        let lines = lines.as_array().unwrap();
        let sum = |of: &str| lines.iter().map(|line| line[of].as_u64().unwrap()).sum::<u64>();
        assert_eq!(["joined", "admitted", "left", "finished", "expired"].map(sum), [4, 2, 1, 0, 0], "{lines:?}");
        let last = lines.last().unwrap();
        assert_eq!((&last["waiting"], &last["inside"]), (&json!(1), &json!(2)), "{last}");
        get("", &other, "application/json").expect_problem(404, "not-found");
        get("", "", "application/json").expect_problem(401, "unauthenticated");
        get("?from=soon", &organizer, "application/json").expect_problem(400, "invalid-request");
        get("?minute=1", &organizer, "application/json").expect_problem(400, "invalid-request");

        // Minutes of long ago, in one of which nobody came or was let in: how many there were stays.
        let mut store = home.open();
        let build = checkpoints::read(&mut *store).unwrap().live("queues").unwrap().number;
        let row = |minute: u64, rest: &str| format!("('{queue}', {minute}, {rest})");
        let rows = [row(first, "3, 1, 0, 0, 0, 2, 1"), row(later, "0, 0, 0, 1, 0, NULL, 0")].join(", ");
        store.run(&format!("INSERT INTO queue_minutes__{build} VALUES {rows}")).unwrap();
        let csv = get("?to=2025-06-16T00:00:00Z", &organizer, "text/csv").expect(200);
        assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
        let csv = String::from_utf8(csv.body).unwrap();
        let lines = [
            "minute,joined,admitted,left,finished,expired,waiting,inside",
            "2025-06-15T15:07:00.000Z,3,1,0,0,0,2,1",
            "2025-06-15T15:09:00.000Z,0,0,0,1,0,2,0",
            "",
        ];
        assert_eq!(csv.split("\r\n").collect::<Vec<_>>(), lines);
        let later = get("?from=2025-06-15T15:08:00Z&to=2025-06-16T00:00:00Z", &organizer, "application/json");
        assert_eq!(later.expect(200).json()["items"].as_array().map(Vec::len), Some(1));
    }
}

/// A folder with a wallet of so many movements, and its user's token.
fn wallet_of(data: &std::path::Path, movements: u64) -> String {
    let user = UserId(Uuid::from_u128(77));
    let folder = DataFolder::create_or_open(data).unwrap();
    let secrets = Secrets::open(folder.path(), false).unwrap();
    let (store, _) = Store::open(&folder.log(), Options::default()).unwrap();
    let stream = StreamId { category: Category::Wallet, key: user.0 };
    let now = SystemClock::default().now();
    let mut batch = Batch::new();
    let opened = json!({"account_id": Uuid::from_u128(78)}).to_string();
    batch.push(stream, 1, now, "WalletOpened.v1", |out| out.extend(opened.as_bytes()));
    for number in 1..=movements {
        let repeat = json!({"key": format!("{number:032x}"), "content": format!("{:032x}", 1)});
        let charged = json!({"charge_id": Uuid::from_u128(number.into()), "points": 1, "balance": number,
            "reference": format!("pay-{number}"), "repeat": repeat});
        batch.push(stream, number + 1, now, "PointsCharged.v1", |out| out.extend(charged.to_string().as_bytes()));
    }
    store.append(batch, None).unwrap();
    while store.durable() < store.appended() {
        std::thread::sleep(Duration::from_millis(1));
    }
    store.close().unwrap();
    let session = Session {
        account: AccountId(Uuid::from_u128(78)),
        user,
        begun_at_ms: now,
        expires_at_ms: now + 3_600_000,
        nonce: 0,
    };
    secrets.issue(&session)
}

#[test]
fn a_statement_goes_on_where_the_wallet_forgets() {
    for home in Home::both() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let token = wallet_of(&data, 1_700);
        let server = start(&home, &data);
        let start = Instant::now();
        while server.get("/v1/me/reservations", &token).status != 200 {
            assert!(start.elapsed() < Duration::from_secs(30), "{}", server.errors());
        }
        let (mut found, mut query) = (Vec::new(), "?limit=300".to_owned());
        loop {
            let page = server.get(&format!("/v1/wallet/entries{query}"), &token).expect(200).json();
            found.extend(
                page["items"].as_array().unwrap().iter().map(|item| item["reference"].as_str().unwrap().to_owned()),
            );
            assert_eq!(page["items"][0]["type"], "charged");
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            query = format!("?limit=300&cursor={cursor}");
        }
        let expected: Vec<String> = (1..=1_700).rev().map(|number| format!("pay-{number}")).collect();
        assert_eq!(found, expected);
    }
}

/// Fills tables with rows of nobody's, so that a plan for many rows is worth making.
fn many(home: &Home) {
    let mut store = home.open();
    let numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) ";
    let id = |of: &str| format!("'{of}-' || CAST(n.i AS TEXT)");
    for insert in [
        format!(
            "INSERT INTO reservations__1 (reservation_id, performance_id, user_id, state, seats, points, adjacent, by_organizer, \
            held_position, held_at, expires_at, version) {numbers} SELECT {}, 'p-' || CAST(n.i / 100 AS TEXT), 'u-' || CAST(n.i % 5000 AS TEXT), \
            'held', '[]', 1, 1, 0, n.i, 1, 1, 1 FROM n",
            id("r")
        ),
        format!(
            "INSERT INTO concerts__1 {numbers} SELECT {}, 'o-' || CAST(n.i / 100 AS TEXT), 't', 'a', 'v', 1, 1 FROM n",
            id("c")
        ),
        format!("INSERT INTO concert_words__1 {numbers} SELECT 'w-' || CAST(n.i / 50 AS TEXT), {} FROM n", id("c")),
        format!(
            "INSERT INTO performances__1 {numbers} SELECT {}, {}, 'o-' || CAST(n.i / 100 AS TEXT), 'open', n.i, 1, 1, 1, 1, 1, 1 FROM n",
            id("p"),
            id("c")
        ),
        format!("INSERT INTO seat_grades__1 {numbers} SELECT {}, 'VIP', 1, 1, 1 FROM n", id("p")),
        format!("INSERT INTO sales__1 {numbers} SELECT {}, 'VIP', 1, 1, 1, 0, 0 FROM n", id("p")),
        format!(
            "INSERT INTO queue_minutes__1 {numbers} SELECT 'q-' || CAST(n.i / 100 AS TEXT), n.i, 1, 0, 0, 0, 0, NULL, NULL FROM n"
        ),
        format!(
            "INSERT INTO wallet_entries__1 {numbers} SELECT 'u-' || CAST(n.i % 5000 AS TEXT), n.i, 'charged', 1, 1, 1, 'x', NULL, NULL, NULL FROM n"
        ),
    ] {
        store.run(&insert).unwrap();
    }
    store.run("ANALYZE").unwrap();
}

#[test]
fn no_list_reads_a_whole_table() {
    let query =
        |filters: &str| serde_json::from_value::<search::ConcertQuery>(serde_json::from_str(filters).unwrap()).unwrap();
    let own = |sql: String, parameters: Vec<Value>| (sql, parameters);
    let of = |sql: api::kit::lists::Sql| (sql.text, sql.parameters);
    let user = UserId(Uuid::nil());
    let lists: Vec<(&str, (String, Vec<Value>))> = vec![
        ("my reservations", own(history::sql(""), vec!["u-7".into(), 9_999i64.into(), 51i64.into()])),
        (
            "reservations of a performance",
            own(reports::reservations::of_performance(), vec!["p-7".into(), 0i64.into(), 500i64.into()]),
        ),
        (
            "sales",
            own(
                reports::sales::SALES.into(),
                vec!["o-7".into(), 0i64.into(), "".into(), 20i64.into(), 0i64.into(), 9i64.into()],
            ),
        ),
        (
            "minutes of a queue",
            own(reports::minutes::SQL.into(), vec!["q-7".into(), 5i64.into(), 99i64.into(), 500i64.into()]),
        ),
        ("statement", of(statement::older_sql(user, None, 9, 51))),
        ("schedule", of(search::schedule_sql((5, 99_999), "", "", (7, "p-1".into()), 50))),
        ("schedule of an organizer", of(search::schedule_sql((5, 99_999), "", "o-7", (7, "p-1".into()), 50))),
        ("schedule of a concert", of(search::schedule_sql((5, 99_999), "c-7", "", (7, "p-1".into()), 50))),
        (
            "concerts by word",
            of(search::concerts_by_word(&query("{}"), vec!["w-7".into(), "w-8".into()], "c-1".into(), 50)),
        ),
        (
            "concerts by word and date",
            of(search::concerts_by_word(
                &query(r#"{"from": "2026-01-01T00:00:00Z"}"#),
                vec!["w-7".into()],
                "c-1".into(),
                50,
            )),
        ),
        (
            "concerts by organizer",
            of(search::concerts_by_word(
                &query(&format!(r#"{{"organizer_id": "{}"}}"#, Uuid::nil())),
                vec![],
                "c-1".into(),
                50,
            )),
        ),
        (
            "concerts by date",
            of(search::concerts_by_date(&query(r#"{"to": "2026-01-01T00:00:00Z"}"#), (9, "p-1".into()), 50)),
        ),
    ];
    for home in Home::both() {
        project(&home, &log_of(&[("ConcertCreated.v1", 1, &concert("One"))]), built_in());
        many(&home);
        let mut store = home.open();
        for (name, (sql, parameters)) in &lists {
            let (how, column) = match home.place {
                Place::Sqlite(_) => ("EXPLAIN QUERY PLAN", 3),
                Place::Postgres(_) => ("EXPLAIN", 0),
            };
            let sql = match home.place {
                Place::Sqlite(_) => sql.clone(),
                Place::Postgres(_) => inlined(sql, parameters),
            };
            let given: &[Value] = if matches!(home.place, Place::Sqlite(_)) { parameters } else { &[] };
            let plan: Vec<Row> = store.query(&format!("{how} {sql}"), given).unwrap();
            let plan: Vec<&str> = plan.iter().map(|row| text(row, column)).collect();
            let whole = plan.iter().find(|line| {
                let line = line.trim_start_matches([' ', '-', '>']);
                line.starts_with("Seq Scan")
                    || line.strip_prefix("SCAN ").is_some_and(|table| !is_subquery(table, &plan))
            });
            assert!(whole.is_none(), "{name}: {whole:?} in\n{}", plan.join("\n"));
        }
    }
}

/// PostgreSQL plans for values that it knows.
fn inlined(sql: &str, parameters: &[Value]) -> String {
    let mut sql = sql.to_owned();
    for (number, value) in parameters.iter().enumerate().rev() {
        let value = match value {
            Value::Int(number) => number.to_string(),
            value => format!("'{}'", value.text().unwrap_or_default()),
        };
        sql = sql.replace(&format!("${}", number + 1), &value);
    }
    sql
}

fn is_subquery(table: &str, plan: &[&str]) -> bool {
    let name = table.split(' ').next().unwrap_or_default();
    plan.iter().any(|line| *line == format!("CO-ROUTINE {name}") || *line == format!("MATERIALIZE {name}"))
}

/// Passes connections on until it is told not to.
struct Wire {
    port: u16,
    cut: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Wire {
    fn to(host: String, port: u16) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let wire = Wire { port: listener.local_addr().unwrap().port(), cut: Arc::default(), open: Arc::default() };
        let (cut, open) = (wire.cut.clone(), wire.open.clone());
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect((host.as_str(), port)) else { continue };
                if cut.load(Ordering::SeqCst) {
                    continue;
                }
                open.lock().unwrap().extend([near.try_clone().unwrap(), far.try_clone().unwrap()]);
                pass(near.try_clone().unwrap(), far.try_clone().unwrap());
                pass(far, near);
            }
        });
        wire
    }

    fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }

    fn mend(&self) {
        self.cut.store(false, Ordering::SeqCst);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    std::thread::spawn(move || {
        let mut bytes = [0; 8192];
        while let Ok(read @ 1..) = from.read(&mut bytes) {
            if to.write_all(&bytes[..read]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Both);
    });
}

#[test]
fn while_the_database_is_away_selling_goes_on() {
    let mut home = Home::postgres();
    let config = tokio_postgres::Config::from_str(&URL).unwrap();
    let tokio_postgres::config::Host::Tcp(host) = &config.get_hosts()[0] else { panic!("{} is no TCP address", *URL) };
    let wire = Wire::to(host.clone(), config.get_ports()[0]);
    let direct = home.place.clone();
    let Place::Postgres(postgres) = &mut home.place else { unreachable!() };
    let (user, database) = (config.get_user().unwrap(), config.get_dbname().unwrap());
    let password =
        config.get_password().map_or(String::new(), |password| format!(":{}", String::from_utf8_lossy(password)));
    postgres.url = format!("postgres://{user}{password}@127.0.0.1:{}/{database}", wire.port);
    let folder = tempfile::tempdir().unwrap();
    let server = start(&home, &folder.path().join("data"));
    home.place = direct;
    let organizer = server.organizer();
    let performance = server.performance(&organizer, json!({}));
    let ada = server.user("ada");
    let first = server.hold(&performance, &ada, json!({"seats": ["A-1-1"]})).expect(201);
    let mine = |after: &str| {
        server.send(Request::new("GET", "/v1/me/reservations").token(&ada.token).header("Onsale-After", after))
    };
    assert_eq!(mine(first.header("onsale-position").unwrap()).expect(200).json()["items"].as_array().unwrap().len(), 1);
    wire.cut();
    let second = server.hold(&performance, &ada, json!({"seats": ["A-1-2"]})).expect(201);
    let after = second.header("onsale-position").unwrap().to_owned();
    let answer = mine(&after);
    assert!(["read-models-behind", "read-models-unavailable"].iter().any(|slug| answer.text("/type").ends_with(slug)));
    assert_eq!((answer.status, answer.header("retry-after").is_some()), (503, true));
    server.get("/v1/me/reservations", &ada.token).expect_problem(503, "read-models-unavailable");
    server.get("/v1/performances", "").expect_problem(503, "read-models-unavailable");
    server.get("/v1/concerts", "").expect(200);
    server.get("/readyz", "").expect(200);
    let start = Instant::now();
    loop {
        let looked = server.get("/readyz?verbose", "").expect(200).json();
        let models =
            looked["outputs"].as_array().unwrap().iter().find(|output| output["name"] == "read_models").unwrap();
        if models["status"] == "failing" {
            assert!(models["trouble"].as_str().is_some_and(|trouble| !trouble.contains("postgres://")), "{models}");
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{looked}");
        std::thread::sleep(Duration::from_millis(50));
    }
    wire.mend();
    let start = Instant::now();
    while mine(&after).status != 200 {
        assert!(start.elapsed() < Duration::from_secs(30), "{}", server.errors());
    }
    assert_eq!(mine(&after).expect(200).json()["items"].as_array().unwrap().len(), 2);
    server.stop();
}
