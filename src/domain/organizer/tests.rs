use super::*;
use crate::domain::testing::Story;

fn create(name: &str) -> Command {
    let key = SecretKey { key_id: Uuid::from_u128(5), prefix: "osk_abc".into(), hash: Fingerprint(6) };
    Command::Create { name: name.into(), key }
}

/// One attempt a row: the command, and how many events or why not.
#[test]
fn an_organizer_is_known_by_its_key() {
    let authenticate = |hash| Command::Authenticate { hash: Fingerprint(hash) };
    let table = [
        (Command::Read, Err(Rejection::UnknownOrganizer)),
        (authenticate(6), Err(Rejection::UnknownOrganizer)),
        (create(""), Err(Rejection::NameOutOfRange)),
        (create("\t "), Err(Rejection::NameOutOfRange)),
        (create("a\nb"), Err(Rejection::NameOutOfRange)),
        (create(&"x".repeat(201)), Err(Rejection::NameOutOfRange)),
        (create(&"é".repeat(200)), Ok(1)),
        (create("Second"), Err(Rejection::AlreadyThere)),
        (create(""), Err(Rejection::AlreadyThere)),
        (authenticate(6), Ok(0)),
        (authenticate(7), Err(Rejection::WrongKey)),
        (Command::Read, Ok(0)),
    ];
    let mut story = Story::<Organizer>::new(Uuid::from_u128(1));
    for (row, (command, then)) in table.into_iter().enumerate() {
        let answer = story.when(50, &command);
        let place = format!("row {row}: {command:?}");
        assert_eq!(answer.as_ref().map(|_| story.last.len()), then.as_ref().copied(), "{place}");
        if let Ok(answer) = answer {
            assert_eq!((answer.id, answer.created_at_ms), (OrganizerId(story.key), 50), "{place}");
            assert_eq!((answer.key.prefix.as_str(), answer.key.hash), ("osk_abc", Fingerprint(6)), "{place}");
        }
    }
}
