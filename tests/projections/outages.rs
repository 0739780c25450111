//! What is slow, silent, cut off, away or full while people buy: lists say so in time, nobody who buys notices, and
//! afterwards the tables are as if nothing had been.

use super::from_kafka::publish;
use super::places::{Home, URL, built_in, rows, service};
use super::rows::{anew, assert_same, one_more_concert, simulated};
use crate::common::tmpfs::Tmpfs;
use crate::common::toxiproxy::Proxy;
use crate::common::{Answer, Request, Server, User};
use eventlog::Log;
use kafka::Settings;
use readmodels::live::Projector;
use readmodels::source::kafka::FromKafka;
use readmodels::state::Progress;
use readmodels::store::Place;
use readmodels::{checkpoints, int};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How long something may take here.
const PATIENCE: Duration = Duration::from_secs(60);
/// After so long a list has said that it cannot be had.
const ANSWERS_WITHIN: Duration = Duration::from_secs(9);
/// After so long a seat is held, whatever else is the matter.
const HOLDS_WITHIN: Duration = Duration::from_secs(2);

#[track_caller]
fn until(what: &str, mut fits: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !fits() {
        assert!(Instant::now() < until, "not {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A house with a buyer who holds one seat after the other.
struct House {
    server: Server,
    performance: String,
    buyer: User,
    held: usize,
    after: String,
}

impl House {
    fn open(data: &Path, flags: &[String]) -> House {
        let server = Server::start(data, &flags.iter().map(String::as_str).collect::<Vec<_>>());
        let organizer = server.organizer();
        let performance = server.performance(&organizer, json!({"seats_per_user_max": 100}));
        let buyer = server.user("buyer");
        House { server, performance, buyer, held: 0, after: String::new() }
    }

    fn hold(&mut self) {
        let begun = Instant::now();
        let seat = format!("A-{}-{}", 1 + self.held / 10, 1 + self.held % 10);
        let held = self.server.hold(&self.performance, &self.buyer, json!({"seats": [seat]})).expect(201);
        assert!(begun.elapsed() < HOLDS_WITHIN, "a hold took {:?}", begun.elapsed());
        self.held += 1;
        self.after = held.header("onsale-position").unwrap().to_owned();
    }

    /// The buyer's reservations, all that were made so far.
    fn list(&self) -> Answer {
        let begun = Instant::now();
        let request = Request::new("GET", "/v1/me/reservations").token(&self.buyer.token);
        let answer = self.server.send(request.header("Onsale-After", &self.after));
        assert!(begun.elapsed() < ANSWERS_WITHIN, "the list took {:?}", begun.elapsed());
        match answer.status {
            200 => assert_eq!(answer.json()["items"].as_array().unwrap().len(), self.held),
            status => assert!(status == 503 && answer.header("retry-after").is_some(), "{answer:?}"),
        }
        answer
    }

    fn caught_up(&self) {
        until("caught up", || self.list().status == 200);
    }

    fn models(&self) -> Value {
        let looked = self.server.get("/readyz?verbose", "").expect(200).json();
        let outputs = looked["outputs"].as_array().unwrap();
        outputs.iter().find(|output| output["name"] == "read_models").unwrap().clone()
    }

    /// Stops, and the tables equal the log.
    fn close(self, data: &Path, home: &Home) {
        self.server.stop();
        let mut command = Command::new(env!("CARGO_BIN_EXE_onsale"));
        let verified = command.arg("verify").arg(data).arg("--read-models").args(home.flags()).output().unwrap();
        let said = String::from_utf8_lossy(&verified.stderr).into_owned();
        assert!(verified.status.success() && said.contains("equal the log"), "{said}");
    }
}

/// A PostgreSQL behind something, and the flags of a server that reaches it so.
fn behind_a_proxy(home: &Home) -> (Proxy, Vec<String>) {
    let config = tokio_postgres::Config::from_str(&URL).unwrap();
    let tokio_postgres::config::Host::Tcp(host) = &config.get_hosts()[0] else { panic!("{} is no TCP address", *URL) };
    let upstream = format!("{host}:{}", config.get_ports()[0]);
    let proxy = Proxy::new(&service("toxiproxy", "ONSALE_TEST_TOXIPROXY"), None, &upstream);
    let password = config.get_password().map(|password| format!(":{}", String::from_utf8_lossy(password)));
    let (user, password) = (config.get_user().unwrap(), password.unwrap_or_default());
    let url = format!("postgres://{user}{password}@{}/{}", proxy.address, config.get_dbname().unwrap());
    let mut flags = home.flags();
    flags[1] = url;
    (proxy, flags)
}

#[test]
fn postgres_slow_flapping_or_silent_holds_up_nobody_who_buys() {
    let home = Home::postgres();
    let (proxy, flags) = behind_a_proxy(&home);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut house = House::open(&data, &flags);
    house.hold();
    house.caught_up();
    // Slow: each answer a tenth of a second later, and there are many to a question.
    proxy.poison("latency", "downstream", json!({"latency": 100}));
    for _ in 0..2 {
        house.hold();
        house.list();
    }
    house.caught_up();
    proxy.heal("latency");
    // Flapping: cut off again and again, also in the middle of what it says.
    for bytes in [50, 400] {
        proxy.poison("limit_data", "downstream", json!({"bytes": bytes}));
        house.hold();
        house.list();
        proxy.heal("limit_data");
        proxy.poison("reset_peer", "downstream", json!({"timeout": 0}));
        house.hold();
        house.list();
        proxy.heal("reset_peer");
    }
    house.caught_up();
    // Silent: connections stay, and nothing comes through. The list waits for its question, not for ever.
    proxy.poison("timeout", "downstream", json!({"timeout": 0}));
    house.hold();
    house.list().expect_problem(503, "read-models-behind");
    let begun = Instant::now();
    house.server.get("/v1/performances", "").expect_problem(503, "read-models-unavailable");
    assert!(begun.elapsed() < ANSWERS_WITHIN, "the schedule took {:?}", begun.elapsed());
    proxy.heal("timeout");
    house.caught_up();
    house.close(&data, &home);
}

/// As PostgreSQL says it when its disk is full: nothing is parked, nothing is lost.
#[test]
fn a_full_postgres_is_waited_for() {
    let home = Home::postgres();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut house = House::open(&data, &home.flags());
    house.hold();
    house.caught_up();
    let mut store = home.open();
    let build = checkpoints::read(&mut *store).unwrap().live("reservations").unwrap().number;
    let full = format!(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
            RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$; \
        CREATE TRIGGER full_disk BEFORE INSERT ON reservations__{build} EXECUTE FUNCTION full_disk()"
    );
    store.run(&full).unwrap();
    house.hold();
    until("told", || house.models()["trouble"].as_str().is_some_and(|told| told.contains("No space left on device")));
    house.list().expect_problem(503, "read-models-behind");
    house.hold();
    store.run(&format!("DROP TRIGGER full_disk ON reservations__{build}")).unwrap();
    house.caught_up();
    assert!(checkpoints::parked(&mut *store).unwrap().is_empty());
    drop(store);
    house.close(&data, &home);
}

#[test]
fn a_full_disk_of_sqlite_is_waited_for() {
    let Some(disk) = Tmpfs::new(16) else { return };
    let home = Home::at(Place::Sqlite(disk.path().join("read.sqlite")));
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut house = House::open(&data, &home.flags());
    house.hold();
    house.caught_up();
    disk.fill();
    // Until not even what was set aside before is enough.
    until("full", || {
        house.server.user(&Uuid::new_v4().simple().to_string());
        house.models()["status"] == "failing"
    });
    let told = house.models()["trouble"].to_string();
    assert!(told.contains("full") || told.contains("disk"), "{told}");
    house.hold();
    house.list().expect_problem(503, "read-models-behind");
    std::fs::remove_file(disk.path().join("filler")).unwrap();
    house.caught_up();
    assert!(checkpoints::parked(&mut *home.open()).unwrap().is_empty());
    house.close(&data, &home);
}

/// Somebody drops a table, and the whole of them, under a server that runs: they are made anew, and until then lists say so.
#[test]
fn tables_dropped_by_hand_under_a_running_server_come_back() {
    for home in Home::both() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let mut house = House::open(&data, &home.flags());
        house.hold();
        house.caught_up();
        let mut store = home.open();
        let build = checkpoints::read(&mut *store).unwrap().live("reservations").unwrap().number;
        let drop_it = match &home.place {
            Place::Sqlite(_) => format!("DROP VIEW reservations; DROP TABLE reservations__{build}"),
            Place::Postgres(_) => format!("DROP TABLE reservations__{build} CASCADE"),
        };
        store.run(&drop_it).unwrap();
        house.list().expect_problem(503, "read-models-unavailable");
        house.hold();
        house.caught_up();
        drop(store);
        match &home.place {
            Place::Sqlite(path) => {
                std::fs::remove_file(path).unwrap();
                // It is noticed within seconds; until then tables that nobody sees any more are kept up to date.
                until("made anew", || path.exists());
            }
            Place::Postgres(postgres) => {
                home.open().run(&format!("DROP SCHEMA {} CASCADE; CREATE SCHEMA {0}", postgres.schema)).unwrap();
            }
        }
        house.hold();
        house.caught_up();
        house.close(&data, &home);
    }
}

/// A projector of its own whose broker is slow, cut off again and again, silent and away.
#[test]
fn kafka_slow_flapping_or_away_leaves_the_same_rows() {
    let (log, home) = (simulated(1_000), Home::sqlite());
    let prefix = format!("read-{}", Uuid::new_v4().simple());
    let [broker, behind, listen] =
        ["", "_BEHIND", "_PROXY"].map(|of| service("kafka", &format!("ONSALE_TEST_KAFKA{of}")));
    let proxy = Proxy::new(&service("toxiproxy", "ONSALE_TEST_TOXIPROXY"), Some(&listen), &behind);
    let direct = Settings::plain(&broker, &prefix, 3);
    publish(&log, &direct);
    let through = Settings::plain(&listen, &prefix, 3);
    let progress = Arc::new(Progress::default());
    let projector = Projector {
        place: home.place.clone(),
        source: Box::new(FromKafka::open(through, None, Some("outages".into())).unwrap()),
        projections: built_in(),
        progress: progress.clone(),
        standby: false,
    };
    let running = readmodels::live::start(projector).unwrap();
    let more = || {
        for _ in 0..20 {
            one_more_concert(&log);
        }
        publish(&log, &direct);
    };
    let caught_up = || until("caught up", || progress.position() == log.durable());
    caught_up();
    for (kind, attributes) in [("latency", json!({"latency": 300})), ("bandwidth", json!({"rate": 20}))] {
        proxy.poison(kind, "downstream", attributes);
        more();
        caught_up();
        proxy.heal(kind);
    }
    for (kind, attributes) in [
        ("limit_data", json!({"bytes": 2_000})),
        ("reset_peer", json!({"timeout": 0})),
        ("timeout", json!({"timeout": 0})),
    ] {
        proxy.poison(kind, "downstream", attributes);
        more();
        proxy.heal(kind);
        caught_up();
    }
    proxy.enable(false);
    more();
    until("told", || !progress.trouble().is_empty());
    assert!(progress.position() < log.durable());
    proxy.enable(true);
    caught_up();
    until("well again", || progress.trouble().is_empty());
    running.stop();
    let from_log = Home::sqlite();
    anew(&from_log, &log);
    assert_same(&rows(&from_log), &rows(&home), "the log, Kafka in trouble");
    let noted = home.open().query("SELECT position FROM onsale_read_model", &[]).unwrap();
    assert_eq!(int(&noted[0], 0), log.durable().0);
}
