//! Tells the operator when the machine's clock was set.

use api::kit::time::Time;
use api::ops::health::STANDS_STILL;
use base::clock::{Clock, ClockReading};
use base::id::Millis;
use std::sync::Arc;
use std::time::Duration;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Looks between two warnings of one and the same trouble: ten minutes.
const LOOKS_PER_WARNING: u32 = 600;

/// Watches until the process ends. `latest_ms`: of the last event in the log that the server has started with.
pub async fn run(clock: Arc<dyn Clock>, latest_ms: Millis) {
    let first = clock.look();
    if first.now < latest_ms {
        tracing::warn!(
            time = %Time(first.now),
            log_ends = %Time(latest_ms),
            "the machine's clock is more than 24 hours behind the last event in the log. The machine is believed, and the time \
             goes back: if its clock is wrong, stop the server, set the clock right and start again"
        );
    }
    let mut watch = Watch { steps: 0, stepped_ms: 0, looks: 0 };
    loop {
        watch.tell(&clock.look());
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What was told so far.
struct Watch {
    steps: u64,
    stepped_ms: u64,
    /// At a clock that stands still.
    looks: u32,
}

impl Watch {
    fn tell(&mut self, look: &ClockReading) {
        if look.steps > self.steps {
            let by_s = (look.stepped_ms - self.stepped_ms) / 1_000;
            (self.steps, self.stepped_ms) = (look.steps, look.stepped_ms);
            tracing::warn!(
                by_s,
                time = %Time(look.now),
                "the machine's clock was set forwards, or the machine has slept: the time follows at once. Holds, admissions \
                 and sessions whose time was up meanwhile have ended"
            );
        }
        let behind_s = look.offset_ms() / 1_000;
        match look.stands_still() {
            true => {
                if self.looks.is_multiple_of(LOOKS_PER_WARNING) {
                    tracing::warn!(behind_s, time = %Time(look.now), machine = %Time(look.machine), "the time stands still: {STANDS_STILL}");
                }
                self.looks = self.looks.wrapping_add(1);
            }
            false if self.looks > 0 => {
                self.looks = 0;
                tracing::info!(time = %Time(look.now), "the machine's clock has caught up: the time goes on");
            }
            false => {}
        }
    }
}
