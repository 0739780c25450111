//! The end of each partition: which of our events is the last one there.

use super::Fault;
use super::quiet::Quiet;
use super::record::Stamp;
use super::topics::{PATIENCE, unreachable, when_led};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How many records are looked at first, and how much more each time that nothing of ours is among them.
const RECORDS: i64 = 1;
const MORE: i64 = 64;
/// How long one partition's records may take to come in.
const READ_WITHIN: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

/// Where a partition begins and ends, and what of ours is last in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tail {
    pub low: i64,
    /// The offset that the next record gets.
    pub high: i64,
    pub last: Option<Stamp>,
    /// Records at the end that are not of this log.
    pub foreign: u64,
}

/// The tails of partitions 0 to `partitions - 1` of `topic`.
pub fn read(reader: &BaseConsumer<Quiet>, topic: &str, partitions: u32, log_id: Uuid) -> Result<Vec<Tail>, Fault> {
    let mut tails = Vec::new();
    for partition in 0..partitions as i32 {
        let marks = when_led(PATIENCE, || reader.fetch_watermarks(topic, partition, PATIENCE));
        let (low, high) = marks.map_err(|error| unreachable(reader, &error))?;
        tails.push(Tail { low, high, last: None, foreign: 0 });
    }
    let mut records = RECORDS;
    loop {
        let open: Vec<usize> = (0..tails.len())
            .filter(|at| tails[*at].last.is_none() && seen_from(&tails[*at], records / MORE) > tails[*at].low)
            .collect();
        if open.is_empty() {
            return Ok(tails);
        }
        look(reader, topic, &mut tails, &open, records, log_id)?;
        records *= MORE;
    }
}

/// The first offset among the last `records`.
fn seen_from(tail: &Tail, records: i64) -> i64 {
    (tail.high - records).max(tail.low)
}

/// Reads the last `records` of each `open` partition.
fn look(
    reader: &BaseConsumer<Quiet>,
    topic: &str,
    tails: &mut [Tail],
    open: &[usize],
    records: i64,
    log_id: Uuid,
) -> Result<(), Fault> {
    let mut wanted = TopicPartitionList::new();
    for at in open {
        wanted.add_partition_offset(topic, *at as i32, Offset::Offset(seen_from(&tails[*at], records)))?;
        tails[*at].foreign = 0;
    }
    reader.assign(&wanted)?;
    let mut left = open.to_vec();
    let mut until = Instant::now() + READ_WITHIN;
    while !left.is_empty() {
        if Instant::now() >= until {
            let error = KafkaError::Global(rdkafka::types::RDKafkaErrorCode::OperationTimedOut);
            return Err(unreachable(reader, &error));
        }
        match reader.poll(POLL) {
            Some(Ok(message)) => {
                until = Instant::now() + READ_WITHIN;
                let at = message.partition() as usize;
                let tail = &mut tails[at];
                match Stamp::of(&message).filter(|stamp| stamp.log_id == log_id) {
                    // What came twice is not behind what was there before.
                    Some(stamp) if tail.last.as_ref().is_none_or(|last| last.position < stamp.position) => {
                        tail.last = Some(stamp);
                    }
                    Some(_) => {}
                    None => tail.foreign += 1,
                }
                if message.offset() + 1 >= tail.high {
                    left.retain(|open| *open != at);
                }
            }
            // The last records may be a transaction's marks, which nobody is shown.
            Some(Err(KafkaError::PartitionEOF(partition))) => left.retain(|open| *open != partition as usize),
            Some(Err(error)) if error.rdkafka_error_code() == Some(rdkafka::types::RDKafkaErrorCode::Fatal) => {
                return Err(error.into());
            }
            // The others are tried again by the client itself, and told by `unreachable` when it comes to nothing.
            Some(Err(_)) | None => {}
        }
    }
    reader.unassign()?;
    Ok(())
}
