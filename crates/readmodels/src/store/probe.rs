//! What a PostgreSQL is like, for who checks a machine before a sale. Nothing is made or changed.

use super::postgres::{Postgres, chain, connector, failure, shown};
use crate::{Error, Kind};
use std::time::{Duration, Instant, SystemTime};

/// How often the time of an answer is taken.
const ASKED: usize = 9;

/// What was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// E.g. 150013.
    pub version: u32,
    /// The median time of a question and its answer.
    pub answers_within: Duration,
    pub tls: bool,
    /// The schema is there and this user may make tables in it, or it may make the schema.
    pub may_write: bool,
    pub connections_max: usize,
    /// Connections that others have.
    pub connections_used: usize,
    pub encoding: String,
    /// It only follows another one.
    pub standby: bool,
    /// How far its clock is ahead of this machine's, s.
    pub clock_ahead_s: f64,
}

/// Connects as who reads, and asks.
pub fn look(postgres: &Postgres) -> Result<Found, Error> {
    let (config, tls) = connector(postgres)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Error::new(Kind::Away, error.to_string()))?;
    let named = |error: tokio_postgres::Error| failure(&error).within(shown(postgres));
    runtime.block_on(async {
        let (client, connection) = config.connect(tls).await.map_err(named)?;
        let connection = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %chain(&error), "a connection to PostgreSQL ended");
            }
        });
        let mut took = Vec::new();
        let mut ahead = 0.0;
        for _ in 0..ASKED {
            let begun = Instant::now();
            let row = client
                .query_one("SELECT CAST(extract(epoch FROM clock_timestamp()) AS double precision)", &[])
                .await
                .map_err(named)?;
            took.push(begun.elapsed());
            let here = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            // It was read about half way.
            ahead = row.get::<_, f64>(0) + begun.elapsed().as_secs_f64() / 2.0 - here.as_secs_f64();
        }
        took.sort_unstable();
        let sql = "SELECT CAST(current_setting('server_version_num') AS int),
            EXISTS (SELECT 1 FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl),
            coalesce(
                (SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = $1),
                has_database_privilege(current_database(), 'CREATE')),
            CAST(current_setting('max_connections') AS int),
            (SELECT CAST(count(*) AS int) FROM pg_stat_activity
                WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()),
            current_setting('server_encoding'), pg_is_in_recovery()";
        let row = client.query_one(sql, &[&postgres.schema]).await.map_err(named)?;
        let found = Found {
            version: row.get::<_, i32>(0) as u32,
            answers_within: took[ASKED / 2],
            tls: row.get(1),
            may_write: row.get(2),
            connections_max: row.get::<_, i32>(3) as usize,
            connections_used: row.get::<_, i32>(4) as usize,
            encoding: row.get(5),
            standby: row.get(6),
            clock_ahead_s: ahead,
        };
        drop(client);
        // It ends with its client; an error has been told.
        let _ = connection.await;
        Ok(found)
    })
}
