//! What aggregates owe each other: the only place that knows two of them.
//!
//! - [`purchase`]: a performance and a wallet

pub mod purchase;
