//! What can be set, and every bound of every queue, cache and body in one place.

use crate::log::store::JOURNAL_BYTES_MIN;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Bytes of a request's body; larger ones get 413. domain.md: 1 MiB.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Bytes of the body that creates a performance, which carries the chart. domain.md: 8 MiB.
pub const CHART_BODY_BYTES_MAX: usize = 8 << 20;
/// Bytes of a body that is too large are read and forgotten up to here, so that its sender sees the 413.
pub const BODY_DISCARDED_BYTES_MAX: usize = 32 << 20;
/// How long a request's whole body may take; then 408.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request's head may take; then 408.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an idle connection is kept.
pub const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long the other side may take nothing of what is sent to it; then the connection is ended.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes that the kernel keeps for a connection before it sends them.
pub const UNSENT_BYTES_MAX: u32 = 128 << 10;
/// How long requests in progress may take to finish after SIGTERM, s. With the flush of the log it stays below 10 s.
pub const DRAIN_S: u64 = 7;
/// Life of a user's token, s. domain.md: 1 h.
pub const SESSION_TTL_S: u64 = 3600;
/// Items of a list's page: what one gets without saying, and at most. domain.md: 50, 500.
pub const PAGE_ITEMS: usize = 50;
pub const PAGE_ITEMS_MAX: usize = 500;
/// Requests that wait for their password to be hashed or compared; more get 503. At 50 ms each that is a few seconds' wait.
pub const PASSWORDS_WAITING_MAX: usize = 128;
/// Organizer keys that were found right a moment ago and are not asked for again meanwhile.
pub const KEYS_VERIFIED_MAX: usize = 1024;
/// How long such a key is believed: after this a revoked key is refused.
pub const KEY_VERIFIED_TTL: Duration = Duration::from_secs(1);
/// Bytes of each of the log's two journal files: a few seconds of the fastest writing, so that no commit waits for the
/// archive. Unless something is archived it is also in memory, so memory for it is bounded by twice this.
pub const JOURNAL_BYTES: u64 = 64 << 20;
/// Events after which a new snapshot is made: a start then replays no more than about a second's work.
pub const SNAPSHOT_EVENTS: u64 = 500_000;
/// A request that took longer is logged.
pub const SLOW_REQUEST: Duration = Duration::from_secs(1);
/// Characters of an e-mail address. RFC 5321, 4.5.3.1.
pub const EMAIL_CHARS_MAX: usize = 254;
/// Characters of a password.
pub const PASSWORD_CHARS_MIN: usize = 8;
pub const PASSWORD_CHARS_MAX: usize = 256;

/// How logs are written to stderr.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, otherwise JSON.
    Auto,
    Text,
    Json,
}

/// What `onsale serve` can be told.
#[derive(Clone, Debug, clap::Args)]
pub struct Serve {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, env = "ONSALE_LISTEN", default_value = "127.0.0.1:8080", value_name = "ADDR:PORT")]
    pub listen: SocketAddr,
    /// Folder of the log, its snapshots and the installation's secrets; made at the first start
    #[arg(long, env = "ONSALE_DATA", default_value = "./data", value_name = "DIR")]
    pub data: PathBuf,
    /// Create something to buy, let users charge their own wallet, and print curl lines that buy a seat
    #[arg(long)]
    pub demo: bool,
    /// Let users charge their own wallet (not for a real sale: points are money)
    #[arg(long, env = "ONSALE_SELF_CHARGE")]
    pub self_charge: bool,
    /// The operator's key; otherwise one is made at the first start, printed once and kept only as a hash
    #[arg(long, env = "ONSALE_OPERATOR_KEY", hide_env_values = true, value_name = "KEY", hide = true)]
    pub operator_key: Option<String>,
    /// File with the operator's key (instead of the environment's ONSALE_OPERATOR_KEY)
    #[arg(long, value_name = "FILE", conflicts_with = "operator_key")]
    pub operator_key_file: Option<PathBuf>,
    /// How logs are written to stderr; auto is text on a terminal, otherwise JSON
    #[arg(long, env = "ONSALE_LOG_FORMAT", default_value = "auto", value_enum)]
    pub log_format: LogFormat,
    /// What is logged, e.g. info, or onsale=debug (every request)
    #[arg(long, env = "ONSALE_LOG", default_value = "info,actix_server=warn", value_name = "FILTER")]
    pub log: String,
    /// Memory of one password hash (argon2id), KiB; the default is OWASP's
    #[arg(long, default_value_t = 19_456, value_name = "KIB", value_parser = clap::value_parser!(u32).range(8..=4_194_304))]
    pub password_memory_kib: u32,
    /// Passes of one password hash (argon2id)
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub password_passes: u32,
    /// Threads that speak HTTP [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub http_workers: Option<u16>,
    /// Connections at a time; more wait to be accepted
    #[arg(long, default_value_t = 50_000, value_name = "N")]
    pub connections_max: usize,
    /// Streams of events at a time; more get 503
    #[arg(long, env = "ONSALE_STREAMS_MAX", default_value_t = 30_000, value_name = "N")]
    pub streams_max: usize,
    /// Streams of events of one client address at a time; more get 429. Everyone behind a proxy or a carrier's NAT has
    /// the same address
    #[arg(long, env = "ONSALE_STREAMS_PER_ADDRESS_MAX", default_value_t = 1_000, value_name = "N")]
    pub streams_per_address_max: usize,
    /// Commands that wait for one shard; more get 503
    #[arg(long, default_value_t = 16_384, value_name = "N", hide = true, value_parser = clap::value_parser!(u32).range(1..))]
    pub mailbox_commands_max: u32,
    /// Threads that own seats and wallets [default: one]
    #[arg(long, value_name = "N", hide = true, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub shards: Option<u16>,
    /// Life of a user's token, s
    #[arg(long, default_value_t = SESSION_TTL_S, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    pub session_ttl_s: u64,
    /// How long a request's head may take, ms; then 408
    #[arg(long, default_value_t = HEAD_TIMEOUT.as_millis() as u64, value_name = "MS", hide = true)]
    pub head_timeout_ms: u64,
    /// Bytes of each of the log's two journal files
    #[arg(long, default_value_t = JOURNAL_BYTES, value_name = "N", hide = true, value_parser = clap::value_parser!(u64).range(JOURNAL_BYTES_MIN..))]
    pub journal_bytes: u64,
    /// A snapshot is made after so many events
    #[arg(long, default_value_t = SNAPSHOT_EVENTS, value_name = "N", hide = true, value_parser = clap::value_parser!(u64).range(1..))]
    pub snapshot_events: u64,
    /// How long a request's whole body may take, ms; then 408
    #[arg(long, default_value_t = BODY_TIMEOUT.as_millis() as u64, value_name = "MS", hide = true)]
    pub body_timeout_ms: u64,
    /// Add GET and POST /noop, which the benchmark compares with
    #[arg(long, hide = true)]
    pub benchmark_routes: bool,
}

impl Serve {
    /// Whether users may charge their own wallet.
    pub fn self_charge(&self) -> bool {
        self.self_charge || self.demo
    }

    /// Threads that speak HTTP.
    pub fn http_workers(&self) -> usize {
        self.http_workers
            .map_or_else(|| std::thread::available_parallelism().map_or(1, |cores| cores.get()), usize::from)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        serve: Serve,
    }

    /// What `onsale serve` is told by these arguments.
    pub fn serve(arguments: &[&str]) -> Serve {
        Line::parse_from(["serve"].iter().chain(arguments)).serve
    }

    #[test]
    fn a_demo_lets_users_charge_their_own_wallet() {
        assert!(!serve(&[]).self_charge());
        assert!(serve(&["--demo"]).self_charge());
        assert!(serve(&["--self-charge"]).self_charge());
    }
}
