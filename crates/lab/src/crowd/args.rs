//! What `onsale crowd` is told.

use std::path::PathBuf;

/// Sends a crowd of buyers to a server and checks the books afterwards.
#[derive(clap::Args, Debug, Clone)]
pub struct CrowdArgs {
    /// How many buyers come
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub buyers: u32,
    /// Seats of the performance that is created; a standing area of a tenth as many places comes on top
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=90_000))]
    pub seats: u32,
    /// How many watch the sale besides: what each sees at the end must be what is there
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub watchers: u32,
    /// A running server, e.g. http://127.0.0.1:8080; without it a temporary one is started, which hashes passwords cheaply
    #[arg(long)]
    pub url: Option<String>,
    /// An organizer's key on that server
    #[arg(long, requires = "url", env = "ONSALE_KEY", hide_env_values = true)]
    pub key: Option<String>,
    /// The operator's key on that server; the crowd then makes an organizer of its own
    #[arg(long, requires = "url")]
    pub operator_key: Option<String>,
    /// Buy at this performance of that server instead of a new one; others may buy there too
    #[arg(long, requires = "url")]
    pub performance: Option<String>,
    /// Connections that all buyers share
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub connections: u16,
    /// Draws the same buyers again (the order in which they reach the server still varies)
    #[arg(long)]
    pub seed: Option<u64>,
    /// At the end the organizer cancels the performance, and everyone must have their points back, once
    #[arg(long, conflicts_with = "performance")]
    pub cancel: bool,
    /// At the end the temporary server's read models must equal its log
    #[arg(long, conflicts_with = "url")]
    pub read_models: bool,
    /// The temporary server's read models are in this PostgreSQL, in a schema of their own that is dropped at the end
    #[arg(long, value_name = "URL", requires = "read_models")]
    pub postgres: Option<String>,
    /// PEM file with the authorities that PostgreSQL's certificate is trusted by
    #[arg(long, value_name = "FILE", requires = "postgres")]
    pub postgres_ca: Option<PathBuf>,
    /// Everybody goes through a queue first: some join before it opens and are drawn, some refresh, leave or come back
    #[arg(long, conflicts_with = "performance")]
    pub queue: bool,
    /// Plays the expected sale that this TOML file describes, and says whether it held: buyers, seats, queue, connections,
    /// watchers, and under `[goals]` hold_p99_ms, pay_p99_ms, sold_within_s, sales_per_s. Exit code 1 where a goal is missed
    #[arg(long, value_name = "FILE",
        conflicts_with_all = ["buyers", "seats", "queue", "connections", "watchers", "performance"])]
    pub plan: Option<PathBuf>,
    /// Print one JSON object instead of the table
    #[arg(long)]
    pub json: bool,
    /// Keep the temporary server's data
    #[arg(long, conflicts_with = "url")]
    pub keep: bool,
    /// Where the temporary server's data goes; a folder of its own in here (default: the folder for temporary files)
    #[arg(long, conflicts_with = "url")]
    pub data: Option<PathBuf>,
}
