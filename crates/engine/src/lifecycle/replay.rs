//! From events to states, on all cores: one thread reads the log and checks CRC and chain, the others decode and apply,
//! each the streams that are its own.

use crate::aggregate_store::{AggregateStore, shard_of};
use eventlog::frame::Chunk;
use eventlog::{Chunks, Error, Log, Position};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};

/// Chunks that wait for one of the threads.
const CHUNKS_WAITING_MAX: usize = 256;

/// Threads that decode and apply; beyond this the one that reads is the limit.
const THREADS_MAX: usize = 4;

/// How many threads are worth it here.
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(THREADS_MAX)
}

/// Applies the events after `from` up to `to`, or until it is told to give up; gives their number.
pub fn replay(
    log: &dyn Log,
    from: Position,
    to: Position,
    states: &mut AggregateStore,
    give_up: &AtomicBool,
) -> Result<u64, Error> {
    let mut failed = None;
    let mut count = 0;
    log.read_from(from, &mut |event| {
        if event.position > to || give_up.load(Ordering::Relaxed) {
            return false;
        }
        count += 1;
        failed = states.apply(&event).err();
        failed.is_none()
    })?;
    failed.map_or(Ok(count), Err)
}

/// The same, on `threads` threads beside this one.
pub fn replay_on(
    threads: usize,
    log: &dyn Chunks,
    (from, to): (Position, Position),
    states: &mut AggregateStore,
) -> Result<u64, Error> {
    let base = states.base.clone();
    std::thread::scope(|scope| {
        let mut senders = Vec::new();
        let mut workers = Vec::new();
        for worker in 0..threads {
            let (sender, chunks) = sync_channel::<Arc<[u8]>>(CHUNKS_WAITING_MAX);
            let states = AggregateStore::on(base.clone());
            senders.push(sender);
            workers.push(
                scope.spawn(move || {
                    apply_own(&chunks, (from, to), states, &|stream| shard_of(stream, threads) == worker)
                }),
            );
        }
        let read = log.read_chunks(from, &mut |chunk| {
            let bytes: Arc<[u8]> = chunk.bytes().into();
            // A worker that has found damage does not take any more.
            chunk.first <= to && senders.iter().all(|sender| sender.send(bytes.clone()).is_ok())
        });
        drop(senders);
        let mut count = 0;
        let mut failed: Vec<Error> = Vec::new();
        for worker in workers {
            match worker.join() {
                Ok(Ok((part, applied))) => {
                    states.absorb(part);
                    count += applied;
                }
                Ok(Err(error)) => failed.push(error),
                Err(_) => failed.push(Error::Other("a thread that replays the log panicked".into())),
            }
        }
        // The first damage is told, whoever found it.
        failed.extend(read.err());
        match failed.into_iter().min_by_key(position_of) {
            Some(error) => Err(error),
            None => Ok(count),
        }
    })
}

fn position_of(error: &Error) -> Position {
    match error {
        Error::Damaged { position, .. } => *position,
        _ => Position(0),
    }
}

fn apply_own(
    chunks: &Receiver<Arc<[u8]>>,
    (from, to): (Position, Position),
    mut states: AggregateStore,
    is_own: &dyn Fn(base::id::StreamId) -> bool,
) -> Result<(AggregateStore, u64), Error> {
    let mut count = 0;
    for bytes in chunks {
        let (chunk, _) = Chunk::split_first(&bytes).map_err(|what| Error::Other(what.into()))?;
        for event in chunk.events() {
            let event = event?;
            if event.position > from && event.position <= to && is_own(event.stream) {
                states.apply(&event)?;
                count += 1;
            }
        }
    }
    Ok((states, count))
}
