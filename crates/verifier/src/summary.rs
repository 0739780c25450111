//! What a log that holds has in it.

use super::violation::Kind;
use base::id::{OrganizerId, PerformanceId, ReservationId};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Purchases in flight that are listed by name; beyond that they are only counted.
pub const IN_FLIGHT_LISTED_MAX: usize = 100;

/// Counts of a log.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub struct Summary {
    pub events: u64,
    pub streams: u64,
    pub organizers: u64,
    pub concerts: u64,
    pub performances: u64,
    pub performances_cancelled: u64,
    /// Of these, the ones whose refunds are not finished.
    pub performances_being_cancelled: u64,
    pub users: u64,
    pub users_erased: u64,
    pub passwords_changed: u64,
    /// Single ones, by log-out.
    pub sessions_ended: u64,
    pub wallets: u64,
    /// Seats and standing places of all performances.
    pub places: u64,
    pub places_sold: u64,
    pub places_held: u64,
    pub places_blocked: u64,
    pub holds: u64,
    pub holds_released: u64,
    pub holds_expired: u64,
    pub payments_refused: u64,
    pub purchases_complete: u64,
    pub purchases_in_flight: u64,
    pub cancellations: u64,
    pub queues: u64,
    /// Entries of all queues.
    pub entries_joined: u64,
    pub entries_admitted: u64,
    /// Sessions that were completed.
    pub entries_finished: u64,
    /// Sessions that ended by themselves.
    pub entries_expired: u64,
    /// Those who left, and those whose place was given up.
    pub entries_left: u64,
    /// When the log ended; those who were passed over included.
    pub entries_waiting: u64,
    /// Admitted or active when the log ended.
    pub entries_inside: u64,
    pub charges: u64,
    pub points_charged: u64,
    pub points_spent: u64,
    pub points_refunded: u64,
    /// Given less taken by the operator.
    pub points_adjusted: i128,
    /// What the wallets have.
    pub points_outstanding: u128,
    /// The same by organizer, as the reconciliation has it: the first [`ACCOUNTS_LISTED_MAX`]. Nobody's has no id.
    pub accounts: Vec<ListedAccount>,
    /// Payments and cancellations that were begun and not settled when the log ended: the first
    /// [`IN_FLIGHT_LISTED_MAX`].
    pub in_flight: Vec<InFlight>,
}

/// Accounts that are listed by organizer.
pub const ACCOUNTS_LISTED_MAX: usize = 100;

/// Points on one account.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Attributed {
    pub charged: i128,
    pub spent: i128,
    pub refunded: i128,
    pub adjusted: i128,
}

/// An account, and whose it is.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ListedAccount {
    pub organizer: Option<OrganizerId>,
    #[serde(flatten)]
    pub points: Attributed,
    pub outstanding: i128,
}

impl Attributed {
    /// What the wallets have more because of it.
    pub fn net(&self) -> i128 {
        self.charged - self.spent + self.refunded + self.adjusted
    }

    pub(super) fn add(&mut self, more: &Attributed) {
        self.charged += more.charged;
        self.spent += more.spent;
        self.refunded += more.refunded;
        self.adjusted += more.adjusted;
    }
}

/// A payment or cancellation that was begun and not settled. The next server that runs on the log settles it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct InFlight {
    pub reservation: ReservationId,
    pub performance: PerformanceId,
    pub waits_for: &'static str,
}

impl Summary {
    pub(super) fn add_in_flight(&mut self, purchase: InFlight) {
        self.purchases_in_flight += 1;
        if self.in_flight.len() < IN_FLIGHT_LISTED_MAX {
            self.in_flight.push(purchase);
        }
    }

    pub(super) fn attribute(&mut self, accounts: &BTreeMap<Option<OrganizerId>, Attributed>) {
        let listed = accounts.iter().take(ACCOUNTS_LISTED_MAX);
        self.accounts = listed
            .map(|(organizer, points)| ListedAccount {
                organizer: *organizer,
                points: *points,
                outstanding: points.net(),
            })
            .collect();
    }

    /// Name and count, for people.
    pub fn rows(&self) -> Vec<(&'static str, i128)> {
        vec![
            ("events", self.events.into()),
            ("streams", self.streams.into()),
            ("organizers", self.organizers.into()),
            ("concerts", self.concerts.into()),
            ("performances", self.performances.into()),
            ("  cancelled", self.performances_cancelled.into()),
            ("    not finished", self.performances_being_cancelled.into()),
            ("users", self.users.into()),
            ("  erased", self.users_erased.into()),
            ("wallets", self.wallets.into()),
            ("places", self.places.into()),
            ("  sold", self.places_sold.into()),
            ("  held", self.places_held.into()),
            ("  blocked", self.places_blocked.into()),
            ("holds", self.holds.into()),
            ("  released", self.holds_released.into()),
            ("  expired", self.holds_expired.into()),
            ("payments refused", self.payments_refused.into()),
            ("purchases complete", self.purchases_complete.into()),
            ("purchases in flight", self.purchases_in_flight.into()),
            ("cancellations", self.cancellations.into()),
            ("queues", self.queues.into()),
            ("  joined", self.entries_joined.into()),
            ("  admitted", self.entries_admitted.into()),
            ("  finished", self.entries_finished.into()),
            ("  expired", self.entries_expired.into()),
            ("  left", self.entries_left.into()),
            ("  waiting", self.entries_waiting.into()),
            ("  inside", self.entries_inside.into()),
            ("charges", self.charges.into()),
            ("points charged", self.points_charged.into()),
            ("points spent", self.points_spent.into()),
            ("points refunded", self.points_refunded.into()),
            ("points adjusted", self.points_adjusted),
            ("points outstanding", self.points_outstanding as i128),
        ]
    }
}

/// The `books` of a report: `ok`, and a count of each kind of violation (1 for the first one found, at most).
pub fn books(found: Option<Kind>) -> Map<String, Value> {
    let mut books = Map::from_iter([("ok".to_string(), found.is_none().into())]);
    for kind in Kind::ALL {
        books.insert(kind.as_str().into(), u64::from(found == Some(kind)).into());
    }
    books
}
