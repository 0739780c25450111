//! What happens to a performance. Every event says which places it is about and how many are available after it.

use super::reservation::{AreaView, SeatView};
use super::seats::best::Relaxed;
use super::seats::chart::{Layout, Prepared, Prices, SharedChart};
use super::terms::Terms;
use crate::event::{Marked, events, recorded, words};
use crate::{Fingerprint, IdempotencyRecord};
use base::id::{ConcertId, Millis, OrganizerId, ReservationId, UserId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

events! {
    PerformanceCreated = "PerformanceCreated.v1",
    SalePaused = "SalePaused.v1",
    SaleResumed = "SaleResumed.v1",
    SaleClosed = "SaleClosed.v1",
    SeatsBlocked = "SeatsBlocked.v1",
    SeatsUnblocked = "SeatsUnblocked.v1",
    SeatsHeld = "SeatsHeld.v1",
    HoldExtended = "HoldExtended.v1",
    HoldReleased = "HoldReleased.v1",
    HoldExpired = "HoldExpired.v1",
    PaymentStarted = "PaymentStarted.v1",
    PaymentRefused = "PaymentRefused.v1",
    ReservationConfirmed = "ReservationConfirmed.v1",
    CancellationStarted = "CancellationStarted.v1",
    ReservationCancelled = "ReservationCancelled.v1",
    PerformanceChanged = "PerformanceChanged.v1",
    ChartChanged = "ChartChanged.v1",
    AreasBlocked = "AreasBlocked.v1",
    PerformanceCancelled = "PerformanceCancelled.v1",
    PerformanceCancellationFinished = "PerformanceCancellationFinished.v1",
}

/// Why a wallet did not spend.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    InsufficientPoints,
    /// The payment took longer than the performance allows (`payment_ttl_s`).
    TooLate,
}

recorded! {
    /// A performance of a concert was put up for sale.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct PerformanceCreated {
        pub concert_id: ConcertId,
        pub organizer_id: OrganizerId,
        #[serde(flatten)]
        pub terms: Terms,
        /// How much longer than it was given a hold may live on refused payments; none = for ever.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub refusal_grace_s: Option<u32>,
        pub prices: Prices as public,
        pub chart: SharedChart,
        /// Fingerprint of the request; a repeated one with the same key gives the same performance.
        pub content: Fingerprint as public,
        /// Places available after this.
        pub available: u32,
    }

    /// No new holds until the sale is resumed; what is held stays held.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct SalePaused {}

    /// Holds are taken again.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct SaleResumed {}

    /// No new holds any more; what is held can still be paid.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct SaleClosed {}

    /// House seats were taken out of the sale.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct SeatsBlocked {
        pub seats: Vec<String> as public,
        pub available: u32,
    }

    /// Blocked seats were given (back) to the sale.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct SeatsUnblocked {
        pub seats: Vec<String> as public,
        pub available: u32,
    }

    /// A user holds places until `expires_at_ms`.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct SeatsHeld {
        pub reservation_id: ReservationId,
        pub user_id: UserId,
        pub seats: Vec<SeatView>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub area: Option<AreaView>,
        /// The price of all places.
        pub points: u64,
        /// Whether the seats are neighbours, as far as that was looked for.
        pub adjacent: bool,
        /// What the search for the best seats had to give up.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pub relaxed: Vec<Relaxed>,
        /// The organizer holds them for the user.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        pub by_organizer: bool,
        pub expires_at_ms: Millis,
        pub available: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub repeat: Option<IdempotencyRecord>,
    }

    /// The places of a reservation.
    #[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
    pub struct Places {
        pub seats: Vec<String> as public,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub area: Option<AreaCount>,
    }

    /// Places of a standing area.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct AreaCount {
        pub area: String as public,
        pub count: u32,
    }

    /// A hold got more time, once.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct HoldExtended {
        pub reservation_id: ReservationId,
        pub user_id: UserId,
        pub expires_at_ms: Millis,
    }

    /// A hold was given up, by its user or because the performance was cancelled: its places are free.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct HoldReleased {
        pub reservation_id: ReservationId,
        pub user_id: UserId,
        pub places: Places,
        pub available: u32,
    }

    /// A hold was not paid in time: its places are free.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct HoldExpired {
        pub reservation_id: ReservationId,
        pub user_id: UserId,
        pub places: Places,
        pub available: u32,
    }

    /// The hold's expiry is frozen while the wallet is asked for the points.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct PaymentStarted {
        pub reservation_id: ReservationId,
        pub user_id: UserId,
        pub points: u64,
        /// The wallet spends until then, or not at all.
        pub payment_deadline_ms: Millis,
        /// The time that the hold had left.
        pub left_ms: Millis,
    }

    /// The wallet refused: the reservation is held again, until `expires_at_ms`.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct PaymentRefused {
        pub reservation_id: ReservationId,
        pub user_id: UserId,
        pub reason: Refusal,
        pub points: u64,
        /// What the wallet had.
        pub balance: u64,
        pub expires_at_ms: Millis,
    }

    /// The points were spent: the places are sold.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct ReservationConfirmed {
        pub reservation_id: ReservationId,
        pub user_id: UserId,
        pub places: Places,
        pub points: u64,
    }

    /// A sold reservation is being cancelled: its points go back, then its places are free.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct CancellationStarted {
        pub reservation_id: ReservationId,
        pub user_id: UserId,
        pub points: u64,
        /// It was the organizer, who may do so at any time, and this is why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub organizer_reason: Option<String> as public,
    }

    /// The points are refunded and the places free.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct ReservationCancelled {
        pub reservation_id: ReservationId,
        pub user_id: UserId,
        pub places: Places,
        pub points: u64,
        pub available: u32,
    }

    /// Its organizer changed the terms. All as they are now; what is held or sold keeps its price and its expiry.
    #[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
    pub struct PerformanceChanged {
        #[serde(flatten)]
        pub terms: Terms,
        pub prices: Prices as public,
        /// The chart at these prices, if it is laid out already.
        #[serde(skip)]
        pub prepared: Option<Prepared> as private,
    }
}

/// Events of which only one has the layout ready are the same: it is not written down.
impl PartialEq for PerformanceChanged {
    fn eq(&self, other: &PerformanceChanged) -> bool {
        self.terms == other.terms && self.prices == other.prices
    }
}

recorded! {
    /// Its organizer changed the seat chart. Places keep their owners by their labels; what is held or sold keeps its price.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct ChartChanged {
        /// Counts charts from 1, the one that the performance was created with.
        pub chart_version: u32,
        pub chart: SharedChart,
        pub prices: Prices as public,
        pub available: u32,
    }

    /// Places of standing areas were taken out of the sale, or given back to it.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct AreasBlocked {
        /// The areas that changed.
        pub areas: Vec<BlockedArea>,
        pub available: u32,
    }

    /// How many places of a standing area are out of the sale, all in all.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct BlockedArea {
        pub area: String as public,
        pub blocked: u32,
    }

    /// The performance will not take place. Nothing is held or paid any more; what is held is given up and what is sold is
    /// refunded, one reservation after the other, until `PerformanceCancellationFinished`.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct PerformanceCancelled {
        /// The organizer's words, for those who had bought.
        pub reason: String as public,
        /// Holds that are to be given up.
        pub holds: u32,
        /// Paid reservations that are to be refunded. A payment that was under way may come on top.
        pub reservations: u32,
        /// What they had cost.
        pub points: u64,
    }

    /// Everyone who had paid for the cancelled performance has their points back.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    pub struct PerformanceCancellationFinished {
        /// Reservations that were refunded.
        pub reservations: u32,
        /// What was refunded for them.
        pub points: u64,
        /// Holds that were given up, or had run out, meanwhile.
        pub holds_released: u32,
    }
}

impl Places {
    /// How many they are.
    pub fn count(&self) -> u32 {
        self.seats.len() as u32 + self.area.as_ref().map_or(0, |area| area.count)
    }
}

words!(Refusal, Relaxed);
// A chart, whose texts are marked.
impl Marked for SharedChart {}

impl PerformanceCreated {
    /// Its chart, laid out at its prices.
    pub(super) fn laid_out(&self) -> Arc<Layout> {
        let layout = self.chart.laid_out_as_recorded(&self.prices);
        layout.expect("a recorded chart was checked before it was recorded")
    }
}
