//! Tables: one attempt a row, ending in its outcome. Seats, users and reservations have short names here.

mod changes;
mod fixture;
mod holds;
mod impossible;
mod lapses;
mod model;
mod payments;
mod terms;
mod times;
mod watchers;

use super::{Event, Rejection};
use crate::testing::coverage::Known;
use fixture::Table;
use std::collections::BTreeSet;
use strum::VariantNames;

/// Compared below: what a caller is told in the end counts, which may be another aggregate's refusal.
impl Known for Rejection {}

fn tables() -> Vec<Table> {
    let holds = [holds::tables(), impossible::tables(), lapses::tables()];
    let others = [terms::tables(), times::tables(), payments::tables(), changes::tables()];
    holds.into_iter().chain(others).flatten().collect()
}

#[test]
fn every_row_ends_as_it_says() {
    for table in tables() {
        table.run();
    }
}

#[test]
fn every_rejection_and_every_event_has_a_row() {
    use crate::EventData;
    let (mut refused, mut happened) = (BTreeSet::new(), BTreeSet::new());
    for table in tables() {
        let ran = table.run();
        refused.extend(ran.refused.iter().map(<&str>::from));
        happened.extend(ran.story.history.iter().map(|(_, event)| event.name()));
    }
    assert_eq!(refused, Rejection::VARIANTS.iter().copied().collect());
    assert_eq!(happened, Event::schemas().into_iter().map(|(name, _)| name).collect());
}
