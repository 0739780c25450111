//! Changes by the organizer while places are held and sold: other terms, another chart, a sale that is paused or closed.
//!
//! Nobody who has a place loses anything by them: what is held or sold keeps its places, its price and its expiry.

use super::description::Description;
use super::event::{ChartChanged, Event, PerformanceChanged, PerformanceCreated, SaleClosed, SalePaused, SaleResumed};
use super::rejection::{AreaInUse, Rejection};
use super::reservation::Reservation;
use super::seats::chart::names::canonical_prices;
use super::seats::chart::{Layout, Prices, SharedChart, check_prices, check_size, seats_of};
use super::terms::{Change, Sale};
use super::{BLOCKED, FREE, Performance};
use crate::text::Invalid;
use crate::{Command, Context, Effect, Expected};
use base::id::{Millis, OrganizerId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Places in use that a refused chart is told by name.
const IN_USE_LISTED_MAX: usize = 100;
/// Seats up to which a performance lays out a chart by itself.
const UNPREPARED_SEATS_MAX: usize = 5_000;

/// With the terms that `changed` has, and all else as it was created.
fn with_terms(created: &PerformanceCreated, changed: &PerformanceChanged) -> PerformanceCreated {
    PerformanceCreated { terms: changed.terms, prices: changed.prices.clone(), ..created.clone() }
}

/// Another chart, for a performance that may have sold places already.
#[derive(Clone, Debug)]
pub struct ChangeChart {
    pub organizer: OrganizerId,
    /// The version of the chart that the caller has seen.
    pub expected: Expected,
    /// A large one is to be prepared.
    pub chart: SharedChart,
    /// All prices; `None` keeps them.
    pub prices: Option<Prices>,
}

/// Pause, resume or close the sale.
#[derive(Clone, Debug)]
pub struct SetSale {
    pub organizer: OrganizerId,
    pub sale: Sale,
}

impl Command for SetSale {
    type On = Performance;
    type Answer = Description;
    type Rejection = Rejection;

    fn decide(&self, performance: &Performance, context: &Context) -> Result<Vec<Event>, Rejection> {
        let created = performance.edited_by(self.organizer)?;
        performance.set_sale(self.sale, created, context.now)
    }

    fn answer(&self, performance: &Performance, effect: &Effect<'_, Performance>) -> Description {
        performance.described(effect)
    }
}

/// New terms, and with them a new state if one is given: both or neither.
impl Command for Change {
    type On = Performance;
    type Answer = Description;
    type Rejection = Rejection;

    fn decide(&self, performance: &Performance, context: &Context) -> Result<Vec<Event>, Rejection> {
        performance.change_terms(performance.edited_by(self.organizer)?, self, context.now)
    }

    fn answer(&self, performance: &Performance, effect: &Effect<'_, Performance>) -> Description {
        performance.described(effect)
    }
}

impl Command for ChangeChart {
    type On = Performance;
    type Answer = Description;
    type Rejection = Rejection;

    fn decide(&self, performance: &Performance, _: &Context) -> Result<Vec<Event>, Rejection> {
        performance.change_chart(performance.edited_by(self.organizer)?, self)
    }

    fn answer(&self, performance: &Performance, effect: &Effect<'_, Performance>) -> Description {
        performance.described(effect)
    }
}

impl Performance {
    fn set_sale(&self, sale: Sale, created: &PerformanceCreated, now: Millis) -> Result<Vec<Event>, Rejection> {
        let ended_at_ms = created.terms.sale_closes_at_ms;
        match sale {
            Sale::Closed if self.sale == Sale::Closed => Ok(vec![]),
            Sale::Closed => Ok(vec![Event::SaleClosed(SaleClosed {})]),
            _ if self.sale == Sale::Closed => Err(Rejection::SaleClosed),
            _ if now >= ended_at_ms => Err(Rejection::SaleEnded { ended_at_ms }),
            _ if sale == self.sale => Ok(vec![]),
            Sale::Paused => Ok(vec![Event::SalePaused(SalePaused {})]),
            Sale::Running => Ok(vec![Event::SaleResumed(SaleResumed {})]),
            // There is a command of its own for that: it needs a reason.
            Sale::Cancelled => Ok(vec![]),
        }
    }

    /// A version that was shown is still good for an edit when nothing but sales happened since: at the height of a sale
    /// every version is out of date before it has reached anybody.
    fn check_expected(&self, expected: &Expected) -> Result<(), Rejection> {
        match expected.allows(|version| (self.edited_version..=self.version).contains(&version)) {
            true => Ok(()),
            false => Err(Rejection::Changed { version: self.version }),
        }
    }

    fn change_terms(
        &self,
        created: &PerformanceCreated,
        change: &Change,
        now: Millis,
    ) -> Result<Vec<Event>, Rejection> {
        self.check_expected(&change.expected)?;
        let prices = change.prices.as_ref().map(|prices| canonical_prices(prices, Some(&created.prices))).transpose();
        let prices = prices.map_err(Rejection::Invalid)?;
        let changed = PerformanceChanged {
            terms: created.terms.changed_by(change),
            prices: prices.as_deref().unwrap_or(&created.prices).clone(),
            prepared: change.prepared.clone(),
        };
        let after = with_terms(created, &changed);
        if created.terms.has_other_times(&after.terms) {
            let closed = self.sale == Sale::Closed;
            after.terms.check_times(change.named_times(), closed).map_err(Rejection::Invalid)?;
        }
        after.terms.check().map_err(Rejection::Invalid)?;
        if after.prices != created.prices {
            self.check_prices(&after.prices).map_err(Rejection::Invalid)?;
            let ready = change.prepared.as_ref().and_then(|ready| ready.layout_of(&created.chart, &after.prices));
            self.check_prepared(ready.is_some(), self.layout.seats as usize)?;
        }
        // An end that merely passed can be moved. Of a sale that is closed for good the performance itself can: an end that
        // was never set goes with it, and opens nothing.
        if self.sale == Sale::Closed && after.terms.set_hours() != created.terms.set_hours() {
            return Err(Rejection::SaleClosed);
        }
        if now >= created.terms.sale_opens_at_ms && after.terms.sale_opens_at_ms > now {
            return Err(Rejection::SaleOpened { opened_at_ms: created.terms.sale_opens_at_ms });
        }
        let state = change.sale.map(|sale| self.set_sale(sale, &after, now)).transpose()?;

        // Past this line both stand.
        let mut events = state.unwrap_or_default();
        if after != *created {
            events.insert(0, Event::PerformanceChanged(changed));
        }
        Ok(events)
    }

    /// Refuses to lay out a large chart here and now: it was to be prepared beforehand.
    fn check_prepared(&self, prepared: bool, seats: usize) -> Result<(), Rejection> {
        if prepared || seats <= UNPREPARED_SEATS_MAX { Ok(()) } else { Err(Rejection::NotPrepared) }
    }

    /// A grade keeps a price as long as the chart has places of it.
    fn check_prices(&self, prices: &Prices) -> Result<(), Invalid> {
        let rows = self.layout.rows.iter().flat_map(|row| row.grades());
        let used: BTreeSet<u8> = rows.chain(self.layout.areas.iter().map(|area| area.grade)).collect();
        let used = used.into_iter().map(|grade| self.layout.price(grade).0);
        match used.into_iter().find(|grade| !prices.contains_key(*grade)) {
            Some(grade) => Err(Invalid {
                field: format!("prices.{grade}"),
                reason: "is missing; prices replace all prices, and the chart has places of this grade".into(),
            }),
            None => check_prices(prices),
        }
    }

    fn change_chart(&self, created: &PerformanceCreated, new: &ChangeChart) -> Result<Vec<Event>, Rejection> {
        if !new.expected.allows(|version| version == self.chart_version as u64) {
            return Err(Rejection::Changed { version: self.chart_version as u64 });
        }
        let prices = new.prices.as_ref().unwrap_or(&created.prices);
        let prices = canonical_prices(prices, Some(&created.prices)).map_err(Rejection::Invalid)?;
        if new.chart == created.chart && *prices == created.prices {
            return Ok(vec![]);
        }
        check_size(&new.chart).map_err(Rejection::Invalid)?;
        let seats = seats_of(&new.chart).max(self.layout.seats as usize);
        self.check_prepared(new.chart.is_prepared(&prices, &self.layout), seats)?;
        let chart = new.chart.in_form_after(&created.chart, &self.layout);
        if chart == created.chart && *prices == created.prices {
            return Ok(vec![]);
        }
        let layout = chart.laid_out(&prices).map_err(Rejection::Invalid)?;
        let moves = chart.moves(&self.layout, &layout);
        let mut taken = 0;
        let (mut seats, mut seats_total) = (Vec::new(), 0);
        for (seat, there) in moves.seats.iter().enumerate() {
            match (self.seats[seat], there) {
                (FREE, _) | (BLOCKED, None) => {}
                (_, Some(_)) => taken += 1,
                (_, None) => {
                    seats_total += 1;
                    if seats.len() < IN_USE_LISTED_MAX {
                        seats.push(self.layout.label(seat as u32));
                    }
                }
            }
        }
        let mut areas = Vec::new();
        for (index, area) in self.layout.areas.iter().enumerate() {
            let there = layout.area(&area.name).map(|there| layout.areas[there].capacity);
            // Blocked places may go with their area; of one that stays they stay blocked.
            let in_use = self.area_taken[index] + there.map_or(0, |_| self.area_blocked[index]);
            let capacity = there.unwrap_or(0);
            taken += in_use.min(capacity);
            if in_use > capacity {
                areas.push(AreaInUse { area: area.name.to_string(), taken: in_use, capacity });
            }
        }
        if seats_total > 0 || !areas.is_empty() {
            return Err(Rejection::PlacesInUse { seats, seats_total, areas });
        }
        Ok(vec![Event::ChartChanged(ChartChanged {
            chart_version: self.chart_version + 1,
            chart,
            prices: prices.into_owned(),
            available: layout.places() - taken,
        })])
    }

    pub(super) fn take_terms(&mut self, event: &PerformanceChanged) {
        self.keep_first();
        let Some(created) = &self.created else { return };
        let after = with_terms(created, event);
        if after.prices == created.prices {
            self.created = Some(after);
        } else {
            let ready = event.prepared.as_ref().and_then(|ready| ready.layout_of(&after.chart, &after.prices));
            let layout = ready.cloned().unwrap_or_else(|| after.laid_out());
            self.lay_out(after, layout);
        }
    }

    pub(super) fn take_chart(&mut self, event: &ChartChanged) {
        self.keep_first();
        let Some(created) = &self.created else { return };
        let after = PerformanceCreated { chart: event.chart.clone(), prices: event.prices.clone(), ..created.clone() };
        self.chart_version = event.chart_version;
        let layout = after.laid_out();
        self.lay_out(after, layout);
    }

    /// Moves everything to the places that have the same names in another chart, or at other prices.
    fn lay_out(&mut self, terms: PerformanceCreated, layout: Arc<Layout>) {
        // At other prices every place stays where it is.
        if self.created.as_ref().is_some_and(|created| created.chart.is(&terms.chart)) {
            for reservation in self.slots.iter_mut().flatten() {
                reservation.fix(&self.layout);
            }
        } else {
            self.move_places(&terms.chart, &layout);
        }
        let chart = terms.chart.bare();
        (self.created, self.layout) = (Some(PerformanceCreated { chart, ..terms }), layout);
        self.derive_places();
        self.name_later();
    }

    fn move_places(&mut self, chart: &SharedChart, layout: &Arc<Layout>) {
        let moves = chart.moves(&self.layout, layout);
        let areas: Vec<Option<u32>> =
            self.layout.areas.iter().map(|area| layout.area(&area.name).map(|index| index as u32)).collect();
        let mut seats = vec![FREE; layout.seats as usize];
        for (seat, there) in moves.seats.iter().enumerate() {
            if let Some(there) = there {
                seats[*there as usize] = self.seats[seat];
            }
        }
        let mut area_blocked = vec![0; layout.areas.len()];
        for (index, there) in areas.iter().enumerate() {
            if let Some(there) = there {
                area_blocked[*there as usize] = self.area_blocked[index];
            }
        }
        // One pass: the reservations of a full house are more than a processor's caches hold.
        for reservation in self.slots.iter_mut().flatten() {
            reservation.fix(&self.layout);
            // The places of what is over may be gone; what they were is fixed.
            reservation.seats = reservation.seats.iter().filter_map(|seat| moves.seats[*seat as usize]).collect();
            reservation.area = reservation.area.and_then(|(index, count)| Some((areas[index as usize]?, count)));
        }
        (self.seats, self.area_blocked) = (seats, area_blocked);
    }

    /// Some more of what was fixed gets its names, so that layouts of before can go: a few per event, so that no event pays
    /// for all.
    pub(super) fn name_fixed(&mut self) {
        const AT_ONCE: usize = 16;
        if self.layouts_before > 0 {
            self.name_some(AT_ONCE);
        }
    }

    /// What was fixed just now gets its names later.
    fn name_later(&mut self) {
        /// So many layouts are kept without a hurry.
        const LAYOUTS_MAX: u32 = 8;
        /// Of a full house each change names a twentieth then: no more than forty layouts are ever kept.
        const IN_A_HURRY: usize = 5_000;
        self.layouts_before += 1;
        if self.named_slots > 0 {
            self.layouts_meanwhile += 1;
        }
        if self.layouts_before > LAYOUTS_MAX {
            self.name_some(IN_A_HURRY);
        }
    }

    /// Goes on with the slots, from the first to the last. Once through, the layouts that were there at its beginning can go.
    fn name_some(&mut self, most: usize) {
        let end = self.slots.len().min(self.named_slots + most);
        self.slots[self.named_slots..end].iter_mut().flatten().for_each(Reservation::name_fixed);
        self.named_slots = end;
        if end == self.slots.len() {
            (self.layouts_before, self.layouts_meanwhile, self.named_slots) = (self.layouts_meanwhile, 0, 0);
        }
    }
}
