//! Who may join, and with what.

use super::*;

#[test]
pub fn who_may_join() {
    use Credential as C;
    let (visitor, nobody) = (Person::Visitor("v".into()), Person::Anonymous(None));
    let credentials = [
        (C::Account, user(7)),
        (C::Identity, user(8)),
        (C::Visitor, visitor.clone()),
        (C::Token(Fingerprint(1)), visitor),
        (C::Nothing, nobody),
    ];
    let table = [
        (JoinPolicy::Anyone, [true, true, true, true, true]),
        (JoinPolicy::Account, [true, true, false, false, false]),
        (JoinPolicy::Identity, [false, true, false, false, false]),
        (JoinPolicy::Visitor, [false, false, true, false, false]),
        (JoinPolicy::Token, [false, false, false, true, false]),
    ];
    for (join, allowed) in table {
        for ((by, person), allowed) in credentials.clone().into_iter().zip(allowed) {
            let mut case = QueueCase::with(Terms { join, ..terms(at_most(2)) }, 0);
            let found = case.tell(&Join { person, by }).map(|joined| joined.ticket);
            assert_eq!(found, if allowed { Ok(1) } else { Err(JoinRejection::NotAllowed { join }) }, "{by:?}");
        }
    }
    // Whoever is in stays, whatever the rule becomes.
    let mut case = QueueCase::with(terms(at_most(1)), 2);
    case.tell(&Change { join: Some(JoinPolicy::Token), ..change() }).unwrap();
    assert_eq!((case.join(user(1)), case.join(user(2))), (Ok(1), Ok(2)));
    assert_eq!(case.join(user(3)), Err(JoinRejection::NotAllowed { join: JoinPolicy::Token }));
}

#[test]
pub fn a_token_opens_one_place() {
    let mut case = QueueCase::with(Terms { join: JoinPolicy::Token, ..terms(at_most(1)) }, 0);
    let mut join = |visitor: &str, token| {
        let by = Credential::Token(Fingerprint(token));
        case.tell(&Join { person: Person::Visitor(visitor.into()), by }).map(|joined| (joined.ticket, joined.repeated))
    };
    assert_eq!(join("ann", 1), Ok((1, false)));
    assert_eq!(join("ann", 1), Ok((1, true)), "the same request again");
    assert_eq!(join("ann", 2), Ok((1, true)), "one place a person");
    assert_eq!(join("bob", 1), Err(JoinRejection::TokenUsed));
    assert_eq!(join("bob", 3), Ok((2, false)));
    assert_eq!(join("eve", 2), Ok((3, false)), "nobody had joined with it");
    case.tell(&Leave { ticket: 1 }).unwrap();
    let mut join = |token| {
        let by = Credential::Token(Fingerprint(token));
        case.tell(&Join { person: Person::Visitor("ann".into()), by }).map(|joined| joined.ticket)
    };
    assert_eq!((join(1), join(2), join(4)), (Err(JoinRejection::TokenUsed), Err(JoinRejection::TokenUsed), Ok(4)));
}
