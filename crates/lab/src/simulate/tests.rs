//! Whether the simulator finds what it is for.

use super::{obedience, world};
use domain::seeded_faults::{Bug, with};

/// As many as every run of the tests simulates.
const SEEDS: u64 = 500;
const STEPS: u32 = 800;

#[test]
fn planted_bugs_are_found() {
    // What is planted, and what the failure says of it.
    let table = [
        (Bug::SyncLost, ""),
        (Bug::ToldBeforeDurable, ", durable is "),
        (Bug::SeatFreedEarly, ""),
        (Bug::RefundedTwice, ""),
        (Bug::AdmittedTwice, ""),
    ];
    let finders = table.map(|(bug, said)| {
        std::thread::spawn(move || {
            let run = |seed| world::run(seed, STEPS, false).err().map(|failure| (seed, failure));
            let found = with(bug, || (1..=SEEDS).find_map(run));
            let (seed, failure) = found.unwrap_or_else(|| panic!("{SEEDS} seeds do not find {bug:?}"));
            println!("{bug:?}: seed {seed}, {failure}");
            assert!(failure.contains(said), "{bug:?} was found as something else: {failure}");
        })
    });
    finders.into_iter().for_each(|finder| finder.join().unwrap());
}

#[test]
fn nobody_who_does_what_they_are_told_misses_their_turn() {
    let mut sum = obedience::Outcome::default();
    for seed in 1..=60 {
        let people = [40, 400, 4_000][seed as usize % 3];
        let outcome = obedience::run(seed, people).unwrap_or_else(|missed| panic!("{missed}"));
        sum.people += outcome.people;
        sum.came += outcome.came;
        sum.restarts += outcome.restarts;
        sum.changes += outcome.changes;
    }
    println!("{sum:?}");
    assert!(sum.came > 10_000 && sum.restarts > 20 && sum.changes > 200, "too little happened: {sum:?}");
}
