//! The one place that time comes from. Everything else is handed a [`Clock`] or an instant.

use crate::id::Millis;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The time that everything here happens at. It never goes back.
    fn now(&self) -> Millis;

    /// What the machine's own clock says: for what others check by theirs. It may go back.
    fn machine(&self) -> Millis {
        self.now()
    }

    /// How the time stands to the machine's.
    fn look(&self) -> ClockReading {
        let now = self.now();
        ClockReading { now, machine: now, steps: 0, stepped_ms: 0 }
    }
}

/// Processor time that this thread has had so far.
pub fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// How the time stands to the machine's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReading {
    pub now: Millis,
    pub machine: Millis,
    /// How often the machine's clock was followed forwards at once, since the start, and by how much in all, ms.
    pub steps: u64,
    pub stepped_ms: u64,
}

impl ClockReading {
    /// How far the time is ahead of the machine's clock, ms.
    pub fn offset_ms(&self) -> i64 {
        self.now as i64 - self.machine as i64
    }

    /// Whether the time stands still until the machine's clock has caught up.
    pub fn stands_still(&self) -> bool {
        self.offset_ms() >= STEP_MS
    }
}

/// Who sets a clock right by less than this, ms, is followed slowly, so that no rate is overrun and no hold ends early for a
/// correction that nobody notices. NTP's own programs set clocks right by leaps of more than 128 ms (ntpd) or 400 ms
/// (systemd-timesyncd) and are mostly far below; checkers of tokens allow some seconds. From here on the time is wrong for
/// everybody who looks at a clock: it is followed at once.
pub const STEP_MS: i64 = 1_000;

/// How fast the clock follows a small correction, ms per s. The largest takes 100 s.
const SLEW_MS_PER_S: i64 = 10;

/// A log's last event may be so far ahead of the machine's time, ms, for the log to be believed rather than the machine.
const AHEAD_MS_MAX: Millis = 24 * 3_600_000;

/// Between two looks at the time that runs evenly there may be so many ms for the look at the machine's clock between them
/// to be one of the same instant: the process may stand still at any line.
const SAME_INSTANT_MS: u64 = 20;
const SAME_INSTANT_TRIES: usize = 100;

/// The machine's clock, without going back and without small leaps: it runs on evenly and follows the machine's by
/// [`SLEW_MS_PER_S`] where that is off by less than [`STEP_MS`]. A clock that was set forwards by more is followed at once, also
/// one that went on while the machine slept. Set back by more, the time stands still until the machine's has caught up.
pub struct SystemClock {
    started: Instant,
    started_ms: Millis,
    /// What was added to the even run so far, ms, and at which second of the run that was last looked at.
    added_ms: AtomicI64,
    compared_s: AtomicU64,
    /// The time is not before this.
    floor_ms: AtomicU64,
    steps: AtomicU64,
    stepped_ms: AtomicU64,
    /// Only one follows at a time.
    following: Mutex<()>,
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock::starting_at(wall_ms(), 0)
    }
}

impl SystemClock {
    /// Not before `latest_ms`, the time of the last event of a log: where the machine's clock was set back while nothing ran,
    /// the time stands still at the end of the log until the machine's has caught up. Unless that takes more than a day:
    /// then the log's time was the wrong one, and the machine's is taken.
    pub fn not_before(latest_ms: Millis) -> SystemClock {
        SystemClock::beginning_at(wall_ms(), latest_ms)
    }

    fn beginning_at(machine_ms: Millis, latest_ms: Millis) -> SystemClock {
        let is_believed = latest_ms.saturating_sub(machine_ms) <= AHEAD_MS_MAX;
        SystemClock::starting_at(machine_ms, if is_believed { latest_ms } else { 0 })
    }

    fn starting_at(started_ms: Millis, floor_ms: Millis) -> SystemClock {
        SystemClock {
            started: Instant::now(),
            started_ms,
            added_ms: AtomicI64::new(0),
            compared_s: AtomicU64::new(0),
            floor_ms: AtomicU64::new(floor_ms),
            steps: AtomicU64::new(0),
            stepped_ms: AtomicU64::new(0),
            following: Mutex::new(()),
        }
    }

    fn run_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// The time by the even run alone, and by all that is known.
    fn even(&self, run_ms: u64) -> i64 {
        self.started_ms as i64 + run_ms as i64 + self.added_ms.load(Ordering::Acquire)
    }

    fn shown(&self, even: i64) -> Millis {
        (even.max(0) as Millis).max(self.floor_ms.load(Ordering::Acquire))
    }

    /// The time, given how long the clock has run and what the machine says; `None` when the machine's clock was set by so
    /// much that it must be followed at once.
    fn steady(&self, run_ms: u64, machine_ms: Millis) -> Option<Millis> {
        let even = self.even(run_ms);
        let off = machine_ms as i64 - even;
        if off.abs() >= STEP_MS {
            return None;
        }
        let (second, compared) = (run_ms / 1_000, self.compared_s.load(Ordering::Relaxed));
        if second > compared
            && self.compared_s.compare_exchange(compared, second, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            let most = SLEW_MS_PER_S.saturating_mul((second - compared) as i64);
            self.add(even, off.clamp(-most, most));
            return Some(self.shown(self.even(run_ms)));
        }
        Some(self.shown(even))
    }

    /// Follows a machine whose clock was set. Forwards the time leaps, backwards it stands still.
    fn follow(&self, run_ms: u64, machine_ms: Millis) -> Millis {
        let even = self.even(run_ms);
        let (was, off) = (self.shown(even), machine_ms as i64 - even);
        if off.abs() >= STEP_MS {
            self.add(even, off);
            self.compared_s.store(run_ms / 1_000, Ordering::Relaxed);
        }
        let now = self.shown(self.even(run_ms));
        let by = now.saturating_sub(was);
        if by >= STEP_MS as u64 {
            self.steps.fetch_add(1, Ordering::Relaxed);
            self.stepped_ms.fetch_add(by, Ordering::Relaxed);
        }
        now
    }

    fn add(&self, even: i64, ms: i64) {
        if ms < 0 {
            // First, and a moment later than told here: others may have looked at the run after this.
            self.floor_ms.fetch_max(even.max(0) as Millis + 1, Ordering::AcqRel);
        }
        self.added_ms.fetch_add(ms, Ordering::AcqRel);
    }

    /// How long the clock has run and what the machine says, of the same instant: this process may have stood still, or the
    /// machine have slept, between the one and the other. `None` where it always does.
    fn same_instant(&self) -> Option<(u64, Millis)> {
        (0..SAME_INSTANT_TRIES).find_map(|_| {
            let (before, machine_ms) = (self.run_ms(), wall_ms());
            (self.run_ms() - before <= SAME_INSTANT_MS).then_some((before, machine_ms))
        })
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        self.steady(self.run_ms(), wall_ms()).unwrap_or_else(|| {
            let _one_at_a_time = self.following.lock().unwrap_or_else(PoisonError::into_inner);
            match self.same_instant() {
                Some((run_ms, machine_ms)) => self.follow(run_ms, machine_ms),
                None => self.shown(self.even(self.run_ms())),
            }
        })
    }

    fn machine(&self) -> Millis {
        wall_ms()
    }

    fn look(&self) -> ClockReading {
        let now = self.now();
        let (steps, stepped_ms) = (self.steps.load(Ordering::Relaxed), self.stepped_ms.load(Ordering::Relaxed));
        ClockReading { now, machine: wall_ms(), steps, stepped_ms }
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

    const T: Millis = 1_795_000_000_000;
    const HOUR: Millis = 3_600_000;

    /// As [`SystemClock::now`], of a machine that says `machine_ms` after `run_ms`.
    fn now(clock: &SystemClock, run_ms: u64, machine_ms: Millis) -> Millis {
        clock.steady(run_ms, machine_ms).unwrap_or_else(|| clock.follow(run_ms, machine_ms))
    }

    #[test]
    fn a_machine_that_was_set_is_followed_forwards_and_waited_for_backwards() {
        let clock = SystemClock::starting_at(T, 0);
        // After so long the machine says that, and the time is this.
        let rows = [
            (500, T + 500, T + 500),
            // Set an hour ahead: followed at once, and it goes on from there.
            (700, T + HOUR, T + HOUR),
            (701, T + HOUR + 1, T + HOUR + 1),
            (60_000, T + HOUR + 59_300, T + HOUR + 59_300),
            // Two hours back: it stands still, however long the machine takes, ...
            (60_100, T - HOUR, T + HOUR + 59_401),
            (61_100, T - HOUR + 1_000, T + HOUR + 59_401),
            (60_100 + HOUR, T, T + HOUR + 59_401),
            // ... also while the machine is set forwards, as long as it is behind, ...
            (60_200 + HOUR, T + HOUR, T + HOUR + 59_401),
            // ... and goes on when the machine is there.
            (60_200 + HOUR + 59_401, T + HOUR + 59_401, T + HOUR + 59_401),
            (60_200 + HOUR + 59_411, T + HOUR + 59_411, T + HOUR + 59_411),
            // A machine that slept for a week: the run did not go on.
            (60_200 + HOUR + 59_412, T + 169 * HOUR, T + 169 * HOUR),
        ];
        for (run_ms, machine_ms, expected) in rows {
            assert_eq!(now(&clock, run_ms, machine_ms), expected, "after {run_ms} ms with the machine at {machine_ms}");
        }
        // The two leaps are told, nothing else.
        assert_eq!(clock.steps.load(Ordering::Relaxed), 2);
        let stepped_ms = (HOUR - 700) + (168 * HOUR - 59_412);
        assert_eq!(clock.stepped_ms.load(Ordering::Relaxed), stepped_ms);
    }

    #[test]
    fn a_small_correction_is_followed_slowly() {
        for (off, steps) in [(999, 0), (-999, 0), (1_000, 1), (50, 0), (-50, 0)] {
            let clock = SystemClock::starting_at(T, 0);
            let (mut last, mut run_ms) = (T, 0);
            let machine = |run_ms: u64| (T as i64 + run_ms as i64 + off) as Millis;
            while run_ms < 101_000 {
                let shown = now(&clock, run_ms, machine(run_ms));
                assert!(shown >= last, "{off}: {last}, then {shown}");
                assert!(shown <= last + 1 + SLEW_MS_PER_S as u64 || off >= STEP_MS, "{off}: {last}, then {shown}");
                (last, run_ms) = (shown, run_ms + 1);
            }
            assert_eq!(now(&clock, run_ms, machine(run_ms)), machine(run_ms), "{off}");
            assert_eq!(clock.steps.load(Ordering::Relaxed), steps, "{off}");
        }
    }

    #[test]
    fn a_log_that_is_ahead_of_the_machine_is_waited_for_up_to_a_day() {
        for (log_ahead_ms, stands_at) in [
            (0, T),
            (1, T + 1),
            (HOUR, T + HOUR),
            (AHEAD_MS_MAX, T + AHEAD_MS_MAX),
            // The log was written while the clock was wrong.
            (AHEAD_MS_MAX + 1, T),
        ] {
            let clock = SystemClock::beginning_at(T, T + log_ahead_ms);
            assert_eq!(now(&clock, 0, T), stands_at);
            assert_eq!(now(&clock, 500, T + 500), stands_at.max(T + 500));
            let later = 2 * AHEAD_MS_MAX;
            assert_eq!(now(&clock, later, T + later), T + later);
            assert_eq!(clock.steps.load(Ordering::Relaxed), 0);
        }
    }

    #[test]
    fn the_machine_is_told_apart_from_the_time() {
        let machine = SystemClock::default().machine();
        let clock = SystemClock::not_before(machine + HOUR);
        let look = clock.look();
        assert_eq!(look.now, machine + HOUR);
        assert!(look.stands_still() && look.machine >= machine && look.machine < machine + HOUR / 2, "{look:?}");
        assert_eq!(clock.machine() / HOUR, look.machine / HOUR);
        assert!(!SystemClock::default().look().stands_still());
        assert_eq!(ManualClock::at(7).look(), ClockReading { now: 7, machine: 7, steps: 0, stepped_ms: 0 });
    }
}
