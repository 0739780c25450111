//! The figures about what the log goes out to: how fast Kafka catches up, how soon a sale is there, what it costs those who
//! sell. They need a real Kafka: `--kafka HOST:PORT`.

use super::goals::figure;
use super::load::{Worker, closed, open};
use super::online::{purchase, spoilt};
use super::read_models::get;
use super::stage::{Stage, read};
use super::{BenchmarkArgs, FigureFilter, Progress, ROUNDS, SERVER_ARGS, copy, generate};
use crate::client::Target;
use crate::server::{Scratch, Server, off_thread};
use crate::stats::{Latencies, median};
use anyhow::{Context, bail, ensure};
use base::clock::SystemClock;
use base::id::Category;
use base::report::Figure;
use eventlog::Position;
use eventlog::data_folder::DataFolder;
use eventlog::store::{Options, Store};
use kafka::Settings;
use kafka::publisher::{self, Source};
use kafka::record::{self, Renderer, Stamp};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub const NAMES: [&str; 4] = ["kafka_publish", "rdkafka_bare", "answer_to_record_p99", "selling_with_outputs"];
const PARTITIONS: u32 = 12;
/// Events that are published in one round: enough for the start not to count, where each partition waits for its first record.
const EVENTS: u64 = 1_000_000;
const EVENTS_QUICK: u64 = 60_000;
const WALLETS: u64 = 20_000;
const PERFORMANCES: u64 = 400;
/// Sales a second while it is measured how soon they are in Kafka.
const SALES_PER_S: f64 = 2_000.0;
/// How long publishing a round, or the last sale, may take.
const WITHIN: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(2);
/// Where a server tells how far its outputs are.
const HEALTH: &str = "/readyz?verbose";
/// How long is sold before that counts: a broker that was just started compiles its code meanwhile.
const WARM: Duration = Duration::from_secs(4);
/// No server here sells more in a second: so many pairs of seats are provided for.
const SALES_PER_S_GUESS: f64 = 20_000.0;

/// Steps of the progress bar.
pub fn steps(wanted: &FigureFilter) -> u64 {
    let rounds = u64::from(ROUNDS);
    let catching_up = u64::from(wanted.any(&NAMES[..2])) * (2 * rounds + 1);
    catching_up + u64::from(wanted.any(&NAMES[3..])) * 2 * rounds + u64::from(wanted.any(&NAMES[2..3]))
}

/// Measures what is wanted against the brokers `kafka`.
pub async fn measure(
    kafka: &str,
    wanted: &FigureFilter,
    args: &BenchmarkArgs,
    scratch: &Scratch,
    progress: &Progress,
) -> anyhow::Result<Vec<Figure>> {
    // Topics of this run alone, gone afterwards.
    let topics = Topics { brokers: kafka.to_owned(), prefix: format!("benchmark-{}", uuid::Uuid::new_v4().simple()) };
    let mut figures = Vec::new();
    if wanted.any(&NAMES[..2]) {
        let data = scratch.path().join("published");
        figures.extend(catching_up(&topics, &data, if args.quick { EVENTS_QUICK } else { EVENTS }, progress).await?);
        scratch.clear("published");
    }
    if wanted.any(&NAMES[2..]) {
        figures.extend(selling(&topics, wanted, args, scratch, progress).await?);
    }
    Ok(figures)
}

/// Topics under a prefix, and further ones behind it; deleted in the end.
struct Topics {
    brokers: String,
    prefix: String,
}

impl Topics {
    fn round(&self, name: &str) -> Topics {
        Topics { brokers: self.brokers.clone(), prefix: format!("{}-{name}", self.prefix) }
    }

    fn settings(&self) -> Settings {
        Settings::plain(&self.brokers, &self.prefix, PARTITIONS)
    }

    fn names(&self) -> Vec<String> {
        self.settings().topics()
    }
}

impl Drop for Topics {
    fn drop(&mut self) {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        let Ok(admin) = config.create::<AdminClient<DefaultClientContext>>() else { return };
        let names = self.names();
        // On a thread of its own: here a runtime may be running already. Topics that were never made are no loss.
        let deleted = std::thread::spawn(move || {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() {
                drop(runtime.block_on(admin.delete_topics(&names, &AdminOptions::new())));
            }
        });
        let _ = deleted.join();
    }
}

/// The same events through Onsale and through a producer with the same settings, in turns.
async fn catching_up(topics: &Topics, data: &Path, events: u64, progress: &Progress) -> anyhow::Result<Vec<Figure>> {
    progress.says("generating events");
    let to = data.to_owned();
    let wanted = generate::LogSize { wallets: WALLETS, performances: PERFORMANCES, events, snapshot_before: None };
    off_thread(move || generate::generate(&to, &wanted)).await?;
    progress.step();
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        progress.says(NAMES[1]);
        let (from, to) = (data.to_owned(), topics.round(&format!("bare-{round}")));
        bare.push(off_thread(move || produce(&from, &to)).await?);
        progress.step();
        progress.says(NAMES[0]);
        let (from, to) = (data.to_owned(), topics.round(&format!("publish-{round}")));
        ours.push(off_thread(move || publish(&from, &to)).await?);
        progress.step();
    }
    let (ours, bare) = (median(&ours), median(&bare));
    let mut published = figure(NAMES[0], Some(ours), Some(bare));
    published.note = format!("{events} events into {PARTITIONS} partitions each of {} topics", Category::ALL.len());
    Ok(vec![published, figure(NAMES[1], Some(bare), None)])
}

fn store(data: &Path) -> anyhow::Result<(DataFolder, Arc<Store>)> {
    let folder = DataFolder::open(data)?;
    let (store, _) = Store::open(&folder.log(), Options::default())?;
    Ok((folder, Arc::new(store)))
}

/// Events a second of the publisher that catches up, from its first acknowledgement to its last.
fn publish(data: &Path, topics: &Topics) -> anyhow::Result<f64> {
    let (folder, store) = store(data)?;
    let source = Source {
        log: store.clone(),
        log_id: store.id(),
        checkpoint: &folder.path().join("kafka-of-the-benchmark"),
        clock: Arc::new(SystemClock::default()),
        private: contracts::private(),
    };
    // No round knows what another did.
    let _ = std::fs::remove_file(source.checkpoint);
    let end = eventlog::Log::durable(&*store).0;
    let publisher = kafka::start(source, topics.settings())?;
    let (until, mut first) = (Instant::now() + WITHIN, None);
    let rate = loop {
        let (look, now) = (publisher.output.look(0), Instant::now());
        if look.records > 0 && first.is_none() {
            first = Some((look.records, now));
        }
        if let Some((before, since)) = first.filter(|_| look.position.0 == end) {
            break (look.records - before) as f64 / (now - since).as_secs_f64();
        }
        if let Some(trouble) = look.trouble {
            bail!("Kafka: {trouble}");
        }
        ensure!(now < until, "Kafka has only {} of {end} events after {WITHIN:?}", look.position);
        std::thread::sleep(LOOK);
    };
    publisher::Publisher::stop(publisher);
    store.close()?;
    Ok(rate)
}

/// A record as the bare producer sends it.
struct PreparedRecord {
    topic: usize,
    key: String,
    value: Vec<u8>,
    at_ms: i64,
    headers: OwnedHeaders,
}

/// Records a second of a producer that has them all in memory.
fn produce(data: &Path, topics: &Topics) -> anyhow::Result<f64> {
    let (_folder, store) = store(data)?;
    let mut renderer = Renderer::new(store.id(), contracts::private());
    let mut ready = Vec::new();
    eventlog::Log::read_from(&*store, Position(0), &mut |event| {
        let record = renderer.render(&event);
        let topic = Category::ALL.iter().position(|category| *category == event.stream.category).expect("a category");
        let (key, value, headers) = (record.key.to_owned(), record.value.to_owned(), record.headers());
        ready.push(PreparedRecord { topic, key, value, at_ms: event.at_ms as i64, headers });
        true
    })?;
    let settings = topics.settings();
    make_topics(&settings)?;
    let names = topics.names();
    let producer: BaseProducer = settings.producer(None).create()?;
    let count = ready.len();
    let mut first = None;
    for PreparedRecord { topic, key, value, at_ms, headers } in &ready {
        // librdkafka takes the headers: every producer makes them for each record.
        let headers = headers.clone();
        let mut record = BaseRecord::to(&names[*topic]).key(key).payload(value).timestamp(*at_ms).headers(headers);
        while let Err((error, back)) = producer.send(record) {
            ensure!(
                error == KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull),
                "the bare producer cannot send: {error}"
            );
            producer.poll(Duration::from_millis(1));
            record = back;
        }
        producer.poll(Duration::ZERO);
        // As with the publisher: not before the first is there.
        if first.is_none() {
            producer.flush(WITHIN)?;
            first = Some(Instant::now());
        }
    }
    producer.flush(WITHIN)?;
    let since = first.context("nothing to send")?;
    store.close()?;
    Ok((count - 1) as f64 / since.elapsed().as_secs_f64())
}

fn make_topics(settings: &Settings) -> anyhow::Result<()> {
    let reader = settings.reader().create_with_context(kafka::quiet::Quiet::default())?;
    kafka::topics::ensure(settings, &reader)?;
    Ok(())
}

/// A server with people who buy from it.
struct House {
    server: Server,
    stage: Stage,
    workers: Vec<Worker>,
    purchases: Cell<u64>,
}

impl House {
    async fn open(data: &Path, args: &[&str], connections: usize) -> anyhow::Result<House> {
        let server = Server::start(data, &[&SERVER_ARGS, args].concat(), super::READY_WITHIN).await?;
        let mut workers = Worker::connect(&Target::resolve(&server.url).await?, connections).await?;
        let stage = Stage::build(&mut workers, &server.operator_key).await?;
        stage.fill_first(&mut workers).await?;
        Ok(House { server, stage, workers, purchases: Cell::new(0) })
    }

    /// Sales a second as fast as it goes. The seats that may be sold are everywhere before it begins.
    async fn sell(&mut self, window: Duration) -> anyhow::Result<f64> {
        let pairs = (SALES_PER_S_GUESS * window.as_secs_f64()) as usize;
        self.stage.provide(&mut self.workers, pairs).await?;
        self.caught_up().await?;
        let (stage, purchases) = (&self.stage, &self.purchases);
        let round = closed(&mut self.workers, window, async |worker| {
            purchase(stage, worker).await?;
            purchases.set(purchases.get() + 1);
            Ok(())
        })
        .await;
        Ok(spoilt(NAMES[3], round)?.rate())
    }

    /// Waits until what the log goes out to has everything. Gives how far behind that was, s.
    async fn caught_up(&mut self) -> anyhow::Result<f64> {
        let (mut behind_s, until) = (None, Instant::now() + WITHIN);
        loop {
            let worker = &mut self.workers[0];
            get(worker, HEALTH, None);
            let health = read(worker, 200, HEALTH).await?;
            let outputs = health["outputs"].as_array().context("no outputs")?;
            let lag = |output: &Value| output["lag_seconds"].as_f64();
            let most = outputs.iter().map(lag).try_fold(0.0, |most: f64, lag| Some(most.max(lag?)));
            behind_s = behind_s.or(most);
            if outputs.iter().all(|output| output["lag_events"] == 0) {
                return Ok(behind_s.unwrap_or(0.0));
            }
            ensure!(Instant::now() < until, "after {WITHIN:?} there is still not everything: {health}");
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn close(mut self) -> anyhow::Result<()> {
        self.stage.check_wallets(&mut self.workers, self.purchases.get()).await?;
        drop(self.workers);
        self.server.stop().await
    }
}

async fn selling(
    topics: &Topics,
    wanted: &FigureFilter,
    args: &BenchmarkArgs,
    scratch: &Scratch,
    progress: &Progress,
) -> anyhow::Result<Vec<Figure>> {
    progress.says(NAMES[3]);
    let postgres = super::read_models::given_postgres();
    let mut flags = vec!["--kafka", &topics.brokers, "--kafka-prefix", &topics.prefix];
    if let Some(postgres) = &postgres {
        flags.extend(["--postgres", &postgres.url, "--postgres-schema", &postgres.schema]);
    }
    let sold = sell_with(topics, &flags, wanted, args, scratch, progress).await;
    if let Some(postgres) = &postgres {
        copy::drop_schema(postgres).await?;
    }
    sold
}

async fn sell_with(
    topics: &Topics,
    flags: &[&str],
    wanted: &FigureFilter,
    args: &BenchmarkArgs,
    scratch: &Scratch,
    progress: &Progress,
) -> anyhow::Result<Vec<Figure>> {
    let round = Duration::from_secs_f64(args.seconds() / f64::from(ROUNDS));
    let connections = args.connections.into();
    let mut with = House::open(&scratch.path().join("with"), flags, connections).await?;
    let mut figures = Vec::new();
    if wanted.any(&NAMES[2..3]) {
        figures.push(answer_to_record(topics, &mut with, round * ROUNDS, progress).await?);
    }
    if wanted.any(&NAMES[3..]) {
        // Long enough for what is put off to be due.
        let round = round * ROUNDS;
        let mut without = House::open(&scratch.path().join("without"), &super::ALONE, connections).await?;
        let (mut ours, mut rival, mut behind_s) = (Vec::new(), Vec::new(), Vec::new());
        for house in [&mut without, &mut with] {
            house.sell(round / 5).await?;
        }
        for _ in 0..ROUNDS {
            progress.says(NAMES[3]);
            rival.push(without.sell(round).await?);
            progress.step();
            ours.push(with.sell(round).await?);
            // Otherwise the other one would pay for what this one has put off.
            behind_s.push(with.caught_up().await?);
            progress.step();
        }
        let mut figure = figure(NAMES[3], Some(median(&ours)), Some(median(&rival)));
        let tables = if flags.contains(&"--postgres") { "PostgreSQL" } else { "read models in SQLite" };
        figure.note = format!(
            "{:.0}/s without; Kafka and {tables} on the same machine, {:.1} s behind after {:.0} s",
            median(&rival),
            median(&behind_s),
            round.as_secs_f64()
        );
        figures.push(figure);
        without.close().await?;
    }
    with.close().await?;
    for folder in ["with", "without"] {
        scratch.clear(folder);
    }
    Ok(figures)
}

/// How long after its answer a sale is with a consumer.
async fn answer_to_record(
    topics: &Topics,
    house: &mut House,
    window: Duration,
    progress: &Progress,
) -> anyhow::Result<Figure> {
    progress.says(NAMES[2]);
    let pairs = (SALES_PER_S * (WARM + window).as_secs_f64()) as usize + 1_000;
    house.stage.provide(&mut house.workers, pairs).await?;
    let stopped = Arc::new(AtomicBool::new(false));
    let (ready, is_ready) = tokio::sync::oneshot::channel();
    let consumer = std::thread::spawn({
        let (brokers, stopped) = (topics.brokers.clone(), stopped.clone());
        let topic = record::topic(&topics.prefix, Category::Performance);
        move || consume(&brokers, &topic, ready, &stopped)
    });
    if is_ready.await.is_err() {
        let why = off_thread(move || consumer.join().map_err(|_| anyhow::anyhow!("the consumer panicked"))?).await;
        return Err(why.err().unwrap_or_else(|| anyhow::anyhow!("it ended")).context("the consumer did not start"));
    }
    let answered = RefCell::new(Vec::new());
    let (stage, purchases) = (&house.stage, &house.purchases);
    let mut sell = async |window| {
        let sold = open(&mut house.workers, SALES_PER_S, window, async |worker| {
            let position = purchase(stage, worker).await?;
            answered.borrow_mut().push((position, Instant::now()));
            purchases.set(purchases.get() + 1);
            Ok(())
        });
        spoilt(NAMES[2], sold.await?)
    };
    sell(WARM).await?;
    answered.borrow_mut().clear();
    let round = sell(window).await?;
    let answered = answered.into_inner();
    // Everything that was sold comes, at the latest when nothing new is on the way.
    tokio::time::sleep(Duration::from_secs(2)).await;
    stopped.store(true, Ordering::Relaxed);
    let seen = off_thread(move || consumer.join().map_err(|_| anyhow::anyhow!("the consumer panicked"))?).await?;
    let mut latencies = Latencies::default();
    for (position, at) in &answered {
        let seen = seen.get(position).with_context(|| format!("position {position} is not in Kafka"))?;
        latencies.record(seen.saturating_duration_since(*at));
    }
    progress.step();
    let mut figure = figure(NAMES[2], Some(latencies.percentile_ms(0.99)), None);
    figure.p50_ms = Some(latencies.percentile_ms(0.5));
    figure.note = format!("at {:.0} sales/s", round.rate());
    Ok(figure)
}

/// When each position came, from now on until it is stopped.
fn consume(
    brokers: &str,
    topic: &str,
    ready: tokio::sync::oneshot::Sender<()>,
    stopped: &AtomicBool,
) -> anyhow::Result<HashMap<u64, Instant>> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", topic).set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create()?;
    let mut wanted = TopicPartitionList::new();
    for partition in 0..PARTITIONS as i32 {
        // The server makes the topic when it starts: it may not be there yet, or nobody may lead it.
        let until = Instant::now() + WITHIN;
        let (_, high) = loop {
            match consumer.fetch_watermarks(topic, partition, WITHIN) {
                Ok(marks) => break marks,
                Err(error) if Instant::now() > until => return Err(error.into()),
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        };
        wanted.add_partition_offset(topic, partition, Offset::Offset(high))?;
    }
    consumer.assign(&wanted)?;
    // It fetches from the first poll on.
    consumer.poll(Duration::from_millis(500));
    let _ = ready.send(());
    let mut seen = HashMap::new();
    while !stopped.load(Ordering::Relaxed) {
        if let Some(message) = consumer.poll(Duration::from_millis(20)) {
            let now = Instant::now();
            if let Some(stamp) = Stamp::of(&message?) {
                seen.insert(stamp.position.0, now);
            }
        }
    }
    Ok(seen)
}
