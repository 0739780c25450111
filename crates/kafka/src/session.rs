//! One life of a producer: where each partition goes on, what was sent and not acknowledged, and how it ends.

use super::checkpoint::{Checkpoint, Topic as Known};
use super::quiet::{Quiet, in_short, note};
use super::record::{Rendered, Stamp};
use super::settings::Settings;
use super::tail::{self, Tail};
use super::topics::{self, Topic};
use super::{Fault, partition};
use base::id::{Category, Millis, StreamId};
use eventlog::{Error, Log, Position};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Bits of a delivery's token that are the event's position; the rest is its slot.
const POSITION_BITS: u32 = 48;
/// How long to wait for room in the producer's queue before looking around.
const ROOM: Duration = Duration::from_millis(1);
/// What a topic takes unless it says otherwise (Kafka's `max.message.bytes`), and a generous guess at key and headers.
const RECORD_BYTES_ASSUMED: usize = 1_048_588;
const HEADERS_BYTES: usize = 1_024;

/// How long the report of the record may take that ended a producer's life.
const REPORTED_WITHIN: Duration = Duration::from_millis(500);

/// What was sent and not acknowledged, by slot; filled and emptied on the publisher's thread.
#[derive(Default)]
struct Flight {
    /// Position and time of each, in order.
    waiting: Vec<VecDeque<(u64, Millis)>>,
    /// Whether the next record has to wait until those before it are acknowledged, see [`Session::send`].
    alone: Vec<bool>,
    next_offsets: Vec<i64>,
    acknowledged: u64,
    /// The first record that failed for good; of records too large together, the largest.
    failed: Option<Fault>,
    too_large_bytes: usize,
    last_complaint: String,
}

/// The producer's context.
struct Deliveries(Mutex<Flight>);

impl Deliveries {
    fn lock(&self) -> MutexGuard<'_, Flight> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        note(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let mut flight = self.lock();
        // That none is left says less than why the last one went.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) || flight.last_complaint.is_empty() {
            let why = in_short(reason);
            flight.last_complaint = if why.is_empty() { error.to_string() } else { why.to_owned() };
        }
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, token: usize) {
        let (slot, position) = (token >> POSITION_BITS, token as u64 & ((1 << POSITION_BITS) - 1));
        let mut flight = self.lock();
        match result {
            Ok(message) => match flight.waiting[slot].pop_front() {
                Some((first, _)) if first == position => {
                    flight.next_offsets[slot] = message.offset() + 1;
                    flight.alone[slot] = false;
                    flight.acknowledged += 1;
                    flight.last_complaint.clear();
                }
                first => {
                    let what = format!("position {position} was acknowledged before {first:?}");
                    flight.failed.get_or_insert(Fault::Kafka(what));
                }
            },
            Err((error, message)) => {
                let (topic, bytes) = (message.topic(), message.payload_len());
                let fault = failed(error, topic, position, bytes, &flight.last_complaint);
                let more = matches!(fault, Fault::TooLarge(_)) && bytes > flight.too_large_bytes;
                if more || flight.failed.is_none() {
                    flight.too_large_bytes = if more { bytes } else { 0 };
                    flight.failed = Some(fault);
                }
            }
        }
    }
}

fn failed(error: &KafkaError, topic: &str, position: u64, bytes: usize, last: &str) -> Fault {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize) => Fault::TooLarge(format!(
            "the event at position {position} has {bytes} bytes, more than topic {topic} takes: raise its max.message.bytes"
        )),
        Some(RDKafkaErrorCode::InvalidTimestamp) => {
            Fault::Topics(format!("position {position}: {}", topics::let_any_time(topic)))
        }
        // These are the others that go down with the first; what that was, the client has said.
        Some(RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight | RDKafkaErrorCode::Fatal)
            if !last.is_empty() =>
        {
            Fault::Kafka(last.to_owned())
        }
        _ => Fault::Kafka(format!("topic {topic}, position {position}: {error}")),
    }
}

/// A partition of a topic.
struct Slot {
    topic: usize,
    partition: i32,
    /// Up to here it has everything that belongs there.
    resumed: u64,
}

/// A producer, and where it began.
pub struct Session {
    producer: BaseProducer<Deliveries>,
    topics: Vec<Topic>,
    /// Of each topic in turn.
    slots: Vec<Slot>,
    /// By category's code: the topic's first slot and how many it has.
    places: Vec<Option<(usize, u32)>>,
    deliveries: Arc<Deliveries>,
    /// A value of so many bytes is no more than any topic takes.
    fits_bytes: usize,
    /// Where the log is to be read from.
    pub from: Position,
}

/// How sending one record went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sent {
    /// It waits for its acknowledgement.
    Queued,
    /// It was there before.
    There,
    /// The queue is full, or those before it have to arrive first. Nothing was done.
    Full,
}

impl Session {
    /// Looks at the topics, makes what is missing, and finds out where each partition goes on. With `tell`, says what of the
    /// topics is not as wanted.
    pub fn open(
        settings: &Settings,
        log: &dyn Log,
        log_id: Uuid,
        known: &Checkpoint,
        tell: bool,
    ) -> Result<Session, Fault> {
        let reader: BaseConsumer<Quiet> = settings.reader().create_with_context(Quiet::default())?;
        let mut topics = topics::ensure(settings, &reader)?;
        let record_bytes_max = topics::record_bytes_max(settings, &topics, tell);
        let mut slots = Vec::new();
        let mut next_offsets = Vec::new();
        let mut places = vec![None; usize::from(u8::MAX) + 1];
        for (index, topic) in topics.iter_mut().enumerate() {
            // Of a topic that is new to us, or was made anew with fewer partitions, nothing that was known holds.
            let before = known.topics.get(&topic.name).filter(|before| before.partitions() <= topic.partitions);
            let position = before.map_or(Position(0), |_| known.position);
            topic.partitions = used(topic, before);
            places[topic.category as usize] = Some((slots.len(), topic.partitions));
            let tails = tail::read(&reader, &topic.name, topic.partitions, log_id)?;
            for (partition, tail) in tails.iter().enumerate() {
                check_history(log, topic, partition, tail)?;
                let next_offset = before.and_then(|before| before.next_offsets.get(partition)).copied();
                let resumed = resumed(tail, next_offset.unwrap_or(0), position);
                let (topic, foreign) = (&topic.name, tail.foreign);
                if foreign > 0 {
                    tracing::warn!(
                        topic,
                        partition,
                        foreign,
                        "records at the end that are not of this log; they are left alone"
                    );
                }
                if resumed < position {
                    tracing::warn!(topic, partition, from = resumed.0, "records are gone; they are sent again");
                }
                slots.push(Slot { topic: index, partition: partition as i32, resumed: resumed.0 });
                // What somebody else wrote into a partition that we never used says nothing about ours.
                next_offsets.push(if tail.last.is_some() || tail.low > 0 { tail.high } else { 0 });
            }
        }
        let from = slots.iter().map(|slot| slot.resumed).min().unwrap_or(known.position.0);
        let flight = Flight {
            waiting: slots.iter().map(|_| VecDeque::new()).collect(),
            alone: vec![true; slots.len()],
            next_offsets,
            ..Flight::default()
        };
        let producer: BaseProducer<Deliveries> =
            settings.producer(record_bytes_max).create_with_context(Deliveries(Mutex::new(flight)))?;
        let deliveries = producer.context().clone();
        let fits_bytes = record_bytes_max.unwrap_or(RECORD_BYTES_ASSUMED).saturating_sub(HEADERS_BYTES);
        Ok(Session { producer, topics, slots, places, deliveries, fits_bytes, from: Position(from) })
    }

    /// Sends the record of an event of `stream`, recorded at `at_ms`, unless it is there. Never waits.
    ///
    /// A record that may be refused, and the first of this producer in a partition, travel alone: a broker that has no
    /// record of a producer takes its second one although it refused the first, and that gap nobody would see.
    pub fn send(
        &self,
        stream: StreamId,
        position: Position,
        at_ms: Millis,
        record: &Rendered<'_>,
    ) -> Result<Sent, Fault> {
        let slot = self.slot(stream.category, record.key)?;
        let Slot { topic, partition, resumed } = self.slots[slot];
        if position.0 <= resumed {
            return Ok(Sent::There);
        }
        {
            let mut flight = self.deliveries.lock();
            let large = record.value.len() > self.fits_bytes;
            if (flight.alone[slot] || large) && !flight.waiting[slot].is_empty() {
                return Ok(Sent::Full);
            }
            flight.alone[slot] |= large;
            flight.waiting[slot].push_back((position.0, at_ms));
        }
        let token = slot << POSITION_BITS | position.0 as usize;
        let message = BaseRecord::with_opaque_to(&self.topics[topic].name, token)
            .partition(partition)
            .key(record.key)
            .payload(record.value)
            .timestamp(at_ms as i64)
            .headers(record.headers());
        let Err((error, message)) = self.producer.send(message) else { return Ok(Sent::Queued) };
        self.deliveries.lock().waiting[slot].pop_back();
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => Ok(Sent::Full),
            _ => {
                let bytes = message.payload.map_or(0, <[u8]>::len);
                Err(self.fatal().unwrap_or_else(|| failed(&error, message.topic, position.0, bytes, "")))
            }
        }
    }

    fn slot(&self, category: Category, key: &str) -> Result<usize, Fault> {
        let place = self.places[category as usize];
        let (first, partitions) = place.ok_or_else(|| Fault::Topics(format!("no topic for {}", category.as_str())))?;
        Ok(first + partition::of(key.as_bytes(), partitions) as usize)
    }

    /// Takes note of what was acknowledged, at once; an error when this producer's life is over.
    pub fn serve(&self) -> Result<(), Fault> {
        loop {
            let before = self.deliveries.lock().acknowledged;
            self.producer.poll(Duration::ZERO);
            let flight = self.deliveries.lock();
            if let Some(fault) = &flight.failed {
                return Err(fault.clone());
            }
            if flight.acknowledged == before {
                break;
            }
        }
        self.fatal().map_or(Ok(()), Err)
    }

    /// Waits a moment for acknowledgements.
    pub fn wait(&self) -> Result<(), Fault> {
        self.producer.poll(ROOM);
        self.serve()
    }

    fn fatal(&self) -> Option<Fault> {
        let (code, text) = self.producer.client().fatal_error()?;
        // The record that it began with says more, once its report is in.
        let until = Instant::now() + REPORTED_WITHIN;
        loop {
            if let Some(failed) = self.deliveries.lock().failed.clone() {
                return Some(failed);
            }
            if Instant::now() >= until {
                return Some(Fault::Kafka(format!("{code}: {text}")));
            }
            self.producer.poll(ROOM);
        }
    }

    /// How many were acknowledged in this life.
    pub fn acknowledged(&self) -> u64 {
        self.deliveries.lock().acknowledged
    }

    /// The first that is not acknowledged: its position and when it was recorded.
    pub fn oldest(&self) -> Option<(Position, Millis)> {
        let flight = self.deliveries.lock();
        let oldest = flight.waiting.iter().filter_map(|waiting| waiting.front()).min();
        oldest.map(|(position, at_ms)| (Position(*position), *at_ms))
    }

    /// What the brokers' connections last complained about.
    pub fn last_complaint(&self) -> String {
        self.deliveries.lock().last_complaint.clone()
    }

    /// What is known now, everything up to `position` being acknowledged.
    pub fn checkpoint(&self, log_id: Uuid, position: Position) -> Checkpoint {
        let flight = self.deliveries.lock();
        let mut checkpoint = Checkpoint { log_id, position, ..Checkpoint::default() };
        for (slot, next_offset) in self.slots.iter().zip(&flight.next_offsets) {
            let name = &self.topics[slot.topic].name;
            checkpoint.topics.entry(name.clone()).or_default().next_offsets.push(*next_offset);
        }
        checkpoint
    }

    /// Waits until everything is acknowledged, at most until `until`.
    pub fn drain(&self, until: Instant) -> Result<(), Fault> {
        while self.oldest().is_some() && Instant::now() < until {
            self.wait()?;
        }
        Ok(())
    }
}

/// How many of a topic's partitions are used: as many as when it was begun, because with another number a stream's later
/// events would go elsewhere than its earlier ones.
fn used(topic: &Topic, before: Option<&Known>) -> u32 {
    let Some(uses) = before.map(Known::partitions) else { return topic.partitions };
    if uses < topic.partitions {
        let has = topic.partitions;
        tracing::warn!(topic = topic.name, has, uses, "partitions were added; a stream stays in the one it began in");
    }
    uses
}

/// Where a partition goes on. `next_offset` is the offset behind the last record that is known to have been there, and
/// `position` what every partition had then.
fn resumed(tail: &Tail, next_offset: i64, position: Position) -> Position {
    let found = tail.last.as_ref().map_or(Position(0), |last| last.position);
    // Records that grew too old are gone for everybody; a topic that was made anew has them to come.
    let gone = tail.high < next_offset || (tail.last.is_none() && tail.low == 0 && next_offset > 0);
    if gone { found } else { found.max(position) }
}

/// The last record must be an event of this log as it is: a log that was put back from a copy has others there, or none.
fn check_history(log: &dyn Log, topic: &Topic, partition: usize, tail: &Tail) -> Result<(), Fault> {
    let Some(last) = &tail.last else { return Ok(()) };
    let mut same = false;
    if last.position <= log.durable() && last.position > Position(0) {
        let read = log.read_from(Position(last.position.0 - 1), &mut |event| {
            same = last.stream == event.stream && last.version == event.version && last.name == event.name;
            false
        });
        if let Err(error @ Error::Away { .. }) = &read {
            // A partition that has had nothing for long; nothing is to be sent from before.
            tracing::warn!(topic = topic.name, partition, %error, "its last record cannot be compared with the log");
            return Ok(());
        }
        read?;
    }
    if same {
        return Ok(());
    }
    let Stamp { position, stream, name, .. } = last;
    let (topic, end) = (&topic.name, log.durable());
    Err(Fault::OtherHistory(format!(
        "topic {topic}, partition {partition} ends with {name} of {stream} at position {position}, which this log does not \
         have (it ends at {end}): was it put back from a copy? Publish with another kafka.prefix, or delete the topics"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_goes_on_where_it_ends() {
        let stamp = |position| Stamp {
            log_id: Uuid::nil(),
            position: Position(position),
            stream: StreamId { category: Category::Wallet, key: Uuid::nil() },
            version: 1,
            name: "Tested.v1".into(),
        };
        // Begin, end and last position of a partition; the offset and the position that were known; where it goes on.
        let table = [
            ("never used", (0, 0, None), (0, 0), 0),
            ("never used, others were", (0, 0, None), (0, 90), 90),
            ("as it was left", (0, 5, Some(70)), (5, 90), 90),
            ("acknowledged after the checkpoint", (0, 7, Some(95)), (5, 90), 95),
            ("too old records were deleted", (5, 5, None), (5, 90), 90),
            ("made anew", (0, 0, None), (5, 90), 0),
            ("made anew, and begun again", (0, 2, Some(30)), (5, 90), 30),
            ("made anew, somebody else writes", (0, 9, None), (5, 90), 0),
            ("no checkpoint", (0, 7, Some(95)), (0, 0), 95),
        ];
        for (what, (low, high, last), (next_offset, position), want) in table {
            let tail = Tail { low, high, last: last.map(stamp), foreign: 0 };
            assert_eq!(resumed(&tail, next_offset, Position(position)), Position(want), "{what}");
        }
    }

    #[test]
    fn a_topic_keeps_the_number_of_partitions_that_it_began_with() {
        let topic = |partitions| Topic { category: Category::Wallet, name: "w".into(), partitions };
        let known = |partitions| Known { next_offsets: vec![0; partitions] };
        assert_eq!(used(&topic(12), None), 12);
        assert_eq!(used(&topic(12), Some(&known(3))), 3, "partitions were added");
        assert_eq!(used(&topic(3), Some(&known(3))), 3);
    }
}
