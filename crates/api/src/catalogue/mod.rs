//! What there is to buy, and what is left of it.

pub mod availability;
pub mod busiest;
pub mod concert;
pub mod concerts;
pub mod performance;
pub mod performance_request;
pub mod performances;
pub mod search;
