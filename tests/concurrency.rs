//! What many people at once cannot do: take one place twice, overfill an area, spend a point twice, be paid back twice,
//! have more places than one may have. Everything through a real server; afterwards the books must hold.

mod common;
mod load;

use common::{OPERATOR_KEY, Server, User};
use futures_util::future::join_all;
use lab::client::Target;
use lab::stats::Rng;
use load::{Answer, Client, run, sign_up, stop_and_verify, target};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

const BUYERS: usize = 1000;
const CONNECTIONS: usize = 200;

/// A server, and an organizer on it.
struct Stage {
    server: Server,
    organizer: String,
    path: PathBuf,
    _data: tempfile::TempDir,
}

impl Stage {
    fn new(arguments: &[&str]) -> Stage {
        load::allow_many_connections();
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("data");
        let server = Server::start(&path, &[&["--self-charge"], arguments].concat());
        let organizer = server.organizer();
        Stage { server, organizer, path, _data: data }
    }

    fn target(&self) -> Target {
        target(&self.server)
    }

    fn performance(&self, more: Value) -> String {
        self.server.performance(&self.organizer, more)
    }

    /// A performance of `rows` × `seats` seats of 100 points and `standing` places of 10 in the area Floor.
    fn hall(&self, rows: usize, seats: usize, standing: usize, more: Value) -> String {
        let rows: Vec<Value> =
            (1..=rows).map(|row| json!({"row": row.to_string(), "grade": "VIP", "seat_count": seats})).collect();
        let chart = json!({
            "sections": [{"section": "A", "rows": rows}],
            "areas": [{"area": "Floor", "grade": "R", "capacity": standing}],
        });
        let mut body = json!({"chart": chart});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.performance(body)
    }

    /// As many users with open connections as asked for, and a user's own connection for each.
    async fn buyers(&self, count: usize, points: u64) -> Vec<Client> {
        let users = sign_up(&self.target(), count, points).await;
        Client::connected(&self.target(), &users).await
    }

    /// One user on `count` connections.
    async fn one_user(&self, count: usize, points: u64) -> (User, Vec<Client>) {
        let user = self.server.user(&format!("user-{}", uuid::Uuid::new_v4()));
        if points > 0 {
            self.server.charge(&user, points);
        }
        let connections = Client::connected(&self.target(), std::iter::repeat_n(&user, count)).await;
        (user, connections)
    }

    fn end(self) {
        stop_and_verify(self.server, &self.path);
    }
}

fn labels(seats: &Value) -> Vec<String> {
    let seats = seats.as_array().unwrap_or_else(|| panic!("no seats: {seats}"));
    seats.iter().map(|seat| seat.as_str().or(seat["seat"].as_str()).expect("a label").to_owned()).collect()
}

/// How many answers there were of each kind: `201`, or a problem's name.
fn kinds(answers: &[Answer]) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for answer in answers {
        let kind = if answer.status < 400 { answer.status.to_string() } else { answer.problem().to_owned() };
        *kinds.entry(kind).or_default() += 1;
    }
    kinds
}

fn counted<const N: usize>(counts: [(&str, usize); N]) -> BTreeMap<String, usize> {
    counts.into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect()
}

#[test]
fn a_thousand_buyers_want_one_seat() {
    let stage = Stage::new(&[]);
    let performance = stage.performance(json!({}));
    run(async {
        let mut buyers = stage.buyers(BUYERS, 0).await;
        let wish = json!({"seats": ["A-1-1"]});
        let answers = join_all(buyers.iter_mut().map(|buyer| buyer.hold(&performance, wish.clone()))).await;
        assert_eq!(kinds(&answers), counted([("201", 1), ("seats-unavailable", BUYERS - 1)]));
        for answer in &answers {
            let named = labels(&answer.body["seats"]);
            assert_eq!(named, ["A-1-1"], "{answer:?}");
        }
        let winner = answers.iter().position(|answer| answer.status == 201).unwrap();
        let reservation = buyers[winner].reservation(answers[winner].text("reservation_id")).await;
        assert_eq!(reservation.text("state"), "held");
        let seen = buyers[0].availability(&performance).await;
        assert_eq!(labels(&seen.body["seats"]["held"]), ["A-1-1"]);
    });
    stage.end();
}

#[test]
fn a_thousand_buyers_want_overlapping_seats() {
    let seed = 7;
    let stage = Stage::new(&[]);
    let performance = stage.hall(10, 30, 1, json!({}));
    run(async {
        let mut buyers = stage.buyers(BUYERS, 0).await;
        let mut random = Rng::new(seed, 0);
        let mut wish = || -> Vec<String> {
            let (row, first, count) = (1 + random.below(10), 1 + random.below(27), 1 + random.below(4));
            let mut seats: Vec<String> = (first..first + count).map(|seat| format!("A-{row}-{seat}")).collect();
            // And not always side by side.
            if random.chance(30) {
                seats.push(format!("A-{}-30", 1 + random.below(10)));
                seats.remove(0);
            }
            seats
        };
        let wishes: Vec<Vec<String>> = buyers.iter().map(|_| wish()).collect();
        let holds =
            buyers.iter_mut().zip(&wishes).map(|(buyer, wish)| buyer.hold(&performance, json!({"seats": wish})));
        let answers = join_all(holds).await;

        let mut owner = BTreeMap::new();
        for (buyer, (answer, wish)) in answers.iter().zip(&wishes).enumerate().filter(|(_, (a, _))| a.status == 201) {
            assert_eq!(&labels(&answer.body["seats"]), wish, "seed {seed}: all or nothing");
            for seat in wish {
                let other = owner.insert(seat.clone(), buyer);
                assert_eq!(other, None, "seed {seed}: {seat} went to {buyer} too");
            }
        }
        for (answer, wish) in answers.iter().zip(&wishes).filter(|(answer, _)| answer.status != 201) {
            assert!(answer.is(409, "seats-unavailable"), "seed {seed}: {answer:?}");
            let named = labels(&answer.body["seats"]);
            let taken = |seat: &String| wish.contains(seat) && owner.contains_key(seat);
            assert!(!named.is_empty() && named.iter().all(taken), "seed {seed}: {wish:?} got {answer:?}");
        }
        // Who got nothing has nothing: what is held is what the winners have.
        let seen = buyers[0].availability(&performance).await;
        let held: BTreeSet<String> = labels(&seen.body["seats"]["held"]).into_iter().collect();
        assert_eq!(held, owner.into_keys().collect(), "seed {seed}");
    });
    stage.end();
}

#[test]
fn a_thousand_buyers_want_the_last_places_of_an_area() {
    const CAPACITY: u64 = 500;
    let stage = Stage::new(&[]);
    let performance = stage.hall(1, 1, CAPACITY as usize, json!({}));
    run(async {
        let mut buyers = stage.buyers(BUYERS, 0).await;
        let counts: Vec<u64> = (0..BUYERS as u64).map(|buyer| 1 + buyer % 3).collect();
        let holds = buyers.iter_mut().zip(&counts);
        let holds = holds.map(|(buyer, count)| buyer.hold(&performance, json!({"area": "Floor", "count": count})));
        let answers = join_all(holds).await;
        let sold: u64 = answers.iter().zip(&counts).filter(|(a, _)| a.status == 201).map(|(_, count)| count).sum();
        assert!(sold <= CAPACITY, "{sold} places of {CAPACITY}");
        let left = CAPACITY - sold;
        for (answer, count) in answers.iter().zip(&counts).filter(|(answer, _)| answer.status != 201) {
            assert!(answer.is(409, "seats-unavailable") && answer.text("area") == "Floor", "{answer:?}");
            // Nobody was turned away for whom there was room, and nothing came free.
            assert!((left..*count).contains(&answer.number("available")), "{left} left, {count} wanted: {answer:?}");
        }
        let seen = buyers[0].availability(&performance).await;
        assert_eq!(seen.body["areas"][0]["available"], left);
        // Exactly as many as are left can still be had.
        let later = &mut stage.one_user(1, 0).await.1[0];
        assert_eq!(later.hold(&performance, json!({"area": "Floor", "count": left + 1})).await.status, 409);
        if left > 0 {
            later.hold(&performance, json!({"area": "Floor", "count": left})).await.expect(201);
        }
        assert_eq!(later.availability(&performance).await.body["areas"][0]["available"], 0);
    });
    stage.end();
}

#[test]
fn one_key_charges_a_wallet_once_from_200_connections() {
    let stage = Stage::new(&[]);
    run(async {
        let (_, mut connections) = stage.one_user(CONNECTIONS, 0).await;
        let answers = join_all(connections.iter_mut().map(|own| own.charge("the-only-key", 500, None))).await;
        assert_eq!(kinds(&answers), counted([("201", CONNECTIONS)]));
        let ids: BTreeSet<&str> = answers.iter().map(|answer| answer.text("charge_id")).collect();
        assert_eq!(ids.len(), 1, "{ids:?}");
        assert!(answers.iter().all(|answer| answer.number("balance") == 500));
        assert_eq!(connections[0].balance().await, 500);
        // The key stands for what it was first used for, and belongs to its user.
        let other = connections[0].charge("the-only-key", 501, None).await;
        assert!(other.is(422, "idempotency-key-reused"), "{other:?}");
        assert_eq!(connections[0].balance().await, 500);
    });
    stage.end();
}

#[test]
fn one_wallet_is_charged_and_spent_from_200_connections() {
    const POINTS: u64 = 40;
    const PRICE: u64 = 100;
    // Two threads that own keys: the wallet and the performance do not take turns on one.
    let stage = Stage::new(&["--shards", "2"]);
    let performance = stage.hall(5, 20, 1, json!({"seats_per_user_max": 100}));
    run(async {
        let (user, mut connections) = stage.one_user(CONNECTIONS, 0).await;
        // Every second connection also buys a seat, for more than there will ever be: 100 × 100 of 200 × 40 points.
        let lives = connections.iter_mut().enumerate().map(async |(index, own)| {
            let key = format!("key-of-connection-{index}");
            if index % 2 == 1 {
                own.charge(&key, POINTS, None).await.expect(201);
                return None;
            }
            let seat = format!("A-{}-{}", 1 + index / 2 / 20, 1 + index / 2 % 20);
            let hold = own.hold(&performance, json!({"seats": [seat]})).await.expect(201);
            own.charge(&key, POINTS, None).await.expect(201);
            let answer = own.pay(hold.text("reservation_id")).await;
            let paid = answer.status == 200 && answer.text("state") == "confirmed";
            assert!(paid || answer.is(409, "insufficient-points") && answer.number("balance") < PRICE, "{answer:?}");
            Some((hold.text("reservation_id").to_owned(), paid))
        });
        let mut purchases: Vec<(String, bool)> = join_all(lives).await.into_iter().flatten().collect();
        let spent = |purchases: &[(String, bool)]| PRICE * purchases.iter().filter(|(_, paid)| *paid).count() as u64;
        let charged = POINTS * CONNECTIONS as u64;
        assert!(spent(&purchases) <= charged);
        assert_eq!(connections[0].balance().await, charged - spent(&purchases));

        // Everyone who was refused tries once more, all at once; every key is used again and must do nothing.
        let repeats = connections.iter_mut().enumerate().map(async |(index, own)| {
            own.charge(&format!("key-of-connection-{index}"), POINTS, None).await.expect(201);
            match purchases.get(index / 2).filter(|(_, paid)| index % 2 == 0 && !paid) {
                Some((reservation, _)) => (index, Some(own.pay(reservation).await)),
                None => (index, None),
            }
        });
        for (index, answer) in join_all(repeats).await {
            let Some(answer) = answer else { continue };
            assert!(answer.status == 200 || answer.is(409, "insufficient-points"), "{answer:?}");
            purchases[index / 2].1 = answer.status == 200;
        }
        // Now the wallet is as empty as such prices can make it.
        assert_eq!((spent(&purchases), connections[0].balance().await), (charged, 0));
        for (reservation, paid) in &purchases {
            let found = connections[0].reservation(reservation).await;
            assert_eq!(found.text("state"), if *paid { "confirmed" } else { "held" });
        }
        let mut operator = Client::new(&stage.target(), OPERATOR_KEY);
        let answer = operator.charge("key-of-connection-0", 1, Some(&user)).await.expect(201);
        assert_eq!(answer.number("balance"), 1, "somebody else's key of the same name is another key");
    });
    stage.end();
}

/// One user's reservation of two seats (200 points), and 200 of the user's connections.
async fn one_reservation(stage: &Stage, performance: &str) -> (String, Vec<Client>) {
    let (_, mut connections) = stage.one_user(CONNECTIONS, 1000).await;
    let hold = connections[0].hold(performance, json!({"best_available": {"count": 2}})).await.expect(201);
    (hold.text("reservation_id").to_owned(), connections)
}

/// What a payment or a cancellation may be told while another one is under way.
const UNDER_WAY: [&str; 2] = ["payment-in-progress", "cancellation-in-progress"];

#[test]
fn a_reservation_is_paid_once_and_refunded_once() {
    let stage = Stage::new(&["--shards", "2"]);
    let performance = stage.performance(json!({}));
    run(async {
        let (id, mut connections) = one_reservation(&stage, &performance).await;
        let paid = join_all(connections.iter_mut().map(|own| own.pay(&id))).await;
        assert!(paid.iter().any(|answer| answer.status == 200));
        for answer in &paid {
            let done = answer.status == 200 && answer.text("state") == "confirmed";
            assert!(done || answer.status == 409 && UNDER_WAY.contains(&answer.problem()), "{answer:?}");
        }
        assert_eq!(connections[0].balance().await, 800);

        // Cancelled by half of them while the other half still pays.
        let mixed = connections.iter_mut().enumerate().map(async |(index, own)| match index % 2 {
            0 => own.cancel(&id).await,
            _ => own.pay(&id).await,
        });
        for (index, answer) in join_all(mixed).await.iter().enumerate() {
            let wanted = if index % 2 == 0 { "cancelled" } else { "confirmed" };
            let done = answer.status == 200 && answer.text("state") == wanted;
            let over = index % 2 == 1 && answer.is(409, "reservation-cancelled");
            assert!(done || over || answer.status == 409 && UNDER_WAY.contains(&answer.problem()), "{answer:?}");
        }
        assert_eq!(connections[0].reservation(&id).await.text("state"), "cancelled");
        assert_eq!(connections[0].balance().await, 1000);
        let seen = connections[0].availability(&performance).await;
        assert_eq!((&seen.body["seats"]["held"], &seen.body["seats"]["booked"]), (&json!([]), &json!([])));
    });
    stage.end();
}

#[test]
fn payments_and_cancellations_of_a_hold_leave_one_truth() {
    let stage = Stage::new(&["--shards", "2"]);
    let performance = stage.performance(json!({}));
    run(async {
        let (_, mut connections) = stage.one_user(CONNECTIONS, 1000).await;
        for round in 0..10 {
            let hold = connections[0].hold(&performance, json!({"best_available": {"count": 2}})).await.expect(201);
            let id = hold.text("reservation_id");
            let mixed = connections.iter_mut().enumerate().map(async |(index, own)| match (index + round) % 2 {
                0 => own.pay(id).await,
                _ => own.cancel(id).await,
            });
            let answers = join_all(mixed).await;
            // Released before it was paid, or paid and then cancelled: never both, and the points are back.
            let states: BTreeSet<&str> =
                answers.iter().filter(|answer| answer.status == 200).map(|answer| answer.text("state")).collect();
            // Every cancellation may have come while the payment was under way: then the next one has its turn.
            if states.iter().eq(["confirmed"].iter()) {
                assert_eq!(connections[0].cancel(id).await.text("state"), "cancelled");
            }
            let last = connections[0].reservation(id).await;
            let over = if states.contains("released") { vec!["released"] } else { vec!["cancelled", "confirmed"] };
            assert!(states.iter().all(|state| over.contains(state)), "{states:?}");
            assert_eq!(last.text("state"), over[0], "{states:?}");
            assert_eq!(connections[0].balance().await, 1000);
        }
    });
    stage.end();
}

#[test]
fn the_organizer_the_buyer_and_the_end_of_the_performance_pay_back_once() {
    const BOUGHT: usize = 60;
    let stage = Stage::new(&["--shards", "2"]);
    let performance = stage.hall(3, BOUGHT / 3, 1, json!({}));
    run(async {
        let mut buyers = stage.buyers(BOUGHT, 100).await;
        let buy = buyers.iter_mut().map(async |buyer| {
            let hold = buyer.hold(&performance, json!({"best_available": {"count": 1}})).await.expect(201);
            let id = hold.text("reservation_id").to_owned();
            buyer.pay(&id).await.expect(200);
            id
        });
        let ids = join_all(buy).await;
        let organizer = User { id: String::new(), token: stage.organizer.clone() };
        let target = stage.target();
        let mut desks = Client::connected(&target, std::iter::repeat_n(&organizer, BOUGHT)).await;
        let mut stop = Client::new(&target, &stage.organizer);
        let (path, storm) = (format!("/v1/performances/{performance}/cancellation"), json!({"reason": "storm"}));
        let refund = desks.iter_mut().zip(&ids).map(async |(desk, id)| {
            let reason = json!({"reason": "illness"});
            desk.call("POST", &format!("/v1/reservations/{id}/refund"), None, Some(&reason)).await
        });
        let cancel = buyers.iter_mut().zip(&ids).map(async |(buyer, id)| buyer.cancel(id).await);
        let (refunds, stopped, cancels) =
            tokio::join!(join_all(refund), stop.call("POST", &path, None, Some(&storm)), join_all(cancel));
        stopped.expect(202);
        for answer in refunds.iter().chain(&cancels) {
            let done = answer.status == 200 && answer.text("state") == "cancelled";
            assert!(done || answer.is(409, "cancellation-in-progress"), "{answer:?}");
        }
        let mut end = stop.get(&path).await;
        while end.text("state") != "done" {
            end = stop.get(&path).await.expect(200);
        }
        assert_eq!(end.body["reservations"]["remaining"], 0, "{end:?}");
        assert_eq!(end.body["points"]["total"], end.body["points"]["refunded"], "{end:?}");
        for (buyer, id) in buyers.iter_mut().zip(&ids) {
            assert_eq!(buyer.reservation(id).await.text("state"), "cancelled");
            let statement = buyer.get("/v1/wallet/entries").await.expect(200);
            let entries = statement.body["items"].as_array().unwrap();
            let refunded = entries.iter().filter(|entry| entry["type"] == "refunded").count();
            assert_eq!((refunded, buyer.balance().await), (1, 100), "{statement:?}");
        }
    });
    stage.end();
}

#[test]
fn nobody_has_more_places_than_one_may_have() {
    const MAX: usize = 4;
    let stage = Stage::new(&[]);
    let performance = stage.hall(10, 30, 500, json!({"seats_per_user_max": MAX}));
    run(async {
        let (_, mut connections) = stage.one_user(CONNECTIONS, 0).await;
        let wish = |index: usize| json!({"seats": [format!("A-{}-{}", 1 + index / 30, 1 + index % 30)]});
        let holds = connections.iter_mut().enumerate().map(|(index, own)| own.hold(&performance, wish(index)));
        let answers = join_all(holds).await;
        assert_eq!(kinds(&answers), counted([("201", MAX), ("seat-limit", CONNECTIONS - MAX)]));
        for refused in answers.iter().filter(|answer| answer.status != 201) {
            assert_eq!((refused.number("limit"), refused.number("held")), (MAX as u64, MAX as u64), "{refused:?}");
        }

        // Of all kinds, one to three places each: never more than the limit together.
        let (_, mut connections) = stage.one_user(CONNECTIONS, 0).await;
        let wish = |index: usize| match index % 3 {
            0 => json!({"area": "Floor", "count": 1 + index % 2}),
            1 => json!({"best_available": {"count": 1 + index % 3}}),
            _ => json!({"seats": [format!("A-{}-{}", 1 + index / 30, 1 + index % 30)]}),
        };
        let holds = connections.iter_mut().enumerate().map(|(index, own)| own.hold(&performance, wish(index)));
        let answers = join_all(holds).await;
        let places = |answer: &Answer| {
            labels(&answer.body["seats"]).len() + answer.body["area"]["count"].as_u64().unwrap_or(0) as usize
        };
        let had: usize = answers.iter().filter(|answer| answer.status == 201).map(places).sum();
        assert!(had <= MAX, "{had} places");
        for refused in answers.iter().filter(|answer| answer.status != 201) {
            assert!(["seat-limit", "seats-unavailable"].contains(&refused.problem()), "{refused:?}");
        }
        // Who asks for one place is refused only when all are used.
        assert_eq!(had, MAX, "{:?}", kinds(&answers));
    });
    stage.end();
}
