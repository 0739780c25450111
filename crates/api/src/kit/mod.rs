//! What handlers are made of.

pub mod blocking;
pub mod body;
pub mod compress;
pub mod csv;
pub mod defaulted;
pub mod error;
pub mod examples;
pub mod extract;
pub mod integers;
pub mod json_text;
pub mod lists;
pub mod query;
pub mod reply;
pub mod tags;
pub mod time;
