//! The one place that time comes from. Everything else is handed a [`Clock`] or an instant.

use crate::id::Millis;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Tells the time.
pub trait Clock: Send + Sync {
    fn now(&self) -> Millis;
}

/// The machine's clock, without its jumps: it runs on evenly from the time at which it was made and follows a clock that
/// was set by [`SLEW_MS_PER_S`]. So nobody's hold ends early and no rate is overrun because somebody set the time. The next
/// start takes the time as it is then.
pub struct SystemClock {
    started: Instant,
    started_ms: Millis,
    /// What was added so far, ms, and at which second of the run the time was last compared.
    slewed_ms: AtomicI64,
    compared_s: AtomicU64,
}

/// How fast the clock follows one that was set, ms per s: more than clocks drift, less than anybody's limit would notice.
const SLEW_MS_PER_S: i64 = 1;

impl Default for SystemClock {
    fn default() -> Self {
        let (started, started_ms) = (Instant::now(), wall_ms());
        SystemClock { started, started_ms, slewed_ms: AtomicI64::new(0), compared_s: AtomicU64::new(0) }
    }
}

/// A log's last event may be so far ahead of the machine's time, ms, for the log to be believed rather than the machine.
const AHEAD_MS_MAX: Millis = 24 * 3_600_000;

impl SystemClock {
    /// Not before `latest_ms`, the time of the last event of a log: a machine whose clock was set back while nothing ran
    /// goes on where the log ends.
    pub fn not_before(latest_ms: Millis) -> SystemClock {
        let clock = SystemClock::default();
        match latest_ms.saturating_sub(clock.started_ms) {
            1..=AHEAD_MS_MAX => SystemClock { started_ms: latest_ms, ..clock },
            _ => clock,
        }
    }

    /// The time, given how long the clock has run and what the machine says.
    fn at(&self, run_ms: u64, wall_ms: impl FnOnce() -> Millis) -> Millis {
        let (second, compared) = (run_ms / 1_000, self.compared_s.load(Ordering::Relaxed));
        let even = self.started_ms as i64 + run_ms as i64;
        if second > compared
            && self.compared_s.compare_exchange(compared, second, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            let most = SLEW_MS_PER_S.saturating_mul((second - compared) as i64);
            let off = wall_ms() as i64 - even - self.slewed_ms.load(Ordering::Relaxed);
            // Backwards by less than has passed: the time never goes back.
            self.slewed_ms.fetch_add(off.clamp(-most, most), Ordering::Relaxed);
        }
        (even + self.slewed_ms.load(Ordering::Relaxed)).max(0) as Millis
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        self.at(self.started.elapsed().as_millis() as u64, wall_ms)
    }
}

fn wall_ms() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as Millis)
}

/// A clock that stands still until it is set.
#[derive(Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    pub fn at(now: Millis) -> ManualClock {
        ManualClock(AtomicU64::new(now))
    }

    pub fn set(&self, now: Millis) {
        self.0.store(now, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Millis {
        self.0.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_is_set_does_not_make_the_time_jump() {
        let clock = SystemClock { started_ms: 1_000_000, ..SystemClock::default() };
        assert_eq!(clock.at(500, || 1_000_500), 1_000_500);
        // Set an hour ahead, then two back.
        assert_eq!(clock.at(1_000, || 4_601_000), 1_001_001);
        assert_eq!(clock.at(1_999, || unreachable!()), 1_002_000);
        assert_eq!(clock.at(2_000, || 4_602_000), 1_002_002);
        assert_eq!(clock.at(3_000, || 0), 1_003_001);
        let mut last = 0;
        for ms in 3_000..10_000 {
            let now = clock.at(ms, || 0);
            assert!(now >= last && now <= last + 2 || last == 0, "{last} then {now}");
            last = now;
        }
        // A machine that is a little off is followed.
        let clock = SystemClock { started_ms: 1_000_000, ..SystemClock::default() };
        for second in 1..=100 {
            let _ = clock.at(second * 1_000, || 1_000_000 + second * 1_000 + 50);
        }
        assert_eq!(clock.at(200_000, || 1_200_050), 1_200_050);
    }
}
