//! `onsale rebuild`: makes read models anew, beside the live ones, and swaps them in.

use super::{Events, From, Setup, named, told_to_stop};
use ::config::Flags;
use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use readmodels::checkpoints::{self, State};
use readmodels::rebuild::{Done, Filling, PoisonPolicy, fill};
use readmodels::source::{Ahead, Source};
use readmodels::store::{Lock, Store};
use std::process::ExitCode;
use std::time::{Duration, Instant};

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

/// Makes read models anew. Exit code 130 when it was interrupted: the live tables are as they were, and the next start goes on.
pub fn run(args: &RebuildArgs) -> anyhow::Result<ExitCode> {
    let setup = Setup::of(&args.flags)?;
    let told = told_to_stop()?;
    let events = Events::of(&setup, args.from, false)?;
    let mut source = Ahead::new(events.opener())?;
    let mut store = open(&setup, &source)?;
    let mut filling = if args.rollback {
        let books = checkpoints::read(&mut *store)?;
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
        Filling::begin(&mut *store, &projections, PoisonPolicy::Fail, args.afresh)?
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
            base::terminal::say(format_args!(
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
    checkpoints::open(&mut *store, source.log_id())?;
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
