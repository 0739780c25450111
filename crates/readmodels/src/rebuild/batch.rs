//! Events into builds, all or nothing.

use crate::apply::{self, Ready};
use crate::checkpoints;
use crate::event::Event;
use crate::source::Source;
use crate::store::Store;
use crate::{Error, Kind};
use eventlog::Position;
use std::time::Instant;

/// A connection that does a part of the work, with events of its own.
pub(super) struct Helper {
    pub store: Box<dyn Store>,
    pub source: Box<dyn Source>,
}

/// Applies events to builds that are at `from`, all or nothing; an error names projection and position of what cannot be
/// applied.
pub(super) fn apply_all(
    store: &mut dyn Store,
    builds: &mut [&mut Ready],
    from: Position,
    to: Position,
    events: &[Event],
) -> Result<(), Error> {
    let applied = within(store, |store| {
        let group: Vec<&Ready> = builds.iter().map(|ready| &**ready).collect();
        advance_all(store, &group, from, to)?;
        let started = Instant::now();
        let types = apply::load(store, &group, events)?;
        let loading = started.elapsed();
        for ready in builds.iter_mut() {
            let started = Instant::now();
            apply::run_loaded(store, &[&**ready], &types)?;
            ready.note(started.elapsed(), loading, &types);
        }
        Ok(())
    });
    match applied {
        Ok(()) => builds.iter_mut().for_each(|ready| ready.build.position = to),
        Err(error) if error.kind == Kind::Data => return Err(explain(store, builds, events, error)),
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Names projection and position of what cannot be applied.
pub(super) fn explain(store: &mut dyn Store, builds: &[&mut Ready], events: &[Event], error: Error) -> Error {
    for ready in builds {
        let found = store.begin().and_then(|()| apply::culprit(store, ready, events));
        let _ = store.rollback();
        if let Ok(Some((event, error))) = found {
            let (name, position, kind) = (&ready.build.projection.name, event.position, &event.kind);
            return error.within(format!("{name} cannot apply the event at position {position}, {kind}"));
        }
    }
    error
}

/// Does the same work on the store and on all helpers, side by side. The first error is told when all have ended.
pub(super) fn on_all(
    helpers: &mut [Helper],
    store: &mut dyn Store,
    work: impl Fn(&mut dyn Store) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    std::thread::scope(|scope| {
        let work = &work;
        let helping: Vec<_> = helpers.iter_mut().map(|helper| scope.spawn(move || work(&mut *helper.store))).collect();
        let own = work(store);
        helping.into_iter().map(|helper| helper.join().expect("a helper panicked")).fold(own, Result::and)
    })
}

pub(super) fn advance_all(store: &mut dyn Store, group: &[&Ready], from: Position, to: Position) -> Result<(), Error> {
    for ready in group {
        if !checkpoints::advance_build(store, &ready.build, from, to)? {
            return Err(Error::new(
                Kind::Taken,
                format!("another process fills {} at the same time", ready.build.projection.name),
            ));
        }
    }
    Ok(())
}

/// Runs `work` in a transaction: all of it happens, or nothing.
pub fn within<T>(store: &mut dyn Store, work: impl FnOnce(&mut dyn Store) -> Result<T, Error>) -> Result<T, Error> {
    store.begin()?;
    match work(store) {
        Ok(done) => store.commit().map(|()| done),
        Err(error) => {
            // Where the connection has gone, so has the transaction.
            let _ = store.rollback();
            Err(error)
        }
    }
}
