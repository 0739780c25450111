//! A performance and a wallet with the purchase between them, as the engine runs them: whatever follows is sent, at once,
//! late, twice, or after a crash that lost it.

use super::*;
use crate::performance::seats::chart::{Area, Chart, Prices};
use crate::performance::{self, Create, ReadReservation, SeatRequest, Terms};
use crate::process::sign_up::OpenWallet;
use crate::testing::Story;
use crate::testing::coverage::Known;
use crate::wallet;
use crate::{Fingerprint, IdempotencyRecord};
use base::id::{AccountId, ConcertId};
use uuid::Uuid;

const ANN: UserId = UserId(Uuid::from_u128(0xa));

fn house() -> PerformanceId {
    PerformanceId::from_random(7)
}

struct Shop {
    performance: Story<Performance>,
    wallet: Story<Wallet>,
    /// What follows and was not sent yet.
    sent: Vec<Sent>,
    now: Millis,
}

/// A step of the purchase, on its way.
#[derive(Clone, Debug)]
enum Sent {
    Spend(To<Spend>),
    GiveBack(To<GiveBack>),
    Confirm(To<Confirm>),
    Refuse(To<RefusePayment>),
    Finish(To<FinishRefund>),
}

impl From<To<Spend>> for Sent {
    fn from(to: To<Spend>) -> Sent {
        Sent::Spend(to)
    }
}

impl From<To<GiveBack>> for Sent {
    fn from(to: To<GiveBack>) -> Sent {
        Sent::GiveBack(to)
    }
}

impl From<To<FinishRefund>> for Sent {
    fn from(to: To<FinishRefund>) -> Sent {
        Sent::Finish(to)
    }
}

impl From<Settlement> for Sent {
    fn from(settlement: Settlement) -> Sent {
        match settlement {
            Settlement::Confirm(to) => Sent::Confirm(to),
            Settlement::Refuse(to) => Sent::Refuse(to),
        }
    }
}

impl From<Infallible> for Sent {
    fn from(never: Infallible) -> Sent {
        match never {}
    }
}

/// What comes of a step: what is told is handed on, what follows is sent.
fn sends<A, R, N: Into<Sent>>(outcome: Outcome<A, R, N>, sent: &mut Vec<Sent>) -> Option<Result<A, R>> {
    match outcome {
        Outcome::Told(result) => Some(result),
        Outcome::Next(next) => {
            sent.push(next.into());
            None
        }
    }
}

impl Shop {
    /// Ann holds a place of 100 points and has `points`.
    fn new(points: u64) -> (Shop, ReservationId) {
        let (performance, wallet) = (Story::new(house().0), Story::new(ANN.0));
        let mut shop = Shop { performance, wallet, sent: vec![], now: 1_000 };
        let chart =
            Chart { sections: vec![], areas: vec![Area { area: "Floor".into(), grade: "S".into(), capacity: 5 }] };
        let create = Create {
            concert: ConcertId(Uuid::nil()),
            organizer: OrganizerId(Uuid::nil()),
            terms: Terms {
                starts_at_ms: 9_000_000,
                sale_opens_at_ms: 0,
                sale_closes_at_ms: 9_000_000,
                cancellation_closes_at_ms: 9_000_000,
                hold_ttl_s: 300,
                payment_ttl_s: 60,
                extension_s: 0,
                seats_per_user_max: 4,
                lapsed_holds_max: 0,
                ..Terms::usual(0, 0)
            },
            prices: Prices::from([("S".into(), 100)]),
            chart: chart.into(),
            content: Fingerprint(1),
        };
        shop.performance.when(shop.now, &create).unwrap();
        let wish = SeatRequest::Area { area: "Floor".into(), count: 1 };
        let hold = performance::Hold { user: ANN, wish, repeat: None };
        let view = shop.performance.when(shop.now, &hold).unwrap().view;
        shop.wallet.step(shop.now, &OpenWallet { account: AccountId(Uuid::nil()) });
        shop.charge(points);
        (shop, view.id)
    }

    fn charge(&mut self, points: u64) {
        if points > 0 {
            let repeat = IdempotencyRecord { key: Fingerprint(self.wallet.version as u128), content: Fingerprint(0) };
            let by = wallet::ChargedBy::Operator;
            let charge =
                wallet::Charge { points, reference: None, by, organizer: None, day_points_max: u64::MAX, repeat };
            self.wallet.when(self.now, &charge).unwrap();
        }
    }

    fn asks<S>(&mut self, step: &S) -> Option<Result<Box<View>, Rejection>>
    where
        S: Step<On = Performance, Answer = Box<View>, Rejection = Rejection, Refusal: Known, Next: Into<Sent>>,
    {
        let outcome = self.performance.step(self.now, step);
        sends(outcome, &mut self.sent)
    }

    fn deliver(&mut self, sent: Sent) {
        match sent {
            Sent::Spend(To(ANN, spend)) => _ = sends(self.wallet.step(self.now, &spend), &mut self.sent),
            Sent::GiveBack(To(ANN, back)) => _ = sends(self.wallet.step(self.now, &back), &mut self.sent),
            Sent::Spend(To(other, _)) | Sent::GiveBack(To(other, _)) => panic!("{other} buys nothing"),
            Sent::Confirm(To(_, confirm)) => assert!(matches!(self.asks(&confirm), Some(Ok(_)))),
            Sent::Refuse(To(_, refuse)) => assert!(matches!(self.asks(&refuse), Some(Err(_))), "it is told"),
            Sent::Finish(To(_, finish)) => assert!(matches!(self.asks(&finish), Some(Ok(_)))),
        }
    }

    /// Delivers the next command that was sent; twice when `again`.
    fn step(&mut self, again: bool) {
        let command = self.sent.remove(0);
        self.deliver(command.clone());
        if again {
            self.deliver(command);
        }
    }

    fn settle(&mut self, again: bool) {
        while !self.sent.is_empty() {
            self.step(again);
        }
    }

    /// Everything that was on its way is lost; what is in flight is sent again.
    fn crash(&mut self) {
        self.performance.state = self.performance.replayed();
        self.wallet.state = self.wallet.replayed();
        let owed = self.performance.state.overdue(house(), Millis::MAX).into_iter().map(|work| match work {
            PerformanceWork::Spend(to) => Sent::Spend(to),
            PerformanceWork::GiveBack(to) => Sent::GiveBack(to),
            other => panic!("nothing was cancelled for all: {other:?}"),
        });
        self.sent = owed.collect();
    }

    fn pay(&mut self, reservation: ReservationId) {
        let told = self.asks(&Pay { user: ANN, reservation });
        assert!(told.is_none_or(|told| told.is_ok()));
    }

    fn cancel(&mut self, reservation: ReservationId) {
        let told = self.asks(&Cancel { user: ANN, reservation });
        assert!(told.is_none_or(|told| told.is_ok()));
    }

    /// The reservation's state and the wallet's balance.
    fn stand(&mut self, reservation: ReservationId) -> (State, u64) {
        let view = self.performance.when(self.now, &ReadReservation { user: ANN, reservation }).unwrap();
        (view.state, self.wallet.when(self.now, &wallet::Read).unwrap().points)
    }
}

/// One purchase a row: the points, what goes wrong, and where it ends.
#[test]
fn a_purchase_ends_the_same_whatever_happens_between() {
    // Crash before step n of payment and cancellation (two steps each), or never.
    for crash_before in [None, Some(0), Some(1), Some(2)] {
        for again in [false, true] {
            for (points, paid, cancelled) in [
                (100, (State::Confirmed, 0), (State::Cancelled, 100)),
                (150, (State::Confirmed, 50), (State::Cancelled, 150)),
                (99, (State::Held, 99), (State::Released, 99)),
                (0, (State::Held, 0), (State::Released, 0)),
            ] {
                let place = format!("{points} points, again: {again}, crash before: {crash_before:?}");
                let (mut shop, reservation) = Shop::new(points);
                for (begin, end) in [(Shop::pay as fn(&mut Shop, _), paid), (Shop::cancel, cancelled)] {
                    begin(&mut shop, reservation);
                    for step in 0.. {
                        if crash_before == Some(step) {
                            shop.crash();
                        }
                        if shop.sent.is_empty() {
                            break;
                        }
                        shop.step(again);
                    }
                    shop.settle(again);
                    assert_eq!(shop.stand(reservation), end, "{place}");
                }
            }
        }
    }
}

#[test]
fn who_charges_after_a_refusal_buys() {
    let (mut shop, reservation) = Shop::new(99);
    shop.now += 299_999;
    shop.pay(reservation);
    shop.settle(false);
    assert_eq!(shop.stand(reservation), (State::Held, 99));
    shop.now += 59_999;
    shop.charge(1);
    shop.pay(reservation);
    shop.settle(false);
    assert_eq!(shop.stand(reservation), (State::Confirmed, 0));
}

/// The wallet was slow, or the server was down: after the deadline nothing is spent, before it everything counts.
#[test]
fn the_deadline_decides_once() {
    for (delay, end) in [(59_999, (State::Confirmed, 0)), (60_000, (State::Held, 100))] {
        let (mut shop, reservation) = Shop::new(100);
        shop.pay(reservation);
        shop.now += delay;
        shop.settle(true);
        assert_eq!(shop.stand(reservation), end, "{delay}");
    }
    // Spent in time, told late: it counts.
    let (mut shop, reservation) = Shop::new(100);
    shop.pay(reservation);
    shop.step(false);
    shop.now += 600_000;
    shop.crash();
    shop.settle(false);
    assert_eq!(shop.stand(reservation), (State::Confirmed, 0));
}

/// What the caller of a payment is told that the wallet refused.
#[test]
fn a_refused_payment_is_a_refusal_to_its_caller() {
    let expires_at_ms = 1_000 + 300_000;
    let table = [
        (Refusal::InsufficientPoints, Rejection::InsufficientPoints { balance: 1, required: 100, expires_at_ms }),
        (Refusal::TooLate, Rejection::PaymentTimedOut { expires_at_ms }),
    ];
    for (reason, told) in table {
        let (mut shop, reservation) = Shop::new(1);
        shop.pay(reservation);
        let refuse = RefusePayment { reservation, reason, balance: 1, payment_deadline_ms: 61_000 };
        assert_eq!(shop.asks(&refuse), Some(Err(told)));
    }
}

/// What a wallet without an owner, or any other refusal, means to the performance.
#[test]
fn every_refusal_of_the_wallet_settles_the_payment() {
    let (performance, reservation) = (house(), ReservationId::from_random(house(), 16));
    let organizer = base::id::OrganizerId(Uuid::nil());
    let spend = Spend { performance, organizer, reservation, points: 5, deadline_ms: 9 };
    let table = [
        (SpendRefusal::UnknownWallet, Refusal::InsufficientPoints, 0),
        (SpendRefusal::InsufficientPoints { balance: 4 }, Refusal::InsufficientPoints, 4),
        (SpendRefusal::TooLate { balance: 7 }, Refusal::TooLate, 7),
    ];
    for (refusal, reason, balance) in table {
        let refuse = RefusePayment { reservation, reason, balance, payment_deadline_ms: 9 };
        let next = Outcome::Next(Settlement::Refuse(To(performance, refuse)));
        assert_eq!(spend.outcome(&Wallet::default(), Err(refusal)), next);
    }
    let back = GiveBack { performance, organizer, reservation, reason: None };
    assert!(matches!(back.outcome(&Wallet::default(), Err(NeverSpent)), Outcome::Told(Err(_))));
}
