//! Users who were erased. What of theirs goes on is ended by the shards, each its own part, in their own time; what an
//! account remembers of it is only struck out when all have done so. While nobody is being erased, which is most of the time,
//! that costs each command one atomic load.

use base::id::{AccountId, UserId};
use rustc_hash::FxHashSet;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
use tokio::sync::Notify;

/// Users who were erased since the start and are refused what they asked for before. Later requests are refused by their
/// session's end; so many cannot be erased while one request is under way.
const LATELY_MAX: usize = 65_536;

/// Who was erased lately, and of whom something may go on yet.
#[derive(Default)]
pub struct Erasures {
    lately: AtomicUsize,
    erased: RwLock<Lately>,
    open: AtomicUsize,
    open_by_user: Mutex<BTreeMap<UserId, Open>>,
    finished: Notify,
}

#[derive(Default)]
struct Lately {
    users: FxHashSet<UserId>,
    oldest_first: VecDeque<UserId>,
}

/// An erasure that is under way.
struct Open {
    account: AccountId,
    /// The shards that have ended their part.
    done: BTreeSet<usize>,
}

/// What a shard has to do about an erasure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Due {
    /// End what goes on.
    Part(UserId),
    /// All shards have: strike it out.
    Finish(AccountId, UserId),
}

impl Erasures {
    /// Whether this user was erased lately.
    #[inline]
    pub fn has(&self, user: UserId) -> bool {
        self.lately.load(Ordering::Acquire) > 0
            && self.erased.read().unwrap_or_else(PoisonError::into_inner).users.contains(&user)
    }

    /// What is to be done by `shard` of `shards`, at most `limit` of it.
    pub fn due(&self, shard: usize, shards: usize, limit: usize) -> Vec<Due> {
        if self.open.load(Ordering::Acquire) == 0 {
            return vec![];
        }
        let open = self.open_by_user.lock().unwrap_or_else(PoisonError::into_inner);
        let due = open.iter().filter_map(|(user, open)| match open.done.contains(&shard) {
            false => Some(Due::Part(*user)),
            true if open.done.len() == shards => Some(Due::Finish(open.account, *user)),
            true => None,
        });
        due.take(limit).collect()
    }

    /// A shard has ended its part.
    pub fn note(&self, user: UserId, shard: usize) {
        let mut open = self.open_by_user.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = open.get_mut(&user) {
            open.done.insert(shard);
        }
    }

    /// Waits until nothing of the user's goes on any more.
    pub async fn finished(&self, user: UserId) {
        loop {
            let mut finished = std::pin::pin!(self.finished.notified());
            finished.as_mut().enable();
            if !self.open_by_user.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&user) {
                return;
            }
            finished.await;
        }
    }

    pub(crate) fn begin(&self, account: AccountId, user: UserId) {
        let mut erased = self.erased.write().unwrap_or_else(PoisonError::into_inner);
        if erased.users.insert(user) {
            erased.oldest_first.push_back(user);
        }
        if erased.oldest_first.len() > LATELY_MAX
            && let Some(oldest) = erased.oldest_first.pop_front()
        {
            erased.users.remove(&oldest);
        }
        // Before any shard can look for its part: what it lets happen after that is refused.
        self.lately.store(erased.users.len(), Ordering::Release);
        let mut open = self.open_by_user.lock().unwrap_or_else(PoisonError::into_inner);
        open.insert(user, Open { account, done: BTreeSet::new() });
        self.open.store(open.len(), Ordering::Release);
    }

    pub(crate) fn finish(&self, user: UserId) {
        let mut open = self.open_by_user.lock().unwrap_or_else(PoisonError::into_inner);
        open.remove(&user);
        self.open.store(open.len(), Ordering::Release);
        drop(open);
        self.finished.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const ANN: UserId = UserId(Uuid::from_u128(1));
    const BOB: UserId = UserId(Uuid::from_u128(2));
    const ACCOUNT: AccountId = AccountId(Uuid::from_u128(3));

    #[test]
    fn an_erasure_is_finished_once_every_shard_has_ended_its_part() {
        let erasures = Erasures::default();
        assert!(!erasures.has(ANN) && erasures.due(0, 2, 9).is_empty());
        erasures.begin(ACCOUNT, ANN);
        erasures.begin(ACCOUNT, BOB);
        assert!(erasures.has(ANN) && erasures.has(BOB));
        assert_eq!(erasures.due(0, 2, 9), [Due::Part(ANN), Due::Part(BOB)]);
        assert_eq!(erasures.due(1, 2, 1), [Due::Part(ANN)]);
        erasures.note(ANN, 0);
        assert_eq!(erasures.due(0, 2, 9), [Due::Part(BOB)]);
        erasures.note(ANN, 1);
        assert_eq!(erasures.due(0, 2, 9), [Due::Finish(ACCOUNT, ANN), Due::Part(BOB)]);
        erasures.finish(ANN);
        assert_eq!(erasures.due(1, 2, 9), [Due::Part(BOB)]);
        assert!(erasures.has(ANN), "a request of before may be under way yet");
    }

    #[test]
    fn only_so_many_are_remembered() {
        let erasures = Erasures::default();
        let user = |nth: usize| UserId(Uuid::from_u128(nth as u128));
        (0..LATELY_MAX + 5).for_each(|nth| erasures.begin(ACCOUNT, user(nth)));
        assert!(!erasures.has(user(4)) && erasures.has(user(5)) && erasures.has(user(LATELY_MAX + 4)));
    }
}
