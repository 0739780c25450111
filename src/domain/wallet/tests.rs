//! Tables: one attempt a row, ending in its outcome.

mod model;

use super::*;
use crate::domain::EventData;
use crate::domain::testing::{Story, assert_same};
use Then::*;
use std::collections::BTreeSet;

const USER: UserId = UserId(Uuid::from_u128(0xa));
const ACCOUNT: AccountId = AccountId(Uuid::from_u128(0xacc));
const DAY: Millis = REPEAT_KEPT_MS;
/// When rows start.
const T: Millis = 1_000_000_000;

/// How a row ends: with an event, in short; or refused.
enum Then {
    Happened(&'static str),
    Nothing,
    Refused(Rejection),
}

type Row = (Millis, Command, Then);

fn r(nth: u64) -> ReservationId {
    ReservationId::from_random(house(), nth << 4)
}

fn house() -> PerformanceId {
    PerformanceId::from_random(7)
}

fn repeat(key: u128, content: u128) -> Repeat {
    Repeat { key: Fingerprint(key), content: Fingerprint(content) }
}

fn open() -> Command {
    Command::Open { account: ACCOUNT }
}

/// A charge; the same points under the same key are the same request.
fn charge(points: u64, key: u128) -> Command {
    Command::Charge { points, reference: None, repeat: repeat(key, points as u128) }
}

fn adjust(points: i64, key: u128) -> Command {
    Command::Adjust { points, reason: "goodwill".into(), repeat: repeat(key, points as u128) }
}

fn spend(nth: u64, points: u64, deadline_ms: Millis) -> Command {
    Command::Spend { performance: house(), reservation: r(nth), points, deadline_ms }
}

fn refund(nth: u64) -> Command {
    Command::Refund { performance: house(), reservation: r(nth) }
}

fn short(event: &Event) -> String {
    let reservation = |id| (1..100).find(|nth| r(*nth) == id).unwrap_or(0);
    match event {
        Event::WalletOpened(_) => "opened".into(),
        Event::PointsCharged(event) => format!("+{} = {}", event.points, event.balance),
        Event::PointsSpent(event) => {
            format!("r{} -{} = {}", reservation(event.reservation_id), event.points, event.balance)
        }
        Event::PointsRefunded(event) => {
            format!("r{} back {} = {}", reservation(event.reservation_id), event.points, event.balance)
        }
        Event::PointsAdjusted(event) => format!("{:+} = {} ({})", event.points, event.balance, event.reason),
    }
}

struct Ran {
    story: Story<Wallet>,
    refused: Vec<Rejection>,
}

#[track_caller]
fn run(rows: Vec<Row>) -> Ran {
    let mut story = Story::<Wallet>::new(USER.0);
    let mut refused = Vec::new();
    for (row, (now, command, then)) in rows.into_iter().enumerate() {
        let place = format!("row {row}: {command:?}");
        story.random += 1;
        let result = story.when(now, &command).map(|_| ());
        let happened: Vec<String> = story.last.iter().map(short).collect();
        let (event, rejection) = match then {
            Happened(event) => (event, Ok(())),
            Nothing => ("", Ok(())),
            Refused(rejection) => ("", Err(rejection)),
        };
        assert_eq!((happened.join("; ").as_str(), &result), (event, &rejection), "{place}");
        refused.extend(result.err());
    }
    assert_same(&story.replayed(), &story.state, story.key);
    Ran { story, refused }
}

fn tables() -> Vec<Vec<Row>> {
    vec![unopened(), charges(), charge_repeats(), adjustments(), spends(), refunds(), ceiling()]
}

#[test]
fn every_row_ends_as_it_says() {
    for table in tables() {
        run(table);
    }
}

/// A new rejection must be named here and then has to have a row.
fn rejection_name(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::UnknownWallet => "UnknownWallet",
        Rejection::KeyReused => "KeyReused",
        Rejection::ChargeOutOfRange => "ChargeOutOfRange",
        Rejection::TextOutOfRange => "TextOutOfRange",
        Rejection::AdjustmentOutOfRange => "AdjustmentOutOfRange",
        Rejection::TooManyCharges => "TooManyCharges",
        Rejection::BalanceTooLarge { .. } => "BalanceTooLarge",
        Rejection::InsufficientPoints { .. } => "InsufficientPoints",
        Rejection::TooLate { .. } => "TooLate",
        Rejection::NeverSpent => "NeverSpent",
    }
}

#[test]
fn every_rejection_and_every_event_has_a_row() {
    let (mut refused, mut happened) = (BTreeSet::new(), BTreeSet::new());
    for rows in tables() {
        let ran = run(rows);
        refused.extend(ran.refused.iter().map(rejection_name));
        happened.extend(ran.story.history.iter().map(|(_, event)| event.name()));
    }
    // TooManyCharges takes 10,000 charges: a test of its own.
    let all = [
        "UnknownWallet",
        "KeyReused",
        "ChargeOutOfRange",
        "TextOutOfRange",
        "AdjustmentOutOfRange",
        "BalanceTooLarge",
        "InsufficientPoints",
        "TooLate",
        "NeverSpent",
    ];
    assert_eq!(refused, BTreeSet::from(all));
    assert_eq!(happened, super::Event::schemas().into_iter().map(|(name, _)| name).collect());
}

fn unopened() -> Vec<Row> {
    let unknown = || Refused(Rejection::UnknownWallet);
    vec![
        (T, Command::Read, unknown()),
        (T, charge(5, 1), unknown()),
        (T, adjust(5, 1), unknown()),
        (T, spend(1, 5, T + 1), unknown()),
        (T, refund(1), unknown()),
        (T, open(), Happened("opened")),
        (T, open(), Nothing),
        (T, Command::Open { account: AccountId(Uuid::from_u128(1)) }, Nothing),
        (T, Command::Read, Nothing),
    ]
}

fn charges() -> Vec<Row> {
    let with_reference =
        |chars: usize, key| Command::Charge { points: 1, reference: Some("é".repeat(chars)), repeat: repeat(key, 1) };
    vec![
        (T, open(), Happened("opened")),
        (T, charge(0, 1), Refused(Rejection::ChargeOutOfRange)),
        (T, charge(10_000_001, 1), Refused(Rejection::ChargeOutOfRange)),
        (T, charge(u64::MAX, 1), Refused(Rejection::ChargeOutOfRange)),
        (T, charge(1, 1), Happened("+1 = 1")),
        (T, charge(10_000_000, 2), Happened("+10000000 = 10000001")),
        (T, with_reference(201, 3), Refused(Rejection::TextOutOfRange)),
        (T, with_reference(200, 3), Happened("+1 = 10000002")),
    ]
}

fn charge_repeats() -> Vec<Row> {
    vec![
        (T, open(), Happened("opened")),
        (T, charge(5, 1), Happened("+5 = 5")),
        (T, charge(5, 1), Nothing),
        (T, charge(6, 1), Refused(Rejection::KeyReused)),
        (T, adjust(5, 1), Nothing),
        (T, charge(5, 2), Happened("+5 = 10")),
        // A key of something impossible is a key of something else all the same.
        (T, charge(0, 2), Refused(Rejection::KeyReused)),
        (T + DAY - 1, charge(5, 1), Nothing),
        (T + DAY - 1, charge(6, 1), Refused(Rejection::KeyReused)),
        // After 24 h a key is new.
        (T + DAY, charge(6, 1), Happened("+6 = 16")),
        (T + DAY, charge(6, 1), Nothing),
        (T + DAY, charge(5, 1), Refused(Rejection::KeyReused)),
        (T + 2 * DAY - 1, charge(6, 1), Nothing),
        (T + 2 * DAY, charge(6, 1), Happened("+6 = 22")),
    ]
}

fn adjustments() -> Vec<Row> {
    let because = |reason: &str| Command::Adjust { points: 1, reason: reason.into(), repeat: repeat(9, 9) };
    let most = BALANCE_POINTS_MAX as i64;
    vec![
        (T, open(), Happened("opened")),
        (T, adjust(0, 1), Refused(Rejection::AdjustmentOutOfRange)),
        (T, adjust(most + 1, 1), Refused(Rejection::AdjustmentOutOfRange)),
        (T, adjust(i64::MIN, 1), Refused(Rejection::AdjustmentOutOfRange)),
        (T, because(""), Refused(Rejection::TextOutOfRange)),
        (T, because(" "), Refused(Rejection::TextOutOfRange)),
        (T, because(&"x".repeat(201)), Refused(Rejection::TextOutOfRange)),
        (T, adjust(-1, 1), Refused(Rejection::InsufficientPoints { balance: 0, required: 1 })),
        (T, adjust(10, 1), Happened("+10 = 10 (goodwill)")),
        (T, adjust(10, 1), Nothing),
        (T, adjust(11, 1), Refused(Rejection::KeyReused)),
        (T, adjust(-11, 2), Refused(Rejection::InsufficientPoints { balance: 10, required: 11 })),
        (T, adjust(-10, 2), Happened("-10 = 0 (goodwill)")),
        (T, adjust(most, 3), Happened("+9007199254740991 = 9007199254740991 (goodwill)")),
        (T, adjust(1, 4), Refused(Rejection::BalanceTooLarge { balance: BALANCE_POINTS_MAX })),
        (T, adjust(-most, 5), Happened("-9007199254740991 = 0 (goodwill)")),
    ]
}

fn spends() -> Vec<Row> {
    vec![
        (T, open(), Happened("opened")),
        (T, charge(10, 1), Happened("+10 = 10")),
        (T, spend(1, 11, T + 60), Refused(Rejection::InsufficientPoints { balance: 10, required: 11 })),
        (T + 60, spend(1, 10, T + 60), Refused(Rejection::TooLate { balance: 10 })),
        // Too late is said before too few: there is nothing to charge for.
        (T + 60, spend(1, 11, T + 60), Refused(Rejection::TooLate { balance: 10 })),
        (T + 59, spend(1, 10, T + 60), Happened("r1 -10 = 0")),
        // Once, whenever it is asked again.
        (T + 59, spend(1, 10, T + 60), Nothing),
        (T + 99, spend(1, 10, T + 60), Nothing),
        (T, spend(2, 1, T + 60), Refused(Rejection::InsufficientPoints { balance: 0, required: 1 })),
        // A free ticket costs nothing, once.
        (T, spend(3, 0, T + 60), Happened("r3 -0 = 0")),
        (T, spend(3, 0, T + 60), Nothing),
    ]
}

fn refunds() -> Vec<Row> {
    vec![
        (T, open(), Happened("opened")),
        (T, charge(10, 1), Happened("+10 = 10")),
        (T, refund(1), Refused(Rejection::NeverSpent)),
        (T, spend(1, 4, T + 60), Happened("r1 -4 = 6")),
        (T, spend(2, 6, T + 60), Happened("r2 -6 = 0")),
        (T, refund(1), Happened("r1 back 4 = 4")),
        (T, refund(1), Nothing),
        // What was refunded is not spent again.
        (T, spend(1, 4, T + 60), Nothing),
        (T, refund(1), Nothing),
        (T, refund(2), Happened("r2 back 6 = 10")),
        (T, refund(3), Refused(Rejection::NeverSpent)),
    ]
}

/// A refund cannot be refused, so nothing else may take the room that it needs.
fn ceiling() -> Vec<Row> {
    let most = BALANCE_POINTS_MAX as i64;
    vec![
        (T, open(), Happened("opened")),
        (T, adjust(most, 1), Happened("+9007199254740991 = 9007199254740991 (goodwill)")),
        (T, charge(1, 2), Refused(Rejection::BalanceTooLarge { balance: BALANCE_POINTS_MAX })),
        (T, spend(1, 5, T + 60), Happened("r1 -5 = 9007199254740986")),
        (T, charge(1, 3), Refused(Rejection::BalanceTooLarge { balance: BALANCE_POINTS_MAX - 5 })),
        (T, adjust(1, 4), Refused(Rejection::BalanceTooLarge { balance: BALANCE_POINTS_MAX - 5 })),
        (T, adjust(-1, 5), Happened("-1 = 9007199254740985 (goodwill)")),
        (T, charge(1, 6), Happened("+1 = 9007199254740986")),
        (T, refund(1), Happened("r1 back 5 = 9007199254740991")),
    ]
}

#[test]
fn a_wallet_takes_so_many_charges_a_day() {
    // Without the twin: reading a snapshot back before each of 10,000 charges takes its time.
    let mut wallet = Wallet::default();
    let mut version = 0;
    let mut attempt = |now, command: &Command| {
        let events = wallet.decide(command, &Context { key: USER.0, now, random: version as u128 })?;
        for event in &events {
            version += 1;
            wallet.evolve(event, version, now);
        }
        Ok::<_, Rejection>(events.len())
    };
    assert_eq!(attempt(T, &open()), Ok(1));
    for key in 0..CHARGES_PER_DAY_MAX as u128 {
        assert_eq!(attempt(T + key as u64, &charge(1, key)), Ok(1));
    }
    let end = T + CHARGES_PER_DAY_MAX as u64;
    assert_eq!(attempt(end, &charge(1, 1 << 20)), Err(Rejection::TooManyCharges));
    assert_eq!(attempt(end, &adjust(1, 1 << 20)), Err(Rejection::TooManyCharges));
    // A repeated one is none, and spending goes on.
    assert_eq!(attempt(end, &charge(1, 0)), Ok(0));
    assert_eq!(attempt(end, &spend(1, 1, end + 1)), Ok(1));
    assert_eq!(attempt(T + DAY - 1, &charge(1, 1 << 20)), Err(Rejection::TooManyCharges));
    assert_eq!(attempt(T + DAY, &charge(1, 1 << 20)), Ok(1));
    assert_eq!(attempt(T + DAY, &charge(1, 1 << 21)), Err(Rejection::TooManyCharges));
}

#[test]
fn a_repeated_charge_gets_the_first_answer() {
    let rows = vec![
        (T, open(), Happened("opened")),
        (T, charge(5, 1), Happened("+5 = 5")),
        (T, charge(7, 2), Happened("+7 = 12")),
    ];
    let mut story = run(rows).story;
    let Ok(Answer::Movement { movement, repeated: true }) = story.when(T + 9, &charge(5, 1)) else { panic!() };
    assert_eq!((movement.points, movement.balance, movement.at_ms), (5, 5, T));
    let Ok(Answer::Wallet { user, balance: 12, version: 3 }) = story.when(T + 9, &Command::Read) else { panic!() };
    assert_eq!(user, USER);
    story.random = 77;
    let Ok(Answer::Movement { movement: later, repeated: false }) = story.when(T + 9, &adjust(-2, 3)) else { panic!() };
    assert_eq!((later.points, later.balance, later.at_ms), (-2, 10, T + 9));
    assert_ne!(later.id, movement.id);
}
