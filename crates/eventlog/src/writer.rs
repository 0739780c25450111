//! What happens between an append and its acknowledgement: the queue, the thread that commits it to the journal, and
//! the thread that archives what is committed.

use super::failure::{Failure, panic_text};
use super::frame::{self, ChainTip, Chunk};
use super::journal::{self, Journal};
use super::stats::{CommitInfo, StoreStats};
use super::{Batch, Error, OnDurable, Position};
use crate::log::origins::Origins;
use crate::sled::tier::Archive;
use base::moments::{Moment, Moments};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A commit takes no more than this of frames, unless a single batch has more.
const COMMIT_BYTES_MAX: usize = 4 << 20;
/// What the archiver takes at once, about.
const ARCHIVE_BYTES_MAX: usize = 4 << 20;
/// Bytes of buffers that are kept for reuse: as much as is archived at once, so that under load none are made.
const SPARE_BYTES_MAX: usize = ARCHIVE_BYTES_MAX;

/// Everything that the store, its writer and its archiver share. Lock order: `queue`, then `recent`;
/// `origins` has one of its own, the last.
pub struct Shared {
    pub archive: Archive,
    pub failure: Failure,
    pub stats: StoreStats,
    pub origins: Origins,
    pub on_commit: Option<Box<dyn Fn(CommitInfo) + Send + Sync>>,
    pub archive_bytes: usize,
    pub archive_after: Duration,
    /// A batch has at most so many bytes of frames: it must fit into a journal file.
    pub batch_bytes_max: usize,
    pub durable: AtomicU64,
    pub appended: AtomicU64,
    /// Bytes of frames that are appended and not durable.
    pub pending_bytes: AtomicUsize,
    pub queue: Mutex<Queue>,
    /// The writer waits here for work.
    pub work: Condvar,
    pub recent: Mutex<Recent>,
    /// The archiver waits here for enough to archive.
    pub to_archive: Condvar,
    /// The writer waits here for a journal file to be archived.
    pub archived: Condvar,
    /// Threads leave what they were doing.
    pub abandoned: AtomicBool,
}

/// What is appended and not yet taken by the writer.
#[derive(Default)]
pub struct Queue {
    segments: VecDeque<Segment>,
    spare: Option<Segment>,
    writer_waits: bool,
    /// No appends any more; the writer ends when it has done what is queued.
    pub closed: bool,
}

/// Batches that will be one commit.
#[derive(Default)]
struct Segment {
    frames: Vec<u8>,
    /// The position after its last batch.
    last: Position,
    /// With the positions that their appends gave.
    on_durable: Vec<(OnDurable, Position)>,
    /// Of the commands that want to know when they were written.
    moments: Vec<Arc<Moments>>,
}

impl Segment {
    fn note(&self, moment: Moment) {
        if !self.moments.is_empty() {
            let now = Instant::now();
            self.moments.iter().for_each(|moments| moments.note_at(moment, now));
        }
    }
}

/// Commits that are durable and not archived.
pub struct Recent {
    pub commits: VecDeque<Arc<Commit>>,
    bytes: usize,
    /// The end of what is archived.
    pub archived: ChainTip,
    /// The end of what is durable.
    pub durable: ChainTip,
    /// The writer waits: archive at once.
    hurry: bool,
    /// Archive everything and end.
    pub drain: bool,
    /// Records that were archived, for reuse, and their capacity.
    spare: Vec<Vec<u8>>,
    spare_bytes: usize,
}

impl Recent {
    pub fn new(tip: ChainTip) -> Recent {
        Recent {
            commits: VecDeque::new(),
            bytes: 0,
            archived: tip,
            durable: tip,
            hurry: false,
            drain: false,
            spare: Vec::new(),
            spare_bytes: 0,
        }
    }

    fn take_spare(&mut self) -> Vec<u8> {
        let spare = self.spare.pop().unwrap_or_default();
        self.spare_bytes -= spare.capacity();
        spare
    }

    fn keep_spare(&mut self, record: Vec<u8>) {
        if self.spare_bytes + record.capacity() <= SPARE_BYTES_MAX {
            self.spare_bytes += record.capacity();
            self.spare.push(record);
        }
    }
}

/// A commit as it is in the journal.
pub struct Commit {
    pub tip: ChainTip,
    /// Of the journal's file that it is in.
    generation: u64,
    record: Vec<u8>,
    /// The record without its padding.
    len: usize,
    at: Instant,
}

impl Commit {
    pub fn chunks(&self) -> impl Iterator<Item = Chunk<'_>> {
        let mut rest = &self.record[journal::RECORD_HEADER_BYTES..self.len];
        std::iter::from_fn(move || {
            let (chunk, after) = Chunk::split_first(rest).ok()?;
            rest = after;
            Some(chunk)
        })
    }
}

/// Locks; a panic elsewhere is handled where it is caught, so a poisoned lock says nothing new.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub fn append(&self, mut batch: Batch, then: Option<OnDurable>) -> Result<Position, Error> {
        batch.check(self.batch_bytes_max)?;
        let moments = batch.moments.take();
        let mut queue = lock(&self.queue);
        if let Some(error) = self.failure.get() {
            return Err(error);
        }
        if queue.closed {
            return Err(closed());
        }
        let last = Position(self.appended.load(Ordering::Relaxed) + u64::from(batch.count));
        if batch.is_empty() && then.is_none() {
            return Ok(last);
        }
        let bytes_max = COMMIT_BYTES_MAX.min(self.batch_bytes_max);
        let full = |segment: &Segment| segment.frames.len() + batch.frames.len() > bytes_max;
        if queue.segments.back().is_none_or(full) {
            let segment = queue.spare.take().unwrap_or_default();
            queue.segments.push_back(segment);
        }
        let segment = queue.segments.back_mut().expect("there is one");
        segment.frames.extend_from_slice(&batch.frames);
        segment.last = last;
        segment.on_durable.extend(then.map(|then| (then, last)));
        if let Some(moments) = moments {
            // Before its events can be read.
            if let (Some(origin), false) = (moments.origin(), batch.is_empty()) {
                let first = Position(last.0 + 1 - u64::from(batch.count));
                self.origins.remember(first, last, origin.clone());
            }
            segment.moments.push(moments);
        }
        self.appended.store(last.0, Ordering::Release);
        self.pending_bytes.fetch_add(batch.frames.len(), Ordering::Relaxed);
        let wake = std::mem::take(&mut queue.writer_waits);
        drop(queue);
        if wake {
            self.work.notify_one();
        }
        Ok(last)
    }

    /// Fails the log for good and wakes whoever waits.
    pub fn fail(&self, what: String) {
        self.failure.set(what);
        self.wake_all();
    }

    /// Ends the threads as soon as they have finished what is in the disk's hands.
    pub fn abandon(&self) {
        self.abandoned.store(true, Ordering::SeqCst);
        lock(&self.queue).closed = true;
        self.wake_all();
    }

    pub fn wake_all(&self) {
        // Through the locks, so that nobody is between looking and waiting.
        lock(&self.queue).writer_waits = false;
        drop(lock(&self.recent));
        self.work.notify_all();
        self.to_archive.notify_all();
        self.archived.notify_all();
    }

    fn ends_now(&self) -> bool {
        self.failure.is_set() || self.abandoned.load(Ordering::SeqCst)
    }

    fn next_segment(&self) -> Option<Segment> {
        let mut queue = lock(&self.queue);
        loop {
            if self.ends_now() {
                return None;
            }
            if let Some(segment) = queue.segments.pop_front() {
                return Some(segment);
            }
            if queue.closed {
                return None;
            }
            queue.writer_waits = true;
            queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn settle(&self, segment: &mut Segment, outcome: &Result<(), Error>) {
        self.pending_bytes.fetch_sub(segment.frames.len(), Ordering::Relaxed);
        segment.moments.clear();
        for (then, last) in segment.on_durable.drain(..) {
            // Whoever appended has an error of their own; the others still have to be told.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| then(outcome.clone().map(|()| last)))) {
                self.fail(format!("after a commit: {}", panic_text(panic.as_ref())));
            }
        }
    }
}

pub fn closed() -> Error {
    Error::Failed("the log is closed".into())
}

/// The thread that commits.
pub struct Writer {
    pub shared: Arc<Shared>,
    pub journal: Journal,
    pub tip: ChainTip,
    /// The last position in the journal's other file: that must be archived before the file is used.
    pub other_file_last: Position,
}

impl Writer {
    pub fn run(mut self) {
        let shared = self.shared.clone();
        while let Some(mut segment) = shared.next_segment() {
            segment.note(Moment::Taken);
            let outcome = catch_unwind(AssertUnwindSafe(|| self.commit(&segment)));
            let outcome = outcome.unwrap_or_else(|panic| Err(Error::Failed(panic_text(panic.as_ref()))));
            match outcome {
                Ok(info) => {
                    segment.note(Moment::Durable);
                    // Before the acknowledgements: who has one finds his events counted.
                    if let (Some(info), Some(on_commit)) = (info, &shared.on_commit)
                        && let Err(panic) = catch_unwind(AssertUnwindSafe(|| on_commit(info)))
                    {
                        shared.fail(format!("on a commit: {}", panic_text(panic.as_ref())));
                    }
                    shared.settle(&mut segment, &Ok(()));
                    segment.frames.clear();
                    lock(&shared.queue).spare = Some(segment);
                }
                Err(error) => {
                    if !shared.abandoned.load(Ordering::SeqCst) {
                        shared.fail(error.to_string());
                    }
                    shared.settle(&mut segment, &Err(shared.failure.get().unwrap_or(error)));
                }
            }
        }
        let error = Err(shared.failure.get().unwrap_or_else(closed));
        loop {
            let Some(mut segment) = lock(&shared.queue).segments.pop_front() else { break };
            shared.settle(&mut segment, &error);
        }
    }

    /// Makes `segment` durable. `None` when it has no events.
    fn commit(&mut self, segment: &Segment) -> Result<Option<CommitInfo>, Error> {
        if segment.frames.is_empty() {
            return Ok(None);
        }
        let shared = self.shared.clone();
        let mut record = lock(&shared.recent).take_spare();
        record.clear();
        record.resize(journal::RECORD_HEADER_BYTES, 0);
        let tip = frame::pack(&segment.frames, self.tip, &mut record);
        assert_eq!(tip.last, segment.last, "as many events as positions");
        let len = record.len();
        let failed = |error: std::io::Error| Error::Failed(format!("journal: {error}"));
        if !self.journal.fits(len) {
            let archived = self.wait_until_archived(self.other_file_last)?;
            self.journal.rotate(self.tip, archived).map_err(failed)?;
            self.other_file_last = self.tip.last;
        }
        let generation = self.journal.generation();
        journal::seal(&mut record, generation, Position(self.tip.last.0 + 1));
        let sync = self.journal.write(&record, self.tip.last).map_err(failed)?;
        let info = CommitInfo { events: tip.last.0 - self.tip.last.0, bytes: record.len() as u64, sync };
        self.tip = tip;
        shared.stats.count(&info);
        shared.publish(Commit { tip, generation, record, len, at: Instant::now() });
        Ok(Some(info))
    }

    /// Waits until all up to `last` is archived; gives up to where it is.
    fn wait_until_archived(&self, last: Position) -> Result<Position, Error> {
        let shared = &self.shared;
        let mut recent = lock(&shared.recent);
        while recent.archived.last < last {
            if shared.ends_now() {
                return Err(shared.failure.get().unwrap_or_else(closed));
            }
            recent.hurry = true;
            shared.to_archive.notify_one();
            recent = shared.archived.wait(recent).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(recent.archived.last)
    }
}

impl Shared {
    /// Lets readers see a commit, and the archiver have it.
    fn publish(&self, commit: Commit) {
        let last = commit.tip.last;
        let mut recent = lock(&self.recent);
        let before = recent.bytes;
        recent.bytes += commit.record.len();
        recent.durable = commit.tip;
        recent.commits.push_back(Arc::new(commit));
        // It waits without a timer while there is nothing, and with one while there is not enough.
        let wake = before == 0 || (before < self.archive_bytes && recent.bytes >= self.archive_bytes);
        drop(recent);
        self.durable.store(last.0, Ordering::Release);
        if wake {
            self.to_archive.notify_one();
        }
    }

    /// The archiving thread.
    pub fn run_archiver(&self) {
        // When the writer waits for it, the others have nothing to do.
        base::process_limits::yield_to_others();
        let mut taken = Vec::new();
        while self.take_commits(&mut taken) {
            let last = taken.last().map(|commit: &Arc<Commit>| (commit.tip, commit.generation));
            let Some((tip, generation)) = last else { break };
            let chunks = taken.iter().flat_map(|commit| commit.chunks());
            let outcome = catch_unwind(AssertUnwindSafe(|| self.archive.put(chunks, tip, generation)));
            let outcome = outcome.unwrap_or_else(|panic| Err(Error::Failed(panic_text(panic.as_ref()))));
            if let Err(error) = outcome {
                return self.fail(format!("archiving up to {}: {error}", tip.last));
            }
            self.forget(&mut taken, tip);
        }
    }

    /// Waits for enough to archive; false when the thread is to end.
    fn take_commits(&self, taken: &mut Vec<Arc<Commit>>) -> bool {
        let mut recent = lock(&self.recent);
        loop {
            if self.ends_now() {
                return false;
            }
            let Some(oldest) = recent.commits.front() else {
                if recent.drain {
                    return false;
                }
                recent.hurry = false;
                recent = self.to_archive.wait(recent).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let age = oldest.at.elapsed();
            if recent.bytes >= self.archive_bytes || recent.hurry || recent.drain || age >= self.archive_after {
                break;
            }
            let wait = self.to_archive.wait_timeout(recent, self.archive_after - age);
            recent = wait.unwrap_or_else(PoisonError::into_inner).0;
        }
        let mut bytes = 0;
        for commit in &recent.commits {
            bytes += commit.record.len();
            if !taken.is_empty() && bytes > ARCHIVE_BYTES_MAX {
                break;
            }
            taken.push(commit.clone());
        }
        true
    }

    /// Gives up the first commits, which are archived, and keeps some of their buffers.
    fn forget(&self, taken: &mut Vec<Arc<Commit>>, tip: ChainTip) {
        let mut recent = lock(&self.recent);
        recent.archived = tip;
        recent.commits.drain(..taken.len());
        recent.bytes -= taken.iter().map(|commit| commit.record.len()).sum::<usize>();
        for commit in taken.drain(..).filter_map(Arc::into_inner) {
            recent.keep_spare(commit.record);
        }
        recent.hurry = false;
        drop(recent);
        self.archived.notify_all();
    }
}
