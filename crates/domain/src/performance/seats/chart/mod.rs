//! Seat charts: what an organizer describes, and the numbered places that the rules work on.

mod forms;
mod labels;
pub mod names;
mod shared;
mod size;
#[cfg(test)]
mod tests;

pub use names::{NAME_CHARS_MAX, Prices, name_fits};

use crate::event::recorded;
pub use crate::text::Invalid;
use names::check_name;
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

pub use shared::{Moves, Prepared, SharedChart};
pub use size::{AREAS_MAX, ROW_SEATS_MAX, ROWS_MAX, SECTIONS_MAX, check_size, seats_of};

/// Places of one chart, seats and standing together. domain.md: up to 100,000.
pub const PLACES_MAX: u64 = 100_000;
/// Grades of one performance.
pub const GRADES_MAX: usize = 100;
/// Points of one place: what one charge can pay.
pub const PRICE_POINTS_MAX: u64 = 10_000_000;

recorded! {
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
        /// Up to 40 letters (with their marks), digits, punctuation, symbols and single spaces between them, in any script,
        /// e.g. `A`, `Block D` or `VIP-나구역`. So are the names of rows, seats, areas and grades.
        pub section: String as public,
        pub rows: Vec<Row>,
    }

    /// Seats side by side. Either `seat_count` (numbered from 1) or `seats` (their printed numbers, in order).
    /// The order is that of neighbourhood, whatever is printed.
    #[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema, utoipa::ToSchema)]
    #[serde(deny_unknown_fields)]
    pub struct Row {
        pub row: String as public,
        /// Of all seats that are not in `other_grades`.
        pub grade: String as public,
        /// Seats of other grades than the row's.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub other_grades: Vec<SeatsOfGrade>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub seat_count: Option<u32>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub seats: Vec<String> as public,
        /// Seats with an aisle behind them: they and the next one are not neighbours.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub breaks_after: Vec<String> as public,
        /// Seats for wheelchair users.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub accessible: Vec<String> as public,
        /// Seats for those who come with them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub companion: Vec<String> as public,
    }

    /// Some seats of a row.
    #[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema, utoipa::ToSchema)]
    #[serde(deny_unknown_fields)]
    pub struct SeatsOfGrade {
        pub grade: String as public,
        /// Their printed numbers.
        pub seats: Vec<String> as public,
    }
}

/// What a seat is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, schemars::JsonSchema, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SeatKind {
    Standard,
    Accessible,
    Companion,
}

recorded! {
    /// A standing area: places without numbers.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema, utoipa::ToSchema)]
    #[serde(deny_unknown_fields)]
    pub struct Area {
        pub area: String as public,
        pub grade: String as public,
        pub capacity: u32,
    }
}

/// A chart made ready: seats numbered 0, 1, 2 … in chart order.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    pub rows: Vec<LaidRow>,
    pub areas: Vec<LaidArea>,
    /// Name and price, in order of name.
    pub grades: Vec<(String, u64)>,
    pub seats: u32,
    /// `section-row` → indices in `rows`: of several where the parts are other ones, as in `A-0` `0` and `A` `0-0`.
    rows_by_name: FxHashMap<Box<str>, SmallVec<[u32; 1]>>,
    /// Name → index in `areas`.
    areas_by_name: FxHashMap<Box<str>, u32>,
    /// Hyphens in a seat's number at most: so many places of a label may be where its number begins, less one.
    number_hyphens_max: usize,
    /// Seats of charts that were recorded before names had one form: their labels in that form.
    seats_by_form: FxHashMap<Box<str>, u32>,
    /// Areas of such charts likewise.
    areas_by_form: FxHashMap<Box<str>, u32>,
    /// Whether any name is in another form.
    has_other_forms: bool,
}

#[derive(Clone, Debug)]
pub struct LaidRow {
    pub section: Box<str>,
    /// `section-row`, the label without the seat.
    pub name: Box<str>,
    /// The grade of the seats that are of no other.
    grade: u8,
    /// Where one has seats of several grades: the first seat of each run of one grade, and the grade, in order.
    grade_runs: Vec<(u32, u8)>,
    /// Index of the row's first seat.
    pub first: u32,
    pub count: u32,
    /// Printed numbers; empty when they are 1, 2, 3 …
    numbers: Vec<Box<str>>,
    /// Indices of `numbers` in the order of what is printed, to find one; empty where they are few.
    by_number: Vec<u32>,
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

    /// The grade of a seat of this row.
    pub fn grade_of(&self, seat: u32) -> u8 {
        match self.grade_runs.partition_point(|(first, _)| *first <= seat) {
            0 => self.grade,
            after => self.grade_runs[after - 1].1,
        }
    }

    /// Whether the row has seats of a grade.
    pub fn has_grade(&self, grade: u8) -> bool {
        match self.grade_runs.is_empty() {
            true => self.grade == grade,
            false => self.grade_runs.iter().any(|(_, of_run)| *of_run == grade),
        }
    }

    /// The grades of the row, each as often as it has runs of it.
    pub fn grades(&self) -> impl Iterator<Item = u8> {
        std::iter::once(self.grade).chain(self.grade_runs.iter().map(|(_, grade)| *grade))
    }

    /// The [`runs`](Self::runs), cut where the grade changes: neighbours of one grade, and which.
    pub fn runs_of_one_grade(&self) -> impl Iterator<Item = (Range<u32>, u8)> {
        self.runs().flat_map(move |run| {
            let mut start = run.start;
            std::iter::from_fn(move || {
                let next = self.grade_runs.partition_point(|(first, _)| *first <= start);
                let end = self.grade_runs.get(next).map_or(run.end, |(first, _)| run.end.min(*first));
                let piece = start..end;
                start = end;
                (!piece.is_empty()).then(|| (piece.clone(), self.grade_of(piece.start)))
            })
        })
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

    /// The seats that are not standard.
    pub fn special_seats(&self) -> impl Iterator<Item = (u32, SeatKind)> {
        self.kinds.iter().copied()
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
        if !self.by_number.is_empty() {
            let printed = |index: &u32| &*self.numbers[*index as usize];
            let found = self.by_number.binary_search_by(|index| printed(index).cmp(number));
            return found.ok().map(|at| self.by_number[at]);
        }
        self.numbers.iter().position(|printed| **printed == *number).map(|index| index as u32)
    }
}

/// Printed numbers of a row up to which the row is searched for one.
const SEARCHED_MAX: usize = 32;

/// Indices of `numbers` in their order, where they are many.
fn order_of(numbers: &[Box<str>]) -> Vec<u32> {
    if numbers.len() <= SEARCHED_MAX {
        return Vec::new();
    }
    let mut order: Vec<u32> = (0..numbers.len() as u32).collect();
    order.sort_unstable_by(|one, other| numbers[*one as usize].cmp(&numbers[*other as usize]));
    order
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

fn invalid<T>(field: impl Into<String>, reason: impl Into<String>) -> Result<T, Invalid> {
    Err(Invalid { field: field.into(), reason: reason.into() })
}

impl Layout {
    /// Checks a chart with its prices and makes it ready. Names are in their one form: see [`names`].
    pub fn new(chart: &Chart, prices: &Prices) -> Result<Layout, Invalid> {
        check_prices(prices)?;
        chart.check_names()?;
        let layout = Layout::of_recorded(chart, prices)?;
        layout.check_labels(chart)?;
        Ok(layout)
    }

    /// Makes a chart ready that was checked before, maybe when other names fitted than do now.
    pub fn of_recorded(chart: &Chart, prices: &Prices) -> Result<Layout, Invalid> {
        let grades = prices.iter().map(|(grade, points)| (grade.clone(), *points)).collect();
        let mut layout = Layout { grades, ..Layout::default() };
        let mut places = 0u64;
        for (s, section) in chart.sections.iter().enumerate() {
            for (r, row) in section.rows.iter().enumerate() {
                let field = |name: &str| format!("chart.sections[{s}].rows[{r}].{name}");
                places += layout.add_row(&section.section, row, &field)? as u64;
                if places > PLACES_MAX {
                    return invalid("chart", format!("a chart has at most {PLACES_MAX} places"));
                }
            }
        }
        for (a, area) in chart.areas.iter().enumerate() {
            let grade = layout.grade(&area.grade, || format!("chart.areas[{a}].grade"))?;
            if layout.areas_by_name.insert(area.area.as_str().into(), a as u32).is_some() {
                return invalid(format!("chart.areas[{a}].area"), format!("area {:?} is there twice", area.area));
            }
            places += area.capacity as u64;
            if area.capacity == 0 || places > PLACES_MAX {
                let reason = format!("an area has at least 1 place, a chart at most {PLACES_MAX}");
                return invalid(format!("chart.areas[{a}].capacity"), reason);
            }
            layout.index_area(&area.area);
            layout.areas.push(LaidArea { name: area.area.as_str().into(), grade, capacity: area.capacity });
        }
        layout.has_other_forms = layout.any_other_form();
        if places == 0 {
            return invalid("chart", "a chart needs at least one row of seats or one area");
        }
        Ok(layout)
    }

    fn add_row(&mut self, section: &str, row: &Row, field: &dyn Fn(&str) -> String) -> Result<u32, Invalid> {
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
        let grade_runs = self.grade_runs(row, grade, count, &index, field)?;
        let same_name = self.rows_by_name.entry(name.clone()).or_default();
        if same_name.iter().any(|other| *self.rows[*other as usize].section == *section) {
            return invalid(field("row"), format!("row {name:?} is there twice"));
        }
        same_name.push(self.rows.len() as u32);
        let numbers: Vec<Box<str>> = numbers.into_iter().map(Into::into).collect();
        let by_number = order_of(&numbers);
        let (section, first) = (section.into(), self.seats);
        let row = LaidRow { section, name, grade, grade_runs, first, count, numbers, by_number, breaks, kinds };
        self.index_labels(&row);
        self.rows.push(row);
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

    fn grade_runs(
        &self,
        row: &Row,
        grade: u8,
        count: u32,
        index: &dyn Fn(&str) -> Option<u32>,
        field: &dyn Fn(&str) -> String,
    ) -> Result<Vec<(u32, u8)>, Invalid> {
        if row.other_grades.is_empty() {
            return Ok(Vec::new());
        }
        let mut others = FxHashMap::default();
        for (o, other) in row.other_grades.iter().enumerate() {
            let grade = self.grade(&other.grade, || field(&format!("other_grades[{o}].grade")))?;
            for number in &other.seats {
                let Some(index) = index(number) else {
                    let reason = format!("there is no seat {number:?} in this row");
                    return invalid(field(&format!("other_grades[{o}].seats")), reason);
                };
                if others.insert(index, grade).is_some() {
                    let reason = format!("seat {number:?} is named twice; a seat is of one grade");
                    return invalid(field(&format!("other_grades[{o}].seats")), reason);
                }
            }
        }
        let mut runs: Vec<(u32, u8)> = Vec::new();
        for index in 0..count {
            let grade = others.get(&index).copied().unwrap_or(grade);
            if runs.last().is_none_or(|(_, last)| *last != grade) {
                runs.push((self.seats + index, grade));
            }
        }
        Ok(runs)
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

    /// The row that a seat is in.
    pub fn row_of(&self, seat: u32) -> usize {
        self.rows.partition_point(|row| row.first <= seat) - 1
    }

    /// A seat's label, e.g. `A-12-7`.
    pub fn label(&self, seat: u32) -> String {
        self.rows[self.row_of(seat)].label(seat)
    }

    /// The labels of seats.
    pub fn labels(&self, seats: &[u32]) -> Vec<String> {
        let mut row: Option<&LaidRow> = None;
        let label = |seat: &u32| {
            let known = row.filter(|row| row.seats().contains(seat));
            row.insert(known.unwrap_or_else(|| &self.rows[self.row_of(*seat)])).label(*seat)
        };
        seats.iter().map(label).collect()
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

    /// A seat's grade.
    pub fn grade_of(&self, seat: u32) -> u8 {
        self.rows[self.row_of(seat)].grade_of(seat)
    }

    /// What a seat is for.
    pub fn kind(&self, seat: u32) -> SeatKind {
        self.rows[self.row_of(seat)].kind(seat)
    }

    /// Whether it was laid out at these prices.
    pub fn has_prices(&self, prices: &Prices) -> bool {
        self.grades.len() == prices.len()
            && self.grades.iter().zip(prices).all(|((name, points), other)| (name, points) == other)
    }

    /// The prices that it was laid out at.
    pub fn prices(&self) -> Prices {
        self.grades.iter().cloned().collect()
    }

    /// A grade's name and price.
    pub fn price(&self, grade: u8) -> (&str, u64) {
        let (name, points) = &self.grades[grade as usize];
        (name, *points)
    }
}

/// Checks names and prices of grades.
pub fn check_prices(prices: &Prices) -> Result<(), Invalid> {
    if prices.is_empty() || prices.len() > GRADES_MAX {
        return invalid("prices", format!("give 1 to {GRADES_MAX} grades with their price in points"));
    }
    for (grade, points) in prices {
        check_name(|| format!("prices.{grade}"), grade)?;
        if *points > PRICE_POINTS_MAX {
            return invalid(format!("prices.{grade}"), format!("a place costs at most {PRICE_POINTS_MAX} points"));
        }
    }
    Ok(())
}
