//! The log goes out through Kafka: every durable event that may be published, in order per stream, and once as far as
//! the protocol allows.
//!
//! - [`settings`]: what is set, and how Kafka's clients are made of it
//! - [`record`]: an event as a record: CloudEvents, binary mode
//! - [`partition`]: which partition a stream is in: the one that Java's producers would choose
//! - [`topics`]: makes topics, or says what to make
//! - [`tail`]: the last record of each partition
//! - [`checkpoint`]: how far it was, beside the log: of use where a partition cannot tell
//! - [`quiet`]: what clients complain about, kept for when it matters
//! - [`probe`]: what brokers and topics are like, before a sale
//! - [`publisher`]: the thread that sends; [`session`]: one life of its producer
//!
//! **Once.** A producer is idempotent and in order within its life. It ends with the first record that fails for good, and
//! so does everything that waits behind it. A new one begins where each partition ends: the positions of the last records
//! tell which events are there. What remains is the broker that takes a dead producer's request after its successor has
//! looked: then records come twice, and a reader that drops what is not behind the last position it has seen (by log and
//! partition) sees each once.
//!
//! **Never in the way.** The thread reads the log like any other reader; what Kafka has not taken stays there.

pub mod checkpoint;
pub mod partition;
pub mod probe;
pub mod publisher;
pub mod quiet;
pub mod record;
pub mod session;
pub mod settings;
pub mod tail;
pub mod topics;

pub use publisher::{Publisher, start};
pub use settings::Settings;

/// Why publishing cannot go on; tried again after a while.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Fault {
    /// The brokers cannot be reached, refuse, or do not answer.
    #[error("{0}")]
    Kafka(String),
    /// The topics are not what they should be, and somebody has to mend them.
    #[error("{0}")]
    Topics(String),
    /// What is in a topic is of a future, or of a past, that this log does not have.
    #[error("{0}")]
    OtherHistory(String),
    /// An event is larger than a topic takes.
    #[error("{0}")]
    TooLarge(String),
    #[error("reading the log: {0}")]
    Log(#[from] eventlog::Error),
}

impl From<rdkafka::error::KafkaError> for Fault {
    fn from(error: rdkafka::error::KafkaError) -> Fault {
        Fault::Kafka(error.to_string())
    }
}
