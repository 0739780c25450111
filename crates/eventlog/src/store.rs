//! The durable log of a data folder: a journal in front, which commits are written to and synced, and sled behind, where
//! a second thread moves them.
//!
//! Invariants: archived ≤ durable ≤ appended; what is not archived is in the journal; a `then` gets `Ok` only after the
//! sync of the record that holds everything appended before it.
//!
//! Recovery keeps every acknowledged event or refuses to start, but for damage that looks like what a crash leaves: it
//! hits the last record in the journal, which is not archived, and nothing else. It is reported as a cut where the
//! record's beginning is left to see. More than that is noticed by what lies elsewhere: the journal's stamp (which is up to
//! 10 ms old), the beginnings of later records, the archive's head and the generation that it came from (up to
//! [`Options::archive_after`] old). Only damage that takes these along and everything after them passes for a crash.

pub use super::failure::{Fault, OnFailure, Op};
pub use super::recover::{Cut, Known, Recovery};

use super::failure::{Failure, io_error};
use super::frame::{ChainTip, Chunk, Hash};
use super::journal::{self, Journal};
use super::recover;
use super::writer::{Commit, Queue, Recent, Shared, Writer, lock};
use super::{Batch, Chunks, Error, Log, OnDurable, Position, Recorded};
use crate::archive::file::ReadTo;
use crate::archive::relocate;
use crate::sled::SLED;
use crate::sled::tier::{self, Archive};
pub use crate::stats::{CommitInfo, StoreStats};
use base::trace_context::TraceContext;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use uuid::Uuid;

/// Above this many bytes of frames that wait for the disk, [`Log::has_room`] is false.
const PENDING_BYTES_MAX: usize = 8 << 20;
/// The smallest journal file.
pub const JOURNAL_BYTES_MIN: u64 = 64 << 10;

/// How a [`Store`] is opened.
pub struct Options {
    /// The length of each of the two journal files; at least [`JOURNAL_BYTES_MIN`]. A batch has to fit into one.
    /// It also bounds the memory for what is not archived yet, to twice this.
    pub journal_bytes: u64,
    /// What sled may cache; it can need a multiple of it.
    pub cache_bytes: u64,
    /// Commits are archived when there are so many bytes of them,
    pub archive_bytes: usize,
    /// or when the first of them is this old.
    pub archive_after: Duration,
    /// An archive of up to so many bytes is read and checked by [`Store::open`], before anything is changed.
    pub verify_bytes_max: u64,
    /// What the log is known to be: another one is refused before anything is changed.
    pub known: Option<Known>,
    /// Called after each commit, on the writer's thread: it must be short.
    pub on_commit: Option<Box<dyn Fn(CommitInfo) + Send + Sync>>,
    /// Called once if the log fails: the process has to stop. May be called on any of the log's threads.
    pub on_failure: OnFailure,
    /// For tests.
    pub fault: Option<Fault>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            journal_bytes: 64 << 20,
            cache_bytes: 32 << 20,
            archive_bytes: 2 << 20,
            archive_after: Duration::from_secs(1),
            verify_bytes_max: 0,
            known: None,
            on_commit: None,
            on_failure: Box::new(|_| {}),
            fault: None,
        }
    }
}

/// The durable log of a data folder. To be opened once at a time, which the caller sees to with a lock of its own; sled's
/// lock only keeps two from being open at the same moment.
///
/// Dropping it is like a crash: what is not durable is given up and its `then`s get an error. [`Store::close`] first.
pub struct Store {
    dir: PathBuf,
    id: Uuid,
    journal_bytes: u64,
    shared: Arc<Shared>,
    threads: Mutex<Option<Threads>>,
}

struct Threads {
    writer: JoinHandle<()>,
    archiver: JoinHandle<()>,
}

impl Store {
    /// Opens the log in `dir`, which is created if need be, and recovers what a crash left: afterwards everything that
    /// was ever acknowledged is there. Fails closed, naming the position, when it is not; then the folder is as it was, but
    /// for what sled does to its own files. Chunks that were archived earlier are read only when there are few of them
    /// ([`Options::verify_bytes_max`]): [`Store::verify_chain`] reads all.
    ///
    /// Events that were moved out ([`crate::archive`]) are not read either, and need not be there.
    ///
    /// The folder holds `journal-0`, `journal-1`, `sled/`, after `onsale archive` also `archive/`, and, after a clean
    /// shutdown, `clean`.
    pub fn open(dir: &Path, options: Options) -> Result<(Store, Recovery), Error> {
        if options.journal_bytes < JOURNAL_BYTES_MIN {
            return Err(Error::Other(format!("journal files need at least {JOURNAL_BYTES_MIN} bytes")));
        }
        std::fs::create_dir_all(dir).map_err(|error| io_error(dir, &error))?;
        if let Some(parent) = dir.canonicalize().ok().as_deref().and_then(Path::parent) {
            journal::sync_dir(parent)?;
        }
        relocate::settle(dir)?;
        recover::expect_archive(dir)?;
        let (sled, archived) = (dir.join(SLED), recover::archived_at_least(dir)?);
        let located = |error| tier::locate(error, &sled, archived);
        let archive = Archive::open(&sled, options.cache_bytes, options.fault.clone(), archived).map_err(located)?;
        let verified = archive.size_bytes() <= options.verify_bytes_max;
        if verified {
            let first = Position(archive.cold().end().last.0 + 1);
            archive.read(first, archive.head().map_err(located)?, &mut |_| true)?;
        }
        let away: Vec<PathBuf> = archive.cold().away().map(|part| archive.cold().path(part)).collect();
        if let Some(first) = away.first() {
            let (files, first) = (away.len(), first.display());
            tracing::warn!(files, %first, "archive files are not there: what needs their events will say so");
        }
        let found = recover::recover(dir, &archive, options.known).map_err(located)?;
        if let Some(cut) = found.cut {
            tracing::warn!(after = cut.after.0, bytes = cut.bytes, "cut off a write that had not finished");
        }
        let bytes = options.journal_bytes;
        // Files that are about to be replaced must not count, or a crash half way would look like damage.
        if archive.journal_bytes()?.is_some_and(|was| was != bytes) {
            archive.describe(found.id, None)?;
        }
        let journal = Journal::start(dir, found.id, bytes, found.next, found.tip, options.fault.clone())?;
        if archive.journal_bytes()? != Some(bytes) {
            archive.describe(found.id, Some(bytes))?;
        }
        recover::remove_clean(dir)?;
        let shared = Arc::new(Shared {
            archive,
            failure: Failure::new(options.on_failure),
            stats: StoreStats::default(),
            origins: Default::default(),
            on_commit: options.on_commit,
            archive_bytes: options.archive_bytes.max(1),
            archive_after: options.archive_after,
            batch_bytes_max: journal::frames_max(bytes),
            durable: AtomicU64::new(found.tip.last.0),
            appended: AtomicU64::new(found.tip.last.0),
            pending_bytes: AtomicUsize::new(0),
            queue: Mutex::new(Queue::default()),
            work: Condvar::new(),
            recent: Mutex::new(Recent::new(found.tip)),
            to_archive: Condvar::new(),
            archived: Condvar::new(),
            abandoned: AtomicBool::new(false),
        });
        let threads = start_threads(&shared, journal, found.tip)?;
        let threads = Mutex::new(Some(threads));
        let store = Store { dir: dir.to_owned(), id: found.id, journal_bytes: bytes, shared, threads };
        let recovery = Recovery {
            id: found.id,
            first: Position(found.tip.last.0.min(1)),
            last: found.tip.last,
            size_bytes: store.size_bytes(),
            clean: found.clean,
            from_journal: found.from_journal,
            verified,
            cut: found.cut,
        };
        Ok((store, recovery))
    }

    /// Makes everything appended durable, archives it, notes that the shutdown was clean and ends the threads. Appends
    /// that come later are refused; reading goes on. An error when the log has failed; a second call does nothing.
    pub fn close(&self) -> Result<(), Error> {
        let Some(threads) = lock(&self.threads).take() else { return Ok(()) };
        lock(&self.shared.queue).closed = true;
        self.shared.wake_all();
        let writer = threads.writer.join();
        lock(&self.shared.recent).drain = true;
        self.shared.wake_all();
        let archiver = threads.archiver.join();
        if writer.is_err() || archiver.is_err() {
            self.shared.fail("one of the log's threads panicked".into());
        }
        if let Some(error) = self.shared.failure.get() {
            return Err(error);
        }
        let archived = lock(&self.shared.recent).archived;
        assert_eq!(archived.last, self.durable(), "everything durable is archived");
        recover::write_clean(&self.dir, archived)
    }

    /// The log's identity, given to it when it was created.
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Reads every chunk from the one that holds `from` on and checks CRC, contiguity and hash chain, without looking
    /// at the events. Gives the last position.
    pub fn verify_chain(&self, from: Position) -> Result<Position, Error> {
        let mut last = self.durable();
        self.read_chunks(Position(from.0.saturating_sub(1)), &mut |chunk| {
            last = last.max(chunk.last());
            true
        })?;
        Ok(last)
    }

    /// The end of what is durable, with the chain's hash there.
    pub fn tip(&self) -> ChainTip {
        lock(&self.shared.recent).durable
    }

    /// The first event that is not in an archive file; 1 where nothing was moved.
    pub fn first(&self) -> Position {
        Position(self.shared.archive.cold().end().last.0 + 1)
    }

    /// The bytes on disk, with the journal's files and without archive files.
    pub fn size_bytes(&self) -> u64 {
        self.shared.archive.size_bytes() + 2 * self.journal_bytes
    }

    /// How many bytes of frames a batch can have: it must fit into a journal file.
    pub fn batch_bytes_max(&self) -> usize {
        self.shared.batch_bytes_max
    }

    pub fn stats(&self) -> &StoreStats {
        &self.shared.stats
    }

    /// How far the log is archived; at most [`Log::durable`].
    pub fn archived(&self) -> Position {
        lock(&self.shared.recent).archived.last
    }
}

fn start_threads(shared: &Arc<Shared>, journal: Journal, tip: ChainTip) -> Result<Threads, Error> {
    let failed = |error: std::io::Error| Error::Other(format!("starting a thread: {error}"));
    let archiving = shared.clone();
    let archiver = std::thread::Builder::new().name("log-archiver".into()).spawn(move || archiving.run_archiver());
    let archiver = archiver.map_err(failed)?;
    // Everything up to the tip is archived, so the other file is free.
    let writer = Writer { shared: shared.clone(), journal, tip, other_file_last: tip.last };
    let writer = std::thread::Builder::new().name("log-writer".into()).spawn(move || writer.run());
    let writer = writer.map_err(|error| {
        shared.abandon();
        failed(error)
    })?;
    Ok(Threads { writer, archiver })
}

impl Drop for Store {
    fn drop(&mut self) {
        let Some(threads) = lock(&self.threads).take() else { return };
        self.shared.abandon();
        for thread in [threads.writer, threads.archiver] {
            // A `then` may hold the last handle to the log: a thread cannot wait for itself.
            if thread.thread().id() != std::thread::current().id() {
                // Its panic, if any, has been told by the panic hook.
                let _ = thread.join();
            }
        }
    }
}

impl Log for Store {
    fn append(&self, batch: Batch, then: Option<OnDurable>) -> Result<Position, Error> {
        self.shared.append(batch, then)
    }

    fn durable(&self) -> Position {
        Position(self.shared.durable.load(Ordering::Acquire))
    }

    fn appended(&self) -> Position {
        Position(self.shared.appended.load(Ordering::Acquire))
    }

    fn origin(&self, position: Position) -> Option<Arc<TraceContext>> {
        self.shared.origins.of(position)
    }

    fn has_room(&self) -> bool {
        self.shared.pending_bytes.load(Ordering::Relaxed) < PENDING_BYTES_MAX
    }

    fn read_from(&self, after: Position, each: &mut dyn FnMut(Recorded<'_>) -> bool) -> Result<Position, Error> {
        super::log::read_events(self, after, each)
    }
}

impl Chunks for Store {
    fn hash_at(&self, position: Position) -> Result<Option<Hash>, Error> {
        // Of what was moved to files, the end is known without them.
        let moved = self.shared.archive.cold().end();
        if position == moved.last { Ok(Some(moved.hash)) } else { super::log::hash_at(self, position) }
    }

    fn read_chunks(&self, after: Position, each: &mut dyn FnMut(Chunk<'_>) -> bool) -> Result<(), Error> {
        let (archived, commits) = {
            let recent = lock(&self.shared.recent);
            if after >= recent.durable.last {
                return Ok(());
            }
            let start = recent.commits.partition_point(|commit| commit.tip.last <= after);
            let commits: Vec<Arc<Commit>> = recent.commits.range(start..).cloned().collect();
            (recent.archived, commits)
        };
        if after < archived.last {
            let read = self.shared.archive.read(Position(after.0 + 1), archived, each)?;
            if read == ReadTo::Stopped {
                return Ok(());
            }
        }
        let mut tip = (after <= archived.last).then_some(archived);
        for commit in &commits {
            for chunk in commit.chunks() {
                if chunk.last() <= after {
                    continue;
                }
                // In the middle of the commits there is nothing to check the first chunk against but itself.
                let before = tip.unwrap_or(ChainTip { last: Position(chunk.first.0 - 1), hash: chunk.prev });
                tip = Some(before.extend(&chunk)?);
                if !each(chunk) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
