//! Labels: `section-row-seat`. They are looked up whole and never taken apart by what they look like, because names may have
//! hyphens; that no two seats have one label is checked when the chart is given.

use super::names::canonical;
use super::{Chart, Invalid, LaidRow, Layout, invalid};
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;
use std::borrow::Cow;

impl Layout {
    /// The seat of a label like `A-12-7`.
    pub fn seat(&self, label: &str) -> Option<u32> {
        self.exact_seat(label).or_else(|| {
            if label.is_ascii() && !label.contains("  ") {
                return None;
            }
            let form = canonical(label);
            let found = if form == label { None } else { self.exact_seat(&form) };
            found.or_else(|| self.seats_by_form.get(&*form).copied())
        })
    }

    fn exact_seat(&self, label: &str) -> Option<u32> {
        let mut end = label.len();
        for _ in 0..=self.number_hyphens_max {
            end = label[..end].rfind('-')?;
            let rows = self.rows_by_name.get(&label[..end]).into_iter().flatten();
            let mut rows = rows.map(|row| &self.rows[*row as usize]);
            if let Some(seat) = rows.find_map(|row| Some(row.first + row.index(&label[end + 1..])?)) {
                return Some(seat);
            }
        }
        None
    }

    /// The area of that name.
    pub fn area(&self, name: &str) -> Option<usize> {
        let exact = |name: &str| self.areas_by_name.get(name);
        let found = exact(name).or_else(|| {
            let form = canonical(name);
            exact(&form).or_else(|| self.areas_by_form.get(&*form))
        });
        found.map(|index| *index as usize)
    }

    /// The section of that name, as the chart has it.
    pub fn section(&self, name: &str) -> Option<&str> {
        let mut sections = self.rows.iter().map(|row| &*row.section);
        let exact = |name: &str| self.rows.iter().map(|row| &*row.section).find(|section| *section == name);
        exact(name).or_else(|| {
            let form = canonical(name);
            let found = if form != name { exact(&form) } else { None };
            found.or_else(
                || {
                    if self.has_other_forms { sections.find(|section| canonical(section) == form) } else { None }
                },
            )
        })
    }

    /// The grade of that name.
    pub fn grade_named(&self, name: &str) -> Option<u8> {
        let exact = self.grades.iter().position(|(grade, _)| grade == name);
        let found = exact.or_else(|| {
            let form = canonical(name);
            self.grades.iter().position(|(grade, _)| canonical(grade) == form)
        });
        found.map(|index| index as u8)
    }

    /// Per seat of this layout, the seat with the same label in `other`. Rows are looked up once each, so that a hall of
    /// 100,000 seats takes some milliseconds, however they are numbered.
    pub fn seats_in(&self, other: &Layout) -> Vec<Option<u32>> {
        // Where a label can be taken apart in one way only, rows of one name have the same seats.
        let plain = |layout: &Layout| layout.number_hyphens_max == 0 && !layout.has_other_forms;
        if !plain(self) || !plain(other) {
            return (0..self.seats).map(|seat| other.seat(&self.label(seat))).collect();
        }
        let mut found = Vec::with_capacity(self.seats as usize);
        for row in &self.rows {
            let there: SmallVec<[&LaidRow; 1]> = other.named(&row.name).collect();
            match there[..] {
                [] => found.extend(row.seats().map(|_| None)),
                [there] if row.numbers.is_empty() && there.numbers.is_empty() => {
                    found.extend((0..row.count).map(|index| (index < there.count).then_some(there.first + index)));
                }
                _ => {
                    let numbers: FxHashMap<Cow<'_, str>, u32> = there
                        .iter()
                        .flat_map(|there| (0..there.count).map(|index| (there.number(index), there.first + index)))
                        .collect();
                    found.extend((0..row.count).map(|index| numbers.get(&row.number(index)).copied()));
                }
            }
        }
        found
    }

    /// The rows of that `section-row`.
    fn named(&self, name: &str) -> impl Iterator<Item = &LaidRow> {
        self.rows_by_name.get(name).into_iter().flatten().map(|row| &self.rows[*row as usize])
    }

    /// Whether there are names in another form than the one that is kept now.
    pub(super) fn any_other_form(&self) -> bool {
        !self.seats_by_form.is_empty()
            || !self.areas_by_form.is_empty()
            || self.grades.iter().any(|(grade, _)| canonical(grade) != grade.as_str())
    }

    /// Notes what the next area needs to be found in the form that is kept now.
    pub(super) fn index_area(&mut self, name: &str) {
        match canonical(name) {
            Cow::Owned(form) if form != name => {
                self.areas_by_form.entry(form.into()).or_insert(self.areas.len() as u32);
            }
            _ => {}
        }
    }

    /// Notes what a row's labels need to be found.
    pub(super) fn index_labels(&mut self, row: &LaidRow) {
        let hyphens = |number: &str| number.bytes().filter(|byte| *byte == b'-').count();
        let most = row.numbers.iter().map(|number| hyphens(number)).max().unwrap_or(0);
        self.number_hyphens_max = self.number_hyphens_max.max(most);
        let kept = |name: &str| canonical(name) == name;
        if kept(&row.name) && row.numbers.iter().all(|number| kept(number)) {
            return;
        }
        for seat in row.seats() {
            let label = row.label(seat);
            match canonical(&label) {
                Cow::Owned(form) if form != label => _ = self.seats_by_form.entry(form.into()).or_insert(seat),
                _ => {}
            }
        }
    }

    /// That no two seats have one label.
    pub(super) fn check_labels(&self, chart: &Chart) -> Result<(), Invalid> {
        let mut sets: FxHashMap<u32, FxHashSet<Cow<'_, str>>> = FxHashMap::default();
        let mut has = |row: u32, number: &str| {
            let numbers = sets.entry(row).or_insert_with(|| {
                let row = &self.rows[row as usize];
                (0..row.count).map(|index| row.number(index)).collect()
            });
            numbers.contains(number)
        };
        for rows in self.rows_by_name.values().filter(|rows| rows.len() > 1) {
            for (position, one) in rows.iter().enumerate() {
                let row = &self.rows[*one as usize];
                for other in &rows[position + 1..] {
                    let mut numbers = (0..row.count).map(|index| row.number(index));
                    if let Some(twin) = numbers.find(|number| has(*other, number)) {
                        return self.twins(chart, (*one, &twin), (*other, &twin));
                    }
                }
            }
        }
        if self.number_hyphens_max == 0 {
            return Ok(());
        }
        for (index, row) in self.rows.iter().enumerate() {
            for number in row.numbers.iter().filter(|number| number.contains('-')) {
                for (at, _) in number.match_indices('-') {
                    let name = format!("{}-{}", row.name, &number[..at]);
                    for other in self.rows_by_name.get(name.as_str()).into_iter().flatten() {
                        if has(*other, &number[at + 1..]) {
                            return self.twins(chart, (index as u32, number), (*other, &number[at + 1..]));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Two seats of one label, told by the later one.
    fn twins(&self, chart: &Chart, one: (u32, &str), other: (u32, &str)) -> Result<(), Invalid> {
        let (first, later) = if one.0 < other.0 { (one, other) } else { (other, one) };
        let told = |(row, number): (u32, &str)| {
            let LaidRow { section, name, .. } = &self.rows[row as usize];
            format!("section {section:?}, row {:?}, seat {number:?}", &name[section.len() + 1..])
        };
        let label = format!("{}-{}", self.rows[later.0 as usize].name, later.1);
        let (mut s, mut r) = (0, later.0 as usize);
        while r >= chart.sections[s].rows.len() {
            r -= chart.sections[s].rows.len();
            s += 1;
        }
        let reason = format!("seat {label:?} is there twice: {} and {}; rename one", told(first), told(later));
        invalid(format!("chart.sections[{s}].rows[{r}].seats"), reason)
    }
}
