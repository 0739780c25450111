//! The streams of one topic on one HTTP worker.

use super::locked::lock;
use super::pace::{Cost, PHASES, Stopwatch};
use super::topic::Topic;
use rustc_hash::FxHashMap;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;
use tokio::sync::watch;

/// Streams that are woken at a time; between such handfuls other requests of the worker get their turn.
const WOKEN_AT_ONCE: usize = 16;
/// What writing to one stream takes until it was measured: with less, thousands of new ones would be promised more than can
/// be kept, just when a sale begins.
const WRITE: Duration = Duration::from_micros(12);

/// Wakers by phase.
pub struct WorkerTopic {
    topic: Arc<Topic>,
    phases: [RefCell<WakerSlots>; PHASES],
    /// The phase of the next stream.
    next: Cell<usize>,
    /// What writing to one stream took of late.
    each: Cell<Cost>,
    /// Whether something was written since this was last asked.
    wrote: Cell<bool>,
    /// What writing to all of them takes, for the topic.
    all: Arc<Mutex<Cost>>,
}

/// The wakers of one phase; empty places are used again.
#[derive(Default)]
struct WakerSlots {
    wakers: Vec<Option<Waker>>,
    empty: Vec<usize>,
}

impl WakerSlots {
    fn taken(&self) -> u32 {
        (self.wakers.len() - self.empty.len()) as u32
    }
}

/// A stream's place on a worker.
pub struct WakerSlot {
    worker_topic: Rc<WorkerTopic>,
    phase: usize,
    index: usize,
}

thread_local! {
    static WORKER_TOPICS: RefCell<FxHashMap<u64, Rc<WorkerTopic>>> = RefCell::default();
}

impl WakerSlot {
    /// A place among the streams of `topic` on this worker.
    pub fn take(topic: &Arc<Topic>) -> WakerSlot {
        let worker_topic = WORKER_TOPICS.with_borrow_mut(|worker_topics| {
            let make = || {
                let worker_topic = Rc::new(WorkerTopic {
                    topic: topic.clone(),
                    phases: Default::default(),
                    next: Cell::new(0),
                    each: Cell::new(Cost { wall: WRITE, processor: WRITE }),
                    wrote: Cell::new(false),
                    all: topic.cost_of_worker(),
                });
                // From here on, not from when the task first runs: its first stream waits already.
                let answered = std::array::from_fn(|phase| topic.calls(phase));
                actix_web::rt::spawn(run(worker_topic.clone(), topic.called(), answered));
                worker_topic
            };
            worker_topics.entry(topic.id).or_insert_with(make).clone()
        });
        let phase = worker_topic.next.get();
        worker_topic.next.set((phase + 1) % PHASES);
        let mut slots = worker_topic.phases[phase].borrow_mut();
        let index = slots.empty.pop().unwrap_or_else(|| {
            slots.wakers.push(None);
            slots.wakers.len() - 1
        });
        drop(slots);
        worker_topic.tell_cost();
        WakerSlot { worker_topic, phase, index }
    }

    /// Whom to wake when there may be something.
    pub fn wait(&self, waker: &Waker) {
        let mut slots = self.worker_topic.phases[self.phase].borrow_mut();
        match &mut slots.wakers[self.index] {
            Some(known) => known.clone_from(waker),
            place => *place = Some(waker.clone()),
        }
    }

    /// What this stream had to say was handed to its connection.
    pub fn wrote(&self) {
        self.worker_topic.wrote.set(true);
    }
}

impl Drop for WakerSlot {
    fn drop(&mut self) {
        let mut slots = self.worker_topic.phases[self.phase].borrow_mut();
        slots.wakers[self.index] = None;
        slots.empty.push(self.index);
    }
}

/// Wakes the streams of those phases that were called. Ends with the last stream: the next one makes a new worker.
async fn run(worker_topic: Rc<WorkerTopic>, mut called: watch::Receiver<()>, mut answered: [u32; PHASES]) {
    loop {
        // The topic is not dropped before this one is.
        if called.changed().await.is_err() {
            return;
        }
        for (phase, answered) in answered.iter_mut().enumerate() {
            let calls = worker_topic.topic.calls(phase);
            if std::mem::replace(answered, calls) != calls {
                worker_topic.wake(phase).await;
            }
        }
        // This task and the table of them.
        if Rc::strong_count(&worker_topic) == 2 {
            WORKER_TOPICS.with_borrow_mut(|worker_topics| worker_topics.remove(&worker_topic.topic.id));
            return;
        }
    }
}

impl WorkerTopic {
    async fn wake(&self, phase: usize) {
        let stopwatch = Stopwatch::start();
        let mut index = 0;
        while self.wake_some(phase, index) {
            index += WOKEN_AT_ONCE;
            tokio::task::yield_now().await;
        }
        // Once more, for the last of them to have its turn.
        tokio::task::yield_now().await;
        let woken = self.phases[phase].borrow().taken();
        // Looking alone says nothing about what writing takes.
        if self.wrote.take() && woken > 0 {
            self.each.set(self.each.get().smooth(stopwatch.cost().divide(woken)));
        }
        self.tell_cost();
    }

    fn tell_cost(&self) {
        let streams = self.phases.iter().map(|slots| slots.borrow().taken()).sum();
        *lock(&self.all) = self.each.get().times(streams);
    }

    /// Wakes those from `index` on; whether there are more.
    fn wake_some(&self, phase: usize, index: usize) -> bool {
        let slots = self.phases[phase].borrow();
        slots.wakers.iter().skip(index).take(WOKEN_AT_ONCE).flatten().for_each(Waker::wake_by_ref);
        index + WOKEN_AT_ONCE < slots.wakers.len()
    }
}
