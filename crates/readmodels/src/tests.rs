//! The built-in projections' statements make sense to SQLite. What they make of events: `tests/projections.rs`.

use super::projection;
use super::store::sqlite::Sqlite;
use crate::checkpoints;
use crate::rebuild::{Filling, PoisonPolicy};

#[test]
fn the_built_in_projections_are_sql() {
    let projections = projection::load(None).unwrap();
    let mut store = Sqlite::in_memory().unwrap();
    checkpoints::open(&mut store, uuid::Uuid::nil()).unwrap();
    let mut filling = Filling::begin(&mut store, &projections, PoisonPolicy::Fail, false).unwrap();
    filling.index(&mut store).unwrap();
}
