//! Tools.

pub mod log;
pub mod simulate;
pub mod source;
pub mod verify;
