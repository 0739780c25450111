//! An aggregate at the moment at which it is changed.

use crate::aggregate_store::{RecordedEvents, Slot};
use crate::views::publish::shown;
use crate::views::{ViewUpdate, Views};
use base::id::{Millis, StreamId};
use domain::{Aggregate, EventData};
use eventlog::Batch;

/// An aggregate that is being changed, and where that is noted.
pub(super) struct Visit<'a, A: Aggregate> {
    pub(super) stream: StreamId,
    pub(super) now: Millis,
    pub(super) slot: &'a mut Slot<A>,
    pub(super) batch: &'a mut Batch,
    pub(super) views: &'a Views,
    pub(super) view_updates: &'a mut Vec<ViewUpdate>,
}

impl<A: Aggregate> Visit<'_, A> {
    /// Records what time alone made true. True when that is more than is recorded at once.
    pub(super) fn record_lapsed(&mut self) -> bool {
        let behind = self.slot.state.is_behind(self.now);
        let lapsed = self.slot.state.lapsed(self.now);
        self.record(&lapsed);
        behind
    }

    pub(super) fn record(&mut self, events: &[A::Event]) {
        if events.is_empty() {
            return;
        }
        for event in events {
            self.slot.version += 1;
            self.batch.push(self.stream, self.slot.version, self.now, event.name(), |out| event.encode(out));
            self.slot.state.evolve(event, self.slot.version, self.now);
        }
        let (key, version, now) = (self.stream.key, self.slot.version, self.now);
        let recorded = RecordedEvents { key, version, events, now };
        (shown::<A>().changed)(&self.slot.state, self.views, recorded, self.view_updates);
    }
}
