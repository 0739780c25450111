//! Whether a performance is consistent: what it derives event by event against what a snapshot's reader derives at once.

use super::super::{BLOCKED, FREE, Performance};
use std::sync::Arc;

impl Performance {
    /// About how much there is to look at.
    pub(in crate::performance) fn parts(&self) -> usize {
        self.seats.len() + self.slots.len()
    }

    pub(in crate::performance) fn check_derived(&self) {
        if self.created.is_none() {
            return;
        }
        self.check_owners();
        let mut anew = Performance {
            sale: self.sale,
            cancellation: self.cancellation.clone(),
            area_blocked: self.area_blocked.clone(),
            seats: self.seats.clone(),
            slots: self.slots.clone(),
            lapses: self.lapses.clone(),
            layout: Arc::clone(&self.layout),
            ..Performance::default()
        };
        anew.derive();
        assert!(self.vacancies == anew.vacancies, "seats that are free, as bits");
        assert_eq!(self.area_taken, anew.area_taken, "standing places that are taken");
        assert_eq!(self.available_by_grade, anew.available_by_grade, "places available by grade");
        assert_eq!(self.by_id, anew.by_id, "reservations by id");
        assert_eq!(self.by_key, anew.by_key, "reservations by key");
        assert_eq!(self.places_by_user, anew.places_by_user, "places by user");
        assert_eq!(self.due, anew.due, "reservations by what is due");
        assert_eq!(self.cancelling, anew.cancelling, "reservations that are being cancelled");
        assert_eq!(self.to_call_off, anew.to_call_off, "reservations to be called off");
        assert!(self.lapses.counts_as(&anew.lapses), "lapsed holds by user");
        let sorted = |performance: &Performance| performance.empty_slots.clone().into_sorted_vec();
        assert_eq!(sorted(self), sorted(&anew), "slots that are empty");
    }

    /// Every seat that has an owner is a live reservation's that knows it, and the other way round.
    fn check_owners(&self) {
        assert_eq!(self.seats.len(), self.layout.seats as usize, "seats of the layout");
        let mut owned = 0;
        for (seat, owner) in self.seats.iter().enumerate().filter(|(_, owner)| **owner != FREE && **owner != BLOCKED) {
            let reservation = self.slots[*owner as usize - 1].as_ref();
            let knows = reservation.is_some_and(|owner| owner.state.is_live() && owner.seats.contains(&(seat as u32)));
            assert!(knows, "seat {seat} is of slot {}, which does not have it: {reservation:?}", owner - 1);
            owned += 1;
        }
        let live = self.reservations().filter(|reservation| reservation.state.is_live());
        let held: usize = live.map(|reservation| reservation.seats.len()).sum();
        assert_eq!(owned, held, "seats with an owner, and seats of live reservations");
        let free = self.seats.iter().filter(|owner| **owner == FREE).count() as u32;
        let standing: u32 = (0..self.layout.areas.len()).map(|area| self.area_left(area)).sum();
        assert_eq!(self.available(), free + standing, "places available");
    }
}
