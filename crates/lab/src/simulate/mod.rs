//! The simulator: the plain structs of the actors under random commands, clock jumps, crashes and repeats, all from one
//! seed, without actix, threads or disk. After each step the independent checker of `onsale verify` reads what became
//! durable, and everything that was acknowledged is compared with it.
//!
//! - [`world`]: cores, the messages between them, the log and the clock; steps and crashes
//! - [`buyers`]: which commands are sent, and what their answers promise
//! - [`request`]: what the crowd asks for; [`send`]: how each answer is judged
//! - [`organizer`]: what is done to the performances meanwhile, up to their cancellation
//! - [`obedience`]: queues whose people do what they are told, none of whom may miss their turn
//! - [`opening`]: a queue's opening by a million people who ask when they are told to
//! - [`waiting`]: queues, those who wait there, and how they are run

pub mod buyers;
pub mod obedience;
pub mod opening;
mod organizer;
mod random;
mod request;
mod send;
#[cfg(test)]
mod tests;
mod waiting;
pub mod world;

pub use random::Random;
pub use world::Outcome;

use indicatif::ProgressBar;
use std::process::ExitCode;

/// What `onsale simulate` can be told.
#[derive(Clone, Debug, clap::Args)]
pub struct SimulateArgs {
    /// How many seeds to run
    #[arg(long, default_value_t = 500, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub seeds: u64,
    /// The first seed; with --seeds 1 it repeats one run
    #[arg(long, default_value_t = 1, value_name = "SEED")]
    pub first: u64,
    /// Steps of each run
    #[arg(long, default_value_t = 400, value_name = "N")]
    pub steps: u32,
    /// Print every step
    #[arg(long)]
    pub trace: bool,
}

/// Runs the seeds; stops at the first that fails and prints the command that repeats it.
pub fn run(args: &SimulateArgs) -> anyhow::Result<ExitCode> {
    let bar = ProgressBar::new(args.seeds);
    let mut sum = Outcome::default();
    for seed in args.first..args.first.saturating_add(args.seeds) {
        match world::run(seed, args.steps, args.trace) {
            Ok(outcome) => {
                sum.events += outcome.events;
                sum.crashes += outcome.crashes;
                sum.acknowledged += outcome.acknowledged;
                sum.sales += outcome.sales;
                sum.admissions += outcome.admissions;
            }
            Err(failure) => {
                bar.finish_and_clear();
                eprintln!("seed {seed}: {failure}\nrepeat it: {}", repeat_command(seed, args.steps));
                return Ok(ExitCode::FAILURE);
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    base::terminal::say(format_args!(
        "{} seeds: {} events, {} crashes, {} acknowledged answers, {} sales, {} admissions; every invariant held after \
         every step\n",
        args.seeds, sum.events, sum.crashes, sum.acknowledged, sum.sales, sum.admissions
    ));
    Ok(ExitCode::SUCCESS)
}

/// The command that repeats one seed.
pub fn repeat_command(seed: u64, steps: u32) -> String {
    format!("cargo run -- simulate --first {seed} --seeds 1 --steps {steps} --trace")
}
