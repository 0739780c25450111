//! The figures about read models: how quickly they are made anew, how soon a sale is in them, how many pages they give.

use super::goals::figure;
use super::load::{Failure, Worker, closed, open};
use super::online::{ROUNDS, reservation_id, spoilt};
use super::stage::Stage;
use super::{BenchmarkArgs, Progress, READY_WITHIN, SERVER_ARGS, copy, generate};
use crate::client::{Target, write_request};
use crate::server::{Scratch, Server, off_thread};
use crate::stats::{Latencies, Rng, median};
use anyhow::{Context, bail, ensure};
use base::clock::{Clock, SystemClock};
use base::id::{AccountId, UserId};
use base::report::Figure;
use eventlog::Log;
use eventlog::data_folder::DataFolder;
use eventlog::store::{Options, Store};
use readmodels::projection;
use readmodels::rebuild::{self, Done, Filling, PoisonPolicy};
use readmodels::source::{Ahead, Local};
use readmodels::store::{Place, Postgres, sqlite};
use readmodels::{checkpoints, int, text};
use security::secrets::{Secrets, Session};
use std::cell::{Cell, RefCell};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Where PostgreSQL is, as the tests are told.
pub const POSTGRES_VARIABLE: &str = "ONSALE_TEST_POSTGRES";
/// Sales a second while it is watched how soon they are in SQL.
const SALES_PER_S: f64 = 2_000.0;
/// How long is sold before that counts: the houses that were provided are in the tables then.
const WARM: Duration = Duration::from_secs(2);
/// How long the last sale may take to be there.
const ARRIVES_WITHIN: Duration = Duration::from_secs(10);
/// Users whose pages are asked for.
const READERS: usize = 1_000;

/// Measures all of them. What needs PostgreSQL says so where there is none.
pub async fn measure(args: &BenchmarkArgs, scratch: &Scratch, progress: &Progress) -> anyhow::Result<Vec<Figure>> {
    let data = scratch.path().join("sold");
    let (wallets, events) = if args.quick { (20_000, 200_000) } else { (1_000_000, 4_000_000) };
    ensure!(scratch.has_room(events * 2_500), "{events} events and their tables need more room on disk");
    progress.says("generating events");
    let to = data.clone();
    let wanted =
        generate::LogSize { wallets, performances: (events - 2 * wallets) / 4_000 + 1, events, snapshot_before: None };
    off_thread(move || generate::generate(&to, &wanted)).await?;
    progress.step();
    let postgres = given_postgres();
    let lite = Place::Sqlite(scratch.path().join("read.sqlite"));
    let mut figures = vec![rebuild("rebuild_sqlite", &data, &lite, progress).await?];
    figures.extend(page("my_reservations_sqlite", args, &data, &lite, progress).await?);
    match &postgres {
        None => figures.extend(missing()),
        Some(postgres) => {
            let place = Place::Postgres(postgres.clone());
            let measured = on_postgres(args, &data, postgres, &place, progress).await;
            copy::drop_schema(postgres).await?;
            figures.extend(measured?);
        }
    }
    figures.push(answer_to_row("answer_to_row_p99", args, scratch, None, progress).await?);
    if let Some(postgres) = &postgres {
        let measured = answer_to_row("answer_to_row_postgres_p99", args, scratch, Some(postgres), progress).await;
        copy::drop_schema(postgres).await?;
        figures.push(measured?);
    }
    Ok(figures)
}

/// A schema of this run alone in the PostgreSQL that the environment names, if it does.
pub fn given_postgres() -> Option<Postgres> {
    let url = std::env::var(POSTGRES_VARIABLE).ok()?;
    let schema = format!("benchmark_{}", uuid::Uuid::new_v4().simple());
    Some(Postgres { url, schema, ca: None, connections_max: 16 })
}

/// Steps of the progress bar.
pub const STEPS: u64 = 9;

fn missing() -> Vec<Figure> {
    let names =
        ["rebuild_postgres", "copy_bare", "rebuild_share", "my_reservations_postgres", "answer_to_row_postgres_p99"];
    let note = format!("not measured: {POSTGRES_VARIABLE} is not set; eval \"$(scripts/services up postgres)\"");
    names.map(|name| Figure { note: note.clone(), ..figure(name, None, None) }).into()
}

async fn on_postgres(
    args: &BenchmarkArgs,
    data: &Path,
    postgres: &Postgres,
    place: &Place,
    progress: &Progress,
) -> anyhow::Result<Vec<Figure>> {
    let rebuilt = rebuild("rebuild_postgres", data, place, progress).await?;
    progress.says("copy_bare");
    let (rows, seconds) = copy::bare(postgres).await?;
    progress.step();
    let log = data.to_owned();
    let events = off_thread(move || events_of(&log)).await?;
    let mut bare = figure("copy_bare", Some(events as f64 / seconds), None);
    bare.note = format!("{rows} rows in {seconds:.2} s");
    let share = figure("rebuild_share", rebuilt.value, bare.value);
    let mut figures = vec![rebuilt, bare, share];
    figures.extend(page("my_reservations_postgres", args, data, place, progress).await?);
    Ok(figures)
}

fn events_of(data: &Path) -> anyhow::Result<u64> {
    let folder = DataFolder::open(data)?;
    let (store, _) = Store::open(&folder.log(), Options::default())?;
    let events = store.durable().0;
    store.close()?;
    Ok(events)
}

/// All read models, from nothing.
async fn rebuild(name: &'static str, data: &Path, place: &Place, progress: &Progress) -> anyhow::Result<Figure> {
    progress.says(name);
    let (data, place) = (data.to_owned(), place.clone());
    let (events, seconds) = off_thread(move || {
        let folder = DataFolder::open(&data)?;
        let (log, _) = Store::open(&folder.log(), Options::default())?;
        let log = Arc::new(log);
        let of = log.clone();
        let ahead = || {
            let of = of.clone();
            Ahead::new(move || Ok(Box::new(Local::new(of.clone(), of.id()))))
        };
        let mut source = ahead()?;
        let mut store = place.open_to_fill()?;
        checkpoints::open(&mut *store, log.id())?;
        let started = Instant::now();
        let mut filling = Filling::begin(&mut *store, &projection::load(None)?, PoisonPolicy::Fail, true)?;
        filling.help(&place, &|| Ok(Box::new(ahead()?)))?;
        let never = AtomicBool::new(false);
        let done = rebuild::fill(&mut filling, &mut *store, &mut source, &never, &mut |_, _| {})?;
        let seconds = started.elapsed().as_secs_f64();
        drop(source);
        folder.note_log(&log)?;
        log.close()?;
        match done {
            Done::Swapped { events } => Ok((events, seconds)),
            Done::Stopped { .. } => bail!("it was not finished"),
        }
    })
    .await?;
    let mut figure = figure(name, Some(events as f64 / seconds), None);
    figure.note = format!("{events} events in {seconds:.1} s");
    progress.step();
    Ok(figure)
}

fn place_args(place: &Place) -> Vec<String> {
    match place {
        Place::Sqlite(path) => vec!["--sqlite".into(), path.display().to_string()],
        Place::Postgres(postgres) => {
            vec!["--postgres".into(), postgres.url.clone(), "--postgres-schema".into(), postgres.schema.clone()]
        }
    }
}

/// Pages of reservations beside no-op GETs, in turns.
async fn page(
    name: &'static str,
    args: &BenchmarkArgs,
    data: &Path,
    place: &Place,
    progress: &Progress,
) -> anyhow::Result<Vec<Figure>> {
    progress.says(name);
    let users = users(place.clone()).await?;
    let secrets = Secrets::open(data, true)?;
    let now = SystemClock::default().now();
    let tokens: Vec<String> = users
        .iter()
        .map(|user| {
            let session = Session {
                account: AccountId(user.0),
                user: *user,
                begun_at_ms: now,
                expires_at_ms: now + 3_600_000,
                nonce: 0,
            };
            secrets.issue(&session)
        })
        .collect();
    let more = place_args(place);
    let server_args: Vec<&str> = SERVER_ARGS.iter().copied().chain(more.iter().map(String::as_str)).collect();
    let server = Server::start(data, &server_args, READY_WITHIN * 5).await?;
    let target = Target::resolve(&server.url).await?;
    let mut workers = Worker::connect(&target, args.connections.into()).await?;
    let round = Duration::from_secs_f64(args.seconds() / f64::from(ROUNDS));
    let (mut noops, mut pages, next) = (Vec::new(), Vec::new(), Cell::new(0));
    let mut latencies = Latencies::default();
    for number in 0..=ROUNDS {
        let noop = closed(&mut workers, round, async |worker| {
            get(worker, "/noop", None);
            worker.expect(200).await.map(drop)
        })
        .await;
        let page = closed(&mut workers, round, async |worker| {
            next.set((next.get() + 1) % tokens.len());
            get(worker, "/v1/me/reservations", Some(&tokens[next.get()]));
            worker.expect(200).await.map(drop)
        })
        .await;
        // The first round warms.
        if number > 0 {
            noops.push(spoilt("noop_get", noop)?.rate());
            latencies.add(&page.latencies);
            pages.push(spoilt(name, page)?.rate());
        }
    }
    drop(workers);
    server.stop().await?;
    let mut figure = figure(name, Some(median(&pages)), Some(median(&noops)));
    figure.p50_ms = Some(latencies.percentile_ms(0.5));
    figure.p99_ms = Some(latencies.percentile_ms(0.99));
    figure.note = format!("no-op GETs in the same run: {:.0}/s", median(&noops));
    progress.step();
    Ok(vec![figure])
}

/// Some users who have reservations.
async fn users(place: Place) -> anyhow::Result<Vec<UserId>> {
    off_thread(move || {
        let mut store = place.open()?;
        let rows = store.query("SELECT user_id FROM reservations ORDER BY reservation_id LIMIT 20000", &[])?;
        let mut rng = Rng::new(1, 1);
        let user = |row: &Vec<_>| text(row, 0).parse::<UserId>().context("a user's id");
        ensure!(!rows.is_empty(), "nothing was reserved");
        (0..READERS).map(|_| user(&rows[rng.below(rows.len())])).collect()
    })
    .await
}

/// Writes a GET into the worker's buffer.
pub fn get(worker: &mut Worker, path: &str, token: Option<&str>) {
    let host = worker.host().to_owned();
    worker.request.clear();
    write_request(&mut worker.request, "GET", path, &host, token, &[], None);
}

/// From the answer to a payment to its row, while so many are paid a second.
async fn answer_to_row(
    name: &'static str,
    args: &BenchmarkArgs,
    scratch: &Scratch,
    postgres: Option<&Postgres>,
    progress: &Progress,
) -> anyhow::Result<Figure> {
    progress.says(name);
    let data = scratch.path().join("selling");
    let place = match postgres {
        None => Place::Sqlite(scratch.path().join("selling.sqlite")),
        Some(postgres) => Place::Postgres(postgres.clone()),
    };
    let more = place_args(&place);
    let server_args: Vec<&str> = SERVER_ARGS.iter().copied().chain(more.iter().map(String::as_str)).collect();
    let server = Server::start(&data, &server_args, READY_WITHIN).await?;
    let target = Target::resolve(&server.url).await?;
    let mut workers = Worker::connect(&target, args.connections.into()).await?;
    let stage = Stage::build(&mut workers, &server.operator_key).await?;
    let window = Duration::from_secs_f64(args.seconds());
    stage.provide(&mut workers, (SALES_PER_S * (WARM + window).as_secs_f64()) as usize + 1_000).await?;
    let watch = Watch::start(place)?;
    let told: RefCell<Vec<(u64, Instant)>> = RefCell::default();
    let mut sell = async |window| {
        let sold = open(&mut workers, SALES_PER_S, window, async |worker| {
            let user = stage.next_user();
            stage.write_hold(worker)?;
            let held = worker.expect(201).await?;
            let id = reservation_id(held.body).ok_or_else(|| Failure::Unexpected("a hold without an id".into()))?;
            stage.write_payment(worker, &id, user);
            let paid = worker.expect(200).await?;
            let position = paid.header("onsale-position").and_then(|position| position.parse().ok());
            told.borrow_mut().push((position.unwrap_or(0), Instant::now()));
            Ok(())
        });
        spoilt(name, sold.await?)
    };
    sell(WARM).await?;
    told.borrow_mut().clear();
    let round = sell(window).await?;
    let last = told.borrow().iter().map(|(position, _)| *position).max().unwrap_or(0);
    let seen = watch.until(last).await?;
    drop(workers);
    server.stop().await?;
    scratch.clear("selling");
    let mut latencies = Latencies::default();
    for (position, at) in told.into_inner() {
        let first = seen.partition_point(|(reached, _)| *reached < position);
        let (_, visible) = seen.get(first).context("a sale never came to be seen")?;
        latencies.record(visible.saturating_duration_since(at));
    }
    let mut figure = figure(name, Some(latencies.percentile_ms(0.99)), None);
    figure.p50_ms = Some(latencies.percentile_ms(0.5));
    figure.note = format!("at {:.0} sales/s", round.rate());
    progress.step();
    Ok(figure)
}

/// Looks all the time how far the tables are: rows and checkpoint become visible together.
struct Watch {
    last: Arc<std::sync::atomic::AtomicU64>,
    thread: std::thread::JoinHandle<anyhow::Result<Vec<(u64, Instant)>>>,
}

impl Watch {
    fn start(place: Place) -> anyhow::Result<Watch> {
        let last = Arc::new(std::sync::atomic::AtomicU64::new(u64::MAX));
        let wanted = last.clone();
        let thread = std::thread::Builder::new().name("watch".into()).spawn(move || {
            const SQL: &str = "SELECT position FROM onsale_read_model WHERE id = 1";
            let mut ask: Box<dyn FnMut() -> anyhow::Result<u64>> = match &place {
                Place::Sqlite(path) => {
                    let connection = sqlite::read_only(path)?;
                    Box::new(move || Ok(int(&sqlite::query(&connection, SQL, &[])?[0], 0)))
                }
                Place::Postgres(_) => {
                    let mut store = place.open()?;
                    Box::new(move || Ok(int(&store.query(SQL, &[])?[0], 0)))
                }
            };
            let (mut seen, started) = (Vec::new(), Instant::now());
            loop {
                let at = ask()?;
                if seen.last().is_none_or(|(before, _)| *before != at) {
                    seen.push((at, Instant::now()));
                }
                let wanted = wanted.load(Ordering::Acquire);
                if at >= wanted {
                    return Ok(seen);
                }
                ensure!(started.elapsed() < Duration::from_secs(120), "position {wanted} never came to be seen");
                std::thread::sleep(Duration::from_millis(1));
            }
        })?;
        Ok(Watch { last, thread })
    }

    /// Everything that was seen until `position` was.
    async fn until(self, position: u64) -> anyhow::Result<Vec<(u64, Instant)>> {
        self.last.store(position, Ordering::Release);
        let started = Instant::now();
        while !self.thread.is_finished() {
            ensure!(started.elapsed() < ARRIVES_WITHIN, "position {position} is not visible after {ARRIVES_WITHIN:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.thread.join().map_err(|_| anyhow::anyhow!("the thread that watched panicked"))?
    }
}
