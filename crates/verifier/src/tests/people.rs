//! Accounts and organizers: a log that holds, and the same with one thing wrong.

use super::fixture::{Line, line};
use super::{audit, check};
use crate::Kind;
use base::id::{AccountId, Category, Millis, StreamId, UserId};
use domain::account::{
    self, AccountCreated, AccountErased, ErasureFinished, PasswordChanged, SESSIONS_ENDED_MAX, SessionEnded,
    SessionsEnded,
};
use domain::organizer::provider::{Algorithm, IdentityProvider, Jwks};
use domain::organizer::{
    self, IdentityProviderRemoved, IdentityProviderSet, KEYS_LIVE_MAX, KeyCreated, KeyRevoked, KeyUsed,
    OrganizerCreated, OrganizerRenamed, SecretKey,
};
use domain::wallet::{self, PointsCharged, WalletClosed, WalletOpened};
use domain::{Fingerprint, IdempotencyRecord};
use serde_json::{Value, json};
use uuid::Uuid;

fn of_account(at_ms: Millis, event: account::Event) -> Line {
    line(StreamId { category: Category::Account, key: Uuid::from_u128(3) }, at_ms, &event)
}

fn of_organizer(event: organizer::Event) -> Line {
    line(StreamId { category: Category::Organizer, key: Uuid::from_u128(1) }, 0, &event)
}

fn created(at_ms: Millis, user: u128) -> Line {
    let user_id = UserId(Uuid::from_u128(user));
    of_account(at_ms, account::Event::AccountCreated(AccountCreated { user_id, sealed: "x".into(), key: None }))
}

fn ended(at_ms: Millis, session: u128) -> Line {
    let event = SessionEnded { session: Fingerprint(session), expires_at_ms: 1_000 };
    of_account(at_ms, account::Event::SessionEnded(event))
}

fn all_ended(at_ms: Millis) -> Line {
    let event = SessionsEnded { before_ms: at_ms + 1, until_ms: at_ms + 101 };
    of_account(at_ms, account::Event::SessionsEnded(event))
}

fn erased(at_ms: Millis, user: u128) -> Line {
    let user_id = UserId(Uuid::from_u128(user));
    let event = AccountErased { user_id, before_ms: at_ms + 1, until_ms: at_ms + 101 };
    of_account(at_ms, account::Event::AccountErased(event))
}

fn erasure_finished(at_ms: Millis, user: u128) -> Line {
    let user_id = UserId(Uuid::from_u128(user));
    of_account(at_ms, account::Event::ErasureFinished(ErasureFinished { user_id }))
}

fn of_wallet(at_ms: Millis, event: wallet::Event) -> Line {
    line(StreamId { category: Category::Wallet, key: Uuid::from_u128(7) }, at_ms, &event)
}

fn charged(at_ms: Millis) -> Line {
    let (charge_id, repeat) = (Uuid::from_u128(1), IdempotencyRecord { key: Fingerprint(1), content: Fingerprint(1) });
    let event = PointsCharged {
        charge_id,
        points: 5,
        balance: 5,
        reference: None,
        charged_by: None,
        organizer_id: None,
        repeat,
    };
    of_wallet(at_ms, wallet::Event::PointsCharged(event))
}

fn changed(at_ms: Millis) -> Line {
    of_account(at_ms, account::Event::PasswordChanged(PasswordChanged { sealed: "y".into() }))
}

fn secret(key: u128) -> SecretKey {
    SecretKey { key_id: Uuid::from_u128(key), prefix: "osk_".into(), hash: Fingerprint(key) }
}

fn key_created(key: u128) -> Line {
    of_organizer(organizer::Event::KeyCreated(KeyCreated { key: secret(key), name: None, repeat: None }))
}

fn revoked(key: u128) -> Line {
    of_organizer(organizer::Event::KeyRevoked(KeyRevoked { key_id: Uuid::from_u128(key) }))
}

fn used(key: u128) -> Line {
    of_organizer(organizer::Event::KeyUsed(KeyUsed { key_id: Uuid::from_u128(key), used_at_ms: 1 }))
}

fn removed() -> Line {
    of_organizer(organizer::Event::IdentityProviderRemoved(IdentityProviderRemoved {}))
}

pub fn good() -> Vec<Line> {
    let provider = IdentityProvider {
        issuer: "issuer".into(),
        audience: "audience".into(),
        jwks: Jwks::Document("{}".into()),
        algorithms: Algorithm::USUAL.to_vec(),
        enabled: true,
    };
    vec![
        created(1, 7),
        ended(2, 1),
        changed(3),
        all_ended(3),
        // 5
        ended(4, 1),
        erased(5, 7),
        created(6, 8),
        of_organizer(organizer::Event::OrganizerCreated(OrganizerCreated { name: "Seller".into(), key: secret(1) })),
        of_organizer(organizer::Event::OrganizerRenamed(OrganizerRenamed { name: "Sellers".into() })),
        // 10
        key_created(2),
        used(2),
        revoked(1),
        used(1),
        of_organizer(organizer::Event::IdentityProviderSet(IdentityProviderSet { provider })),
        // 15
        removed(),
        of_wallet(6, wallet::Event::WalletOpened(WalletOpened { account_id: AccountId(Uuid::from_u128(3)) })),
        of_wallet(6, wallet::Event::WalletClosed(WalletClosed { balance: 0 })),
        erasure_finished(7, 7),
    ]
}

fn then(position: usize, more: impl IntoIterator<Item = Line>) -> Vec<Line> {
    let mut lines = good();
    lines.truncate(position);
    lines.extend(more);
    lines
}

fn set(position: usize, field: &str, value: Value) -> Vec<Line> {
    let mut lines = good();
    lines[position - 1].data[field] = value;
    lines
}

#[test]
fn people_who_hold_are_counted() {
    let summary = audit(&good()).unwrap();
    let counts = (summary.users, summary.users_erased, summary.passwords_changed, summary.sessions_ended);
    assert_eq!((counts, summary.organizers), ((2, 1, 1, 2), 1));
}

#[test]
fn accounts_and_organizers() {
    let rules = Kind::RulesBroken;
    let many_sessions = (10..=10 + SESSIONS_ENDED_MAX as u128).map(|session| ended(7, session));
    let many_keys = (10..10 + KEYS_LIVE_MAX as u128).map(key_created);
    check(vec![
        ("an account twice", then(1, [created(2, 8)]), (2, rules, "account was created before")),
        ("a user twice", then(6, [created(6, 7)]), (7, rules, "was erased before")),
        ("a session of nobody", then(0, [ended(1, 1)]), (1, rules, "no account")),
        ("a session ended twice", then(2, [ended(3, 1)]), (3, rules, "ended before")),
        ("too many sessions ended", then(7, many_sessions), (72, rules, "too many")),
        ("sessions that might begin again", set(4, "before_ms", json!(3)), (4, rules, "begin again")),
        ("sessions ended earlier than before", then(5, [all_ended(2)]), (6, rules, "begin again")),
        ("sessions forgotten too early", set(4, "until_ms", json!(3)), (4, rules, "too early")),
        ("a log-out after the erasure", then(6, [ended(6, 9)]), (7, rules, "not any more")),
        ("a password after the erasure", then(6, [changed(6)]), (7, rules, "not any more")),
        ("an erasure twice", then(6, [erased(6, 7)]), (7, rules, "not any more")),
        ("another user erased", then(5, [erased(6, 9)]), (6, rules, "another user's")),
        ("an erasure finished of nobody", then(6, [erasure_finished(6, 8)]), (7, rules, "was not erased")),
        ("an erasure finished too early", then(16, [erasure_finished(8, 7)]), (17, rules, "can be charged")),
        ("an erasure finished twice", then(18, [erasure_finished(8, 7)]), (19, rules, "finished before")),
        ("a charge of a closed wallet", then(17, [charged(8)]), (18, rules, "closed before")),
        ("an organizer twice", then(8, [good().remove(7)]), (9, rules, "created before")),
        ("a key of nobody", then(7, [key_created(2)]), (8, rules, "not created before")),
        ("a key twice", then(10, [key_created(2)]), (11, rules, "the key was created")),
        ("a revoked key again", then(12, [key_created(1)]), (13, rules, "the key was created")),
        ("too many keys", then(9, many_keys), (29, rules, "too many valid keys")),
        ("a key revoked twice", then(12, [revoked(1)]), (13, rules, "not valid")),
        ("a key used that is not there", then(12, [used(5)]), (13, rules, "no such key")),
        ("a provider removed twice", then(15, [removed()]), (16, rules, "no identity provider")),
        ("no name", set(9, "name", json!(" ")), (9, rules, "empty")),
        (
            "a provider without algorithms",
            {
                let mut lines = good();
                lines[13].data["provider"]["algorithms"] = json!([]);
                lines
            },
            (14, rules, "algorithms"),
        ),
    ]);
}
