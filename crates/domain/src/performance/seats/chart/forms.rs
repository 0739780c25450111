//! Charts with their names in the one form in which they are kept: see [`names`](super::names).

use super::names::{canonical, check_name};
use super::{Area, Chart, Layout, Row, SeatsOfGrade, Section};
use crate::text::Invalid;
use rustc_hash::FxHashMap;
use std::borrow::Cow;

/// Puts every name of a chart through `names`.
fn renamed(chart: &Chart, names: &mut dyn FnMut(Part, &str) -> String) -> Chart {
    let mut section_of = |section: &Section| {
        let name = names(Part::Section, &section.section);
        let mut row_of = |row: &Row| {
            let row_name = names(Part::Row(&name), &row.row);
            let mut seats = |numbers: &[String]| -> Vec<String> {
                numbers.iter().map(|number| names(Part::Seat(&name, &row_name), number)).collect()
            };
            let [of_row, breaks_after, accessible, companion] =
                [&row.seats, &row.breaks_after, &row.accessible, &row.companion].map(|numbers| seats(numbers));
            let others = row.other_grades.iter().map(|other| (other.grade.as_str(), seats(&other.seats)));
            let others: Vec<(&str, Vec<String>)> = others.collect();
            let mut grade = |grade: &str| names(Part::Grade, grade);
            Row {
                grade: grade(&row.grade),
                other_grades: others
                    .into_iter()
                    .map(|(other, seats)| SeatsOfGrade { grade: grade(other), seats })
                    .collect(),
                row: row_name,
                seat_count: row.seat_count,
                seats: of_row,
                breaks_after,
                accessible,
                companion,
            }
        };
        let rows = section.rows.iter().map(&mut row_of).collect();
        Section { section: name, rows }
    };
    let sections = chart.sections.iter().map(&mut section_of).collect();
    let areas = chart.areas.iter().map(|area| Area {
        area: names(Part::Area, &area.area),
        grade: names(Part::Grade, &area.grade),
        capacity: area.capacity,
    });
    let areas = areas.collect();
    Chart { sections, areas }
}

/// What a name is of.
#[derive(Clone, Copy)]
enum Part<'a> {
    Section,
    /// Of a section.
    Row(&'a str),
    /// Of a section's row.
    Seat(&'a str, &'a str),
    Area,
    Grade,
}

impl Chart {
    /// Checks that everything can be called as it is.
    pub(super) fn check_names(&self) -> Result<(), Invalid> {
        for (s, section) in self.sections.iter().enumerate() {
            check_name(|| format!("chart.sections[{s}].section"), &section.section)?;
            for (r, row) in section.rows.iter().enumerate() {
                check_name(|| format!("chart.sections[{s}].rows[{r}].row"), &row.row)?;
                for number in &row.seats {
                    check_name(|| format!("chart.sections[{s}].rows[{r}].seats"), number)?;
                }
            }
        }
        for (a, area) in self.areas.iter().enumerate() {
            check_name(|| format!("chart.areas[{a}].area"), &area.area)?;
        }
        Ok(())
    }

    /// The chart with all names in the form in which they are kept.
    pub fn canonical(&self) -> Cow<'_, Chart> {
        let is_canonical = |name: &String| matches!(canonical(name), Cow::Borrowed(same) if same.len() == name.len());
        let row_is = |row: &Row| {
            let lists = [&row.seats, &row.breaks_after, &row.accessible, &row.companion];
            [&row.row, &row.grade].into_iter().all(is_canonical)
                && lists.into_iter().flatten().all(is_canonical)
                && row
                    .other_grades
                    .iter()
                    .all(|other| is_canonical(&other.grade) && other.seats.iter().all(is_canonical))
        };
        let sections =
            self.sections.iter().all(|section| is_canonical(&section.section) && section.rows.iter().all(row_is));
        let areas = self.areas.iter().all(|area| is_canonical(&area.area) && is_canonical(&area.grade));
        match sections && areas {
            true => Cow::Borrowed(self),
            false => Cow::Owned(renamed(self, &mut |_, name| canonical(name).into_owned())),
        }
    }

    /// The same, but what `before` has in another form is called as it is there: a place that stays keeps its name.
    pub(in crate::performance) fn canonical_after(&self, before: &Chart, layout: &Layout) -> Cow<'_, Chart> {
        if !layout.has_other_forms {
            return self.canonical();
        }
        let mut known: FxHashMap<String, String> = FxHashMap::default();
        let mut note = |part: Part<'_>, name: &str| -> String {
            known.entry(key(part, &canonical(name))).or_insert_with(|| name.to_owned());
            known.insert(key(part, name), name.to_owned());
            name.to_owned()
        };
        renamed(before, &mut note);
        let mut named = |part: Part<'_>, name: &str| {
            let form = canonical(name);
            let found = known.get(&key(part, name)).or_else(|| known.get(&key(part, &form)));
            found.cloned().unwrap_or_else(|| form.into_owned())
        };
        Cow::Owned(renamed(self, &mut named))
    }
}

fn key(part: Part<'_>, name: &str) -> String {
    match part {
        Part::Section => format!("s\0{name}"),
        Part::Row(section) => format!("r\0{section}\0{name}"),
        Part::Seat(section, row) => format!("n\0{section}\0{row}\0{name}"),
        Part::Area => format!("a\0{name}"),
        Part::Grade => format!("g\0{name}"),
    }
}
