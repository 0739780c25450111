//! The state of a sale, at any instant.

use base::id::Millis;
use serde::{Deserialize, Serialize};

/// The organizer's hand on the sale.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Sale {
    #[default]
    Running,
    Paused,
    Closed,
    Cancelled,
}

/// The state of a performance's sale at an instant. Sold out is derived from the number available.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SaleState {
    Scheduled,
    OnSale,
    Paused,
    Closed,
    /// It will not take place.
    Cancelled,
}

/// What tells the state of a sale at any instant, until the next change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    pub sale: Sale,
    pub opens_at_ms: Millis,
    pub closes_at_ms: Millis,
}

impl Hours {
    /// The state of the sale at `now`.
    pub fn state(&self, now: Millis) -> SaleState {
        sale_state(self.sale, self.opens_at_ms, self.closes_at_ms, now)
    }
}

/// The state at `now` of a sale with these hours.
pub fn sale_state(sale: Sale, opens_at: Millis, closes_at: Millis, now: Millis) -> SaleState {
    match sale {
        Sale::Cancelled => SaleState::Cancelled,
        Sale::Closed => SaleState::Closed,
        _ if now >= closes_at => SaleState::Closed,
        Sale::Paused => SaleState::Paused,
        Sale::Running if now < opens_at => SaleState::Scheduled,
        Sale::Running => SaleState::OnSale,
    }
}
