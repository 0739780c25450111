//! The next best seats.
//!
//! Rows are as good as their place in the chart: the first is the best. Tried in this order, the first that succeeds wins:
//! 1. neighbours in one row, no aisle between them, who leave no single free seat alone; within the best row that has them
//!    the block nearest the row's middle;
//! 2. neighbours who leave a single seat alone;
//! 3. two blocks in one row;
//! 4. a block in each of some neighbouring rows of one section, as few rows as can be;
//! 5. the largest blocks that there are.
//!
//! A block is of one grade: where the grade changes within a row, blocks end as at an aisle, and a single seat left of its
//! grade is one left alone. Two blocks that meet there are side by side all the same, and the answer says so.
//!
//! From four people on, nobody sits alone in 3 and 4, and in 5 only where it cannot be avoided. Accessible and companion
//! seats are given to those who ask for them and to nobody else, however few other seats are left.
//!
//! - [`split`]: 3 to 5
//! - [`near`]: what to offer instead of seats that are taken

pub mod near;
#[cfg(test)]
mod oracle;
mod split;
#[cfg(test)]
mod tests;

use super::chart::{LaidRow, Layout, SeatKind};
use super::vacancy::{For, SeatRun, Vacancies};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    pub grade: Option<u8>,
    pub section: Option<&'a str>,
    pub count: u32,
    /// How many of the seats must be accessible ones.
    pub accessible: u32,
}

impl Wanted<'_> {
    /// Whether the row has such seats, of whichever kind.
    fn fits(&self, row: &LaidRow) -> bool {
        self.grade.is_none_or(|grade| row.has_grade(grade))
            && self.section.is_none_or(|section| *section == *row.section)
    }
}

/// What had to be given up to find seats at all.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, schemars::JsonSchema, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Relaxed {
    /// A single free seat is left alone beside them.
    Orphan,
    /// All in one row, not side by side.
    SplitRow,
    /// In neighbouring rows of one section, one block in each.
    SplitRows,
    /// In several places.
    Scattered,
}

impl Relaxed {
    const ALL: [Relaxed; 4] = [Relaxed::Orphan, Relaxed::SplitRow, Relaxed::SplitRows, Relaxed::Scattered];

    /// A set of them, one bit each, as a state stores it.
    pub fn to_bits(set: &[Relaxed]) -> u8 {
        set.iter().fold(0, |bits, step| bits | 1 << *step as u8)
    }

    /// What [`to_bits`](Self::to_bits) was given.
    pub fn from_bits(bits: u8) -> Vec<Relaxed> {
        Relaxed::ALL.into_iter().filter(|step| bits >> *step as u8 & 1 == 1).collect()
    }
}

/// Seats that were found, in chart order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub seats: Vec<u32>,
    /// Whether they are side by side.
    pub adjacent: bool,
    pub relaxed: Vec<Relaxed>,
}

/// The best seats; `None` when there are not as many.
pub fn find(layout: &Layout, vacancies: &Vacancies, wanted: &Wanted<'_>) -> Option<Found> {
    let who = if wanted.accessible > 0 { For::AccessibleParty } else { For::Anyone };
    let search = Search { layout, vacancies, wanted, who };
    let seats = match wanted.accessible {
        0 => search.neighbours().map(Iterator::collect).or_else(|| search.split()),
        _ => search.accessible_party(),
    };
    seats.map(|seats| search.found(seats))
}

/// The free seats of the wanted grade and section, by what they are for.
pub fn free_by_kind(layout: &Layout, vacancies: &Vacancies, wanted: &Wanted<'_>) -> PlacesByKind {
    let search = Search { layout, vacancies, wanted, who: For::AccessibleParty };
    let mut places = PlacesByKind::default();
    for (index, row) in search.rows() {
        places.standard += search.lines(index).map(|line| vacancies.count(line, For::Anyone)).sum::<u32>();
        let of_grade = |seat| wanted.grade.is_none_or(|grade| grade == row.grade_of(seat));
        let special = row.special_seats().filter(|(seat, _)| of_grade(*seat));
        let free = special.filter(|(seat, _)| vacancies.is_free(*seat, For::AccessibleParty));
        free.for_each(|(_, kind)| places.count(kind, 1));
    }
    places
}

/// The seats of the wanted grade and section that there are, free or not, by what they are for; counted until there are
/// enough.
pub fn total_by_kind(layout: &Layout, wanted: &Wanted<'_>) -> PlacesByKind {
    let mut places = PlacesByKind::default();
    for row in layout.rows.iter().filter(|row| wanted.fits(row)) {
        let of_grade = |grade| wanted.grade.is_none_or(|wanted| wanted == grade);
        let all: u32 =
            row.runs_of_one_grade().filter(|(_, grade)| of_grade(*grade)).map(|(run, _)| run.len() as u32).sum();
        let special = row.special_seats().filter(|(seat, _)| of_grade(row.grade_of(*seat)));
        let special = special.map(|(_, kind)| places.count(kind, 1)).count() as u32;
        places.standard += all - special;
        let seats = if wanted.accessible > 0 { places.seats() } else { places.standard };
        if seats >= wanted.count && places.accessible >= wanted.accessible {
            break;
        }
    }
    places
}

/// Places by what they are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PlacesByKind {
    /// Seats that anybody may have.
    pub standard: u32,
    /// Seats for wheelchair users; the best seats are these only for those who ask for them.
    pub accessible: u32,
    /// Seats for those who come with them.
    pub companion: u32,
    /// Places in standing areas.
    pub standing: u32,
}

impl PlacesByKind {
    /// Without the standing places.
    pub fn seats(&self) -> u32 {
        self.standard + self.accessible + self.companion
    }

    pub fn count(&mut self, kind: SeatKind, seats: u32) {
        match kind {
            SeatKind::Standard => self.standard += seats,
            SeatKind::Accessible => self.accessible += seats,
            SeatKind::Companion => self.companion += seats,
        }
    }
}

struct Search<'a> {
    layout: &'a Layout,
    vacancies: &'a Vacancies,
    wanted: &'a Wanted<'a>,
    who: For,
}

impl Search<'_> {
    fn fits(&self, row: &LaidRow) -> bool {
        self.wanted.fits(row)
    }

    /// The rows that fit and have a free seat, in chart order.
    fn rows(&self) -> impl Iterator<Item = (usize, &LaidRow)> {
        let rows = self.vacancies.open_rows().map(move |row| (row, &self.layout.rows[row]));
        rows.filter(move |(_, row)| self.fits(row))
    }

    /// The lines of a row that are of the grade, in order.
    fn lines(&self, row: usize) -> impl Iterator<Item = &SeatRun> {
        let fits = |line: &&SeatRun| self.wanted.grade.is_none_or(|grade| grade == line.grade);
        self.vacancies.lines(row).iter().filter(fits)
    }

    fn neighbours(&self) -> Option<Range<u32>> {
        let count = self.wanted.count;
        let mut orphaning = None;
        for index in self.vacancies.rows_that_may_fit(count, self.who) {
            let row = &self.layout.rows[index];
            if !self.fits(row) {
                continue;
            }
            let mut best = Best::default();
            for line in self.lines(index).filter(|line| self.vacancies.may_fit(line, count, self.who)) {
                self.vacancies.runs(line, self.who).for_each(|run| best.take(run, count, middle(row)));
            }
            if let Some((_, first)) = best.clean {
                return Some(first..first + count);
            }
            orphaning = orphaning.or(best.orphaning);
        }
        orphaning.map(|(_, first)| first..first + count)
    }

    /// Neighbours with enough accessible seats among them, no more of those than needed, companion seats before others.
    /// Or else accessible seats in the best rows, and for everybody else the seats nearest to them.
    fn accessible_party(&self) -> Option<Vec<u32>> {
        let (count, accessible) = (self.wanted.count, self.wanted.accessible);
        // How many accessible seats too many, and whether one seat is left alone: then the first row has it.
        let mut best: Option<((u32, bool), u32)> = None;
        for (index, row) in self.rows().filter(|(_, row)| !row.is_standard()) {
            let mut of_row: Option<((u32, bool, u32, u32), u32)> = None;
            let runs = self.lines(index).flat_map(|line| self.vacancies.runs(line, self.who));
            for run in runs.filter(|run| run.end - run.start >= count) {
                for first in run.start..=run.end - count {
                    let of = |kind| (first..first + count).filter(|seat| row.kind(*seat) == kind).count() as u32;
                    let Some(spare) = of(SeatKind::Accessible).checked_sub(accessible) else { continue };
                    let others = count - of(SeatKind::Companion);
                    let off = off_middle(first, count, middle(row));
                    let key = (spare, leaves_alone(&run, first, count), others, off);
                    if of_row.is_none_or(|(least, _)| key < least) {
                        of_row = Some((key, first));
                    }
                }
            }
            let of_row = of_row.map(|((spare, orphan, ..), first)| ((spare, orphan), first));
            best = best.into_iter().chain(of_row).min_by_key(|(key, _)| *key);
            if best.is_some_and(|(key, _)| key == (0, false)) {
                break;
            }
        }
        match best {
            Some((_, first)) => Some((first..first + count).collect()),
            None => self.accessible_apart(),
        }
    }

    /// Accessible seats of the best rows; for everybody else the nearest seats, companion seats first, and other accessible
    /// seats only when there is nothing else.
    fn accessible_apart(&self) -> Option<Vec<u32>> {
        let (count, accessible) = (self.wanted.count as usize, self.wanted.accessible as usize);
        let free = |row: usize| self.lines(row).flat_map(move |line| self.vacancies.runs(line, self.who));
        let special = self
            .rows()
            .filter(|(_, row)| !row.is_standard())
            .flat_map(|(index, row)| free(index).flatten().filter(move |seat| row.kind(*seat) == SeatKind::Accessible));
        let mut seats: Vec<u32> = special.take(accessible).collect();
        let anchor = *seats.first().filter(|_| seats.len() == accessible)?;
        let home = self.vacancies.line_of(anchor).row as usize;
        for accessible_too in [false, true] {
            for index in self.rows_around(home, self.layout.rows.len()) {
                let row = &self.layout.rows[index];
                if seats.len() == count || !self.fits(row) {
                    continue;
                }
                let usable = |seat: &u32| accessible_too || row.kind(*seat) != SeatKind::Accessible;
                let mut others: Vec<u32> = free(index).flatten().filter(usable).collect();
                others.retain(|seat| !seats.contains(seat));
                others.sort_by_key(|seat| (row.kind(*seat) != SeatKind::Companion, seat.abs_diff(anchor)));
                seats.extend(others.into_iter().take(count - seats.len()));
            }
        }
        (seats.len() == count).then_some(seats)
    }

    /// Rows up to `far` rows from `home`, the nearest first; of two as near the better one.
    fn rows_around(&self, home: usize, far: usize) -> impl Iterator<Item = usize> {
        let rows = self.layout.rows.len();
        let both = move |away: usize| {
            [home.checked_sub(away), Some(home + away).filter(|row| away > 0 && *row < rows)].into_iter().flatten()
        };
        (0..=far).flat_map(both)
    }

    fn found(&self, mut seats: Vec<u32>) -> Found {
        seats.sort_unstable();
        let relaxed = relaxed(self.layout, self.vacancies, &seats, self.who);
        Found { adjacent: self.vacancies.are_neighbours(&seats), seats, relaxed }
    }
}

/// What free `seats`, in chart order, fall short of.
fn relaxed(layout: &Layout, vacancies: &Vacancies, seats: &[u32], who: For) -> Vec<Relaxed> {
    let mut relaxed = Vec::new();
    if any_alone(vacancies, seats, who) {
        relaxed.push(Relaxed::Orphan);
    }
    if vacancies.are_neighbours(seats) {
        return relaxed;
    }
    let blocks: Vec<&[u32]> =
        seats.chunk_by(|one, next| next - one == 1 && vacancies.are_neighbours(&[*one, *next])).collect();
    let row = |block: &&[u32]| vacancies.line_of(block[0]).row as usize;
    let next_rows = |pair: &[&[u32]]| {
        let (one, next) = (row(&pair[0]), row(&pair[1]));
        next == one + 1 && layout.rows[one].section == layout.rows[next].section
    };
    relaxed.push(if blocks.iter().all(|block| row(block) == row(&blocks[0])) {
        Relaxed::SplitRow
    } else if blocks.windows(2).all(next_rows) {
        Relaxed::SplitRows
    } else {
        Relaxed::Scattered
    });
    relaxed
}

/// Whether one of `seats`, in chart order, once taken leaves a single free seat alone.
fn any_alone(vacancies: &Vacancies, seats: &[u32], who: For) -> bool {
    let free = |line: &SeatRun, seat: Option<u32>| {
        seat.is_some_and(|seat| {
            line.seats().contains(&seat) && vacancies.is_free(seat, who) && seats.binary_search(&seat).is_err()
        })
    };
    seats.iter().any(|seat| {
        let line = vacancies.line_of(*seat);
        let alone = |beside: Option<u32>, behind: Option<u32>| free(line, beside) && !free(line, behind);
        alone(seat.checked_sub(1), seat.checked_sub(2)) || alone(Some(seat + 1), Some(seat + 2))
    })
}

/// Twice the middle of a row, to stay in integers.
fn middle(row: &LaidRow) -> u32 {
    2 * row.first + row.count
}

fn off_middle(first: u32, count: u32, middle: u32) -> u32 {
    (2 * first + count).abs_diff(middle)
}

/// Whether `count` seats from `first` on leave a single seat of their run.
fn leaves_alone(run: &Range<u32>, first: u32, count: u32) -> bool {
    first - run.start == 1 || run.end - first - count == 1
}

/// The blocks nearest a middle: their distance and first seat.
#[derive(Default)]
struct Best {
    clean: Option<(u32, u32)>,
    orphaning: Option<(u32, u32)>,
}

impl Best {
    /// Looks at the blocks of `count` in a run of free seats.
    fn take(&mut self, run: Range<u32>, count: u32, middle: u32) {
        let Some(spare) = (run.end - run.start).checked_sub(count) else { return };
        let last = run.start + spare;
        let ideal = (middle.saturating_sub(count) / 2).clamp(run.start, last);
        // The ends of a run leave nothing alone unless it is a seat too long; beside them only two blocks do.
        let near = ideal.saturating_sub(2).max(run.start)..=(ideal + 2).min(last);
        for first in near.chain([run.start, last]) {
            let best = if leaves_alone(&run, first, count) { &mut self.orphaning } else { &mut self.clean };
            let found = (off_middle(first, count, middle), first);
            if best.is_none_or(|known| found < known) {
                *best = Some(found);
            }
        }
    }
}
