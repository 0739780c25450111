//! The figures over HTTP: rounds of rivals in turns, so that a ratio comes from the same minutes of the same machine.

pub mod against;

use crate::benchmark::goals::{figure, find};
use crate::benchmark::load::{Failure, Worker, open};
pub use crate::benchmark::rounds::{ROUNDS, Series, client_cpu, reservation_id, spoilt};
use crate::benchmark::stage::Stage;
use crate::benchmark::{FigureFilter, Progress};
use crate::client::Target;
use crate::server::Server;
use anyhow::{Context, bail, ensure};
use base::report::Figure;
use std::cell::Cell;
use std::time::Duration;

/// Connections of the figures whose name ends in 256.
const MANY: usize = 256;
/// No server here answers more requests a second: before the first round, so many pairs are provided for.
const RATE_GUESS: f64 = 40_000.0;

/// Measures over HTTP.
pub struct Online<'a> {
    server: &'a Server,
    stage: Stage,
    workers: Vec<Worker>,
    many: Vec<Worker>,
    round: Duration,
    progress: &'a Progress,
    /// All that were paid, in and out of the measured time.
    purchases: Cell<u64>,
    hold_rate: f64,
    hold_cpu_us: f64,
}

/// A request of one kind.
#[derive(Clone, Copy, PartialEq)]
pub enum RequestKind {
    NoopPost,
    Hold,
    Refused,
    Purchase,
    NoopGet,
    Unchanged,
}

impl<'a> Online<'a> {
    /// Makes ready: connections, users, performances. `round` is the length of one round.
    pub async fn new(
        server: &'a Server,
        connections: usize,
        round: Duration,
        progress: &'a Progress,
    ) -> anyhow::Result<Online<'a>> {
        let target = Target::resolve(&server.url).await?;
        let mut workers = Worker::connect(&target, connections).await?;
        progress.says("users and performances");
        let stage = Stage::build(&mut workers, &server.operator_key).await?;
        stage.fill_first(&mut workers).await?;
        Ok(Online {
            server,
            stage,
            workers,
            many: Worker::connect(&target, MANY).await?,
            round,
            progress,
            purchases: Cell::new(0),
            hold_rate: 0.0,
            hold_cpu_us: 0.0,
        })
    }

    /// Measures what is wanted, in the order of the table.
    pub async fn measure(&mut self, wanted: &FigureFilter) -> anyhow::Result<Vec<Figure>> {
        let mut figures = Vec::new();
        if wanted.any(&["noop_post", "hold_durable", "refuse_taken", "hold_p99", "auth_share"]) {
            figures.extend(self.posts(wanted).await?);
        }
        if wanted.any(&["noop_post_256", "hold_durable_256"]) {
            figures.extend(self.posts_of_many().await?);
        }
        if wanted.any(&["hold_p99"]) {
            figures.push(self.hold_p99().await?);
        }
        if wanted.any(&["purchase"]) {
            let [series] = self.in_turns([RequestKind::Purchase], false).await?;
            figures.push(series.figure("purchase", None));
        }
        if wanted.any(&["noop_get", "availability_304"]) {
            let [noop, unchanged] = self.in_turns([RequestKind::NoopGet, RequestKind::Unchanged], false).await?;
            figures.push(noop.figure("noop_get", None));
            figures.push(unchanged.figure("availability_304", Some(&noop)));
        }
        Ok(figures)
    }

    /// Holds the wallets against the purchases that were made.
    pub async fn check_books(&mut self) -> anyhow::Result<()> {
        self.progress.says("the books");
        self.stage.check_wallets(&mut self.workers, self.purchases.get()).await
    }

    /// The figures about watchers.
    pub async fn watch(&mut self, watchers: usize) -> anyhow::Result<Vec<Figure>> {
        let window = (self.round * ROUNDS).max(crate::benchmark::watch::WINDOW_MIN);
        let (server, progress) = (self.server, self.progress);
        let sale = crate::benchmark::watch::Sale { server, stage: &self.stage, progress, window, watchers };
        let (figures, purchases) = sale.measure(&mut self.workers).await?;
        self.purchases.set(self.purchases.get() + purchases);
        Ok(figures)
    }

    async fn posts(&mut self, wanted: &FigureFilter) -> anyhow::Result<Vec<Figure>> {
        let [noop, hold, refused] = if wanted.any(&["refuse_taken"]) {
            self.in_turns([RequestKind::NoopPost, RequestKind::Hold, RequestKind::Refused], false).await?
        } else {
            let [noop, hold] = self.in_turns([RequestKind::NoopPost, RequestKind::Hold], false).await?;
            [noop, hold, Series::default()]
        };
        self.hold_rate = hold.rate();
        self.hold_cpu_us = hold.server_cpu.as_secs_f64() * 1e6 / hold.done.max(1) as f64;
        let mut figures = vec![noop.figure("noop_post", None), hold.figure("hold_durable", Some(&noop))];
        if !refused.rates.is_empty() {
            figures.push(refused.figure("refuse_taken", Some(&hold)));
        }
        Ok(figures)
    }

    async fn posts_of_many(&mut self) -> anyhow::Result<Vec<Figure>> {
        let [noop, hold] = self.in_turns([RequestKind::NoopPost, RequestKind::Hold], true).await?;
        Ok(vec![noop.figure("noop_post_256", None), hold.figure("hold_durable_256", Some(&noop))])
    }

    async fn hold_p99(&mut self) -> anyhow::Result<Figure> {
        self.progress.says(find("hold_p99").name);
        let rate = self.hold_rate / 2.0;
        ensure!(rate >= 1.0, "hold_durable came to nothing");
        let window = self.round * ROUNDS;
        self.stage.provide(&mut self.workers, (rate * window.as_secs_f64()) as usize + 1000).await?;
        let stage = &self.stage;
        let round = open(&mut self.workers, rate, window, async |worker| {
            stage.write_hold(worker)?;
            worker.expect(201).await.map(|_| ())
        })
        .await?;
        let round = spoilt("hold_p99", round)?;
        self.progress.step();
        let mut figure = figure("hold_p99", Some(round.latencies.percentile_ms(0.99)), None);
        figure.p50_ms = Some(round.latencies.percentile_ms(0.5));
        figure.note = format!("at {:.0} holds/s", round.rate());
        Ok(figure)
    }

    /// Rounds of each act in turns: A B A B A B.
    async fn in_turns<const N: usize>(&mut self, acts: [RequestKind; N], many: bool) -> anyhow::Result<[Series; N]> {
        let mut all: [Series; N] = std::array::from_fn(|_| Series::default());
        for act in acts {
            self.one_round(act, many, self.round / 5, &mut Series::default()).await?;
        }
        for _ in 0..ROUNDS {
            for (act, series) in acts.into_iter().zip(&mut all) {
                self.one_round(act, many, self.round, series).await?;
                self.progress.step();
            }
        }
        Ok(all)
    }

    /// One round of `act` for `window`, which is added to `series`.
    pub async fn one_round(
        &mut self,
        act: RequestKind,
        many: bool,
        window: Duration,
        series: &mut Series,
    ) -> anyhow::Result<()> {
        self.progress.says(act.name());
        if matches!(act, RequestKind::Hold | RequestKind::Purchase) {
            let rate = series.rates.iter().copied().fold(RATE_GUESS.max(self.hold_rate), f64::max) * 1.5;
            self.stage.provide(&mut self.workers, (rate * window.as_secs_f64()) as usize).await?;
        }
        let path = self.stage.availability_path()?;
        let etag = if act == RequestKind::Unchanged { self.etag(&path).await? } else { String::new() };
        let (name, stage, paid, taken) = (act.name(), &self.stage, &self.purchases, Cell::new(0));
        let workers = if many { &mut self.many } else { &mut self.workers };
        let act = async |worker: &mut Worker| {
            match act {
                RequestKind::NoopPost => stage.write_noop(worker),
                RequestKind::Hold => stage.write_hold(worker)?,
                RequestKind::Refused => {
                    taken.set(taken.get() + 1);
                    stage.write_taken_hold(worker, taken.get())?;
                }
                RequestKind::NoopGet => stage.write_get(worker, "/noop", "\"never\""),
                RequestKind::Unchanged => stage.write_get(worker, &path, &etag),
                RequestKind::Purchase => {
                    purchase(stage, worker).await?;
                    paid.set(paid.get() + 1);
                    return Ok(());
                }
            }
            worker.expect(act.status()).await.map(|_| ())
        };
        series.round(name, self.server, workers, window, act).await
    }

    async fn etag(&mut self, path: &str) -> anyhow::Result<String> {
        let worker = &mut self.workers[0];
        self.stage.write_get(worker, path, "\"never\"");
        match worker.expect(200).await {
            Ok(reply) => reply.header("etag").with_context(|| format!("{path} has no ETag")),
            Err(Failure::Unexpected(what)) => bail!("{path}: {what}"),
            Err(Failure::Exhausted) => bail!("{path}: nothing to ask for"),
        }
    }

    /// The share of a hold's processor time that `us` microseconds are.
    pub fn auth_share(&self, us: f64) -> Figure {
        let mut figure = figure("auth_share", Some(us / self.hold_cpu_us.max(1e-9)), None);
        figure.note = format!("{us:.2} µs of {:.1} µs", self.hold_cpu_us);
        figure
    }
}

impl RequestKind {
    fn name(self) -> &'static str {
        match self {
            RequestKind::NoopPost => "noop_post",
            RequestKind::Hold => "hold_durable",
            RequestKind::Refused => "refuse_taken",
            RequestKind::Purchase => "purchase",
            RequestKind::NoopGet => "noop_get",
            RequestKind::Unchanged => "availability_304",
        }
    }

    fn status(self) -> u16 {
        match self {
            RequestKind::NoopPost | RequestKind::NoopGet | RequestKind::Purchase => 200,
            RequestKind::Hold => 201,
            RequestKind::Refused => 409,
            RequestKind::Unchanged => 304,
        }
    }
}

/// A hold and its payment; gives the position of what it caused last.
pub async fn purchase(stage: &Stage, worker: &mut Worker) -> Result<u64, Failure> {
    let user = stage.next_user();
    stage.write_hold(worker)?;
    let held = worker.expect(201).await?;
    let id = reservation_id(held.body).ok_or_else(|| Failure::Unexpected("a hold without an id".to_owned()))?;
    stage.write_payment(worker, &id, user);
    let position = worker.expect(200).await?.header("onsale-position").and_then(|position| position.parse().ok());
    position.ok_or_else(|| Failure::Unexpected("a payment without a position".to_owned()))
}
