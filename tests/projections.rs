//! Read models: the same rows however they came about, in SQLite and PostgreSQL; what goes wrong, and what is said then.
//!
//! PostgreSQL is the one of `ONSALE_TEST_POSTGRES`, or what `scripts/services up postgres` starts.

mod common;
mod projections {
    mod faults;
    mod files;
    mod lists;
    pub mod places;
    mod rows;
    mod tools;
}
