//! What is done without being asked: what has lapsed is recorded, what is overdue is sent again, and what is long is done in
//! parts.

use super::ShardCore;
use super::schedule::arm;
use base::id::{Millis, StreamId};
use domain::{Aggregate, Owes, by_category};
use std::cmp::Reverse;
use std::collections::VecDeque;
use uuid::Uuid;

/// Timers taken up per tick: a tick must not hold commands up.
const TICK_TIMERS_MAX: usize = 2_000;
/// Timers that are run, and purchases of one performance that are taken up again, in one go.
const TIMERS_MAX: usize = 128;
/// Reservations of cancelled performances that are given up or refunded in one go, about a millisecond's work: commands
/// that came in meanwhile run before the next.
const CALL_OFFS_MAX: usize = 128;

impl ShardCore {
    /// Runs some of the timers that are due; the others wait for [`resume`](Self::resume).
    pub(super) fn run_due(&mut self, now: Millis) {
        for _ in 0..TIMERS_MAX {
            let Some((at, stream)) = self.due.pop_front() else { return };
            let behind = by_category!(stream.category, A => self.run_timer::<A>(stream.key, at, now));
            if behind {
                // More of it, after what came in meanwhile.
                return;
            }
        }
    }

    /// Records what has lapsed of one aggregate, as much as one command may; after the last of it, sends what is overdue again.
    /// True when there is more to record.
    fn run_timer<A: Owes>(&mut self, key: Uuid, at: Millis, now: Millis) -> bool {
        let now = now.max(self.latest_ms);
        let Some(slot) = self.states.slots_mut::<A>().get_mut(&key).filter(|slot| slot.armed_ms == at) else {
            return false;
        };
        slot.armed_ms = u64::MAX;
        let behind = !self.failed && self.visit::<A, _>(key, now, |visit| visit.record_lapsed()).unwrap_or(false);
        let _ = self.flush();
        let Some(slot) = self.states.slots_mut::<A>().get_mut(&key) else { return behind };
        if behind {
            slot.armed_ms = now;
            self.due.push_front((now, StreamId { category: A::CATEGORY, key }));
            return true;
        }
        let mut overdue = slot.state.overdue(key.into(), now);
        overdue.truncate(TIMERS_MAX);
        for work in overdue {
            self.execute_work(work, now);
        }
        false
    }

    /// The timers that are due. Those that are armed anew by what is done now wait for the next tick.
    pub(super) fn take_due(&mut self, now: Millis) -> VecDeque<(Millis, StreamId)> {
        let mut due = VecDeque::new();
        while due.len() < TICK_TIMERS_MAX
            && let Some(Reverse((at, stream))) = self.timers.peek().copied()
            && at <= now
        {
            self.timers.pop();
            due.push_back((at, stream));
        }
        due
    }

    /// Does the next parts of what is long (refunds of cancelled performances), a bounded number. True when there is more to
    /// do at once; otherwise the next tick sees to it.
    pub fn refund_next(&mut self, now: Millis) -> bool {
        let mut left = CALL_OFFS_MAX;
        for _ in 0..self.backlogs.len() {
            if left == 0 || self.failed || !self.shared.log.has_room() {
                break;
            }
            let Some(stream) = self.backlogs.pop_front() else { break };
            left -= by_category!(stream.category, A => self.work_off::<A>(stream.key, left, now));
        }
        left < CALL_OFFS_MAX && !self.failed && !self.backlogs.is_empty()
    }

    /// Does the next parts of one aggregate's backlog, at most `max`; their number.
    fn work_off<A: Owes>(&mut self, key: Uuid, max: usize, now: Millis) -> usize {
        let slot = self.states.slots_mut::<A>().get_mut(&key);
        let Some(slot) = slot.filter(|slot| slot.state.has_backlog()) else { return 0 };
        self.backlogs.push_back(StreamId { category: A::CATEGORY, key });
        let parts = slot.state.backlog(key.into(), max);
        let count = parts.len();
        for part in parts {
            self.execute_work(part, now);
        }
        count
    }

    pub(super) fn arm<A: Aggregate>(&mut self, key: Uuid, now: Millis) {
        let stream = StreamId { category: A::CATEGORY, key };
        if let Some(slot) = self.states.slots_mut::<A>().get_mut(&key) {
            arm(slot, (stream, now), &mut self.timers, &mut self.watched, &mut self.backlogs);
        }
    }
}
