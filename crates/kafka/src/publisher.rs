//! The thread that sends what is durable to Kafka, for as long as the server runs.

use super::Fault;
use super::checkpoint::{Checkpoint, File};
use super::record::{Private, Renderer};
use super::session::{Sent, Session};
use super::settings::Settings;
use base::clock::Clock;
use base::id::{Millis, StreamId};
use eventlog::feed::Feed;
use eventlog::sinks::Output;
use eventlog::{Log, Position, Recorded};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Events, and bytes of them, that are read at a time. The log is not held while Kafka is waited for.
const BATCH_EVENTS: usize = 4_096;
const BATCH_BYTES: usize = 1 << 20;
/// How long to wait before another try: at first, at most, and where somebody has to do something first.
const TRY_AGAIN: Duration = Duration::from_millis(200);
const TRY_AGAIN_MAX: Duration = Duration::from_secs(5);
/// Brokers that acknowledge nothing for so long are in trouble.
const STALLED: Duration = Duration::from_secs(3);
/// How often the checkpoint is written while something moves.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);
/// How long the last records may take at the end; what is not acknowledged then is sent at the next start.
const DRAIN: Duration = Duration::from_secs(1);
const ENDS_WITHIN: Duration = Duration::from_secs(2);
/// How long nothing happens between two looks at the log.
const LOOK: Duration = Duration::from_millis(5);

/// The running thread.
pub struct Publisher {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// How far it is.
    pub output: Arc<Output>,
}

/// What is published, and where what is known about it is kept.
pub struct Source<'a> {
    pub log: Arc<dyn Log>,
    pub log_id: Uuid,
    /// The checkpoint's file.
    pub checkpoint: &'a Path,
    pub clock: Arc<dyn Clock>,
    /// What stays private.
    pub private: Private,
}

/// Starts to publish. Does not wait for any broker.
pub fn start(source: Source<'_>, settings: Settings) -> std::io::Result<Publisher> {
    let output = Output::new("kafka", source.log.clone());
    let stop = Arc::new(AtomicBool::new(false));
    let file = File::at(source.checkpoint);
    let mut run = Run {
        renderer: Renderer::new(source.log_id, source.private),
        log: source.log,
        log_id: source.log_id,
        clock: source.clock,
        settings,
        file,
        output: output.clone(),
        stop: stop.clone(),
        warned: false,
    };
    let thread = std::thread::Builder::new().name("kafka".into()).spawn(move || {
        // The client's own threads are begun by this one, and are as modest.
        base::process_limits::yield_to_others();
        run.run();
    })?;
    Ok(Publisher { stop, thread: Some(thread), output })
}

impl Publisher {
    /// Gives the last records a second to be acknowledged, notes how far it came, and ends the thread.
    pub fn stop(mut self) {
        self.end();
    }

    /// A thread that waits for a broker that does not answer is left behind: it has nothing to lose.
    fn end(&mut self) {
        self.stop.store(true, Ordering::Release);
        let Some(thread) = self.thread.take() else { return };
        let until = Instant::now() + ENDS_WITHIN;
        while !thread.is_finished() && Instant::now() < until {
            std::thread::sleep(LOOK);
        }
        if thread.is_finished() {
            // Its panic, if any, has been told by the panic hook.
            let _ = thread.join();
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.end();
    }
}

struct Run {
    log: Arc<dyn Log>,
    log_id: Uuid,
    clock: Arc<dyn Clock>,
    settings: Settings,
    file: File,
    output: Arc<Output>,
    stop: Arc<AtomicBool>,
    renderer: Renderer,
    /// Somebody was told what of the topics is not as wanted.
    warned: bool,
}

impl Run {
    fn run(&mut self) {
        let mut known = self.file.read(self.log_id).about(&self.settings.topics());
        self.tell_position(&known);
        let mut again = TRY_AGAIN;
        while !self.stopped() {
            let before = known.position;
            let Err(fault) = self.session(&mut known) else { break };
            self.file.write(&known);
            self.tell_position(&known);
            let what = fault.to_string();
            if self.output.fails(&what) {
                tracing::warn!(position = known.position.0, "Kafka: {what}");
            }
            again = if known.position > before { TRY_AGAIN } else { again };
            self.sleep(again);
            again = (again * 2).min(TRY_AGAIN_MAX);
        }
        self.file.write(&known);
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn sleep(&self, time: Duration) {
        let until = Instant::now() + time;
        while !self.stopped() && Instant::now() < until {
            std::thread::sleep(LOOK.min(until.saturating_duration_since(Instant::now())));
        }
    }

    /// How far it is while nothing is sent, and since when the next event waits.
    fn tell_position(&self, known: &Checkpoint) {
        let mut next_at_ms = None;
        if known.position <= self.log.durable() {
            let first = self.log.read_from(known.position, &mut |event| {
                next_at_ms = Some(event.at_ms);
                false
            });
            if let Err(error) = first {
                tracing::error!(%error, "the log cannot be read");
            }
        }
        self.output.expects(known.position, next_at_ms);
    }

    /// One life of a producer, until it fails or everything is to end. Keeps `known` up to date.
    fn session(&mut self, known: &mut Checkpoint) -> Result<(), Fault> {
        let session = Session::open(&self.settings, &*self.log, self.log_id, known, !self.warned)?;
        self.warned = true;
        let mut state = Progress::new(&session);
        let mut feed = Feed::new(self.log.clone(), session.from);
        let mut batch = Copies::default();
        let outcome = loop {
            let step = self.step(&session, &mut feed, &mut batch, &mut state);
            let on = matches!(step, Ok(true));
            if !on || state.written.elapsed() >= CHECKPOINT_EVERY {
                *known = session.checkpoint(self.log_id, state.position);
                self.file.write(known);
                state.written = Instant::now();
            }
            match step {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(fault) => break Err(fault),
            }
        };
        if outcome.is_ok() {
            session.drain(Instant::now() + DRAIN)?;
            tell(&self.output, &*self.clock, &session, &mut state);
            *known = session.checkpoint(self.log_id, state.position);
        }
        outcome
    }

    /// Sends what is new, or waits a moment for it. Gives false when it is time to stop.
    fn step(
        &mut self,
        session: &Session,
        feed: &mut Feed,
        batch: &mut Copies,
        state: &mut Progress,
    ) -> Result<bool, Fault> {
        if self.stopped() {
            return Ok(false);
        }
        batch.read(feed)?;
        state.at_the_end &= batch.is_empty();
        for event in batch.events() {
            let origin = self.log.origin(event.position);
            let record = self.renderer.render(&event).from(origin.as_deref());
            loop {
                match session.send(event.stream, event.position, event.at_ms, &record)? {
                    Sent::Queued | Sent::There => break,
                    Sent::Full => {
                        session.wait()?;
                        tell(&self.output, &*self.clock, session, state);
                        if self.stop.load(Ordering::Acquire) {
                            return Ok(false);
                        }
                    }
                }
            }
            (state.read, state.read_at_ms) = (event.position, Some(event.at_ms));
        }
        session.serve()?;
        if batch.is_empty() {
            std::thread::sleep(LOOK);
        }
        state.at_the_end = feed.lag() == 0;
        tell(&self.output, &*self.clock, session, state);
        Ok(true)
    }
}

/// Tells how far it is, and whether the brokers acknowledge anything.
fn tell(output: &Output, clock: &dyn Clock, session: &Session, state: &mut Progress) {
    let acknowledged = session.acknowledged();
    let new = acknowledged - state.acknowledged;
    output.sent(new);
    state.acknowledged = acknowledged;
    let oldest = session.oldest();
    if new > 0 || oldest.is_none() {
        state.heard = Instant::now();
        // Nothing to acknowledge is no sign of life as long as there is something to send.
        if (new > 0 || state.at_the_end) && output.works() {
            tracing::info!(position = state.position.0, "Kafka takes records again");
        }
    } else if state.heard.elapsed() >= STALLED {
        let last = session.last_complaint();
        let what = if last.is_empty() { "the brokers acknowledge nothing".to_owned() } else { last };
        if output.fails(&what) {
            tracing::warn!(position = state.position.0, "Kafka: {what}");
        }
        // Once per stall and complaint, not once per look.
        state.heard = Instant::now();
    }
    // Before the first event that is not acknowledged; with none, as far as the log was read. What comes next there was
    // recorded no earlier than what was read last.
    let (position, next_at_ms) = match oldest {
        Some((position, at_ms)) => (Position(position.0 - 1), Some(at_ms)),
        None if state.at_the_end => (state.read, Some(clock.now())),
        None => (state.read, state.read_at_ms),
    };
    state.position = position.max(state.position);
    output.reached(state.position, next_at_ms);
}

/// Where a session is.
struct Progress {
    /// Everything up to here is acknowledged.
    position: Position,
    /// Up to here everything was sent, or was there.
    read: Position,
    read_at_ms: Option<Millis>,
    /// And that is as far as the log goes.
    at_the_end: bool,
    acknowledged: u64,
    /// When the brokers last acknowledged something, or had nothing to.
    heard: Instant,
    written: Instant,
}

impl Progress {
    fn new(session: &Session) -> Progress {
        let now = Instant::now();
        Progress {
            position: session.from,
            read: session.from,
            read_at_ms: None,
            at_the_end: false,
            acknowledged: 0,
            heard: now,
            written: now,
        }
    }
}

/// Events copied from the log: while Kafka is waited for, the log's memory must not be held.
#[derive(Default)]
struct Copies {
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
    fn read(&mut self, feed: &mut Feed) -> Result<(), eventlog::Error> {
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

    fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    fn events(&self) -> impl Iterator<Item = Recorded<'_>> {
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
