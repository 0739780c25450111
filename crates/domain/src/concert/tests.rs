use super::*;
use crate::Expected;
use crate::testing::Story;
use crate::testing::coverage::{Coverage, rejections};
use uuid::Uuid;

const SELLER: OrganizerId = OrganizerId(Uuid::from_u128(1));

rejections! {
    enums: CreateRejection, ChangeRejection;
    structs: UnknownConcert
}

fn create(organizer: OrganizerId, texts: [&str; 3], content: u128) -> Create {
    let [title, artist, venue] = texts.map(String::from);
    Create { organizer, title, artist, venue, content: Fingerprint(content) }
}

#[test]
fn a_repeated_creation_is_answered_as_the_first_one() {
    let mut story = Story::<Concert>::new(Uuid::from_u128(3));
    let texts = ["Title", "Artist", "Hall"];
    let first = story.when(50, &create(SELLER, texts, 1)).unwrap();
    let change = |title: &str, venue: &str| Change {
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
        assert_eq!(again, Description { repeated: true, ..first.clone() }, "after {title}, {venue}");
        assert_eq!(story.when(80, &Describe).unwrap(), changed);
    }
}

/// One attempt a row: the command, and whether it was a repeated one, or why it was refused.
#[test]
fn a_concert_is_announced_once() {
    use CreateRejection::{KeyReused, TextOutOfRange as Out};
    let rival = OrganizerId(Uuid::from_u128(2));
    let long = "x".repeat(201);
    let out = |field| Err(Out(TextOutOfRange { field }));
    let table = [
        (create(SELLER, ["", "Artist", "Hall"], 1), out("title")),
        (create(SELLER, ["Title", " ", "Hall"], 1), out("artist")),
        (create(SELLER, ["Title", "Artist", &long], 1), out("venue")),
        (create(SELLER, ["Ti\u{7}tle", "Artist", "Hall"], 1), out("title")),
        (create(SELLER, ["Title", "Artist", "Hall"], 1), Ok(false)),
        (create(SELLER, ["Title", "Artist", "Hall"], 1), Ok(true)),
        (create(SELLER, ["Other", "Artist", "Hall"], 2), Err(KeyReused)),
        (create(rival, ["Title", "Artist", "Hall"], 1), Err(KeyReused)),
    ];
    let mut story = Story::<Concert>::new(Uuid::from_u128(3));
    assert_eq!(story.when(50, &Describe), Err(UnknownConcert));
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
    let described = story.when(50, &Describe).unwrap();
    assert_eq!((described.title.as_str(), described.repeated), ("Title", false));
}

/// One attempt a row: who changes the title of which version to what, and the version after it, or why not.
#[test]
fn a_concert_is_changed_by_its_organizer() {
    use ChangeRejection::{Changed, TextOutOfRange as Out, UnknownConcert};
    let rival = OrganizerId(Uuid::from_u128(2));
    let mut story = Story::<Concert>::new(Uuid::from_u128(3));
    let change = |organizer, version, title: &str| Change {
        organizer,
        expected: Expected::OneOf(vec![version]),
        title: Some(title.into()),
        artist: None,
        venue: None,
    };
    assert_eq!(story.when(50, &change(SELLER, 1, "Encore")), Err(UnknownConcert));
    story.when(50, &create(SELLER, ["Title", "Artist", "Hall"], 1)).unwrap();
    let table = [
        (change(rival, 1, "Encore"), Err(UnknownConcert)),
        (change(SELLER, 2, "Encore"), Err(Changed { version: 1 })),
        (change(SELLER, 1, " "), Err(Out(TextOutOfRange { field: "title" }))),
        (change(SELLER, 1, "Title"), Ok(1)),
        (change(SELLER, 1, "Encore"), Ok(2)),
        (change(SELLER, 1, "Encore"), Err(Changed { version: 2 })),
    ];
    for (row, (command, then)) in table.into_iter().enumerate() {
        let answer = story.when(60, &command);
        assert_eq!(answer.map(|answer| answer.version), then, "row {row}: {command:?}");
    }
}

#[test]
fn every_rejection_and_every_event_has_a_row() {
    let tests: [fn(); _] = [a_concert_is_announced_once, a_concert_is_changed_by_its_organizer];
    Coverage::of(&tests).assert_complete::<Event>(REJECTIONS, &[]);
}
