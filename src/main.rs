//! The command line: `onsale serve` and the tools.

use clap::{Parser, Subcommand};
use onsale::config::{self, Filter, Flags, Invalid, LogFormat};
use onsale::http::openapi;
use onsale::tools::benchmark::{self, BenchmarkArgs};
use onsale::tools::config::{self as config_tool, ConfigArgs};
use onsale::tools::crowd::{self, CrowdArgs};
use onsale::tools::log::{self, LogArgs};
use onsale::tools::print;
use onsale::tools::simulate::{self, SimulateArgs};
use onsale::tools::verify::{self, VerifyArgs};
use onsale::{schema, serve};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

/// Sells every seat exactly once, in the minute tickets go on sale.
#[derive(Parser)]
#[command(name = "onsale", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server
    ///
    /// Try it: onsale serve --demo
    Serve(Flags),
    /// Print the effective configuration, and where each value is from
    Config(Box<ConfigArgs>),
    /// Check a log from its first event to its last: no place sold twice, no point lost
    Verify(VerifyArgs),
    /// Print a log's events as JSON lines
    Log(LogArgs),
    /// Send a crowd of buyers to a server, and check the books
    Crowd(CrowdArgs),
    /// Measure the figures of the README's table, in one run
    Benchmark(BenchmarkArgs),
    /// Run the rules under a seeded simulator: random commands, clock jumps, crashes, repeats
    Simulate(SimulateArgs),
    /// Write the events' JSON Schemas and samples into a folder
    Schema {
        #[arg(default_value = "schema/events")]
        dir: PathBuf,
        /// Write nothing; fail when the folder is not what this binary would write
        #[arg(long)]
        check: bool,
    },
    /// Print the OpenAPI document of the HTTP interface
    Openapi,
}

/// Requests allocate on one thread and free on another, which it is made for.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let what = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no words for it");
        let place = panic.location().map_or(String::new(), |place| format!(" at {place}"));
        eprintln!("onsale: this is a bug, please report it: {what}{place}");
    }));
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Serve(flags) => serve(&flags),
        Command::Config(args) => config_tool::run(&args),
        Command::Crowd(args) => crowd::run(args),
        Command::Benchmark(args) => benchmark::run(args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Verify(args) => verify::run(args),
        Command::Log(args) => log::run(args),
        Command::Schema { dir, check } => write_schema(&dir, check),
        Command::Openapi => print(openapi::text()),
    };
    outcome.unwrap_or_else(|error| {
        if let Some(invalid) = error.downcast_ref::<Invalid>() {
            for line in &invalid.lines {
                eprintln!("onsale: {}", line.replace('\n', " "));
            }
            return ExitCode::from(if invalid.only_flags { config::EXIT_USAGE } else { config::EXIT_CONFIG });
        }
        eprintln!("onsale: {}", format!("{error:#}").replace('\n', " "));
        ExitCode::FAILURE
    })
}

fn serve(flags: &Flags) -> anyhow::Result<ExitCode> {
    let loaded = config::load(flags, std::env::vars_os())?;
    let set_filter = start_logs(loaded.serve.log_format, &loaded.serve.log);
    serve::run(loaded, set_filter)
}

fn write_schema(dir: &Path, check: bool) -> anyhow::Result<ExitCode> {
    if !check {
        schema::write(dir)?;
    }
    let wrong = schema::check(dir)?;
    for line in &wrong {
        eprintln!("{line}");
    }
    Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Logs go to stderr; stdout is for what was asked for. Gives what changes the filter later.
fn start_logs(format: LogFormat, filter: &Filter) -> serve::SetFilter {
    let json = match format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let (filter, handle) = reload::Layer::new(filter.filter());
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let logs = tracing_subscriber::registry().with(filter);
    if json {
        logs.with(lines.json().flatten_event(true)).init();
    } else {
        logs.with(lines.with_target(false)).init();
    }
    Box::new(move |filter| handle.reload(filter.filter()).expect("the logs are there as long as the process"))
}
