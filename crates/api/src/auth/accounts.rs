//! Accounts: who somebody is, sealed with a key of the account's own.

use crate::kit::blocking::off_worker;
use crate::kit::error::Problem;
use base::clock::Clock;
use base::id::{AccountId, Ids, Millis, OrganizerId, UserId};
use domain::account::{Erase, Found, Read, UnknownAccount};
use domain::process::sign_up;
use engine::{Done, Engine, Failure};
use security::identity::Identities;
use security::passwords::Passwords;
use security::secrets::{Operator, Secrets};
use security::vault::{KeySlot, KeyState, Vault};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What accounts and their sessions rest on.
pub struct Accounts {
    pub engine: Engine,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
    pub secrets: Arc<Secrets>,
    pub operator: Operator,
    pub vault: Arc<Vault>,
    pub passwords: Passwords,
    pub identities: Arc<Identities>,
    pub session_ttl_ms: Millis,
}

impl Accounts {
    /// What is ended before its time would have ended by itself within this, ms: a session, or a token of an identity
    /// provider.
    pub fn sessions_end_within_ms(&self) -> Millis {
        self.session_ttl_ms.max(config::IDENTITY_TOKEN_LIFE_MS)
    }
}

/// What is sealed with the account's own key.
#[derive(Serialize, Deserialize)]
pub struct Personal {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    pub name: Option<String>,
    /// argon2id, as a PHC string. Of who signed up here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Of who came from an organizer's identity provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Origin>,
}

/// Who somebody is at an identity provider.
#[derive(Serialize, Deserialize)]
pub struct Origin {
    pub organizer: OrganizerId,
    pub issuer: String,
    pub subject: String,
}

/// Creates an account with its wallet.
pub async fn create_account(
    accounts: &Accounts,
    account: AccountId,
    user: UserId,
    personal: &Personal,
    key: Option<domain::Fingerprint>,
) -> Result<Done<Found>, Problem> {
    let plain = serde_json::to_vec(personal).expect("plain data");
    let vault = accounts.vault.clone();
    let sealed = off_worker(move || vault.seal(account, &plain)).await?;
    let sealed = sealed.map_err(vault_failed)?;
    Ok(accounts.engine.ask(account, sign_up::Create { user, sealed, key }).await?)
}

/// The account, if there is one.
pub async fn read(accounts: &Accounts, account: AccountId) -> Result<Option<Done<Found>>, Problem> {
    match accounts.engine.ask(account, Read).await {
        Ok(done) => Ok(Some(done)),
        Err(Failure::Rejected { rejection: UnknownAccount, .. }) => Ok(None),
        Err(failure) => Err(failure.into()),
    }
}

/// The same; of an account whose key was destroyed the erasure is finished first, in case that a crash came between.
pub async fn read_unerased(accounts: &Accounts, account: AccountId) -> Result<Option<Done<Found>>, Problem> {
    let found = read(accounts, account).await?;
    match found {
        Some(done) if key_of(accounts, account)?.is_none() => {
            finish_erasure(accounts, account, done.answer.user).await?;
            Ok(None)
        }
        found => Ok(found),
    }
}

/// The key of an account that is there; `None` when it was destroyed. That there never was one is no erasure.
pub fn key_of(accounts: &Accounts, account: AccountId) -> Result<Option<KeySlot>, Problem> {
    match accounts.vault.key(account) {
        KeyState::There(key) => Ok(Some(key)),
        KeyState::Destroyed => Ok(None),
        KeyState::None => Err(vault_failed(std::io::Error::other(format!("no key of account {}", account.0)))),
    }
}

/// Records that an account's key was destroyed. Again without effect; gives the position.
pub async fn finish_erasure(
    accounts: &Accounts,
    account: AccountId,
    user: UserId,
) -> Result<Option<eventlog::Position>, Problem> {
    let command = Erase { user, ttl_ms: accounts.sessions_end_within_ms() };
    match accounts.engine.ask(account, command).await {
        Ok(done) => Ok(Some(done.position)),
        Err(Failure::Rejected { rejection: UnknownAccount, .. }) => Ok(None),
        Err(failure) => Err(failure.into()),
    }
}

/// Opens what was sealed; gone once the account's key was destroyed.
pub async fn personal(accounts: &Accounts, account: AccountId, sealed: &str) -> Result<Personal, Problem> {
    let (vault, sealed) = (accounts.vault.clone(), sealed.to_owned());
    let opened = off_worker(move || vault.open_sealed(account, &sealed)).await?;
    let opened = opened.map_err(vault_failed)?;
    opened.and_then(|bytes| serde_json::from_slice(&bytes).ok()).ok_or_else(|| Problem::not_found("account"))
}

/// The vault could not be read or written.
pub fn vault_failed(error: std::io::Error) -> Problem {
    tracing::error!(%error, "the vault cannot be used");
    Problem::log_unavailable()
}
