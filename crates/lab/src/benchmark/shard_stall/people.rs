//! Wallets, accounts, organizers and concerts: small, but each with as much as it may have.

use super::shard::{NOW, ORGANIZER, Shard, user};
use base::id::{AccountId, ConcertId, Millis};
use domain::organizer::provider::*;
use domain::organizer::{self, IdentityProvider, SecretKey};
use domain::process::sign_up;
use domain::wallet::{self, ChargedBy, history::ENTRIES_SHOWN_MAX};
use domain::{Expected, Fingerprint, IdempotencyRecord, account, concert};
use std::time::Duration;
use uuid::Uuid;

/// Charges of one wallet within a day.
const CHARGES: usize = wallet::CHARGES_PER_DAY_MAX;
const DAY_MS: Millis = 24 * 3600 * 1000;

pub fn wallet(note: &mut dyn FnMut(&'static str, Duration)) -> anyhow::Result<()> {
    let mut shard = Shard::new();
    let user = user(1);
    shard.asks(AccountId(Uuid::from_u128(9)), sign_up::Create { user, sealed: "s".into(), key: None })?;
    let charge = |number: u128| wallet::Charge {
        points: 1,
        reference: Some("r".repeat(wallet::REFERENCE_CHARS_MAX)),
        by: ChargedBy::Organizer,
        organizer: Some(ORGANIZER),
        day_points_max: u64::MAX,
        repeat: IdempotencyRecord { key: Fingerprint(number), content: Fingerprint(number) },
    };
    let mut longest = Duration::ZERO;
    for number in 0..CHARGES {
        longest = longest.max(shard.asks(user, charge(number as u128))?.0);
    }
    note("charge a wallet 10,000 times within a day: the longest", longest);
    let statement = |organizer| wallet::ReadStatement { organizer, before: None, limit: ENTRIES_SHOWN_MAX };
    note("its latest 1,000 movements", shard.asks(user, statement(None))?.0);
    note("the same for an organizer", shard.asks(user, statement(Some(ORGANIZER)))?.0);
    note("read it", shard.asks(user, wallet::Read)?.0);
    shard.now += DAY_MS;
    note("charge it a day later, when 10,000 are forgotten", shard.asks(user, charge(u128::MAX))?.0);
    note("close it", shard.asks(user, wallet::Close)?.0);
    Ok(())
}

pub fn account(note: &mut dyn FnMut(&'static str, Duration)) -> anyhow::Result<()> {
    let mut shard = Shard::new();
    let (id, user, ttl_ms) = (AccountId(Uuid::from_u128(9)), user(1), DAY_MS);
    let sealed = "s".repeat(4_096);
    let create = sign_up::Create { user, sealed: sealed.clone(), key: Some(Fingerprint(1)) };
    note("create an account", shard.asks(id, create)?.0);
    let mut longest = Duration::ZERO;
    for session in 0..2 * account::SESSIONS_ENDED_MAX as u128 {
        let end = account::EndSession { user, session: Fingerprint(session), expires_at_ms: NOW + DAY_MS, ttl_ms };
        longest = longest.max(shard.asks(id, end)?.0);
    }
    note("end 128 sessions: the longest", longest);
    let change = account::ChangePassword { user, was: sealed.clone(), sealed: sealed + "t", ttl_ms };
    note("change its password", shard.asks(id, change)?.0);
    note("sign in", shard.asks(id, sign_up::SignIn)?.0);
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
    let create = organizer::Create { name: name.clone(), key: key(0) };
    note("create an organizer", shard.asks(ORGANIZER, create)?.0);
    let mut longest = Duration::ZERO;
    for number in 1..=organizer::KEYS_REVOKED_MAX + organizer::KEYS_LIVE_MAX {
        let text = Some("k".repeat(organizer::KEY_NAME_CHARS_MAX));
        let create = organizer::CreateKey { key: key(number), name: text, repeat: None };
        longest = longest.max(shard.asks(ORGANIZER, create)?.0);
        let revoke = organizer::RevokeKey { key_id: key(number).key_id, by_operator: true };
        longest = longest.max(shard.asks(ORGANIZER, revoke)?.0);
    }
    note("make and revoke 120 keys: the longest", longest);
    let provider = IdentityProvider {
        issuer: "i".repeat(ISSUER_CHARS_MAX),
        audience: "a".repeat(AUDIENCE_CHARS_MAX),
        jwks: Jwks::Url(format!("https://{}", "u".repeat(JWKS_URL_CHARS_MAX - 8))),
        algorithms: vec![Algorithm::RS256],
        enabled: true,
    };
    let set = |provider: &IdentityProvider| organizer::SetProvider { provider: provider.clone(), expected: None };
    note("set an identity provider by URL", shard.asks(ORGANIZER, set(&provider))?.0);
    shard.asks(ORGANIZER, organizer::RemoveProvider)?;
    let padding = "x".repeat(JWKS_BYTES_MAX - 64);
    let keys = serde_json::json!({"keys": [], "padding": padding}).to_string();
    let provider = IdentityProvider { jwks: Jwks::Document(keys), ..provider };
    note("set an identity provider by 256 KiB of keys", shard.asks(ORGANIZER, set(&provider))?.0);

    let text = || "c".repeat(concert::TEXT_CHARS_MAX);
    let id = ConcertId(Uuid::from_u128(4));
    let create =
        concert::Create { organizer: ORGANIZER, title: text(), artist: text(), venue: text(), content: Fingerprint(1) };
    note("create a concert", shard.asks(id, create)?.0);
    let change = concert::Change {
        organizer: ORGANIZER,
        expected: Expected::Any,
        title: Some("t".into()),
        artist: None,
        venue: None,
    };
    note("change a concert", shard.asks(id, change)?.0);
    Ok(())
}
