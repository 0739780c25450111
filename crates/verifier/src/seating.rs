//! The places of a chart, by name: made from what was recorded, and on purpose not with the code that sells them.

use domain::performance::seats::chart::{Chart, Prices};
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;

/// What a place costs, and under which grade.
#[derive(Clone, Debug)]
pub struct Price {
    pub grade: Arc<str>,
    pub points: u64,
}

/// The labels of all seats, in the order of the chart.
pub fn labels(chart: &Chart) -> Vec<String> {
    let mut labels = Vec::new();
    for section in &chart.sections {
        for row in &section.rows {
            let counted = (1..=row.seat_count.unwrap_or(0)).map(|number| number.to_string());
            let numbers = counted.chain(row.seats.iter().cloned());
            labels.extend(numbers.map(|number| format!("{}-{}-{number}", section.section, row.row)));
        }
    }
    labels
}

/// The places of one chart.
#[derive(Default)]
pub struct Seating {
    /// By `section-row`: several where the parts are other ones.
    rows: FxHashMap<Box<str>, Vec<Row>>,
    areas: FxHashMap<Box<str>, usize>,
    /// Capacity and price, by index.
    pub standing: Vec<(u32, Price)>,
    pub seats: u32,
    /// Seats that the next one is not beside: the last of each row, and those with an aisle behind them.
    ends: FxHashSet<u32>,
}

struct Row {
    first: u32,
    price: Price,
    /// Of the seats that are of another grade than the row.
    other_prices: FxHashMap<u32, Price>,
    numbers: Numbers,
}

enum Numbers {
    /// 1 to this.
    Upto(u32),
    Printed(FxHashMap<Box<str>, u32>),
}

impl Row {
    fn seat(&self, number: &str) -> Option<u32> {
        let index = match &self.numbers {
            Numbers::Printed(numbers) => *numbers.get(number)?,
            Numbers::Upto(count) => {
                let plain = number.bytes().all(|digit| digit.is_ascii_digit()) && !number.starts_with('0');
                number.parse::<u32>().ok().filter(|number| plain && (1..=*count).contains(number))? - 1
            }
        };
        Some(self.first + index)
    }
}

impl Seating {
    /// An error when the chart names a grade without a price, or a place twice.
    pub fn new(chart: &Chart, prices: &Prices) -> Result<Seating, String> {
        let mut grades = FxHashMap::default();
        for (grade, points) in prices {
            grades.insert(grade.as_str(), Price { grade: grade.as_str().into(), points: *points });
        }
        let price = |grade: &str| grades.get(grade).cloned().ok_or(format!("grade {grade:?} has no price"));
        let mut seating = Seating::default();
        for section in &chart.sections {
            for row in &section.rows {
                let (numbers, count) = match row.seat_count {
                    Some(count) => (Numbers::Upto(count), count),
                    None => {
                        let numbers = row.seats.iter().enumerate();
                        let printed: FxHashMap<_, _> =
                            numbers.map(|(n, seat)| (seat.as_str().into(), n as u32)).collect();
                        if printed.len() != row.seats.len() {
                            return Err(format!("row {:?} has a seat twice", row.row));
                        }
                        let count = printed.len() as u32;
                        (Numbers::Printed(printed), count)
                    }
                };
                let name = format!("{}-{}", section.section, row.row);
                let (first, other_prices) = (seating.seats, FxHashMap::default());
                let mut laid = Row { first, price: price(&row.grade)?, other_prices, numbers };
                for other in &row.other_grades {
                    let price = price(&other.grade)?;
                    for number in &other.seats {
                        let seat = laid.seat(number).ok_or(format!("row {name:?} has no seat {number:?}"))?;
                        laid.other_prices.insert(seat, price.clone());
                    }
                }
                seating.ends.extend((laid.first + count).checked_sub(1));
                seating.ends.extend(row.breaks_after.iter().filter_map(|number| laid.seat(number)));
                seating.rows.entry(name.as_str().into()).or_default().push(laid);
                seating.seats += count;
            }
        }
        for area in &chart.areas {
            if seating.areas.insert(area.area.as_str().into(), seating.standing.len()).is_some() {
                return Err(format!("area {:?} is there twice", area.area));
            }
            seating.standing.push((area.capacity, price(&area.grade)?));
        }
        let hyphens = |row: &domain::performance::seats::chart::Row| row.seats.iter().any(|seat| seat.contains('-'));
        let once = seating.rows.values().all(|rows| rows.len() == 1);
        if once && !chart.sections.iter().flat_map(|section| &section.rows).any(hyphens) {
            return Ok(seating);
        }
        let mut seen = FxHashSet::default();
        match labels(chart).into_iter().find(|label| !seen.insert(label.clone())) {
            Some(twice) => Err(format!("seat {twice:?} is there twice")),
            None => Ok(seating),
        }
    }

    /// The seat of a label, and its price. Every hyphen may be the one before the number: no two seats have one label.
    pub fn seat(&self, label: &str) -> Option<(u32, &Price)> {
        label.rmatch_indices('-').find_map(|(at, _)| {
            let rows = self.rows.get(&label[..at])?;
            let (row, seat) = rows.iter().find_map(|row| Some((row, row.seat(&label[at + 1..])?)))?;
            Some((seat, row.other_prices.get(&seat).unwrap_or(&row.price)))
        })
    }

    /// Whether seats, in any order, are side by side; none and one are.
    pub fn are_neighbours(&self, seats: &[u32]) -> bool {
        let mut seats = seats.to_vec();
        seats.sort_unstable();
        seats.windows(2).all(|pair| pair[0] + 1 == pair[1] && !self.ends.contains(&pair[0]))
    }

    /// The index of a standing area in [`Seating::standing`].
    pub fn area(&self, name: &str) -> Option<usize> {
        self.areas.get(name).copied()
    }

    /// All places, seats and standing.
    pub fn places(&self) -> u32 {
        self.seats + self.standing.iter().map(|(capacity, _)| capacity).sum::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::performance::seats::chart::{Row, Section};

    #[test]
    fn neighbours_have_neither_a_row_s_end_nor_an_aisle_between_them() {
        let numbered = Row {
            row: "1".into(),
            grade: "R".into(),
            seat_count: Some(4),
            breaks_after: vec!["2".into()],
            ..Row::default()
        };
        let printed = ["1", "3", "5"].map(str::to_owned).to_vec();
        let printed = Row { row: "2".into(), grade: "R".into(), seats: printed, ..Row::default() };
        let section = Section { section: "A".into(), rows: vec![numbered, printed] };
        let chart = Chart { sections: vec![section], areas: Vec::new() };
        let seating = Seating::new(&chart, &[("R".to_owned(), 1)].into()).unwrap();
        let table: [(&[&str], bool); 8] = [
            (&[], true),
            (&["A-1-3"], true),
            (&["A-1-2", "A-1-1"], true),
            (&["A-1-2", "A-1-3"], false),
            (&["A-1-1", "A-1-3"], false),
            (&["A-1-4", "A-2-1"], false),
            (&["A-2-5", "A-2-1", "A-2-3"], true),
            (&["A-2-1", "A-2-5"], false),
        ];
        for (labels, beside) in table {
            let seats: Vec<u32> = labels.iter().map(|label| seating.seat(label).unwrap().0).collect();
            assert_eq!(seating.are_neighbours(&seats), beside, "{labels:?}");
        }
    }
}
