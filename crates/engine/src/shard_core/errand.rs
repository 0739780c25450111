//! Long work for one aggregate that needs nothing of the thread that owns it, and is done elsewhere.

use base::id::{Millis, StreamId};

/// What is done with the result, by the `K` that owns the aggregate.
pub type Made<K> = Box<dyn FnOnce(&mut K, Millis) + Send>;

/// A piece of work that is to be done. Meanwhile nobody else changes its aggregate.
pub struct Errand<K> {
    stream: StreamId,
    work: Box<dyn FnOnce() -> Made<K> + Send>,
}

impl<K> Errand<K> {
    pub(super) fn new(stream: StreamId, work: impl FnOnce() -> Made<K> + Send + 'static) -> Errand<K> {
        Errand { stream, work: Box::new(work) }
    }

    /// Of which aggregate it is.
    pub fn stream(&self) -> StreamId {
        self.stream
    }

    /// Takes as long as it takes.
    pub fn make(self) -> Made<K> {
        (self.work)()
    }
}
