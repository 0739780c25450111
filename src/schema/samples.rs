//! One event of each kind, with everything in it that can be: what a new sample is made of.

use crate::domain::chart::{Area, Chart, Prices, Row, Section};
use crate::domain::organizer::SecretKey;
use crate::domain::performance::{self, Refusal, event::*};
use crate::domain::reservation::{AreaView, SeatView};
use crate::domain::{Fingerprint, Repeat, account, concert, organizer, wallet};
use crate::id::{AccountId, ConcertId, OrganizerId, PerformanceId, ReservationId, UserId};
use uuid::{Uuid, uuid};

const USER: UserId = UserId(uuid!("0190a5d0-1111-7aaa-8bbb-000000000001"));
const ACCOUNT: AccountId = AccountId(uuid!("5c1f8d1e-2222-8aaa-8bbb-000000000002"));
const ORGANIZER: OrganizerId = OrganizerId(uuid!("0190a5d0-3333-7aaa-8bbb-000000000003"));
const CONCERT: ConcertId = ConcertId(uuid!("0190a5d0-4444-7aaa-8bbb-000000000004"));
const MOVEMENT: Uuid = uuid!("0190a5d0-5555-7aaa-8bbb-000000000005");
/// 2026-11-21T10:00:00Z
const NOON: u64 = 1_795_255_200_000;

fn performance_id() -> PerformanceId {
    PerformanceId::from_random(6)
}

fn reservation() -> ReservationId {
    ReservationId::from_random(performance_id(), 7 << 4)
}

fn repeat() -> Repeat {
    Repeat { key: Fingerprint::of(&[b"key"]), content: Fingerprint::of(&[b"content"]) }
}

fn labels() -> Vec<String> {
    ["A-12-7", "A-12-8"].map(String::from).to_vec()
}

fn places() -> Places {
    Places { seats: labels(), area: Some(AreaCount { area: "Floor".into(), count: 1 }) }
}

fn created() -> PerformanceCreated {
    let row = |row: &str, seat_count, seats: &[&str]| Row {
        row: row.into(),
        grade: "VIP".into(),
        seat_count,
        seats: seats.iter().map(|seat| seat.to_string()).collect(),
    };
    PerformanceCreated {
        concert_id: CONCERT,
        organizer_id: ORGANIZER,
        starts_at_ms: NOON + 864_000_000,
        sale_opens_at_ms: NOON,
        sale_closes_at_ms: NOON + 864_000_000,
        cancellation_closes_at_ms: NOON + 777_600_000,
        hold_ttl_s: 300,
        payment_ttl_s: 60,
        extension_s: 120,
        seats_per_user_max: 4,
        prices: Prices::from([("R".into(), 90_000), ("VIP".into(), 150_000)]),
        chart: Chart {
            sections: vec![Section {
                section: "A".into(),
                rows: vec![row("12", Some(20), &[]), row("13", None, &["1", "3", "5", "5a"])],
            }],
            areas: vec![Area { area: "Floor".into(), grade: "R".into(), capacity: 500 }],
        }
        .into(),
        content: Fingerprint::of(&[b"content"]),
        available: 524,
    }
}

fn held() -> SeatsHeld {
    let seat = |seat: &str| SeatView { seat: seat.into(), grade: "VIP".into(), points: 150_000 };
    SeatsHeld {
        reservation_id: reservation(),
        user_id: USER,
        seats: vec![seat("A-12-7"), seat("A-12-8")],
        area: Some(AreaView { area: "Floor".into(), grade: "R".into(), count: 1, points: 90_000 }),
        points: 390_000,
        adjacent: true,
        expires_at_ms: NOON + 300_000,
        available: 521,
        repeat: Some(repeat()),
    }
}

pub fn performance() -> Vec<performance::Event> {
    use performance::Event;
    let (reservation_id, user_id, points, available) = (reservation(), USER, 390_000, 521);
    vec![
        Event::PerformanceCreated(created()),
        Event::SalePaused(SalePaused {}),
        Event::SaleResumed(SaleResumed {}),
        Event::SaleClosed(SaleClosed {}),
        Event::SeatsBlocked(SeatsBlocked { seats: labels(), available: 522 }),
        Event::SeatsUnblocked(SeatsUnblocked { seats: labels(), available: 524 }),
        Event::SeatsHeld(held()),
        Event::HoldExtended(HoldExtended { reservation_id, user_id, expires_at_ms: NOON + 420_000 }),
        Event::HoldReleased(HoldReleased { reservation_id, user_id, places: places(), available }),
        Event::HoldExpired(HoldExpired { reservation_id, user_id, places: places(), available }),
        Event::PaymentStarted(PaymentStarted {
            reservation_id,
            user_id,
            points,
            payment_deadline_ms: NOON + 90_000,
            left_ms: 270_000,
        }),
        Event::PaymentRefused(PaymentRefused {
            reservation_id,
            user_id,
            reason: Refusal::InsufficientPoints,
            points,
            balance: 100_000,
            expires_at_ms: NOON + 300_020,
        }),
        Event::ReservationConfirmed(ReservationConfirmed { reservation_id, user_id, places: places(), points }),
        Event::CancellationStarted(CancellationStarted {
            reservation_id,
            user_id,
            points,
            organizer_reason: Some("the balcony is closed".into()),
        }),
        Event::ReservationCancelled(ReservationCancelled {
            reservation_id,
            user_id,
            places: places(),
            points,
            available,
        }),
    ]
}

pub fn wallet() -> Vec<wallet::Event> {
    use wallet::*;
    let (reservation_id, performance_id, points) = (reservation(), performance_id(), 390_000);
    let organizer_id = Some(ORGANIZER);
    vec![
        Event::WalletOpened(WalletOpened { account_id: ACCOUNT }),
        Event::PointsCharged(PointsCharged {
            charge_id: MOVEMENT,
            points: 500_000,
            balance: 500_000,
            reference: Some("pay_8f14e45f".into()),
            charged_by: Some(ChargedBy::Organizer),
            organizer_id,
            repeat: repeat(),
        }),
        Event::PointsSpent(PointsSpent { reservation_id, performance_id, organizer_id, points, balance: 110_000 }),
        Event::PointsRefunded(PointsRefunded {
            reservation_id,
            performance_id,
            organizer_id,
            points,
            balance: 500_000,
            reason: Some("the balcony is closed".into()),
        }),
        Event::PointsAdjusted(PointsAdjusted {
            adjustment_id: MOVEMENT,
            points: -1_000,
            balance: 499_000,
            reason: "charged twice by mistake".into(),
            organizer_id,
            repeat: repeat(),
        }),
    ]
}

pub fn account() -> Vec<account::Event> {
    let key = Some(Fingerprint::of(&[b"key"]));
    let sealed = "c2VhbGVkIHdpdGggYSBrZXkgb2YgaXRzIG93bg==".into();
    vec![account::Event::AccountCreated(account::AccountCreated { user_id: USER, sealed, key })]
}

pub fn organizer() -> Vec<organizer::Event> {
    let key = SecretKey { key_id: MOVEMENT, prefix: "osk_4fQ2".into(), hash: Fingerprint::of(&[b"secret"]) };
    vec![organizer::Event::OrganizerCreated(organizer::OrganizerCreated { name: "Han River Arena".into(), key })]
}

pub fn concert() -> Vec<concert::Event> {
    vec![concert::Event::ConcertCreated(concert::ConcertCreated {
        organizer_id: ORGANIZER,
        title: "Winter Night".into(),
        artist: "The Understudies".into(),
        venue: "Han River Arena, Seoul".into(),
        content: Fingerprint::of(&[b"content"]),
    })]
}
