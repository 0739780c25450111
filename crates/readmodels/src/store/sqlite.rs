//! SQLite: a file in WAL mode. Readers have connections of their own and never wait for who writes.

use super::connection::{Lock, Store};
use crate::event::Event;
use crate::{Error, Kind, Row, Value};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, ToSql};
use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// How long one waits for another who writes: as long as making an index of millions of rows may take.
const BUSY_TIMEOUT: Duration = Duration::from_secs(60);
/// Statements that are remembered.
const STATEMENTS_MAX: usize = 1_000;
/// How long who fills tables writes between two checkpoints that are made meanwhile.
const CHECKPOINT_EVERY: Duration = Duration::from_millis(300);
/// Memory for pages, KiB.
const CACHE_KIB: i64 = 128 << 10;

/// Of who writes. Synced at checkpoints only: a crash of the machine may take the last transactions whole, and the checkpoint
/// with them.
const SETUP: &str = "
    PRAGMA journal_mode = wal;
    PRAGMA synchronous = normal;
    PRAGMA wal_autocheckpoint = 4000;
    PRAGMA journal_size_limit = 67108864;";

/// Of a file that nobody needs after a crash.
const SETUP_ASIDE: &str = "
    PRAGMA journal_mode = memory;
    PRAGMA synchronous = off;
    PRAGMA cache_size = -524288;";

const EVENTS: &str = "
    PRAGMA temp_store = memory;
    CREATE TEMP TABLE events (
        position INTEGER NOT NULL, stream_id TEXT NOT NULL, version INTEGER NOT NULL, type TEXT NOT NULL,
        occurred_at INTEGER NOT NULL, data BLOB NOT NULL, words BLOB, PRIMARY KEY (type, position)
    ) WITHOUT ROWID;";

/// Of who fills tables: a page that changes with every batch goes to its place seldom.
const FILL: &str = "
    PRAGMA wal_autocheckpoint = 50000;
    PRAGMA journal_size_limit = 268435456;
    PRAGMA cache_size = -524288;";

const LOAD: &str = "INSERT INTO temp.events (position, stream_id, version, type, occurred_at, data, words) \
    VALUES (?1, ?2, ?3, ?4, ?5, jsonb(?6), jsonb(?7))";

/// A connection that writes.
pub struct Sqlite {
    connection: Connection,
    path: PathBuf,
    inode: u64,
    locks: Vec<(Lock, File)>,
    /// Brings pages to their places meanwhile; ends when this is dropped.
    checkpoints: Option<Sender<()>>,
}

impl Sqlite {
    pub fn open(path: &Path) -> Result<Sqlite, Error> {
        Sqlite::open_with(path, SETUP)
    }

    /// A database that is there, for who only reads: it may be on a disk that nothing can be written to, and where nobody
    /// keeps it up to date nothing beside it is made.
    pub fn open_to_read(path: &Path) -> Result<Sqlite, Error> {
        if !path.exists() {
            return Err(Error::new(Kind::Missing, format!("there are no read models in {}", path.display())));
        }
        let beside = |name: &str| PathBuf::from(format!("{}{name}", path.display()));
        let lock = File::open(beside(".live.lock"));
        let is_kept = lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)));
        let has_more = std::fs::metadata(beside("-wal")).is_ok_and(|wal| wal.len() > 0);
        let name = path.display().to_string().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
        let open = |how: &str| {
            let connection = read_only(Path::new(&format!("file:{name}?{how}")))?;
            query(&connection, "SELECT count(*) FROM sqlite_master", &[])?;
            Ok(connection)
        };
        // What a crash left in its WAL is only seen with a file beside it, which cannot be made everywhere.
        let connection = match is_kept || has_more {
            true => open("mode=ro").or_else(|_: Error| open("immutable=1"))?,
            false => open("immutable=1")?,
        };
        Ok(Sqlite { connection, inode: inode(path), path: path.into(), locks: Vec::new(), checkpoints: None })
    }

    /// An empty database for what need not outlive a crash: without a journal on disk, and without waiting for the disk.
    pub fn open_aside(path: &Path) -> Result<Sqlite, Error> {
        remove(path)?;
        Sqlite::open_with(path, SETUP_ASIDE)
    }

    fn open_with(path: &Path, setup: &str) -> Result<Sqlite, Error> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|error| Error::new(Kind::Away, format!("{}: {error}", folder.display())))?;
        }
        let named = |error: rusqlite::Error| failure(&error).within(path.display());
        let connection = Connection::open(path).map_err(named)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(named)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB).map_err(named)?;
        connection.execute_batch(setup).and_then(|()| connection.execute_batch(EVENTS)).map_err(named)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        Ok(Sqlite { connection, inode: inode(path), path: path.into(), locks: Vec::new(), checkpoints: None })
    }

    /// A database in memory, to try statements in.
    pub fn in_memory() -> Result<Sqlite, Error> {
        Sqlite::open(Path::new(":memory:"))
    }

    /// Pages that the file may have; for tests of a full disk.
    pub fn limit_pages(&mut self, pages_max: u32) -> Result<(), Error> {
        let set = self.connection.pragma_update_and_check(None, "max_page_count", pages_max, |_| Ok(()));
        set.map_err(|error| failure(&error))
    }
}

/// Takes a database's file away, if there is one.
pub fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::new(Kind::Away, format!("{}: {error}", path.display())))
        }
        _ => Ok(()),
    }
}

/// A connection that only reads.
pub fn read_only(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let named = |error: rusqlite::Error| failure(&error).within(path.display());
    let connection = Connection::open_with_flags(path, flags).map_err(named)?;
    connection.busy_timeout(Duration::from_secs(2)).map_err(named)?;
    connection.execute_batch("PRAGMA query_only = on; PRAGMA temp_store = memory;").map_err(named)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Int(number) => ValueRef::Integer(*number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

/// What tells a file from another one of the same name; 0 when there is none.
pub fn inode(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |found| found.ino())
}

/// The rows of a query.
pub fn query(connection: &Connection, sql: &str, parameters: &[Value]) -> Result<Vec<Row>, Error> {
    let failed = |error: rusqlite::Error| failure(&error);
    let mut statement = connection.prepare_cached(sql).map_err(preparing)?;
    let columns = statement.column_count();
    let mut rows = statement.query(rusqlite::params_from_iter(parameters)).map_err(failed)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let value = |column| match row.get_ref(column) {
            Ok(ValueRef::Integer(number)) => Value::Int(number),
            Ok(ValueRef::Real(number)) => Value::Text(number.to_string()),
            Ok(ValueRef::Text(text) | ValueRef::Blob(text)) => Value::Text(String::from_utf8_lossy(text).into_owned()),
            Ok(ValueRef::Null) | Err(_) => Value::Null,
        };
        found.push((0..columns).map(value).collect());
    }
    Ok(found)
}

impl Store for Sqlite {
    fn lock(&mut self, lock: Lock) -> Result<bool, Error> {
        let name = match lock {
            Lock::Live => "live",
            Lock::Fill => "fill",
        };
        let path = PathBuf::from(format!("{}.{name}.lock", self.path.display()));
        let failed = |error: std::io::Error| Error::new(Kind::Away, format!("{}: {error}", path.display()));
        let file = File::options().write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {
                self.locks.push((lock, file));
                Ok(true)
            }
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    fn unlock(&mut self, lock: Lock) -> Result<(), Error> {
        self.locks.retain(|(held, _)| *held != lock);
        Ok(())
    }

    fn begin(&mut self) -> Result<(), Error> {
        self.run("BEGIN IMMEDIATE")
    }

    fn commit(&mut self) -> Result<(), Error> {
        self.run("DELETE FROM temp.events")?;
        self.run("COMMIT")
    }

    fn rollback(&mut self) -> Result<(), Error> {
        if self.connection.is_autocommit() { Ok(()) } else { self.run("ROLLBACK") }
    }

    fn run(&mut self, sql: &str) -> Result<(), Error> {
        self.connection.execute_batch(sql).map_err(preparing)
    }

    fn check(&mut self, sql: &str) -> Result<(), Error> {
        self.connection.prepare(sql).map(drop).map_err(preparing)
    }

    fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<u64, Error> {
        let mut statement = self.connection.prepare_cached(sql).map_err(preparing)?;
        let changed = statement.execute(rusqlite::params_from_iter(parameters)).map_err(|error| failure(&error))?;
        Ok(changed as u64)
    }

    fn execute_all(&mut self, statements: &[&str]) -> Result<(), (usize, Error)> {
        for (index, sql) in statements.iter().enumerate() {
            self.execute(sql, &[]).map_err(|error| (index, error))?;
        }
        Ok(())
    }

    fn query(&mut self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>, Error> {
        query(&self.connection, sql, parameters)
    }

    fn load(&mut self, events: &[&Event]) -> Result<(), Error> {
        let failed = |error: rusqlite::Error| failure(&error);
        self.connection.execute_batch("DELETE FROM temp.events").map_err(failed)?;
        let mut load = self.connection.prepare_cached(LOAD).map_err(preparing)?;
        // In the order of the table's key each row goes behind the last one.
        let mut sorted = events.to_vec();
        sorted.sort_by(|a, b| (&a.kind, a.position).cmp(&(&b.kind, b.position)));
        for event in sorted {
            let row = rusqlite::params![
                event.position.0 as i64,
                event.stream_id,
                event.version as i64,
                &*event.kind,
                event.occurred_at as i64,
                event.data,
                event.words,
            ];
            load.execute(row).map_err(failed)?;
        }
        Ok(())
    }

    fn take_much(&mut self) -> Result<(), Error> {
        self.run(FILL)?;
        let (sender, ended) = channel();
        let path = self.path.clone();
        let thread = std::thread::Builder::new().name("checkpoints".into());
        thread
            .spawn(move || checkpoint(&path, &ended))
            .map_err(|error| Error::new(Kind::Away, format!("cannot start a thread: {error}")))?;
        self.checkpoints = Some(sender);
        Ok(())
    }

    fn tune(&mut self, _: &str, _: bool) -> Result<(), Error> {
        Ok(())
    }

    fn analyze(&mut self, _: &str) -> Result<(), Error> {
        // Its plans do not depend on that here: lists are made for their indices.
        Ok(())
    }

    fn columns(&mut self, table: &str) -> Result<Vec<String>, Error> {
        let rows = self.query("SELECT name FROM pragma_table_info($1)", &[table.into()])?;
        Ok(rows.iter().map(|row| super::super::text(row, 0).to_owned()).collect())
    }

    fn show(&mut self, view: &str, table: &str) -> Result<(), Error> {
        self.run(&format!("DROP VIEW IF EXISTS {view}; CREATE VIEW {view} AS SELECT * FROM {table}"))
    }

    fn is_there(&self) -> bool {
        inode(&self.path) == self.inode
    }

    fn forget(&mut self) {
        self.connection.flush_prepared_statement_cache();
    }
}

/// Brings pages from the WAL to their places, and waits for the disk, while who writes goes on: there is little left to do
/// when the WAL begins anew. What goes wrong here meets the writer, too, who says so.
fn checkpoint(path: &Path, ended: &Receiver<()>) {
    let Ok(connection) = Connection::open(path) else { return };
    while ended.recv_timeout(CHECKPOINT_EVERY) == Err(RecvTimeoutError::Timeout) {
        let _ = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    }
}

/// A failure before a statement runs: it makes no sense, or its table is not there.
pub fn preparing(error: rusqlite::Error) -> Error {
    let mut found = failure(&error);
    if found.kind == Kind::Data {
        found.kind = Kind::Statement;
    }
    found
}

/// A failure while a statement runs.
fn failure(error: &rusqlite::Error) -> Error {
    let (code, what, at) = match error {
        rusqlite::Error::SqliteFailure(code, what) => (Some(code.code), what.clone(), None),
        rusqlite::Error::SqlInputError { error, msg, offset, .. } => {
            (Some(error.code), Some(msg.clone()), usize::try_from(*offset).ok())
        }
        _ => (None, None, None),
    };
    let what = what.unwrap_or_else(|| error.to_string());
    let kind = match code {
        Some(ErrorCode::Unknown) if what.contains("no such table") => Kind::Missing,
        // SQLITE_ERROR is also what malformed JSON or an overflow is.
        Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig | ErrorCode::Unknown) => {
            Kind::Data
        }
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Kind::Refused,
        Some(_) => Kind::Away,
        None => Kind::Data,
    };
    Error { kind, what, at }
}
