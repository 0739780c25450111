//! Drawings of rows, and the seats that are found in them.

use super::*;
use crate::performance::seats::chart::{Chart, Prices, Row, SeatsOfGrade, Section};

/// Rows of drawings: `.` free, `x` taken, `a` and `A` an accessible seat (free and taken), `c` and `C` a companion's, `,` and
/// `X` a seat of the other grade, `|` an aisle. The section is the grade's name in lower case.
pub fn hall(rows: &[(&str, &str)]) -> (Layout, Vacancies) {
    let mut chart = Chart::default();
    let mut free = Vec::new();
    for (index, (grade, drawing)) in rows.iter().enumerate() {
        let mut row = Row { row: (index + 1).to_string(), grade: grade.to_string(), ..Row::default() };
        let (mut count, mut others) = (0, Vec::new());
        for sign in drawing.chars() {
            if sign == '|' {
                row.breaks_after.push(count.to_string());
                continue;
            }
            count += 1;
            free.push(matches!(sign, '.' | ',' | 'a' | 'c'));
            match sign {
                'a' | 'A' => row.accessible.push(count.to_string()),
                'c' | 'C' => row.companion.push(count.to_string()),
                ',' | 'X' => others.push(count.to_string()),
                _ => {}
            }
        }
        row.seat_count = Some(count);
        if !others.is_empty() {
            let other = if *grade == "R" { "S" } else { "R" };
            row.other_grades = vec![SeatsOfGrade { grade: other.into(), seats: others }];
        }
        let section = grade.to_lowercase();
        match chart.sections.last_mut().filter(|last| last.section == section) {
            Some(last) => last.rows.push(row),
            None => chart.sections.push(Section { section, rows: vec![row] }),
        }
    }
    let prices = Prices::from([("R".into(), 1), ("S".into(), 1)]);
    let layout = Layout::new(&chart, &prices).unwrap();
    let vacancies = Vacancies::new(&layout, |seat| free[seat as usize]);
    (layout, vacancies)
}

fn told(layout: &Layout, found: Option<Found>) -> String {
    let Some(Found { seats, adjacent, relaxed }) = found else { return "none".into() };
    let labels: Vec<String> = seats.iter().map(|seat| layout.label(*seat)).collect();
    format!("{} {adjacent} {relaxed:?}", labels.join(" "))
}

type Rows = &'static [(&'static str, &'static str)];

#[test]
fn blocks_are_of_one_grade_and_may_meet() {
    let table: [(Rows, Option<u8>, u32, &str); 9] = [
        (&[("R", "..,,,,..")], Some(1), 2, "r-1-3 r-1-4 true []"),
        (&[("R", "..,,,,..")], Some(1), 4, "r-1-3 r-1-4 r-1-5 r-1-6 true []"),
        // Whoever names no grade sits in one all the same, where one has as many.
        (&[("R", "..,,,,.."), ("R", "..........")], None, 6, "r-2-3 r-2-4 r-2-5 r-2-6 r-2-7 r-2-8 true []"),
        // Two blocks that meet where the grade changes are side by side.
        (&[("R", "...,,,")], None, 5, "r-1-1 r-1-2 r-1-3 r-1-4 r-1-5 true [Orphan]"),
        (&[("R", "...,,,")], None, 6, "r-1-1 r-1-2 r-1-3 r-1-4 r-1-5 r-1-6 true []"),
        // An aisle is an aisle.
        (&[("R", "...|,,,")], None, 6, "r-1-1 r-1-2 r-1-3 r-1-4 r-1-5 r-1-6 false [SplitRow]"),
        // Of the other grade nothing is taken, and its seats are no company for a single one.
        (&[("R", ",.,.,.")], Some(0), 3, "r-1-2 r-1-4 r-1-6 false [SplitRow]"),
        (&[("R", ",,..,,")], Some(0), 3, "none"),
        (&[("R", "XX..,,"), ("S", "..,,")], Some(0), 4, "r-1-3 r-1-4 s-2-3 s-2-4 false [Scattered]"),
    ];
    for (rows, grade, count, expected) in table {
        let (layout, vacancies) = hall(rows);
        let wanted = Wanted { grade, section: None, count, accessible: 0 };
        let found = find(&layout, &vacancies, &wanted);
        assert_eq!(told(&layout, found), expected, "{rows:?} {count}");
        let of_grade = |seat: &u32| grade.is_none_or(|grade| layout.grade_of(*seat) == grade);
        let free = (0..layout.seats).filter(|seat| vacancies.is_free(*seat, For::Anyone) && of_grade(seat)).count();
        assert_eq!(free_by_kind(&layout, &vacancies, &wanted).standard, free as u32, "{rows:?}");
    }
    // What replaces taken seats is of their grades, seat by seat where they are of two.
    let (layout, vacancies) = hall(&[("R", "xX"), ("R", "..,,")]);
    let found = near::replacement(&layout, &vacancies, &[0, 1]);
    assert_eq!(told(&layout, found), "r-2-2 r-2-3 true [Orphan]");
}

#[test]
fn the_best_seats_are_found() {
    let table: [(Rows, Option<u8>, u32, &str); 27] = [
        (&[("R", "....")], None, 2, "r-1-1 r-1-2 true []"),
        (&[("R", "......")], None, 2, "r-1-3 r-1-4 true []"),
        (&[("R", "xx..xx")], None, 2, "r-1-3 r-1-4 true []"),
        (&[("R", "x...xx"), ("R", "......")], None, 2, "r-2-3 r-2-4 true []"),
        (&[("R", "x...xx")], None, 2, "r-1-3 r-1-4 true [Orphan]"),
        (&[("R", "x.x.x.")], None, 2, "r-1-2 r-1-4 false [SplitRow]"),
        (&[("R", "x.x.x.")], None, 4, "none"),
        (&[("R", "...."), ("S", "....")], Some(1), 4, "s-2-1 s-2-2 s-2-3 s-2-4 true []"),
        (&[("R", "xxxx"), ("S", ".x..")], None, 1, "s-2-1 true []"),
        (&[("R", "xxxx"), ("S", "xxxx")], None, 1, "none"),
        (&[("R", ".."), ("R", "..")], None, 3, "r-1-1 r-1-2 r-2-1 false [Orphan, SplitRows]"),
        // An aisle is no neighbour, and what stands alone beside it is alone.
        (&[("R", "..|..")], None, 3, "r-1-1 r-1-2 r-1-3 false [Orphan, SplitRow]"),
        (&[("R", "...|..")], None, 2, "r-1-4 r-1-5 true []"),
        (&[("R", "x.|.x")], None, 2, "r-1-2 r-1-3 false [SplitRow]"),
        // Two blocks in one row lie at the gap between them.
        (&[("R", "...x...")], None, 4, "r-1-2 r-1-3 r-1-5 r-1-6 false [Orphan, SplitRow]"),
        (&[("R", "...x..")], None, 5, "r-1-1 r-1-2 r-1-3 r-1-5 r-1-6 false [SplitRow]"),
        // Nobody of four sits alone where it can be helped.
        (&[("R", "...x."), ("R", "xx..x")], None, 4, "r-1-2 r-1-3 r-2-3 r-2-4 false [Orphan, SplitRows]"),
        (&[("R", "...x.")], None, 4, "r-1-1 r-1-2 r-1-3 r-1-5 false [SplitRow]"),
        (&[("R", "...."), ("R", "....")], None, 5, "r-1-1 r-1-2 r-1-3 r-2-1 r-2-2 false [Orphan, SplitRows]"),
        // The fewest rows, then the first of as many.
        (
            &[("R", ".."), ("R", ".."), ("R", "..."), ("R", "...")],
            None,
            6,
            "r-3-1 r-3-2 r-3-3 r-4-1 r-4-2 r-4-3 false [SplitRows]",
        ),
        // Rows of two sections are no neighbours.
        (&[("R", "..."), ("S", "...")], None, 6, "r-1-1 r-1-2 r-1-3 s-2-1 s-2-2 s-2-3 false [Scattered]"),
        (&[("R", ".."), ("R", "xx"), ("R", "..")], None, 4, "r-1-1 r-1-2 r-3-1 r-3-2 false [Scattered]"),
        (&[("R", ".x."), ("R", "x.x")], None, 3, "r-1-1 r-1-3 r-2-2 false [Scattered]"),
        // Accessible and companion seats are for those who ask.
        (&[("R", "ac"), ("R", "..")], None, 2, "r-2-1 r-2-2 true []"),
        (&[("R", "ac....")], None, 2, "r-1-3 r-1-4 true []"),
        (&[("R", "ac")], None, 1, "none"),
        (&[("R", "ac"), ("R", "x.")], None, 2, "none"),
    ];
    for (rows, grade, count, expected) in table {
        let (layout, vacancies) = hall(rows);
        let wanted = Wanted { grade, section: None, count, accessible: 0 };
        assert_eq!(told(&layout, find(&layout, &vacancies, &wanted)), expected, "{rows:?} {count}");
    }
}

#[test]
fn a_party_with_wheelchairs_sits_together() {
    let table: [(Rows, u32, u32, &str); 10] = [
        (&[("R", "...."), ("R", "..ca..")], 2, 1, "r-2-3 r-2-4 true []"),
        (&[("R", "ac..a.")], 2, 1, "r-1-1 r-1-2 true []"),
        // No more of them than are needed.
        (&[("R", "aa..")], 2, 1, "r-1-2 r-1-3 true [Orphan]"),
        (&[("R", "aac.")], 3, 2, "r-1-1 r-1-2 r-1-3 true [Orphan]"),
        (&[("R", "a")], 1, 1, "r-1-1 true []"),
        (&[("R", "ax.")], 2, 1, "r-1-1 r-1-3 false [SplitRow]"),
        (&[("R", "Ax."), ("R", "axx"), ("R", "...")], 3, 1, "r-1-3 r-2-1 r-3-1 false [SplitRows]"),
        (&[("R", "aa")], 2, 1, "r-1-1 r-1-2 true []"),
        (&[("R", "A...")], 2, 1, "none"),
        (&[("R", "a...")], 3, 2, "none"),
    ];
    for (rows, count, accessible, expected) in table {
        let (layout, vacancies) = hall(rows);
        let wanted = Wanted { grade: None, section: None, count, accessible };
        assert_eq!(told(&layout, find(&layout, &vacancies, &wanted)), expected, "{rows:?} {count} {accessible}");
    }
}

#[test]
fn taken_seats_are_replaced_by_near_ones() {
    let table: [(Rows, &str, &str); 13] = [
        // In the row, keeping what is free.
        (&[("R", "..x...")], "r-1-3 r-1-4", "r-1-4 r-1-5 true [Orphan]"),
        (&[("R", "..x.....")], "r-1-3 r-1-4", "r-1-4 r-1-5 true []"),
        (&[("R", "......"), ("R", "..xx..")], "r-2-3 r-2-4", "r-2-1 r-2-2 true []"),
        // In the nearest row of the section, the better one first, and at the same place.
        (&[("R", "......"), ("R", "xxxxxx"), ("R", "......")], "r-2-5 r-2-6", "r-1-5 r-1-6 true []"),
        (&[("R", "xx"), ("R", "xx"), ("R", "..")], "r-1-1 r-1-2", "r-3-1 r-3-2 true []"),
        // In another section of the grade, not in another grade.
        (&[("R", "xx"), ("S", "..")], "r-1-1", "none"),
        (&[("R", "xx"), ("S", "x."), ("R", "..")], "r-1-1 r-1-2", "r-3-1 r-3-2 true []"),
        // No neighbours left: what is free is kept, and the nearest is added.
        (&[("R", ".x.x.x.")], "r-1-2 r-1-3", "r-1-1 r-1-3 false [SplitRow]"),
        (&[("R", "xx"), ("R", ".x"), ("R", "x.")], "r-1-1 r-1-2", "r-2-1 r-3-2 false [SplitRows]"),
        // Seats apart stay apart, and of their grades.
        (&[("R", "x...."), ("S", ".x...")], "r-1-1 s-2-2", "r-1-2 s-2-1 false [Scattered]"),
        (&[("R", "x...x...")], "r-1-1 r-1-5", "r-1-2 r-1-4 false [Orphan, SplitRow]"),
        // Companion and accessible seats only instead of such seats.
        (&[("R", "x.a"), ("R", "xx.")], "r-1-1 r-1-2", "r-1-2 r-2-3 false [SplitRows]"),
        (&[("R", "Ac.."), ("R", "ac..")], "r-1-1 r-1-2", "r-2-1 r-2-2 true []"),
    ];
    for (rows, wished, expected) in table {
        let (layout, vacancies) = hall(rows);
        let seats: Vec<u32> = wished.split(' ').map(|label| layout.seat(label).unwrap()).collect();
        let found = near::replacement(&layout, &vacancies, &seats);
        assert_eq!(told(&layout, found), expected, "{rows:?} {wished}");
    }
}
