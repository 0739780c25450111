//! Queues: whose turn it is, draws that are made beside the shard, and what was told before a restart.

use super::ShardCore;
use super::attended::Attended;
use super::errand::Errand;
use super::pending::Pending;
use crate::views::Views;
use base::id::{Millis, QueueId, StreamId, UserId};
use domain::Aggregate;
use domain::queue::{ADMITTED_AT_ONCE_MAX, ADMITTED_MAX, Advance, Event, Forget, Queue};

/// People in a pre-queue from which on its draw is made elsewhere.
pub(super) const DRAWN_HERE_MAX: u32 = 2_000;

impl Attended for Queue {
    /// Those whose turn came while there was no server that could tell them. It is shown before it is durable, or whoever asks
    /// first would be told that it is over; if it is lost, the next start gives them a later time.
    fn started(&self, views: &Views, now: Millis) -> Vec<Event> {
        self.extended(now, views.queues().retried_within_ms(self.line().joined()))
    }

    /// Lets people in where it is their turn. Whose sessions sleep is asked once a second.
    fn attend(core: &mut ShardCore, id: QueueId, new_second: bool, now: Millis) {
        let queue = &core.states.slots::<Queue>()[&id.0].state;
        let Some(view) = core.shared.views.queues().get(id) else { return };
        let returned = view.take_returned();
        let idle = if new_second || view.is_crowded() { view.idle(now) } else { vec![] };
        let due = queue.next_due().is_some_and(|at| at <= now) || queue.is_due(now);
        if core.failed || !(due || !returned.is_empty() || !idle.is_empty()) || !core.shared.log.has_room() {
            return;
        }
        let seed = (!queue.line().is_opened()).then(|| core.shared.seeds.seed(id));
        if let Some(seed) = seed
            && core.errands_elsewhere
            && queue.is_due(now)
            && queue.line().joined() > DRAWN_HERE_MAX
        {
            let sealed = queue.line().seal();
            return core.leave(Errand::new(StreamId { category: Queue::CATEGORY, key: id.0 }, move || {
                let drawn = Some(sealed.draw(seed));
                Box::new(move |core: &mut ShardCore, now| {
                    let (returned, idle) = (vec![], vec![]);
                    core.execute(id, Advance { presence: view, seed: Some(seed), drawn, returned, idle }, None, now);
                })
            }));
        }
        core.execute(id, Advance { presence: view.clone(), seed, drawn: None, returned, idle }, None, now);
        if !core.states.slots::<Queue>()[&id.0].state.is_due(now) {
            return;
        }
        // The rest of those whose turn it is, after what others wait for.
        for _ in 1..ADMITTED_MAX / ADMITTED_AT_ONCE_MAX {
            let rest = Advance { presence: view.clone(), seed: None, drawn: None, returned: vec![], idle: vec![] };
            core.defer(StreamId { category: Queue::CATEGORY, key: id.0 }, Pending::new(id, rest, None));
        }
    }

    fn end_part_of(core: &mut ShardCore, user: UserId, now: Millis) -> bool {
        let mut is_over = true;
        for key in core.states.keys::<Queue>() {
            if core.states.slots::<Queue>()[&key].state.ticket_of(user).is_none() {
                continue;
            }
            // Nobody leaves it before its draw is made.
            if core.away.contains_key(&StreamId { category: Queue::CATEGORY, key }) {
                is_over = false;
            } else {
                core.execute(QueueId(key), Forget { user }, None, now);
            }
        }
        is_over
    }
}
