//! Holds that come to nothing, again and again.

use super::fixture::*;
use crate::performance::{Describe, Rejection};

pub fn tables() -> Vec<Table> {
    vec![lapses(), moments()]
}

/// Holds that came to nothing: five within an hour are forgiven, with six one waits for the first to be an hour old.
fn lapses() -> Table {
    let mut rows = Vec::new();
    let refused = |retry_at_ms, wait_ms| {
        Refused(Rejection::TooManyLapsedHolds { limit: 5, window_ms: HOUR * 1000, retry_at_ms, wait_ms })
    };
    let held = ["r1", "r2", "r3", "r4", "r5", "r6"];
    let text = |text: String| -> &'static str { text.leak() };
    // A change of mind within a minute is none of them, nor is what the organizer held.
    rows.push((at(0), hold(ANN, floor(1)), Events("r1 ann held Floorx1 for 50p until 300, 14 left")));
    rows.push((at(60) - 1, cancel(ANN, r(1)), Events("r1 released Floorx1, 15 left")));
    rows.push((
        at(60) - 1,
        group(ANN, floor(1)),
        Events("r2 ann held Floorx1 as a group for 50p until 359.999, 14 left"),
    ));
    rows.push((at(360), Request::of(Describe), Events("r2 expired Floorx1, 15 left")));
    for (nth, _) in held.iter().enumerate() {
        let (id, from) = (nth as u64 + 3, 1000 + 100 * nth as u64);
        let until = from + 300;
        rows.push((
            at(from),
            hold(ANN, floor(1)),
            Events(text(format!("r{id} ann held Floorx1 for 50p until {until}, 14 left"))),
        ));
        rows.push((at(from + 60), cancel(ANN, r(id)), Events(text(format!("r{id} released Floorx1, 15 left")))));
    }
    rows.push((at(2000), hold(ANN, floor(1)), refused(at(1060) + HOUR * 1000, 2_660_000)));
    // It is said before whether the places are free, and only to who did it.
    rows.push((at(2000), hold(ANN, seats("A-1-1")), refused(at(1060) + HOUR * 1000, 2_660_000)));
    rows.push((at(2000), group(ANN, floor(1)), Events("r9 ann held Floorx1 as a group for 50p until 2300, 14 left")));
    rows.push((at(2000), hold(BOB, floor(1)), Events("r10 bob held Floorx1 for 50p until 2300, 13 left")));
    rows.push((at(2001), pay(ANN, r(9)), Events("r9 pays 50p until 2061, 299000 ms left")));
    rows.push((at(2001), confirm(r(9)), Events("r9 confirmed Floorx1 for 50p")));
    let last = at(1060) + HOUR * 1000;
    rows.push((
        last - 1,
        hold(ANN, floor(1)),
        RefusedAfter(
            "r10 expired Floorx1, 14 left",
            Rejection::TooManyLapsedHolds { limit: 5, window_ms: HOUR * 1000, retry_at_ms: last, wait_ms: 1 },
        ),
    ));
    rows.push((last, hold(ANN, floor(1)), Events("r11 ann held Floorx1 for 50p until 4960, 13 left")));
    table("holds that come to nothing", rows)
}

/// Somebody who gives up and holds again each minute: the time adds up, and each minute of it counts as one.
fn moments() -> Table {
    let mut rows = Vec::new();
    let text = |text: String| -> &'static str { text.leak() };
    let mut nth = 0;
    let mut round = |rows: &mut Vec<_>, from: u64, held_s: u64| {
        nth += 1;
        let until = from + 300;
        let held = format!("r{nth} ann held A-1-1 for 300p until {until}, 14 left");
        rows.push((at(from), hold(ANN, seats("A-1-1")), Events(text(held))));
        rows.push((at(from + held_s), cancel(ANN, r(nth)), Events(text(format!("r{nth} released A-1-1, 15 left")))));
    };
    // An hour without any: what had added up before is over.
    round(&mut rows, 0, 59);
    // 59 s seven times are six minutes and 53 s.
    let start = 59 + HOUR;
    (0..7).for_each(|nth| round(&mut rows, start + nth * 59, 59));
    // The first minute was full with the second of them.
    let retry_at_ms = at(start + 2 * 59) + HOUR * 1000;
    let now = at(start + 7 * 59);
    let wait_ms = retry_at_ms - now;
    let refused =
        |wait_ms| Refused(Rejection::TooManyLapsedHolds { limit: 5, window_ms: HOUR * 1000, retry_at_ms, wait_ms });
    rows.push((now, hold(ANN, floor(1)), refused(wait_ms)));
    rows.push((retry_at_ms - 1, hold(ANN, floor(1)), refused(1)));
    rows.push((
        retry_at_ms,
        hold(ANN, floor(1)),
        Events(text(format!("r9 ann held Floorx1 for 50p until {}, 14 left", (retry_at_ms - OPENS) / 1000 + 300))),
    ));
    table("holds that are given up and taken again", rows)
}

/// Clicking around in the seat map is none of it: forty seats looked at for a second each.
#[test]
fn clicking_around_is_forgiven() {
    let mut story = table("none", vec![]).run().story;
    for nth in 1..=40 {
        let (_, refused) = attempt(&mut story, at(nth * 10), &hold(ANN, seats("A-1-1")));
        assert_eq!(refused, None, "{nth}");
        attempt(&mut story, at(nth * 10 + 1), &cancel(ANN, r(nth)));
    }
    assert_eq!(attempt(&mut story, at(500), &hold(ANN, seats("A-1-1"))).1, None);
}

#[test]
fn as_many_lapses_as_one_likes_where_the_performance_says_so() {
    let mut rows = vec![(at(0), create(|new| new.terms.lapsed_holds_max = 0), Events("created, 15 left"))];
    for nth in 0..9u64 {
        let held = format!("r{} ann held Floorx1 for 50p until {}, 14 left", nth + 1, nth * 300 + 300);
        rows.push((at(nth * 300), hold(ANN, floor(1)), Events(held.leak())));
        let expired = format!("r{} expired Floorx1, 15 left", nth + 1);
        rows.push((at(nth * 300 + 300), Request::of(Describe), Events(expired.leak())));
    }
    Table { name: "no limit of lapses", created: false, rows }.run();
}
