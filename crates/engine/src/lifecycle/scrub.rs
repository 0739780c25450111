//! Reads and checks, in the background, the part of the log that a start does not read; stops the process on damage.
//!
//! Archive files were checked when they were made, and may be on a slow disk or on none: `onsale verify` reads them.

use super::exit::EXIT_LOG_FAILED;
use base::process_limits::{self, BackgroundThrottle};
use eventlog::store::Store;
use eventlog::{Chunks, Position};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// The thread that reads; it ends with this.
pub struct Scrub {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Scrub {
    /// Reads what `store` has up to `to`.
    pub fn start(store: Arc<Store>, to: Position) -> Scrub {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let run = move || check(&store, to, &stopped);
        let thread = std::thread::Builder::new().name("log-scrub".into()).spawn(run);
        let thread =
            thread.inspect_err(|error| tracing::warn!(%error, "the log is not checked in the background")).ok();
        Scrub { stop, thread }
    }
}

impl Drop for Scrub {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Its panic, if any, has been told by the panic hook.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn check(store: &Store, to: Position, stopped: &AtomicBool) {
    process_limits::yield_to_others();
    match read(store, to, stopped) {
        Ok(()) if stopped.load(Ordering::Acquire) => {}
        Ok(()) => tracing::info!(%to, "the part of the log before the snapshot was read and is whole"),
        Err(eventlog::Error::Damaged { position, what }) => {
            tracing::error!(%position, what, "the log is damaged; stopping");
            eprintln!("onsale: the log is damaged at position {position}: {what}");
            std::process::exit(EXIT_LOG_FAILED);
        }
        Err(error) => tracing::warn!(%error, "the log could not be checked"),
    }
}

/// Reads all up to `to` without hurry and checks CRC, contiguity and chain, until it is `stopped`.
pub fn read(store: &Store, to: Position, stopped: &AtomicBool) -> Result<(), eventlog::Error> {
    let mut pace = BackgroundThrottle::default();
    store.read_chunks(Position(store.first().0 - 1), &mut |chunk| {
        pace.step();
        // The first one behind it is read, too: it names its predecessor.
        chunk.first <= to && !stopped.load(Ordering::Acquire)
    })
}
