//! The commands beside `serve`, and what only they do; the larger ones are crates ([`verifier`], [`lab`]).
//!
//! - [`archive`]: moves a log's old events to compressed files, and back
//! - [`backup`]: ships a data folder elsewhere, and makes one of what is there
//! - [`log`]: prints a log's events
//! - [`admin`]: what an operator does over HTTP, from the shell
//! - [`doctor`]: looks at the machine before a sale
//! - [`draw`]: checks the draw of a queue
//! - [`config`]: the effective configuration
//! - [`read_models`]: keeps, makes anew and lists read models

pub mod admin;
pub mod archive;
pub mod backup;
pub mod config;
pub mod doctor;
pub mod draw;
mod instant;
pub mod log;
pub mod read_models;
