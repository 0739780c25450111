//! The simulator: the plain structs of the actors under random commands, clock jumps, crashes and repeats, all from one
//! seed, without actix, threads or disk. After each step the independent checker of `onsale verify` reads what became
//! durable, and everything that was acknowledged is compared with it.
//!
//! - [`world`]: keepers, the messages between them, the log and the clock; steps and crashes
//! - [`buyers`]: which commands are sent, and what their answers promise
//! - [`organizer`]: what is done to the performances meanwhile, up to their cancellation
//! - [`obedience`]: queues whose people do what they are told, none of whom may miss their turn
//! - [`waiting`]: queues, those who wait there, and how they are run

pub mod buyers;
pub mod obedience;
mod organizer;
#[cfg(test)]
mod tests;
mod waiting;
pub mod world;

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

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub events: u64,
    pub crashes: u64,
    pub acknowledged: u64,
    pub sales: u64,
    /// People who were let in by a queue.
    pub admissions: u64,
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

/// Seeded random numbers (SplitMix64): the same on every machine, for ever.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5eed)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.bits() % end.max(1)
    }

    /// True `percent` times out of a hundred.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len() as u64) as usize)
    }
}
