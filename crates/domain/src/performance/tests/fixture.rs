//! A small house, its people, and how a table runs.

use crate::performance::event::{self, Event};
use crate::performance::seats::best::PlacesByKind;
use crate::performance::seats::chart::{Area, Chart, Prices, Row, Section};
use crate::performance::*;
use crate::process::purchase::{self, Cancel, Confirm, FinishRefund, Pay, RefundNext, RefusePayment};
use crate::testing::coverage::Known;
use crate::testing::{Story, assert_same};
use crate::{Aggregate, Expected, Fingerprint, IdempotencyRecord, Outcome, Step};
use base::id::{ConcertId, Millis, OrganizerId, PerformanceId, ReservationId, UserId};
use std::fmt::{self, Debug, Formatter};
use std::rc::Rc;
use uuid::Uuid;

/// When the sale opens.
pub const OPENS: Millis = 1_000_000_000;
pub const HOUR: u64 = 3600;
/// The sale closes after three days, cancellation after two; all in s after the opening.
pub const CLOSES: u64 = 72 * HOUR;
pub const CANCELLABLE: u64 = 48 * HOUR;

pub const ANN: UserId = UserId(Uuid::from_u128(0xa));
pub const BOB: UserId = UserId(Uuid::from_u128(0xb));
pub const CAT: UserId = UserId(Uuid::from_u128(0xc));
pub const SELLER: OrganizerId = OrganizerId(Uuid::from_u128(1));
pub const RIVAL: OrganizerId = OrganizerId(Uuid::from_u128(2));

pub fn house() -> PerformanceId {
    PerformanceId::from_random(7)
}

/// The reservation of the `nth` hold of a table.
pub fn r(nth: u64) -> ReservationId {
    ReservationId::from_random(house(), nth << 4)
}

/// Row A-1: four VIP seats at 300; row A-2: six R seats at 100; Floor: five S places at 50. Four places a person.
pub fn terms() -> Create {
    let row = |row: &str, grade: &str, count| Row {
        row: row.into(),
        grade: grade.into(),
        seat_count: Some(count),
        ..Row::default()
    };
    Create {
        concert: ConcertId(Uuid::from_u128(3)),
        organizer: SELLER,
        terms: Terms {
            starts_at_ms: OPENS + 96 * HOUR * 1000,
            sale_opens_at_ms: OPENS,
            sale_closes_at_ms: OPENS + CLOSES * 1000,
            cancellation_closes_at_ms: OPENS + CANCELLABLE * 1000,
            hold_ttl_s: 300,
            payment_ttl_s: 60,
            extension_s: 120,
            seats_per_user_max: 4,
            lapsed_holds_max: 5,
            ..Terms::usual(0, 0)
        },
        prices: Prices::from([("R".into(), 100), ("S".into(), 50), ("VIP".into(), 300)]),
        chart: Chart {
            sections: vec![Section { section: "A".into(), rows: vec![row("1", "VIP", 4), row("2", "R", 6)] }],
            areas: vec![Area { area: "Floor".into(), grade: "S".into(), capacity: 5 }],
        }
        .into(),
        content: Fingerprint(9),
    }
}

/// What a row asks: a step of any type.
#[derive(Clone)]
pub struct Request {
    said: String,
    run: Rc<Run>,
}

/// Runs a step; how its caller is refused, if so.
type Run = dyn Fn(&mut Story<Performance>, Millis) -> Option<Rejection>;

impl Request {
    pub fn of<S: Step<On = Performance, Rejection = Rejection, Refusal: Known>>(step: S) -> Request {
        let said = format!("{step:?}");
        let run = move |story: &mut Story<Performance>, now| match story.step(now, &step) {
            Outcome::Told(Err(rejection)) => Some(rejection),
            Outcome::Told(Ok(_)) | Outcome::Next(_) => None,
        };
        Request { said, run: Rc::new(run) }
    }
}

impl Debug for Request {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.said)
    }
}

pub fn create(change: impl FnOnce(&mut Create)) -> Request {
    let mut terms = terms();
    change(&mut terms);
    Request::of(terms)
}

pub fn labels(seats: &str) -> Vec<String> {
    seats.split_whitespace().map(String::from).collect()
}

pub fn seats(seats: &str) -> SeatRequest {
    SeatRequest::Seats(labels(seats))
}

pub fn best(count: u32) -> SeatRequest {
    SeatRequest::Best { grade: None, section: None, count, accessible: 0 }
}

pub fn floor(count: u32) -> SeatRequest {
    SeatRequest::Area { area: "Floor".into(), count }
}

/// The wallet has the points back.
pub fn finish_refund(reservation: ReservationId) -> Request {
    Request::of(FinishRefund { reservation })
}

pub fn read(user: UserId, reservation: ReservationId) -> Request {
    Request::of(ReadReservation { user, reservation })
}

pub fn group(user: UserId, wish: SeatRequest) -> Request {
    Request::of(HoldForBuyer { organizer: SELLER, user, wish, repeat: None })
}

pub fn hold(user: UserId, wish: SeatRequest) -> Request {
    Request::of(Hold { user, wish, repeat: None })
}

/// A hold with an Idempotency-Key, and a fingerprint of its content.
pub fn keyed(user: UserId, wish: SeatRequest, key: u128, content: u128) -> Request {
    Request::of(Hold {
        user,
        wish,
        repeat: Some(IdempotencyRecord { key: Fingerprint(key), content: Fingerprint(content) }),
    })
}

pub fn pay(user: UserId, reservation: ReservationId) -> Request {
    Request::of(Pay { user, reservation })
}

pub fn cancel(user: UserId, reservation: ReservationId) -> Request {
    Request::of(Cancel { user, reservation })
}

/// The organizer cancels what is paid.
pub fn refund(organizer: OrganizerId, reservation: ReservationId) -> Request {
    Request::of(purchase::Refund { organizer, reservation, reason: "no balcony".into() })
}

pub fn extend(user: UserId, reservation: ReservationId) -> Request {
    Request::of(Extend { user, reservation })
}

pub fn confirm(reservation: ReservationId) -> Request {
    Request::of(Confirm { reservation })
}

/// The wallet had 7 points, and refuses the attempt that had until `deadline_s`.
pub fn refuse(reservation: ReservationId, reason: Refusal, deadline_s: u64) -> Request {
    Request::of(RefusePayment { reservation, reason, balance: 7, payment_deadline_ms: at(deadline_s) })
}

pub fn sale(sale: Sale) -> Request {
    Request::of(SetSale { organizer: SELLER, sale })
}

/// A change of terms by somebody who has seen the newest version.
pub fn change(edit: impl FnOnce(&mut Change)) -> Request {
    let mut change = Change::nothing(SELLER, Expected::Any);
    edit(&mut change);
    Request::of(change)
}

/// Another chart, by somebody who has seen the newest one.
pub fn chart(edit: impl FnOnce(&mut ChangeChart)) -> Request {
    let chart = terms().chart;
    let mut new = ChangeChart { organizer: SELLER, expected: Expected::Any, chart, prices: None };
    edit(&mut new);
    Request::of(new)
}

pub fn block_floor(blocked: u32) -> Request {
    Request::of(BlockAreas { organizer: SELLER, areas: vec![("Floor".into(), blocked)] })
}

pub fn refund_next(reservation: ReservationId) -> Request {
    Request::of(RefundNext { reservation })
}

pub fn cancel_all() -> Request {
    Request::of(CancelPerformance { organizer: SELLER, reason: "ill".into() })
}

/// An instant, in s after the opening.
pub fn at(seconds: u64) -> Millis {
    OPENS + seconds * 1000
}

/// How a row ends.
pub enum Then {
    /// With these events, in short, `; ` between them.
    Events(&'static str),
    /// Refused; nothing happened but what had lapsed before.
    Refused(Rejection),
    /// Refused, after these events: holds that had lapsed, or a payment that the wallet did not make.
    RefusedAfter(&'static str, Rejection),
}
pub use Then::*;

/// Attempts, in order, on a new performance.
pub struct Table {
    pub name: &'static str,
    /// Whether the performance is created before the first row.
    pub created: bool,
    pub rows: Vec<(Millis, Request, Then)>,
}

/// The table of what happens to a house that is on sale.
pub fn table(name: &'static str, rows: Vec<(Millis, Request, Then)>) -> Table {
    Table { name, created: true, rows }
}

pub struct Ran {
    pub story: Story<Performance>,
    pub refused: Vec<Rejection>,
}

impl Table {
    #[track_caller]
    pub fn run(self) -> Ran {
        let mut story = Story::<Performance>::new(house().0);
        let mut refused = Vec::new();
        if self.created {
            assert_eq!(attempt(&mut story, OPENS - 1000, &create(|_| {})).1, None, "the house opens");
        }
        for (row, (now, command, then)) in self.rows.into_iter().enumerate() {
            let place = format!("{:?}, row {row}: {command:?}", self.name);
            let (events, rejection) = attempt(&mut story, now, &command);
            let (events_then, rejection_then) = match then {
                Events(events) => (events, None),
                Refused(rejection) => ("", Some(rejection)),
                RefusedAfter(events, rejection) => (events, Some(rejection)),
            };
            let seen = rejection.clone().map(|rejection| like(rejection, rejection_then.as_ref()));
            assert_eq!((events.as_str(), &seen), (events_then, &rejection_then), "{place}");
            refused.extend(rejection);
            story.state.check();
        }
        assert_same(&story.replayed(), &story.state, story.key);
        Ran { story, refused }
    }
}

const NONE: PlacesByKind = PlacesByKind { standard: 0, accessible: 0, companion: 0, standing: 0 };

/// So few are left; of which kind stands only in the rows that are about it.
pub fn few(available: u32) -> Rejection {
    Rejection::TooFewLeft { available, places: NONE }
}

/// What there is instead stands only in the rows that are about it.
fn like(rejection: Rejection, then: Option<&Rejection>) -> Rejection {
    match (rejection, then) {
        (Rejection::SeatsTaken { seats, .. }, Some(Rejection::SeatsTaken { replacement: None, .. })) => {
            Rejection::SeatsTaken { seats, replacement: None }
        }
        (Rejection::TooFewLeft { available, .. }, Some(Rejection::TooFewLeft { places, .. })) if *places == NONE => {
            Rejection::TooFewLeft { available, places: NONE }
        }
        (rejection, _) => rejection,
    }
}

/// Runs a command; says what happened, and what its caller is told where that is a refusal.
#[track_caller]
pub fn attempt(story: &mut Story<Performance>, now: Millis, ask: &Request) -> (String, Option<Rejection>) {
    let holds = story.history.iter().filter(|(_, event)| matches!(event, Event::SeatsHeld(_))).count();
    story.random = (holds as u128 + 1) << 4;
    let rejection = (ask.run)(story, now);
    let events: Vec<String> = story.last.iter().map(short).collect();
    (events.join("; "), rejection)
}

/// An instant in s after the opening.
fn when(at_ms: Millis) -> String {
    let since = at_ms as i64 - OPENS as i64;
    if since % 1000 == 0 { (since / 1000).to_string() } else { (since as f64 / 1000.0).to_string() }
}

fn name(id: ReservationId) -> String {
    let nth = (1..1000).find(|nth| r(*nth) == id);
    nth.map_or_else(|| id.to_string(), |nth| format!("r{nth}"))
}

fn user(id: UserId) -> &'static str {
    match id {
        ANN => "ann",
        BOB => "bob",
        CAT => "cat",
        _ => "someone",
    }
}

fn places(places: &event::Places) -> String {
    let area = places.area.iter().map(|area| format!("{}x{}", area.area, area.count));
    places.seats.iter().cloned().chain(area).collect::<Vec<_>>().join(" ")
}

/// An event in short.
pub fn short(event: &Event) -> String {
    match event {
        Event::PerformanceCreated(event) => format!("created, {} left", event.available),
        Event::SalePaused(_) => "paused".into(),
        Event::SaleResumed(_) => "resumed".into(),
        Event::SaleClosed(_) => "closed".into(),
        Event::SeatsBlocked(event) => format!("blocked {}, {} left", event.seats.join(" "), event.available),
        Event::SeatsUnblocked(event) => format!("unblocked {}, {} left", event.seats.join(" "), event.available),
        Event::SeatsHeld(event) => {
            let seats = event.seats.iter().map(|seat| seat.seat.clone());
            let area = event.area.iter().map(|area| format!("{}x{}", area.area, area.count));
            let places = seats.chain(area).collect::<Vec<_>>().join(" ");
            let (who, apart) = (user(event.user_id), if event.adjacent { "" } else { " apart" });
            let group = if event.by_organizer { " as a group" } else { "" };
            let relaxed = if event.relaxed.is_empty() { String::new() } else { format!(" {:?}", event.relaxed) };
            let (id, until) = (name(event.reservation_id), when(event.expires_at_ms));
            format!(
                "{id} {who} held {places}{apart}{relaxed}{group} for {}p until {until}, {} left",
                event.points, event.available
            )
        }
        Event::HoldExtended(event) => format!("{} until {}", name(event.reservation_id), when(event.expires_at_ms)),
        Event::HoldReleased(event) => {
            format!("{} released {}, {} left", name(event.reservation_id), places(&event.places), event.available)
        }
        Event::HoldExpired(event) => {
            format!("{} expired {}, {} left", name(event.reservation_id), places(&event.places), event.available)
        }
        Event::PaymentStarted(event) => {
            let (id, until) = (name(event.reservation_id), when(event.payment_deadline_ms));
            format!("{id} pays {}p until {until}, {} ms left", event.points, event.left_ms)
        }
        Event::PaymentRefused(event) => {
            let (id, until) = (name(event.reservation_id), when(event.expires_at_ms));
            format!("{id} refused {:?} {}p of {}p, until {until}", event.reason, event.balance, event.points)
        }
        Event::ReservationConfirmed(event) => {
            format!("{} confirmed {} for {}p", name(event.reservation_id), places(&event.places), event.points)
        }
        Event::CancellationStarted(event) => {
            let why = event.organizer_reason.as_ref().map_or(String::new(), |reason| format!(" ({reason})"));
            format!("{} cancels {}p{why}", name(event.reservation_id), event.points)
        }
        Event::ReservationCancelled(event) => {
            format!("{} cancelled {}, {} left", name(event.reservation_id), places(&event.places), event.available)
        }
        Event::PerformanceChanged(event) => {
            let prices = event.prices.iter().map(|(grade, points)| format!("{grade} {points}"));
            let prices = prices.collect::<Vec<_>>().join(", ");
            let hours = (when(event.terms.sale_opens_at_ms), when(event.terms.sale_closes_at_ms));
            let (ttl, max) = (event.terms.hold_ttl_s, event.terms.seats_per_user_max);
            format!("changed: open {}-{}, hold {ttl} s, {max} each; {prices}", hours.0, hours.1)
        }
        Event::ChartChanged(event) => format!("chart {}, {} left", event.chart_version, event.available),
        Event::AreasBlocked(event) => {
            let areas = event.areas.iter().map(|area| format!("{}x{}", area.area, area.blocked));
            format!("blocked {}, {} left", areas.collect::<Vec<_>>().join(" "), event.available)
        }
        Event::PerformanceCancelled(event) => {
            format!("called off: {} held, {} sold for {}p", event.holds, event.reservations, event.points)
        }
        Event::PerformanceCancellationFinished(event) => format!(
            "finished: {} for {}p refunded, {} released",
            event.reservations, event.points, event.holds_released
        ),
    }
}
