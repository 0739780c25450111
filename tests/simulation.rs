//! The seeded simulation, small enough for every run; `onsale simulate --seeds 10000` runs it for longer.

use lab::simulate::{Outcome, repeat_command, world};

/// To repeat a failing seed: put it here, or run the command that the failure prints.
const ONE_SEED: u64 = 1;
const STEPS: u32 = 800;

fn simulate(seed: u64) -> Outcome {
    world::run(seed, STEPS, false)
        .unwrap_or_else(|failure| panic!("seed {seed}: {failure}\nrepeat it: {}", repeat_command(seed, STEPS)))
}

#[test]
fn one_seed() {
    simulate(ONE_SEED);
}

#[test]
fn every_invariant_holds_after_every_step_of_500_seeds() {
    let mut sum = Outcome::default();
    for seed in 1..=500 {
        let outcome = simulate(seed);
        sum.events += outcome.events;
        sum.crashes += outcome.crashes;
        sum.sales += outcome.sales;
        sum.admissions += outcome.admissions;
    }
    // A simulation in which nothing happens proves nothing.
    assert!(sum.crashes > 1_000 && sum.sales > 1_000 && sum.admissions > 1_000 && sum.events > 20_000, "{sum:?}");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    assert_eq!(simulate(7), simulate(7));
}
