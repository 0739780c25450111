//! Aggregates in memory, by key: what recovery fills, what shards own, what snapshots are made of.

use base::id::{Millis, StreamId};
use domain::{Aggregate, Aggregates, EventData, PerAggregate, by_category, each_aggregate};
use eventlog::snapshot::Snapshot;
use eventlog::{Position, Recorded};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::sync::Arc;
use uuid::Uuid;

/// Changes whenever the bytes of any stored aggregate do: an older snapshot is then ignored and the log replayed.
pub const SNAPSHOT_SCHEMA: u32 = 10;

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

/// Events of one aggregate, one after the other, of the same instant.
pub struct RecordedEvents<'a, E> {
    pub key: Uuid,
    /// After the last of them.
    pub version: u64,
    pub events: &'a [E],
    pub now: Millis,
}

/// Its aggregates of one kind, for each kind.
struct InMemory;

impl PerAggregate for InMemory {
    type Of<A: Aggregate> = Slots<A>;
}

/// All aggregates that are in memory. Those that are not are in `base`, unchanged since.
#[derive(Default)]
pub struct AggregateStore {
    slots: Aggregates<InMemory>,
    pub base: Option<Arc<Snapshot>>,
    /// The instant of the latest event that was applied: what has lapsed by then need not be listed.
    pub latest_ms: Millis,
}

impl AggregateStore {
    /// On top of a snapshot.
    pub fn on(base: Option<Arc<Snapshot>>) -> AggregateStore {
        AggregateStore { base, ..AggregateStore::default() }
    }

    /// How many aggregates are in memory.
    pub fn len(&self) -> usize {
        let mut len = 0;
        each_aggregate!(A => len += self.slots::<A>().len());
        len
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those of one kind that are in memory.
    pub fn slots<A: Aggregate>(&self) -> &Slots<A> {
        self.slots.of::<A>()
    }

    pub fn slots_mut<A: Aggregate>(&mut self) -> &mut Slots<A> {
        self.slots.of_mut::<A>()
    }

    /// The keys of those of one kind that are in memory.
    pub fn keys<A: Aggregate>(&self) -> Vec<Uuid> {
        self.slots::<A>().keys().copied().collect()
    }

    /// The aggregate from memory, or from the snapshot; `None` when it never had an event.
    pub fn load<A: Aggregate>(&mut self, key: Uuid) -> Result<Option<&mut Slot<A>>, eventlog::Error> {
        if !self.slots::<A>().contains_key(&key) {
            let Some(entry) = self.base.as_ref().map(|base| base.get(A::CATEGORY, key)).transpose()?.flatten() else {
                return Ok(None);
            };
            let stream = StreamId { category: A::CATEGORY, key };
            let (version, position, flags) = (entry.version, entry.last_position, entry.flags);
            let slot = slot_of(&Stored { stream, version, position, flags, bytes: &entry.bytes })?;
            self.slots_mut::<A>().insert(key, slot);
        }
        Ok(self.slots_mut().get_mut(&key))
    }

    /// Loads a stream's aggregate, if it has ever had an event.
    pub fn load_stream(&mut self, stream: StreamId) -> Result<(), eventlog::Error> {
        by_category!(stream.category, A => self.load::<A>(stream.key).map(drop))
    }

    /// Whether a stream's aggregate is in memory.
    pub fn has(&self, stream: StreamId) -> bool {
        by_category!(stream.category, A => self.slots::<A>().contains_key(&stream.key))
    }

    /// Everything in memory, as it is stored in a snapshot.
    pub fn each_stored(
        &self,
        each: &mut dyn FnMut(Stored<'_>) -> Result<(), eventlog::Error>,
    ) -> Result<(), eventlog::Error> {
        each_aggregate!(A => stored(self.slots::<A>(), self.latest_ms, each)?);
        Ok(())
    }

    /// The same states, written to a snapshot's bytes and read again.
    pub fn through_snapshot(&self) -> Result<AggregateStore, eventlog::Error> {
        let mut copy = AggregateStore::on(self.base.clone());
        self.each_stored(&mut |stored| copy.read_stored(&stored))?;
        Ok(copy)
    }

    fn read_stored(&mut self, stored: &Stored<'_>) -> Result<(), eventlog::Error> {
        by_category!(stored.stream.category, A => {
            self.slots_mut::<A>().insert(stored.stream.key, slot_of(stored)?);
        });
        Ok(())
    }

    /// Takes over everything of `other`, which has other streams in memory.
    pub fn absorb(&mut self, mut other: AggregateStore) {
        each_aggregate!(A => absorb(self.slots_mut::<A>(), std::mem::take(other.slots_mut::<A>())));
        self.latest_ms = self.latest_ms.max(other.latest_ms);
    }

    /// Moves everything to the parts that own it.
    pub fn deal(mut self, owner: &dyn Fn(StreamId) -> usize, parts: &mut [AggregateStore]) {
        each_aggregate!(A => deal::<A>(&mut self, owner, parts));
    }

    /// Notes that a stream's last events are at or before `position`.
    pub fn set_position(&mut self, stream: StreamId, position: Position) {
        by_category!(stream.category, A => {
            if let Some(slot) = self.slots_mut::<A>().get_mut(&stream.key) {
                slot.position = position;
            }
        });
    }

    /// Marks everything in memory as used in `minute`, and lists what can be passivated one day.
    pub fn mark_used(&mut self, minute: u32) -> VecDeque<(u32, StreamId)> {
        let mut used = VecDeque::new();
        each_aggregate!(A => mark_used(self.slots_mut::<A>(), minute, &mut used));
        used
    }

    /// Lets go of an aggregate that was last used in minute `used` and whose events are all in the snapshot at `base`.
    /// `Some(minute)` when it must be looked at again, because the snapshot does not have all of it yet.
    pub fn passivate(&mut self, stream: StreamId, used: u32, base: Position, minute: u32) -> Option<u32> {
        by_category!(stream.category, A => passivate(self.slots_mut::<A>(), stream.key, used, base, minute))
    }

    /// Takes over an event from the log.
    pub fn apply(&mut self, event: &Recorded<'_>) -> Result<(), eventlog::Error> {
        by_category!(event.stream.category, A => self.apply_to::<A>(event))
    }

    fn apply_to<A: Aggregate>(&mut self, recorded: &Recorded<'_>) -> Result<(), eventlog::Error> {
        let damaged = |what: String| eventlog::Error::Damaged { position: recorded.position, what };
        let event = A::Event::decode(recorded.name, recorded.data).map_err(|error| damaged(error.to_string()))?;
        if self.load::<A>(recorded.stream.key)?.is_none() {
            self.slots_mut::<A>().insert(recorded.stream.key, Slot::default());
        }
        let slot = self.slots_mut::<A>().get_mut(&recorded.stream.key).expect("loaded or inserted");
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

fn stored<A: Aggregate>(
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

fn deal<A: Aggregate>(from: &mut AggregateStore, owner: &dyn Fn(StreamId) -> usize, parts: &mut [AggregateStore]) {
    for (key, slot) in from.slots_mut::<A>().drain() {
        let part = owner(StreamId { category: A::CATEGORY, key });
        parts[part].slots_mut::<A>().insert(key, slot);
    }
}

/// The smaller one is moved.
fn absorb<A>(slots: &mut Slots<A>, mut other: Slots<A>) {
    if slots.len() < other.len() {
        std::mem::swap(slots, &mut other);
    }
    slots.extend(other);
}

fn mark_used<A: Aggregate>(slots: &mut Slots<A>, minute: u32, used: &mut VecDeque<(u32, StreamId)>) {
    if A::STAYS_IN_MEMORY {
        return;
    }
    for (key, slot) in slots {
        slot.used = minute;
        used.push_back((minute, StreamId { category: A::CATEGORY, key: *key }));
    }
}

fn passivate<A: Aggregate>(slots: &mut Slots<A>, key: Uuid, used: u32, base: Position, minute: u32) -> Option<u32> {
    if A::STAYS_IN_MEMORY {
        return None;
    }
    let slot = slots.get_mut(&key).filter(|slot| slot.used == used)?;
    // A large one would take long to be read again, and whoever asks for another one would wait for it, too.
    if slot.state.is_large() {
        return None;
    }
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
