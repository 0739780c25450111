//! What an account can be asked for. Signing up and in need its wallet, too: see [`crate::process::sign_up`].

use super::{
    Account, AccountErased, ErasureFinished, Event, Found, PasswordChanged, SESSIONS_ENDED_MAX, SessionEnded,
    UnknownAccount,
};
use crate::{Command, Context, Effect, Fingerprint};
use base::id::{Millis, UserId};
use std::convert::Infallible;

#[derive(Clone, Debug)]
pub struct Read;

/// Replaces what is sealed, unless it is not `was` any more, and ends all sessions. `ttl_ms`, here and below, is the life of
/// a session.
#[derive(Clone, Debug)]
pub struct ChangePassword {
    pub user: UserId,
    pub was: String,
    pub sealed: String,
    pub ttl_ms: Millis,
}

/// Why a password is not changed.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(test, derive(strum::VariantNames))]
pub enum ChangePasswordRejection {
    UnknownAccount,
    /// Another change came first: what was checked against is not the password any more.
    ChangedMeanwhile,
}

/// Ends one session.
#[derive(Clone, Debug)]
pub struct EndSession {
    pub user: UserId,
    pub session: Fingerprint,
    pub expires_at_ms: Millis,
    pub ttl_ms: Millis,
}

#[derive(Clone, Debug)]
pub struct EndSessions {
    pub user: UserId,
    pub ttl_ms: Millis,
}

/// Forgets the user whose key was destroyed.
#[derive(Clone, Debug)]
pub struct Erase {
    pub user: UserId,
    pub ttl_ms: Millis,
}

/// From the erasure: nothing of the user's goes on any more.
#[derive(Clone, Debug)]
pub struct FinishErasure {
    pub user: UserId,
}

impl Account {
    /// After a command that only an account that somebody has accepts.
    fn shown(&self) -> Found {
        self.found().expect("only an account that somebody has answers")
    }
}

impl Command for Read {
    type On = Account;
    type Answer = Found;
    type Rejection = UnknownAccount;

    fn decide(&self, account: &Account, _: &Context) -> Result<Vec<Event>, UnknownAccount> {
        account.created.as_ref().map(|_| vec![]).ok_or(UnknownAccount)
    }

    fn answer(&self, account: &Account, _: &Effect<'_, Account>) -> Found {
        account.shown()
    }
}

impl Command for ChangePassword {
    type On = Account;
    type Answer = Found;
    type Rejection = ChangePasswordRejection;

    fn decide(&self, account: &Account, context: &Context) -> Result<Vec<Event>, ChangePasswordRejection> {
        let created = account.created_by(self.user).map_err(|_| ChangePasswordRejection::UnknownAccount)?;
        if created.sealed != self.was {
            return Err(ChangePasswordRejection::ChangedMeanwhile);
        }
        let changed = Event::PasswordChanged(PasswordChanged { sealed: self.sealed.clone() });
        Ok(vec![changed, account.end_all(context.now, self.ttl_ms)])
    }

    fn answer(&self, account: &Account, _: &Effect<'_, Account>) -> Found {
        account.shown()
    }
}

impl Command for EndSession {
    type On = Account;
    type Answer = Found;
    type Rejection = UnknownAccount;

    fn decide(&self, account: &Account, context: &Context) -> Result<Vec<Event>, UnknownAccount> {
        account.created_by(self.user)?;
        if account.ended.sessions.iter().any(|(ended, _)| *ended == self.session) {
            return Ok(vec![]);
        }
        let live = account.ended.sessions.iter().filter(|(_, expires_at_ms)| *expires_at_ms > context.now);
        if live.count() >= SESSIONS_ENDED_MAX {
            return Ok(vec![account.end_all(context.now, self.ttl_ms)]);
        }
        let (session, expires_at_ms) = (self.session, self.expires_at_ms);
        Ok(vec![Event::SessionEnded(SessionEnded { session, expires_at_ms })])
    }

    fn answer(&self, account: &Account, _: &Effect<'_, Account>) -> Found {
        account.shown()
    }
}

impl Command for EndSessions {
    type On = Account;
    type Answer = Found;
    type Rejection = UnknownAccount;

    fn decide(&self, account: &Account, context: &Context) -> Result<Vec<Event>, UnknownAccount> {
        account.created_by(self.user)?;
        Ok(vec![account.end_all(context.now, self.ttl_ms)])
    }

    fn answer(&self, account: &Account, _: &Effect<'_, Account>) -> Found {
        account.shown()
    }
}

impl Command for Erase {
    type On = Account;
    type Answer = ();
    type Rejection = UnknownAccount;

    fn decide(&self, account: &Account, context: &Context) -> Result<Vec<Event>, UnknownAccount> {
        account.created_by(self.user)?;
        let (before_ms, until_ms) = account.ended.all_at(context.now, self.ttl_ms);
        Ok(vec![Event::AccountErased(AccountErased { user_id: self.user, before_ms, until_ms })])
    }

    fn answer(&self, _: &Account, _: &Effect<'_, Account>) {}
}

impl Command for FinishErasure {
    type On = Account;
    type Answer = ();
    type Rejection = Infallible;

    fn decide(&self, account: &Account, _: &Context) -> Result<Vec<Event>, Infallible> {
        let finished = Event::ErasureFinished(ErasureFinished { user_id: self.user });
        Ok(account.erasing.contains(&self.user).then_some(finished).into_iter().collect())
    }

    fn answer(&self, _: &Account, _: &Effect<'_, Account>) {}
}
