//! What an organizer does: create, pause, resume, close, block, unblock; and what anybody may ask.

use super::fixture::*;
use crate::performance::seats::chart::Invalid;
use crate::performance::{Block, Describe, ReadAvailability, Rejection, Sale, SaleState, SetSale, ShowChart, Unblock};
use crate::{Aggregate, Fingerprint};

pub fn tables() -> Vec<Table> {
    vec![
        creation(),
        bad_terms(),
        sale_states(),
        blocks(),
        places_of_one_hold(),
        before_creation(),
        of_another_organizer(),
    ]
}

fn creation() -> Table {
    let rows = vec![
        (at(0), create(|_| {}), Events("created, 15 left")),
        (at(1), create(|_| {}), Events("")),
        (at(1), create(|terms| terms.content = Fingerprint(8)), Refused(Rejection::KeyReused)),
        (at(1), create(|terms| terms.organizer = RIVAL), Refused(Rejection::KeyReused)),
        (at(1), Request::of(Describe), Events("")),
        (at(1), Request::of(ShowChart), Events("")),
        (at(1), Request::of(ReadAvailability), Events("")),
    ];
    Table { name: "creation", created: false, rows }
}

fn bad_terms() -> Table {
    let row = |change: fn(&mut super::super::Create), field: &str, reason: &str| {
        let invalid = Invalid { field: field.into(), reason: reason.into() };
        (at(0), create(change), Refused(Rejection::Invalid(invalid)))
    };
    let rows = vec![
        row(
            |new| new.terms.sale_closes_at_ms = new.terms.sale_opens_at_ms,
            "sale_closes_at",
            "must be after sale_opens_at",
        ),
        row(|new| new.terms.starts_at_ms = OPENS - 1, "sale_opens_at", "must not be after starts_at"),
        row(|new| new.terms.hold_ttl_s = 0, "hold_ttl_s", "must be 1..=86400 seconds"),
        row(|new| new.terms.hold_ttl_s = 86_401, "hold_ttl_s", "must be 1..=86400 seconds"),
        row(|new| new.terms.payment_ttl_s = 0, "payment_ttl_s", "must be 1..=3600 seconds"),
        row(|new| new.terms.payment_ttl_s = 3_601, "payment_ttl_s", "must be 1..=3600 seconds"),
        row(|new| new.terms.extension_s = 86_401, "extension_s", "must be at most 86400 seconds"),
        row(|new| new.terms.seats_per_user_max = 0, "seats_per_user_max", "must be 1..=100 places"),
        row(|new| new.terms.seats_per_user_max = 101, "seats_per_user_max", "must be 1..=100 places"),
        row(|terms| _ = terms.prices.remove("S"), "chart.areas[0].grade", "grade \"S\" has no price; add it to prices"),
        row(
            |terms| _ = terms.prices.insert("S".into(), 10_000_001),
            "prices.S",
            "a place costs at most 10000000 points",
        ),
        (at(0), Request::of(Describe), Refused(Rejection::UnknownPerformance)),
    ];
    Table { name: "bad terms", created: false, rows }
}

fn places_of_one_hold() -> Table {
    let too_many = |limit| Refused(Rejection::TooManyPlaces { limit });
    let rows = vec![
        (at(0), create(|new| new.terms.seats_per_hold_max = 2), Events("created, 15 left")),
        (at(0), hold(ANN, seats("A-1-1 A-1-2 A-1-3")), too_many(2)),
        (at(0), hold(ANN, floor(3)), too_many(2)),
        (at(0), hold(ANN, seats("A-1-1 A-1-2")), Events("r1 ann held A-1-1 A-1-2 for 600p until 300, 13 left")),
        (at(0), hold(ANN, seats("A-1-3 A-1-4")), Events("r2 ann held A-1-3 A-1-4 for 600p until 300, 11 left")),
        (at(0), hold(ANN, floor(1)), Refused(Rejection::SeatLimit { limit: 4, held: 4 })),
        (at(0), group(ANN, floor(3)), Events("r3 ann held Floorx3 as a group for 150p until 300, 8 left")),
        (
            at(1),
            change(|change| change.seats_per_hold_max = Some(0)),
            Events("changed: open 0-259200, hold 300 s, 4 each; R 100, S 50, VIP 300"),
        ),
        (
            at(1),
            hold(BOB, seats("A-2-1 A-2-2 A-2-3")),
            Events("r4 bob held A-2-1 A-2-2 A-2-3 for 300p until 301, 5 left"),
        ),
    ];
    Table { name: "places of one hold", created: false, rows }
}

fn sale_states() -> Table {
    let not_open = |state| Rejection::SaleNotOpen { state, opens_at_ms: OPENS };
    table(
        "the sale's states",
        vec![
            (at(0) - 1, hold(ANN, floor(1)), Refused(not_open(SaleState::Scheduled))),
            (at(0), hold(ANN, floor(1)), Events("r1 ann held Floorx1 for 50p until 300, 14 left")),
            (at(1), sale(Sale::Running), Events("")),
            (at(2), sale(Sale::Paused), Events("paused")),
            (at(3), sale(Sale::Paused), Events("")),
            (at(4), hold(ANN, floor(1)), Refused(not_open(SaleState::Paused))),
            (at(5), Request::of(Describe), Events("")),
            // Pausing never expires holds, and never keeps them from being paid, extended or given up.
            (at(6), extend(ANN, r(1)), Events("r1 until 420")),
            (at(7), pay(ANN, r(1)), Events("r1 pays 50p until 67, 413000 ms left")),
            (at(8), confirm(r(1)), Events("r1 confirmed Floorx1 for 50p")),
            (at(9), sale(Sale::Running), Events("resumed")),
            (at(10), hold(BOB, seats("A-2-1")), Events("r2 bob held A-2-1 for 100p until 310, 13 left")),
            (at(11), sale(Sale::Closed), Events("closed")),
            (at(12), sale(Sale::Closed), Events("")),
            (at(12), sale(Sale::Running), Refused(Rejection::SaleClosed)),
            (at(12), sale(Sale::Paused), Refused(Rejection::SaleClosed)),
            (at(12), hold(CAT, floor(1)), Refused(not_open(SaleState::Closed))),
            (at(13), pay(BOB, r(2)), Events("r2 pays 100p until 73, 297000 ms left")),
        ],
    )
}

fn blocks() -> Table {
    let block = |seats: &str| Request::of(Block { organizer: SELLER, seats: labels(seats) });
    let unblock = |seats: &str| Request::of(Unblock { organizer: SELLER, seats: labels(seats) });
    let taken = |seats: &str| Rejection::SeatsUnavailable { seats: labels(seats) };
    let unknown = |seats: &str| Rejection::UnknownSeats { seats: labels(seats) };
    table(
        "blocked seats",
        vec![
            (at(0), block("A-1-1 A-1-2"), Events("blocked A-1-1 A-1-2, 13 left")),
            (at(0), block("A-1-2 A-1-1"), Events("")),
            (at(0), block("A-1-2 A-1-3"), Events("blocked A-1-3, 12 left")),
            (
                at(0),
                hold(ANN, seats("A-1-3 A-1-4")),
                Refused(Rejection::SeatsTaken { seats: labels("A-1-3"), replacement: None }),
            ),
            (at(0), hold(ANN, seats("A-1-4")), Events("r1 ann held A-1-4 for 300p until 300, 11 left")),
            (at(1), block("A-1-4"), Refused(taken("A-1-4"))),
            (at(1), block("A-2-1 A-1-4"), Refused(taken("A-1-4"))),
            (at(1), unblock("A-1-4"), Events("")),
            (at(1), unblock("A-1-3 A-1-4 A-2-1"), Events("unblocked A-1-3, 12 left")),
            (at(1), unblock("A-1-3"), Events("")),
            (at(1), block(""), Refused(Rejection::NoPlaces)),
            (at(1), unblock(""), Refused(Rejection::NoPlaces)),
            (at(1), block("A-9-9"), Refused(unknown("A-9-9"))),
            (at(1), unblock("A-1-1 Z-1-1"), Refused(unknown("Z-1-1"))),
            (at(1), block("A-2-1 A-2-1"), Refused(Rejection::RepeatedSeat { seat: "A-2-1".into() })),
            (at(1), block(&"A-2-1 ".repeat(10_001)), Refused(Rejection::TooManyPlaces { limit: 10_000 })),
            // A lapsed hold's seat can be blocked at once.
            (at(300), block("A-1-4"), Events("r1 expired A-1-4, 13 left; blocked A-1-4, 12 left")),
        ],
    )
}

fn before_creation() -> Table {
    let none = || Refused(Rejection::UnknownPerformance);
    let rows = vec![
        (at(0), Request::of(Describe), none()),
        (at(0), Request::of(ShowChart), none()),
        (at(0), Request::of(ReadAvailability), none()),
        (at(0), hold(ANN, floor(1)), none()),
        (at(0), pay(ANN, r(1)), none()),
        (at(0), cancel(ANN, r(1)), none()),
        (at(0), extend(ANN, r(1)), none()),
        (at(0), confirm(r(1)), none()),
        (at(0), finish_refund(r(1)), none()),
        (at(0), read(ANN, r(1)), none()),
        (at(0), sale(Sale::Paused), none()),
    ];
    Table { name: "before its creation", created: false, rows }
}

fn of_another_organizer() -> Table {
    let seats = || labels("A-1-1");
    let none = || Refused(Rejection::UnknownPerformance);
    table(
        "another organizer's",
        vec![
            (at(0), Request::of(SetSale { organizer: RIVAL, sale: Sale::Closed }), none()),
            (at(0), Request::of(Block { organizer: RIVAL, seats: seats() }), none()),
            (at(0), Request::of(Unblock { organizer: RIVAL, seats: seats() }), none()),
            // Not even whether its seats exist.
            (at(0), Request::of(Block { organizer: RIVAL, seats: labels("Z-1-1") }), none()),
        ],
    )
}

/// Past `sale_closes_at` the sale is over, whatever the organizer set.
#[test]
fn a_sale_that_is_over_is_not_resumed() {
    let over = at(CLOSES);
    let not_open = Rejection::SaleNotOpen { state: SaleState::Closed, opens_at_ms: OPENS };
    let ended = || Refused(Rejection::SaleEnded { ended_at_ms: over });
    table(
        "over",
        vec![
            (over - 1, hold(ANN, floor(1)), Events("r1 ann held Floorx1 for 50p until 259499.999, 14 left")),
            (over, hold(ANN, floor(1)), Refused(not_open)),
            (over, sale(Sale::Running), ended()),
            (over, sale(Sale::Paused), ended()),
            (over, sale(Sale::Closed), Events("closed")),
        ],
    )
    .run();
}

#[test]
fn a_description_tells_the_state_of_the_sale() {
    let ran = table(
        "describe",
        vec![(at(0), hold(ANN, seats("A-1-1")), Events("r1 ann held A-1-1 for 300p until 300, 14 left"))],
    );
    let mut story = ran.run().story;
    let described = story.when(at(1), &Describe).unwrap();
    assert_eq!((described.places, described.available, described.version), (15, 14, 2));
    let states = [at(0) - 1, at(0), at(CLOSES) - 1, at(CLOSES)].map(|now| described.state(now));
    assert_eq!(states, [SaleState::Scheduled, SaleState::OnSale, SaleState::OnSale, SaleState::Closed]);
    assert_eq!(story.state.next_due(), Some(at(300)));
}

#[test]
fn availability_names_what_is_not_free() {
    let held = |id, seat, left: &'static str| (at(0), hold(id, seats(seat)), Events(left));
    let mut story = table(
        "availability",
        vec![
            held(ANN, "A-1-2 A-1-1", "r1 ann held A-1-2 A-1-1 for 600p until 300, 13 left"),
            held(BOB, "A-2-6", "r2 bob held A-2-6 for 100p until 300, 12 left"),
            (at(0), hold(CAT, floor(3)), Events("r3 cat held Floorx3 for 150p until 300, 9 left")),
            (at(1), pay(BOB, r(2)), Events("r2 pays 100p until 61, 299000 ms left")),
            (at(1), confirm(r(2)), Events("r2 confirmed A-2-6 for 100p")),
            (at(1), pay(ANN, r(1)), Events("r1 pays 600p until 61, 299000 ms left")),
            (at(1), Request::of(Block { organizer: SELLER, seats: labels("A-2-1") }), Events("blocked A-2-1, 8 left")),
        ],
    )
    .run()
    .story;
    let found = story.when(at(2), &ReadAvailability).unwrap();
    let seats = found.seats.labels();
    assert_eq!((seats.held, seats.booked, seats.blocked), (labels("A-1-1 A-1-2"), labels("A-2-6"), labels("A-2-1")));
    assert_eq!(found.available, [("R".to_string(), 4), ("S".to_string(), 2), ("VIP".to_string(), 2)]);
    assert_eq!((found.areas[0].available, found.areas[0].capacity, found.version), (2, 5, 8));
}
