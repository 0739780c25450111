//! Draws that are made elsewhere than on the thread that owns the queue.

use base::id::QueueId;
use domain::queue::draw::Seed;
use domain::queue::order::{Drawn, Sealed};

/// A draw that is to be made: a long piece of work that needs nothing from here.
pub struct Draw {
    pub(super) queue: QueueId,
    pub(super) seed: Seed,
    pub(super) sealed: Sealed,
}

impl Draw {
    /// Of which queue it is.
    pub fn queue(&self) -> QueueId {
        self.queue
    }

    /// Takes as long as it takes.
    pub fn make(self) -> Drawn {
        self.sealed.draw(self.seed)
    }
}
