//! Several connections fill tables side by side. Each has some of the builds and goes through the events with them at its own
//! pace; who has nothing left takes a part of another's.

use super::batch::{Helper, apply_all};
use super::stage::{BATCH_EVENTS_MAX, Stage};
use crate::Error;
use crate::apply::Ready;
use crate::rebuild::bisect::halve;
use crate::source::Source;
use crate::store::Store;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often who waits for work looks whether it was told to stop, and tells how far the others are.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What those who fill share.
pub(super) struct Work<'a> {
    stage: Stage,
    told: &'a AtomicBool,
    /// Builds that nobody works on. Those of one share are at the same position.
    shares: Mutex<Vec<Vec<&'a mut Ready>>>,
    handed: Condvar,
    /// Connections that wait for a share.
    idle: AtomicUsize,
    connections: usize,
    failed: AtomicBool,
    /// Where each connection is; the stage's end when it has nothing.
    at: Vec<AtomicU64>,
}

/// Applies events to `builds` until the stage is done, or it is told to stop. `progress` is called on this thread.
pub(super) fn apply(
    builds: &mut [Ready],
    own: (&mut dyn Store, &mut dyn Source),
    helpers: &mut [Helper],
    stage: Stage,
    told: &AtomicBool,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), Error> {
    let work = Work::new(by_position(builds), helpers.len() + 1, stage, told);
    std::thread::scope(|scope| {
        let work = &work;
        let helping: Vec<_> = (1..)
            .zip(helpers)
            .map(|(number, helper)| {
                scope.spawn(move || work.run(number, &mut *helper.store, &mut *helper.source, &mut |_, _| {}))
            })
            .collect();
        let own = work.run(0, own.0, own.1, progress);
        helping.into_iter().map(|helper| helper.join().expect("a helper panicked")).fold(own, Result::and)
    })
}

fn by_position(builds: &mut [Ready]) -> Vec<Vec<&mut Ready>> {
    let mut shares: Vec<Vec<&mut Ready>> = Vec::new();
    for ready in builds {
        match shares.iter_mut().find(|share| share[0].build.position == ready.build.position) {
            Some(share) => share.push(ready),
            None => shares.push(vec![ready]),
        }
    }
    shares
}

impl<'a> Work<'a> {
    /// `shares` is what nobody has taken yet.
    pub fn new(shares: Vec<Vec<&'a mut Ready>>, connections: usize, stage: Stage, told: &'a AtomicBool) -> Work<'a> {
        Work {
            stage,
            told,
            shares: Mutex::new(shares),
            handed: Condvar::new(),
            idle: AtomicUsize::new(0),
            connections,
            failed: AtomicBool::new(false),
            at: (0..connections).map(|_| AtomicU64::new(stage.to.0)).collect(),
        }
    }

    fn run(
        &self,
        number: usize,
        store: &mut dyn Store,
        source: &mut dyn Source,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), Error> {
        let mut done = Ok(());
        while let Some(mut share) = self.next(progress) {
            done = self.fill(number, store, source, &mut share, progress);
            if done.is_err() {
                break;
            }
        }
        // Who waits sees that all are done, or that it failed.
        self.handed.notify_all();
        done
    }

    /// The next share; none when everything is done, or is to end.
    fn next(&self, progress: &mut dyn FnMut(u64, u64)) -> Option<Vec<&'a mut Ready>> {
        let mut shares = self.shares();
        self.idle.fetch_add(1, Ordering::AcqRel);
        loop {
            if self.ends() {
                return None;
            }
            if let Some(share) = shares.pop() {
                self.idle.fetch_sub(1, Ordering::AcqRel);
                return Some(share);
            }
            if self.idle.load(Ordering::Acquire) == self.connections {
                return None;
            }
            let waited = self.handed.wait_timeout(shares, LOOK_EVERY);
            shares = waited.unwrap_or_else(PoisonError::into_inner).0;
            progress(self.least(), self.stage.end.0);
        }
    }

    /// Fills the builds of a share, and notes when that cannot be gone on with.
    pub fn fill(
        &self,
        number: usize,
        store: &mut dyn Store,
        source: &mut dyn Source,
        share: &mut Vec<&'a mut Ready>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), Error> {
        let done = self.apply(number, store, source, share, progress);
        self.at[number].store(self.stage.to.0, Ordering::Release);
        if done.is_err() {
            self.failed.store(true, Ordering::Release);
        }
        done
    }

    /// Goes through the events with the builds of a share, and gives some of them away when somebody has nothing to do.
    fn apply(
        &self,
        number: usize,
        store: &mut dyn Store,
        source: &mut dyn Source,
        share: &mut Vec<&'a mut Ready>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), Error> {
        while let Some(from) = share.first().map(|ready| ready.build.position) {
            self.at[number].store(from.0, Ordering::Release);
            progress(self.least(), self.stage.end.0);
            if self.ends() || self.stage.is_done(from) {
                return Ok(());
            }
            self.give(share);
            let (events, to) = source.read(from, self.stage.to, BATCH_EVENTS_MAX)?;
            if to > from {
                apply_all(store, share, from, to, &events)?;
            }
        }
        Ok(())
    }

    /// Gives away builds that take about half of the time, if somebody waits for some.
    fn give(&self, share: &mut Vec<&'a mut Ready>) {
        if self.idle.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut shares = self.shares();
        if shares.is_empty()
            && let Some(given) = halve(share)
        {
            shares.push(given);
            self.handed.notify_one();
        }
    }

    fn shares(&self) -> MutexGuard<'_, Vec<Vec<&'a mut Ready>>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ends(&self) -> bool {
        self.told.load(Ordering::Acquire) || self.failed.load(Ordering::Acquire)
    }

    /// Where the one is that is least far.
    pub fn least(&self) -> u64 {
        self.at.iter().map(|at| at.load(Ordering::Acquire)).min().unwrap_or(self.stage.to.0)
    }
}
