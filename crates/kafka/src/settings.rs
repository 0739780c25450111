//! What is set for Kafka, and the clients that are made of it.

use super::record::topic;
use anyhow::{Context, bail};
use base::id::Category;
use config::{KAFKA_QUEUE_KIB_MAX, KAFKA_QUEUE_RECORDS_MAX, SaslMechanism, Serve};
use eventlog::frame::EVENT_BYTES_MAX;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use std::path::Path;

/// Bytes of a record: the largest event with its headers.
pub const RECORD_BYTES_MAX: usize = EVENT_BYTES_MAX + (1 << 20);

/// Bytes of records that are sent together, where the topics' limit is not below.
const BATCH_BYTES: usize = 1_000_000;
const BATCH_BYTES_MIN: usize = 1_024;

/// How long a record waits for others to its partition. The client sends each partition's on their own: with 2 ms a broker had
/// thousands of requests a second with a few records each, which took more of the machine than selling did.
const LINGER_MS: &str = "20";

/// What nobody may set: order and completeness rest on it, or it has a setting of its own.
const FIXED: [&str; 21] = [
    "bootstrap.servers",
    "metadata.broker.list",
    "enable.idempotence",
    "enable.gapless.guarantee",
    "acks",
    "request.required.acks",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "retries",
    "message.send.max.retries",
    "message.timeout.ms",
    "delivery.timeout.ms",
    "delivery.report.only.error",
    "partitioner",
    "queuing.strategy",
    "transactional.id",
    "group.id",
    "enable.partition.eof",
    "enable.auto.commit",
    "allow.auto.create.topics",
    "isolation.level",
];

/// How to publish. Not shown: there is a password in it.
#[derive(Clone)]
pub struct Settings {
    /// What the topics' names begin with.
    pub prefix: String,
    /// Partitions of topics that are made.
    pub partitions: u32,
    /// Replicas of topics that are made; otherwise the brokers' default.
    pub replication: Option<u16>,
    /// Where the brokers are, for messages.
    pub brokers: String,
    /// Addresses and credentials.
    connection: Vec<(&'static str, String)>,
    /// What somebody set.
    more: Vec<(String, String)>,
}

impl Settings {
    /// The topics' names.
    pub fn topics(&self) -> Vec<String> {
        Category::ALL.iter().map(|category| topic(&self.prefix, *category)).collect()
    }

    /// What `config` says; `None` when nothing is to be published. An error is what the settings make no sense with.
    pub fn of(config: &Serve) -> anyhow::Result<Option<Settings>> {
        if config.kafka.is_empty() {
            return Ok(None);
        }
        let brokers = config.kafka.iter().map(|broker| broker.as_str()).collect::<Vec<_>>().join(",");
        if let Some(fixed) = config.kafka_set.iter().find(|setting| FIXED.contains(&setting.name.as_str())) {
            bail!("kafka.set: {} cannot be set: order and completeness rest on it, or it is found out", fixed.name);
        }
        let settings = Settings {
            prefix: config.kafka_prefix.as_str().to_owned(),
            partitions: config.kafka_partitions,
            replication: config.kafka_replication,
            connection: connection(config)?,
            brokers,
            more: config.kafka_set.iter().map(|setting| (setting.name.clone(), setting.value.clone())).collect(),
        };
        // librdkafka knows its settings: it complains now rather than in the background.
        match settings.producer(None).create_native_config() {
            // Without the value: it may be a password.
            Err(KafkaError::ClientConfig(_, why, name, _)) => bail!("kafka.set: {name}: {why}"),
            made => made.context("the settings for Kafka")?,
        };
        Ok(Some(settings))
    }

    /// For tests and the benchmark: brokers without TLS and credentials.
    pub fn plain(brokers: &str, prefix: &str, partitions: u32) -> Settings {
        Settings {
            prefix: prefix.to_owned(),
            partitions,
            replication: None,
            brokers: brokers.to_owned(),
            connection: vec![("bootstrap.servers", brokers.to_owned())],
            more: Vec::new(),
        }
    }

    /// With a setting of librdkafka.
    pub fn with(mut self, name: &str, value: &str) -> Settings {
        self.more.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The producer's. `record_bytes_max` is the topics' limit, which holds for what is sent together, too.
    pub fn producer(&self, record_bytes_max: Option<usize>) -> ClientConfig {
        let mut config = self.client();
        config
            .set("enable.idempotence", "true")
            .set("enable.gapless.guarantee", "true")
            .set("acks", "all")
            .set("message.timeout.ms", "0")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", LINGER_MS)
            .set("compression.type", "lz4")
            .set("queue.buffering.max.messages", KAFKA_QUEUE_RECORDS_MAX.to_string())
            .set("queue.buffering.max.kbytes", KAFKA_QUEUE_KIB_MAX.to_string())
            // A topic's own limit is what counts.
            .set("message.max.bytes", RECORD_BYTES_MAX.to_string())
            .set("batch.size", record_bytes_max.unwrap_or(BATCH_BYTES).clamp(BATCH_BYTES_MIN, BATCH_BYTES).to_string());
        self.adopt(config)
    }

    /// One that looks at topics, in no group.
    pub fn reader(&self) -> ClientConfig {
        let mut config = self.client();
        config
            .set("group.id", format!("{}-publisher", self.prefix))
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("allow.auto.create.topics", "false")
            .set("isolation.level", "read_uncommitted")
            .set("fetch.wait.max.ms", "10")
            .set("queued.max.messages.kbytes", "8192");
        self.adopt(config)
    }

    /// One that makes topics.
    pub fn admin(&self) -> ClientConfig {
        let config = self.client();
        self.adopt(config)
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("client.id", "onsale")
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "2000")
            .set("socket.keepalive.enable", "true")
            .set_log_level(RDKafkaLogLevel::Info);
        for (name, value) in &self.connection {
            config.set(*name, value);
        }
        config
    }

    fn adopt(&self, mut config: ClientConfig) -> ClientConfig {
        for (name, value) in &self.more {
            config.set(name, value);
        }
        config
    }
}

fn connection(config: &Serve) -> anyhow::Result<Vec<(&'static str, String)>> {
    let brokers = config.kafka.iter().map(|broker| broker.as_str()).collect::<Vec<_>>().join(",");
    let mut connection = vec![("bootstrap.servers", brokers)];
    let sasl = config.kafka_sasl != SaslMechanism::None;
    let scram = matches!(config.kafka_sasl, SaslMechanism::ScramSha256 | SaslMechanism::ScramSha512);
    if (config.kafka_tls || scram) && !cfg!(feature = "tls") {
        let what = if config.kafka_tls { "kafka.tls" } else { "kafka.sasl_mechanism SCRAM" };
        bail!("{what} needs an onsale that was built with it: cargo build --release --features kafka-tls");
    }
    let protocol = match (config.kafka_tls, sasl) {
        (false, false) => "plaintext",
        (true, false) => "ssl",
        (false, true) => "sasl_plaintext",
        (true, true) => "sasl_ssl",
    };
    connection.push(("security.protocol", protocol.to_owned()));
    let files = [
        ("ssl.ca.location", "kafka.tls_ca", &config.kafka_tls_ca),
        ("ssl.certificate.location", "kafka.tls_certificate", &config.kafka_tls_certificate),
        ("ssl.key.location", "kafka.tls_key", &config.kafka_tls_key),
    ];
    for (name, setting, file) in files {
        if let Some(file) = file {
            if !config.kafka_tls {
                bail!("{setting} is only of use with kafka.tls");
            }
            connection.push((name, readable(file)?));
        }
    }
    if sasl {
        let password = match &config.kafka_sasl_password_file {
            None => config.kafka_sasl_password.clone(),
            Some(file) => {
                let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
                Some(text.trim_end_matches(['\r', '\n']).to_owned())
            }
        };
        let (Some(name), Some(password)) = (config.kafka_sasl_username.clone(), password) else {
            bail!(
                "kafka.sasl_mechanism {} needs kafka.sasl_username and kafka.sasl_password",
                config.kafka_sasl.as_str()
            );
        };
        connection.push(("sasl.mechanism", config.kafka_sasl.as_str().to_owned()));
        connection.push(("sasl.username", name));
        connection.push(("sasl.password", password));
    }
    Ok(connection)
}

/// The path, when the file can be read: librdkafka would only say so in its own words.
fn readable(file: &Path) -> anyhow::Result<String> {
    std::fs::File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(file.to_str().with_context(|| format!("{} is no UTF-8", file.display()))?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::testing::serve;

    fn wrong(arguments: &[&str]) -> String {
        format!("{:#}", Settings::of(&serve(arguments)).err().expect("an error"))
    }

    #[test]
    fn nothing_is_published_unless_brokers_are_named() {
        assert!(Settings::of(&serve(&[])).unwrap().is_none());
        let settings = Settings::of(&serve(&["--kafka", "a:1,b:2", "--kafka-set", "linger.ms=7"])).unwrap().unwrap();
        let producer = settings.producer(None);
        let of = |name| producer.get(name).unwrap();
        assert_eq!((of("bootstrap.servers"), of("linger.ms"), of("security.protocol")), ("a:1,b:2", "7", "plaintext"));
    }

    #[test]
    fn what_makes_no_sense_is_said_at_the_start() {
        let kafka = ["--kafka", "a:1"];
        let with = |more: &[&str]| wrong(&[&kafka[..], more].concat());
        assert!(with(&["--kafka-set", "acks=1"]).contains("acks cannot be set"));
        assert!(with(&["--kafka-set", "lingering.ms=1"]).contains("lingering.ms"));
        assert!(with(&["--kafka-set", "linger.ms=soon"]).contains("linger.ms"));
        assert!(with(&["--kafka-sasl", "PLAIN"]).contains("kafka.sasl_username"));
        assert!(with(&["--kafka-tls-ca", "ca.pem"]).contains("only of use with kafka.tls"));
        let tls = with(&["--kafka-tls", "--kafka-tls-ca", "/no/such/file"]);
        let want = if cfg!(feature = "tls") { "cannot read /no/such/file" } else { "--features kafka-tls" };
        assert!(tls.contains(want), "{tls}");
    }
}
