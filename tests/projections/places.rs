//! Databases to work in, logs to read, and projectors that run for a while.

use base::id::{Category, StreamId};
use eventlog::memory::MemoryLog;
use eventlog::{Batch, Log, Position};
use readmodels::event::Event;
use readmodels::live::Projector;
use readmodels::projection::{self, Projection};
use readmodels::source::{Local, Source};
use readmodels::state::Progress;
use readmodels::store::{Place, Postgres, Store};
use readmodels::{Error, Row, checkpoints, text};
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use uuid::Uuid;

pub const LOG_ID: Uuid = Uuid::from_u128(0x10c);

/// Where PostgreSQL is.
pub static URL: LazyLock<String> = LazyLock::new(|| service("postgres", "ONSALE_TEST_POSTGRES"));

/// Where a server is: told by the environment, otherwise it is started.
pub fn service(name: &str, variable: &str) -> String {
    if let Ok(address) = std::env::var(variable) {
        return address;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/services");
    let ran = Command::new(script).args(["up", name]).output().expect("scripts/services runs");
    let printed = String::from_utf8_lossy(&ran.stdout).into_owned();
    let words = printed.split_ascii_whitespace();
    let address = words.filter_map(|word| word.split_once('=')).find(|(key, _)| *key == variable);
    let (_, address) = address.unwrap_or_else(|| panic!("{printed}{}", String::from_utf8_lossy(&ran.stderr)));
    address.to_owned()
}

/// A database for one test, gone afterwards.
pub struct Home {
    pub place: Place,
    _folder: tempfile::TempDir,
}

impl Home {
    pub fn sqlite() -> Home {
        let folder = tempfile::tempdir().unwrap();
        Home { place: Place::Sqlite(folder.path().join("read.sqlite")), _folder: folder }
    }

    pub fn postgres() -> Home {
        let schema = format!("test_{}", Uuid::new_v4().simple());
        let place = Place::Postgres(Postgres { url: URL.clone(), schema, ca: None, connections_max: 4 });
        Home { place, _folder: tempfile::tempdir().unwrap() }
    }

    /// One that is there.
    pub fn at(place: Place) -> Home {
        Home { place, _folder: tempfile::tempdir().unwrap() }
    }

    pub fn both() -> [Home; 2] {
        [Home::sqlite(), Home::postgres()]
    }

    pub fn open(&self) -> Box<dyn Store> {
        self.place.open().unwrap()
    }

    /// Flags of `onsale` that mean it.
    pub fn flags(&self) -> Vec<String> {
        match &self.place {
            Place::Sqlite(path) => vec!["--sqlite".into(), path.display().to_string()],
            Place::Postgres(postgres) => {
                vec!["--postgres".into(), postgres.url.clone(), "--postgres-schema".into(), postgres.schema.clone()]
            }
        }
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Place::Postgres(Postgres { schema, .. }) = &self.place
            && let Ok(mut store) = self.place.open()
        {
            let _ = store.run(&format!("DROP SCHEMA {schema} CASCADE"));
        }
    }
}

pub fn built_in() -> Vec<Projection> {
    projection::load(None).unwrap()
}

/// A log of events of our own making: type and data, each of a stream of its own unless it says which.
pub fn log_of(events: &[(&str, u128, &str)]) -> Arc<MemoryLog> {
    let log = Arc::new(MemoryLog::auto());
    append(&log, events);
    log
}

pub fn append(log: &MemoryLog, events: &[(&str, u128, &str)]) {
    for (kind, key, data) in events {
        let category = match *kind {
            kind if kind.starts_with("Concert") => Category::Concert,
            kind if kind.starts_with("Points") || kind.starts_with("Wallet") => Category::Wallet,
            _ => Category::Performance,
        };
        let mut batch = Batch::new();
        let stream = StreamId { category, key: Uuid::from_u128(*key) };
        batch.push(stream, log.appended().0 + 1, 1_750_000_000_000, kind, |out| out.extend(data.as_bytes()));
        log.append(batch, None).unwrap();
    }
    log.commit();
}

pub fn concert(title: &str) -> String {
    format!(r#"{{"organizer_id":"{}","title":"{title}","artist":"Ada","venue":"Hall"}}"#, Uuid::nil())
}

/// Gives the log in pieces of all sizes, and says when everything was taken.
pub struct Dripping {
    source: Local,
    shown: u64,
    random: u64,
    last: u64,
    done: Arc<AtomicBool>,
}

impl Dripping {
    pub fn new(log: Arc<dyn Log>, done: Arc<AtomicBool>) -> Dripping {
        let last = log.durable().0;
        Dripping { source: Local::new(log, LOG_ID), shown: 0, random: 7, last, done }
    }
}

impl Source for Dripping {
    fn log_id(&self) -> Uuid {
        LOG_ID
    }

    fn end(&mut self) -> Result<Position, Error> {
        Ok(Position(self.shown))
    }

    fn read(&mut self, after: Position, to: Position, max: usize) -> Result<(Vec<Event>, Position), Error> {
        self.source.read(after, to, max)
    }

    fn wait(&mut self, after: Position, _: Duration) -> Result<(), Error> {
        if after.0 == self.last {
            self.done.store(true, Ordering::Release);
        }
        self.random = self.random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        // Mostly a few, now and then thousands.
        let step = if self.random >> 62 == 0 { 1 + (self.random >> 33) % 20 } else { 1 + (self.random >> 33) % 3_000 };
        self.shown = (self.shown + step).min(self.last);
        Ok(())
    }
}

/// Runs a projector on a log until it has everything.
pub fn project(home: &Home, log: &Arc<MemoryLog>, projections: Vec<Projection>) -> Arc<Progress> {
    let end = log.durable();
    until(home, log, projections, |progress| progress.position() == end)
}

/// Runs a projector on a log until what it tells is as wanted; at most a minute.
pub fn until(
    home: &Home,
    log: &Arc<MemoryLog>,
    projections: Vec<Projection>,
    wanted: impl Fn(&Progress) -> bool,
) -> Arc<Progress> {
    let progress = Arc::new(Progress::default());
    let source = Box::new(Local::new(log.clone(), LOG_ID));
    let projector =
        Projector { place: home.place.clone(), source, projections, progress: progress.clone(), standby: false };
    let handle = readmodels::live::start(projector).unwrap();
    let start = Instant::now();
    while !wanted(&progress) {
        assert!(start.elapsed() < Duration::from_secs(60), "{} {:?}", progress.position(), progress.trouble());
        std::thread::sleep(Duration::from_millis(5));
    }
    handle.stop();
    progress
}

/// All rows of all live tables, in order.
pub fn rows(home: &Home) -> BTreeMap<String, Vec<Row>> {
    let mut store = home.open();
    let books = checkpoints::read(&mut *store).unwrap();
    let mut found = BTreeMap::new();
    for build in books.builds.iter().filter(|build| build.state == checkpoints::State::Live) {
        for table in &build.projection.tables {
            let mut rows = store.query(&format!("SELECT * FROM {table}"), &[]).unwrap();
            rows.sort();
            found.insert(table.clone(), rows);
        }
    }
    found
}

/// The single text of a query's single row.
pub fn one(home: &Home, sql: &str) -> String {
    let rows = home.open().query(sql, &[]).unwrap();
    assert_eq!(rows.len(), 1, "{sql}");
    match &rows[0][0] {
        readmodels::Value::Int(number) => number.to_string(),
        _ => text(&rows[0], 0).to_owned(),
    }
}

/// What a file of one's own says, as a projection.
pub fn file(name: &str, text: &str) -> Projection {
    Projection::parse(name, &format!("{name}.sql"), text).unwrap()
}
