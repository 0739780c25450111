//! Read models: the same rows however they came about, in SQLite and PostgreSQL; what goes wrong, and what is said then.
//!
//! PostgreSQL and Kafka are those of `ONSALE_TEST_POSTGRES` and `ONSALE_TEST_KAFKA`, or what `scripts/services up` starts.

mod common;
mod projections {
    mod archived;
    mod doctor;
    mod faults;
    mod files;
    mod from_kafka;
    mod lists;
    mod outages;
    pub mod places;
    mod rows;
    mod tls;
    pub mod tools;
}
