//! The composition root: opens a data folder, recovers, and starts the engine on it.
//!
//! - [`recovery`]: from snapshot and log to states; [`accounts`]: which accounts are in them
//! - [`replay`]: events to states, on all cores
//! - [`scrub`]: what the start did not read is checked in the background
//! - [`snapshots`]: new snapshots while the engine runs

mod accounts;
mod exit;
pub mod recovery;
pub mod replay;
pub mod scrub;
pub mod snapshots;

use crate::aggregate_store::AggregateStore;
use crate::ledger::{self, Ledger};
use crate::shard::{Mailbox, Peers, Shard};
use crate::shard_core::{ShardCore, Shared};
use crate::views::Views;
use crate::{Engine, shard_core};
use actix::Actor;
use base::clock::Clock;
use base::id::{AccountId, Ids, Millis};
use domain::queue::draw::Seeds;
use eventlog::Log;
use eventlog::data_folder::DataFolder;
use eventlog::store::{CommitInfo, Options, Store};
use eventlog::tail::{self, Tail};
pub use exit::EXIT_LOG_FAILED;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// How the engine is run; the bounds are documented in `config.rs`.
pub struct Settings {
    /// Threads that own keys.
    pub shards: usize,
    /// Commands that wait for one shard.
    pub mailbox_commands_max: usize,
    /// Bytes of each of the log's two journal files.
    pub journal_bytes: u64,
    /// A snapshot is made after so many events.
    pub snapshot_events: u64,
    /// Polls a second of all who wait in a queue together.
    pub polls_per_s_max: u32,
    /// Called after each commit, on the log's thread.
    pub on_commit: Option<Box<dyn Fn(CommitInfo) + Send + Sync>>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            shards: 1,
            mailbox_commands_max: 16_384,
            journal_bytes: config::JOURNAL_BYTES,
            snapshot_events: config::SNAPSHOT_EVENTS,
            polls_per_s_max: config::POLLS_PER_S_MAX,
            on_commit: None,
        }
    }
}

/// After a failed write those who wait get this long to be told, ms.
const LAST_WORDS_MS: u64 = 300;

/// A data folder that was recovered, before anything runs on it.
pub struct Recovered {
    pub store: Arc<Store>,
    pub states: Vec<AggregateStore>,
    pub report: recovery::Report,
    folder: DataFolder,
}

/// A running engine.
pub struct Running {
    pub engine: Engine,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
    pub store: Arc<Store>,
    /// The sums for the reconciliation.
    pub ledger: Ledger,
    ledger_thread: ledger::LedgerThread,
    scrub: Option<scrub::Scrub>,
    snapshots: snapshots::Snapshotter,
    tail: Option<Tail>,
    arbiters: Vec<actix::Arbiter>,
    folder: DataFolder,
}

impl Recovered {
    /// The accounts that somebody has and that `is_known` does not know.
    pub fn accounts_unknown_to(&self, is_known: &dyn Fn(AccountId) -> bool) -> Result<Vec<AccountId>, eventlog::Error> {
        accounts::unknown_to(&self.states, is_known)
    }

    /// The data folder that it was recovered from.
    pub fn folder(&self) -> &DataFolder {
        &self.folder
    }

    /// When the last event happened; 0 when there is none.
    pub fn latest_ms(&self) -> Result<Millis, eventlog::Error> {
        let mut latest_ms = 0;
        let before_last = eventlog::Position(self.report.last.0.saturating_sub(1));
        self.store.read_from(before_last, &mut |event| {
            latest_ms = event.at_ms;
            true
        })?;
        Ok(latest_ms)
    }
}

/// Opens the log of `folder` and rebuilds everything in it. Blocks; fails closed on damage.
pub fn recover(folder: DataFolder, settings: &mut Settings) -> Result<Recovered, eventlog::Error> {
    let options = Options {
        journal_bytes: settings.journal_bytes,
        verify_bytes_max: recovery::VERIFIED_AT_START_BYTES_MAX,
        known: folder.known_log(),
        on_commit: settings.on_commit.take(),
        on_failure: Box::new(stop_the_process),
        ..Options::default()
    };
    let (store, opened) = Store::open(&folder.log(), options)?;
    let (states, report) = recovery::rebuild(&store, &opened, &folder.snapshots(), settings.snapshot_events)?;
    let states = recovery::split(states, settings.shards);
    Ok(Recovered { store: Arc::new(store), states, report, folder })
}

/// Says why, lets those who wait be told, and ends the process: memory may never run ahead of a log that refused.
fn stop_the_process(what: String) {
    tracing::error!(error = %what, "the log cannot be written; stopping");
    eprintln!("onsale: {what}. Everything acknowledged is on disk; mend the disk and start again.");
    std::thread::spawn(|| {
        std::thread::sleep(Duration::from_millis(LAST_WORDS_MS));
        std::process::exit(EXIT_LOG_FAILED);
    });
}

impl Running {
    /// Starts the engine; to be called within an actix system.
    pub fn start(
        recovered: Recovered,
        settings: &Settings,
        clock: Arc<dyn Clock>,
        ids: Arc<dyn Ids>,
        seeds: Arc<dyn Seeds>,
    ) -> Result<Running, eventlog::Error> {
        let Recovered { store, states, report, folder } = recovered;
        let views = Arc::new(Views::default());
        views.queues().limit_polls(settings.polls_per_s_max);
        let machine = Arc::new({
            let clock = clock.clone();
            move |_| clock.machine()
        });
        let log = store.clone() as Arc<dyn Log>;
        let shared = Shared { log, ids: ids.clone(), views: views.clone(), seeds, machine };
        let (mailboxes, arbiters) = start_shards(states, settings, &shared, &clock)?;
        let engine = Engine::new(mailboxes, views);
        let snapshots = snapshots::Snapshotter::start(
            store.clone(),
            folder.snapshots(),
            report.base.clone(),
            settings.snapshot_events,
            engine.clone(),
        );
        let (ledger, ledger_thread) = ledger::start(store.clone(), store.id(), folder.ledger())
            .map_err(|error| eventlog::Error::Other(format!("starting a thread: {error}")))?;
        let scrub = report.unverified.map(|to| scrub::Scrub::start(store.clone(), to));
        folder.warn_of_missing();
        folder.note_log(&store).map_err(|error| eventlog::Error::Other(format!("noting which log it is: {error}")))?;
        let tail = tail::serve(store.clone(), &DataFolder::socket(folder.path()));
        let tail = tail.inspect_err(|error| tracing::warn!(%error, "other processes cannot read the running log")).ok();
        Ok(Running { engine, clock, ids, store, ledger, ledger_thread, scrub, snapshots, tail, arbiters, folder })
    }

    /// The data folder that it runs on.
    pub fn folder(&self) -> &DataFolder {
        &self.folder
    }

    /// Makes everything durable and closes the log. Nothing may be sent to the engine any more.
    pub fn stop(self) -> Result<(), eventlog::Error> {
        self.snapshots.stop();
        for arbiter in &self.arbiters {
            arbiter.stop();
        }
        for arbiter in self.arbiters {
            // A shard that panicked has been reported; what it acknowledged is in the log.
            let _ = arbiter.join();
        }
        drop(self.tail);
        drop(self.scrub);
        self.ledger_thread.stop();
        let closed = self.store.close();
        if closed.is_ok()
            && let Err(error) = self.folder.note_log(&self.store)
        {
            tracing::warn!(%error, "how far the log is cannot be noted");
        }
        drop(self.folder);
        closed
    }
}

fn start_shards(
    states: Vec<AggregateStore>,
    settings: &Settings,
    shared: &Shared,
    clock: &Arc<dyn Clock>,
) -> Result<(Vec<Mailbox>, Vec<actix::Arbiter>), eventlog::Error> {
    let peers = Peers::default();
    let shards = states.len();
    let mut arbiters = Vec::new();
    let mut addresses = Vec::new();
    let mut mailboxes = Vec::new();
    let (published, shown) = mpsc::channel();
    for (index, states) in states.into_iter().enumerate() {
        let arbiter = actix::Arbiter::new();
        let waiting = Arc::new(AtomicUsize::new(0));
        let (shared, clock, peers, counted) = (shared.clone(), clock.clone(), peers.clone(), waiting.clone());
        let (mailbox_max, published) = (settings.mailbox_commands_max, published.clone());
        let address = Shard::start_in_arbiter(&arbiter.handle(), move |context| {
            context.set_mailbox_capacity(mailbox_max);
            let core: shard_core::ShardCore = ShardCore::new(index, shards, shared, states, clock.now());
            let _ = published.send(());
            Shard::new(core, clock, peers, counted)
        });
        mailboxes.push(Mailbox::new(address.clone(), waiting));
        addresses.push(address);
        arbiters.push(arbiter);
    }
    // Set before anybody outside has an address; a shard that resumes a purchase at its start waits for it.
    let _ = peers.set(addresses);
    // Keys, ended sessions, gates are looked up in views: before all are shown, nobody may ask.
    drop(published);
    if shown.iter().count() < mailboxes.len() {
        return Err(eventlog::Error::Other("a shard did not start".into()));
    }
    Ok((mailboxes, arbiters))
}
