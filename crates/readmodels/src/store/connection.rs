//! What a projector needs of a database.

use crate::event::Event;
use crate::{Error, Row, Value};

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
