//! How far those are that durable events go out to: Kafka, read models. What `/metrics` and `/readyz?verbose` tell.

use crate::{Log, Position};
use base::id::Millis;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Nothing is known about when the next event was recorded.
const UNKNOWN: u64 = u64::MAX;
/// Behind by less than this many ms, an output is on time.
const ON_TIME_MS: Millis = 1_000;

/// One output. Its own thread tells, anybody looks; no call waits for anything.
pub struct Output {
    name: &'static str,
    log: Arc<dyn Log>,
    position: AtomicU64,
    /// When the first event was recorded that is not there yet.
    next_at_ms: AtomicU64,
    /// It has looked at what is there.
    begun: AtomicBool,
    records: AtomicU64,
    faults: AtomicU64,
    trouble: Mutex<Option<String>>,
}

/// How an output is at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct SinkStatus {
    pub name: &'static str,
    pub state: State,
    /// Everything up to here is there.
    pub position: Position,
    /// Durable events that are not there yet.
    pub lag_events: u64,
    /// Since when the first of them waits, s; none while that is not known.
    pub lag_seconds: Option<f64>,
    /// Records that were sent since the start.
    pub records: u64,
    /// Times that it could not go on, since the start.
    pub faults: u64,
    /// What keeps it from going on.
    pub trouble: Option<String>,
}

/// In one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Everything that is older than a second is there.
    Ok,
    /// Nothing is wrong, but it has to catch up, or has not looked yet.
    Behind,
    /// It cannot go on, and tries again.
    Failing,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Behind => "behind",
            State::Failing => "failing",
        }
    }
}

impl Output {
    /// An output of `log` that has nothing yet.
    pub fn new(name: &'static str, log: Arc<dyn Log>) -> Arc<Output> {
        Arc::new(Output {
            name,
            log,
            position: AtomicU64::new(0),
            next_at_ms: AtomicU64::new(UNKNOWN),
            begun: AtomicBool::new(false),
            records: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            trouble: Mutex::default(),
        })
    }

    /// Everything up to `position` is there; the next event was recorded at `next_at_ms`, if that is known.
    pub fn reached(&self, position: Position, next_at_ms: Option<Millis>) {
        self.expects(position, next_at_ms);
        self.begun.store(true, Ordering::Release);
    }

    /// The same before it has looked: what it remembers. Until it has, nobody is told that it is on time.
    pub fn expects(&self, position: Position, next_at_ms: Option<Millis>) {
        self.position.store(position.0, Ordering::Release);
        self.next_at_ms.store(next_at_ms.unwrap_or(UNKNOWN), Ordering::Release);
    }

    /// `records` more were sent.
    pub fn sent(&self, records: u64) {
        self.records.fetch_add(records, Ordering::Relaxed);
    }

    /// It cannot go on because of `what`. Gives whether that is news.
    pub fn fails(&self, what: &str) -> bool {
        self.faults.fetch_add(1, Ordering::Relaxed);
        let before = self.trouble().replace(what.to_owned());
        before.as_deref() != Some(what)
    }

    /// It goes on. Gives whether it could not before.
    pub fn works(&self) -> bool {
        self.trouble().take().is_some()
    }

    /// How it is at `now`.
    pub fn look(&self, now: Millis) -> SinkStatus {
        let position = Position(self.position.load(Ordering::Acquire));
        let lag_events = self.log.durable().0.saturating_sub(position.0);
        let lag_ms = match self.next_at_ms.load(Ordering::Acquire) {
            _ if lag_events == 0 => Some(0),
            UNKNOWN => None,
            at_ms => Some(now.saturating_sub(at_ms)),
        };
        let trouble = self.trouble().clone();
        let state = match &trouble {
            Some(_) => State::Failing,
            None if !self.begun.load(Ordering::Acquire) => State::Behind,
            None if lag_ms.is_none_or(|lag_ms| lag_ms >= ON_TIME_MS) => State::Behind,
            None => State::Ok,
        };
        SinkStatus {
            name: self.name,
            state,
            position,
            lag_events,
            lag_seconds: lag_ms.map(|lag_ms| lag_ms as f64 / 1000.0),
            records: self.records.load(Ordering::Relaxed),
            faults: self.faults.load(Ordering::Relaxed),
            trouble,
        }
    }

    fn trouble(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Batch;
    use crate::memory::MemoryLog;
    use base::id::{Category, StreamId};

    #[test]
    fn lag_is_what_is_durable_and_not_there() {
        let log = Arc::new(MemoryLog::new());
        let output = Output::new("test", log.clone());
        assert_eq!((output.look(9).lag_events, output.look(9).state), (0, State::Behind), "it has not looked");
        output.reached(Position(0), None);
        assert_eq!((output.look(9).lag_events, output.look(9).state), (0, State::Ok));
        let mut batch = Batch::new();
        let stream = StreamId { category: Category::Wallet, key: uuid::Uuid::from_u128(1) };
        for version in 1..=3 {
            batch.push(stream, version, 1_000 * version, "Tested.v1", |out| out.extend(b"{}"));
        }
        log.append(batch, None).unwrap();
        log.commit();
        let look = output.look(5_000);
        assert_eq!((look.lag_events, look.lag_seconds, look.state), (3, None, State::Behind));
        output.reached(Position(1), Some(2_000));
        let look = output.look(5_000);
        assert_eq!((look.lag_events, look.lag_seconds, look.state), (2, Some(3.0), State::Behind));
        assert!(output.fails("no broker"));
        assert!(!output.fails("no broker"), "no news");
        assert_eq!((output.look(5_000).state, output.look(5_000).faults), (State::Failing, 2));
        assert!(output.works() && !output.works());
        output.reached(Position(3), None);
        assert_eq!((output.look(5_000).state, output.look(5_000).lag_seconds), (State::Ok, Some(0.0)));
    }
}
