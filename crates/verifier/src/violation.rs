//! What can be wrong with a log.

use eventlog::Position;
use serde::Serialize;
use std::fmt;

/// The kinds of what can be wrong; the names that `books` has in reports.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Bytes, chain, positions, versions, or an event that cannot be read.
    LogDamaged,
    /// A place with two owners, more than there are, or one that is not for sale.
    PlacesSoldTwice,
    /// Arithmetic: balances, prices, sums.
    PointsOff,
    /// A payment, refund or confirmation without what it rests on, or twice.
    PurchasesBroken,
    /// Somebody in a queue was let in, passed over or drawn, and it was not their turn.
    QueueOrderBroken,
    /// A queue let somebody in whom its policy, its state or the hour did not.
    QueuePolicyBroken,
    /// Any other rule of `domain.md`: limits, times, states, counts.
    RulesBroken,
}

impl Kind {
    pub const ALL: [Kind; 7] = [
        Kind::LogDamaged,
        Kind::PlacesSoldTwice,
        Kind::PointsOff,
        Kind::PurchasesBroken,
        Kind::QueueOrderBroken,
        Kind::QueuePolicyBroken,
        Kind::RulesBroken,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Kind::LogDamaged => "log_damaged",
            Kind::PlacesSoldTwice => "places_sold_twice",
            Kind::PointsOff => "points_off",
            Kind::PurchasesBroken => "purchases_broken",
            Kind::QueueOrderBroken => "queue_order_broken",
            Kind::QueuePolicyBroken => "queue_policy_broken",
            Kind::RulesBroken => "rules_broken",
        }
    }
}

/// The first thing that is wrong, and where. The position is the event's that shows it; past the last one for what the
/// whole log shows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Violation {
    pub position: Position,
    pub kind: Kind,
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "position {}: {} ({})", self.position, self.what, self.kind.as_str())
    }
}

impl std::error::Error for Violation {}

impl Violation {
    /// What the log itself found wrong with its bytes; `None` when it could not be read for another reason.
    pub fn of_log(error: &eventlog::Error) -> Option<Violation> {
        match error {
            eventlog::Error::Damaged { position, what } => {
                Some(Violation { position: *position, kind: Kind::LogDamaged, what: what.clone() })
            }
            _ => None,
        }
    }
}

/// A violation whose position is not known yet.
pub type Fault = (Kind, String);

/// `Ok` when it holds.
pub fn ensure(holds: bool, kind: Kind, what: impl FnOnce() -> String) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err((kind, what())) }
}

/// `Ok` when two values that must be equal are.
pub fn same<T: PartialEq + fmt::Debug>(kind: Kind, what: &str, recorded: T, expected: T) -> Result<(), Fault> {
    ensure(recorded == expected, kind, || format!("{what} is {recorded:?}, must be {expected:?}"))
}
