//! The records of all partitions, in the order of their positions.

use crate::event::{Event, Rows};
use crate::{Error, Kind};
use base::id::Category;
use eventlog::{Position, Recorded};
use kafka::quiet::Quiet;
use kafka::record::Stamp;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

/// How often it is noted how far the reader is.
const COMMIT_EVERY: Duration = Duration::from_secs(5);

/// All partitions, from some place on.
pub struct Stream {
    consumer: Arc<BaseConsumer<Quiet>>,
    partitions: Vec<Partition>,
    /// Positions of the partitions' next events.
    heads: BinaryHeap<Reverse<(u64, usize)>>,
    /// Partitions whose next event is not here yet.
    bare: Vec<usize>,
    /// The last event that was given.
    pub at: Position,
    /// Since when the next one is missing.
    pub missing: Option<Instant>,
    committed: Instant,
}

struct Partition {
    category: Category,
    topic: String,
    number: i32,
    queue: PartitionQueue<Quiet>,
    /// Records that came before the queue was its own.
    early: VecDeque<(i64, Event)>,
    /// The next event, with its offset.
    head: Option<(i64, Event)>,
    /// The last position that was seen.
    seen: u64,
    /// Behind the last record that was taken.
    next_offset: Option<i64>,
}

impl Stream {
    /// Begins behind `after`, at the places of `wanted`, which are all partitions of `topics`.
    pub fn start(
        consumer: BaseConsumer<Quiet>,
        topics: Vec<(Category, String, u32)>,
        wanted: &TopicPartitionList,
        after: Position,
    ) -> Result<Stream, Error> {
        let consumer = Arc::new(consumer);
        consumer.assign(wanted).map_err(away)?;
        let mut partitions = Vec::new();
        for (category, topic, count) in topics {
            for number in 0..count as i32 {
                let queue = consumer.split_partition_queue(&topic, number);
                let queue = queue.ok_or_else(|| Error::new(Kind::Away, format!("Kafka: {topic} is gone")))?;
                partitions.push(Partition {
                    category,
                    topic: topic.clone(),
                    number,
                    queue,
                    early: VecDeque::new(),
                    head: None,
                    seen: after.0,
                    next_offset: None,
                });
            }
        }
        let bare = (0..partitions.len()).collect();
        let (heads, committed) = (BinaryHeap::new(), Instant::now());
        Ok(Stream { consumer, partitions, heads, bare, at: after, missing: None, committed })
    }

    /// Lets the client work. An error when no broker can be reached.
    pub fn serve(&mut self, log_id: Uuid, rows: &mut Rows) -> Result<(), Error> {
        while let Some(polled) = self.consumer.poll(Duration::ZERO) {
            match polled {
                Ok(message) => {
                    let of = |partition: &&mut Partition| {
                        partition.number == message.partition() && partition.topic == message.topic()
                    };
                    let Some(partition) = self.partitions.iter_mut().find(of) else { continue };
                    if let Some(event) = partition.event(&message, log_id, rows) {
                        partition.early.push_back((message.offset(), event));
                    }
                }
                Err(KafkaError::MessageConsumption(RDKafkaErrorCode::AllBrokersDown)) => {
                    let last = self.consumer.context().last();
                    return Err(Error::new(Kind::Away, format!("Kafka: {last}")));
                }
                // Told again, in other words, by what does not come.
                Err(error) => tracing::debug!(%error, "Kafka"),
            }
        }
        Ok(())
    }

    /// The next event, if it is here.
    pub fn next(&mut self, log_id: Uuid, rows: &mut Rows) -> Result<Option<Event>, Error> {
        loop {
            if let Some(Reverse((position, index))) = self.heads.peek().copied()
                && position == self.at.0 + 1
            {
                self.heads.pop();
                let head = self.partitions[index].head.take();
                self.at = Position(position);
                self.refill(index, log_id, rows)?;
                return Ok(head.map(|(_, event)| event));
            }
            let before = self.bare.len();
            self.fill(log_id, rows)?;
            if self.bare.len() == before {
                return Ok(None);
            }
        }
    }

    /// Looks whether partitions that had nothing have something now.
    pub fn fill(&mut self, log_id: Uuid, rows: &mut Rows) -> Result<(), Error> {
        for index in std::mem::take(&mut self.bare) {
            self.refill(index, log_id, rows)?;
        }
        Ok(())
    }

    fn refill(&mut self, index: usize, log_id: Uuid, rows: &mut Rows) -> Result<(), Error> {
        let partition = &mut self.partitions[index];
        if let Some(head) = partition.early.pop_front() {
            self.heads.push(Reverse((head.1.position.0, index)));
            partition.head = Some(head);
            return Ok(());
        }
        loop {
            let (offset, event) = match partition.queue.poll(Duration::ZERO) {
                None => {
                    self.bare.push(index);
                    return Ok(());
                }
                Some(Err(error)) => {
                    self.bare.push(index);
                    return Err(Error::new(Kind::Away, format!("Kafka: {}: {error}", partition.topic)));
                }
                Some(Ok(message)) => {
                    let event = event(&message, partition.category, partition.seen, log_id, rows);
                    (message.offset(), event)
                }
            };
            partition.next_offset = Some(offset + 1);
            if let Some(event) = event {
                partition.seen = event.position.0;
                self.heads.push(Reverse((event.position.0, index)));
                partition.head = Some((offset, event));
                return Ok(());
            }
        }
    }

    pub fn last_seen(&self) -> Position {
        let seen = self.partitions.iter().map(|partition| partition.seen).max();
        self.at.max(Position(seen.unwrap_or(0)))
    }

    /// Notes that everything that was given is applied.
    pub fn commit(&mut self, wanted: bool) {
        if !wanted || self.committed.elapsed() < COMMIT_EVERY {
            return;
        }
        self.committed = Instant::now();
        let mut places = TopicPartitionList::new();
        for partition in &self.partitions {
            let head = partition.head.as_ref().map(|(offset, _)| *offset);
            let Some(offset) = head.or(partition.next_offset) else { continue };
            let mut place = places.add_partition(&partition.topic, partition.number);
            place.set_metadata(self.at.0.to_string());
            if place.set_offset(Offset::Offset(offset)).is_err() {
                return;
            }
        }
        // One that fails is made up for by the next.
        let _ = self.consumer.commit(&places, CommitMode::Async);
    }

    /// What to say when the next event does not come.
    pub fn gap(&self) -> Error {
        let last = self.consumer.context().last();
        let next = self.heads.peek().map(|Reverse((position, _))| *position);
        let missing = self.at.0 + 1;
        let what = match (next, last.as_str()) {
            (Some(next), _) => {
                format!("Kafka: the event at position {missing} is in none of the topics; the next one there is {next}")
            }
            (None, "") => format!("Kafka: the event at position {missing} does not come"),
            (None, last) => format!("Kafka: {last}"),
        };
        Error::new(Kind::Away, what)
    }
}

impl Partition {
    /// The event of a record that came before the queue was its own.
    fn event(&mut self, message: &BorrowedMessage<'_>, log_id: Uuid, rows: &mut Rows) -> Option<Event> {
        self.next_offset = Some(message.offset() + 1);
        let event = event(message, self.category, self.seen, log_id, rows)?;
        self.seen = event.position.0;
        Some(event)
    }
}

/// The event of a record; none of one that somebody else wrote, or that was there before.
fn event(message: &BorrowedMessage<'_>, category: Category, seen: u64, log_id: Uuid, rows: &mut Rows) -> Option<Event> {
    let stamp = Stamp::of(message).filter(|stamp| stamp.log_id == log_id && stamp.stream.category == category)?;
    let time = message.headers()?.iter().find(|header| header.key == "ce_time")?.value?;
    let at_ms = rfc3339_ms(std::str::from_utf8(time).ok()?)?;
    let data = message.payload()?;
    if stamp.position.0 <= seen {
        return None;
    }
    let Stamp { position, stream, version, name, .. } = stamp;
    Some(rows.row(&Recorded { position, stream, version, at_ms, name: &name, data }))
}

fn rfc3339_ms(text: &str) -> Option<u64> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok()
}

/// Kafka cannot be asked at the moment.
pub fn away(error: KafkaError) -> Error {
    Error::new(Kind::Away, format!("Kafka: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::clock::rfc3339;

    #[test]
    fn times_come_back_as_they_were_written() {
        for ms in [0, 1, 999, 1_790_000_000_123, 253_402_300_799_999] {
            assert_eq!(rfc3339_ms(std::str::from_utf8(&rfc3339(ms)).unwrap()), Some(ms));
        }
        assert_eq!(rfc3339_ms("yesterday"), None);
    }
}
