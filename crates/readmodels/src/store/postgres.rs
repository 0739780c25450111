//! PostgreSQL: a connection that writes, with TLS where the server has it.

use super::connection::{Lock, Store};
use crate::event::Event;
use crate::{Error, Kind, Row, Value};
use bytes::{BufMut, BytesMut};
use futures_util::future::maybe_done;
use futures_util::pin_mut;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::path::PathBuf;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Config, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// What the other side does not acknowledge for so long is gone.
const SILENCE: Duration = Duration::from_secs(10);
/// Statements that are remembered.
const STATEMENTS_MAX: usize = 1_000;
/// Advisory locks are numbers; ours begin with this one, and differ by schema.
const LOCKS: &str = "onsale.read-model";

/// SQLite's `json_each(data, '$.path')`, as far as projections need it: `key`, `value` as JSON, `atom` as text. There
/// `jsonb_each` gives the value as it is stored, which is quicker; here both are the same. PostgreSQL's own functions
/// for elements keep all of them in a store before they give one, which takes longer than everything else with a few;
/// counting does not, and neither does what is called for null.
const FUNCTIONS: [&str; 2] = ["json_each", "jsonb_each"];
const FUNCTION: &str = "(data jsonb, path text, OUT key text, OUT value jsonb, OUT atom text)
    RETURNS SETOF record LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 4 AS $$
        SELECT CAST(item.index AS text), item.items -> item.index, item.items ->> item.index
        FROM (
            SELECT list.items, generate_series(0, jsonb_array_length(list.items) - 1) AS index
            FROM (SELECT CASE jsonb_typeof(data #> string_to_array(substr(path, 3), '.'))
                WHEN 'array' THEN data #> string_to_array(substr(path, 3), '.') END AS items) AS list
        ) AS item
        UNION ALL
        SELECT field.key, field.fields -> field.key, field.fields ->> field.key
        FROM (
            SELECT object.fields, jsonb_object_keys(object.fields) AS key
            FROM (SELECT CASE jsonb_typeof(data #> string_to_array(substr(path, 3), '.'))
                WHEN 'object' THEN data #> string_to_array(substr(path, 3), '.') END AS fields) AS object
        ) AS field
    $$";

/// Of who writes. A crash of the database may take the last transactions whole, and the checkpoint with them: what is in the
/// log is not lost. Statements are many and short, and plans of moments ago are good enough. A batch is small beside the
/// tables that it changes: its rows are looked for one by one, never by going through a whole table, which is what the planner
/// would do for all that it does not know about a batch.
const SETUP: &str = "
    SET synchronous_commit = off;
    SET jit = off;
    SET work_mem = '64MB';
    SET temp_buffers = '64MB';
    SET random_page_cost = 1.1;
    SET enable_hashjoin = off;
    SET enable_mergejoin = off;
    CREATE TEMP TABLE events (
        position bigint NOT NULL, stream_id text COLLATE \"C\" NOT NULL, version bigint NOT NULL,
        type text COLLATE \"C\" NOT NULL, occurred_at bigint NOT NULL, data jsonb NOT NULL, words jsonb
    ) ON COMMIT DELETE ROWS";

/// Of who fills tables. Each statement finds its types in a large batch by the index; with small batches making plans anew for
/// an index that was emptied would cost more.
const FILL: &str = "
    SET maintenance_work_mem = '256MB';
    CREATE INDEX events_by_type ON pg_temp.events (type)";

const COPY: &str = "COPY pg_temp.events (position, stream_id, version, type, occurred_at, data, words) \
    FROM STDIN (FORMAT binary)";

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

/// A connection that writes.
pub struct Client {
    runtime: Runtime,
    client: tokio_postgres::Client,
    schema: String,
    statements: HashMap<String, Statement>,
    in_transaction: bool,
}

/// What connects: address, credentials, TLS.
pub fn connector(postgres: &Postgres) -> Result<(Config, MakeRustlsConnect), Error> {
    let refused = |what: String| Error::refused(format!("PostgreSQL's address: {what}"));
    if !is_schema(&postgres.schema) {
        return Err(refused(format!("a schema is small letters, digits and _, not {:?}", postgres.schema)));
    }
    let mut config = Config::from_str(&postgres.url).map_err(|error| refused(chain(&error)))?;
    config.application_name("onsale").connect_timeout(CONNECT_TIMEOUT).tcp_user_timeout(SILENCE);
    config.keepalives_idle(SILENCE).keepalives_interval(Duration::from_secs(3)).keepalives_retries(3);
    let path = format!("-c search_path={},public -c client_min_messages=warning", postgres.schema);
    let options = config.get_options().map_or(path.clone(), |options| format!("{options} {path}"));
    config.options(options);
    let mut roots = RootCertStore::empty();
    match &postgres.ca {
        Some(file) => {
            let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let found = read.map_err(|error| refused(format!("{}: {error}", file.display())))?;
            if roots.add_parsable_certificates(found).0 == 0 {
                return Err(refused(format!("{}: there is no certificate in it", file.display())));
            }
        }
        None if config.get_ssl_mode() != SslMode::Disable => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        None => {}
    }
    let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let tls = tls.with_safe_default_protocol_versions().expect("ring has them");
    Ok((config, MakeRustlsConnect::new(tls.with_root_certificates(roots).with_no_client_auth())))
}

/// The address as it may be shown.
pub fn shown(postgres: &Postgres) -> String {
    let Ok(config) = Config::from_str(&postgres.url) else { return "PostgreSQL".into() };
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => String::new(),
    };
    let port = config.get_ports().first().map_or(String::new(), |port| format!(":{port}"));
    let database = config.get_dbname().or(config.get_user()).unwrap_or_default();
    format!("PostgreSQL {host}{port}/{database}, schema {}", postgres.schema)
}

fn is_schema(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=48).contains(&name.len()) && name.bytes().all(fits) && !name.as_bytes()[0].is_ascii_digit()
}

impl Client {
    pub fn open(postgres: &Postgres) -> Result<Client, Error> {
        let (config, tls) = connector(postgres)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Error::new(Kind::Away, error.to_string()))?;
        let named = |error: Error| error.within(shown(postgres));
        let (client, connection) = runtime.block_on(config.connect(tls)).map_err(|error| named(failure(&error)))?;
        runtime.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %chain(&error), "a connection to PostgreSQL ended");
            }
        });
        let schema = postgres.schema.clone();
        let mut store = Client { runtime, client, schema, statements: HashMap::new(), in_transaction: false };
        // Two that start at a time must not both make the function: that is an error of the second.
        store.run(&format!("SELECT pg_advisory_lock(hashtextextended('{LOCKS}', 0))")).map_err(named)?;
        let functions: String =
            FUNCTIONS.iter().map(|name| format!("; CREATE OR REPLACE FUNCTION {name}{FUNCTION}")).collect();
        let made = store.run(&format!("CREATE SCHEMA IF NOT EXISTS {}{functions}", store.schema));
        store.run(&format!("SELECT pg_advisory_unlock(hashtextextended('{LOCKS}', 0))")).map_err(named)?;
        made.and_then(|()| store.run(SETUP)).map_err(named)?;
        Ok(store)
    }

    fn prepared(&mut self, sql: &str) -> Result<Statement, Error> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.runtime.block_on(self.client.prepare(sql)).map_err(|error| preparing(&error))?;
        if self.statements.len() >= STATEMENTS_MAX {
            self.statements.clear();
        }
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    fn lock_number(&self, lock: Lock) -> String {
        format!("hashtextextended('{LOCKS}.{}.{lock:?}', 0)", self.schema)
    }
}

impl Store for Client {
    fn lock(&mut self, lock: Lock) -> Result<bool, Error> {
        let sql = format!("SELECT CAST(pg_try_advisory_lock({}) AS int)", self.lock_number(lock));
        Ok(self.query(&sql, &[])?.first().is_some_and(|row| row[0] == Value::Int(1)))
    }

    fn unlock(&mut self, lock: Lock) -> Result<(), Error> {
        let sql = format!("SELECT CAST(pg_advisory_unlock({}) AS int)", self.lock_number(lock));
        self.query(&sql, &[]).map(drop)
    }

    fn begin(&mut self) -> Result<(), Error> {
        self.run("BEGIN")?;
        self.in_transaction = true;
        Ok(())
    }

    fn commit(&mut self) -> Result<(), Error> {
        self.run("COMMIT")?;
        self.in_transaction = false;
        Ok(())
    }

    fn rollback(&mut self) -> Result<(), Error> {
        if std::mem::take(&mut self.in_transaction) { self.run("ROLLBACK") } else { Ok(()) }
    }

    fn run(&mut self, sql: &str) -> Result<(), Error> {
        self.runtime.block_on(self.client.batch_execute(sql)).map_err(|error| preparing(&error))
    }

    fn check(&mut self, sql: &str) -> Result<(), Error> {
        self.prepared(sql).map(drop)
    }

    fn execute(&mut self, sql: &str, parameters: &[Value]) -> Result<u64, Error> {
        let statement = self.prepared(sql)?;
        let parameters: Vec<&(dyn ToSql + Sync)> = parameters.iter().map(|value| value as _).collect();
        self.runtime.block_on(self.client.execute(&statement, &parameters)).map_err(|error| failure(&error))
    }

    fn execute_all(&mut self, statements: &[&str]) -> Result<(), (usize, Error)> {
        let prepare = |(index, sql): (usize, &&str)| self.prepared(sql).map_err(|error| (index, error));
        let prepared: Vec<Statement> = statements.iter().enumerate().map(prepare).collect::<Result<_, _>>()?;
        // One behind the other without waiting for answers: with few events that waiting is most of the time.
        let client = &self.client;
        let mut sent: Vec<_> =
            prepared.iter().map(|statement| maybe_done(Box::pin(client.execute(statement, &[])))).collect();
        self.runtime.block_on(poll_fn(|context| {
            // The first look at each sends it, so they go in their order.
            let waiting =
                sent.iter_mut().filter_map(|answer| Pin::new(answer).poll(context).is_pending().then_some(()));
            if waiting.count() == 0 { Poll::Ready(()) } else { Poll::Pending }
        }));
        for (index, mut answer) in sent.into_iter().enumerate() {
            let answer = Pin::new(&mut answer).take_output().expect("all are answered");
            answer.map_err(|error| (index, failure(&error)))?;
        }
        Ok(())
    }

    fn query(&mut self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>, Error> {
        let statement = self.prepared(sql)?;
        let parameters: Vec<&(dyn ToSql + Sync)> = parameters.iter().map(|value| value as _).collect();
        let rows = self.runtime.block_on(self.client.query(&statement, &parameters));
        Ok(rows.map_err(|error| failure(&error))?.iter().map(row).collect())
    }

    fn load(&mut self, events: &[&Event]) -> Result<(), Error> {
        let types = [Type::INT8, Type::TEXT, Type::INT8, Type::TEXT, Type::INT8, Type::JSONB, Type::JSONB];
        let client = &self.client;
        let copied = self.runtime.block_on(async move {
            client.batch_execute("DELETE FROM pg_temp.events").await?;
            let writer = BinaryCopyInWriter::new(client.copy_in(COPY).await?, &types);
            pin_mut!(writer);
            // Those of a type beside each other: statements ask by type.
            let mut sorted = events.to_vec();
            sorted.sort_by(|a, b| (&a.kind, a.position).cmp(&(&b.kind, b.position)));
            for event in sorted {
                let (position, version) = (event.position.0 as i64, event.version as i64);
                let (kind, occurred_at) = (&*event.kind, event.occurred_at as i64);
                let (data, words) = (Json(&event.data), event.words.as_deref().map(Json));
                writer
                    .as_mut()
                    .write(&[&position, &event.stream_id, &version, &kind, &occurred_at, &data, &words])
                    .await?;
            }
            writer.finish().await
        });
        copied.map(drop).map_err(|error| failure(&error))
    }

    fn take_much(&mut self) -> Result<(), Error> {
        self.run(FILL)
    }

    fn tune(&mut self, table: &str, changes: bool) -> Result<(), Error> {
        let sql = "SELECT CAST(column_name AS text) FROM information_schema.columns \
            WHERE table_schema = $1 AND table_name = $2 AND data_type = 'text' AND collation_name IS NULL";
        let texts = self.query(sql, &[self.schema.clone().into(), table.into()])?;
        // By their bytes: as SQLite does it, and several times as quick as by a language's rules.
        let quoted = |row| crate::text(row, 0).replace('"', "\"\"");
        let column = |row| format!("ALTER COLUMN \"{}\" TYPE text COLLATE \"C\"", quoted(row));
        let mut actions: Vec<String> = texts.iter().map(column).collect();
        if changes {
            // With room beside rows that change a few times soon after they came, no index has to be touched.
            actions.push("SET (fillfactor = 60)".into());
        }
        if actions.is_empty() { Ok(()) } else { self.run(&format!("ALTER TABLE {table} {}", actions.join(", "))) }
    }

    fn analyze(&mut self, table: &str) -> Result<(), Error> {
        self.run(&format!("ANALYZE {table}"))
    }

    fn columns(&mut self, table: &str) -> Result<Vec<String>, Error> {
        let sql = "SELECT CAST(column_name AS text) FROM information_schema.columns \
            WHERE table_schema = $1 AND table_name = $2 ORDER BY ordinal_position";
        let rows = self.query(sql, &[self.schema.clone().into(), table.into()])?;
        Ok(rows.iter().map(|row| crate::text(row, 0).to_owned()).collect())
    }

    fn show(&mut self, view: &str, table: &str) -> Result<(), Error> {
        // Who reads at the moment is waited for, but nobody waits long behind us.
        self.run("SET LOCAL lock_timeout = '5s'")?;
        self.run(&format!("DROP VIEW IF EXISTS {view}; CREATE VIEW {view} AS SELECT * FROM {table}"))
    }

    fn is_there(&self) -> bool {
        !self.client.is_closed()
    }

    fn forget(&mut self) {
        self.statements.clear();
    }
}

/// A text that is JSON.
#[derive(Debug)]
struct Json<'a>(&'a str);

impl ToSql for Json<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        // The version of jsonb's binary form.
        out.put_u8(1);
        out.put_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(of: &Type) -> bool {
        *of == Type::JSONB
    }

    to_sql_checked!();
}

impl ToSql for Value {
    fn to_sql(&self, of: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match (self, of) {
            (Value::Null, _) => Ok(IsNull::Yes),
            (Value::Int(number), &Type::INT4) => i32::try_from(*number)?.to_sql(of, out),
            (Value::Int(number), &Type::INT8) => number.to_sql(of, out),
            (Value::Int(number), _) => number.to_string().to_sql(of, out),
            (Value::Text(text), _) => text.to_sql(of, out),
        }
    }

    fn accepts(of: &Type) -> bool {
        matches!(*of, Type::INT4 | Type::INT8 | Type::TEXT | Type::VARCHAR | Type::NAME | Type::UNKNOWN)
    }

    to_sql_checked!();
}

/// A row as the projector's own statements want it: what is not a number is a text.
pub fn row(row: &tokio_postgres::Row) -> Row {
    let value = |index: usize| {
        let found = match *row.columns()[index].type_() {
            Type::INT8 => row.try_get::<_, Option<i64>>(index).map(|number| number.map(Value::Int)),
            Type::INT4 => row.try_get::<_, Option<i32>>(index).map(|number| number.map(|n| Value::Int(n.into()))),
            Type::INT2 => row.try_get::<_, Option<i16>>(index).map(|number| number.map(|n| Value::Int(n.into()))),
            Type::BOOL => row.try_get::<_, Option<bool>>(index).map(|yes| yes.map(|yes| Value::Int(yes.into()))),
            _ => row.try_get::<_, Option<String>>(index).map(|text| text.map(Value::Text)),
        };
        found.ok().flatten().unwrap_or(Value::Null)
    };
    (0..row.len()).map(value).collect()
}

/// An error and what it is from, in one line: the outer one alone says "db error".
pub fn chain(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        let more = [error.detail(), error.hint()].into_iter().flatten().map(|more| format!(" ({more})"));
        return format!("{}{}", error.message(), more.collect::<String>());
    }
    let source = std::error::Error::source(error).map_or(String::new(), |source| format!(": {source}"));
    format!("{error}{source}")
}

/// A failure before a statement runs.
fn preparing(error: &tokio_postgres::Error) -> Error {
    let mut found = failure(error);
    if found.kind == Kind::Data && error.code().is_some_and(|code| !code.code().starts_with("2")) {
        found.kind = Kind::Statement;
    }
    found
}

/// By the class of PostgreSQL's error code.
pub fn failure(error: &tokio_postgres::Error) -> Error {
    let at = error.as_db_error().and_then(|error| match error.position() {
        // Characters from 1; statements are ASCII but for comments.
        Some(tokio_postgres::error::ErrorPosition::Original(at)) => Some(*at as usize - 1),
        _ => None,
    });
    let kind = match error.code() {
        None => Kind::Away,
        Some(code) if *code == SqlState::UNDEFINED_TABLE || *code == SqlState::INVALID_SCHEMA_NAME => Kind::Missing,
        Some(code) if *code == SqlState::INVALID_PASSWORD || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            Kind::Away
        }
        Some(code) => match &code.code()[..2] {
            // Data exceptions, violated constraints.
            "22" | "23" => Kind::Data,
            // Syntax, names, types, rights; features that are not there.
            "42" | "0A" => Kind::Statement,
            _ => Kind::Away,
        },
    };
    Error { kind, what: chain(error), at }
}
