//! The figures of the queue: joining, asking, starting again with a million who wait, and what ten million take.
//!
//! - [`mod@line`]: a queue in which many wait, made without HTTP
//! - [`size`]: what it takes in this process
//! - [`opening`]: people who ask when they are told to
//! - [`streams`]: those who are told instead of asking
//! - [`redis`]: what a list of people in Redis does on the same machine

pub mod line;
mod opening;
mod redis;
mod run;
mod size;
mod streams;

use super::goals::{figure, find};
use super::load::Worker;
use super::online::{ROUNDS, Series};
use super::{BenchmarkArgs, FigureFilter, Progress, READY_WITHIN, server_alone};
use crate::client::Target;
use crate::server::{Scratch, Server, off_thread};
use crate::stats::{Rng, median};
use anyhow::ensure;
use base::clock::{Clock, SystemClock};
use base::id::{AccountId, Millis, UserId};
use base::report::{Figure, grouped};
use eventlog::data_folder::DataFolder;
use redis::Redis;
use run::{Run, read, write};
use security::secrets::{Secrets, Session};
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::time::Duration;

/// The figures of these files.
pub const NAMES: [&str; 12] = [
    "join_durable",
    "redis_zadd_fsync",
    "join_beside_redis",
    "rank_poll",
    "redis_zrank",
    "restart_million_waiting",
    size::NAMES[0],
    size::NAMES[1],
    opening::NAMES[0],
    opening::NAMES[1],
    streams::NAMES[0],
    streams::NAMES[1],
];
const JOINS: [&str; 3] = ["join_durable", "redis_zadd_fsync", "join_beside_redis"];
const POLLS: [&str; 2] = ["rank_poll", "redis_zrank"];
const RESTART: &str = "restart_million_waiting";
/// People whose entries are polled.
const POLLED: usize = 20_000;
/// A snapshot is made after 500,000 events: a start is at most so far behind one.
const SNAPSHOT_BEFORE: u32 = 499_000;
/// People who join before each kill.
const JOINED_BEFORE_KILL: usize = 64;
/// Starts of each kind; the median counts.
const STARTS: u32 = 3;
/// A generous guess of what somebody who joins takes on disk, with the snapshots.
const JOIN_BYTES_GUESS: u64 = 2_000;

/// How many wait, in this process and over HTTP.
fn people(quick: bool) -> (u32, u32) {
    if quick { (300_000, 50_000) } else { (10_000_000, 1_000_000) }
}

/// Steps of the progress bar.
pub fn steps(wanted: &FigureFilter) -> u64 {
    let groups: [(&[&str], u64); 7] = [
        (&size::NAMES, 1),
        (&opening::NAMES[..1], 1),
        (&opening::NAMES[1..], 1),
        (&[RESTART], u64::from(STARTS)),
        (&JOINS, u64::from(ROUNDS)),
        (&POLLS, u64::from(ROUNDS)),
        (&streams::NAMES, 2),
    ];
    let steps: u64 = groups.iter().filter(|(names, _)| wanted.any(names)).map(|(_, steps)| steps).sum();
    steps + u64::from(is_over_http(wanted))
}

fn is_over_http(wanted: &FigureFilter) -> bool {
    is_of_a_million(wanted) || wanted.any(&streams::NAMES)
}

fn is_of_a_million(wanted: &FigureFilter) -> bool {
    wanted.any(&JOINS) || wanted.any(&POLLS) || wanted.any(&[RESTART])
}

/// The figures of this process. To be measured before it has had more in memory than it needs.
pub async fn in_process(
    wanted: &FigureFilter,
    args: &BenchmarkArgs,
    scratch: &Scratch,
    progress: &Progress,
) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    if wanted.any(&size::NAMES) {
        progress.says(size::NAMES[0]);
        let (people, _) = people(args.quick);
        let folder = scratch.path().join("size");
        std::fs::create_dir_all(&folder)?;
        let secrets = Secrets::open(&folder, false)?;
        figures = off_thread(move || size::measure(people, &secrets)).await?;
        figures.retain(|figure| wanted.any(&[figure.name]));
        progress.step();
    }
    let quick = args.quick;
    for (name, measure) in opening::NAMES.into_iter().zip([opening::polls, opening::missed]) {
        if wanted.any(&[name]) {
            progress.says(name);
            figures.push(off_thread(move || measure(quick)).await?);
            progress.step();
        }
    }
    Ok(figures)
}

/// The figures over HTTP, and what the check of the log says.
pub async fn online(
    wanted: &FigureFilter,
    args: &BenchmarkArgs,
    scratch: &Scratch,
    progress: &Progress,
) -> anyhow::Result<Option<(Vec<Figure>, Map<String, Value>)>> {
    if !is_over_http(wanted) {
        return Ok(None);
    }
    progress.says("a million who wait");
    let (_, people) = if is_of_a_million(wanted) { people(args.quick) } else { (0, 1_000) };
    let room = u64::from(people) * JOIN_BYTES_GUESS;
    ensure!(scratch.has_room(room), "{people} people need {} GB free on disk", room * 2 / 1_000_000_000 + 1);
    let data = scratch.path().join("queue");
    let to = data.clone();
    off_thread(move || line::generate(&to, people, SNAPSHOT_BEFORE.min(people / 2))).await?;
    progress.step();

    let mut run = Run {
        secrets: Secrets::open(DataFolder::open(&data)?.path(), true)?,
        scratch: scratch.path().to_owned(),
        data,
        connections: args.connections.into(),
        round: Duration::from_secs_f64(args.seconds() / f64::from(ROUNDS)),
        waiting: people,
        newcomers: RefCell::new(Box::new(line::users(1))),
        progress,
    };
    let mut figures = Vec::new();
    if wanted.any(&[RESTART]) {
        figures.push(run.restarts().await?);
    }
    let server = Server::start(&run.data, &server_alone(), READY_WITHIN).await?;
    if wanted.any(&JOINS) {
        figures.extend(run.joins(&server).await?);
    }
    if wanted.any(&POLLS) {
        figures.extend(run.polls(&server).await?);
    }
    if wanted.any(&streams::NAMES) {
        figures.extend(streams::measure(&run, &server, args.quick).await?);
    }
    server.stop().await?;
    progress.says("the books");
    Ok(Some((figures, crate::check_log(&run.data).await?)))
}

impl Run<'_> {
    /// Starts after an orderly stop and after kill -9, in turns.
    async fn restarts(&mut self) -> anyhow::Result<Figure> {
        self.progress.says(RESTART);
        let (mut stopped, mut killed, mut memory) = (Vec::new(), Vec::new(), 0);
        for _ in 0..STARTS {
            let server = Server::start(&self.data, &server_alone(), READY_WITHIN).await?;
            stopped.push(server.ready_after.as_secs_f64() * 1e3);
            let mut workers = Worker::connect(&Target::resolve(&server.url).await?, 1).await?;
            self.check_ranks(&mut workers[0]).await?;
            for _ in 0..JOINED_BEFORE_KILL {
                self.write_join(&mut workers[0]);
                read(&mut workers[0], 201).await?;
                self.waiting += 1;
            }
            server.kill()?;

            let server = Server::start(&self.data, &server_alone(), READY_WITHIN).await?;
            killed.push(server.ready_after.as_secs_f64() * 1e3);
            let mut workers = Worker::connect(&Target::resolve(&server.url).await?, 1).await?;
            self.check_ranks(&mut workers[0]).await?;
            memory = memory.max(server.memory_bytes()?.0);
            drop(workers);
            server.stop().await?;
            self.progress.step();
        }
        let (stopped, killed) = (median(&stopped), median(&killed));
        let mut restart = figure(RESTART, Some(stopped.max(killed)), None);
        restart.note = format!(
            "{stopped:.0} ms after an orderly stop, {killed:.0} ms after kill -9, with {} people; the server then has {} MB",
            grouped(self.waiting.into()),
            memory / 1_000_000,
        );
        Ok(restart)
    }

    /// The first, the last and others have the rank that they had.
    async fn check_ranks(&self, worker: &mut Worker) -> anyhow::Result<()> {
        for ticket in [1, 2, self.waiting / 3, self.waiting / 2, self.waiting] {
            let (path, token) = line::entry(&self.secrets, ticket);
            write(worker, "GET", &path, &token, None);
            let entry = read(worker, 200).await?;
            ensure!(
                entry["rank"] == ticket - 1 && entry["waiting"] == self.waiting,
                "ticket {ticket} of {}: {entry}",
                self.waiting
            );
        }
        Ok(())
    }

    /// No-op, join, and Redis where there is one, in turns.
    async fn joins(&self, server: &Server) -> anyhow::Result<Vec<Figure>> {
        let mut workers = Worker::connect(&Target::resolve(&server.url).await?, self.connections).await?;
        let mut redis = Redis::start(&self.scratch).await?;
        let noop_body = br#"{"seats":["A-1-1","A-1-2"]}"#;
        let token = self.session(UserId(uuid::Uuid::from_u128(1)));
        let [mut noop, mut join] = [Series::default(), Series::default()];
        let mut zadd = Vec::new();
        for round in 0..=ROUNDS {
            // The first one warms up.
            let window = if round == 0 { self.round / 5 } else { self.round };
            self.progress.says("noop_post");
            let mut rounds = [Series::default(), Series::default()];
            let act = async |worker: &mut Worker| {
                write(worker, "POST", "/noop", &token, Some(noop_body));
                worker.expect(200).await.map(|_| ())
            };
            let into = if round == 0 { &mut rounds[0] } else { &mut noop };
            into.round("noop_post", server, &mut workers, window, act).await?;
            self.progress.says(find("join_durable").name);
            let act = async |worker: &mut Worker| {
                self.write_join(worker);
                worker.expect(201).await.map(|_| ())
            };
            let into = if round == 0 { &mut rounds[1] } else { &mut join };
            into.round("join_durable", server, &mut workers, window, act).await?;
            if let Some(redis) = redis.as_mut().filter(|_| round > 0) {
                self.progress.says(find("redis_zadd_fsync").name);
                zadd.push(redis.zadd(self.connections, window).await?);
            }
            if round > 0 {
                self.progress.step();
            }
        }
        let beside = redis.is_some().then(|| median(&zadd));
        let mut figures = vec![noop.figure("noop_post", None), join.figure("join_durable", Some(&noop))];
        figures.push(redis::figure_of("redis_zadd_fsync", beside));
        figures.extend(beside.map(|beside| figure("join_beside_redis", Some(join.rate()), Some(beside))));
        Ok(figures)
    }

    /// No-op, poll, and Redis where there is one, in turns.
    async fn polls(&self, server: &Server) -> anyhow::Result<Vec<Figure>> {
        let mut workers = Worker::connect(&Target::resolve(&server.url).await?, self.connections).await?;
        let mut redis = Redis::start(&self.scratch).await?;
        if let Some(redis) = &mut redis {
            redis.fill().await?;
        }
        let mut random = Rng::new(7, 0);
        // Made before, so that the client has no more to do than for the no-op.
        let entries: Vec<_> =
            (0..POLLED).map(|_| line::entry(&self.secrets, random.below(self.waiting as usize) as u32 + 1)).collect();
        let next = std::cell::Cell::new(0);
        let [mut noop, mut poll] = [Series::default(), Series::default()];
        let mut zrank = Vec::new();
        for round in 0..=ROUNDS {
            let window = if round == 0 { self.round / 5 } else { self.round };
            let mut warm = [Series::default(), Series::default()];
            self.progress.says("noop_get");
            let act = async |worker: &mut Worker| {
                next.set((next.get() + 1) % POLLED);
                write(worker, "GET", "/noop", &entries[next.get()].1, None);
                worker.expect(200).await.map(|_| ())
            };
            let into = if round == 0 { &mut warm[0] } else { &mut noop };
            into.round("noop_get", server, &mut workers, window, act).await?;
            self.progress.says(find("rank_poll").name);
            let act = async |worker: &mut Worker| {
                next.set((next.get() + 1) % POLLED);
                let (path, token) = &entries[next.get()];
                write(worker, "GET", path, token, None);
                worker.expect(200).await.map(|_| ())
            };
            let into = if round == 0 { &mut warm[1] } else { &mut poll };
            into.round("rank_poll", server, &mut workers, window, act).await?;
            if let Some(redis) = redis.as_mut().filter(|_| round > 0) {
                self.progress.says(find("redis_zrank").name);
                zrank.push(redis.zrank(self.connections, window).await?);
            }
            if round > 0 {
                self.progress.step();
            }
        }
        let mut figures = vec![noop.figure("noop_get", None), poll.figure("rank_poll", Some(&noop))];
        figures.push(redis::figure_of("redis_zrank", redis.is_some().then(|| median(&zrank))));
        Ok(figures)
    }

    /// Writes the next newcomer's join into the worker's buffer.
    fn write_join(&self, worker: &mut Worker) {
        let path = format!("/v1/queues/{}/entries", line::queue());
        write(worker, "POST", &path, &self.newcomer(), None);
    }

    /// A session of somebody who waits nowhere.
    fn newcomer(&self) -> String {
        self.session(self.newcomers.borrow_mut().next().expect("there are always more"))
    }

    /// A session as signing in would give it: to sign up a million users would take hours, and joining asks no account.
    fn session(&self, user: UserId) -> String {
        const HOUR_MS: Millis = 3_600_000;
        let now = SystemClock::default().now();
        let account = AccountId(user.0);
        self.secrets.issue(&Session { account, user, begun_at_ms: now, expires_at_ms: now + HOUR_MS, nonce: 0 })
    }
}
