//! A real broker, what a consumer finds there, and whether that is what the log has.

use crate::common::toxiproxy::Proxy;
use base::id::{Category, StreamId};
use eventlog::data_folder::DataFolder;
use eventlog::store::{Options, Store};
use eventlog::{Log, Position};
use kafka::{partition, record};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How long a broker may take for one thing.
const PATIENCE: Duration = Duration::from_secs(60);
/// Partitions of every topic that these tests make.
pub const PARTITIONS: u32 = 3;

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/services")
}

/// Of the environment, or what to run.
fn given(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: these tests need a Kafka; run `eval \"$(scripts/services up kafka toxiproxy)\"` and try again")
    })
}

/// The broker that is shared by tests that leave it alone.
pub fn shared() -> String {
    given("ONSALE_TEST_KAFKA")
}

/// Kafka's own jars.
pub fn jars() -> String {
    given("ONSALE_TEST_KAFKA_JARS")
}

/// A broker and a toxiproxy of this test's own, to be stopped and to be in the way of.
pub struct Own {
    folder: PathBuf,
    names: HashMap<String, String>,
}

impl Own {
    pub fn start(folder: &Path) -> Own {
        Own::start_with(folder, |_| String::new())
    }

    /// With more properties of the broker.
    pub fn start_with(folder: &Path, properties: impl FnOnce(&Own) -> String) -> Own {
        let mut own = Own { folder: folder.to_owned(), names: HashMap::new() };
        for line in own.services("env", &["kafka", "toxiproxy"]).lines() {
            let pairs = line.trim_start_matches("export ").split(' ').filter_map(|pair| pair.split_once('='));
            own.names.extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
        std::fs::write(folder.join("kafka/extra.properties"), properties(&own)).unwrap();
        own.services("up", &["kafka", "toxiproxy"]);
        own
    }

    fn services(&self, act: &str, names: &[&str]) -> String {
        let mut command = Command::new(scripts());
        command.arg("--dir").arg(&self.folder).arg(act).args(names).env("ONSALE_SERVICES_OWN", "1");
        let output = command.output().expect("scripts/services runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "scripts/services {act}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn name(&self, name: &str) -> &str {
        self.names.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.names))
    }

    pub fn address(&self) -> &str {
        self.name("ONSALE_TEST_KAFKA")
    }

    /// Where the broker is when a toxiproxy stands in between.
    pub fn proxied(&self) -> &str {
        self.name("ONSALE_TEST_KAFKA_PROXY")
    }

    pub fn secure(&self) -> &str {
        self.name("ONSALE_TEST_KAFKA_SECURE")
    }

    /// Where it keeps what is in its topics, unless it is told otherwise.
    pub fn logs(&self) -> String {
        self.folder.join("kafka/logs").display().to_string()
    }

    pub fn controller(&self) -> String {
        let port = std::fs::read_to_string(self.folder.join("kafka/port.controller")).unwrap();
        format!("127.0.0.1:{}", port.trim())
    }

    /// Runs one of Kafka's own tools on the broker.
    pub fn tool(&self, class: &str, arguments: &[&str]) {
        let mut command = Command::new("java");
        command.args(["-cp", &format!("{}/*", self.name("ONSALE_TEST_KAFKA_JARS")), class]);
        let output = command.args(["--bootstrap-server", self.address()]).args(arguments).output().expect("java runs");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{class}: {out}{err}");
    }

    pub fn stop_broker(&self) {
        self.services("down", &["kafka"]);
    }

    pub fn start_broker(&self) {
        self.services("up", &["kafka"]);
    }

    /// Puts the toxiproxy in between.
    pub fn proxy(&self) -> Proxy {
        let (behind, proxy) = (self.name("ONSALE_TEST_KAFKA_BEHIND"), self.proxied());
        Proxy::new(self.name("ONSALE_TEST_TOXIPROXY"), Some(proxy), behind)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let mut command = Command::new(scripts());
        command.arg("--dir").arg(&self.folder).args(["down", "kafka", "toxiproxy"]).env("ONSALE_SERVICES_OWN", "1");
        let _ = command.output();
    }
}

/// A prefix that no other test has, and the flags of a server that publishes under it.
pub struct Topics {
    pub broker: String,
    pub prefix: String,
}

impl Topics {
    pub fn new(broker: &str) -> Topics {
        Topics { broker: broker.to_owned(), prefix: format!("test-{}", Uuid::new_v4().simple()) }
    }

    /// Through another address of the same broker.
    pub fn through<'a>(&'a self, address: &'a str) -> Vec<&'a str> {
        vec!["--kafka", address, "--kafka-prefix", &self.prefix, "--kafka-partitions", "3"]
    }

    pub fn flags(&self) -> Vec<&str> {
        self.through(&self.broker)
    }

    pub fn name(&self, category: Category) -> String {
        record::topic(&self.prefix, category)
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.broker);
        config
    }

    pub fn producer(&self) -> rdkafka::producer::BaseProducer {
        self.client().create().unwrap()
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().unwrap()
    }

    pub fn create(&self, category: Category, partitions: i32, config: &[(&str, &str)]) {
        let name = self.name(category);
        let topic = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
        let topic = config.iter().fold(topic, |topic, (name, value)| topic.set(name, value));
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        for made in block_on(self.admin().create_topics([&topic], &options)).unwrap() {
            made.unwrap();
        }
    }

    pub fn delete(&self, category: Category) {
        let name = self.name(category);
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        for gone in block_on(self.admin().delete_topics(&[&name], &options)).unwrap() {
            gone.unwrap();
        }
    }

    pub fn set(&self, category: Category, setting: &str, value: &str) {
        let name = self.name(category);
        let changed =
            rdkafka::admin::AlterConfig::new(rdkafka::admin::ResourceSpecifier::Topic(&name)).set(setting, value);
        for changed in block_on(self.admin().alter_configs([&changed], &AdminOptions::new())).unwrap() {
            changed.unwrap();
        }
    }

    /// Everything that is in the topics, by partition and in its order.
    pub fn consume(&self) -> Vec<Found> {
        let mut config = self.client();
        config.set("group.id", &self.prefix).set("enable.auto.commit", "false").set("enable.partition.eof", "false");
        config.set("check.crcs", "true");
        let consumer: BaseConsumer = config.create().unwrap();
        let mut wanted = TopicPartitionList::new();
        let mut left = 0;
        for category in Category::ALL {
            let name = self.name(category);
            let metadata = consumer.fetch_metadata(Some(&name), PATIENCE).unwrap();
            for partition in metadata.topics()[0].partitions() {
                let (low, high) = consumer.fetch_watermarks(&name, partition.id(), PATIENCE).unwrap();
                left += high - low;
                wanted.add_partition_offset(&name, partition.id(), Offset::Beginning).unwrap();
            }
        }
        consumer.assign(&wanted).unwrap();
        let mut found = Vec::new();
        let until = Instant::now() + PATIENCE;
        while left > 0 {
            assert!(Instant::now() < until, "{left} records are missing");
            if let Some(message) = consumer.poll(Duration::from_millis(200)) {
                found.push(Found::of(&message.unwrap()));
                left -= 1;
            }
        }
        // The consumer mixes partitions as they come in; within each the order is the topic's.
        found.sort_by(|a, b| (&a.topic, a.partition, a.offset).cmp(&(&b.topic, b.partition, b.offset)));
        found
    }

    /// Holds everything that is in Kafka against the log of `data`, whose server has stopped. Gives the number of records that
    /// were there twice.
    pub fn compare(&self, data: &Path) -> usize {
        compare(&self.consume(), data)
    }
}

pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

/// A record as a consumer sees it.
#[derive(Clone, Debug)]
pub struct Found {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
    pub key: String,
    pub value: Vec<u8>,
    pub headers: BTreeMap<String, String>,
    pub at_ms: i64,
}

impl Found {
    fn of(message: &impl Message) -> Found {
        let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_owned()).unwrap();
        let headers = message.headers().map(|headers| {
            headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect::<BTreeMap<_, _>>()
        });
        Found {
            topic: message.topic().to_owned(),
            partition: message.partition(),
            offset: message.offset(),
            key: text(message.key()),
            value: message.payload().unwrap_or_default().to_owned(),
            headers: headers.unwrap_or_default(),
            at_ms: message.timestamp().to_millis().unwrap_or_default(),
        }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn position(&self) -> u64 {
        self.header("ce_position").parse().unwrap_or_else(|_| panic!("no position in {self:?}"))
    }
}

fn compare(found: &[Found], data: &Path) -> usize {
    let folder = DataFolder::open(data).unwrap();
    let (store, _) = Store::open(&folder.log(), Options::default()).unwrap();
    let log_id = store.id().to_string();
    // What every reader does: drop what is not behind the last position of the partition.
    let mut last: BTreeMap<(&str, i32), u64> = BTreeMap::new();
    let mut twice = 0;
    let mut records: BTreeMap<u64, &Found> = BTreeMap::new();
    let mut versions: HashMap<&str, u64> = HashMap::new();
    for record in found.iter().filter(|record| record.header("ce_logid") == log_id) {
        let last = last.entry((&record.topic, record.partition)).or_default();
        if record.position() <= *last {
            twice += 1;
            continue;
        }
        *last = record.position();
        let version: u64 = record.header("ce_streamversion").parse().unwrap();
        let before = versions.entry(&record.key).or_default();
        assert_eq!(version, *before + 1, "a stream is dense: {record:?}");
        *before = version;
        records.insert(record.position(), record);
    }
    let private = contracts::private();
    let mut renderer = record::Renderer::new(store.id(), private.clone());
    let mut events = 0;
    store
        .read_from(Position(0), &mut |event| {
            events += 1;
            let record = records.get(&event.position.0);
            let record =
                record.unwrap_or_else(|| panic!("position {} ({}) is not in Kafka", event.position, event.name));
            let rendered = renderer.render(&event);
            assert_eq!(record.key, rendered.key);
            assert_eq!(record.value, rendered.value, "{record:?}");
            if !private.contains_key(event.name) {
                assert_eq!(record.value, event.data, "{record:?}");
            }
            check_headers(record, event.stream, event.name, event.at_ms);
            let (prefix, _) = record.topic.rsplit_once('.').unwrap();
            assert_eq!(record.topic, record::topic(prefix, event.stream.category));
            true
        })
        .unwrap();
    assert_eq!(records.len(), events, "Kafka has what the log has, and no more");
    store.close().unwrap();
    twice
}

fn check_headers(record: &Found, stream: StreamId, name: &str, at_ms: u64) {
    let headers = &record.headers;
    assert_eq!(headers.len(), 10, "{headers:?}");
    assert_eq!((record.header("ce_specversion"), record.header("content-type")), ("1.0", "application/json"));
    assert_eq!(record.header("ce_type"), name);
    assert_eq!(record.header("ce_subject"), stream.to_string());
    assert_eq!(record.header("ce_id"), record.header("ce_position"));
    assert_eq!(record.header("ce_source"), format!("urn:uuid:{}", record.header("ce_logid")));
    let time = time::OffsetDateTime::parse(record.header("ce_time"), &time::format_description::well_known::Rfc3339);
    assert_eq!((time.unwrap().unix_timestamp_nanos() / 1_000_000) as u64, at_ms);
    assert_eq!(record.at_ms as u64, at_ms);
}

/// In which partition Java would look for `key`.
pub fn partition_of(key: &str, partitions: u32) -> i32 {
    partition::of(key.as_bytes(), partitions) as i32
}
