//! The one place that time comes from. Everything else is handed a [`Clock`] or an instant.

use crate::id::Millis;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the time.
pub trait Clock: Send + Sync {
    fn now(&self) -> Millis;
}

/// The machine's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as Millis)
    }
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
