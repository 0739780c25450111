//! How the sale goes, in numbers: places of each performance, and what was held and sold since the start. For `/metrics`.

use domain::performance::Performance;
use domain::performance::event::Event;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};

/// One performance's places. Written by the log's thread alone, so that nobody waits for anybody.
#[derive(Default)]
pub struct Places {
    left: AtomicU32,
    held: AtomicI64,
    sold: AtomicI64,
}

impl Places {
    /// Places that can be had now.
    pub fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed).into()
    }

    /// Places that somebody holds or pays for.
    pub fn held(&self) -> u64 {
        count(&self.held)
    }

    /// Places that are paid and not given back.
    pub fn sold(&self) -> u64 {
        count(&self.sold)
    }

    pub(super) fn take(&self, step: &Step) {
        self.left.store(step.left, Ordering::Relaxed);
        self.held.fetch_add(step.held.into(), Ordering::Relaxed);
        self.sold.fetch_add(step.sold.into(), Ordering::Relaxed);
    }
}

fn count(places: &AtomicI64) -> u64 {
    places.load(Ordering::Relaxed).max(0) as u64
}

/// Of all performances, since the start.
#[derive(Default)]
pub struct Sales {
    holds: AtomicU64,
    lapsed: AtomicU64,
    confirmed: AtomicU64,
    points: AtomicU64,
    refunded: AtomicU64,
}

impl Sales {
    /// Holds that were taken.
    pub fn holds(&self) -> u64 {
        self.holds.load(Ordering::Relaxed)
    }

    /// Holds that were not paid in time.
    pub fn lapsed(&self) -> u64 {
        self.lapsed.load(Ordering::Relaxed)
    }

    /// Reservations that were paid.
    pub fn confirmed(&self) -> u64 {
        self.confirmed.load(Ordering::Relaxed)
    }

    /// What they cost.
    pub fn points(&self) -> u64 {
        self.points.load(Ordering::Relaxed)
    }

    /// Points that went back for reservations that were cancelled.
    pub fn refunded(&self) -> u64 {
        self.refunded.load(Ordering::Relaxed)
    }

    pub(super) fn count(&self, step: &Step) {
        let counted = [
            (&self.holds, u64::from(step.holds)),
            (&self.lapsed, u64::from(step.lapsed)),
            (&self.confirmed, u64::from(step.confirmed)),
            (&self.points, step.points),
            (&self.refunded, step.refunded),
        ];
        for (counter, more) in counted.into_iter().filter(|(_, more)| *more > 0) {
            counter.fetch_add(more, Ordering::Relaxed);
        }
    }
}

/// What events did to a performance's places.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub struct Step {
    /// After them.
    left: u32,
    /// Places more, or fewer.
    held: i32,
    sold: i32,
    holds: u32,
    lapsed: u32,
    confirmed: u32,
    points: u64,
    refunded: u64,
}

impl Step {
    /// From nothing to what is found at a start.
    pub(super) fn found(performance: &Performance) -> Step {
        let mut step = Step { left: performance.left(), ..Step::default() };
        for reservation in performance.reservations() {
            let places = reservation.places() as i32;
            match reservation.state {
                state if state.is_held() => step.held += places,
                state if state.is_live() => step.sold += places,
                _ => {}
            }
        }
        step
    }

    /// What `events` did, after which the performance is as it is.
    pub(super) fn of(performance: &Performance, events: &[Event]) -> Step {
        let mut step = Step { left: performance.left(), ..Step::default() };
        for event in events {
            match event {
                Event::SeatsHeld(event) => {
                    step.holds += 1;
                    step.held += (event.seats.len() as u32 + event.area.as_ref().map_or(0, |area| area.count)) as i32;
                }
                Event::HoldReleased(event) => step.held -= event.places.count() as i32,
                Event::HoldExpired(event) => {
                    step.lapsed += 1;
                    step.held -= event.places.count() as i32;
                }
                Event::ReservationConfirmed(event) => {
                    let places = event.places.count() as i32;
                    (step.held, step.sold) = (step.held - places, step.sold + places);
                    (step.confirmed, step.points) = (step.confirmed + 1, step.points + event.points);
                }
                Event::ReservationCancelled(event) => {
                    step.sold -= event.places.count() as i32;
                    step.refunded += event.points;
                }
                _ => {}
            }
        }
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::id::{PerformanceId, ReservationId, UserId};
    use domain::performance::event::{
        AreaCount, HoldExpired, HoldReleased, Places as Named, ReservationCancelled, ReservationConfirmed,
    };
    use uuid::Uuid;

    #[test]
    fn events_move_places_and_are_counted() {
        let reservation_id = ReservationId::from_random(PerformanceId(Uuid::nil()), 1);
        let user_id = UserId(Uuid::nil());
        let area = Some(AreaCount { area: "Floor".into(), count: 3 });
        let places = Named { seats: vec!["A-1-1".into(), "A-1-2".into()], area };
        let expired = HoldExpired { reservation_id, user_id, places: places.clone(), available: 5 };
        let released = HoldReleased { reservation_id, user_id, places: places.clone(), available: 5 };
        let confirmed = ReservationConfirmed { reservation_id, user_id, places: places.clone(), points: 70 };
        let cancelled = ReservationCancelled { reservation_id, user_id, places, points: 70, available: 5 };
        let table = [
            (Event::HoldExpired(expired), Step { held: -5, lapsed: 1, ..Step::default() }),
            (Event::HoldReleased(released), Step { held: -5, ..Step::default() }),
            (
                Event::ReservationConfirmed(confirmed),
                Step { held: -5, sold: 5, confirmed: 1, points: 70, ..Step::default() },
            ),
            (Event::ReservationCancelled(cancelled), Step { sold: -5, refunded: 70, ..Step::default() }),
        ];
        for (event, expected) in table {
            assert_eq!(Step::of(&Performance::default(), std::slice::from_ref(&event)), expected, "{event:?}");
        }
    }
}
