//! Places that the organizer takes out of the sale, and gives back to it.

use super::availability::SeatStates;
use super::description::Description;
use super::event::{AreasBlocked, BlockedArea, Event, SeatsBlocked, SeatsUnblocked};
use super::rejection::Rejection;
use super::{BLOCKED, FREE, Performance};
use crate::text::Invalid;
use crate::{Command, Context, Effect};
use base::id::OrganizerId;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Labels that one block or unblock names.
const BLOCK_SEATS_MAX: usize = 10_000;
/// Areas that one command blocks places of.
const BLOCK_AREAS_MAX: usize = 1_000;

/// Take free seats out of the sale.
#[derive(Clone, Debug)]
pub struct Block {
    pub organizer: OrganizerId,
    pub seats: Vec<String>,
}

/// Give blocked seats to the sale.
#[derive(Clone, Debug)]
pub struct Unblock {
    pub organizer: OrganizerId,
    pub seats: Vec<String>,
}

/// How many places of standing areas are to be out of the sale: area and number.
#[derive(Clone, Debug)]
pub struct BlockAreas {
    pub organizer: OrganizerId,
    pub areas: Vec<(String, u32)>,
}

/// What is out of the sale.
#[derive(Clone, Debug)]
pub struct ShowBlocks {
    pub organizer: OrganizerId,
}

/// What is out of the sale.
#[derive(Clone, Debug)]
pub struct Blocks {
    /// All of them blocked.
    pub seats: SeatStates,
    /// Standing areas of which places are blocked, and how many.
    pub areas: Vec<(String, u32)>,
    pub version: u64,
}

impl Command for Block {
    type On = Performance;
    type Answer = Description;
    type Rejection = Rejection;

    fn decide(&self, performance: &Performance, _: &Context) -> Result<Vec<Event>, Rejection> {
        performance.edited_by(self.organizer)?;
        performance.block(&self.seats)
    }

    fn answer(&self, performance: &Performance, effect: &Effect<'_, Performance>) -> Description {
        performance.described(effect)
    }
}

impl Command for Unblock {
    type On = Performance;
    type Answer = Description;
    type Rejection = Rejection;

    fn decide(&self, performance: &Performance, _: &Context) -> Result<Vec<Event>, Rejection> {
        performance.edited_by(self.organizer)?;
        performance.unblock(&self.seats)
    }

    fn answer(&self, performance: &Performance, effect: &Effect<'_, Performance>) -> Description {
        performance.described(effect)
    }
}

impl Command for BlockAreas {
    type On = Performance;
    type Answer = Description;
    type Rejection = Rejection;

    fn decide(&self, performance: &Performance, _: &Context) -> Result<Vec<Event>, Rejection> {
        performance.edited_by(self.organizer)?;
        performance.block_areas(&self.areas)
    }

    fn answer(&self, performance: &Performance, effect: &Effect<'_, Performance>) -> Description {
        performance.described(effect)
    }
}

impl Command for ShowBlocks {
    type On = Performance;
    type Answer = Blocks;
    type Rejection = Rejection;

    fn decide(&self, performance: &Performance, _: &Context) -> Result<Vec<Event>, Rejection> {
        performance.sold_by(self.organizer).map(|_| vec![])
    }

    fn answer(&self, performance: &Performance, effect: &Effect<'_, Performance>) -> Blocks {
        performance.blocks(effect.version)
    }
}

impl Performance {
    fn block(&self, labels: &[String]) -> Result<Vec<Event>, Rejection> {
        let seats = self.named_seats(labels, BLOCK_SEATS_MAX)?;
        let holder = |seat: &u32| self.seats[*seat as usize];
        self.refuse_taken(labels, &seats, |seat| matches!(holder(&seat), FREE | BLOCKED))?;
        let free: Vec<u32> = seats.into_iter().filter(|seat| holder(seat) == FREE).collect();
        if free.is_empty() {
            return Ok(vec![]);
        }
        let available = self.available() - free.len() as u32;
        let seats = self.layout.labels(&free);
        Ok(vec![Event::SeatsBlocked(SeatsBlocked { seats, available })])
    }

    fn unblock(&self, labels: &[String]) -> Result<Vec<Event>, Rejection> {
        let seats = self.named_seats(labels, BLOCK_SEATS_MAX)?;
        let blocked: Vec<u32> = seats.into_iter().filter(|seat| self.seats[*seat as usize] == BLOCKED).collect();
        if blocked.is_empty() {
            return Ok(vec![]);
        }
        let available = self.available() + blocked.len() as u32;
        let seats = self.layout.labels(&blocked);
        Ok(vec![Event::SeatsUnblocked(SeatsUnblocked { seats, available })])
    }

    fn block_areas(&self, wanted: &[(String, u32)]) -> Result<Vec<Event>, Rejection> {
        let invalid = |field: String, reason: &str| Rejection::Invalid(Invalid { field, reason: reason.into() });
        if wanted.is_empty() {
            return Err(Rejection::NoPlaces);
        }
        if wanted.len() > BLOCK_AREAS_MAX {
            return Err(invalid("areas".into(), "names too many areas"));
        }
        let (mut named, mut full, mut changed) = (BTreeSet::new(), Vec::new(), Vec::new());
        let mut available = self.available();
        for (position, (area, blocked)) in wanted.iter().enumerate() {
            let Some(index) = self.layout.area(area) else {
                return Err(Rejection::UnknownArea { area: area.clone() });
            };
            let area = self.layout.areas[index].name.to_string();
            if !named.insert(index) {
                return Err(invalid(format!("areas[{position}].area"), "is there twice"));
            }
            let capacity = self.layout.areas[index].capacity;
            if *blocked > capacity {
                let reason = format!("{area:?} has {capacity} places at all");
                return Err(Rejection::Invalid(Invalid { field: format!("areas[{position}].blocked"), reason }));
            }
            let (now, blocked_max) = (self.area_blocked[index], self.area_blocked[index] + self.area_left(index));
            if *blocked > blocked_max {
                full.push((area, blocked_max));
            } else if *blocked != now {
                available = available + now - blocked;
                changed.push(BlockedArea { area, blocked: *blocked });
            }
        }
        if !full.is_empty() {
            return Err(Rejection::AreasTaken { areas: full });
        }
        if changed.is_empty() {
            return Ok(vec![]);
        }
        Ok(vec![Event::AreasBlocked(AreasBlocked { areas: changed, available })])
    }

    fn blocks(&self, version: u64) -> Blocks {
        let seats = (0..self.layout.seats).filter(|seat| self.seats[*seat as usize] == BLOCKED);
        let areas = self.layout.areas.iter().zip(&self.area_blocked).filter(|(_, blocked)| **blocked > 0);
        Blocks {
            seats: SeatStates { layout: Arc::clone(&self.layout), blocked: seats.collect(), ..SeatStates::default() },
            areas: areas.map(|(area, blocked)| (area.name.to_string(), *blocked)).collect(),
            version,
        }
    }

    pub(super) fn take_blocked_areas(&mut self, event: &AreasBlocked, version: u64) {
        for BlockedArea { area, blocked } in &event.areas {
            let Some(index) = self.layout.area(area) else { continue };
            let more = i64::from(*blocked) - i64::from(self.area_blocked[index]);
            self.area_blocked[index] = *blocked;
            self.count_area_grade(index as u32, more);
            self.changes.area(index as u32, version);
        }
    }
}
