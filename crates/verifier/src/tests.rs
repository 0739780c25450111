//! A log that holds, and the same log with one thing wrong a row: what is found, and where.

mod fixture;
mod folder;
mod people;
mod queue;

use super::{Books, Kind, Summary};
use base::id::ReservationId;
use fixture::*;
use serde_json::{Value, json};

/// The position that must be named, the kind, and a part of what is said.
type ExpectedFault = (u64, Kind, &'static str);

#[track_caller]
fn check(rows: Vec<(&str, Vec<Line>, ExpectedFault)>) {
    for (row, lines, (position, kind, part)) in rows {
        match audit(&lines) {
            Ok(_) => panic!("{row}: nothing was found"),
            Err(found) => {
                assert_eq!((found.position.0, found.kind), (position, kind), "{row}: {found}");
                assert!(found.what.contains(part), "{row}: {found}");
            }
        }
    }
}

/// The good log with `field` of the event at `position` set.
fn set(position: u64, field: &str, value: Value) -> Vec<Line> {
    let mut lines = good();
    let line = &mut lines[position as usize - 1];
    *line.data.pointer_mut(field).unwrap_or_else(|| panic!("{} has no {field}", line.name)) = value;
    lines
}

/// The good log with the event at `position` at another time.
fn at(position: u64, at_ms: u64) -> Vec<Line> {
    let mut lines = good();
    lines[position as usize - 1].at_ms = at_ms;
    lines
}

fn without(position: u64) -> Vec<Line> {
    let mut lines = good();
    lines.remove(position as usize - 1);
    lines
}

/// The good log with the event at `position` once more behind it.
fn twice(position: u64) -> Vec<Line> {
    let mut lines = good();
    lines.insert(position as usize, lines[position as usize - 1].clone());
    lines
}

/// The good log up to `position`, and then another event.
fn then(position: u64, line: Line) -> Vec<Line> {
    let mut lines = good();
    lines.truncate(position as usize);
    lines.push(line);
    lines
}

fn edit(change: impl FnOnce(&mut Vec<Line>)) -> Vec<Line> {
    let mut lines = good();
    change(&mut lines);
    lines
}

#[test]
fn a_log_that_holds_is_counted() {
    let summary = audit(&good()).unwrap();
    let expected = Summary {
        events: 35,
        streams: 6,
        organizers: 1,
        concerts: 1,
        performances: 2,
        performances_cancelled: 1,
        performances_being_cancelled: 0,
        users: 1,
        wallets: 1,
        places: 14,
        places_sold: 0,
        places_held: 1,
        places_blocked: 1,
        holds: 4,
        holds_released: 1,
        holds_expired: 1,
        payments_refused: 1,
        purchases_complete: 1,
        purchases_in_flight: 1,
        cancellations: 1,
        charges: 1,
        points_charged: 500,
        points_spent: 200,
        points_refunded: 200,
        points_adjusted: -10,
        points_outstanding: 490,
        accounts: vec![
            super::summary::ListedAccount {
                organizer: None,
                points: super::summary::Attributed { charged: 500, spent: 0, refunded: 0, adjusted: -10 },
                outstanding: 490,
            },
            super::summary::ListedAccount {
                organizer: Some(base::id::OrganizerId(uuid::Uuid::from_u128(1))),
                points: super::summary::Attributed { charged: 0, spent: 200, refunded: 200, adjusted: 0 },
                outstanding: 0,
            },
        ],
        in_flight: summary.in_flight.clone(),
        ..Summary::default()
    };
    assert_eq!(summary, expected);
    let listed: Vec<_> = summary.in_flight.iter().map(|purchase| (purchase.reservation, purchase.waits_for)).collect();
    assert_eq!(listed, [(r(4), "payment")]);
    assert_eq!(audit(&[]).unwrap(), Summary::default());
}

/// Wherever the log ends, it holds: a purchase is complete or in flight.
#[test]
fn a_log_holds_at_every_event() {
    let waits = [(8, "payment"), (9, "confirmation"), (11, "refund"), (12, "the end of its cancellation")];
    for end in 0..=good().len() {
        let summary = audit(&good()[..end]).unwrap();
        let waits_for = waits.iter().find(|(at, _)| *at == end).map(|(_, waits_for)| *waits_for);
        if end < 18 {
            assert_eq!(summary.in_flight.first().map(|purchase| purchase.waits_for), waits_for, "{end}");
        }
    }
}

#[test]
fn the_log_itself() {
    let damaged = Kind::LogDamaged;
    check(vec![
        ("a hole", edit(|lines| lines[9].position = Some(11)), (11, damaged, "the position is 11, must be 10")),
        ("a position twice", edit(|lines| lines[9].position = Some(9)), (9, damaged, "must be 10")),
        ("a version left out", edit(|lines| lines[9].version = Some(5)), (10, damaged, "the version is 5, must be 4")),
        ("a version twice", edit(|lines| lines[9].version = Some(3)), (10, damaged, "the version")),
        ("a stream from 2", edit(|lines| lines[0].version = Some(2)), (1, damaged, "the version is 2, must be 1")),
        ("no JSON", edit(|lines| lines[6].raw = Some(b"{".to_vec())), (7, damaged, "SeatsHeld.v1")),
        ("a field less", set(7, "", json!({})), (7, damaged, "missing field")),
        ("a field of another type", set(7, "/points", json!("200")), (7, damaged, "invalid type")),
        ("a newer event", edit(|lines| lines[6].name = "SeatsHeld.v9".into()), (7, damaged, "newer version")),
        ("an event of another kind of stream", edit(|lines| lines[6].stream = wallet()), (7, damaged, "unknown here")),
    ]);
}

#[test]
fn places() {
    let twice_kind = Kind::PlacesSoldTwice;
    let rules = Kind::RulesBroken;
    let bobs = |seat: &str| held(8, BOB, 2_000, &[seat], 3);
    check(vec![
        ("a seat twice", then(7, bobs("A-1-2")), (8, twice_kind, "it is with")),
        ("a seat of a sold reservation", then(10, bobs("A-1-1")), (11, twice_kind, "seat A-1-1")),
        ("a seat before its refund", then(12, bobs("A-1-1")), (13, twice_kind, "seat A-1-1")),
        ("a seat twice in one hold", set(7, "/seats/1/seat", json!("A-1-1")), (7, twice_kind, "seat A-1-1")),
        ("a blocked seat", then(22, bobs("A-1-4")), (23, twice_kind, "with the house")),
        ("a seat that is not there", set(7, "/seats/1/seat", json!("A-1-5")), (7, twice_kind, "no seat \"A-1-5\"")),
        ("a seat by another name", set(7, "/seats/1/seat", json!("A-1-02")), (7, twice_kind, "no seat")),
        ("an area that is not there", set(14, "/area/area", json!("Roof")), (14, twice_kind, "no area")),
        ("an area too full", set(14, "/area/count", json!(3)), (14, twice_kind, "3 places of area \"Floor\"")),
        ("a taken seat blocked", set(22, "/seats/0", json!("A-1-2")), (22, twice_kind, "to the house")),
        ("a free seat unblocked", set(23, "/seats/0", json!("A-1-1")), (23, twice_kind, "from the house")),
        ("other seats freed", set(13, "/places/seats/0", json!("A-1-3")), (13, twice_kind, "has other places")),
        ("fewer seats freed", set(13, "/places/seats", json!(["A-1-1"])), (13, twice_kind, "has other places")),
        ("other seats confirmed", set(10, "/places/seats", json!([])), (10, twice_kind, "has other places")),
        ("fewer standing places freed", set(16, "/places/area/count", json!(1)), (16, twice_kind, "has other places")),
        ("available off at a hold", set(7, "/available", json!(5)), (7, rules, "available is 5, must be 4")),
        ("available off at a release", set(20, "/available", json!(4)), (20, rules, "available is 4")),
        ("available off at an expiry", set(16, "/available", json!(5)), (16, rules, "available is 5")),
        ("available off at a cancellation", set(13, "/available", json!(5)), (13, rules, "available is 5")),
        ("available off at the creation", set(3, "/available", json!(7)), (3, rules, "available is 7, must be 6")),
        ("available off at a block", set(22, "/available", json!(5)), (22, rules, "available")),
    ]);
}

#[test]
fn points() {
    let off = Kind::PointsOff;
    check(vec![
        ("a balance off", set(6, "/balance", json!(501)), (6, off, "balance is 501, must be 500")),
        ("a spend's balance", set(9, "/balance", json!(299)), (9, off, "balance")),
        ("a refund's balance", set(12, "/balance", json!(499)), (12, off, "balance")),
        ("an adjustment's balance", set(24, "/balance", json!(491)), (24, off, "balance")),
        ("below zero", set(6, "/points", json!(100)), (6, off, "balance")),
        (
            "more spent than there is",
            edit(|lines| {
                lines[5].data["points"] = json!(100);
                lines[5].data["balance"] = json!(100);
            }),
            (9, off, "from 100 by -200 to -100"),
        ),
        ("adjusted below zero", set(24, "/points", json!(-501)), (24, off, "to -1 points")),
        ("a wallet too full", set(24, "/points", json!(1u64 << 53)), (24, off, "the wallet goes from 500")),
        ("another price", set(7, "/seats/0/points", json!(99)), (7, off, "the price of a seat is 99, must be 100")),
        ("another sum", set(7, "/points", json!(199)), (7, off, "points is 199, must be 200")),
        ("another price to stand", set(14, "/area/points", json!(99)), (14, off, "the price of standing places")),
        ("another payment", set(8, "/points", json!(199)), (8, off, "points is 199")),
        ("another spend", set(9, "/points", json!(199)), (9, off, "points is 199, must be 200")),
        ("another refusal", set(19, "/points", json!(99)), (19, off, "points")),
        ("another confirmation", set(10, "/points", json!(99)), (10, off, "points")),
        ("another cancellation", set(11, "/points", json!(99)), (11, off, "points")),
        ("another refund", set(12, "/points", json!(99)), (12, off, "points")),
        ("another end", set(13, "/points", json!(99)), (13, off, "points")),
    ]);
}

#[test]
fn purchases() {
    let broken = Kind::PurchasesBroken;
    let rules = Kind::RulesBroken;
    check(vec![
        (
            "confirmed without a payment",
            edit(|lines| drop(lines.drain(7..9))),
            (8, broken, "is Held, must be [Paying]"),
        ),
        ("confirmed without points", without(9), (9, broken, "is confirmed but not paid")),
        ("spent without a payment", without(8), (8, broken, "is Held, must be [Paying]")),
        ("spent twice", twice(9), (10, broken, "is paid twice")),
        ("spent after the deadline", at(9, 62_000), (9, broken, "after its deadline 62000")),
        ("confirmed twice", twice(10), (11, broken, "is Confirmed, must be [Paying]")),
        ("cancelled without a refund", without(12), (12, broken, "is cancelled but not refunded")),
        ("refunded twice", twice(12), (13, broken, "is refunded twice")),
        ("refunded without a cancellation", without(11), (11, broken, "is Confirmed, must be [Cancelling]")),
        ("cancelled twice", twice(13), (14, broken, "was over before")),
        ("paid twice", twice(8), (9, broken, "is Paying, must be [Held]")),
        ("refused though paid", then(9, refused(1, 3_000, 302_000)), (10, broken, "is paid, and refused")),
        ("released while it is paid", then(8, released(1, 3_000, &["A-1-1", "A-1-2"], 6)), (9, broken, "is Paying")),
        ("a reservation that is not there", set(8, "/reservation_id", json!(r(9))), (8, broken, "no reservation")),
        ("spent for nothing", set(9, "/reservation_id", json!(r(9))), (9, broken, "no reservation")),
        ("spent at no performance", set(9, "/performance_id", json!(r(9))), (9, broken, "no performance")),
        ("another user's payment", set(8, "/user_id", json!(BOB)), (8, broken, "not of")),
        ("another user's confirmation", set(10, "/user_id", json!(BOB)), (10, broken, "not of")),
        ("another user's points", edit(|lines| lines[5].stream = wallet_of(BOB)), (6, rules, "not opened before")),
        ("an id twice", then(13, held(1, ANN, 6_000, &["A-1-1"], 5)), (14, broken, "is held twice")),
        ("an id twice at once", then(7, held(1, ANN, 6_000, &["A-1-3"], 3)), (8, broken, "is held twice")),
        ("expired twice", twice(16), (17, broken, "was over before")),
    ]);
}

#[test]
fn rules() {
    let rules = Kind::RulesBroken;
    let stranger = ReservationId::from_random(base::id::PerformanceId::from_random(8), 16);
    check(vec![
        ("another grade", set(7, "/seats/0/grade", json!("S")), (7, rules, "the grade of a seat")),
        ("another grade to stand", set(14, "/area/grade", json!("R")), (14, rules, "the grade of standing places")),
        (
            "more in one hold than may be",
            edit(|lines| lines[2].data["seats_per_hold_max"] = json!(1)),
            (7, rules, "has 2 places, above 1"),
        ),
        ("expired early", at(16, 405_999), (16, rules, "before 406000")),
        ("paid late", at(8, 301_000), (8, rules, "expired at 301000")),
        ("extended twice", twice(15), (16, rules, "must not be extended")),
        ("extended late", at(15, 306_000), (15, rules, "must not be extended")),
        ("extended too far", set(15, "/expires_at_ms", json!(406_001)), (15, rules, "must be 406000")),
        ("held too long", set(7, "/expires_at_ms", json!(301_001)), (7, rules, "must be 301000")),
        ("paid too long", set(8, "/payment_deadline_ms", json!(62_001)), (8, rules, "must be 62000")),
        ("time won", set(8, "/left_ms", json!(299_001)), (8, rules, "left_ms")),
        ("time lost", set(19, "/expires_at_ms", json!(707_999)), (19, rules, "must be 708000")),
        ("cancelled late", at(11, 500_000), (11, rules, "after 500000")),
        ("over the limit", then(7, held(2, ANN, 2_000, &["A-1-3", "A-1-4"], 2)), (8, rules, "4 of 3 places")),
        (
            "over the limit with what is sold",
            then(10, held(2, ANN, 4_000, &["A-1-3", "A-1-4"], 2)),
            (11, rules, "4 of 3"),
        ),
        ("nothing held", then(6, held(1, ANN, 2_000, &[], 6)), (7, rules, "has no places")),
        ("side by side unsaid", set(7, "/adjacent", json!(false)), (7, rules, "adjacent is false, must be true")),
        (
            "side by side, yet apart",
            edit(|lines| lines[6].data["relaxed"] = json!(["split_row"])),
            (7, rules, "side by side"),
        ),
        ("held before the sale", at(7, 99), (7, rules, "while nothing is sold")),
        ("held while paused", then(25, held(9, BOB, 412_000, &["A-1-1"], 4)), (26, rules, "while nothing is sold")),
        ("held when closed", then(28, held(9, BOB, 412_000, &["A-1-1"], 4)), (29, rules, "while nothing is sold")),
        ("resumed though it runs", without(25), (25, rules, "from Running to Running")),
        ("paused twice", twice(25), (26, rules, "from Paused to Paused")),
        ("closed twice", twice(28), (29, rules, "from Closed to Closed")),
        ("another performance's id", set(7, "/reservation_id", json!(stranger)), (7, rules, "another performance")),
        ("created twice", twice(3), (4, rules, "was created before")),
        ("not created", without(3), (6, rules, "was not created before")),
        ("a concert twice", twice(2), (3, rules, "was created before")),
        ("an organizer twice", twice(1), (2, rules, "was created before")),
        ("an account twice", twice(4), (5, rules, "was created before")),
        ("a wallet twice", twice(5), (6, rules, "was opened before")),
        ("a wallet not opened", without(5), (5, rules, "was not opened before")),
        (
            "one key charged twice",
            edit(|lines| {
                let mut again = lines[5].clone();
                again.data["balance"] = json!(1000);
                again.at_ms += 24 * 3600 * 1000 - 1;
                lines.insert(6, again);
            }),
            (7, rules, "one Idempotency-Key did two things"),
        ),
    ]);
}

#[test]
fn changes() {
    let (rules, sold) = (Kind::RulesBroken, Kind::PlacesSoldTwice);
    check(vec![
        ("a closed sale is opened", set(30, "/sale_closes_at_ms", json!(2_000_000)), (30, rules, "got other hours")),
        (
            "an end that follows the start is elsewhere",
            edit(|lines| {
                let follows = json!({"sale_closes_at": true, "cancellation_closes_at": false});
                lines[29].data["follows_starts_at"] = follows;
            }),
            (30, rules, "sale_closes_at_ms is 1000000, must be 2500000"),
        ),
        (
            "cancellations end elsewhere than the start that they follow",
            edit(|lines| {
                let follows = json!({"sale_closes_at": false, "cancellation_closes_at": true});
                lines[29].data["follows_starts_at"] = follows;
            }),
            (30, rules, "cancellation_closes_at_ms is 600000, must be 2500000"),
        ),
        ("a grade loses its price", set(30, "/prices", json!({"R": 1})), (30, rules, "has no price")),
        ("a chart is left out", set(31, "/chart_version", json!(3)), (31, rules, "chart_version is 3, must be 2")),
        ("a chart too few", set(31, "/available", json!(8)), (31, rules, "available is 8, must be 7")),
        (
            "a place in use is gone",
            set(31, "/chart/sections/0/rows/0/seat_count", json!(1)),
            (31, sold, "A-1-2 is not in the new chart"),
        ),
        ("more blocked than there are", set(32, "/areas/0/blocked", json!(4)), (32, sold, "0 of 3 are taken")),
        ("an unknown area is blocked", set(32, "/areas/0/area", json!("Pit")), (32, sold, "no area")),
        ("a concert is changed first", without(2), (28, rules, "was not created before")),
        ("cancelled with other points", set(34, "/points", json!(1)), (34, Kind::PointsOff, "points is 1, must be 0")),
        ("cancelled twice", twice(34), (35, rules, "was cancelled before")),
        ("finished twice", twice(35), (36, rules, "was cancelled before")),
        ("finished without an end", without(34), (34, rules, "was not cancelled before")),
        ("finished with refunds", set(35, "/reservations", json!(1)), (35, rules, "reservations is 1, must be 0")),
    ]);
}

/// After 24 h a key may be used again.
#[test]
fn a_key_is_kept_for_a_day() {
    let lines = edit(|lines| {
        lines.truncate(6);
        let mut again = lines[5].clone();
        again.data["balance"] = json!(1000);
        again.at_ms += 24 * 3600 * 1000;
        lines.push(again);
    });
    assert_eq!(audit(&lines).unwrap().points_outstanding, 1000);
}

/// A clock that was two days ahead made the wallet forget the key: set back, the key is new.
#[test]
fn a_clock_that_is_set_back_is_no_violation() {
    let lines = edit(|lines| {
        lines.truncate(6);
        for (key, at_ms, balance) in [("0f", 48 * 3600 * 1000, 1000), ("01", 5, 1500)] {
            let mut again = lines[5].clone();
            again.data["balance"] = json!(balance);
            again.data["repeat"]["key"] = json!(format!("{key:0>32}"));
            again.at_ms += at_ms;
            lines.push(again);
        }
    });
    assert_eq!(audit(&lines).unwrap().points_outstanding, 1500);
}

#[test]
fn every_event_is_in_the_good_log() {
    let lines = good().into_iter().chain(people::good());
    let names: std::collections::BTreeSet<String> = lines.map(|line| line.name).collect();
    // Those of queues have a log of their own.
    let others = base::id::Category::ALL.into_iter().filter(|category| *category != base::id::Category::Queue);
    assert_eq!(names, others.flat_map(domain::event_names).map(|name| name.to_string()).collect());
}

#[test]
fn the_books_name_each_kind() {
    let books = super::summary::books(Some(Kind::PointsOff));
    let expected = json!({
        "ok": false, "log_damaged": 0, "places_sold_twice": 0, "points_off": 1, "purchases_broken": 0, "rules_broken": 0,
        "queue_order_broken": 0, "queue_policy_broken": 0,
    });
    assert_eq!(Value::Object(books), expected);
    assert_eq!(super::summary::books(None)["ok"], json!(true));
}

/// Feeds the checker; the first violation, or what it counted.
fn audit(lines: &[Line]) -> Result<Summary, super::Violation> {
    let mut books = Books::new();
    for recorded in number(lines) {
        books.apply(recorded.as_recorded())?;
    }
    books.finish()
}
