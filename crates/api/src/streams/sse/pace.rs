//! Whose turn it is: every phase of a topic once in a period, evenly.

use base::clock::thread_time;
use std::time::{Duration, Instant};

/// Groups of a topic's streams that are written to at different times.
pub const PHASES: usize = 16;
/// The share of one core that writing to a topic's streams may take, with the requests that have their turn in between.
const CORE_SHARE: f64 = 1.0;
/// The share of a period that may go by while the streams of one worker write, other work of the machine included. More
/// than the whole does no harm: who is called again before the last call was answered is called once.
const BUSY_SHARE: f64 = 1.5;
/// How much the newest measurement counts.
const NEWEST_SHARE: f64 = 0.25;

/// Goes through the phases.
#[derive(Default)]
pub struct Pace {
    next: usize,
    /// Parts of phases that the steps so far did not come to.
    owed: f64,
}

impl Pace {
    /// The phases whose turn it is in a step of a period of so many steps.
    pub fn turn(&mut self, period_steps: f64) -> impl Iterator<Item = usize> + Clone + use<> {
        self.owed = (self.owed + PHASES as f64 / period_steps).min(PHASES as f64);
        // Sums of fractions miss a whole number by a hair.
        let count = (self.owed + 1e-6).floor();
        self.owed -= count;
        let first = self.next;
        self.next = (first + count as usize) % PHASES;
        (0..count as usize).map(move |index| (first + index) % PHASES)
    }
}

/// What writing to streams takes.
#[derive(Clone, Copy, Default)]
pub struct Cost {
    /// By the clock.
    pub wall: Duration,
    /// Of the processor. What requests take that have their turn in between is in there.
    pub processor: Duration,
}

impl Cost {
    /// How long a period is at least, when writing to all streams once takes this: the processor's time of all workers,
    /// the clock's of the slowest.
    pub fn period(self) -> Duration {
        self.processor.div_f64(CORE_SHARE).max(self.wall.div_f64(BUSY_SHARE))
    }

    /// With a newer measurement.
    pub fn smooth(self, newest: Cost) -> Cost {
        Cost { wall: smooth(self.wall, newest.wall), processor: smooth(self.processor, newest.processor) }
    }

    /// Two workers, which work at the same time.
    pub fn beside(self, other: Cost) -> Cost {
        Cost { wall: self.wall.max(other.wall), processor: self.processor + other.processor }
    }

    /// Of each of so many, one after the other.
    pub fn divide(self, count: u32) -> Cost {
        Cost { wall: self.wall / count, processor: self.processor / count }
    }

    /// So many, one after the other.
    pub fn times(self, count: u32) -> Cost {
        Cost { wall: self.wall * count, processor: self.processor * count }
    }
}

/// Measures what this thread does from now on.
pub struct Stopwatch {
    wall: Instant,
    processor: Duration,
}

impl Stopwatch {
    pub fn start() -> Stopwatch {
        Stopwatch { wall: Instant::now(), processor: thread_time() }
    }

    pub fn cost(&self) -> Cost {
        Cost { wall: self.wall.elapsed(), processor: thread_time().saturating_sub(self.processor) }
    }
}

fn smooth(before: Duration, newest: Duration) -> Duration {
    if before.is_zero() { newest } else { before.mul_f64(1.0 - NEWEST_SHARE) + newest.mul_f64(NEWEST_SHARE) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_as_long_as_what_is_scarce_says() {
        let cost =
            |wall, processor| Cost { wall: Duration::from_millis(wall), processor: Duration::from_millis(processor) };
        // One core of two, and a machine that has other things to do.
        assert_eq!(cost(40, 40).beside(cost(50, 40)).period(), Duration::from_millis(80));
        assert_eq!(cost(90, 10).divide(2).times(4).period(), Duration::from_millis(120));
        assert!(Cost::default().period().is_zero());
        let slower = cost(100, 40).smooth(cost(200, 40));
        assert_eq!((slower.wall, slower.processor), (Duration::from_millis(125), Duration::from_millis(40)));
        assert_eq!(Cost::default().smooth(cost(7, 3)).wall, Duration::from_millis(7));
    }

    #[test]
    fn every_phase_has_its_turn_once_in_a_period() {
        for period_steps in [1.0, 2.0, 3.7, 8.0, 9.5, 16.0, 40.0] {
            let mut pace = Pace::default();
            let mut last = [None; PHASES];
            for step in 0..1000 {
                for phase in pace.turn(period_steps) {
                    let before = last[phase].replace(step);
                    if let Some(before) = before {
                        let waited = (step - before) as f64;
                        assert!((waited - period_steps).abs() < 1.0 + 1e-6, "{waited} of {period_steps} steps");
                    }
                }
            }
            assert!(last.iter().all(Option::is_some));
        }
    }

    #[test]
    fn a_change_of_the_period_leaves_nobody_out() {
        let mut pace = Pace::default();
        let mut turns = [0; PHASES];
        for step in 0..160 {
            pace.turn(if step % 20 < 10 { 2.0 } else { 16.0 }).for_each(|phase| turns[phase] += 1);
        }
        // Eighty steps at an eighth of all phases, and as many at one phase.
        let (least, most) = (turns.iter().min().unwrap(), turns.iter().max().unwrap());
        assert!(most - least <= 1 && (44..=46).contains(least), "{turns:?}");
    }
}
