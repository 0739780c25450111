//! Tools.

pub mod log;
pub mod simulate;
pub mod verify;
