//! What PostgreSQL itself takes for the same rows: one COPY per table, into tables with the same indices.

use anyhow::{Context, anyhow};
use bytes::Bytes;
use futures_util::{SinkExt, TryStreamExt, pin_mut};
use readmodels::store::Postgres;
use readmodels::store::postgres::{chain, connector};
use std::time::Instant;
use tokio_postgres::Client;

async fn connect(postgres: &Postgres) -> anyhow::Result<Client> {
    let (config, tls) = connector(postgres)?;
    let (client, connection) = config.connect(tls).await.map_err(|error| anyhow!("PostgreSQL: {}", chain(&error)))?;
    tokio::spawn(connection);
    Ok(client)
}

/// Copies every table of the schema's live read models: rows, and the seconds that copying them in took.
pub async fn bare(postgres: &Postgres) -> anyhow::Result<(u64, f64)> {
    let client = connect(postgres).await?;
    let schema = &postgres.schema;
    let found = client
        .query("SELECT table_name::text FROM information_schema.tables WHERE table_schema = $1 AND table_name LIKE '%\\_\\_%'", &[schema])
        .await?;
    let tables: Vec<String> = found.iter().map(|row| row.get(0)).collect();
    let copies = format!("{schema}_copy");
    client.batch_execute(&format!("DROP SCHEMA IF EXISTS {copies} CASCADE; CREATE SCHEMA {copies}")).await?;
    let (mut rows, mut seconds) = (0, 0.0);
    for table in tables {
        let out = client.copy_out(&format!("COPY {schema}.{table} TO STDOUT (FORMAT binary)")).await?;
        let bytes: Vec<Bytes> = out.try_collect().await?;
        client.batch_execute(&format!("CREATE TABLE {copies}.{table} (LIKE {schema}.{table} INCLUDING ALL)")).await?;
        let started = Instant::now();
        let sink = client.copy_in(&format!("COPY {copies}.{table} FROM STDIN (FORMAT binary)")).await?;
        pin_mut!(sink);
        for part in bytes {
            sink.feed(part).await?;
        }
        rows += sink.finish().await.with_context(|| format!("copying {table}"))?;
        seconds += started.elapsed().as_secs_f64();
    }
    client.batch_execute(&format!("DROP SCHEMA {copies} CASCADE")).await?;
    Ok((rows, seconds))
}

/// Leaves nothing behind.
pub async fn drop_schema(postgres: &Postgres) -> anyhow::Result<()> {
    let client = connect(postgres).await?;
    Ok(client.batch_execute(&format!("DROP SCHEMA IF EXISTS {} CASCADE", postgres.schema)).await?)
}
