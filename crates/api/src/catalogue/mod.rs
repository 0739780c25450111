//! What there is to buy, and what is left of it.

pub mod availability;
pub mod concerts;
pub mod performances;
pub mod search;
