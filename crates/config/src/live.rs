//! What a running server is told anew.

use super::Serve;
use arc_swap::{ArcSwap, Guard};
use std::sync::Arc;

/// The settings as they are now. Those that need a restart stay what they were at the start, so every field of it may be
/// read at any time; whoever wants a change to be noticed reads here and keeps no copy.
#[derive(Clone)]
pub struct Live(Arc<ArcSwap<Serve>>);

impl Live {
    pub fn new(serve: Serve) -> Live {
        Live(Arc::new(ArcSwap::from_pointee(serve)))
    }

    /// Cheap enough for every request: one atomic load, no lock. Let go of it before waiting for anything.
    pub fn load(&self) -> Guard<Arc<Serve>> {
        self.0.load()
    }

    /// From now on these.
    pub fn adopt(&self, serve: Serve) {
        self.0.store(Arc::new(serve));
    }
}
