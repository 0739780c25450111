//! New tables beside the live ones: filled from the first event on, swapped in when they are where the live ones are.
//!
//! Nothing is lost when this ends in between: a build knows how far it is, and is gone on with.

mod batch;
mod bisect;
mod parallel;
mod run;
mod shadow_file;
mod stage;

pub use batch::within;
pub use run::{Done, fill};
pub use stage::{BATCH_EVENTS_MAX, Progress};

use super::apply::{self, Outcome, Ready};
use super::event::Event;
use super::projection::Projection;
use super::source::Source;
use super::store::{Place, Store};
use super::{Error, Kind};
use crate::checkpoints::{self, Books, Build, State};
use batch::{Helper, advance_all, apply_all, on_all};
use eventlog::Position;
use stage::{REST_EVENTS_MAX, Stage};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};

/// Those who fill tables at a time.
const FILLERS_MAX: usize = 4;

/// What is done about an event that cannot be applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PoisonPolicy {
    /// It is parked: rather all other rows than none.
    Park,
    /// The filling fails: the live tables are better.
    Fail,
}

/// Builds that are being filled.
pub struct Filling {
    pub ready: Vec<Ready>,
    poison: PoisonPolicy,
    help: Help,
}

/// Who fills at the same time.
enum Help {
    Nobody,
    /// Connections to the same database.
    Beside(Vec<Helper>),
    /// Somebody with events of its own, in a file beside the one of this path.
    Aside {
        home: PathBuf,
        source: Box<dyn Source>,
    },
}

impl Filling {
    /// Begins new builds of `projections`, or goes on with those that were begun.
    pub fn begin(
        store: &mut dyn Store,
        projections: &[Projection],
        poison: PoisonPolicy,
        afresh: bool,
    ) -> Result<Filling, Error> {
        let mut ready = Vec::new();
        within(store, |store| {
            let books = checkpoints::read(store)?;
            for projection in projections {
                let begun = books.newest(&projection.name, State::Filling);
                let same = begun.filter(|build| !afresh && build.projection.fingerprint == projection.fingerprint);
                let whole = same.filter(|build| is_whole(store, build));
                if let Some(build) = whole {
                    ready.push(Ready::new(build.clone()));
                    continue;
                }
                for build in books.builds.iter().filter(|build| {
                    build.projection.name == projection.name && matches!(build.state, State::Filling | State::Failed)
                }) {
                    checkpoints::remove(store, build)?;
                }
                ready.push(Ready::new(checkpoints::create(store, &books, projection)?));
            }
            Ok(())
        })?;
        Ok(Filling { ready, poison, help: Help::Nobody })
    }

    /// Goes on with builds that were live before.
    pub fn again(builds: Vec<Build>) -> Filling {
        let ready = builds.into_iter().map(Ready::new).collect();
        Filling { ready, poison: PoisonPolicy::Fail, help: Help::Nobody }
    }

    /// Has as many work at the same time as there are cores, each with a source of its own, which `open` makes.
    pub fn help(&mut self, place: &Place, open: &dyn Fn() -> Result<Box<dyn Source>, Error>) -> Result<(), Error> {
        let more = fillers() - 1;
        self.help = match place {
            _ if more == 0 => Help::Nobody,
            Place::Sqlite(path) => {
                shadow_file::remove(path)?;
                Help::Aside { home: path.clone(), source: open()? }
            }
            Place::Postgres(_) => {
                let helper = |_| Ok(Helper { store: place.open_to_fill()?, source: open()? });
                Help::Beside((0..more).map(helper).collect::<Result<_, Error>>()?)
            }
        };
        Ok(())
    }

    /// Where it is and where it has to get: to the live tables' checkpoint, or, without live tables, to the log's end.
    pub fn progress(&self, store: &mut dyn Store, source: &mut dyn Source) -> Result<Progress, Error> {
        let at = self.ready.iter().map(|ready| ready.build.position).min().unwrap_or_default();
        let books = checkpoints::read(store)?;
        let live = books.builds.iter().any(|build| build.state == State::Live);
        Ok(Progress { at, target: if live { books.position } else { source.end()? } })
    }

    /// The next events of those builds that are least far, and where that gets them.
    pub fn read(
        &self,
        source: &mut dyn Source,
        progress: Progress,
        events_max: usize,
    ) -> Result<(Vec<Event>, Position), Error> {
        let positions = self.ready.iter().map(|ready| ready.build.position);
        let next = positions.filter(|position| *position > progress.at).min();
        let to = next.map_or(progress.target, |next| next.min(progress.target));
        source.read(progress.at, to, events_max)
    }

    /// Applies what [`Filling::read`] gave.
    pub fn apply(
        &mut self,
        store: &mut dyn Store,
        from: Position,
        to: Position,
        events: &[Event],
    ) -> Result<(), Error> {
        if from == to {
            return Ok(());
        }
        let mut group: Vec<&mut Ready> = self.ready.iter_mut().filter(|ready| ready.build.position == from).collect();
        match apply_all(store, &mut group, from, to, events) {
            Err(error) if error.kind == Kind::Data && self.poison == PoisonPolicy::Park => {
                self.apply_or_park(store, from, to, events)
            }
            applied => applied,
        }
    }

    /// Has everybody apply events to the end of a stage, or until little is left, without a word about those that cannot be
    /// applied: they fail the filling. Whether there was somebody to share the work with; if not, one goes on alone.
    pub fn apply_together(
        &mut self,
        store: &mut dyn Store,
        source: &mut dyn Source,
        told: &AtomicBool,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<bool, Error> {
        let stage = Stage::of(self.progress(store, source)?);
        let (ready, own) = (&mut self.ready, (store, source));
        match &mut self.help {
            Help::Nobody => Ok(false),
            Help::Beside(helpers) => parallel::apply(ready, own, helpers, stage, told, progress).map(|()| true),
            Help::Aside { home, source } => {
                shadow_file::apply(ready, own, (home, &mut **source), stage, told, progress)
            }
        }
    }

    fn apply_or_park(
        &mut self,
        store: &mut dyn Store,
        from: Position,
        to: Position,
        events: &[Event],
    ) -> Result<(), Error> {
        let group: Vec<&Ready> = self.ready.iter().filter(|ready| ready.build.position == from).collect();
        within(store, |store| {
            advance_all(store, &group, from, to)?;
            group.iter().try_for_each(|ready| match apply::apply_or_park(store, ready, events)? {
                Outcome::Applied { .. } => Ok(()),
                Outcome::Failed(error) => Err(error),
            })
        })?;
        for ready in self.ready.iter_mut().filter(|ready| ready.build.position == from) {
            ready.build.position = to;
        }
        Ok(())
    }

    /// Makes what indices are missing: quicker now than while the tables were filled.
    pub fn index(&mut self, store: &mut dyn Store) -> Result<(), Error> {
        let missing = self.ready.iter_mut().filter(|ready| !ready.build.indexed);
        let missing: Mutex<Vec<&mut Ready>> = Mutex::new(missing.collect());
        let work = |store: &mut dyn Store| {
            while let Some(ready) = { missing.lock().unwrap_or_else(PoisonError::into_inner).pop() } {
                within(store, |store| checkpoints::create_indices(store, &ready.build))?;
                ready.build.indexed = true;
            }
            Ok(())
        };
        match &mut self.help {
            Help::Beside(helpers) => on_all(helpers, store, work),
            Help::Aside { .. } | Help::Nobody => work(store),
        }
    }

    /// Shows the new tables instead of the live ones, which are kept for a rollback, if there is not too much left to apply;
    /// whether it did. Nobody sees anything in between.
    pub fn swap(&mut self, store: &mut dyn Store, source: &mut dyn Source) -> Result<bool, Error> {
        let mut swapped = false;
        within(store, |store| {
            let held = checkpoints::hold_position(store)?;
            let books = checkpoints::read(store)?;
            let live = books.builds.iter().any(|build| build.state == State::Live);
            let furthest = self.ready.iter().map(|ready| ready.build.position).max().unwrap_or_default();
            let target = if live { held } else { source.end()?.max(furthest) };
            if self.ready.iter().any(|ready| ready.build.position.0 + REST_EVENTS_MAX < target.0) {
                return Ok(());
            }
            for ready in &self.ready {
                let mut at = ready.build.position;
                while at < target {
                    let (events, to) = source.read(at, target, REST_EVENTS_MAX as usize)?;
                    ready.run(store, &events)?;
                    at = to;
                }
                checkpoints::advance_build(store, &ready.build, ready.build.position, target)?;
                show(store, &books, &ready.build)?;
            }
            if !live && !checkpoints::advance(store, books.generation, held, target)? {
                return Err(Error::new(Kind::Taken, "another projector has moved the checkpoint"));
            }
            swapped = true;
            checkpoints::raise_generation(store)
        })?;
        Ok(swapped)
    }
}

/// How many fill tables quicker than one: as many as there are cores.
fn fillers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(FILLERS_MAX)
}

/// Makes a build the live one.
fn show(store: &mut dyn Store, books: &Books, build: &Build) -> Result<(), Error> {
    let name = &build.projection.name;
    let others = books.builds.iter().filter(|other| other.projection.name == *name && other.number != build.number);
    let live = books.live(name).map(|live| live.number);
    for other in others {
        match other.state {
            State::Live => {
                let position = books.position;
                checkpoints::advance_build(store, other, other.position, position)?;
                checkpoints::set_state(store, other, State::Previous, None)?;
                for table in &other.projection.tables {
                    store.run(&format!("DROP VIEW IF EXISTS {table}"))?;
                }
            }
            State::Previous if live.is_some() => checkpoints::remove(store, other)?,
            State::Failed => checkpoints::remove(store, other)?,
            State::Previous | State::Filling => {}
        }
    }
    for table in &build.projection.tables {
        store.show(table, &format!("{table}__{}", build.number))?;
    }
    checkpoints::set_state(store, build, State::Live, None)
}

/// Whether all tables of a build are there.
pub fn is_whole(store: &mut dyn Store, build: &Build) -> bool {
    let there =
        |table: &String| store.columns(&format!("{table}__{}", build.number)).is_ok_and(|found| !found.is_empty());
    build.projection.tables.iter().all(there)
}
