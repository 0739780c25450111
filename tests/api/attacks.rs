//! Those who have no manners.

pub mod admissions;
mod logs;
mod malformed;
mod slow;
mod stuffing;
