//! One event of each kind, with everything in it that can be: what a new sample is made of.

mod queue;

pub use queue::queue;

use base::id::{AccountId, ConcertId, OrganizerId, PerformanceId, ReservationId, UserId};
use domain::performance::event::*;
use domain::performance::reservation::{AreaView, SeatView};
use domain::performance::seats::best::Relaxed;
use domain::performance::seats::chart::{Area, Chart, Prices, Row, Section};
use domain::performance::{self, Refusal, Terms};
use domain::{Fingerprint, Repeat, account, concert, organizer, wallet};
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
        ..Row::default()
    };
    PerformanceCreated {
        concert_id: CONCERT,
        organizer_id: ORGANIZER,
        terms: Terms {
            starts_at_ms: NOON + 864_000_000,
            sale_opens_at_ms: NOON,
            sale_closes_at_ms: NOON + 864_000_000,
            cancellation_closes_at_ms: NOON + 777_600_000,
            hold_ttl_s: 300,
            payment_ttl_s: 60,
            extension_s: 120,
            seats_per_user_max: 4,
            lapsed_holds_max: 5,
            ..Terms::usual(0, 0)
        },
        refusal_grace_s: Some(300),
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
        relaxed: vec![Relaxed::Orphan],
        by_organizer: true,
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
        Event::PerformanceChanged(PerformanceChanged {
            terms: Terms {
                starts_at_ms: NOON + 950_400_000,
                sale_opens_at_ms: NOON,
                sale_closes_at_ms: NOON + 950_400_000,
                cancellation_closes_at_ms: NOON + 864_000_000,
                hold_ttl_s: 240,
                payment_ttl_s: 60,
                extension_s: 120,
                seats_per_user_max: 6,
                lapsed_holds_max: 8,
                ..Terms::usual(0, 0)
            },
            prices: Prices::from([("R".into(), 95_000), ("VIP".into(), 160_000)]),
            prepared: None,
        }),
        Event::ChartChanged(ChartChanged {
            chart_version: 2,
            chart: changed_chart().into(),
            prices: Prices::from([("R".into(), 95_000), ("VIP".into(), 160_000)]),
            available: 541,
        }),
        Event::AreasBlocked(AreasBlocked {
            areas: vec![BlockedArea { area: "Floor".into(), blocked: 20 }],
            available: 501,
        }),
        Event::PerformanceCancelled(PerformanceCancelled {
            reason: "The artist is ill.".into(),
            holds: 1,
            reservations: 2,
            points: 780_000,
        }),
        Event::PerformanceCancellationFinished(PerformanceCancellationFinished {
            reservations: 2,
            points: 780_000,
            holds_released: 1,
        }),
    ]
}

fn changed_chart() -> Chart {
    let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
    Chart {
        sections: vec![Section {
            section: "A".into(),
            rows: vec![Row {
                row: "12".into(),
                grade: "VIP".into(),
                seat_count: Some(40),
                breaks_after: names(&["20"]),
                accessible: names(&["1"]),
                companion: names(&["2"]),
                ..Row::default()
            }],
        }],
        areas: vec![Area { area: "Floor".into(), grade: "R".into(), capacity: 501 }],
    }
}

pub fn wallet() -> Vec<wallet::Event> {
    use wallet::*;
    let (reservation_id, performance_id, points) = (reservation(), performance_id(), 390_000);
    let organizer_id = Some(ORGANIZER);
    vec![
        Event::WalletOpened(WalletOpened { account_id: ACCOUNT }),
        Event::WalletClosed(WalletClosed { balance: 600 }),
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
    use account::*;
    let key = Some(Fingerprint::of(&[b"key"]));
    let sealed = || "c2VhbGVkIHdpdGggYSBrZXkgb2YgaXRzIG93bg==".to_owned();
    let (before_ms, until_ms) = (NOON + 1, NOON + 86_400_001);
    vec![
        Event::AccountCreated(AccountCreated { user_id: USER, sealed: sealed(), key }),
        Event::PasswordChanged(PasswordChanged { sealed: sealed() }),
        Event::SessionEnded(SessionEnded { session: Fingerprint::of(&[b"session"]), expires_at_ms: NOON + 3_600_000 }),
        Event::SessionsEnded(SessionsEnded { before_ms, until_ms }),
        Event::AccountErased(AccountErased { user_id: USER, before_ms, until_ms }),
        Event::ErasureFinished(ErasureFinished { user_id: USER }),
    ]
}

pub fn organizer() -> Vec<organizer::Event> {
    use organizer::provider::{Algorithm, IdentityProvider, Jwks};
    use organizer::*;
    let key = || SecretKey { key_id: MOVEMENT, prefix: "osk_4fQ2".into(), hash: Fingerprint::of(&[b"secret"]) };
    let provider = IdentityProvider {
        issuer: "https://login.example.com".into(),
        audience: "han-river-arena".into(),
        jwks: Jwks::Url("https://login.example.com/.well-known/jwks.json".into()),
        algorithms: Algorithm::USUAL.to_vec(),
        enabled: true,
    };
    vec![
        Event::OrganizerCreated(OrganizerCreated { name: "Han River Arena".into(), key: key() }),
        Event::OrganizerRenamed(OrganizerRenamed { name: "Han River Hall".into() }),
        Event::KeyCreated(KeyCreated {
            key: key(),
            name: Some("box office".into()),
            repeat: Some(Fingerprint::of(&[b"key"])),
        }),
        Event::KeyRevoked(KeyRevoked { key_id: MOVEMENT }),
        Event::KeyUsed(KeyUsed { key_id: MOVEMENT, used_at_ms: NOON }),
        Event::IdentityProviderSet(IdentityProviderSet { provider }),
        Event::IdentityProviderRemoved(IdentityProviderRemoved {}),
    ]
}

pub fn concert() -> Vec<concert::Event> {
    vec![
        concert::Event::ConcertCreated(concert::ConcertCreated {
            organizer_id: ORGANIZER,
            title: "Winter Night".into(),
            artist: "The Understudies".into(),
            venue: "Han River Arena, Seoul".into(),
            content: Fingerprint::of(&[b"content"]),
        }),
        concert::Event::ConcertChanged(concert::ConcertChanged {
            title: "Winter Night, the encore".into(),
            artist: "The Understudies".into(),
            venue: "Han River Arena, Seoul".into(),
        }),
    ]
}
