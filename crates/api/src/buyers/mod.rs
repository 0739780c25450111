//! Who buys, with what, and what they hold.

pub mod email;
pub mod history;
pub mod holds;
pub mod me;
pub mod passwords;
pub mod reservations;
pub mod sessions;
pub mod statement;
pub mod users;
pub mod wallet;
