//! What an event changes in a performance; [`check`]: whether what it derived fits what is stored.

mod check;

use super::event::{Event, PerformanceCreated, SeatsHeld};
use super::reservation::{Reservation, State};
use super::seats::best::Relaxed;
use super::seats::vacancy::Vacancies;
use super::terms::Sale;
use super::{BLOCKED, FREE, Performance};
use crate::REPEAT_KEPT_MS;
use base::id::{Millis, ReservationId};
use std::cmp::Reverse;
use std::collections::hash_map::Entry;

/// Whether an event is the organizer's doing and changes what a performance is, apart from what is sold of it.
fn is_edit(event: &Event) -> bool {
    matches!(
        event,
        Event::PerformanceCreated(_)
            | Event::SalePaused(_)
            | Event::SaleResumed(_)
            | Event::SaleClosed(_)
            | Event::PerformanceChanged(_)
            | Event::ChartChanged(_)
            | Event::PerformanceCancelled(_)
    )
}

/// Whether whoever knows what was left before must be told everything anew.
fn reshapes(event: &Event) -> bool {
    matches!(
        event,
        Event::PerformanceCreated(_)
            | Event::PerformanceChanged(_)
            | Event::ChartChanged(_)
            | Event::PerformanceCancelled(_)
    )
}

/// The instant at which a reservation needs attention.
fn due_at(reservation: &Reservation) -> Option<Millis> {
    match reservation.state {
        State::Held => Some(reservation.expires_at_ms),
        State::Paying => Some(reservation.payment_deadline_ms),
        _ => None,
    }
}

impl Performance {
    pub(super) fn apply(&mut self, event: &Event, version: u64, at_ms: Millis) {
        self.forget_old(at_ms);
        self.name_fixed();
        self.lapses.forget(at_ms);
        self.version = version;
        match event {
            Event::PerformanceCreated(event) => self.create_from(event.clone(), at_ms),
            Event::SalePaused(_) => self.sale = Sale::Paused,
            Event::SaleResumed(_) => self.sale = Sale::Running,
            Event::SaleClosed(_) => self.sale = Sale::Closed,
            Event::SeatsBlocked(event) => self.set_seats(&event.seats, BLOCKED, version),
            Event::SeatsUnblocked(event) => self.set_seats(&event.seats, FREE, version),
            Event::SeatsHeld(event) => self.take(event, version, at_ms),
            Event::HoldExtended(event) => self.change(event.reservation_id, version, |reservation| {
                reservation.expires_at_ms = event.expires_at_ms;
                reservation.extended = true;
            }),
            Event::HoldReleased(event) => self.end(event.reservation_id, version, at_ms, State::Released),
            Event::HoldExpired(event) => self.end(event.reservation_id, version, at_ms, State::Expired),
            Event::PaymentStarted(event) => self.change(event.reservation_id, version, |reservation| {
                reservation.state = State::Paying;
                reservation.payment_deadline_ms = event.payment_deadline_ms;
                reservation.left_ms = event.left_ms;
            }),
            Event::PaymentRefused(event) => self.change(event.reservation_id, version, |reservation| {
                reservation.state = State::Held;
                reservation.expires_at_ms = event.expires_at_ms;
            }),
            Event::ReservationConfirmed(event) => self.change(event.reservation_id, version, |reservation| {
                reservation.state = State::Confirmed;
                reservation.confirmed_at_ms = at_ms;
            }),
            Event::CancellationStarted(event) => {
                if let Some(reason) = &event.organizer_reason {
                    self.refund_reasons.insert(event.reservation_id, reason.clone());
                }
                self.change(event.reservation_id, version, |reservation| {
                    reservation.state = State::Cancelling;
                });
            }
            Event::ReservationCancelled(event) => {
                self.end(event.reservation_id, version, at_ms, State::Cancelled);
            }
            Event::PerformanceChanged(event) => self.take_terms(event),
            Event::ChartChanged(event) => self.take_chart(event),
            Event::AreasBlocked(event) => self.take_blocked_areas(event, version),
            Event::PerformanceCancelled(event) => self.start_calling_off(event, at_ms),
            Event::PerformanceCancellationFinished(_) => {}
        }
        if is_edit(event) {
            self.edited_version = version;
        }
        if reshapes(event) {
            self.changes.restart(version, self.seats.len(), self.area_taken.len());
        }
        self.count_called_off(event, at_ms);
    }

    /// Derives everything that a snapshot does not hold.
    pub(super) fn derive_all(&mut self) {
        let Some(created) = &self.created else { return };
        self.layout = created.laid_out();
        self.derive();
    }

    /// Derives which places are left, from the layout and from what is taken. Who has what stays.
    pub(super) fn derive_places(&mut self) {
        self.vacancies = Vacancies::new(&self.layout, |seat| self.seats[seat as usize] == FREE);
        self.area_taken = vec![0; self.layout.areas.len()];
        self.available_by_grade = self.all_by_grade();
        self.changes.forget(self.seats.len(), self.area_taken.len());
        for row in &self.layout.rows {
            for (seats, grade) in row.runs_of_one_grade() {
                let seats = &self.seats[seats.start as usize..seats.end as usize];
                let taken = seats.iter().filter(|holder| **holder != FREE).count() as u32;
                self.available_by_grade[grade as usize] -= taken;
            }
        }
        for area in 0..self.layout.areas.len() {
            self.count_area_grade(area as u32, i64::from(self.area_blocked[area]));
        }
        if self.layout.areas.is_empty() {
            return;
        }
        for slot in 0..self.slots.len() {
            let live = self.slots[slot].as_ref().filter(|reservation| reservation.state.is_live());
            if let Some((area, count)) = live.and_then(|reservation| reservation.area) {
                self.count_area(area, count as i64);
            }
        }
    }

    /// Derives everything but the layout.
    fn derive(&mut self) {
        self.empty_slots.clear();
        self.by_id.clear();
        self.by_key.clear();
        self.places_by_user.clear();
        self.due.clear();
        self.cancelling.clear();
        self.list_to_call_off();
        self.lapses.rebuild();
        self.derive_places();
        for slot in 0..self.slots.len() as u32 {
            let Some(reservation) = self.slots[slot as usize].clone() else {
                self.empty_slots.push(Reverse(slot));
                continue;
            };
            if reservation.state.is_live() {
                self.places_by_user.entry(reservation.user).or_default().add(slot, &reservation);
            }
            self.index(slot, &reservation);
        }
    }

    fn create_from(&mut self, event: PerformanceCreated, at_ms: Millis) {
        self.layout = event.laid_out();
        self.seats = vec![FREE; self.layout.seats as usize];
        self.vacancies = Vacancies::new(&self.layout, |_| true);
        self.area_taken = vec![0; self.layout.areas.len()];
        self.area_blocked = vec![0; self.layout.areas.len()];
        self.chart_version = 1;
        self.available_by_grade = self.all_by_grade();
        let created = PerformanceCreated { chart: event.chart.bare(), ..event };
        (self.created, self.created_at_ms) = (Some(created), at_ms);
    }

    fn all_by_grade(&self) -> Vec<u32> {
        let mut places = vec![0; self.layout.grades.len()];
        for row in &self.layout.rows {
            for (seats, grade) in row.runs_of_one_grade() {
                places[grade as usize] += seats.end - seats.start;
            }
        }
        for area in &self.layout.areas {
            places[area.grade as usize] += area.capacity;
        }
        places
    }

    fn count_seat(&mut self, row: usize, seat: u32, frees: bool) {
        let grade = self.layout.rows[row].grade_of(seat) as usize;
        let available = &mut self.available_by_grade[grade];
        *available = if frees { *available + 1 } else { *available - 1 };
    }

    fn count_area(&mut self, area: u32, taken: i64) {
        self.area_taken[area as usize] = (self.area_taken[area as usize] as i64 + taken) as u32;
        self.count_area_grade(area, taken);
    }

    /// So many places of a standing area fewer to be had, because they were taken or blocked.
    pub(super) fn count_area_grade(&mut self, area: u32, fewer: i64) {
        let grade = self.layout.areas[area as usize].grade as usize;
        self.available_by_grade[grade] = (self.available_by_grade[grade] as i64 - fewer) as u32;
    }

    fn set_seat(&mut self, seat: u32, holder: u32, version: u64) {
        let was_free = self.seats[seat as usize] == FREE;
        self.seats[seat as usize] = holder;
        self.changes.seat(seat, version);
        if was_free != (holder == FREE) {
            let row = self.vacancies.set(seat, holder == FREE);
            self.count_seat(row, seat, holder == FREE);
        }
    }

    fn set_seats(&mut self, labels: &[String], holder: u32, version: u64) {
        for label in labels {
            if let Some(seat) = self.layout.seat(label) {
                self.set_seat(seat, holder, version);
            }
        }
    }

    fn take(&mut self, event: &SeatsHeld, version: u64, at_ms: Millis) {
        let area = event.area.as_ref().and_then(|area| Some((self.layout.area(&area.area)? as u32, area.count)));
        let reservation = Reservation {
            id: event.reservation_id,
            user: event.user_id,
            state: State::Held,
            seats: event.seats.iter().filter_map(|seat| self.layout.seat(&seat.seat)).collect(),
            area,
            points: event.points,
            adjacent: event.adjacent,
            relaxed: Relaxed::to_bits(&event.relaxed),
            by_organizer: event.by_organizer,
            held_at_ms: at_ms,
            first_expires_at_ms: event.expires_at_ms,
            expires_at_ms: event.expires_at_ms,
            payment_deadline_ms: 0,
            left_ms: 0,
            extended: false,
            confirmed_at_ms: 0,
            cancelled_at_ms: 0,
            repeat: event.repeat,
            fixed: None,
            held_version: version,
            version,
        };
        let slot = self.empty_slots.pop().map(|Reverse(slot)| slot).unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() as u32 - 1
        });
        for seat in &reservation.seats {
            self.set_seat(*seat, slot + 1, version);
        }
        if let Some((area, count)) = area {
            self.count_area(area, count as i64);
            self.changes.area(area, version);
        }
        self.places_by_user.entry(reservation.user).or_default().add(slot, &reservation);
        self.index(slot, &reservation);
        self.aging.push_back((at_ms, slot));
        self.slots[slot as usize] = Some(reservation);
    }

    fn index(&mut self, slot: u32, reservation: &Reservation) {
        self.by_id.insert(reservation.id, slot);
        if let Some(repeat) = reservation.repeat {
            // A key that is used again after 24 h may still be known from before: the latest hold has it.
            let latest = self.by_key.entry((reservation.user, repeat.key)).or_insert(slot);
            let known = self.slots[*latest as usize].as_ref().map_or(0, |known| known.held_version);
            if reservation.held_version > known {
                *latest = slot;
            }
        }
        self.due.extend(due_at(reservation).map(|at| (at, slot)));
        if reservation.state == State::Cancelling {
            self.cancelling.insert(slot);
        }
    }

    fn change(&mut self, id: ReservationId, version: u64, change: impl FnOnce(&mut Reservation)) {
        let Some(slot) = self.by_id.get(&id).copied() else { return };
        let Some(reservation) = &mut self.slots[slot as usize] else { return };
        if let Some(at) = due_at(reservation) {
            self.due.remove(&(at, slot));
        }
        let held = reservation.state.is_held();
        change(reservation);
        reservation.version = version;
        if held != reservation.state.is_held() {
            reservation.seats.iter().for_each(|seat| self.changes.seat(*seat, version));
        }
        self.due.extend(due_at(reservation).map(|at| (at, slot)));
        if reservation.state == State::Cancelling {
            self.cancelling.insert(slot);
        } else {
            self.cancelling.remove(&slot);
        }
        self.note_to_call_off(slot);
    }

    /// Ends a reservation and frees its places.
    fn end(&mut self, id: ReservationId, version: u64, at_ms: Millis, state: State) {
        self.change(id, version, |reservation| {
            reservation.state = state;
            if state == State::Cancelled {
                reservation.cancelled_at_ms = at_ms;
            }
        });
        let Some(slot) = self.by_id.get(&id).copied() else { return };
        let Some(reservation) = self.slots[slot as usize].clone() else { return };
        if self.created.as_ref().is_some_and(|created| created.terms.lapsed_holds_max > 0) {
            self.lapses.count(&reservation, state, at_ms);
        }
        for seat in &reservation.seats {
            self.set_seat(*seat, FREE, version);
        }
        if let Some((area, count)) = reservation.area {
            self.count_area(area, -(count as i64));
            self.changes.area(area, version);
        }
        if let Some(places) = self.places_by_user.get_mut(&reservation.user)
            && places.remove(slot, &reservation)
        {
            self.places_by_user.remove(&reservation.user);
        }
    }

    /// Forgets the keys of holds made more than 24 h ago, and those holds that came to nothing. A few per event, so that
    /// no event pays for a day.
    fn forget_old(&mut self, now: Millis) {
        for _ in 0..4 {
            match self.aging.front() {
                Some((held_at, _)) if held_at + REPEAT_KEPT_MS < now => {}
                _ => return,
            }
            let Some((held_at, slot)) = self.aging.pop_front() else { return };
            let Some(reservation) = &mut self.slots[slot as usize] else { continue };
            if let Some(repeat) = reservation.repeat.take()
                && let Entry::Occupied(known) = self.by_key.entry((reservation.user, repeat.key))
                && *known.get() == slot
            {
                known.remove();
            }
            match reservation.state {
                State::Released | State::Expired => {
                    self.by_id.remove(&reservation.id);
                    self.slots[slot as usize] = None;
                    self.empty_slots.push(Reverse(slot));
                }
                State::Held | State::Paying => self.aging.push_back((now.max(held_at), slot)),
                State::Confirmed | State::Cancelling | State::Cancelled => {}
            }
        }
    }
}
