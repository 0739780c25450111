//! What every handler can reach.

use crate::kit::compress;
use crate::kit::error::{Kind, Problem};
use crate::middleware::rate_limits;
use crate::ops::metrics::Metrics;
use crate::pages::featured::Featured;
use base::clock::Clock;
use base::id::{Ids, Millis};
use engine::Engine;
use prometheus::IntCounter;
use std::any::{Any, TypeId};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use traces::Tracer;
use uuid::Uuid;

/// How far the server is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
#[repr(u8)]
pub enum Phase {
    /// The log is being read: only the paths of [`crate::ops::health`] answer.
    Starting,
    /// The server asks itself, to warm its own paths.
    Warming,
    Ready,
    Stopping,
}

/// What every handler can reach.
pub struct Api {
    /// What was set when the server started.
    pub config: config::Serve,
    /// What is set now: here is what can change while it runs.
    pub live: config::Live,
    pub metrics: Arc<Metrics>,
    pub limits: rate_limits::Limits,
    pub featured: Featured,
    /// Where traces of requests go, if anywhere.
    pub traces: OnceLock<Tracer>,
    pub(crate) compressed: compress::Compressed,
    states: OnceLock<States>,
    phase: AtomicU8,
    /// By [`Kind`].
    pub(crate) refusals: Vec<IntCounter>,
}

/// What is sold with: the rules, the time at which they run, and new ids.
#[derive(Clone)]
pub struct EngineHandle {
    pub engine: Engine,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
}

impl EngineHandle {
    /// A time-ordered id.
    pub fn new_uuid(&self) -> Uuid {
        new_uuid(&*self.ids, self.clock.now())
    }
}

/// A time-ordered id.
pub fn new_uuid(ids: &dyn Ids, now: Millis) -> Uuid {
    let random: [u8; 10] = ids.next().to_be_bytes()[..10].try_into().expect("16 bytes");
    uuid::Builder::from_unix_timestamp_millis(now, &random).into_uuid()
}

/// Something that is there once the log was read. Of each type there is one, made by [`crate::Services`].
pub trait State: Send + Sync + 'static {}

/// All of them. Few, so that looking for one costs a handful of comparisons.
#[derive(Default)]
pub struct States(Vec<(TypeId, Arc<dyn Any + Send + Sync>)>);

impl States {
    pub fn with<T: State>(mut self, state: Arc<T>) -> States {
        self.0.push((TypeId::of::<T>(), state));
        self
    }

    fn get<T: State>(&self) -> Option<&T> {
        let (_, state) = self.0.iter().find(|(of, _)| *of == TypeId::of::<T>())?;
        state.downcast_ref()
    }

    fn shared<T: State>(&self) -> Option<Arc<T>> {
        let (_, state) = self.0.iter().find(|(of, _)| *of == TypeId::of::<T>())?;
        state.clone().downcast().ok()
    }
}

impl Api {
    pub fn new(config: config::Serve, metrics: Arc<Metrics>) -> Api {
        let refusals = Kind::ALL.iter().map(|kind| metrics.refusal(kind.slug())).collect();
        let live = config::Live::new(config.clone());
        Api {
            limits: rate_limits::Limits::new(live.clone()),
            featured: Featured::default(),
            traces: OnceLock::new(),
            compressed: Default::default(),
            config,
            live,
            metrics,
            states: OnceLock::new(),
            phase: AtomicU8::new(Phase::Starting as u8),
            refusals,
        }
    }

    /// What is for sale, once the log was read.
    pub fn handle(&self) -> Result<&EngineHandle, Problem> {
        self.state()
    }

    /// One of the states, once the log was read.
    pub fn state<T: State>(&self) -> Result<&T, Problem> {
        self.states.get().and_then(States::get).ok_or_else(Problem::starting)
    }

    /// The same, to be kept.
    pub fn shared<T: State>(&self) -> Result<Arc<T>, Problem> {
        self.states.get().and_then(States::shared).ok_or_else(Problem::starting)
    }

    /// The log was read: from now on every path answers.
    pub fn open(&self, states: States) {
        if self.states.set(states).is_ok() {
            self.enter(Phase::Warming);
        }
    }

    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Starting,
            1 => Phase::Warming,
            2 => Phase::Ready,
            _ => Phase::Stopping,
        }
    }

    pub fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }
}
