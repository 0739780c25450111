//! What an organizer may still do once places are held and sold: other terms, another chart, and calling it all off.

use super::fixture::*;
use crate::performance::event::PerformanceChanged;
use crate::performance::reservation::State;
use crate::performance::seats::chart::{Area, Chart, Invalid, Prices, Row};
use crate::performance::{
    AreaInUse, Block, BlockAreas, CancelPerformance, ChangeChart, Describe, FindHold, FinishPerformanceCancellation,
    Performance, ReadAvailability, Refusal, Rejection, Sale, SaleState, ShowBlocks, ShowCancellation,
};
use crate::testing::Story;
use crate::{Expected, Fingerprint, IdempotencyRecord};

pub fn tables() -> Vec<Table> {
    vec![
        other_terms(),
        bad_changes(),
        closed_for_good(),
        other_charts(),
        standing_blocks(),
        called_off(),
        late_payments(),
    ]
}

pub fn invalid(field: &str, reason: &str) -> Then {
    Refused(Rejection::Invalid(Invalid { field: field.into(), reason: reason.into() }))
}

fn seen(version: u64) -> Expected {
    Expected::OneOf(vec![version])
}

const HELD: &str = "r1 ann held A-1-1 for 300p until 300, 14 left";

fn other_terms() -> Table {
    let dearer = Prices::from([("R".into(), 110), ("S".into(), 50), ("VIP".into(), 400), ("X".into(), 9)]);
    table(
        "other terms",
        vec![
            (at(0), hold(ANN, seats("A-1-1")), Events(HELD)),
            (at(1), change(|_| {}), Events("")),
            // Version 2 is older than the hold, but nothing of it was changed since; 3 has not been.
            (at(1), change(|change| (change.expected, change.hold_ttl_s) = (seen(3), Some(60))), changed(2)),
            (
                at(2),
                change(|change| (change.expected, change.hold_ttl_s) = (seen(1), Some(60))),
                Events("changed: open 0-259200, hold 60 s, 4 each; R 100, S 50, VIP 300"),
            ),
            (at(3), change(|change| (change.expected, change.extension_s) = (seen(2), Some(9))), changed(3)),
            // What is held keeps price and expiry.
            (at(3), hold(BOB, seats("A-1-2")), Events("r2 bob held A-1-2 for 300p until 63, 13 left")),
            (
                at(4),
                change(|change| {
                    (change.prices, change.seats_per_user_max, change.sale) =
                        (Some(dearer), Some(1), Some(Sale::Paused));
                }),
                Events("changed: open 0-259200, hold 60 s, 1 each; R 110, S 50, VIP 400, X 9; paused"),
            ),
            (at(5), sale(Sale::Running), Events("resumed")),
            (at(5), pay(ANN, r(1)), Events("r1 pays 300p until 65, 295000 ms left")),
            (at(6), hold(CAT, seats("A-1-3")), Events("r3 cat held A-1-3 for 400p until 66, 12 left")),
            (at(6), hold(CAT, seats("A-1-4")), Refused(Rejection::SeatLimit { limit: 1, held: 1 })),
            (at(6), hold(ANN, seats("A-1-4")), Refused(Rejection::SeatLimit { limit: 1, held: 1 })),
            (at(7), confirm(r(1)), Events("r1 confirmed A-1-1 for 300p")),
            // Closing early is a change like others.
            (
                at(8),
                change(|change| change.sale_closes_at_ms = Some(Some(at(100)))),
                Events("changed: open 0-100, hold 60 s, 1 each; R 110, S 50, VIP 400, X 9"),
            ),
        ],
    )
}

fn changed(version: u64) -> Then {
    Refused(Rejection::Changed { version })
}

fn bad_changes() -> Table {
    let without = |grade: &str| {
        let mut prices = terms().prices;
        prices.remove(grade);
        change(|change| change.prices = Some(prices))
    };
    let missing = "is missing; prices replace all prices, and the chart has places of this grade";
    table(
        "bad changes",
        vec![
            (at(0), hold(ANN, seats("A-1-1")), Events(HELD)),
            (at(1), change(|change| change.organizer = RIVAL), Refused(Rejection::UnknownPerformance)),
            (at(1), change(|change| change.hold_ttl_s = Some(0)), invalid("hold_ttl_s", "must be 1..=86400 seconds")),
            (
                at(1),
                change(|change| change.sale_closes_at_ms = Some(Some(OPENS))),
                invalid("sale_closes_at", "must be after sale_opens_at"),
            ),
            (at(1), without("VIP"), invalid("prices.VIP", missing)),
            (at(1), without("S"), invalid("prices.S", missing)),
            // Both or neither: the state is not changed when the terms make no sense.
            (
                at(1),
                change(|change| (change.sale, change.extension_s) = (Some(Sale::Paused), Some(90_000))),
                invalid("extension_s", "must be at most 86400 seconds"),
            ),
            (
                at(1),
                change(|change| change.sale_opens_at_ms = Some(at(2))),
                Refused(Rejection::SaleOpened { opened_at_ms: OPENS }),
            ),
            (at(1), hold(BOB, seats("A-1-2")), Events("r2 bob held A-1-2 for 300p until 301, 13 left")),
        ],
    )
}

fn closed_for_good() -> Table {
    let closes = |at_s: u64| change(move |change| change.sale_closes_at_ms = Some(Some(at(at_s))));
    let ended = || Refused(Rejection::SaleEnded { ended_at_ms: at(CLOSES) });
    let not_open = Rejection::SaleNotOpen { state: SaleState::Closed, opens_at_ms: OPENS };
    table(
        "only what is closed is closed for good",
        vec![
            (at(CLOSES) - 1, change(|_| {}), Events("")),
            // An end that merely passed: nothing is sold, and it can be moved.
            (at(CLOSES), hold(ANN, floor(1)), Refused(not_open)),
            (at(CLOSES), sale(Sale::Paused), ended()),
            (at(CLOSES), change(|change| change.sale = Some(Sale::Running)), ended()),
            (
                at(CLOSES),
                change(|change| change.starts_at_ms = Some(at(CLOSES + 99))),
                Events("changed: open 0-259200, hold 300 s, 4 each; R 100, S 50, VIP 300"),
            ),
            (
                at(CLOSES),
                closes(CLOSES + 9),
                Events("changed: open 0-259209, hold 300 s, 4 each; R 100, S 50, VIP 300"),
            ),
            (at(CLOSES), hold(ANN, floor(1)), Events("r1 ann held Floorx1 for 50p until 259500, 14 left")),
            // Paused, over, and put on sale again with its new end in one step.
            (at(CLOSES), sale(Sale::Paused), Events("paused")),
            (
                at(CLOSES + 9),
                change(|change| {
                    (change.sale_closes_at_ms, change.sale) = (Some(Some(at(CLOSES + 99))), Some(Sale::Running));
                }),
                Events("changed: open 0-259299, hold 300 s, 4 each; R 100, S 50, VIP 300; resumed"),
            ),
            (at(CLOSES + 9), sale(Sale::Closed), Events("closed")),
            (at(CLOSES + 9), closes(CLOSES + 50), Refused(Rejection::SaleClosed)),
            (at(CLOSES + 9), change(|change| change.sale_closes_at_ms = Some(None)), Refused(Rejection::SaleClosed)),
            (at(CLOSES + 9), change(|change| change.sale = Some(Sale::Running)), Refused(Rejection::SaleClosed)),
            (
                at(CLOSES + 9),
                change(|change| change.starts_at_ms = Some(at(CLOSES + 999))),
                Events("changed: open 0-259299, hold 300 s, 4 each; R 100, S 50, VIP 300"),
            ),
            (
                at(CLOSES + 9),
                change(|change| change.starts_at_ms = Some(at(CLOSES))),
                Events("changed: open 0-259299, hold 300 s, 4 each; R 100, S 50, VIP 300"),
            ),
        ],
    )
}

/// The house's chart with other rows or another floor.
fn with(edit: impl FnOnce(&mut Chart)) -> Request {
    let mut new = Chart::clone(&terms().chart);
    edit(&mut new);
    chart(|change: &mut ChangeChart| change.chart = new.into())
}

fn rows(chart: &mut Chart) -> &mut Vec<crate::performance::seats::chart::Row> {
    &mut chart.sections[0].rows
}

fn other_charts() -> Table {
    let in_use = |seats: &str, areas: &[(u32, u32)]| {
        let area =
            |(taken, capacity): &(u32, u32)| AreaInUse { area: "Floor".into(), taken: *taken, capacity: *capacity };
        let seats_total = labels(seats).len() as u32;
        let areas = areas.iter().map(area).collect();
        Refused(Rejection::PlacesInUse { seats: labels(seats), seats_total, areas })
    };
    let floor_of = |capacity| with(|chart| chart.areas[0].capacity = capacity);
    table(
        "other charts",
        vec![
            (at(0), hold(ANN, seats("A-1-1 A-1-2")), Events("r1 ann held A-1-1 A-1-2 for 600p until 300, 13 left")),
            (at(0), hold(BOB, floor(3)), Events("r2 bob held Floorx3 for 150p until 300, 10 left")),
            (
                at(0),
                Request::of(Block { organizer: SELLER, seats: labels("A-2-1 A-2-6") }),
                Events("blocked A-2-1 A-2-6, 8 left"),
            ),
            (at(1), chart(|new| new.organizer = RIVAL), Refused(Rejection::UnknownPerformance)),
            (at(1), chart(|new| new.expected = seen(4)), changed(1)),
            (at(1), chart(|new| new.expected = seen(1)), Events("")),
            (at(1), with(|chart| _ = rows(chart).remove(0)), in_use("A-1-1 A-1-2", &[])),
            (at(1), with(|chart| rows(chart)[0].seat_count = Some(1)), in_use("A-1-2", &[])),
            (at(1), floor_of(2), in_use("", &[(3, 2)])),
            (at(1), with(|chart| chart.areas.clear()), in_use("", &[(3, 0)])),
            (
                at(1),
                with(|chart| rows(chart)[0].grade = "Z".into()),
                invalid("chart.sections[0].rows[0].grade", "grade \"Z\" has no price; add it to prices"),
            ),
            // A large chart is to be prepared beforehand, one that is too large is refused.
            (at(1), with(|chart| rows(chart)[0].seat_count = Some(1_001)), {
                let reason = "a row has at most 1000 seats, this one has 1001; split it into several rows, or use a standing \
                              area for places without numbers";
                invalid("chart.sections[0].rows[0].seats", reason)
            }),
            (
                at(1),
                with(|chart| {
                    let more = (3..=8).map(|row| Row {
                        row: row.to_string(),
                        grade: "R".into(),
                        seat_count: Some(1_000),
                        ..Row::default()
                    });
                    rows(chart).extend(more);
                }),
                Refused(Rejection::NotPrepared),
            ),
            // Rows change places, one gets a seat more, one loses two of which one was blocked; a grade is new.
            (
                at(2),
                chart(|new| {
                    let mut chart = Chart::clone(&terms().chart);
                    let rows = rows(&mut chart);
                    (rows[0].seat_count, rows[1].seat_count) = (Some(5), Some(4));
                    rows[0].grade = "Z".into();
                    rows.swap(0, 1);
                    chart.areas.insert(0, Area { area: "Pit".into(), grade: "S".into(), capacity: 2 });
                    let mut prices = terms().prices;
                    prices.insert("Z".into(), 500);
                    (new.chart, new.prices) = (chart.into(), Some(prices));
                }),
                Events("chart 2, 10 left"),
            ),
            (at(2), chart(|new| new.expected = seen(1)), changed(2)),
            (
                at(3),
                hold(CAT, seats("A-1-2")),
                Refused(Rejection::SeatsTaken { seats: labels("A-1-2"), replacement: None }),
            ),
            (
                at(3),
                hold(CAT, seats("A-2-1")),
                Refused(Rejection::SeatsTaken { seats: labels("A-2-1"), replacement: None }),
            ),
            (at(3), hold(CAT, seats("A-2-6")), Refused(Rejection::UnknownSeats { seats: labels("A-2-6") })),
            (at(3), hold(CAT, seats("A-1-5")), Events("r3 cat held A-1-5 for 500p until 303, 9 left")),
            (at(3), hold(CAT, floor(3)), Refused(few(2))),
            // What was held before keeps its price, and its places under their names.
            (at(4), pay(ANN, r(1)), Events("r1 pays 600p until 64, 296000 ms left")),
            (at(5), confirm(r(1)), Events("r1 confirmed A-1-1 A-1-2 for 600p")),
            (at(6), cancel(BOB, r(2)), Events("r2 released Floorx3, 12 left")),
            (at(6), read(BOB, r(2)), Events("")),
            // The floor goes; who had been there keeps the memory.
            (at(7), cancel(CAT, r(3)), Events("r3 released A-1-5, 13 left")),
            (at(7), with(|chart| chart.areas.clear()), Events("chart 3, 7 left")),
            (at(7), read(BOB, r(2)), Events("")),
        ],
    )
}

fn standing_blocks() -> Table {
    let block = |areas: &[(&str, u32)]| {
        Request::of(BlockAreas {
            organizer: SELLER,
            areas: areas.iter().map(|(area, blocked)| (area.to_string(), *blocked)).collect(),
        })
    };
    let full = |blocked_max| Refused(Rejection::AreasTaken { areas: vec![("Floor".into(), blocked_max)] });
    table(
        "blocked standing places",
        vec![
            (at(0), hold(ANN, floor(2)), Events("r1 ann held Floorx2 for 100p until 300, 13 left")),
            (at(1), block_floor(2), Events("blocked Floorx2, 11 left")),
            (at(1), block_floor(2), Events("")),
            (at(1), block_floor(4), full(3)),
            (at(1), block(&[]), Refused(Rejection::NoPlaces)),
            (at(1), block(&[("Pit", 1)]), Refused(Rejection::UnknownArea { area: "Pit".into() })),
            (at(1), block(&[("Floor", 1), ("Floor", 2)]), invalid("areas[1].area", "is there twice")),
            (at(2), hold(BOB, floor(2)), Refused(few(1))),
            (at(2), with(|chart| chart.areas[0].capacity = 3), in_use_floor()),
            (at(2), with(|chart| chart.areas[0].capacity = 4), Events("chart 2, 10 left")),
            (at(3), Request::of(ShowBlocks { organizer: SELLER }), Events("")),
            (at(3), Request::of(ShowBlocks { organizer: RIVAL }), Refused(Rejection::UnknownPerformance)),
            (at(4), block_floor(0), Events("blocked Floorx0, 12 left")),
            (at(4), hold(BOB, floor(2)), Events("r2 bob held Floorx2 for 100p until 304, 10 left")),
            (at(5), block_floor(1), full(0)),
        ],
    )
}

fn in_use_floor() -> Then {
    let areas = vec![AreaInUse { area: "Floor".into(), taken: 4, capacity: 3 }];
    Refused(Rejection::PlacesInUse { seats: vec![], seats_total: 0, areas })
}

fn called_off() -> Table {
    let cancelled = || Refused(Rejection::PerformanceCancelled { cancelled_at_ms: at(CANCELLABLE) });
    let late = |s: u64| at(CANCELLABLE + s);
    let show = |organizer| Request::of(ShowCancellation { organizer });
    let refunded = |nth| finish_refund(r(nth));
    table(
        "called off",
        vec![
            (at(0), hold(ANN, seats("A-1-1")), Events(HELD)),
            (at(0), pay(ANN, r(1)), Events("r1 pays 300p until 60, 300000 ms left")),
            (at(0), confirm(r(1)), Events("r1 confirmed A-1-1 for 300p")),
            (at(0), hold(BOB, seats("A-1-2")), Events("r2 bob held A-1-2 for 300p until 300, 13 left")),
            (at(0), pay(BOB, r(2)), Events("r2 pays 300p until 60, 300000 ms left")),
            (at(0), confirm(r(2)), Events("r2 confirmed A-1-2 for 300p")),
            (at(1), refund_next(r(1)), Events("")),
            (at(1), Request::of(FinishPerformanceCancellation), Events("")),
            (at(1), show(SELLER), Refused(Rejection::NotCancelled)),
            (at(1), show(RIVAL), Refused(Rejection::UnknownPerformance)),
            (
                at(1),
                Request::of(CancelPerformance { organizer: SELLER, reason: "\n".into() }),
                invalid("reason", "must have 1 to 500 characters and none that are invisible or of control"),
            ),
            (
                at(1),
                Request::of(CancelPerformance { organizer: RIVAL, reason: "ill".into() }),
                Refused(Rejection::UnknownPerformance),
            ),
            (late(0) - 1000, hold(CAT, floor(1)), Events("r3 cat held Floorx1 for 50p until 173099, 12 left")),
            (late(0), cancel_all(), Events("called off: 1 held, 2 sold for 600p; r3 released Floorx1, 13 left")),
            (late(1), cancel_all(), Events("")),
            (late(1), show(SELLER), Events("")),
            // Nothing is sold or changed any more,
            (late(2), hold(CAT, floor(1)), cancelled()),
            (late(2), pay(CAT, r(3)), Refused(Rejection::WrongState { state: State::Released })),
            (late(2), sale(Sale::Running), cancelled()),
            (late(2), sale(Sale::Closed), cancelled()),
            (late(2), change(|_| {}), cancelled()),
            (late(2), chart(|_| {}), cancelled()),
            (late(2), block_floor(1), cancelled()),
            (late(2), Request::of(Block { organizer: SELLER, seats: labels("A-1-4") }), cancelled()),
            // what was sold is refunded, also past the cut-off and whoever was quicker.
            (late(3), refund_next(r(1)), Events("r1 cancels 300p")),
            (late(3), refund_next(r(1)), Events("")),
            (late(3), cancel(ANN, r(1)), Events("")),
            (late(3), cancel(BOB, r(2)), Events("r2 cancels 300p")),
            (late(3), refund_next(r(2)), Events("")),
            (late(4), refunded(1), Events("r1 cancelled A-1-1, 14 left")),
            (late(4), Request::of(FinishPerformanceCancellation), Events("")),
            (late(4), refunded(2), Events("r2 cancelled A-1-2, 15 left")),
            (late(5), Request::of(FinishPerformanceCancellation), Events("finished: 2 for 600p refunded, 1 released")),
            (late(5), Request::of(FinishPerformanceCancellation), Events("")),
            (late(5), cancel(ANN, r(1)), Events("")),
            (late(5), Request::of(ReadAvailability), Events("")),
            (late(5), cancel_all(), Events("")),
        ],
    )
}

fn late_payments() -> Table {
    let cancelled = || Refused(Rejection::PerformanceCancelled { cancelled_at_ms: at(10) });
    table(
        "payments that were under way",
        vec![
            (at(0), hold(ANN, seats("A-1-1")), Events(HELD)),
            (at(0), hold(BOB, seats("A-1-2")), Events("r2 bob held A-1-2 for 300p until 300, 13 left")),
            (at(1), pay(ANN, r(1)), Events("r1 pays 300p until 61, 299000 ms left")),
            (at(1), pay(BOB, r(2)), Events("r2 pays 300p until 61, 299000 ms left")),
            (at(10), cancel_all(), Events("called off: 0 held, 0 sold for 0p")),
            (at(10), Request::of(FinishPerformanceCancellation), Events("")),
            // One succeeds and is refunded; one does not, and cannot be tried again.
            (at(11), refund_next(r(1)), Events("")),
            (at(11), confirm(r(1)), Events("r1 confirmed A-1-1 for 300p")),
            (at(11), refund_next(r(1)), Events("r1 cancels 300p")),
            (
                at(12),
                refuse(r(2), Refusal::InsufficientPoints, 61),
                RefusedAfter(
                    "r2 refused InsufficientPoints 7p of 300p, until 311",
                    Rejection::InsufficientPoints { balance: 7, required: 300, expires_at_ms: at(311) },
                ),
            ),
            (at(13), pay(BOB, r(2)), cancelled()),
            (at(13), extend(BOB, r(2)), cancelled()),
            (at(13), refund_next(r(2)), Events("r2 released A-1-2, 14 left")),
            (at(14), finish_refund(r(1)), Events("r1 cancelled A-1-1, 15 left")),
            (at(14), Request::of(FinishPerformanceCancellation), Events("finished: 1 for 300p refunded, 1 released")),
        ],
    )
}

#[test]
fn a_repeated_creation_is_answered_as_the_first_one() {
    let rows = vec![
        (at(0), create(|_| {}), Events("created, 15 left")),
        (at(0), hold(ANN, seats("A-1-1")), Events(HELD)),
        (at(2), sale(Sale::Paused), Events("paused")),
        (
            at(3),
            change(|change| (change.hold_ttl_s, change.seats_per_user_max) = (Some(60), Some(2))),
            Events("changed: open 0-259200, hold 60 s, 2 each; R 100, S 50, VIP 300"),
        ),
        (at(4), with(|chart| chart.areas[0].capacity = 50), Events("chart 2, 59 left")),
        (
            at(5),
            change(|change| change.hold_ttl_s = Some(30)),
            Events("changed: open 0-259200, hold 30 s, 2 each; R 100, S 50, VIP 300"),
        ),
    ];
    let mut story = Table { name: "created again", created: false, rows }.run().story;
    let rows = vec![(at(0), create(|_| {}), Events("created, 15 left"))];
    let mut created = Table { name: "created", created: false, rows }.run().story;
    let first = created.when(at(0), &terms()).unwrap();
    let again = story.when(at(6), &terms()).unwrap();
    assert_eq!(again, first);
    let seen = (again.repeated, again.version, again.chart_version, again.places, again.available);
    assert_eq!(seen, (true, 1, 1, 15, 15));
    assert_eq!((again.terms, again.sale, again.created_at_ms), (terms().terms, Sale::Running, first.created_at_ms));
    let now = story.when(at(7), &Describe).unwrap();
    assert_eq!((now.repeated, now.terms.hold_ttl_s, now.places, now.sale), (false, 30, 60, Sale::Paused));
}

#[test]
fn a_hold_is_found_by_the_key_that_made_it() {
    let find = |user, key: u128, content: u128| {
        Request::of(FindHold {
            user,
            repeat: IdempotencyRecord { key: Fingerprint(key), content: Fingerprint(content) },
        })
    };
    let unknown = || Refused(Rejection::UnknownReservation);
    table(
        "found again",
        vec![
            (at(0), find(ANN, 7, 1), unknown()),
            (at(0), keyed(ANN, seats("A-1-1"), 7, 1), Events(HELD)),
            (at(1), find(ANN, 7, 1), Events("")),
            (at(1), find(ANN, 7, 2), Refused(Rejection::KeyReused)),
            (at(1), find(ANN, 8, 1), unknown()),
            (at(1), find(BOB, 7, 1), unknown()),
            (at(2), cancel(ANN, r(1)), Events("r1 released A-1-1, 15 left")),
            (at(3), find(ANN, 7, 1), Events("")),
            (at(24 * HOUR), find(ANN, 7, 1), unknown()),
        ],
    )
    .run();
}

#[test]
fn layouts_of_before_are_let_go_however_often_prices_change() {
    let mut story = Story::<Performance>::new(house().0);
    story.when(at(0), &terms()).unwrap();
    let performance = &mut story.state;
    // So many that a change names a part of them only.
    performance.slots.resize(12_000, None);
    let created = performance.created.clone().unwrap();
    let mut most = 0;
    for points in 1..=100 {
        let prices: Prices = created.prices.keys().map(|grade| (grade.clone(), points)).collect();
        performance.take_terms(&PerformanceChanged { terms: created.terms, prices, prepared: None });
        most = most.max(performance.layouts_before);
    }
    assert!((9..=14).contains(&most), "{most}");
    (0..2 * 12_000 / 16).for_each(|_| performance.name_fixed());
    assert_eq!((performance.layouts_before, performance.layouts_meanwhile), (0, 0));
}
