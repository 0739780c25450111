//! Why a performance refuses.

use super::reservation::{SeatView, State};
use super::seats::best::{PlacesByKind, Relaxed};
use super::terms::SaleState;
use crate::text::Invalid;
use base::id::Millis;
use serde::Serialize;

/// Seats that are free, instead of seats that are not. Nobody holds them.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Replacement {
    pub seats: Vec<SeatView>,
    /// The price of all of them.
    pub points: u64,
    /// Whether they are side by side.
    pub adjacent: bool,
    pub relaxed: Vec<Relaxed>,
}

/// A standing area with more places taken than a new chart has.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AreaInUse {
    pub area: String,
    /// Places that are held, sold or blocked.
    pub taken: u32,
    /// Places of the new chart; 0 when the area is not in it.
    pub capacity: u32,
}

/// Why a performance refuses, in order of precedence within a command.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(test, derive(strum::IntoStaticStr, strum::VariantNames))]
pub enum Rejection {
    /// No such performance, or not the caller's.
    UnknownPerformance,
    /// No such reservation, or not the caller's.
    UnknownReservation,
    /// The same key stood for something else.
    KeyReused,
    /// It was changed since the version that the caller has seen.
    Changed {
        version: u64,
    },
    /// A new performance that makes no sense, a change that would make none of it, or a wish that the chart can never fulfil.
    Invalid(Invalid),
    /// What was prepared for a large chart is of other prices, or of another chart before it, than there are by now.
    /// Nothing happened: it is to be prepared and sent again.
    NotPrepared,
    /// Nothing was asked for.
    NoPlaces,
    /// More than a user may ever have.
    TooManyPlaces {
        limit: u32,
    },
    RepeatedSeat {
        seat: String,
    },
    /// No such seats here.
    UnknownSeats {
        seats: Vec<String>,
    },
    UnknownArea {
        area: String,
    },
    UnknownGrade {
        grade: String,
    },
    UnknownSection {
        section: String,
    },
    /// More accessible seats than seats.
    MoreAccessibleThanSeats,
    SaleNotOpen {
        state: SaleState,
        opens_at_ms: Millis,
    },
    /// Too many holds of the user came to nothing within `window_ms`. The next is granted in `wait_ms`.
    TooManyLapsedHolds {
        limit: u32,
        window_ms: Millis,
        retry_at_ms: Millis,
        wait_ms: Millis,
    },
    /// The user has as many places as one may have, or would with these.
    SeatLimit {
        limit: u32,
        held: u32,
    },
    /// These seats are taken: they cannot be blocked.
    SeatsUnavailable {
        seats: Vec<String>,
    },
    /// These of the seats that were asked for are taken, and there are others.
    SeatsTaken {
        seats: Vec<String>,
        replacement: Option<Box<Replacement>>,
    },
    /// Too few places of what was asked for; seats of several grades, or a standing area.
    TooFewLeft {
        available: u32,
        /// What is free of the grade and section that were asked for, by what it is for.
        places: PlacesByKind,
    },
    HoldExpired {
        expired_at_ms: Millis,
    },
    /// The reservation is in a state in which this cannot be done.
    WrongState {
        state: State,
    },
    InsufficientPoints {
        balance: u64,
        required: u64,
        expires_at_ms: Millis,
    },
    PaymentTimedOut {
        expires_at_ms: Millis,
    },
    CancellationClosed {
        closed_at_ms: Millis,
    },
    ExtensionNotAllowed {
        already: bool,
    },
    /// Refused payments gave the hold more time already than an extension would; it is not used up.
    ExtensionGainsNothing {
        expires_at_ms: Millis,
    },
    /// A closed sale cannot be opened again.
    SaleClosed,
    /// Its end has passed: it goes on when that is moved.
    SaleEnded {
        ended_at_ms: Millis,
    },
    /// A sale that has opened cannot go back to before its opening.
    SaleOpened {
        opened_at_ms: Millis,
    },
    /// It will not take place.
    PerformanceCancelled {
        cancelled_at_ms: Millis,
    },
    /// It was not cancelled.
    NotCancelled,
    /// Places of the chart that are not in the new one, and belong to somebody: the first of them, and how many.
    PlacesInUse {
        seats: Vec<String>,
        seats_total: u32,
        areas: Vec<AreaInUse>,
    },
    /// More places of standing areas were to be blocked than are free: area, and how many can be blocked.
    AreasTaken {
        areas: Vec<(String, u32)>,
    },
}
