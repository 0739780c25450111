//! Bugs that are there on purpose: each is a promise that the simulator is proven to watch over (`tools/simulate/tests.rs`).
//! They can be planted in the unit tests' own program alone. In every other one [`is`] is a constant `false`, and there is
//! nothing to turn it on with.

/// One each, in words of what goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    /// The log says that it is on disk, and after a crash it is not.
    SyncLost,
    /// An answer leaves before what it rests on is durable.
    ToldBeforeDurable,
    /// A hold lapses a second before its time.
    SeatFreedEarly,
    /// A refund that is asked for again is paid again.
    RefundedTwice,
    /// An organizer's call that is sent again lets in as many again.
    AdmittedTwice,
}

/// Whether this bug is planted.
#[cfg(not(any(test, feature = "seeded-faults")))]
pub const fn is(_: Bug) -> bool {
    false
}

#[cfg(any(test, feature = "seeded-faults"))]
pub use switch::{is, with};

#[cfg(any(test, feature = "seeded-faults"))]
mod switch {
    use super::Bug;
    use std::cell::Cell;

    thread_local!(static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) });

    pub fn is(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }

    /// Runs `work` on this thread with a bug planted.
    pub fn with<T>(bug: Bug, work: impl FnOnce() -> T) -> T {
        PLANTED.set(Some(bug));
        let done = work();
        PLANTED.set(None);
        done
    }
}
