//! `onsale crowd`: thousands of buyers race for the same seats over HTTP, and then the books are checked.
//!
//! Every buyer signs up and is charged; then the sale opens and all of them are there at once, sharing the connections.
//! They look at the availability, hold favourite seats, the best available or standing places, go elsewhere when they
//! are refused, and pay; some walk away, some cancel before or after paying, some send their requests twice.
//! - [`plan`]: what a buyer is like, drawn from the seed
//! - [`rehearsal`]: the expected sale of `--plan`, and whether it held
//! - [`buyer`]: what a buyer does
//! - [`api`]: how requests are sent and counted
//! - [`scene`]: the performance; [`view`]: what is left of it
//! - [`watch`]: those who only watch
//! - [`waiting`]: the queue before the sale; [`listening`]: those who wait there on a stream
//! - [`books`]: the check from outside; [`tables`]: that of the read models

mod api;
mod args;
mod books;
mod buyer;
mod listening;
mod plan;
mod rehearsal;
mod scene;
mod summary;
mod tables;
mod view;
mod waiting;
mod watch;

pub use args::CrowdArgs;

use super::client::{Pool, Target};
use super::server::{Scratch, Server};
use anyhow::{Context, ensure};
use api::{Api, NoOutcome};
use base::report::figures_table;
use books::{BuyerBook, ServerRecord};
use buyer::Buyer;
use futures_util::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use rehearsal::Rehearsal;
use scene::Scene;
use serde_json::json;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use summary::Outcome;
use tables::Tables;
use watch::Watch;

const READY_WITHIN: Duration = Duration::from_secs(60);
/// Files and sockets of this process beside the buyers' streams.
const OTHER_FILES: u64 = 5_000;
/// The crowd's own server hashes passwords as cheaply as it can: thousands sign up at once, and what is looked at is
/// the sale. A real server spends about 50 ms of a core on each.
const SERVER_ARGS: [&str; 6] = [
    "--password-memory-kib",
    "64",
    "--password-passes",
    "1",
    // All watchers come from here.
    "--streams-per-address-max",
    "100000",
];

/// Runs a crowd and prints what happened. The exit code is 1 when the books do not hold.
pub fn run(args: CrowdArgs) -> anyhow::Result<ExitCode> {
    super::server::run(crowd(args))
}

async fn crowd(mut args: CrowdArgs) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let rehearsal = args.plan.as_deref().map(Rehearsal::read).transpose()?;
    if let Some(rehearsal) = &rehearsal {
        rehearsal.apply(&mut args);
    }
    // Declared in this order: the server stops before its data goes.
    let scratch = match args.url {
        Some(_) => None,
        None => Some(Scratch::new(args.data.as_deref(), "crowd", args.keep)?),
    };
    let data = scratch.as_ref().map(|scratch| scratch.path().join("data"));
    let tables = data.as_ref().filter(|_| args.read_models).map(|data| Tables::of(&args, data));
    let server = match &data {
        None => None,
        Some(data) => {
            let own = tables.as_ref().map(Tables::flags).unwrap_or_default();
            let flags: Vec<&str> = SERVER_ARGS.into_iter().chain(own.iter().map(String::as_str)).collect();
            Some(Server::start(data, &flags, READY_WITHIN).await?)
        }
    };
    let url = args.url.as_deref().or(server.as_ref().map(|server| server.url.as_str())).expect("one of both");
    let target = Target::resolve(url).await?;
    let operator_key = args.operator_key.as_deref().or(server.as_ref().map(|server| server.operator_key.as_str()));
    let outcome = visit(&args, target, operator_key).await?;
    let mut log = None;
    if let (Some(server), Some(data)) = (server, &data) {
        server.stop().await.context("after the sale")?;
        let mut books = crate::check_log(data).await?;
        if let Some(tables) = tables {
            let differs = tables.compare(data).await?;
            let ok = differs.is_empty() && books.get("ok") == Some(&json!(true));
            books.insert("read_models_differ".into(), json!(differs));
            books.insert("ok".into(), json!(ok));
        }
        log = Some(books);
    }
    let mut report = summary::report(outcome, log, started.elapsed());
    if let Some(rehearsal) = &rehearsal {
        rehearsal.judge(&mut report);
    }
    if args.json {
        base::terminal::say(format_args!("{}\n", serde_json::to_string(&report)?));
    } else {
        base::terminal::say(format_args!("{}", summary::text(&report)));
        if rehearsal.is_some() {
            base::terminal::say(format_args!("{}{}", figures_table(&report.figures), rehearsal::text(&report)));
        }
    }
    Ok(if report.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn visit(args: &CrowdArgs, target: Target, operator_key: Option<&str>) -> anyhow::Result<Outcome> {
    if args.queue {
        // Half of the buyers wait on a stream.
        base::process_limits::raise_open_files(u64::from(args.buyers) + OTHER_FILES);
    }
    let api = Api::new(Pool::new(target.clone(), args.connections.into()));
    let scene = match &args.performance {
        Some(performance) => Scene::adopt(&api, performance, args.key.as_deref()).await?,
        None => {
            Scene::create(
                &api,
                args.key.as_deref(),
                operator_key,
                args.seats as usize,
                args.queue.then_some(args.buyers),
            )
            .await?
        }
    };
    let seed = args.seed.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0 >> 32);
    let run = uuid::Uuid::new_v4().simple().to_string();
    let mut buyers: Vec<_> =
        (0..args.buyers as usize).map(|number| Buyer::new(&api, &scene, &run, number, seed)).collect();

    phase("signing up", &mut buyers, async |buyer| buyer.sign_up().await).await;
    let signed_up = buyers.iter().filter(|buyer| !buyer.book.unresolved).count();
    ensure!(signed_up > 0, "nobody could sign up: {}", api.into_tally().first_unexpected.unwrap_or_default());
    phase("charging", &mut buyers, async |buyer| buyer.charge_first().await).await;
    let watch = match args.watchers as usize {
        0 => None,
        count => Some(Watch::start(&target, &scene, count).await?),
    };
    scene.open_queue(&api).await?;
    let opened = Instant::now();
    phase("buying", &mut buyers, async |buyer| buyer.come().await).await;
    // Until the last one that bought: those who find nothing go on trying for a while.
    let last = buyers.iter().filter_map(|buyer| buyer.bought_at).max();
    let sale = last.unwrap_or_else(Instant::now) - opened;

    if args.cancel {
        scene.cancel(&api).await?;
        buyers.iter_mut().for_each(|buyer| buyer.book.called_off());
    }
    let repeats = buyers.iter().flat_map(|buyer| &buyer.repeats_differ);
    let mut seen = ServerRecord { repeats_differ: repeats.cloned().collect(), ..ServerRecord::default() };
    scene.look(&api, &mut seen).await?;
    if let Some(watch) = watch {
        seen.pictures_off = watch.compare(&seen.availability).await?;
    }
    if args.cancel {
        // A cancelled performance has no places to compare.
        seen.areas.clear();
    }
    let bar = progress("reading back", buyers.len());
    let mut reads = futures_util::stream::iter(buyers.iter().map(Buyer::read_back)).buffered(buyers.len());
    while let Some(read) = reads.next().await {
        bar.inc(1);
        let read = read.unwrap_or_default();
        seen.balances.push(read.balance);
        seen.statements.push(read.statement);
        seen.entries.push(read.entry);
        seen.reservations.extend(read.reservations.into_iter().map(|(id, state, places)| (id, (state, places))));
    }
    drop(reads);
    bar.finish_and_clear();
    seen.reconciled = scene.reconcile(&api).await?;
    let own: Vec<&BuyerBook> = buyers.iter().map(|buyer| &buyer.book).collect();
    let kept = own.iter().flat_map(|book| &book.reservations);
    let confirmed = kept.filter(|kept| matches!(kept.state, books::State::Confirmed | books::State::Cancelled)).count();
    let books = books::check(&own, &seen);
    drop(buyers);
    Ok(Outcome { buyers: args.buyers, seed, tally: api.into_tally(), books, sale, confirmed: confirmed as u64 })
}

/// Lets all buyers act at once; one that gets no outcome takes no part in what follows.
async fn phase<'a>(
    name: &'static str,
    buyers: &mut [Buyer<'a>],
    act: impl AsyncFn(&mut Buyer<'a>) -> Result<(), NoOutcome>,
) {
    let bar = progress(name, buyers.len());
    let acts = buyers.iter_mut().map(async |buyer| {
        if !buyer.book.unresolved && act(buyer).await.is_err() {
            buyer.book.unresolved = true;
        }
        bar.inc(1);
    });
    futures_util::future::join_all(acts).await;
    bar.finish_and_clear();
}

fn progress(name: &'static str, length: usize) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{msg:14} {wide_bar} {pos}/{len} {elapsed} left {eta}").expect("a template");
    ProgressBar::new(length as u64).with_style(style).with_message(name)
}
