//! `onsale rebuild`: makes read models anew, beside the live ones, and swaps them in.

use super::{Events, From, Setup, named, told_to_stop};
use crate::config::Flags;
use crate::projector::books::{self, State};
use crate::projector::fill::{BATCH_EVENTS_MAX, Filling, Poison};
use crate::projector::source::{Ahead, Source};
use crate::projector::store::{Lock, Store};
use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Looking a second time for where the live tables are costs nothing; a third time somebody sells faster than this is.
const SWAPS_MAX: u32 = 100;

/// What `onsale rebuild` is told.
#[derive(clap::Args, Debug)]
pub struct RebuildArgs {
    /// Projections to make anew
    #[arg(required_unless_present = "all", value_name = "NAME")]
    pub names: Vec<String>,
    /// All of them
    #[arg(long, conflicts_with = "names")]
    pub all: bool,
    /// Begin from the first event, also where an earlier run can be gone on with
    #[arg(long, conflicts_with = "rollback")]
    pub afresh: bool,
    /// Go back to the tables that were live before
    #[arg(long)]
    pub rollback: bool,
    /// Where events are read
    #[arg(long, value_enum, default_value_t)]
    pub from: From,
    #[command(flatten)]
    pub flags: Flags,
}

/// What was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Done {
    /// The new tables are live; so many events were applied to them.
    Swapped { events: u64 },
    /// It was told to stop.
    Stopped { at: u64 },
}

/// Makes read models anew. Exit code 130 when it was interrupted: the live tables are as they were, and the next start goes on.
pub fn run(args: &RebuildArgs) -> anyhow::Result<ExitCode> {
    let setup = Setup::of(&args.flags)?;
    let told = told_to_stop()?;
    let events = Events::of(&setup, args.from, false)?;
    let mut source = Ahead::new(events.opener())?;
    let mut store = open(&setup, &source)?;
    let mut filling = if args.rollback {
        let books = books::read(&mut *store)?;
        let names = if args.all {
            setup.projections.iter().map(|known| known.name.clone()).collect()
        } else {
            args.names.clone()
        };
        let previous = |name: &String| {
            books
                .newest(name, State::Previous)
                .cloned()
                .with_context(|| format!("{name} has no tables that were live before"))
        };
        Filling::again(names.iter().map(previous).collect::<anyhow::Result<_>>()?)
    } else {
        let projections = named(setup.projections, &args.names, args.all)?;
        Filling::begin(&mut *store, &projections, Poison::Fail, args.afresh)?
    };
    filling.help(&setup.place, &|| Ok(Box::new(Ahead::new(events.opener())?)))?;
    let started = Instant::now();
    let bar = ProgressBar::new(0).with_style(
        ProgressStyle::with_template("{wide_bar} {human_pos} of {human_len} events, {per_sec}, {eta} left")
            .expect("a template"),
    );
    let resumed = filling.ready.iter().map(|ready| ready.build.position.0).min().unwrap_or(0);
    if resumed > 0 {
        bar.suspend(|| eprintln!("going on at position {resumed}"));
    }
    let done = fill(&mut filling, &mut *store, &mut source, &told, &mut |at, target| {
        bar.set_length(target);
        bar.set_position(at);
    });
    bar.finish_and_clear();
    let names: Vec<&str> = filling.ready.iter().map(|ready| ready.build.projection.name.as_str()).collect();
    match done? {
        Done::Swapped { events } => {
            let seconds = started.elapsed().as_secs_f64();
            crate::tools::say(format_args!(
                "{}: live, {events} events in {seconds:.1} s, {:.0} events/s\n",
                names.join(", "),
                events as f64 / seconds.max(1e-9)
            ));
            Ok(ExitCode::SUCCESS)
        }
        Done::Stopped { at } => {
            eprintln!("stopped at position {at}; the live tables are as they were. The same command goes on");
            Ok(ExitCode::from(130))
        }
    }
}

/// A connection that nobody else fills tables with.
pub(super) fn open(setup: &Setup, source: &dyn Source) -> anyhow::Result<Box<dyn Store>> {
    let mut store = setup.place.open_to_fill()?;
    books::open(&mut *store, source.log_id())?;
    // A server that makes missing tables gives the lock back soon.
    let start = Instant::now();
    while !store.lock(Lock::Fill)? {
        if start.elapsed() > Duration::from_secs(5) {
            bail!("another process makes tables in {}", setup.place);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(store)
}

/// Fills and swaps; `told` ends it between two batches.
pub fn fill(
    filling: &mut Filling,
    store: &mut dyn Store,
    source: &mut dyn Source,
    told: &AtomicBool,
    progress: &mut dyn FnMut(u64, u64),
) -> anyhow::Result<Done> {
    let mut swaps = 0;
    let from = filling.progress(store, source)?.at.0;
    loop {
        let now = filling.progress(store, source)?;
        progress(now.at.0, now.target.0);
        if told.load(Ordering::Acquire) {
            return Ok(Done::Stopped { at: now.at.0 });
        }
        if !now.is_near() {
            if filling.apply_together(store, source, told, progress)? {
                continue;
            }
            let (batch, to) = filling.read(source, now, BATCH_EVENTS_MAX)?;
            filling.apply(store, now.at, to, &batch)?;
            continue;
        }
        filling.index(store)?;
        if filling.swap(store, source)? {
            return Ok(Done::Swapped { events: now.target.0.saturating_sub(from) });
        }
        swaps += 1;
        if swaps > SWAPS_MAX {
            bail!("the live tables move faster than new ones can follow");
        }
    }
}
