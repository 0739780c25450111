//! Accounts and organizers in the books: who is there, who is not any more, and which keys are valid.

use super::summary::Summary;
use super::violation::{Fault, Kind, ensure};
use base::id::{AccountId, Millis, OrganizerId, UserId};
use domain::account::{Event as AccountEvent, SESSIONS_ENDED_MAX};
use domain::organizer::{Event as OrganizerEvent, IdentityProvider, KEYS_LIVE_MAX};
use rustc_hash::{FxHashMap, FxHashSet};
use uuid::Uuid;

/// All accounts and organizers of a log.
#[derive(Default)]
pub struct People {
    accounts: FxHashMap<AccountId, Account>,
    /// Users that were erased: nobody is ever one of them again.
    erased: FxHashSet<UserId>,
    /// Those of whom nothing goes on any more.
    finished: FxHashSet<UserId>,
    organizers: FxHashMap<OrganizerId, Organizer>,
}

struct Account {
    /// None once it is erased.
    user: Option<UserId>,
    /// Sessions begun before this were ended.
    before_ms: Millis,
    /// Single ones, and when they would have ended by themselves.
    ended: Vec<(u128, Millis)>,
}

#[derive(Default)]
struct Organizer {
    live: FxHashSet<Uuid>,
    revoked: FxHashSet<Uuid>,
    has_provider: bool,
}

fn rule(holds: bool, what: &str) -> Result<(), Fault> {
    ensure(holds, Kind::RulesBroken, || what.to_owned())
}

impl People {
    /// Takes an account's event over.
    pub fn account(
        &mut self,
        id: AccountId,
        event: AccountEvent,
        at: Millis,
        counts: &mut Summary,
    ) -> Result<(), Fault> {
        if let AccountEvent::AccountCreated(event) = event {
            rule(!self.erased.contains(&event.user_id), "the user was erased before")?;
            let new = Account { user: None, before_ms: 0, ended: vec![] };
            let account = self.accounts.entry(id).or_insert(new);
            rule(account.user.is_none(), "the account was created before")?;
            account.user = Some(event.user_id);
            counts.users += 1;
            return Ok(());
        }
        if let AccountEvent::ErasureFinished(event) = event {
            // Somebody else may have signed up with the e-mail meanwhile.
            rule(self.accounts.contains_key(&id) && self.erased.contains(&event.user_id), "the user was not erased")?;
            return rule(self.finished.insert(event.user_id), "the erasure was finished before");
        }
        let account = self.accounts.get_mut(&id).filter(|account| account.user.is_some());
        let Some(account) = account else {
            return Err((Kind::RulesBroken, "there is no account, or not any more".into()));
        };
        match event {
            AccountEvent::AccountCreated(_) | AccountEvent::ErasureFinished(_) => unreachable!("handled above"),
            AccountEvent::PasswordChanged(event) => {
                rule(!event.sealed.is_empty(), "nothing is sealed")?;
                counts.passwords_changed += 1;
                Ok(())
            }
            AccountEvent::SessionEnded(event) => {
                account.ended.retain(|(_, expires_at_ms)| *expires_at_ms > at);
                rule(
                    !account.ended.iter().any(|(session, _)| *session == event.session.0),
                    "the session was ended before",
                )?;
                account.ended.push((event.session.0, event.expires_at_ms));
                rule(account.ended.len() <= SESSIONS_ENDED_MAX, "too many single sessions were ended")?;
                counts.sessions_ended += 1;
                Ok(())
            }
            AccountEvent::SessionsEnded(event) => account.end_all(event.before_ms, event.until_ms, at),
            AccountEvent::AccountErased(event) => {
                rule(account.user == Some(event.user_id), "the account is another user's")?;
                account.user = None;
                self.erased.insert(event.user_id);
                counts.users_erased += 1;
                account.end_all(event.before_ms, event.until_ms, at)
            }
        }
    }

    /// Nothing begins for a user once their erasure is finished.
    pub fn check_may_begin(&self, user: UserId) -> Result<(), Fault> {
        rule(!self.finished.contains(&user), "the user was erased before")
    }

    /// Takes an organizer's event over.
    pub fn organizer(&mut self, id: OrganizerId, event: OrganizerEvent, counts: &mut Summary) -> Result<(), Fault> {
        if let OrganizerEvent::OrganizerCreated(event) = event {
            let organizer = Organizer { live: [event.key.key_id].into_iter().collect(), ..Organizer::default() };
            let before = self.organizers.insert(id, organizer);
            counts.organizers += 1;
            return rule(before.is_none(), "the organizer was created before");
        }
        let Some(organizer) = self.organizers.get_mut(&id) else {
            return Err((Kind::RulesBroken, "the organizer was not created before".into()));
        };
        match event {
            OrganizerEvent::OrganizerCreated(_) => unreachable!("handled above"),
            OrganizerEvent::OrganizerRenamed(event) => rule(!event.name.trim().is_empty(), "the name is empty"),
            OrganizerEvent::KeyCreated(event) => {
                let key_id = event.key.key_id;
                let new = !organizer.revoked.contains(&key_id) && organizer.live.insert(key_id);
                rule(new, "the key was created before")?;
                rule(organizer.live.len() <= KEYS_LIVE_MAX, "there are too many valid keys")
            }
            OrganizerEvent::KeyRevoked(event) => {
                organizer.revoked.insert(event.key_id);
                rule(organizer.live.remove(&event.key_id), "the key is not valid")
            }
            // A use that was on its way when the key was revoked is recorded after that.
            OrganizerEvent::KeyUsed(event) => rule(
                organizer.live.contains(&event.key_id) || organizer.revoked.contains(&event.key_id),
                "there is no such key",
            ),
            OrganizerEvent::IdentityProviderSet(event) => {
                organizer.has_provider = true;
                let fits = IdentityProvider::check(&event.provider);
                ensure(fits.is_ok(), Kind::RulesBroken, || format!("the provider makes no sense: {fits:?}"))
            }
            OrganizerEvent::IdentityProviderRemoved(_) => {
                rule(std::mem::take(&mut organizer.has_provider), "there is no identity provider")
            }
        }
    }
}

impl Account {
    fn end_all(&mut self, before_ms: Millis, until_ms: Millis, at: Millis) -> Result<(), Fault> {
        rule(before_ms > at && before_ms > self.before_ms, "sessions that were ended might begin again")?;
        rule(until_ms >= before_ms, "ended sessions are forgotten too early")?;
        (self.before_ms, self.ended) = (before_ms, vec![]);
        Ok(())
    }
}
