//! What took how long of a request, noted where it happens: a few moments of each of its commands, and its queries. Who serves
//! requests may look at a thread's request with a [`Recorder`]; while nobody does, every note costs one branch.
//!
//! A request goes on in one thread at a time, so its recorder is the thread's while the thread works on it ([`enter`], [`leave`]).
//! A command leaves that thread, and takes its [`Moments`] along.

use crate::trace_context::TraceContext;
use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// Commands, and queries, of one request that are noted. There is no request with more, but for lists of our own.
pub const PARTS_MAX: usize = 16;

/// What happens to a command, in this order. What did not happen has no time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Moment {
    /// It is put into a shard's mailbox.
    Sent,
    /// A shard begins with it.
    Begun,
    /// What comes of it is known, and was given to the log.
    Decided,
    /// The log begins to write the commit with its events.
    Taken,
    /// That is on disk.
    Durable,
    /// Its caller has the answer.
    Told,
}

const MOMENTS: usize = Moment::Told as usize + 1;

/// When what happened to a command.
#[derive(Debug, Default)]
pub struct Moments {
    /// The type of the command.
    command: &'static str,
    /// What its events are told to come from.
    origin: Option<Arc<TraceContext>>,
    /// Nanoseconds after [`BEGIN`], plus one; 0 while it has not happened.
    at_ns: [AtomicU64; MOMENTS],
    steps: AtomicU32,
}

/// When the first moment was noted.
static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Moments {
    /// Happened now; of what happens again, the last time counts.
    pub fn note(&self, moment: Moment) {
        self.note_at(moment, Instant::now());
    }

    pub fn note_at(&self, moment: Moment, at: Instant) {
        let ns = at.saturating_duration_since(*BEGIN).as_nanos() as u64 + 1;
        self.at_ns[moment as usize].store(ns, Ordering::Relaxed);
    }

    /// A shard runs a step of it.
    pub fn step(&self) {
        if self.steps.fetch_add(1, Ordering::Relaxed) == 0 {
            self.note(Moment::Begun);
        }
    }

    pub fn at(&self, moment: Moment) -> Option<Instant> {
        let ns = self.at_ns[moment as usize].load(Ordering::Relaxed);
        (ns > 0).then(|| *BEGIN + Duration::from_nanos(ns - 1))
    }

    pub fn command(&self) -> &'static str {
        self.command
    }

    /// Steps of its chain that were run.
    pub fn steps(&self) -> u32 {
        self.steps.load(Ordering::Relaxed)
    }

    pub fn origin(&self) -> Option<&Arc<TraceContext>> {
        self.origin.as_ref()
    }

    fn reset(&mut self, command: &'static str, origin: Option<Arc<TraceContext>>) {
        *self = Moments { command, origin, ..Moments::default() };
    }
}

/// A question to the read models.
#[derive(Clone, Debug)]
pub struct Query {
    /// `sqlite` or `postgresql`.
    pub system: &'static str,
    /// The table that it reads first.
    pub table: Box<str>,
    pub started: Instant,
    pub ended: Instant,
    pub failed: bool,
}

/// Notes what a request's parts take. To be used again for the next one: then nothing is allocated.
#[derive(Debug, Default)]
pub struct Recorder {
    origin: Option<Arc<TraceContext>>,
    /// The first `used` are this request's.
    commands: Vec<Arc<Moments>>,
    used: usize,
    queries: Vec<Query>,
}

impl Recorder {
    /// For another request, whose events are told to come from `origin`.
    pub fn begin(&mut self, origin: Option<Arc<TraceContext>>) {
        self.origin = origin;
        self.used = 0;
        self.queries.clear();
    }

    pub fn commands(&self) -> &[Arc<Moments>] {
        &self.commands[..self.used]
    }

    pub fn take_queries(&mut self) -> Vec<Query> {
        std::mem::take(&mut self.queries)
    }

    fn command(&mut self, command: &'static str) -> Option<Arc<Moments>> {
        if self.used == PARTS_MAX {
            return None;
        }
        if self.used == self.commands.len() {
            self.commands.push(Arc::default());
        }
        let place = &mut self.commands[self.used];
        if Arc::get_mut(place).is_none() {
            // Somebody still has it of a request before.
            *place = Arc::default();
        }
        let moments = Arc::get_mut(place).expect("nobody else has it");
        moments.reset(command, self.origin.clone());
        moments.note(Moment::Sent);
        self.used += 1;
        Some(place.clone())
    }
}

thread_local! {
    static CURRENT: Cell<Option<Recorder>> = const { Cell::new(None) };
}

/// From now on this thread works on the request of `recorder`.
pub fn enter(recorder: Recorder) {
    CURRENT.set(Some(recorder));
}

/// The thread goes on with something else.
pub fn leave() -> Option<Recorder> {
    CURRENT.take()
}

/// A command of this thread's request is sent. None when nobody wants to know.
pub fn command(command: &'static str) -> Option<Arc<Moments>> {
    let mut recorder = CURRENT.take()?;
    let moments = recorder.command(command);
    CURRENT.set(Some(recorder));
    moments
}

/// Whether somebody notes what this thread's request does.
pub fn wanted() -> bool {
    let recorder = CURRENT.take();
    let wanted = recorder.is_some();
    CURRENT.set(recorder);
    wanted
}

/// A query of this thread's request has ended.
pub fn query(query: Query) {
    if let Some(mut recorder) = CURRENT.take() {
        if recorder.queries.len() < PARTS_MAX {
            recorder.queries.push(query);
        }
        CURRENT.set(Some(recorder));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorder_is_used_again() {
        assert!(command("Hold").is_none() && !wanted());
        enter(Recorder::default());
        let moments = command("Hold").unwrap();
        assert!(wanted());
        moments.step();
        moments.step();
        let (sent, begun) = (moments.at(Moment::Sent).unwrap(), moments.at(Moment::Begun).unwrap());
        assert!(sent <= begun && moments.steps() == 2 && moments.at(Moment::Told).is_none());
        let mut recorder = leave().unwrap();
        assert!(leave().is_none());
        assert_eq!(recorder.commands().iter().map(|noted| noted.command()).collect::<Vec<_>>(), ["Hold"]);

        // The log still has it: it is not written over.
        recorder.begin(None);
        enter(recorder);
        let other = command("Pay").unwrap();
        assert!(!Arc::ptr_eq(&other, &moments));
        assert_eq!((moments.command(), moments.steps(), other.steps()), ("Hold", 2, 0));

        // Nobody has it any more: then it is.
        let place = Arc::as_ptr(&other);
        drop(other);
        let mut recorder = leave().unwrap();
        recorder.begin(None);
        enter(recorder);
        let third = command("Cancel").unwrap();
        assert_eq!((Arc::as_ptr(&third), third.command()), (place, "Cancel"));
        drop(leave());
    }

    #[test]
    fn there_are_only_so_many() {
        enter(Recorder::default());
        let noted = (0..PARTS_MAX + 1).filter(|_| command("Hold").is_some()).count();
        assert_eq!((noted, leave().unwrap().commands().len()), (PARTS_MAX, PARTS_MAX));
    }
}
