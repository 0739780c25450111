//! An account: who a user is, sealed. Its key is a keyed hash of the e-mail, so that an e-mail has one account.

#[cfg(test)]
mod tests;

use super::event::events;
use super::{Aggregate, Context, Fingerprint, wallet};
use crate::id::{AccountId, Category, Millis, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

events! {
    AccountCreated = "AccountCreated.v1",
}

/// A person signed up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AccountCreated {
    pub user_id: UserId,
    /// E-mail, name and password hash, sealed with the account's own key (base64). Unreadable once that key is destroyed.
    pub sealed: String,
    /// Fingerprint of the request's Idempotency-Key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Fingerprint>,
}

/// What an account can be asked for.
#[derive(Clone, Debug)]
pub enum Command {
    /// Creates the account and its wallet. The answer's `user` is this one unless the request is a repeated one.
    Create {
        user: UserId,
        sealed: String,
        key: Option<Fingerprint>,
    },
    /// Reads it for a sign-in, and opens the wallet if a crash came between the two.
    SignIn,
    Read,
}

/// An account as it is stored; only who holds its key can read `sealed`.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub user: UserId,
    pub sealed: String,
    pub key: Option<Fingerprint>,
    pub created_at_ms: Millis,
}

/// Why an account refuses.
#[derive(Clone, Debug, PartialEq)]
pub enum Rejection {
    UnknownAccount,
    /// The e-mail has an account.
    EmailTaken,
}

/// An account. Empty before `AccountCreated`.
#[derive(Default, Serialize, Deserialize)]
pub struct Account {
    created: Option<Created>,
}

#[derive(Serialize, Deserialize)]
struct Created {
    user: UserId,
    sealed: String,
    key: Option<Fingerprint>,
    at_ms: Millis,
}

impl Aggregate for Account {
    const CATEGORY: Category = Category::Account;
    type Command = Command;
    type Answer = Answer;
    type Event = Event;
    type Rejection = Rejection;

    fn decide(&self, command: &Command, _context: &Context) -> Result<Vec<Event>, Rejection> {
        match (command, &self.created) {
            (Command::SignIn | Command::Read, None) => Err(Rejection::UnknownAccount),
            (Command::SignIn | Command::Read, Some(_)) => Ok(vec![]),
            // The same request again: whoever asks compares the password, which is not to be compared here.
            (Command::Create { key: Some(key), .. }, Some(created)) if created.key == Some(*key) => Ok(vec![]),
            (Command::Create { .. }, Some(_)) => Err(Rejection::EmailTaken),
            (Command::Create { user, sealed, key }, None) => {
                Ok(vec![Event::AccountCreated(AccountCreated { user_id: *user, sealed: sealed.clone(), key: *key })])
            }
        }
    }

    fn evolve(&mut self, event: &Event, _version: u64, at_ms: Millis) {
        let Event::AccountCreated(event) = event;
        self.created = Some(Created { user: event.user_id, sealed: event.sealed.clone(), key: event.key, at_ms });
    }

    fn answer(&self, _key: Uuid, _version: u64, _command: &Command, _events: &[Event]) -> Answer {
        let created = self.created.as_ref().expect("only an existing account answers");
        Answer { user: created.user, sealed: created.sealed.clone(), key: created.key, created_at_ms: created.at_ms }
    }

    /// A new account gets its wallet. Lost in a crash, it is opened at the next sign-in.
    fn follows(&self, key: Uuid, command: &Command, result: Result<(), &Rejection>) -> Option<super::Command> {
        match (command, result, &self.created) {
            (Command::Create { .. } | Command::SignIn, Ok(()), Some(created)) => {
                Some(super::Command::Wallet(created.user, wallet::Command::Open { account: AccountId(key) }))
            }
            _ => None,
        }
    }
}
