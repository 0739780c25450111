//! Places, and which of them are free.
//!
//! - [`chart`]: sections, rows, areas and labels; [`vacancy`]: free seats as bits
//! - [`best`]: the next best ones, and what to offer instead of taken ones

pub mod best;
pub mod chart;
pub mod vacancy;
