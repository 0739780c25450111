//! Ends what goes on of people who were erased.

use super::ShardCore;
use crate::aggregate_store::shard_of;
use crate::views::erasures::Due;
use base::id::Millis;
use domain::Step;
use domain::command::{IdOf, stream_of};

/// Erasures that a tick goes on with.
const TICK_ERASURES_MAX: usize = 16;

impl ShardCore {
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
                Due::Finish(account, user) => self.finish_erasure(account, user, now),
            }
        }
    }

    pub(super) fn owns<S: Step>(&self, id: IdOf<S>) -> bool {
        shard_of(stream_of::<S>(id), self.shards) == self.shard
    }
}
