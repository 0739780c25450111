//! The projector's own tables, beside those of the read models: up to which position they are, and which are live.
//!
//! - `onsale_read_model`: one row, the log and the checkpoint of all live tables
//! - `onsale_builds`: each set of tables of each projection, with the statements that fill it
//! - `onsale_parked`: events that a projection could not apply

use super::event::Event;
use super::projection::Projection;
use super::store::Store;
use super::{Error, Kind, Row, Value, int, text};
use eventlog::Position;
use uuid::Uuid;

/// The shape of these tables. A newer one is refused.
pub const LAYOUT: u64 = 1;
/// Parked events of one build; with one more the projection stops.
pub const PARKED_MAX: u64 = 1_000;

const TABLES: [&str; 3] = [
    "CREATE TABLE IF NOT EXISTS onsale_read_model (id BIGINT PRIMARY KEY, layout BIGINT NOT NULL, log_id TEXT NOT NULL, \
     position BIGINT NOT NULL, generation BIGINT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS onsale_builds (projection TEXT NOT NULL, build BIGINT NOT NULL, version BIGINT NOT NULL, \
     fingerprint TEXT NOT NULL, definition TEXT NOT NULL, state TEXT NOT NULL, position BIGINT NOT NULL, reason TEXT, \
     indexed BIGINT NOT NULL, PRIMARY KEY (projection, build))",
    "CREATE TABLE IF NOT EXISTS onsale_parked (projection TEXT NOT NULL, build BIGINT NOT NULL, position BIGINT NOT NULL, \
     stream_id TEXT NOT NULL, version BIGINT NOT NULL, type TEXT NOT NULL, reason TEXT NOT NULL, \
     PRIMARY KEY (projection, build, position))",
];

/// What a build is good for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// The view shows it.
    Live,
    /// It is not complete yet.
    Filling,
    /// It was live before, and can be again.
    Previous,
    /// It was live and cannot go on.
    Failed,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            State::Live => "live",
            State::Filling => "filling",
            State::Previous => "previous",
            State::Failed => "failed",
        }
    }

    fn parse(text: &str) -> State {
        let all = [State::Live, State::Filling, State::Previous];
        all.into_iter().find(|state| state.as_str() == text).unwrap_or(State::Failed)
    }
}

/// A set of tables of a projection.
#[derive(Clone, Debug)]
pub struct Build {
    pub number: u64,
    pub state: State,
    /// Up to where it is filled; of a live one the checkpoint says that.
    pub position: Position,
    /// Why it failed.
    pub reason: Option<String>,
    /// Whether it has its indices.
    pub indexed: bool,
    /// What fills it, as it was when the build was begun.
    pub projection: Projection,
}

/// Everything that is noted.
pub struct Books {
    pub position: Position,
    /// Raised whenever other tables become the live ones: whoever keeps the old ones up to date must not go on.
    pub generation: u64,
    pub builds: Vec<Build>,
}

impl Books {
    pub fn live(&self, name: &str) -> Option<&Build> {
        self.builds.iter().find(|build| build.state == State::Live && build.projection.name == name)
    }

    /// The newest build of a projection in a state.
    pub fn newest(&self, name: &str, state: State) -> Option<&Build> {
        let of = self.builds.iter().filter(|build| build.state == state && build.projection.name == name);
        of.max_by_key(|build| build.number)
    }
}

/// Makes the tables, or checks that they are this binary's and this log's. To be called outside of a transaction.
pub fn open(store: &mut dyn Store, log_id: Uuid) -> Result<(), Error> {
    store.begin()?;
    let opened = open_within(store, log_id);
    match opened {
        Ok(()) => store.commit(),
        Err(error) => store.rollback().and(Err(error)),
    }
}

fn open_within(store: &mut dyn Store, log_id: Uuid) -> Result<(), Error> {
    let there = !store.columns("onsale_read_model")?.is_empty();
    if there {
        let found = store.query("SELECT layout, log_id FROM onsale_read_model WHERE id = 1", &[])?;
        if let Some(row) = found.first() {
            return check(int(row, 0), text(row, 1), log_id);
        }
    }
    for table in TABLES {
        store.run(table)?;
    }
    let insert = "INSERT INTO onsale_read_model (id, layout, log_id, position, generation) VALUES (1, $1, $2, 0, 0)";
    store.execute(insert, &[LAYOUT.into(), log_id.to_string().into()]).map(drop)
}

fn check(layout: u64, of_log: &str, log_id: Uuid) -> Result<(), Error> {
    if layout > LAYOUT {
        return Err(Error::refused(format!(
            "the read model has layout {layout}, this onsale knows up to {LAYOUT}: use the newer onsale that wrote it"
        )));
    }
    if of_log != log_id.to_string() {
        return Err(Error::refused(format!(
            "the read model is of the log {of_log}, and this is the log {log_id}: name another file or schema, or drop it"
        )));
    }
    Ok(())
}

/// Whether there are tables of ours; nobody may have made them yet.
pub fn exist(store: &mut dyn Store) -> Result<bool, Error> {
    Ok(!store.columns("onsale_read_model")?.is_empty())
}

/// The log that the tables are of; none when there are no tables yet.
pub fn log_id(store: &mut dyn Store) -> Result<Option<Uuid>, Error> {
    if !exist(store)? {
        return Ok(None);
    }
    let found = store.query("SELECT log_id FROM onsale_read_model WHERE id = 1", &[])?;
    Ok(found.first().and_then(|row| text(row, 0).parse().ok()))
}

/// Reads everything.
pub fn read(store: &mut dyn Store) -> Result<Books, Error> {
    let found = store.query("SELECT position, generation FROM onsale_read_model WHERE id = 1", &[])?;
    let row = found.first().ok_or_else(lost)?;
    let (position, generation) = (Position(int(row, 0)), int(row, 1));
    let sql = "SELECT projection, build, version, fingerprint, definition, state, position, reason, indexed \
        FROM onsale_builds ORDER BY projection, build";
    let builds = store.query(sql, &[])?.iter().map(build).collect::<Result<_, _>>()?;
    Ok(Books { position, generation, builds })
}

fn build(row: &Row) -> Result<Build, Error> {
    let (name, number) = (text(row, 0), int(row, 1));
    let file = format!("{name}.sql of build {number}");
    let projection = Projection::parse(name, &file, text(row, 4))
        .map_err(|invalid| Error::refused(format!("onsale_builds: {invalid}")))?;
    let state = State::parse(text(row, 5));
    let reason = row[7].text().map(str::to_owned);
    Ok(Build { number, state, position: Position(int(row, 6)), reason, indexed: int(row, 8) == 1, projection })
}

/// The checkpoint.
pub fn position(store: &mut dyn Store) -> Result<Position, Error> {
    let found = store.query("SELECT position FROM onsale_read_model WHERE id = 1", &[])?;
    Ok(Position(int(found.first().ok_or_else(lost)?, 0)))
}

fn lost() -> Error {
    Error::new(Kind::Missing, "the checkpoint was deleted")
}

/// Waits until nobody else moves the checkpoint, until the end of the transaction; gives it.
pub fn hold_position(store: &mut dyn Store) -> Result<Position, Error> {
    store.execute("UPDATE onsale_read_model SET position = position WHERE id = 1", &[])?;
    position(store)
}

/// Moves the checkpoint, in the transaction that changes the tables. False when it is not where it was left, or others are
/// live than were then.
pub fn advance(store: &mut dyn Store, generation: u64, from: Position, to: Position) -> Result<bool, Error> {
    let sql = "UPDATE onsale_read_model SET position = $1 WHERE id = 1 AND position = $2 AND generation = $3";
    Ok(store.execute(sql, &[to.0.into(), from.0.into(), generation.into()])? == 1)
}

/// Notes that other tables are live now, in the transaction that makes them so.
pub fn raise_generation(store: &mut dyn Store) -> Result<(), Error> {
    store.execute("UPDATE onsale_read_model SET generation = generation + 1 WHERE id = 1", &[]).map(drop)
}

/// The same for a build that is being filled.
pub fn advance_build(store: &mut dyn Store, build: &Build, from: Position, to: Position) -> Result<bool, Error> {
    let sql = "UPDATE onsale_builds SET position = $1 WHERE projection = $2 AND build = $3 AND position = $4";
    let parameters = [to.0.into(), build.projection.name.clone().into(), build.number.into(), from.0.into()];
    Ok(store.execute(sql, &parameters)? == 1)
}

pub fn set_state(store: &mut dyn Store, build: &Build, state: State, reason: Option<&str>) -> Result<(), Error> {
    let sql = "UPDATE onsale_builds SET state = $1, reason = $2 WHERE projection = $3 AND build = $4";
    let reason = reason.map_or(Value::Null, Value::from);
    let parameters = [state.as_str().into(), reason, build.projection.name.clone().into(), build.number.into()];
    store.execute(sql, &parameters).map(drop)
}

pub fn set_indexed(store: &mut dyn Store, build: &Build) -> Result<(), Error> {
    let sql = "UPDATE onsale_builds SET indexed = 1 WHERE projection = $1 AND build = $2";
    store.execute(sql, &[build.projection.name.clone().into(), build.number.into()]).map(drop)
}

/// Makes the tables of a new build of `projection`, within a transaction, and checks its statements.
pub fn create(store: &mut dyn Store, books: &Books, projection: &Projection) -> Result<Build, Error> {
    let of = books.builds.iter().filter(|build| build.projection.name == projection.name);
    let number = of.map(|build| build.number).max().unwrap_or(0) + 1;
    let build = Build {
        number,
        state: State::Filling,
        position: Position(0),
        reason: None,
        indexed: false,
        projection: projection.clone(),
    };
    create_tables(store, &build)?;
    for table in &projection.tables {
        store.tune(&format!("{table}__{number}"), projection.updates(table))?;
    }
    for statement in &projection.apply {
        let (sql, places) = projection.of_build(statement, number);
        store.check(&sql).map_err(|error| placed(projection, statement, &places, error))?;
    }
    note(store, &build)?;
    Ok(build)
}

/// Makes a build's tables anew.
pub fn create_tables(store: &mut dyn Store, build: &Build) -> Result<(), Error> {
    let projection = &build.projection;
    drop_tables(store, build)?;
    for statement in &projection.create_tables {
        let (sql, places) = projection.of_build(statement, build.number);
        store.run(&sql).map_err(|error| placed(projection, statement, &places, error))?;
    }
    Ok(())
}

/// Notes a build that is begun.
pub fn note(store: &mut dyn Store, build: &Build) -> Result<(), Error> {
    let insert = "INSERT INTO onsale_builds \
        (projection, build, version, fingerprint, definition, state, position, reason, indexed) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, NULL, 0)";
    let projection = &build.projection;
    let parameters = [
        projection.name.clone().into(),
        build.number.into(),
        projection.version.into(),
        projection.fingerprint.clone().into(),
        projection.text.clone().into(),
        build.state.as_str().into(),
        build.position.0.into(),
    ];
    store.execute(insert, &parameters).map(drop)
}

/// Makes a build's indices, within a transaction; the tables are filled.
pub fn create_indices(store: &mut dyn Store, build: &Build) -> Result<(), Error> {
    let projection = &build.projection;
    for statement in &projection.create_indices {
        let (sql, places) = projection.of_build(statement, build.number);
        store.run(&sql).map_err(|error| placed(projection, statement, &places, error))?;
    }
    for table in &projection.tables {
        store.analyze(&format!("{table}__{}", build.number))?;
    }
    set_indexed(store, build)
}

/// Takes a build away, within a transaction.
pub fn remove(store: &mut dyn Store, build: &Build) -> Result<(), Error> {
    drop_tables(store, build)?;
    for table in ["onsale_parked", "onsale_builds"] {
        let sql = format!("DELETE FROM {table} WHERE projection = $1 AND build = $2");
        store.execute(&sql, &[build.projection.name.clone().into(), build.number.into()])?;
    }
    Ok(())
}

fn drop_tables(store: &mut dyn Store, build: &Build) -> Result<(), Error> {
    store.forget();
    for table in build.projection.tables.iter().rev() {
        store.run(&format!("DROP TABLE IF EXISTS {table}__{}", build.number))?;
    }
    Ok(())
}

/// The error with file, line and column before it.
pub fn placed(
    projection: &Projection,
    statement: &super::projection::Statement,
    places: &[(usize, usize)],
    error: Error,
) -> Error {
    if !matches!(error.kind, Kind::Statement | Kind::Missing | Kind::Data) {
        return error;
    }
    let at = super::sql::origin(places, error.at.unwrap_or(0));
    let place = projection.place(statement, at);
    error.within(place)
}

/// Notes an event that a build could not apply.
pub fn park(store: &mut dyn Store, build: &Build, event: &Event, reason: &str) -> Result<(), Error> {
    let insert = "INSERT INTO onsale_parked (projection, build, position, stream_id, version, type, reason) \
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let parameters = [
        build.projection.name.clone().into(),
        build.number.into(),
        event.position.0.into(),
        event.stream_id.clone().into(),
        event.version.into(),
        (&*event.kind).into(),
        reason.into(),
    ];
    store.execute(insert, &parameters).map(drop)
}

/// An event that was parked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parked {
    pub projection: String,
    pub build: u64,
    pub position: Position,
    pub stream_id: String,
    pub kind: String,
    pub reason: String,
}

pub fn parked(store: &mut dyn Store) -> Result<Vec<Parked>, Error> {
    let sql = "SELECT projection, build, position, stream_id, type, reason FROM onsale_parked \
        ORDER BY projection, build, position";
    let parked = |row: &Row| Parked {
        projection: text(row, 0).into(),
        build: int(row, 1),
        position: Position(int(row, 2)),
        stream_id: text(row, 3).into(),
        kind: text(row, 4).into(),
        reason: text(row, 5).into(),
    };
    Ok(store.query(sql, &[])?.iter().map(parked).collect())
}

/// How many events of a build are parked.
pub fn parked_count(store: &mut dyn Store, build: &Build) -> Result<u64, Error> {
    let sql = "SELECT CAST(count(*) AS BIGINT) FROM onsale_parked WHERE projection = $1 AND build = $2";
    let found = store.query(sql, &[build.projection.name.clone().into(), build.number.into()])?;
    Ok(found.first().map_or(0, |row| int(row, 0)))
}
