//! The sums against a plain fold over the same events, from the start, from a copy, and from copies that are of no use.

use super::file::Copy;
use super::sums::{Account, Figures, Span, Statement, Sums, day_of};
use super::*;
use base::id::{AccountId, Category, OrganizerId, PerformanceId, ReservationId, StreamId};
use domain::wallet::{self, ChargedBy, PointsAdjusted, PointsCharged, PointsRefunded, PointsSpent, WalletOpened};
use domain::{EventData, Fingerprint, IdempotencyRecord};
use eventlog::Batch;
use eventlog::memory::MemoryLog;
use proptest::prelude::*;
use serde_json::Value;
use uuid::Uuid;

const DAY_MS: u64 = 86_400_000;
/// 2026-11-21
const TODAY: u64 = 20_778;

fn organizer(nth: u64) -> OrganizerId {
    OrganizerId(Uuid::from_u128(0x100 + nth as u128))
}

/// Performance `nth` is sold by organizer `nth`.
fn performance(nth: u64) -> PerformanceId {
    PerformanceId::from_random(nth + 1)
}

fn push(batch: &mut Batch, versions: &mut [u64], user: usize, at_ms: u64, event: &wallet::Event) {
    versions[user] += 1;
    let stream = StreamId { category: Category::Wallet, key: Uuid::from_u128(user as u128) };
    batch.push(stream, versions[user], at_ms, event.name(), |out| event.encode(out));
}

#[derive(Clone, Debug)]
struct Act {
    user: usize,
    /// From midnight, ms: mostly next to it.
    at: i64,
    day: u64,
    kind: u8,
    organizer: u64,
    /// Whether the event says whose account it is; an old one does not.
    told: bool,
    points: u64,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let at = prop_oneof![Just(0i64), Just(-1), Just(1), 0..DAY_MS as i64];
    let act = (0..4usize, at, 0..5u64, 0..5u8, 0..3u64, any::<bool>(), 0..1_000u64).prop_map(
        |(user, at, day, kind, organizer, told, points)| Act { user, at, day, kind, organizer, told, points },
    );
    prop::collection::vec(act, 0..120)
}

/// A log of these acts. The balances are of no interest here.
fn log_of(acts: &[Act]) -> MemoryLog {
    let log = MemoryLog::auto();
    let mut batch = Batch::new();
    for nth in 0..3 {
        let stream = StreamId { category: Category::Performance, key: performance(nth).0 };
        let created = format!("{{\"concert_id\":7,\"organizer_id\":\"{}\",\"chart\":[]}}", organizer(nth));
        batch.push(stream, 1, 1, "PerformanceCreated.v1", |out| out.extend_from_slice(created.as_bytes()));
    }
    let mut versions = [0; 4];
    for user in 0..4 {
        let opened = wallet::Event::WalletOpened(WalletOpened { account_id: AccountId(Uuid::nil()) });
        push(&mut batch, &mut versions, user, TODAY * DAY_MS, &opened);
    }
    for (nth, act) in acts.iter().enumerate() {
        let at_ms = ((TODAY + act.day) * DAY_MS).saturating_add_signed(act.at);
        let Act { points, organizer: seller, .. } = *act;
        let organizer_id = act.told.then_some(organizer(seller));
        let repeat = IdempotencyRecord { key: Fingerprint(nth as u128), content: Fingerprint(0) };
        let (id, balance) = (Uuid::from_u128(nth as u128), 0);
        let performance_id = performance(seller);
        let reservation_id = ReservationId::from_random(performance_id, nth as u64);
        let event = match act.kind {
            0 => wallet::Event::PointsCharged(PointsCharged {
                charge_id: id,
                points,
                balance,
                reference: None,
                charged_by: organizer_id.map(|_| ChargedBy::Organizer),
                organizer_id,
                repeat,
            }),
            1 => wallet::Event::PointsSpent(PointsSpent {
                reservation_id,
                performance_id,
                organizer_id,
                points,
                balance,
            }),
            2 => wallet::Event::PointsRefunded(PointsRefunded {
                reservation_id,
                performance_id,
                organizer_id,
                points,
                balance,
                reason: None,
            }),
            kind => wallet::Event::PointsAdjusted(PointsAdjusted {
                adjustment_id: id,
                points: if kind == 3 { points as i64 } else { -(points as i64) },
                balance,
                reason: "goodwill".into(),
                organizer_id,
                repeat,
            }),
        };
        push(&mut batch, &mut versions, act.user, at_ms, &event);
    }
    log.append(batch, None).unwrap();
    log
}

/// Over the log's text, line by line: `account`'s figures of the days `from..=to`, and the net sum until then.
fn folded(log: &MemoryLog, account: Account, span: Span) -> (Figures, i128) {
    let mut figures = Figures::default();
    let mut outstanding = 0;
    log.read_from(Position(0), &mut |event| {
        let data: Value = serde_json::from_slice(event.data).unwrap();
        let told = data["organizer_id"].as_str().map(|id| id.parse().unwrap());
        let sold = (0..3).find(|nth| data["performance_id"] == performance(*nth).to_string()).map(organizer);
        let of = match account {
            Account::All => true,
            Account::Nobody => told.or(sold).is_none(),
            Account::Organizer(id) => told.or(sold) == Some(id),
        };
        let day = (event.at_ms / DAY_MS) as u32;
        if !of || day > span.to || event.stream.category != Category::Wallet {
            return true;
        }
        let points = data["points"].as_i64().unwrap_or(0) as i128;
        let mut moved = Figures::default();
        let kind = event.name.split('.').next().unwrap();
        let net = match kind {
            "PointsCharged" => {
                (moved.charged, moved.charges) = (points as u64, 1);
                points
            }
            "PointsSpent" => {
                (moved.spent, moved.payments) = (points as u64, 1);
                -points
            }
            "PointsRefunded" => {
                (moved.refunded, moved.refunds) = (points as u64, 1);
                points
            }
            "PointsAdjusted" => {
                (moved.adjusted, moved.adjustments) = (points, 1);
                points
            }
            _ => 0,
        };
        outstanding += net;
        if day >= span.from {
            figures.add(&moved);
        }
        true
    })
    .unwrap();
    (figures, outstanding)
}

fn summed(log: &dyn Log, mut sums: Sums, to: u64) -> Sums {
    log.read_from(sums.position, &mut |event| {
        if event.position.0 <= to {
            sums.apply(&event).unwrap();
        }
        event.position.0 < to
    })
    .unwrap();
    sums
}

fn check(log: &MemoryLog, sums: &Sums) {
    let today = TODAY as u32;
    let spans = [(today, today), (today - 1, today + 9), (today + 1, today + 2), (0, 3), (today + 2, today + 2)];
    let accounts = [Account::All, Account::Nobody, Account::Organizer(organizer(0)), Account::Organizer(organizer(9))];
    for span in spans.map(|(from, to)| Span { from, to }) {
        let mut parts = 0;
        for account in accounts.into_iter().chain([1, 2].map(|nth| Account::Organizer(organizer(nth)))) {
            let Statement { position, days, totals, outstanding } = sums.statement(account, span);
            assert_eq!((totals, outstanding), folded(log, account, span), "{account:?} {span:?}");
            assert_eq!(position, log.durable());
            assert_eq!(days.len() as u32, span.to - span.from + 1);
            for (day, figures, outstanding) in days {
                let one = folded(log, account, Span { from: day, to: day });
                assert_eq!((figures, outstanding), one, "{account:?} day {day}");
            }
            parts += if account == Account::All { -outstanding } else { outstanding };
        }
        assert_eq!(parts, 0, "the accounts together are all");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn the_sums_are_those_of_the_log(acts in acts(), cut in 0..100u64) {
        let log = log_of(&acts);
        let end = log.durable().0;
        let whole = summed(&log, Sums::default(), end);
        check(&log, &whole);
        // From a copy that was written on the way.
        let folder = tempfile::tempdir().unwrap();
        let copy = Copy { path: folder.path().join("ledger"), log_id: Uuid::from_u128(1) };
        let part = summed(&log, Sums::default(), 1 + cut * (end - 1) / 100);
        copy.write(&part, &log);
        let read = copy.read(&log).unwrap();
        prop_assert_eq!(&read, &part);
        prop_assert_eq!(summed(&log, read, end), whole);
    }
}

#[test]
fn a_copy_that_is_of_no_use_is_not_used() {
    let act = Act { user: 0, at: 0, day: 0, kind: 0, organizer: 0, told: true, points: 5 };
    let log = log_of(&[act.clone(), act.clone()]);
    let sums = summed(&log, Sums::default(), log.durable().0);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger");
    let copy = Copy { path: path.clone(), log_id: Uuid::from_u128(1) };
    assert_eq!(copy.read(&log), None, "there is none");
    copy.write(&sums, &log);
    assert_eq!(copy.read(&log).as_ref(), Some(&sums));
    // Of another log, of a log that was put back to an earlier state, and of one that went on otherwise from there.
    assert_eq!(Copy { path: path.clone(), log_id: Uuid::from_u128(2) }.read(&log), None);
    assert_eq!(copy.read(&log_of(std::slice::from_ref(&act))), None);
    assert_eq!(copy.read(&log_of(&[act.clone(), Act { points: 6, ..act.clone() }, act])), None);
    let bytes = std::fs::read(&path).unwrap();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        std::fs::write(&path, damaged).unwrap();
        assert_eq!(copy.read(&log), None, "byte {at} is damaged");
        std::fs::write(&path, &bytes[..at]).unwrap();
        assert_eq!(copy.read(&log), None, "cut after {at} bytes");
    }
}

#[test]
fn an_instant_has_its_day_in_utc() {
    let table = [(0, 0), (DAY_MS - 1, 0), (DAY_MS, 1), (TODAY * DAY_MS, TODAY as u32), (u64::MAX, u32::MAX)];
    for (at_ms, day) in table {
        assert_eq!(day_of(at_ms), day, "{at_ms}");
    }
}

/// Whoever asks gets everything that was durable at that moment; and again after a stop, from the copy.
#[tokio::test]
async fn an_answer_has_everything_that_is_durable() {
    let acts: Vec<Act> = (0..200)
        .map(|nth| Act { user: nth % 4, at: 0, day: 0, kind: (nth % 5) as u8, organizer: 1, told: false, points: 7 })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let log: Arc<dyn Log> = Arc::new(log_of(&acts));
    let span = Span { from: TODAY as u32, to: TODAY as u32 };
    let mut last = None;
    for _ in 0..2 {
        let (ledger, thread) = start(log.clone(), Uuid::from_u128(1), folder.path().join("ledger")).unwrap();
        let answer = loop {
            match ledger.statement(Account::All, span).await {
                Ok(answer) => break answer,
                Err(Unavailable::Behind { .. }) => tokio::task::yield_now().await,
                Err(other) => panic!("{other}"),
            }
        };
        assert_eq!(answer.position, log.durable());
        assert_eq!(*last.get_or_insert(answer.clone()), answer);
        // One more event, and it is in the next answer.
        let mut batch = Batch::new();
        let stream = StreamId { category: Category::Concert, key: Uuid::from_u128(3) };
        batch.push(stream, 1, 1, "ConcertCreated.v1", |out| out.extend_from_slice(b"{}"));
        log.append(batch, None).unwrap();
        let answer = ledger.statement(Account::All, span).await.unwrap();
        assert_eq!(answer.position, log.durable());
        last = Some(answer);
        thread.stop();
        assert!(folder.path().join("ledger").exists());
    }
}
