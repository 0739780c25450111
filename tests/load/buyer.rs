//! A buyer who writes down what the server acknowledged, asks again what was never answered, and then wants every word
//! of it to be true.

use super::{Answer, Client};
use crate::common::{PATIENCE, User};
use lab::client::Target;
use lab::stats::Rng;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant};

/// Reservations that have not changed lately and are looked at again all the same.
const OLD_ONES_READ: usize = 20;
/// Acknowledged requests that are sent again.
const REPEATED: usize = 5;
const POLL: Duration = Duration::from_millis(5);

/// A reservation's state, as its buyer was told last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Held,
    Confirmed,
    Released,
    Cancelled,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            State::Held => "held",
            State::Confirmed => "confirmed",
            State::Released => "released",
            State::Cancelled => "cancelled",
        }
    }

    fn after(self, asked: &Asked) -> State {
        match (self, asked) {
            (State::Held, Asked::Pay { .. }) => State::Confirmed,
            (State::Held, Asked::Cancel { .. }) => State::Released,
            (State::Confirmed, Asked::Cancel { .. }) => State::Cancelled,
            _ => self,
        }
    }
}

struct Reservation {
    id: String,
    /// The request that made it.
    key: String,
    wish: Value,
    points: u64,
    seats: Vec<String>,
    /// Places in the standing area.
    standing: u64,
    state: State,
    /// Not read since it changed.
    changed: bool,
}

struct Charge {
    id: String,
    key: String,
    points: u64,
}

/// A request.
#[derive(Clone, Debug)]
enum Asked {
    Charge {
        key: String,
        points: u64,
    },
    Hold {
        key: String,
        wish: Value,
    },
    Pay {
        reservation: String,
    },
    /// Releases a hold, cancels what is paid.
    Cancel {
        reservation: String,
    },
}

/// Places that buyers have, as they know it.
#[derive(Default, PartialEq, Eq, Debug)]
pub struct Places {
    pub held: BTreeSet<String>,
    pub booked: BTreeSet<String>,
    pub standing: u64,
}

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    /// With an answer that says what happened, and that is on disk.
    Outcome,
    /// 503: the log cannot be written; it may have happened or not.
    LogUnavailable,
}

pub struct Buyer {
    name: usize,
    user: User,
    performance: String,
    random: Rng,
    charges: Vec<Charge>,
    reservations: Vec<Reservation>,
    /// Asked and not answered: it may have happened or not.
    open: Option<Asked>,
    requests: u64,
}

impl Buyer {
    /// A buyer at `performance`, which has seats A-1-1 to A-`rows`-`seats` and the area Floor. The server lets users
    /// charge their own wallet, and `user`'s is empty.
    pub fn new(name: usize, user: User, performance: &str, seed: u64) -> Buyer {
        let (random, performance) = (Rng::new(seed, name as u64), performance.to_owned());
        Buyer { name, user, performance, random, charges: vec![], reservations: vec![], open: None, requests: 0 }
    }

    pub fn client(&self, target: &Target) -> Client {
        Client::new(target, &self.user.token)
    }

    /// Asks for something, or again for what was not answered. An error when the server went away.
    pub async fn act(&mut self, client: &mut Client) -> io::Result<Told> {
        let asked = match self.open.take() {
            Some(asked) => asked,
            None => self.choose(),
        };
        self.ask(client, asked).await
    }

    async fn ask(&mut self, client: &mut Client, asked: Asked) -> io::Result<Told> {
        let answer = self.send(client, &asked).await;
        self.open = Some(asked.clone());
        let answer = answer?;
        if answer.is(503, "log-unavailable") {
            return Ok(Told::LogUnavailable);
        }
        self.open = None;
        if !answer.is(503, "overloaded") {
            self.learn(&asked, &answer);
        }
        Ok(Told::Outcome)
    }

    async fn send(&self, client: &mut Client, asked: &Asked) -> io::Result<Answer> {
        match asked {
            Asked::Charge { key, points } => {
                let body = json!({"points": points});
                client.try_call("POST", "/v1/wallet/charges", Some(key), Some(&body)).await
            }
            Asked::Hold { key, wish } => {
                let path = format!("/v1/performances/{}/reservations", self.performance);
                client.try_call("POST", &path, Some(key), Some(wish)).await
            }
            Asked::Pay { reservation } => {
                client.try_call("POST", &format!("/v1/reservations/{reservation}/payment"), None, None).await
            }
            Asked::Cancel { reservation } => {
                client.try_call("DELETE", &format!("/v1/reservations/{reservation}"), None, None).await
            }
        }
    }

    fn choose(&mut self) -> Asked {
        self.requests += 1;
        let key = format!("buyer-{}-request-{}", self.name, self.requests);
        let draw = self.random.below(100);
        let held = self.pick(State::Held);
        let confirmed = self.pick(State::Confirmed);
        match (draw, held, confirmed) {
            (0..10, ..) => Asked::Charge { key, points: 1 + self.random.below(300) as u64 },
            (10..35, Some(reservation), _) => Asked::Pay { reservation },
            (35..45, Some(reservation), _) | (45..65, _, Some(reservation)) => Asked::Cancel { reservation },
            (65..75, ..) => self.again().unwrap_or_else(|| self.new_hold(key)),
            _ => self.new_hold(key),
        }
    }

    fn pick(&mut self, state: State) -> Option<String> {
        let all: Vec<&Reservation> = self.reservations.iter().filter(|found| found.state == state).collect();
        (!all.is_empty()).then(|| all[self.random.below(all.len())].id.clone())
    }

    fn new_hold(&mut self, key: String) -> Asked {
        let count = 1 + self.random.below(3);
        let wish = match self.random.below(4) {
            0 => json!({"area": "Floor", "count": count}),
            1 => json!({"best_available": {"count": count}}),
            _ => {
                let (row, first) = (1 + self.random.below(20), 1 + self.random.below(20 - count));
                let seats: Vec<String> = (first..first + count).map(|seat| format!("A-{row}-{seat}")).collect();
                json!({"seats": seats})
            }
        };
        Asked::Hold { key, wish }
    }

    /// A keyed request that was acknowledged, once more.
    fn again(&mut self) -> Option<Asked> {
        let (charges, holds) = (self.charges.len(), self.reservations.len());
        if charges + holds == 0 {
            return None;
        }
        let which = self.random.below(charges + holds);
        Some(match self.charges.get(which) {
            Some(charge) => Asked::Charge { key: charge.key.clone(), points: charge.points },
            None => {
                let reservation = &self.reservations[which - charges];
                Asked::Hold { key: reservation.key.clone(), wish: reservation.wish.clone() }
            }
        })
    }

    /// Writes down what was acknowledged, which must fit to what was acknowledged before.
    fn learn(&mut self, asked: &Asked, answer: &Answer) {
        match asked {
            Asked::Charge { key, points } => {
                assert_eq!(answer.status, 201, "buyer {}: {asked:?} got {answer:?}", self.name);
                let id = answer.text("charge_id").to_owned();
                match self.charges.iter().find(|charge| charge.key == *key) {
                    Some(charge) => assert_eq!(charge.id, id, "the same key charged again"),
                    None => self.charges.push(Charge { id, key: key.clone(), points: *points }),
                }
            }
            Asked::Hold { key, wish } => self.learn_of_hold(key, wish, answer),
            Asked::Pay { reservation } | Asked::Cancel { reservation } => {
                let (name, balance) = (self.name, self.balance());
                let found = self.reservations.iter_mut().find(|found| found.id == *reservation).expect("its own");
                if matches!(asked, Asked::Pay { .. }) && answer.is(409, "insufficient-points") {
                    assert!(balance < found.points, "buyer {name} has {balance} of {}: {answer:?}", found.points);
                    return;
                }
                assert_eq!(answer.status, 200, "buyer {name}: {asked:?} from {:?} got {answer:?}", found.state);
                found.state = found.state.after(asked);
                found.changed = true;
                assert_eq!(answer.text("state"), found.state.name(), "buyer {name}: {asked:?}");
            }
        }
    }

    fn learn_of_hold(&mut self, key: &str, wish: &Value, answer: &Answer) {
        let known = self.reservations.iter().find(|found| found.key == *key);
        if let Some(known) = known {
            assert_eq!((answer.status, answer.text("reservation_id")), (201, &*known.id), "repeated: {answer:?}");
            return;
        }
        match answer.status {
            201 => {}
            409 => {
                assert!(["seats-unavailable", "seat-limit"].contains(&answer.problem()), "{wish} got {answer:?}");
                return;
            }
            _ => panic!("buyer {}: {wish} got {answer:?}", self.name),
        }
        let seats = answer.body["seats"].as_array().expect("seats");
        self.reservations.push(Reservation {
            id: answer.text("reservation_id").into(),
            key: key.into(),
            wish: wish.clone(),
            points: answer.number("points"),
            seats: seats.iter().map(|seat| seat["seat"].as_str().expect("a label").to_owned()).collect(),
            standing: answer.body["area"]["count"].as_u64().unwrap_or(0),
            state: State::Held,
            changed: true,
        });
    }

    /// Points, as far as they were acknowledged.
    fn balance(&self) -> u64 {
        let charged: u64 = self.charges.iter().map(|charge| charge.points).sum();
        let paid = self.reservations.iter().filter(|found| found.state == State::Confirmed);
        charged - paid.map(|found| found.points).sum::<u64>()
    }

    /// Looks after a restart whether everything that was acknowledged is there, and everything in flight finishes; then
    /// asks again what was not answered, and repeats some of what was. `all` reads every reservation there ever was.
    pub async fn audit(&mut self, target: &Target, all: bool) {
        let mut client = self.client(target);
        let mut old = OLD_ONES_READ;
        for index in (0..self.reservations.len()).rev() {
            let live = matches!(self.reservations[index].state, State::Held | State::Confirmed);
            let due = all || live || self.reservations[index].changed || self.open_on(&self.reservations[index].id);
            if due || old > 0 {
                old -= usize::from(!due);
                self.read(&mut client, index).await;
            }
        }
        if let Some(asked) = self.open.take() {
            assert_eq!(self.ask(&mut client, asked).await.expect("an answer"), Told::Outcome);
        }
        let balance = client.balance().await;
        assert_eq!(balance, self.balance(), "the balance of buyer {} is not what was acknowledged", self.name);
        for _ in 0..REPEATED {
            let Some(asked) = self.again() else { break };
            assert_eq!(self.ask(&mut client, asked).await.expect("an answer"), Told::Outcome);
        }
        assert_eq!(client.balance().await, balance, "repeated requests changed the balance of buyer {}", self.name);
    }

    fn open_on(&self, id: &str) -> bool {
        matches!(&self.open, Some(Asked::Pay { reservation } | Asked::Cancel { reservation }) if reservation == id)
    }

    async fn read(&mut self, client: &mut Client, index: usize) {
        let reservation = &self.reservations[index];
        let until = Instant::now() + PATIENCE;
        let found = loop {
            let answer = client.reservation(&reservation.id).await;
            if !["paying", "cancelling"].contains(&answer.text("state")) {
                break answer;
            }
            assert!(Instant::now() < until, "buyer {}: a purchase stays in flight: {answer:?}", self.name);
            tokio::time::sleep(POLL).await;
        };
        let mut possible = vec![reservation.state.name()];
        if let Some(asked) = self.open.as_ref().filter(|_| self.open_on(&reservation.id)) {
            possible.push(reservation.state.after(asked).name());
        }
        let state = found.text("state");
        assert!(possible.contains(&state), "buyer {}: {found:?} should be one of {possible:?}", self.name);
        assert_eq!(found.number("points"), reservation.points, "{found:?}");
        self.reservations[index].changed = false;
    }

    /// The places that it has, which nobody else may have.
    pub fn add_places(&self, places: &mut Places) {
        for reservation in &self.reservations {
            let seats = match reservation.state {
                State::Held => &mut places.held,
                State::Confirmed => &mut places.booked,
                State::Released | State::Cancelled => continue,
            };
            for seat in &reservation.seats {
                assert!(seats.insert(seat.clone()), "{seat} was acknowledged twice, to buyer {} too", self.name);
            }
            places.standing += reservation.standing;
        }
        assert!(places.held.is_disjoint(&places.booked), "{places:?}");
    }
}

/// Buyers, a performance for them, and what they know together.
pub struct Crowd {
    pub buyers: Vec<Buyer>,
    pub performance: String,
}

/// Places of the performance's standing area.
pub const STANDING: u64 = 200;

impl Crowd {
    /// Signs `count` buyers up on a server that lets users charge their own wallet.
    pub async fn new(server: &crate::common::Server, count: usize, seed: u64) -> Crowd {
        let rows: Vec<Value> =
            (1..=20).map(|row| json!({"row": row.to_string(), "grade": "VIP", "seat_count": 20})).collect();
        let chart = json!({
            "sections": [{"section": "A", "rows": rows}],
            "areas": [{"area": "Floor", "grade": "R", "capacity": STANDING}],
        });
        let organizer = server.organizer();
        let performance =
            server.performance(&organizer, json!({"chart": chart, "seats_per_user_max": 100, "hold_ttl_s": 86_400}));
        let users = super::sign_up(&super::target(server), count, 0).await;
        let buyers = users.into_iter().enumerate();
        let buyers = buyers.map(|(name, user)| Buyer::new(name, user, &performance, seed)).collect();
        Crowd { buyers, performance }
    }

    /// Everything that every buyer was told is so, and nothing else is.
    pub async fn audit(&mut self, target: &Target, all: bool) {
        futures_util::future::join_all(self.buyers.iter_mut().map(|buyer| buyer.audit(target, all))).await;
        let mut known = Places::default();
        self.buyers.iter().for_each(|buyer| buyer.add_places(&mut known));
        let seen = Client::new(target, "").availability(&self.performance).await;
        let labels = |of: &str| -> BTreeSet<String> {
            let labels = seen.body["seats"][of].as_array().unwrap_or_else(|| panic!("no {of} in {seen:?}"));
            labels.iter().map(|label| label.as_str().unwrap().to_owned()).collect()
        };
        let standing = STANDING - seen.body["areas"][0]["available"].as_u64().expect("places");
        assert_eq!(Places { held: labels("held"), booked: labels("booked"), standing }, known);
    }

    /// How much was acknowledged: by kind.
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for buyer in &self.buyers {
            *counts.entry("charges").or_default() += buyer.charges.len();
            for reservation in &buyer.reservations {
                *counts.entry(reservation.state.name()).or_default() += 1;
            }
        }
        counts
    }
}
