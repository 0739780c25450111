//! Wallets, accounts, organizers and concerts: small, but each with as much as it may have.

use super::shard::{NOW, ORGANIZER, Shard, user};
use base::id::{AccountId, ConcertId, Millis};
use domain::organizer::provider::*;
use domain::organizer::{self, IdentityProvider, SecretKey};
use domain::wallet::{self, ChargedBy, history::ENTRIES_SHOWN_MAX};
use domain::{Command, Expected, Fingerprint, Repeat, account, concert};
use std::time::Duration;
use uuid::Uuid;

/// Charges of one wallet within a day.
const CHARGES: usize = wallet::CHARGES_PER_DAY_MAX;
const DAY_MS: Millis = 24 * 3600 * 1000;

pub fn wallet(note: &mut dyn FnMut(&'static str, Duration)) -> anyhow::Result<()> {
    let mut shard = Shard::new();
    let user = user(1);
    let asks = |shard: &mut Shard, command| shard.run(Command::Wallet(user, command));
    let create = account::Command::Create { user, sealed: "s".into(), key: None };
    shard.run(Command::Account(AccountId(Uuid::from_u128(9)), create))?;
    let charge = |number: u128| wallet::Command::Charge {
        points: 1,
        reference: Some("r".repeat(wallet::REFERENCE_CHARS_MAX)),
        by: ChargedBy::Organizer,
        organizer: Some(ORGANIZER),
        day_points_max: u64::MAX,
        repeat: Repeat { key: Fingerprint(number), content: Fingerprint(number) },
    };
    let mut longest = Duration::ZERO;
    for number in 0..CHARGES {
        longest = longest.max(asks(&mut shard, charge(number as u128))?.0);
    }
    note("charge a wallet 10,000 times within a day: the longest", longest);
    let statement = |organizer| wallet::Command::Statement { organizer, before: None, limit: ENTRIES_SHOWN_MAX };
    note("its latest 1,000 movements", asks(&mut shard, statement(None))?.0);
    note("the same for an organizer", asks(&mut shard, statement(Some(ORGANIZER)))?.0);
    note("read it", asks(&mut shard, wallet::Command::Read)?.0);
    shard.now += DAY_MS;
    note("charge it a day later, when 10,000 are forgotten", asks(&mut shard, charge(u128::MAX))?.0);
    note("close it", asks(&mut shard, wallet::Command::Close)?.0);
    Ok(())
}

pub fn account(note: &mut dyn FnMut(&'static str, Duration)) -> anyhow::Result<()> {
    let mut shard = Shard::new();
    let (id, user, ttl_ms) = (AccountId(Uuid::from_u128(9)), user(1), DAY_MS);
    let asks = |shard: &mut Shard, command| shard.run(Command::Account(id, command));
    let sealed = "s".repeat(4_096);
    let create = account::Command::Create { user, sealed: sealed.clone(), key: Some(Fingerprint(1)) };
    note("create an account", asks(&mut shard, create)?.0);
    let mut longest = Duration::ZERO;
    for session in 0..2 * account::SESSIONS_ENDED_MAX as u128 {
        let end =
            account::Command::EndSession { user, session: Fingerprint(session), expires_at_ms: NOW + DAY_MS, ttl_ms };
        longest = longest.max(asks(&mut shard, end)?.0);
    }
    note("end 128 sessions: the longest", longest);
    let change = account::Command::ChangePassword { user, was: sealed.clone(), sealed: sealed + "t", ttl_ms };
    note("change its password", asks(&mut shard, change)?.0);
    note("sign in", asks(&mut shard, account::Command::SignIn)?.0);
    Ok(())
}

pub fn sellers(note: &mut dyn FnMut(&'static str, Duration)) -> anyhow::Result<()> {
    let mut shard = Shard::new();
    let name = "n".repeat(organizer::NAME_CHARS_MAX);
    let key = |number: usize| SecretKey {
        key_id: Uuid::from_u128(number as u128),
        prefix: "ok_12345678".into(),
        hash: Fingerprint(number as u128),
    };
    let asks = |shard: &mut Shard, command| shard.run(Command::Organizer(ORGANIZER, command));
    let create = organizer::Command::Create { name: name.clone(), key: key(0) };
    note("create an organizer", asks(&mut shard, create)?.0);
    let mut longest = Duration::ZERO;
    for number in 1..=organizer::KEYS_REVOKED_MAX + organizer::KEYS_LIVE_MAX {
        let text = Some("k".repeat(organizer::KEY_NAME_CHARS_MAX));
        let create = organizer::Command::CreateKey { key: key(number), name: text, repeat: None };
        longest = longest.max(asks(&mut shard, create)?.0);
        let revoke = organizer::Command::RevokeKey { key_id: key(number).key_id, by_operator: true };
        longest = longest.max(asks(&mut shard, revoke)?.0);
    }
    note("make and revoke 120 keys: the longest", longest);
    let provider = IdentityProvider {
        issuer: "i".repeat(ISSUER_CHARS_MAX),
        audience: "a".repeat(AUDIENCE_CHARS_MAX),
        jwks: Jwks::Url(format!("https://{}", "u".repeat(JWKS_URL_CHARS_MAX - 8))),
        algorithms: vec![Algorithm::RS256],
        enabled: true,
    };
    let set = |provider: &IdentityProvider| organizer::Command::SetProvider {
        provider: Box::new(provider.clone()),
        expected: None,
    };
    note("set an identity provider by URL", asks(&mut shard, set(&provider))?.0);
    asks(&mut shard, organizer::Command::RemoveProvider)?;
    let padding = "x".repeat(JWKS_BYTES_MAX - 64);
    let keys = serde_json::json!({"keys": [], "padding": padding}).to_string();
    let provider = IdentityProvider { jwks: Jwks::Document(keys), ..provider };
    note("set an identity provider by 256 KiB of keys", asks(&mut shard, set(&provider))?.0);

    let text = || "c".repeat(concert::TEXT_CHARS_MAX);
    let id = ConcertId(Uuid::from_u128(4));
    let create = concert::Command::Create {
        organizer: ORGANIZER,
        title: text(),
        artist: text(),
        venue: text(),
        content: Fingerprint(1),
    };
    note("create a concert", shard.run(Command::Concert(id, create))?.0);
    let change = concert::Command::Change {
        organizer: ORGANIZER,
        expected: Expected::Any,
        title: Some("t".into()),
        artist: None,
        venue: None,
    };
    note("change a concert", shard.run(Command::Concert(id, change))?.0);
    Ok(())
}
