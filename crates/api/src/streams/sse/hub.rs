//! Who may open a stream, and the thread on which frames are made.

use super::locked::lock;
use super::pace::PHASES;
use super::topic::{Source, Topic};
use crate::kit::error::{Kind, Problem};
use crate::ops::metrics::Metrics;
use rustc_hash::FxHashMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

/// Every phase is looked at once in this time; a stream on which nothing was sent for [`HEARTBEAT_AFTER`] gets a comment
/// then. So there is one at the latest after 15 s, as domain.md says.
const BEAT: Duration = Duration::from_secs(5);
pub const HEARTBEAT_AFTER: Duration = Duration::from_secs(10);

/// A client that lost its stream comes back after so long at least, ms, spread over so much more.
const RETRY_MS_MIN: u64 = 1_000;
const RETRY_SPREAD_MS: RangeInclusive<u64> = 5_000..=60_000;

/// All streams of a server.
pub struct Hub {
    streams_max: usize,
    streams_per_address_max: usize,
    polls_per_s_max: AtomicU32,
    open: AtomicUsize,
    by_address: Mutex<FxHashMap<IpAddr, usize>>,
    topics: Mutex<Vec<Weak<Topic>>>,
    topics_made: AtomicU64,
    streams_made: AtomicU64,
    closing: AtomicBool,
    pub metrics: Arc<Metrics>,
    /// One thread, on which frames are made: neither requests nor decisions wait for it.
    runtime: Mutex<Option<tokio::runtime::Runtime>>,
}

/// The right to have a stream open. Given back when dropped.
pub struct Permit {
    pub(crate) hub: Arc<Hub>,
    address: Option<IpAddr>,
    /// Counts streams since the start.
    pub number: u64,
}

impl Hub {
    /// With room for so many streams, and so many of one client address.
    pub fn start(
        streams_max: usize,
        streams_per_address_max: usize,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Arc<Hub>> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("streams")
            .enable_time()
            .build()?;
        let hub = Arc::new(Hub {
            streams_max,
            streams_per_address_max,
            polls_per_s_max: AtomicU32::new(config::POLLS_PER_S_MAX),
            open: AtomicUsize::new(0),
            by_address: Mutex::default(),
            topics: Mutex::default(),
            topics_made: AtomicU64::new(0),
            streams_made: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            metrics,
            runtime: Mutex::new(Some(runtime)),
        });
        hub.spawn(beat(Arc::downgrade(&hub)));
        Ok(hub)
    }

    /// Runs `work` on the thread that makes frames; not at all once the server stops.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &*lock(&self.runtime) {
            runtime.spawn(work);
        }
    }

    /// Lets one more stream in.
    pub fn admit(self: &Arc<Hub>, address: Option<IpAddr>) -> Result<Permit, Problem> {
        if self.is_closing() {
            return Err(Problem::overloaded());
        }
        let mut by_address = lock(&self.by_address);
        if self.open.load(Ordering::Relaxed) >= self.streams_max {
            return Err(Problem::new(
                Kind::Overloaded,
                "As many streams are open as this server has room for. Poll instead, or try again after Retry-After.",
            ));
        }
        if let Some(address) = address {
            let open = by_address.entry(address).or_default();
            if *open >= self.streams_per_address_max {
                let max = self.streams_per_address_max;
                let detail = format!("{max} streams of your address are open. Close some, or poll instead.");
                return Err(Problem::new(Kind::TooManyStreams, detail).with("limit", max));
            }
            *open += 1;
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        drop(by_address);
        self.metrics.streams_open.inc();
        let number = self.streams_made.fetch_add(1, Ordering::Relaxed);
        Ok(Permit { hub: self.clone(), address, number })
    }

    /// From now on no more than so many streams a second come back together.
    pub fn limit_polls(&self, polls_per_s_max: u32) {
        self.polls_per_s_max.store(polls_per_s_max.max(1), Ordering::Relaxed);
    }

    /// A client that lost its stream comes back after a time of its own between these, ms: not all at once, were all streams
    /// that there may be to break at the same instant.
    pub fn retry_ms(&self) -> RangeInclusive<u64> {
        let all_ms = self.streams_max as u64 * 1_000 / u64::from(self.polls_per_s_max.load(Ordering::Relaxed));
        RETRY_MS_MIN..=RETRY_MS_MIN + all_ms.clamp(*RETRY_SPREAD_MS.start(), *RETRY_SPREAD_MS.end())
    }

    /// Ends all streams, each after the frame that it is sending, and lets none in any more.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.each_topic(|topic| (0..PHASES).for_each(|phase| topic.call(phase)));
        if let Some(runtime) = lock(&self.runtime).take() {
            runtime.shutdown_background();
        }
    }

    pub fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// A new topic. It lives as long as somebody has it. Without a `source` its streams are personal, and get back in
    /// step by themselves.
    pub fn topic(self: &Arc<Hub>, source: Option<Arc<dyn Source>>) -> Arc<Topic> {
        let id = self.topics_made.fetch_add(1, Ordering::Relaxed);
        let topic = Arc::new(Topic::new(id, source));
        lock(&self.topics).push(Arc::downgrade(&topic));
        topic
    }

    fn each_topic(&self, mut each: impl FnMut(&Topic)) {
        let mut topics = lock(&self.topics);
        topics.retain(|topic| topic.strong_count() > 0);
        topics.iter().filter_map(Weak::upgrade).for_each(|topic| each(&topic));
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        // It must not be waited for where nothing may block.
        if let Some(runtime) = lock(&self.runtime).take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut by_address = lock(&self.hub.by_address);
        if let Some(address) = self.address
            && let Some(open) = by_address.get_mut(&address)
        {
            *open -= 1;
            if *open == 0 {
                by_address.remove(&address);
            }
        }
        self.hub.open.fetch_sub(1, Ordering::Relaxed);
        self.hub.metrics.streams_open.dec();
    }
}

/// Has every stream look, one phase after the other, whether it needs a sign of life.
async fn beat(hub: Weak<Hub>) {
    let mut every = tokio::time::interval(BEAT / PHASES as u32);
    let mut phase = 0;
    loop {
        every.tick().await;
        let Some(hub) = hub.upgrade() else { return };
        hub.each_topic(|topic| topic.call(phase));
        phase = (phase + 1) % PHASES;
    }
}
