//! From snapshot and log to states.

use super::replay::{self, replay_on};
use super::snapshots;
use crate::aggregate_store::{AggregateStore, shard_of};
use base::id::StreamId;
use eventlog::frame::ChainTip;
use eventlog::snapshot::Snapshot;
use eventlog::store::{Recovery, Store};
use eventlog::{Log, Position};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// A log up to this size is read and checked whole before anything in its folder is changed: a second's work.
pub const VERIFIED_AT_START_BYTES_MAX: u64 = 256 << 20;

/// What recovery found and did.
pub struct Report {
    /// The snapshot that what was not loaded is in.
    pub base: Option<Arc<Snapshot>>,
    /// Events replayed, after the snapshot that it began with.
    pub replayed: u64,
    pub last: Position,
    pub took: Duration,
    /// The log up to here was not read; [`super::scrub`] does it in the background.
    pub unverified: Option<Position>,
}

/// Rebuilds all states from the newest snapshot in `folder` and the events after it. Those of `snapshot_events` and more
/// are worth a new snapshot: it is made of the states that are there, where the thread that makes them otherwise would
/// replay the same events a second time; and wallets and accounts that nobody asks for do not stay in memory.
pub fn rebuild(
    store: &Store,
    opened: &Recovery,
    folder: &Path,
    snapshot_events: u64,
) -> Result<(AggregateStore, Report), eventlog::Error> {
    let started = Instant::now();
    let base = snapshots::newest(folder, store)?;
    let from = base.as_ref().map_or(Position(0), |base| base.position());
    let mut states = AggregateStore::on(base.clone());
    let replayed = replay_on(replay::threads(), store, (from, store.durable()), &mut states)?;
    if replayed >= snapshot_events {
        states = moved_to_snapshot(states, store.tip(), folder);
    }
    load_what_is_listed(&mut states)?;
    let unverified = (from > Position(0) && !opened.verified).then_some(from);
    let base = states.base.clone();
    let report = Report { base, replayed, last: store.durable(), took: started.elapsed(), unverified };
    Ok((states, report))
}

/// A snapshot of `states` with nothing loaded; the states themselves when none can be made.
fn moved_to_snapshot(mut states: AggregateStore, tip: ChainTip, folder: &Path) -> AggregateStore {
    match snapshots::write(&mut states, (tip.last, Some(tip.hash)), folder, &AtomicBool::new(false)) {
        Ok(Some(made)) => {
            let mut moved = AggregateStore::on(Some(made));
            moved.latest_ms = states.latest_ms;
            moved
        }
        Ok(None) => states,
        Err(error) => {
            tracing::warn!(%error, "no snapshot could be made of what was replayed");
            states
        }
    }
}

/// Loads what must be in memory from the start: performances (for their timers and purchases in flight), and what the
/// live lists show.
fn load_what_is_listed(states: &mut AggregateStore) -> Result<(), eventlog::Error> {
    let Some(base) = states.base.clone() else { return Ok(()) };
    for flagged in base.iter_flagged() {
        let (category, key, _) = flagged?;
        states.load_stream(StreamId { category, key })?;
    }
    Ok(())
}

/// Deals states out to the shards that own them.
pub fn split(states: AggregateStore, shards: usize) -> Vec<AggregateStore> {
    if shards == 1 {
        return vec![states];
    }
    let mut parts: Vec<AggregateStore> = (0..shards).map(|_| AggregateStore::on(states.base.clone())).collect();
    states.deal(&|stream: StreamId| shard_of(stream, shards), &mut parts);
    parts
}
