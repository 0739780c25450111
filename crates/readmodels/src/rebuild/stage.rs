//! How far a filling is, and up to where each build is filled by the same one.

use eventlog::Position;

/// Events of one transaction of who does nothing but fill.
pub const BATCH_EVENTS_MAX: usize = 50_000;

/// How many times as far a stage leads.
const STAGE_TIMES: u64 = 4;

const STAGE_EVENTS_MIN: u64 = 200_000;

/// Events that are left to be applied while everybody else waits for the swap.
pub const REST_EVENTS_MAX: u64 = 5_000;

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// The build that is least far.
    pub at: Position,
    /// Where it has to get.
    pub target: Position,
}

impl Progress {
    /// Whether the swap can be tried.
    pub fn is_near(&self) -> bool {
        self.at.0 + REST_EVENTS_MAX >= self.target.0
    }
}

/// Up to where each build is filled by the same one; then it is known better what each takes.
#[derive(Clone, Copy)]
pub(super) struct Stage {
    pub to: Position,
    pub end: Position,
}

impl Stage {
    /// Longer and longer ones: a log often begins with something else than what most of it is, and where tables are carried
    /// to and fro, that is not to cost more than it gains.
    pub fn of(progress: Progress) -> Stage {
        let (end, to) = (progress.target, (progress.at.0 * STAGE_TIMES).max(STAGE_EVENTS_MIN));
        let is_last = to + to / STAGE_TIMES >= end.0;
        Stage { to: if is_last { end } else { Position(to) }, end }
    }

    pub fn is_done(self, at: Position) -> bool {
        if self.to == self.end { at.0 + REST_EVENTS_MAX >= self.end.0 } else { at >= self.to }
    }
}
