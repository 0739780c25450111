//! What brokers and topics are like, for who checks a machine before a sale. Nothing is made or changed.

use super::Fault;
use super::quiet::Quiet;
use super::settings::{RECORD_BYTES_MAX, Settings};
use super::topics::{PATIENCE, unreachable, wait};
use rdkafka::admin::{AdminClient, AdminOptions, OwnedResourceSpecifier, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::RDKafkaErrorCode;
use std::time::{Duration, Instant};

/// How often the time of an answer is taken.
const ASKED: usize = 5;

/// What was found.
#[derive(Clone, Debug)]
pub struct Found {
    pub brokers: usize,
    /// The median time that a question took once there was a connection.
    pub answers_within: Duration,
    pub topics: Vec<TopicFound>,
}

/// One of the topics that events go to.
#[derive(Clone, Debug)]
pub struct TopicFound {
    pub name: String,
    /// None when it is not there.
    pub partitions: Option<usize>,
    /// Of the partition that has the fewest.
    pub replicas: usize,
    /// Some partition has fewer replicas in step than it should have.
    pub behind: bool,
    /// Whoever asks may not see it.
    pub denied: bool,
    /// `min.insync.replicas`, where the brokers tell.
    pub insync_min: Option<usize>,
    /// What of its settings loses or refuses events.
    pub trouble: Vec<String>,
}

/// Asks the brokers; an error when they cannot be reached.
pub fn look(settings: &Settings) -> Result<Found, Fault> {
    let reader: BaseConsumer<Quiet> = settings.reader().create_with_context(Quiet::default())?;
    let asked = |topic: Option<&str>| reader.fetch_metadata(topic, PATIENCE);
    let metadata = asked(None).map_err(|error| unreachable(&reader, &error))?;
    let names = settings.topics();
    let mut took = Vec::new();
    for _ in 0..ASKED {
        let begun = Instant::now();
        asked(Some(&names[0])).map_err(|error| unreachable(&reader, &error))?;
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    let mut topics = Vec::new();
    for name in names {
        let of_topic = asked(Some(&name)).map_err(|error| unreachable(&reader, &error))?;
        let found = of_topic.topics().iter().find(|topic| topic.name() == name);
        let error = found.and_then(|topic| topic.error()).map(RDKafkaErrorCode::from);
        let partitions = found.filter(|_| error.is_none()).map(|topic| topic.partitions()).unwrap_or_default();
        topics.push(TopicFound {
            name,
            partitions: (!partitions.is_empty()).then_some(partitions.len()),
            replicas: partitions.iter().map(|partition| partition.replicas().len()).min().unwrap_or(0),
            behind: partitions.iter().any(|partition| partition.isr().len() < partition.replicas().len()),
            denied: error == Some(RDKafkaErrorCode::TopicAuthorizationFailed),
            insync_min: None,
            trouble: Vec::new(),
        });
    }
    configs(settings, &mut topics)?;
    Ok(Found { brokers: metadata.brokers().len(), answers_within: took[ASKED / 2], topics })
}

/// Adds what the topics are set to.
fn configs(settings: &Settings, topics: &mut [TopicFound]) -> Result<(), Fault> {
    let there: Vec<String> =
        topics.iter().filter(|topic| topic.partitions.is_some()).map(|topic| topic.name.clone()).collect();
    if there.is_empty() {
        return Ok(());
    }
    let admin: AdminClient<DefaultClientContext> = settings.admin().create()?;
    let asked: Vec<ResourceSpecifier<'_>> = there.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    for config in wait(admin.describe_configs(&asked, &options))?.into_iter().flatten() {
        let OwnedResourceSpecifier::Topic(name) = &config.specifier else { continue };
        let Some(topic) = topics.iter_mut().find(|topic| topic.name == *name) else { continue };
        let is = |name: &str| config.get(name).and_then(|entry| entry.value.clone()).unwrap_or_default();
        topic.insync_min = is("min.insync.replicas").parse().ok();
        if is("cleanup.policy").contains("compact") {
            topic.trouble.push("cleanup.policy=compact leaves only the last event of each stream".into());
        }
        for kept in ["retention.ms", "retention.bytes"] {
            if !["", "-1"].contains(&&*is(kept)) {
                topic.trouble.push(format!("{kept}={} deletes events in time", is(kept)));
            }
        }
        let bytes = is("max.message.bytes").parse::<usize>().unwrap_or(RECORD_BYTES_MAX);
        if bytes < RECORD_BYTES_MAX {
            topic.trouble.push(format!("max.message.bytes={bytes} refuses events up to {RECORD_BYTES_MAX}"));
        }
    }
    Ok(())
}
