//! A client's context that is quiet: what matters is told by the publisher, once.

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use std::sync::{Mutex, PoisonError};

/// A client's context that keeps the last complaint for a message, and is otherwise quiet.
#[derive(Default)]
pub struct Quiet(Mutex<String>);

impl Quiet {
    /// What the client last complained about; empty when it did not.
    pub fn last(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        note(level, facility, text);
        // A consumer has no other way to say why a connection failed.
        if facility == "FAIL" {
            let why = text.split_once("]: ").map_or(text, |(_, why)| why);
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = in_short(why).to_owned();
        }
    }
}

impl ConsumerContext for Quiet {}

/// librdkafka tells of every lost connection, many times: what matters is told by the publisher, once.
pub fn note(level: RDKafkaLogLevel, facility: &str, text: &str) {
    tracing::debug!(target: "onsale::librdkafka", ?level, facility, "{text}");
}

/// Without how long it took and how often it happened, which is different each time.
pub fn in_short(complaint: &str) -> &str {
    complaint.split(" (after ").next().unwrap_or(complaint).trim()
}
