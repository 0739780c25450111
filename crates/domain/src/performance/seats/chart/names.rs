//! Names of sections, rows, seats, areas and grades: which fit, and the one form in which they are kept.
//!
//! The form: Unicode's NFC, and a plain space for every run of spaces of any width, none at the ends. Charts that were
//! recorded before keep the names that they have, and are asked for by these or by that form.

use super::{Area, Chart, Invalid, Layout, Prices, Row, SeatsOfGrade, Section, invalid};
use base::text;
use rustc_hash::FxHashMap;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Characters of a section's, row's, seat's, area's or grade's name.
pub const NAME_CHARS_MAX: usize = 40;

/// A name, or a label, in the form in which it is kept.
pub fn canonical(name: &str) -> Cow<'_, str> {
    let plain = name.is_ascii() && !name.contains("  ") && !name.starts_with(' ') && !name.ends_with(' ');
    if plain {
        return Cow::Borrowed(name);
    }
    let composed = text::nfc(name);
    let spaced = |c: char| text::is_space(c) && c != ' ';
    if !composed.contains(spaced) && !composed.contains("  ") && composed.trim().len() == composed.len() {
        return composed;
    }
    let words = composed.split(text::is_space).filter(|word| !word.is_empty());
    Cow::Owned(words.collect::<Vec<_>>().join(" "))
}

/// Whether a section, row, seat, area or grade can be called so.
pub fn name_fits(name: &str) -> bool {
    reason_against(name).is_none()
}

/// Why nothing can be called so.
pub fn reason_against(name: &str) -> Option<String> {
    let count = name.chars().count();
    if count == 0 || count > NAME_CHARS_MAX {
        return Some(format!("must have 1 to {NAME_CHARS_MAX} characters"));
    }
    if name.starts_with(text::is_space) || name.ends_with(text::is_space) {
        return Some("must not begin or end with a space".into());
    }
    if name.starts_with(text::is_mark) {
        return Some("must not begin with a mark: there is no letter that it is on".into());
    }
    if name.is_ascii() && !name.bytes().any(|byte| byte.is_ascii_control()) {
        return None;
    }
    let chars: Vec<char> = name.chars().collect();
    let fits = |at: usize| match chars[at] {
        '\u{200c}' | '\u{200d}' => text::joiner_fits(&chars, at),
        c => text::is_visible(c) || text::is_space(c),
    };
    let wrong = chars[(0..chars.len()).find(|at| !fits(*at))?];
    Some(format!(
        "has the character U+{:04X}, which cannot be seen or misleads; letters, marks, digits, punctuation and spaces are taken",
        wrong as u32
    ))
}

pub(super) fn check_name(field: impl FnOnce() -> String, name: &str) -> Result<(), Invalid> {
    match reason_against(name) {
        None => Ok(()),
        Some(reason) => invalid(field(), format!("{name:?} {reason}")),
    }
}

pub(super) fn check_names(chart: &Chart) -> Result<(), Invalid> {
    for (s, section) in chart.sections.iter().enumerate() {
        check_name(|| format!("chart.sections[{s}].section"), &section.section)?;
        for (r, row) in section.rows.iter().enumerate() {
            check_name(|| format!("chart.sections[{s}].rows[{r}].row"), &row.row)?;
            for number in &row.seats {
                check_name(|| format!("chart.sections[{s}].rows[{r}].seats"), number)?;
            }
        }
    }
    for (a, area) in chart.areas.iter().enumerate() {
        check_name(|| format!("chart.areas[{a}].area"), &area.area)?;
    }
    Ok(())
}

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

/// Prices with the grades' names in the form in which they are kept, or as `before` has them.
pub fn canonical_prices<'a>(prices: &'a Prices, before: Option<&Prices>) -> Result<Cow<'a, Prices>, Invalid> {
    let odd = before.is_some_and(|before| before.keys().any(|grade| canonical(grade) != grade.as_str()));
    if !odd && prices.keys().all(|grade| canonical(grade) == grade.as_str()) {
        return Ok(Cow::Borrowed(prices));
    }
    let known: BTreeMap<Cow<'_, str>, &String> =
        before.into_iter().flatten().map(|(grade, _)| (canonical(grade), grade)).collect();
    let mut made = Prices::new();
    for (grade, points) in prices {
        let name = canonical(grade);
        let name = known.get(&name).map_or_else(|| name.to_string(), |known| known.to_string());
        if made.insert(name, *points).is_some() {
            return invalid(format!("prices.{grade}"), "is there twice: names that differ in form only are one");
        }
    }
    Ok(Cow::Owned(made))
}
