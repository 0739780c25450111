//! What a performance can be asked for, what it answers and how it refuses.

pub use super::cancel::{Cancellation, FinishPerformanceCancellation};
pub use super::terms::{Change, Follows, NamedTimes, Terms};
use crate::performance::reservation::{SeatView, State};
use crate::performance::seats::best::{PlacesByKind, Relaxed};
use crate::performance::seats::chart::{Invalid, Layout, Prices, SharedChart};
use crate::{Expected, Fingerprint, Repeat};
use base::id::{ConcertId, Millis, OrganizerId, PerformanceId, ReservationId, UserId};
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
    /// New terms, and with them a new state if one is given: both or neither.
    Change(Box<Change>),
    ChangeChart(Box<NewChart>),
    /// Nothing is sold any more, and everyone gets their points back. Again: nothing more.
    CancelPerformance {
        organizer: OrganizerId,
        reason: String,
    },
    /// How far the cancellation is.
    ShowCancellation {
        organizer: OrganizerId,
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
    /// How many places of standing areas are to be out of the sale: area and number.
    BlockAreas {
        organizer: OrganizerId,
        areas: Vec<(String, u32)>,
    },
    /// What is out of the sale.
    ShowBlocks {
        organizer: OrganizerId,
    },
    Describe,
    ShowChart,
    Availability,
    /// What changed after the version `since`.
    Changes {
        since: u64,
    },
}

/// A user holds places.
#[derive(Clone, Debug)]
pub struct Hold {
    pub user: UserId,
    pub wish: Wish,
    pub repeat: Option<Repeat>,
}

/// Places that the organizer holds for a buyer, who pays for them: a group may be larger than what one user may have.
#[derive(Clone, Debug)]
pub struct HoldForBuyer {
    pub organizer: OrganizerId,
    pub user: UserId,
    pub wish: Wish,
    pub repeat: Option<Repeat>,
}

/// The hold that a request with this key made: for somebody who may not hold places any more, and asks again for the answer
/// to that request.
#[derive(Clone, Debug)]
pub struct FindHold {
    pub user: UserId,
    pub repeat: Repeat,
}

/// A user wants more time for a hold, once.
#[derive(Clone, Debug)]
pub struct Extend {
    pub user: UserId,
    pub reservation: ReservationId,
}

/// One reservation of a user.
#[derive(Clone, Debug)]
pub struct ReadReservation {
    pub user: UserId,
    pub reservation: ReservationId,
}

/// A new performance. Numbers are checked by `decide`.
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

impl Command {
    /// The organizer that it is of, if it is of one; a new performance's is checked apart.
    pub fn organizer(&self) -> Option<OrganizerId> {
        match self {
            Command::SetSale { organizer, .. }
            | Command::Block { organizer, .. }
            | Command::Unblock { organizer, .. }
            | Command::BlockAreas { organizer, .. }
            | Command::ShowBlocks { organizer }
            | Command::CancelPerformance { organizer, .. }
            | Command::ShowCancellation { organizer } => Some(*organizer),
            Command::Change(change) => Some(change.organizer),
            Command::ChangeChart(chart) => Some(chart.organizer),
            _ => None,
        }
    }
}

/// Another chart for a performance that may have sold places already.
#[derive(Clone, Debug)]
pub struct NewChart {
    pub organizer: OrganizerId,
    /// The version of the chart that the caller has seen.
    pub expected: Expected,
    /// A large one is to be prepared.
    pub chart: SharedChart,
    /// All prices; `None` keeps them.
    pub prices: Option<Prices>,
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
    Cancelled,
}

/// The places that a user wants.
#[derive(Clone, Debug, PartialEq)]
pub enum Wish {
    /// These seats, by label.
    Seats(Vec<String>),
    /// The best that are free; `accessible` of them for wheelchair users.
    Best { grade: Option<String>, section: Option<String>, count: u32, accessible: u32 },
    /// Standing places.
    Area { area: String, count: u32 },
    /// Seats, by label or the best, and standing places: all or nothing.
    Both { seats: Box<Wish>, area: String, count: u32 },
}

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

/// The state of a performance's sale at an instant. Sold out is derived from the number available.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SaleState {
    Scheduled,
    OnSale,
    Paused,
    Closed,
    /// It will not take place.
    Cancelled,
}

/// What a performance answers.
#[derive(Clone, Debug)]
pub enum Answer {
    Done,
    Performance(Box<Description>),
    Chart {
        chart: SharedChart,
        /// As it is laid out at the prices of now.
        layout: Arc<Layout>,
        version: u32,
    },
    Cancellation {
        cancellation: Box<Cancellation>,
        version: u64,
    },
    Blocks(Box<Blocks>),
    Availability(Box<Availability>),
    /// `None` when what changed is not known any more, or is too much: then ask for all of it.
    Changes(Option<Box<Changed>>),
}

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

/// What is out of the sale.
#[derive(Clone, Debug)]
pub struct Blocks {
    /// All of them blocked.
    pub seats: SeatStates,
    /// Standing areas of which places are blocked, and how many.
    pub areas: Vec<(String, u32)>,
    pub version: u64,
}

impl Description {
    /// The state of the sale at `now`.
    pub fn state(&self, now: Millis) -> SaleState {
        sale_state(self.sale, self.terms.sale_opens_at_ms, self.terms.sale_closes_at_ms, now)
    }
}

pub(super) fn sale_state(sale: Sale, opens_at: Millis, closes_at: Millis, now: Millis) -> SaleState {
    match sale {
        Sale::Cancelled => SaleState::Cancelled,
        Sale::Closed => SaleState::Closed,
        _ if now >= closes_at => SaleState::Closed,
        Sale::Paused => SaleState::Paused,
        Sale::Running if now < opens_at => SaleState::Scheduled,
        Sale::Running => SaleState::OnSale,
    }
}

/// Which places are not free. Sparse: every seat that is not named is available.
#[derive(Clone, Debug)]
pub struct Availability {
    pub version: u64,
    pub hours: Hours,
    /// Free places per grade, standing areas included.
    pub available: Vec<(String, u32)>,
    /// The same by what they are for.
    pub available_by_kind: Vec<(String, PlacesByKind)>,
    /// Without the free ones.
    pub seats: SeatStates,
    pub areas: Vec<AreaAvailability>,
}

/// Seats by what they are to whoever looks, as numbers of a layout: whoever wants labels makes them, so that a full house
/// takes no time of the thread that sells.
#[derive(Clone, Default)]
pub struct SeatStates {
    pub(super) layout: Arc<Layout>,
    pub(super) free: Vec<u32>,
    pub(super) held: Vec<u32>,
    pub(super) booked: Vec<u32>,
    pub(super) blocked: Vec<u32>,
}

impl SeatStates {
    /// How many seats are named.
    pub fn len(&self) -> usize {
        self.free.len() + self.held.len() + self.booked.len() + self.blocked.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same by label.
    pub fn labels(&self) -> SeatsByState {
        let labels = |seats: &[u32]| self.layout.labels(seats);
        SeatsByState {
            free: labels(&self.free),
            held: labels(&self.held),
            booked: labels(&self.booked),
            blocked: labels(&self.blocked),
        }
    }
}

impl std::fmt::Debug for SeatStates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.labels().fmt(f)
    }
}

/// Labels of seats, by what they are to whoever looks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeatsByState {
    pub free: Vec<String>,
    pub held: Vec<String>,
    pub booked: Vec<String>,
    pub blocked: Vec<String>,
}

/// What changed since an earlier version: each place that did, once, with the state that it has now.
#[derive(Clone, Debug)]
pub struct Changed {
    /// May be below the version asked for, when that is still to come.
    pub version: u64,
    pub hours: Hours,
    /// Free places per grade, changed or not.
    pub available: Vec<(String, u32)>,
    /// The same by what they are for.
    pub available_by_kind: Vec<(String, PlacesByKind)>,
    pub seats: SeatStates,
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
