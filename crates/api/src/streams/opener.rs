//! What a stream was opened with: it lasts no longer than that.
//!
//! Looked at before anything is sent, so that nothing is told to one who would not be told it by a request any more; and
//! woken when something ends that matters to it, so that a stream on which nothing happens ends at once, too. What expires
//! by itself is found when the stream next looks: within a second, as long as writing to all streams takes no longer.

use super::sse::End;
use crate::Api;
use crate::auth::{Current, OrganizerKey};
use actix_web::web;
use domain::Fingerprint;
use engine::views::credentials::{Credential, Watch};
use smallvec::{SmallVec, smallvec};
use std::task::Waker;

/// What opened a stream and may end before it.
pub struct Opener {
    api: web::Data<Api>,
    with: With,
    watches: SmallVec<[Watch; 1]>,
}

enum With {
    /// A session, or a token of an identity provider.
    User(Current),
    /// An organizer's key, by its hash.
    Key(Fingerprint),
}

impl Opener {
    /// From here on, what ends is noticed: to be called before the stream is told anything.
    pub fn user(api: &web::Data<Api>, current: Current) -> Option<Opener> {
        let credentials = api.handle().ok()?.engine.views().credentials();
        let mut watches = smallvec![credentials.watch(Credential::Account(current.user.account))];
        watches.extend(current.provider.map(|(organizer, _)| credentials.watch(Credential::Provider(organizer))));
        Some(Opener { api: api.clone(), with: With::User(current), watches })
    }

    /// The same.
    pub fn key(api: &web::Data<Api>, key: &OrganizerKey) -> Option<Opener> {
        let credentials = api.handle().ok()?.engine.views().credentials();
        let watches = smallvec![credentials.watch(Credential::Key(key.hash))];
        Some(Opener { api: api.clone(), with: With::Key(key.hash), watches })
    }

    /// Why the stream is to end, if it is; `waker` is woken when that may change.
    pub fn end(&self, waker: &Waker) -> Option<End> {
        self.watches.iter().for_each(|watch| watch.wait(waker));
        let handle = self.api.handle().ok()?;
        let (views, now) = (handle.engine.views(), handle.clock.now());
        match &self.with {
            With::Key(hash) => views.tenants().key(*hash).is_none().then_some(End::KeyRevoked),
            With::User(current) if now >= current.expires_at_ms => Some(End::TokenExpired),
            With::User(Current { user, session, begun_at_ms, .. })
                if views.sessions().has(user.account, *begun_at_ms, now, || *session) =>
            {
                Some(End::SessionEnded)
            }
            With::User(current) => {
                let (organizer, version) = current.provider?;
                match views.tenants().provider_version(organizer) {
                    Some(present) if present == version => None,
                    Some(_) => Some(End::ProviderChanged),
                    None => Some(End::ProviderDisabled),
                }
            }
        }
    }
}
