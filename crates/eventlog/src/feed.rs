//! Tails the log within the process: durable events from a position on, in order, and then the new ones.

use crate::{Error, Log, Position, Recorded};
use std::sync::Arc;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(5);

/// A reader of the log that remembers where it is. It blocks, so it belongs on a thread of its own.
pub struct Feed {
    log: Arc<dyn Log>,
    after: Position,
}

impl Feed {
    /// Starts behind `after`.
    pub fn new(log: Arc<dyn Log>, after: Position) -> Feed {
        Feed { log, after }
    }

    /// The position of the last event that was given.
    pub fn position(&self) -> Position {
        self.after
    }

    /// How many durable events have not been given yet.
    pub fn lag(&self) -> u64 {
        self.log.durable().0.saturating_sub(self.after.0)
    }

    /// Calls `each` with at most `events_max` of the next durable events and gives their number. Does not wait. When
    /// `each` returns false, its event counts as given and is the last.
    pub fn poll(&mut self, events_max: usize, each: &mut dyn FnMut(Recorded<'_>) -> bool) -> Result<usize, Error> {
        if events_max == 0 || self.lag() == 0 {
            return Ok(0);
        }
        let mut count = 0;
        self.after = self.log.read_from(self.after, &mut |event| {
            count += 1;
            each(event) && count < events_max
        })?;
        Ok(count)
    }

    /// Waits until there are durable events to give, at most `timeout`; whether there are.
    pub fn wait(&self, timeout: Duration) -> bool {
        let start = Instant::now();
        while self.lag() == 0 {
            let left = timeout.saturating_sub(start.elapsed());
            if left.is_zero() {
                return false;
            }
            std::thread::sleep(POLL.min(left));
        }
        true
    }
}
