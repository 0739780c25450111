//! What every handler can reach.

use crate::catalogue::availability;
use crate::kit::compress;
use crate::kit::error::{Kind, Problem};
use crate::middleware::rate_limits;
use crate::ops::metrics::Metrics;
use crate::queues::{admission_token, statistics};
use crate::streams::{position_stream, sse};
use base::clock::Clock;
use base::id::{Ids, Millis};
use engine::Engine;
use engine::ledger::Ledger;
use eventlog::Log;
use eventlog::sinks::Output;
use prometheus::IntCounter;
use readmodels::read::Reader;
use security::identity::Identities;
use security::passwords::Passwords;
use security::secrets::{Operator, Secrets};
use security::signing::Keyring;
use security::vault::Vault;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

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
    pub(crate) compressed: compress::Compressed,
    shop: OnceLock<Shop>,
    phase: AtomicU8,
    /// By [`Kind`].
    pub(crate) refusals: Vec<IntCounter>,
}

/// What is there once the log was read.
pub struct Shop {
    pub engine: Engine,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
    pub secrets: Arc<Secrets>,
    pub operator: Operator,
    pub vault: Arc<Vault>,
    pub passwords: Passwords,
    pub session_ttl_ms: Millis,
    pub ledger: Ledger,
    pub log: Arc<dyn Log>,
    /// Where lists, history, search and reports come from; none when that is switched off.
    pub reader: Option<Reader>,
    pub identities: Arc<Identities>,
    pub shown: availability::Shown,
    pub streams: Arc<sse::Hub>,
    /// What the log goes out to.
    pub outputs: Vec<Arc<Output>>,
    pub lines: position_stream::Lines,
    pub statistics: statistics::Watched,
    pub keyring: Arc<Keyring>,
    pub verified: admission_token::Verified,
    /// Who signs admissions: `iss`.
    pub issuer: String,
    /// Brings those figures up to date that are looked up rather than counted.
    pub refresh: Box<dyn Fn(&Metrics) + Send + Sync>,
}

impl Shop {
    /// What is ended before its time would have ended by itself within this, ms: a session, or a token of an identity
    /// provider.
    pub fn sessions_end_within_ms(&self) -> Millis {
        self.session_ttl_ms.max(config::IDENTITY_TOKEN_LIFE_MS)
    }
}

impl Api {
    pub fn new(config: config::Serve, metrics: Arc<Metrics>) -> Api {
        let refusals = Kind::ALL.iter().map(|kind| metrics.refusal(kind.slug())).collect();
        let live = config::Live::new(config.clone());
        Api {
            limits: rate_limits::Limits::new(live.clone()),
            compressed: Default::default(),
            config,
            live,
            metrics,
            shop: OnceLock::new(),
            phase: AtomicU8::new(Phase::Starting as u8),
            refusals,
        }
    }

    /// What is for sale, once the log was read.
    pub fn shop(&self) -> Result<&Shop, Problem> {
        self.shop.get().ok_or_else(Problem::starting)
    }

    /// The log was read: from now on every path answers.
    pub fn open(&self, shop: Shop) {
        if self.shop.set(shop).is_ok() {
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
