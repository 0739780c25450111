//! Which places changed when, so that a reader who knows an earlier version can be told the difference.
//!
//! One number per place instead of a history: the difference to *any* version since `from` is the places whose number is
//! higher, in the state that they have now. It is derived and not stored: after a start from a snapshot it begins anew, and
//! who knows an older version is told everything.

/// Seats that one difference names; when more have changed everything is told instead, which is about as long.
pub const CHANGED_SEATS_MAX: usize = 10_000;

/// The versions at which places last changed.
#[derive(Default)]
pub(super) struct Changes {
    /// Differences to this version and later ones are known. None are before the first event after a snapshot.
    from: Option<u64>,
    /// Per seat and area: the last version at which what is shown of it changed, counted from `from`; 0 for none.
    seats: Vec<u32>,
    areas: Vec<u32>,
}

impl Changes {
    /// From `version` on there are so many seats and areas, and nothing is known of what they were before.
    pub fn restart(&mut self, version: u64, seats: usize, areas: usize) {
        *self = Changes { from: Some(version), seats: vec![0; seats], areas: vec![0; areas] };
    }

    /// There are so many seats and areas; at which version is not known.
    pub fn forget(&mut self, seats: usize, areas: usize) {
        *self = Changes { from: None, seats: vec![0; seats], areas: vec![0; areas] };
    }

    pub fn seat(&mut self, seat: u32, version: u64) {
        let stamp = self.stamp(version);
        self.seats[seat as usize] = stamp;
    }

    pub fn area(&mut self, area: u32, version: u64) {
        let stamp = self.stamp(version);
        self.areas[area as usize] = stamp;
    }

    /// Seats and areas that changed after `since`, in the chart's order. `None` when that is not known any more, or more
    /// than [`CHANGED_SEATS_MAX`].
    pub fn since(&self, since: u64) -> Option<(Vec<u32>, Vec<u32>)> {
        let after = since.checked_sub(self.from?)?;
        let later = |stamps: &[u32], limit: usize| -> Vec<u32> {
            let changed = stamps.iter().enumerate().filter(|(_, stamp)| u64::from(**stamp) > after);
            changed.map(|(index, _)| index as u32).take(limit).collect()
        };
        let seats = later(&self.seats, CHANGED_SEATS_MAX + 1);
        (seats.len() <= CHANGED_SEATS_MAX).then(|| (seats, later(&self.areas, usize::MAX)))
    }

    fn stamp(&mut self, version: u64) -> u32 {
        let from = *self.from.get_or_insert(version - 1);
        u32::try_from(version - from).unwrap_or_else(|_| {
            // Four thousand million changes later.
            self.restart(version - 1, self.seats.len(), self.areas.len());
            1
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_known_from_the_first_change_on() {
        let mut changes = Changes::default();
        changes.forget(3, 1);
        assert_eq!(changes.since(7), None, "nothing has happened yet");
        changes.seat(2, 9);
        changes.seat(0, 10);
        changes.area(0, 11);
        let table = [
            (7, None),
            (8, Some((vec![0, 2], vec![0]))),
            (9, Some((vec![0], vec![0]))),
            (10, Some((vec![], vec![0]))),
            (11, Some((vec![], vec![]))),
            (99, Some((vec![], vec![]))),
        ];
        for (since, want) in table {
            assert_eq!(changes.since(since), want, "{since}");
        }
        changes.restart(20, 5, 0);
        changes.seat(4, 21);
        assert_eq!([changes.since(19), changes.since(20)], [None, Some((vec![4], vec![]))]);
    }

    #[test]
    fn too_many_changes_are_no_difference() {
        let mut changes = Changes::default();
        changes.restart(0, CHANGED_SEATS_MAX + 1, 0);
        (0..=CHANGED_SEATS_MAX as u32).for_each(|seat| changes.seat(seat, 1 + u64::from(seat)));
        assert_eq!(changes.since(0), None);
        assert_eq!(changes.since(1).unwrap().0.len(), CHANGED_SEATS_MAX);
    }

    #[test]
    fn versions_may_outgrow_the_stamps() {
        let mut changes = Changes::default();
        changes.restart(0, 2, 0);
        changes.seat(0, 1);
        let late = u64::from(u32::MAX) + 7;
        changes.seat(1, late);
        assert_eq!(changes.since(late - 2), None);
        assert_eq!(changes.since(late - 1), Some((vec![1], vec![])));
    }
}
