//! Users of an organizer's identity provider: from a token to the account that it speaks for.

use super::accounts::{Accounts, Origin, Personal, create_account, read_unerased};
use super::caller::{Current, User, bad_credential, session_ended};
use crate::kit::error::{Kind, Problem};
use crate::state::new_uuid;
use base::id::{AccountId, OrganizerId, UserId};
use domain::account::Found;
use domain::organizer::Provided;
use domain::process::sign_up;
use engine::views::tenants::Tenant;
use security::identity::{Person, Verified, claimed, token_hash};
use std::sync::Arc;

/// Whom a token speaks for that comes as a bearer's: found by its issuer and audience.
pub async fn current(accounts: &Accounts, token: &str) -> Result<Current, Problem> {
    let hash = token_hash(token);
    let now = accounts.clock.now();
    let views = accounts.engine.views();
    // Others' tokens run out by the machine's clock, as by everybody else's.
    let known = accounts.identities.verified(hash, accounts.clock.machine());
    let known = known.filter(|known| views.tenants().provider_version(known.organizer) == Some(known.version));
    let verified = match known {
        Some(verified) if views.sessions().has(verified.account, verified.begun_at_ms, now, || hash) => {
            return Err(session_ended());
        }
        Some(verified) => verified,
        None => verify(accounts, token).await?,
    };
    let user = User { user: verified.user, account: verified.account };
    Ok(Current {
        user,
        session: hash,
        begun_at_ms: verified.begun_at_ms,
        expires_at_ms: verified.expires_at_ms,
        provider: Some((verified.organizer, verified.version)),
    })
}

async fn verify(accounts: &Accounts, token: &str) -> Result<Verified, Problem> {
    let claimed = claimed(token).ok_or_else(bad_credential)?;
    let audiences = claimed.audiences.iter().map(String::as_str);
    let tenant =
        accounts.engine.views().tenants().provider_of(&claimed.issuer, audiences).ok_or_else(bad_credential)?;
    let provided = enabled(&tenant).ok_or_else(bad_credential)?;
    let now = accounts.clock.machine();
    let person = accounts.identities.verify(tenant.id, &provided, token, now).await?;
    let (account, found) = account_of(accounts, tenant.id, &provided.provider.issuer, &person, token).await?;
    let verified = Verified {
        organizer: tenant.id,
        version: provided.version,
        account,
        user: found.user,
        begun_at_ms: person.begun_at_ms,
        expires_at_ms: person.expires_at_ms,
    };
    accounts.identities.remember(token_hash(token), verified, now);
    Ok(verified)
}

/// The account that a token of the organizer's provider speaks for. One who comes for the first time gets one.
pub async fn sign_in(accounts: &Accounts, organizer: OrganizerId, token: &str) -> Result<(AccountId, Found), Problem> {
    let refuse = || {
        let why = "There is no such organizer, or it has no identity provider.";
        Problem::new(Kind::BadIdToken, why)
    };
    let tenant = accounts.engine.views().tenants().get(organizer).ok_or_else(refuse)?;
    let provided = enabled(&tenant).ok_or_else(refuse)?;
    let person = accounts.identities.verify(organizer, &provided, token, accounts.clock.machine()).await?;
    account_of(accounts, organizer, &provided.provider.issuer, &person, token).await
}

fn enabled(tenant: &Tenant) -> Option<Arc<Provided>> {
    tenant.provider.clone().filter(|provided| provided.provider.enabled)
}

async fn account_of(
    accounts: &Accounts,
    organizer: OrganizerId,
    issuer: &str,
    person: &Person,
    token: &str,
) -> Result<(AccountId, Found), Problem> {
    let account = accounts.secrets.account_at(organizer, issuer, &person.subject);
    let now = accounts.clock.now();
    // Of an account that was erased, too: the token that erased it does not make it anew.
    if accounts.engine.views().sessions().has(account, person.begun_at_ms, now, || token_hash(token)) {
        return Err(session_ended());
    }
    if read_unerased(accounts, account).await?.is_some() {
        return again(accounts, account).await;
    }
    let from = Origin { organizer, issuer: issuer.into(), subject: person.subject.clone() };
    let personal =
        Personal { email: person.email.clone(), name: person.name.clone(), password: None, from: Some(from) };
    let created =
        create_account(accounts, account, UserId(new_uuid(&*accounts.ids, accounts.clock.now())), &personal, None)
            .await;
    match created {
        Ok(done) => Ok((account, done.answer)),
        // Somebody brought the same person's token at the same time.
        Err(problem) if problem.kind == Kind::EmailTaken => again(accounts, account).await,
        Err(problem) => Err(problem),
    }
}

async fn again(accounts: &Accounts, account: AccountId) -> Result<(AccountId, Found), Problem> {
    let done = accounts.engine.ask(account, sign_up::SignIn).await?;
    Ok((account, done.answer))
}
