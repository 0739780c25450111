use super::*;
use crate::testing::Story;

const ANN: UserId = UserId(Uuid::from_u128(0xa));
const BOB: UserId = UserId(Uuid::from_u128(0xb));
const TTL_MS: Millis = 1_000;

fn create(user: UserId, key: Option<u128>) -> Command {
    Command::Create { user, sealed: "sealed".into(), key: key.map(Fingerprint) }
}

fn change(user: UserId, was: &str) -> Command {
    Command::ChangePassword { user, was: was.into(), sealed: "other".into(), ttl_ms: TTL_MS }
}

fn end(user: UserId, session: u128) -> Command {
    Command::EndSession { user, session: Fingerprint(session), expires_at_ms: 500, ttl_ms: TTL_MS }
}

fn end_all(user: UserId) -> Command {
    Command::EndSessions { user, ttl_ms: TTL_MS }
}

fn erase(user: UserId) -> Command {
    Command::Erase { user, ttl_ms: TTL_MS }
}

fn finish(user: UserId) -> Command {
    Command::FinishErasure { user }
}

fn found(answer: Answer) -> Found {
    match answer {
        Answer::Account(found) => found,
        Answer::Erased => panic!("erased"),
    }
}

/// One attempt a row: the command, and how many events it caused, or why it was refused.
#[test]
fn an_email_has_one_account() {
    let other = BOB;
    let table = [
        (Command::Read, Err(Rejection::UnknownAccount)),
        (Command::SignIn, Err(Rejection::UnknownAccount)),
        (create(ANN, Some(1)), Ok(1)),
        (create(ANN, Some(1)), Ok(0)),
        // A repeated request comes with a new user id and is sealed anew: the first ones stand.
        (create(other, Some(1)), Ok(0)),
        (create(other, Some(2)), Err(Rejection::EmailTaken)),
        (create(other, None), Err(Rejection::EmailTaken)),
        (Command::SignIn, Ok(0)),
        (Command::Read, Ok(0)),
    ];
    let mut story = Story::<Account>::new(Uuid::from_u128(0xacc));
    for (row, (command, then)) in table.into_iter().enumerate() {
        let answer = story.when(50 + row as u64, &command);
        let place = format!("row {row}: {command:?}");
        assert_eq!(answer.as_ref().map(|_| story.last.len()), then.as_ref().copied(), "{place}");
        if let Ok(answer) = answer {
            let answer = found(answer);
            assert_eq!((answer.user, answer.sealed.as_str(), answer.created_at_ms), (ANN, "sealed", 52), "{place}");
            assert_eq!((answer.key, answer.version), (Some(Fingerprint(1)), 1), "{place}");
        }
    }
}

/// One attempt a row: when, the command, the events' names or why it was refused.
#[test]
fn sessions_end_and_accounts_are_erased() {
    let unknown = || Err(Rejection::UnknownAccount);
    type Row = (Millis, Command, Result<&'static [&'static str], Rejection>);
    let table: [Row; 31] = [
        (1, end(ANN, 1), unknown()),
        (1, end_all(ANN), unknown()),
        (1, change(ANN, "sealed"), unknown()),
        (1, erase(ANN), unknown()),
        (1, create(ANN, Some(1)), Ok(&["AccountCreated.v1"])),
        (2, end(BOB, 1), unknown()),
        (2, end_all(BOB), unknown()),
        (2, change(BOB, "sealed"), unknown()),
        (2, erase(BOB), unknown()),
        (2, end(ANN, 1), Ok(&["SessionEnded.v1"])),
        (3, end(ANN, 1), Ok(&[])),
        (3, end(ANN, 2), Ok(&["SessionEnded.v1"])),
        (4, end_all(ANN), Ok(&["SessionsEnded.v1"])),
        (4, end_all(ANN), Ok(&["SessionsEnded.v1"])),
        (5, change(ANN, "wrong"), Err(Rejection::ChangedMeanwhile)),
        (5, change(ANN, "sealed"), Ok(&["PasswordChanged.v1", "SessionsEnded.v1"])),
        (5, change(ANN, "sealed"), Err(Rejection::ChangedMeanwhile)),
        (6, erase(ANN), Ok(&["AccountErased.v1"])),
        (7, erase(ANN), unknown()),
        (7, Command::Read, unknown()),
        (7, end(ANN, 3), unknown()),
        (7, change(ANN, "other"), unknown()),
        // The same e-mail, even with the same Idempotency-Key, is somebody new.
        (8, create(BOB, Some(1)), Ok(&["AccountCreated.v1"])),
        (9, erase(ANN), unknown()),
        (9, end(BOB, 3), Ok(&["SessionEnded.v1"])),
        (9, erase(BOB), Ok(&["AccountErased.v1"])),
        (9, finish(BOB), Ok(&["ErasureFinished.v1"])),
        (9, finish(BOB), Ok(&[])),
        (9, finish(ANN), Ok(&["ErasureFinished.v1"])),
        (9, create(ANN, None), Ok(&["AccountCreated.v1"])),
        (9, finish(ANN), Ok(&[])),
    ];
    let mut story = Story::<Account>::new(Uuid::from_u128(0xacc));
    for (row, (now, command, then)) in table.into_iter().enumerate() {
        let answer = story.when(now, &command);
        let names: Vec<&str> = story.last.iter().map(|event| crate::EventData::name(event)).collect();
        let place = format!("row {row}: {command:?}");
        assert_eq!(answer.as_ref().map(|_| names.as_slice()), then.as_ref().copied(), "{place}");
        if let Ok(Answer::Account(found)) = &answer {
            assert!(!story.state.ended().has(found.sessions_from_ms, || Fingerprint(99)), "{place}: new sessions hold");
        }
        let was_erased = story.last.iter().any(|event| matches!(event, Event::AccountErased(_)));
        assert_eq!(
            answer == Ok(Answer::Erased),
            was_erased || matches!(command, Command::FinishErasure { .. } if row < 29)
        );
    }
    assert!(story.state.erasing().is_empty());
}

/// Until it is finished an erasure is part of the state, also when somebody else has signed up with the e-mail.
#[test]
fn an_erasure_is_remembered_until_it_is_finished() {
    let mut story = Story::<Account>::new(Uuid::from_u128(0xacc));
    for (command, erasing) in [
        (create(ANN, None), vec![]),
        (erase(ANN), vec![ANN]),
        (create(BOB, None), vec![ANN]),
        (erase(BOB), vec![ANN, BOB]),
        (finish(ANN), vec![BOB]),
        (finish(BOB), vec![]),
    ] {
        story.when(1, &command).unwrap();
        assert_eq!(story.state.erasing(), erasing, "{command:?}");
    }
}

/// What began before the end is over, what begins after it holds: in the same millisecond, and when the clock is set back.
#[test]
fn a_session_that_begins_after_the_end_holds() {
    let mut story = Story::<Account>::new(Uuid::from_u128(0xacc));
    story.when(100, &create(ANN, None)).unwrap();
    let mut begun = vec![100];
    for now in [100, 100, 101, 50, 7, 2_000] {
        let answer = found(story.when(now, &end_all(ANN)).unwrap());
        let ended = story.state.ended();
        for old in &begun {
            assert!(ended.has(*old, || Fingerprint(0)), "begun at {old}, ended at {now}");
        }
        let new = now.max(answer.sessions_from_ms);
        assert!(!ended.has(new, || Fingerprint(0)), "begun at {new}, after the end at {now}");
        assert!(ended.until_ms >= new - 1 + TTL_MS);
        begun.push(new);
    }
}

#[test]
fn too_many_log_outs_are_one_from_everywhere() {
    let mut story = Story::<Account>::new(Uuid::from_u128(0xacc));
    story.when(1, &create(ANN, None)).unwrap();
    for session in 0..SESSIONS_ENDED_MAX as u128 {
        story.when(2, &end(ANN, session)).unwrap();
        assert!(matches!(story.last[..], [Event::SessionEnded(_)]));
    }
    // Those that would have ended by themselves make room.
    let mut later = story.when(600, &end(ANN, 1_000)).map(|_| story.last.clone()).unwrap();
    assert!(matches!(later[..], [Event::SessionEnded(_)]));
    assert_eq!(story.state.ended().sessions.len(), 1);
    for session in 2_000..2_000 + SESSIONS_ENDED_MAX as u128 {
        story.when(3, &end(ANN, session)).unwrap();
        later.clone_from(&story.last);
    }
    assert!(matches!(later[..], [Event::SessionsEnded(_)]));
    assert!(story.state.ended().sessions.is_empty());
}

#[test]
fn without_a_key_every_request_is_another() {
    let mut story = Story::<Account>::new(Uuid::from_u128(0xacc));
    assert!(story.when(1, &create(ANN, None)).is_ok());
    assert_eq!(story.when(2, &create(ANN, None)), Err(Rejection::EmailTaken));
    assert_eq!(story.when(3, &create(ANN, Some(1))), Err(Rejection::EmailTaken));
}

#[test]
fn an_account_gets_its_wallet() {
    let mut story = Story::<Account>::new(Uuid::from_u128(0xacc));
    let opens = |story: &Story<Account>, command: &Command, result| {
        story.state.follows(story.key, command, result).map(|command| format!("{command:?}"))
    };
    assert_eq!(opens(&story, &Command::SignIn, Err(&Rejection::UnknownAccount)), None);
    story.when(1, &create(ANN, None)).unwrap();
    let open = super::super::Command::Wallet(ANN, wallet::Command::Open { account: AccountId(story.key) });
    for command in [create(ANN, None), Command::SignIn] {
        assert_eq!(opens(&story, &command, Ok(())), Some(format!("{open:?}")));
    }
    assert_eq!(opens(&story, &Command::Read, Ok(())), None);
    assert_eq!(opens(&story, &create(ANN, None), Err(&Rejection::EmailTaken)), None);
}
