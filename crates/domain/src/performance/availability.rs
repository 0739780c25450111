//! Which places are left: all of it, or what changed.

use super::*;
use crate::performance::seats::best::PlacesByKind;

impl Performance {
    /// Of a cancelled performance: there is nothing to be had.
    pub(super) fn availability(&self, version: u64) -> Availability {
        let shown = 0..self.on_offer(self.seats.len() as u32);
        Availability {
            version,
            hours: self.hours(),
            available: self.available_per_grade(),
            available_by_kind: self.available_by_kind(),
            seats: self.by_state(shown.filter(|seat| self.seats[*seat as usize] != FREE)),
            areas: (0..self.layout.areas.len()).map(|area| self.area_shown(area)).collect(),
        }
    }

    /// `None` where the difference is not known or too long.
    pub(super) fn changes_since(&self, since: u64, version: u64) -> Option<Changed> {
        let (seats, areas) = match since >= version {
            true => Default::default(),
            false => self.changes.since(since)?,
        };
        Some(Changed {
            version,
            hours: self.hours(),
            available: self.available_per_grade(),
            available_by_kind: self.available_by_kind(),
            seats: self.by_state(seats.into_iter().filter(|_| self.sale != Sale::Cancelled)),
            areas: areas.into_iter().map(|area| self.area_shown(area as usize)).collect(),
        })
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

    fn hours(&self) -> Hours {
        let created = self.created.as_ref().expect("only an existing performance is asked what is left");
        Hours {
            sale: self.sale,
            opens_at_ms: created.terms.sale_opens_at_ms,
            closes_at_ms: created.terms.sale_closes_at_ms,
        }
    }
}
