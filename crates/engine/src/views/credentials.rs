//! Who is told when a credential ends: what was opened with one and goes on, as streams do.

use base::id::{AccountId, OrganizerId};
use domain::Fingerprint;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// What may end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Credential {
    /// Sessions of an account, and tokens of an identity provider that speak for it.
    Account(AccountId),
    /// An organizer's key, by its hash.
    Key(Fingerprint),
    /// All tokens of an organizer's identity provider.
    Provider(OrganizerId),
}

/// Everybody who is to be told, by credential: what ends costs a look here and a call for each who is concerned, however
/// many others there are.
#[derive(Default)]
pub struct Credentials {
    watched: Mutex<BTreeMap<(Credential, u64), Arc<Bell>>>,
    made: AtomicU64,
}

#[derive(Default)]
struct Bell(Mutex<Option<Waker>>);

/// One who is told that a credential ended, or may have. Given up when dropped.
pub struct Watch {
    of: Arc<Credentials>,
    credential: (Credential, u64),
    bell: Arc<Bell>,
}

impl Credentials {
    /// From now on, whoever has the watch is told.
    pub fn watch(self: &Arc<Credentials>, credential: Credential) -> Watch {
        let credential = (credential, self.made.fetch_add(1, Ordering::Relaxed));
        let bell = Arc::<Bell>::default();
        self.watched().insert(credential, bell.clone());
        Watch { of: self.clone(), credential, bell }
    }

    /// It ended, or something like it did: those who watch it look.
    pub(crate) fn ring(&self, credential: Credential) {
        let watched = self.watched();
        for (_, bell) in watched.range((credential, 0)..=(credential, u64::MAX)) {
            if let Some(waker) = bell.lock().take() {
                waker.wake();
            }
        }
    }

    /// How many watch.
    pub fn watches(&self) -> usize {
        self.watched().len()
    }

    fn watched(&self) -> MutexGuard<'_, BTreeMap<(Credential, u64), Arc<Bell>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bell {
    fn lock(&self) -> MutexGuard<'_, Option<Waker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// Whom to wake. To be called before one looks whether the credential still holds, so that nothing is missed.
    pub fn wait(&self, waker: &Waker) {
        match &mut *self.bell.lock() {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.of.watched().remove(&self.credential);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;
    use uuid::Uuid;

    #[derive(Default)]
    struct Calls(AtomicUsize);

    impl Wake for Calls {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn only_who_watches_what_ended_is_told() {
        let credentials = Arc::<Credentials>::default();
        let account = |number| Credential::Account(AccountId(Uuid::from_u128(number)));
        let same_number = Credential::Provider(OrganizerId(Uuid::from_u128(2)));
        let of = [account(1), account(2), account(2), same_number, Credential::Key(Fingerprint(2))];
        let watches = of.map(|credential| {
            let (watch, calls) = (credentials.watch(credential), Arc::<Calls>::default());
            watch.wait(&calls.clone().into());
            (watch, calls)
        });
        let calls = || watches.each_ref().map(|(_, calls)| calls.0.load(Ordering::Relaxed));
        credentials.ring(account(2));
        assert_eq!(calls(), [0, 1, 1, 0, 0]);
        // Until they look again there is nobody to be woken.
        credentials.ring(account(2));
        credentials.ring(Credential::Key(Fingerprint(2)));
        credentials.ring(Credential::Key(Fingerprint(3)));
        assert_eq!(calls(), [0, 1, 1, 0, 1]);
        watches[1].0.wait(&watches[1].1.clone().into());
        credentials.ring(account(2));
        assert_eq!(calls(), [0, 2, 1, 0, 1]);
        assert_eq!(credentials.watches(), 5);
        drop(watches);
        assert_eq!(credentials.watches(), 0);
    }
}
