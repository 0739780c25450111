//! What the benchmark's requests are about: users, performances, and pairs of seats that nobody has asked for yet.

use super::load::{Failure, Worker};
use crate::client::write_request;
use anyhow::{Context, anyhow, bail, ensure};
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::io::Write;

/// A prime, so that every performance is bought from by every user.
const USERS: usize = 251;
/// What one charge may bring; far more than a run can spend.
const POINTS: u64 = 10_000_000;
const PRICE_POINTS: u64 = 10;
/// Holds go to this many performances in turn, as when several sell at a time.
const SELLING_AT_ONCE: usize = 8;
/// 4 sections × 25 rows × 20 seats.
const ROWS: usize = 100;
const PAIRS_PER_ROW: usize = 10;
const PAIRS: usize = ROWS * PAIRS_PER_ROW;
const ROWS_PER_SECTION: usize = 25;

struct User {
    id: String,
    token: String,
}

/// Users with full wallets and performances of 2,000 seats, made over HTTP.
pub struct Stage {
    organizer_key: String,
    concert: String,
    users: Vec<User>,
    performances: RefCell<Vec<String>>,
    /// Pairs handed out so far.
    next: Cell<usize>,
}

/// A pair of seats of one row, by its number: which performance, which seats, for whom.
#[derive(Debug, PartialEq, Eq)]
struct Pair {
    performance: usize,
    row: usize,
    first_seat: usize,
    user: usize,
}

impl Pair {
    fn number(number: usize) -> Pair {
        let (block, place) = (number / (SELLING_AT_ONCE * PAIRS), number % (SELLING_AT_ONCE * PAIRS));
        let pair = place / SELLING_AT_ONCE;
        Pair {
            performance: block * SELLING_AT_ONCE + place % SELLING_AT_ONCE,
            row: pair / PAIRS_PER_ROW,
            first_seat: pair % PAIRS_PER_ROW * 2 + 1,
            user: number % USERS,
        }
    }

    /// The body of a hold of both seats.
    fn write_body(&self, out: &mut Vec<u8>) {
        let section = char::from(b'A' + (self.row / ROWS_PER_SECTION) as u8);
        let (row, seat) = (self.row % ROWS_PER_SECTION + 1, self.first_seat);
        let _ = write!(out, "{{\"seats\":[\"{section}-{row}-{seat}\",\"{section}-{row}-{}\"]}}", seat + 1);
    }
}

impl Stage {
    pub async fn build(workers: &mut [Worker], operator_key: &str) -> anyhow::Result<Stage> {
        let first = &mut workers[0];
        let organizer = post(first, "/v1/organizers", operator_key, json!({"name": "Benchmark"})).await?;
        let organizer_key = text(&organizer["key"]["secret"]).context("an organizer without a key")?;
        let concert = json!({"title": "Benchmark", "artist": "Machine", "venue": "Here"});
        let concert = post(first, "/v1/concerts", &organizer_key, concert).await?;
        let concert = text(&concert["concert_id"]).context("a concert without an id")?;
        let users = RefCell::new(Vec::with_capacity(USERS));
        share_out(workers, USERS, async |worker, number| {
            let account = json!({"email": format!("user-{number}@benchmark.example"), "password": "correct horse"});
            let user = post(worker, "/v1/users", "", account).await?;
            let id = text(&user["user_id"]).context("a user without an id")?;
            let token = text(&user["session"]["token"]).context("a user without a session")?;
            let charge = json!({"points": POINTS, "user_id": id});
            post(worker, "/v1/wallet/charges", &organizer_key, charge).await?;
            users.borrow_mut().push(User { id, token });
            Ok(())
        })
        .await?;
        let users = users.into_inner();
        Ok(Stage { organizer_key, concert, users, performances: RefCell::default(), next: Cell::new(0) })
    }

    /// Creates performances until `pairs` pairs are left to ask for.
    pub async fn provide(&self, workers: &mut [Worker], pairs: usize) -> anyhow::Result<()> {
        let block = SELLING_AT_ONCE * PAIRS;
        let want = (self.next.get() + pairs).div_ceil(block) * SELLING_AT_ONCE;
        let missing = want.saturating_sub(self.performances.borrow().len());
        let path = format!("/v1/concerts/{}/performances", self.concert);
        let performance = performance();
        share_out(workers, missing, async |worker, _| {
            let made = post(worker, &path, &self.organizer_key, performance.clone()).await?;
            let id = text(&made["performance_id"]).context("a performance without an id")?;
            self.performances.borrow_mut().push(id);
            Ok(())
        })
        .await
    }

    /// Writes a hold of the next pair into the worker's buffer.
    pub fn write_hold(&self, worker: &mut Worker) -> Result<(), Failure> {
        let number = self.next.get();
        self.write_hold_of(worker, &Pair::number(number))?;
        self.next.set(number + 1);
        Ok(())
    }

    /// Writes the headers and the body of a hold to where nothing is done.
    pub fn write_noop(&self, worker: &mut Worker) {
        let mut body = Vec::with_capacity(64);
        Pair::number(0).write_body(&mut body);
        self.write(worker, "POST", "/noop", 0, &[], Some(&body));
    }

    /// The same for a pair of the first performance, all of whose pairs have been asked for before.
    pub fn write_taken_hold(&self, worker: &mut Worker, number: usize) -> Result<(), Failure> {
        let pair = Pair::number(number % PAIRS * SELLING_AT_ONCE);
        self.write_hold_of(worker, &Pair { user: number % USERS, ..pair })
    }

    fn write_hold_of(&self, worker: &mut Worker, pair: &Pair) -> Result<(), Failure> {
        let performances = self.performances.borrow();
        let performance = performances.get(pair.performance).ok_or(Failure::Exhausted)?;
        let mut body = Vec::with_capacity(64);
        pair.write_body(&mut body);
        let hold = format!("/v1/performances/{performance}/reservations");
        self.write(worker, "POST", &hold, pair.user, &[], Some(&body));
        Ok(())
    }

    /// A performance of its own, of rows `1` to `rows` of `seats` seats each in section `A`.
    pub async fn performance_of(&self, worker: &mut Worker, rows: usize, seats: usize) -> anyhow::Result<String> {
        let rows: Vec<Value> =
            (1..=rows).map(|row| json!({"row": row.to_string(), "grade": "R", "seat_count": seats})).collect();
        let body = json!({
            "starts_at": "2099-12-31T19:00:00.000Z", "hold_ttl_s": 86_400, "seats_per_user_max": 100,
            "prices": {"R": PRICE_POINTS}, "chart": {"sections": [{"section": "A", "rows": rows}]},
        });
        let made =
            post(worker, &format!("/v1/concerts/{}/performances", self.concert), &self.organizer_key, body).await?;
        text(&made["performance_id"]).context("a performance without an id")
    }

    /// Writes a hold of these seats of `performance`; gives the user whose hold it is: the `number`th, in turns.
    pub fn write_hold_by(&self, worker: &mut Worker, performance: &str, number: usize, seats: &[String]) -> usize {
        let user = number % USERS;
        let body = json!({"seats": seats}).to_string();
        let path = format!("/v1/performances/{performance}/reservations");
        self.write(worker, "POST", &path, user, &[], Some(body.as_bytes()));
        user
    }

    /// Writes a payment of `reservation`, which is `user`'s.
    pub fn write_payment(&self, worker: &mut Worker, reservation: &str, user: usize) {
        self.write(worker, "POST", &format!("/v1/reservations/{reservation}/payment"), user, &[], None);
    }

    /// The user that the next hold is for.
    pub fn next_user(&self) -> usize {
        self.next.get() % USERS
    }

    /// Writes a GET with an ETag of what is known.
    pub fn write_get(&self, worker: &mut Worker, path: &str, etag: &str) {
        self.write(worker, "GET", path, 0, &[("if-none-match", etag)], None);
    }

    /// The path of the first performance's availability.
    pub fn availability_path(&self) -> anyhow::Result<String> {
        let performances = self.performances.borrow();
        let first = performances.first().context("no performance")?;
        Ok(format!("/v1/performances/{first}/availability"))
    }

    /// Holds every pair of the first performances, so that their seats are taken; warms the server's paths, too.
    pub async fn fill_first(&self, workers: &mut [Worker]) -> anyhow::Result<()> {
        let pairs = SELLING_AT_ONCE * PAIRS;
        self.provide(workers, pairs).await?;
        share_out(workers, pairs, async |worker, _| {
            if self.write_hold(worker).is_err() {
                bail!("too few performances");
            }
            read(worker, 201, "a hold").await.map(|_| ())
        })
        .await
    }

    fn write(
        &self,
        worker: &mut Worker,
        method: &str,
        path: &str,
        user: usize,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) {
        let mut request = std::mem::take(&mut worker.request);
        request.clear();
        let token = &self.users[user % self.users.len()].token;
        write_request(&mut request, method, path, worker.host(), Some(token), headers, body);
        worker.request = request;
    }

    /// The wallets' sum as it must be after `purchases` purchases, read from the server; an error names both.
    pub async fn check_wallets(&self, workers: &mut [Worker], purchases: u64) -> anyhow::Result<()> {
        let sum = Cell::new(0);
        share_out(workers, self.users.len(), async |worker, number| {
            self.write(worker, "GET", "/v1/wallet", number, &[], None);
            let wallet = read(worker, 200, "/v1/wallet").await?;
            ensure!(wallet["user_id"] == json!(self.users[number].id), "a wallet of somebody else");
            sum.set(sum.get() + wallet["balance"].as_u64().unwrap_or_default());
            Ok(())
        })
        .await?;
        let want = self.users.len() as u64 * POINTS - purchases * 2 * PRICE_POINTS;
        ensure!(sum.get() == want, "the wallets hold {} points instead of {want}", sum.get());
        Ok(())
    }
}

/// A performance of 2,000 seats whose holds outlast the run.
fn performance() -> Value {
    let section = |number: usize| {
        let grade = ["VIP", "R", "S", "A"][number];
        let row = |row: usize| json!({"row": row.to_string(), "grade": grade, "seat_count": PAIRS_PER_ROW * 2});
        let rows: Vec<Value> = (1..=ROWS_PER_SECTION).map(row).collect();
        json!({"section": char::from(b'A' + number as u8).to_string(), "rows": rows})
    };
    let sections: Vec<Value> = (0..ROWS / ROWS_PER_SECTION).map(section).collect();
    let prices = json!({"VIP": PRICE_POINTS, "R": PRICE_POINTS, "S": PRICE_POINTS, "A": PRICE_POINTS});
    json!({
        "starts_at": "2099-12-31T19:00:00.000Z", "hold_ttl_s": 86_400, "seats_per_user_max": 100,
        "lapsed_holds_max": 0,
        "prices": prices, "chart": {"sections": sections},
    })
}

/// Runs `act` for each number below `count`, shared out over the workers.
async fn share_out(
    workers: &mut [Worker],
    count: usize,
    act: impl AsyncFn(&mut Worker, usize) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (next, act) = (Cell::new(0), &act);
    let next = &next;
    let loops = workers.iter_mut().map(async |worker| {
        while next.get() < count {
            let number = next.get();
            next.set(number + 1);
            act(worker, number).await?;
        }
        anyhow::Ok(())
    });
    futures_util::future::try_join_all(loops).await?;
    Ok(())
}

async fn post(worker: &mut Worker, path: &str, key: &str, body: Value) -> anyhow::Result<Value> {
    let idempotency_key = uuid::Uuid::new_v4().to_string();
    let mut request = Vec::new();
    let token = Some(key).filter(|key| !key.is_empty());
    let body = body.to_string();
    let headers = [("idempotency-key", idempotency_key.as_str())];
    write_request(&mut request, "POST", path, worker.host(), token, &headers, Some(body.as_bytes()));
    worker.request = request;
    read(worker, 201, path).await
}

pub async fn read(worker: &mut Worker, status: u16, path: &str) -> anyhow::Result<Value> {
    match worker.expect(status).await {
        Ok(reply) => Ok(serde_json::from_slice(reply.body)?),
        Err(Failure::Unexpected(what)) => Err(anyhow!("{path}: {what}")),
        Err(Failure::Exhausted) => Err(anyhow!("{path}: nothing to ask for")),
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};

    #[test]
    fn no_pair_is_asked_for_twice_and_no_user_takes_too_many() {
        let numbers = 2 * SELLING_AT_ONCE * PAIRS;
        let mut seen = HashSet::new();
        let mut per_user: HashMap<(usize, usize), usize> = HashMap::new();
        for number in 0..numbers {
            let pair = Pair::number(number);
            assert!(pair.row < ROWS && pair.first_seat < PAIRS_PER_ROW * 2);
            *per_user.entry((pair.performance, pair.user)).or_default() += 2;
            assert!(seen.insert((pair.performance, pair.row, pair.first_seat)), "{pair:?}");
        }
        assert_eq!(seen.iter().map(|pair| pair.0).collect::<HashSet<_>>().len(), 2 * SELLING_AT_ONCE);
        assert!(per_user.values().all(|&seats| seats <= 100));
    }

    #[test]
    fn bodies_name_seats_of_the_chart() {
        let body = |number| {
            let mut out = Vec::new();
            Pair::number(number).write_body(&mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(body(0), r#"{"seats":["A-1-1","A-1-2"]}"#);
        assert_eq!(body(SELLING_AT_ONCE * PAIRS - 1), r#"{"seats":["D-25-19","D-25-20"]}"#);
        let chart = &performance()["chart"];
        assert_eq!(chart["sections"][3]["section"], "D");
        assert_eq!(chart["sections"][3]["rows"][24], json!({"row": "25", "grade": "A", "seat_count": 20}));
    }
}
