//! When people joined: one note for each second in which somebody did.

use super::tight::push_tightly;
use base::id::Millis;
use serde::{Deserialize, Serialize};

/// By ticket, to the second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Joins(Vec<(u32, u32)>);

impl Joins {
    /// The next ticket. Times that go back are those of the ticket before.
    pub fn note(&mut self, ticket: u32, at_ms: Millis) {
        let second = (at_ms / 1_000) as u32;
        if self.0.last().is_none_or(|(_, last)| *last < second) {
            let len = self.0.len() + 1;
            push_tightly(&mut self.0, len, (ticket, second));
        }
    }

    /// When somebody joined.
    pub fn at_ms(&self, ticket: u32) -> Option<Millis> {
        let after = self.0.partition_point(|(first, _)| *first <= ticket);
        let (_, second) = self.0.get(after.checked_sub(1)?)?;
        Some(Millis::from(*second) * 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_joined_within_a_second_joined_then() {
        let mut joins = Joins::default();
        assert_eq!(joins.at_ms(1), None);
        for (ticket, at_ms) in [(1, 5_000), (2, 5_999), (3, 9_001), (4, 8_000), (5, 10_000)] {
            joins.note(ticket, at_ms);
        }
        let found = [0, 1, 2, 3, 4, 5, 6].map(|ticket| joins.at_ms(ticket).unwrap_or(0));
        assert_eq!(found, [0, 5_000, 5_000, 9_000, 9_000, 10_000, 10_000]);
        assert_eq!(joins.0.len(), 3);
    }
}
