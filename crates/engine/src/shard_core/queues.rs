//! Queues: whose turn it is, draws that are made beside the shard, and what was told before a restart.

use super::*;
use domain::queue::{self, Queue};

impl Keeper {
    /// Those whose turn came while there was no server that could tell them. It is shown before it is durable, or whoever
    /// asks first would be told that it is over; if it is lost, the next start gives them a later time.
    pub(super) fn extend_claims(&mut self, now: Millis) {
        for key in self.states.keys::<Queue>() {
            let Some(slot) = self.states.slots_mut::<Queue>().get_mut(&key) else { continue };
            let events = slot.state.extended(now);
            if events.is_empty() {
                continue;
            }
            let stream = StreamId { category: Queue::CATEGORY, key };
            let (batch, views) = (&mut self.batch, &*self.shared.views);
            // What readers are shown is the whole queue, when it is found.
            let publications = &mut Vec::new();
            Visit { stream, now, slot, batch, views, publications }.record(&events);
            self.changed.push(stream);
        }
    }

    /// Lets people in where it is their turn.
    pub(super) fn advance(&mut self, now: Millis) {
        // Whose sessions sleep is asked once a second.
        let second = now / 1_000;
        let looks_for_idle = std::mem::replace(&mut self.second, second) != second;
        let watched: Vec<Uuid> = self.watched.iter().map(|stream| stream.key).collect();
        for key in watched {
            let (id, queue) = (QueueId(key), &self.states.slots::<Queue>()[&key].state);
            if self.being_drawn.contains_key(&key) {
                continue;
            }
            let Some(view) = self.shared.views.queues().get(id) else { continue };
            let returned = view.take_returned();
            let idle = if looks_for_idle || view.is_crowded() { view.idle(now) } else { vec![] };
            let due = queue.next_due().is_some_and(|at| at <= now) || queue.is_due(now);
            if self.failed || !(due || !returned.is_empty() || !idle.is_empty()) || !self.shared.log.has_room() {
                continue;
            }
            let seed = (!queue.line().is_opened()).then(|| self.shared.seeds.seed(id));
            if let Some(seed) = seed
                && self.draws_elsewhere
                && queue.is_due(now)
                && queue.line().joined() > DRAWN_HERE_MAX
            {
                self.draws.push(Draw { queue: id, seed, sealed: queue.line().seal() });
                self.being_drawn.insert(key, VecDeque::new());
                continue;
            }
            let advance = queue::Advance { presence: view, seed, drawn: None, returned, idle };
            self.execute(id, queue::Command::Advance(Box::new(advance)), None, now);
        }
    }

    /// Opens a queue with a draw that was made elsewhere.
    pub(super) fn open_drawn(&mut self, id: QueueId, drawn: Option<Drawn>, now: Millis) {
        let Some(view) = self.shared.views.queues().get(id) else { return };
        let seed = Some(self.shared.seeds.seed(id));
        let advance = queue::Advance { presence: view, seed, drawn, returned: vec![], idle: vec![] };
        self.execute(id, queue::Command::Advance(Box::new(advance)), None, now);
    }
}
