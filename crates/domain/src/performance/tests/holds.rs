//! Holds: what is granted, what is refused and in which order, how a hold ends, and requests that are repeated.

use super::fixture::*;
use super::impossible::impossible;
use crate::performance::reservation::{SeatView, State};
use crate::performance::seats::best::Relaxed;
use crate::performance::{
    Describe, Hold, HoldForBuyer, ReadAvailability, ReadReservation, Rejection, Replacement, SeatRequest,
};
use crate::{Aggregate, Fingerprint, IdempotencyRecord, REPEAT_KEPT_MS};

pub fn tables() -> Vec<Table> {
    vec![
        wishes(),
        impossible_wishes(),
        limits(),
        standing(),
        best_available(),
        instead(),
        seats_and_standing(),
        groups(),
        expiry(),
        releases(),
        extensions(),
        extension_cap(),
        absolute_end(),
        repeats(),
        reading(),
    ]
}

pub fn both(seats: SeatRequest, count: u32) -> SeatRequest {
    SeatRequest::Both { seats: seats.into(), area: "Floor".into(), count }
}

fn of_grade(grade: &str, count: u32) -> SeatRequest {
    SeatRequest::Best { grade: Some(grade.into()), section: None, count, accessible: 0 }
}

fn taken(seats: &str) -> Rejection {
    Rejection::SeatsTaken { seats: labels(seats), replacement: None }
}

fn wishes() -> Table {
    table(
        "seats by name",
        vec![
            (at(0), hold(ANN, seats("A-1-1 A-1-2")), Events("r1 ann held A-1-1 A-1-2 for 600p until 300, 13 left")),
            (at(0), hold(BOB, seats("A-1-1")), Refused(taken("A-1-1"))),
            // All or nothing, and every taken seat is named.
            (at(0), hold(BOB, seats("A-1-2 A-2-1 A-1-1")), Refused(taken("A-1-2 A-1-1"))),
            (at(0), hold(ANN, seats("A-1-1")), Refused(taken("A-1-1"))),
            (
                at(1),
                hold(BOB, seats("A-2-1 A-2-3")),
                Events("r2 bob held A-2-1 A-2-3 apart for 200p until 301, 11 left"),
            ),
            (at(1), hold(BOB, seats("A-2-6 A-2-5")), Events("r3 bob held A-2-6 A-2-5 for 200p until 301, 9 left")),
            // Neighbours by number, in two rows.
            (
                at(1),
                hold(CAT, seats("A-1-4 A-2-2")),
                Events("r4 cat held A-1-4 A-2-2 apart for 400p until 301, 7 left"),
            ),
            // A refused attempt never extends a hold.
            (at(299), hold(ANN, seats("A-2-1")), Refused(taken("A-2-1"))),
            (at(300), Request::of(ReadAvailability), Events("r1 expired A-1-1 A-1-2, 9 left")),
        ],
    )
}

fn impossible_wishes() -> Table {
    let some = |text: &str| Some(text.to_string());
    let unknown_area = SeatRequest::Area { area: "Balcony".into(), count: 1 };
    let wheelchairs = |count, accessible| SeatRequest::Best { grade: None, section: None, count, accessible };
    let best_of = |grade, section| SeatRequest::Best { grade, section, count: 1, accessible: 0 };
    table(
        "wishes that make no sense",
        vec![
            (at(0), hold(ANN, seats("")), Refused(Rejection::NoPlaces)),
            (at(0), hold(ANN, best(0)), Refused(Rejection::NoPlaces)),
            (at(0), hold(ANN, floor(0)), Refused(Rejection::NoPlaces)),
            (at(0), hold(ANN, seats("A-2-1 A-2-2 A-2-3 A-2-4 A-2-5")), Refused(Rejection::TooManyPlaces { limit: 4 })),
            (at(0), hold(ANN, best(5)), Refused(Rejection::TooManyPlaces { limit: 4 })),
            (at(0), hold(ANN, best(u32::MAX)), Refused(Rejection::TooManyPlaces { limit: 4 })),
            (at(0), hold(ANN, floor(u32::MAX)), Refused(Rejection::TooManyPlaces { limit: 4 })),
            (at(0), hold(ANN, seats("A-1-1 A-1-1")), Refused(Rejection::RepeatedSeat { seat: "A-1-1".into() })),
            (
                at(0),
                hold(ANN, seats("A-1-5 A-1-1 B-1-1 Floor")),
                Refused(Rejection::UnknownSeats { seats: labels("A-1-5 B-1-1 Floor") }),
            ),
            (at(0), hold(ANN, unknown_area), Refused(Rejection::UnknownArea { area: "Balcony".into() })),
            (at(0), hold(ANN, best_of(some("Q"), None)), Refused(Rejection::UnknownGrade { grade: "Q".into() })),
            (at(0), hold(ANN, best_of(None, some("Z"))), Refused(Rejection::UnknownSection { section: "Z".into() })),
            // A grade of standing places only has no best seat in a section, and none that is accessible.
            (
                at(0),
                hold(ANN, best_of(some("S"), some("A"))),
                Refused(impossible("grade", "there are no seats of grade \"S\" in section \"A\"")),
            ),
            (at(0), hold(ANN, wheelchairs(1, 2)), Refused(Rejection::MoreAccessibleThanSeats)),
            (
                at(0),
                hold(ANN, wheelchairs(1, 1)),
                Refused(impossible("accessible", "this performance has 0 accessible seats at all")),
            ),
            (at(0), hold(ANN, both(seats("A-1-1"), 4)), Refused(Rejection::TooManyPlaces { limit: 4 })),
            (at(0), hold(ANN, both(seats("A-1-1"), u32::MAX)), Refused(Rejection::TooManyPlaces { limit: 4 })),
            (at(0), hold(ANN, both(seats("A-1-1"), 0)), Refused(Rejection::NoPlaces)),
            (at(0), hold(ANN, both(best(0), 1)), Refused(Rejection::NoPlaces)),
            (at(0), hold(ANN, both(floor(1), 1)), Refused(Rejection::NoPlaces)),
            // What makes no sense is said before the sale opens, too.
            (at(0) - 1, hold(ANN, seats("")), Refused(Rejection::NoPlaces)),
        ],
    )
}

fn limits() -> Table {
    let limit = |held| Rejection::SeatLimit { limit: 4, held };
    table(
        "places per person",
        vec![
            (at(0), hold(ANN, seats("A-1-1 A-1-2")), Events("r1 ann held A-1-1 A-1-2 for 600p until 300, 13 left")),
            (at(0), hold(ANN, floor(1)), Events("r2 ann held Floorx1 for 50p until 300, 12 left")),
            (at(0), hold(ANN, best(2)), Refused(limit(3))),
            // The limit is said before whether the seats are free.
            (at(0), hold(ANN, seats("A-1-1 A-2-1")), Refused(limit(3))),
            // Paying and confirmed places count.
            (at(1), pay(ANN, r(1)), Events("r1 pays 600p until 61, 299000 ms left")),
            (at(1), hold(ANN, floor(2)), Refused(limit(3))),
            (at(1), confirm(r(1)), Events("r1 confirmed A-1-1 A-1-2 for 600p")),
            (at(1), hold(ANN, floor(2)), Refused(limit(3))),
            (at(1), hold(ANN, floor(1)), Events("r3 ann held Floorx1 for 50p until 301, 11 left")),
            (at(1), hold(ANN, floor(1)), Refused(limit(4))),
            // Places given up no longer count; places of a cancellation count until they are free.
            (at(2), cancel(ANN, r(3)), Events("r3 released Floorx1, 12 left")),
            (at(2), cancel(ANN, r(1)), Events("r1 cancels 600p")),
            (at(2), hold(ANN, floor(2)), Refused(limit(3))),
            (at(2), finish_refund(r(1)), Events("r1 cancelled A-1-1 A-1-2, 14 left")),
            (at(2), hold(ANN, floor(3)), Events("r4 ann held Floorx3 for 150p until 302, 11 left")),
            // And lapsed ones are free at once.
            (
                at(302),
                hold(ANN, best(4)),
                Events(
                    "r2 expired Floorx1, 12 left; r4 expired Floorx3, 15 left; \
                 r5 ann held A-1-1 A-1-2 A-1-3 A-1-4 for 1200p until 602, 11 left",
                ),
            ),
            (at(302), hold(BOB, floor(4)), Events("r6 bob held Floorx4 for 200p until 602, 7 left")),
        ],
    )
}

fn standing() -> Table {
    table(
        "standing places",
        vec![
            (at(0), hold(ANN, floor(3)), Events("r1 ann held Floorx3 for 150p until 300, 12 left")),
            (at(0), hold(BOB, floor(3)), Refused(few(2))),
            (at(1), hold(BOB, floor(2)), Events("r2 bob held Floorx2 for 100p until 301, 10 left")),
            (at(1), hold(CAT, floor(1)), Refused(few(0))),
            (
                at(300),
                hold(CAT, floor(3)),
                Events("r1 expired Floorx3, 13 left; r3 cat held Floorx3 for 150p until 600, 10 left"),
            ),
            (at(300), cancel(BOB, r(2)), Events("r2 released Floorx2, 12 left")),
            (at(300), hold(BOB, floor(2)), Events("r4 bob held Floorx2 for 100p until 600, 10 left")),
        ],
    )
}

fn best_available() -> Table {
    let of = |grade: &str, count| SeatRequest::Best { grade: Some(grade.into()), section: None, count, accessible: 0 };
    let in_section = |count| SeatRequest::Best { grade: None, section: Some("A".into()), count, accessible: 0 };
    table(
        "the next best",
        vec![
            (at(0), hold(ANN, best(2)), Events("r1 ann held A-1-1 A-1-2 for 600p until 300, 13 left")),
            (at(0), hold(ANN, of("R", 2)), Events("r2 ann held A-2-3 A-2-4 for 200p until 300, 11 left")),
            (at(0), hold(BOB, in_section(2)), Events("r3 bob held A-1-3 A-1-4 for 600p until 300, 9 left")),
            (
                at(0),
                hold(CAT, best(3)),
                Events("r4 cat held A-2-1 A-2-2 A-2-5 apart [Orphan, SplitRow] for 300p until 300, 6 left"),
            ),
            (at(0), hold(BOB, best(2)), Refused(few(1))),
            (at(0), hold(BOB, of("VIP", 1)), Refused(few(0))),
            (at(0), hold(BOB, best(1)), Events("r5 bob held A-2-6 for 100p until 300, 5 left")),
        ],
    )
}

/// Who is refused is told of seats like those, which nobody holds.
fn instead() -> Table {
    let instead = |taken: &str, seats: &str, price, adjacent, relaxed: &[Relaxed]| {
        let grade = if price == 300 { "VIP" } else { "R" };
        let seats: Vec<SeatView> =
            labels(seats).into_iter().map(|seat| SeatView { seat, grade: grade.into(), points: price }).collect();
        let points = price * seats.len() as u64;
        let replacement = Replacement { seats, points, adjacent, relaxed: relaxed.to_vec() };
        Refused(Rejection::SeatsTaken { seats: labels(taken), replacement: Some(replacement.into()) })
    };
    table(
        "what there is instead of taken seats",
        vec![
            (at(0), hold(ANN, seats("A-2-3")), Events("r1 ann held A-2-3 for 100p until 300, 14 left")),
            (at(0), hold(BOB, seats("A-2-3 A-2-4")), instead("A-2-3", "A-2-4 A-2-5", 100, true, &[Relaxed::Orphan])),
            (at(0), hold(BOB, seats("A-2-2 A-2-3 A-2-4")), instead("A-2-3", "A-2-4 A-2-5 A-2-6", 100, true, &[])),
            (at(0), hold(BOB, seats("A-2-1 A-2-3")), instead("A-2-3", "A-2-1 A-2-2", 100, true, &[])),
            // Nobody holds what was offered.
            (at(1), hold(CAT, seats("A-2-1")), Events("r2 cat held A-2-1 for 100p until 301, 13 left")),
            (at(1), hold(CAT, seats("A-2-5")), Events("r3 cat held A-2-5 for 100p until 301, 12 left")),
            (at(1), hold(BOB, seats("A-2-4 A-2-5")), instead("A-2-5", "A-2-4 A-2-6", 100, false, &[Relaxed::SplitRow])),
            // All of the grade, and none of another.
            (
                at(2),
                hold(ANN, seats("A-1-2 A-1-3 A-1-4")),
                Events("r4 ann held A-1-2 A-1-3 A-1-4 for 900p until 302, 9 left"),
            ),
            (at(2), hold(BOB, seats("A-1-2")), instead("A-1-2", "A-1-1", 300, true, &[])),
            (at(2), hold(BOB, seats("A-1-1 A-1-2")), Refused(taken("A-1-2"))),
        ],
    )
}

/// Seats and standing places are one hold, or none.
fn seats_and_standing() -> Table {
    table(
        "seats together with standing places",
        vec![
            (
                at(0),
                hold(ANN, both(seats("A-1-1 A-1-2"), 2)),
                Events("r1 ann held A-1-1 A-1-2 Floorx2 for 700p until 300, 11 left"),
            ),
            (at(0), hold(BOB, both(seats("A-1-2"), 1)), Refused(taken("A-1-2"))),
            (at(0), hold(CAT, floor(1)), Events("r2 cat held Floorx1 for 50p until 300, 10 left")),
            (at(0), hold(BOB, both(seats("A-1-3"), 3)), Refused(few(2))),
            (at(0), hold(BOB, both(best(2), 2)), Events("r3 bob held A-1-3 A-1-4 Floorx2 for 700p until 300, 6 left")),
            (at(0), hold(CAT, of_grade("S", 1)), Refused(few(0))),
            (at(1), cancel(ANN, r(1)), Events("r1 released A-1-1 A-1-2 Floorx2, 10 left")),
            // The best places of a grade that has standing places only are those.
            (at(1), hold(CAT, of_grade("S", 2)), Events("r4 cat held Floorx2 for 100p until 301, 8 left")),
            (
                at(1),
                hold(ANN, both(of_grade("S", 1), 1)),
                Refused(impossible(
                    "grade",
                    "grade \"S\" has standing places only: ask for them with area and count instead",
                )),
            ),
        ],
    )
}

/// The organizer may hold more for a buyer than the buyer may have; the buyer pays.
fn groups() -> Table {
    let foreign = Request::of(HoldForBuyer { organizer: RIVAL, user: ANN, wish: best(1), repeat: None });
    table(
        "groups",
        vec![
            (at(0), foreign, Refused(Rejection::UnknownPerformance)),
            (at(0), group(ANN, best(501)), Refused(Rejection::TooManyPlaces { limit: 500 })),
            (at(0), group(ANN, best(11)), Refused(impossible("count", "this performance has 10 seats for everybody"))),
            (at(0), hold(BOB, seats("A-2-6")), Events("r1 bob held A-2-6 for 100p until 300, 14 left")),
            // All or nothing.
            (at(0), group(ANN, seats("A-2-4 A-2-5 A-2-6")), Refused(taken("A-2-6"))),
            (
                at(0),
                group(ANN, best(9)),
                Events(
                    "r2 ann held A-1-1 A-1-2 A-1-3 A-1-4 A-2-1 A-2-2 A-2-3 A-2-4 A-2-5 apart [SplitRows] as a group \
                     for 1700p until 300, 5 left",
                ),
            ),
            // Its places leave the buyer's own limit alone, and the buyer's own places the group's.
            (at(0), group(ANN, floor(3)), Events("r3 ann held Floorx3 as a group for 150p until 300, 2 left")),
            (at(0), hold(ANN, floor(2)), Events("r4 ann held Floorx2 for 100p until 300, 0 left")),
            (at(0), hold(ANN, floor(3)), Refused(Rejection::SeatLimit { limit: 4, held: 2 })),
            (at(1), pay(ANN, r(2)), Events("r2 pays 1700p until 61, 299000 ms left")),
            (
                at(1),
                confirm(r(2)),
                Events("r2 confirmed A-1-1 A-1-2 A-1-3 A-1-4 A-2-1 A-2-2 A-2-3 A-2-4 A-2-5 for 1700p"),
            ),
            (at(2), read(ANN, r(3)), Events("")),
            (at(2), cancel(ANN, r(3)), Events("r3 released Floorx3, 3 left")),
            (at(2), hold(ANN, floor(3)), Refused(Rejection::SeatLimit { limit: 4, held: 2 })),
            (at(2), cancel(ANN, r(4)), Events("r4 released Floorx2, 5 left")),
            (at(2), hold(ANN, floor(4)), Events("r5 ann held Floorx4 for 200p until 302, 1 left")),
            (at(2), cancel(ANN, r(2)), Events("r2 cancels 1700p")),
            (
                at(2),
                finish_refund(r(2)),
                Events("r2 cancelled A-1-1 A-1-2 A-1-3 A-1-4 A-2-1 A-2-2 A-2-3 A-2-4 A-2-5, 10 left"),
            ),
            (at(2), hold(ANN, floor(1)), Refused(Rejection::SeatLimit { limit: 4, held: 4 })),
        ],
    )
}

fn expiry() -> Table {
    table(
        "expiry",
        vec![
            (at(0), hold(ANN, seats("A-1-1")), Events("r1 ann held A-1-1 for 300p until 300, 14 left")),
            (at(300) - 1, hold(BOB, seats("A-1-1")), Refused(taken("A-1-1"))),
            // At expires_at the seat is the next one's, and the expiry is recorded first.
            (
                at(300),
                hold(BOB, seats("A-1-1")),
                Events("r1 expired A-1-1, 15 left; r2 bob held A-1-1 for 300p until 600, 14 left"),
            ),
            // It is recorded also when the command is refused, or only reads.
            (
                at(600),
                hold(BOB, seats("A-9-9")),
                RefusedAfter("r2 expired A-1-1, 15 left", Rejection::UnknownSeats { seats: labels("A-9-9") }),
            ),
            (at(600), pay(BOB, r(2)), Refused(Rejection::HoldExpired { expired_at_ms: at(600) })),
            (at(600), extend(BOB, r(2)), Refused(Rejection::HoldExpired { expired_at_ms: at(600) })),
            (at(600), cancel(BOB, r(2)), Refused(Rejection::HoldExpired { expired_at_ms: at(600) })),
            (at(700), hold(CAT, seats("A-1-1")), Events("r3 cat held A-1-1 for 300p until 1000, 14 left")),
            (
                at(1000),
                pay(CAT, r(3)),
                RefusedAfter("r3 expired A-1-1, 15 left", Rejection::HoldExpired { expired_at_ms: at(1000) }),
            ),
            (at(1000), hold(ANN, floor(1)), Events("r4 ann held Floorx1 for 50p until 1300, 14 left")),
            (at(1000), hold(ANN, floor(1)), Events("r5 ann held Floorx1 for 50p until 1300, 13 left")),
            (at(1299), pay(ANN, r(4)), Events("r4 pays 50p until 1359, 1000 ms left")),
            // What is being paid does not expire.
            (at(1300), Request::of(Describe), Events("r5 expired Floorx1, 14 left")),
            (at(5000), Request::of(Describe), Events("")),
            (at(5000), confirm(r(4)), Events("r4 confirmed Floorx1 for 50p")),
        ],
    )
}

fn releases() -> Table {
    let released = || Rejection::WrongState { state: State::Released };
    table(
        "a hold is given up",
        vec![
            (at(0), hold(ANN, seats("A-1-1")), Events("r1 ann held A-1-1 for 300p until 300, 14 left")),
            (at(1), cancel(BOB, r(1)), Refused(Rejection::UnknownReservation)),
            (at(1), cancel(ANN, r(1)), Events("r1 released A-1-1, 15 left")),
            (at(1), cancel(ANN, r(1)), Events("")),
            (at(1), hold(BOB, seats("A-1-1")), Events("r2 bob held A-1-1 for 300p until 301, 14 left")),
            // Giving up twice takes nothing from the next one.
            (at(2), cancel(ANN, r(1)), Events("")),
            (at(2), pay(ANN, r(1)), Refused(released())),
            (at(2), extend(ANN, r(1)), Refused(released())),
            (at(2), hold(CAT, seats("A-1-1")), Refused(taken("A-1-1"))),
        ],
    )
}

fn extensions() -> Table {
    let once = || Rejection::ExtensionNotAllowed { already: true };
    table(
        "a hold is extended, once",
        vec![
            (at(0), hold(ANN, seats("A-1-1")), Events("r1 ann held A-1-1 for 300p until 300, 14 left")),
            (at(1), extend(BOB, r(1)), Refused(Rejection::UnknownReservation)),
            (at(300) - 1, extend(ANN, r(1)), Events("r1 until 420")),
            (at(301), extend(ANN, r(1)), Refused(once())),
            (at(420) - 1, pay(ANN, r(1)), Events("r1 pays 300p until 479.999, 1 ms left")),
            (at(420), extend(ANN, r(1)), Refused(Rejection::WrongState { state: State::Paying })),
            (at(421), confirm(r(1)), Events("r1 confirmed A-1-1 for 300p")),
            (at(422), extend(ANN, r(1)), Refused(Rejection::WrongState { state: State::Confirmed })),
        ],
    )
}

/// Time won by refused payments is not extended on top: 300 + 120 s after the hold is the end of what extensions give.
fn extension_cap() -> Table {
    use crate::performance::Refusal;
    let short = |expires_at_ms| Rejection::InsufficientPoints { balance: 7, required: 300, expires_at_ms };
    let refused = |deadline| refuse(r(1), Refusal::InsufficientPoints, deadline);
    table(
        "an extension's cap",
        vec![
            (at(0), hold(ANN, seats("A-1-1")), Events("r1 ann held A-1-1 for 300p until 300, 14 left")),
            (at(290), pay(ANN, r(1)), Events("r1 pays 300p until 350, 10000 ms left")),
            (
                at(291),
                refused(350),
                RefusedAfter("r1 refused InsufficientPoints 7p of 300p, until 351", short(at(351))),
            ),
            (at(292), extend(ANN, r(1)), Events("r1 until 420")),
            (at(419), pay(ANN, r(1)), Events("r1 pays 300p until 479, 1000 ms left")),
            (
                at(419),
                refused(479),
                RefusedAfter("r1 refused InsufficientPoints 7p of 300p, until 479", short(at(479))),
            ),
            (at(420), extend(ANN, r(1)), Refused(Rejection::ExtensionNotAllowed { already: true })),
        ],
    )
}

/// An extension that gains nothing is not used up. And whoever pays without points again and again does so until the
/// hold's absolute end: 300 s for the hold, 120 s for its extension, 300 s for refused payments.
fn absolute_end() -> Table {
    use crate::performance::Refusal;
    let short = |expires_at_ms| Rejection::InsufficientPoints { balance: 7, required: 300, expires_at_ms };
    let refused = |deadline| refuse(r(1), Refusal::InsufficientPoints, deadline);
    let mut rows = vec![(at(0), hold(ANN, seats("A-1-1")), Events("r1 ann held A-1-1 for 300p until 300, 14 left"))];
    let mut try_at = |now: u64, left: u64, until: u64| {
        let pays = format!("r1 pays 300p until {}, {left} ms left", now + 60);
        let says = format!("r1 refused InsufficientPoints 7p of 300p, until {until}");
        rows.push((at(now), pay(ANN, r(1)), Events(pays.leak())));
        rows.push((at(now), refused(now + 60), RefusedAfter(says.leak(), short(at(until)))));
    };
    try_at(299, 1000, 359);
    try_at(358, 1000, 418);
    try_at(417, 1000, 477);
    rows.push((at(420), extend(ANN, r(1)), Refused(Rejection::ExtensionGainsNothing { expires_at_ms: at(477) })));
    let mut try_at = |now: u64, left: u64, until: u64| {
        let pays = format!("r1 pays 300p until {}, {left} ms left", now + 60);
        let says = format!("r1 refused InsufficientPoints 7p of 300p, until {until}");
        rows.push((at(now), pay(ANN, r(1)), Events(pays.leak())));
        rows.push((at(now), refused(now + 60), RefusedAfter(says.leak(), short(at(until)))));
    };
    try_at(476, 1000, 536);
    try_at(535, 1000, 595);
    // 595 + 60 would be beyond 600.
    try_at(594, 1000, 600);
    try_at(599, 1000, 600);
    rows.push((at(599), pay(ANN, r(1)), Events("r1 pays 300p until 659, 1000 ms left")));
    // The end came while it was being paid: it expires at once.
    rows.push((
        at(620),
        refused(659),
        RefusedAfter("r1 refused InsufficientPoints 7p of 300p, until 620", short(at(620))),
    ));
    rows.push((
        at(620),
        pay(ANN, r(1)),
        RefusedAfter("r1 expired A-1-1, 15 left", Rejection::HoldExpired { expired_at_ms: at(620) }),
    ));
    table("a hold's absolute end", rows)
}

#[test]
fn no_extension_where_the_performance_has_none() {
    let rows = vec![
        (at(0), create(|new| new.terms.extension_s = 0), Events("created, 15 left")),
        (at(0), hold(ANN, floor(1)), Events("r1 ann held Floorx1 for 50p until 300, 14 left")),
        (at(1), extend(ANN, r(1)), Refused(Rejection::ExtensionNotAllowed { already: false })),
    ];
    Table { name: "no extension", created: false, rows }.run();
}

fn repeats() -> Table {
    let day = REPEAT_KEPT_MS / 1000;
    table(
        "requests that are repeated",
        vec![
            (at(0), keyed(ANN, seats("A-1-1"), 1, 1), Events("r1 ann held A-1-1 for 300p until 300, 14 left")),
            (at(1), keyed(ANN, seats("A-1-1"), 1, 1), Events("")),
            (at(1), keyed(ANN, seats("A-1-2"), 1, 2), Refused(Rejection::KeyReused)),
            // Another person's key is another key.
            (at(1), keyed(BOB, seats("A-1-2"), 1, 2), Events("r2 bob held A-1-2 for 300p until 301, 13 left")),
            // A refused request was nothing: the same key may succeed later.
            (at(2), keyed(BOB, seats("A-1-1"), 2, 3), Refused(taken("A-1-1"))),
            (at(2), cancel(ANN, r(1)), Events("r1 released A-1-1, 14 left")),
            // Given up or expired, the first result is the result.
            (at(2), keyed(ANN, seats("A-1-1"), 1, 1), Events("")),
            (at(3), keyed(BOB, seats("A-1-1"), 2, 3), Events("r3 bob held A-1-1 for 300p until 303, 13 left")),
            (at(303), keyed(ANN, seats("A-1-1"), 1, 1), Events("r2 expired A-1-2, 14 left; r3 expired A-1-1, 15 left")),
            (at(day) - 1, keyed(ANN, seats("A-1-1"), 1, 1), Events("")),
            (at(day) - 1, keyed(ANN, seats("A-1-1"), 1, 2), Refused(Rejection::KeyReused)),
            // After 24 h a key is new.
            (at(day), keyed(ANN, seats("A-1-3"), 1, 2), Events("r4 ann held A-1-3 for 300p until 86700, 14 left")),
            (at(day), keyed(ANN, seats("A-1-3"), 1, 2), Events("")),
            (at(day), keyed(ANN, seats("A-1-3"), 1, 1), Refused(Rejection::KeyReused)),
        ],
    )
}

/// The old hold of a key is forgotten after the new one was made: that must not forget the new one.
#[test]
fn a_key_used_again_after_a_day_is_kept() {
    let again = at(REPEAT_KEPT_MS / 1000) + 1;
    let mut story = table("none", vec![]).run().story;
    // So many old holds that the one with the key is not among those that the next event forgets.
    for (who, key) in [(ANN, 1), (ANN, 2), (ANN, 3), (ANN, 4), (BOB, 5), (CAT, 6)] {
        let place = format!("A-{}-{}", if key <= 4 { 1 } else { 2 }, if key <= 4 { key } else { key - 4 });
        let (_, refused) = attempt(&mut story, at(0), &keyed(who, seats(&place), key, 1));
        assert_eq!(refused, None);
    }
    for reservation in 1..=6 {
        let who = [ANN, ANN, ANN, ANN, BOB, CAT][reservation as usize - 1];
        attempt(&mut story, at(1), &cancel(who, r(reservation)));
    }
    let (first, _) = attempt(&mut story, again, &keyed(CAT, floor(1), 6, 2));
    assert_eq!(first, "r7 cat held Floorx1 for 50p until 86700.001, 14 left");
    for event in 0..3 {
        let (other, _) = attempt(&mut story, again, &hold(BOB, floor(1)));
        assert!(other.contains("bob held"), "{event}: {other}");
    }
    assert_eq!(attempt(&mut story, again, &keyed(CAT, floor(1), 6, 2)), (String::new(), None));
    story.state.check();
}

#[test]
fn a_repeated_hold_shows_the_first_answer() {
    let mut story = table(
        "first answer",
        vec![
            (at(0), keyed(ANN, seats("A-1-1"), 1, 1), Events("r1 ann held A-1-1 for 300p until 300, 14 left")),
            (at(1), extend(ANN, r(1)), Events("r1 until 420")),
            (at(2), pay(ANN, r(1)), Events("r1 pays 300p until 62, 418000 ms left")),
            (at(3), confirm(r(1)), Events("r1 confirmed A-1-1 for 300p")),
        ],
    )
    .run()
    .story;
    let repeat = Some(IdempotencyRecord { key: Fingerprint(1), content: Fingerprint(1) });
    let again = story.when(at(4), &Hold { user: ANN, wish: seats("A-1-1"), repeat }).unwrap();
    assert!(again.repeated);
    let view = again.view;
    assert_eq!((view.state, view.expires_at_ms, view.version, view.confirmed_at_ms), (State::Held, at(300), 2, 0));
    let view = story.when(at(4), &ReadReservation { user: ANN, reservation: r(1) }).unwrap();
    assert_eq!((view.state, view.expires_at_ms, view.version), (State::Confirmed, at(420), 5));
    assert_eq!((view.confirmed_at_ms, view.held_at_ms, view.points), (at(3), at(0), 300));
}

fn reading() -> Table {
    let day = REPEAT_KEPT_MS / 1000;
    let read = |user, nth| read(user, r(nth));
    table(
        "reading a reservation",
        vec![
            (at(0), hold(ANN, floor(1)), Events("r1 ann held Floorx1 for 50p until 300, 14 left")),
            (at(0), hold(BOB, floor(1)), Events("r2 bob held Floorx1 for 50p until 300, 13 left")),
            (at(1), read(ANN, 1), Events("")),
            (at(1), read(BOB, 1), Refused(Rejection::UnknownReservation)),
            (at(1), read(ANN, 3), Refused(Rejection::UnknownReservation)),
            (at(2), pay(BOB, r(2)), Events("r2 pays 50p until 62, 298000 ms left")),
            (at(2), confirm(r(2)), Events("r2 confirmed Floorx1 for 50p")),
            (at(300), read(ANN, 1), Events("r1 expired Floorx1, 14 left")),
            // What came to nothing is forgotten a day after the hold, by the next event; what was sold never.
            (at(day) + 1, read(ANN, 1), Events("")),
            (at(day) + 1, hold(CAT, floor(1)), Events("r3 cat held Floorx1 for 50p until 86700.001, 13 left")),
            (at(day) + 1, read(ANN, 1), Refused(Rejection::UnknownReservation)),
            (at(day) + 1, cancel(ANN, r(1)), Refused(Rejection::UnknownReservation)),
            (at(day) + 1, read(BOB, 2), Events("")),
        ],
    )
}
