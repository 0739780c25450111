//! sled behind the journal: where events stay.
//!
//! - [`tier`]: what is written to it and read from it
//! - [`mod@block`]: chunks as they are in it, compressed
//! - [`mod@file`]: its file, read without it, for who changes nothing
//! - [`salvage`]: looks for events in its file without it, where it is not to be trusted

pub mod block;
pub(crate) mod file;
pub(crate) mod salvage;
pub(crate) mod tier;

/// sled's folder.
pub(crate) const SLED: &str = "sled";
