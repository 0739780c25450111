//! Payments and cancellations: the performance's half of a purchase.

use super::fixture::*;
use crate::command::To;
use crate::performance::reservation::State;
use crate::performance::{ReadReservation, Refusal, Rejection};
use crate::process::purchase::{self, Cancel, GiveBack, Pay, Spend};
use crate::testing::reloaded;
use crate::{Aggregate, Outcome, Owes};

pub fn tables() -> Vec<Table> {
    vec![payment(), refusals(), too_late(), cancellation(), cut_off(), refunded(), strangers(), late_news()]
}

fn held() -> (u64, Request, Then) {
    (at(0), hold(ANN, seats("A-1-1")), Events("r1 ann held A-1-1 for 300p until 300, 14 left"))
}

fn wrong(state: State) -> Then {
    Refused(Rejection::WrongState { state })
}

fn finish() -> Request {
    finish_refund(r(1))
}

fn payment() -> Table {
    table(
        "payment",
        vec![
            held(),
            (at(300) - 1, pay(ANN, r(1)), Events("r1 pays 300p until 359.999, 1 ms left")),
            // A second attempt waits for the first.
            (at(300), pay(ANN, r(1)), wrong(State::Paying)),
            (at(300), cancel(ANN, r(1)), wrong(State::Paying)),
            (at(301), confirm(r(1)), Events("r1 confirmed A-1-1 for 300p")),
            // Paying twice is paying once.
            (at(301), pay(ANN, r(1)), Events("")),
            (at(301), confirm(r(1)), Events("")),
            (at(99_999), pay(ANN, r(1)), Events("")),
            (
                at(99_999),
                hold(BOB, seats("A-1-1")),
                Refused(Rejection::SeatsTaken { seats: labels("A-1-1"), replacement: None }),
            ),
        ],
    )
}

fn short(expires_at_ms: u64) -> Rejection {
    Rejection::InsufficientPoints { balance: 7, required: 300, expires_at_ms }
}

fn refusals() -> Table {
    let refused = |deadline| refuse(r(1), Refusal::InsufficientPoints, deadline);
    table(
        "refused for want of points",
        vec![
            held(),
            // The time that was left goes on from the refusal,
            (at(100), pay(ANN, r(1)), Events("r1 pays 300p until 160, 200000 ms left")),
            (
                at(110),
                refused(160),
                RefusedAfter("r1 refused InsufficientPoints 7p of 300p, until 310", short(at(310))),
            ),
            // and it is told once.
            (at(110), pay(ANN, r(1)), Events("r1 pays 300p until 170, 200000 ms left")),
            // A refusal of the first attempt is not one of the second.
            (at(111), refused(160), RefusedAfter("", short(at(310)))),
            (
                at(111),
                refused(170),
                RefusedAfter("r1 refused InsufficientPoints 7p of 300p, until 311", short(at(311))),
            ),
            // At least 60 s are left, so that the user can charge and try again.
            (at(310), pay(ANN, r(1)), Events("r1 pays 300p until 370, 1000 ms left")),
            (
                at(310),
                refused(370),
                RefusedAfter("r1 refused InsufficientPoints 7p of 300p, until 370", short(at(370))),
            ),
            (at(370) - 1, pay(ANN, r(1)), Events("r1 pays 300p until 429.999, 1 ms left")),
            (at(380), confirm(r(1)), Events("r1 confirmed A-1-1 for 300p")),
        ],
    )
}

fn too_late() -> Table {
    table(
        "refused because it took too long",
        vec![
            held(),
            (at(10), pay(ANN, r(1)), Events("r1 pays 300p until 70, 290000 ms left")),
            (
                at(70),
                refuse(r(1), Refusal::TooLate, 70),
                RefusedAfter(
                    "r1 refused TooLate 7p of 300p, until 360",
                    Rejection::PaymentTimedOut { expires_at_ms: at(360) },
                ),
            ),
            (at(71), cancel(ANN, r(1)), Events("r1 released A-1-1, 15 left")),
        ],
    )
}

fn cancellation() -> Table {
    table(
        "cancellation",
        vec![
            held(),
            (at(1), finish(), Events("")),
            (at(1), pay(ANN, r(1)), Events("r1 pays 300p until 61, 299000 ms left")),
            (at(2), finish(), Events("")),
            (at(2), confirm(r(1)), Events("r1 confirmed A-1-1 for 300p")),
            (at(2), finish(), Events("")),
            (at(3), cancel(ANN, r(1)), Events("r1 cancels 300p")),
            (at(3), cancel(ANN, r(1)), Events("")),
            // The seat is free when the points are back, not before.
            (
                at(3),
                hold(BOB, seats("A-1-1")),
                Refused(Rejection::SeatsTaken { seats: labels("A-1-1"), replacement: None }),
            ),
            (at(3), pay(ANN, r(1)), wrong(State::Cancelling)),
            (at(3), extend(ANN, r(1)), wrong(State::Cancelling)),
            (at(4), finish(), Events("r1 cancelled A-1-1, 15 left")),
            (at(4), finish(), Events("")),
            (at(4), cancel(ANN, r(1)), Events("")),
            (at(4), pay(ANN, r(1)), wrong(State::Cancelled)),
            (at(4), extend(ANN, r(1)), wrong(State::Cancelled)),
            (at(5), hold(BOB, seats("A-1-1")), Events("r2 bob held A-1-1 for 300p until 305, 14 left")),
            (at(5), finish(), Events("")),
            (at(5), confirm(r(1)), Events("")),
        ],
    )
}

fn cut_off() -> Table {
    let closed = || Rejection::CancellationClosed { closed_at_ms: at(CANCELLABLE) };
    table(
        "the cancellation's cut-off",
        vec![
            (at(0), hold(ANN, floor(1)), Events("r1 ann held Floorx1 for 50p until 300, 14 left")),
            (at(0), hold(ANN, floor(1)), Events("r2 ann held Floorx1 for 50p until 300, 13 left")),
            (at(1), pay(ANN, r(1)), Events("r1 pays 50p until 61, 299000 ms left")),
            (at(1), confirm(r(1)), Events("r1 confirmed Floorx1 for 50p")),
            (at(1), pay(ANN, r(2)), Events("r2 pays 50p until 61, 299000 ms left")),
            (at(1), confirm(r(2)), Events("r2 confirmed Floorx1 for 50p")),
            (at(CANCELLABLE) - 1, cancel(ANN, r(1)), Events("r1 cancels 50p")),
            (at(CANCELLABLE), cancel(ANN, r(2)), Refused(closed())),
            // What was begun in time is finished.
            (at(CANCELLABLE), cancel(ANN, r(1)), Events("")),
            (at(CANCELLABLE), finish(), Events("r1 cancelled Floorx1, 14 left")),
            (at(CANCELLABLE), cancel(ANN, r(1)), Events("")),
            // A hold can be given up at any time.
            (at(CANCELLABLE), hold(ANN, floor(1)), Events("r3 ann held Floorx1 for 50p until 173100, 13 left")),
            (at(CANCELLABLE), cancel(ANN, r(3)), Events("r3 released Floorx1, 14 left")),
        ],
    )
}

fn refunded() -> Table {
    let because = |reason: &str| {
        let reason = reason.into();
        Request::of(purchase::Refund { organizer: SELLER, reservation: r(1), reason })
    };
    let no_reason = || {
        let reason = "must have 1 to 200 characters and none that are invisible or of control".into();
        Refused(Rejection::Invalid(crate::performance::seats::chart::Invalid { field: "reason".into(), reason }))
    };
    let unknown = || Refused(Rejection::UnknownReservation);
    table(
        "refunds by the organizer",
        vec![
            (at(0), refund(SELLER, r(1)), unknown()),
            held(),
            (at(1), refund(SELLER, r(1)), wrong(State::Held)),
            (at(1), pay(ANN, r(1)), Events("r1 pays 300p until 61, 299000 ms left")),
            (at(1), refund(SELLER, r(1)), wrong(State::Paying)),
            (at(1), confirm(r(1)), Events("r1 confirmed A-1-1 for 300p")),
            (at(2), refund(RIVAL, r(1)), unknown()),
            (at(2), because(""), no_reason()),
            (at(2), because(" "), no_reason()),
            (at(2), because("a\nb"), no_reason()),
            (at(2), because(&"é".repeat(201)), no_reason()),
            (
                at(CANCELLABLE),
                cancel(ANN, r(1)),
                Refused(Rejection::CancellationClosed { closed_at_ms: at(CANCELLABLE) }),
            ),
            (at(CANCELLABLE), refund(SELLER, r(1)), Events("r1 cancels 300p (no balcony)")),
            (at(CANCELLABLE), refund(SELLER, r(1)), Events("")),
            (at(CANCELLABLE), cancel(ANN, r(1)), Events("")),
            (at(CANCELLABLE), finish(), Events("r1 cancelled A-1-1, 15 left")),
            (at(CANCELLABLE), refund(SELLER, r(1)), Events("")),
            (at(CANCELLABLE), because("another"), Events("")),
            // What came to nothing has nothing to give back.
            (at(CANCELLABLE), hold(ANN, floor(1)), Events("r2 ann held Floorx1 for 50p until 173100, 14 left")),
            (at(CANCELLABLE), hold(ANN, floor(1)), Events("r3 ann held Floorx1 for 50p until 173100, 13 left")),
            (at(CANCELLABLE), cancel(ANN, r(2)), Events("r2 released Floorx1, 14 left")),
            (at(CANCELLABLE), refund(SELLER, r(2)), wrong(State::Released)),
            (
                at(CANCELLABLE + 300),
                refund(SELLER, r(3)),
                RefusedAfter("r3 expired Floorx1, 15 left", Rejection::WrongState { state: State::Expired }),
            ),
        ],
    )
}

fn strangers() -> Table {
    let unknown = || Refused(Rejection::UnknownReservation);
    table(
        "someone else's reservation",
        vec![
            held(),
            (at(1), pay(BOB, r(1)), unknown()),
            (at(1), cancel(BOB, r(1)), unknown()),
            (at(1), extend(BOB, r(1)), unknown()),
            (at(1), pay(ANN, r(2)), unknown()),
            (at(1), cancel(ANN, r(2)), unknown()),
            (at(1), extend(ANN, r(2)), unknown()),
        ],
    )
}

/// News from the wallet that come twice or for what is over change nothing.
fn late_news() -> Table {
    let refused = |reason| refuse(r(1), reason, 61);
    let stale = |expires_at_ms| RefusedAfter("", short(expires_at_ms));
    table(
        "late news",
        vec![
            (at(0), confirm(r(1)), Refused(Rejection::UnknownReservation)),
            (at(0), refused(Refusal::TooLate), Refused(Rejection::UnknownReservation)),
            (at(0), finish(), Refused(Rejection::UnknownReservation)),
            held(),
            (at(0), confirm(r(1)), Events("")),
            (at(0), refused(Refusal::InsufficientPoints), stale(at(300))),
            (at(1), pay(ANN, r(1)), Events("r1 pays 300p until 61, 299000 ms left")),
            (at(2), confirm(r(1)), Events("r1 confirmed A-1-1 for 300p")),
            (at(3), refused(Refusal::InsufficientPoints), stale(at(300))),
            (at(3), confirm(r(1)), Events("")),
            (at(4), cancel(ANN, r(1)), Events("r1 cancels 300p")),
            (at(4), confirm(r(1)), Events("")),
            (at(5), finish(), Events("r1 cancelled A-1-1, 15 left")),
            (at(5), confirm(r(1)), Events("")),
            (at(5), refused(Refusal::InsufficientPoints), stale(at(300))),
        ],
    )
}

#[test]
fn what_is_in_flight_is_owed_until_it_is_settled() {
    let mut story = table("owed", vec![held()]).run().story;
    let owed = |story: &crate::testing::Story<super::super::Performance>, now| {
        let owed = story.state.overdue(house(), now);
        let owed: Vec<String> = owed.iter().map(|work| format!("{work:?}")).collect();
        (story.state.next_due(), owed)
    };
    let (performance, organizer, reservation) = (house(), SELLER, r(1));
    let spend = To(ANN, Spend { performance, organizer, reservation, points: 300, deadline_ms: at(70) });
    let refund = To(ANN, GiveBack { performance, organizer, reservation, reason: None });
    let (spends, refunds) = (format!("Spend({spend:?})"), format!("GiveBack({refund:?})"));
    let (pays, cancels) = (Pay { user: ANN, reservation }, Cancel { user: ANN, reservation });

    assert_eq!(owed(&story, u64::MAX), (Some(at(300)), vec![]));
    attempt(&mut story, at(10), &pay(ANN, r(1)));
    assert_eq!(story.again(&pays), Outcome::Next(spend));
    assert_eq!(owed(&story, at(70) - 1), (Some(at(70)), vec![]));
    assert_eq!(owed(&story, at(70)), (Some(at(70)), vec![spends]));
    attempt(&mut story, at(71), &confirm(r(1)));
    assert_eq!(owed(&story, u64::MAX), (None, vec![]));
    assert!(matches!(story.again(&pays), Outcome::Told(Ok(_))), "it is paid");
    attempt(&mut story, at(72), &cancel(ANN, r(1)));
    assert_eq!(owed(&story, at(72)).1, vec![refunds.clone()]);
    // Asked again by the user, the wallet is asked again.
    assert_eq!(story.again(&cancels), Outcome::Next(refund));
    // The organizer, too late, changes nothing; it is asked again, and that is all.
    attempt(&mut story, at(72), &super::fixture::refund(SELLER, r(1)));
    assert_eq!(owed(&story, at(72)).1, vec![refunds]);
    let others = story.step(at(72), &Cancel { user: BOB, reservation });
    assert_eq!(others, Outcome::Told(Err(Rejection::UnknownReservation)));
    attempt(&mut story, at(73), &finish());
    assert_eq!(owed(&story, u64::MAX), (None, vec![]));
}

/// The organizer's reason goes along with the points, also when they are asked for anew after a crash.
#[test]
fn a_refund_by_the_organizer_says_why() {
    let mut story = table("refund", vec![held()]).run().story;
    let (organizer, reservation) = (SELLER, r(1));
    attempt(&mut story, at(10), &pay(ANN, reservation));
    attempt(&mut story, at(11), &confirm(reservation));
    attempt(&mut story, at(CANCELLABLE + 1), &refund(SELLER, reservation));
    let because = Some("no balcony".to_owned());
    let back = To(ANN, GiveBack { performance: house(), organizer, reservation, reason: because.clone() });
    let again = purchase::Refund { organizer, reservation, reason: "no balcony".into() };
    assert_eq!(story.again(&again), Outcome::Next(back.clone()));
    let again = reloaded(&story.state).overdue(house(), u64::MAX);
    assert_eq!(format!("{again:?}"), format!("[GiveBack({back:?})]"));
    // Whoever asks while it is under way sends the same again.
    assert_eq!(story.again(&Cancel { user: ANN, reservation }), Outcome::Next(back));
    attempt(&mut story, at(CANCELLABLE + 2), &finish());
    let view = story.when(at(CANCELLABLE + 3), &ReadReservation { user: ANN, reservation }).unwrap();
    assert_eq!((view.state, view.refund_reason), (State::Cancelled, because));
}
