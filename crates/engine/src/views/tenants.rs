//! Organizers as anyone may look them up: by id, by a key's hash, by an identity provider's issuer and audience.

use super::credentials::Credential;
use base::id::{Millis, OrganizerId};
use domain::Fingerprint;
use domain::organizer::{Description, KEY_USE_RECORDED_EVERY_MS, Provided};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use uuid::Uuid;

/// All organizers, as durable.
#[derive(Default)]
pub struct Tenants(RwLock<Inner>);

#[derive(Default)]
struct Inner {
    organizers: BTreeMap<OrganizerId, Tenant>,
    keys: FxHashMap<Fingerprint, Arc<LiveKey>>,
    /// By issuer and audience of the providers that are enabled. Where several organizers name the same ones, the one
    /// that did it first comes first.
    providers: FxHashMap<(String, String), BTreeSet<(Millis, OrganizerId)>>,
}

/// An organizer, as far as it is looked up here.
#[derive(Clone)]
pub struct Tenant {
    pub id: OrganizerId,
    pub name: String,
    pub created_at_ms: Millis,
    pub provider: Option<Arc<Provided>>,
    keys: Vec<Fingerprint>,
}

/// A key that is valid, and when it was last used.
pub struct LiveKey {
    pub organizer: OrganizerId,
    pub key_id: Uuid,
    used_at_ms: AtomicU64,
    recorded_at_ms: AtomicU64,
}

impl LiveKey {
    /// When it was last used; 0 for never.
    pub fn used_at_ms(&self) -> Millis {
        self.used_at_ms.load(Ordering::Relaxed)
    }

    /// It is used now. True when that is to be recorded, which is so once in a while only.
    pub fn note_use(&self, now: Millis) -> bool {
        self.used_at_ms.fetch_max(now, Ordering::Relaxed);
        let recorded = self.recorded_at_ms.load(Ordering::Relaxed);
        let due = recorded == 0 || now >= recorded.saturating_add(KEY_USE_RECORDED_EVERY_MS);
        due && self.recorded_at_ms.compare_exchange(recorded, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

impl Tenants {
    /// The organizer, if there is one.
    pub fn get(&self, id: OrganizerId) -> Option<Tenant> {
        self.read(|inner| inner.organizers.get(&id).cloned())
    }

    /// Up to `limit` organizers after `after`, in the order of their ids.
    pub fn list(&self, after: Option<OrganizerId>, limit: usize) -> Vec<Tenant> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.read(|inner| {
            inner.organizers.range((from, Bound::Unbounded)).take(limit).map(|(_, tenant)| tenant.clone()).collect()
        })
    }

    /// The valid key with this hash.
    pub fn key(&self, hash: Fingerprint) -> Option<Arc<LiveKey>> {
        self.read(|inner| inner.keys.get(&hash).cloned())
    }

    /// The organizer whose users bring tokens of this issuer, made for one of these audiences.
    pub fn provider_of<'a>(&self, issuer: &str, audiences: impl Iterator<Item = &'a str>) -> Option<Tenant> {
        self.read(|inner| {
            let mut found = audiences.filter_map(|audience| inner.providers.get(&(issuer.into(), audience.into())));
            let (_, organizer) = found.find_map(|organizers| organizers.first())?;
            inner.organizers.get(organizer).cloned()
        })
    }

    /// The version of the organizer's provider, if it is enabled.
    pub fn provider_version(&self, id: OrganizerId) -> Option<u64> {
        self.read(|inner| enabled_version(inner.organizers.get(&id)?.provider.as_deref()))
    }

    /// Whether tokens of the organizer's provider lead to it when they come without its id: nobody was earlier with the
    /// same issuer and audience.
    pub fn is_first(&self, id: OrganizerId) -> bool {
        let Some(provider) = self.get(id).and_then(|tenant| tenant.provider) else { return false };
        let provider = &provider.provider;
        self.provider_of(&provider.issuer, [provider.audience.as_str()].into_iter()).is_some_and(|first| first.id == id)
    }

    fn read<T>(&self, look: impl FnOnce(&Inner) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Gives what ended with it: keys that are not valid any more, and the provider if it is another one or off.
    pub(crate) fn put(&self, answer: Description) -> Vec<Credential> {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let inner = &mut *inner;
        let id = answer.id;
        let (mut known, mut provider_before) = (FxHashMap::default(), None);
        if let Some(before) = inner.organizers.remove(&id) {
            known = before.keys.iter().filter_map(|hash| inner.keys.remove_entry(hash)).collect();
            provider_before = enabled_version(before.provider.as_deref());
            if let Some(provided) = &before.provider {
                let key = provider_key(provided);
                if let Some(organizers) = inner.providers.get_mut(&key) {
                    organizers.remove(&(provided.since_ms, id));
                    if organizers.is_empty() {
                        inner.providers.remove(&key);
                    }
                }
            }
        }
        let live = answer.keys.iter().filter(|key| key.revoked_at_ms.is_none());
        let mut keys = Vec::new();
        for key in live {
            let hash = key.key.hash;
            let used = key.used_at_ms.unwrap_or(0);
            let live = known.remove(&hash).unwrap_or_else(|| {
                let (used_at_ms, recorded_at_ms) = (AtomicU64::new(used), AtomicU64::new(used));
                Arc::new(LiveKey { organizer: id, key_id: key.key.key_id, used_at_ms, recorded_at_ms })
            });
            inner.keys.insert(hash, live);
            keys.push(hash);
        }
        // What is left there was valid before.
        let mut ended: Vec<Credential> = known.into_keys().map(Credential::Key).collect();
        let provider = answer.provider.map(Arc::new);
        if provider_before.is_some() && provider_before != enabled_version(provider.as_deref()) {
            ended.push(Credential::Provider(id));
        }
        if let Some(provided) = provider.as_ref().filter(|provided| provided.provider.enabled) {
            inner.providers.entry(provider_key(provided)).or_default().insert((provided.since_ms, id));
        }
        let tenant = Tenant { id, name: answer.name, created_at_ms: answer.created_at_ms, provider, keys };
        inner.organizers.insert(id, tenant);
        ended
    }
}

/// The version of a provider whose tokens are taken.
fn enabled_version(provided: Option<&Provided>) -> Option<u64> {
    provided.filter(|provided| provided.provider.enabled).map(|provided| provided.version)
}

fn provider_key(provided: &Provided) -> (String, String) {
    (provided.provider.issuer.clone(), provided.provider.audience.clone())
}
