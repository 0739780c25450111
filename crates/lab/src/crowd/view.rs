//! What a buyer reads off an availability: borrowed from its text, because thousands look at thousands of seats.

use serde::Deserialize;
use std::collections::BTreeMap;

/// What is left of a performance.
#[derive(Deserialize, Default)]
pub struct View<'a> {
    /// Free places by grade, standing areas included.
    #[serde(borrow)]
    available: BTreeMap<&'a str, u64>,
    #[serde(borrow)]
    seats: Seats<'a>,
    #[serde(borrow)]
    areas: Vec<Area<'a>>,
}

/// Seats that are not free.
#[derive(Deserialize, Default)]
struct Seats<'a> {
    #[serde(borrow)]
    held: Vec<&'a str>,
    #[serde(borrow)]
    booked: Vec<&'a str>,
    #[serde(borrow)]
    blocked: Vec<&'a str>,
}

/// A standing area.
#[derive(Deserialize)]
pub struct Area<'a> {
    pub area: &'a str,
    pub capacity: u64,
    pub available: u64,
}

impl<'a> View<'a> {
    /// Reads the text of an availability; what does not read shows nothing.
    pub fn read(text: &'a [u8]) -> View<'a> {
        serde_json::from_slice(text).unwrap_or_default()
    }

    pub fn taken(&self) -> impl Iterator<Item = &'a str> {
        self.seats.held.iter().chain(&self.seats.booked).chain(&self.seats.blocked).copied()
    }

    pub fn held(&self) -> impl Iterator<Item = &'a str> {
        self.seats.held.iter().copied()
    }

    pub fn booked(&self) -> impl Iterator<Item = &'a str> {
        self.seats.booked.iter().copied()
    }

    pub fn areas(&self) -> &[Area<'a>] {
        &self.areas
    }

    /// Every grade is there and has nothing left.
    pub fn is_sold_out(&self) -> bool {
        !self.available.is_empty() && self.available.values().all(|left| *left == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_read_off_the_text() {
        let text = |left: u32| {
            format!(
                r#"{{"performance_id":"x","version":7,"state":"on_sale","available":{{"VIP":0,"Standing":{left}}},
                "seats":{{"held":["A-1-1"],"booked":["A-1-2"],"blocked":["A-1-3"]}},
                "areas":[{{"area":"Floor","grade":"Standing","capacity":9,"available":{left}}}]}}"#
            )
        };
        let (some, none) = (text(3), text(0));
        let view = View::read(some.as_bytes());
        assert_eq!(view.taken().collect::<Vec<_>>(), ["A-1-1", "A-1-2", "A-1-3"]);
        assert_eq!((view.held().next(), view.booked().next()), (Some("A-1-1"), Some("A-1-2")));
        assert_eq!((view.areas()[0].area, view.areas()[0].capacity, view.areas()[0].available), ("Floor", 9, 3));
        assert!(!view.is_sold_out() && View::read(none.as_bytes()).is_sold_out());
        assert!(!View::read(b"").is_sold_out());
    }
}
