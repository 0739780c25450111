//! The numbers of a queue; made at most once a second, and only when somebody asks.

use super::statistics::Statistics;
use super::{Live, QueueView};
use crate::views::queues::eta_accuracy::Estimates;
use base::id::Millis;
use domain::queue::order::Standing;
use std::sync::{Arc, PoisonError};

/// Numbers that are not older are given again.
const KEPT_MS: Millis = 1_000;
/// Tickets that are looked at for who is there: of more, as many are drawn evenly. With 65,536 of them the share that is
/// there is right to half a percent.
const LOOKED_AT_MAX: u32 = 65_536;

impl QueueView {
    /// The numbers of this second; `None` before the queue was made. Another state is told at once.
    pub fn statistics(&self, now: Millis) -> Option<Arc<Statistics>> {
        let state = self.state()?;
        let mut kept = self.statistics.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = &*kept
            && now.abs_diff(kept.at_ms) < KEPT_MS
            && kept.state == state
        {
            return Some(kept.clone());
        }
        let estimates = self.told.estimates();
        let made = Arc::new(self.look(|live| live.statistics(estimates, now))?);
        *kept = Some(made.clone());
        Some(made)
    }
}

impl Live {
    fn statistics(&self, estimates: Estimates, now: Millis) -> Option<Statistics> {
        let (line, facts) = (&self.line, self.facts()?);
        let next =
            if line.is_opened() { line.at_rank(0) } else { (1..=line.joined()).find(|ticket| self.waits(*ticket)) };
        let since_ms = next.and_then(|ticket| self.joins.at_ms(ticket));
        Some(Statistics {
            at_ms: now,
            version: self.version,
            state: facts.state,
            opened: line.is_opened(),
            joined: line.joined(),
            counts: line.counts,
            present: self.present(now),
            per_s: self.measured.per_s(now),
            longest_wait_ms: since_ms.map(|since_ms| now.saturating_sub(since_ms)),
            estimates,
        })
    }

    fn waits(&self, ticket: u32) -> bool {
        matches!(self.line.standing(ticket), Some(Standing::Waiting | Standing::First))
    }

    /// How many of those who wait are there.
    fn present(&self, now: Millis) -> u32 {
        let step = self.line.joined().div_ceil(LOOKED_AT_MAX).max(1);
        // Another one of each step each second: whoever came together must not count together.
        let first = 1 + (now / 1_000 % u64::from(step)) as u32;
        let tickets = || (first..=self.line.joined()).step_by(step as usize).filter(|ticket| self.waits(*ticket));
        let there = self.heard.present(tickets(), self.allowing_retries(now));
        if step == 1 {
            return there;
        }
        let looked_at = tickets().count().max(1) as u64;
        (u64::from(there) * u64::from(self.line.counts.waiting) / looked_at) as u32
    }
}
