//! How the sale goes: places of the busiest performances, holds, points.

use super::figure::{Collectors, counter, expect};
use engine::views::sales::Sales;
use prometheus::{IntCounter, IntGaugeVec, Opts};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

pub struct Sale {
    places: IntGaugeVec,
    /// Those that have figures.
    performances: Mutex<BTreeSet<String>>,
    holds: IntCounter,
    lapsed: IntCounter,
    points: IntCounter,
    refunded: IntCounter,
}

/// One performance's places.
pub struct Places {
    pub performance: String,
    pub left: u64,
    pub held: u64,
    pub sold: u64,
}

const STATES: [&str; 3] = ["left", "held", "sold"];

impl Sale {
    pub(super) fn new() -> Sale {
        let places = Opts::new(
            "onsale_performance_places",
            "Places of the 100 busiest performances that are on sale, by state (`left`, `held`, `sold`)",
        );
        Sale {
            places: expect(IntGaugeVec::new(places, &["performance", "state"])),
            performances: Mutex::default(),
            holds: counter("onsale_holds_total", "Holds taken since the start"),
            lapsed: counter("onsale_holds_lapsed_total", "Holds that were not paid in time, since the start"),
            points: counter("onsale_sales_points_total", "Points paid for reservations since the start"),
            refunded: counter("onsale_refunds_points_total", "Points refunded for reservations since the start"),
        }
    }

    pub(super) fn collectors(&self) -> Collectors {
        vec![
            Box::new(self.places.clone()),
            Box::new(self.holds.clone()),
            Box::new(self.lapsed.clone()),
            Box::new(self.points.clone()),
            Box::new(self.refunded.clone()),
        ]
    }

    /// What was held and sold. Only one scrape at a time may tell it: what was counted is added up.
    pub fn set_sales(&self, sales: &Sales) {
        let counters = [
            (&self.holds, sales.holds()),
            (&self.lapsed, sales.lapsed()),
            (&self.points, sales.points()),
            (&self.refunded, sales.refunded()),
        ];
        counters.iter().for_each(|(counter, now)| counter.inc_by(now.saturating_sub(counter.get())));
    }

    /// What is known of performances now; what was known before is forgotten.
    pub fn set_places(&self, performances: &[Places]) {
        let mut known = self.performances.lock().unwrap_or_else(PoisonError::into_inner);
        for Places { performance, left, held, sold } in performances {
            for (state, places) in STATES.into_iter().zip([left, held, sold]) {
                self.places.with_label_values(&[performance.as_str(), state]).set(*places as i64);
            }
        }
        // Not all away and then back: somebody else may be reading.
        let now = performances.iter().map(|places| places.performance.clone()).collect();
        for gone in std::mem::replace(&mut *known, now).difference(&known) {
            for state in STATES {
                let _ = self.places.remove_label_values(&[gone.as_str(), state]);
            }
        }
    }
}
