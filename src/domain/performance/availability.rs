//! Which places are left: all of it, or what changed.

use super::*;

/// How a seat looks from outside.
enum Shown {
    Free,
    Held,
    Booked,
    Blocked,
}

impl Performance {
    /// Of a cancelled performance: there is nothing to be had.
    pub(super) fn availability(&self, version: u64) -> Availability {
        let mut found = Availability {
            version,
            hours: self.hours(),
            available: self.available_per_grade(),
            held: Vec::new(),
            booked: Vec::new(),
            blocked: Vec::new(),
            areas: (0..self.layout.areas.len()).map(|area| self.area_shown(area)).collect(),
        };
        for seat in 0..self.on_offer(self.seats.len() as u32) {
            let list = match self.seat_shown(seat) {
                Shown::Free => continue,
                Shown::Held => &mut found.held,
                Shown::Booked => &mut found.booked,
                Shown::Blocked => &mut found.blocked,
            };
            list.push(self.layout.label(seat));
        }
        found
    }

    /// `None` where the difference is not known or too long.
    pub(super) fn changes_since(&self, since: u64, version: u64) -> Option<Changed> {
        let (seats, areas) = match since >= version {
            true => Default::default(),
            false => self.changes.since(since)?,
        };
        let mut changed = Changed {
            version,
            hours: self.hours(),
            available: self.available_per_grade(),
            free: Vec::new(),
            held: Vec::new(),
            booked: Vec::new(),
            blocked: Vec::new(),
            areas: areas.into_iter().map(|area| self.area_shown(area as usize)).collect(),
        };
        let seats = seats.into_iter().filter(|_| self.sale != Sale::Cancelled);
        for seat in seats {
            let list = match self.seat_shown(seat) {
                Shown::Free => &mut changed.free,
                Shown::Held => &mut changed.held,
                Shown::Booked => &mut changed.booked,
                Shown::Blocked => &mut changed.blocked,
            };
            list.push(self.layout.label(seat));
        }
        Some(changed)
    }

    fn seat_shown(&self, seat: u32) -> Shown {
        match self.seats[seat as usize] {
            FREE => Shown::Free,
            BLOCKED => Shown::Blocked,
            slot => match &self.slots[slot as usize - 1] {
                Some(reservation) if reservation.state.is_held() => Shown::Held,
                _ => Shown::Booked,
            },
        }
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

    fn hours(&self) -> Hours {
        let created = self.created.as_ref().expect("only an existing performance is asked what is left");
        Hours { sale: self.sale, opens_at_ms: created.sale_opens_at_ms, closes_at_ms: created.sale_closes_at_ms }
    }
}
