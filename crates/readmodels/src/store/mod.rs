//! The two databases, as a projector needs them. Statements are the same for both, with parameters `$1`, `$2` … that first
//! appear in this order.
//!
//! - [`sqlite`], [`postgres`]: one each, behind [`Store`]
//! - [`probe`]: what a PostgreSQL is like, before a sale

mod connection;
pub mod postgres;
pub mod probe;
pub mod sqlite;

pub use connection::{Lock, Store};
pub use postgres::Postgres;

use crate::Error;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Where read models are.
#[derive(Clone, PartialEq, Eq)]
pub enum Place {
    Sqlite(PathBuf),
    Postgres(Postgres),
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
