//! A performance and a wallet with the purchase between them, as the engine runs them: whatever follows is sent, at once,
//! late, twice, or after a crash that lost it.

use super::*;
use crate::performance::seats::chart::{Area, Chart, Prices};
use crate::performance::{Create, Performance, Refusal, Terms, Wish};
use crate::testing::Story;
use crate::wallet::Wallet;
use crate::{Aggregate, Fingerprint, Repeat};
use base::id::{AccountId, ConcertId, Millis, OrganizerId, ReservationId, UserId};
use uuid::Uuid;

const ANN: UserId = UserId(Uuid::from_u128(0xa));

fn house() -> PerformanceId {
    PerformanceId::from_random(7)
}

struct Shop {
    performance: Story<Performance>,
    wallet: Story<Wallet>,
    /// What follows and was not sent yet.
    sent: Vec<Command>,
    now: Millis,
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
        shop.asks(performance::Command::Create(Box::new(create))).unwrap();
        let wish = Wish::Area { area: "Floor".into(), count: 1 };
        let held = shop.asks(performance::Command::Hold { user: ANN, wish, repeat: None }).unwrap();
        let performance::Answer::Reservation { view, .. } = held else { panic!("{held:?}") };
        shop.moves(wallet::Command::Open { account: AccountId(Uuid::nil()) });
        shop.charge(points);
        shop.sent.clear();
        (shop, view.id)
    }

    fn charge(&mut self, points: u64) {
        if points > 0 {
            let repeat = Repeat { key: Fingerprint(self.wallet.version as u128), content: Fingerprint(0) };
            self.moves(wallet::Command::Charge {
                points,
                reference: None,
                by: wallet::ChargedBy::Operator,
                organizer: None,
                day_points_max: u64::MAX,
                repeat,
            });
        }
    }

    fn asks(&mut self, command: performance::Command) -> Result<performance::Answer, performance::Rejection> {
        let result = self.performance.when(self.now, &command);
        let told = result.as_ref().map(|_| ());
        self.sent.extend(self.performance.state.follows(self.performance.key, &command, told));
        result
    }

    fn moves(&mut self, command: wallet::Command) {
        let result = self.wallet.when(self.now, &command).map(|_| ());
        self.sent.extend(self.wallet.state.follows(self.wallet.key, &command, result.as_ref().map(|_| ())));
    }

    fn deliver(&mut self, command: Command) {
        match command {
            Command::Performance(id, command) => {
                assert_eq!(id, house());
                self.asks(command).expect("the purchase's commands are never refused");
            }
            Command::Wallet(id, command) => {
                assert_eq!(id, ANN);
                self.moves(command);
            }
            // A wallet that was opened tells its account; no purchase.
            Command::Account(..) => {}
            other => panic!("a purchase is between a performance and a wallet, not {other:?}"),
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
        self.sent = self.performance.state.overdue(self.performance.key, Millis::MAX);
    }

    fn pay(&mut self, reservation: ReservationId) {
        self.asks(performance::Command::Pay { user: ANN, reservation }).unwrap();
    }

    fn cancel(&mut self, reservation: ReservationId) {
        self.asks(performance::Command::Cancel { user: ANN, reservation }).unwrap();
    }

    /// The reservation's state and the wallet's balance.
    fn stand(&mut self, reservation: ReservationId) -> (State, u64) {
        let read = performance::Command::Read { user: ANN, reservation };
        let performance::Answer::Reservation { view, .. } = self.asks(read).unwrap() else { panic!() };
        let wallet::Answer::Wallet { balance, .. } = self.wallet.when(self.now, &wallet::Command::Read).unwrap() else {
            panic!()
        };
        (view.state, balance)
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

/// One answer of a performance a row, and what its caller is told.
#[test]
fn a_refused_payment_is_a_refusal_to_its_caller() {
    let refused = |reason| {
        Answer::Performance(performance::Answer::PaymentRefused { reason, balance: 1, required: 2, expires_at_ms: 3 })
    };
    let table = [
        (
            refused(Refusal::InsufficientPoints),
            Some(performance::Rejection::InsufficientPoints { balance: 1, required: 2, expires_at_ms: 3 }),
        ),
        (refused(Refusal::TooLate), Some(performance::Rejection::PaymentTimedOut { expires_at_ms: 3 })),
        (Answer::Performance(performance::Answer::Done), None),
        (Answer::Wallet(wallet::Answer::Wallet { user: ANN, balance: 1, version: 1 }), None),
    ];
    for (answer, told) in table {
        assert_eq!(outcome(answer).err(), told.map(Rejection::Performance));
    }
}

/// What a wallet without an owner, or any other refusal, means to the performance.
#[test]
fn every_refusal_of_the_wallet_settles_the_payment() {
    let (performance, reservation) = (house(), ReservationId::from_random(house(), 16));
    let organizer = base::id::OrganizerId(Uuid::nil());
    let spend = wallet::Command::Spend { performance, organizer, reservation, points: 5, deadline_ms: 9 };
    let table = [
        (wallet::Rejection::UnknownWallet, Refusal::InsufficientPoints, 0),
        (wallet::Rejection::InsufficientPoints { balance: 4, required: 5 }, Refusal::InsufficientPoints, 4),
        (wallet::Rejection::TooLate { balance: 7 }, Refusal::TooLate, 7),
    ];
    for (rejection, reason, balance) in table {
        let told = performance::Command::RefusePayment { reservation, reason, balance, payment_deadline_ms: 9 };
        let told = Command::Performance(performance, told);
        assert_eq!(format!("{:?}", settled(&spend, Err(&rejection))), format!("{:?}", Some(told)));
    }
    let refund = wallet::Command::Refund { performance, organizer, reservation, reason: None };
    assert!(settled(&refund, Err(&wallet::Rejection::NeverSpent)).is_none());
    assert!(settled(&wallet::Command::Read, Ok(())).is_none());
}
