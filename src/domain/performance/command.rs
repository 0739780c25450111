//! What a performance can be asked for, what it answers and how it refuses.

use crate::domain::chart::{Chart, Invalid, Prices};
use crate::domain::reservation::{State, View};
use crate::domain::{Fingerprint, Repeat};
use crate::id::{ConcertId, Millis, OrganizerId, PerformanceId, ReservationId, UserId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a performance can be asked for.
#[derive(Clone, Debug)]
pub enum Command {
    Create(Box<Create>),
    /// Pause, resume or close the sale.
    SetSale {
        organizer: OrganizerId,
        sale: Sale,
    },
    /// Take free seats out of the sale.
    Block {
        organizer: OrganizerId,
        seats: Vec<String>,
    },
    /// Give blocked seats to the sale.
    Unblock {
        organizer: OrganizerId,
        seats: Vec<String>,
    },
    Hold {
        user: UserId,
        wish: Wish,
        repeat: Option<Repeat>,
    },
    Extend {
        user: UserId,
        reservation: ReservationId,
    },
    Pay {
        user: UserId,
        reservation: ReservationId,
    },
    /// Give a hold up, or cancel what is paid.
    Cancel {
        user: UserId,
        reservation: ReservationId,
    },
    /// From the purchase: the points are spent.
    Confirm {
        reservation: ReservationId,
    },
    /// From the purchase: the wallet refused.
    RefusePayment {
        reservation: ReservationId,
        reason: Refusal,
        balance: u64,
        /// Which attempt it was: a later one is not meant.
        payment_deadline_ms: Millis,
    },
    /// From the purchase: the points are refunded.
    FinishCancellation {
        reservation: ReservationId,
    },
    /// One reservation of a user.
    Read {
        user: UserId,
        reservation: ReservationId,
    },
    Describe,
    ShowChart,
    Availability,
    /// What changed after the version `since`.
    Changes {
        since: u64,
    },
}

/// A new performance. Times are absolute, numbers are checked by `decide`.
#[derive(Clone, Debug)]
pub struct Create {
    pub concert: ConcertId,
    pub organizer: OrganizerId,
    pub starts_at_ms: Millis,
    pub sale_opens_at_ms: Millis,
    pub sale_closes_at_ms: Millis,
    pub cancellation_closes_at_ms: Millis,
    pub hold_ttl_s: u32,
    pub payment_ttl_s: u32,
    pub extension_s: u32,
    pub seats_per_user_max: u32,
    pub prices: Prices,
    pub chart: Chart,
    pub content: Fingerprint,
}

/// Why a wallet did not spend.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    InsufficientPoints,
    /// The payment took longer than the performance allows (`payment_ttl_s`).
    TooLate,
}

/// The organizer's hand on the sale.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Sale {
    #[default]
    Running,
    Paused,
    Closed,
}

/// The places that a user wants.
#[derive(Clone, Debug, PartialEq)]
pub enum Wish {
    /// These seats, by label.
    Seats(Vec<String>),
    /// The best that are free.
    Best { grade: Option<String>, section: Option<String>, count: u32 },
    /// Standing places.
    Area { area: String, count: u32 },
}

/// The state of a performance's sale at an instant. Sold out is derived from the number available.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SaleState {
    Scheduled,
    OnSale,
    Paused,
    Closed,
}

/// What a performance answers.
#[derive(Clone, Debug)]
pub enum Answer {
    Done,
    Performance(Box<Description>),
    Chart(Arc<Chart>),
    Availability(Box<Availability>),
    /// `None` when what changed is not known any more, or is too much: then ask for all of it.
    Changes(Option<Box<Changed>>),
    Reservation {
        view: Box<View>,
        repeated: bool,
    },
    /// Becomes a rejection: see [`crate::domain::purchase::outcome`].
    PaymentRefused {
        reason: Refusal,
        balance: u64,
        required: u64,
        expires_at_ms: Millis,
    },
}

/// A performance without its chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    pub id: PerformanceId,
    pub concert: ConcertId,
    pub organizer: OrganizerId,
    pub sale: Sale,
    pub starts_at_ms: Millis,
    pub sale_opens_at_ms: Millis,
    pub sale_closes_at_ms: Millis,
    pub cancellation_closes_at_ms: Millis,
    pub hold_ttl_s: u32,
    pub payment_ttl_s: u32,
    pub extension_s: u32,
    pub seats_per_user_max: u32,
    pub prices: Prices,
    pub places: u32,
    pub available: u32,
    pub version: u64,
}

impl Description {
    /// The state of the sale at `now`.
    pub fn state(&self, now: Millis) -> SaleState {
        sale_state(self.sale, self.sale_opens_at_ms, self.sale_closes_at_ms, now)
    }
}

pub(super) fn sale_state(sale: Sale, opens_at: Millis, closes_at: Millis, now: Millis) -> SaleState {
    match sale {
        Sale::Closed => SaleState::Closed,
        _ if now >= closes_at => SaleState::Closed,
        Sale::Paused => SaleState::Paused,
        Sale::Running if now < opens_at => SaleState::Scheduled,
        Sale::Running => SaleState::OnSale,
    }
}

/// Which places are not free. Sparse: every seat that is not named is available.
#[derive(Clone, Debug, PartialEq)]
pub struct Availability {
    pub version: u64,
    pub hours: Hours,
    /// Free places per grade, standing areas included.
    pub available: Vec<(String, u32)>,
    pub held: Vec<String>,
    pub booked: Vec<String>,
    pub blocked: Vec<String>,
    pub areas: Vec<AreaAvailability>,
}

/// What changed since an earlier version: each place that did, once, with the state that it has now.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed {
    /// May be below the version asked for, when that is still to come.
    pub version: u64,
    pub hours: Hours,
    /// Free places per grade, changed or not.
    pub available: Vec<(String, u32)>,
    pub free: Vec<String>,
    pub held: Vec<String>,
    pub booked: Vec<String>,
    pub blocked: Vec<String>,
    /// Standing areas that changed.
    pub areas: Vec<AreaAvailability>,
}

/// What tells the state of a sale at any instant, until the next change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    pub sale: Sale,
    pub opens_at_ms: Millis,
    pub closes_at_ms: Millis,
}

impl Hours {
    /// The state of the sale at `now`.
    pub fn state(&self, now: Millis) -> SaleState {
        sale_state(self.sale, self.opens_at_ms, self.closes_at_ms, now)
    }
}

/// A standing area's places.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AreaAvailability {
    pub area: String,
    pub grade: String,
    pub capacity: u32,
    pub available: u32,
}

/// Why a performance refuses, in order of precedence within a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Rejection {
    /// No such performance, or not the caller's.
    UnknownPerformance,
    /// No such reservation, or not the caller's.
    UnknownReservation,
    /// The same key stood for something else.
    KeyReused,
    /// A new performance that makes no sense.
    Invalid(Invalid),
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
    SaleNotOpen {
        state: SaleState,
        opens_at_ms: Millis,
    },
    /// The user has as many places as one may have, or would with these.
    SeatLimit {
        limit: u32,
        held: u32,
    },
    /// These seats are taken.
    SeatsUnavailable {
        seats: Vec<String>,
    },
    /// Too few places of what was asked for; seats of several grades, or a standing area.
    TooFewLeft {
        available: u32,
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
    /// A closed sale cannot be opened again.
    SaleClosed,
}
