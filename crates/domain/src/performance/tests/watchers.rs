//! Those who saw a performance at each of its versions, told what changed since: they must come to see what there is.

use super::super::{Availability, Performance};
use crate::performance::SaleState;
use std::collections::BTreeMap;

/// Versions that are remembered at most.
const SEEN_MAX: usize = 24;

/// What a seat map shows: seats that are not free, places per area and per grade.
#[derive(Clone, Debug, Default, PartialEq)]
struct Picture {
    seats: BTreeMap<String, &'static str>,
    areas: BTreeMap<String, u32>,
    available: Vec<(String, u32)>,
    state: Option<SaleState>,
}

impl Picture {
    fn of(seen: &Availability) -> Picture {
        let (mut picture, named) = (Picture::default(), seen.seats.labels());
        for (seats, state) in [(&named.held, "held"), (&named.booked, "booked"), (&named.blocked, "blocked")] {
            picture.seats.extend(seats.iter().map(|seat| (seat.clone(), state)));
        }
        picture.areas.extend(seen.areas.iter().map(|area| (area.area.clone(), area.available)));
        Picture { available: seen.available.clone(), state: Some(seen.hours.state(super::fixture::at(0))), ..picture }
    }

    fn after(&self, changed: &Availability) -> Picture {
        let (mut picture, named) = (self.clone(), changed.seats.labels());
        picture.seats.retain(|seat, _| !named.free.contains(seat));
        for (seats, state) in [(&named.held, "held"), (&named.booked, "booked"), (&named.blocked, "blocked")] {
            picture.seats.extend(seats.iter().map(|seat| (seat.clone(), state)));
        }
        picture.areas.extend(changed.areas.iter().map(|area| (area.area.clone(), area.available)));
        let state = Some(changed.hours.state(super::fixture::at(0)));
        Picture { available: changed.available.clone(), state, ..picture }
    }
}

/// What was there to see at some versions.
#[derive(Default)]
pub struct Watchers(Vec<(u64, Picture)>);

impl Watchers {
    /// Each of them, told now and told twice, sees `seen`.
    pub fn check(&mut self, performance: &Performance, version: u64, seen: &Availability) {
        let now = Picture::of(seen);
        // Only who saw another chart or other terms is told everything anew.
        self.0.retain(|(since, _)| {
            let known = performance.changes_since(*since, version).is_some();
            assert!(known || *since < performance.edited_version, "from version {since} to {version}");
            known
        });
        for (since, then) in &self.0 {
            let changed = performance.changes_since(*since, version).expect("looked at above");
            let told = then.after(&changed);
            assert_eq!(told, now, "from version {since} to {version}");
            assert_eq!(told.after(&changed), now, "what is told twice does no harm");
        }
        if self.0.len() < SEEN_MAX && self.0.last().is_none_or(|(last, _)| *last < version) {
            self.0.push((version, now));
        }
    }
}
