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

/// `9999-12-31T23:59:59.999Z`: later years have no RFC 3339 form.
pub const LAST_MS: Millis = 253_402_300_799_999;

/// An instant as RFC 3339 with milliseconds, `2026-11-21T10:00:00.000Z`, without any allocation; what is later than
/// [`LAST_MS`] is that.
pub fn rfc3339(at: Millis) -> [u8; 24] {
    let ms = at.min(LAST_MS);
    let (year, month, day) = civil_from_days((ms / 86_400_000) as u32);
    let mut out = *b"0000-00-00T00:00:00.000Z";
    let mut put = |at: usize, digits: usize, mut value: u32| {
        for index in (at..at + digits).rev() {
            out[index] = b'0' + (value % 10) as u8;
            value /= 10;
        }
    };
    let within_day = (ms % 86_400_000) as u32;
    put(0, 4, year);
    put(5, 2, month);
    put(8, 2, day);
    put(11, 2, within_day / 3_600_000);
    put(14, 2, within_day / 60_000 % 60);
    put(17, 2, within_day / 1000 % 60);
    put(20, 3, within_day % 1000);
    out
}

/// Year, month and day of a day since 1970-01-01 (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil_from_days(days: u32) -> (u32, u32, u32) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u32::from(month <= 2), month, day)
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
