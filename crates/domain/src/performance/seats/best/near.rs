//! What to offer instead of seats that are taken: as many, of the same grades, as near as can be.
//!
//! Neighbours who wanted to sit side by side: first in their own row, then in the nearest rows of their section, then
//! anywhere in their section and in the house. Of the seats they named as many as possible are kept. When no neighbours are
//! left anywhere, and for those who named seats in several places, the free ones of the named seats are kept and each taken
//! one is replaced by the nearest.
//!
//! Being refused costs the caller nothing, so what this costs is bounded: rows further than [`ROWS_NEAR`] and seats further
//! than [`SEATS_NEAR`] are looked at once, in the order of the chart instead of nearness.

use super::{Found, Search, Wanted, find, leaves_alone, middle};
use crate::performance::seats::chart::{LaidRow, Layout, SeatKind};
use crate::performance::seats::vacancy::{For, Vacancies};
use std::ops::Range;

/// Rows before and behind the named ones in which the nearest seats are looked for.
const ROWS_NEAR: usize = 40;
/// Seats of one row, to either side.
const SEATS_NEAR: u32 = 200;

/// Free seats like `wished`, of which some are taken; `None` when there are not as many.
pub fn replacement(layout: &Layout, vacancies: &Vacancies, wished: &[u32]) -> Option<Found> {
    let kinds = wished.iter().map(|seat| layout.kind(*seat));
    let accessible = kinds.clone().filter(|kind| *kind == SeatKind::Accessible).count() as u32;
    let who = match kinds.clone().any(|kind| kind != SeatKind::Standard) {
        true => For::AccessibleParty,
        false => For::Anyone,
    };
    let home = vacancies.line_of(*wished.iter().min()?).row as usize;
    let grades = wished.iter().map(|seat| layout.grade_of(*seat));
    let grade = grades.clone().next();
    let one_grade = grades.clone().all(|other| Some(other) == grade);
    let section = Some(&*layout.rows[home].section);
    let wanted = Wanted { grade, section, count: wished.len() as u32, accessible };
    let search = Search { layout, vacancies, wanted: &wanted, who };
    if one_grade && vacancies.are_neighbours(wished) {
        if let Some(seats) = search.near(home, wished) {
            return Some(search.found(seats.collect()));
        }
        let anywhere = Wanted { section: None, ..wanted.clone() };
        for wanted in [&wanted, &anywhere] {
            if let Some(found) = find_neighbours(layout, vacancies, wanted, who) {
                return Some(found);
            }
        }
    }
    let seats = search.each_nearest(wished)?;
    Some(search.found(seats))
}

fn find_neighbours(layout: &Layout, vacancies: &Vacancies, wanted: &Wanted<'_>, who: For) -> Option<Found> {
    if wanted.accessible > 0 {
        return find(layout, vacancies, wanted).filter(|found| found.adjacent);
    }
    let search = Search { layout, vacancies, wanted, who };
    search.neighbours().map(|seats| search.found(seats.collect()))
}

impl Search<'_> {
    /// Neighbours in the row of `wished` or else in a near one of the same section.
    fn near(&self, home: usize, wished: &[u32]) -> Option<Range<u32>> {
        let count = self.wanted.count;
        let first = *wished.iter().min()?;
        for index in self.rows_around(home, ROWS_NEAR).filter(|row| self.fits(&self.layout.rows[*row])) {
            let row = &self.layout.rows[index];
            let ideal = self.beside(home, index, first);
            let around = around(ideal, count);
            let mut best: Option<((u32, bool, u32), u32)> = None;
            for line in self.lines(index).filter(|line| self.vacancies.may_fit(line, count, self.who)) {
                for run in self.vacancies.runs_around(line, &around, self.who).filter(|run| run.len() >= count as usize)
                {
                    for first_here in run.start..=run.end - count {
                        if self.accessible_in(row, first_here) < self.wanted.accessible {
                            continue;
                        }
                        let kept = (first + count).min(first_here + count).saturating_sub(first.max(first_here));
                        let lost = if index == home { count - kept } else { count };
                        let orphans = leaves_alone(&run, first_here, count);
                        let key = (lost, orphans, (first_here as i64).abs_diff(ideal) as u32);
                        if best.is_none_or(|(least, _)| key < least) {
                            best = Some((key, first_here));
                        }
                    }
                }
            }
            if let Some((_, first)) = best {
                return Some(first..first + count);
            }
        }
        None
    }

    fn accessible_in(&self, row: &LaidRow, first: u32) -> u32 {
        if self.wanted.accessible == 0 || row.is_standard() {
            return 0;
        }
        (first..first + self.wanted.count).filter(|seat| row.kind(*seat) == SeatKind::Accessible).count() as u32
    }

    /// The free ones of `wished`, and for each taken one the nearest of its grade and kind.
    fn each_nearest(&self, wished: &[u32]) -> Option<Vec<u32>> {
        let (mut seats, taken): (Vec<u32>, Vec<u32>) =
            wished.iter().partition(|seat| self.vacancies.is_free(**seat, For::AccessibleParty));
        let mut far = Vec::new();
        for seat in taken {
            match self.nearest(seat, &seats) {
                Some(found) => seats.push(found),
                None => far.push(self.like(seat)),
            }
        }
        if far.is_empty() {
            return Some(seats);
        }
        for index in self.vacancies.open_rows() {
            let row = &self.layout.rows[index];
            let may_have = |(grade, kind): &(u8, SeatKind)| {
                row.has_grade(*grade) && (*kind == SeatKind::Standard || !row.is_standard())
            };
            if !far.iter().any(may_have) {
                continue;
            }
            let lines = self.vacancies.lines(index).iter();
            for seat in lines.flat_map(|line| self.vacancies.runs(line, For::AccessibleParty)).flatten() {
                let like = (row.grade_of(seat), row.kind(seat));
                if let Some(index) = far.iter().position(|wanted| *wanted == like)
                    && !seats.contains(&seat)
                {
                    far.swap_remove(index);
                    seats.push(seat);
                }
                if far.is_empty() {
                    return Some(seats);
                }
            }
        }
        None
    }

    /// What a seat must have in common with the one that it replaces.
    fn like(&self, seat: u32) -> (u8, SeatKind) {
        let row = &self.layout.rows[self.vacancies.line_of(seat).row as usize];
        (row.grade_of(seat), row.kind(seat))
    }

    /// The nearest free seat in the section that is like `seat` and not one of `but`.
    fn nearest(&self, seat: u32, but: &[u32]) -> Option<u32> {
        let rows = &self.layout.rows;
        let home = self.vacancies.line_of(seat).row as usize;
        let (grade, kind) = self.like(seat);
        let fits = |row: &usize| rows[*row].has_grade(grade) && rows[*row].section == rows[home].section;
        self.rows_around(home, ROWS_NEAR).filter(fits).find_map(|index| {
            let row = &rows[index];
            let ideal = self.beside(home, index, seat);
            let like = |other: &u32| row.kind(*other) == kind && !but.contains(other);
            let runs = self.vacancies.lines(index).iter().filter(|line| line.grade == grade);
            let around = around(ideal, 1);
            let runs = runs.flat_map(|line| self.vacancies.runs_around(line, &around, For::AccessibleParty));
            runs.flatten().filter(like).min_by_key(|other| (*other as i64).abs_diff(ideal))
        })
    }

    /// Where in the row `index` the place is that `seat` has in the row `home`: as far from the middle.
    fn beside(&self, home: usize, index: usize, seat: u32) -> i64 {
        let [home, there] = [home, index].map(|row| middle(&self.layout.rows[row]) as i64);
        (there + 2 * seat as i64 - home).div_euclid(2)
    }
}

/// The seats that are near `count` seats from `ideal` on.
fn around(ideal: i64, count: u32) -> Range<u32> {
    let low = (ideal - SEATS_NEAR as i64).max(0);
    low as u32..(ideal + (SEATS_NEAR + count) as i64).max(0) as u32
}
