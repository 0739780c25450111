//! What answers are made of: rows of the live tables, read by connections that cannot write.
//!
//! - [`sqlite`]: a few threads with a connection each; [`postgres`]: a pool

mod postgres;
mod sqlite;
mod usage;

use super::state::Progress;
use super::store::Place;
use super::{Error, Row, Value, int};
use base::moments;
use eventlog::Position;
use std::sync::Arc;
use std::time::{Duration, Instant};
pub use usage::Usage;

/// How often it is looked how far a projector of another process is, while somebody waits for it.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Reads the live tables. Cheap to share; nothing is connected before the first question.
pub struct Reader {
    place: Place,
    pool: Pool,
    /// Of the projector in this process; without it the database is asked.
    inside: Option<Arc<Progress>>,
}

enum Pool {
    Sqlite(sqlite::Threads),
    Postgres(postgres::Connections),
}

impl Reader {
    /// `threads` read at a time from SQLite.
    pub fn new(place: Place, threads: usize, inside: Option<Arc<Progress>>) -> Result<Reader, Error> {
        let pool = match &place {
            Place::Sqlite(path) => Pool::Sqlite(sqlite::Threads::start(path, threads)?),
            Place::Postgres(postgres) => Pool::Postgres(postgres::Connections::new(postgres)?),
        };
        Ok(Reader { place, pool, inside })
    }

    /// Where it reads, without passwords.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// What the projector in this process says; `None` when there is none.
    pub fn inside(&self) -> Option<&Progress> {
        self.inside.as_deref()
    }

    /// The rows of `sql`, whose parameters `$1`, `$2` … first appear in this order. The same for both databases.
    pub async fn query(&self, sql: &str, parameters: Vec<Value>) -> Result<Vec<Row>, Error> {
        // Looked up before the first wait: later polls of a request find the same.
        if !moments::wanted() {
            return self.ask(sql, parameters).await;
        }
        let started = Instant::now();
        let answered = self.ask(sql, parameters).await;
        let system = match &self.pool {
            Pool::Sqlite(_) => "sqlite",
            Pool::Postgres(_) => "postgresql",
        };
        let (table, ended, failed) = (first_table(sql).into(), Instant::now(), answered.is_err());
        moments::query(moments::Query { system, table, started, ended, failed });
        answered
    }

    async fn ask(&self, sql: &str, parameters: Vec<Value>) -> Result<Vec<Row>, Error> {
        match &self.pool {
            Pool::Sqlite(threads) => threads.query(sql, parameters).await,
            Pool::Postgres(connections) => connections.query(sql, &parameters).await,
        }
    }

    /// How many of its connections are in use now.
    pub fn usage(&self) -> Usage {
        match &self.pool {
            Pool::Sqlite(threads) => threads.usage(),
            Pool::Postgres(connections) => connections.usage(),
        }
    }

    /// How a query is carried out, in the database's own words.
    pub async fn explain(&self, sql: &str, parameters: Vec<Value>) -> Result<Vec<Row>, Error> {
        let how = match &self.pool {
            Pool::Sqlite(_) => "EXPLAIN QUERY PLAN",
            Pool::Postgres(_) => "EXPLAIN",
        };
        self.query(&format!("{how} {sql}"), parameters).await
    }

    /// Up to where every event is visible.
    pub async fn position(&self) -> Result<Position, Error> {
        if let Some(progress) = &self.inside {
            return Ok(progress.position());
        }
        let found = self.query("SELECT position FROM onsale_read_model WHERE id = 1", Vec::new()).await?;
        Ok(Position(found.first().map_or(0, |row| int(row, 0))))
    }

    /// Waits until `position` is visible, at most `timeout`; gives up to where it is then.
    pub async fn wait(&self, position: Position, timeout: Duration) -> Result<Position, Error> {
        if let Some(progress) = &self.inside {
            progress.wait(position, timeout).await;
            return Ok(progress.position());
        }
        let start = Instant::now();
        loop {
            let at = self.position().await?;
            if at >= position || start.elapsed() >= timeout {
                return Ok(at);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// The first table that a statement of ours reads.
fn first_table(sql: &str) -> &str {
    let words =
        sql.split(|letter: char| letter.is_whitespace() || "(),".contains(letter)).filter(|word| !word.is_empty());
    let mut behind_from = false;
    for word in words {
        if behind_from && !word.eq_ignore_ascii_case("select") {
            return word;
        }
        behind_from = word.eq_ignore_ascii_case("from");
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::first_table;

    #[test]
    fn a_statement_reads_a_table() {
        for (sql, table) in [
            ("SELECT a,b FROM holds WHERE x = $1", "holds"),
            ("SELECT a\nfrom\n  reservations r", "reservations"),
            ("SELECT * FROM (SELECT 1 FROM sales) s", "sales"),
            ("SELECT 1", ""),
        ] {
            assert_eq!(first_table(sql), table);
        }
    }
}
