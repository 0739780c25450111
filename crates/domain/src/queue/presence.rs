//! Who is there: those who wait give signs of life, which are in memory only.

use base::id::Millis;

/// Tells who is there. Known from signs of life, in memory only.
pub trait Presence: Send + Sync + std::fmt::Debug {
    /// Whether somebody who waits has not been heard of for longer than they were told to stay silent.
    fn is_away(&self, ticket: u32, now: Millis) -> bool;

    /// Whether those who answer know of somebody. It cannot be the turn of others yet.
    fn knows(&self, ticket: u32) -> bool;

    /// It is somebody's turn. Gives when they will have learned of it at the latest, if they ask when they were told to.
    /// From here on they are told to ask again soon, so that this stays true.
    fn summon(&self, ticket: u32, now: Millis) -> Millis;
}

/// Everybody is there.
#[derive(Debug)]
pub struct AllPresent;

impl Presence for AllPresent {
    fn is_away(&self, _: u32, _: Millis) -> bool {
        false
    }

    fn knows(&self, _: u32) -> bool {
        true
    }

    fn summon(&self, _: u32, now: Millis) -> Millis {
        now
    }
}
