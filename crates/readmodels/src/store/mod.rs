//! The two databases, as a projector needs them. Statements are the same for both, with parameters `$1`, `$2` … that first
//! appear in this order.
//!
//! - [`sqlite`], [`postgres`]: one each, behind [`Store`]

pub mod postgres;
pub mod sqlite;

use super::event::Event;
use super::{Error, Row, Value};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Where read models are.
#[derive(Clone, PartialEq, Eq)]
pub enum Place {
    Sqlite(PathBuf),
    Postgres(Postgres),
}

/// How PostgreSQL is reached.
#[derive(Clone, PartialEq, Eq)]
pub struct Postgres {
    /// `postgres://user:password@host/database`, or `host=… user=…`
    pub url: String,
    /// The schema that the tables are in.
    pub schema: String,
    /// PEM file with the authorities that are trusted; otherwise those of the machine.
    pub ca: Option<PathBuf>,
    /// Connections of those who read.
    pub connections_max: usize,
}

impl Place {
    /// Connects as a projector.
    pub fn open(&self) -> Result<Box<dyn Store>, Error> {
        Ok(match self {
            Place::Sqlite(path) => Box::new(sqlite::Sqlite::open(path)?),
            Place::Postgres(postgres) => Box::new(postgres::Client::open(postgres)?),
        })
    }

    /// Connects to a read model that is there, to look at it only.
    pub fn open_to_read(&self) -> Result<Box<dyn Store>, Error> {
        match self {
            Place::Sqlite(path) => Ok(Box::new(sqlite::Sqlite::open_to_read(path)?)),
            Place::Postgres(_) => self.open(),
        }
    }

    /// Connects to fill tables: the same for batches of tens of thousands of events.
    pub fn open_to_fill(&self) -> Result<Box<dyn Store>, Error> {
        let mut store = self.open()?;
        store.take_much()?;
        Ok(store)
    }

    /// Whether another process does the work.
    pub fn is_served(&self) -> bool {
        matches!(self, Place::Postgres(_))
    }

    /// How long from one transaction to the next while tables are kept up to date. One costs about the same for one event as
    /// for a hundred: more than so many a second only take time from those who sell. In PostgreSQL, where each statement is
    /// planned and answered by another process, it costs several times as much.
    pub fn pace(&self) -> Duration {
        match self {
            Place::Sqlite(_) => Duration::from_millis(20),
            Place::Postgres(_) => Duration::from_millis(100),
        }
    }
}

/// Without the password.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Sqlite(path) => write!(f, "{}", path.display()),
            Place::Postgres(postgres) => write!(f, "{}", postgres::shown(postgres)),
        }
    }
}

/// What only one process at a time does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lock {
    /// Keeping the live tables up to date.
    Live,
    /// Filling new ones.
    Fill,
}

/// A connection that writes. It blocks, so it belongs on a thread of its own.
pub trait Store: Send {
    /// Takes a lock until the connection ends; whether nobody else has it.
    fn lock(&mut self, lock: Lock) -> Result<bool, Error>;
    /// Gives a lock back.
    fn unlock(&mut self, lock: Lock) -> Result<(), Error>;
    fn begin(&mut self) -> Result<(), Error>;
    fn commit(&mut self) -> Result<(), Error>;
    /// Ends a transaction without a trace; nothing when there is none.
    fn rollback(&mut self) -> Result<(), Error>;
    /// Runs a statement of which there are few, without parameters and without remembering it.
    fn run(&mut self, sql: &str) -> Result<(), Error>;
    /// Checks a statement without running it.
    fn check(&mut self, sql: &str) -> Result<(), Error>;
    /// Runs a statement that comes again, and gives how many rows it changed.
    fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<u64, Error>;
    /// Runs several of them, in order; the error is that of the first one that fails, with its place in the list.
    fn execute_all(&mut self, statements: &[&str]) -> Result<(), (usize, Error)>;
    fn query(&mut self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>, Error>;
    /// Makes `events` the relation of that name, until the transaction ends.
    fn load(&mut self, events: &[&Event]) -> Result<(), Error>;
    /// Prepares for large batches; small ones are then slower than they need be.
    fn take_much(&mut self) -> Result<(), Error>;
    /// Makes a new table ready for its rows, which may be such as change often.
    fn tune(&mut self, table: &str, changes: bool) -> Result<(), Error>;
    /// Finds out how the rows of a table are, for who plans queries.
    fn analyze(&mut self, table: &str) -> Result<(), Error>;
    /// The columns of a table; none when it is not there.
    fn columns(&mut self, table: &str) -> Result<Vec<String>, Error>;
    /// Makes `view` show everything of `table`.
    fn show(&mut self, view: &str, table: &str) -> Result<(), Error>;
    /// Whether the database is still where it was opened.
    fn is_there(&self) -> bool;
    /// Forgets what was remembered of statements: their tables are gone.
    fn forget(&mut self);
}
