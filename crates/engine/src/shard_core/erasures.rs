//! Ends what goes on of people who were erased.

use super::*;
use crate::views::erasures::Due;
use base::id::UserId;
use domain::account;

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
                    let finish = Command::Account(account, account::Command::FinishErasure { user });
                    if shard_of(finish.stream(), self.shards) == self.shard {
                        self.execute(finish, None, now);
                    }
                }
            }
        }
    }

    /// Whether nothing of this user's goes on here any more; otherwise a payment is under way, which is waited for.
    pub(super) fn end_part_of(&mut self, user: UserId, now: Millis) -> bool {
        let close = Command::Wallet(user, wallet::Command::Close);
        if shard_of(close.stream(), self.shards) == self.shard {
            self.execute(close, None, now);
        }
        let mut is_over = true;
        for key in keys(&self.states.queues) {
            if self.being_drawn.contains_key(&key) {
                // Nobody leaves it before the draw is made.
                is_over &= self.states.queues[&key].state.ticket_of(user).is_none();
            } else if self.states.queues[&key].state.ticket_of(user).is_some() {
                self.execute(Command::Queue(QueueId(key), queue::Command::Forget { user }), None, now);
            }
        }
        for key in keys(&self.states.performances) {
            for reservation in self.states.performances[&key].state.going_on(user).0 {
                let give_up = performance::Command::Cancel { user, reservation };
                self.execute(Command::Performance(PerformanceId(key), give_up), None, now);
            }
            let (held, pays) = self.states.performances[&key].state.going_on(user);
            is_over &= held.is_empty() && !pays;
        }
        is_over
    }
}
