//! The figures of those who ask when they are told to, in this process.

use crate::benchmark::goals::figure;
use crate::simulate::{obedience, opening};
use anyhow::anyhow;
use base::report::{Figure, grouped};
use engine::views::queues::pace::POLLS_PER_S_MAX;

pub const NAMES: [&str; 2] = ["opening_polls_max", "obedient_missed"];
/// People who gather, and polls that are allowed in a second.
const PEOPLE: u32 = 1_000_000;
/// A quick run has a tenth of both: the polls of its worst second are a tenth, too.
const QUICK: u32 = 10;
/// Runs of random changes, and the people of each in turn.
const RUNS: u64 = 60;
const PEOPLE_OF_RUNS: [usize; 3] = [40, 400, 4_000];

/// How many ask in the worst second of an opening. The note has harder ones.
pub fn polls(quick: bool) -> anyhow::Result<Figure> {
    let part = if quick { QUICK } else { 1 };
    let limit = POLLS_PER_S_MAX / part;
    let mut plans = opening::plans(PEOPLE / part, limit).into_iter();
    let (_, plain) = plans.next().ok_or_else(|| anyhow!("nothing is played"))?;
    let outcome = opening::play(plain);
    let mut found = figure(NAMES[0], Some((outcome.polls_max * u64::from(part)) as f64), None);
    let mut note = format!(
        "{} polls of {} people; everybody knew their place {:.0} s after the opening",
        grouped(outcome.polls),
        grouped(u64::from(PEOPLE / part)),
        outcome.known_after_ms as f64 / 1_000.0
    );
    for (name, plan) in plans {
        let harder = opening::play(plan);
        note += &format!("; {name}: {}/s", grouped(harder.polls_max * u64::from(part)));
    }
    found.note = note;
    Ok(found)
}

/// How many missed their turn.
pub fn missed(quick: bool) -> anyhow::Result<Figure> {
    let (mut sum, mut first) = (obedience::Outcome::default(), None);
    for seed in 1..=if quick { RUNS / 6 } else { RUNS } {
        let people = PEOPLE_OF_RUNS[seed as usize % PEOPLE_OF_RUNS.len()];
        let (outcome, missed) = obedience::count(seed, people).map_err(|what| anyhow!(what))?;
        sum.people += outcome.people;
        sum.came += outcome.came;
        sum.missed += outcome.missed;
        sum.changes += outcome.changes;
        sum.restarts += outcome.restarts;
        first = first.or(missed);
    }
    let mut found = figure(NAMES[1], Some(sum.missed as f64), None);
    found.note = format!(
        "{} people came, {} changes, {} restarts{}",
        grouped(sum.came),
        grouped(sum.changes),
        grouped(sum.restarts),
        first.map_or(String::new(), |missed| format!("; first: {missed}"))
    );
    Ok(found)
}
