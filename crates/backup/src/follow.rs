//! Ships again and again, so that the backup is never far behind.

use crate::place::Place;
use crate::ship::{Settings, Shipper};
use crate::source::Source;
use anyhow::ensure;
use base::clock::Clock;
use base::id::Millis;
use eventlog::sinks::Output;
use eventlog::{Chunks, Position};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// What `/readyz?verbose` and `/metrics` call it.
pub const NAME: &str = "backup";
/// A pass begins at most this often: each is two or three objects.
pub const EVERY: Duration = Duration::from_millis(500);
/// How often it is looked whether there is something.
const POLL: Duration = Duration::from_millis(20);
/// How long it waits after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(2);

/// What a server ships from within.
pub struct Follow {
    pub log: Arc<dyn Chunks>,
    pub log_id: Uuid,
    pub data: PathBuf,
    /// The place's name.
    pub to: String,
    pub keys_keep_ms: Millis,
    pub clock: Arc<dyn Clock>,
    pub output: Arc<Output>,
}

/// A follower that runs; dropped, it makes a last pass and ends.
pub struct Follower {
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Follow {
    /// Starts to ship. What fails is tried again for ever; `output` says so.
    pub fn start(self) -> io::Result<Follower> {
        let stopped = Arc::new(AtomicBool::new(false));
        let stop = stopped.clone();
        let thread = std::thread::Builder::new().name("backup".into()).spawn(move || self.run(&stop))?;
        Ok(Follower { stopped, thread: Some(thread) })
    }

    fn run(self, stopped: &AtomicBool) {
        base::process_limits::yield_to_others();
        let source = Source::Own(self.log.clone());
        let mut shipper = None;
        let (mut last, mut there) = (false, Position(0));
        while !last {
            last = stopped.load(Ordering::Acquire);
            let (begun, now) = (Instant::now(), self.clock.now());
            match self.pass(&mut shipper, &source, there) {
                Ok((end, events)) => {
                    there = end;
                    if self.output.works() {
                        tracing::info!(position = end.0, "the backup goes on");
                    }
                    self.output.sent(events);
                    // What is not there was recorded after this pass began.
                    self.output.reached(end, Some(now));
                    self.wait_for_more(begun, end, stopped);
                }
                Err(error) => {
                    // It may have been written to by somebody else: it is looked at anew.
                    shipper = None;
                    let what = format!("{error:#}").replace('\n', " ");
                    if self.output.fails(&what) {
                        tracing::error!("the backup to {} cannot go on, and is tried again: {what}", self.to);
                    }
                    wait(AFTER_FAILURE, stopped, || false);
                }
            }
        }
    }

    /// Gives up to where everything is there, and how many events were shipped.
    /// An error when the place has lost what was `there`.
    fn pass(&self, shipper: &mut Option<Shipper>, source: &Source, there: Position) -> anyhow::Result<(Position, u64)> {
        let mut open = match shipper.take() {
            Some(open) => open,
            None => {
                let settings =
                    Settings { data: self.data.clone(), keys_keep_ms: self.keys_keep_ms, clock: self.clock.clone() };
                // A folder that is not mounted any more must not be begun anew on the disk below it.
                let place = if there > Position(0) { Place::open_existing(&self.to) } else { Place::open(&self.to) };
                let open = Shipper::open(place?, self.log_id, settings)?;
                let found = open.manifest().end.position;
                ensure!(
                    found >= there.0,
                    "{} had events up to {there} and has them up to {found} now: is a volume not mounted? A start of the server \
                     takes it as it is",
                    self.to
                );
                open
            }
        };
        let shipped = open.pass(source, &mut |_| {})?;
        *shipper = Some(open);
        Ok((Position(shipped.end.position), shipped.events))
    }

    fn wait_for_more(&self, begun: Instant, end: Position, stopped: &AtomicBool) {
        wait(EVERY.saturating_sub(begun.elapsed()), stopped, || false);
        // Keys and retention are looked at without new events, too.
        wait(Duration::from_secs(60), stopped, || {
            let now = self.clock.now();
            let more = self.log.durable() > end;
            if !more {
                self.output.reached(end, Some(now));
            }
            more
        });
    }
}

/// Waits until time is up, it is told to stop, or `done`.
fn wait(how_long: Duration, stopped: &AtomicBool, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while begun.elapsed() < how_long && !stopped.load(Ordering::Acquire) && !done() {
        std::thread::sleep(POLL.min(how_long.saturating_sub(begun.elapsed())));
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // Its panic, if any, has been told by the panic hook.
            let _ = thread.join();
        }
    }
}
