//! Incremental = made anew = SQLite = PostgreSQL, row by row.

use super::places::{Dripping, Home, LOG_ID, built_in, rows};
use base::id::Category;
use eventlog::memory::MemoryLog;
use eventlog::store::{Options, Store};
use eventlog::{Batch, Log, Position, Recorded};
use lab::benchmark::generate::{self, LogSize};
use lab::simulate::world;
use readmodels::checkpoints;
use readmodels::live::Projector;
use readmodels::rebuild::{self, Done, Filling, PoisonPolicy};
use readmodels::source::{Ahead, Local};
use readmodels::state::Progress;
use readmodels::{Row, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use uuid::Uuid;

const EVENTS: u64 = 200_000;
/// From the simulator: changed terms and charts, blocked places, cancelled performances, clocks that are set back.
const SIMULATED: u64 = 40_000;
const STEPS: u32 = 1_500;

/// Appends an event of one of several logs that become one.
fn copy(log: &MemoryLog, event: Recorded<'_>, run: u128) {
    let (mut batch, mut stream) = (Batch::new(), event.stream);
    // The simulator's users are the same ones in every run.
    if stream.category == Category::Wallet {
        stream.key = Uuid::from_u128(stream.key.as_u128() ^ run);
    }
    batch.push(stream, event.version, event.at_ms, event.name, |out| out.extend(event.data));
    log.append(batch, None).unwrap();
}

/// Runs of the simulator one behind the other, until there are so many events.
pub fn simulated(events: u64) -> Arc<MemoryLog> {
    let log = Arc::new(MemoryLog::auto());
    let mut seed = 1;
    while log.appended().0 < events {
        world::events(seed, STEPS, &mut |event| copy(&log, event, u128::from(seed) << 96)).unwrap();
        seed += 1;
    }
    log.commit();
    log
}

/// Something new.
pub fn one_more_concert(log: &MemoryLog) {
    let number = u128::from(log.durable().0);
    super::places::append(log, &[("ConcertCreated.v1", number, &super::places::concert("One more"))]);
}

/// Concerts, some of which get other names.
fn concerts(log: &MemoryLog) {
    for key in 1..=200 {
        super::places::append(log, &[("ConcertCreated.v1", key, &super::places::concert(&format!("Concert {key}")))]);
        if key % 3 == 0 {
            let changed = super::places::concert(&format!("Another {key}"));
            super::places::append(log, &[("ConcertChanged.v1", key, &changed)]);
        }
    }
}

/// 200,000 events: simulated ones, then a long sale.
fn log() -> Arc<MemoryLog> {
    let log = simulated(SIMULATED);
    concerts(&log);
    let folder = tempfile::tempdir().unwrap();
    let events = EVENTS - log.appended().0;
    let wanted = LogSize { wallets: 5_000, performances: 20, events, snapshot_before: None };
    generate::generate(folder.path(), &wanted).unwrap();
    let (store, _) = Store::open(&folder.path().join("log"), Options::default()).unwrap();
    store
        .read_from(Position(0), &mut |event| {
            copy(&log, event, 0);
            true
        })
        .unwrap();
    store.close().unwrap();
    log.commit();
    assert!(log.durable().0 >= EVENTS);
    log
}

fn incremental(home: &Home, log: &Arc<MemoryLog>) {
    let done = Arc::new(AtomicBool::new(false));
    let source = Box::new(Dripping::new(log.clone(), done.clone()));
    let progress = Arc::new(Progress::default());
    let mut projector = Projector {
        place: home.place.clone(),
        source,
        projections: built_in(),
        progress: progress.clone(),
        standby: false,
    };
    projector.run(&done).unwrap();
    assert_eq!((progress.position(), progress.trouble()), (log.durable(), vec![]));
}

pub fn anew(home: &Home, log: &Arc<MemoryLog>) {
    assert_eq!(fill(home, log, true, u64::MAX), Done::Swapped { events: log.durable().0 });
}

/// Is told to stop half-way, and goes on.
fn anew_in_two_goes(home: &Home, log: &Arc<MemoryLog>) {
    let end = log.durable().0;
    let stopped = fill(home, log, true, end / 2);
    assert!(matches!(stopped, Done::Stopped { at } if at < end), "{stopped:?}");
    let Done::Swapped { events } = fill(home, log, false, u64::MAX) else { panic!("it was not told to stop") };
    assert!((1..end).contains(&events), "{events} of {end} were left");
}

/// Fills new tables, until one of them has got to `stop_at`.
fn fill(home: &Home, log: &Arc<MemoryLog>, afresh: bool, stop_at: u64) -> Done {
    let mut store = home.place.open_to_fill().unwrap();
    checkpoints::open(&mut *store, LOG_ID).unwrap();
    let ahead = || {
        let of = log.clone();
        Ahead::new(move || Ok(Box::new(Local::new(of.clone(), LOG_ID)))).unwrap()
    };
    let mut source = ahead();
    let mut filling = Filling::begin(&mut *store, &built_in(), PoisonPolicy::Fail, afresh).unwrap();
    filling.help(&home.place, &|| Ok(Box::new(ahead()))).unwrap();
    let told = AtomicBool::new(false);
    let mut progress = |at: u64, _: u64| told.store(at >= stop_at, Ordering::Relaxed);
    rebuild::fill(&mut filling, &mut *store, &mut source, &told, &mut progress).unwrap()
}

#[track_caller]
pub fn assert_same(one: &BTreeMap<String, Vec<Row>>, other: &BTreeMap<String, Vec<Row>>, names: &str) {
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>(), "{names}");
    for (table, rows) in one {
        let others = &other[table];
        let differs = rows.iter().zip(others).find(|(one, other)| one != other);
        assert!(differs.is_none(), "{names}: {table}: {differs:?}");
        assert_eq!(rows.len(), others.len(), "{names}: {table}");
    }
}

#[test]
fn the_same_rows_however_they_came_about() {
    let log = log();
    let [lite, postgres] = Home::both();
    let (of, thread) = (
        log.clone(),
        std::thread::spawn({
            let log = log.clone();
            move || {
                incremental(&postgres, &log);
                let first = rows(&postgres);
                anew_in_two_goes(&postgres, &log);
                (first, rows(&postgres))
            }
        }),
    );
    incremental(&lite, &of);
    let first = rows(&lite);
    anew_in_two_goes(&lite, &of);
    let second = rows(&lite);
    let (third, fourth) = thread.join().unwrap();
    assert_same(&first, &second, "SQLite: incremental, made anew");
    assert_same(&first, &third, "SQLite, PostgreSQL");
    assert_same(&first, &fourth, "SQLite, PostgreSQL made anew");
    the_books(&log, &first);
    for (table, rows) in &first {
        assert!(!rows.is_empty(), "{table} is empty");
    }
}

/// What the checker of `onsale verify` says of the log, and the tables.
fn the_books(log: &Arc<MemoryLog>, rows: &BTreeMap<String, Vec<Row>>) {
    let wrong = verifier::read_models::compare(
        &mut |each| log.read_from(Position(0), each),
        &mut |table| Ok(rows[table].clone()),
        log.durable(),
    );
    assert_eq!(wrong.unwrap(), Vec::<String>::new());
    // And it would notice.
    let mut altered = rows.clone();
    for row in altered.get_mut("wallets").unwrap().iter_mut().take(1) {
        row[1] = Value::Int(-1);
    }
    let wrong = verifier::read_models::compare(
        &mut |each| log.read_from(Position(0), each),
        &mut |table| Ok(altered[table].clone()),
        log.durable(),
    );
    assert_eq!(wrong.unwrap().len(), 1);
}
