//! The figures of a queue in this process: ten million people, no server, no disk.

use super::line;
use crate::benchmark::goals::figure;
use crate::stats::{Latencies, Rng};
use anyhow::{Context as _, ensure};
use base::id::Millis;
use base::report::{Figure, grouped};
use domain::queue::{Join, Leave, Person, Queue};
use domain::{Aggregate, Command, Context};
use engine::views::queues::{QueueView, Queues};
use security::secrets::Secrets;
use std::sync::Arc;
use std::time::Instant;

pub const NAMES: [&str; 2] = ["rank_in_process_p99", "memory_per_waiting"];
const NOW: Millis = 1_800_000_000_000;
/// Looks that are timed, and those whose rank is counted by hand besides.
const LOOKS: u32 = 500_000;
const COUNTED: u32 = 20;
/// One of so many leaves before the looks.
const LEAVES: usize = 10;

/// Both figures, of so many `people`.
pub fn measure(people: u32, secrets: &Secrets) -> anyhow::Result<Vec<Figure>> {
    let before = resident_bytes()?;
    let mut kept = QueueMemory::new(secrets)?;
    for user in line::users(0).take(people as usize) {
        kept.run(&Join::of(Person::User(user)))?;
    }
    let bytes = resident_bytes()?.saturating_sub(before);
    let mut memory = figure(NAMES[1], Some(bytes as f64 / f64::from(people)), None);
    memory.note = format!("{} MB for {} people", bytes / 1_000_000, grouped(people.into()));

    let looks = kept.looks(people)?;
    let mut rank = figure(NAMES[0], Some(looks.percentile_ms(0.99)), None);
    rank.p50_ms = Some(looks.percentile_ms(0.5));
    rank.note = format!("of {} looks; the longest took {:.3} ms", grouped(looks.count()), looks.percentile_ms(1.0));
    Ok(vec![rank, memory])
}

/// What a server keeps of a queue: the queue itself, and what polls are answered from.
struct QueueMemory {
    queue: Queue,
    view: Arc<QueueView>,
    version: u64,
}

impl QueueMemory {
    fn new(secrets: &Secrets) -> anyhow::Result<QueueMemory> {
        let view = Queues::default().of_events(line::queue());
        let mut both = QueueMemory { queue: Queue::default(), view, version: 0 };
        both.run(&line::create(secrets, NOW))?;
        Ok(both)
    }

    fn run(&mut self, command: &impl Command<On = Queue>) -> anyhow::Result<()> {
        let context = Context { key: self.view.id.0, now: NOW, machine: NOW, random: 0 };
        let events = command.decide(&self.queue, &context).map_err(|refused| anyhow::anyhow!("{refused:?}"))?;
        for event in &events {
            self.version += 1;
            self.queue.evolve(event, self.version, NOW);
        }
        self.view.apply(&events, self.version, NOW);
        Ok(())
    }

    /// Times looks at people anywhere in the line, of whom some have left.
    fn looks(&mut self, people: u32) -> anyhow::Result<Latencies> {
        let (mut random, mut waits) = (Rng::new(6, 0), vec![true; people as usize]);
        for _ in 0..people as usize / LEAVES {
            let index = random.below(people as usize);
            waits[index] = false;
            self.run(&Leave { ticket: index as u32 + 1 })?;
        }
        let mut latencies = Latencies::default();
        for look in 0..LOOKS {
            let index = random.below(people as usize);
            let started = Instant::now();
            let seen = self.view.see(index as u32 + 1, NOW, true);
            latencies.record(started.elapsed());
            let rank = seen.context("nobody has this ticket")?.rank;
            ensure!(rank.is_some() == waits[index], "ticket {} is said to have rank {rank:?}", index + 1);
            if let Some(rank) = rank.filter(|_| look < COUNTED) {
                let before = waits[..index].iter().filter(|waits| **waits).count();
                ensure!(rank as usize == before, "ticket {} has rank {rank} instead of {before}", index + 1);
            }
        }
        Ok(latencies)
    }
}

/// What this process has in memory.
fn resident_bytes() -> anyhow::Result<u64> {
    let pages = std::fs::read_to_string("/proc/self/statm").context("this figure needs Linux' /proc")?;
    let pages = pages.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).context("no resident pages")?;
    Ok(pages * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_true_and_memory_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let [rank, memory] = &measure(200_000, &Secrets::open(folder.path(), false).unwrap()).unwrap()[..] else {
            panic!("two figures")
        };
        assert_eq!([rank.name, memory.name], NAMES);
        assert!(rank.value.is_some_and(|value| value > 0.0) && memory.value.is_some());
        // Other tests of this process free theirs meanwhile: by itself it says what it takes.
        assert!(memory.note.ends_with("for 200,000 people"), "{}", memory.note);
    }
}
