//! Signing up and in: an account gets its wallet. Lost in a crash, the wallet is opened at the next sign-in.
//!
//! ```text
//! Create | SignIn ──► OpenWallet ──► Opened
//! ```

#[cfg(test)]
mod tests;

use crate::account::{Account, Found};
use crate::command::{EventsOf, OutcomeOf, To};
use crate::wallet::Wallet;
use crate::{Context, Effect, Fingerprint, Outcome, Step};
use base::id::{AccountId, UserId};
use std::convert::Infallible;

/// Creates the account and its wallet. The answer's `user` is this one unless the request is a repeated one.
#[derive(Clone, Debug)]
pub struct Create {
    pub user: UserId,
    pub sealed: String,
    pub key: Option<Fingerprint>,
}

/// Reads the account for a sign-in, and opens the wallet if a crash came between the two.
#[derive(Clone, Debug)]
pub struct SignIn;

/// The wallet of an account.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenWallet {
    pub account: AccountId,
}

/// The wallet is open: the caller is told of the account.
#[derive(Clone, Debug, PartialEq)]
pub struct Opened;

/// Why nobody signs up or in.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(strum::VariantNames))]
pub enum Rejection {
    UnknownAccount,
    /// The e-mail has an account.
    EmailTaken,
}

/// The wallet of whoever has the account.
fn open_wallet(account: &Account, decided: Result<Effect<'_, Account>, Rejection>) -> OutcomeOf<SignIn> {
    let opened = decided.and_then(|effect| {
        let found = account.found().ok_or(Rejection::UnknownAccount)?;
        Ok(To(found.user, OpenWallet { account: effect.id }))
    });
    opened.map_or_else(|rejection| Outcome::Told(Err(rejection)), Outcome::Next)
}

impl Step for Create {
    type On = Account;
    type Answer = Found;
    type Rejection = Rejection;
    type Refusal = Rejection;
    type Next = To<OpenWallet>;

    fn decide(&self, account: &Account, _: &Context) -> Result<EventsOf<Self>, Rejection> {
        account.create(self.user, &self.sealed, self.key).ok_or(Rejection::EmailTaken)
    }

    fn outcome(&self, account: &Account, decided: Result<Effect<'_, Account>, Rejection>) -> OutcomeOf<Self> {
        open_wallet(account, decided)
    }
}

impl Step for SignIn {
    type On = Account;
    type Answer = Found;
    type Rejection = Rejection;
    type Refusal = Rejection;
    type Next = To<OpenWallet>;

    fn decide(&self, account: &Account, _: &Context) -> Result<EventsOf<Self>, Rejection> {
        account.found().map(|_| vec![]).ok_or(Rejection::UnknownAccount)
    }

    fn outcome(&self, account: &Account, decided: Result<Effect<'_, Account>, Rejection>) -> OutcomeOf<Self> {
        open_wallet(account, decided)
    }
}

impl Step for OpenWallet {
    type On = Wallet;
    type Answer = Found;
    type Rejection = Rejection;
    type Refusal = Infallible;
    type Next = To<Opened>;

    fn decide(&self, wallet: &Wallet, _: &Context) -> Result<EventsOf<Self>, Infallible> {
        Ok(wallet.open(self.account))
    }

    fn outcome(&self, _: &Wallet, _: Result<Effect<'_, Wallet>, Infallible>) -> OutcomeOf<Self> {
        Outcome::Next(To(self.account, Opened))
    }
}

impl Step for Opened {
    type On = Account;
    type Answer = Found;
    type Rejection = Rejection;
    type Refusal = Infallible;
    type Next = Infallible;

    fn decide(&self, _: &Account, _: &Context) -> Result<EventsOf<Self>, Infallible> {
        Ok(vec![])
    }

    fn outcome(&self, account: &Account, _: Result<Effect<'_, Account>, Infallible>) -> OutcomeOf<Self> {
        Outcome::Told(account.found().ok_or(Rejection::UnknownAccount))
    }
}
