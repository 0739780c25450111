use super::*;
use crate::testing::Story;
use uuid::Uuid;

const ANN: UserId = UserId(Uuid::from_u128(0xa));

/// An account gets its wallet when it is made, when that is asked for again, and at each sign-in.
#[test]
fn an_account_gets_its_wallet() {
    let id = AccountId(Uuid::from_u128(0xacc));
    let (mut account, mut wallet) = (Story::<Account>::new(id.0), Story::<Wallet>::new(ANN.0));
    let create = |key: u128| Create { user: ANN, sealed: "sealed".into(), key: Some(Fingerprint(key)) };
    assert_eq!(account.step(1, &SignIn), Outcome::Told(Err(Rejection::UnknownAccount)));
    let open = To(ANN, OpenWallet { account: id });
    for events in [1, 0] {
        assert_eq!(account.step(2, &create(1)), Outcome::Next(open.clone()));
        assert_eq!(account.last.len(), events);
    }
    assert_eq!(account.step(3, &SignIn), Outcome::Next(open.clone()));
    assert_eq!(account.step(3, &create(2)), Outcome::Told(Err(Rejection::EmailTaken)));
    for events in [1, 0] {
        assert_eq!(wallet.step(4, &open.1), Outcome::Next(To(id, Opened)));
        assert_eq!(wallet.last.len(), events);
    }
    let Outcome::Told(Ok(found)) = account.step(5, &Opened) else { panic!("the account is there") };
    assert_eq!((found.user, found.created_at_ms), (ANN, 2));
    // Erased between the two.
    assert_eq!(Story::<Account>::new(id.0).step(6, &Opened), Outcome::Told(Err(Rejection::UnknownAccount)));
}
