//! Which seats are free, one bit a seat: what the search for seats runs on.
//!
//! A row is one *line* of neighbours of one grade, or several: aisles and changes of the grade are between them. Each line
//! starts a word of its own, so that what is asked of a line is asked of a few words. Kept by every event that takes or
//! frees a seat, at the cost of one bit.

use super::chart::{Layout, SeatKind};
use std::ops::Range;

/// Neighbours of one grade, without an aisle between them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SeatRun {
    /// Index of its row in the layout.
    pub row: u32,
    pub first: u32,
    pub count: u32,
    pub grade: u8,
    /// Only the grade changes behind it: its last seat and the next line's first are neighbours.
    goes_on: bool,
    /// Index of its first word.
    word: u32,
}

impl SeatRun {
    /// Its seats.
    pub fn seats(&self) -> Range<u32> {
        self.first..self.first + self.count
    }

    fn words(&self) -> Range<usize> {
        let first = self.word as usize;
        first..first + self.count.div_ceil(64) as usize
    }
}

/// For whom a seat must do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum For {
    /// Standard seats only: accessible and companion seats are for those who ask for them.
    Anyone,
    /// Every kind of seat.
    AccessibleParty,
}

/// The free seats of a layout.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Vacancies {
    lines: Vec<SeatRun>,
    /// Per row its first line; one more at the end.
    row_lines: Vec<u32>,
    free: Vec<u64>,
    /// Per word the row that it is of.
    word_rows: Vec<u32>,
    /// There is a line of several words.
    has_long_lines: bool,
    /// Rows that have a free seat, one bit a row: a house that is nearly full is searched in no time.
    open: Vec<u64>,
    /// Seats that are not standard; empty where all are.
    special: Vec<u64>,
}

impl Vacancies {
    /// Of `layout`, where `is_free` are free.
    pub fn new(layout: &Layout, is_free: impl Fn(u32) -> bool) -> Vacancies {
        let mut made = Vacancies { row_lines: Vec::with_capacity(layout.rows.len() + 1), ..Vacancies::default() };
        let mut word = 0;
        for (index, row) in layout.rows.iter().enumerate() {
            made.row_lines.push(made.lines.len() as u32);
            for (seats, grade) in row.runs_of_one_grade() {
                let count = seats.end - seats.start;
                let goes_on = seats.end < row.first + row.count && !row.is_break_after(seats.end - 1);
                made.lines.push(SeatRun { row: index as u32, first: seats.start, count, grade, goes_on, word });
                word += count.div_ceil(64);
                made.word_rows.resize(word as usize, index as u32);
                made.has_long_lines |= count > 64;
            }
        }
        made.row_lines.push(made.lines.len() as u32);
        made.free = vec![0; word as usize];
        if layout.rows.iter().any(|row| !row.is_standard()) {
            made.special = vec![0; word as usize];
        }
        made.open = vec![0; layout.rows.len().div_ceil(64)];
        for line in &made.lines {
            let row = &layout.rows[line.row as usize];
            for seat in line.seats() {
                let (word, bit) = place(line, seat);
                let free = u64::from(is_free(seat));
                made.free[word] |= free << bit;
                made.open[line.row as usize / 64] |= free << (line.row % 64);
                if !row.is_standard() {
                    made.special[word] |= u64::from(row.kind(seat) != SeatKind::Standard) << bit;
                }
            }
        }
        made
    }

    /// Takes or frees a seat; gives the seat's row.
    pub fn set(&mut self, seat: u32, free: bool) -> usize {
        let line = *self.line_of(seat);
        let (word, bit) = place(&line, seat);
        let row = line.row as usize;
        if free {
            self.free[word] |= 1 << bit;
            self.open[row / 64] |= 1 << (row % 64);
            return row;
        }
        self.free[word] &= !(1 << bit);
        if self.free[word] == 0 && self.lines(row).iter().all(|line| self.count(line, For::AccessibleParty) == 0) {
            self.open[row / 64] &= !(1 << (row % 64));
        }
        row
    }

    /// Rows that have a free seat of any kind, in order.
    pub fn open_rows(&self) -> impl Iterator<Item = usize> {
        self.open.iter().enumerate().flat_map(|(index, word)| {
            let mut bits = *word;
            std::iter::from_fn(move || {
                let bit = (bits != 0).then(|| bits.trailing_zeros())?;
                bits &= bits - 1;
                Some(index * 64 + bit as usize)
            })
        })
    }

    /// Rows that may have `count` free neighbours, in order; without a "no" that is wrong. The words are close together in
    /// memory and what is known of rows is not: so a house that has none left is searched in no time.
    pub fn rows_that_may_fit(&self, count: u32, who: For) -> impl Iterator<Item = usize> {
        // Neighbours of a long line may be on both sides of a word's end.
        let least = if self.has_long_lines { 1 } else { count };
        let words = (0..self.free.len()).filter(move |word| fits_in(self.word(*word, who), least));
        let mut last = None;
        words.filter_map(move |word| {
            let row = self.word_rows[word];
            (last.replace(row) != Some(row)).then_some(row as usize)
        })
    }

    /// The line that a seat is in.
    pub fn line_of(&self, seat: u32) -> &SeatRun {
        &self.lines[self.line_index(seat)]
    }

    fn line_index(&self, seat: u32) -> usize {
        self.lines.partition_point(|line| line.first <= seat) - 1
    }

    /// The lines of a row, in order.
    pub fn lines(&self, row: usize) -> &[SeatRun] {
        &self.lines[self.row_lines[row] as usize..self.row_lines[row + 1] as usize]
    }

    pub fn is_free(&self, seat: u32, who: For) -> bool {
        let (word, bit) = place(self.line_of(seat), seat);
        self.word(word, who) >> bit & 1 == 1
    }

    /// Whether seats are side by side, without an aisle between them; in any order and of any grades. None and one are.
    pub fn are_neighbours(&self, seats: &[u32]) -> bool {
        let (Some(first), Some(last)) = (seats.iter().min(), seats.iter().max()) else { return true };
        if last - first + 1 != seats.len() as u32 {
            return false;
        }
        let mut lines = self.lines[self.line_index(*first)..].iter();
        lines.find(|line| line.seats().contains(last) || !line.goes_on).is_some_and(|line| line.seats().contains(last))
    }

    /// How many seats of a line are free.
    pub fn count(&self, line: &SeatRun, who: For) -> u32 {
        line.words().map(|word| self.word(word, who).count_ones()).sum()
    }

    /// The most neighbours that are free in a line.
    pub fn longest(&self, line: &SeatRun, who: For) -> u32 {
        match line.words() {
            words if words.len() == 1 => longest_in(self.word(words.start, who)),
            _ => self.runs(line, who).map(|run| run.end - run.start).max().unwrap_or(0),
        }
    }

    /// Whether `count` neighbours may be free in a line: cheap, and without a "no" that is wrong.
    pub fn may_fit(&self, line: &SeatRun, count: u32, who: For) -> bool {
        match line.words() {
            _ if line.count < count => false,
            words if words.len() == 1 => fits_in(self.word(words.start, who), count),
            words => words.map(|word| self.word(word, who).count_ones()).sum::<u32>() >= count,
        }
    }

    /// The blocks of free neighbours in a line, as large as they are, in order.
    pub fn runs(&self, line: &SeatRun, who: For) -> Runs<'_> {
        let words = line.words();
        let bits = self.word(words.start, who);
        Runs { vacancies: self, who, at: words.start, end: words.end, bits, first: line.first, word: words.start }
    }

    /// Those [`runs`](Self::runs) of a line that are in `around`, and some beside it: cut off in a line that is much longer.
    pub fn runs_around(&self, line: &SeatRun, around: &Range<u32>, who: For) -> Runs<'_> {
        let (low, high) = (around.start.max(line.first), around.end.min(line.first + line.count));
        if low >= high {
            let at = line.word as usize;
            return Runs { vacancies: self, who, at, end: at, bits: 0, first: line.first, word: at };
        }
        let (at, end) = (place(line, low).0, place(line, high - 1).0 + 1);
        Runs { vacancies: self, who, at, end, bits: self.word(at, who), first: line.first, word: line.word as usize }
    }

    fn word(&self, word: usize, who: For) -> u64 {
        match who {
            For::Anyone if !self.special.is_empty() => self.free[word] & !self.special[word],
            _ => self.free[word],
        }
    }
}

/// The word and the bit of a seat of `line`.
fn place(line: &SeatRun, seat: u32) -> (usize, u32) {
    let index = seat - line.first;
    ((line.word + index / 64) as usize, index % 64)
}

/// The most set bits side by side.
fn longest_in(bits: u64) -> u32 {
    if bits == 0 || bits == u64::MAX {
        return bits.count_ones();
    }
    // In `starts[n]` those bits are set that begin 2^n set bits; then the length is put together from the powers.
    let mut starts = [bits; 6];
    let mut top = 0;
    while top < 5 && starts[top] & (starts[top] >> (1 << top)) != 0 {
        starts[top + 1] = starts[top] & (starts[top] >> (1 << top));
        top += 1;
    }
    let (mut begins, mut length) = (starts[top], 1 << top);
    for power in (0..top).rev() {
        let longer = begins & (starts[power] >> length);
        if longer != 0 {
            begins = longer;
            length += 1 << power;
        }
    }
    length
}

/// Whether `count` bits in a row are set.
fn fits_in(mut bits: u64, count: u32) -> bool {
    let mut length = 1;
    while length < count && bits != 0 {
        let step = length.min(count - length);
        // More neighbours than a word has bits.
        bits &= bits.checked_shr(step).unwrap_or(0);
        length += step;
    }
    bits != 0
}

/// See [`Vacancies::runs`].
pub struct Runs<'a> {
    vacancies: &'a Vacancies,
    who: For,
    /// The word that is being read, and what is left of it.
    at: usize,
    bits: u64,
    end: usize,
    /// The line's first seat and word.
    first: u32,
    word: usize,
}

impl Iterator for Runs<'_> {
    type Item = Range<u32>;

    fn next(&mut self) -> Option<Range<u32>> {
        while self.bits == 0 {
            if !self.advance() {
                return None;
            }
        }
        let bit = self.bits.trailing_zeros();
        let start = self.seat(bit);
        let mut stop = bit + (self.bits >> bit).trailing_ones();
        while stop == 64 {
            if !self.advance() {
                return Some(start..self.seat(64));
            }
            stop = self.bits.trailing_ones();
        }
        self.bits &= u64::MAX << stop;
        Some(start..self.seat(stop))
    }
}

impl Runs<'_> {
    fn advance(&mut self) -> bool {
        self.bits = 0;
        if self.at + 1 >= self.end {
            return false;
        }
        self.at += 1;
        self.bits = self.vacancies.word(self.at, self.who);
        true
    }

    fn seat(&self, bit: u32) -> u32 {
        self.first + (self.at - self.word) as u32 * 64 + bit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::performance::seats::chart::{Chart, Row, Section};
    use proptest::prelude::*;

    fn hall(counts: &[u32]) -> Layout {
        let row = |(row, count): (usize, &u32)| Row {
            row: row.to_string(),
            grade: "R".into(),
            seat_count: Some(*count),
            ..Row::default()
        };
        let rows = counts.iter().enumerate().map(row).collect();
        let chart = Chart { sections: vec![Section { section: "A".into(), rows }], areas: Vec::new() };
        Layout::new(&chart, &[("R".to_owned(), 1)].into()).unwrap()
    }

    proptest! {
        #[test]
        fn no_row_is_passed_over_that_has_as_many_neighbours(
            counts in prop::collection::vec(prop_oneof![1..70u32, 1..200u32], 1..8),
            taken in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
            count in 1..150u32,
        ) {
            let layout = hall(&counts);
            let taken: Vec<u32> = taken.iter().map(|index| index.index(layout.seats as usize) as u32).collect();
            let vacancies = Vacancies::new(&layout, |seat| !taken.contains(&seat));
            let found: Vec<usize> = vacancies.rows_that_may_fit(count, For::Anyone).collect();
            prop_assert!(found.is_sorted_by(|one, next| one < next), "{:?}", found);
            let longest = |row: &usize| vacancies.longest(&vacancies.lines(*row)[0], For::Anyone);
            let fit = (0..counts.len()).filter(|row| longest(row) >= count);
            prop_assert!(fit.clone().all(|row| found.contains(&row)), "{:?} of {:?}", found, fit.collect::<Vec<_>>());
        }

        #[test]
        fn the_longest_run_is_that_of_a_count(bits in any::<u64>(), more in any::<u64>(), most in any::<bool>()) {
            let bits = if most { bits | more } else { bits & more };
            let text = format!("{bits:064b}");
            let counted = text.split('0').map(str::len).max().unwrap_or(0) as u32;
            prop_assert_eq!(longest_in(bits), counted);
            for count in 1..=200 {
                prop_assert_eq!(fits_in(bits, count), count <= counted, "{}", count);
            }
        }
    }
}
