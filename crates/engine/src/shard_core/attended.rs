//! What a shard does for each kind of aggregate without being asked, beside its timers. The only file of the shards that names
//! them; a new kind has a line here.

use super::ShardCore;
use super::visit::Visit;
use crate::views::Views;
use base::id::{AccountId, Millis, PerformanceId, StreamId, UserId};
use domain::account::{Account, FinishErasure};
use domain::concert::Concert;
use domain::organizer::Organizer;
use domain::performance::Performance;
use domain::process::purchase::Cancel;
use domain::wallet::{self, Wallet};
use domain::{Aggregate, by_category, each_aggregate};

/// An aggregate that may need more than its commands and timers.
pub(super) trait Attended: Aggregate {
    /// What the start of the server brings it. It is shown before it is durable; if it is lost, the next start brings it again.
    fn started(&self, _views: &Views, _now: Millis) -> Vec<Self::Event> {
        Vec::new()
    }

    /// Looks at one that is watched; on every tick, and the first of a second looks at more.
    fn attend(_keeper: &mut ShardCore, _id: Self::Id, _new_second: bool, _now: Millis) {}

    /// Ends what goes on of an erased user's. Whether nothing does any more; otherwise it is asked again.
    fn end_part_of(_keeper: &mut ShardCore, _user: UserId, _now: Millis) -> bool {
        true
    }
}

impl Attended for Concert {}
impl Attended for Organizer {}
impl Attended for Account {}

impl Attended for Wallet {
    fn end_part_of(core: &mut ShardCore, user: UserId, now: Millis) -> bool {
        if core.owns::<wallet::Close>(user) {
            core.execute(user, wallet::Close, None, now);
        }
        true
    }
}

impl Attended for Performance {
    /// A payment that is under way is waited for.
    fn end_part_of(core: &mut ShardCore, user: UserId, now: Millis) -> bool {
        let mut is_over = true;
        for key in core.states.keys::<Performance>() {
            for reservation in core.states.slots::<Performance>()[&key].state.going_on(user).0 {
                core.execute(PerformanceId(key), Cancel { user, reservation }, None, now);
            }
            let (held, pays) = core.states.slots::<Performance>()[&key].state.going_on(user);
            is_over &= held.is_empty() && !pays;
        }
        is_over
    }
}

impl ShardCore {
    /// Records what the start brings, before anybody is shown anything.
    pub(super) fn note_start(&mut self, now: Millis) {
        each_aggregate!(A => self.note_start_of::<A>(now));
    }

    fn note_start_of<A: Attended>(&mut self, now: Millis) {
        for key in self.states.keys::<A>() {
            let Some(slot) = self.states.slots_mut::<A>().get_mut(&key) else { continue };
            let events = slot.state.started(&self.shared.views, now);
            if events.is_empty() {
                continue;
            }
            let stream = StreamId { category: A::CATEGORY, key };
            let (batch, views) = (&mut self.batch, &*self.shared.views);
            // What readers are shown is the whole aggregate, when it is found.
            let view_updates = &mut Vec::new();
            Visit { stream, now, slot, batch, views, view_updates }.record(&events);
            self.changed.push(stream);
        }
    }

    /// Looks at those that are watched.
    pub(super) fn attend(&mut self, now: Millis) {
        let second = now / 1_000;
        let new_second = std::mem::replace(&mut self.second, second) != second;
        let watched: Vec<StreamId> = self.watched.iter().copied().collect();
        for stream in watched {
            if !self.away.contains_key(&stream) {
                self.attend_to(stream, new_second, now);
            }
        }
    }

    pub(super) fn attend_to(&mut self, stream: StreamId, new_second: bool, now: Millis) {
        by_category!(stream.category, A => A::attend(self, stream.key.into(), new_second, now));
    }

    /// Whether nothing of this user's goes on here any more.
    pub(super) fn end_part_of(&mut self, user: UserId, now: Millis) -> bool {
        let mut is_over = true;
        each_aggregate!(A => is_over &= A::end_part_of(self, user, now));
        is_over
    }

    /// All shards have ended their part.
    pub(super) fn finish_erasure(&mut self, account: AccountId, user: UserId, now: Millis) {
        if self.owns::<FinishErasure>(account) {
            self.execute(account, FinishErasure { user }, None, now);
        }
    }
}
