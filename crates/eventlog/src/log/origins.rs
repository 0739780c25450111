//! What the last events come from: traces, which go along with them to who reads the log, and are not stored.

use super::event::Position;
use base::trace_context::TraceContext;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Batches that are remembered: some seconds of the fastest selling, if each of them belongs to a trace.
const ORIGINS_MAX: usize = 1 << 16;

/// The origins of the last batches that had one.
#[derive(Default)]
pub struct Origins {
    /// First and last position, in order.
    recent: Mutex<VecDeque<(Position, Position, Arc<TraceContext>)>>,
    /// Whether there ever was one: otherwise nobody looks.
    any: AtomicBool,
}

impl Origins {
    /// To be called in the order of positions.
    pub fn remember(&self, first: Position, last: Position, origin: Arc<TraceContext>) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == ORIGINS_MAX {
            recent.pop_front();
        }
        recent.push_back((first, last, origin));
        self.any.store(true, Ordering::Release);
    }

    pub fn of(&self, position: Position) -> Option<Arc<TraceContext>> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let at = recent.partition_point(|(_, last, _)| *last < position);
        let (first, _, origin) = recent.get(at)?;
        (*first <= position).then(|| origin.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::trace_context::{new_span_id, new_trace_id};

    #[test]
    fn the_last_ones_are_remembered() {
        let context = TraceContext { trace_id: new_trace_id(), span_id: new_span_id(), sampled: true, state: None };
        let (origins, origin) = (Origins::default(), Arc::new(context));
        assert_eq!(origins.of(Position(1)), None);
        origins.remember(Position(3), Position(4), origin.clone());
        origins.remember(Position(7), Position(7), origin.clone());
        let found: Vec<u64> = (1..10).filter(|position| origins.of(Position(*position)).is_some()).collect();
        assert_eq!(found, [3, 4, 7]);
        for position in 8..8 + ORIGINS_MAX as u64 - 1 {
            origins.remember(Position(position), Position(position), origin.clone());
        }
        assert!(origins.of(Position(7)).is_some() && origins.of(Position(4)).is_none());
    }
}
