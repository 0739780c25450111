//! What those who watch a queue are told: one and the same for all once in a while, and who has to be told something else.

use super::{Live, QueueView};
use crate::views::queues::rank_deltas::{Changed, Move, tickets_of};
use base::id::Millis;
use domain::queue::State;
use domain::queue::event::Event;
use domain::queue::order::Standing;
use std::sync::PoisonError;

/// Places below those of all who wait in order: of those who come before them.
const FIRST_PLACE: i64 = -(1 << 31);
/// Ranks that are told where there are too many moves.
const SAMPLES: u32 = 64;

/// A queue as it is told to all who watch it.
#[derive(Clone, Debug)]
pub struct QueueDelta {
    /// What moved leads from this version to `version`.
    pub since: u64,
    pub version: u64,
    /// `None` when it was too much.
    pub moves: Option<Vec<Move>>,
    /// Instead of moves: (place, rank) at some places, from the first of all to behind everybody.
    pub samples: Vec<(i64, u32)>,
    pub state: State,
    /// When it opens; `None` once it has.
    pub opens_at_ms: Option<Millis>,
    pub waiting: u32,
    pub admitted_ever: u32,
    /// People who come before all who wait in order.
    pub first: u32,
    /// The place of the first who waits in order.
    pub frontier: Option<i64>,
    /// People let in per second, as measured.
    pub per_s: Option<f64>,
}

impl QueueView {
    /// From now on what moves is kept, until [`QueueView::unwatch`].
    pub fn watch(&self) {
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        let version = live.version;
        live.moves.start(version);
    }

    pub fn unwatch(&self) {
        self.live.write().unwrap_or_else(PoisonError::into_inner).moves.stop();
    }

    /// What there is to tell to all, from where the last one led to.
    pub fn tell(&self, now: Millis) -> Option<QueueDelta> {
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        let version = live.version;
        let (since, moves) = live.moves.take(version);
        live.news(since, moves, now)
    }

    /// Waits until somebody stands otherwise than before.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Who does, since the last time.
    pub fn take_changed(&self) -> Changed {
        self.live.write().unwrap_or_else(PoisonError::into_inner).moves.take_changed()
    }
}

impl Live {
    pub(super) fn news(&self, since: u64, moves: Option<Vec<Move>>, now: Millis) -> Option<QueueDelta> {
        let facts = self.facts()?;
        let (line, first) = (&self.line, self.first_waiting());
        let in_order = line.counts.waiting - first;
        let samples = match &moves {
            None if line.is_opened() => {
                let ranks = (0..SAMPLES).map(|index| u64::from(index) * u64::from(in_order) / u64::from(SAMPLES));
                let sample = |rank: u64| {
                    let rank = first + rank as u32;
                    Some((self.place(line.at_rank(rank)?)?, rank))
                };
                let behind = (i64::from(line.places()), first + in_order);
                let mut samples: Vec<_> =
                    [(0, first)].into_iter().chain(ranks.filter_map(sample)).chain([behind]).collect();
                samples.dedup_by_key(|(place, _)| *place);
                samples
            }
            _ => vec![],
        };
        Some(QueueDelta {
            since,
            version: self.version,
            moves,
            samples,
            state: facts.state,
            opens_at_ms: (!line.is_opened()).then_some(facts.terms.opens_at_ms),
            waiting: line.counts.waiting,
            admitted_ever: line.counts.admitted_ever,
            first,
            frontier: (line.is_opened() && in_order > 0).then(|| self.place(line.at_rank(first)?)).flatten(),
            per_s: self.measured.per_s(now),
        })
    }

    fn first_waiting(&self) -> u32 {
        self.line.first().len() as u32
    }

    /// Where somebody stands who waits, or was passed over; `None` while there is no order.
    pub(super) fn place(&self, ticket: u32) -> Option<i64> {
        match self.line.standing(ticket)? {
            Standing::First if self.line.is_opened() => self.firsts.get(&ticket).copied(),
            Standing::Waiting | Standing::PassedOver => self.line.place(ticket).map(i64::from),
            _ => None,
        }
    }

    /// The same of those alone on whom others' ranks depend.
    fn counted_place(&self, ticket: u32) -> Option<i64> {
        self.place(ticket).filter(|_| self.line.standing(ticket) != Some(Standing::PassedOver))
    }

    /// Numbers those who come before all others, as they were found at the start.
    pub(super) fn number_firsts(&mut self) {
        self.firsts = self.line.first().iter().copied().zip(FIRST_PLACE..).collect();
        self.next_first = FIRST_PLACE + i64::from(self.first_waiting());
    }

    /// Has an event move people, and notes how ranks moved by it if somebody watches.
    pub(super) fn move_in_line(&mut self, event: &Event, version: u64, at_ms: Millis) {
        let is_watched = self.moves.is_watched();
        let tickets = match event {
            Event::EntriesPutFirst(_) => tickets_of(event),
            _ if is_watched || !self.firsts.is_empty() => tickets_of(event),
            _ => Default::default(),
        };
        let before: Vec<Option<i64>> = match is_watched {
            true => tickets.iter().map(|ticket| self.counted_place(*ticket)).collect(),
            false => vec![],
        };
        self.line.apply(event, at_ms);
        self.renumber(&tickets);
        if is_watched {
            for (ticket, from) in tickets.iter().zip(before) {
                let to = self.counted_place(*ticket);
                self.moves.note(version, from, to);
            }
            self.moves.note_changed(&tickets);
            // There is an order that was not there before; or nobody's turn will come.
            let concerns_all = match event {
                Event::QueueDrawn(_) => true,
                Event::QueueStateChanged(event) => event.state == State::Closed,
                _ => false,
            };
            if concerns_all {
                self.moves.note_all_changed();
            }
        }
    }

    fn renumber(&mut self, tickets: &[u32]) {
        for ticket in tickets {
            match self.line.standing(*ticket) {
                Some(Standing::First) => {
                    if self.firsts.is_empty() {
                        self.next_first = FIRST_PLACE;
                    }
                    let place = self.next_first;
                    if *self.firsts.entry(*ticket).or_insert(place) == place {
                        self.next_first += 1;
                    }
                }
                _ if self.firsts.is_empty() => {}
                _ => drop(self.firsts.remove(ticket)),
            }
        }
    }

    /// The events of a version are all there. Whether somebody has to be told.
    pub(super) fn close_moves(&mut self) -> bool {
        if !self.moves.is_watched() {
            return false;
        }
        let next = self.line.at_rank(0).filter(|_| self.line.is_opened());
        let frontier = next.and_then(|ticket| self.place(ticket)).unwrap_or(i64::from(self.line.joined()));
        let version = self.version;
        self.moves.close(version, frontier);
        self.moves.has_changed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::queues::pace::PollLimit;
    use base::id::{EntryId, OrganizerId, QueueId};
    use domain::Fingerprint;
    use domain::queue::event::*;
    use domain::queue::policy::Policy;
    use domain::queue::{Event, Terms};
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use uuid::Uuid;

    /// One who watches: ticket → place, rank, version.
    type Clients = BTreeMap<u32, (i64, i64, u64)>;

    struct Scene {
        view: QueueView,
        version: u64,
        clients: Clients,
    }

    impl Scene {
        fn new() -> Scene {
            let terms = Terms {
                name: "Tour".into(),
                redirect_urls: vec![],
                policy: Policy { rate: None, max_active: None, manual: true },
                opens_at_ms: 0,
                claim_ttl_s: 60,
                session_ttl_s: 60,
                idle_ttl_s: None,
                absent_after_s: None,
                purchase_completes: false,
                join: domain::queue::JoinPolicy::Anyone,
            };
            let created = QueueCreated {
                organizer_id: OrganizerId(Uuid::nil()),
                terms,
                commitment: String::new(),
                content: Fingerprint::of(&[]),
            };
            let mut scene = Scene {
                view: QueueView::new(QueueId(Uuid::nil()), PollLimit::default()),
                version: 0,
                clients: Clients::new(),
            };
            scene.apply(vec![Event::QueueCreated(created)]);
            scene.view.watch();
            scene
        }

        fn apply(&mut self, events: Vec<Event>) {
            self.version += events.len() as u64;
            self.view.apply(&events, self.version, 1_000);
        }

        fn join(&mut self) {
            let ticket = self.view.look(|live| live.line.joined()) + 1;
            let (entry_id, waiting) = (EntryId(Uuid::nil()), 0);
            let joined =
                EntryJoined { entry_id, ticket, user_id: None, visitor: None, repeat: None, token: None, waiting };
            self.apply(vec![Event::EntryJoined(joined)]);
        }

        fn admit(&mut self, tickets: Vec<u32>) {
            let entry = |ticket| AdmittedEntry {
                entry_id: EntryId(Uuid::nil()),
                ticket,
                subject: "".into(),
                claim_until_ms: None,
            };
            let admitted = EntriesAdmitted {
                entries: tickets.into_iter().map(entry).collect(),
                by: AdmittedBy::Count,
                reason: None,
                repeat: None,
                claim_until_ms: 9_000,
                machine_ms: None,
                admitted_before: 0,
                inside: 0,
                waiting: 0,
            };
            self.apply(vec![Event::EntriesAdmitted(admitted)]);
        }

        /// Something happens to one of those who joined, if it can.
        fn happen(&mut self, what: u8, ticket: u32) {
            let (entry_id, waiting, inside, reason) = (EntryId(Uuid::nil()), 0, 0, String::new());
            let tickets = vec![ticket];
            let standing = self.view.look(|live| live.line.standing(ticket));
            let event = match (what, standing) {
                (0, _) | (_, None) => return self.join(),
                (1, Some(Standing::Waiting)) => Event::EntryLeft(EntryLeft { entry_id, ticket, inside, waiting }),
                (2, Some(Standing::Waiting | Standing::First)) => {
                    Event::EntryBlocked(EntryBlocked { entry_id, ticket, reason, inside, waiting })
                }
                (_, Some(Standing::Blocked)) => Event::EntryRestored(EntryRestored { entry_id, ticket, waiting }),
                (3, Some(Standing::Waiting | Standing::PassedOver)) => {
                    Event::EntriesPutFirst(EntriesPutFirst { tickets, reason, waiting })
                }
                (4, Some(Standing::Waiting)) => Event::EntriesPassedOver(EntriesPassedOver { tickets, waiting }),
                (_, Some(Standing::PassedOver)) => Event::EntriesReturned(EntriesReturned { tickets, waiting }),
                (5, Some(Standing::Waiting | Standing::First)) => return self.admit(vec![ticket]),
                (6, _) => {
                    let next = |rank| self.view.look(|live| live.line.at_rank(rank));
                    let tickets: Vec<u32> = (0..ticket % 4).map_while(next).collect();
                    return if tickets.is_empty() { self.join() } else { self.admit(tickets) };
                }
                _ => return,
            };
            self.apply(vec![event]);
        }

        /// Somebody begins to watch, or is told their state again.
        fn watch(&mut self, ticket: u32) {
            let seen = self.view.see(ticket, 1_000, false);
            match seen.and_then(|seen| Some((seen.place?, i64::from(seen.rank?), seen.version))) {
                Some(client) => drop(self.clients.insert(ticket, client)),
                None => drop(self.clients.remove(&ticket)),
            }
        }

        /// All are told, and do as the API's document says.
        fn tell(&mut self) -> Result<(), TestCaseError> {
            if let Changed::These(tickets) = self.view.take_changed() {
                let known: Vec<u32> = tickets.into_iter().filter(|ticket| self.clients.contains_key(ticket)).collect();
                known.into_iter().for_each(|ticket| self.watch(ticket));
            }
            let news = self.view.tell(1_000).unwrap();
            for (ticket, (place, rank, version)) in &mut self.clients {
                if *version <= news.version {
                    for Move(at, before, by) in news.moves.iter().flatten() {
                        if at > version && before < place {
                            *rank += i64::from(*by);
                        }
                    }
                    if *place >= 0 && news.frontier.is_none_or(|frontier| *place < frontier) {
                        *rank = i64::from(news.first);
                    }
                    *version = news.version;
                }
                let truth = self.view.see(*ticket, 1_000, false).unwrap();
                // Whoever was passed over is told anew as soon as they are back, which watching is.
                if truth.standing == Standing::PassedOver {
                    continue;
                }
                prop_assert_eq!((Some(*place), Some(*rank)), (truth.place, truth.rank.map(i64::from)), "{:?}", news);
            }
            Ok(())
        }
    }

    proptest! {
        #[test]
        fn ranks_follow_from_moves(
            steps in prop::collection::vec((0u8..7, 1u32..40, any::<bool>(), prop::option::weighted(0.2, Just(()))), 1..150)
        ) {
            let mut scene = Scene::new();
            (0..20).for_each(|_| scene.join());
            for (what, ticket, watches, tells) in steps {
                scene.happen(what, ticket);
                if watches {
                    scene.watch(ticket);
                }
                if tells.is_some() {
                    scene.tell()?;
                }
            }
            scene.tell()?;
        }
    }

    #[test]
    fn too_much_is_told_as_samples() {
        let mut scene = Scene::new();
        (0..2_000).for_each(|_| scene.join());
        scene.view.tell(1_000).unwrap();
        scene.admit((1..1_500).step_by(2).collect());
        let news = scene.view.tell(1_000).unwrap();
        assert_eq!((&news.moves, news.frontier), (&None, Some(1)));
        assert!(news.samples.is_sorted() && news.samples.len() <= SAMPLES as usize + 2);
        assert_eq!((news.samples.first(), news.samples.last()), (Some(&(0, 0)), Some(&(2_000, 1_250))));
        for (place, rank) in &news.samples[1..news.samples.len() - 1] {
            let seen = scene.view.see(*place as u32 + 1, 1_000, false).unwrap();
            assert_eq!((seen.place, seen.rank), (Some(*place), Some(*rank)));
        }
        assert_eq!(scene.view.tell(1_000).unwrap().moves, Some(vec![]));
    }
}
