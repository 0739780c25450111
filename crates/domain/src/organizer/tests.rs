use super::provider::{Algorithm, Jwks};
use super::*;
use crate::Expected;
use crate::testing::coverage::{Coverage, rejections};
use crate::testing::{Attempt, Story};

rejections! {
    enums: CreateRejection, RenameRejection, CreateKeyRejection, RevokeKeyRejection, SetProviderRejection;
    structs: UnknownOrganizer, UnknownKey
}

fn secret(key: u128) -> SecretKey {
    SecretKey { key_id: Uuid::from_u128(key), prefix: "osk_abc".into(), hash: Fingerprint(key) }
}

fn create(name: &str) -> Create {
    Create { name: name.into(), key: secret(1) }
}

fn key(key: u128, name: Option<&str>, repeat: Option<u128>) -> CreateKey {
    CreateKey { key: secret(key), name: name.map(String::from), repeat: repeat.map(Fingerprint) }
}

fn revoke(key: u128, by_operator: bool) -> RevokeKey {
    RevokeKey { key_id: Uuid::from_u128(key), by_operator }
}

fn note(key: u128, at_ms: Millis) -> NoteUse {
    NoteUse { key_id: Uuid::from_u128(key), at_ms }
}

fn rename(name: &str, version: u64) -> Rename {
    Rename { name: name.into(), expected: Expected::OneOf(vec![version]) }
}

fn provider(change: impl FnOnce(&mut IdentityProvider)) -> IdentityProvider {
    let mut provider = IdentityProvider {
        issuer: "https://issuer".into(),
        audience: "audience".into(),
        jwks: Jwks::Url("https://issuer/jwks".into()),
        algorithms: Algorithm::USUAL.to_vec(),
        enabled: true,
    };
    change(&mut provider);
    provider
}

fn set(version: Option<u64>) -> SetProvider {
    let expected = version.map(|version| Expected::OneOf(vec![version]));
    SetProvider { provider: provider(|_| ()), expected }
}

/// One attempt a row: the command, and how many events or why not. Versions count the events.
#[test]
fn organizers_keys_and_providers() {
    const HOUR: Millis = KEY_USE_RECORDED_EVERY_MS;
    let long = "x".repeat(101);
    let (full, name_out) = ("é".repeat(200), Err("NameOutOfRange"));
    let (unknown_key, last_key, key_reused) = (Err("UnknownKey"), Err("LastKey"), Err("KeyReused"));
    let table = [
        (Attempt::of(Describe), Err("UnknownOrganizer")),
        (Attempt::of(key(2, None, None)), Err("UnknownOrganizer")),
        (Attempt::of(rename("New", 1)), Err("UnknownOrganizer")),
        (Attempt::of(revoke(1, true)), Err("UnknownOrganizer")),
        (Attempt::of(set(None)), Err("UnknownOrganizer")),
        (Attempt::of(RemoveProvider), Err("UnknownOrganizer")),
        (Attempt::of(create("")), name_out),
        (Attempt::of(create("\t ")), name_out),
        (Attempt::of(create("a\nb")), name_out),
        (Attempt::of(create(&"x".repeat(201))), name_out),
        (Attempt::of(create(&full)), Ok(1)),
        (Attempt::of(create("Second")), key_reused),
        (Attempt::of(create("")), key_reused),
        (Attempt::of(create(&full)), Ok(0)),
        (Attempt::of(Describe), Ok(0)),
        (Attempt::of(rename("New", 2)), Err("Changed { version: 1 }")),
        (Attempt::of(rename("", 1)), name_out),
        (Attempt::of(rename("New", 1)), Ok(1)),
        (Attempt::of(rename("New", 1)), Err("Changed { version: 2 }")),
        (Attempt::of(rename("New", 2)), Ok(0)),
        (Attempt::of(revoke(2, false)), unknown_key),
        (Attempt::of(revoke(1, false)), last_key),
        (Attempt::of(key(2, Some(&long), None)), name_out),
        (Attempt::of(key(2, Some(" "), None)), name_out),
        (Attempt::of(key(2, Some("box office"), Some(5))), Ok(1)),
        (Attempt::of(key(3, Some("box office"), Some(5))), Ok(0)),
        (Attempt::of(key(3, None, Some(5))), key_reused),
        (Attempt::of(note(9, 1)), unknown_key),
        (Attempt::of(note(2, HOUR)), Ok(1)),
        (Attempt::of(note(2, 2 * HOUR - 1)), Ok(0)),
        (Attempt::of(note(2, 2 * HOUR)), Ok(1)),
        (Attempt::of(revoke(1, false)), Ok(1)),
        (Attempt::of(revoke(1, false)), Ok(0)),
        (Attempt::of(revoke(2, false)), last_key),
        (Attempt::of(revoke(2, true)), Ok(1)),
        (Attempt::of(revoke(2, true)), Ok(0)),
        // The uses and the keys are not what a name's version counts.
        (Attempt::of(rename("Other", 2)), Ok(1)),
        (Attempt::of(RemoveProvider), Ok(0)),
        (Attempt::of(set(Some(1))), Err("Changed { version: 0 }")),
        (Attempt::of(set(None)), Ok(1)),
        (Attempt::of(set(None)), Err("ProviderThere { version: 9 }")),
        (Attempt::of(set(Some(8))), Err("Changed { version: 9 }")),
        (Attempt::of(set(Some(9))), Ok(1)),
        (Attempt::of(RemoveProvider), Ok(1)),
        (Attempt::of(set(None)), Ok(1)),
    ];
    let mut story = Story::<Organizer>::new(Uuid::from_u128(1));
    for (row, (attempt, then)) in table.into_iter().enumerate() {
        let ran = attempt.run(&mut story, 50).map(|()| story.last.len());
        assert_eq!(ran, then.map_err(String::from), "row {row}: {attempt:?}");
    }
    let described = story.when(50, &Describe).unwrap();
    assert_eq!((described.id, described.created_at_ms, described.repeated), (OrganizerId(story.key), 50, false));
    assert_eq!(described.keys[0].key, secret(1));
}

#[test]
fn a_repeated_key_is_the_same_key() {
    let mut story = Story::<Organizer>::new(Uuid::from_u128(1));
    story.when(1, &create("Name")).unwrap();
    let first = story.when(2, &key(2, None, Some(5))).unwrap();
    let again = story.when(3, &key(3, None, Some(5))).unwrap();
    assert_eq!((first.repeated, again.repeated), (false, true));
    assert_eq!(first.keys, again.keys);
}

#[test]
fn a_repeated_creation_is_answered_as_the_first_one() {
    let mut story = Story::<Organizer>::new(Uuid::from_u128(1));
    let first = story.when(1, &create("Name")).unwrap();
    story.when(2, &rename("New name", 1)).unwrap();
    story.when(3, &key(2, None, None)).unwrap();
    story.when(4, &revoke(1, false)).unwrap();
    let again = story.when(5, &create("Name")).unwrap();
    assert_eq!((&again.name, again.version, again.repeated), (&first.name, first.version, true));
    assert_eq!(story.when(6, &Describe).unwrap().name, "New name");
    assert_eq!(story.when(7, &create("New name")), Err(CreateRejection::KeyReused));
    let other_key = Create { name: "Name".into(), key: secret(9) };
    assert_eq!(story.when(8, &other_key), Err(CreateRejection::KeyReused));
}

#[test]
fn keys_are_bounded() {
    let mut story = Story::<Organizer>::new(Uuid::from_u128(1));
    story.when(1, &create("Name")).unwrap();
    for number in 2..=KEYS_LIVE_MAX as u128 {
        story.when(1, &key(number, None, None)).unwrap();
    }
    assert_eq!(story.when(1, &key(99, None, None)), Err(CreateKeyRejection::TooManyKeys { limit: KEYS_LIVE_MAX }));
    for number in 1_000..1_200 {
        story.when(number as u64, &revoke(if number == 1_000 { 1 } else { number - 1 }, false)).unwrap();
        story.when(number as u64, &key(number, None, Some(number))).unwrap();
    }
    let answer = story.when(2_000, &Describe).unwrap();
    assert_eq!(answer.keys.len(), KEYS_LIVE_MAX + KEYS_REVOKED_MAX);
    assert_eq!(answer.keys_ever, KEYS_LIVE_MAX as u64 + 200);
    // The ones that were revoked first are forgotten.
    assert!(answer.keys.iter().all(|key| key.key.key_id != Uuid::from_u128(1)));
    assert_eq!(story.when(2_000, &revoke(1, false)), Err(RevokeKeyRejection::UnknownKey));
}

#[test]
fn a_provider_must_make_sense() {
    let long = || "x".repeat(2001);
    let table = [
        (provider(|_| ()), None),
        (provider(|provider| provider.issuer = String::new()), Some("issuer")),
        (provider(|provider| provider.issuer = long()), Some("issuer")),
        (provider(|provider| provider.audience = "a\nb".into()), Some("audience")),
        (provider(|provider| provider.audience = long()), Some("audience")),
        (provider(|provider| provider.jwks = Jwks::Url(long())), Some("jwks_url")),
        (provider(|provider| provider.jwks = Jwks::Document("x".repeat((256 << 10) + 1))), Some("jwks")),
        (provider(|provider| provider.algorithms = vec![]), Some("algorithms")),
        (provider(|provider| provider.algorithms = vec![Algorithm::RS256; 2]), Some("algorithms")),
    ];
    for (row, (provider, field)) in table.into_iter().enumerate() {
        let mut story = Story::<Organizer>::new(Uuid::from_u128(1));
        story.when(1, &create("Name")).unwrap();
        let answer = story.when(2, &SetProvider { provider, expected: None });
        let refused = match answer {
            Err(SetProviderRejection::Invalid(invalid)) => Some(invalid.field),
            other => other.map(|_| None).unwrap(),
        };
        assert_eq!(refused, field.map(String::from), "row {row}");
    }
}

#[test]
fn a_provider_keeps_its_place_while_it_names_the_same() {
    let mut story = Story::<Organizer>::new(Uuid::from_u128(1));
    story.when(1, &create("Name")).unwrap();
    let mut put = |at_ms, provider| {
        let expected = story.state.created.as_ref().unwrap().provider.as_ref().map(|_| Expected::Any);
        story.when(at_ms, &SetProvider { provider, expected }).unwrap().provider.unwrap().since_ms
    };
    assert_eq!(put(2, provider(|_| ())), 2);
    assert_eq!(put(3, provider(|provider| provider.enabled = false)), 2);
    assert_eq!(put(4, provider(|provider| provider.audience = "other".into())), 4);
}

#[test]
fn every_rejection_and_every_event_has_a_row() {
    let tests: [fn(); _] = [organizers_keys_and_providers, keys_are_bounded, a_provider_must_make_sense];
    Coverage::of(&tests).assert_complete::<Event>(REJECTIONS, &[]);
}
