//! Giving way to those who sell, where another process does the work: it does not know that it should.

use base::id::Millis;
use base::process_limits::Processors;
use eventlog::Position;
use std::time::{Duration, Instant};

/// Work is followed by a rest of so many times what it took …
const REST: u32 = 4;
/// … when keeping up has taken more than this part of the time …
const SHARE_MAX: f64 = 0.7;
/// … for two of these, not for a moment …
const WINDOW: Duration = Duration::from_millis(400);
/// … and as long as the tables show nothing older than this. By then a house of 50,000 seats is sold.
const BEHIND_MAX_MS: Millis = 10_000;
/// No rest is longer: who tells the projector to stop waits for it.
const REST_MAX: Duration = Duration::from_secs(1);

/// What keeping up takes, and whether somebody else wants the processors.
pub struct Rest {
    processors: Processors,
    /// The window that runs: since when, how far the log was then, and the work since.
    since: Instant,
    end: Position,
    events: u64,
    worked: Duration,
    /// Windows one after the other that were too much.
    much: u32,
}

impl Rest {
    /// Work on a log that ends at `end` now.
    pub fn from(end: Position) -> Rest {
        let processors = Processors::default();
        Rest { processors, since: Instant::now(), end, events: 0, worked: Duration::ZERO, much: 0 }
    }

    /// How long to rest after `events` that took so long. The log ends at `end`, and the tables are so far behind.
    pub fn after(&mut self, events: u64, took: Duration, end: Position, behind_ms: Millis) -> Duration {
        self.events += events;
        self.worked += took;
        let passed = self.since.elapsed();
        if passed >= WINDOW {
            let arrived = end.0.saturating_sub(self.end.0);
            let much = self.processors.are_wanted() && share(self.events, self.worked, arrived, passed) > SHARE_MAX;
            self.much = if much { self.much.saturating_add(1) } else { 0 };
            (self.since, self.end, self.events, self.worked) = (Instant::now(), end, 0, Duration::ZERO);
        }
        let rests = self.much >= 2 && behind_ms < BEHIND_MAX_MS;
        if rests { (took * REST).min(REST_MAX) } else { Duration::ZERO }
    }
}

/// What part of the time would go into what arrived: so many meanwhile, when `events` have taken so long.
fn share(events: u64, worked: Duration, arrived: u64, passed: Duration) -> f64 {
    if events == 0 {
        return 0.0;
    }
    arrived as f64 / events as f64 * worked.as_secs_f64() / passed.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeping_up_takes_a_share_of_the_time() {
        let ms = Duration::from_millis;
        assert_eq!(share(0, ms(5), 100, ms(100)), 0.0, "nothing was done");
        let percent = |share: f64| (share * 100.0).round();
        assert_eq!(percent(share(1_000, ms(50), 1_000, ms(100))), 50.0);
        assert_eq!(percent(share(1_000, ms(50), 400, ms(100))), 20.0, "fewer come than are applied");
        assert_eq!(percent(share(5_000, ms(200), 10_000, ms(200))), 200.0);
    }

    #[test]
    fn only_lasting_work_that_is_not_too_late_is_put_off() {
        let took = Duration::from_millis(100);
        let resting = |much, behind_ms| {
            let mut rest = Rest { much, ..Rest::from(Position(0)) };
            rest.after(1, took, Position(1), behind_ms)
        };
        assert_eq!(resting(1, 500), Duration::ZERO, "for a moment");
        assert_eq!(resting(2, 500), took * REST);
        assert_eq!(resting(9, BEHIND_MAX_MS), Duration::ZERO, "too late");
        let mut rest = Rest { much: 2, ..Rest::from(Position(0)) };
        assert_eq!(rest.after(1, Duration::from_secs(60), Position(1), 0), REST_MAX);
    }
}
