use super::*;
use crate::process::sign_up::{self, Create, SignIn};
use crate::testing::coverage::{Coverage, Known, rejections};
use crate::testing::{Attempt, Story};
use crate::{Outcome, Step};
use uuid::Uuid;

const ANN: UserId = UserId(Uuid::from_u128(0xa));
const BOB: UserId = UserId(Uuid::from_u128(0xb));
const TTL_MS: Millis = 1_000;

rejections! {
    enums: ChangePasswordRejection, sign_up::Rejection;
    structs: UnknownAccount
}

fn create(user: UserId, key: Option<u128>) -> Create {
    Create { user, sealed: "sealed".into(), key: key.map(Fingerprint) }
}

fn change(user: UserId, was: &str) -> ChangePassword {
    ChangePassword { user, was: was.into(), sealed: "other".into(), ttl_ms: TTL_MS }
}

fn end(user: UserId, session: u128) -> EndSession {
    EndSession { user, session: Fingerprint(session), expires_at_ms: 500, ttl_ms: TTL_MS }
}

fn end_all(user: UserId) -> EndSessions {
    EndSessions { user, ttl_ms: TTL_MS }
}

fn erase(user: UserId) -> Erase {
    Erase { user, ttl_ms: TTL_MS }
}

fn finish(user: UserId) -> FinishErasure {
    FinishErasure { user }
}

/// A row's command.
fn row(step: impl Step<On = Account, Refusal: Known>) -> Attempt<Account> {
    Attempt::of(step)
}

/// One attempt a row: the command, and how many events it caused, or why it was refused.
#[test]
fn an_email_has_one_account() {
    let other = BOB;
    let table = [
        (row(Read), Err("UnknownAccount")),
        (row(SignIn), Err("UnknownAccount")),
        (row(create(ANN, Some(1))), Ok(1)),
        (row(create(ANN, Some(1))), Ok(0)),
        // A repeated request comes with a new user id and is sealed anew: the first ones stand.
        (row(create(other, Some(1))), Ok(0)),
        (row(create(other, Some(2))), Err("EmailTaken")),
        (row(create(other, None)), Err("EmailTaken")),
        (row(SignIn), Ok(0)),
        (row(Read), Ok(0)),
    ];
    let mut story = Story::<Account>::new(Uuid::from_u128(0xacc));
    for (row, (command, then)) in table.into_iter().enumerate() {
        let result = command.run(&mut story, 50 + row as u64);
        let place = format!("row {row}: {command:?}");
        assert_eq!(result.as_ref().map(|()| story.last.len()).map_err(String::as_str), then, "{place}");
        if result.is_ok() {
            let answer = story.state.found().expect("somebody has it");
            assert_eq!((answer.user, answer.sealed.as_str(), answer.created_at_ms), (ANN, "sealed", 52), "{place}");
            assert_eq!((answer.key, answer.version), (Some(Fingerprint(1)), 1), "{place}");
        }
    }
}

/// One attempt a row: when, the command, the events' names or why it was refused.
#[test]
fn sessions_end_and_accounts_are_erased() {
    let unknown = || Err("UnknownAccount");
    type Row = (Millis, Attempt<Account>, Result<&'static [&'static str], &'static str>);
    let table: [Row; 31] = [
        (1, row(end(ANN, 1)), unknown()),
        (1, row(end_all(ANN)), unknown()),
        (1, row(change(ANN, "sealed")), unknown()),
        (1, row(erase(ANN)), unknown()),
        (1, row(create(ANN, Some(1))), Ok(&["AccountCreated.v1"])),
        (2, row(end(BOB, 1)), unknown()),
        (2, row(end_all(BOB)), unknown()),
        (2, row(change(BOB, "sealed")), unknown()),
        (2, row(erase(BOB)), unknown()),
        (2, row(end(ANN, 1)), Ok(&["SessionEnded.v1"])),
        (3, row(end(ANN, 1)), Ok(&[])),
        (3, row(end(ANN, 2)), Ok(&["SessionEnded.v1"])),
        (4, row(end_all(ANN)), Ok(&["SessionsEnded.v1"])),
        (4, row(end_all(ANN)), Ok(&["SessionsEnded.v1"])),
        (5, row(change(ANN, "wrong")), Err("ChangedMeanwhile")),
        (5, row(change(ANN, "sealed")), Ok(&["PasswordChanged.v1", "SessionsEnded.v1"])),
        (5, row(change(ANN, "sealed")), Err("ChangedMeanwhile")),
        (6, row(erase(ANN)), Ok(&["AccountErased.v1"])),
        (7, row(erase(ANN)), unknown()),
        (7, row(Read), unknown()),
        (7, row(end(ANN, 3)), unknown()),
        (7, row(change(ANN, "other")), unknown()),
        // The same e-mail, even with the same Idempotency-Key, is somebody new.
        (8, row(create(BOB, Some(1))), Ok(&["AccountCreated.v1"])),
        (9, row(erase(ANN)), unknown()),
        (9, row(end(BOB, 3)), Ok(&["SessionEnded.v1"])),
        (9, row(erase(BOB)), Ok(&["AccountErased.v1"])),
        (9, row(finish(BOB)), Ok(&["ErasureFinished.v1"])),
        (9, row(finish(BOB)), Ok(&[])),
        (9, row(finish(ANN)), Ok(&["ErasureFinished.v1"])),
        (9, row(create(ANN, None)), Ok(&["AccountCreated.v1"])),
        (9, row(finish(ANN)), Ok(&[])),
    ];
    let mut story = Story::<Account>::new(Uuid::from_u128(0xacc));
    for (row, (now, command, then)) in table.into_iter().enumerate() {
        let result = command.run(&mut story, now);
        let names: Vec<&str> = story.last.iter().map(|event| crate::EventData::name(event)).collect();
        let place = format!("row {row}: {command:?}");
        assert_eq!(result.as_ref().map(|()| names.as_slice()).map_err(String::as_str), then, "{place}");
        if let Some(found) = story.state.found() {
            assert!(!story.state.ended().has(found.sessions_from_ms, || Fingerprint(99)), "{place}: new sessions hold");
        }
    }
    assert!(story.state.erasing().is_empty());
}

/// Until it is finished an erasure is part of the state, also when somebody else has signed up with the e-mail.
#[test]
fn an_erasure_is_remembered_until_it_is_finished() {
    let mut story = Story::<Account>::new(Uuid::from_u128(0xacc));
    for (command, erasing) in [
        (row(create(ANN, None)), vec![]),
        (row(erase(ANN)), vec![ANN]),
        (row(create(BOB, None)), vec![ANN]),
        (row(erase(BOB)), vec![ANN, BOB]),
        (row(finish(ANN)), vec![BOB]),
        (row(finish(BOB)), vec![]),
    ] {
        command.run(&mut story, 1).unwrap();
        assert_eq!(story.state.erasing(), erasing, "{command:?}");
    }
}

/// What began before the end is over, what begins after it holds: in the same millisecond, and when the clock is set back.
#[test]
fn a_session_that_begins_after_the_end_holds() {
    let mut story = Story::<Account>::new(Uuid::from_u128(0xacc));
    story.step(100, &create(ANN, None));
    let mut begun = vec![100];
    for now in [100, 100, 101, 50, 7, 2_000] {
        let answer = story.when(now, &end_all(ANN)).unwrap();
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
    story.step(1, &create(ANN, None));
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
    assert!(matches!(story.step(1, &create(ANN, None)), Outcome::Next(_)));
    assert_eq!(story.step(2, &create(ANN, None)), Outcome::Told(Err(sign_up::Rejection::EmailTaken)));
    assert_eq!(story.step(3, &create(ANN, Some(1))), Outcome::Told(Err(sign_up::Rejection::EmailTaken)));
}

#[test]
fn every_rejection_and_every_event_has_a_row() {
    let tests: [fn(); _] = [an_email_has_one_account, sessions_end_and_accounts_are_erased];
    Coverage::of(&tests).assert_complete::<Event>(REJECTIONS, &[]);
}
