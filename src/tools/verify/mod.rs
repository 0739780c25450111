//! `onsale verify`: reads a log from its first event to its last and says whether the books hold.
//!
//! - [`books`]: the checker; [`house`] one performance in it, [`seating`] its places
//! - [`violation`], [`summary`]: what it finds

pub mod books;
mod house;
mod seating;
pub mod summary;
#[cfg(test)]
mod tests;
pub mod violation;

pub use books::Books;
pub use summary::Summary;
pub use violation::{Kind, Violation};
