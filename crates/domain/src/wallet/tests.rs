//! Tables: one attempt a row, ending in its outcome.

mod model;

use super::*;
use crate::Command;
use crate::process::purchase::{GiveBack, Spend};
use crate::process::sign_up::OpenWallet;
use crate::testing::coverage::{Coverage, Known, rejections};
use crate::testing::{Attempt, Story, assert_same};
use Then::*;
use base::id::{OrganizerId, PerformanceId};
use std::any::type_name;

const USER: UserId = UserId(Uuid::from_u128(0xa));
const ACCOUNT: AccountId = AccountId(Uuid::from_u128(0xacc));
const ORGANIZER: OrganizerId = OrganizerId(Uuid::from_u128(0x0a));
const DAY: Millis = REPEAT_KEPT_MS;
/// When rows start.
const T: Millis = 1_000_000_000;

/// How a row ends: with an event, in short; or refused.
enum Then {
    Happened(&'static str),
    Nothing,
    Refused(String),
}

/// Refused by the wallet with this.
fn refused(refusal: impl std::fmt::Debug) -> Then {
    Refused(format!("{refusal:?}"))
}

rejections! {
    enums: ChargeRejection, AdjustRejection, SpendRefusal;
    structs: UnknownWallet, NeverSpent
}

type Row = (Millis, Attempt<Wallet>, Then);

fn r(nth: u64) -> ReservationId {
    ReservationId::from_random(house(), nth << 4)
}

fn house() -> PerformanceId {
    PerformanceId::from_random(7)
}

fn repeat(key: u128, content: u128) -> IdempotencyRecord {
    IdempotencyRecord { key: Fingerprint(key), content: Fingerprint(content) }
}

/// A row's command.
fn row(step: impl crate::Step<On = Wallet, Refusal: Known>) -> Attempt<Wallet> {
    Attempt::of(step)
}

fn open() -> OpenWallet {
    OpenWallet { account: ACCOUNT }
}

/// A charge; the same points under the same key are the same request.
fn charge(points: u64, key: u128) -> Charge {
    Charge {
        points,
        reference: None,
        by: ChargedBy::Operator,
        organizer: None,
        day_points_max: u64::MAX,
        repeat: repeat(key, points as u128),
    }
}

/// A charge by an organizer's key where at most `day_points_max` points may be charged in 24 h.
fn charge_within(day_points_max: u64, points: u64, key: u128) -> Charge {
    Charge { by: ChargedBy::Organizer, organizer: Some(ORGANIZER), day_points_max, ..charge(points, key) }
}

fn adjust(points: i64, key: u128) -> Adjust {
    Adjust { points, reason: "goodwill".into(), organizer: None, repeat: repeat(key, points as u128) }
}

fn spend(nth: u64, points: u64, deadline_ms: Millis) -> Spend {
    Spend { performance: house(), organizer: ORGANIZER, reservation: r(nth), points, deadline_ms }
}

fn refund(nth: u64) -> GiveBack {
    GiveBack { performance: house(), organizer: ORGANIZER, reservation: r(nth), reason: None }
}

fn short(event: &Event) -> String {
    let reservation = |id| (1..100).find(|nth| r(*nth) == id).unwrap_or(0);
    match event {
        Event::WalletOpened(_) => "opened".into(),
        Event::WalletClosed(event) => format!("closed with {}", event.balance),
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

#[track_caller]
fn run(rows: Vec<Row>) -> Story<Wallet> {
    let mut story = Story::<Wallet>::new(USER.0);
    for (row, (now, command, then)) in rows.into_iter().enumerate() {
        let place = format!("row {row}: {command:?}");
        story.random += 1;
        let result = command.run(&mut story, now);
        let happened: Vec<String> = story.last.iter().map(short).collect();
        let (event, rejection) = match then {
            Happened(event) => (event, Ok(())),
            Nothing => ("", Ok(())),
            Refused(rejection) => ("", Err(rejection)),
        };
        assert_eq!((happened.join("; ").as_str(), &result), (event, &rejection), "{place}");
    }
    assert_same(&story.replayed(), &story.state, story.key);
    story
}

fn tables() -> Vec<Vec<Row>> {
    vec![
        unopened(),
        charges(),
        day_limit(),
        looks(),
        charge_repeats(),
        adjustments(),
        spends(),
        refunds(),
        ceiling(),
        closed(),
    ]
}

#[test]
fn every_row_ends_as_it_says() {
    for table in tables() {
        run(table);
    }
}

#[test]
fn every_rejection_and_every_event_has_a_row() {
    // Takes 10,000 charges: a test of its own.
    let untested =
        [(type_name::<ChargeRejection>(), "TooManyCharges"), (type_name::<AdjustRejection>(), "TooManyCharges")];
    Coverage::of(&[every_row_ends_as_it_says]).assert_complete::<Event>(REJECTIONS, &untested);
}

fn unopened() -> Vec<Row> {
    let unknown = || refused(UnknownWallet);
    vec![
        (T, row(Read), unknown()),
        (T, row(charge(5, 1)), unknown()),
        (T, row(adjust(5, 1)), unknown()),
        (T, row(spend(1, 5, T + 1)), unknown()),
        (T, row(refund(1)), refused(NeverSpent)),
        (T, row(open()), Happened("opened")),
        (T, row(open()), Nothing),
        (T, row(OpenWallet { account: AccountId(Uuid::from_u128(1)) }), Nothing),
        (T, row(Read), Nothing),
    ]
}

fn charges() -> Vec<Row> {
    let with_reference = |text: &str, key| {
        let (reference, repeat) = (Some(text.into()), repeat(key, 1));
        Charge { reference, repeat, ..charge(1, key) }
    };
    let too_long = || refused(ChargeRejection::ReferenceOutOfRange);
    vec![
        (T, row(open()), Happened("opened")),
        (T, row(charge(0, 1)), refused(ChargeRejection::PointsOutOfRange)),
        (T, row(charge(10_000_001, 1)), refused(ChargeRejection::PointsOutOfRange)),
        (T, row(charge(u64::MAX, 1)), refused(ChargeRejection::PointsOutOfRange)),
        (T, row(charge(1, 1)), Happened("+1 = 1")),
        (T, row(charge(10_000_000, 2)), Happened("+10000000 = 10000001")),
        (T, row(with_reference(&"é".repeat(201), 3)), too_long()),
        (T, row(with_reference("a\nb", 3)), too_long()),
        (T, row(with_reference("\u{0}", 3)), too_long()),
        (T, row(with_reference("  ", 3)), too_long()),
        (T, row(with_reference(&"é".repeat(200), 3)), Happened("+1 = 10000002")),
        (T, row(with_reference("", 4)), Happened("+1 = 10000003")),
    ]
}

/// Points within 24 h, counted back from each charge.
fn day_limit() -> Vec<Row> {
    let full = |charged, retry_at_ms| refused(ChargeRejection::ChargeLimit { limit: 100, charged, retry_at_ms });
    vec![
        (T, row(open()), Happened("opened")),
        (T, row(charge_within(100, 101, 1)), full(0, None)),
        (T, row(charge_within(100, 60, 1)), Happened("+60 = 60")),
        (T + 5, row(charge_within(100, 40, 2)), Happened("+40 = 100")),
        (T + 6, row(charge_within(100, 1, 3)), full(100, Some(T + DAY))),
        (T + 6, row(charge_within(100, 61, 3)), full(100, Some(T + 5 + DAY))),
        (T + 6, row(charge_within(100, 101, 3)), full(100, None)),
        // A repeated one is none; adjustments do not count; spending does not make room.
        (T + 6, row(charge_within(100, 60, 1)), Nothing),
        (T + 6, row(adjust(500, 4)), Happened("+500 = 600 (goodwill)")),
        (T + 6, row(spend(1, 100, T + 60)), Happened("r1 -100 = 500")),
        (T + DAY - 1, row(charge_within(100, 1, 3)), full(100, Some(T + DAY))),
        (T + DAY, row(charge_within(100, 61, 3)), full(40, Some(T + 5 + DAY))),
        (T + DAY, row(charge_within(100, 60, 3)), Happened("+60 = 560")),
        // The limit is what it is now.
        (T + DAY, row(charge_within(200, 100, 5)), Happened("+100 = 660")),
        (
            T + DAY,
            row(charge_within(100, 1, 6)),
            refused(ChargeRejection::ChargeLimit { limit: 100, charged: 200, retry_at_ms: Some(T + 2 * DAY) }),
        ),
    ]
}

/// An organizer sees the wallets of users that it had to do with.
fn looks() -> Vec<Row> {
    let look = |organizer| ReadAsOrganizer { organizer: OrganizerId(Uuid::from_u128(organizer)) };
    let list =
        |organizer| ReadStatement { organizer: Some(OrganizerId(Uuid::from_u128(organizer))), before: None, limit: 9 };
    let unknown = || refused(UnknownWallet);
    vec![
        (T, row(open()), Happened("opened")),
        (T, row(charge(10, 1)), Happened("+10 = 10")),
        (T, row(look(0x0a)), unknown()),
        (T, row(list(0x0a)), unknown()),
        (T, row(spend(1, 4, T + 60)), Happened("r1 -4 = 6")),
        (T, row(look(0x0a)), Nothing),
        (T, row(list(0x0a)), Nothing),
        (T, row(look(0x0b)), unknown()),
        (T, row(list(0x0b)), unknown()),
    ]
}

/// Its user was erased.
fn closed() -> Vec<Row> {
    let unknown = || refused(UnknownWallet);
    vec![
        // A crash may have come between an account and its wallet.
        (T, row(Close), Nothing),
        (T, row(CheckOpen), unknown()),
        (T, row(open()), Happened("opened")),
        (T, row(CheckOpen), Nothing),
        (T, row(charge(10, 1)), Happened("+10 = 10")),
        (T, row(spend(1, 4, T + 60)), Happened("r1 -4 = 6")),
        (T, row(Close), Happened("closed with 6")),
        (T, row(Close), Nothing),
        (T, row(open()), Nothing),
        (T, row(CheckOpen), unknown()),
        (T, row(charge(10, 2)), unknown()),
        (T, row(adjust(1, 3)), unknown()),
        (T, row(spend(2, 1, T + 60)), unknown()),
        // What had happened is told again.
        (T, row(charge(10, 1)), Nothing),
        (T, row(charge(11, 1)), refused(ChargeRejection::KeyReused)),
        (T, row(spend(1, 4, T + 60)), Nothing),
        // What comes back comes back here, and can be taken off the books.
        (T, row(refund(1)), Happened("r1 back 4 = 10")),
        (T, row(Read), Nothing),
        (T, row(adjust(-11, 4)), refused(AdjustRejection::InsufficientPoints { balance: 10, required: 11 })),
        (T, row(adjust(-10, 4)), Happened("-10 = 0 (goodwill)")),
        (T, row(adjust(-10, 4)), Nothing),
    ]
}

fn charge_repeats() -> Vec<Row> {
    vec![
        (T, row(open()), Happened("opened")),
        (T, row(charge(5, 1)), Happened("+5 = 5")),
        (T, row(charge(5, 1)), Nothing),
        (T, row(charge(6, 1)), refused(ChargeRejection::KeyReused)),
        (T, row(adjust(5, 1)), Nothing),
        (T, row(charge(5, 2)), Happened("+5 = 10")),
        // A key of something impossible is a key of something else all the same.
        (T, row(charge(0, 2)), refused(ChargeRejection::KeyReused)),
        (T + DAY - 1, row(charge(5, 1)), Nothing),
        (T + DAY - 1, row(charge(6, 1)), refused(ChargeRejection::KeyReused)),
        // After 24 h a key is new.
        (T + DAY, row(charge(6, 1)), Happened("+6 = 16")),
        (T + DAY, row(charge(6, 1)), Nothing),
        (T + DAY, row(charge(5, 1)), refused(ChargeRejection::KeyReused)),
        (T + 2 * DAY - 1, row(charge(6, 1)), Nothing),
        (T + 2 * DAY, row(charge(6, 1)), Happened("+6 = 22")),
    ]
}

fn adjustments() -> Vec<Row> {
    let because = |reason: &str| Adjust { points: 1, reason: reason.into(), organizer: None, repeat: repeat(9, 9) };
    let no_reason = || refused(AdjustRejection::ReasonOutOfRange);
    let most = BALANCE_POINTS_MAX as i64;
    vec![
        (T, row(open()), Happened("opened")),
        (T, row(adjust(0, 1)), refused(AdjustRejection::PointsOutOfRange)),
        (T, row(adjust(most + 1, 1)), refused(AdjustRejection::PointsOutOfRange)),
        (T, row(adjust(i64::MIN, 1)), refused(AdjustRejection::PointsOutOfRange)),
        (T, row(because("")), no_reason()),
        (T, row(because(" ")), no_reason()),
        (T, row(because(&"x".repeat(201))), no_reason()),
        (T, row(because("a\tb")), no_reason()),
        (T, row(adjust(-1, 1)), refused(AdjustRejection::InsufficientPoints { balance: 0, required: 1 })),
        (T, row(adjust(10, 1)), Happened("+10 = 10 (goodwill)")),
        (T, row(adjust(10, 1)), Nothing),
        (T, row(adjust(11, 1)), refused(ChargeRejection::KeyReused)),
        (T, row(adjust(-11, 2)), refused(AdjustRejection::InsufficientPoints { balance: 10, required: 11 })),
        (T, row(adjust(-10, 2)), Happened("-10 = 0 (goodwill)")),
        (T, row(adjust(most, 3)), Happened("+9007199254740991 = 9007199254740991 (goodwill)")),
        (T, row(adjust(1, 4)), refused(ChargeRejection::BalanceTooLarge { balance: BALANCE_POINTS_MAX })),
        (T, row(adjust(-most, 5)), Happened("-9007199254740991 = 0 (goodwill)")),
    ]
}

fn spends() -> Vec<Row> {
    vec![
        (T, row(open()), Happened("opened")),
        (T, row(charge(10, 1)), Happened("+10 = 10")),
        (T, row(spend(1, 11, T + 60)), refused(SpendRefusal::InsufficientPoints { balance: 10 })),
        (T + 60, row(spend(1, 10, T + 60)), refused(SpendRefusal::TooLate { balance: 10 })),
        // Too late is said before too few: there is nothing to charge for.
        (T + 60, row(spend(1, 11, T + 60)), refused(SpendRefusal::TooLate { balance: 10 })),
        (T + 59, row(spend(1, 10, T + 60)), Happened("r1 -10 = 0")),
        // Once, whenever it is asked again.
        (T + 59, row(spend(1, 10, T + 60)), Nothing),
        (T + 99, row(spend(1, 10, T + 60)), Nothing),
        (T, row(spend(2, 1, T + 60)), refused(SpendRefusal::InsufficientPoints { balance: 0 })),
        // A free ticket costs nothing, once.
        (T, row(spend(3, 0, T + 60)), Happened("r3 -0 = 0")),
        (T, row(spend(3, 0, T + 60)), Nothing),
    ]
}

fn refunds() -> Vec<Row> {
    vec![
        (T, row(open()), Happened("opened")),
        (T, row(charge(10, 1)), Happened("+10 = 10")),
        (T, row(refund(1)), refused(NeverSpent)),
        (T, row(spend(1, 4, T + 60)), Happened("r1 -4 = 6")),
        (T, row(spend(2, 6, T + 60)), Happened("r2 -6 = 0")),
        (T, row(refund(1)), Happened("r1 back 4 = 4")),
        (T, row(refund(1)), Nothing),
        // What was refunded is not spent again.
        (T, row(spend(1, 4, T + 60)), Nothing),
        (T, row(refund(1)), Nothing),
        (T, row(refund(2)), Happened("r2 back 6 = 10")),
        (T, row(refund(3)), refused(NeverSpent)),
    ]
}

/// A refund cannot be refused, so nothing else may take the room that it needs.
fn ceiling() -> Vec<Row> {
    let most = BALANCE_POINTS_MAX as i64;
    vec![
        (T, row(open()), Happened("opened")),
        (T, row(adjust(most, 1)), Happened("+9007199254740991 = 9007199254740991 (goodwill)")),
        (T, row(charge(1, 2)), refused(ChargeRejection::BalanceTooLarge { balance: BALANCE_POINTS_MAX })),
        (T, row(spend(1, 5, T + 60)), Happened("r1 -5 = 9007199254740986")),
        (T, row(charge(1, 3)), refused(ChargeRejection::BalanceTooLarge { balance: BALANCE_POINTS_MAX - 5 })),
        (T, row(adjust(1, 4)), refused(ChargeRejection::BalanceTooLarge { balance: BALANCE_POINTS_MAX - 5 })),
        (T, row(adjust(-1, 5)), Happened("-1 = 9007199254740985 (goodwill)")),
        (T, row(charge(1, 6)), Happened("+1 = 9007199254740986")),
        (T, row(refund(1)), Happened("r1 back 5 = 9007199254740991")),
    ]
}

#[test]
fn a_wallet_takes_so_many_charges_a_day() {
    // Without the twin: reading a snapshot back before each of 10,000 charges takes its time.
    fn attempt<S: crate::Step<On = Wallet>>(run: &mut (Wallet, u64), now: Millis, step: &S) -> Result<usize, String> {
        let (wallet, version) = run;
        let context = Context { key: USER.0, now, machine: now, random: *version as u128 };
        let events = step.decide(wallet, &context).map_err(|refusal| format!("{refusal:?}"))?;
        for event in &events {
            *version += 1;
            wallet.evolve(event, *version, now);
        }
        Ok(events.len())
    }
    let run = &mut (Wallet::default(), 0);
    assert_eq!(attempt(run, T, &open()), Ok(1));
    for key in 0..CHARGES_PER_DAY_MAX as u128 {
        assert_eq!(attempt(run, T + key as u64, &charge(1, key)), Ok(1));
    }
    let end = T + CHARGES_PER_DAY_MAX as u64;
    let full = |now, retry_at_ms| {
        let wait_ms = retry_at_ms - now;
        Err(format!("{:?}", ChargeRejection::TooManyCharges { retry_at_ms, wait_ms }))
    };
    assert_eq!(attempt(run, end, &charge(1, 1 << 20)), full(end, T + DAY));
    assert_eq!(attempt(run, end, &adjust(1, 1 << 20)), full(end, T + DAY));
    // A repeated one is none, and spending goes on.
    assert_eq!(attempt(run, end, &charge(1, 0)), Ok(0));
    assert_eq!(attempt(run, end, &spend(1, 1, end + 1)), Ok(1));
    assert_eq!(attempt(run, T + DAY - 1, &charge(1, 1 << 20)), full(T + DAY - 1, T + DAY));
    assert_eq!(attempt(run, T + DAY, &charge(1, 1 << 20)), Ok(1));
    assert_eq!(attempt(run, T + DAY, &charge(1, 1 << 21)), full(T + DAY, T + DAY + 1));
}

#[test]
fn a_repeated_charge_gets_the_first_answer() {
    let rows = vec![
        (T, row(open()), Happened("opened")),
        (T, row(charge(5, 1)), Happened("+5 = 5")),
        (T, row(charge(7, 2)), Happened("+7 = 12")),
    ];
    let mut story = run(rows);
    let Ok(Moved { movement, repeated: true }) = story.when(T + 9, &charge(5, 1)) else { panic!() };
    assert_eq!((movement.points, movement.balance, movement.at_ms), (5, 5, T));
    assert_eq!(story.when(T + 9, &Read), Ok(Balance { user: USER, points: 12, version: 3 }));
    story.random = 77;
    let Ok(Moved { movement: later, repeated: false }) = story.when(T + 9, &adjust(-2, 3)) else { panic!() };
    assert_eq!((later.points, later.balance, later.at_ms), (-2, 10, T + 9));
    assert_ne!(later.id, movement.id);
}

/// The whole statement, page by page.
fn statement(story: &mut Story<Wallet>, organizer: Option<OrganizerId>, limit: usize) -> (Vec<Entry>, bool) {
    let (mut entries, mut before) = (Vec::new(), None);
    loop {
        let page = story.when(T, &ReadStatement { organizer, before, limit }).expect("a statement is not refused");
        assert!(page.entries.len() <= limit);
        before = page.entries.last().map(|last| last.version);
        entries.extend(page.entries);
        if !page.more {
            return (entries, page.older);
        }
    }
}

/// What a statement has to say, straight from what was recorded.
fn recorded(story: &Story<Wallet>) -> Vec<Entry> {
    let events = (1..).zip(&story.history);
    let mut entries: Vec<Entry> = events.filter_map(|(version, (at, event))| entry_of(event, version, *at)).collect();
    entries.reverse();
    entries
}

#[test]
fn a_statement_is_what_was_recorded() {
    for table in tables() {
        let mut story = run(table);
        let recorded = recorded(&story);
        for limit in [1, 2, 500] {
            assert_eq!(statement(&mut story, None, limit), (recorded.clone(), false));
        }
        let of: Vec<_> = recorded.into_iter().filter(|entry| entry.organizer == Some(ORGANIZER)).collect();
        if !of.is_empty() {
            assert_eq!(statement(&mut story, Some(ORGANIZER), 1), (of, false));
        }
    }
}

/// Texts and the organizers of old logs.
#[test]
fn a_statement_tells_texts_and_leaves_out_what_is_not_known() {
    let mut story = Story::<Wallet>::new(USER.0);
    story.step(T, &open());
    let (points, performance_id, reservation_id) = (5, house(), r(1));
    let old = PointsCharged {
        charge_id: Uuid::from_u128(7),
        points,
        balance: 5,
        reference: Some("pay_1 – ₩".into()),
        charged_by: None,
        organizer_id: None,
        repeat: repeat(1, 1),
    };
    let spent = PointsSpent { reservation_id, performance_id, organizer_id: None, points, balance: 0 };
    story.record(T + 1, &[Event::PointsCharged(old), Event::PointsSpent(spent)]);
    let reason = Some("the balcony is closed".to_owned());
    let refund = GiveBack { performance: house(), organizer: ORGANIZER, reservation: r(1), reason };
    story.step(T + 2, &refund);
    let (entries, older) = statement(&mut story, None, 2);
    let told: Vec<_> = entries
        .iter()
        .map(|entry| (entry.version, entry.kind, entry.points, entry.balance, entry.text.as_deref(), entry.organizer))
        .collect();
    assert_eq!(
        told,
        [
            (4, EntryKind::Refunded, 5, 5, Some("the balcony is closed"), Some(ORGANIZER)),
            (3, EntryKind::Spent, -5, 0, None, None),
            (2, EntryKind::Charged, 5, 5, Some("pay_1 – ₩"), None),
        ]
    );
    assert!(!older);
}

#[test]
fn a_statement_has_the_latest_thousand() {
    let mut wallet = Wallet::default();
    let mut history = Vec::new();
    let mut version = 0;
    let mut run = |wallet: &mut Wallet, charge: Option<Charge>| {
        let context = Context { key: USER.0, now: T, machine: T, random: version as u128 };
        let events = charge.map_or_else(|| wallet.open(ACCOUNT), |charge| charge.decide(wallet, &context).unwrap());
        for event in events {
            version += 1;
            wallet.evolve(&event, version, T);
            history.extend(entry_of(&event, version, T));
        }
        history.len()
    };
    run(&mut wallet, None);
    for key in 0..3_000u128 {
        let count = run(&mut wallet, Some(charge(1, key)));
        if !matches!(count, 1 | 999..=1_001 | 1_249..=1_251 | 1_500 | 3_000) {
            continue;
        }
        let twin = crate::testing::reloaded(&wallet);
        for wallet in [&wallet, &twin] {
            let page = wallet.0.history.page(None, None, 5_000, wallet.0.balance);
            assert_eq!((page.entries.len(), page.older, page.more), (count.min(1_000), count > 1_000, false));
            assert_eq!(page.entries[0].balance, count as u64);
            assert_eq!(page.entries.last().unwrap().version as usize, 2 + count.saturating_sub(1_000));
        }
    }
}

/// A million wallets with a few movements each: the figure memory_million rests on it.
#[test]
fn a_movement_takes_few_bytes() {
    assert!(size_of::<WalletState>() <= 128, "{} bytes", size_of::<WalletState>());
    let mut story = Story::<Wallet>::new(USER.0);
    story.step(T, &open());
    let empty = postcard::to_stdvec(&story.state.0.history).unwrap().len();
    let (first, second) = (spend(1, 150_000, T + 60), spend(2, 110_000, T + 60));
    let four = [row(charge_within(u64::MAX, 500_000, 1)), row(first), row(refund(1)), row(second)];
    for command in &four {
        command.run(&mut story, 1_795_255_200_000).ok();
        command.run(&mut story, T).ok();
    }
    let bytes = postcard::to_stdvec(&story.state.0.history).unwrap().len() - empty;
    assert!(bytes <= 4 * 32 + 17, "{bytes} bytes");
}
