//! Seat charts: what an organizer describes, and the numbered places that the rules work on.

#[cfg(test)]
mod tests;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Places of one chart, seats and standing together. domain.md: up to 100,000.
pub const PLACES_MAX: u64 = 100_000;
/// Characters of a section's, row's, seat's, area's or grade's name.
pub const NAME_CHARS_MAX: usize = 40;
/// Grades of one performance.
pub const GRADES_MAX: usize = 100;
/// Points of one place: what one charge can pay.
pub const PRICE_POINTS_MAX: u64 = 10_000_000;

/// Points per place of each grade.
pub type Prices = BTreeMap<String, u64>;

/// A seat chart as an organizer describes it. The order of sections, rows and seats is the order of neighbourhood and of
/// preference: the best row first, neighbours beside each other.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Chart {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sections: Vec<Section>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub areas: Vec<Area>,
}

/// Rows under one name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Section {
    /// Letters, digits, `.` or `_`, up to 40, e.g. `A`.
    pub section: String,
    pub rows: Vec<Row>,
}

/// Seats side by side, of one grade. Either `seat_count` (numbered from 1) or `seats` (their printed numbers, in order).
/// The order is that of neighbourhood, whatever is printed.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Row {
    pub row: String,
    pub grade: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seat_count: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seats: Vec<String>,
    /// Seats with an aisle behind them: they and the next one are not neighbours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub breaks_after: Vec<String>,
    /// Seats for wheelchair users.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accessible: Vec<String>,
    /// Seats for those who come with them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub companion: Vec<String>,
}

/// What a seat is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, schemars::JsonSchema, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SeatKind {
    Standard,
    Accessible,
    Companion,
}

/// A standing area: places without numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Area {
    pub area: String,
    pub grade: String,
    pub capacity: u32,
}

/// A chart made ready: seats numbered 0, 1, 2 … in chart order.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    pub rows: Vec<LaidRow>,
    pub areas: Vec<LaidArea>,
    /// Name and price, in order of name.
    pub grades: Vec<(String, u64)>,
    pub seats: u32,
    /// `section-row` → index in `rows`.
    rows_by_name: FxHashMap<Box<str>, u32>,
}

#[derive(Clone, Debug)]
pub struct LaidRow {
    pub section: Box<str>,
    /// `section-row`, the label without the seat.
    pub name: Box<str>,
    pub grade: u8,
    /// Index of the row's first seat.
    pub first: u32,
    pub count: u32,
    /// Printed numbers; empty when they are 1, 2, 3 …
    numbers: Vec<Box<str>>,
    /// Seats (their indices in the layout) with an aisle behind them, in order; never the last one.
    breaks: Vec<u32>,
    /// Seats (their indices in the layout) that are not standard, in order.
    kinds: Vec<(u32, SeatKind)>,
}

impl LaidRow {
    /// The seats of the row.
    pub fn seats(&self) -> Range<u32> {
        self.first..self.first + self.count
    }

    /// The blocks of neighbours that aisles cut the row into, in order. Together they are the whole row; a row without
    /// an aisle is one block.
    pub fn runs(&self) -> impl Iterator<Item = Range<u32>> {
        let starts = std::iter::once(self.first).chain(self.breaks.iter().map(|seat| seat + 1));
        let ends = self.breaks.iter().map(|seat| seat + 1).chain(std::iter::once(self.first + self.count));
        starts.zip(ends).map(|(start, end)| start..end)
    }

    /// Whether there is an aisle between `seat` and the next one.
    pub fn is_break_after(&self, seat: u32) -> bool {
        self.breaks.binary_search(&seat).is_ok()
    }

    /// What `seat` is for.
    pub fn kind(&self, seat: u32) -> SeatKind {
        let found = self.kinds.binary_search_by_key(&seat, |(seat, _)| *seat);
        found.map_or(SeatKind::Standard, |index| self.kinds[index].1)
    }

    /// Whether all seats of the row are standard, which most rows' are.
    pub fn is_standard(&self) -> bool {
        self.kinds.is_empty()
    }

    /// The label of a seat of this row, e.g. `A-12-7`.
    pub fn label(&self, seat: u32) -> String {
        let index = seat - self.first;
        match self.numbers.get(index as usize) {
            Some(number) => format!("{}-{number}", self.name),
            None => format!("{}-{}", self.name, index + 1),
        }
    }

    /// The printed number of the seat at `index` within the row.
    fn number(&self, index: u32) -> Cow<'_, str> {
        match self.numbers.get(index as usize) {
            Some(number) => Cow::Borrowed(number),
            None => Cow::Owned((index + 1).to_string()),
        }
    }

    /// The index within the row of a printed number.
    fn index(&self, number: &str) -> Option<u32> {
        if self.numbers.is_empty() {
            return counted(number, self.count);
        }
        self.numbers.iter().position(|printed| **printed == *number).map(|index| index as u32)
    }
}

/// The index of `number` among 1 to `count`, as these are printed.
fn counted(number: &str, count: u32) -> Option<u32> {
    let canonical = !number.starts_with(['0', '+']);
    Some(number.parse::<u32>().ok().filter(|number| canonical && (1..=count).contains(number))? - 1)
}

#[derive(Clone, Debug)]
pub struct LaidArea {
    pub name: Box<str>,
    pub grade: u8,
    pub capacity: u32,
}

/// What is wrong with a chart or its prices: where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// e.g. `chart.sections[2].rows[0].grade`
    pub field: String,
    pub reason: String,
}

fn invalid<T>(field: impl Into<String>, reason: impl Into<String>) -> Result<T, Invalid> {
    Err(Invalid { field: field.into(), reason: reason.into() })
}

/// Whether a section, row, seat, area or grade can be called so.
pub fn name_fits(name: &str) -> bool {
    !name.is_empty()
        && name.chars().count() <= NAME_CHARS_MAX
        && name.chars().all(|c| c.is_alphanumeric() || c == '.' || c == '_')
}

fn check_name(field: impl FnOnce() -> String, name: &str) -> Result<(), Invalid> {
    if name_fits(name) {
        return Ok(());
    }
    invalid(field(), format!("{name:?} must be 1 to {NAME_CHARS_MAX} letters, digits, '.' or '_'"))
}

impl Layout {
    /// Checks a chart with its prices and makes it ready.
    pub fn new(chart: &Chart, prices: &Prices) -> Result<Layout, Invalid> {
        let mut layout = Layout { grades: check_prices(prices)?, ..Layout::default() };
        let mut places = 0u64;
        for (s, section) in chart.sections.iter().enumerate() {
            check_name(|| format!("chart.sections[{s}].section"), &section.section)?;
            for (r, row) in section.rows.iter().enumerate() {
                let field = |name: &str| format!("chart.sections[{s}].rows[{r}].{name}");
                places += layout.add_row(&section.section, row, &field)? as u64;
                if places > PLACES_MAX {
                    return invalid("chart", format!("a chart has at most {PLACES_MAX} places"));
                }
            }
        }
        let mut names = BTreeSet::new();
        for (a, area) in chart.areas.iter().enumerate() {
            check_name(|| format!("chart.areas[{a}].area"), &area.area)?;
            let grade = layout.grade(&area.grade, || format!("chart.areas[{a}].grade"))?;
            if !names.insert(&area.area) {
                return invalid(format!("chart.areas[{a}].area"), format!("area {:?} is there twice", area.area));
            }
            places += area.capacity as u64;
            if area.capacity == 0 || places > PLACES_MAX {
                let reason = format!("an area has at least 1 place, a chart at most {PLACES_MAX}");
                return invalid(format!("chart.areas[{a}].capacity"), reason);
            }
            layout.areas.push(LaidArea { name: area.area.as_str().into(), grade, capacity: area.capacity });
        }
        if places == 0 {
            return invalid("chart", "a chart needs at least one row of seats or one area");
        }
        Ok(layout)
    }

    fn add_row(&mut self, section: &str, row: &Row, field: &dyn Fn(&str) -> String) -> Result<u32, Invalid> {
        check_name(|| field("row"), &row.row)?;
        let grade = self.grade(&row.grade, || field("grade"))?;
        let (count, numbers) = match (row.seat_count, row.seats.len() as u64) {
            (Some(count), 0) if (1..=PLACES_MAX).contains(&(count as u64)) => (count, Vec::new()),
            (None, count) if (1..=PLACES_MAX).contains(&count) => (count as u32, row.seats.clone()),
            _ => {
                let reason = format!("give either seat_count or seats, 1 to {PLACES_MAX} of them");
                return invalid(field("seats"), reason);
            }
        };
        let mut indices = FxHashMap::default();
        for (index, number) in numbers.iter().enumerate() {
            check_name(|| field("seats"), number)?;
            if indices.insert(number.as_str(), index as u32).is_some() {
                return invalid(field("seats"), format!("seat {number:?} is there twice"));
            }
        }
        let index = |number: &str| match numbers.is_empty() {
            true => counted(number, count),
            false => indices.get(number).copied(),
        };
        let breaks = self.breaks(row, count, &index, field)?;
        let kinds = self.kinds(row, &index, field)?;
        let name: Box<str> = format!("{section}-{}", row.row).into();
        if self.rows_by_name.insert(name.clone(), self.rows.len() as u32).is_some() {
            return invalid(field("row"), format!("row {name:?} is there twice"));
        }
        let numbers = numbers.into_iter().map(Into::into).collect();
        let (section, first) = (section.into(), self.seats);
        self.rows.push(LaidRow { section, name, grade, first, count, numbers, breaks, kinds });
        self.seats = self.seats.saturating_add(count);
        Ok(count)
    }

    fn breaks(
        &self,
        row: &Row,
        count: u32,
        index: &dyn Fn(&str) -> Option<u32>,
        field: &dyn Fn(&str) -> String,
    ) -> Result<Vec<u32>, Invalid> {
        let mut breaks = Vec::with_capacity(row.breaks_after.len());
        for number in &row.breaks_after {
            match index(number) {
                None => return invalid(field("breaks_after"), format!("there is no seat {number:?} in this row")),
                // Behind a row's last seat there is nothing anyway.
                Some(index) if index + 1 == count => {}
                Some(index) => breaks.push(self.seats + index),
            }
        }
        breaks.sort_unstable();
        breaks.dedup();
        Ok(breaks)
    }

    fn kinds(
        &self,
        row: &Row,
        index: &dyn Fn(&str) -> Option<u32>,
        field: &dyn Fn(&str) -> String,
    ) -> Result<Vec<(u32, SeatKind)>, Invalid> {
        let lists =
            [("accessible", &row.accessible, SeatKind::Accessible), ("companion", &row.companion, SeatKind::Companion)];
        let mut kinds = BTreeMap::new();
        for (name, numbers, kind) in lists {
            for number in numbers {
                let Some(index) = index(number) else {
                    return invalid(field(name), format!("there is no seat {number:?} in this row"));
                };
                if kinds.insert(self.seats + index, kind).is_some() {
                    return invalid(field(name), format!("seat {number:?} is named twice; a seat is of one kind"));
                }
            }
        }
        Ok(kinds.into_iter().collect())
    }

    fn grade(&self, name: &str, field: impl FnOnce() -> String) -> Result<u8, Invalid> {
        match self.grades.binary_search_by(|(grade, _)| grade.as_str().cmp(name)) {
            Ok(index) => Ok(index as u8),
            Err(_) => invalid(field(), format!("grade {name:?} has no price; add it to prices")),
        }
    }

    /// All places, seats and standing.
    pub fn places(&self) -> u32 {
        self.seats + self.areas.iter().map(|area| area.capacity).sum::<u32>()
    }

    /// The seat of a label like `A-12-7`.
    pub fn seat(&self, label: &str) -> Option<u32> {
        let (row, number) = label.rsplit_once('-')?;
        let row = &self.rows[*self.rows_by_name.get(row)? as usize];
        Some(row.first + row.index(number)?)
    }

    /// The row that a seat is in.
    pub fn row_of(&self, seat: u32) -> usize {
        self.rows.partition_point(|row| row.first <= seat) - 1
    }

    /// A seat's label, e.g. `A-12-7`.
    pub fn label(&self, seat: u32) -> String {
        self.rows[self.row_of(seat)].label(seat)
    }

    /// The blocks of neighbours in a row: see [`LaidRow::runs`].
    pub fn runs(&self, row: usize) -> impl Iterator<Item = Range<u32>> {
        self.rows[row].runs()
    }

    /// Whether there is an aisle, or the row's end, behind a seat: it and the next one are not neighbours.
    pub fn is_break_after(&self, seat: u32) -> bool {
        let row = &self.rows[self.row_of(seat)];
        seat + 1 == row.first + row.count || row.is_break_after(seat)
    }

    /// What a seat is for.
    pub fn kind(&self, seat: u32) -> SeatKind {
        self.rows[self.row_of(seat)].kind(seat)
    }

    /// Per seat of this layout, the seat with the same label in `other`. Rows are looked up once each, so that a hall of
    /// 100,000 seats takes some milliseconds, however they are numbered.
    pub fn seats_in(&self, other: &Layout) -> Vec<Option<u32>> {
        let mut found = Vec::with_capacity(self.seats as usize);
        for row in &self.rows {
            let Some(there) = other.rows_by_name.get(&row.name).map(|there| &other.rows[*there as usize]) else {
                found.extend(row.seats().map(|_| None));
                continue;
            };
            if row.numbers.is_empty() && there.numbers.is_empty() {
                found.extend((0..row.count).map(|index| (index < there.count).then_some(there.first + index)));
                continue;
            }
            let numbers: FxHashMap<Cow<'_, str>, u32> =
                (0..there.count).map(|index| (there.number(index), there.first + index)).collect();
            found.extend((0..row.count).map(|index| numbers.get(&row.number(index)).copied()));
        }
        found
    }

    /// The area of that name.
    pub fn area(&self, name: &str) -> Option<usize> {
        self.areas.iter().position(|area| *area.name == *name)
    }

    /// A grade's name and price.
    pub fn price(&self, grade: u8) -> (&str, u64) {
        let (name, points) = &self.grades[grade as usize];
        (name, *points)
    }
}

/// Checks names and prices of grades, and puts them in order of name.
pub fn check_prices(prices: &Prices) -> Result<Vec<(String, u64)>, Invalid> {
    if prices.is_empty() || prices.len() > GRADES_MAX {
        return invalid("prices", format!("give 1 to {GRADES_MAX} grades with their price in points"));
    }
    for (grade, points) in prices {
        check_name(|| format!("prices.{grade}"), grade)?;
        if *points > PRICE_POINTS_MAX {
            return invalid(format!("prices.{grade}"), format!("a place costs at most {PRICE_POINTS_MAX} points"));
        }
    }
    Ok(prices.iter().map(|(grade, points)| (grade.clone(), *points)).collect())
}
