//! The log as Kafka has it: records of all partitions, put back into the log's order. Positions are dense and every category
//! is published whole, so the next event is always in some partition: the one whose next record has the next position.
//!
//! One reader has all partitions, because one alone may change the tables; the group is where it notes how far it is, for the
//! next start and for whoever watches lag. What has come twice, and what somebody else wrote there, is passed over.

mod stream;

use super::Source;
use crate::event::{Event, Rows};
use crate::{Error, Kind};
use base::id::Category;
use eventlog::Position;
use kafka::Settings;
use kafka::quiet::Quiet;
use kafka::record::{Stamp, topic};
use kafka::topics::unreachable;
use kafka::{Fault, tail};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use stream::{Stream, away};
use uuid::Uuid;

/// How long brokers may take to answer one question.
const ANSWER: Duration = Duration::from_secs(10);
/// How long the next event may be missing while later ones are there: after that it is said, and all is begun anew.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one call waits for an event that is not there yet.
const READ_WAIT: Duration = Duration::from_millis(100);
/// Between two looks at queues that were empty.
const LOOK: Duration = Duration::from_millis(5);
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
        let consumer: BaseConsumer<Quiet> = config.create_with_context(Quiet::default()).map_err(away)?;
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
        self.stream = Some(Stream::start(consumer, topics, &wanted, after)?);
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
                // What was taken before is read anew, too.
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

/// Category, name and partitions of each topic. They are made by whoever publishes.
fn topics(settings: &Settings, reader: &BaseConsumer<Quiet>) -> Result<Vec<(Category, String, u32)>, Error> {
    let mut topics = Vec::new();
    for category in Category::ALL {
        let name = topic(&settings.prefix, category);
        let metadata = reader.fetch_metadata(Some(&name), ANSWER);
        let metadata = metadata.map_err(|error| fault(unreachable(reader, &error)))?;
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

fn fault(fault: Fault) -> Error {
    Error::new(Kind::Away, format!("Kafka: {fault}"))
}
