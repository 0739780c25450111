//! `onsale serve`: the listener first, then the log, then everything else; and all of it back again at the end.

use crate::demo;
use actix_web::dev::ServerHandle;
use actix_web::web;
use anyhow::{Context, bail};
use api::auth::accounts::Accounts;
use api::catalogue::busiest::Busiest;
use api::kit::lists::ReadModels as Lists;
use api::ops::health::Operations;
use api::ops::metrics::Metrics;
use api::ops::{inherited, server};
use api::queues::admission_token::Admissions;
use api::queues::statistics;
use api::streams::sse::Hub;
use api::{Api, EngineHandle, Phase, Services};
use backup::follow::{self, Follow, Follower};
use base::clock::SystemClock;
use base::id::RandomIds;
use base::process_limits;
use base::tls::Tls;
use config::{Loaded, Serve, TracesProtocol};
use engine::lifecycle::{self, Recovered, Running, Settings};
use eventlog::Log;
use eventlog::data_folder::DataFolder;
use eventlog::sinks::Output;
use read_models::ReadModels;
use readmodels::live;
use security::identity::Identities;
use security::passwords::Passwords;
use security::secrets::{Operator, Secrets};
use security::signing::Keyring;
use security::vault::{Found, Vault};
use std::future::Future;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use traces::Exporter;

mod clock_watch;
pub mod read_models;
mod reload;

pub use reload::SetFilter;
use reload::{Reloader, limit_polls};

/// Files of the log, the sockets of other processes, and what the libraries open.
pub const OPEN_FILES_BESIDES: usize = 500;

/// Exit code of a process that was told twice to end: 128 + SIGINT.
const EXIT_INTERRUPTED: i32 = 130;

/// Serves until SIGTERM or SIGINT. Prints to stdout when it is ready.
pub fn run(loaded: Loaded, set_filter: SetFilter) -> anyhow::Result<ExitCode> {
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    actix::System::new().block_on(serve(loaded, set_filter))
}

async fn serve(loaded: Loaded, set_filter: SetFilter) -> anyhow::Result<ExitCode> {
    let config = loaded.serve.clone();
    let passwords = Passwords::new(config.password_memory_kib, config.password_passes)?;
    let operator_key = config.given_operator_key()?;
    let kafka = kafka::Settings::of(&config)?;
    let exporter = export_traces(&config)?;
    let api = web::Data::new(Api::new(config, Metrics::shared()));
    if let Some(exporter) = &exporter {
        let _ = api.traces.set(exporter.tracer.clone());
    }
    let mut told_to_stop = std::pin::pin!(told_to_stop()?);
    let tls = tls(&api.config)?;
    let reloader = Reloader::new(loaded, api.clone(), tls.clone(), set_filter)?;

    check_open_files(&api.config);
    let inherited = inherited::take()?;
    // Somebody keeps the socket: who comes too early or too late waits.
    let waits = !inherited.is_empty();
    let listening = inherited.is_empty().then(|| listen(&api, tls.as_ref(), Vec::new())).transpose()?;
    actix::spawn(reloader.run());
    let folder = DataFolder::create_or_open(&api.config.data)?;

    let opened = tokio::select! {
        opened = open(&api, folder, passwords, operator_key, kafka, tls.clone()) => opened,
        // Reading a log changes nothing that another start would not find. Its thread is not waited for.
        () = &mut told_to_stop => std::process::exit(0),
    };
    let Opened { running, projector, publisher, backup, new_operator_key } = opened?;
    // Before anything else can go wrong: from now on only its hash is there.
    if let Some(key) = new_operator_key {
        print(&format!("operator key:   {key} (shown this once: keep it)\n"));
    }
    let demo = match api.config.demo {
        true => Some(demo::prepare(&api).await.context("cannot make the demo")?),
        false => None,
    };
    if let Some(demo) = &demo {
        api.featured.set(demo.links());
    }
    let Listening { handle, http, address } = match listening {
        Some(listening) => {
            server::warm_up(&api, listening.address, tls.as_deref()).await;
            api.enter(Phase::Ready);
            listening
        }
        // Who waits in the queue of a socket that was kept is before any of ours who would warm it up.
        None => {
            api.enter(Phase::Ready);
            listen(&api, tls.as_ref(), inherited)?
        }
    };
    let url = format!("{}://{address}", if tls.is_some() { "https" } else { "http" });
    print(&format!("listening on {url}\n{}", demo.map_or(String::new(), |demo| demo.text(&url))));

    told_to_stop.await;
    tracing::info!("stopping: finishing requests, then closing the log");
    exit_when_told_again();
    exit_when_it_takes_too_long();
    api.enter(Phase::Stopping);
    if let Ok(hub) = api.state::<Hub>() {
        hub.close();
    }
    if waits {
        server::drain(&handle).await;
    }
    handle.stop(true).await;
    http.await.context("the HTTP server failed")?.context("the HTTP server failed")?;
    // Off the actors' thread, where nobody waits any more but the log.
    web::block(move || {
        drop(publisher);
        if let Some(projector) = projector {
            projector.stop();
        }
    })
    .await?;
    running.stop()?;
    // What the log got last is shipped, too.
    web::block(move || drop(backup)).await?;
    // The last requests' traces have a moment to leave.
    web::block(move || drop(exporter)).await?;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// What answers.
struct Listening {
    handle: ServerHandle,
    http: JoinHandle<std::io::Result<()>>,
    address: SocketAddr,
}

fn listen(api: &web::Data<Api>, tls: Option<&Arc<Tls>>, inherited: Vec<TcpListener>) -> anyhow::Result<Listening> {
    let (http, address) = server::start(api, tls, inherited)?;
    let handle = http.handle();
    Ok(Listening { handle, http: actix::spawn(http), address })
}

/// Every connection is an open file, and a process starts with a low limit of them.
fn check_open_files(config: &Serve) {
    let wanted = (config.connections_max + OPEN_FILES_BESIDES) as u64;
    let limit = process_limits::raise_open_files(wanted);
    if limit < wanted {
        tracing::warn!(
            limit,
            wanted,
            connections_max = config.connections_max,
            streams_max = config.streams_max,
            "fewer files may be open than there may be connections: raise the hard limit (ulimit -Hn, LimitNOFILE=)"
        );
    }
}

/// What runs once the log was read.
struct Opened {
    running: Running,
    projector: Option<live::Handle>,
    publisher: Option<kafka::Publisher>,
    backup: Option<Follower>,
    /// Made just now.
    new_operator_key: Option<String>,
}

/// Reads the log and starts the engine on it.
async fn open(
    api: &web::Data<Api>,
    folder: DataFolder,
    passwords: Passwords,
    operator_key: Option<String>,
    kafka: Option<kafka::Settings>,
    tls: Option<Arc<Tls>>,
) -> anyhow::Result<Opened> {
    let read_models = ReadModels::of(&api.config)?;
    let mut settings = settings(&api.config, api.metrics.clone());
    let recover = move || -> anyhow::Result<_> {
        // What the log rests on, before it is opened, which changes it.
        let found = Found::read(folder.path())?;
        Secrets::check_file(folder.checks())?;
        Keyring::check_file(folder.checks())?;
        Ok((lifecycle::recover(folder, &mut settings)?, found, settings))
    };
    let (recovered, found, settings) = web::block(recover).await??;
    let report = &recovered.report;
    let last = report.last.0;
    let took_ms = report.took.as_millis() as u64;
    tracing::info!(position = report.last.0, replayed = report.replayed, took_ms, "the log is read");

    let opened = web::block(move || {
        let keys = open_secrets(&recovered, found, operator_key.as_deref());
        keys.map(|keys| (recovered, keys))
    });
    let (recovered, Keys { secrets, vault, keyring, operator, new_operator_key }) = opened.await??;
    let latest_ms = recovered.latest_ms()?;
    let clock = Arc::new(SystemClock::not_before(latest_ms));
    actix::spawn(clock_watch::run(clock.clone(), latest_ms));
    let running = Running::start(recovered, &settings, clock, Arc::new(RandomIds), secrets.clone())?;
    if api.config.demo && !demo::may_be_here(&running.engine, last).await {
        running.stop()?;
        bail!(
            "{} was not made by --demo, which would let everybody charge their own wallet; name another folder with --data",
            api.config.data.display()
        );
    }
    let publisher = kafka.map(|settings| publish(&running, settings)).transpose().context("cannot start a thread")?;
    let mut outputs: Vec<Arc<Output>> = publisher.iter().map(|publisher| publisher.output.clone()).collect();
    let backup = ship(&running, &api.config, &mut outputs).context("cannot start a thread")?;
    let read_models = read_models.start(running.store.clone())?;
    outputs.extend(read_models.output);
    let scraped = outputs.clone();
    let (engine, store, clock) = (running.engine.clone(), running.store.clone(), running.clock.clone());
    // Two scrapes at a time must not both add the same sales.
    let scraping = Mutex::new(Busiest::default());
    api.metrics.mailbox_commands_max.set(settings.mailbox_commands_max as i64);
    let lists = Arc::new(Lists { reader: read_models.reader, log: running.store.clone() });
    let asked = lists.clone();
    let (streams_max, of_address) = (api.config.streams_max, api.config.streams_per_address_max);
    let hub = Hub::start(streams_max, of_address, api.metrics.clone()).context("cannot start a thread")?;
    let handle =
        EngineHandle { engine: running.engine.clone(), clock: running.clock.clone(), ids: running.ids.clone() };
    let traced = api.traces.get().map(|tracer| tracer.figures.clone());
    let refresh = move |metrics: &Metrics| {
        let mut busiest = scraping.lock().unwrap_or_else(PoisonError::into_inner);
        metrics.mailbox_depth.set(engine.waiting() as i64);
        metrics.log_position.set(store.appended().0 as i64);
        metrics.durable_position.set(store.durable().0 as i64);
        metrics.log_bytes.set(store.size_bytes() as i64);
        metrics.set_queues(&statistics::figures(engine.views().queues(), clock.now()));
        metrics.sale.set_places(&busiest.look(engine.views(), clock.now()));
        let sales = engine.views().sales();
        metrics.sales.inc_by(sales.confirmed().saturating_sub(metrics.sales.get()));
        metrics.sale.set_sales(sales);
        if let Some(reader) = &asked.reader {
            metrics.database.set(&reader.usage());
        }
        if let Some(at_s) = tls.as_ref().and_then(|tls| tls.not_after_s().ok()) {
            metrics.machine.certificate_ends(at_s);
        }
        scraped.iter().for_each(|output| metrics.output(&output.look(clock.now())));
        metrics.clock(&clock.look());
        if let Some(figures) = &traced {
            metrics.traces.set(figures);
        }
    };
    let services = Services {
        accounts: Arc::new(Accounts {
            engine: handle.engine.clone(),
            clock: handle.clock.clone(),
            ids: handle.ids.clone(),
            secrets: secrets.clone(),
            operator,
            vault: Arc::new(vault),
            passwords,
            identities: Identities::new(api.config.allow_private_identity_providers),
            session_ttl_ms: api.config.session_ttl_s * 1000,
        }),
        secrets,
        availability: Arc::default(),
        admissions: Arc::new(Admissions {
            engine: handle.engine.clone(),
            clock: handle.clock.clone(),
            keyring: Arc::new(keyring),
            verified: Default::default(),
            issuer: api.config.issuer.clone(),
        }),
        hub,
        public_lines: Arc::default(),
        shells: Arc::default(),
        handovers: Arc::default(),
        lines: Arc::default(),
        statistics: Arc::default(),
        read_models: lists,
        ledger: Arc::new(running.ledger.clone()),
        operations: Arc::new(Operations { clock: handle.clock.clone(), outputs, refresh: Box::new(refresh) }),
        handle: Arc::new(handle),
    };
    api.open(services.into());
    limit_polls(api, &api.live.load());
    Ok(Opened { running, projector: read_models.projector, publisher, backup, new_operator_key })
}

/// Starts to send traces, where somebody takes them.
fn export_traces(config: &Serve) -> anyhow::Result<Option<Exporter>> {
    let Some(endpoint) = &config.traces_endpoint else { return Ok(None) };
    let settings = traces::Settings {
        endpoint: endpoint.as_str().to_owned(),
        protocol: match config.traces_protocol {
            TracesProtocol::Grpc => traces::Protocol::Grpc,
            TracesProtocol::Http => traces::Protocol::Http,
        },
        ca: config.traces_ca.clone(),
        service_name: config.traces_service_name.clone(),
        service_version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    Exporter::start(settings).map(Some)
}

/// Starts to publish what the log has and gets.
fn publish(running: &Running, settings: kafka::Settings) -> std::io::Result<kafka::Publisher> {
    let source = kafka::publisher::Source {
        log: running.store.clone(),
        log_id: running.store.id(),
        checkpoint: &running.folder().kafka(),
        clock: running.clock.clone(),
        private: contracts::private(),
    };
    kafka::start(source, settings)
}

/// Starts to ship what the log has and gets, and the folder's keys.
fn ship(running: &Running, config: &Serve, outputs: &mut Vec<Arc<Output>>) -> std::io::Result<Option<Follower>> {
    let Some(to) = config.backup_to.clone() else { return Ok(None) };
    let output = Output::new(follow::NAME, running.store.clone());
    outputs.push(output.clone());
    let follow = Follow {
        log: running.store.clone(),
        log_id: running.store.id(),
        data: config.data.clone(),
        to,
        keys_keep_ms: backup::ship::keys_keep_ms(config.backup_keys_keep_h),
        clock: running.clock.clone(),
        output,
    };
    follow.start().map(Some)
}

/// What only this installation knows.
struct Keys {
    secrets: Arc<Secrets>,
    vault: Vault,
    keyring: Keyring,
    operator: Operator,
    new_operator_key: Option<String>,
}

fn open_secrets(recovered: &Recovered, found: Found, operator_key: Option<&str>) -> anyhow::Result<Keys> {
    let checks = recovered.folder().checks();
    let needed = recovered.report.last.0 > 0 || Vault::exists(checks.folder());
    let lost = recovered.accounts_unknown_to(&|account| found.knows(account))?;
    let secrets = Arc::new(Secrets::open_checked(checks, needed)?);
    let (vault, keyring) = (found.open(checks, &lost)?, Keyring::open(checks)?);
    let (operator, new_operator_key) = Operator::open(checks, operator_key)?;
    Ok(Keys { secrets, vault, keyring, operator, new_operator_key })
}

fn settings(config: &Serve, metrics: Arc<Metrics>) -> Settings {
    let defaults = Settings::default();
    Settings {
        shards: config.shards.map_or(defaults.shards, usize::from),
        mailbox_commands_max: config.mailbox_commands_max as usize,
        journal_bytes: config.journal_bytes,
        snapshot_events: config.snapshot_events,
        polls_per_s_max: config.polls_per_s_max,
        on_commit: Some(Box::new(move |commit| {
            metrics.commits.inc();
            metrics.events.inc_by(commit.events);
            metrics.events_per_commit.observe(commit.events as f64);
            metrics.fsync_seconds.observe(commit.sync.as_secs_f64());
        })),
    }
}

fn tls(config: &Serve) -> anyhow::Result<Option<Arc<Tls>>> {
    match (&config.tls_certificate, &config.tls_key) {
        (Some(certificate), Some(key)) => Tls::open(certificate, key).map(Some),
        _ => Ok(None),
    }
}

fn print(text: &str) {
    // Nobody reads it any more: no reason to stop serving.
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Ends when the process is told to end.
fn told_to_stop() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// How long it may take to end. Orchestrators kill after 10 s (Docker) or 30 s (Kubernetes).
const STOP_WITHIN: Duration = Duration::from_secs(9);

/// Whatever is under way, from a request that never ends to a database that does not answer, is not waited for any longer:
/// what was acknowledged is on disk, and the next start goes on where this process was.
fn exit_when_it_takes_too_long() {
    let wait = || {
        std::thread::sleep(STOP_WITHIN);
        tracing::warn!("stopping took longer than {STOP_WITHIN:?}; what is under way is left to the next start");
        std::process::exit(0);
    };
    if let Err(error) = std::thread::Builder::new().name("stop".into()).spawn(wait) {
        tracing::warn!(%error, "stopping may take longer than {STOP_WITHIN:?}");
    }
}

/// Somebody who asks twice does not want to wait. What was acknowledged is on disk.
fn exit_when_told_again() {
    if let Ok(again) = told_to_stop() {
        actix::spawn(async move {
            again.await;
            std::process::exit(EXIT_INTERRUPTED);
        });
    }
}
