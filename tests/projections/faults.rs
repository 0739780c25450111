//! What goes wrong: two at a time, poison, tables that are gone, work half done, disks that are full.

use super::places::{Home, LOG_ID, append, built_in, concert, file, log_of, one, project, rows, until};
use eventlog::Log;
use eventlog::memory::MemoryLog;
use readmodels::checkpoints::{self, State};
use readmodels::live::Projector;
use readmodels::rebuild::{Done, Filling, PoisonPolicy, fill};
use readmodels::source::Local;
use readmodels::state::Progress;
use readmodels::store::sqlite::Sqlite;
use readmodels::store::{Lock, Place, Store};
use readmodels::{Error, Kind, text};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

fn rebuild(home: &Home, log: &Arc<MemoryLog>, names: &[&str]) -> anyhow::Result<Done> {
    let mut store = home.open();
    let projections: Vec<_> = built_in().into_iter().filter(|known| names.contains(&known.name.as_str())).collect();
    let mut filling = Filling::begin(&mut *store, &projections, PoisonPolicy::Fail, true)?;
    let mut source = Local::new(log.clone(), LOG_ID);
    fill(&mut filling, &mut *store, &mut source, &AtomicBool::new(false), &mut |_, _| {})
}

/// A projector that ends when another one is there.
fn alone(home: &Home, log: &Arc<MemoryLog>) -> Result<(), Error> {
    let mut projector = Projector {
        place: home.place.clone(),
        source: Box::new(Local::new(log.clone(), LOG_ID)),
        projections: built_in(),
        progress: Arc::new(Progress::default()),
        standby: false,
    };
    projector.run(&AtomicBool::new(false))
}

#[test]
fn the_second_projector_says_so_and_stops() {
    for home in Home::both() {
        let log = log_of(&[("ConcertCreated.v1", 1, &concert("One"))]);
        project(&home, &log, built_in());
        let mut first = home.open();
        assert!(first.lock(Lock::Live).unwrap());
        let error = alone(&home, &log).unwrap_err();
        assert_eq!(error.kind, Kind::Taken);
        assert!(error.what.starts_with("another projector runs on"), "{error}");
        // A transaction that takes over the first one's work anyway: the checkpoint tells.
        let at = checkpoints::position(&mut *first).unwrap();
        let generation = checkpoints::read(&mut *first).unwrap().generation;
        assert!(checkpoints::advance(&mut *first, generation, at, at).unwrap());
        assert!(!checkpoints::advance(&mut *first, generation, eventlog::Position(at.0 + 1), at).unwrap());
        // Nor when other tables are live than it knows of.
        assert!(!checkpoints::advance(&mut *first, generation - 1, at, at).unwrap());
    }
}

/// Titles of at most ten characters.
const SHORT: &str = "CREATE TABLE titles (concert_id TEXT PRIMARY KEY, title TEXT NOT NULL CHECK (length(title) <= 10));
INSERT INTO titles (concert_id, title) SELECT substr(stream_id, 9), data->>'title' FROM events WHERE type = 'ConcertCreated.v1';
";

#[test]
fn a_poisoned_event_is_parked_and_retried() {
    for home in Home::both() {
        let log = log_of(&[("ConcertCreated.v1", 1, &concert("Short"))]);
        let projections = || [built_in(), vec![file("titles", SHORT)]].concat();
        project(&home, &log, projections());
        // Three that fit around one that does not: all others are there, and the other projections have all.
        for (key, title) in [(2, "A"), (3, "B"), (4, "much too long a title"), (5, "C")] {
            append(&log, &[("ConcertCreated.v1", key, &concert(title))]);
        }
        let progress = project(&home, &log, projections());
        assert_eq!(one(&home, "SELECT CAST(count(*) AS BIGINT) FROM titles"), "4");
        assert_eq!(one(&home, "SELECT CAST(count(*) AS BIGINT) FROM concerts"), "5");
        let parked = checkpoints::parked(&mut *home.open()).unwrap();
        assert_eq!(parked.len(), 1);
        assert_eq!((parked[0].projection.as_str(), parked[0].position.0), ("titles", 4));
        assert!(parked[0].reason.starts_with("titles.sql of build 1:2:1: "), "{}", parked[0].reason);
        let trouble = progress.trouble();
        assert!(trouble.iter().any(|trouble| trouble.what.contains("the event at 4 is parked")), "{trouble:?}");

        // As the rules are, making it anew fails, says where, and leaves what is there.
        let mut store = home.open();
        let mut filling = Filling::begin(&mut *store, &[file("titles", SHORT)], PoisonPolicy::Fail, true).unwrap();
        let mut source = Local::new(log.clone(), LOG_ID);
        let failed = filling.progress(&mut *store, &mut source).and_then(|_| {
            let (events, to) = readmodels::source::Source::read(&mut source, Default::default(), log.durable(), 99)?;
            filling.apply(&mut *store, Default::default(), to, &events)
        });
        let failed = failed.unwrap_err().what;
        assert!(failed.starts_with("titles cannot apply the event at position 4, ConcertCreated.v1: "), "{failed}");
        assert_eq!(one(&home, "SELECT CAST(count(*) AS BIGINT) FROM titles"), "4");
        drop(store);

        // A new version of the file takes it: made beside the live one, with nothing parked any more.
        let long = format!("-- version: 2\n{}", SHORT.replace("<= 10", "<= 100"));
        let is_new = |_: &Progress| {
            let books = checkpoints::read(&mut *home.open()).unwrap();
            books.live("titles").is_some_and(|live| live.projection.version == 2)
        };
        until(&home, &log, [built_in(), vec![file("titles", &long)]].concat(), is_new);
        assert_eq!(one(&home, "SELECT CAST(count(*) AS BIGINT) FROM titles"), "5");
        let live = checkpoints::read(&mut *home.open()).unwrap().live("titles").unwrap().number;
        assert!(checkpoints::parked(&mut *home.open()).unwrap().iter().all(|parked| parked.build != live));

        // The old file on the new tables goes on with theirs, and says so.
        append(&log, &[("ConcertCreated.v1", 6, &concert("another title that is long"))]);
        let progress = project(&home, &log, projections());
        assert_eq!(one(&home, "SELECT CAST(count(*) AS BIGINT) FROM titles"), "6");
        let trouble = progress.trouble();
        assert!(
            trouble.iter().any(|trouble| trouble.what.contains("version 2, this onsale has version 1")),
            "{trouble:?}"
        );
    }
}

#[test]
fn tables_that_were_dropped_are_made_anew() {
    for home in Home::both() {
        let log = log_of(&[("ConcertCreated.v1", 1, &concert("One")), ("ConcertCreated.v1", 2, &concert("Two"))]);
        project(&home, &log, built_in());
        let before = rows(&home);
        let build = checkpoints::read(&mut *home.open()).unwrap().live("concerts").unwrap().number;
        let drop = match &home.place {
            Place::Sqlite(_) => format!("DROP VIEW concerts; DROP TABLE concerts__{build}"),
            Place::Postgres(_) => format!("DROP TABLE concerts__{build} CASCADE"),
        };
        home.open().run(&drop).unwrap();
        let is_back = |_: &Progress| home.open().query("SELECT * FROM concerts", &[]).is_ok_and(|rows| rows.len() == 2);
        until(&home, &log, built_in(), is_back);
        assert_eq!(rows(&home), before);
    }
}

#[test]
fn what_was_begun_is_gone_on_with_and_what_is_half_done_is_begun_again() {
    for home in Home::both() {
        let events: Vec<String> = (0..50).map(|number| concert(&format!("Concert {number}"))).collect();
        let events: Vec<_> =
            events.iter().zip(1..).map(|(data, key)| ("ConcertCreated.v1", key, data.as_str())).collect();
        let log = log_of(&events);
        project(&home, &log, built_in());
        let before = rows(&home);
        let concerts: Vec<_> = built_in().into_iter().filter(|known| known.name == "concerts").collect();
        let mut store = home.open();
        // Tables that a crash left, of which nothing is noted, are in nobody's way.
        store.run("CREATE TABLE concerts__2 (x BIGINT)").unwrap();
        let begin = |store: &mut dyn Store| Filling::begin(store, &concerts, PoisonPolicy::Fail, false).unwrap();
        let mut filling = begin(&mut *store);
        let mut source = Local::new(log.clone(), LOG_ID);
        let (first, at) = readmodels::source::Source::read(&mut source, Default::default(), log.durable(), 20).unwrap();
        filling.apply(&mut *store, Default::default(), at, &first).unwrap();
        // The process is gone here, and the readers saw nothing of it.
        drop((filling, store));
        assert_eq!(rows(&home), before);
        let mut store = home.open();
        let mut filling = begin(&mut *store);
        assert_eq!(filling.ready[0].build.position, at);
        let done = fill(&mut filling, &mut *store, &mut source, &AtomicBool::new(true), &mut |_, _| {}).unwrap();
        assert_eq!(done, Done::Stopped { at: at.0 });
        let done = fill(&mut filling, &mut *store, &mut source, &AtomicBool::new(false), &mut |_, _| {}).unwrap();
        assert_eq!(done, Done::Swapped { events: 30 });
        drop(store);
        assert_eq!(rows(&home), before);

        // Back to what was live before, and forth, while events go on.
        append(&log, &[("ConcertCreated.v1", 99, &concert("Later"))]);
        project(&home, &log, built_in());
        let mut store = home.open();
        let books = checkpoints::read(&mut *store).unwrap();
        let (live, previous) =
            (books.live("concerts").unwrap().number, books.newest("concerts", State::Previous).unwrap());
        let mut filling = Filling::again(vec![previous.clone()]);
        fill(&mut filling, &mut *store, &mut source, &AtomicBool::new(false), &mut |_, _| {}).unwrap();
        let after = checkpoints::read(&mut *store).unwrap();
        assert_eq!(after.live("concerts").unwrap().number, previous.number);
        assert_eq!(after.newest("concerts", State::Previous).unwrap().number, live);
        drop(store);
        assert_eq!(one(&home, "SELECT CAST(count(*) AS BIGINT) FROM concerts"), "51");
        project(&home, &log, built_in());
    }
}

#[test]
fn a_full_disk_costs_nothing_but_time() {
    let home = Home::sqlite();
    let Place::Sqlite(path) = &home.place else { unreachable!() };
    let events: Vec<String> = (0..400).map(|number| concert(&format!("Concert number {number} of many"))).collect();
    let events: Vec<_> = events.iter().zip(1..).map(|(data, key)| ("ConcertCreated.v1", key, data.as_str())).collect();
    let log = log_of(&events);
    let mut store = Sqlite::open(path).unwrap();
    checkpoints::open(&mut store, LOG_ID).unwrap();
    let mut filling = Filling::begin(&mut store, &built_in(), PoisonPolicy::Park, false).unwrap();
    store.limit_pages(60).unwrap();
    let mut source = Local::new(log.clone(), LOG_ID);
    let never = AtomicBool::new(false);
    let (batch, to) = readmodels::source::Source::read(&mut source, Default::default(), log.durable(), 400).unwrap();
    let error = filling.apply(&mut store, Default::default(), to, &batch).unwrap_err();
    assert_eq!((error.kind, error.what.as_str()), (Kind::Away, "database or disk is full"));
    assert!(filling.ready.iter().all(|ready| ready.build.position.0 == 0));
    store.limit_pages(1 << 20).unwrap();
    filling.apply(&mut store, Default::default(), to, &batch).unwrap();
    fill(&mut filling, &mut store, &mut source, &never, &mut |_, _| {}).unwrap();
    assert_eq!(one(&home, "SELECT count(*) FROM concerts"), "400");
    assert!(checkpoints::parked(&mut store).unwrap().is_empty());
}

#[test]
fn another_log_and_a_newer_layout_are_refused() {
    for home in Home::both() {
        let log = log_of(&[("ConcertCreated.v1", 1, &concert("One")), ("ConcertCreated.v1", 2, &concert("Two"))]);
        project(&home, &log, built_in());
        let mut store = home.open();
        let error = checkpoints::open(&mut *store, uuid::Uuid::from_u128(5)).unwrap_err();
        assert!(error.what.starts_with("the read model is of the log"), "{error}");
        // A log that was put back from a copy is shorter.
        let shorter = log_of(&[("ConcertCreated.v1", 1, &concert("One"))]);
        let error = alone(&home, &shorter).unwrap_err();
        assert!(error.what.contains("is at position 2, the log ends at 1"), "{error}");
        store.run("UPDATE onsale_read_model SET layout = 99").unwrap();
        let error = alone(&home, &log).unwrap_err();
        assert_eq!(error.kind, Kind::Refused);
        assert!(error.what.starts_with("the read model has layout 99, this onsale knows up to 1"), "{error}");
        let noted = store.query("SELECT state FROM onsale_builds WHERE projection = 'concerts'", &[]).unwrap();
        assert_eq!(text(&noted[0], 0), "live");
    }
}

#[test]
fn readers_see_whole_tables_while_they_are_made_anew() {
    for home in Home::both() {
        let log = log_of(&[("ConcertCreated.v1", 1, &concert("One")), ("ConcertCreated.v1", 2, &concert("Two"))]);
        project(&home, &log, built_in());
        let done = Arc::new(AtomicBool::new(false));
        let reading = {
            let (place, done) = (home.place.clone(), done.clone());
            std::thread::spawn(move || {
                let mut store = place.open().unwrap();
                let mut reads = 0;
                while !done.load(std::sync::atomic::Ordering::Acquire) {
                    let rows = store.query("SELECT concert_id, title FROM concerts", &[]).unwrap();
                    assert_eq!(rows.len(), 2);
                    reads += 1;
                }
                reads
            })
        };
        for _ in 0..5 {
            rebuild(&home, &log, &["concerts", "wallets"]).unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Release);
        assert!(reading.join().unwrap() > 0);
    }
}
