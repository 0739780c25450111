//! Sessions that were ended before their time: every request of a user looks here. While there is none, which is most of
//! the time, that costs one atomic load.

use base::id::{AccountId, Millis};
use domain::Fingerprint;
use domain::account::Ended;
use rustc_hash::FxHashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

const PARTS: usize = 16;
/// One part is swept in this time, ms: all of them in about a minute.
const SWEPT_EVERY_MS: Millis = 4_000;

/// The sessions that were ended, by account. An account leaves when all of them would have ended by themselves.
#[derive(Default)]
pub struct EndedSessions {
    accounts: AtomicUsize,
    parts: [RwLock<FxHashMap<AccountId, Ended>>; PARTS],
    sweep_at_ms: AtomicU64,
    sweeps: AtomicUsize,
}

impl EndedSessions {
    /// Whether the session of `account` that began at `begun_ms` was ended. `session` is only called when it matters.
    #[inline]
    pub fn has(
        &self,
        account: AccountId,
        begun_ms: Millis,
        now: Millis,
        session: impl FnOnce() -> Fingerprint,
    ) -> bool {
        if self.accounts.load(Ordering::Acquire) == 0 {
            return false;
        }
        self.look(account, begun_ms, now, session)
    }

    fn look(&self, account: AccountId, begun_ms: Millis, now: Millis, session: impl FnOnce() -> Fingerprint) -> bool {
        self.sweep(now);
        let part = self.part(account).read().unwrap_or_else(PoisonError::into_inner);
        part.get(&account).is_some_and(|ended| ended.has(begun_ms, session))
    }

    /// Accounts of which sessions were ended.
    pub fn accounts(&self) -> usize {
        self.accounts.load(Ordering::Acquire)
    }

    pub(crate) fn put(&self, account: AccountId, ended: Ended) {
        let mut part = self.part(account).write().unwrap_or_else(PoisonError::into_inner);
        if part.insert(account, ended).is_none() {
            self.accounts.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn part(&self, account: AccountId) -> &RwLock<FxHashMap<AccountId, Ended>> {
        let (_, low) = account.0.as_u64_pair();
        &self.parts[low as usize % PARTS]
    }

    /// Now and then one part forgets what does not matter any more.
    fn sweep(&self, now: Millis) {
        let due = self.sweep_at_ms.load(Ordering::Relaxed);
        // A clock that was set back must not stop it for long.
        if now < due && due - now <= SWEPT_EVERY_MS {
            return;
        }
        let next = now + SWEPT_EVERY_MS;
        if self.sweep_at_ms.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        let part = self.sweeps.fetch_add(1, Ordering::Relaxed) % PARTS;
        let mut part = self.parts[part].write().unwrap_or_else(PoisonError::into_inner);
        let before = part.len();
        part.retain(|_, ended| ended.last_ms() > now);
        self.accounts.fetch_sub(before - part.len(), Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn account(number: u128) -> AccountId {
        AccountId(Uuid::from_u128(number))
    }

    #[test]
    fn only_what_was_ended_is_found() {
        let sessions = EndedSessions::default();
        let has = |of: u128, begun_ms, session| sessions.has(account(of), begun_ms, 50, || Fingerprint(session));
        assert!(!has(1, 0, 7));
        sessions.put(account(1), Ended { before_ms: 0, until_ms: 0, sessions: vec![(Fingerprint(7), 90)] });
        assert!(has(1, 10, 7) && !has(1, 10, 8) && !has(2, 10, 7));
        sessions.put(account(1), Ended { before_ms: 20, until_ms: 90, sessions: vec![] });
        assert!(has(1, 19, 8) && !has(1, 20, 8));
        assert_eq!(sessions.accounts(), 1);
    }

    #[test]
    fn what_would_have_ended_by_itself_is_forgotten() {
        let sessions = EndedSessions::default();
        for number in 0..100 {
            sessions.put(account(number), Ended { before_ms: 20, until_ms: 90, sessions: vec![] });
        }
        let mut now = 89;
        assert!(sessions.has(account(3), 10, now, || Fingerprint(0)));
        for _ in 0..PARTS {
            now += SWEPT_EVERY_MS;
            sessions.has(account(3), 10, now, || Fingerprint(0));
        }
        assert_eq!(sessions.accounts(), 0);
    }
}
