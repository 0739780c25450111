//! What aggregates owe each other: the only place that knows two of them.
//!
//! - [`purchase`]: a performance and a wallet
//! - [`sign_up`]: an account and a wallet

pub mod purchase;
pub mod sign_up;
