//! What a seat map shows that begins with everything and goes on with what changed.

use super::events::Event;
use anyhow::{Context, bail, ensure};
use serde_json::Value;
use std::collections::BTreeMap;

/// Seats that are not free, and what they are; places free in areas and by grade.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    pub version: u64,
    state: String,
    seats: BTreeMap<String, &'static str>,
    areas: BTreeMap<String, u64>,
    available: BTreeMap<String, u64>,
}

const TAKEN: [&str; 3] = ["held", "booked", "blocked"];

impl Picture {
    /// Takes the answer of `GET …/availability`, of `?since=`, or the data of an event.
    pub fn take(&mut self, body: &str) -> anyhow::Result<()> {
        let body: Value = serde_json::from_str(body)?;
        let version = body["version"].as_u64().context("no version")?;
        match body["full"].as_bool().context("neither full nor not")? {
            true => *self = Picture::default(),
            false => {
                let since = body["since"].as_u64().context("changes since nothing")?;
                ensure!(since <= self.version, "changes since {since} for one who is at {}", self.version);
            }
        }
        ensure!(version >= self.version, "version {version} after {}", self.version);
        for label in labels(&body["changes"]["free"]) {
            self.seats.remove(label);
        }
        for of in [&body["seats"], &body["changes"]] {
            for state in TAKEN {
                for label in labels(&of[state]) {
                    self.seats.insert(label.to_owned(), state);
                }
            }
        }
        for area in body["areas"].as_array().context("no areas")? {
            let name = area["area"].as_str().context("an area without a name")?;
            self.areas.insert(name.to_owned(), area["available"].as_u64().context("an area without its places")?);
        }
        let available = body["available"].as_object().context("no places by grade")?;
        self.available = available.iter().map(|(grade, n)| (grade.clone(), n.as_u64().unwrap_or(u64::MAX))).collect();
        self.state = body["state"].as_str().context("no state")?.to_owned();
        self.version = version;
        Ok(())
    }

    /// Takes an event of the stream. The last one shows nothing.
    pub fn take_event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        if event.name == "end" {
            return Ok(());
        }
        self.take(event.data)?;
        match event.name {
            "full" | "delta" if event.id == self.version => Ok(()),
            name => bail!("event {name:?} with id {} and version {}", event.id, self.version),
        }
    }
}

fn labels(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn taken(bodies: &[Value]) -> anyhow::Result<Picture> {
        let mut picture = Picture::default();
        bodies.iter().try_for_each(|body| picture.take(&body.to_string())).map(|()| picture)
    }

    #[test]
    fn changes_lead_where_everything_is() {
        let all = |version: u64, held: &[&str], booked: &[&str], floor: u64| {
            json!({"version": version, "full": true, "state": "on_sale", "available": {"R": floor},
                "seats": {"held": held, "booked": booked, "blocked": []},
                "areas": [{"area": "Floor", "available": floor}, {"area": "Pit", "available": 1}]})
        };
        let changes = |since: u64, version: u64| {
            json!({"version": version, "since": since, "full": false, "state": "on_sale", "available": {"R": 4},
                "changes": {"free": ["A-1"], "held": ["A-3"], "booked": ["A-2"], "blocked": []},
                "areas": [{"area": "Floor", "available": 4}]})
        };
        let first = all(5, &["A-1", "A-2"], &[], 5);
        let last = all(9, &["A-3"], &["A-2"], 4);
        assert_eq!(taken(&[first.clone(), changes(5, 9)]).unwrap(), taken(std::slice::from_ref(&last)).unwrap());
        assert_eq!(taken(&[first.clone(), changes(3, 9), changes(9, 9)]).unwrap(), taken(&[last]).unwrap());
        assert!(taken(&[first.clone(), changes(6, 9)]).is_err(), "something between is missing");
        assert!(taken(&[first, changes(5, 4)]).is_err(), "backwards");
    }
}
