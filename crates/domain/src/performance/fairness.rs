//! What keeps one person from keeping places from everybody else: the end that every hold has, and holds that come to
//! nothing again and again.

use super::event::PerformanceCreated;
use super::rejection::Rejection;
use super::reservation::{Reservation, State};
use base::id::{Millis, UserId};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::collections::{BTreeMap, VecDeque};

/// After a refused payment a user has at least this long to charge and try again, ms. domain.md: 60 s.
const LEFT_AFTER_REFUSAL_MS: Millis = 60_000;
/// How much longer than it was given (with its extension) a hold may live on refused payments, s. Without an end somebody
/// without points could keep seats for ever by trying to pay every minute.
pub const REFUSAL_GRACE_S: u32 = 300;
/// Places that an organizer can hold for one buyer. The size of a school's year, and of a row of coaches.
pub const GROUP_PLACES_MAX: u32 = 500;

/// How long a hold that came to nothing counts, ms.
pub const LAPSES_WINDOW_MS: Millis = 3_600_000;
/// A hold that is given up within this time was a change of mind, and does not count by itself, ms: people click around in
/// seat maps. The time that such holds were held adds up: every so much of it counts as one that came to nothing, for
/// somebody who gives up and holds again each minute keeps the places as well.
pub const CHANGE_OF_MIND_MS: Millis = 60_000;

/// When a hold whose payment was refused at `now` expires: it goes on for what it had left, at least a minute, but not
/// beyond its absolute end; where that is over, at once.
pub(super) fn expiry_after_refusal(created: &PerformanceCreated, hold: &Reservation, now: Millis) -> Millis {
    let expires_at_ms = now + hold.left_ms.max(LEFT_AFTER_REFUSAL_MS);
    // Performances that were created before there was an end have none.
    let Some(grace_s) = created.refusal_grace_s else { return expires_at_ms };
    let extension_s = if hold.extended { created.terms.extension_s } else { 0 };
    let end_ms = hold.first_expires_at_ms + (extension_s + grace_s) as Millis * 1000;
    expires_at_ms.min(end_ms.max(now))
}

/// Holds that came to nothing of late, per user: they expired, or were given up after more than a moment, or in many moments.
/// Bounded by the holds of the last hour, and a user who has too many gets no new ones.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Lapses {
    /// As they happened.
    recent: VecDeque<(Millis, UserId)>,
    /// Of holds that were given up within a moment: the time they were held that has not counted yet.
    moments: BTreeMap<UserId, Moments>,
    /// Whose moments are to be looked at, to be forgotten.
    aging: VecDeque<(Millis, UserId)>,
    #[serde(skip)]
    by_user: FxHashMap<UserId, SmallVec<[Millis; 6]>>,
}

/// See [`Lapses::moments`]. They are over when the last of them is an hour ago.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Moments {
    held_ms: Millis,
    last_ms: Millis,
}

impl Moments {
    fn are_over(&self, now: Millis) -> bool {
        self.last_ms + LAPSES_WINDOW_MS <= now
    }
}

impl Lapses {
    /// Refuses a user with more than `max` of them within the hour.
    pub(super) fn refuse(&self, user: UserId, max: u32, now: Millis) -> Option<Rejection> {
        if max == 0 || self.by_user.is_empty() {
            return None;
        }
        let mut counted: SmallVec<[Millis; 8]> = self.by_user.get(&user)?.iter().copied().collect();
        counted.retain(|at| now < *at + LAPSES_WINDOW_MS);
        counted.sort_unstable();
        // The one with whose end there are `max` left.
        let last = counted.len().checked_sub(max as usize + 1)?;
        let retry_at_ms = counted[last] + LAPSES_WINDOW_MS;
        let (limit, window_ms, wait_ms) = (max, LAPSES_WINDOW_MS, retry_at_ms - now);
        Some(Rejection::TooManyLapsedHolds { limit, window_ms, retry_at_ms, wait_ms })
    }

    /// Takes over that a hold ended in `state`.
    pub(super) fn count(&mut self, hold: &Reservation, state: State, at_ms: Millis) {
        // What an organizer holds for a buyer is not the buyer's doing.
        if hold.by_organizer {
            return;
        }
        let held_ms = at_ms.saturating_sub(hold.held_at_ms);
        let counts = match state {
            State::Expired => true,
            State::Released => held_ms >= CHANGE_OF_MIND_MS || self.adds_up(hold.user, held_ms, at_ms),
            _ => false,
        };
        if counts {
            self.recent.push_back((at_ms, hold.user));
            self.by_user.entry(hold.user).or_default().push(at_ms);
        }
    }

    /// Whether the user has held places for [`CHANGE_OF_MIND_MS`] more, moment by moment.
    fn adds_up(&mut self, user: UserId, held_ms: Millis, at_ms: Millis) -> bool {
        let moments = self.moments.entry(user).or_insert_with(|| {
            self.aging.push_back((at_ms, user));
            Moments::default()
        });
        if moments.are_over(at_ms) {
            moments.held_ms = 0;
        }
        (moments.held_ms, moments.last_ms) = (moments.held_ms + held_ms, at_ms);
        let counts = moments.held_ms >= CHANGE_OF_MIND_MS;
        if counts {
            moments.held_ms -= CHANGE_OF_MIND_MS;
        }
        counts
    }

    /// Forgets those that no longer count, a few at a time.
    pub(super) fn forget(&mut self, now: Millis) {
        self.forget_moments(now);
        for _ in 0..4 {
            match self.recent.front() {
                Some((at, _)) if *at + LAPSES_WINDOW_MS <= now => {}
                _ => return,
            }
            let Some((_, user)) = self.recent.pop_front() else { return };
            let Some(of_user) = self.by_user.get_mut(&user) else { continue };
            of_user.remove(0);
            if of_user.is_empty() {
                self.by_user.remove(&user);
            }
        }
    }

    fn forget_moments(&mut self, now: Millis) {
        for _ in 0..2 {
            match self.aging.front() {
                Some((at, _)) if *at + LAPSES_WINDOW_MS <= now => {}
                _ => return,
            }
            let Some((_, user)) = self.aging.pop_front() else { return };
            let Some(moments) = self.moments.get(&user) else { continue };
            if moments.are_over(now) {
                self.moments.remove(&user);
            } else {
                self.aging.push_back((moments.last_ms, user));
            }
        }
    }

    /// Whether both count the same for everybody.
    pub(super) fn counts_as(&self, other: &Lapses) -> bool {
        self.by_user == other.by_user
    }

    pub(super) fn rebuild(&mut self) {
        self.by_user.clear();
        for (at, user) in &self.recent {
            self.by_user.entry(*user).or_default().push(*at);
        }
    }
}
