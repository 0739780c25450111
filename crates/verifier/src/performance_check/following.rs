//! Times of a performance that follow its start.

use super::super::violation::{Fault, Kind, same};
use domain::performance::Terms;

/// A time that follows the start is that of the start.
pub(super) fn check_following(terms: &Terms) -> Result<(), Fault> {
    let (starts, follows) = (terms.starts_at_ms, terms.follows());
    let table = [
        ("sale_closes_at_ms", follows.sale_closes_at, terms.sale_closes_at_ms),
        ("cancellation_closes_at_ms", follows.cancellation_closes_at, terms.cancellation_closes_at_ms),
    ];
    table
        .into_iter()
        .filter(|(_, follows, _)| *follows)
        .try_for_each(|(name, _, at)| same(Kind::RulesBroken, name, at, starts))
}
