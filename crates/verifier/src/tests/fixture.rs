//! A log by hand: one performance of four seats at 100 and two standing places at 50, and what happened to it.

use base::id::{AccountId, Category, ConcertId, OrganizerId, PerformanceId, ReservationId, StreamId, UserId};
use domain::account::{self, AccountCreated};
use domain::concert::{self, ConcertChanged, ConcertCreated};
use domain::organizer::{self, OrganizerCreated, SecretKey};
use domain::performance::event::*;
use domain::performance::reservation::{AreaView, SeatView};
use domain::performance::seats::chart::{Area, Chart, Prices, Row, Section};
use domain::performance::{Event, Refusal, Terms};
use domain::wallet::*;
use domain::{EventData, Fingerprint, IdempotencyRecord, wallet};
use eventlog::{Position, Recorded};
use serde_json::Value;
use uuid::Uuid;

pub const ANN: UserId = UserId(Uuid::from_u128(0xa));
pub const BOB: UserId = UserId(Uuid::from_u128(0xb));

/// An event of a log that is made by hand. Positions and versions follow from its place, unless they are set.
#[derive(Clone, Debug)]
pub struct Line {
    pub stream: StreamId,
    pub at_ms: u64,
    pub name: String,
    pub data: Value,
    /// Instead of `data`.
    pub raw: Option<Vec<u8>>,
    pub version: Option<u64>,
    pub position: Option<u64>,
}

/// A line with its numbers.
pub struct Numbered {
    line: Line,
    position: u64,
    version: u64,
    bytes: Vec<u8>,
}

impl Numbered {
    pub fn as_recorded(&self) -> Recorded<'_> {
        Recorded {
            position: Position(self.position),
            stream: self.line.stream,
            version: self.version,
            at_ms: self.line.at_ms,
            name: &self.line.name,
            data: &self.bytes,
        }
    }
}

pub fn number(lines: &[Line]) -> Vec<Numbered> {
    let mut versions = std::collections::HashMap::<StreamId, u64>::new();
    let numbered = lines.iter().enumerate().map(|(index, line)| {
        let version = versions.entry(line.stream).or_default();
        *version += 1;
        let bytes = line.raw.clone().unwrap_or_else(|| line.data.to_string().into_bytes());
        let (position, version) = (line.position.unwrap_or(index as u64 + 1), line.version.unwrap_or(*version));
        Numbered { line: line.clone(), position, version, bytes }
    });
    numbered.collect()
}

pub fn line(stream: StreamId, at_ms: u64, event: &impl EventData) -> Line {
    let mut json = Vec::new();
    event.encode(&mut json);
    let data = serde_json::from_slice(&json).expect("an event is JSON");
    Line { stream, at_ms, name: event.name().into(), data, raw: None, version: None, position: None }
}

pub fn house() -> PerformanceId {
    PerformanceId::from_random(7)
}

pub fn r(nth: u64) -> ReservationId {
    ReservationId::from_random(house(), nth << 4)
}

pub fn wallet_of(user: UserId) -> StreamId {
    StreamId { category: Category::Wallet, key: user.0 }
}

pub fn wallet() -> StreamId {
    wallet_of(ANN)
}

fn of_house(at_ms: u64, event: Event) -> Line {
    line(StreamId { category: Category::Performance, key: house().0 }, at_ms, &event)
}

fn of_wallet(at_ms: u64, event: wallet::Event) -> Line {
    line(wallet(), at_ms, &event)
}

fn labels(seats: &[&str]) -> Vec<String> {
    seats.iter().map(|seat| seat.to_string()).collect()
}

fn seats(seats: &[&str]) -> Places {
    Places { seats: labels(seats), area: None }
}

fn standing() -> Places {
    Places { seats: vec![], area: Some(AreaCount { area: "Floor".into(), count: 2 }) }
}

/// A hold of seats at 100 each.
pub fn held(nth: u64, user_id: UserId, at_ms: u64, seats: &[&str], available: u32) -> Line {
    let seat = |seat: &&str| SeatView { seat: seat.to_string(), grade: "R".into(), points: 100 };
    let seats: Vec<SeatView> = seats.iter().map(seat).collect();
    of_house(
        at_ms,
        Event::SeatsHeld(SeatsHeld {
            reservation_id: r(nth),
            user_id,
            points: 100 * seats.len() as u64,
            seats,
            area: None,
            adjacent: true,
            relaxed: vec![],
            by_organizer: false,
            expires_at_ms: at_ms + 300_000,
            available,
            repeat: None,
        }),
    )
}

fn held_standing(nth: u64, at_ms: u64, available: u32) -> Line {
    let area = AreaView { area: "Floor".into(), grade: "S".into(), count: 2, points: 100 };
    of_house(
        at_ms,
        Event::SeatsHeld(SeatsHeld {
            reservation_id: r(nth),
            user_id: ANN,
            points: 100,
            seats: vec![],
            area: Some(area),
            adjacent: true,
            relaxed: vec![],
            by_organizer: false,
            expires_at_ms: at_ms + 300_000,
            available,
            repeat: Some(IdempotencyRecord { key: Fingerprint(5), content: Fingerprint(5) }),
        }),
    )
}

fn paid(nth: u64, user_id: UserId, at_ms: u64, points: u64) -> Line {
    let (reservation_id, payment_deadline_ms, left_ms) = (r(nth), at_ms + 60_000, 299_000);
    of_house(
        at_ms,
        Event::PaymentStarted(PaymentStarted { reservation_id, user_id, points, payment_deadline_ms, left_ms }),
    )
}

pub fn refused(nth: u64, at_ms: u64, expires_at_ms: u64) -> Line {
    let (reservation_id, user_id, reason) = (r(nth), ANN, Refusal::TooLate);
    let points = if nth == 1 { 200 } else { 100 };
    of_house(
        at_ms,
        Event::PaymentRefused(PaymentRefused { reservation_id, user_id, reason, points, balance: 500, expires_at_ms }),
    )
}

pub fn released(nth: u64, at_ms: u64, seats: &[&str], available: u32) -> Line {
    let places = Places { seats: labels(seats), area: None };
    of_house(at_ms, Event::HoldReleased(HoldReleased { reservation_id: r(nth), user_id: ANN, places, available }))
}

fn created() -> Event {
    let row = Row { row: "1".into(), grade: "R".into(), seat_count: Some(4), ..Row::default() };
    Event::PerformanceCreated(PerformanceCreated {
        concert_id: ConcertId(Uuid::from_u128(2)),
        organizer_id: OrganizerId(Uuid::from_u128(1)),
        terms: Terms {
            starts_at_ms: 2_000_000,
            sale_opens_at_ms: 100,
            sale_closes_at_ms: 1_000_000,
            cancellation_closes_at_ms: 500_000,
            hold_ttl_s: 300,
            payment_ttl_s: 60,
            extension_s: 100,
            seats_per_user_max: 3,
            lapsed_holds_max: 0,
            ..Terms::usual(0, 0)
        },
        refusal_grace_s: Some(300),
        prices: Prices::from([("R".into(), 100), ("S".into(), 50)]),
        chart: Chart {
            sections: vec![Section { section: "A".into(), rows: vec![row] }],
            areas: vec![Area { area: "Floor".into(), grade: "S".into(), capacity: 2 }],
        }
        .into(),
        content: Fingerprint(9),
        available: 6,
    })
}

/// Every event there is, in a history that holds. It ends with a payment in flight.
pub fn good() -> Vec<Line> {
    let user_id = ANN;
    let (reservation_id, performance_id, points) = (r(1), house(), 200);
    let both = || seats(&["A-1-1", "A-1-2"]);
    let repeat = |key| IdempotencyRecord { key: Fingerprint(key), content: Fingerprint(key) };
    let key = SecretKey { key_id: Uuid::from_u128(4), prefix: "osk_".into(), hash: Fingerprint(5) };
    let announced = ConcertCreated {
        organizer_id: OrganizerId(Uuid::from_u128(1)),
        title: "Title".into(),
        artist: "Artist".into(),
        venue: "Venue".into(),
        content: Fingerprint(1),
    };
    let stream = |category, key| StreamId { category, key: Uuid::from_u128(key) };
    vec![
        line(
            stream(Category::Organizer, 1),
            0,
            &organizer::Event::OrganizerCreated(OrganizerCreated { name: "Seller".into(), key }),
        ),
        line(stream(Category::Concert, 2), 0, &concert::Event::ConcertCreated(announced)),
        of_house(0, created()),
        line(
            stream(Category::Account, 3),
            1,
            &account::Event::AccountCreated(AccountCreated { user_id, sealed: "x".into(), key: None }),
        ),
        // 5
        of_wallet(1, wallet::Event::WalletOpened(WalletOpened { account_id: AccountId(Uuid::from_u128(3)) })),
        of_wallet(
            2,
            wallet::Event::PointsCharged(PointsCharged {
                charge_id: Uuid::from_u128(1),
                points: 500,
                balance: 500,
                reference: None,
                charged_by: None,
                organizer_id: None,
                repeat: repeat(1),
            }),
        ),
        held(1, ANN, 1_000, &["A-1-1", "A-1-2"], 4),
        paid(1, ANN, 2_000, 200),
        of_wallet(
            3_000,
            wallet::Event::PointsSpent(PointsSpent {
                reservation_id,
                performance_id,
                organizer_id: None,
                points,
                balance: 300,
            }),
        ),
        // 10
        of_house(
            3_000,
            Event::ReservationConfirmed(ReservationConfirmed { reservation_id, user_id, places: both(), points }),
        ),
        of_house(
            4_000,
            Event::CancellationStarted(CancellationStarted { reservation_id, user_id, points, organizer_reason: None }),
        ),
        of_wallet(
            5_000,
            wallet::Event::PointsRefunded(PointsRefunded {
                reservation_id,
                performance_id,
                organizer_id: Some(OrganizerId(Uuid::from_u128(1))),
                points,
                balance: 500,
                reason: None,
            }),
        ),
        of_house(
            5_000,
            Event::ReservationCancelled(ReservationCancelled {
                reservation_id,
                user_id,
                places: both(),
                points,
                available: 6,
            }),
        ),
        held_standing(2, 6_000, 4),
        // 15
        of_house(7_000, Event::HoldExtended(HoldExtended { reservation_id: r(2), user_id, expires_at_ms: 406_000 })),
        of_house(
            406_000,
            Event::HoldExpired(HoldExpired { reservation_id: r(2), user_id, places: standing(), available: 6 }),
        ),
        held(3, ANN, 407_000, &["A-1-1"], 5),
        paid(3, ANN, 408_000, 100),
        refused(3, 409_000, 708_000),
        // 20
        released(3, 410_000, &["A-1-1"], 6),
        held(4, BOB, 410_000, &["A-1-2"], 5),
        of_house(410_000, Event::SeatsBlocked(SeatsBlocked { seats: labels(&["A-1-4"]), available: 4 })),
        of_house(410_000, Event::SeatsUnblocked(SeatsUnblocked { seats: labels(&["A-1-4"]), available: 5 })),
        of_wallet(
            410_000,
            wallet::Event::PointsAdjusted(PointsAdjusted {
                adjustment_id: Uuid::from_u128(2),
                points: -10,
                balance: 490,
                reason: "goodwill".into(),
                organizer_id: None,
                repeat: repeat(2),
            }),
        ),
        // 25
        of_house(410_000, Event::SalePaused(SalePaused {})),
        of_house(410_000, Event::SaleResumed(SaleResumed {})),
        paid(4, BOB, 411_000, 100),
        of_house(411_500, Event::SaleClosed(SaleClosed {})),
        line(
            stream(Category::Concert, 2),
            412_000,
            &concert::Event::ConcertChanged(ConcertChanged {
                title: "Title".into(),
                artist: "Another artist".into(),
                venue: "Venue".into(),
            }),
        ),
        // 30
        of_house(412_000, changed()),
        of_house(412_000, other_chart()),
        of_house(
            412_000,
            Event::AreasBlocked(AreasBlocked {
                areas: vec![BlockedArea { area: "Floor".into(), blocked: 1 }],
                available: 6,
            }),
        ),
        line(StreamId { category: Category::Performance, key: matinee().0 }, 0, &created()),
        line(
            StreamId { category: Category::Performance, key: matinee().0 },
            413_000,
            &Event::PerformanceCancelled(PerformanceCancelled {
                reason: "ill".into(),
                holds: 0,
                reservations: 0,
                points: 0,
            }),
        ),
        // 35
        line(
            StreamId { category: Category::Performance, key: matinee().0 },
            413_000,
            &Event::PerformanceCancellationFinished(PerformanceCancellationFinished {
                reservations: 0,
                points: 0,
                holds_released: 0,
            }),
        ),
    ]
}

/// A performance that is cancelled before anybody has bought.
fn matinee() -> PerformanceId {
    PerformanceId::from_random(70)
}

fn changed() -> Event {
    Event::PerformanceChanged(PerformanceChanged {
        terms: Terms {
            starts_at_ms: 2_500_000,
            sale_opens_at_ms: 100,
            sale_closes_at_ms: 1_000_000,
            cancellation_closes_at_ms: 600_000,
            hold_ttl_s: 200,
            payment_ttl_s: 30,
            extension_s: 0,
            seats_per_user_max: 2,
            lapsed_holds_max: 0,
            ..Terms::usual(0, 0)
        },
        prices: Prices::from([("R".into(), 120), ("S".into(), 50)]),
        prepared: None,
    })
}

/// A seat and a standing place more.
fn other_chart() -> Event {
    let row = Row { row: "1".into(), grade: "R".into(), seat_count: Some(5), ..Row::default() };
    Event::ChartChanged(ChartChanged {
        chart_version: 2,
        chart: Chart {
            sections: vec![Section { section: "A".into(), rows: vec![row] }],
            areas: vec![Area { area: "Floor".into(), grade: "S".into(), capacity: 3 }],
        }
        .into(),
        prices: Prices::from([("R".into(), 120), ("S".into(), 50)]),
        available: 7,
    })
}
