//! Who is to be woken when somebody's state changes: the streams of each person.

use futures_util::task::AtomicWaker;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// Streams of one entry at a time: of more, the oldest ends.
pub const STREAMS_PER_ENTRY_MAX: usize = 5;

/// Where one stream is told that there is something for it.
#[derive(Default)]
pub struct Mailbox {
    news: AtomicBool,
    ended: AtomicBool,
    waker: AtomicWaker,
}

/// The mailboxes of a queue, by ticket; the oldest of a ticket first.
#[derive(Default)]
pub struct Mailboxes(Mutex<FxHashMap<u32, Boxes>>);

type Boxes = SmallVec<[Arc<Mailbox>; 1]>;

impl Mailbox {
    /// Whether there is something, since the last time. `waker` is woken when there is more.
    pub fn take(&self, waker: &Waker) -> bool {
        self.waker.register(waker);
        self.news.swap(false, Ordering::AcqRel)
    }

    /// Whether the stream is to end.
    pub fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    fn tell(&self) {
        self.news.store(true, Ordering::Release);
        self.waker.wake();
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.waker.wake();
    }
}

impl Mailboxes {
    /// One more of this ticket.
    pub fn open(&self, ticket: u32) -> Arc<Mailbox> {
        let mailbox = Arc::<Mailbox>::default();
        let mut boxes = self.boxes();
        let of_ticket = boxes.entry(ticket).or_default();
        if of_ticket.len() >= STREAMS_PER_ENTRY_MAX {
            of_ticket.remove(0).end();
        }
        of_ticket.push(mailbox.clone());
        mailbox
    }

    /// Whether this ticket has as many as it may have.
    pub fn is_full(&self, ticket: u32) -> bool {
        self.boxes().get(&ticket).is_some_and(|of_ticket| of_ticket.len() >= STREAMS_PER_ENTRY_MAX)
    }

    pub fn close(&self, ticket: u32, mailbox: &Arc<Mailbox>) {
        let mut boxes = self.boxes();
        if let Some(of_ticket) = boxes.get_mut(&ticket) {
            of_ticket.retain(|one| !Arc::ptr_eq(one, mailbox));
            if of_ticket.is_empty() {
                boxes.remove(&ticket);
            }
        }
    }

    /// Tells the streams of these tickets.
    pub fn wake(&self, tickets: &[u32]) {
        let boxes = self.boxes();
        tickets.iter().filter_map(|ticket| boxes.get(ticket)).flatten().for_each(|mailbox| mailbox.tell());
    }

    /// Those who have a stream.
    pub fn tickets(&self) -> Vec<u32> {
        self.boxes().keys().copied().collect()
    }

    fn boxes(&self) -> MutexGuard<'_, FxHashMap<u32, Boxes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_of_too_many_ends() {
        let (boxes, waker) = (Mailboxes::default(), Waker::noop());
        let first: Vec<_> = (0..STREAMS_PER_ENTRY_MAX).map(|_| boxes.open(7)).collect();
        let other = boxes.open(8);
        let sixth = boxes.open(7);
        assert!(first[0].is_ended() && !first[1].is_ended() && !sixth.is_ended() && !other.is_ended());
        boxes.wake(&[7, 9]);
        assert!(!first[0].take(waker) && first[1].take(waker) && sixth.take(waker) && !other.take(waker));
        assert!(!sixth.take(waker), "once");
        first.iter().chain([&sixth]).for_each(|one| boxes.close(7, one));
        assert_eq!(boxes.tickets(), [8]);
    }
}
