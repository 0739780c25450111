//! What goes around every route.

pub mod client_address;
pub mod connections;
pub mod cors;
pub mod known_addresses;
pub mod observe;
pub mod rate_limits;
pub mod trace;
