//! Where only one connection can write, a part of the tables is filled in a file of its own meanwhile, and brought home at a
//! stage's end. Who is interrupted brings home what there is; after a crash that part goes on from where it left home.

use super::batch::within;
use super::stage::Stage;
use crate::apply::Ready;
use crate::checkpoints;
use crate::rebuild::bisect::halve;
use crate::rebuild::parallel::{LOOK_EVERY, Work};
use crate::source::Source;
use crate::store::Store;
use crate::store::sqlite::{self, Sqlite};
use crate::{Error, Kind};
use eventlog::Position;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use uuid::Uuid;

/// With fewer events left, carrying tables to and fro is not worth it.
const EVENTS_MIN: u64 = 100_000;

/// Fills a half of `builds` in the file beside `home`, the other one in `home`. False when this is not the time: builds are
/// at different positions, it is not known yet what each takes, or little is left.
pub(super) fn apply(
    builds: &mut [Ready],
    own: (&mut dyn Store, &mut dyn Source),
    (home, source): (&Path, &mut dyn Source),
    stage: Stage,
    told: &AtomicBool,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<bool, Error> {
    let from = builds.first().map_or(stage.to, |ready| ready.build.position);
    if from.0 + EVENTS_MIN > stage.to.0 || builds.iter().any(|ready| ready.build.position != from) {
        return Ok(false);
    }
    let mut kept: Vec<&mut Ready> = builds.iter_mut().collect();
    let Some(mut given) = halve(&mut kept) else { return Ok(false) };
    let mut aside = ShadowFile::open(home)?;
    aside.take(own.1.log_id(), &given)?;
    let work = Work::new(Vec::new(), 2, stage, told);
    std::thread::scope(|scope| {
        let (work, store, given) = (&work, &mut *aside.store, &mut given);
        let helping = scope.spawn(move || work.fill(1, store, source, given, &mut |_, _| {}));
        let done = work.fill(0, &mut *own.0, own.1, &mut kept, progress);
        while !helping.is_finished() {
            std::thread::sleep(LOOK_EVERY);
            progress(work.least(), stage.end.0);
        }
        done.and(helping.join().expect("who fills aside panicked"))
    })?;
    aside.bring(own.0, from, &given)?;
    Ok(true)
}

/// Takes away what a crash left.
pub(super) fn remove(home: &Path) -> Result<(), Error> {
    sqlite::remove(&path(home))
}

fn path(home: &Path) -> PathBuf {
    PathBuf::from(format!("{}.aside", home.display()))
}

/// The file. It goes when this does.
struct ShadowFile {
    store: Box<Sqlite>,
    path: PathBuf,
    home: PathBuf,
}

impl ShadowFile {
    fn open(home: &Path) -> Result<ShadowFile, Error> {
        let path = path(home);
        Ok(ShadowFile { store: Box::new(Sqlite::open_aside(&path)?), path, home: home.into() })
    }

    /// Begins with the rows that the builds have at home.
    fn take(&mut self, log_id: Uuid, builds: &[&mut Ready]) -> Result<(), Error> {
        let store = &mut *self.store;
        checkpoints::open(store, log_id)?;
        within(store, |store| {
            builds.iter().try_for_each(|ready| {
                checkpoints::create_tables(store, &ready.build)?;
                checkpoints::note(store, &ready.build)
            })
        })?;
        // Not before: a name without a place means the other file where this one has no such table yet.
        attach(store, &self.home)?;
        within(store, |store| builds.iter().try_for_each(|ready| copy(store, ready)))?;
        detach(store)
    }

    /// Brings the rows home, one build after the other, each with how far it is.
    fn bring(self, home: &mut dyn Store, from: Position, builds: &[&mut Ready]) -> Result<(), Error> {
        attach(home, &self.path)?;
        for ready in builds {
            within(home, |home| {
                copy(home, ready)?;
                if checkpoints::advance_build(home, &ready.build, from, ready.build.position)? {
                    return Ok(());
                }
                let name = &ready.build.projection.name;
                Err(Error::new(Kind::Taken, format!("another process fills {name} at the same time")))
            })?;
        }
        detach(home)
    }
}

impl Drop for ShadowFile {
    fn drop(&mut self) {
        // Who opens it the next time takes it away otherwise.
        let _ = sqlite::remove(&self.path);
    }
}

fn attach(store: &mut dyn Store, path: &Path) -> Result<(), Error> {
    store.run(&format!("ATTACH '{}' AS other", path.display().to_string().replace('\'', "''")))
}

fn detach(store: &mut dyn Store) -> Result<(), Error> {
    store.run("DETACH other")
}

/// Replaces the rows of a build by those that it has in the other file. From an empty table on, SQLite carries over rows and
/// indices as they are.
fn copy(store: &mut dyn Store, ready: &Ready) -> Result<(), Error> {
    ready.build.projection.tables.iter().try_for_each(|table| {
        let table = format!("{table}__{}", ready.build.number);
        store.run(&format!("DELETE FROM main.{table}; INSERT INTO main.{table} SELECT * FROM other.{table}"))
    })
}
