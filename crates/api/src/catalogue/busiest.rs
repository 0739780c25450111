//! The busiest performances, for `/metrics`: those that change most, while they are on sale.

use crate::ops::metrics::sale::Places;
use base::id::{Millis, PerformanceId};
use engine::views::{AvailabilityView, Views};
use rustc_hash::FxHashMap;
use std::cmp::Reverse;

/// Performances with figures of their own.
const FIGURES_MAX: usize = 100;
/// After so long a change counts half.
const HALF_LIFE_MS: f64 = 300_000.0;

/// How busy each performance is, from one look to the next.
#[derive(Default)]
pub struct Busiest {
    at_ms: Millis,
    performances: FxHashMap<PerformanceId, Activity>,
}

#[derive(Clone, Copy)]
struct Activity {
    version: u64,
    /// Changes of late; those of long ago count less.
    changes: f64,
}

impl Busiest {
    /// The places of the busiest performances that are on sale at `now`.
    pub fn look(&mut self, views: &Views, now: Millis) -> Vec<Places> {
        let found = views.availabilities();
        let is_open = |view: &AvailabilityView| {
            let (opens_at_ms, closes_at_ms) = view.hours();
            (opens_at_ms..closes_at_ms).contains(&now)
        };
        let open: Vec<_> = found.into_iter().filter(|(_, view)| is_open(view)).collect();
        let changes = self.note(open.iter().map(|(id, view)| (*id, view.version())), now);
        let ranked = open.into_iter().zip(changes).map(|((id, view), changes)| (changes, id, view)).collect();
        busiest(ranked).into_iter().map(|(_, id, view)| shown(id, &view)).collect()
    }

    /// How busy each is now. Those that are not named any more are forgotten.
    fn note(&mut self, versions: impl Iterator<Item = (PerformanceId, u64)>, now: Millis) -> Vec<f64> {
        let passed_ms = now.saturating_sub(self.at_ms) as f64;
        let left = (-passed_ms / HALF_LIFE_MS).exp2();
        let before = std::mem::take(&mut self.performances);
        self.at_ms = now;
        let mut all = Vec::new();
        for (id, version) in versions {
            let changes = match before.get(&id) {
                Some(known) => known.changes * left + version.saturating_sub(known.version) as f64,
                // What was before the first look, nobody knows how long ago: enough to tell a hall in use from an empty one.
                None => (version as f64).ln_1p(),
            };
            self.performances.insert(id, Activity { version, changes });
            all.push(changes);
        }
        all
    }
}

/// Those with the most changes, as many as have figures, in no particular order.
fn busiest<T>(mut all: Vec<(f64, PerformanceId, T)>) -> Vec<(f64, PerformanceId, T)> {
    if all.len() > FIGURES_MAX {
        all.select_nth_unstable_by_key(FIGURES_MAX, |(changes, id, _)| (Reverse((changes * 1_000.0) as u64), *id));
        all.truncate(FIGURES_MAX);
    }
    all
}

fn shown(id: PerformanceId, view: &AvailabilityView) -> Places {
    let places = view.places();
    Places { performance: id.to_string(), left: places.left(), held: places.held(), sold: places.sold() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_have_figures_and_no_more_than_fit() {
        let all =
            (0..500).map(|number: u32| (f64::from(number), PerformanceId(uuid::Uuid::from_u128(number.into())), ()));
        let kept = busiest(all.collect());
        assert_eq!(kept.len(), FIGURES_MAX);
        assert!(kept.iter().all(|(changes, ..)| *changes >= 400.0), "{kept:?}");
        assert_eq!(busiest(vec![(0.0, PerformanceId(uuid::Uuid::nil()), ())]).len(), 1);
    }

    #[test]
    fn what_changed_of_late_is_busier_than_what_changed_once() {
        let (old, new) = (PerformanceId(uuid::Uuid::from_u128(1)), PerformanceId(uuid::Uuid::from_u128(2)));
        let mut busiest = Busiest::default();
        busiest.note([(old, 10_000), (new, 1)].into_iter(), 0);
        let changes = busiest.note([(old, 20_000), (new, 1)].into_iter(), 1_000);
        assert!(changes[0] > changes[1], "{changes:?}");
        // Much later the old one is sold out and the new one sells.
        let hour_ms = 3_600_000;
        let changes = busiest.note([(old, 20_000), (new, 300)].into_iter(), hour_ms);
        assert!(changes[0] < changes[1], "{changes:?}");
        busiest.note([(new, 300)].into_iter(), hour_ms);
        assert_eq!(busiest.performances.len(), 1);
    }
}
