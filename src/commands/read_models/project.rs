//! `onsale project`: keeps read models up to date from the log of a running server or from Kafka, as a process of its own.

use super::{Events, From, Setup, told_to_stop};
use ::config::Flags;
use readmodels::live::Projector;
use readmodels::state::Progress;
use std::process::ExitCode;
use std::sync::Arc;

/// What `onsale project` is told.
#[derive(clap::Args, Debug)]
pub struct ProjectArgs {
    /// Where events are read
    #[arg(long, value_enum, default_value_t)]
    pub from: From,
    #[command(flatten)]
    pub flags: Flags,
}

/// Works until it is told to stop. An error when another projector works on the read model.
pub fn run(args: &ProjectArgs) -> anyhow::Result<ExitCode> {
    let setup = Setup::of(&args.flags)?;
    let told = told_to_stop()?;
    let events = Events::of(&setup, args.from, true)?;
    let source = events.opener()()?;
    eprintln!("keeping the read models in {} up to date with {events}", setup.place);
    let progress = Arc::new(Progress::default());
    let mut projector = Projector {
        place: setup.place,
        source,
        projections: setup.projections,
        progress: progress.clone(),
        standby: false,
    };
    projector.run(&told)?;
    eprintln!("stopped at position {}", progress.position());
    Ok(ExitCode::SUCCESS)
}
