use super::provider::{Algorithm, Jwks};
use super::*;
use crate::testing::Story;

fn secret(key: u128) -> SecretKey {
    SecretKey { key_id: Uuid::from_u128(key), prefix: "osk_abc".into(), hash: Fingerprint(key) }
}

fn create(name: &str) -> Command {
    Command::Create { name: name.into(), key: secret(1) }
}

fn key(key: u128, name: Option<&str>, repeat: Option<u128>) -> Command {
    Command::CreateKey { key: secret(key), name: name.map(String::from), repeat: repeat.map(Fingerprint) }
}

fn revoke(key: u128, by_operator: bool) -> Command {
    Command::RevokeKey { key_id: Uuid::from_u128(key), by_operator }
}

fn note(key: u128, at_ms: Millis) -> Command {
    Command::NoteUse { key_id: Uuid::from_u128(key), at_ms }
}

fn rename(name: &str, version: u64) -> Command {
    Command::Rename { name: name.into(), expected: Expected::OneOf(vec![version]) }
}

fn provider(change: impl FnOnce(&mut IdentityProvider)) -> Box<IdentityProvider> {
    let mut provider = IdentityProvider {
        issuer: "https://issuer".into(),
        audience: "audience".into(),
        jwks: Jwks::Url("https://issuer/jwks".into()),
        algorithms: Algorithm::USUAL.to_vec(),
        enabled: true,
    };
    change(&mut provider);
    Box::new(provider)
}

fn set(version: Option<u64>) -> Command {
    let expected = version.map(|version| Expected::OneOf(vec![version]));
    Command::SetProvider { provider: provider(|_| ()), expected }
}

/// One attempt a row: the command, and how many events or why not. Versions count the events.
#[test]
fn organizers_keys_and_providers() {
    use Rejection::*;
    const HOUR: Millis = KEY_USE_RECORDED_EVERY_MS;
    let long = "x".repeat(101);
    let table = [
        (Command::Read, Err(UnknownOrganizer)),
        (key(2, None, None), Err(UnknownOrganizer)),
        (create(""), Err(NameOutOfRange)),
        (create("\t "), Err(NameOutOfRange)),
        (create("a\nb"), Err(NameOutOfRange)),
        (create(&"x".repeat(201)), Err(NameOutOfRange)),
        (create(&"é".repeat(200)), Ok(1)),
        (create("Second"), Err(KeyReused)),
        (create(""), Err(KeyReused)),
        (create(&"é".repeat(200)), Ok(0)),
        (Command::Read, Ok(0)),
        (rename("New", 2), Err(Changed { version: 1 })),
        (rename("", 1), Err(NameOutOfRange)),
        (rename("New", 1), Ok(1)),
        (rename("New", 1), Err(Changed { version: 2 })),
        (rename("New", 2), Ok(0)),
        (revoke(2, false), Err(UnknownKey)),
        (revoke(1, false), Err(LastKey)),
        (key(2, Some(&long), None), Err(KeyNameOutOfRange)),
        (key(2, Some(" "), None), Err(KeyNameOutOfRange)),
        (key(2, Some("box office"), Some(5)), Ok(1)),
        (key(3, Some("box office"), Some(5)), Ok(0)),
        (key(3, None, Some(5)), Err(KeyReused)),
        (note(9, 1), Err(UnknownKey)),
        (note(2, HOUR), Ok(1)),
        (note(2, 2 * HOUR - 1), Ok(0)),
        (note(2, 2 * HOUR), Ok(1)),
        (revoke(1, false), Ok(1)),
        (revoke(1, false), Ok(0)),
        (revoke(2, false), Err(LastKey)),
        (revoke(2, true), Ok(1)),
        (revoke(2, true), Ok(0)),
        // The uses and the keys are not what a name's version counts.
        (rename("Other", 2), Ok(1)),
        (Command::RemoveProvider, Ok(0)),
        (set(Some(1)), Err(Changed { version: 0 })),
        (set(None), Ok(1)),
        (set(None), Err(ProviderThere { version: 9 })),
        (set(Some(8)), Err(Changed { version: 9 })),
        (set(Some(9)), Ok(1)),
        (Command::RemoveProvider, Ok(1)),
        (set(None), Ok(1)),
    ];
    let mut story = Story::<Organizer>::new(Uuid::from_u128(1));
    for (row, (command, then)) in table.into_iter().enumerate() {
        let answer = story.when(50, &command);
        let place = format!("row {row}: {command:?}");
        assert_eq!(answer.as_ref().map(|_| story.last.len()), then.as_ref().copied(), "{place}");
        if let Ok(answer) = answer {
            assert_eq!((answer.id, answer.created_at_ms), (OrganizerId(story.key), 50), "{place}");
            assert_eq!(answer.keys[0].key, secret(1), "{place}");
            let repeats = matches!(command, Command::Create { .. } | Command::CreateKey { .. });
            assert_eq!(answer.repeated, repeats && story.last.is_empty(), "{place}");
        }
    }
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
    assert_eq!(story.when(6, &Command::Read).unwrap().name, "New name");
    assert_eq!(story.when(7, &create("New name")), Err(Rejection::KeyReused));
    let other_key = Command::Create { name: "Name".into(), key: secret(9) };
    assert_eq!(story.when(8, &other_key), Err(Rejection::KeyReused));
}

#[test]
fn keys_are_bounded() {
    let mut story = Story::<Organizer>::new(Uuid::from_u128(1));
    story.when(1, &create("Name")).unwrap();
    for number in 2..=KEYS_LIVE_MAX as u128 {
        story.when(1, &key(number, None, None)).unwrap();
    }
    assert_eq!(story.when(1, &key(99, None, None)), Err(Rejection::TooManyKeys { limit: KEYS_LIVE_MAX }));
    for number in 1_000..1_200 {
        story.when(number as u64, &revoke(if number == 1_000 { 1 } else { number - 1 }, false)).unwrap();
        story.when(number as u64, &key(number, None, Some(number))).unwrap();
    }
    let answer = story.when(2_000, &Command::Read).unwrap();
    assert_eq!(answer.keys.len(), KEYS_LIVE_MAX + KEYS_REVOKED_MAX);
    assert_eq!(answer.keys_ever, KEYS_LIVE_MAX as u64 + 200);
    // The ones that were revoked first are forgotten.
    assert!(answer.keys.iter().all(|key| key.key.key_id != Uuid::from_u128(1)));
    assert_eq!(story.when(2_000, &revoke(1, false)), Err(Rejection::UnknownKey));
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
        let answer = story.when(2, &Command::SetProvider { provider, expected: None });
        let refused = match answer {
            Err(Rejection::InvalidProvider(invalid)) => Some(invalid.field),
            other => other.map(|_| None).unwrap(),
        };
        assert_eq!(refused, field, "row {row}");
    }
}

#[test]
fn a_provider_keeps_its_place_while_it_names_the_same() {
    let mut story = Story::<Organizer>::new(Uuid::from_u128(1));
    story.when(1, &create("Name")).unwrap();
    let mut put = |at_ms, provider| {
        let expected = story.state.created.as_ref().unwrap().provider.as_ref().map(|_| Expected::Any);
        story.when(at_ms, &Command::SetProvider { provider, expected }).unwrap().provider.unwrap().since_ms
    };
    assert_eq!(put(2, provider(|_| ())), 2);
    assert_eq!(put(3, provider(|provider| provider.enabled = false)), 2);
    assert_eq!(put(4, provider(|provider| provider.audience = "other".into())), 4);
}
