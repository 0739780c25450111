//! PostgreSQL's readers: a pool of connections, with prepared statements.

use super::usage::Usage;
use crate::store::Postgres;
use crate::store::postgres::{connector, failure, row};
use crate::{Error, Kind, Row, Value};
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio_postgres::types::ToSql;

/// How long one waits for a connection of the pool, or for a new one.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(2);
/// What a question may take.
const STATEMENT_TIMEOUT_MS: u64 = 5_000;
/// The database itself gives up before that: who is silent for so long is not there, whatever holds the connection open.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(STATEMENT_TIMEOUT_MS + 1_000);
/// After the database could not be reached nobody tries for so long: all would wait for the same timeout.
const AWAY_FOR: Duration = Duration::from_millis(500);

/// The way to the database: a pool for each of the threads that ask. A connection is driven by the thread that opened it, and
/// answers that come to another one cost a wake-up each.
pub struct Connections {
    pools: Vec<Pool>,
    away: Mutex<Option<(Instant, Error)>>,
}

impl Connections {
    pub fn new(postgres: &Postgres) -> Result<Connections, Error> {
        let (mut config, tls) = connector(postgres)?;
        let reading =
            format!("-c default_transaction_read_only=on -c statement_timeout={STATEMENT_TIMEOUT_MS} -c jit=off");
        config.options(format!("{} {reading}", config.get_options().unwrap_or_default()));
        let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let pools = cores.clamp(1, postgres.connections_max);
        let pool = |number: usize| {
            // Together they are as many as may be.
            let connections = (postgres.connections_max + number) / pools;
            Pool::builder(Manager::from_config(config.clone(), tls.clone(), manager.clone()))
                .max_size(connections)
                .wait_timeout(Some(CONNECTION_TIMEOUT))
                .create_timeout(Some(CONNECTION_TIMEOUT))
                .recycle_timeout(Some(CONNECTION_TIMEOUT))
                .runtime(Runtime::Tokio1)
                .build()
                .map_err(|error| Error::refused(error.to_string()))
        };
        let pools = (0..pools).map(pool).collect::<Result<_, _>>()?;
        Ok(Connections { pools, away: Mutex::default() })
    }

    /// This thread's pool.
    fn pool(&self) -> &Pool {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local!(static NUMBER: usize = THREADS.fetch_add(1, Ordering::Relaxed));
        &self.pools[NUMBER.with(|number| number % self.pools.len())]
    }

    pub fn usage(&self) -> Usage {
        self.pools.iter().map(Pool::status).fold(Usage::default(), |all, pool| Usage {
            connections_max: all.connections_max + pool.max_size,
            in_use: all.in_use + pool.size.saturating_sub(pool.available),
            idle: all.idle + pool.available,
            waiting: all.waiting + pool.waiting,
        })
    }

    pub async fn query(&self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>, Error> {
        if let Some((since, error)) = &*self.away.lock().unwrap_or_else(PoisonError::into_inner)
            && since.elapsed() < AWAY_FOR
        {
            return Err(error.clone());
        }
        let found = self.ask(sql, parameters).await;
        if let Err(error) = &found
            && error.kind == Kind::Away
        {
            *self.away.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), error.clone()));
        }
        found
    }

    async fn ask(&self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>, Error> {
        let client = self.pool().get().await.map_err(|error| match error {
            PoolError::Backend(error) => failure(&error),
            error => Error::new(Kind::Away, error.to_string()),
        })?;
        match tokio::time::timeout(ANSWER_TIMEOUT, answer(&client, sql, parameters)).await {
            Ok(answer) => answer,
            Err(_) => {
                // Nobody knows what still comes on it: it is not used again.
                drop(Object::take(client));
                Err(Error::new(Kind::Away, format!("PostgreSQL did not answer within {ANSWER_TIMEOUT:?}")))
            }
        }
    }
}

async fn answer(client: &Object, sql: &str, parameters: &[Value]) -> Result<Vec<Row>, Error> {
    let parameters: Vec<&(dyn ToSql + Sync)> = parameters.iter().map(|value| value as _).collect();
    let statement = client.prepare_cached(sql).await.map_err(|error| failure(&error))?;
    let rows = client.query(&statement, &parameters).await.map_err(|error| {
        // A table of another shape under the same name: prepared anew it is right again.
        client.statement_cache.clear();
        failure(&error)
    })?;
    Ok(rows.iter().map(row).collect())
}
