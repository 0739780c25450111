//! A log in memory that forgets what was not committed when it "crashes": for tests and the seeded simulator. It has no
//! threads and no clock of its own, so that a run is the same every time.

use super::frame::{self, ChainTip, Chunk};
use super::{Batch, Chunks, Error, Log, OnDurable, Position, Recorded};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A log in memory. [`MemoryLog::new`] commits when it is told to, [`MemoryLog::auto`] at once.
pub struct MemoryLog {
    state: Mutex<State>,
    auto: bool,
}

/// Above this many bytes of uncommitted frames [`Log::has_room`] is false; as in the durable log.
const PENDING_BYTES_MAX: usize = 8 << 20;

#[derive(Default)]
struct State {
    queued: VecDeque<Queued>,
    queued_bytes: usize,
    appended: Position,
    tip: ChainTip,
    chunks: Vec<Arc<[u8]>>,
    /// `then`s that are due. They run outside the lock, in order, and by one caller at a time: a `then` that appends
    /// only adds to this queue.
    due: VecDeque<(OnDurable, Result<Position, Error>)>,
    runs_due: bool,
    fail_next: bool,
    failed: Option<Error>,
    /// Its last commit goes with a crash, and what was there before it.
    loses_syncs: bool,
    before: (ChainTip, usize),
}

struct Queued {
    batch: Batch,
    then: Option<OnDurable>,
    /// The position that its append gave.
    last: Position,
}

impl Default for MemoryLog {
    fn default() -> Self {
        MemoryLog::new()
    }
}

impl MemoryLog {
    /// An empty log that commits only in [`MemoryLog::commit`] and [`MemoryLog::commit_n`].
    pub fn new() -> MemoryLog {
        MemoryLog { state: Mutex::default(), auto: false }
    }

    /// An empty log that commits every batch as it is appended. A `then` may run before `append` returns, on the
    /// appending thread; or on another that is appending at the same time.
    pub fn auto() -> MemoryLog {
        MemoryLog { state: Mutex::default(), auto: true }
    }

    /// Commits everything queued and then runs the `then`s. Gives the number of batches committed.
    pub fn commit(&self) -> usize {
        self.commit_n(usize::MAX)
    }

    /// Commits the first `batches` that are queued, as one commit, and then runs their `then`s.
    pub fn commit_n(&self, batches: usize) -> usize {
        let committed = self.lock().commit_n(batches);
        self.run_due();
        committed
    }

    /// How many batches wait to be committed.
    pub fn queued(&self) -> usize {
        self.lock().queued.len()
    }

    /// Forgets what is not committed, as a process that is killed does; the `then`s of it are dropped uncalled.
    pub fn crash(&self) {
        let mut state = self.lock();
        let forgotten = std::mem::take(&mut state.queued);
        state.queued_bytes = 0;
        if state.loses_syncs {
            let (tip, chunks) = state.before;
            state.tip = tip;
            state.chunks.truncate(chunks);
        }
        state.appended = state.tip.last;
        // A `then` may own something whose drop comes back to this log.
        drop(state);
        drop(forgotten);
    }

    /// Makes it a disk that lies: a crash takes the last commit, too, though everybody was told that it is there.
    pub fn lose_syncs(&self) {
        self.lock().loses_syncs = true;
    }

    /// Makes the next commit of anything fail: every `then` that waits gets an error, and so does every later append.
    pub fn fail_next(&self) {
        self.lock().fail_next = true;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere in a test must not hide behind a poisoned lock: the state is consistent between statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run_due(&self) {
        let mut state = self.lock();
        if state.runs_due {
            return;
        }
        state.runs_due = true;
        while let Some((then, outcome)) = state.due.pop_front() {
            drop(state);
            then(outcome);
            state = self.lock();
        }
        state.runs_due = false;
    }
}

impl State {
    fn commit_n(&mut self, batches: usize) -> usize {
        let count = batches.min(self.queued.len());
        if count == 0 {
            return 0;
        }
        if std::mem::take(&mut self.fail_next) {
            let error = Error::Failed("told to".into());
            self.failed = Some(error.clone());
            let on_durable = self.queued.drain(..).filter_map(|queued| queued.then);
            self.due.extend(on_durable.map(|then| (then, Err(error.clone()))));
            self.queued_bytes = 0;
            return 0;
        }
        self.before = (self.tip, self.chunks.len());
        let mut frames = Vec::new();
        for queued in self.queued.drain(..count) {
            frames.extend_from_slice(&queued.batch.frames);
            self.due.extend(queued.then.map(|then| (then, Ok(queued.last))));
        }
        self.queued_bytes -= frames.len();
        let mut packed = Vec::new();
        self.tip = frame::pack(&frames, self.tip, &mut packed);
        let mut rest = packed.as_slice();
        while let Ok((chunk, after)) = Chunk::split_first(rest) {
            self.chunks.push(chunk.bytes().into());
            rest = after;
        }
        assert!(rest.is_empty(), "what was packed reads back, but for {} bytes", rest.len());
        count
    }
}

impl Log for MemoryLog {
    fn append(&self, batch: Batch, then: Option<OnDurable>) -> Result<Position, Error> {
        batch.check(usize::MAX)?;
        let mut state = self.lock();
        if let Some(error) = &state.failed {
            return Err(error.clone());
        }
        state.appended.0 += u64::from(batch.count);
        state.queued_bytes += batch.frames.len();
        let appended = state.appended;
        state.queued.push_back(Queued { batch, then, last: appended });
        if self.auto {
            state.commit_n(usize::MAX);
        }
        drop(state);
        if self.auto {
            self.run_due();
        }
        Ok(appended)
    }

    fn durable(&self) -> Position {
        self.lock().tip.last
    }

    fn appended(&self) -> Position {
        self.lock().appended
    }

    fn has_room(&self) -> bool {
        self.lock().queued_bytes < PENDING_BYTES_MAX
    }

    fn read_from(&self, after: Position, each: &mut dyn FnMut(Recorded<'_>) -> bool) -> Result<Position, Error> {
        super::log::read_events(self, after, each)
    }
}

impl Chunks for MemoryLog {
    fn read_chunks(&self, after: Position, each: &mut dyn FnMut(Chunk<'_>) -> bool) -> Result<(), Error> {
        let parse = |bytes| Chunk::parse(bytes).map_err(|what| frame::damaged(after, what));
        // Copied out: `each` may come back to this log.
        let chunks: Vec<Arc<[u8]>> = {
            let state = self.lock();
            let start = state
                .chunks
                .partition_point(|bytes| frame::u64_at(bytes, 12) <= after.0.saturating_add(1))
                .saturating_sub(1);
            state.chunks[start..].to_vec()
        };
        for bytes in &chunks {
            let chunk = parse(bytes)?;
            if chunk.last() > after && !each(chunk) {
                break;
            }
        }
        Ok(())
    }
}
