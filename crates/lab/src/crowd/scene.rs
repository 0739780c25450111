//! Where the crowd buys: a performance of its own, or one that is already there.

use super::api::{Answer, Api, Call, Kind, post};
use super::books::{Moved, ServerRecord};
use super::plan::{AREA, GRADES, PLACES_MAX, SeatMap};
use super::view::View;
use super::waiting::Gate;
use anyhow::{Context, bail, ensure};
use api::kit::time::Time;
use base::clock::{Clock, SystemClock};
use base::id::Millis;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Longer than any run, so that a hold lapses only when the run is slow beyond reason.
const HOLD_TTL_S: u64 = 1800;
/// Some thousand refunds take about a second.
const CANCELLED_WITHIN: Duration = Duration::from_secs(120);
const DAY_MS: Millis = 24 * 3600 * 1000;
const SEATS_PER_ROW: usize = 20;
const ROWS_PER_SECTION: usize = 25;

/// Who charges the buyers' wallets.
pub enum Charging {
    /// The organizer, by this key, as after a payment.
    Organizer(String),
    /// The buyers themselves; only a demo allows it.
    Buyers,
}

/// The place of the sale.
pub struct Scene {
    pub performance: String,
    pub charging: Charging,
    pub map: SeatMap,
    /// The best first.
    pub grades: Vec<String>,
    pub areas: Vec<String>,
    /// The dearest place.
    pub price_max: u64,
    /// It was made for this crowd: whatever is sold there, this crowd bought.
    pub alone: bool,
    /// Its organizer was made for this crowd: nobody else's points are on its account.
    new_organizer: bool,
    /// The queue that buyers go through first.
    pub gate: Option<Gate>,
}

impl Scene {
    /// A new concert with a performance of `seats` seats in four grades and a standing area of a tenth as many places.
    /// Needs an organizer's key, or the operator's to make an organizer first. With `waiters` it is behind a queue that is
    /// for so many.
    pub async fn create(
        api: &Api,
        organizer_key: Option<&str>,
        operator_key: Option<&str>,
        seats: usize,
        waiters: Option<u32>,
    ) -> anyhow::Result<Scene> {
        let key = match (organizer_key, operator_key) {
            (Some(key), _) => key.to_owned(),
            (None, Some(operator)) => {
                let organizer = post(api, "/v1/organizers", operator, json!({"name": "Crowd"})).await?;
                let secret = organizer.body["key"]["secret"].as_str().context("an organizer without a key")?;
                secret.to_owned()
            }
            (None, None) => bail!(NEEDS_A_KEY),
        };
        let concert = json!({"title": "The crowd", "artist": "Everyone", "venue": "Here"});
        let concert = post(api, "/v1/concerts", &key, concert).await?;
        let path = format!("/v1/concerts/{}/performances", concert.text("concert_id"));
        let (chart, map) = chart(seats);
        let mut prices = GRADES.map(|(grade, points)| (grade, points)).to_vec();
        prices.push((AREA.1, AREA.2));
        let prices: serde_json::Map<_, _> = prices.into_iter().map(|(g, p)| (g.to_owned(), json!(p))).collect();
        let gate = match waiters {
            Some(buyers) => Some(Gate::create(api, &key, buyers).await?),
            None => None,
        };
        let performance = json!({
            "starts_at": "2099-12-31T19:00:00.000Z", "hold_ttl_s": HOLD_TTL_S, "seats_per_user_max": PLACES_MAX,
            "lapsed_holds_max": 0, "queue_id": gate.as_ref().map(|gate| &gate.queue),
            "prices": prices, "chart": chart,
        });
        let performance = post(api, &path, &key, performance).await?;
        Ok(Scene {
            performance: performance.text("performance_id").to_owned(),
            charging: Charging::Organizer(key),
            map,
            grades: GRADES.map(|(grade, _)| grade.to_owned()).to_vec(),
            areas: vec![AREA.0.to_owned()],
            price_max: GRADES[0].1,
            alone: true,
            new_organizer: organizer_key.is_none(),
            gate,
        })
    }

    /// A performance that is there. Without an organizer's key the buyers charge themselves.
    pub async fn adopt(api: &Api, performance: &str, organizer_key: Option<&str>) -> anyhow::Result<Scene> {
        let path = format!("/v1/performances/{performance}");
        let described = get(api, &path).await?;
        let chart = get(api, &format!("{path}/chart")).await?;
        let prices = described.body["prices"].as_object().context("a performance without prices")?;
        let mut grades: Vec<_> = prices.iter().map(|(g, points)| (g.clone(), points.as_u64().unwrap_or(0))).collect();
        grades.sort_by_key(|(_, points)| std::cmp::Reverse(*points));
        let areas = chart.body["areas"].as_array().into_iter().flatten();
        let mut map = SeatMap::default();
        for section in chart.body["sections"].as_array().into_iter().flatten() {
            for row in section["rows"].as_array().into_iter().flatten() {
                map.rows.push(labels(section, row));
            }
        }
        Ok(Scene {
            performance: performance.to_owned(),
            charging: organizer_key.map_or(Charging::Buyers, |key| Charging::Organizer(key.to_owned())),
            map,
            price_max: grades.first().map_or(0, |grade| grade.1),
            grades: grades.into_iter().map(|(grade, _)| grade).collect(),
            areas: areas.filter_map(|area| Some(area["area"].as_str()?.to_owned())).collect(),
            alone: false,
            new_organizer: false,
            gate: None,
        })
    }

    /// Lets the queue open soon, if there is one.
    pub async fn open_queue(&self, api: &Api) -> anyhow::Result<()> {
        match (&self.gate, &self.charging) {
            (Some(gate), Charging::Organizer(key)) => gate.open_soon(api, key).await,
            _ => Ok(()),
        }
    }

    /// Cancels the performance, and waits until all refunds are made.
    pub async fn cancel(&self, api: &Api) -> anyhow::Result<()> {
        let Charging::Organizer(key) = &self.charging else { bail!(NEEDS_A_KEY) };
        let path = format!("/v1/performances/{}/cancellation", self.performance);
        let mut answer = post(api, &path, key, json!({"reason": "The crowd goes home."})).await?;
        let until = Instant::now() + CANCELLED_WITHIN;
        while answer.text("state") != "done" {
            ensure!(Instant::now() < until, "the cancellation does not end: {}", answer.body);
            tokio::time::sleep(Duration::from_millis(20)).await;
            let call = Call::new(Kind::SetUp, "GET", &path, key);
            let Ok(read) = api.send(&call).await else { bail!("GET {path}: the server gives no answer") };
            ensure!(read.is_success(), "GET {path}: {} {}", read.status, read.body);
            answer = read;
        }
        let (of, points) = (&answer.body["reservations"], &answer.body["points"]);
        ensure!(of["total"] == of["refunded"] && points["total"] == points["refunded"], "unequal: {}", answer.body);
        Ok(())
    }

    pub fn availability_path(&self) -> String {
        format!("/v1/performances/{}/availability", self.performance)
    }

    /// What the organizer's reconciliation comes to, where everything on its account is this crowd's.
    pub async fn reconcile(&self, api: &Api) -> anyhow::Result<Option<Moved>> {
        let Charging::Organizer(key) = &self.charging else { return Ok(None) };
        if !self.new_organizer {
            return Ok(None);
        }
        // The server's day may be another one than here.
        let day = |at_ms| Time(at_ms).to_string()[.."2026-11-21".len()].to_owned();
        let now = SystemClock::default().now();
        let path = format!("/v1/organizer/reconciliation?from={}&to={}", day(now - DAY_MS), day(now + DAY_MS));
        let Ok(answer) = api.send(&Call::new(Kind::Read, "GET", &path, key)).await else {
            bail!("GET {path}: the server gives no answer")
        };
        ensure!(answer.is_success(), "GET {path}: {} {}", answer.status, answer.body);
        let total = |what: &str| answer.body["totals"][what].as_u64().unwrap_or_default();
        let moved = Moved { charged: total("charged"), spent: total("spent"), refunded: total("refunded") };
        Ok(Some(moved))
    }

    /// Adds what the availability shows to `seen`.
    pub async fn look(&self, api: &Api, seen: &mut ServerRecord) -> anyhow::Result<()> {
        let shown = get(api, &self.availability_path()).await?;
        let view = View::read(&shown.text);
        seen.alone = self.alone;
        seen.availability = shown.text.to_vec();
        seen.booked = view.booked().map(str::to_owned).collect();
        seen.held = view.held().map(str::to_owned).collect();
        seen.areas = view.areas().iter().map(|it| (it.area.to_owned(), (it.capacity, it.available))).collect();
        Ok(())
    }
}

/// Why a crowd cannot buy at somebody's server without a word from them.
pub const NEEDS_A_KEY: &str = "the crowd needs someone to charge its wallets on that server: give --operator-key (it makes \
     an organizer) or --key (an organizer's); or, on a server with --demo or --self-charge, --performance ID of one that \
     is on sale, and the buyers charge themselves";

/// The texts of a JSON array.
fn strings(array: &Value) -> impl Iterator<Item = String> {
    array.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned))
}

fn labels(section: &Value, row: &Value) -> Vec<String> {
    let start = format!("{}-{}", section["section"].as_str().unwrap_or(""), row["row"].as_str().unwrap_or(""));
    match row["seat_count"].as_u64() {
        Some(count) => (1..=count).map(|seat| format!("{start}-{seat}")).collect(),
        None => strings(&row["seats"]).map(|seat| format!("{start}-{seat}")).collect(),
    }
}

/// A chart of `seats` seats: rows of 20, sections of 25 rows; a tenth VIP, two tenths R, three S, the rest A.
fn chart(seats: usize) -> (Value, SeatMap) {
    let rows = seats.div_ceil(SEATS_PER_ROW);
    let mut sections: Vec<Value> = Vec::new();
    let mut map = SeatMap::default();
    for row in 0..rows {
        let grade = match row * 10 / rows {
            0 => 0,
            1..3 => 1,
            3..6 => 2,
            _ => 3,
        };
        let count = SEATS_PER_ROW.min(seats - row * SEATS_PER_ROW);
        let described = json!({"row": (row % ROWS_PER_SECTION + 1).to_string(), "grade": GRADES[grade].0,
            "seat_count": count});
        if row % ROWS_PER_SECTION == 0 {
            sections.push(json!({"section": section_name(row / ROWS_PER_SECTION), "rows": []}));
        }
        let section = sections.last_mut().expect("one was pushed");
        map.rows.push(labels(section, &described));
        section["rows"].as_array_mut().expect("an array").push(described);
    }
    let capacity = (seats / 10).max(1);
    (json!({"sections": sections, "areas": [{"area": AREA.0, "grade": AREA.1, "capacity": capacity}]}), map)
}

/// A, B … Z, AA, AB …
fn section_name(number: usize) -> String {
    let letter = char::from(b'A' + (number % 26) as u8);
    if number < 26 { letter.to_string() } else { format!("{}{letter}", section_name(number / 26 - 1)) }
}

async fn get(api: &Api, path: &str) -> anyhow::Result<Answer> {
    let Ok(answer) = api.send(&Call::new(Kind::SetUp, "GET", path, "")).await else {
        bail!("GET {path}: the server gives no answer")
    };
    ensure!(answer.is_success(), "GET {path}: {} {}", answer.status, answer.body);
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn charts_have_the_seats_asked_for() {
        for seats in [1, 19, 20, 21, 2000, 20_000] {
            let (chart, map) = chart(seats);
            let labels: HashSet<&String> = map.rows.iter().flatten().collect();
            assert_eq!(labels.len(), seats);
            assert_eq!(chart["sections"].as_array().unwrap().len(), seats.div_ceil(500));
        }
        assert_eq!(chart(2000).1.rows[25][0], "B-1-1");
        assert_eq!([0, 25, 26, 27, 52].map(section_name), ["A", "Z", "AA", "AB", "BA"]);
    }
}
