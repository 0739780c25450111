//! What an organizer may change of a performance, and what its cancellation owes to whom.

use super::super::seating::labels;
use super::following::check_following;
use super::*;

impl House {
    /// After its cancellation a performance only gives back.
    pub(super) fn check_cancelled(&self, event: &Event) -> Result<(), Fault> {
        let allowed = matches!(
            event,
            Event::HoldReleased(_)
                | Event::HoldExpired(_)
                | Event::PaymentRefused(_)
                | Event::ReservationConfirmed(_)
                | Event::CancellationStarted(_)
                | Event::ReservationCancelled(_)
                | Event::PerformanceCancellationFinished(_)
        );
        let holds = self.sale != Sale::Cancelled || (allowed && !self.end.finished);
        ensure(holds, Kind::RulesBroken, || "the performance was cancelled before".into())
    }

    pub(super) fn terms_changed(&mut self, event: PerformanceChanged, at: Millis) -> Result<EventEffect, Fault> {
        let (was, is) = (&self.created.terms, &event.terms);
        // Of a closed sale the end moves only with the start that it follows.
        let kept = was.hours() == is.hours() || was.set_hours() == is.set_hours();
        ensure(self.sale != Sale::Closed || kept, Kind::RulesBroken, || "a closed sale got other hours".into())?;
        check_following(is)?;
        let (opens, closes) = is.hours();
        ensure(opens < closes || self.sale == Sale::Closed, Kind::RulesBroken, || {
            format!("the sale closes at {closes}, opens at {opens}")
        })?;
        ensure(at < was.sale_opens_at_ms || opens <= at, Kind::RulesBroken, || "an open sale was put off".into())?;
        let chart = self.created.chart.clone();
        self.seating = Seating::new(&chart, &event.prices).map_err(|what| (Kind::RulesBroken, what))?;
        self.created = PerformanceCreated {
            concert_id: self.created.concert_id,
            organizer_id: self.created.organizer_id,
            terms: event.terms,
            refusal_grace_s: self.created.refusal_grace_s,
            prices: event.prices,
            chart,
            content: self.created.content,
            available: self.created.available,
        };
        Ok(EventEffect::Other)
    }

    /// Every owner keeps the places of the same names, or the chart is wrong.
    pub(super) fn chart_changed(&mut self, event: ChartChanged) -> Result<EventEffect, Fault> {
        same(Kind::RulesBroken, "chart_version", event.chart_version, self.chart_version + 1)?;
        let seating = Seating::new(&event.chart, &event.prices).map_err(|what| (Kind::RulesBroken, what))?;
        let gone = |place: &str| (Kind::PlacesSoldTwice, format!("{place} is not in the new chart, and has an owner"));
        let mut moved = vec![None; self.owners.len()];
        let mut owners = vec![FREE; seating.seats as usize];
        for (seat, label) in labels(&self.created.chart).into_iter().enumerate() {
            moved[seat] = seating.seat(&label).map(|(there, _)| there);
            match (self.owners[seat], moved[seat]) {
                (owner, Some(there)) => owners[there as usize] = owner,
                (FREE | BLOCKED, None) => {}
                (_, None) => return Err(gone(&label)),
            }
        }
        let mut standing = vec![(0, 0); seating.standing.len()];
        let mut areas = vec![None; self.standing_taken.len()];
        for (index, area) in self.created.chart.areas.iter().enumerate() {
            areas[index] = seating.area(&area.area);
            match areas[index] {
                Some(there) => standing[there] = (self.standing_taken[index], self.standing_blocked[index]),
                None if self.standing_taken[index] > 0 => return Err(gone(&area.area)),
                None => {}
            }
        }
        for ((taken, blocked), (capacity, _)) in standing.iter().zip(&seating.standing) {
            ensure(taken + blocked <= *capacity, Kind::PlacesSoldTwice, || {
                format!("an area has {capacity} places in the new chart, and {taken} taken and {blocked} blocked ones")
            })?;
        }
        for reservation in self.reservations.iter_mut().flatten() {
            for seat in &mut reservation.seats {
                *seat = moved[*seat as usize].expect("every owned seat is there");
            }
            if let Some((area, _)) = &mut reservation.area {
                *area = areas[*area as usize].expect("every area with owners is there") as u32;
            }
        }
        let left =
            seating.standing.iter().zip(&standing).map(|((capacity, _), (taken, blocked))| capacity - taken - blocked);
        self.available = owners.iter().filter(|owner| **owner == FREE).count() as u32 + left.sum::<u32>();
        same(Kind::RulesBroken, "available", event.available, self.available)?;
        (self.standing_taken, self.standing_blocked) = standing.into_iter().unzip();
        (self.owners, self.seating, self.chart_version) = (owners, seating, event.chart_version);
        (self.created.chart, self.created.prices) = (event.chart, event.prices);
        Ok(EventEffect::Other)
    }

    pub(super) fn areas_blocked(&mut self, event: &AreasBlocked) -> Result<EventEffect, Fault> {
        for BlockedArea { area, blocked } in &event.areas {
            let index = self.seating.area(area).ok_or((Kind::PlacesSoldTwice, format!("there is no area {area:?}")))?;
            let (capacity, taken) = (self.seating.standing[index].0, self.standing_taken[index]);
            ensure(*blocked <= capacity - taken, Kind::PlacesSoldTwice, || {
                format!("{blocked} places of area {area:?} are blocked, {taken} of {capacity} are taken")
            })?;
            self.available = self.available + self.standing_blocked[index] - blocked;
            self.standing_blocked[index] = *blocked;
        }
        same(Kind::RulesBroken, "available", event.available, self.available)?;
        Ok(EventEffect::Other)
    }

    pub(super) fn cancelled(&mut self, event: &PerformanceCancelled) -> Result<EventEffect, Fault> {
        let (mut holds, mut paid, mut points) = (0, 0, 0);
        for reservation in self.reservations() {
            match reservation.stage {
                Stage::Held => holds += 1,
                Stage::Confirmed | Stage::Cancelling => {
                    paid += 1;
                    points += reservation.points;
                }
                Stage::Paying => {}
            }
        }
        same(Kind::RulesBroken, "holds", event.holds, holds)?;
        same(Kind::RulesBroken, "reservations", event.reservations, paid)?;
        same(Kind::PointsOff, "points", event.points, points)?;
        self.sale = Sale::Cancelled;
        Ok(EventEffect::CancelledAll)
    }

    pub(super) fn cancellation_finished(
        &mut self,
        event: &PerformanceCancellationFinished,
    ) -> Result<EventEffect, Fault> {
        ensure(self.sale == Sale::Cancelled, Kind::RulesBroken, || "the performance was not cancelled before".into())?;
        ensure(self.reservations().next().is_none(), Kind::PurchasesBroken, || {
            "somebody still has places of the cancelled performance".into()
        })?;
        same(Kind::RulesBroken, "reservations", event.reservations, self.end.refunded)?;
        same(Kind::PointsOff, "points", event.points, self.end.points_refunded)?;
        same(Kind::RulesBroken, "holds_released", event.holds_released, self.end.holds_released)?;
        self.end.finished = true;
        Ok(EventEffect::Other)
    }

    /// Whether it was cancelled, and somebody may still have to be given something back.
    pub fn is_being_called_off(&self) -> bool {
        self.sale == Sale::Cancelled && !self.end.finished
    }
}
