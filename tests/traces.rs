//! Traces, as a collector of others receives them: the spans of a request, whose they are, when there are none, and that a
//! collector that is away, slow or wrong changes nothing for who buys. Needs `scripts/services up collector kafka`.

mod common;
#[allow(dead_code, reason = "these tests use a part of it")]
mod kafka;

use base::id::Category;
use common::{OPERATOR_KEY, PATIENCE, Request, Server, User, read_answer};
use kafka::{Topics, shared};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const STATE: &str = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE";
const COLLECTOR_TOKEN: &str = "the-token-of-the-collector";
/// OTLP's numbers of kinds of spans, and of a status.
const SERVER: u64 = 2;
const CLIENT: u64 = 3;
const ERROR: u64 = 2;
/// Longer than any trace waits to be sent.
const SENT_WITHIN: Duration = Duration::from_secs(3);

fn traceparent(sampled: bool) -> String {
    format!("00-{TRACE_ID}-{PARENT}-0{}", u8::from(sampled))
}

/// Python's, with OpenTelemetry's own protobufs: told by the environment, otherwise it is fetched.
fn python() -> String {
    if let Ok(python) = std::env::var("ONSALE_TEST_COLLECTOR") {
        return python;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/services");
    let ran = Command::new(script).args(["up", "collector"]).output().expect("scripts/services runs");
    let printed = String::from_utf8_lossy(&ran.stdout).into_owned();
    let python = printed.split_ascii_whitespace().find_map(|word| word.strip_prefix("ONSALE_TEST_COLLECTOR="));
    python.unwrap_or_else(|| panic!("{printed}{}", String::from_utf8_lossy(&ran.stderr))).to_owned()
}

/// What receives, and what it has received.
struct Collector {
    child: Child,
    grpc: String,
    http: String,
    lines: mpsc::Receiver<Value>,
    spans: Vec<Value>,
    /// How often one was asked that takes nothing.
    asked: usize,
}

impl Collector {
    fn start(mode: &str) -> Collector {
        Collector::start_at("http", &[mode.into()])
    }

    /// With a certificate for this machine, by an authority that is in `ca.pem`.
    fn start_with_tls(folder: &Path) -> Collector {
        use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "the tests' authority");
        let key = KeyPair::generate().unwrap();
        std::fs::write(folder.join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        let (issuer, key) = (Issuer::new(params, key), KeyPair::generate().unwrap());
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let files = ["server.pem", "server.key"].map(|name| folder.join(name));
        std::fs::write(&files[0], params.signed_by(&key, &issuer).unwrap().pem()).unwrap();
        std::fs::write(&files[1], key.serialize_pem()).unwrap();
        let [certificate, key] = files.map(PathBuf::into_os_string);
        Collector::start_at("https", &["ok".into(), certificate, key])
    }

    fn start_at(scheme: &str, arguments: &[OsString]) -> Collector {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces/collector.py");
        let mut command = Command::new(python());
        let mut child = command.arg(script).args(arguments).stdout(Stdio::piped()).spawn().expect("python runs");
        let output = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let read = output.lines().map_while(Result::ok).map(|line| serde_json::from_str(&line).unwrap());
            read.map(|line: Value| send.send(line)).take_while(Result::is_ok).for_each(drop);
        });
        let ports = lines.recv_timeout(PATIENCE).expect("the collector listens");
        let url = |of: &str| format!("{scheme}://127.0.0.1:{}", ports[of]);
        Collector { child, grpc: url("grpc"), http: url("http"), lines, spans: Vec::new(), asked: 0 }
    }

    fn receive(&mut self, within: Duration) -> bool {
        let Ok(line) = self.lines.recv_timeout(within) else { return false };
        match line.get("asked") {
            Some(_) => self.asked += 1,
            None => self.spans.push(line),
        }
        true
    }

    /// All spans of the first trace with a span that fits. A trace arrives whole.
    #[track_caller]
    fn trace_with(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
        let until = Instant::now() + PATIENCE;
        while !self.spans.iter().any(&fits) {
            let left = until.saturating_duration_since(Instant::now());
            assert!(self.receive(left), "{what} is not among {:?}", names(&self.spans));
        }
        while self.receive(Duration::from_millis(300)) {}
        let found = self.spans.iter().find(|span| fits(span)).unwrap()["trace_id"].clone();
        self.spans.iter().filter(|span| span["trace_id"] == found).cloned().collect()
    }

    /// Whatever came, and comes as long as something may be on its way.
    fn rest(&mut self) -> &[Value] {
        let until = Instant::now() + SENT_WITHIN;
        while self.receive(until.saturating_duration_since(Instant::now())) {}
        &self.spans
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn names(spans: &[Value]) -> BTreeSet<&str> {
    spans.iter().map(|span| span["name"].as_str().unwrap()).collect()
}

#[track_caller]
fn one<'a>(spans: &'a [Value], name: &str) -> &'a Value {
    let found: Vec<&Value> = spans.iter().filter(|span| span["name"] == name).collect();
    assert_eq!(found.len(), 1, "{name} among {:?}", names(spans));
    found[0]
}

fn time(span: &Value, end: &str) -> u64 {
    span[end].as_u64().unwrap()
}

/// `child` is of `parent`, and within its time.
#[track_caller]
fn assert_within(child: &Value, parent: &Value) {
    assert_eq!(child["parent"], parent["span_id"], "{child}");
    assert!(time(parent, "start") <= time(child, "start"), "{child} begins before {parent}");
    assert!(time(child, "start") <= time(child, "end"), "{child}");
    assert!(time(child, "end") <= time(parent, "end"), "{child} ends after {parent}");
}

/// The root is the request, and the command has everything that happens to one that is recorded, in order.
#[track_caller]
fn assert_tree(spans: &[Value], route: &str, command: &str, status: u64) {
    let root = one(spans, route);
    let (method, path) = route.split_once(' ').unwrap();
    assert_eq!(root["kind"], SERVER);
    assert_eq!(
        root["attributes"],
        json!({
            "http.request.method": method, "http.route": path, "http.response.status_code": status, "url.scheme": "http",
            "onsale.sampled_by": root["attributes"]["onsale.sampled_by"],
        })
    );
    let own = one(spans, command);
    assert_within(own, root);
    assert_eq!(
        own["attributes"],
        json!({"onsale.command": command, "onsale.steps": if command == "Pay" { 3 } else { 1 }})
    );
    let mut at = time(own, "start");
    for name in ["mailbox", "decide", "log queue", "log write", "answer"] {
        let parts: Vec<&Value> =
            spans.iter().filter(|span| span["name"] == name && span["parent"] == own["span_id"]).collect();
        let [part] = parts[..] else { panic!("{name} of {command} among {:?}", names(spans)) };
        assert_within(part, own);
        assert_eq!(time(part, "start"), at, "{name} follows at once");
        at = time(part, "end");
    }
    assert_eq!(at, time(own, "end"), "{command} ends with its answer");
    let (ids, writes) = (spans.iter().map(|span| span["span_id"].to_string()).collect::<BTreeSet<_>>(), "log write");
    assert_eq!(ids.len(), spans.len(), "every span has its own id");
    let write = spans.iter().find(|span| span["name"] == writes && span["parent"] == own["span_id"]).unwrap();
    assert!(time(write, "end") > time(write, "start"), "a disk takes its time");
}

struct Stage {
    user: User,
    performance: String,
}

const HOLDS: &str = "POST /v1/performances/{id}/reservations";
const PAYMENTS: &str = "POST /v1/reservations/{id}/payment";
const CHARGES: &str = "POST /v1/wallet/charges";

fn stage(server: &Server) -> Stage {
    let organizer = server.organizer();
    let performance = server.performance(&organizer, json!({}));
    let user = server.user("somebody.with.a.name");
    server.charge(&user, 1_000);
    Stage { user, performance }
}

fn hold(server: &Server, stage: &Stage, seat: &str, headers: &[(&str, &str)]) -> u16 {
    let path = format!("/v1/performances/{}/reservations", stage.performance);
    let request = Request::new("POST", &path).token(&stage.user.token).json(json!({"seats": [seat]}));
    server.send(headers.iter().fold(request, |request, (name, value)| request.header(name, value))).status
}

/// A server that traces.
fn start(data: &Path, endpoint: &str, more: &[&str]) -> Server {
    let mut command = common::command(data, &["--traces-endpoint", endpoint]);
    command.args(more).env("OTEL_EXPORTER_OTLP_HEADERS", format!("x-token={COLLECTOR_TOKEN}"));
    Server::spawn(command, data)
}

/// A figure, by its whole name with labels.
fn figure(server: &Server, name: &str) -> u64 {
    let text = String::from_utf8(server.get("/metrics", OPERATOR_KEY).expect(200).body).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0, |value| value.parse().unwrap())
}

fn buys(protocol: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut collector = Collector::start("ok");
    let endpoint = if protocol == "grpc" { collector.grpc.clone() } else { collector.http.clone() };
    let flags = ["--traces-protocol", protocol, "--traces-sample-ratio", "1", "--traces-service-name", "tickets"];
    let server = start(&folder.path().join("data"), &endpoint, &[&flags[..], &["--shards", "4"]].concat());
    let stage = stage(&server);
    assert_eq!(hold(&server, &stage, "A-1-1", &[("X-Secret", "nobody-reads-this")]), 201);
    // Steps on the performance, the wallet and the performance again, mostly of different shards.
    let held = server.hold(&stage.performance, &stage.user, json!({"seats": ["A-1-2"]})).expect(201);
    let path = format!("/v1/reservations/{}/payment", held.text("/reservation_id"));
    server.send(Request::new("POST", &path).token(&stage.user.token)).expect(200);
    let list = server.get("/v1/me/reservations?limit=17", &stage.user.token);
    assert_eq!(list.status, 200);
    assert_eq!(server.get(&format!("/no/such/path/{}", stage.user.id), &stage.user.token).status, 404);

    let lost =
        collector.trace_with("a path that is none", |span| span["attributes"]["http.response.status_code"] == 404);
    assert_eq!((lost[0]["name"].as_str(), lost.len()), (Some("GET"), 1));
    assert!(lost[0]["attributes"].get("http.route").is_none() && lost[0]["status"] != ERROR);
    let held = collector.trace_with("a hold", |span| span["name"] == HOLDS);
    assert_tree(&held, HOLDS, "Hold", 201);
    let charged = collector.trace_with("a charge", |span| span["name"] == CHARGES);
    assert_tree(&charged, CHARGES, "Charge", 201);
    let paid = collector.trace_with("a payment", |span| span["name"] == PAYMENTS);
    assert_tree(&paid, PAYMENTS, "Pay", 200);
    let read = collector.trace_with("a list", |span| span["name"] == "SELECT reservations");
    let (query, root) = (one(&read, "SELECT reservations"), one(&read, "GET /v1/me/reservations"));
    assert_within(query, root);
    let database = json!({
        "db.system.name": "sqlite", "db.operation.name": "SELECT", "db.collection.name": "reservations",
    });
    assert_eq!((&query["kind"], &query["attributes"]), (&json!(CLIENT), &database));

    let secrets = [
        &stage.user.token,
        &stage.user.id,
        &stage.performance,
        OPERATOR_KEY,
        COLLECTOR_TOKEN,
        "somebody.with.a.name",
        "correct horse",
        "nobody-reads-this",
        "A-1-1",
        "limit=17",
    ];
    let mut instances = BTreeSet::new();
    for span in collector.rest() {
        assert_eq!((&span["protocol"], &span["token"]), (&json!(protocol), &json!(COLLECTOR_TOKEN)));
        assert_eq!(span["resource"]["service.name"], "tickets");
        assert_eq!(span["resource"]["service.version"], env!("CARGO_PKG_VERSION"));
        instances.insert(span["resource"]["service.instance.id"].to_string());
        let all = format!("{}{}", span["all"], span["resource"]);
        let told: Vec<_> = secrets.iter().filter(|secret| all.contains(**secret)).collect();
        assert!(told.is_empty(), "{told:?} in {all}");
    }
    assert_eq!(instances.len(), 1);
    server.stop();
}

#[test]
fn a_sale_is_seen_over_grpc() {
    buys("grpc");
}

#[test]
fn a_sale_is_seen_over_http() {
    buys("http");
}

/// Its certificate is by an authority that the machine does not know, and the setting names.
#[test]
fn a_collector_with_tls_is_spoken_to() {
    let folder = tempfile::tempdir().unwrap();
    let mut collector = Collector::start_with_tls(folder.path());
    let ca = folder.path().join("ca.pem");
    for (protocol, endpoint) in [("grpc", collector.grpc.clone()), ("http", collector.http.clone())] {
        let flags = ["--traces-protocol", protocol, "--traces-sample-ratio", "1"];
        let trusted = [&flags[..], &["--traces-ca", ca.to_str().unwrap()]].concat();
        let server = start(&folder.path().join(protocol), &endpoint, &trusted);
        server.get("/livez", "").expect(200);
        collector.trace_with("a look", |span| span["protocol"] == protocol && span["name"] == "GET /livez");
        server.stop();

        let server = start(&folder.path().join(format!("{protocol}-unknown")), &endpoint, &flags);
        let until = Instant::now() + PATIENCE;
        while figure(&server, "onsale_traces_dropped_total{reason=\"refused\"}") == 0 {
            assert!(Instant::now() < until, "{protocol}: nothing is refused");
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(figure(&server, "onsale_traces_sent_total"), 0);
        server.stop();
    }
}

/// A caller decides for its own trace, and others' words go along.
#[test]
fn a_callers_trace_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut collector = Collector::start("ok");
    let server = start(&folder.path().join("data"), &collector.grpc, &["--traces-sample-ratio", "0"]);
    let stage = stage(&server);
    let given = traceparent(true);
    assert_eq!(hold(&server, &stage, "A-1-1", &[("traceparent", &given), ("tracestate", STATE)]), 201);
    let spans = collector.trace_with("a hold", |span| span["name"] == HOLDS);
    assert_tree(&spans, HOLDS, "Hold", 201);
    let root = one(&spans, HOLDS);
    assert_eq!((&root["trace_id"], &root["parent"]), (&json!(TRACE_ID), &json!(PARENT)));
    assert_eq!(root["attributes"]["onsale.sampled_by"], "caller");
    assert!(spans.iter().all(|span| span["state"] == STATE));
    // The parent is somebody else's: bits 8 and 9 of the flags.
    assert_eq!(root["flags"].as_u64().unwrap() & 0x300, 0x300);
    assert_eq!(one(&spans, "Hold")["flags"].as_u64().unwrap() & 0x300, 0x100);

    // Not recorded by its caller; or not said as it has to be: then it is a request like any other.
    let unsampled = traceparent(false);
    let broken = given.to_uppercase();
    for (seat, headers) in [
        ("A-1-2", vec![("traceparent", unsampled.as_str())]),
        ("A-1-3", vec![("traceparent", broken.as_str()), ("tracestate", STATE)]),
        ("A-1-4", vec![("traceparent", given.as_str()), ("traceparent", given.as_str())]),
    ] {
        let user = server.user(seat);
        let stage = Stage { user, performance: stage.performance.clone() };
        assert_eq!(hold(&server, &stage, seat, &headers), 201);
    }
    let seen = spans.len();
    assert_eq!(collector.rest().len(), seen, "{:?}", names(&collector.spans));
    server.stop();
}

#[test]
fn callers_cannot_ask_for_more_than_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let mut collector = Collector::start("ok");
    let flags = ["--traces-sample-ratio", "0", "--traces-requests-per-s-max", "3"];
    let server =
        start(&folder.path().join("data"), &collector.http, &[&flags[..], &["--traces-protocol", "http"]].concat());
    let began = Instant::now();
    for _ in 0..100 {
        server.send(Request::new("GET", "/livez").header("traceparent", &traceparent(true))).expect(200);
    }
    let seconds = began.elapsed().as_secs() as usize + 2;
    let seen = collector.rest().len();
    assert!((1..=3 * seconds).contains(&seen), "{seen} in {seconds} s");
    assert_eq!(figure(&server, "onsale_traces_dropped_total{reason=\"limit\"}"), 100 - seen as u64);
    assert_eq!(figure(&server, "onsale_traces_sent_total"), seen as u64);
    server.stop();
}

/// At ratio 0 nothing is sent but what was slow or failed, and the log says which trace that is.
#[test]
fn what_is_slow_or_failed_is_always_seen() {
    let folder = tempfile::tempdir().unwrap();
    let mut collector = Collector::start("ok");
    let flags = ["--traces-sample-ratio", "0", "--traces-slow-ms", "1200", "--read-models", "off"];
    let server = start(&folder.path().join("data"), &collector.grpc, &flags);
    let stage = stage(&server);
    assert_eq!(hold(&server, &stage, "A-1-1", &[]), 201);
    assert_eq!(hold(&server, &stage, "A-9-9", &[]), 400);
    assert_eq!(collector.rest().len(), 0, "{:?}", names(&collector.spans));

    server.get("/v1/me/reservations", &stage.user.token).expect_problem(503, "read-models-unavailable");
    let failed = collector.trace_with("a failure", |span| span["attributes"]["error.type"] == "503");
    let root = &failed[0];
    assert_eq!((&root["status"], &root["attributes"]["onsale.sampled_by"]), (&json!(ERROR), &json!("failed")));
    let line = |of: &Value| {
        let (errors, trace_id) = (server.errors(), of["trace_id"].as_str().unwrap().to_owned());
        let line = errors.lines().find(|line| line.contains(&trace_id)).map(serde_json::from_str::<Value>);
        line.unwrap_or_else(|| panic!("{trace_id} is not in\n{errors}")).unwrap()
    };
    let logged = line(root);
    assert_eq!((&logged["status"], &logged["span_id"]), (&json!(503), &root["span_id"]));

    // A body that takes its time.
    let path = format!("/v1/performances/{}/reservations", stage.performance);
    let request = Request::new("POST", &path).token(&stage.user.token).json(json!({"seats": ["A-1-5"]})).bytes("close");
    let mut stream = server.connect();
    stream.write_all(&request[..request.len() - 4]).unwrap();
    std::thread::sleep(Duration::from_millis(1_500));
    stream.write_all(&request[request.len() - 4..]).unwrap();
    read_answer(&mut BufReader::new(stream), "POST").expect(201);
    let slow = collector.trace_with("a slow hold", |span| span["name"] == HOLDS);
    assert_tree(&slow, HOLDS, "Hold", 201);
    assert_eq!(one(&slow, HOLDS)["attributes"]["onsale.sampled_by"], "slow");
    assert_eq!(line(one(&slow, HOLDS))["message"], "slow request");
    server.stop();
}

/// Without a collector, a line of the log still says which trace its caller is in.
#[test]
fn where_nothing_is_traced_logs_tell_the_callers_trace() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &["--read-models", "off"]);
    let user = server.user("ada");
    let request =
        Request::new("GET", "/v1/me/reservations").token(&user.token).header("traceparent", &traceparent(false));
    server.send(request).expect(503);
    let errors = server.errors();
    assert!(errors.contains(&format!("\"trace_id\":\"{TRACE_ID}\",\"span_id\":\"{PARENT}\"")), "{errors}");
    server.stop();
}

/// Away, wrong, or silent: whoever buys notices nothing, what is not sent is counted, and the log says it once.
#[test]
fn a_collector_that_takes_nothing_stops_nobody() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (mode, protocol) in
        [("away", "grpc"), ("away", "http"), ("refuse", "grpc"), ("refuse", "http"), ("stall", "grpc")]
    {
        let folder = tempfile::tempdir().unwrap();
        let collector = (mode != "away").then(|| Collector::start(mode));
        let endpoint = match &collector {
            None => format!("http://{free}"),
            Some(collector) if protocol == "grpc" => collector.grpc.clone(),
            Some(collector) => collector.http.clone(),
        };
        let flags = ["--traces-protocol", protocol, "--traces-sample-ratio", "1"];
        let server = start(&folder.path().join("data"), &endpoint, &flags);
        let stage = stage(&server);
        assert_eq!(hold(&server, &stage, "A-1-1", &[]), 201, "{mode} {protocol}");
        let dropped = |reason: &str| figure(&server, &format!("onsale_traces_dropped_total{{reason=\"{reason}\"}}"));
        if mode == "stall" {
            // More than the queue holds and one batch takes.
            let mut stream = BufReader::new(server.connect());
            let request = Request::new("GET", "/livez").bytes("keep-alive");
            for _ in 0..3_000 {
                stream.get_mut().write_all(&request).unwrap();
                read_answer(&mut stream, "GET").expect(200);
            }
            assert!(dropped("queue_full") > 500, "{} were dropped", dropped("queue_full"));
        }
        let until = Instant::now() + PATIENCE;
        // More than one batch.
        let mut counted = BTreeSet::from([0]);
        while counted.len() < 3 {
            assert!(Instant::now() < until, "{mode} {protocol}: {counted:?} were counted");
            counted.insert(dropped("refused"));
            server.get("/livez", "").expect(200);
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(figure(&server, "onsale_traces_sent_total"), 0);
        assert_eq!(server.errors().matches("takes no traces").count(), 1, "{mode} {protocol}:\n{}", server.errors());
        assert!(!server.errors().contains(COLLECTOR_TOKEN));
        let began = Instant::now();
        server.stop();
        assert!(began.elapsed() < Duration::from_secs(9), "{mode} {protocol}: a stop takes {:?}", began.elapsed());
    }
}

/// What Kafka has of a command leads to its trace; other records are as they were.
#[test]
fn records_lead_to_the_trace_of_their_command() {
    let folder = tempfile::tempdir().unwrap();
    let mut collector = Collector::start("ok");
    let topics = Topics::new(&shared());
    let flags = [&topics.flags()[..], &["--traces-sample-ratio", "0"]].concat();
    let server = start(&folder.path().join("data"), &collector.grpc, &flags);
    let stage = stage(&server);
    let given = traceparent(true);
    assert_eq!(hold(&server, &stage, "A-1-1", &[("traceparent", &given), ("tracestate", STATE)]), 201);
    let spans = collector.trace_with("a hold", |span| span["name"] == HOLDS);
    let until = Instant::now() + PATIENCE;
    loop {
        let ready = server.get("/readyz?verbose", "").json();
        let outputs = ready["outputs"].as_array().unwrap();
        let kafka = outputs.iter().find(|output| output["name"] == "kafka").unwrap();
        if kafka["lag_events"] == 0 {
            break;
        }
        assert!(Instant::now() < until, "{ready}");
        std::thread::sleep(Duration::from_millis(20));
    }
    server.stop();
    let found = topics.consume();
    let expected = format!("00-{TRACE_ID}-{}-01", one(&spans, HOLDS)["span_id"].as_str().unwrap());
    let mut held = 0;
    for record in &found {
        let (traced, own) =
            (record.header("ce_type") == "SeatsHeld.v1", record.topic == topics.name(Category::Performance));
        let wanted = if traced { [expected.as_str(), STATE] } else { ["", ""] };
        assert!(!traced || own);
        for prefix in ["ce_", ""] {
            let name = |of: &str| record.header(&format!("{prefix}{of}")).to_owned();
            assert_eq!([name("traceparent"), name("tracestate")], wanted, "{record:?}");
        }
        held += usize::from(traced);
    }
    assert_eq!(held, 1, "{} records", found.len());
}
