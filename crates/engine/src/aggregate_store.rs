//! Aggregates in memory, by key: what recovery fills, what shards own, what snapshots are made of.

use super::views::{Publication, Views};
use base::id::{AccountId, Category, Millis, PerformanceId, QueueId, StreamId};
use domain::account::{self, Account};
use domain::concert::{self, Concert};
use domain::organizer::{self, Organizer};
use domain::performance::{self, Performance};
use domain::queue::{self, Queue};
use domain::wallet::Wallet;
use domain::{Aggregate, EventData};
use eventlog::snapshot::Snapshot;
use eventlog::{Position, Recorded};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::sync::Arc;
use uuid::Uuid;

/// Changes whenever the bytes of any stored aggregate do: an older snapshot is then ignored and the log replayed.
pub const SNAPSHOT_SCHEMA: u32 = 9;

/// An aggregate with its place in the log.
pub struct Slot<A> {
    pub state: A,
    /// How many events its stream has.
    pub version: u64,
    /// Where its last event is.
    pub position: Position,
    /// The minute in which it was last used.
    pub used: u32,
    /// The timer that is armed for it; `u64::MAX` for none.
    pub armed_ms: u64,
}

impl<A: Default> Default for Slot<A> {
    fn default() -> Self {
        Slot { state: A::default(), version: 0, position: Position(0), used: 0, armed_ms: u64::MAX }
    }
}

/// The aggregates of one kind.
pub type Slots<A> = FxHashMap<Uuid, Slot<A>>;

/// All aggregates that are in memory. Those that are not are in `base`, unchanged since.
#[derive(Default)]
pub struct States {
    pub performances: Slots<Performance>,
    pub wallets: Slots<Wallet>,
    pub accounts: Slots<Account>,
    pub organizers: Slots<Organizer>,
    pub concerts: Slots<Concert>,
    pub queues: Slots<Queue>,
    pub base: Option<Arc<Snapshot>>,
    /// The instant of the latest event that was applied: what has lapsed by then need not be listed.
    pub latest_ms: Millis,
}

/// Events of one aggregate, one after the other, of the same instant.
pub struct Happened<'a, E> {
    pub key: Uuid,
    /// After the last of them.
    pub version: u64,
    pub events: &'a [E],
    pub now: Millis,
}

/// An aggregate that [`States`] keeps.
pub trait Kept: Aggregate {
    fn slots(states: &mut States) -> &mut Slots<Self>;

    /// What readers see of it when it is found at the start, at `now`.
    fn publish_found(&self, _views: &Views, _key: Uuid, _version: u64, _now: Millis, _to: &mut Vec<Publication>) {}

    /// What readers see once `events`, which led to `version`, are durable.
    fn publish(&self, _views: &Views, _happened: Happened<'_, Self::Event>, _to: &mut Vec<Publication>) {}

    /// Whether it is loaded at the start, not only when it is asked for. `latest_ms`: of the latest event there is.
    fn is_listed(&self, _latest_ms: Millis) -> bool {
        false
    }
}

impl Kept for Performance {
    fn slots(states: &mut States) -> &mut Slots<Self> {
        &mut states.performances
    }

    fn is_listed(&self, _latest_ms: Millis) -> bool {
        true
    }

    fn publish_found(&self, views: &Views, key: Uuid, version: u64, _now: Millis, to: &mut Vec<Publication>) {
        if let performance::Answer::Performance(found) = self.answer(key, version, &performance::Command::Describe, &[])
        {
            to.push(Publication::Performance(found.concert, found.id));
            to.push(Publication::Gate(found.id, found.terms.queue_id));
            let (view, hours) = (views.availability_of(found.id), found.terms.hours());
            to.push(Publication::Hours(view.clone(), hours));
            to.push(Publication::Reached(view, version));
        }
    }

    fn publish(&self, views: &Views, happened: Happened<'_, Self::Event>, to: &mut Vec<Publication>) {
        let Happened { key, version, events, .. } = happened;
        let id = PerformanceId(key);
        for event in events {
            match event {
                performance::Event::PerformanceCreated(created) => {
                    to.push(Publication::Performance(created.concert_id, id));
                    to.push(Publication::Gate(id, created.terms.queue_id));
                    let hours = created.terms.hours();
                    to.push(Publication::Hours(views.availability_of(id), hours));
                }
                performance::Event::PerformanceChanged(changed) => {
                    to.push(Publication::Gate(id, changed.terms.queue_id));
                    let hours = changed.terms.hours();
                    to.push(Publication::Hours(views.availability_of(id), hours));
                }
                performance::Event::ReservationConfirmed(_) => to.push(Publication::Sale),
                _ => {}
            }
        }
        to.push(Publication::Reached(views.availability_of(id), version));
    }
}

impl Kept for Concert {
    fn slots(states: &mut States) -> &mut Slots<Self> {
        &mut states.concerts
    }

    fn is_listed(&self, _latest_ms: Millis) -> bool {
        true
    }

    fn publish_found(&self, views: &Views, key: Uuid, version: u64, now: Millis, to: &mut Vec<Publication>) {
        self.publish(views, Happened { key, version, events: &[], now }, to);
    }

    fn publish(&self, _views: &Views, happened: Happened<'_, Self::Event>, to: &mut Vec<Publication>) {
        let Happened { key, version, events: _events, .. } = happened;
        to.push(Publication::Concert(Box::new(self.answer(key, version, &concert::Command::Read, &[]))));
    }
}

impl Kept for Wallet {
    fn slots(states: &mut States) -> &mut Slots<Self> {
        &mut states.wallets
    }
}

impl Kept for Account {
    fn slots(states: &mut States) -> &mut Slots<Self> {
        &mut states.accounts
    }

    fn publish_found(&self, _views: &Views, key: Uuid, _version: u64, _now: Millis, to: &mut Vec<Publication>) {
        if *self.ended() != account::Ended::default() {
            to.push(Publication::Sessions(AccountId(key), Box::new(self.ended().clone())));
        }
        to.extend(self.erasing().iter().map(|user| Publication::Erasing(AccountId(key), *user)));
    }

    fn publish(&self, _views: &Views, happened: Happened<'_, Self::Event>, to: &mut Vec<Publication>) {
        let Happened { key, version: _version, events, .. } = happened;
        use account::Event::{AccountErased, ErasureFinished, SessionEnded, SessionsEnded};
        if events.iter().any(|event| matches!(event, SessionEnded(_) | SessionsEnded(_) | AccountErased(_))) {
            to.push(Publication::Sessions(AccountId(key), Box::new(self.ended().clone())));
        }
        to.extend(events.iter().filter_map(|event| match event {
            AccountErased(event) => Some(Publication::Erasing(AccountId(key), event.user_id)),
            ErasureFinished(event) => Some(Publication::Erased(event.user_id)),
            _ => None,
        }));
    }

    /// While a session that was ended would be valid otherwise, or something of an erased user's may go on.
    fn is_listed(&self, latest_ms: Millis) -> bool {
        self.ended().last_ms() > latest_ms || !self.erasing().is_empty()
    }
}

impl Kept for Organizer {
    fn slots(states: &mut States) -> &mut Slots<Self> {
        &mut states.organizers
    }

    fn publish_found(&self, views: &Views, key: Uuid, version: u64, now: Millis, to: &mut Vec<Publication>) {
        self.publish(views, Happened { key, version, events: &[], now }, to);
    }

    fn publish(&self, _views: &Views, happened: Happened<'_, Self::Event>, to: &mut Vec<Publication>) {
        let Happened { key, version, events: _events, .. } = happened;
        to.push(Publication::Organizer(Box::new(self.answer(key, version, &organizer::Command::Read, &[]))));
    }

    fn is_listed(&self, _latest_ms: Millis) -> bool {
        true
    }
}

impl Kept for Queue {
    fn slots(states: &mut States) -> &mut Slots<Self> {
        &mut states.queues
    }

    fn publish_found(&self, views: &Views, key: Uuid, version: u64, now: Millis, to: &mut Vec<Publication>) {
        let id = QueueId(key);
        views.queues().of_events(id).restore(self, version, now);
        to.extend(self.facts().map(|facts| Publication::NewQueue(facts.organizer, id)));
    }

    fn publish(&self, views: &Views, happened: Happened<'_, Self::Event>, to: &mut Vec<Publication>) {
        let Happened { key, version, events, now } = happened;
        let id = QueueId(key);
        let view = views.queues().of_events(id);
        for event in events {
            if let queue::Event::EntryRestored(restored) = event {
                view.note_restored(restored.ticket, now);
            }
        }
        to.push(Publication::Queue(view, events.into(), version, now));
        for event in events {
            if let queue::Event::QueueCreated(created) = event {
                to.push(Publication::NewQueue(created.organizer_id, id));
            }
        }
    }

    fn is_listed(&self, _latest_ms: Millis) -> bool {
        true
    }
}

impl States {
    /// On top of a snapshot.
    pub fn on(base: Option<Arc<Snapshot>>) -> States {
        States { base, ..States::default() }
    }

    /// How many aggregates are in memory.
    pub fn len(&self) -> usize {
        self.performances.len()
            + self.wallets.len()
            + self.accounts.len()
            + self.organizers.len()
            + self.concerts.len()
            + self.queues.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The aggregate from memory, or from the snapshot; `None` when it never had an event.
    pub fn load<A: Kept>(&mut self, key: Uuid) -> Result<Option<&mut Slot<A>>, eventlog::Error> {
        if !A::slots(self).contains_key(&key) {
            let Some(entry) = self.base.as_ref().map(|base| base.get(A::CATEGORY, key)).transpose()?.flatten() else {
                return Ok(None);
            };
            let stream = StreamId { category: A::CATEGORY, key };
            let (version, position, flags) = (entry.version, entry.last_position, entry.flags);
            let slot = slot_of(&Stored { stream, version, position, flags, bytes: &entry.bytes })?;
            A::slots(self).insert(key, slot);
        }
        Ok(A::slots(self).get_mut(&key))
    }

    /// Loads a stream's aggregate, if it has ever had an event.
    pub fn load_stream(&mut self, stream: StreamId) -> Result<(), eventlog::Error> {
        match stream.category {
            Category::Performance => self.load::<Performance>(stream.key).map(|_| ()),
            Category::Wallet => self.load::<Wallet>(stream.key).map(|_| ()),
            Category::Account => self.load::<Account>(stream.key).map(|_| ()),
            Category::Organizer => self.load::<Organizer>(stream.key).map(|_| ()),
            Category::Concert => self.load::<Concert>(stream.key).map(|_| ()),
            Category::Queue => self.load::<Queue>(stream.key).map(|_| ()),
        }
    }

    /// Whether a stream's aggregate is in memory.
    pub fn has(&self, stream: StreamId) -> bool {
        match stream.category {
            Category::Performance => self.performances.contains_key(&stream.key),
            Category::Wallet => self.wallets.contains_key(&stream.key),
            Category::Account => self.accounts.contains_key(&stream.key),
            Category::Organizer => self.organizers.contains_key(&stream.key),
            Category::Concert => self.concerts.contains_key(&stream.key),
            Category::Queue => self.queues.contains_key(&stream.key),
        }
    }

    /// Everything in memory, as it is stored in a snapshot.
    pub fn each_stored(
        &self,
        each: &mut dyn FnMut(Stored<'_>) -> Result<(), eventlog::Error>,
    ) -> Result<(), eventlog::Error> {
        stored(&self.performances, self.latest_ms, each)?;
        stored(&self.wallets, self.latest_ms, each)?;
        stored(&self.accounts, self.latest_ms, each)?;
        stored(&self.organizers, self.latest_ms, each)?;
        stored(&self.concerts, self.latest_ms, each)?;
        stored(&self.queues, self.latest_ms, each)
    }

    /// The same states, written to a snapshot's bytes and read again.
    pub fn through_snapshot(&self) -> Result<States, eventlog::Error> {
        let mut copy = States::on(self.base.clone());
        self.each_stored(&mut |stored| copy.read_stored(&stored))?;
        Ok(copy)
    }

    fn read_stored(&mut self, stored: &Stored<'_>) -> Result<(), eventlog::Error> {
        let key = stored.stream.key;
        match stored.stream.category {
            Category::Performance => self.performances.insert(key, slot_of(stored)?).map_or((), drop),
            Category::Wallet => self.wallets.insert(key, slot_of(stored)?).map_or((), drop),
            Category::Account => self.accounts.insert(key, slot_of(stored)?).map_or((), drop),
            Category::Organizer => self.organizers.insert(key, slot_of(stored)?).map_or((), drop),
            Category::Concert => self.concerts.insert(key, slot_of(stored)?).map_or((), drop),
            Category::Queue => self.queues.insert(key, slot_of(stored)?).map_or((), drop),
        }
        Ok(())
    }

    /// Takes over everything of `other`, which has other streams in memory.
    pub fn absorb(&mut self, other: States) {
        absorb(&mut self.performances, other.performances);
        absorb(&mut self.wallets, other.wallets);
        absorb(&mut self.accounts, other.accounts);
        absorb(&mut self.organizers, other.organizers);
        absorb(&mut self.concerts, other.concerts);
        absorb(&mut self.queues, other.queues);
        self.latest_ms = self.latest_ms.max(other.latest_ms);
    }

    /// Moves everything to the parts that own it.
    pub fn deal(mut self, owner: &dyn Fn(StreamId) -> usize, parts: &mut [States]) {
        deal::<Performance>(&mut self, owner, parts);
        deal::<Wallet>(&mut self, owner, parts);
        deal::<Account>(&mut self, owner, parts);
        deal::<Organizer>(&mut self, owner, parts);
        deal::<Concert>(&mut self, owner, parts);
        deal::<Queue>(&mut self, owner, parts);
    }

    /// Notes that a stream's last events are at or before `position`.
    pub fn set_position(&mut self, stream: StreamId, position: Position) {
        match stream.category {
            Category::Performance => set_position(&mut self.performances, stream.key, position),
            Category::Wallet => set_position(&mut self.wallets, stream.key, position),
            Category::Account => set_position(&mut self.accounts, stream.key, position),
            Category::Organizer => set_position(&mut self.organizers, stream.key, position),
            Category::Concert => set_position(&mut self.concerts, stream.key, position),
            Category::Queue => set_position(&mut self.queues, stream.key, position),
        }
    }

    /// Marks everything in memory as used in `minute`, and lists what can be passivated one day.
    pub fn mark_used(&mut self, minute: u32) -> VecDeque<(u32, StreamId)> {
        let mut used = VecDeque::new();
        mark_used(&mut self.performances, minute, &mut used);
        mark_used(&mut self.wallets, minute, &mut used);
        mark_used(&mut self.accounts, minute, &mut used);
        used
    }

    /// Lets go of an aggregate that was last used in minute `used` and whose events are all in the snapshot at `base`.
    /// `Some(minute)` when it must be looked at again, because the snapshot does not have all of it yet.
    pub fn passivate(&mut self, stream: StreamId, used: u32, base: Position, minute: u32) -> Option<u32> {
        match stream.category {
            // A large one would take long to be read again, and whoever asks for another one would wait for it, too.
            Category::Performance if self.performances.get(&stream.key).is_some_and(|slot| slot.state.is_large()) => {
                None
            }
            Category::Performance => passivate(&mut self.performances, stream.key, used, base, minute),
            Category::Wallet => passivate(&mut self.wallets, stream.key, used, base, minute),
            Category::Account => passivate(&mut self.accounts, stream.key, used, base, minute),
            // Few, small and often asked for.
            Category::Organizer | Category::Concert | Category::Queue => None,
        }
    }

    /// Takes over an event from the log.
    pub fn apply(&mut self, event: &Recorded<'_>) -> Result<(), eventlog::Error> {
        match event.stream.category {
            Category::Performance => self.apply_to::<Performance>(event),
            Category::Wallet => self.apply_to::<Wallet>(event),
            Category::Account => self.apply_to::<Account>(event),
            Category::Organizer => self.apply_to::<Organizer>(event),
            Category::Concert => self.apply_to::<Concert>(event),
            Category::Queue => self.apply_to::<Queue>(event),
        }
    }

    fn apply_to<A: Kept>(&mut self, recorded: &Recorded<'_>) -> Result<(), eventlog::Error> {
        let damaged = |what: String| eventlog::Error::Damaged { position: recorded.position, what };
        let event = A::Event::decode(recorded.name, recorded.data).map_err(|error| damaged(error.to_string()))?;
        if self.load::<A>(recorded.stream.key)?.is_none() {
            A::slots(self).insert(recorded.stream.key, Slot::default());
        }
        let slot = A::slots(self).get_mut(&recorded.stream.key).expect("loaded or inserted");
        if recorded.version != slot.version + 1 {
            let (stream, found, expected) = (recorded.stream, recorded.version, slot.version + 1);
            return Err(damaged(format!("{stream} has event {found} where {expected} belongs")));
        }
        slot.version = recorded.version;
        slot.position = recorded.position;
        slot.state.evolve(&event, slot.version, recorded.at_ms);
        self.latest_ms = self.latest_ms.max(recorded.at_ms);
        Ok(())
    }
}

/// An aggregate as it is stored in a snapshot.
pub struct Stored<'a> {
    pub stream: StreamId,
    pub version: u64,
    pub position: Position,
    pub flags: u8,
    pub bytes: &'a [u8],
}

fn slot_of<A: Aggregate>(stored: &Stored<'_>) -> Result<Slot<A>, eventlog::Error> {
    let mut state: A = postcard::from_bytes(stored.bytes).map_err(|error| {
        let stream = stored.stream;
        eventlog::Error::Other(format!(
            "the snapshot's {stream} cannot be read ({error}); delete the folder 'snapshots' and start again"
        ))
    })?;
    state.rebuild();
    Ok(Slot { state, version: stored.version, position: stored.position, ..Slot::default() })
}

/// Marks what is loaded at the start, not only when it is asked for.
const LISTED: u8 = 1;

fn stored<A: Kept>(
    slots: &Slots<A>,
    latest_ms: Millis,
    each: &mut dyn FnMut(Stored<'_>) -> Result<(), eventlog::Error>,
) -> Result<(), eventlog::Error> {
    let mut bytes = Vec::new();
    for (key, slot) in slots {
        bytes.clear();
        bytes = postcard::to_extend(&slot.state, bytes)
            .map_err(|error| eventlog::Error::Other(format!("a state cannot be stored: {error}")))?;
        let stream = StreamId { category: A::CATEGORY, key: *key };
        let flags = if slot.state.is_listed(latest_ms) { LISTED } else { 0 };
        each(Stored { stream, version: slot.version, position: slot.position, flags, bytes: &bytes })?;
    }
    Ok(())
}

fn deal<A: Kept>(from: &mut States, owner: &dyn Fn(StreamId) -> usize, parts: &mut [States]) {
    for (key, slot) in A::slots(from).drain() {
        let part = owner(StreamId { category: A::CATEGORY, key });
        A::slots(&mut parts[part]).insert(key, slot);
    }
}

/// The smaller one is moved.
fn absorb<A>(slots: &mut Slots<A>, mut other: Slots<A>) {
    if slots.len() < other.len() {
        std::mem::swap(slots, &mut other);
    }
    slots.extend(other);
}

fn set_position<A>(slots: &mut Slots<A>, key: Uuid, position: Position) {
    if let Some(slot) = slots.get_mut(&key) {
        slot.position = position;
    }
}

fn mark_used<A: Aggregate>(slots: &mut Slots<A>, minute: u32, used: &mut VecDeque<(u32, StreamId)>) {
    for (key, slot) in slots {
        slot.used = minute;
        used.push_back((minute, StreamId { category: A::CATEGORY, key: *key }));
    }
}

fn passivate<A: Aggregate>(slots: &mut Slots<A>, key: Uuid, used: u32, base: Position, minute: u32) -> Option<u32> {
    let slot = slots.get_mut(&key).filter(|slot| slot.used == used)?;
    if slot.position <= base && slot.state.next_due().is_none() {
        slots.remove(&key);
        return None;
    }
    slot.used = minute;
    Some(minute)
}

/// The shard, of `shards`, that owns a stream.
pub fn shard_of(stream: StreamId, shards: usize) -> usize {
    // The last bytes: random in every kind of id.
    let (_, low) = stream.key.as_u64_pair();
    (low.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) as usize % shards
}
