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
use fixture::Table;
use std::collections::BTreeSet;

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

/// A new rejection must be named here and then has to have a row.
fn rejection_name(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::UnknownPerformance => "UnknownPerformance",
        Rejection::UnknownReservation => "UnknownReservation",
        Rejection::KeyReused => "KeyReused",
        Rejection::Invalid(_) => "Invalid",
        Rejection::NotPrepared => "NotPrepared",
        Rejection::NoPlaces => "NoPlaces",
        Rejection::TooManyPlaces { .. } => "TooManyPlaces",
        Rejection::RepeatedSeat { .. } => "RepeatedSeat",
        Rejection::UnknownSeats { .. } => "UnknownSeats",
        Rejection::UnknownArea { .. } => "UnknownArea",
        Rejection::UnknownGrade { .. } => "UnknownGrade",
        Rejection::UnknownSection { .. } => "UnknownSection",
        Rejection::SaleNotOpen { .. } => "SaleNotOpen",
        Rejection::SeatLimit { .. } => "SeatLimit",
        Rejection::SeatsUnavailable { .. } => "SeatsUnavailable",
        Rejection::SeatsTaken { .. } => "SeatsTaken",
        Rejection::TooManyLapsedHolds { .. } => "TooManyLapsedHolds",
        Rejection::MoreAccessibleThanSeats => "MoreAccessibleThanSeats",
        Rejection::ExtensionGainsNothing { .. } => "ExtensionGainsNothing",
        Rejection::TooFewLeft { .. } => "TooFewLeft",
        Rejection::HoldExpired { .. } => "HoldExpired",
        Rejection::WrongState { .. } => "WrongState",
        Rejection::InsufficientPoints { .. } => "InsufficientPoints",
        Rejection::PaymentTimedOut { .. } => "PaymentTimedOut",
        Rejection::CancellationClosed { .. } => "CancellationClosed",
        Rejection::ExtensionNotAllowed { .. } => "ExtensionNotAllowed",
        Rejection::SaleClosed => "SaleClosed",
        Rejection::SaleEnded { .. } => "SaleEnded",
        Rejection::Changed { .. } => "Changed",
        Rejection::SaleOpened { .. } => "SaleOpened",
        Rejection::PerformanceCancelled { .. } => "PerformanceCancelled",
        Rejection::NotCancelled => "NotCancelled",
        Rejection::PlacesInUse { .. } => "PlacesInUse",
        Rejection::AreasTaken { .. } => "AreasTaken",
    }
}

const REJECTIONS: [&str; 34] = [
    "SaleEnded",
    "NotPrepared",
    "SeatsTaken",
    "TooManyLapsedHolds",
    "MoreAccessibleThanSeats",
    "ExtensionGainsNothing",
    "UnknownPerformance",
    "UnknownReservation",
    "KeyReused",
    "Invalid",
    "NoPlaces",
    "TooManyPlaces",
    "RepeatedSeat",
    "UnknownSeats",
    "UnknownArea",
    "UnknownGrade",
    "UnknownSection",
    "SaleNotOpen",
    "SeatLimit",
    "SeatsUnavailable",
    "TooFewLeft",
    "HoldExpired",
    "WrongState",
    "InsufficientPoints",
    "PaymentTimedOut",
    "CancellationClosed",
    "ExtensionNotAllowed",
    "SaleClosed",
    "Changed",
    "SaleOpened",
    "PerformanceCancelled",
    "NotCancelled",
    "PlacesInUse",
    "AreasTaken",
];

#[test]
fn every_rejection_and_every_event_has_a_row() {
    use crate::EventData;
    let (mut refused, mut happened) = (BTreeSet::new(), BTreeSet::new());
    for table in tables() {
        let ran = table.run();
        refused.extend(ran.refused.iter().map(rejection_name));
        happened.extend(ran.story.history.iter().map(|(_, event)| event.name()));
    }
    assert_eq!(refused, BTreeSet::from(REJECTIONS));
    assert_eq!(happened, Event::schemas().into_iter().map(|(name, _)| name).collect());
}
