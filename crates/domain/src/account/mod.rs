//! An account: who a user is, sealed, and which of its sessions were ended. Its key is a keyed hash of the e-mail (or of
//! who the person is at an organizer's identity provider), so that an e-mail has one account.

mod command;
#[cfg(test)]
mod tests;

use crate::event::{events, recorded};
use crate::{Aggregate, Fingerprint, Owes};
use base::id::{AccountId, Category, Millis, UserId};
pub use command::{ChangePassword, ChangePasswordRejection, EndSession, EndSessions, Erase, FinishErasure, Read};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;

events! {
    AccountCreated = "AccountCreated.v1",
    PasswordChanged = "PasswordChanged.v1",
    SessionEnded = "SessionEnded.v1",
    SessionsEnded = "SessionsEnded.v1",
    AccountErased = "AccountErased.v1",
    ErasureFinished = "ErasureFinished.v1",
}

/// Single sessions of one account that were ended and would still be valid otherwise; one more ends all of them.
pub const SESSIONS_ENDED_MAX: usize = 64;

recorded! {
    /// A person signed up.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct AccountCreated {
        pub user_id: UserId,
        /// E-mail, name and password hash (or who the person is at an identity provider), sealed with the account's own key
        /// (base64). Unreadable once that key is destroyed.
        pub sealed: String as private,
        /// Fingerprint of the request's Idempotency-Key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub key: Option<Fingerprint> as private,
    }

    /// The person has another password; all sessions end with it.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct PasswordChanged {
        /// What replaces the account's sealed data.
        pub sealed: String as private,
    }

    /// One session was ended before its time.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct SessionEnded {
        /// Fingerprint of the session.
        pub session: Fingerprint as private,
        /// When it would have ended by itself.
        pub expires_at_ms: Millis,
    }

    /// All sessions that were begun before an instant were ended.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct SessionsEnded {
        pub before_ms: Millis,
        /// The last of them would have ended by itself by then.
        pub until_ms: Millis,
    }

    /// The account's key was destroyed before: nothing tells any more who the user was. All sessions end; the same e-mail may
    /// sign up as another user.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct AccountErased {
        pub user_id: UserId,
        /// Like [`SessionsEnded`].
        pub before_ms: Millis,
        pub until_ms: Millis,
    }

    /// Nothing of an erased user's goes on any more: the wallet is closed, nothing is held, and every queue was left.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct ErasureFinished {
        pub user_id: UserId,
    }
}

/// Nobody has it; or another user by now than the one whom a command names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnknownAccount;

/// An account as it is stored; only who holds its key can read `sealed`.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub user: UserId,
    pub sealed: String,
    pub key: Option<Fingerprint>,
    pub created_at_ms: Millis,
    /// The version of its last change, sessions aside.
    pub version: u64,
    /// Sessions must not begin before this; see [`Ended::before_ms`].
    pub sessions_from_ms: Millis,
}

/// An account. Empty before `AccountCreated`, and after `AccountErased` but for the sessions that ended.
#[derive(Default, Serialize, Deserialize)]
pub struct Account {
    created: Option<Created>,
    ended: Ended,
    /// Users who were erased, and of whom something may go on yet.
    erasing: Vec<UserId>,
}

#[derive(Serialize, Deserialize)]
struct Created {
    user: UserId,
    sealed: String,
    key: Option<Fingerprint>,
    at_ms: Millis,
    version: u64,
}

/// Which sessions of an account were ended before their time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// All that began before this instant. It is later than the instant at which they were ended, and than any before: a
    /// new session begins at this instant at the earliest, and so is never taken for an old one.
    pub before_ms: Millis,
    /// After this instant none of those is valid anyway.
    pub until_ms: Millis,
    /// Single ones, and when each would have ended by itself.
    pub sessions: Vec<(Fingerprint, Millis)>,
}

impl Ended {
    /// After this instant nothing of it matters any more.
    pub fn last_ms(&self) -> Millis {
        self.sessions.iter().map(|(_, expires_at_ms)| *expires_at_ms).fold(self.until_ms, Millis::max)
    }

    /// Whether the session that began at `begun_ms` was ended. Its fingerprint is only asked for when it matters.
    pub fn has(&self, begun_ms: Millis, session: impl FnOnce() -> Fingerprint) -> bool {
        if begun_ms < self.before_ms {
            return true;
        }
        if self.sessions.is_empty() {
            return false;
        }
        let session = session();
        self.sessions.iter().any(|(ended, _)| *ended == session)
    }

    fn end_one(&mut self, event: &SessionEnded, at_ms: Millis) {
        self.sessions.retain(|(_, expires_at_ms)| *expires_at_ms > at_ms);
        self.sessions.push((event.session, event.expires_at_ms));
    }

    fn end_all(&mut self, before_ms: Millis, until_ms: Millis) {
        self.sessions.clear();
        (self.before_ms, self.until_ms) = (before_ms, until_ms);
    }

    /// `before_ms` and `until_ms` when all sessions end at `now`.
    fn all_at(&self, now: Millis, ttl_ms: Millis) -> (Millis, Millis) {
        let before_ms = now.max(self.before_ms) + 1;
        (before_ms, self.until_ms.max(before_ms.saturating_add(ttl_ms)))
    }
}

impl Account {
    /// Whether somebody has it: it was created and not erased.
    pub fn is_live(&self) -> bool {
        self.created.is_some()
    }

    /// Which sessions were ended before their time.
    pub fn ended(&self) -> &Ended {
        &self.ended
    }

    /// Users who were erased, and of whom something may go on yet: a wallet that can be charged, holds, places in queues.
    pub fn erasing(&self) -> &[UserId] {
        &self.erasing
    }

    /// The account as it is stored; `None` when nobody has it.
    pub(crate) fn found(&self) -> Option<Found> {
        let created = self.created.as_ref()?;
        Some(Found {
            user: created.user,
            sealed: created.sealed.clone(),
            key: created.key,
            created_at_ms: created.at_ms,
            version: created.version,
            sessions_from_ms: self.ended.before_ms,
        })
    }

    /// Somebody signs up; `None` when the e-mail has an account.
    pub(crate) fn create(&self, user: UserId, sealed: &str, key: Option<Fingerprint>) -> Option<Vec<Event>> {
        match &self.created {
            // The same request again: whoever asks compares the password, which is not to be compared here.
            Some(created) if key.is_some() && created.key == key => Some(vec![]),
            Some(_) => None,
            None => {
                let sealed = sealed.to_owned();
                Some(vec![Event::AccountCreated(AccountCreated { user_id: user, sealed, key })])
            }
        }
    }

    fn created_by(&self, user: UserId) -> Result<&Created, UnknownAccount> {
        self.created.as_ref().filter(|created| created.user == user).ok_or(UnknownAccount)
    }

    fn end_all(&self, now: Millis, ttl_ms: Millis) -> Event {
        let (before_ms, until_ms) = self.ended.all_at(now, ttl_ms);
        Event::SessionsEnded(SessionsEnded { before_ms, until_ms })
    }
}

impl Owes for Account {
    type Work = Infallible;
}

impl Aggregate for Account {
    const CATEGORY: Category = Category::Account;
    type Id = AccountId;
    type Event = Event;
    const LISTED_FOR_A_TIME: bool = true;

    /// While a session that was ended would be valid otherwise, or something of an erased user's may go on.
    fn is_listed(&self, latest_ms: Millis) -> bool {
        self.ended.last_ms() > latest_ms || !self.erasing.is_empty()
    }

    fn evolve(&mut self, event: &Event, version: u64, at_ms: Millis) {
        match event {
            Event::AccountCreated(event) => {
                let AccountCreated { user_id, sealed, key } = event.clone();
                self.created = Some(Created { user: user_id, sealed, key, at_ms, version });
            }
            Event::PasswordChanged(event) => {
                if let Some(created) = &mut self.created {
                    (created.sealed, created.version) = (event.sealed.clone(), version);
                }
            }
            Event::SessionEnded(event) => self.ended.end_one(event, at_ms),
            Event::SessionsEnded(event) => self.ended.end_all(event.before_ms, event.until_ms),
            Event::AccountErased(event) => {
                self.created = None;
                self.ended.end_all(event.before_ms, event.until_ms);
                self.erasing.push(event.user_id);
            }
            Event::ErasureFinished(event) => self.erasing.retain(|user| *user != event.user_id),
        }
        crate::check::after_event(self, version, self.ended.sessions.len());
    }

    /// Nothing is derived; but what was erased is gone, and nobody begins a session that counts as ended.
    fn check(&self) {
        if let Some(created) = &self.created {
            assert!(!self.erasing.contains(&created.user), "an erased user's account");
        }
        assert!(
            self.ended.before_ms <= self.ended.until_ms,
            "sessions that were ended outlast their end: {:?}",
            self.ended
        );
    }
}
