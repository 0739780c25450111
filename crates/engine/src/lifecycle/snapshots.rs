//! Snapshots while the engine runs, made from the log and not from the actors: no command ever waits for one, and whoever
//! has a command is before them.
//!
//! A new snapshot = the one before + the events since. What has no events since is copied as bytes.

use crate::Engine;
use crate::aggregate_store::{AggregateStore, SNAPSHOT_SCHEMA, Stored};
use base::id::StreamId;
use domain::{Aggregate, by_category};
use eventlog::frame::Hash;
use eventlog::snapshot::{Snapshot, Writer};
use eventlog::store::Store;
use eventlog::{Chunks, Log, Position};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the thread looks whether there are enough new events.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// An attempt costs as much as a snapshot: after one that failed the next one waits.
const AGAIN_IN: Duration = Duration::from_secs(60);

/// The thread that makes snapshots.
pub struct Snapshotter {
    stop: Arc<(Mutex<bool>, Condvar)>,
    abandon: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Snapshotter {
    pub fn start(
        store: Arc<Store>,
        folder: PathBuf,
        base: Option<Arc<Snapshot>>,
        every_events: u64,
        engine: Engine,
    ) -> Snapshotter {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let abandon = Arc::new(AtomicBool::new(false));
        let (stopped, abandoned) = (stop.clone(), abandon.clone());
        let run = move || {
            base::process_limits::yield_to_others();
            let mut base = base;
            let mut pause = LOOK_EVERY;
            while !wait(&stopped, std::mem::replace(&mut pause, LOOK_EVERY)) {
                let from = base.as_ref().map_or(0, |base| base.position().0);
                if store.durable().0 < from + every_events {
                    continue;
                }
                match make(&*store, base.clone(), &folder, &abandoned) {
                    Ok(Some(made)) => {
                        engine.rebase(&made);
                        base = Some(made);
                    }
                    Ok(None) => return,
                    // The log is whole without it; a start takes longer until one succeeds.
                    Err(error) => {
                        tracing::error!(%error, "no snapshot could be made; the next attempt is in {AGAIN_IN:?}");
                        pause = AGAIN_IN;
                    }
                }
            }
        };
        let thread = std::thread::Builder::new().name("snapshots".into()).spawn(run);
        let thread = thread.inspect_err(|error| tracing::warn!(%error, "no snapshots will be made")).ok();
        Snapshotter { stop, abandon, thread }
    }

    /// Ends the thread; a snapshot that is being made is given up.
    pub fn stop(mut self) {
        self.abandon.store(true, Ordering::SeqCst);
        *self.stop.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.1.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Waits so long; true when told to stop.
fn wait((stopped, told): &(Mutex<bool>, Condvar), pause: Duration) -> bool {
    let stopped = stopped.lock().unwrap_or_else(PoisonError::into_inner);
    if *stopped {
        return true;
    }
    let (stopped, _) = told.wait_timeout(stopped, pause).unwrap_or_else(PoisonError::into_inner);
    *stopped
}

/// The newest snapshot in `folder` that this binary can use and that was made of `log`.
pub fn newest(folder: &Path, log: &dyn Chunks) -> Result<Option<Arc<Snapshot>>, eventlog::Error> {
    Ok(Snapshot::open_latest_of(folder, SNAPSHOT_SCHEMA, log)?.map(Arc::new))
}

/// Makes a snapshot of everything durable now, on top of `base`. `None` when it was given up.
pub fn make(
    log: &dyn Chunks,
    base: Option<Arc<Snapshot>>,
    folder: &Path,
    abandon: &AtomicBool,
) -> Result<Option<Arc<Snapshot>>, eventlog::Error> {
    let to = log.durable();
    let from = base.as_ref().map_or(Position(0), |base| base.position());
    let mut states = AggregateStore::on(base);
    super::replay::replay(log, from, to, &mut states, abandon)?;
    if abandon.load(Ordering::Relaxed) {
        return Ok(None);
    }
    write(&mut states, (to, log.hash_at(to)?), folder, abandon)
}

/// Writes `states`, which are those at `to`, where the log has this hash, with everything that they leave in the snapshot below them. `None` when it was
/// given up.
pub fn write(
    states: &mut AggregateStore,
    (to, hash): (Position, Option<Hash>),
    folder: &Path,
    abandon: &AtomicBool,
) -> Result<Option<Arc<Snapshot>>, eventlog::Error> {
    let base = states.base.clone();
    // What is listed for a time only (accounts with ended sessions) is looked at again.
    for flagged in base.iter().flat_map(|base| base.iter_flagged()) {
        let (category, key, _) = flagged?;
        if by_category!(category, A => A::LISTED_FOR_A_TIME) {
            states.load_stream(StreamId { category, key })?;
        }
    }
    let mut writer = Writer::create(folder, to, hash, SNAPSHOT_SCHEMA)?;
    for entry in base.iter().flat_map(|base| base.iter()) {
        let (category, key, entry) = entry?;
        if !states.has(StreamId { category, key }) {
            writer.put(category, key, entry.version, entry.last_position, entry.flags, &entry.bytes)?;
        }
    }
    states.each_stored(&mut |Stored { stream, version, position, flags, bytes }| {
        writer.put(stream.category, stream.key, version, position, flags, bytes)
    })?;
    if abandon.load(Ordering::Relaxed) {
        return Ok(None);
    }
    writer.finish()?;
    Ok(Snapshot::open_latest(folder, SNAPSHOT_SCHEMA, to)?.map(Arc::new))
}
