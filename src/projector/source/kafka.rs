//! The log as Kafka has it: records of all partitions, put back into the log's order. Positions are dense and every category
//! is published whole, so the next event is always in some partition: the one whose next record has the next position.
//!
//! One reader has all partitions, because one alone may change the tables; the group is where it notes how far it is, for the
//! next start and for whoever watches lag. What has come twice, and what somebody else wrote there, is passed over.

use super::Source;
use crate::id::{Category, StreamId};
use crate::kafka::Settings;
use crate::kafka::record::{Stamp, topic};
use crate::kafka::session::Quiet;
use crate::kafka::{Fault, tail};
use crate::log::{Position, Recorded};
use crate::projector::event::{Event, Rows};
use crate::projector::{Error, Kind};
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

/// How long brokers may take to answer one question.
const ANSWER: Duration = Duration::from_secs(10);
/// How long the next event may be missing while later ones are there: after that it is said, and all is begun anew.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one call waits for an event that is not there yet.
const READ_WAIT: Duration = Duration::from_millis(100);
/// Between two looks at queues that were empty.
const LOOK: Duration = Duration::from_millis(2);
/// How often it is noted how far the reader is.
const COMMIT_EVERY: Duration = Duration::from_secs(5);
/// For how long it is good to know where the topics end.
const END_FRESH: Duration = Duration::from_secs(2);
/// KiB that are read ahead of each partition.
const AHEAD_KIB: &str = "2048";
/// ms without reading after which Kafka would take a reader for dead: filling tables may take long.
const SILENCE_MS: &str = "86400000";

/// Events from Kafka.
pub struct FromKafka {
    settings: Settings,
    /// Where it notes how far it is; nowhere when it only passes by.
    group: Option<String>,
    log_id: Uuid,
    /// Looks at the ends of partitions.
    reader: BaseConsumer<Quiet>,
    end: Position,
    looked: Instant,
    rows: Rows,
    stream: Option<Stream>,
}

/// All partitions, from some place on.
struct Stream {
    consumer: Arc<BaseConsumer<Quiet>>,
    partitions: Vec<Partition>,
    /// Positions of the partitions' next events.
    heads: BinaryHeap<Reverse<(u64, usize)>>,
    /// Partitions whose next event is not here yet.
    bare: Vec<usize>,
    /// The last event that was given.
    at: Position,
    /// Since when the next one is missing.
    missing: Option<Instant>,
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

impl FromKafka {
    /// Looks at the topics. Of which log is told by `log_id`, otherwise by the records, if they are all of one.
    pub fn open(settings: Settings, log_id: Option<Uuid>, group: Option<String>) -> Result<FromKafka, Error> {
        let reader: BaseConsumer<Quiet> = settings.reader().create_with_context(Quiet::default()).map_err(away)?;
        let log_id = match log_id {
            Some(log_id) => log_id,
            None => only_log(&settings, &reader)?,
        };
        let (end, looked, rows) = (Position(0), Instant::now(), Rows::default());
        let mut source = FromKafka { settings, group, log_id, reader, end, looked, rows, stream: None };
        source.look()?;
        Ok(source)
    }

    /// Finds the last position that is there.
    fn look(&mut self) -> Result<(), Error> {
        for (_, name, partitions) in topics(&self.settings, &self.reader)? {
            let tails = tail::read(&self.reader, &name, partitions, self.log_id).map_err(fault)?;
            let last = tails.iter().filter_map(|tail| Some(tail.last.as_ref()?.position)).max();
            self.end = self.end.max(last.unwrap_or_default());
        }
        self.looked = Instant::now();
        Ok(())
    }

    /// Reads from behind `after` on: from where the group was, if that is not later, otherwise from the first record.
    fn start(&mut self, after: Position) -> Result<(), Error> {
        self.stream = None;
        let mut config = self.settings.reader();
        let group = self.group.clone().unwrap_or_else(|| format!("{}-passing-by", self.settings.prefix));
        config
            .set("group.id", group)
            .set("enable.partition.eof", "false")
            .set("auto.offset.reset", "earliest")
            .set("queued.max.messages.kbytes", AHEAD_KIB)
            .set("max.poll.interval.ms", SILENCE_MS);
        let consumer: Arc<BaseConsumer<Quiet>> = Arc::new(config.create_with_context(Quiet::default()).map_err(away)?);
        let topics = topics(&self.settings, &consumer)?;
        let mut wanted = TopicPartitionList::new();
        for (_, name, partitions) in &topics {
            wanted.add_partition_range(name, 0, *partitions as i32 - 1);
        }
        if self.group.is_some() {
            wanted = consumer.committed_offsets(wanted, ANSWER).map_err(away)?;
        }
        for mut place in wanted.elements() {
            let noted = place.metadata().parse::<u64>().is_ok_and(|position| position <= after.0);
            if !noted || !matches!(place.offset(), Offset::Offset(_)) {
                place.set_offset(Offset::Beginning).map_err(away)?;
            }
        }
        consumer.assign(&wanted).map_err(away)?;
        let mut partitions = Vec::new();
        for (category, name, count) in topics {
            for number in 0..count as i32 {
                let queue = consumer.split_partition_queue(&name, number);
                let queue = queue.ok_or_else(|| Error::new(Kind::Away, format!("Kafka: {name} is gone")))?;
                let topic = name.clone();
                let early = VecDeque::new();
                partitions.push(Partition {
                    category,
                    topic,
                    number,
                    queue,
                    early,
                    head: None,
                    seen: after.0,
                    next_offset: None,
                });
            }
        }
        let bare = (0..partitions.len()).collect();
        let committed = Instant::now();
        let heads = BinaryHeap::new();
        let mut stream = Stream { consumer, partitions, heads, bare, at: after, missing: None, committed };
        stream.serve(self.log_id, &mut self.rows)?;
        self.stream = Some(stream);
        Ok(())
    }

    /// What is there and was not given, in order; at most `events_max` and up to `to`.
    fn take(&mut self, to: Position, events_max: usize, events: &mut Vec<Event>) -> Result<(), Error> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        stream.serve(self.log_id, &mut self.rows)?;
        while events.len() < events_max && stream.at < to {
            match stream.next(self.log_id, &mut self.rows)? {
                Some(event) => events.push(event),
                None => break,
            }
        }
        self.end = self.end.max(stream.last_seen());
        Ok(())
    }
}

impl Source for FromKafka {
    fn log_id(&self) -> Uuid {
        self.log_id
    }

    fn end(&mut self) -> Result<Position, Error> {
        if self.stream.is_none() && self.looked.elapsed() > END_FRESH {
            self.look()?;
        }
        Ok(self.end)
    }

    fn read(&mut self, after: Position, to: Position, events_max: usize) -> Result<(Vec<Event>, Position), Error> {
        if to <= after {
            return Ok((Vec::new(), after));
        }
        match &mut self.stream {
            // Whoever asks for what comes behind it has everything up to there.
            Some(stream) if stream.at == after => stream.commit(self.group.is_some()),
            _ => self.start(after)?,
        }
        let (mut events, started) = (Vec::new(), Instant::now());
        loop {
            let taken = self.take(to, events_max, &mut events);
            let Some(stream) = &mut self.stream else { return Ok((events, after)) };
            let lost = match taken {
                Err(error) => Some(error),
                Ok(()) if !events.is_empty() => {
                    stream.missing = None;
                    return Ok((events, stream.at));
                }
                Ok(()) if stream.missing.get_or_insert_with(Instant::now).elapsed() > PATIENCE => Some(stream.gap()),
                Ok(()) => None,
            };
            if let Some(error) = lost {
                self.stream = None;
                // What was taken before it was lost is whole; the rest is read anew.
                return Err(error);
            }
            if started.elapsed() > READ_WAIT {
                return Ok((events, after));
            }
            std::thread::sleep(LOOK);
        }
    }

    fn wait(&mut self, after: Position, timeout: Duration) -> Result<(), Error> {
        let started = Instant::now();
        while self.end <= after && started.elapsed() < timeout {
            let Some(stream) = &mut self.stream else {
                self.start(after)?;
                continue;
            };
            let filled =
                stream.serve(self.log_id, &mut self.rows).and_then(|()| stream.fill(self.log_id, &mut self.rows));
            stream.commit(self.group.is_some() && stream.at == after);
            self.end = self.end.max(stream.last_seen());
            if let Err(error) = filled {
                self.stream = None;
                return Err(error);
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    fn is_behind(&self, at: Position, end: Position) -> Error {
        Error::new(Kind::Away, format!("Kafka has events up to {end}, the read model is at {at}: waiting for it"))
    }
}

impl Stream {
    /// Lets the client work. An error when no broker can be reached.
    fn serve(&mut self, log_id: Uuid, rows: &mut Rows) -> Result<(), Error> {
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
    fn next(&mut self, log_id: Uuid, rows: &mut Rows) -> Result<Option<Event>, Error> {
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
    fn fill(&mut self, log_id: Uuid, rows: &mut Rows) -> Result<(), Error> {
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

    fn last_seen(&self) -> Position {
        let seen = self.partitions.iter().map(|partition| partition.seen).max();
        self.at.max(Position(seen.unwrap_or(0)))
    }

    /// Notes that everything that was given is applied.
    fn commit(&mut self, wanted: bool) {
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
    fn gap(&self) -> Error {
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
    let stream: StreamId = stream;
    Some(rows.row(&Recorded { position, stream, version, at_ms, name: &name, data }))
}

fn rfc3339_ms(text: &str) -> Option<u64> {
    let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok()
}

/// Category, name and partitions of each topic. They are made by whoever publishes.
fn topics(settings: &Settings, reader: &BaseConsumer<Quiet>) -> Result<Vec<(Category, String, u32)>, Error> {
    let mut topics = Vec::new();
    for category in Category::ALL {
        let name = topic(&settings.prefix, category);
        let metadata = reader.fetch_metadata(Some(&name), ANSWER).map_err(|error| {
            let last = reader.context().last();
            let what = if last.is_empty() { error.to_string() } else { last };
            Error::new(Kind::Away, format!("Kafka: {what}"))
        })?;
        let found = metadata.topics().iter().find(|topic| topic.name() == name && topic.error().is_none());
        let partitions = found.map_or(0, |topic| topic.partitions().len() as u32);
        if partitions == 0 {
            let what =
                format!("Kafka: there is no topic {name}, or it may not be read; a server that publishes makes it");
            return Err(Error::new(Kind::Away, what));
        }
        topics.push((category, name, partitions));
    }
    Ok(topics)
}

/// The log that the last records of all partitions are of.
fn only_log(settings: &Settings, reader: &BaseConsumer<Quiet>) -> Result<Uuid, Error> {
    let mut wanted = TopicPartitionList::new();
    for (_, name, partitions) in topics(settings, reader)? {
        for number in 0..partitions as i32 {
            let (low, high) = reader.fetch_watermarks(&name, number, ANSWER).map_err(away)?;
            if high > low {
                wanted.add_partition_offset(&name, number, Offset::Offset(high - 1)).map_err(away)?;
            }
        }
    }
    reader.assign(&wanted).map_err(away)?;
    let (mut left, started, mut logs) = (wanted.count(), Instant::now(), BTreeSet::new());
    while left > 0 && started.elapsed() < PATIENCE {
        match reader.poll(READ_WAIT) {
            // A partition's end is told, too: its last record may be nobody's.
            Some(Err(KafkaError::PartitionEOF(_))) => left -= 1,
            Some(Ok(message)) => logs.extend(Stamp::of(&message).map(|stamp| stamp.log_id)),
            Some(Err(_)) | None => {}
        }
    }
    reader.unassign().map_err(away)?;
    let prefix = &settings.prefix;
    match logs.len() {
        0 => Err(Error::new(Kind::Away, format!("Kafka: there are no events in the topics {prefix}.*"))),
        1 => Ok(*logs.first().expect("one")),
        _ => {
            let logs: Vec<String> = logs.iter().map(Uuid::to_string).collect();
            Err(Error::refused(format!(
                "Kafka: the topics {prefix}.* have events of several logs, {}: give each a kafka.prefix of its own",
                logs.join(" and ")
            )))
        }
    }
}

fn away(error: KafkaError) -> Error {
    Error::new(Kind::Away, format!("Kafka: {error}"))
}

fn fault(fault: Fault) -> Error {
    Error::new(Kind::Away, format!("Kafka: {fault}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::rfc3339;

    #[test]
    fn times_come_back_as_they_were_written() {
        for ms in [0, 1, 999, 1_790_000_000_123, 253_402_300_799_999] {
            assert_eq!(rfc3339_ms(std::str::from_utf8(&rfc3339(ms)).unwrap()), Some(ms));
        }
        assert_eq!(rfc3339_ms("yesterday"), None);
    }
}
