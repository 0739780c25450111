//! Checks a state after its events, in debug builds: what is derived must be what its stored fields give.

use crate::Aggregate;

/// States of so many parts are checked after each event.
const PARTS_SMALL: usize = 200;
/// Larger states are not checked: one look would take as long as a test waits for an answer.
const PARTS_MAX: usize = 200_000;

/// Checks `state`, which has about so many `parts`, after the event that made it `version`: a small one each time, a large one
/// once in as many events as it has parts, so that an event costs no more than a look at one of them. Compiles to nothing in a
/// release.
pub(crate) fn after_event<A: Aggregate>(state: &A, version: u64, parts: usize) {
    let every = if parts <= PARTS_SMALL { 1 } else { parts as u64 };
    if cfg!(debug_assertions) && parts <= PARTS_MAX && version.is_multiple_of(every) {
        state.check();
    }
}
