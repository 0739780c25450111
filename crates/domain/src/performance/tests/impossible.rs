//! What the chart can never fulfil, and what is said to be left where it can.

use super::fixture::*;
use super::holds::both;
use crate::performance::seats::best::PlacesByKind;
use crate::performance::seats::chart::{Chart, Invalid, Row, Section};
use crate::performance::{Block, Rejection, Sale, SeatRequest};

pub fn tables() -> Vec<Table> {
    vec![beyond_the_chart(), beyond_standing()]
}

/// Refused as a mistake, by the field of the request.
pub fn impossible(field: &str, reason: &str) -> Rejection {
    let field = match field {
        "best" => "best_available".into(),
        "area" => "count".into(),
        field => format!("best_available.{field}"),
    };
    Rejection::Invalid(Invalid { field, reason: reason.into() })
}

/// A house with wheelchair seats, seats and standing places of one grade, and a grade that has no place:
/// VIP, of which 1 is accessible and 2 a companion's; B-1: two S seats; C-1: an accessible R seat; Floor: five S.
fn every_kind_of_place() -> Request {
    create(|new| {
        let row = |row: &str, grade: &str, count| Row {
            row: row.into(),
            grade: grade.into(),
            seat_count: Some(count),
            ..Row::default()
        };
        let first = Row { accessible: vec!["1".into()], companion: vec!["2".into()], ..row("1", "VIP", 4) };
        let section = |section: &str, rows| Section { section: section.into(), rows };
        let sections = vec![
            section("A", vec![first]),
            section("B", vec![row("1", "S", 2)]),
            section("C", vec![Row { accessible: vec!["1".into()], ..row("1", "R", 1) }]),
        ];
        new.chart = Chart { sections, ..Chart::clone(&new.chart) }.into();
        new.prices.insert("X".into(), 1);
    })
}

/// What can never succeed is said as such: before the sale opens, when the house is full, and whoever has too many places.
fn beyond_the_chart() -> Table {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_string());
    let best = |grade, section, count, accessible| SeatRequest::Best {
        grade: some(grade),
        section: some(section),
        count,
        accessible,
    };
    let never = |wish, field, reason: &'static str| (wish, field, reason);
    let wishes = vec![
        never(best("S", "A", 1, 0), "grade", "there are no seats of grade \"S\" in section \"A\""),
        never(best("X", "", 1, 0), "grade", "there are no places of grade \"X\""),
        never(both(best("X", "", 1, 0), 1), "grade", "there are no places of grade \"X\""),
        never(
            best("VIP", "", 3, 0),
            "count",
            "grade \"VIP\" has 2 seats for everybody, and 2 for wheelchair users and \
            their companions: ask with accessible",
        ),
        never(
            best("R", "", 1, 0),
            "count",
            "grade \"R\" has 0 seats for everybody, and 1 for wheelchair users and their \
            companions: ask with accessible",
        ),
        never(best("", "B", 3, 0), "count", "section \"B\" has 2 seats for everybody"),
        // Seats of the grade are the best, not standing places, where it has both.
        never(best("S", "", 3, 0), "count", "grade \"S\" has 2 seats for everybody"),
        never(best("S", "", 1, 1), "accessible", "grade \"S\" has 0 accessible seats at all"),
        never(best("", "", 3, 3), "accessible", "this performance has 2 accessible seats at all"),
        never(best("R", "", 2, 1), "count", "grade \"R\" has 1 seats at all"),
        never(
            both(best("R", "", 1, 0), 1),
            "count",
            "grade \"R\" has 0 seats for everybody, and 1 for wheelchair users \
            and their companions: ask with accessible",
        ),
    ];
    let mut rows = vec![(at(0) - 9, every_kind_of_place(), Events("created, 12 left"))];
    for (wish, field, reason) in &wishes {
        rows.push((at(0) - 1, hold(ANN, wish.clone()), Refused(impossible(field, reason))));
    }
    rows.push((at(0), group(BOB, floor(6)), Refused(impossible("area", "\"Floor\" has 5 places at all"))));
    rows.push((
        at(0),
        group(BOB, both(best("VIP", "", 1, 0), 6)),
        Refused(impossible("area", "\"Floor\" has 5 places at all")),
    ));
    // What is free agrees with what is said to be left, kind by kind.
    let left = |available, standard, accessible, companion, standing| {
        let places = PlacesByKind { standard, accessible, companion, standing };
        Refused(Rejection::TooFewLeft { available, places })
    };
    rows.push((at(0), hold(ANN, best("S", "", 2, 0)), Events("r1 ann held B-1-1 B-1-2 for 100p until 300, 10 left")));
    rows.push((at(0), hold(BOB, best("S", "", 1, 0)), left(0, 0, 0, 0, 5)));
    rows.push((at(0), hold(BOB, best("", "B", 1, 0)), left(0, 0, 0, 0, 0)));
    rows.push((at(0), hold(BOB, best("VIP", "", 2, 0)), Events("r2 bob held A-1-3 A-1-4 for 600p until 300, 8 left")));
    rows.push((at(0), hold(CAT, best("VIP", "", 1, 0)), left(0, 0, 1, 1, 0)));
    rows.push((at(0), hold(CAT, best("", "", 1, 0)), left(0, 0, 2, 1, 5)));
    rows.push((at(0), hold(CAT, best("VIP", "", 3, 1)), left(2, 0, 1, 1, 0)));
    rows.push((at(0), hold(CAT, best("VIP", "", 2, 1)), Events("r3 cat held A-1-1 A-1-2 for 600p until 300, 6 left")));
    rows.push((at(0), hold(CAT, best("VIP", "", 1, 1)), left(0, 0, 0, 0, 0)));
    // Blocked ones may come back.
    rows.push((
        at(0),
        Request::of(Block { organizer: SELLER, seats: labels("C-1-1") }),
        Events("blocked C-1-1, 5 left"),
    ));
    rows.push((at(0), hold(CAT, best("R", "", 1, 1)), left(0, 0, 0, 0, 0)));
    rows.push((
        at(0),
        block_floor(6),
        Refused(Rejection::Invalid(Invalid {
            field: "areas[0].blocked".into(),
            reason: "\"Floor\" has 5 places at all".into(),
        })),
    ));
    rows.push((at(0), group(BOB, floor(5)), Events("r4 bob held Floorx5 as a group for 250p until 300, 0 left")));
    rows.push((at(0), hold(CAT, floor(1)), left(0, 0, 0, 0, 0)));
    // Sold out, paused or over the limit: what is impossible stays so.
    rows.push((at(0), sale(Sale::Paused), Events("paused")));
    for (wish, field, reason) in wishes {
        rows.push((at(0), hold(CAT, wish), Refused(impossible(field, reason))));
    }
    Table { name: "what the chart can never fulfil", created: false, rows }
}

/// A house of standing places only.
fn beyond_standing() -> Table {
    let some = |text: &str| Some(text.to_string());
    let of = |count, accessible| SeatRequest::Best { grade: some("S"), section: None, count, accessible };
    let rows = vec![
        (
            at(0),
            create(|new| new.chart = Chart { sections: vec![], ..Chart::clone(&new.chart) }.into()),
            Events("created, 5 left"),
        ),
        (
            at(0),
            hold(ANN, best(1)),
            Refused(impossible("best", "there are standing places only: ask for them with area and count")),
        ),
        (at(0), hold(ANN, of(1, 1)), Refused(impossible("accessible", "grade \"S\" has standing places only"))),
        (
            at(0),
            hold(ANN, both(of(1, 0), 1)),
            Refused(impossible(
                "grade",
                "grade \"S\" has standing places only: ask for them with area and count instead",
            )),
        ),
        (
            at(0),
            group(ANN, of(6, 0)),
            Refused(impossible("count", "the largest standing area of grade \"S\" has 5 places")),
        ),
        (at(0), hold(ANN, of(4, 0)), Events("r1 ann held Floorx4 for 200p until 300, 1 left")),
        (at(0), hold(BOB, of(4, 0)), Refused(few(1))),
    ];
    Table { name: "standing places only", created: false, rows }
}
