//! Tools.

pub mod simulate;
pub mod verify;
