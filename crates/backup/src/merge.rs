//! Small segments are made one, by and by: a follower ships two a second, and a restore asks for each by itself, which in a bucket
//! takes some 20 ms.

use crate::place::Object;
use crate::segment;
use base::id::Millis;
use eventlog::Position;
use std::collections::VecDeque;

/// So many of one size are made one.
const RUN: usize = 64;
/// What counts as one size, in bytes of the object: below the first of these, below the second. What is larger stays as it is.
const SIZES: [u64; 2] = [16 << 10, 256 << 10];
/// Fewer than [`RUN`] are made one when they have so many bytes: more are not in memory at a time.
const MERGED_BYTES: u64 = 4 << 20;
/// What was replaced stays as long: a restore that has begun still reads it.
const REPLACED_KEEP_MS: Millis = 3_600_000;
/// Objects that are deleted between two passes.
const DELETED_AT_ONCE: usize = 16;

/// One of the newest segments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Small {
    first: u64,
    last: u64,
    bytes: u64,
}

/// Segments that are one after the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    pub first: Position,
    pub last: Position,
    pub count: u64,
    pub bytes: u64,
}

/// The newest segments, as long as they are small, and those that a larger one has replaced.
#[derive(Default)]
pub struct Tail {
    small: Vec<Small>,
    /// Until when they stay, the first first.
    replaced: VecDeque<(Millis, String)>,
    /// The larger ones that another process wrote: nobody knows whether it has read them back.
    unread: Vec<String>,
}

impl Tail {
    /// Of the segments that there are, where `sent` is the last event of the newest that counts.
    pub fn of(objects: &[Object], sent: Position) -> Tail {
        let mut segments: Vec<(Small, &Object)> = objects
            .iter()
            .filter_map(|object| {
                let (first, last) = segment::positions(&object.name)?;
                let small = Small { first: first.0, last: last.0, bytes: object.bytes };
                (last <= sent).then_some((small, object))
            })
            .collect();
        // Those that begin first lead, the longer ones before the shorter: what is in another comes after it.
        segments.sort_by_key(|(small, _)| (small.first, std::cmp::Reverse(small.last)));
        let mut tail = Tail::default();
        let mut widest: Option<(Small, &Object)> = None;
        for (small, object) in segments {
            match widest {
                Some((wide, by)) if small.last <= wide.last => {
                    tail.replaced.push_back((by.changed_ms + REPLACED_KEEP_MS, object.name.clone()));
                    if tail.unread.last() != Some(&by.name) {
                        tail.unread.push(by.name.clone());
                    }
                }
                before => {
                    if before.is_none_or(|(before, _)| before.last + 1 != small.first) {
                        tail.small.clear();
                    }
                    tail.push(small);
                    widest = Some((small, object));
                }
            }
        }
        // What does not lead to the end is not of this backup's way.
        if tail.small.last().is_some_and(|small| small.last != sent.0) {
            tail.small.clear();
        }
        tail.replaced.make_contiguous().sort();
        tail
    }

    /// Takes note of a segment that was written behind all others.
    pub fn wrote(&mut self, first: Position, last: Position, bytes: u64) {
        if self.small.last().is_some_and(|small| small.last + 1 != first.0) {
            self.small.clear();
        }
        self.push(Small { first: first.0, last: last.0, bytes });
    }

    fn push(&mut self, small: Small) {
        match size(small.bytes) {
            Some(_) => self.small.push(small),
            // Nothing before it is merged with what comes after it.
            None => self.small.clear(),
        }
    }

    /// The newest segments that are to be made one.
    pub fn run(&self) -> Option<Run> {
        (0..SIZES.len()).find_map(|of| {
            let (mut run, mut of_size) = (None::<Run>, 0);
            for small in self.small.iter().rev().take_while(|small| size(small.bytes).is_some_and(|size| size <= of)) {
                of_size += usize::from(size(small.bytes) == Some(of));
                let (last, count, bytes) =
                    run.map_or((Position(small.last), 0, 0), |run| (run.last, run.count, run.bytes));
                run = Some(Run { first: Position(small.first), last, count: count + 1, bytes: bytes + small.bytes });
                if of_size >= RUN || bytes + small.bytes >= MERGED_BYTES {
                    return run;
                }
            }
            None
        })
    }

    /// Takes note that `run` is one object now, of so many bytes.
    pub fn merged(&mut self, run: Run, bytes: u64, now: Millis) {
        let from = self.small.len() - run.count as usize;
        let replaced = self.small.drain(from..);
        let names = replaced.map(|small| segment::name(Position(small.first), Position(small.last)));
        self.replaced.extend(names.map(|name| (now + REPLACED_KEEP_MS, name)));
        self.push(Small { first: run.first.0, last: run.last.0, bytes });
    }

    /// Tries nothing more with those that there are.
    pub fn leave(&mut self) {
        self.small.clear();
    }

    /// Those that are to be read before what they replace is deleted.
    pub fn unread(&self) -> &[String] {
        &self.unread
    }

    /// Deletes nothing more.
    pub fn keep_replaced(&mut self) {
        self.replaced.clear();
    }

    /// Some of those that were replaced long enough ago.
    pub fn take_replaced(&mut self, now: Millis) -> Vec<String> {
        let due = self.replaced.iter().take(DELETED_AT_ONCE).take_while(|(until_ms, _)| *until_ms <= now).count();
        self.replaced.drain(..due).map(|(_, name)| name).collect()
    }
}

/// Which of [`SIZES`].
fn size(bytes: u64) -> Option<usize> {
    SIZES.iter().position(|size| bytes < *size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(first: u64, last: u64, bytes: u64) -> Object {
        Object { name: segment::name(Position(first), Position(last)), bytes, changed_ms: first }
    }

    #[test]
    fn what_is_there_says_what_may_be_merged_and_what_was_replaced() {
        let ((small, large), far) = ((1_000, 1 << 20), 99);
        type Row<'a> = (&'a [Object], u64, &'a [(u64, u64)], &'a [u64]);
        let rows: &[Row<'_>] = &[
            (&[], 0, &[], &[]),
            (&[object(1, 4, small), object(5, 9, small)], 9, &[(1, 4), (5, 9)], &[]),
            // Behind a large one.
            (&[object(1, 4, small), object(5, 9, large), object(10, 11, small)], 11, &[(10, 11)], &[]),
            // Merged, and the small ones still there.
            (
                &[object(1, 1, small), object(2, 2, small), object(1, 2, small), object(3, 3, small)],
                3,
                &[(1, 2), (3, 3)],
                &[1, 2],
            ),
            // What a run left that was killed before it wrote the manifest.
            (&[object(1, 4, small), object(5, far, small)], 4, &[(1, 4)], &[]),
            // A gap: nothing is known of what is missing.
            (&[object(1, 4, small), object(6, 9, small)], 9, &[(6, 9)], &[]),
            (&[object(1, 4, small)], 9, &[], &[]),
        ];
        for (objects, sent, expected, replaced) in rows {
            let mut tail = Tail::of(objects, Position(*sent));
            let found: Vec<(u64, u64)> = tail.small.iter().map(|small| (small.first, small.last)).collect();
            assert_eq!(found.as_slice(), *expected, "{objects:?}");
            let names: Vec<u64> =
                tail.take_replaced(Millis::MAX).iter().map(|name| segment::positions(name).unwrap().0.0).collect();
            assert_eq!(names.as_slice(), *replaced, "{objects:?}");
        }
    }

    #[test]
    fn few_are_left_however_many_were_written_and_each_byte_is_written_some_times() {
        let (mut tail, mut written, mut there, events) = (Tail::default(), 0, 0_i64, 200_000);
        for at in 1..=events {
            tail.wrote(Position(at), Position(at), 600);
            (written, there) = (written + 600, there + 1);
            while let Some(run) = tail.run() {
                assert_eq!((run.last, run.bytes < MERGED_BYTES + SIZES[1]), (Position(at), true));
                tail.merged(run, run.bytes, at);
                (written, there) = (written + run.bytes, there + 1 - run.count as i64);
            }
        }
        assert!(there < 300, "{there} segments of {events}");
        assert!(written < 4 * 600 * events, "written {} times", written / (600 * events));
        // An hour after they were replaced, some at a time.
        assert_eq!(tail.take_replaced(REPLACED_KEEP_MS), Vec::<String>::new());
        assert_eq!(tail.take_replaced(REPLACED_KEEP_MS + events).len(), DELETED_AT_ONCE);
    }
}
