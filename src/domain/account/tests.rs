use super::*;
use crate::domain::testing::Story;

const ANN: UserId = UserId(Uuid::from_u128(0xa));

fn create(user: UserId, key: Option<u128>) -> Command {
    Command::Create { user, sealed: "sealed".into(), key: key.map(Fingerprint) }
}

/// One attempt a row: the command, and how many events it caused, or why it was refused.
#[test]
fn an_email_has_one_account() {
    let other = UserId(Uuid::from_u128(0xb));
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
            assert_eq!((answer.user, answer.sealed.as_str(), answer.created_at_ms), (ANN, "sealed", 52), "{place}");
            assert_eq!(answer.key, Some(Fingerprint(1)), "{place}");
        }
    }
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
