//! Which places are left: all of it, or what changed.

use super::event::Event;
use super::rejection::Rejection;
use super::seats::best::PlacesByKind;
use super::seats::chart::Layout;
use super::terms::{Hours, Sale};
use super::{BLOCKED, FREE, Performance};
use crate::{Command, Context, Effect};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Asks for all that is not free.
#[derive(Clone, Debug)]
pub struct ReadAvailability;

/// Asks what changed after the version `since`.
#[derive(Clone, Debug)]
pub struct ReadChanges {
    pub since: u64,
}

/// Which places are left: all of it, where every seat that is not named is free; or each place that changed, once, as it is
/// now.
#[derive(Clone, Debug)]
pub struct Availability {
    /// Of changes: may be below the version asked for, when that is still to come.
    pub version: u64,
    pub hours: Hours,
    /// Free places per grade, standing areas included, changed or not.
    pub available: Vec<(String, u32)>,
    /// The same by what they are for.
    pub available_by_kind: Vec<(String, PlacesByKind)>,
    pub seats: SeatStates,
    pub areas: Vec<AreaAvailability>,
}

/// Seats by what they are to whoever looks, as numbers of a layout: whoever wants labels makes them, so that a full house
/// takes no time of the thread that sells.
#[derive(Clone, Default)]
pub struct SeatStates {
    pub(super) layout: Arc<Layout>,
    pub(super) free: Vec<u32>,
    pub(super) held: Vec<u32>,
    pub(super) booked: Vec<u32>,
    pub(super) blocked: Vec<u32>,
}

/// What there is to buy, in a few numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stock {
    pub hours: Hours,
    /// Of its cheapest and of its dearest grade, points.
    pub prices: (u64, u64),
    /// Places that are free, of all grades and kinds, standing ones included; 0 once it was cancelled.
    pub places_left: u32,
}

impl SeatStates {
    /// How many seats are named.
    pub fn len(&self) -> usize {
        self.free.len() + self.held.len() + self.booked.len() + self.blocked.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same by label.
    pub fn labels(&self) -> SeatsByState {
        let labels = |seats: &[u32]| self.layout.labels(seats);
        SeatsByState {
            free: labels(&self.free),
            held: labels(&self.held),
            booked: labels(&self.booked),
            blocked: labels(&self.blocked),
        }
    }
}

impl std::fmt::Debug for SeatStates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.labels().fmt(f)
    }
}

/// Labels of seats, by what they are to whoever looks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeatsByState {
    pub free: Vec<String>,
    pub held: Vec<String>,
    pub booked: Vec<String>,
    pub blocked: Vec<String>,
}

/// A standing area's places.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AreaAvailability {
    pub area: String,
    pub grade: String,
    pub capacity: u32,
    pub available: u32,
}

impl Command for ReadAvailability {
    type On = Performance;
    type Answer = Box<Availability>;
    type Rejection = Rejection;

    fn decide(&self, performance: &Performance, _: &Context) -> Result<Vec<Event>, Rejection> {
        performance.created().map(|_| vec![])
    }

    fn answer(&self, performance: &Performance, effect: &Effect<'_, Performance>) -> Box<Availability> {
        Box::new(performance.availability(effect.version))
    }
}

impl Command for ReadChanges {
    type On = Performance;
    /// `None` when what changed is not known any more, or is too much: then ask for all of it.
    type Answer = Option<Box<Availability>>;
    type Rejection = Rejection;

    fn decide(&self, performance: &Performance, _: &Context) -> Result<Vec<Event>, Rejection> {
        performance.created().map(|_| vec![])
    }

    fn answer(&self, performance: &Performance, effect: &Effect<'_, Performance>) -> Self::Answer {
        performance.changes_since(self.since, effect.version).map(Box::new)
    }
}

impl Performance {
    pub(super) fn availability(&self, version: u64) -> Availability {
        let taken = |seat: &u32| self.seats[*seat as usize] != FREE;
        let seats = (0..self.on_offer(self.seats.len() as u32)).filter(taken);
        self.places_left(version, seats, 0..self.layout.areas.len())
    }

    /// `None` where the difference is not known or too long.
    pub(super) fn changes_since(&self, since: u64, version: u64) -> Option<Availability> {
        let (seats, areas) = match since >= version {
            true => Default::default(),
            false => self.changes.since(since)?,
        };
        let seats = seats.into_iter().filter(|_| self.sale != Sale::Cancelled);
        Some(self.places_left(version, seats, areas.into_iter().map(|area| area as usize)))
    }

    /// With these seats and areas. Of a cancelled performance there is nothing to be had.
    fn places_left(
        &self,
        version: u64,
        seats: impl Iterator<Item = u32>,
        areas: impl Iterator<Item = usize>,
    ) -> Availability {
        Availability {
            version,
            hours: self.hours(),
            available: self.available_per_grade(),
            available_by_kind: self.available_by_kind(),
            seats: self.by_state(seats),
            areas: areas.map(|area| self.area_shown(area)).collect(),
        }
    }

    /// Seats as they look from outside.
    fn by_state(&self, seats: impl Iterator<Item = u32>) -> SeatStates {
        let mut found = SeatStates { layout: Arc::clone(&self.layout), ..SeatStates::default() };
        for seat in seats {
            let list = match self.seats[seat as usize] {
                FREE => &mut found.free,
                BLOCKED => &mut found.blocked,
                slot => match &self.slots[slot as usize - 1] {
                    Some(reservation) if reservation.state.is_held() => &mut found.held,
                    _ => &mut found.booked,
                },
            };
            list.push(seat);
        }
        found
    }

    fn area_shown(&self, index: usize) -> AreaAvailability {
        let area = &self.layout.areas[index];
        AreaAvailability {
            area: area.name.to_string(),
            grade: self.layout.price(area.grade).0.into(),
            capacity: area.capacity,
            available: self.on_offer(self.area_left(index)),
        }
    }

    fn available_per_grade(&self) -> Vec<(String, u32)> {
        let grades = self.layout.grades.iter().zip(&self.available_by_grade);
        grades.map(|((name, _), available)| (name.clone(), self.on_offer(*available))).collect()
    }

    /// The places of [`available_per_grade`](Self::available_per_grade), told apart. Few rows have others than standard seats.
    fn available_by_kind(&self) -> Vec<(String, PlacesByKind)> {
        let mut places = vec![PlacesByKind::default(); self.layout.grades.len()];
        for row in self.layout.rows.iter().filter(|row| !row.is_standard()) {
            for (seat, kind) in row.special_seats().filter(|(seat, _)| self.seats[*seat as usize] == FREE) {
                places[row.grade_of(seat) as usize].count(kind, 1);
            }
        }
        for (index, area) in self.layout.areas.iter().enumerate() {
            places[area.grade as usize].standing += self.area_left(index);
        }
        let grades = self.layout.grades.iter().zip(&self.available_by_grade).zip(places);
        let of_grade = |(((name, _), available), places): ((&(String, u64), &u32), PlacesByKind)| {
            let standard = available - places.accessible - places.companion - places.standing;
            let shown = match self.sale {
                Sale::Cancelled => PlacesByKind::default(),
                _ => PlacesByKind { standard, ..places },
            };
            (name.clone(), shown)
        };
        grades.map(of_grade).collect()
    }

    /// `None` before it was created.
    pub fn stock(&self) -> Option<Stock> {
        self.created.as_ref()?;
        let prices = || self.layout.grades.iter().map(|(_, points)| *points);
        let prices = prices().min().zip(prices().max())?;
        Some(Stock { hours: self.hours(), prices, places_left: self.on_offer(self.available()) })
    }

    fn hours(&self) -> Hours {
        let created = self.created.as_ref().expect("only an existing performance is asked what is left");
        Hours {
            sale: self.sale,
            opens_at_ms: created.terms.sale_opens_at_ms,
            closes_at_ms: created.terms.sale_closes_at_ms,
        }
    }
}
