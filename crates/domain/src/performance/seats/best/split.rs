//! Seats for those who cannot all sit side by side: in as few and as large blocks as there are.

use super::{Best, Search, middle};
use std::ops::Range;

impl Search<'_> {
    pub(super) fn split(&self) -> Option<Vec<u32>> {
        let mut longest = vec![0; self.layout.rows.len()];
        self.rows().for_each(|(row, _)| {
            let lines = self.lines(row).map(|line| self.vacancies.longest(line, self.who));
            longest[row] = lines.max().unwrap_or(0);
        });
        self.one_row(&longest).or_else(|| self.neighbouring_rows(&longest)).or_else(|| self.largest_blocks(&longest))
    }

    /// From four people on nobody is to sit alone.
    fn block_min(&self) -> u32 {
        if self.wanted.count >= 4 { 2 } else { 1 }
    }

    /// Two blocks in the first row that has them: the ends of its two largest that look at each other.
    fn one_row(&self, longest: &[u32]) -> Option<Vec<u32>> {
        let (count, least) = (self.wanted.count, self.block_min());
        for (index, row) in self.rows().filter(|(index, _)| 2 * longest[*index] >= count) {
            let runs = self.lines(index).flat_map(|line| self.vacancies.runs(line, self.who));
            // Largest first, then nearest the middle.
            let rank = |run: &Range<u32>| (u32::MAX - len(run), (run.start + run.end).abs_diff(middle(row)), run.start);
            let mut two: [Option<Range<u32>>; 2] = [None, None];
            for run in runs {
                if two[0].as_ref().is_none_or(|known| rank(&run) < rank(known)) {
                    two = [Some(run), two[0].take()];
                } else if two[1].as_ref().is_none_or(|known| rank(&run) < rank(known)) {
                    two[1] = Some(run);
                }
            }
            let [Some(large), Some(small)] = two else { continue };
            if len(&small) < least || len(&large) + len(&small) < count || count < 2 * least {
                continue;
            }
            let of_large = len(&large).min(count - least);
            let of_small = count - of_large;
            let (left, right) = match large.start < small.start {
                true => (large.end - of_large..large.end, small.start..small.start + of_small),
                false => (small.end - of_small..small.end, large.start..large.start + of_large),
            };
            return Some(left.chain(right).collect());
        }
        None
    }

    /// The fewest neighbouring rows of one section whose largest blocks are enough; of as many rows, the first.
    fn neighbouring_rows(&self, longest: &[u32]) -> Option<Vec<u32>> {
        let (count, least) = (self.wanted.count, self.block_min());
        let rows = &self.layout.rows;
        let mut best: Option<Range<usize>> = None;
        let (mut start, mut seats) = (0, 0);
        for (end, of_row) in longest.iter().enumerate() {
            if *of_row < least {
                (start, seats) = (end + 1, 0);
                continue;
            }
            if end > start && rows[end].section != rows[end - 1].section {
                (start, seats) = (end, 0);
            }
            seats += of_row;
            while seats - longest[start] >= count {
                seats -= longest[start];
                start += 1;
            }
            let used = end + 1 - start;
            let fits = seats >= count && used as u32 * least <= count;
            if fits && best.as_ref().is_none_or(|best| used < best.len()) {
                best = Some(start..end + 1);
            }
        }
        let best = best?;
        let mut spare = count - best.len() as u32 * least;
        let mut seats = Vec::with_capacity(count as usize);
        for row in best {
            let size = longest[row].min(least + spare);
            spare -= size - least;
            let mut block = Best::default();
            for line in self.lines(row) {
                self.vacancies.runs(line, self.who).for_each(|run| block.take(run, size, middle(&rows[row])));
            }
            let (_, first) = block.clean.or(block.orphaning).expect("the row's largest block is as large");
            seats.extend(first..first + size);
        }
        Some(seats)
    }

    /// The largest blocks of all, whole, and a part of the next one.
    fn largest_blocks(&self, longest: &[u32]) -> Option<Vec<u32>> {
        let count = self.wanted.count;
        let runs = || {
            let rows = self.rows().filter(move |(row, _)| longest[*row] > 0);
            let lines = rows.flat_map(move |(row, _)| self.lines(row));
            lines.flat_map(move |line| self.vacancies.runs(line, self.who))
        };
        let largest = longest.iter().copied().max().unwrap_or(0);
        if largest == 1 {
            let seats: Vec<u32> = runs().flatten().take(count as usize).collect();
            return (seats.len() == count as usize).then_some(seats);
        }
        let mut of_length = vec![0u32; largest as usize + 1];
        runs().for_each(|run| of_length[len(&run) as usize] += 1);
        let (mut left, mut length) = (count, largest);
        while length > 0 && left >= length.saturating_mul(of_length[length as usize]) {
            left -= length * of_length[length as usize];
            length -= 1;
        }
        if left > 0 && length == 0 {
            return None;
        }
        // All blocks longer than `length`, some of it, and a rest.
        let (mut whole, mut rest) = (left.checked_div(length).unwrap_or(0), left.checked_rem(length).unwrap_or(0));
        let mut blocks: Vec<Range<u32>> = Vec::new();
        let mut last = None;
        for run in runs() {
            if len(&run) > length {
                blocks.push(run);
            } else if len(&run) == length && whole > 0 {
                whole -= 1;
                blocks.push(run);
            } else if len(&run) == length && rest > 0 && last.is_none() {
                last = Some(run);
            }
        }
        if let Some(run) = last {
            if rest == 1
                && let Some(lent) = blocks.iter_mut().rev().find(|block| len(block) > 2)
            {
                lent.end -= 1;
                rest = 2;
            }
            blocks.push(run.start..run.start + rest);
        }
        Some(blocks.into_iter().flatten().collect())
    }
}

fn len(run: &Range<u32>) -> u32 {
    run.end - run.start
}
