//! One reservation: held → paying → confirmed → cancelling → cancelled; held → released | expired; paying → held again.

use crate::IdempotencyRecord;
use crate::event::recorded;
use crate::performance::seats::best::Relaxed;
use crate::performance::seats::chart::Layout;
use base::id::{Millis, PerformanceId, ReservationId, UserId};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smallvec::SmallVec;
use std::sync::Arc;

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

    /// Whether it is given up or refunded when its performance is cancelled.
    pub fn is_to_call_off(self) -> bool {
        matches!(self, State::Held | State::Confirmed)
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
    /// What the hold was answered; a repeated request gets it again.
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
    pub repeat: Option<IdempotencyRecord>,
    /// What was held, once chart or prices have changed since; before, the layout tells.
    pub fixed: Option<Box<Fixed>>,
    /// The stream's version at the hold.
    pub held_version: u64,
    /// The stream's version at the last change.
    pub version: u64,
}

/// Places as they were held, for when chart or prices change afterwards.
#[derive(Clone, Debug)]
pub enum Fixed {
    Named(Named),
    /// Not named yet: as this layout has them. Written down it is named.
    Of {
        layout: Arc<Layout>,
        seats: SmallVec<[u32; 4]>,
        area: Option<(u32, u32)>,
    },
}

/// Places under their names, at their prices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Named {
    pub seats: Vec<SeatView>,
    pub area: Option<AreaView>,
}

impl Fixed {
    fn named(&self) -> Named {
        match self {
            Fixed::Named(named) => named.clone(),
            Fixed::Of { layout, seats, area } => Named::of(layout, seats, *area),
        }
    }
}

impl PartialEq for Fixed {
    fn eq(&self, other: &Fixed) -> bool {
        self.named() == other.named()
    }
}

impl Serialize for Fixed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.named().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Fixed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fixed, D::Error> {
        Named::deserialize(deserializer).map(Fixed::Named)
    }
}

impl Named {
    fn of(layout: &Layout, seats: &[u32], area: Option<(u32, u32)>) -> Named {
        let seat = |seat: &u32| {
            let (grade, points) = layout.price(layout.grade_of(*seat));
            SeatView { seat: layout.label(*seat), grade: grade.into(), points }
        };
        let area = area.map(|(index, count)| {
            let area = &layout.areas[index as usize];
            let (grade, points) = layout.price(area.grade);
            AreaView { area: area.name.to_string(), grade: grade.into(), count, points: points * count as u64 }
        });
        Named { seats: seats.iter().map(seat).collect(), area }
    }
}

impl Reservation {
    /// How many places it has.
    pub fn places(&self) -> u32 {
        self.seats.len() as u32 + self.area.map_or(0, |(_, count)| count)
    }

    /// Keeps what was held as `layout` has it, because the layout is about to change.
    pub fn fix(&mut self, layout: &Arc<Layout>) {
        if self.fixed.is_none() {
            let (layout, seats, area) = (layout.clone(), self.seats.clone(), self.area);
            self.fixed = Some(Box::new(Fixed::Of { layout, seats, area }));
        }
    }

    /// Lets go of the layout that what was held is known by.
    pub fn name_fixed(&mut self) {
        if let Some(fixed) = &mut self.fixed
            && let Fixed::Of { .. } = **fixed
        {
            **fixed = Fixed::Named(fixed.named());
        }
    }

    /// The places as they were held: under these names, at these prices.
    fn held(&self, layout: &Layout) -> Named {
        match &self.fixed {
            Some(fixed) => fixed.named(),
            None => Named::of(layout, &self.seats, self.area),
        }
    }

    /// What its user sees.
    pub fn view(&self, performance: PerformanceId, layout: &Layout) -> View {
        let Named { seats, area } = self.held(layout);
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

recorded! {
    /// A seat with its price.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema, utoipa::ToSchema)]
    pub struct SeatView {
        /// `section-row-seat`, e.g. `A-12-7`
        pub seat: String as public,
        pub grade: String as public,
        pub points: u64,
    }

    /// Standing places with their price together.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema, utoipa::ToSchema)]
    pub struct AreaView {
        pub area: String as public,
        pub grade: String as public,
        pub count: u32,
        pub points: u64,
    }
}
