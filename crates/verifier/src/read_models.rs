//! `onsale verify --read-models`: whether the SQL books equal the log's. The log is read here by itself, without any of the
//! rules or statements that made the tables.

use anyhow::{Context, bail};
use base::id::Category;
use eventlog::{Position, Recorded};
use readmodels::checkpoints;
use readmodels::store::Place;
use readmodels::{Row, Value, int, text};
use serde_json::Value as Json;
use std::collections::{BTreeMap, HashMap};

/// Mistakes that are told; of more only the number.
const TOLD_MAX: usize = 20;
/// What is compared.
const TABLES: [&str; 7] = ["reservations", "wallets", "wallet_entries", "seats", "sales", "queues", "queue_minutes"];
/// A read model that moves on while it is read is read again so many times.
const TRIES: u32 = 20;

/// What the log says.
#[derive(Default)]
struct Books {
    /// State, points, user.
    reservations: HashMap<String, (&'static str, i64, String)>,
    balances: HashMap<String, i64>,
    /// Performance and seat → the reservation that has it.
    seats: HashMap<(String, String), String>,
    /// Performance → sold and refunded points.
    sales: BTreeMap<String, (i64, i64)>,
    entries: usize,
    queues: BTreeMap<String, Queue>,
}

/// Of a queue: how many ever joined, were let in and went, and how many wait.
#[derive(Default, PartialEq, Debug)]
struct Queue {
    joined: i64,
    admitted: i64,
    went: i64,
    waiting: i64,
}

impl Books {
    fn apply(&mut self, event: &Recorded<'_>) -> Result<(), serde_json::Error> {
        if event.stream.category == Category::Queue {
            return self.apply_queue(event);
        }
        let key = event.stream.key.to_string();
        let state = match event.name {
            "SeatsHeld.v1" => "held",
            "PaymentStarted.v1" => "paying",
            "PaymentRefused.v1" => "held",
            "ReservationConfirmed.v1" => "confirmed",
            "CancellationStarted.v1" => "cancelling",
            "ReservationCancelled.v1" => "cancelled",
            "HoldReleased.v1" => "released",
            "HoldExpired.v1" => "expired",
            "WalletOpened.v1" => {
                self.balances.insert(key, 0);
                return Ok(());
            }
            "PointsCharged.v1" | "PointsSpent.v1" | "PointsRefunded.v1" | "PointsAdjusted.v1" => {
                let data: Json = serde_json::from_slice(event.data)?;
                self.balances.insert(key, data["balance"].as_i64().unwrap_or(-1));
                self.entries += 1;
                return Ok(());
            }
            _ => return Ok(()),
        };
        let data: Json = serde_json::from_slice(event.data)?;
        let id = data["reservation_id"].as_str().unwrap_or_default().to_owned();
        let points = data["points"].as_i64().unwrap_or(0);
        match event.name {
            "SeatsHeld.v1" => {
                for seat in data["seats"].as_array().into_iter().flatten() {
                    let seat = seat["seat"].as_str().unwrap_or_default().to_owned();
                    self.seats.insert((key.clone(), seat), id.clone());
                }
                let user = data["user_id"].as_str().unwrap_or_default().to_owned();
                self.reservations.insert(id, (state, points, user));
                return Ok(());
            }
            "ReservationConfirmed.v1" => self.sales.entry(key).or_default().0 += points,
            "ReservationCancelled.v1" | "HoldReleased.v1" | "HoldExpired.v1" => {
                for seat in data["places"]["seats"].as_array().into_iter().flatten() {
                    self.seats.remove(&(key.clone(), seat.as_str().unwrap_or_default().to_owned()));
                }
                if state == "cancelled" {
                    self.sales.entry(key).or_default().1 += points;
                }
            }
            _ => {}
        }
        if let Some(reservation) = self.reservations.get_mut(&id) {
            reservation.0 = state;
        }
        Ok(())
    }

    fn apply_queue(&mut self, event: &Recorded<'_>) -> Result<(), serde_json::Error> {
        let queue = self.queues.entry(event.stream.key.to_string()).or_default();
        let data: Json = serde_json::from_slice(event.data)?;
        let count = |list: &str| data[list].as_array().map_or(0, Vec::len) as i64;
        match event.name {
            "EntryJoined.v1" => queue.joined += 1,
            "EntriesAdmitted.v1" => queue.admitted += count("entries"),
            "EntryLeft.v1" => queue.went += 1,
            "EntriesGivenUp.v1" => queue.went += count("tickets"),
            _ => {}
        }
        queue.waiting = data["waiting"].as_i64().unwrap_or(queue.waiting);
        Ok(())
    }
}

type Each<'a> = &'a mut dyn FnMut(Recorded<'_>) -> bool;

/// What differs between the log up to `position` and the tables, in words.
pub fn compare(
    read: &mut dyn FnMut(Each<'_>) -> Result<Position, eventlog::Error>,
    rows: &mut dyn FnMut(&str) -> anyhow::Result<Vec<Row>>,
    position: Position,
) -> anyhow::Result<Vec<String>> {
    let (mut books, mut failed) = (Books::default(), None);
    read(&mut |event| {
        if event.position > position {
            return false;
        }
        failed = books.apply(&event).err();
        failed.is_none()
    })?;
    if let Some(error) = failed {
        bail!("an event is no JSON: {error}");
    }
    let mut wrong = Vec::new();
    let reservations = rows("reservations")?;
    for row in &reservations {
        let found = (text(row, 3), row[6].int().unwrap_or(-1), text(row, 2));
        let logged = books.reservations.get(text(row, 0)).map(|(state, points, user)| (*state, *points, user.as_str()));
        if logged != Some(found) {
            wrong.push(format!("reservation {} is {found:?} in SQL and {logged:?} in the log", text(row, 0)));
        }
    }
    count(&mut wrong, "reservations", reservations.len(), books.reservations.len());
    let wallets = rows("wallets")?;
    for row in &wallets {
        let (found, logged) = (row[1].int(), books.balances.get(text(row, 0)).copied());
        if found != logged {
            wrong.push(format!("wallet {} has {found:?} in SQL and {logged:?} in the log", text(row, 0)));
        }
    }
    count(&mut wrong, "wallets", wallets.len(), books.balances.len());
    count(&mut wrong, "wallet_entries", rows("wallet_entries")?.len(), books.entries);
    let mut taken = 0;
    for row in rows("seats")?.iter().filter(|row| row[4] != Value::Null) {
        taken += 1;
        let place = (text(row, 0).to_owned(), text(row, 1).to_owned());
        let logged = books.seats.get(&place).map(String::as_str);
        if logged != Some(text(row, 4)) {
            wrong.push(format!(
                "seat {} of {} is of {} in SQL and of {logged:?} in the log",
                place.1,
                place.0,
                text(row, 4)
            ));
        }
    }
    count(&mut wrong, "taken seats", taken, books.seats.len());
    let mut sales: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for row in rows("sales")? {
        let sum = sales.entry(text(&row, 0).to_owned()).or_default();
        *sum = (sum.0 + int(&row, 4) as i64, sum.1 + int(&row, 6) as i64);
    }
    if sales != books.sales {
        let first = sales.iter().zip(&books.sales).find(|(sql, log)| sql != log);
        wrong.push(format!("sales differ, first: {first:?}"));
    }
    let mut queues: BTreeMap<String, Queue> = BTreeMap::new();
    for row in rows("queues")? {
        queues.entry(text(&row, 0).to_owned()).or_default().waiting = int(&row, 5) as i64;
    }
    for row in rows("queue_minutes")? {
        let queue = queues.entry(text(&row, 0).to_owned()).or_default();
        queue.joined += int(&row, 2) as i64;
        queue.admitted += int(&row, 3) as i64;
        queue.went += int(&row, 4) as i64;
    }
    if queues != books.queues {
        let first = queues.iter().zip(&books.queues).find(|(sql, log)| sql != log);
        wrong.push(format!("queues differ, first: {first:?}"));
    }
    Ok(wrong)
}

fn count(wrong: &mut Vec<String>, what: &str, found: usize, logged: usize) {
    if found != logged {
        wrong.push(format!("there are {found} {what} in SQL and {logged} by the log"));
    }
}

/// Compares a read model with the log: the position that it is at, and what differs.
pub fn check(
    place: &Place,
    read: &mut dyn FnMut(Each<'_>) -> Result<Position, eventlog::Error>,
) -> anyhow::Result<(Position, Vec<String>)> {
    let mut store = place.open_to_read()?;
    if !checkpoints::exist(&mut *store)? {
        bail!("there are no read models in {place}");
    }
    for _ in 0..TRIES {
        let position = checkpoints::position(&mut *store)?;
        let mut tables = HashMap::new();
        for table in TABLES {
            let rows = store.query(&format!("SELECT * FROM {table}"), &[]);
            tables.insert(table, rows.map_err(|error: readmodels::Error| error.within(table))?);
        }
        if checkpoints::position(&mut *store)? != position {
            std::thread::sleep(std::time::Duration::from_millis(100));
            continue;
        }
        let rows = &mut |table: &str| tables.remove(table).context("a table is read once");
        let mut wrong = compare(read, rows, position)?;
        let more = wrong.len().saturating_sub(TOLD_MAX);
        wrong.truncate(TOLD_MAX);
        if more > 0 {
            wrong.push(format!("and {more} more"));
        }
        return Ok((position, wrong));
    }
    bail!("the read model moves on while it is read: try again when less is sold")
}
