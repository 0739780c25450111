//! What is watched: the last frames of it, shared by all of its streams.

use super::end::End;
use super::locked::lock;
use super::pace::{Cost, PHASES};
use super::text::Text;
use crate::kit::error::Problem;
use futures_util::future::BoxFuture;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;
use tokio::sync::watch;

/// Frames that are kept for streams that are a little behind.
const FRAMES_MAX: usize = 128;
/// Bytes of them.
const FRAMES_BYTES_MAX: usize = 4 << 20;

/// An event, ready to be sent.
pub struct Frame {
    /// Whoever is at this version or a later one can go on with this frame; 0 when everyone can.
    pub since: u64,
    /// Where one is with this frame: the event's id.
    pub version: u64,
    /// Counts what everyone must be told although the version is the same.
    pub turn: u64,
    pub text: Text,
}

/// What one stream gets by itself, to be in step with the others.
#[derive(Clone)]
pub struct CatchUp {
    pub version: u64,
    /// The topic's [`Topic::cursor`] before the catch-up was made.
    pub cursor: Cursor,
    pub text: Text,
}

/// How far a stream is within a topic's frames.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Cursor {
    /// The number of the last frame that was looked at: 1 for the first.
    number: u64,
    turn: u64,
}

/// Makes catch-ups.
pub trait Source: Send + Sync {
    /// What leads from the version `at` (from nothing, when `None`) to a version that is not before `at`.
    fn catch_up(&self, topic: Arc<Topic>, at: Option<u64>) -> BoxFuture<'static, Result<CatchUp, Problem>>;
}

/// Something that streams show.
pub struct Topic {
    /// Another one for each topic.
    pub id: u64,
    source: Option<Arc<dyn Source>>,
    frames: Mutex<Frames>,
    /// The number of the newest frame.
    newest: AtomicU64,
    turn: AtomicU64,
    /// Why there is no frame any more after the newest.
    end: OnceLock<End>,
    /// How often each phase was called.
    calls: [AtomicU32; PHASES],
    called: watch::Sender<()>,
    subscriptions: AtomicUsize,
    /// What writing to all of a worker's streams takes; of each worker.
    costs: Mutex<Vec<Weak<Mutex<Cost>>>>,
}

#[derive(Default)]
struct Frames {
    kept: VecDeque<(u64, Arc<Frame>)>,
    bytes: usize,
}

/// A stream's place among those of a topic: as long as there is one, frames are made.
pub struct Subscription(Arc<Topic>);

/// What comes next for a stream.
pub(crate) enum Next {
    Nothing,
    Frame(Arc<Frame>),
    /// The frames that it would need are gone.
    Lost,
}

impl Topic {
    pub(crate) fn new(id: u64, source: Option<Arc<dyn Source>>) -> Topic {
        Topic {
            id,
            source,
            frames: Mutex::default(),
            newest: AtomicU64::new(0),
            turn: AtomicU64::new(0),
            end: OnceLock::new(),
            calls: Default::default(),
            called: watch::Sender::new(()),
            subscriptions: AtomicUsize::new(0),
            costs: Mutex::default(),
        }
    }

    /// What leads from the version `at` to now; from nothing, when `None`.
    pub async fn catch_up(self: &Arc<Topic>, at: Option<u64>) -> Result<CatchUp, Problem> {
        match &self.source {
            Some(source) => source.catch_up(self.clone(), at).await,
            None => Err(Problem::overloaded()),
        }
    }

    /// A place for a stream. What decides that a topic has ended must not run at the same time.
    pub fn subscribe(self: &Arc<Topic>) -> Subscription {
        self.subscriptions.fetch_add(1, Ordering::AcqRel);
        Subscription(self.clone())
    }

    /// Streams that are open or about to be.
    pub fn subscriptions(&self) -> usize {
        self.subscriptions.load(Ordering::Acquire)
    }

    /// How often a stream can be written to, by what writing took of late.
    pub fn period(&self) -> Duration {
        let mut all = Cost::default();
        lock(&self.costs).retain(|worker_topic| {
            let cost = worker_topic.upgrade().map(|cost| *lock(&cost));
            all = all.beside(cost.unwrap_or_default());
            cost.is_some()
        });
        all.period()
    }

    /// Where a new worker says what writing to all of its streams takes.
    pub(crate) fn cost_of_worker(&self) -> Arc<Mutex<Cost>> {
        let cost = Arc::default();
        lock(&self.costs).push(Arc::downgrade(&cost));
        cost
    }

    /// Where a stream is that is told now what there is now.
    pub fn cursor(&self) -> Cursor {
        // What is newer than the number read here is looked at again.
        let number = self.newest.load(Ordering::Acquire);
        Cursor { number, turn: self.turn.load(Ordering::Acquire) }
    }

    /// Shows a frame to the streams of these phases now, and to the others when they look.
    pub fn publish(&self, frame: Frame, phases: impl Iterator<Item = usize>) {
        let mut frames = lock(&self.frames);
        let number = self.newest.load(Ordering::Relaxed) + 1;
        frames.bytes += frame.text.plain().len();
        self.turn.fetch_max(frame.turn, Ordering::AcqRel);
        frames.kept.push_back((number, Arc::new(frame)));
        while frames.kept.len() > FRAMES_MAX || (frames.bytes > FRAMES_BYTES_MAX && frames.kept.len() > 1) {
            let gone = frames.kept.pop_front().expect("counted");
            frames.bytes -= gone.1.text.plain().len();
        }
        self.newest.store(number, Ordering::Release);
        drop(frames);
        phases.for_each(|phase| self.count_call(phase));
        self.called.send_replace(());
    }

    /// What is watched is over: each stream ends when it has the newest frame. Nobody may subscribes any more.
    pub fn end(&self, why: End) {
        let _ = self.end.set(why);
        (0..PHASES).for_each(|phase| self.count_call(phase));
        self.called.send_replace(());
    }

    /// Why it ended. Frames that were there before are there for whoever asks for them after this.
    pub(crate) fn ended(&self) -> Option<End> {
        self.end.get().copied()
    }

    /// Has the streams of a phase look.
    pub fn call(&self, phase: usize) {
        self.count_call(phase);
        self.called.send_replace(());
    }

    fn count_call(&self, phase: usize) {
        self.calls[phase].fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn calls(&self, phase: usize) -> u32 {
        self.calls[phase].load(Ordering::Acquire)
    }

    pub(crate) fn called(&self) -> watch::Receiver<()> {
        self.called.subscribe()
    }

    /// The next frame for a stream at `version` and `place`, which is moved on. Skips what the stream has already.
    pub(crate) fn next(&self, version: u64, cursor: &mut Cursor) -> Next {
        if self.newest.load(Ordering::Acquire) == cursor.number {
            return Next::Nothing;
        }
        let frames = lock(&self.frames);
        loop {
            let newer = frames.kept.iter().rev().take_while(|(number, _)| *number > cursor.number);
            let mut newer = newer.peekable();
            if newer.peek().is_none() {
                return Next::Nothing;
            }
            // The newest that it can go on with: that one tells the most.
            let Some((number, frame)) = newer.find(|(_, frame)| frame.since <= version) else { return Next::Lost };
            let news = frame.version > version || (frame.version == version && frame.turn > cursor.turn);
            *cursor = Cursor { number: *number, turn: cursor.turn.max(frame.turn) };
            if news {
                return Next::Frame(frame.clone());
            }
        }
    }
}

impl Subscription {
    pub fn topic(&self) -> &Arc<Topic> {
        &self.0
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.0.subscriptions.fetch_sub(1, Ordering::AcqRel);
    }
}
