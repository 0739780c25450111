//! A draw that was made beforehand.

use super::ranks::Ranks;
use crate::queue::draw::Seed;
use std::sync::Arc;

/// A draw of the line as it was at an instant, made beforehand: of a million it takes a good part of a second.
#[derive(Clone)]
pub struct Drawn(pub(super) Arc<OfLine>);

pub(super) struct OfLine {
    pub(super) seed: Seed,
    /// The line's tickets that it is of.
    pub(super) tickets: Vec<u8>,
    pub(super) sealed: String,
    pub(super) drawn: Arc<Vec<u32>>,
    pub(super) places: Arc<Vec<u32>>,
    pub(super) ranks: Ranks,
}

impl Drawn {
    /// The seal of what was drawn, and how many were.
    pub fn sealed(&self) -> (&str, u32) {
        (&self.0.sealed, self.0.drawn.len() as u32)
    }
}

impl std::fmt::Debug for Drawn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Drawn(…)")
    }
}

/// Events that differ in it alone are the same.
impl PartialEq for Drawn {
    fn eq(&self, _: &Drawn) -> bool {
        true
    }
}
