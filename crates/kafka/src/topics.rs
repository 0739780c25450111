//! The topics, one per category: made where that is allowed, otherwise whoever may is told what to make.

use super::Fault;
use super::quiet::Quiet;
use super::record::topic;
use super::settings::{RECORD_BYTES_MAX, Settings};
use base::id::Category;
use rdkafka::admin::{
    AdminClient, AdminOptions, NewTopic, OwnedResourceSpecifier, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode;
use std::time::{Duration, Instant};

/// How long brokers may take to answer one question.
pub const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long complaints are listened to when something did not work.
const COMPLAINTS: Duration = Duration::from_millis(200);

/// A topic that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub category: Category,
    pub name: String,
    pub partitions: u32,
}

/// What a topic is made with. Everything is kept: read models can be made again from Kafka. And every time is taken: a
/// record has its event's, which may be years ago when an old log is published, and ahead of the brokers' clock (which they
/// refuse from an hour on) when that of the server, or of a server before it, was.
fn wanted() -> [(&'static str, String); 5] {
    [
        ("cleanup.policy", "delete".to_owned()),
        ("retention.ms", "-1".to_owned()),
        ("max.message.bytes", RECORD_BYTES_MAX.to_string()),
        (TIMES[0], ANY_TIME.to_owned()),
        (TIMES[1], ANY_TIME.to_owned()),
    ]
}

/// How far a record's time may be from that of the brokers, and what lets it be anything. Brokers know them from 3.6 on.
const TIMES: [&str; 2] = ["message.timestamp.before.max.ms", "message.timestamp.after.max.ms"];
const ANY_TIME: &str = "9223372036854775807";

/// What to do about a topic that refuses a record's time.
pub fn let_any_time(topic: &str) -> String {
    let [before, after] = TIMES;
    format!(
        "topic {topic} does not take the time of an event, which is too far from that of the brokers: set its {before} and \
         {after} to {ANY_TIME}, for example with kafka-configs.sh --alter --entity-type topics --entity-name {topic} \
         --add-config {before}={ANY_TIME},{after}={ANY_TIME}"
    )
}

/// Every category's topic. Makes those that are missing.
pub fn ensure(settings: &Settings, reader: &BaseConsumer<Quiet>) -> Result<Vec<Topic>, Fault> {
    let mut topics = Vec::new();
    let mut missing = Vec::new();
    for category in Category::ALL {
        let name = topic(&settings.prefix, category);
        match partitions(reader, &name)? {
            Some(partitions) => topics.push(Topic { category, name, partitions }),
            None => missing.push((category, name)),
        }
    }
    if missing.is_empty() {
        return Ok(topics);
    }
    let names: Vec<&str> = missing.iter().map(|(_, name)| name.as_str()).collect();
    create(settings, &names)?;
    for (category, name) in missing {
        let partitions = wait_for(reader, &name)?;
        tracing::info!(topic = name, partitions, "topic made");
        topics.push(Topic { category, name, partitions });
    }
    topics.sort_by_key(|topic| topic.category);
    Ok(topics)
}

/// How many partitions a topic has; `None` when it is not there.
fn partitions(reader: &BaseConsumer<Quiet>, name: &str) -> Result<Option<u32>, Fault> {
    let ask = || {
        let metadata = reader.fetch_metadata(Some(name), PATIENCE)?;
        let Some(found) = metadata.topics().iter().find(|topic| topic.name() == name) else { return Ok(Ok(0)) };
        match found.error().map(RDKafkaErrorCode::from) {
            None => Ok(Ok(found.partitions().len() as u32)),
            Some(code) if nobody_leads(code) => Err(KafkaError::MetadataFetch(code)),
            Some(code) => Ok(Err(code)),
        }
    };
    match when_led(PATIENCE, ask).map_err(|error| unreachable(reader, &error))? {
        Ok(0) | Err(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => Ok(None),
        Ok(partitions) => Ok(Some(partitions)),
        Err(RDKafkaErrorCode::TopicAuthorizationFailed) => Err(Fault::Topics(format!(
            "topic {name}: this server may not see it; it needs Describe, Read and Write there, and Create to make it"
        ))),
        Err(code) => Err(Fault::Kafka(format!("topic {name}: {code}"))),
    }
}

/// Asks again, at most for `patience`, as long as brokers say that somebody else leads the partitions, or nobody: of a topic
/// that was made a moment ago they know before they know who leads it.
pub fn when_led<T>(patience: Duration, mut ask: impl FnMut() -> KafkaResult<T>) -> KafkaResult<T> {
    let until = Instant::now() + patience;
    loop {
        let answer = ask();
        let again = answer.as_ref().err().and_then(KafkaError::rdkafka_error_code).is_some_and(nobody_leads);
        if !again || Instant::now() >= until {
            return answer;
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn nobody_leads(code: RDKafkaErrorCode) -> bool {
    matches!(code, RDKafkaErrorCode::LeaderNotAvailable | RDKafkaErrorCode::NotLeaderForPartition)
}

/// What the client last complained about says more than that time is up.
pub fn unreachable(reader: &BaseConsumer<Quiet>, error: &KafkaError) -> Fault {
    // Complaints come with what is polled.
    let until = Instant::now() + COMPLAINTS;
    while Instant::now() < until {
        drop(reader.poll(LOOK_AGAIN));
    }
    let last = reader.context().last();
    Fault::Kafka(if last.is_empty() { error.to_string() } else { last })
}

fn wait_for(reader: &BaseConsumer<Quiet>, name: &str) -> Result<u32, Fault> {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(partitions) = partitions(reader, name)? {
            return Ok(partitions);
        }
        if Instant::now() >= until {
            return Err(Fault::Kafka(format!("topic {name} was made and is not there")));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn create(settings: &Settings, names: &[&str]) -> Result<(), Fault> {
    let admin: AdminClient<DefaultClientContext> = settings.admin().create()?;
    let config = wanted();
    let replicas = settings.replication.map_or(-1, i32::from);
    let topics: Vec<NewTopic<'_>> = names
        .iter()
        .map(|name| {
            let topic = NewTopic::new(name, settings.partitions as i32, TopicReplication::Fixed(replicas));
            config.iter().fold(topic, |topic, (name, value)| topic.set(name, value))
        })
        .collect();
    let options = AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE));
    let results = wait(admin.create_topics(&topics, &options))?;
    let refused = results.into_iter().filter_map(Result::err);
    let refused: Vec<(String, RDKafkaErrorCode)> =
        refused.filter(|(_, code)| *code != RDKafkaErrorCode::TopicAlreadyExists).collect();
    match refused.first() {
        None => Ok(()),
        Some((_, code)) => Err(Fault::Topics(what_to_make(settings, &refused, *code))),
    }
}

/// One command per topic, for whoever may make them.
fn what_to_make(settings: &Settings, refused: &[(String, RDKafkaErrorCode)], code: RDKafkaErrorCode) -> String {
    let config: String = wanted().iter().map(|(name, value)| format!(" --config {name}={value}")).collect();
    let replication = settings.replication.map_or(String::new(), |count| format!(" --replication-factor {count}"));
    let commands = refused.iter().map(|(name, _)| {
        let (brokers, partitions) = (&settings.brokers, settings.partitions);
        format!(
            "kafka-topics.sh --bootstrap-server {brokers} --create --topic {name} --partitions {partitions}{replication}{config}"
        )
    });
    format!("topics are missing and cannot be made ({code}); make them: {}", commands.collect::<Vec<_>>().join("; "))
}

/// The smallest `max.message.bytes` of the topics, as far as the brokers tell. With `tell`, says what of them is not as wanted
/// and costs something.
pub fn record_bytes_max(settings: &Settings, topics: &[Topic], tell: bool) -> Option<usize> {
    for topic in topics.iter().filter(|topic| tell && topic.partitions != settings.partitions) {
        let (name, has, wanted) = (&topic.name, topic.partitions, settings.partitions);
        tracing::warn!(topic = name, has, wanted, "the topic has another number of partitions and is used as it is");
    }
    let admin = settings.admin().create::<AdminClient<DefaultClientContext>>().ok()?;
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    let asked: Vec<ResourceSpecifier<'_>> = topics.iter().map(|topic| ResourceSpecifier::Topic(&topic.name)).collect();
    let mut smallest = None;
    for config in wait(admin.describe_configs(&asked, &options)).ok()?.into_iter().flatten() {
        let OwnedResourceSpecifier::Topic(topic) = &config.specifier else { continue };
        let is = |name: &str| config.get(name).and_then(|entry| entry.value.clone()).unwrap_or_default();
        if tell && is("cleanup.policy").contains("compact") {
            tracing::warn!(topic, "cleanup.policy=compact leaves only the last event of each stream");
        } else if tell && [is("retention.ms"), is("retention.bytes")].iter().any(|kept| !["", "-1"].contains(&&**kept))
        {
            let (ms, bytes) = (is("retention.ms"), is("retention.bytes"));
            tracing::warn!(
                topic,
                ms,
                bytes,
                "retention: events are deleted in time; not everything can be made from them"
            );
        }
        if tell && TIMES.iter().any(|setting| !["", ANY_TIME].contains(&&*is(setting))) {
            let [before_ms, after_ms] = TIMES.map(is);
            tracing::warn!(
                topic,
                before_ms,
                after_ms,
                "message.timestamp.before.max.ms and after.max.ms: an event whose time is further away stops publishing"
            );
        }
        let Ok(bytes) = is("max.message.bytes").parse::<usize>() else { continue };
        smallest = Some(smallest.map_or(bytes, |smallest: usize| smallest.min(bytes)));
        if tell && bytes < RECORD_BYTES_MAX {
            let wanted = RECORD_BYTES_MAX;
            tracing::warn!(
                topic,
                bytes,
                wanted,
                "max.message.bytes: a larger event stops publishing until it is raised"
            );
        }
    }
    smallest
}

/// Kafka's client answers from a thread of its own.
pub fn wait<T>(asked: impl Future<Output = KafkaResult<T>>) -> Result<T, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|error| Fault::Kafka(error.to_string()))?;
    Ok(runtime.block_on(asked)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use RDKafkaErrorCode::{AllBrokersDown, LeaderNotAvailable, NotLeaderForPartition};

    #[test]
    fn a_leader_is_waited_for_and_nothing_else_is() {
        let failed = KafkaError::MetadataFetch;
        // What brokers answer one time after the other, and how many of these are heard; the last of them is passed on.
        let table = [
            (vec![Ok(3)], 1),
            (vec![Err(failed(NotLeaderForPartition)), Err(failed(LeaderNotAvailable)), Ok(3)], 3),
            (vec![Err(failed(LeaderNotAvailable)), Err(failed(AllBrokersDown)), Ok(3)], 2),
            (vec![Err(failed(AllBrokersDown)), Ok(3)], 1),
        ];
        for (answers, heard) in table {
            let (expected, mut left) = (answers[heard - 1].clone(), answers.into_iter());
            let count = left.len();
            assert_eq!(when_led(PATIENCE, || left.next().expect("no more questions")), expected);
            assert_eq!(count - left.len(), heard);
        }
        let never = when_led(Duration::ZERO, || Err::<(), _>(failed(NotLeaderForPartition)));
        assert_eq!(never, Err(failed(NotLeaderForPartition)));
    }

    #[test]
    fn who_may_make_topics_is_told_how() {
        let mut settings = Settings::plain("kafka:9092", "tickets", 6);
        settings.replication = Some(3);
        let refused = [("tickets.wallet".to_owned(), RDKafkaErrorCode::TopicAuthorizationFailed)];
        let said = what_to_make(&settings, &refused, refused[0].1);
        let command = "kafka-topics.sh --bootstrap-server kafka:9092 --create --topic tickets.wallet --partitions 6 \
                       --replication-factor 3 --config cleanup.policy=delete --config retention.ms=-1 --config \
                       max.message.bytes=17825792 --config message.timestamp.before.max.ms=9223372036854775807 --config \
                       message.timestamp.after.max.ms=9223372036854775807";
        assert!(said.contains(command), "{said}");
    }
}
