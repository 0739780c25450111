//! A batch of events into tables.

use super::event::Event;
use super::projection::Statement;
use super::store::Store;
use super::{Error, Kind};
use crate::checkpoints::{self, Build, PARKED_MAX};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// What an event is in a batch beside its data, about.
const ROW_BYTES: usize = 100;

/// The statements of a build, ready to be run.
pub struct Ready {
    pub build: Build,
    /// What the last batch took, where that was measured.
    pub took: Option<Took>,
    statements: Vec<Prepared>,
}

/// What a batch took.
#[derive(Default)]
pub struct Took {
    pub statements: Duration,
    /// Loading the events, by type. Builds that are filled together share this.
    pub loading: BTreeMap<String, Duration>,
}

/// The types of a batch's events, and how many bytes these are.
pub type Types<'a> = BTreeMap<&'a str, usize>;

struct Prepared {
    sql: String,
    places: Vec<(usize, usize)>,
    /// Its place in the projection's list.
    index: usize,
}

impl Ready {
    pub fn new(build: Build) -> Ready {
        let statements = build.projection.apply.iter().enumerate().map(|(index, statement)| {
            let (sql, places) = build.projection.of_build(statement, build.number);
            Prepared { sql, places, index }
        });
        Ready { statements: statements.collect(), took: None, build }
    }

    /// Loads the events and runs the statements on them.
    pub fn run(&self, store: &mut dyn Store, events: &[Event]) -> Result<(), Error> {
        run_all(store, &[self], events)
    }

    /// Notes what a batch of these types took.
    pub fn note(&mut self, statements: Duration, loading: Duration, types: &Types<'_>) {
        let bytes: usize = types.values().sum();
        let each = types.iter().filter(|(kind, _)| self.takes(kind));
        let loading = each.map(|(kind, of)| ((*kind).to_owned(), loading.mul_f64(*of as f64 / bytes as f64)));
        self.took = Some(Took { statements, loading: loading.collect() });
    }

    /// Whether there is a statement for events of this type.
    fn takes(&self, kind: &str) -> bool {
        let named = self.statements.iter().map(|prepared| &self.statement(prepared).types);
        named.into_iter().any(|named| named.is_empty() || named.iter().any(|name| name == kind))
    }

    fn statement(&self, prepared: &Prepared) -> &Statement {
        &self.build.projection.apply[prepared.index]
    }

    /// What events of these types are there for.
    fn wanted<'a>(&'a self, types: &'a Types<'_>) -> impl Iterator<Item = (&'a Ready, &'a Prepared)> {
        let statements = self.statements.iter().filter(|prepared| {
            let named = &self.statement(prepared).types;
            named.is_empty() || named.iter().any(|name| types.contains_key(name.as_str()))
        });
        statements.map(move |prepared| (self, prepared))
    }
}

/// Loads the events and runs the statements of several builds on them, all in one go.
pub fn run_all(store: &mut dyn Store, builds: &[&Ready], events: &[Event]) -> Result<(), Error> {
    let types = load(store, builds, events)?;
    run_loaded(store, builds, &types)
}

/// Loads what of the events there are statements for, and gives the types of these.
pub fn load<'a>(store: &mut dyn Store, builds: &[&Ready], events: &'a [Event]) -> Result<Types<'a>, Error> {
    let mut types = types(events);
    types.retain(|kind, _| builds.iter().any(|ready| ready.takes(kind)));
    let events: Vec<&Event> = events.iter().filter(|event| types.contains_key(&*event.kind)).collect();
    store.load(&events)?;
    Ok(types)
}

/// Runs the statements of several builds on what is loaded, which has events of these types.
pub fn run_loaded(store: &mut dyn Store, builds: &[&Ready], types: &Types<'_>) -> Result<(), Error> {
    let wanted: Vec<(&Ready, &Prepared)> = builds.iter().flat_map(|ready| ready.wanted(types)).collect();
    let statements: Vec<&str> = wanted.iter().map(|(_, prepared)| prepared.sql.as_str()).collect();
    store.execute_all(&statements).map_err(|(index, error)| {
        let (ready, prepared) = wanted[index];
        checkpoints::placed(&ready.build.projection, ready.statement(prepared), &prepared.places, error)
    })
}

fn types(events: &[Event]) -> Types<'_> {
    let mut seen: HashMap<*const u8, (&str, usize)> = HashMap::new();
    for event in events {
        // Rows of one source share the name's text: comparing addresses is enough to skip most.
        seen.entry(event.kind.as_ptr()).or_insert((&event.kind, 0)).1 += ROW_BYTES + event.data.len();
    }
    let mut types = Types::new();
    seen.into_values().for_each(|(kind, bytes)| *types.entry(kind).or_default() += bytes);
    types
}

/// What became of a build in a batch.
#[derive(Debug)]
pub enum Outcome {
    /// All events are applied, but for so many that were parked.
    Applied { parked: u64 },
    /// The build cannot go on.
    Failed(Error),
}

/// Applies a batch to one build, within a transaction, in spite of events that cannot be applied: these are parked. What
/// has nothing to do with single events is an outcome, and a database that is away is an error.
pub fn apply_or_park(store: &mut dyn Store, ready: &Ready, events: &[Event]) -> Result<Outcome, Error> {
    let mut parked = checkpoints::parked_count(store, &ready.build)?;
    let before = parked;
    match halves(store, ready, events, &mut parked) {
        Ok(()) => Ok(Outcome::Applied { parked: parked - before }),
        Err(error) if matches!(error.kind, Kind::Statement | Kind::Missing) => Ok(Outcome::Failed(error)),
        Err(error) => Err(error),
    }
}

/// Applies all, or halves of it, or parks the one that is left.
fn halves(store: &mut dyn Store, ready: &Ready, events: &[Event], parked: &mut u64) -> Result<(), Error> {
    if events.is_empty() {
        return Ok(());
    }
    let Some(error) = attempt(store, ready, events)? else { return Ok(()) };
    let [event] = events else {
        let (first, second) = events.split_at(events.len() / 2);
        halves(store, ready, first, parked)?;
        return halves(store, ready, second, parked);
    };
    if *parked >= PARKED_MAX {
        let what =
            format!("more than {PARKED_MAX} events cannot be applied; the last one, {}: {error}", event.position);
        return Err(Error::new(Kind::Statement, what));
    }
    tracing::warn!(
        projection = ready.build.projection.name,
        position = event.position.0,
        error = error.what,
        "an event cannot be applied and is parked"
    );
    *parked += 1;
    checkpoints::park(store, &ready.build, event, &error.what)
}

/// Applies all or nothing, and says why it was nothing, where that is the events'.
fn attempt(store: &mut dyn Store, ready: &Ready, events: &[Event]) -> Result<Option<Error>, Error> {
    store.run("SAVEPOINT batch")?;
    match ready.run(store, events) {
        Ok(()) => store.run("RELEASE SAVEPOINT batch").map(|()| None),
        Err(error) if error.kind == Kind::Away => Err(error),
        Err(error) => {
            store.run("ROLLBACK TO SAVEPOINT batch")?;
            store.run("RELEASE SAVEPOINT batch")?;
            if error.kind == Kind::Data { Ok(Some(error)) } else { Err(error) }
        }
    }
}

/// The first event that cannot be applied, and why; leaves no trace. To be called within a transaction that is rolled back.
pub fn culprit(store: &mut dyn Store, ready: &Ready, events: &[Event]) -> Result<Option<(Event, Error)>, Error> {
    let mut rest = events;
    // What is before the culprit is applied on the way, because it may rest on that.
    loop {
        let Some(error) = attempt(store, ready, rest)? else { return Ok(None) };
        if let [event] = rest {
            return Ok(Some((event.clone(), error)));
        }
        let (first, second) = rest.split_at(rest.len() / 2);
        rest = if attempt(store, ready, first)?.is_some() { first } else { second };
    }
}
