//! When an aggregate is looked at without being asked.

use crate::aggregate_store::Slot;
use base::id::{Millis, StreamId};
use domain::Aggregate;
use rustc_hash::FxHashSet;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Arms an aggregate's timer, and notes whether it is watched and that it has a backlog.
pub(super) fn arm<A: Aggregate>(
    slot: &mut Slot<A>,
    (stream, now): (StreamId, Millis),
    timers: &mut BinaryHeap<Reverse<(Millis, StreamId)>>,
    watched: &mut FxHashSet<StreamId>,
    backlogs: &mut VecDeque<StreamId>,
) {
    if slot.state.is_watched(now) {
        watched.insert(stream);
    } else if !watched.is_empty() {
        watched.remove(&stream);
    }
    if slot.state.has_backlog() && !backlogs.contains(&stream) {
        backlogs.push_back(stream);
    }
    let Some(due) = slot.state.next_due() else { return };
    if due < slot.armed_ms {
        slot.armed_ms = due;
        timers.push(Reverse((due, stream)));
    }
}
