//! People who wait until it is their turn.

pub mod admission_token;
pub mod admissions;
pub mod draws;
pub mod entries;
pub mod entry_access;
pub mod handover;
pub mod line;
pub mod notice;
pub mod page;
pub mod queue;
pub mod signing_keys;
pub mod statistics;
pub mod stock;
