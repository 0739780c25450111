//! Who sells, and what they set up.

pub mod blocks;
pub mod cancellations;
pub mod chart_csv;
pub mod charts;
pub mod identity_provider;
pub mod keys;
pub mod organizers;
pub mod reconciliation;
pub mod reports;
