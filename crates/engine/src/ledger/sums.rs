//! Sums of points by account and day: a pure fold over the events of a log.

use base::id::{Category, Millis, OrganizerId, PerformanceId};
use domain::wallet::Event;
use domain::{DecodeError, EventData};
use eventlog::{Position, Recorded};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A day in UTC, counted from 1970-01-01.
pub type Day = u32;

const DAY_MS: Millis = 24 * 3600 * 1000;

/// The day of an instant.
pub fn day_of(at_ms: Millis) -> Day {
    u32::try_from(at_ms / DAY_MS).unwrap_or(Day::MAX)
}

/// Whose sums.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Account {
    /// Of one organizer.
    Organizer(OrganizerId),
    /// Of what is on nobody's account: what users charged themselves, and the operator without naming an organizer.
    Nobody,
    /// Of all of these together.
    All,
}

/// From a day to a day, both included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    pub from: Day,
    pub to: Day,
}

/// Points that moved, and how often.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Figures {
    pub charged: u64,
    pub spent: u64,
    pub refunded: u64,
    /// Given less taken.
    pub adjusted: i128,
    pub charges: u64,
    pub payments: u64,
    pub refunds: u64,
    pub adjustments: u64,
}

impl Figures {
    /// What the wallets have more after this than before.
    pub fn net(&self) -> i128 {
        self.charged as i128 - self.spent as i128 + self.refunded as i128 + self.adjusted
    }

    /// Adds `more`.
    pub fn add(&mut self, more: &Figures) {
        self.charged += more.charged;
        self.spent += more.spent;
        self.refunded += more.refunded;
        self.adjusted += more.adjusted;
        self.charges += more.charges;
        self.payments += more.payments;
        self.refunds += more.refunds;
        self.adjustments += more.adjustments;
    }
}

/// The sums of one account over some days, from the events up to `position`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Statement {
    pub position: Position,
    /// Every day of the span, with the net sum over all time at its end.
    pub days: Vec<(Day, Figures, i128)>,
    pub totals: Figures,
    /// The net sum over all time up to the end of the span.
    pub outstanding: i128,
}

/// All sums, of all events up to `position`.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Sums {
    pub position: Position,
    performances: FxHashMap<PerformanceId, OrganizerId>,
    days: BTreeMap<(Option<OrganizerId>, Day), Figures>,
}

/// Of a new performance, what matters here.
#[derive(Deserialize)]
struct Created {
    organizer_id: OrganizerId,
}

impl Sums {
    /// Takes the next event over.
    pub fn apply(&mut self, event: &Recorded<'_>) -> Result<(), DecodeError> {
        match event.stream.category {
            Category::Wallet => self.wallet(Event::decode(event.name, event.data)?, event.at_ms),
            Category::Performance if event.version == 1 => {
                let created: Created = serde_json::from_slice(event.data)
                    .map_err(|error| DecodeError { name: event.name.into(), reason: error.to_string() })?;
                self.performances.insert(PerformanceId(event.stream.key), created.organizer_id);
            }
            _ => {}
        }
        self.position = event.position;
        Ok(())
    }

    fn wallet(&mut self, event: Event, at_ms: Millis) {
        let day = day_of(at_ms);
        let sells =
            |performance, organizer: Option<_>| organizer.or_else(|| self.performances.get(performance).copied());
        let (organizer, moved) = match event {
            Event::WalletOpened(_) | Event::WalletClosed(_) => return,
            Event::PointsCharged(event) => {
                (event.organizer_id, Figures { charged: event.points, charges: 1, ..Figures::default() })
            }
            Event::PointsSpent(event) => (
                sells(&event.performance_id, event.organizer_id),
                Figures { spent: event.points, payments: 1, ..Figures::default() },
            ),
            Event::PointsRefunded(event) => (
                sells(&event.performance_id, event.organizer_id),
                Figures { refunded: event.points, refunds: 1, ..Figures::default() },
            ),
            Event::PointsAdjusted(event) => {
                (event.organizer_id, Figures { adjusted: event.points as i128, adjustments: 1, ..Figures::default() })
            }
        };
        self.days.entry((organizer, day)).or_default().add(&moved);
    }

    /// The sums of `account` over `span`.
    pub fn statement(&self, account: Account, span: Span) -> Statement {
        let mut days = vec![Figures::default(); (span.to - span.from) as usize + 1];
        let mut before = 0;
        let mut take = |day: Day, figures: &Figures| match day.checked_sub(span.from) {
            None => before += figures.net(),
            Some(nth) if day <= span.to => days[nth as usize].add(figures),
            Some(_) => {}
        };
        let of = |organizer| self.days.range((organizer, 0)..=(organizer, span.to));
        match account {
            Account::Organizer(id) => of(Some(id)).for_each(|((_, day), figures)| take(*day, figures)),
            Account::Nobody => of(None).for_each(|((_, day), figures)| take(*day, figures)),
            Account::All => self.days.iter().for_each(|((_, day), figures)| take(*day, figures)),
        }
        let mut totals = Figures::default();
        let mut outstanding = before;
        let days = days.into_iter().zip(span.from..).map(|(figures, day)| {
            totals.add(&figures);
            outstanding += figures.net();
            (day, figures, outstanding)
        });
        let days = days.collect();
        Statement { position: self.position, days, totals, outstanding }
    }
}
