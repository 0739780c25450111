//! Read models: SQL tables made of events, by one `.sql` file each, in SQLite or PostgreSQL. They can be thrown away at any
//! time and are made again from the log.
//!
//! - [`projection`]: the files, and the ones that are built in; [`sql`]: as much of SQL as that takes
//! - [`event`]: events as projections see them, and which of them may leave the log
//! - [`source`]: where events come from
//! - [`store`]: the two databases, as a projector needs them
//! - [`checkpoints`]: which tables are live, and up to which position: tables beside the read models'
//! - [`apply`]: a batch of events into tables, in one transaction with the checkpoint; what cannot be applied is parked
//! - [`live`]: keeps the live tables up to date; [`rebuild`]: makes new ones beside them, and swaps
//! - [`state`]: how far it is, for whoever waits or watches
//! - [`read`]: what answers are made of
//!
//! All live tables are at one position, the checkpoint's, which moves in the transaction that changes them. A *build* of a
//! projection is one set of its tables: `reservations__3` is what build 3 fills, and the view `reservations` shows the live
//! one. Swapping is replacing a view.

pub mod apply;
mod backpressure;
pub mod checkpoints;
pub mod event;
pub mod live;
pub mod projection;
pub mod read;
pub mod rebuild;
pub mod source;
pub mod sql;
pub mod state;
pub mod store;
#[cfg(test)]
mod tests;

use std::fmt;

/// What kind of failure it is: that decides what is done about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The database cannot be reached, is full, busy or shutting down: it may work again later.
    Away,
    /// This event's data does not fit: another batch may.
    Data,
    /// A statement makes no sense to this database.
    Statement,
    /// A table is not there.
    Missing,
    /// Somebody else runs on this read model.
    Taken,
    /// The read model is not what this binary can work on; only a person can decide.
    Refused,
}

/// Why something could not be done with a read model.
#[derive(Clone, Debug)]
pub struct Error {
    pub kind: Kind,
    pub what: String,
    /// Where in the statement, bytes from its start, as far as the database says so.
    pub at: Option<usize>,
}

impl Error {
    pub fn new(kind: Kind, what: impl Into<String>) -> Error {
        Error { kind, what: what.into(), at: None }
    }

    pub fn refused(what: impl Into<String>) -> Error {
        Error::new(Kind::Refused, what)
    }

    /// The same, saying more.
    pub fn within(self, what: impl fmt::Display) -> Error {
        Error { what: format!("{what}: {}", self.what), ..self }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Error {}

/// What a statement takes and gives.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Value {
    Null,
    Int(i64),
    Text(String),
}

impl Value {
    pub fn int(&self) -> Option<i64> {
        match self {
            Value::Int(number) => Some(*number),
            Value::Null | Value::Text(_) => None,
        }
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            Value::Null | Value::Int(_) => None,
        }
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Value {
        Value::Int(number)
    }
}

/// Positions, versions and times stay far below 2^63.
impl From<u64> for Value {
    fn from(number: u64) -> Value {
        Value::Int(number as i64)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

/// A row of an answer.
pub type Row = Vec<Value>;

/// The column, where our own statements say that it is a number.
pub fn int(row: &Row, column: usize) -> u64 {
    row.get(column).and_then(Value::int).map_or(0, |number| number.max(0) as u64)
}

/// The column, where our own statements say that it is a text.
pub fn text(row: &Row, column: usize) -> &str {
    row.get(column).and_then(Value::text).unwrap_or_default()
}
