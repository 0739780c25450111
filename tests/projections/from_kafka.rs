//! Read models from Kafka: the same rows as from the log, whatever else is in the topics.

use super::places::{Home, LOG_ID, built_in, rows, service};
use super::rows::{assert_same, simulated};
use crate::common::{Request, Server};
use base::clock::SystemClock;
use base::id::Category;
use eventlog::Log;
use eventlog::memory::MemoryLog;
use kafka::{Settings, publisher, record};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use readmodels::live::Projector;
use readmodels::rebuild::{self, Done, Filling, PoisonPolicy};
use readmodels::source::kafka::FromKafka;
use readmodels::source::{Ahead, Source};
use readmodels::state::Progress;
use readmodels::{Kind, checkpoints};
use serde_json::json;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use uuid::Uuid;

static BROKER: LazyLock<String> = LazyLock::new(|| service("kafka", "ONSALE_TEST_KAFKA"));
const EVENTS: u64 = 8_000;
const PATIENCE: Duration = Duration::from_secs(60);

fn prefix() -> String {
    format!("read-{}", Uuid::new_v4().simple())
}

/// Publishes a log until Kafka has everything.
pub fn publish(log: &Arc<MemoryLog>, settings: &Settings) {
    let folder = tempfile::tempdir().unwrap();
    let source = publisher::Source {
        log: log.clone(),
        log_id: LOG_ID,
        checkpoint: &folder.path().join("kafka"),
        clock: Arc::new(SystemClock::default()),
        private: contracts::private(),
    };
    let publisher = kafka::start(source, settings.clone()).unwrap();
    let start = Instant::now();
    while publisher.output.look(0).position != log.durable() {
        assert!(start.elapsed() < PATIENCE, "{:?}", publisher.output.look(0));
        std::thread::sleep(Duration::from_millis(20));
    }
    publisher.stop();
}

fn client() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &*BROKER).set("group.id", "test").set("enable.auto.commit", "false");
    config
}

/// What readers have to pass over: a record that is nobody's, one of another log, and one that came twice.
fn disturb(prefix: &str) {
    let topic = record::topic(prefix, Category::Performance);
    let producer: BaseProducer = client().create().unwrap();
    let consumer: BaseConsumer = client().create().unwrap();
    let mut wanted = TopicPartitionList::new();
    wanted.add_partition_offset(&topic, 1, Offset::Beginning).unwrap();
    consumer.assign(&wanted).unwrap();
    let start = Instant::now();
    let first = loop {
        match consumer.poll(Duration::from_millis(100)) {
            Some(message) => break message.unwrap().detach(),
            None => assert!(start.elapsed() < PATIENCE),
        }
    };
    let (key, value) = (first.key().unwrap(), first.payload().unwrap());
    let twice = BaseRecord::to(&topic).partition(1).key(key).payload(value).headers(first.headers().unwrap().clone());
    producer.send(twice).map_err(|(error, _)| error).unwrap();
    let mut of_another = OwnedHeaders::new();
    for (name, value) in [
        ("ce_logid", Uuid::from_u128(99).to_string()),
        ("ce_position", "3".to_owned()),
        ("ce_subject", format!("performance-{}", Uuid::nil())),
        ("ce_streamversion", "1".to_owned()),
        ("ce_type", "SeatsHeld.v1".to_owned()),
        ("ce_time", "2026-01-01T00:00:00.000Z".to_owned()),
    ] {
        of_another = of_another.insert(Header { key: name, value: Some(&value) });
    }
    let record = BaseRecord::to(&topic).partition(1).key("x").payload("{}").headers(of_another);
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.send(BaseRecord::to(&topic).partition(2).key("x").payload("hello")).map_err(|(error, _)| error).unwrap();
    producer.flush(PATIENCE).unwrap();
}

#[test]
fn the_same_rows_from_kafka() {
    let log = simulated(EVENTS);
    let prefix = prefix();
    let settings = Settings::plain(&BROKER, &prefix, 3);
    publish(&log, &settings);
    disturb(&prefix);
    let from_log = Home::sqlite();
    super::rows::anew(&from_log, &log);
    let expected = rows(&from_log);
    for home in Home::both() {
        let of = settings.clone();
        let mut source = Ahead::new(move || Ok(Box::new(FromKafka::open(of.clone(), Some(LOG_ID), None)?))).unwrap();
        assert_eq!(source.end().unwrap(), log.durable());
        let mut store = home.open();
        checkpoints::open(&mut *store, LOG_ID).unwrap();
        let mut filling = Filling::begin(&mut *store, &built_in(), PoisonPolicy::Fail, true).unwrap();
        let never = AtomicBool::new(false);
        let done = rebuild::fill(&mut filling, &mut *store, &mut source, &never, &mut |_, _| {}).unwrap();
        assert_eq!(done, Done::Swapped { events: log.durable().0 });
        assert_same(&expected, &rows(&home), "the log, Kafka");
    }
    // Which log it is cannot be told where there are two, and need not be where there is one.
    let error = FromKafka::open(settings.clone(), None, None).err().unwrap();
    assert!(error.kind == Kind::Refused && error.what.contains("several logs"), "{error}");
}

/// Follows Kafka until it is at `until`, in pieces: each one goes on where the one before ended.
fn follow(home: &Home, settings: &Settings, group: &str, until: u64) -> u64 {
    let progress = Arc::new(Progress::default());
    let source = FromKafka::open(settings.clone(), None, Some(group.into())).unwrap();
    let mut projector = Projector {
        place: home.place.clone(),
        source: Box::new(source),
        projections: built_in(),
        progress: progress.clone(),
        standby: false,
    };
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let running = std::thread::spawn(move || projector.run(&stopped));
    let start = Instant::now();
    while progress.position().0 < until {
        assert!(start.elapsed() < PATIENCE, "{} {:?}", progress.position(), progress.trouble());
        std::thread::sleep(Duration::from_millis(10));
    }
    stop.store(true, Ordering::Release);
    running.join().unwrap().unwrap();
    progress.position().0
}

#[test]
fn tables_that_follow_kafka_go_on_where_they_were() {
    let log = simulated(EVENTS);
    let (home, prefix) = (Home::sqlite(), prefix());
    let settings = Settings::plain(&BROKER, &prefix, 3);
    publish(&log, &settings);
    let end = log.durable().0;
    assert_eq!(follow(&home, &settings, "g", end), end);
    let before = rows(&home);
    // More comes, and a reader that knows nothing of the one before reads from where that noted that it was, or from the start.
    for group in ["g", "of-nobody"] {
        super::rows::one_more_concert(&log);
        publish(&log, &settings);
        let end = log.durable().0;
        assert_eq!(follow(&home, &settings, group, end), end);
    }
    assert_eq!(rows(&home)["concerts"].len(), before["concerts"].len() + 2);
    let from_log = Home::sqlite();
    super::rows::anew(&from_log, &log);
    assert_same(&rows(&from_log), &rows(&home), "the log, followed in Kafka");
}

#[test]
fn an_event_that_kafka_does_not_have_is_named() {
    let log = simulated(2_000);
    let prefix = prefix();
    let settings = Settings::plain(&BROKER, &prefix, 3);
    publish(&log, &settings);
    // Somebody deleted the first records of a partition.
    let topic = record::topic(&prefix, Category::Performance);
    let admin: rdkafka::admin::AdminClient<_> = client().create().unwrap();
    let mut gone = TopicPartitionList::new();
    gone.add_partition_offset(&topic, 0, Offset::Offset(5)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(admin.delete_records(&gone, &rdkafka::admin::AdminOptions::new())).unwrap();
    let mut source = FromKafka::open(settings, Some(LOG_ID), None).unwrap();
    let (mut at, start) = (eventlog::Position(0), Instant::now());
    let error = loop {
        assert!(start.elapsed() < PATIENCE * 2);
        match source.read(at, log.durable(), 1_000) {
            Ok((_, to)) => at = to,
            Err(error) => break error,
        }
    };
    let said = format!("the event at position {} is in none of the topics; the next one there is", at.0 + 1);
    assert!(error.kind == Kind::Away && error.what.contains(&said), "{error}");
}

fn project(home: &Home, prefix: &str, group: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_onsale"));
    command.args(["project", "--from", "kafka", "--kafka", &BROKER, "--kafka-prefix", prefix, "--kafka-group", group]);
    command.args(home.flags()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_process_elsewhere_keeps_tables_from_kafka() {
    let (home, prefix) = (Home::postgres(), prefix());
    let folder = tempfile::tempdir().unwrap();
    let mut flags = home.flags();
    flags.extend(["--read-models", "outside", "--kafka", &BROKER, "--kafka-partitions", "3"].map(String::from));
    flags.extend(["--kafka-prefix".into(), prefix.clone()]);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let server = Server::start(&folder.path().join("data"), &flags);
    let organizer = server.organizer();
    let performance = server.performance(&organizer, json!({}));
    let user = server.user("elsewhere");
    let holds = format!("/v1/performances/{performance}/reservations");
    let mut projector = None;
    for held in 1..=3 {
        let sold = server.post(&holds, &user.token, json!({"area": "Floor", "count": 1})).expect(201);
        let position = sold.header("onsale-position").unwrap().to_owned();
        // Whatever it was doing when it was killed, the next one goes on.
        let mut running = project(&home, &prefix, "elsewhere");
        let start = Instant::now();
        let answer = loop {
            let request = Request::new("GET", "/v1/me/reservations").token(&user.token);
            let answer = server.send(request.header("Onsale-After", &position));
            if answer.status == 200 || start.elapsed() > PATIENCE {
                break answer.expect(200);
            }
            // Kafka may not have had a topic yet.
            if running.try_wait().unwrap().is_some() {
                running = project(&home, &prefix, "elsewhere");
            }
        };
        assert_eq!(answer.json()["items"].as_array().unwrap().len(), held);
        if held < 3 {
            running.kill().unwrap();
            running.wait().unwrap();
        } else {
            projector = Some(running);
        }
    }
    let second = project(&home, &prefix, "second").wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && told.contains("another projector runs on"), "{told}");
    let mut projector = projector.unwrap();
    assert!(Command::new("kill").arg("-TERM").arg(projector.id().to_string()).status().unwrap().success());
    assert!(projector.wait().unwrap().success());
    server.stop();
}
