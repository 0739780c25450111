//! Publishing through a real Apache Kafka: what is there afterwards is what the log has, record by record, whatever happened
//! on the way. Needs the servers of `scripts/services`.
//!
//! The broker's outage is shorter here than in earnest: `ONSALE_TEST_OUTAGE_S=60` makes it a minute.

mod common;
mod kafka;
mod load;

use ::kafka::{Settings, publisher};
use base::clock::{Clock, SystemClock};
use base::id::{Category, StreamId};
use common::tmpfs::Tmpfs;
use common::{OPERATOR_KEY, Request, Server};
use eventlog::memory::MemoryLog;
use eventlog::sinks::SinkStatus;
use eventlog::{Batch, Log};
use kafka::{Own, PARTITIONS, Topics, partition_of, shared};
use lab::client::Target;
use lab::stats::Rng;
use load::buyer::Crowd;
use load::target;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long Kafka may take to catch up here.
const CATCHES_UP: Duration = Duration::from_secs(90);
const BUYERS: usize = 8;

/// What `/readyz?verbose` says about Kafka.
fn output(server: &Server) -> Value {
    let body = server.get("/readyz?verbose", "").expect(200).json();
    let outputs = body["outputs"].as_array().unwrap_or_else(|| panic!("no outputs in {body}"));
    outputs.iter().find(|output| output["name"] == "kafka").unwrap_or_else(|| panic!("no Kafka in {body}")).clone()
}

#[track_caller]
fn wait_until(server: &Server, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    let until = Instant::now() + CATCHES_UP;
    loop {
        let output = output(server);
        if fits(&output) {
            return output;
        }
        assert!(Instant::now() < until, "not {what}: {output}\n{}", server.errors());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[track_caller]
fn wait_for_the_rest(server: &Server) {
    wait_until(server, "caught up", |output| output["lag_events"] == 0 && output["status"] == "ok");
}

/// Buyers on a thread of their own that ask for one thing after the other until they are told to stop, or the server is gone.
struct Load {
    crowd: JoinHandle<Crowd>,
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
}

impl Load {
    fn start(mut crowd: Crowd, target: Target) -> Load {
        let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, answered) = (stop.clone(), answers.clone());
        let crowd = std::thread::spawn(move || {
            load::run(async {
                let lives = crowd.buyers.iter_mut().map(async |buyer| {
                    let mut client = buyer.client(&target);
                    while !stopped.load(Ordering::Relaxed) && buyer.act(&mut client).await.is_ok() {
                        answered.fetch_add(1, Ordering::Relaxed);
                        // Some hundred a second are enough, and leave the processor to the others.
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                });
                futures_util::future::join_all(lives).await;
            });
            crowd
        });
        Load { crowd, stop, answers }
    }

    /// They get answers: so many more within a while.
    #[track_caller]
    fn goes_on(&self) {
        let (before, until) = (self.answers.load(Ordering::Relaxed), Instant::now() + common::PATIENCE);
        while self.answers.load(Ordering::Relaxed) < before + 100 {
            assert!(Instant::now() < until, "nobody is answered any more");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn stop(self) -> Crowd {
        self.stop.store(true, Ordering::Relaxed);
        self.crowd.join().unwrap()
    }
}

fn flags<'a>(kafka: &[&'a str]) -> Vec<&'a str> {
    [&["--self-charge", "--journal-bytes", "131072", "--snapshot-events", "300"], kafka].concat()
}

#[test]
fn every_event_is_there_once_and_nobody_can_be_recognised() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let topics = Topics::new(&shared());
    let server = Server::start(&data, &flags(&topics.flags()));
    let mut crowd = load::run(Crowd::new(&server, BUYERS, 1));
    let load = Load::start(crowd, target(&server));
    load.goes_on();

    // What must not get out, in every way that it comes in.
    let planted = ["kim.minsu@plant.example", "Kim Minsu", "correct horse", "battery staple"];
    let body = json!({"email": planted[0], "name": planted[1], "password": planted[2]});
    let user = server.post("/v1/users", "", body).expect(201);
    let token = user.text("/session/token");
    let body = json!({"email": planted[0], "password": planted[2]});
    let session = server.post("/v1/sessions", "", body).expect(201).text("/token");
    server.send(Request::new("DELETE", "/v1/sessions/current").token(&session)).expect(204);
    let body = json!({"current_password": planted[2], "new_password": planted[3]});
    let changed = server.send(Request::new("PUT", "/v1/me/password").token(&token).json(body));
    assert!(changed.status < 300, "{changed:?}");
    let body = json!({"email": planted[0], "password": planted[3]});
    let session = server.post("/v1/sessions", "", body).expect(201).text("/token");
    let body = json!({"password": planted[3]});
    let erased = server.send(Request::new("DELETE", "/v1/me").token(&session).json(body));
    assert!(erased.status < 300, "{erased:?}");
    let organizer = server.post("/v1/organizers", OPERATOR_KEY, json!({"name": "Hall"})).expect(201);
    let secret = organizer.text("/key/secret");

    crowd = load.stop();
    wait_for_the_rest(&server);
    let metrics = String::from_utf8(server.get("/metrics", "").expect(200).body).unwrap();
    for line in ["onsale_output_up{output=\"kafka\"} 1", "onsale_output_lag_events{output=\"kafka\"} 0"] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
    load::run(crowd.audit(&target(&server), true));
    server.stop();

    let found = topics.consume();
    let sealed = sealed(&data);
    assert_eq!(sealed.len(), BUYERS + 2, "each account is sealed once, and a change of password seals again");
    let planted = planted.iter().map(|text| (*text).to_owned()).chain(sealed).chain([secret[..10].to_owned(), session]);
    for text in planted {
        for record in &found {
            let all = format!("{record:?}{}", String::from_utf8_lossy(&record.value));
            assert!(!all.contains(&text), "{text:?} got out: {all}");
        }
    }
    let kinds = |name: &str| found.iter().filter(|record| record.header("ce_type") == name).count();
    assert_eq!(
        (kinds("AccountCreated.v1"), kinds("AccountErased.v1")),
        (BUYERS + 1, 1),
        "that they came and went is told"
    );
    assert!(found.iter().all(|record| record.partition == partition_of(&record.key, PARTITIONS)));
    assert_eq!(topics.compare(&data), 0, "nothing failed, so nothing came twice");
}

/// What the log has sealed.
fn sealed(data: &Path) -> Vec<String> {
    let mut sealed = Vec::new();
    let source = verifier::source::Source::open(data).unwrap();
    source
        .read(eventlog::Position(0), &mut |event| {
            let data: Value = serde_json::from_slice(event.data).unwrap();
            sealed.extend(data["sealed"].as_str().map(str::to_owned));
            true
        })
        .unwrap();
    drop(source);
    sealed
}

#[test]
fn killed_at_any_moment_every_event_is_there_once() {
    const KILLS: u64 = 6;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut random = Rng::new(seed, 0);
    let topics = Topics::new(&shared());
    let mut server = Server::start(&data, &flags(&topics.flags()));
    let mut crowd = load::run(Crowd::new(&server, BUYERS, seed));
    for kill in 1..=KILLS {
        let load = Load::start(crowd, target(&server));
        load.goes_on();
        std::thread::sleep(Duration::from_millis(random.below(300) as u64));
        server.kill();
        crowd = load.stop();
        // Without its checkpoint, everything is found out from Kafka.
        if kill % 3 == 0 {
            let _ = std::fs::remove_file(data.join("kafka"));
        }
        server = Server::start(&data, &flags(&topics.flags()));
        load::run(crowd.audit(&target(&server), false));
    }
    wait_for_the_rest(&server);
    let end = output(&server)["position"].as_u64().unwrap();
    server.stop();
    println!("{} records came twice", topics.compare(&data));

    // And while it catches up: under another name everything is to be sent, with little room for it.
    let topics = Topics::new(&shared());
    let flags = [&flags(&topics.flags())[..], &["--kafka-set", "queue.buffering.max.messages=5"]].concat();
    for part in 1..KILLS {
        server = Server::start(&data, &flags);
        let output = wait_until(&server, "under way", |output| output["position"].as_u64() >= Some(end * part / KILLS));
        println!("killed at {output}");
        server.kill();
    }
    server = Server::start(&data, &flags);
    wait_for_the_rest(&server);
    load::stop_and_verify(server, &data);
    println!("{} records came twice", topics.compare(&data));
}

/// The broker stopped, out of reach, slow, cut off and silent, with people buying all the time and hardly any room in the
/// producer's queue.
#[test]
fn whatever_happens_to_the_broker_selling_goes_on_and_nothing_is_lost() {
    let outage = std::env::var("ONSALE_TEST_OUTAGE_S").map_or(8, |seconds| seconds.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let own = Own::start(&folder.path().join("services"));
    let proxy = own.proxy();
    let topics = Topics::new(own.address());
    let small = ["--kafka-set", "queue.buffering.max.messages=20"];
    let flags = [&flags(&topics.through(own.proxied()))[..], &small].concat();
    let server = Server::start(&data, &flags);
    let crowd = load::run(Crowd::new(&server, BUYERS, 5));
    let load = Load::start(crowd, target(&server));
    load.goes_on();
    wait_until(&server, "publishing", |output| output["position"].as_u64() > Some(0));

    // Slow: 100 KB/s with half a second on top.
    proxy.poison("latency", "upstream", json!({"latency": 500, "jitter": 100}));
    proxy.poison("bandwidth", "upstream", json!({"rate": 100}));
    load.goes_on();
    load.goes_on();
    proxy.heal("bandwidth");
    proxy.heal("latency");
    // Cut off again and again, in the middle of what it sends.
    for _ in 0..5 {
        proxy.poison("limit_data", "upstream", json!({"bytes": 3_000}));
        load.goes_on();
        proxy.heal("limit_data");
        proxy.poison("reset_peer", "downstream", json!({"timeout": 0}));
        load.goes_on();
        proxy.heal("reset_peer");
    }
    // Silent: connections stay and nothing comes through.
    proxy.poison("timeout", "downstream", json!({"timeout": 0}));
    wait_until(&server, "in trouble", |output| output["status"] == "failing");
    load.goes_on();
    proxy.heal("timeout");
    // Out of reach.
    proxy.enable(false);
    let trouble = wait_until(&server, "in trouble", |output| output["status"] == "failing");
    println!("out of reach: {trouble}");
    assert!(
        trouble["trouble"].as_str().unwrap().len() > 10 && trouble["lag_seconds"].as_f64() > Some(0.5),
        "{trouble}"
    );
    load.goes_on();
    proxy.enable(true);
    wait_until(&server, "well again", |output| output["status"] != "failing");
    // Stopped, all of it.
    own.stop_broker();
    let until = Instant::now() + Duration::from_secs(outage);
    while Instant::now() < until {
        load.goes_on();
    }
    let behind = output(&server);
    assert!(behind["status"] == "failing" && behind["lag_events"].as_u64() > Some(50), "{behind}");
    own.start_broker();
    wait_until(&server, "well again", |output| output["status"] != "failing");
    load.goes_on();

    let mut crowd = load.stop();
    wait_for_the_rest(&server);
    load::run(crowd.audit(&target(&server), true));
    load::stop_and_verify(server, &data);
    println!("{} records came twice", topics.compare(&data));
}

/// A broker that lets less through than is sold, and one whose disk is full.
#[test]
fn a_full_broker_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let disk = Tmpfs::new(256);
    let logs = |disk: &Tmpfs| disk.path().join("logs").display().to_string();
    // What is in the topics is there alone: of the rest a broker could not even start again.
    let own = Own::start_with(&folder.path().join("services"), |own| {
        let logs = disk.as_ref().map(|disk| format!("log.dirs={}\nmetadata.log.dir={}\n", logs(disk), own.logs()));
        logs.unwrap_or_default()
    });
    let topics = Topics::new(own.address());
    let server = Server::start(&data, &flags(&topics.flags()));
    let load = Load::start(load::run(Crowd::new(&server, 2, 6)), target(&server));
    load.goes_on();
    wait_for_the_rest(&server);

    // A quota: nothing fails, and what is behind is told and made up for.
    let quota = |act: &[&str]| {
        let clients = ["--alter", "--entity-type", "clients", "--entity-default"];
        own.tool("kafka.admin.ConfigCommand", &[&clients[..], act].concat());
    };
    quota(&["--add-config", "producer_byte_rate=500"]);
    let behind = wait_until(&server, "behind", |output| output["lag_seconds"].as_f64() > Some(1.0));
    println!("throttled: {behind}");
    assert!(behind["lag_events"].as_u64() > Some(20), "{behind}");
    load.goes_on();
    quota(&["--delete-config", "producer_byte_rate"]);
    wait_until(&server, "on time", |output| output["status"] == "ok");

    // A disk, by which the broker ends. Somebody makes room and starts it again.
    if let Some(disk) = &disk {
        disk.fill();
        let full = wait_until(&server, "in trouble", |output| output["status"] == "failing");
        println!("full: {full}");
        load.goes_on();
        let behind = output(&server);
        assert!(behind["status"] == "failing" && behind["lag_events"].as_u64() > Some(50), "{behind}");
        own.stop_broker();
        std::fs::remove_file(disk.path().join("filler")).unwrap();
        own.start_broker();
        wait_until(&server, "well again", |output| output["status"] != "failing");
        load.goes_on();
    }
    let mut crowd = load.stop();
    wait_for_the_rest(&server);
    load::run(crowd.audit(&target(&server), true));
    load::stop_and_verify(server, &data);
    println!("{} records came twice", topics.compare(&data));
}

/// Times far from the brokers': as old as a log can be, and of a clock that was ahead. A topic of ours takes them; one that
/// somebody else made says what to set.
#[test]
fn an_event_of_any_time_is_published() {
    let folder = tempfile::tempdir().unwrap();
    let topics = Topics::new(&shared());
    topics.create(Category::Concert, 1, &[]);
    let log = Arc::new(MemoryLog::auto());
    let now = SystemClock::default().now();
    let times = [1, now, now + 2 * 3_600_000, now + 10 * 365 * 86_400_000, now];
    for (version, at_ms) in (1..).zip(times) {
        for category in [Category::Concert, Category::Wallet] {
            let mut batch = Batch::new();
            let stream = StreamId { category, key: uuid::Uuid::from_u128(7) };
            batch.push(stream, version, at_ms, "Tested.v1", |out| out.extend(b"{}"));
            log.append(batch, None).unwrap();
        }
    }
    let source = publisher::Source {
        log: log.clone(),
        log_id: uuid::Uuid::from_u128(0x10c),
        checkpoint: &folder.path().join("kafka"),
        clock: Arc::new(SystemClock::default()),
        private: contracts::private(),
    };
    let publisher = ::kafka::start(source, Settings::plain(&topics.broker, &topics.prefix, 1)).unwrap();
    let until = |what: &str, fits: &dyn Fn(&SinkStatus) -> bool| {
        let until = Instant::now() + CATCHES_UP;
        while !fits(&publisher.output.look(now)) {
            assert!(Instant::now() < until, "not {what}: {:?}", publisher.output.look(now));
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let name = topics.name(Category::Concert);
    let setting = "message.timestamp.after.max.ms";
    let said = format!("--entity-name {name} --add-config ");
    until("told what to set", &|look| {
        look.trouble.as_ref().is_some_and(|told| told.contains(&said) && told.contains(setting))
    });
    topics.set(Category::Concert, setting, "9223372036854775807");
    until("published", &|look| look.position == log.durable());
    publisher.stop();
    for category in [Category::Concert, Category::Wallet] {
        let name = topics.name(category);
        let found: Vec<u64> =
            topics.consume().iter().filter(|found| found.topic == name).map(|found| found.at_ms as u64).collect();
        assert_eq!(found, times, "{name}");
    }
}

/// Topics as others made them: fewer partitions, records of strangers at the end, and a limit that an event is above.
#[test]
fn topics_of_others_are_used_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let topics = Topics::new(&shared());
    topics.create(Category::Wallet, 1, &[]);
    topics.create(Category::Concert, 2, &[]);
    topics.create(Category::Performance, 2, &[("max.message.bytes", "20000")]);
    strangers(&topics, 3);
    let mut server = Server::start(&data, &flags(&topics.flags()));
    let organizer = server.organizer();
    let small = server.performance(&organizer, json!({}));
    wait_for_the_rest(&server);

    // 9,000 seats in rows with names of their own: more than a record there may have, even compressed.
    let rows: Vec<Value> = (0..900)
        .map(|row| json!({"row": format!("{row}_{}", uuid::Uuid::new_v4().simple()), "grade": "VIP", "seat_count": 10}))
        .collect();
    server.performance(&organizer, json!({"chart": {"sections": [{"section": "B", "rows": rows}]}}));
    let user = server.user("kim");
    server.charge(&user, 500);
    let trouble = wait_until(&server, "in trouble", |output| output["status"] == "failing");
    let said = trouble["trouble"].as_str().unwrap();
    assert!(
        said.contains("raise its max.message.bytes") && said.contains(&topics.name(Category::Performance)),
        "{said}"
    );
    server.hold(&small, &user, json!({"seats": ["A-1-1"]})).expect(201);
    assert!(server.errors().contains("the topic has another number of partitions"), "{}", server.errors());

    // Not even a start changes that; then somebody raises the limit.
    strangers(&topics, 100);
    server.stop();
    server = Server::start(&data, &flags(&topics.flags()));
    wait_until(&server, "in trouble", |output| output["status"] == "failing");
    assert!(output(&server)["lag_events"].as_u64() > Some(0));
    topics.set(Category::Performance, "max.message.bytes", "17825792");
    wait_for_the_rest(&server);
    strangers(&topics, 100);
    server.stop();

    let server = Server::start(&data, &flags(&topics.flags()));
    wait_for_the_rest(&server);
    assert!(server.errors().contains("records at the end that are not of this log"), "{}", server.errors());
    server.user("lee");
    wait_for_the_rest(&server);
    server.stop();
    topics.compare(&data);
}

/// `count` records that are no event of this log, in every partition of two topics: one with no headers, one with those of
/// another log.
fn strangers(topics: &Topics, count: usize) {
    let producer = topics.producer();
    let other = uuid::Uuid::new_v4().to_string();
    for (category, partitions) in [(Category::Wallet, 1), (Category::Performance, 2)] {
        let name = topics.name(category);
        for number in 0..count {
            let headers = [
                ("ce_logid", other.as_str()),
                ("ce_position", "999999"),
                ("ce_subject", "wallet-00000000-0000-0000-0000-000000000007"),
                ("ce_streamversion", "3"),
                ("ce_type", "PointsCharged.v1"),
            ];
            let headers = headers
                .into_iter()
                .fold(OwnedHeaders::new(), |made, (key, value)| made.insert(Header { key, value: Some(value) }));
            let record = BaseRecord::<str, str>::to(&name).partition(number as i32 % partitions).key("?").payload("?");
            let record = if number % 2 == 0 { record } else { record.headers(headers) };
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
    }
    producer.flush(common::PATIENCE).unwrap();
}

/// Topics are gone: they are made again, with everything in them. And a log that was put back from a copy does not publish
/// another history under the same name.
#[test]
fn what_is_gone_is_published_again_and_another_history_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (data, copy) = (folder.path().join("data"), folder.path().join("copy"));
    let topics = Topics::new(&shared());
    let server = Server::start(&data, &flags(&topics.flags()));
    let crowd = load::run(Crowd::new(&server, BUYERS, 9));
    let load = Load::start(crowd, target(&server));
    load.goes_on();
    let mut crowd = load.stop();
    wait_for_the_rest(&server);
    server.stop();
    let copied = std::process::Command::new("cp").args(["-a"]).args([&data, &copy]).status().unwrap();
    assert!(copied.success());

    topics.delete(Category::Wallet);
    let server = Server::start(&data, &flags(&topics.flags()));
    let load = Load::start(crowd, target(&server));
    load.goes_on();
    // While it runs, too.
    topics.delete(Category::Performance);
    load.goes_on();
    crowd = load.stop();
    wait_for_the_rest(&server);
    load::run(crowd.audit(&target(&server), true));
    server.stop();
    topics.compare(&data);

    let server = Server::start(&copy, &flags(&topics.flags()));
    let trouble = wait_until(&server, "in trouble", |output| output["status"] == "failing");
    assert!(trouble["trouble"].as_str().unwrap().contains("which this log does not have"), "{trouble}");
    server.user("still-sold-to");
    server.stop();
    topics.compare(&data);

    // Under another name everything is published, though everything was before.
    let others = Topics::new(&shared());
    let server = Server::start(&data, &flags(&others.flags()));
    wait_for_the_rest(&server);
    server.stop();
    assert_eq!(others.compare(&data), 0);
}

/// Over TLS, with a password, by somebody who may not make topics: what to make is said, and then it works.
#[test]
fn brokers_with_tls_passwords_and_rules_are_published_to() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let certificates = certificates(folder.path());
    let own = Own::start_with(&folder.path().join("services"), |own| secured(own, &certificates));
    let topics = Topics::new(own.address());
    let authority = certificates.join("ca.pem");
    let wrong = folder.path().join("wrong");
    std::fs::write(&wrong, "another password\n").unwrap();
    let password = folder.path().join("password");
    std::fs::write(&password, "s3cret\n").unwrap();
    let flags = |password: &Path| -> Vec<String> {
        let kafka = topics.through(own.secure());
        let more = ["--kafka-tls", "--kafka-tls-ca", authority.to_str().unwrap(), "--kafka-sasl", "SCRAM-SHA-256"];
        let user = ["--kafka-sasl-username", "onsale", "--kafka-sasl-password-file", password.to_str().unwrap()];
        flags(&kafka).into_iter().chain(more).chain(user).map(str::to_owned).collect()
    };
    let start = |password: &Path| {
        let flags = flags(password);
        Server::start(&data, &flags.iter().map(String::as_str).collect::<Vec<_>>())
    };
    if !cfg!(feature = "kafka-tls") {
        let said = common::command(&data, &flags(&password).iter().map(String::as_str).collect::<Vec<_>>()).output();
        let said = String::from_utf8(said.unwrap().stderr).unwrap();
        assert!(said.contains("cargo build --release --features kafka-tls"), "{said}");
        return;
    }
    let users = ["--alter", "--entity-type", "users", "--entity-name", "onsale"];
    own.tool("kafka.admin.ConfigCommand", &[&users[..], &["--add-config", "SCRAM-SHA-256=[password=s3cret]"]].concat());

    let server = start(&wrong);
    server.user("kim");
    let trouble = wait_until(&server, "in trouble", |output| output["status"] == "failing")["trouble"].to_string();
    assert!(trouble.to_lowercase().contains("authentication"), "{trouble}");
    assert!(!server.errors().contains("another password"), "{}", server.errors());
    server.stop();

    let server = start(&password);
    let told =
        |output: &Value| output["trouble"].as_str().is_some_and(|text| text.contains("Describe, Read and Write"));
    let trouble = wait_until(&server, "told what it may not", told);
    println!("{trouble}");
    let may = ["--operation", "Describe", "--operation", "Read", "--operation", "Write"];
    let topic = ["--topic", &topics.prefix, "--resource-pattern-type", "prefixed"];
    let rule = [&["--add", "--allow-principal", "User:onsale"], &may[..], &topic[..]].concat();
    own.tool("org.apache.kafka.tools.AclCommand", &rule);
    let told = |output: &Value| output["trouble"].as_str().is_some_and(|text| text.contains("kafka-topics.sh"));
    let trouble = wait_until(&server, "told what to make", told);
    println!("{trouble}");
    for category in Category::ALL {
        topics.create(category, PARTITIONS as i32, &[("max.message.bytes", "17825792")]);
    }
    wait_for_the_rest(&server);
    server.user("lee");
    wait_for_the_rest(&server);
    server.stop();
    assert_eq!(topics.compare(&data), 0);
}

/// A listener with TLS and SCRAM, and rules for everyone who does not come in by the others.
fn secured(own: &Own, certificates: &Path) -> String {
    let of = |name: &str| own.name(name);
    let (plain, behind) = (of("ONSALE_TEST_KAFKA"), of("ONSALE_TEST_KAFKA_BEHIND"));
    let (proxy, secure, controller) = (own.proxied(), own.secure(), own.controller());
    let (key, ca) = (certificates.join("server.pem"), certificates.join("ca.pem"));
    format!(
        "listeners=PLAIN://{plain},BEHIND://{behind},SECURE://{secure},CONTROLLER://{controller}\n\
         advertised.listeners=PLAIN://{plain},BEHIND://{proxy},SECURE://{secure}\n\
         ssl.keystore.type=PEM\nssl.keystore.location={key}\nssl.truststore.type=PEM\nssl.truststore.location={ca}\n\
         listener.name.secure.sasl.enabled.mechanisms=SCRAM-SHA-256\n\
         listener.name.secure.scram-sha-256.sasl.jaas.config=\
         org.apache.kafka.common.security.scram.ScramLoginModule required;\n\
         authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n\
         super.users=User:ANONYMOUS\n",
        key = key.display(),
        ca = ca.display(),
    )
}

/// An authority, and a key with a certificate for 127.0.0.1 by it.
fn certificates(folder: &Path) -> std::path::PathBuf {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let folder = folder.join("certificates");
    std::fs::create_dir_all(&folder).unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "the tests' authority");
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    std::fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    std::fs::write(folder.join("server.pem"), key.serialize_pem() + &certificate.pem()).unwrap();
    folder
}

/// Consumers that are not ours read it: Kafka's own, and the one in examples, which can be killed and started again.
#[test]
fn consumers_of_others_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let topics = Topics::new(&shared());
    let server = Server::start(&data, &flags(&topics.flags()));
    let mut crowd = load::run(Crowd::new(&server, BUYERS, 3));
    let database = folder.path().join("sales.sqlite");
    for round in 0..3 {
        let load = Load::start(crowd, target(&server));
        if round == 1 {
            // Killed in the middle of it.
            let mut consumer = example(&topics, &database, &[]).spawn().unwrap();
            load.goes_on();
            consumer.kill().unwrap();
            consumer.wait().unwrap();
        }
        load.goes_on();
        crowd = load.stop();
        wait_for_the_rest(&server);
        let told = example(&topics, &database, &["--once"]).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
        assert!(told.status.success(), "{out}{err}");
        let counts = crowd.counts();
        let sold = counts.get("confirmed").copied().unwrap_or_default();
        let row: Vec<&str> = out.lines().nth(1).expect("a row of a concert").split('\t').collect();
        assert_eq!((row[1], row[2]), ("Title", sold.to_string().as_str()), "{out}{counts:?}");
        // Everything once more, from the start of each partition: a reader that knows its positions counts nothing twice.
        if round == 1 {
            let forget =
                "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('DELETE FROM progress'); c.commit()";
            let forgot = std::process::Command::new(python()).args(["-c", forget]).arg(&database).status().unwrap();
            assert!(forgot.success());
        }
    }

    let mut console = std::process::Command::new("java");
    console.args(["-cp", &format!("{}/*", kafka::jars()), "org.apache.kafka.tools.consumer.ConsoleConsumer"]);
    console.args(["--bootstrap-server", &topics.broker, "--topic", &topics.name(Category::Wallet), "--from-beginning"]);
    console.args(["--timeout-ms", "10000", "--property", "print.headers=true"]);
    console.args(["--property", "print.key=true", "--property", "print.partition=true"]);
    let told = console.output().expect("java runs");
    let out = String::from_utf8(told.stdout).unwrap();
    server.stop();
    let found = topics.consume();
    let wallet = topics.name(Category::Wallet);
    let of_wallets: Vec<_> = found.iter().filter(|record| record.topic == wallet).collect();
    let lines: Vec<&str> = out.lines().filter(|line| line.contains("ce_type:")).collect();
    assert_eq!(lines.len(), of_wallets.len(), "{}", String::from_utf8_lossy(&told.stderr));
    for record in of_wallets {
        let value = String::from_utf8_lossy(&record.value);
        let position = format!("ce_position:{},", record.header("ce_position"));
        let line = lines.iter().find(|line| line.contains(&position)).unwrap_or_else(|| panic!("no {position}"));
        let partition = format!("Partition:{}", record.partition);
        assert!(
            line.contains(&partition) && line.contains(&record.key) && line.ends_with(&*value),
            "{line}\n{record:?}"
        );
    }
    topics.compare(&data);
}

fn python() -> String {
    std::env::var("ONSALE_TEST_PYTHON").unwrap_or_else(|_| "python3".into())
}

/// examples/consumer.py.
fn example(topics: &Topics, database: &Path, more: &[&str]) -> std::process::Command {
    let ready = std::process::Command::new(python()).args(["-c", "import confluent_kafka"]).output();
    assert!(
        ready.is_ok_and(|ready| ready.status.success()),
        "{} cannot import confluent_kafka: pip install -r examples/requirements.txt, into the Python that ONSALE_TEST_PYTHON names",
        python()
    );
    let mut command = std::process::Command::new(python());
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/consumer.py"));
    command.args(["--brokers", &topics.broker, "--prefix", &topics.prefix]).arg("--database").arg(database).args(more);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    command
}
