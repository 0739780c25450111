//! The places of a chart, by name: made from what was recorded, and on purpose not with the code that sells them.

use crate::domain::chart::{Chart, Prices};
use rustc_hash::FxHashMap;
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
    /// By `section-row`.
    rows: FxHashMap<Box<str>, Row>,
    areas: FxHashMap<Box<str>, usize>,
    /// Capacity and price, by index.
    pub standing: Vec<(u32, Price)>,
    pub seats: u32,
}

struct Row {
    first: u32,
    price: Price,
    numbers: Numbers,
}

enum Numbers {
    /// 1 to this.
    Upto(u32),
    Printed(FxHashMap<Box<str>, u32>),
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
                let laid = Row { first: seating.seats, price: price(&row.grade)?, numbers };
                if seating.rows.insert(name.as_str().into(), laid).is_some() {
                    return Err(format!("row {name:?} is there twice"));
                }
                seating.seats += count;
            }
        }
        for area in &chart.areas {
            if seating.areas.insert(area.area.as_str().into(), seating.standing.len()).is_some() {
                return Err(format!("area {:?} is there twice", area.area));
            }
            seating.standing.push((area.capacity, price(&area.grade)?));
        }
        Ok(seating)
    }

    /// The seat of a label, and its price.
    pub fn seat(&self, label: &str) -> Option<(u32, &Price)> {
        let (name, number) = label.rsplit_once('-')?;
        let row = self.rows.get(name)?;
        let index = match &row.numbers {
            Numbers::Printed(numbers) => *numbers.get(number)?,
            Numbers::Upto(count) => {
                let plain = number.bytes().all(|digit| digit.is_ascii_digit()) && !number.starts_with('0');
                number.parse::<u32>().ok().filter(|number| plain && (1..=*count).contains(number))? - 1
            }
        };
        Some((row.first + index, &row.price))
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
