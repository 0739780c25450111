//! Best available, replacements, groups and limits over HTTP.

use crate::common::{self, Answer, Request, Server, User};
use serde_json::{Value, json};

struct Stage {
    server: Server,
    organizer: String,
    _data: tempfile::TempDir,
}

fn stage() -> Stage {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let organizer = server.organizer();
    Stage { server, organizer, _data: data }
}

fn strings(value: &Value) -> Vec<&str> {
    value.as_array().unwrap().iter().map(|item| item.as_str().or(item["seat"].as_str()).unwrap()).collect()
}

fn row(row: &str, grade: &str, seats: u32) -> Value {
    json!({"row": row, "grade": grade, "seat_count": seats})
}

fn best(count: u32) -> Value {
    json!({"best_available": {"count": count}})
}

/// What is taken is named, and what is offered instead is free: a hold of it succeeds.
#[test]
fn a_refusal_offers_seats_that_can_be_held() {
    let Stage { server, organizer, .. } = stage();
    let [ann, bob, cat] = ["ann", "bob", "cat"].map(|name| server.user(name));
    let performance = server.performance(&organizer, json!({}));
    server.hold(&performance, &ann, json!({"seats": ["A-1-4", "A-1-5"]})).expect(201);
    let before = server.get(&format!("/v1/performances/{performance}/availability"), "").expect(200).json();

    let refused = server.hold(&performance, &bob, json!({"seats": ["A-1-5", "A-1-6"]}));
    let refused = refused.expect_problem(409, "seats-unavailable").json();
    assert_eq!(strings(&refused["seats"]), ["A-1-5"]);
    let offer = &refused["replacement"];
    assert_eq!(strings(&offer["seats"]), ["A-1-6", "A-1-7"]);
    assert_eq!((&offer["adjacent"], &offer["points"], &offer["relaxed"]), (&json!(true), &json!(200), &json!([])));
    let after = server.get(&format!("/v1/performances/{performance}/availability"), "").expect(200).json();
    assert_eq!(before, after, "nothing is held by it");

    server.hold(&performance, &bob, json!({"seats": strings(&offer["seats"])})).expect(201);
    // All of the grade: nothing is offered.
    let all: Vec<String> = ["A-1-1", "A-1-2", "A-1-3", "A-1-8"].map(String::from).to_vec();
    server.hold(&performance, &cat, json!({"seats": all})).expect(201);
    for (name, seats) in [("dan", 1..=4), ("eve", 5..=8)] {
        let seats: Vec<String> = seats.map(|seat| format!("A-2-{seat}")).collect();
        server.hold(&performance, &server.user(name), json!({"seats": seats})).expect(201);
    }
    let fay = server.user("fay");
    server.hold(&performance, &fay, json!({"seats": ["A-1-9", "A-1-10", "A-2-9", "A-2-10"]})).expect(201);
    let none = server.hold(&performance, &server.user("gil"), json!({"seats": ["A-1-1"]}));
    assert_eq!(none.expect_problem(409, "seats-unavailable").json()["replacement"], Value::Null);
}

#[test]
fn the_answer_says_what_was_relaxed() {
    let Stage { server, organizer, .. } = stage();
    let chart = json!({"sections": [{"section": "A", "rows": [
        {"row": "1", "grade": "VIP", "seat_count": 4, "accessible": ["1"], "companion": ["2"]},
        row("2", "VIP", 3), row("3", "VIP", 3)]}]});
    let performance = server.performance(&organizer, json!({"chart": chart}));
    let [ann, bob] = ["ann", "bob"].map(|name| server.user(name));
    let held = server.hold(&performance, &ann, best(4)).expect(201).json();
    assert_eq!(strings(&held["seats"]), ["A-1-3", "A-1-4", "A-2-1", "A-2-2"]);
    assert_eq!((&held["adjacent"], &held["relaxed"]), (&json!(false), &json!(["orphan", "split_rows"])));
    // Read again it says the same.
    let read = server.get(&format!("/v1/reservations/{}", held["reservation_id"].as_str().unwrap()), &ann.token);
    assert_eq!(read.expect(200).json()["relaxed"], held["relaxed"]);
    // The accessible seat waits for who needs it.
    let party = json!({"best_available": {"count": 2, "accessible": 1, "grade": "VIP", "section": "A"}});
    let held = server.hold(&performance, &bob, party).expect(201).json();
    assert_eq!(strings(&held["seats"]), ["A-1-1", "A-1-2"]);
    assert_eq!((&held["adjacent"], &held["relaxed"]), (&json!(true), &json!([])));
    let few = server.hold(&performance, &bob, json!({"best_available": {"count": 1, "accessible": 1}}));
    let few = few.expect_problem(409, "seats-unavailable").json();
    assert_eq!((&few["available"], &few["available_by_kind"]), (&json!(0), &left(4, 0, 0, 0)));
}

fn left(standard: u32, accessible: u32, companion: u32, standing: u32) -> Value {
    json!({"standard": standard, "accessible": accessible, "companion": companion, "standing": standing})
}

/// What the chart can never fulfil is a mistake in a field, whatever is sold; what is left is told by what it is for, in the
/// refusal as in the availability.
#[test]
fn sold_out_is_said_of_what_can_be_had_at_all() {
    let Stage { server, organizer, .. } = stage();
    let chart = json!({
        "sections": [
            {"section": "A", "rows": [{"row": "1", "grade": "VIP", "seat_count": 4, "accessible": ["1"], "companion": ["2"]}]},
            {"section": "B", "rows": [row("1", "M", 2)]},
        ],
        "areas": [{"area": "Floor", "grade": "S", "capacity": 3}, {"area": "Pit", "grade": "M", "capacity": 2}],
    });
    let prices = json!({"VIP": 100, "M": 20, "S": 10, "X": 1});
    let body = json!({"chart": chart, "prices": prices, "seats_per_user_max": 6});
    let performance = server.performance(&organizer, body.clone());
    let mut later = body;
    later["sale_opens_at"] = json!("2098-01-01T00:00:00Z");
    let later = server.performance(&organizer, later);
    let ann = server.user("ann");
    let never = |performance: &str| {
        for (best, with_area, field) in [
            (json!({"grade": "S", "count": 1}), true, "best_available.grade"),
            (json!({"grade": "S", "section": "A", "count": 1}), false, "best_available.grade"),
            (json!({"grade": "S", "section": "A", "count": 1}), true, "best_available.grade"),
            (json!({"grade": "S", "count": 1, "accessible": 1}), false, "best_available.accessible"),
            (json!({"grade": "S", "count": 4}), false, "best_available.count"),
            (json!({"grade": "M", "section": "A", "count": 1}), false, "best_available.grade"),
            (json!({"grade": "M", "count": 3}), false, "best_available.count"),
            (json!({"grade": "X", "count": 1}), false, "best_available.grade"),
            (json!({"grade": "VIP", "count": 3}), false, "best_available.count"),
            (json!({"section": "A", "count": 5, "accessible": 1}), false, "best_available.count"),
            (json!({"count": 2, "accessible": 2}), false, "best_available.accessible"),
            (json!({"count": 5}), true, "best_available.count"),
        ] {
            let mut wish = json!({"best_available": best});
            if with_area {
                (wish["area"], wish["count"]) = (json!("Floor"), json!(1));
            }
            let refused = server.hold(performance, &ann, wish.clone()).expect_problem(400, "invalid-request").json();
            assert_eq!(refused["field"], field, "{wish}");
        }
        let floor = server.hold(performance, &ann, json!({"area": "Floor", "count": 4}));
        assert_eq!(floor.expect_problem(400, "invalid-request").json()["field"], "count");
    };
    never(&performance);
    // The same before the sale opens, while everything else is refused for that.
    never(&later);
    server.hold(&later, &ann, best(1)).expect_problem(409, "sale-not-open");

    let [bob, cat] = ["bob", "cat"].map(|name| server.user(name));
    let of = |grade: &str, count: u32| json!({"best_available": {"grade": grade, "count": count}});
    server.hold(&performance, &bob, of("VIP", 2)).expect(201);
    server.hold(&performance, &bob, of("M", 2)).expect(201);
    let availability = server.get(&format!("/v1/performances/{performance}/availability"), "").expect(200).json();
    assert_eq!(availability["available"], json!({"VIP": 2, "M": 2, "S": 3, "X": 0}));
    let by_kind = json!({"VIP": left(0, 1, 1, 0), "M": left(0, 0, 0, 2), "S": left(0, 0, 0, 3), "X": left(0, 0, 0, 0)});
    assert_eq!(availability["available_by_kind"], by_kind);
    for grade in ["VIP", "M"] {
        let refused = server.hold(&performance, &cat, of(grade, 1)).expect_problem(409, "seats-unavailable").json();
        assert_eq!((&refused["available"], &refused["available_by_kind"]), (&json!(0), &by_kind[grade]), "{grade}");
    }
    // And what is said to be there can be had.
    let party = json!({"best_available": {"grade": "VIP", "count": 2, "accessible": 1}});
    server.hold(&performance, &cat, party).expect(201);
    let since = availability["version"].as_u64().unwrap();
    let changes =
        server.get(&format!("/v1/performances/{performance}/availability?since={since}"), "").expect(200).json();
    assert_eq!((&changes["full"], &changes["available_by_kind"]["VIP"]), (&json!(false), &left(0, 0, 0, 0)));
    never(&performance);

    let blocks = format!("/v1/performances/{performance}/area-blocks");
    let refused = server.post(&blocks, &organizer, json!({"areas": [{"area": "Floor", "blocked": 4}]}));
    assert_eq!(refused.expect_problem(400, "invalid-request").json()["field"], "areas[0].blocked");
}

#[test]
fn seats_and_standing_places_are_one_reservation() {
    let Stage { server, organizer, .. } = stage();
    let [ann, bob] = ["ann", "bob"].map(|name| server.user(name));
    let performance = server.performance(&organizer, json!({}));
    let both = json!({"best_available": {"count": 2}, "area": "Floor", "count": 2});
    let held = server.hold(&performance, &ann, both).expect(201).json();
    assert_eq!((held["seats"].as_array().unwrap().len(), &held["area"]["count"]), (2, &json!(2)));
    assert_eq!(held["points"], 220);
    // All or nothing: too few standing places leave the seats alone.
    let refused = server.hold(&performance, &bob, json!({"seats": ["A-2-1"], "area": "Floor", "count": 4}));
    assert_eq!(refused.status, 400, "more than one may have");
    let refused = server.hold(&performance, &bob, json!({"seats": ["A-2-1"], "area": "Floor", "count": 3}));
    refused.expect(201);
    let refused =
        server.hold(&performance, &server.user("cat"), json!({"seats": ["A-2-2"], "area": "Floor", "count": 1}));
    assert_eq!(refused.expect_problem(409, "seats-unavailable").json()["available"], 0);
    let seats = server.get(&format!("/v1/performances/{performance}/availability"), "").expect(200).json();
    assert!(!strings(&seats["seats"]["held"]).contains(&"A-2-2"));
    // A grade of standing places only.
    let standing = json!({"best_available": {"count": 1, "grade": "R"}});
    server.hold(&performance, &server.user("dan"), standing).expect_problem(409, "seats-unavailable");
}

fn group(server: &Server, performance: &str, key: &str, body: Value) -> Answer {
    server.post(&format!("/v1/performances/{performance}/reservations"), key, body)
}

/// An organizer holds more than one user may have; the user pays for it like for any other.
#[test]
fn a_group_is_held_by_its_organizer_and_paid_by_its_buyer() {
    let Stage { server, organizer, .. } = stage();
    let rival = server.organizer();
    let [ann, bob] = ["ann", "bob"].map(|name| server.user(name));
    let performance = server.performance(&organizer, json!({}));
    let wish = |user: &User| json!({"best_available": {"count": 15}, "user_id": user.id, "group": true});
    group(&server, &performance, &rival, wish(&ann)).expect_problem(404, "not-found");
    group(&server, &performance, &organizer, json!({"best_available": {"count": 15}, "group": true}))
        .expect_problem(400, "invalid-request");
    group(&server, &performance, &organizer, json!({"best_available": {"count": 15}, "user_id": ann.id}))
        .expect_problem(400, "invalid-request");
    let nobody = json!({"best_available": {"count": 15}, "user_id": uuid::Uuid::new_v4(), "group": true});
    group(&server, &performance, &organizer, nobody).expect_problem(404, "user-not-found");
    let many = json!({"best_available": {"count": 501}, "user_id": ann.id, "group": true});
    let many = group(&server, &performance, &organizer, many).expect_problem(400, "invalid-request").json();
    assert_eq!((&many["field"], &many["limit"]), (&json!("best_available.count"), &json!(500)));
    group(&server, &performance, common::OPERATOR_KEY, wish(&ann)).expect_problem(403, "forbidden");

    let path = format!("/v1/performances/{performance}/reservations");
    let keyed = || Request::new("POST", &path).token(&organizer).key("group-of-15").json(wish(&ann));
    let held = server.send(keyed()).expect(201);
    let again = server.send(keyed()).expect(201);
    assert_eq!((again.header("idempotency-replayed"), again.json()), (Some("true"), held.json()));
    let held = held.json();
    assert_eq!((&held["user_id"], &held["by_organizer"]), (&json!(ann.id), &json!(true)));
    assert_eq!(held["seats"].as_array().unwrap().len(), 15);
    let id = held["reservation_id"].as_str().unwrap();
    server.get(&format!("/v1/reservations/{id}"), &bob.token).expect_problem(404, "not-found");
    server.charge(&ann, 1500);
    let paid = server.post(&format!("/v1/reservations/{id}/payment"), &ann.token, json!({})).expect(200);
    assert_eq!(paid.json()["state"], "confirmed");
    assert_eq!(server.balance(&ann), 0);
    // All or nothing: six are not to be had any more.
    let six = json!({"best_available": {"count": 6}, "user_id": bob.id, "group": true});
    let few = group(&server, &performance, &organizer, six).expect_problem(409, "seats-unavailable").json();
    assert_eq!(few["available"], 5);
    // The group leaves its buyer's own limit alone.
    let own = server.hold(&performance, &ann, best(4)).expect(201).json();
    assert_eq!(own["by_organizer"], false);
    let limit = server.hold(&performance, &ann, best(1)).expect_problem(409, "seat-limit").json();
    assert_eq!((&limit["limit"], &limit["held"]), (&json!(4), &json!(4)));
}

/// Fifty requests of one user at once, of every kind: never more places than one may have, and as many as fit.
#[test]
fn the_limit_of_places_holds_under_contention() {
    let Stage { server, organizer, .. } = stage();
    let user = server.user("ann");
    let chart = json!({
        "sections": [{"section": "A", "rows": [row("1", "VIP", 100)]}],
        "areas": [{"area": "Floor", "grade": "R", "capacity": 100}],
    });
    let performance = server.performance(&organizer, json!({"chart": chart, "seats_per_user_max": 7}));
    let wish = |nth: usize| match nth % 4 {
        0 => json!({"seats": [format!("A-1-{}", nth + 1)]}),
        1 => json!({"area": "Floor", "count": 2}),
        2 => json!({"best_available": {"count": 3}}),
        _ => json!({"seats": [format!("A-1-{}", nth + 50)], "area": "Floor", "count": 1}),
    };
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let (server, user, performance) = (&server, &user, &performance);
        let sent: Vec<_> = (0..50).map(|nth| scope.spawn(move || server.hold(performance, user, wish(nth)))).collect();
        sent.into_iter().map(|sent| sent.join().unwrap()).collect()
    });
    let mut places = 0;
    for answer in answers {
        let body = answer.json();
        match answer.status {
            201 => {
                let standing = body["area"]["count"].as_u64().unwrap_or(0);
                places += body["seats"].as_array().unwrap().len() as u64 + standing;
            }
            _ => {
                let slug = body["type"].as_str().unwrap().rsplit('/').next().unwrap();
                // Seats of the middle of the row may have gone to a request for the best ones.
                assert!(["seat-limit", "seats-unavailable"].contains(&slug), "{body}");
            }
        }
    }
    assert_eq!(places, 7, "one place is always to be had");
    let path = format!("/v1/performances/{performance}");
    assert_eq!(server.get(&path, "").expect(200).json()["available"], 193);
}

/// Groups that want more than there is: some get all they asked for, the others nothing.
#[test]
fn groups_under_contention_get_all_or_nothing() {
    let Stage { server, organizer, .. } = stage();
    let rows: Vec<Value> = (1..=10).map(|number| row(&number.to_string(), "VIP", 10)).collect();
    let performance = server.performance(&organizer, json!({"chart": {"sections": [{"section": "A", "rows": rows}]}}));
    let users: Vec<User> = (0..8).map(|nth| server.user(&format!("user{nth}"))).collect();
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let (server, organizer, performance) = (&server, &organizer, &performance);
        let wish = |user: &User| json!({"best_available": {"count": 30}, "user_id": user.id, "group": true});
        let ask = move |user| move || group(server, performance, organizer, wish(user));
        let sent: Vec<_> = users.iter().map(|user| scope.spawn(ask(user))).collect();
        sent.into_iter().map(|sent| sent.join().unwrap()).collect()
    });
    let held: Vec<Value> = answers.iter().filter(|answer| answer.status == 201).map(Answer::json).collect();
    let mut seats: Vec<&str> = held.iter().flat_map(|held| strings(&held["seats"])).collect();
    assert_eq!((held.len(), seats.len()), (3, 90));
    seats.sort_unstable();
    seats.dedup();
    assert_eq!(seats.len(), 90, "nobody has a seat twice");
    for refused in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!((refused.status, refused.json()["available"].as_u64()), (409, Some(10)));
    }
}

/// Lets holds expire until it is too much; that survives a restart.
#[test]
fn who_lets_too_many_holds_lapse_waits() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path(), &[]);
    let organizer = server.organizer();
    let [ann, bob] = ["ann", "bob"].map(|name| server.user(name));
    let performance = server.performance(&organizer, json!({"hold_ttl_s": 1, "lapsed_holds_max": 1}));
    let available = |server: &Server| {
        server.get(&format!("/v1/performances/{performance}"), "").expect(200).json()["available"].as_u64().unwrap()
    };
    for _ in 0..2 {
        server.hold(&performance, &ann, json!({"seats": ["A-1-1"]})).expect(201);
        let until = std::time::Instant::now() + common::PATIENCE;
        while available(&server) < 25 {
            assert!(std::time::Instant::now() < until, "the hold does not expire");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
    let refused = server.hold(&performance, &ann, json!({"seats": ["A-1-1"]}));
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((3400..=3600).contains(&wait), "{wait}");
    let refused = refused.expect_problem(429, "too-many-lapsed-holds").json();
    assert_eq!((&refused["limit"], &refused["window_s"]), (&json!(1), &json!(3600)));
    assert!(refused["retry_at"].as_str().unwrap().ends_with('Z'), "{refused}");
    server.hold(&performance, &bob, json!({"seats": ["A-1-1"]})).expect(201);
    server.kill();
    let server = Server::start(data.path(), &[]);
    let refused = server.hold(&performance, &ann, json!({"seats": ["A-1-2"]}));
    refused.expect_problem(429, "too-many-lapsed-holds");
    server.stop();
}
