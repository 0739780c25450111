//! One reservation: held → paying → confirmed → cancelling → cancelled; held → released | expired; paying → held again.

use crate::Repeat;
use crate::performance::seats::best::Relaxed;
use crate::performance::seats::chart::Layout;
use base::id::{Millis, PerformanceId, ReservationId, UserId};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// Where a reservation stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The places are the user's until `expires_at`.
    Held,
    /// Points are being spent; the hold does not expire meanwhile.
    Paying,
    Confirmed,
    /// Points are being refunded; the places are still the user's.
    Cancelling,
    /// Refunded; the places are free.
    Cancelled,
    /// Given up before paying; the places are free.
    Released,
    /// Not paid in time; the places are free.
    Expired,
}

impl State {
    /// Whether its places are shown as held; those of other live reservations are shown as booked.
    pub fn is_held(self) -> bool {
        matches!(self, State::Held | State::Paying)
    }

    /// Whether the reservation owns its places.
    pub fn is_live(self) -> bool {
        matches!(self, State::Held | State::Paying | State::Confirmed | State::Cancelling)
    }
}

/// A reservation as its performance keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reservation {
    pub id: ReservationId,
    pub user: UserId,
    pub state: State,
    pub seats: SmallVec<[u32; 4]>,
    /// Index of the standing area, and how many places of it.
    pub area: Option<(u32, u32)>,
    /// The price of all places, fixed at the hold.
    pub points: u64,
    pub adjacent: bool,
    /// A set of [`Relaxed`].
    pub relaxed: u8,
    /// The organizer holds it for the user.
    pub by_organizer: bool,
    pub held_at_ms: Millis,
    /// As answered to the hold; a repeated request gets it again.
    pub first_expires_at_ms: Millis,
    pub expires_at_ms: Millis,
    /// While paying: until when the wallet may still spend.
    pub payment_deadline_ms: Millis,
    /// While paying: the time that the hold had left.
    pub left_ms: Millis,
    pub extended: bool,
    /// 0 before.
    pub confirmed_at_ms: Millis,
    /// 0 before.
    pub cancelled_at_ms: Millis,
    pub repeat: Option<Repeat>,
    /// What was held, once chart or prices have changed since; before, the layout tells.
    pub fixed: Option<Box<Fixed>>,
    /// The stream's version at the hold.
    pub held_version: u64,
    /// The stream's version at the last change.
    pub version: u64,
}

/// Places as they were held, for when chart or prices change afterwards.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fixed {
    pub seats: Vec<SeatView>,
    pub area: Option<AreaView>,
}

impl Reservation {
    /// How many places it has.
    pub fn places(&self) -> u32 {
        self.seats.len() as u32 + self.area.map_or(0, |(_, count)| count)
    }

    /// Keeps what was held as `layout` has it, because the layout is about to change.
    pub fn fix(&mut self, layout: &Layout) {
        if self.fixed.is_none() {
            let (seats, area) = self.held(layout);
            self.fixed = Some(Box::new(Fixed { seats, area }));
        }
    }

    /// The places as they were held: under these names, at these prices.
    fn held(&self, layout: &Layout) -> (Vec<SeatView>, Option<AreaView>) {
        if let Some(fixed) = &self.fixed {
            return (fixed.seats.clone(), fixed.area.clone());
        }
        let seat = |seat: &u32| {
            let (grade, points) = layout.price(layout.grade_of(*seat));
            SeatView { seat: layout.label(*seat), grade: grade.into(), points }
        };
        let area = self.area.map(|(index, count)| {
            let area = &layout.areas[index as usize];
            let (grade, points) = layout.price(area.grade);
            AreaView { area: area.name.to_string(), grade: grade.into(), count, points: points * count as u64 }
        });
        (self.seats.iter().map(seat).collect(), area)
    }

    /// What its user sees.
    pub fn view(&self, performance: PerformanceId, layout: &Layout) -> View {
        let (seats, area) = self.held(layout);
        View {
            id: self.id,
            performance,
            user: self.user,
            state: self.state,
            seats,
            area,
            points: self.points,
            adjacent: self.adjacent,
            relaxed: Relaxed::from_bits(self.relaxed),
            by_organizer: self.by_organizer,
            held_at_ms: self.held_at_ms,
            expires_at_ms: self.expires_at_ms,
            confirmed_at_ms: self.confirmed_at_ms,
            cancelled_at_ms: self.cancelled_at_ms,
            refund_reason: None,
            version: self.version,
        }
    }

    /// What the answer to the hold showed: a repeated request gets the first result again, whatever happened since.
    pub fn first_view(&self, performance: PerformanceId, layout: &Layout) -> View {
        View {
            state: State::Held,
            expires_at_ms: self.first_expires_at_ms,
            confirmed_at_ms: 0,
            cancelled_at_ms: 0,
            version: self.held_version,
            ..self.view(performance, layout)
        }
    }
}

/// A reservation as its user sees it. Instants that have not come are 0.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    pub id: ReservationId,
    pub performance: PerformanceId,
    pub user: UserId,
    pub state: State,
    pub seats: Vec<SeatView>,
    pub area: Option<AreaView>,
    pub points: u64,
    pub adjacent: bool,
    pub relaxed: Vec<Relaxed>,
    pub by_organizer: bool,
    pub held_at_ms: Millis,
    pub expires_at_ms: Millis,
    pub confirmed_at_ms: Millis,
    pub cancelled_at_ms: Millis,
    /// Why the organizer cancelled it, if it was the organizer.
    pub refund_reason: Option<String>,
    pub version: u64,
}

/// A seat with its price.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema, utoipa::ToSchema)]
pub struct SeatView {
    /// `section-row-seat`, e.g. `A-12-7`
    pub seat: String,
    pub grade: String,
    pub points: u64,
}

/// Standing places with their price together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema, utoipa::ToSchema)]
pub struct AreaView {
    pub area: String,
    pub grade: String,
    pub count: u32,
    pub points: u64,
}
