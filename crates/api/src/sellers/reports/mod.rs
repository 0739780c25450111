//! Organizers' reports: what was sold by performance, grade and hour, each reservation of a performance, and how a queue went
//! minute by minute. As JSON or CSV, streamed: a report has as many lines as there are.

mod lines;
pub mod minutes;
pub mod reservations;
pub mod sales;
