//! A performance as it is shown; its making.

use super::Performance;
use super::event::{Event, PerformanceCreated};
use super::fairness::REFUSAL_GRACE_S;
use super::rejection::Rejection;
use super::seats::chart::names::canonical_prices;
use super::seats::chart::{Layout, Prices, SharedChart, check_size};
use super::terms::{NamedTimes, Sale, SaleState, Terms, sale_state};
use crate::{Command, Context, Effect, FIRST_VERSION, Fingerprint};
use base::id::{ConcertId, Millis, OrganizerId, PerformanceId};
use std::sync::Arc;

/// A new performance. Again with the same content: it is described as it was made.
#[derive(Clone, Debug)]
pub struct Create {
    pub concert: ConcertId,
    pub organizer: OrganizerId,
    pub terms: Terms,
    pub prices: Prices,
    /// A large one is to be prepared.
    pub chart: SharedChart,
    pub content: Fingerprint,
}

#[derive(Clone, Debug)]
pub struct Describe;

/// Its chart, and how that is laid out.
#[derive(Clone, Debug)]
pub struct ShowChart;

/// A performance without its chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    pub id: PerformanceId,
    pub concert: ConcertId,
    pub organizer: OrganizerId,
    pub sale: Sale,
    pub terms: Terms,
    pub prices: Prices,
    pub places: u32,
    pub available: u32,
    pub chart_version: u32,
    pub created_at_ms: Millis,
    pub version: u64,
    /// It was created before, by the same request: this is what it was then.
    pub repeated: bool,
}

/// A chart as it is shown.
#[derive(Clone, Debug)]
pub struct ChartShown {
    pub chart: SharedChart,
    /// As it is laid out at the prices of now.
    pub layout: Arc<Layout>,
    pub version: u32,
}

impl Description {
    /// The state of the sale at `now`.
    pub fn state(&self, now: Millis) -> SaleState {
        sale_state(self.sale, self.terms.sale_opens_at_ms, self.terms.sale_closes_at_ms, now)
    }
}

impl Command for Create {
    type On = Performance;
    type Answer = Description;
    type Rejection = Rejection;

    fn decide(&self, performance: &Performance, _: &Context) -> Result<Vec<Event>, Rejection> {
        if let Some(created) = &performance.created {
            let same = created.content == self.content && created.organizer_id == self.organizer;
            return if same { Ok(vec![]) } else { Err(Rejection::KeyReused) };
        }
        check_size(&self.chart).map_err(Rejection::Invalid)?;
        let chart = self.chart.in_form();
        let prices = canonical_prices(&self.prices, None).map_err(Rejection::Invalid)?;
        let layout = chart.laid_out(&prices).map_err(Rejection::Invalid)?;
        self.terms.check_times(NamedTimes::ALL, false).map_err(Rejection::Invalid)?;
        self.terms.check().map_err(Rejection::Invalid)?;
        Ok(vec![Event::PerformanceCreated(PerformanceCreated {
            concert_id: self.concert,
            organizer_id: self.organizer,
            terms: self.terms,
            refusal_grace_s: Some(REFUSAL_GRACE_S),
            prices: prices.into_owned(),
            chart,
            content: self.content,
            available: layout.places(),
        })])
    }

    fn answer(&self, performance: &Performance, effect: &Effect<'_, Performance>) -> Description {
        match effect.events {
            [] => performance.describe_first(effect.id),
            _ => performance.described(effect),
        }
    }
}

impl Command for Describe {
    type On = Performance;
    type Answer = Description;
    type Rejection = Rejection;

    fn decide(&self, performance: &Performance, _: &Context) -> Result<Vec<Event>, Rejection> {
        performance.created().map(|_| vec![])
    }

    fn answer(&self, performance: &Performance, effect: &Effect<'_, Performance>) -> Description {
        performance.described(effect)
    }
}

impl Command for ShowChart {
    type On = Performance;
    type Answer = ChartShown;
    type Rejection = Rejection;

    fn decide(&self, performance: &Performance, _: &Context) -> Result<Vec<Event>, Rejection> {
        performance.created().map(|_| vec![])
    }

    fn answer(&self, performance: &Performance, _: &Effect<'_, Performance>) -> ChartShown {
        let created = performance.created().expect("only an existing performance shows its chart");
        let (chart, layout) = (created.chart.clone(), Arc::clone(&performance.layout));
        ChartShown { chart, layout, version: performance.chart_version }
    }
}

impl Performance {
    /// After a command that only an existing performance accepts.
    pub(super) fn described(&self, effect: &Effect<'_, Performance>) -> Description {
        self.describe(effect.id, effect.version)
    }

    fn describe(&self, id: PerformanceId, version: u64) -> Description {
        let created = self.created.as_ref().expect("only an existing performance is described");
        Description {
            id,
            concert: created.concert_id,
            organizer: created.organizer_id,
            sale: self.sale,
            terms: created.terms,
            prices: created.prices.clone(),
            places: self.layout.places(),
            available: self.on_offer(self.available()),
            chart_version: self.chart_version,
            created_at_ms: self.created_at_ms,
            version,
            repeated: false,
        }
    }

    /// The performance as it was created: what the request that created it was answered, and is answered again.
    fn describe_first(&self, id: PerformanceId) -> Description {
        let now = self.describe(id, FIRST_VERSION);
        let (terms, prices, places) = match &self.first {
            Some(first) => (first.terms, first.prices.clone(), first.places),
            None => (now.terms, now.prices, now.places),
        };
        let (sale, available, chart_version, repeated) = (Sale::Running, places, 1, true);
        Description { sale, terms, prices, places, available, chart_version, repeated, ..now }
    }
}
