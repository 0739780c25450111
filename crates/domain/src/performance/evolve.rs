//! What an event changes in a performance; [`check`]: whether what it derived fits what is stored.

mod check;

use super::event::*;
use super::*;
use crate::REPEAT_KEPT_MS;
use std::cmp::Reverse;
use std::collections::hash_map::Entry;

pub(super) fn evolve(performance: &mut Performance, event: &Event, version: u64, at_ms: Millis) {
    performance.forget_old(at_ms);
    performance.name_fixed();
    performance.lapses.forget(at_ms);
    performance.version = version;
    match event {
        Event::PerformanceCreated(event) => performance.create_from(event.clone(), at_ms),
        Event::SalePaused(_) => performance.sale = Sale::Paused,
        Event::SaleResumed(_) => performance.sale = Sale::Running,
        Event::SaleClosed(_) => performance.sale = Sale::Closed,
        Event::SeatsBlocked(event) => performance.set_seats(&event.seats, BLOCKED, version),
        Event::SeatsUnblocked(event) => performance.set_seats(&event.seats, FREE, version),
        Event::SeatsHeld(event) => performance.take(event, version, at_ms),
        Event::HoldExtended(event) => performance.change(event.reservation_id, version, |reservation| {
            reservation.expires_at_ms = event.expires_at_ms;
            reservation.extended = true;
        }),
        Event::HoldReleased(event) => performance.end(event.reservation_id, version, at_ms, State::Released),
        Event::HoldExpired(event) => performance.end(event.reservation_id, version, at_ms, State::Expired),
        Event::PaymentStarted(event) => performance.change(event.reservation_id, version, |reservation| {
            reservation.state = State::Paying;
            reservation.payment_deadline_ms = event.payment_deadline_ms;
            reservation.left_ms = event.left_ms;
        }),
        Event::PaymentRefused(event) => performance.change(event.reservation_id, version, |reservation| {
            reservation.state = State::Held;
            reservation.expires_at_ms = event.expires_at_ms;
        }),
        Event::ReservationConfirmed(event) => performance.change(event.reservation_id, version, |reservation| {
            reservation.state = State::Confirmed;
            reservation.confirmed_at_ms = at_ms;
        }),
        Event::CancellationStarted(event) => {
            if let Some(reason) = &event.organizer_reason {
                performance.refund_reasons.insert(event.reservation_id, reason.clone());
            }
            performance.change(event.reservation_id, version, |reservation| {
                reservation.state = State::Cancelling;
            });
        }
        Event::ReservationCancelled(event) => {
            performance.end(event.reservation_id, version, at_ms, State::Cancelled);
        }
        Event::PerformanceChanged(event) => performance.take_terms(event),
        Event::ChartChanged(event) => performance.take_chart(event),
        Event::AreasBlocked(event) => performance.take_blocked_areas(event, version),
        Event::PerformanceCancelled(event) => performance.start_calling_off(event, at_ms),
        Event::PerformanceCancellationFinished(_) => {}
    }
    if is_edit(event) {
        performance.edited_version = version;
    }
    if reshapes(event) {
        performance.changes.restart(version, performance.seats.len(), performance.area_taken.len());
    }
    performance.count_called_off(event, at_ms);
}

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

/// Derives everything that a snapshot does not hold.
pub(super) fn rebuild(performance: &mut Performance) {
    let Some(created) = &performance.created else { return };
    performance.layout = laid_out(created);
    derive(performance);
}

/// Derives which places are left, from the layout and from what is taken. Who has what stays.
pub(super) fn derive_places(performance: &mut Performance) {
    performance.vacancies = Vacancies::new(&performance.layout, |seat| performance.seats[seat as usize] == FREE);
    performance.area_taken = vec![0; performance.layout.areas.len()];
    performance.available_by_grade = performance.all_by_grade();
    performance.changes.forget(performance.seats.len(), performance.area_taken.len());
    for row in &performance.layout.rows {
        for (seats, grade) in row.runs_of_one_grade() {
            let seats = &performance.seats[seats.start as usize..seats.end as usize];
            let taken = seats.iter().filter(|holder| **holder != FREE).count() as u32;
            performance.available_by_grade[grade as usize] -= taken;
        }
    }
    for area in 0..performance.layout.areas.len() {
        performance.count_area_grade(area as u32, i64::from(performance.area_blocked[area]));
    }
    if performance.layout.areas.is_empty() {
        return;
    }
    for slot in 0..performance.slots.len() {
        let live = performance.slots[slot].as_ref().filter(|reservation| reservation.state.is_live());
        if let Some((area, count)) = live.and_then(|reservation| reservation.area) {
            performance.count_area(area, count as i64);
        }
    }
}

/// Derives everything but the layout.
pub(super) fn derive(performance: &mut Performance) {
    performance.empty_slots.clear();
    performance.by_id.clear();
    performance.by_key.clear();
    performance.places_by_user.clear();
    performance.due.clear();
    performance.cancelling.clear();
    performance.list_to_call_off();
    performance.lapses.rebuild();
    derive_places(performance);
    for slot in 0..performance.slots.len() as u32 {
        let Some(reservation) = performance.slots[slot as usize].clone() else {
            performance.empty_slots.push(Reverse(slot));
            continue;
        };
        if reservation.state.is_live() {
            performance.places_by_user.entry(reservation.user).or_default().add(slot, &reservation);
        }
        performance.index(slot, &reservation);
    }
}

pub(super) fn laid_out(created: &PerformanceCreated) -> Arc<Layout> {
    let layout = created.chart.laid_out_as_recorded(&created.prices);
    layout.expect("a recorded chart was checked before it was recorded")
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
    fn create_from(&mut self, event: PerformanceCreated, at_ms: Millis) {
        self.layout = laid_out(&event);
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
