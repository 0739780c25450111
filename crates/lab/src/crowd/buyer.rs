//! One buyer, from sign-up to the last look at the wallet.

use super::api::{Answer, Api, Call, Kind, NoOutcome};
use super::books::{BuyerBook, Moved, Places, State};
use super::plan::{Ending, Plan, Want};
use super::scene::{Charging, Scene};
use super::view::View;
use super::waiting::Waiter;
use crate::stats::Rng;
use rustc_hash::FxHashSet;
use serde_json::{Value, json};
use std::time::Instant;

/// After this many refused holds a buyer leaves.
const HOLDS_MAX: usize = 6;
const PASSWORD: &str = "correct horse battery";

/// A buyer and what they know.
pub struct Buyer<'a> {
    api: &'a Api,
    scene: &'a Scene,
    /// Names this buyer's account and keys; unique among all runs against a server.
    name: String,
    plan: Plan,
    rng: Rng,
    token: String,
    user_id: String,
    /// The last availability: its ETag and its text.
    view: Option<(String, Vec<u8>)>,
    /// When the first payment was acknowledged.
    pub bought_at: Option<Instant>,
    charges: usize,
    waiter: Option<Waiter<'a>>,
    pub book: BuyerBook,
    /// Repeated requests that were answered differently: what both said.
    pub repeats_differ: Vec<String>,
}

impl<'a> Buyer<'a> {
    pub fn new(api: &'a Api, scene: &'a Scene, run: &str, number: usize, seed: u64) -> Buyer<'a> {
        let mut rng = Rng::new(seed, number as u64);
        let plan = Plan::draw(&mut rng);
        Buyer {
            api,
            scene,
            name: format!("{run}-{number}"),
            plan,
            rng,
            token: String::new(),
            user_id: String::new(),
            view: None,
            bought_at: None,
            charges: 0,
            waiter: scene.gate.as_ref().map(|gate| Waiter::new(api, gate, number, seed)),
            book: BuyerBook::default(),
            repeats_differ: Vec::new(),
        }
    }

    /// Signs up; when the first request had no outcome the account may be there already, and a session is opened.
    pub async fn sign_up(&mut self) -> Result<(), NoOutcome> {
        let email = format!("{}@crowd.example", self.name);
        let account = json!({"email": email, "password": PASSWORD, "name": "Buyer"});
        let mut answer = self.api.send(&Call::new(Kind::SignUp, "POST", "/v1/users", "").body(account)).await?;
        let mut session = answer.body["session"].take();
        if answer.reason() == "email-taken" {
            let who = json!({"email": email, "password": PASSWORD});
            answer = self.api.send(&Call::new(Kind::SignUp, "POST", "/v1/sessions", "").body(who)).await?;
            session = answer.body.clone();
        }
        self.token = session["token"].as_str().unwrap_or_default().to_owned();
        self.user_id = answer.text("user_id").to_owned();
        if self.token.is_empty() { Err(NoOutcome) } else { Ok(()) }
    }

    /// Charges the wallet with enough for everything this buyer may want; a poor buyer with one point.
    pub async fn charge_first(&mut self) -> Result<(), NoOutcome> {
        let points = if self.plan.poor { 1 } else { (self.scene.price_max * self.plan.places as u64).max(1) };
        self.charge(points).await
    }

    async fn charge(&mut self, points: u64) -> Result<(), NoOutcome> {
        self.charges += 1;
        let key = format!("{}-charge-{}", self.name, self.charges);
        let mut body = json!({"points": points, "reference": format!("crowd {}", self.name)});
        let token = match &self.scene.charging {
            Charging::Buyers => self.token.clone(),
            Charging::Organizer(key) => {
                body["user_id"] = json!(self.user_id);
                key.clone()
            }
        };
        let call = Call::new(Kind::Charge, "POST", "/v1/wallet/charges", &token).key(&key).body(body);
        let (first, second) = self.send_maybe_twice(&call).await?;
        if first.is_success() {
            self.book.charged(points);
        }
        self.compare(&first, second.as_ref(), &["charge_id", "points", "balance", "charged_at"]);
        Ok(())
    }

    /// Waits in the queue, where there is one, and buys.
    pub async fn come(&mut self) -> Result<(), NoOutcome> {
        if self.waiter.as_ref().is_some_and(|waiter| waiter.habits.tries_the_door) {
            self.try_the_door().await?;
        }
        if let Some(waiter) = &mut self.waiter
            && !waiter.wait(&self.token, &mut self.book.wait).await?
        {
            return Ok(());
        }
        self.shop().await?;
        let walks_away = self.plan.ending == Ending::WalksAway;
        match &mut self.waiter {
            Some(waiter) => waiter.done(walks_away).await,
            None => Ok(()),
        }
    }

    /// Whoever was not let in holds nothing.
    async fn try_the_door(&mut self) -> Result<(), NoOutcome> {
        let path = format!("/v1/performances/{}/reservations", self.scene.performance);
        let call = Call::new(Kind::Hold, "POST", &path, &self.token).body(json!({"best_available": {"count": 1}}));
        let answer = self.api.send(&call).await?;
        self.book.wait.held_unadmitted += u64::from(answer.is_success());
        Ok(())
    }

    /// Looks, holds, and does what the plan says.
    async fn shop(&mut self) -> Result<(), NoOutcome> {
        for _ in 0..self.plan.looks {
            self.look().await?;
        }
        let Some(id) = self.hold_something().await? else { return Ok(()) };
        match self.plan.ending {
            Ending::WalksAway => {}
            Ending::Releases => self.cancel(&id).await?,
            Ending::Pays => self.pay(&id).await?,
            Ending::Cancels => {
                self.pay(&id).await?;
                self.cancel(&id).await?;
            }
        }
        Ok(())
    }

    async fn look(&mut self) -> Result<(), NoOutcome> {
        let path = self.scene.availability_path();
        let etag = self.view.as_ref().map(|(etag, _)| etag.clone());
        let mut call = Call::new(Kind::Availability, "GET", &path, &self.token);
        call.if_none_match = etag.as_deref();
        let answer = self.api.send(&call).await?;
        if answer.status == 200 {
            self.view = Some((answer.etag.unwrap_or_default(), answer.text));
        }
        Ok(())
    }

    /// Tries places until some are held; looks again after each refusal, and leaves when nothing is left.
    async fn hold_something(&mut self) -> Result<Option<String>, NoOutcome> {
        for attempt in 0..HOLDS_MAX {
            if self.view.as_ref().is_some_and(|(_, text)| View::read(text).is_sold_out()) {
                break;
            }
            let (want, count) = next_try(&self.plan, attempt);
            let Some(body) = self.wish(want, count) else { continue };
            let answer = self.hold(attempt, body).await?;
            if answer.is_success() {
                let id = answer.text("reservation_id").to_owned();
                self.book.held(&id, places(&answer.body), answer.number("points"));
                return Ok(Some(id));
            }
            self.look().await?;
        }
        Ok(None)
    }

    /// The body of a hold, or None when there is nothing of the kind to ask for.
    fn wish(&mut self, want: Want, count: usize) -> Option<Value> {
        Some(match want {
            Want::Favourite => {
                let view = self.view.as_ref().map(|(_, text)| View::read(text)).unwrap_or_default();
                let taken: FxHashSet<&str> = view.taken().collect();
                json!({"seats": self.scene.map.pick(&mut self.rng, count, |seat| taken.contains(seat))?})
            }
            Want::Best(_) if self.scene.map.rows.is_empty() => return None,
            Want::Best(grade) => match grade.and_then(|grade| self.scene.grades.get(grade)) {
                Some(grade) => json!({"best_available": {"grade": grade, "count": count}}),
                None => json!({"best_available": {"count": count}}),
            },
            Want::Standing => json!({"area": self.scene.areas.first()?, "count": count}),
        })
    }

    async fn hold(&mut self, attempt: usize, body: Value) -> Result<Answer, NoOutcome> {
        let path = format!("/v1/performances/{}/reservations", self.scene.performance);
        let key = format!("{}-hold-{attempt}", self.name);
        let token = self.token.clone();
        let call = Call::new(Kind::Hold, "POST", &path, &token).key(&key).body(body);
        let (first, second) = self.send_maybe_twice(&call).await?;
        let answer = match second {
            None => first,
            // A refusal holds nothing and is not remembered: the one that the server saw later may find places that have
            // become free. Of two sent at once, that may be either.
            Some(second) if !first.is_success() => {
                if second.is_success() {
                    second
                } else {
                    first
                }
            }
            Some(second) if self.plan.at_once && !second.is_success() => first,
            Some(second) => {
                self.compare(&first, Some(&second), &["reservation_id", "seats", "area", "expires_at"]);
                first
            }
        };
        if answer.is_success() && self.plan.mixes_keys {
            let other = call.body(json!({"best_available": {"count": self.plan.places + 1}}));
            let refused = self.api.send(&other).await?;
            if refused.reason() != "idempotency-key-reused" {
                self.repeats_differ.push(format!("a key used again for something else got {}", refused.body));
            }
        }
        Ok(answer)
    }

    async fn pay(&mut self, id: &str) -> Result<(), NoOutcome> {
        let path = format!("/v1/reservations/{id}/payment");
        let token = self.token.clone();
        let call = Call::new(Kind::Pay, "POST", &path, &token);
        let (mut first, mut second) = self.send_maybe_twice(&call).await?;
        if first.reason() == "insufficient-points" {
            let (required, balance) = (first.number("required"), first.number("balance"));
            self.charge(required.saturating_sub(balance).max(1)).await?;
            (first, second) = self.send_maybe_twice(&call).await?;
        }
        if first.is_success() {
            self.book.told(id, State::Confirmed);
            self.bought_at = Some(Instant::now());
        }
        self.compare(&first, second.as_ref(), &["reservation_id", "state", "confirmed_at"]);
        Ok(())
    }

    async fn cancel(&mut self, id: &str) -> Result<(), NoOutcome> {
        let path = format!("/v1/reservations/{id}");
        let token = self.token.clone();
        let (first, second) = self.send_maybe_twice(&Call::new(Kind::Cancel, "DELETE", &path, &token)).await?;
        match first.text("state") {
            "released" => self.book.told(id, State::Released),
            "cancelled" => self.book.told(id, State::Cancelled),
            _ => {}
        }
        self.compare(&first, second.as_ref(), &["reservation_id", "state", "cancelled_at"]);
        if self.plan.repeats {
            let path = format!("{path}/payment");
            let late = Call::new(Kind::Pay, "POST", &path, &token);
            let answer = self.api.send(&late).await?;
            if answer.is_success() {
                self.api.unexpected(&late, "a cancelled reservation was paid", &answer.body.to_string());
            }
        }
        Ok(())
    }

    /// Sends a call, and by plan a second time: right behind the first one's answer or beside it.
    async fn send_maybe_twice(&self, call: &Call<'_>) -> Result<(Answer, Option<Answer>), NoOutcome> {
        if !self.plan.repeats {
            return Ok((self.api.send(call).await?, None));
        }
        if self.plan.at_once {
            let (first, second) = futures_util::join!(self.api.send(call), self.api.send(call));
            return Ok((first?, Some(second?)));
        }
        let first = self.api.send(call).await?;
        Ok((first, Some(self.api.send(call).await?)))
    }

    /// A repeated success must say the same again. (A refusal may turn: places become free, points arrive.)
    fn compare(&mut self, first: &Answer, second: Option<&Answer>, members: &[&str]) {
        let Some(second) = second.filter(|_| first.is_success()) else { return };
        let same = second.is_success() && members.iter().all(|member| first.body[member] == second.body[member]);
        if !same {
            self.repeats_differ.push(format!("first {}, then {}", first.body, second.body));
        }
    }

    /// Reads the wallet, its statement and every reservation.
    pub async fn read_back(&self) -> Result<ReadBack, NoOutcome> {
        let read = async |path: &str| self.api.send(&Call::new(Kind::Read, "GET", path, &self.token)).await;
        let wallet = read("/v1/wallet").await?;
        // One page: nobody here has as many entries.
        let statement = read("/v1/wallet/entries?limit=500").await?;
        let mut found = ReadBack {
            balance: wallet.body["balance"].as_u64(),
            statement: statement.is_success().then(|| moved(&statement.body)),
            reservations: Vec::new(),
            entry: match &self.waiter {
                Some(waiter) => waiter.read_back().await?,
                None => None,
            },
        };
        for kept in &self.book.reservations {
            let answer = read(&format!("/v1/reservations/{}", kept.id)).await?;
            if answer.is_success() {
                found.reservations.push((kept.id.clone(), answer.text("state").to_owned(), places(&answer.body)));
            }
        }
        Ok(found)
    }
}

/// What a buyer finds at the end.
#[derive(Default)]
pub struct ReadBack {
    pub balance: Option<u64>,
    pub statement: Option<Moved>,
    /// Each one's id, state and places.
    pub reservations: Vec<(String, String, Places)>,
    /// The state of the entry in the queue.
    pub entry: Option<String>,
}

/// What a statement's entries come to.
fn moved(statement: &Value) -> Moved {
    let mut moved = Moved::default();
    for entry in statement["items"].as_array().into_iter().flatten() {
        let sum = match entry["type"].as_str() {
            Some("charged") => &mut moved.charged,
            Some("spent") => &mut moved.spent,
            Some("refunded") => &mut moved.refunded,
            _ => continue,
        };
        *sum += entry["points"].as_i64().unwrap_or_default().unsigned_abs();
    }
    moved
}

/// What to ask for after `attempt` refusals: twice what was wanted, then anything, then fewer places.
fn next_try(plan: &Plan, attempt: usize) -> (Want, usize) {
    match attempt {
        0 | 1 => (plan.want, plan.places),
        2 => (Want::Best(None), plan.places),
        3 => (Want::Favourite, 1),
        4 => (Want::Best(None), 1),
        _ => (Want::Standing, 1),
    }
}

fn places(reservation: &Value) -> Places {
    match reservation["area"]["area"].as_str() {
        Some(area) => {
            Places::Area { area: area.to_owned(), count: reservation["area"]["count"].as_u64().unwrap_or_default() }
        }
        None => {
            let seats = reservation["seats"].as_array().into_iter().flatten();
            Places::Seats(seats.map(|seat| seat["seat"].as_str().unwrap_or_default().to_owned()).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reservations_name_their_places() {
        let seats = json!({"seats": [{"seat": "A-1-1", "grade": "A", "points": 5}], "area": null});
        assert_eq!(places(&seats), Places::Seats(vec!["A-1-1".into()]));
        let area = json!({"seats": [], "area": {"area": "Floor", "grade": "S", "count": 2, "points": 9}});
        assert_eq!(places(&area), Places::Area { area: "Floor".into(), count: 2 });
    }

    #[test]
    fn a_statement_comes_to_what_its_entries_say() {
        let entry = |kind: &str, points: i64| json!({"type": kind, "points": points});
        let entries = [entry("charged", 90), entry("spent", -30), entry("spent", -20), entry("refunded", 30)];
        assert_eq!(moved(&json!({"items": entries})), Moved { charged: 90, spent: 50, refunded: 30 });
    }

    #[test]
    fn a_refused_buyer_asks_for_less_and_less() {
        let mut plan = Plan::draw(&mut Rng::new(1, 1));
        (plan.want, plan.places) = (Want::Standing, 3);
        let tries: Vec<_> = (0..HOLDS_MAX).map(|attempt| next_try(&plan, attempt)).collect();
        assert_eq!(tries[..2], [(Want::Standing, 3); 2]);
        assert_eq!(tries[2], (Want::Best(None), 3));
        assert_eq!(tries[5], (Want::Standing, 1));
        assert!(tries.windows(2).all(|pair| pair[0].1 >= pair[1].1));
    }
}
