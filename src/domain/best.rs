//! The next best seats: neighbours in the best row, and nobody's neighbour left alone.
//!
//! Tried in this order, the first that succeeds wins; within one, rows in chart order, within a row the block nearest its
//! middle:
//! 1. neighbours that leave no single free seat between taken ones ("orphan");
//! 2. neighbours;
//! 3. any free seats, and the answer says `adjacent: false`.

use super::chart::{LaidRow, Layout};

/// What to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    pub grade: Option<u8>,
    pub section: Option<&'a str>,
    pub count: u32,
}

/// The seats, and whether they are neighbours; `None` when there are not as many.
pub fn find(layout: &Layout, wanted: &Wanted<'_>, free: &dyn Fn(u32) -> bool) -> Option<(Vec<u32>, bool)> {
    let fits = |row: &&LaidRow| {
        wanted.grade.is_none_or(|grade| grade == row.grade)
            && wanted.section.is_none_or(|section| *section == *row.section)
    };
    let rows = || layout.rows.iter().filter(fits);
    for orphans_allowed in [false, true] {
        for row in rows().filter(|row| row.count >= wanted.count) {
            if let Some(first) = in_row(row, wanted.count, orphans_allowed, free) {
                return Some(((first..first + wanted.count).collect(), true));
            }
        }
    }
    let scattered = rows().flat_map(|row| row.first..row.first + row.count).filter(|seat| free(*seat));
    let seats: Vec<u32> = scattered.take(wanted.count as usize).collect();
    (seats.len() == wanted.count as usize).then_some((seats, false))
}

/// The first seat of the best block of `count` in `row`.
fn in_row(row: &LaidRow, count: u32, orphans_allowed: bool, free: &dyn Fn(u32) -> bool) -> Option<u32> {
    let end = row.first + row.count;
    let mut best: Option<(u32, u32)> = None;
    let mut start = row.first;
    while start < end {
        if !free(start) {
            start += 1;
            continue;
        }
        let stop = (start..end).find(|seat| !free(*seat)).unwrap_or(end);
        let spare = (stop - start).checked_sub(count);
        for before in 0..=spare.unwrap_or(0) {
            let Some(spare) = spare else { break };
            if !orphans_allowed && (before == 1 || spare - before == 1) {
                continue;
            }
            // Twice the distance between the middles, to stay in integers.
            let off_middle = (2 * (start + before) + count).abs_diff(2 * row.first + row.count);
            if best.is_none_or(|(least, _)| off_middle < least) {
                best = Some((off_middle, start + before));
            }
        }
        start = stop;
    }
    best.map(|(_, first)| first)
}

#[cfg(test)]
mod tests {
    use super::super::chart::{Chart, Prices, Row, Section};
    use super::*;

    /// Rows of a drawing: `.` free, `x` taken.
    fn layout(rows: &[(&str, &str)]) -> (Layout, String) {
        let row = |(index, (grade, seats)): (usize, &(&str, &str))| Row {
            row: (index + 1).to_string(),
            grade: grade.to_string(),
            seat_count: Some(seats.len() as u32),
            ..Row::default()
        };
        let rows_of = rows.iter().enumerate().map(row).collect();
        let chart = Chart { sections: vec![Section { section: "A".into(), rows: rows_of }], areas: vec![] };
        let prices = Prices::from([("R".into(), 1), ("S".into(), 1)]);
        (Layout::new(&chart, &prices).unwrap(), rows.iter().map(|(_, seats)| *seats).collect())
    }

    #[test]
    fn the_best_seats_are_found() {
        type Row = (&'static [(&'static str, &'static str)], Option<u8>, u32, &'static str);
        let table: [Row; 11] = [
            (&[("R", "....")], None, 2, "A-1-1 A-1-2 true"),
            (&[("R", "......")], None, 2, "A-1-3 A-1-4 true"),
            (&[("R", "xx..xx")], None, 2, "A-1-3 A-1-4 true"),
            (&[("R", "x...xx"), ("R", "......")], None, 2, "A-2-3 A-2-4 true"),
            (&[("R", "x...xx")], None, 2, "A-1-3 A-1-4 true"),
            (&[("R", "x.x.x.")], None, 2, "A-1-2 A-1-4 false"),
            (&[("R", "x.x.x.")], None, 4, "none"),
            (&[("R", "...."), ("S", "....")], Some(1), 4, "A-2-1 A-2-2 A-2-3 A-2-4 true"),
            (&[("R", "xxxx"), ("S", ".x..")], None, 1, "A-2-1 true"),
            (&[("R", "xxxx"), ("S", "xxxx")], None, 1, "none"),
            (&[("R", ".."), ("R", "..")], None, 3, "A-1-1 A-1-2 A-2-1 false"),
        ];
        for (rows, grade, count, expected) in table {
            let (layout, drawing) = layout(rows);
            let free = |seat: u32| drawing.as_bytes()[seat as usize] == b'.';
            let found = find(&layout, &Wanted { grade, section: None, count }, &free);
            let said = match found {
                None => "none".into(),
                Some((seats, adjacent)) => {
                    let labels: Vec<String> = seats.iter().map(|seat| layout.label(*seat)).collect();
                    format!("{} {adjacent}", labels.join(" "))
                }
            };
            assert_eq!(said, expected, "{rows:?} {count}");
        }
    }
}
