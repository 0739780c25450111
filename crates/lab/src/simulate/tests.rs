//! Whether the simulator finds what it is for.

use super::{obedience, opening, world};
use domain::seeded_faults::{Bug, with};
use engine::views::queues::pace::POLLS_PER_S_MAX;

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

/// The first one with a million. The others with a tenth of the people and of the polls that are allowed: each comes as
/// often as in the whole.
#[test]
fn no_second_has_more_polls_than_are_allowed() {
    let limit = u64::from(POLLS_PER_S_MAX);
    let (_, whole) = opening::plans(1_000_000, POLLS_PER_S_MAX).remove(0);
    let part = 10;
    let smaller = opening::plans(1_000_000 / part, POLLS_PER_S_MAX / part);
    let runs = std::iter::once(("a million", whole, limit));
    let runs = runs.chain(smaller.into_iter().map(|(name, plan)| (name, plan, limit / u64::from(part))));
    let runs: Vec<_> = runs.collect();
    std::thread::scope(|scope| {
        let playing: Vec<_> = runs
            .into_iter()
            .map(|(name, plan, limit)| (name, limit, scope.spawn(move || opening::play(plan))))
            .collect();
        for (name, limit, played) in playing {
            let outcome = played.join().unwrap();
            println!("{name}: {outcome:?}");
            assert!(outcome.polls > limit * 10, "{name}: too little happened: {outcome:?}");
            assert!(outcome.polls_max <= limit * 5 / 4, "{name}: {outcome:?}");
            assert_eq!(outcome.unknown, 0, "{name}: {outcome:?}");
        }
    });
}
