//! The log, read on a thread of its own: checking its bytes takes a third of what publishing takes.

use crate::feed::Feed;
use crate::id::{Millis, StreamId};
use crate::log::{Error, Log, Position, Recorded};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Events, and bytes of them, that are read at a time. The log is not held while Kafka is waited for.
const BATCH_EVENTS: usize = 4_096;
const BATCH_BYTES: usize = 1 << 20;
/// Batches that are ready.
const READY_MAX: usize = 2;
/// How long nothing happens between two looks at the log.
const LOOK: Duration = Duration::from_millis(5);

/// The events after a position, a batch after the other.
pub struct Ahead {
    /// Always there but while it is dropped.
    batches: Option<Receiver<Result<Copies, Error>>>,
    /// Batches to be used again.
    spent: SyncSender<Copies>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ahead {
    /// Starts to read `log` after a position.
    pub fn start(log: Arc<dyn Log>, after: Position) -> std::io::Result<Ahead> {
        let (ready, batches) = sync_channel(READY_MAX);
        let (spent, again) = sync_channel::<Copies>(READY_MAX + 2);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        // As modest as who starts it.
        let thread = std::thread::Builder::new().name("kafka-ahead".into()).spawn(move || {
            let mut feed = Feed::new(log, after);
            while !stopped.load(Ordering::Acquire) {
                if !feed.wait(LOOK) {
                    continue;
                }
                let mut batch = again.try_recv().unwrap_or_default();
                let read = batch.read(&mut feed).map(|()| batch);
                let failed = read.is_err();
                if ready.send(read).is_err() || failed {
                    break;
                }
            }
        })?;
        Ok(Ahead { batches: Some(batches), spent, stop, thread: Some(thread) })
    }

    /// The next events, if there are any within `timeout`.
    pub fn next(&mut self, timeout: Duration) -> Result<Option<Copies>, Error> {
        let batches = self.batches.as_ref().expect("it is there until it is dropped");
        match batches.recv_timeout(timeout) {
            Ok(batch) => batch.map(Some),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => panic!("the thread that reads the log has ended"),
        }
    }

    /// Takes a batch back, whose room is used again.
    pub fn give_back(&mut self, batch: Copies) {
        let _ = self.spent.try_send(batch);
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Who waits to hand one over hears that nobody takes it.
        self.batches = None;
        if let Some(thread) = self.thread.take() {
            // Its panic, if any, has been told by the panic hook.
            let _ = thread.join();
        }
    }
}

/// Events copied from the log: while Kafka is waited for, the log's memory must not be held.
#[derive(Default)]
pub struct Copies {
    bytes: Vec<u8>,
    events: Vec<Copied>,
}

struct Copied {
    position: Position,
    stream: StreamId,
    version: u64,
    at_ms: Millis,
    name_bytes: usize,
    data_bytes: usize,
}

impl Copies {
    fn read(&mut self, feed: &mut Feed) -> Result<(), Error> {
        self.bytes.clear();
        self.events.clear();
        feed.poll(BATCH_EVENTS, &mut |event| {
            self.bytes.extend_from_slice(event.name.as_bytes());
            self.bytes.extend_from_slice(event.data);
            self.events.push(Copied {
                position: event.position,
                stream: event.stream,
                version: event.version,
                at_ms: event.at_ms,
                name_bytes: event.name.len(),
                data_bytes: event.data.len(),
            });
            self.bytes.len() < BATCH_BYTES
        })?;
        Ok(())
    }

    pub fn events(&self) -> impl Iterator<Item = Recorded<'_>> {
        let mut at = 0;
        self.events.iter().map(move |event| {
            let (name, data) = (at..at + event.name_bytes, at + event.name_bytes..);
            at += event.name_bytes + event.data_bytes;
            Recorded {
                position: event.position,
                stream: event.stream,
                version: event.version,
                at_ms: event.at_ms,
                name: std::str::from_utf8(&self.bytes[name]).expect("it was a str"),
                data: &self.bytes[data][..event.data_bytes],
            }
        })
    }
}
