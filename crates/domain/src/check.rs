//! Checks a state after its events, in debug builds: what is derived must be what its stored fields give.

use crate::Aggregate;

/// Parts of a state that are looked at for one event, on average.
const PARTS_PER_EVENT: usize = 200;
/// Larger states are not checked: one look would take as long as a test waits for an answer.
const PARTS_MAX: usize = 200_000;

/// Checks `state`, which has about so many `parts`, after the event that made it `version`: a small one each time, a large one
/// so seldom that an event costs as much. Compiles to nothing in a release.
pub(crate) fn after_event<A: Aggregate>(state: &A, version: u64, parts: usize) {
    if cfg!(debug_assertions) && parts <= PARTS_MAX && version.is_multiple_of((parts / PARTS_PER_EVENT) as u64 + 1) {
        state.check();
    }
}
