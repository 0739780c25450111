//! People who wait until it is their turn.

pub mod admission_token;
pub mod admissions;
pub mod draws;
pub mod entries;
pub mod entry_access;
pub mod queue;
pub mod signing_keys;
pub mod statistics;
