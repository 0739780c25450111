//! What can be set, and every bound of every queue, cache and body in one place.
//!
//! **To add a setting**, add it to `settings!` below: doc comment, field, type, and what differs from [`Setting::PLAIN`]. The
//! rest follows: field of [`Serve`], key of the file (`session_ttl_s` in table `session` is `session.ttl_s`), variable
//! (`ONSALE_SESSION_TTL_S`), flag (`--session-ttl-s`), range check, help, `onsale config`, and the example file
//! (`UPDATE_CONTRACTS=1 cargo test --test config`). Names are unique over all tables and end in their unit.
//! With `reload: true` a running server takes a new value on SIGHUP: read it where it counts, through
//! `api.live.load().FIELD` ([`Live`]: one atomic load), and keep no copy. `api.config` is what was said at the start.
//! A new type implements [`value::Value`], an item of a list [`value::Text`].
//! Rules that join several settings are in `load.rs`.
// What settings are for is said in the same words here, in --help and in the example file, where a URL needs no brackets.
#![allow(rustdoc::bare_urls)]

#[macro_use]
mod setting;
mod file;
mod flags;
mod given;
mod kafka;
mod live;
mod load;
mod reload;
mod show;
pub mod value;

pub use flags::Flags;
pub use given::{Given, Source};
pub use kafka::{Broker, KafkaSetting, SaslMechanism, TopicPrefix};
pub use live::Live;
pub use load::{Invalid, Loaded, load};
pub use reload::Reload;
pub use setting::{Preset, Setting, VARIABLE_PREFIX};
pub use show::example;
pub use value::{
    CollectorUrl, Filter, Fraction, Listen, LogFormat, Network, Origin, PublicUrl, ReadModels, TracesProtocol,
};

use anyhow::Context;
use eventlog::store::JOURNAL_BYTES_MIN;
use setting::Preset::{Bool, Empty, Nothing, Number, Text};
use std::path::PathBuf;
use std::time::Duration;
use value::Value;

/// Names the file, where `--config` does not.
pub const CONFIG_VARIABLE: &str = "ONSALE_CONFIG";
/// Variables that start like settings and are none: of the tools, and (with a star: all that start so) of the tests.
pub const FOREIGN_VARIABLES: [&str; 6] =
    [CONFIG_VARIABLE, "ONSALE_COMMIT", "ONSALE_SERVER", "ONSALE_KEY", "ONSALE_TEST_*", "ONSALE_KILLS"];

/// Exit code when the command line makes no sense; clap's own.
pub const EXIT_USAGE: u8 = 2;
/// Exit code when the file or the environment sets what cannot be: sysexits' EX_CONFIG.
pub const EXIT_CONFIG: u8 = 78;

/// Bytes of a request's body; larger ones get 413. domain.md: 1 MiB.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Bytes of the body that creates a performance, which carries the chart. domain.md: 8 MiB.
pub const CHART_BODY_BYTES_MAX: usize = 8 << 20;
/// Bytes of a body that is too large are read and forgotten up to here, so that its sender sees the 413.
pub const BODY_DISCARDED_BYTES_MAX: usize = 32 << 20;
/// How long a request's whole body may take, ms; then 408.
pub const BODY_TIMEOUT_MS: u64 = 10_000;
/// How long a request's head may take, ms; then 408.
pub const HEAD_TIMEOUT_MS: u64 = 10_000;
/// How long an idle connection is kept, ms.
pub const KEEP_ALIVE_MS: u64 = 75_000;
/// A connection with a stream is never taken for a quiet one before: streams send something every 15 s.
pub const QUIET_STREAM_MIN: Duration = Duration::from_secs(60);
/// How long the other side may take nothing of what is sent to it; then the connection is ended.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes that the kernel keeps for a connection before it sends them.
pub const UNSENT_BYTES_MAX: u32 = 128 << 10;
/// How long requests in progress may take to finish after SIGTERM, s. With the flush of the log it stays below 10 s.
pub const DRAIN_S: u64 = 7;
/// Threads that read from SQLite.
pub const SQLITE_READERS: usize = 4;
/// Points that one user may be charged within 24 h.
pub const CHARGE_POINTS_PER_DAY_MAX: u64 = 100_000_000;
/// Polls a second of all who wait in a queue together, if they ask when they are told to.
pub const POLLS_PER_S_MAX: u32 = 20_000;
/// Life of a user's token, s. domain.md: 1 h.
pub const SESSION_TTL_S: u64 = 3600;
/// Items of a list's page: what one gets without saying, and at most. domain.md: 50, 500.
pub const PAGE_ITEMS: usize = 50;
pub const PAGE_ITEMS_MAX: usize = 500;
/// Requests that wait for their password to be hashed or compared; more get 503. At 50 ms each that is a few seconds' wait.
pub const PASSWORDS_WAITING_MAX: usize = 128;
/// Characters of a token of an identity provider.
pub const IDENTITY_TOKEN_CHARS_MAX: usize = 16 << 10;
/// A token of an identity provider is taken for so long at most, whatever it says itself, ms. So long, too, it is
/// remembered that an account's sessions were ended.
pub const IDENTITY_TOKEN_LIFE_MS: u64 = 24 * 3600 * 1000;
/// Tokens of identity providers that were found right and are not checked again.
pub const IDENTITIES_VERIFIED_MAX: usize = 10_000;
/// Identity providers whose keys are in memory: fetched ones, by URL; and given ones.
pub const JWKS_SOURCES_MAX: usize = 1_000;
/// Identity providers that are asked for their keys at a time.
pub const JWKS_FETCHES_MAX: usize = 16;
/// How long fetching an identity provider's keys may take.
pub const JWKS_FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// How long fetched keys are fresh: when the provider does not say, at least, and at most.
pub const JWKS_FRESH: Duration = Duration::from_secs(300);
pub const JWKS_FRESH_MIN: Duration = Duration::from_secs(60);
pub const JWKS_FRESH_MAX: Duration = Duration::from_secs(24 * 3600);
/// How long fetched keys are good while the provider is away.
pub const JWKS_KEPT: Duration = Duration::from_secs(24 * 3600);
/// A key that is not known has the provider asked at most this often.
pub const JWKS_UNKNOWN_KID_EVERY: Duration = Duration::from_secs(30);
/// Bytes of each of the log's two journal files: a few seconds of the fastest writing, so that no commit waits for the
/// archive. Unless something is archived it is also in memory, so memory for it is bounded by twice this.
pub const JOURNAL_BYTES: u64 = 64 << 20;
/// Events after which a new snapshot is made: a start then replays no more than about a second's work.
pub const SNAPSHOT_EVENTS: u64 = 500_000;
/// A request that took longer is logged.
pub const SLOW_REQUEST: Duration = Duration::from_secs(1);
/// Characters of an e-mail address. RFC 5321, 4.5.3.1.
pub const EMAIL_CHARS_MAX: usize = 254;
/// Records, and KiB of them, that wait within this process for Kafka's acknowledgement; the rest waits in the log.
pub const KAFKA_QUEUE_RECORDS_MAX: usize = 100_000;
pub const KAFKA_QUEUE_KIB_MAX: usize = 64 << 10;
/// Characters of a password.
pub const PASSWORD_CHARS_MIN: usize = 8;
pub const PASSWORD_CHARS_MAX: usize = 256;

/// Callers whose rate is remembered: 16 bytes each. When more come, those that asked least are forgotten.
pub const LIMITED_CALLERS_MAX: usize = 1 << 18;
/// Pairs of an account and an address from which its password was right that are remembered: 8 bytes each.
pub const FAMILIAR_MAX: usize = 1 << 18;
/// Sign-ins with one e-mail may fail so many times as often as one address may try, from addresses that are new to it.
pub const ACCOUNT_TRIES_FACTOR: u32 = 10;
/// Bodies from this size on are compressed for who accepts it: a smaller one is one packet either way.
pub const COMPRESSED_BODY_BYTES_MIN: u64 = 1024;
/// Bytes of compressed bodies that are kept for the next who asks.
pub const COMPRESSED_CACHE_BYTES_MAX: usize = 32 << 20;
/// Bytes of a path with its query; longer ones get 414.
pub const URI_BYTES_MAX: usize = 8 << 10;
/// Bytes of a request's headers; larger ones get 431. Above 128 KiB or 96 headers that has no body any more.
pub const HEADER_BYTES_MAX: usize = 32 << 10;

settings! {
    server {
        /// Address or host name to listen on, and port; port 0 takes a free one
        listen: Listen { preset: Text("127.0.0.1:8080"), value_name: "HOST:PORT", }
        /// Folder of the log, its snapshots and the installation's secrets; made at the first start
        data: PathBuf { preset: Text("./data"), value_name: "DIR", }
        /// Create something to buy, let users charge their own wallet, and print curl lines that buy a seat
        demo: bool { preset: Bool(false), flag_only: true, }
        /// Threads that speak HTTP
        http_workers: Option<u16> { preset: Nothing("one per core"), range: 1..=1024, value_name: "N", }
        /// Connections at a time; more wait to be accepted
        connections_max: usize { preset: Number(50_000), range: 1..=10_000_000, value_name: "N", }
        /// How long a request's head may take, ms; then 408
        head_timeout_ms: u64 { preset: Number(HEAD_TIMEOUT_MS), range: 1..=600_000, value_name: "MS", rare: true, }
        /// How long a request's whole body may take, ms; then 408
        body_timeout_ms: u64 {
            preset: Number(BODY_TIMEOUT_MS), range: 1..=600_000, value_name: "MS", rare: true, reload: true,
        }
        /// How long a connection is kept on which nothing is asked, ms; longer than a proxy in front keeps its own
        keep_alive_ms: u64 { preset: Number(KEEP_ALIVE_MS), range: 1..=3_600_000, value_name: "MS", rare: true, }
        /// Add GET and POST /noop, which the benchmark compares with
        benchmark_routes: bool { preset: Bool(false), flag_only: true, rare: true, }
    }
    streams {
        /// Streams of events at a time; more get 503
        streams_max: usize { preset: Number(30_000), key: "max", value_name: "N", }
        /// Streams of events of one client address at a time; more get 429. Everyone behind a carrier's NAT has the same address
        streams_per_address_max: usize { preset: Number(1_000), key: "per_address_max", value_name: "N", }
    }
    tls {
        /// PEM file with the server's certificate and the ones between it and its authority, in this order; with it the server
        /// speaks only HTTPS. It is read again on SIGHUP, and when it changes (looked at once a minute)
        tls_certificate: Option<PathBuf> { preset: Nothing("plain HTTP"), value_name: "FILE", reload: true, }
        /// PEM file with the certificate's private key
        tls_key: Option<PathBuf> { preset: Nothing("plain HTTP"), value_name: "FILE", reload: true, }
    }
    proxy {
        /// Addresses of the proxies in front, e.g. 10.0.0.0/8 or ::1. Only what comes from one of them is believed when it says
        /// in Forwarded or X-Forwarded-For whose request it passes on
        proxy_trusted: Vec<Network> { preset: Empty, value_name: "NETWORK", reload: true, }
    }
    operator {
        /// The operator's key; otherwise one is made at the first start, printed once and kept only as a hash. Others on the
        /// machine can read a process's flags: the environment or a file is a better place
        operator_key: Option<String> {
            preset: Nothing("made at the first start"), value_name: "KEY", secret: true, rare: true,
        }
        /// File with the operator's key
        operator_key_file: Option<PathBuf> { value_name: "FILE", }
    }
    wallet {
        /// Let users charge their own wallet (not for a real sale: points are money)
        self_charge: bool { preset: Bool(false), reload: true, }
        /// Points that one user may be charged within 24 h; more get 409 charge-limit
        charge_points_per_day_max: u64 {
            preset: Number(CHARGE_POINTS_PER_DAY_MAX), range: 1..=1 << 53, value_name: "N",
        }
    }
    limit {
        /// Requests a minute with one session token; 0 is no limit. What is over gets 429
        limit_user_per_minute: u32 { preset: Number(600), value_name: "N", reload: true, }
        /// Requests a minute with one organizer's or the operator's key; 0 is no limit
        limit_key_per_minute: u32 { preset: Number(60_000), value_name: "N", reload: true, }
        /// Requests a minute from one address without a credential, or with one that is new here; 0 is no limit. Addresses of
        /// this machine are not limited
        limit_address_per_minute: u32 { preset: Number(6_000), value_name: "N", reload: true, }
        /// Sign-ups and sign-ins a minute from one address; ten times as many sign-ins with one e-mail may fail, from addresses
        /// where its password was not right lately; 0 is no limit
        limit_sign_in_per_minute: u32 { preset: Number(30), value_name: "N", reload: true, }
    }
    cors {
        /// Origins whose web pages may call from a browser, e.g. https://tickets.example.com; * is every origin
        cors_origins: Vec<Origin> { preset: Empty, value_name: "ORIGIN", reload: true, }
    }
    log {
        /// What is logged, e.g. info, or onsale=debug (every request)
        log: Filter {
            preset: Text("info,actix_server=warn"), key: "filter", value_name: "FILTER", reload: true,
        }
        /// How logs are written to stderr; auto is text on a terminal, otherwise JSON
        log_format: LogFormat { preset: Text("auto"), }
    }
    traces {
        /// Send traces of requests to an OpenTelemetry collector, e.g. http://localhost:4317. Over HTTP, a URL without a path gets
        /// /v1/traces. Without it nothing is traced. Headers for the collector, such as its token, come from the variable
        /// OTEL_EXPORTER_OTLP_HEADERS
        traces_endpoint: Option<CollectorUrl> { preset: Nothing("nothing is traced"), value_name: "URL", }
        /// How the collector is spoken to: OTLP over gRPC (usually port 4317) or over HTTP (4318)
        traces_protocol: TracesProtocol { preset: Text("grpc"), }
        /// Part of the requests that are traced whose caller sends no traceparent: 0 is none, 0.01 one in a hundred, 1 all. A
        /// caller that sends one decides for its own requests
        traces_sample_ratio: Fraction { preset: Preset::Fraction("0.01"), value_name: "RATIO", reload: true, }
        /// A request that took longer is traced in any case, ms; so is one that failed with 500 or above
        traces_slow_ms: u64 {
            preset: Number(1_000), range: 1..=3_600_000, value_name: "MS", reload: true,
        }
        /// Requests a second that are traced because their callers ask for it, and as many because they were slow or failed; more
        /// are not traced and are counted
        traces_requests_per_s_max: u32 {
            preset: Number(100), range: 0..=1_000_000, value_name: "N", reload: true,
        }
        /// What this service is called in traces: service.name
        traces_service_name: String { preset: Text("onsale"), value_name: "NAME", rare: true, }
        /// PEM file with the authorities that the collector's certificate is trusted by; otherwise the machine's
        traces_ca: Option<PathBuf> { preset: Nothing("the machine's"), value_name: "FILE", rare: true, }
    }
    read_models {
        /// Who keeps the SQL tables up to date that lists, history, search and reports come from: this process (inside), another
        /// one (outside: onsale project), or nobody (off)
        read_models: ReadModels { preset: Text("inside"), key: "run", }
        /// File of the read models
        sqlite: Option<PathBuf> { preset: Nothing("read.sqlite in the data folder"), value_name: "FILE", }
        /// Keep read models in PostgreSQL instead, e.g. postgres://user:password@host/database. TLS is used where the server
        /// has it, and demanded with ?sslmode=require
        postgres: Option<String> { preset: Nothing("SQLite"), value_name: "URL", secret: true, }
        /// Schema of the tables in PostgreSQL
        postgres_schema: String { preset: Text("onsale"), value_name: "NAME", rare: true, }
        /// PEM file with the authorities that PostgreSQL's certificate is trusted by; otherwise the machine's
        postgres_ca: Option<PathBuf> { preset: Nothing("the machine's"), value_name: "FILE", rare: true, }
        /// Connections to PostgreSQL of those who read
        postgres_connections_max: usize { preset: Number(16), range: 1..=1_000, value_name: "N", rare: true, }
        /// Folder of more projections, one .sql file each; one with the name of a built-in one replaces it
        projections: Option<PathBuf> { preset: Nothing("only the built-in ones"), value_name: "DIR", }
        /// How long a reader with Onsale-After waits for the read models, ms; then 503
        read_wait_ms: u64 { preset: Number(2_000), range: 0..=60_000, value_name: "MS", rare: true, reload: true, }
    }
    kafka {
        /// Publish every event through Kafka: the brokers to ask first. Without it nothing is published
        kafka: Vec<Broker> { preset: Empty, key: "brokers", value_name: "HOST:PORT", }
        /// What the topics' names begin with: onsale.performance, onsale.wallet, …
        kafka_prefix: TopicPrefix { preset: Text("onsale"), value_name: "NAME", }
        /// Partitions of a topic that is made here; one that is there keeps its own
        kafka_partitions: u32 { preset: Number(12), range: 1..=10_000, value_name: "N", }
        /// Replicas of a topic that is made here
        kafka_replication: Option<u16> {
            preset: Nothing("what the brokers make by default"), range: 1..=100, value_name: "N",
        }
        /// Speak TLS with the brokers; needs an onsale that was built with it: cargo build --features kafka-tls
        kafka_tls: bool { preset: Bool(false), }
        /// PEM file with the authorities that the brokers' certificates are trusted by
        kafka_tls_ca: Option<PathBuf> { preset: Nothing("the machine's"), value_name: "FILE", }
        /// PEM file with the certificate that brokers know this server by
        kafka_tls_certificate: Option<PathBuf> { value_name: "FILE", rare: true, }
        /// PEM file with that certificate's private key
        kafka_tls_key: Option<PathBuf> { value_name: "FILE", rare: true, }
        /// How to sign in at the brokers
        kafka_sasl: SaslMechanism { preset: Text("none"), key: "sasl_mechanism", }
        /// Name to sign in with
        kafka_sasl_username: Option<String> { value_name: "NAME", }
        /// Password to sign in with. Others on the machine can read a process's flags: the environment or a file is a better
        /// place
        kafka_sasl_password: Option<String> { value_name: "PASSWORD", secret: true, }
        /// File with the password to sign in with
        kafka_sasl_password_file: Option<PathBuf> { value_name: "FILE", }
        /// Consumer group of onsale project --from kafka; each read model needs one of its own
        kafka_group: String { preset: Text("onsale-read-models"), value_name: "NAME", }
        /// Any setting of librdkafka, e.g. linger.ms=20 or compression.type=lz4; what order and completeness rest on is fixed
        kafka_set: Vec<KafkaSetting> { preset: Empty, value_name: "NAME=VALUE", rare: true, }
    }
    backup {
        /// Ship every commit to a backup within a second: a folder on another disk, or s3://BUCKET/PREFIX, gs://… or az://…, whose
        /// credentials come from the environment. Without it nothing is shipped: see onsale backup
        backup_to: Option<String> { preset: Nothing("nothing is shipped"), value_name: "PLACE", }
        /// Hours that keys stay in the backup which were replaced there, those of people who were erased among them
        backup_keys_keep_h: u32 { preset: Number(24), range: 0..=8_760, value_name: "N", }
    }
    queue {
        /// Who signs admissions: the claim `iss`. Your public URL is a good one
        issuer: String { preset: Text("onsale"), value_name: "TEXT", }
        /// Polls a second of all who wait in one queue together: poll_after_ms and retry_after_ms spread them so far. A fifth of
        /// what the machine answers is a good value. Nobody is told to wait for more than 40 minutes, however low it is. Raise it
        /// with SIGHUP rather than by a restart, after which those who were told a later time may count as away
        polls_per_s_max: u32 {
            preset: Number(POLLS_PER_S_MAX as u64), range: 100..=1_000_000, value_name: "N", reload: true,
        }
        /// Where browsers reach this server, e.g. https://queue.example.com: what the gate's links to queue pages begin with
        public_url: Option<PublicUrl> { preset: Nothing("links are paths of the site in front"), value_name: "URL", }
    }
    session {
        /// Let organizers name identity providers at private addresses and without TLS (on premises, or for tests)
        allow_private_identity_providers: bool { preset: Bool(false), }
        /// Life of a user's token, s
        session_ttl_s: u64 { preset: Number(SESSION_TTL_S), range: 1..=31_536_000, value_name: "S", }
    }
    password {
        /// Memory of one password hash (argon2id), KiB; the default is OWASP's
        password_memory_kib: u32 { preset: Number(19_456), range: 8..=4_194_304, value_name: "KIB", }
        /// Passes of one password hash (argon2id)
        password_passes: u32 { preset: Number(2), range: 1..=100, value_name: "N", }
    }
    engine {
        /// Commands that wait for one shard; more get 503
        mailbox_commands_max: u32 { preset: Number(16_384), range: 1..=u64::MAX, value_name: "N", rare: true, }
        /// Threads that own seats and wallets
        shards: Option<u16> { preset: Nothing("one"), range: 1..=256, value_name: "N", rare: true, }
        /// Bytes of each of the log's two journal files
        journal_bytes: u64 {
            preset: Number(JOURNAL_BYTES), range: JOURNAL_BYTES_MIN..=u64::MAX, value_name: "N", rare: true,
        }
        /// A snapshot is made after so many events
        snapshot_events: u64 { preset: Number(SNAPSHOT_EVENTS), range: 1..=u64::MAX, value_name: "N", rare: true, }
    }
}

impl Serve {
    /// Whether users may charge their own wallet.
    pub fn self_charge(&self) -> bool {
        self.self_charge || self.demo
    }

    /// The operator's key, also from its file.
    pub fn given_operator_key(&self) -> anyhow::Result<Option<String>> {
        let Some(file) = &self.operator_key_file else { return Ok(self.operator_key.clone()) };
        let key = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok(Some(key.trim().to_owned()))
    }

    /// Threads that speak HTTP.
    pub fn http_workers(&self) -> usize {
        self.http_workers
            .map_or_else(|| std::thread::available_parallelism().map_or(1, |cores| cores.get()), usize::from)
    }
}

/// For tests, also of other crates.
#[cfg(any(test, feature = "testing"))]
pub mod testing {
    use super::{Flags, Serve, load};
    use clap::{Args, Command, FromArgMatches};

    /// What `onsale serve` is told by these arguments.
    pub fn serve(arguments: &[&str]) -> Serve {
        let command = Flags::augment_args(Command::new("serve").no_binary_name(true));
        let flags = Flags::from_arg_matches(&command.get_matches_from(arguments)).unwrap();
        load(&flags, []).unwrap().serve
    }
}

#[cfg(test)]
mod tests {
    use super::testing::serve;
    use super::*;

    #[test]
    fn a_demo_lets_users_charge_their_own_wallet() {
        assert!(!serve(&[]).self_charge());
        assert!(serve(&["--demo"]).self_charge());
        assert!(serve(&["--self-charge"]).self_charge());
    }

    /// A default that its own check refuses would panic in whoever sets nothing.
    #[test]
    fn every_default_passes_its_own_check() {
        for setting in SETTINGS {
            if let Some(raw) = setting.preset() {
                setting.check(&raw).unwrap_or_else(|error| panic!("{}: {error}", setting.path()));
            }
            assert_eq!(SETTINGS.iter().filter(|other| other.path() == setting.path()).count(), 1, "{}", setting.path());
        }
    }
}
