//! The ledger: what was charged, spent, refunded and adjusted on each organizer's account on each day (UTC), summed up from
//! the log outside of the path of any command.
//!
//! - [`sums`]: the sums, a pure fold over events
//! - [`mod@file`]: a copy on disk, so that a start need not read the whole log
//!
//! One thread owns the sums, reads the log and answers; nobody else touches them. It reads when it is asked, and now and
//! then by itself. What it says always equals the log up to the position that it names.

pub mod file;
pub mod sums;
#[cfg(test)]
mod tests;

use base::process_limits::{self, BackgroundThrottle};
use eventlog::feed::Feed;
use eventlog::{Error, Log, Position};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use sums::{Account, Span, Statement, Sums};
use tokio::sync::oneshot;

/// How often the log is read when nobody asks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Events between two looks at whether somebody asks, or wants it to stop.
const BATCH_EVENTS: usize = 16_384;
/// Events after which a new copy is written: to read so many takes two seconds after a start, without hurry.
const FILE_EVENTS: u64 = 500_000;
/// Questions that wait at a time.
const QUESTIONS_MAX: usize = 256;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unavailable {
    /// It has not read the log that far yet.
    #[error("the sums are at position {at}, the log is at {durable}")]
    Behind { at: Position, durable: Position },
    /// Too many ask at a time.
    #[error("too many ask for sums")]
    Overloaded,
    /// The log could not be read.
    #[error("the log cannot be read")]
    Failed,
}

struct Question {
    /// The answer has everything up to here.
    from: Position,
    account: Account,
    span: Span,
    reply: oneshot::Sender<Statement>,
}

enum Message {
    Question(Question),
    /// To look whether it has to stop.
    Wake,
}

/// The way to the sums.
#[derive(Clone)]
pub struct Ledger {
    log: Arc<dyn Log>,
    questions: SyncSender<Message>,
    progress: Arc<Progress>,
}

#[derive(Default)]
struct Progress {
    position: AtomicU64,
    /// It has been at the end of the log once.
    caught_up: AtomicBool,
}

/// The thread that keeps the sums.
pub struct LedgerThread {
    stop: Arc<AtomicBool>,
    wake: SyncSender<Message>,
    thread: Option<JoinHandle<()>>,
}

impl Ledger {
    /// The sums of `account` over `span`, with everything that is durable now. Waits for that, up to 2 s.
    pub async fn statement(&self, account: Account, span: Span) -> Result<Statement, Unavailable> {
        let from = self.log.durable();
        let behind = || Unavailable::Behind { at: self.position(), durable: from };
        if !self.progress.caught_up.load(Ordering::Acquire) {
            return Err(behind());
        }
        let (reply, answer) = oneshot::channel();
        let question = Message::Question(Question { from, account, span, reply });
        self.questions.try_send(question).map_err(|refused| match refused {
            TrySendError::Full(_) => Unavailable::Overloaded,
            TrySendError::Disconnected(_) => Unavailable::Failed,
        })?;
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(statement)) => Ok(statement),
            Ok(Err(_)) => Err(Unavailable::Failed),
            Err(_) => Err(behind()),
        }
    }

    /// How far it has read.
    pub fn position(&self) -> Position {
        Position(self.progress.position.load(Ordering::Acquire))
    }
}

/// Starts the ledger of `log`, whose identity is `log_id`, with its copy at `path`.
pub fn start(log: Arc<dyn Log>, log_id: uuid::Uuid, path: PathBuf) -> std::io::Result<(Ledger, LedgerThread)> {
    let (questions, asked) = sync_channel(QUESTIONS_MAX);
    let progress = Arc::new(Progress::default());
    let stop = Arc::new(AtomicBool::new(false));
    let wake = questions.clone();
    let ledger = Ledger { log: log.clone(), questions, progress: progress.clone() };
    let stopped = stop.clone();
    let thread = std::thread::Builder::new().name("ledger".into()).spawn(move || {
        process_limits::yield_to_others();
        let run = Run { copy: file::Copy { path, log_id }, log, asked, progress, stopped };
        if let Err(error) = run.run() {
            tracing::error!(%error, "the log cannot be read for the reconciliation");
        }
    })?;
    Ok((ledger, LedgerThread { stop, wake, thread: Some(thread) }))
}

/// Brings the copy at `path` of the sums of `log`, whose identity is `log_id`, to the log's end, where nothing runs on it.
/// Gives the position that the copy is at: that of the log, unless it cannot be written.
pub fn catch_up(log: &dyn Log, log_id: uuid::Uuid, path: PathBuf) -> Result<Position, Error> {
    let copy = file::Copy { path, log_id };
    let mut sums = copy.read(log).unwrap_or_default();
    if sums.position < log.durable() {
        let (mut failed, from) = (None, sums.position);
        log.read_from(from, &mut |event| {
            failed = sums.apply(&event).err().map(|error| damaged(event.position, &error));
            failed.is_none()
        })?;
        failed.map_or(Ok(()), Err)?;
        copy.write(&sums, log);
    }
    Ok(copy.read(log).map_or(Position(0), |sums| sums.position))
}

fn damaged(position: Position, error: &impl std::fmt::Display) -> Error {
    Error::Damaged { position, what: error.to_string() }
}

impl LedgerThread {
    /// Writes a copy and ends the thread.
    pub fn stop(mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // When there is no room for it, the thread is awake.
            let _ = self.wake.try_send(Message::Wake);
            // Its panic, if any, has been told by the panic hook.
            let _ = thread.join();
        }
    }
}

struct Run {
    copy: file::Copy,
    log: Arc<dyn Log>,
    asked: Receiver<Message>,
    progress: Arc<Progress>,
    stopped: Arc<AtomicBool>,
}

impl Run {
    fn run(&self) -> Result<(), Error> {
        let mut sums = self.copy.read(&*self.log).unwrap_or_default();
        let mut written = sums.position;
        let mut feed = Feed::new(self.log.clone(), sums.position);
        let mut waiting: Vec<Question> = Vec::new();
        let mut pace = BackgroundThrottle::default();
        while !self.stopped.load(Ordering::Acquire) {
            self.take_over(&mut feed, &mut sums, &mut pace)?;
            if feed.lag() == 0 {
                self.progress.caught_up.store(true, Ordering::Release);
            }
            for question in std::mem::take(&mut waiting) {
                if question.reply.is_closed() {
                    continue;
                }
                if question.from <= sums.position {
                    let _ = question.reply.send(sums.statement(question.account, question.span));
                } else {
                    waiting.push(question);
                }
            }
            if sums.position.0 >= written.0 + FILE_EVENTS {
                self.copy.write(&sums, &*self.log);
                written = sums.position;
            }
            // Of what is here already nobody has to wait; for more there is time when the log is read to its end.
            let busy = feed.lag() > 0 && !waiting.is_empty() || !self.progress.caught_up.load(Ordering::Acquire);
            match self.asked.recv_timeout(if busy { Duration::ZERO } else { LOOK_EVERY }) {
                Ok(message) => {
                    let messages = [message].into_iter().chain(self.asked.try_iter());
                    waiting.extend(messages.filter_map(|message| match message {
                        Message::Question(question) => Some(question),
                        Message::Wake => None,
                    }));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        if sums.position > written {
            self.copy.write(&sums, &*self.log);
        }
        Ok(())
    }

    fn take_over(&self, feed: &mut Feed, sums: &mut Sums, pace: &mut BackgroundThrottle) -> Result<(), Error> {
        let (mut failed, caught_up) = (None, self.progress.caught_up.load(Ordering::Acquire));
        feed.poll(BATCH_EVENTS, &mut |event| {
            failed = sums.apply(&event).err().map(|error| damaged(event.position, &error));
            // Before it has been at the end it answers nobody, so nobody waits.
            if !caught_up {
                pace.step();
            }
            failed.is_none()
        })?;
        self.progress.position.store(sums.position.0, Ordering::Release);
        failed.map_or(Ok(()), Err)
    }
}
