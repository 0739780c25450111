//! Keeps the live tables up to date, and makes those that are missing.

use super::apply::{self, Outcome, Ready};
use super::event::Event;
use super::projection::Projection;
use super::source::Source;
use super::state::{Progress, Trouble};
use super::store::{Lock, Place, Store};
use super::{Error, Kind};
use crate::backpressure::Rest;
use crate::checkpoints::{self, Books, Build, State};
use crate::rebuild::{Filling, PoisonPolicy, is_whole, within};
use base::clock::{Clock, SystemClock};
use base::id::Millis;
use eventlog::Position;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Events of one transaction.
const BATCH_EVENTS_MAX: usize = 5_000;
/// Events of one transaction while nobody sells, or nobody sees the tables yet.
const FILL_EVENTS_MAX: usize = 20_000;
/// How long one waits for events before looking around.
const IDLE: Duration = Duration::from_millis(250);
/// Between two tries to reach a database that is away: first, and at most.
const RETRY: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// How often another projector's lock is tried, when this one is to take over.
const STANDBY: Duration = Duration::from_secs(2);
/// How long the last events may take when it is told to stop.
const FINISH_WITHIN: Duration = Duration::from_secs(2);
/// How often it is looked whether a failed projection can be made again.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What a projector works on.
pub struct Projector {
    pub place: Place,
    pub source: Box<dyn Source>,
    pub projections: Vec<Projection>,
    pub progress: Arc<Progress>,
    /// Waits when another one runs on the read model, instead of ending.
    pub standby: bool,
}

/// A projector on a thread of its own.
pub struct Handle {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Handle {
    /// Ends the projector after the transaction that it is in.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Release);
        // Its panic, if any, has been told by the panic hook.
        let _ = self.thread.join();
    }
}

/// Starts a projector that gives way to those who sell.
pub fn start(projector: Projector) -> std::io::Result<Handle> {
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let thread = std::thread::Builder::new().name("projector".into()).spawn(move || {
        base::process_limits::yield_to_others();
        let mut projector = projector;
        if let Err(error) = projector.run(&stopped) {
            tracing::error!(%error, "read models are not kept up to date");
            projector.tell_all(&error);
        }
    })?;
    Ok(Handle { stop, thread })
}

/// What one connection works with.
struct Session<'a> {
    store: Box<dyn Store>,
    projector: &'a mut Projector,
    position: Position,
    generation: u64,
    live: Vec<Ready>,
    filling: Option<Filling>,
    /// Projections without usable live tables.
    wanted: Vec<Projection>,
    looked: Instant,
    clock: SystemClock,
    rest: Rest,
    /// When the last event that was applied had been recorded.
    recorded_at_ms: Millis,
}

impl Projector {
    /// Works until it is told to stop. An error is what only a person can mend; a database that is away is waited for.
    pub fn run(&mut self, stop: &AtomicBool) -> Result<(), Error> {
        let mut retry = RETRY;
        while !stop.load(Ordering::Acquire) {
            let begun = Instant::now();
            let error = match self.session(stop) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            match error.kind {
                Kind::Taken if self.standby => retry = STANDBY,
                Kind::Taken | Kind::Refused => return Err(error),
                _ if begun.elapsed() > RETRY_MAX => retry = RETRY,
                _ => {}
            }
            self.tell_all(&error);
            pause(stop, retry);
            retry = (retry * 2).min(RETRY_MAX);
        }
        Ok(())
    }

    fn tell_all(&self, error: &Error) {
        let trouble = Trouble { projection: None, what: error.to_string() };
        for new in self.progress.set_trouble(vec![trouble]) {
            tracing::warn!(error = new.what, "the read models are behind");
        }
    }

    fn session(&mut self, stop: &AtomicBool) -> Result<(), Error> {
        let mut store = self.place.open()?;
        if !store.lock(Lock::Live)? {
            return Err(Error::new(Kind::Taken, format!("another projector runs on {}", self.place)));
        }
        checkpoints::open(&mut *store, self.source.log_id())?;
        let end = self.source.end()?;
        let mut session = Session {
            store,
            projector: self,
            position: Position(0),
            generation: 0,
            live: Vec::new(),
            filling: None,
            wanted: Vec::new(),
            looked: Instant::now(),
            clock: SystemClock::default(),
            rest: Rest::from(end),
            recorded_at_ms: 0,
        };
        session.look()?;
        while !stop.load(Ordering::Acquire) {
            session.step()?;
        }
        session.finish()
    }
}

fn pause(stop: &AtomicBool, long: Duration) {
    let start = Instant::now();
    while !stop.load(Ordering::Acquire) && start.elapsed() < long {
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Session<'_> {
    /// Reads anew what is live, and finds what is missing.
    fn look(&mut self) -> Result<(), Error> {
        let books = checkpoints::read(&mut *self.store)?;
        let end = self.projector.source.end()?;
        if books.position > end {
            return Err(self.projector.source.is_behind(books.position, end));
        }
        (self.position, self.generation) = (books.position, books.generation);
        self.store.forget();
        let mut trouble = Vec::new();
        self.wanted.clear();
        for projection in &self.projector.projections {
            match missing(&books, projection) {
                Missing::Nothing => {}
                Missing::Tables => self.wanted.push(projection.clone()),
                Missing::Sense(what) => {
                    trouble.push(Trouble { projection: Some(projection.name.clone()), what });
                }
            }
        }
        let failed = books.builds.iter().filter(|build| build.state == State::Failed);
        trouble.extend(failed.filter_map(|build| {
            let what = build.reason.clone()?;
            Some(Trouble { projection: Some(build.projection.name.clone()), what })
        }));
        for parked in checkpoints::parked(&mut *self.store)? {
            let live = books.live(&parked.projection).is_some_and(|live| live.number == parked.build);
            if live {
                let what = format!("the event at {} is parked: {}", parked.position, parked.reason);
                trouble.push(Trouble { projection: Some(parked.projection), what });
            }
        }
        self.live = books.builds.into_iter().filter(|build| build.state == State::Live).map(Ready::new).collect();
        for new in self.projector.progress.set_trouble(trouble) {
            tracing::warn!(projection = new.projection, what = new.what, "a read model needs attention");
        }
        if !self.live.is_empty() || self.projector.projections.is_empty() {
            self.projector.progress.reach(self.position);
        }
        self.looked = Instant::now();
        Ok(())
    }

    /// A batch for the live tables, and one for those that are being filled.
    fn step(&mut self) -> Result<(), Error> {
        let (start, now) = (Instant::now(), self.clock.now());
        let (before, end) = (self.position, self.projector.source.end()?);
        if !self.live.is_empty() && self.position < end {
            self.advance(end)?;
        }
        if self.position == end {
            // What comes after this was recorded after this.
            self.projector.progress.tell(now);
        }
        self.fill()?;
        if self.looked.elapsed() > LOOK_EVERY && (self.changed()? || !self.wanted.is_empty()) {
            self.look()?;
        }
        if self.filling.is_some() {
            return Ok(());
        }
        let took = start.elapsed();
        let mut rest = Duration::ZERO;
        if self.projector.place.is_served() {
            let behind_ms = self.clock.now().saturating_sub(self.recorded_at_ms);
            rest = self.rest.after(self.position.0.saturating_sub(before.0), took, end, behind_ms);
        }
        if !self.live.is_empty() && self.position.0 + (BATCH_EVENTS_MAX as u64) <= end.0 {
            std::thread::sleep(rest);
            return Ok(());
        }
        std::thread::sleep(rest.max(self.projector.place.pace().saturating_sub(took)));
        self.projector.source.wait(self.position, IDLE)
    }

    /// What is there already is applied before the end, if that does not take long.
    fn finish(&mut self) -> Result<(), Error> {
        let (start, end) = (Instant::now(), self.projector.source.end()?);
        while !self.live.is_empty() && self.position < end && start.elapsed() < FINISH_WITHIN {
            self.advance(end)?;
        }
        Ok(())
    }

    /// Whether somebody else has swapped tables, or taken some away.
    fn changed(&mut self) -> Result<bool, Error> {
        self.looked = Instant::now();
        if !self.store.is_there() {
            return Err(Error::new(Kind::Away, format!("{} was taken away; it is made anew", self.projector.place)));
        }
        let books = checkpoints::read(&mut *self.store)?;
        let store = &mut *self.store;
        let lost = books.builds.iter().find(|build| build.state == State::Live && !is_shown(store, build));
        if let Some(lost) = lost {
            let error = Error::new(Kind::Missing, "a table or its view was dropped");
            let ready = Ready::new(lost.clone());
            within(store, |store| fail(store, &ready, &error))?;
            return Ok(true);
        }
        let live = books.builds.iter().filter(|build| build.state == State::Live);
        let theirs: Vec<(&str, u64)> = live.map(|build| (build.projection.name.as_str(), build.number)).collect();
        let ours: Vec<(&str, u64)> =
            self.live.iter().map(|ready| (ready.build.projection.name.as_str(), ready.build.number)).collect();
        Ok(theirs != ours)
    }

    fn advance(&mut self, end: Position) -> Result<(), Error> {
        let from = self.position;
        let (events, to) = self.projector.source.read(from, end, BATCH_EVENTS_MAX)?;
        let (live, generation) = (&self.live, self.generation);
        let mut moved = false;
        let applied = within(&mut *self.store, |store| {
            moved = checkpoints::advance(store, generation, from, to)?;
            if !moved {
                return Ok(());
            }
            apply::run_all(store, &live.iter().collect::<Vec<_>>(), &events)
        });
        match applied {
            Ok(()) if !moved => return self.overtaken(),
            Ok(()) => {}
            Err(error) if matches!(error.kind, Kind::Data | Kind::Statement | Kind::Missing) => {
                return self.advance_each(&events, from, to);
            }
            Err(error) => return Err(error),
        }
        self.position = to;
        self.projector.progress.reach(to);
        if let Some(last) = events.last() {
            // What comes next was recorded no earlier.
            self.recorded_at_ms = last.occurred_at;
            self.projector.progress.tell(last.occurred_at);
        }
        Ok(())
    }

    /// One projection after the other, because one of them cannot go on like that.
    fn advance_each(&mut self, events: &[Event], from: Position, to: Position) -> Result<(), Error> {
        // Somebody may have swapped tables: then there are others to work on.
        if self.changed()? {
            return self.look();
        }
        let (live, generation) = (&self.live, self.generation);
        within(&mut *self.store, |store| {
            if !checkpoints::advance(store, generation, from, to)? {
                return Err(Error::new(Kind::Taken, "another projector has moved the checkpoint"));
            }
            for ready in live {
                if let Outcome::Failed(error) = apply::apply_or_park(store, ready, events)? {
                    fail(store, ready, &error)?;
                }
            }
            Ok(())
        })?;
        self.look()
    }

    /// The checkpoint is not where it was left: tables were swapped, or somebody else works here.
    fn overtaken(&mut self) -> Result<(), Error> {
        let changed = self.changed()?;
        let before = self.position;
        self.look()?;
        if !changed && self.position != before {
            let what = format!("another projector runs on {}: it has moved the checkpoint", self.projector.place);
            return Err(Error::new(Kind::Taken, what));
        }
        Ok(())
    }

    /// A batch for tables that are missing.
    fn fill(&mut self) -> Result<(), Error> {
        if self.filling.is_none() {
            if self.wanted.is_empty() || !self.store.lock(Lock::Fill)? {
                return Ok(());
            }
            // Nobody has been filling anything since the lock was taken.
            self.look()?;
            let poison = |wanted: &Projection| self.live.iter().any(|ready| ready.build.projection.name == wanted.name);
            let (upgrades, new): (Vec<_>, Vec<_>) = self.wanted.iter().cloned().partition(poison);
            let (group, poison) =
                if new.is_empty() { (upgrades, PoisonPolicy::Fail) } else { (new, PoisonPolicy::Park) };
            if group.is_empty() {
                return self.store.unlock(Lock::Fill);
            }
            let names: Vec<&str> = group.iter().map(|projection| projection.name.as_str()).collect();
            match Filling::begin(&mut *self.store, &group, poison, false) {
                Ok(filling) => {
                    tracing::info!(projections = names.join(", "), "filling read models");
                    self.filling = Some(filling);
                }
                Err(error) => return self.give_up(&group, error),
            }
        }
        let Some(filling) = &mut self.filling else { return Ok(()) };
        match fill_step(filling, &mut *self.store, &mut *self.projector.source) {
            Ok(false) => Ok(()),
            Ok(true) => {
                self.filling = None;
                self.store.unlock(Lock::Fill)?;
                tracing::info!("the read models are filled");
                self.look()
            }
            Err(error) => {
                let group: Vec<Projection> = filling.ready.iter().map(|ready| ready.build.projection.clone()).collect();
                self.give_up(&group, error)
            }
        }
    }

    /// What cannot be filled is left alone until its file changes.
    fn give_up(&mut self, group: &[Projection], error: Error) -> Result<(), Error> {
        self.filling = None;
        if !matches!(error.kind, Kind::Data | Kind::Statement | Kind::Missing) {
            return Err(error);
        }
        self.store.unlock(Lock::Fill)?;
        // The one that is named by the message, or, when it is not known, all of them.
        let named = |projection: &&Projection| {
            error.what.contains(&projection.file) || error.what.starts_with(&projection.name)
        };
        let guilty: Vec<&Projection> = group.iter().filter(named).collect();
        let guilty = if guilty.is_empty() { group.iter().collect() } else { guilty };
        for projection in &guilty {
            tracing::error!(projection = projection.name, error = error.what, "a read model cannot be made");
        }
        let guilty: Vec<String> = guilty.iter().map(|projection| projection.name.clone()).collect();
        self.projector.projections.retain(|projection| !guilty.contains(&projection.name));
        self.look()?;
        let mut trouble = self.projector.progress.trouble();
        trouble.extend(guilty.into_iter().map(|name| Trouble { projection: Some(name), what: error.what.clone() }));
        self.projector.progress.set_trouble(trouble);
        Ok(())
    }
}

/// Whether a live build's tables and views are there.
fn is_shown(store: &mut dyn Store, build: &Build) -> bool {
    if !is_whole(store, build) {
        return false;
    }
    let mut tables = build.projection.tables.iter();
    tables.all(|table| store.columns(table).is_ok_and(|found| !found.is_empty()))
}

/// One batch; whether the tables are live now.
fn fill_step(filling: &mut Filling, store: &mut dyn Store, source: &mut dyn Source) -> Result<bool, Error> {
    let progress = filling.progress(store, source)?;
    if !progress.is_near() {
        let (events, to) = filling.read(source, progress, FILL_EVENTS_MAX)?;
        filling.apply(store, progress.at, to, &events)?;
        return Ok(false);
    }
    filling.index(store)?;
    filling.swap(store, source)
}

/// Takes a projection's tables out of use.
fn fail(store: &mut dyn Store, ready: &Ready, error: &Error) -> Result<(), Error> {
    let projection = &ready.build.projection;
    tracing::error!(projection = projection.name, error = error.what, "a read model is given up, and made anew");
    for table in &projection.tables {
        store.run(&format!("DROP VIEW IF EXISTS {table}"))?;
    }
    checkpoints::set_state(store, &ready.build, State::Failed, Some(&error.what))?;
    checkpoints::raise_generation(store)
}

enum Missing {
    Nothing,
    /// There are no live tables, or those of an older version.
    Tables,
    /// What is live and what the file says do not fit together.
    Sense(String),
}

fn missing(books: &Books, projection: &Projection) -> Missing {
    let Some(live) = books.live(&projection.name) else { return Missing::Tables };
    let (theirs, ours) = (&live.projection, projection);
    if theirs.fingerprint == ours.fingerprint {
        return Missing::Nothing;
    }
    match theirs.version.cmp(&ours.version) {
        std::cmp::Ordering::Less => Missing::Tables,
        std::cmp::Ordering::Greater => Missing::Sense(format!(
            "the live tables are of version {}, this onsale has version {}: it goes on with theirs; start the newer onsale, \
             or go back with `onsale rebuild {} --rollback`",
            theirs.version, ours.version, ours.name
        )),
        std::cmp::Ordering::Equal => Missing::Sense(format!(
            "{} differs from what the live tables are made by, under the same version {}: raise its `-- version:`",
            ours.file, ours.version
        )),
    }
}
