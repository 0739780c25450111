use super::*;
use crate::testing::Story;

const SELLER: OrganizerId = OrganizerId(Uuid::from_u128(1));

fn create(organizer: OrganizerId, texts: [&str; 3], content: u128) -> Command {
    let [title, artist, venue] = texts.map(String::from);
    Command::Create { organizer, title, artist, venue, content: Fingerprint(content) }
}

#[test]
fn a_repeated_creation_is_answered_as_the_first_one() {
    let mut story = Story::<Concert>::new(Uuid::from_u128(3));
    let texts = ["Title", "Artist", "Hall"];
    let first = story.when(50, &create(SELLER, texts, 1)).unwrap();
    let change = |title: &str, venue: &str| Command::Change {
        organizer: SELLER,
        expected: Expected::Any,
        title: Some(title.into()),
        artist: None,
        venue: Some(venue.into()),
    };
    for (at, (title, venue)) in [("Encore", "Hall"), ("Encore", "Park"), ("Title", "Hall")].into_iter().enumerate() {
        let changed = story.when(60 + at as u64, &change(title, venue)).unwrap();
        assert_eq!((changed.title.as_str(), changed.venue.as_str(), changed.repeated), (title, venue, false));
        let again = story.when(70 + at as u64, &create(SELLER, texts, 1)).unwrap();
        assert_eq!(again, Answer { repeated: true, ..first.clone() }, "after {title}, {venue}");
        assert_eq!(story.when(80, &Command::Read).unwrap(), changed);
    }
}

/// One attempt a row: the command, and whether it was a repeated one, or why it was refused.
#[test]
fn a_concert_is_announced_once() {
    let rival = OrganizerId(Uuid::from_u128(2));
    let long = "x".repeat(201);
    let out = |field| Err(Rejection::TextOutOfRange { field });
    let table = [
        (Command::Read, Err(Rejection::UnknownConcert)),
        (create(SELLER, ["", "Artist", "Hall"], 1), out("title")),
        (create(SELLER, ["Title", " ", "Hall"], 1), out("artist")),
        (create(SELLER, ["Title", "Artist", &long], 1), out("venue")),
        (create(SELLER, ["Ti\u{7}tle", "Artist", "Hall"], 1), out("title")),
        (create(SELLER, ["Title", "Artist", "Hall"], 1), Ok(false)),
        (create(SELLER, ["Title", "Artist", "Hall"], 1), Ok(true)),
        (create(SELLER, ["Other", "Artist", "Hall"], 2), Err(Rejection::KeyReused)),
        (create(rival, ["Title", "Artist", "Hall"], 1), Err(Rejection::KeyReused)),
        (Command::Read, Ok(false)),
    ];
    let mut story = Story::<Concert>::new(Uuid::from_u128(3));
    for (row, (command, then)) in table.into_iter().enumerate() {
        let answer = story.when(50, &command);
        let place = format!("row {row}: {command:?}");
        assert_eq!(answer.as_ref().map(|answer| answer.repeated), then.as_ref().copied(), "{place}");
        if let Ok(answer) = answer {
            let shown = (answer.title.as_str(), answer.artist.as_str(), answer.venue.as_str());
            assert_eq!(shown, ("Title", "Artist", "Hall"), "{place}");
            assert_eq!((answer.organizer, answer.id, answer.created_at_ms), (SELLER, ConcertId(story.key), 50));
        }
    }
}
