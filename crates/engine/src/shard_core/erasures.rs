//! Ends what goes on of people who were erased.

use super::*;
use crate::views::erasures::Due;
use base::id::{PerformanceId, UserId};
use domain::account::FinishErasure;
use domain::performance::Performance;
use domain::process::purchase::Cancel;
use domain::queue::{self, Queue};
use domain::wallet;

impl Keeper {
    /// Ends what goes on of users who were erased. Again after a crash: all of it can be repeated.
    pub(super) fn end_erased(&mut self, now: Millis) {
        for due in self.shared.views.erasures().due(self.shard, self.shards, TICK_ERASURES_MAX) {
            if self.failed || !self.shared.log.has_room() {
                return;
            }
            match due {
                Due::Part(user) if self.end_part_of(user, now) && !self.failed => {
                    // In the log, if not yet durable: whatever rests on this note comes after it there.
                    self.shared.views.erasures().note(user, self.shard);
                }
                Due::Part(_) => {}
                Due::Finish(account, user) => {
                    if self.owns::<FinishErasure>(account) {
                        self.execute(account, FinishErasure { user }, None, now);
                    }
                }
            }
        }
    }

    /// Whether nothing of this user's goes on here any more; otherwise a payment is under way, which is waited for.
    pub(super) fn end_part_of(&mut self, user: UserId, now: Millis) -> bool {
        if self.owns::<wallet::Close>(user) {
            self.execute(user, wallet::Close, None, now);
        }
        let mut is_over = true;
        for key in self.states.keys::<Queue>() {
            if self.being_drawn.contains_key(&key) {
                // Nobody leaves it before the draw is made.
                is_over &= self.states.slots::<Queue>()[&key].state.ticket_of(user).is_none();
            } else if self.states.slots::<Queue>()[&key].state.ticket_of(user).is_some() {
                self.execute(QueueId(key), queue::Command::Forget { user }, None, now);
            }
        }
        for key in self.states.keys::<Performance>() {
            for reservation in self.states.slots::<Performance>()[&key].state.going_on(user).0 {
                self.execute(PerformanceId(key), Cancel { user, reservation }, None, now);
            }
            let (held, pays) = self.states.slots::<Performance>()[&key].state.going_on(user);
            is_over &= held.is_empty() && !pays;
        }
        is_over
    }

    fn owns<S: Step>(&self, id: IdOf<S>) -> bool {
        shard_of(stream_of::<S>(id), self.shards) == self.shard
    }
}
