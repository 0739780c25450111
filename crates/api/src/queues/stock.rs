//! What there is to buy behind a queue: told to those who wait for it.

use crate::EngineHandle;
use base::id::{Millis, QueueId};
use domain::performance::{SaleState, Stock};
use domain::queue::Look;
use serde::Serialize;
use utoipa::ToSchema;

/// Of the cheapest and of the dearest grade, points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = PriceRange)]
pub struct Prices {
    pub from: u64,
    pub to: u64,
}

/// What the performances behind a queue have together. Those that were cancelled, or whose sale is over, do not count.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct StockShown {
    /// `None` where there is none.
    pub prices: Option<Prices>,
    /// `None` where there is none, and unless the organizer shows it.
    pub seats_left: Option<u64>,
    /// There is at least one, and no place of any is free. Holds that run out and cancellations bring places back.
    pub is_sold_out: bool,
}

impl StockShown {
    /// As durable as everything that views tell.
    pub fn behind(handle: &EngineHandle, queue: QueueId, look: &Look, now: Millis) -> StockShown {
        StockShown::of(handle.engine.views().stocks_behind(queue), look.show_seats_left, now)
    }

    fn of(stocks: Vec<Stock>, shows_seats_left: bool, now: Millis) -> StockShown {
        let over = |stock: &Stock| matches!(stock.hours.state(now), SaleState::Closed | SaleState::Cancelled);
        let mut found = StockShown::default();
        let mut left = None;
        for stock in stocks.into_iter().filter(|stock| !over(stock)) {
            let (from, to) = stock.prices;
            let prices = found.prices.get_or_insert(Prices { from, to });
            *prices = Prices { from: prices.from.min(from), to: prices.to.max(to) };
            *left.get_or_insert(0) += u64::from(stock.places_left);
        }
        StockShown { seats_left: left.filter(|_| shows_seats_left), is_sold_out: left == Some(0), ..found }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::performance::{Hours, Sale};

    const NOW: Millis = 1_800_000_000_000;

    fn stock(sale: Sale, prices: (u64, u64), places_left: u32) -> Stock {
        let hours = Hours { sale, opens_at_ms: NOW + 1_000, closes_at_ms: NOW + 2_000 };
        Stock { hours, prices, places_left }
    }

    #[test]
    fn what_can_be_had_is_added_up() {
        let (running, paused, closed, cancelled) = (Sale::Running, Sale::Paused, Sale::Closed, Sale::Cancelled);
        let table = [
            (vec![], None, None, false),
            (vec![stock(running, (50, 150), 3)], Some((50, 150)), Some(3), false),
            (vec![stock(running, (50, 150), 3), stock(paused, (40, 90), 0)], Some((40, 150)), Some(3), false),
            (vec![stock(running, (50, 150), 0), stock(running, (50, 60), 0)], Some((50, 150)), Some(0), true),
            (vec![stock(running, (50, 150), 0), stock(closed, (1, 999), 7)], Some((50, 150)), Some(0), true),
            (vec![stock(closed, (50, 150), 0), stock(cancelled, (50, 150), 0)], None, None, false),
        ];
        for (stocks, prices, left, is_sold_out) in table {
            let prices = prices.map(|(from, to)| Prices { from, to });
            let told = |seats_left| StockShown { prices, seats_left, is_sold_out };
            assert_eq!(StockShown::of(stocks.clone(), true, NOW), told(left), "{stocks:?}");
            assert_eq!(StockShown::of(stocks.clone(), false, NOW), told(None), "{stocks:?}");
            assert_eq!(StockShown::of(stocks, true, NOW + 2_000), StockShown::default(), "all sales are over");
        }
    }
}
