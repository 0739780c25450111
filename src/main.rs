//! The command line: `onsale serve` and the tools.

mod commands;
mod demo;
mod serve;

use crate::commands::admin::{self, AdminArgs, signing};
use crate::commands::archive::{self, ArchiveArgs};
use crate::commands::backup::{self as backup_tool, BackupArgs, RestoreArgs};
use crate::commands::config::{self as config_tool, ConfigArgs};
use crate::commands::doctor::{self, DoctorArgs};
use crate::commands::draw::{self, DrawArgs};
use crate::commands::log::{self, LogArgs};
use crate::commands::read_models::list::{self, ListArgs};
use crate::commands::read_models::project::{self, ProjectArgs};
use crate::commands::read_models::rebuild::{self, RebuildArgs};
use anyhow::Context;
use base::terminal::print;
use clap::{CommandFactory, Parser, Subcommand};
use config::{Filter, Flags, Invalid, LogFormat};
use lab::benchmark::{self, BenchmarkArgs};
use lab::crowd::{self, CrowdArgs};
use lab::fill::{self, FillArgs};
use lab::simulate::{self, SimulateArgs};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;
use verifier::VerifyArgs;

/// Sells every seat exactly once, in the minute tickets go on sale.
#[derive(Parser)]
#[command(name = "onsale", version = version(), about, arg_required_else_help = true, after_help = HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// With the commit, where whoever built it said so (`ONSALE_COMMIT=$(git rev-parse --short HEAD) cargo build`).
fn version() -> &'static str {
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    option_env!("ONSALE_COMMIT").map_or(VERSION, |commit| format!("{VERSION} ({commit})").leak())
}

const HELP: &str = "Examples:
  onsale serve --demo              something to buy, and the lines that buy it
  onsale config --example          a configuration file with every setting
  onsale help serve                every setting as a flag";

const SERVE_HELP: &str = "\
Settings come from the file that --config names, the environment, and flags; the later one wins. In the file they stand in
the tables whose names are the headings here: `onsale config --example`.

Signals: SIGTERM and SIGINT finish what was begun and stop, a second one stops at once; SIGHUP reads settings and
certificate again.

Examples:
  onsale serve --demo
  onsale serve --config /etc/onsale.toml --log onsale=debug
  ONSALE_LISTEN=0.0.0.0:8443 onsale serve --tls-certificate tls.crt --tls-key tls.key

Exit codes:
  0    stopped in order
  1    could not start; one line says why
  2    the command line makes no sense
  74   the log could not be written, or is damaged
  78   the file or the environment sets what cannot be
  130  ended by a second signal";

const CONFIG_HELP: &str = "\
Examples:
  onsale config --example > onsale.toml
  onsale config --config onsale.toml --check && kill -HUP $(pidof onsale)

Exit codes: 0 all is right, 2 a flag is wrong, 78 the file or the environment is";

const PROJECT_HELP: &str = "\
Run the server with --read-models outside, and this beside it on the same data folder.

Example:
  onsale project --data ./data --postgres postgres://onsale@localhost/onsale

Exit codes: 0 stopped in order, 1 it could not go on, e.g. because another projector works on the read model";

const REBUILD_HELP: &str = "\
Readers see the old tables until the new ones are complete; the old ones are kept for --rollback. Interrupted, it changes
nothing, and the same command goes on.

Examples:
  onsale rebuild reservations
  onsale rebuild --all --postgres postgres://onsale@localhost/onsale
  onsale rebuild reservations --rollback

Exit codes: 0 the new tables are live, 1 they are not, 130 interrupted";

const ARCHIVE_HELP: &str = "\
Stop the server first, and start it again afterwards: it sells on, and everything stays readable. Settings are those of `serve`:
what has not reached Kafka or the read models stays. Archive files belong to the log: keep them as safe as it, and in backups.
A start does not need them; verify, rebuild, log, a new Kafka topic, and the first start of another version do.

Examples:
  onsale archive --data ./data
  onsale archive --data ./data --keep-days 7 --to /mnt/large/onsale
  onsale archive --data ./data --list
  onsale archive --data ./data --restore

Exit codes: 0 done, or nothing to do; 1 an error, and the log is as it was; with --list, a file is not there";

const BACKUP_HELP: &str = "\
Works beside a running server, or on the folder of one that is stopped. Only what is new is sent; each run reads back what it has
written, and a manifest, written last, says that it counts. Keys of accounts are apart (keys/), so that people who are erased stay
so: --keys-keep hours after the run that finds them erased, their keys are nowhere. The folder's secrets are in it (secrets/): keep
it as safe as the folder itself. A server with the setting backup.to does the same as --follow by itself.

Buckets are reached as their makers' own tools reach them: AWS_ACCESS_KEY_ID, AWS_REGION, AWS_ENDPOINT_URL, AWS_ALLOW_HTTP,
GOOGLE_SERVICE_ACCOUNT, AZURE_STORAGE_ACCOUNT_NAME, … in the environment.

Examples:
  onsale backup /mnt/elsewhere/onsale --data ./data
  onsale backup s3://tickets-backup/onsale --data ./data --follow

Exit codes: 0 done, 1 an error, and what was there before is as it was";

const RESTORE_HELP: &str = "\
Makes a data folder that serve takes. Keys are always the newest ones of the backup, also with --until. Where the old server may
still run, stop it first: two on one history would sell seats twice.

Examples:
  onsale restore /mnt/elsewhere/onsale ./data && onsale verify ./data
  onsale restore s3://tickets-backup/onsale ./data --until 2026-12-24T10:00:00Z

Exit codes: 0 done, 1 an error; the folder that was begun is none that serve takes: delete it";

const DOCTOR_HELP: &str = "\
Run it as the server's user, on its machine, with its settings; also while it runs. Each line has what was found and, after an
arrow, what to do. Nothing is changed: a file without a name is written beside the log for a moment.

Examples:
  onsale doctor --config /etc/onsale.toml --seats 40000 --people 500000
  onsale doctor --json | tail -1 | jq '.checks[] | select(.state != \"ok\")'

Exit codes: 0 nothing fails (warnings do not count, but with --strict), 1 something does, 2 a flag is wrong, 78 the file or the
environment is";

#[derive(Subcommand)]
enum Command {
    /// Run the server
    #[command(after_help = SERVE_HELP)]
    Serve(Flags),
    /// Print the effective configuration, and where each value is from
    #[command(after_help = CONFIG_HELP)]
    Config(Box<ConfigArgs>),
    /// Do from the shell what operators and organizers do over HTTP
    Admin(AdminArgs),
    /// Keys that sign admissions: list them, rotate them
    #[command(
        after_help = "Example:\n  ONSALE_OPERATOR_KEY=opk_… onsale keys rotate --server https://onsale.example.com"
    )]
    Keys(signing::KeysArgs),
    /// Check a queue's draw: the seed that was promised, the sealed list, the order
    #[command(
        after_help = "Example:\n  curl -s localhost:8080/v1/queues/QUEUE/draw > draw.json && onsale draw check draw.json\n\n\
            Exit codes: 0 the draw is right, 1 it is not"
    )]
    Draw(DrawArgs),
    /// Check a log from its first event to its last: no place sold twice, no point lost
    #[command(after_help = "Example:\n  onsale verify ./data\n\nExit codes: 0 the books hold, 1 they do not")]
    Verify(VerifyArgs),
    /// Move a log's old events into compressed files, or back
    #[command(after_help = ARCHIVE_HELP)]
    Archive(Box<ArchiveArgs>),
    /// Ship a data folder elsewhere, also while a server runs on it
    #[command(after_help = BACKUP_HELP)]
    Backup(Box<BackupArgs>),
    /// Make a data folder of a backup
    #[command(after_help = RESTORE_HELP)]
    Restore(Box<RestoreArgs>),
    /// Look at the machine before a sale: disk, memory, clock, certificate, Kafka, PostgreSQL, settings
    #[command(after_help = DOCTOR_HELP)]
    Doctor(Box<DoctorArgs>),
    /// Print a log's events as JSON lines
    #[command(after_help = "Example:\n  onsale log ./data --type SeatsHeld --follow | jq .data")]
    Log(LogArgs),
    /// Keep read models up to date, as a process of its own
    #[command(after_help = PROJECT_HELP)]
    Project(Box<ProjectArgs>),
    /// Make read models anew, beside the live ones, and swap them in
    #[command(after_help = REBUILD_HELP)]
    Rebuild(Box<RebuildArgs>),
    /// List read models: which are live, how far they are, what could not be applied
    #[command(after_help = "Exit codes: 0 all are live, 1 one is not or has parked events")]
    Projections(Box<ListArgs>),
    /// Send a crowd of buyers to a server, and check the books
    #[command(
        after_help = "Example:\n  onsale crowd --buyers 1000 --seats 500 --seed 1\n\nExit codes: 0 the books hold, 1 they do not"
    )]
    Crowd(CrowdArgs),
    /// Measure the figures of docs/performance.md, in one run
    Benchmark(BenchmarkArgs),
    /// Make a data folder of a size, to measure with
    #[command(hide = true)]
    Fill(FillArgs),
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
    /// Print the AsyncAPI document of what is published through Kafka
    Asyncapi,
    /// Print a shell's completions, e.g. onsale completions bash > /etc/bash_completion.d/onsale
    Completions { shell: clap_complete::Shell },
    /// Print the manual page, e.g. onsale man | man -l -
    Man {
        /// Of one command, e.g. serve
        command: Option<String>,
    },
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
        // sled panics where it finds its file damaged; what that means is told by whoever called it.
        let whose = if place.contains("/sled") { "the log's database" } else { "this is a bug, please report it" };
        eprintln!("onsale: {whose}: {what}{place}");
    }));
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Serve(flags) => serve(&flags),
        Command::Config(args) => config_tool::run(&args),
        Command::Admin(args) => admin::run(args),
        Command::Keys(args) => signing::run(args),
        Command::Draw(args) => draw::run(args),
        Command::Crowd(args) => crowd::run(args),
        Command::Benchmark(args) => benchmark::run(args),
        Command::Fill(args) => fill::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Verify(args) => verifier::run(args),
        Command::Archive(args) => archive::run(&args),
        Command::Backup(args) => backup_tool::run(&args),
        Command::Restore(args) => backup_tool::restore(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Log(args) => log::run(args),
        Command::Project(args) => with_logs(&args.flags, || project::run(&args)),
        Command::Rebuild(args) => rebuild::run(&args),
        Command::Projections(args) => list::run(*args),
        Command::Schema { dir, check } => write_schema(&dir, check),
        Command::Completions { shell } => completions(shell),
        Command::Man { command } => manual(command.as_deref()),
        Command::Openapi => print(&api::document().text),
        Command::Asyncapi => print(&contracts::asyncapi::text()),
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

/// Runs a tool that says what it does in the log.
fn with_logs(flags: &Flags, run: impl FnOnce() -> anyhow::Result<ExitCode>) -> anyhow::Result<ExitCode> {
    let loaded = config::load(flags, std::env::vars_os())?;
    // Nothing changes the filter of a tool.
    drop(start_logs(loaded.serve.log_format, &loaded.serve.log));
    run()
}

fn serve(flags: &Flags) -> anyhow::Result<ExitCode> {
    let loaded = config::load(flags, std::env::vars_os())?;
    let set_filter = start_logs(loaded.serve.log_format, &loaded.serve.log);
    serve::run(loaded, set_filter)
}

fn completions(shell: clap_complete::Shell) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "onsale", &mut script);
    print(&String::from_utf8(script)?)
}

fn manual(of: Option<&str>) -> anyhow::Result<ExitCode> {
    let mut command = Cli::command();
    command.build();
    let command = match of {
        None => command,
        Some(name) => {
            let found = command.get_subcommands().find(|found| found.get_name() == name);
            found.with_context(|| format!("there is no command {name:?}"))?.clone()
        }
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    print(&String::from_utf8(page)?)
}

fn write_schema(dir: &Path, check: bool) -> anyhow::Result<ExitCode> {
    if !check {
        contracts::write(dir)?;
    }
    let wrong = contracts::check(dir)?;
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
        // Colours are for terminals.
        logs.with(lines.with_target(false).with_ansi(std::io::stderr().is_terminal())).init();
    }
    Box::new(move |filter| handle.reload(filter.filter()).expect("the logs are there as long as the process"))
}
