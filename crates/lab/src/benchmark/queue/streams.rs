//! The figures of streams: thousands who wait, all told one frame a second, and those whose turn it is told at once.

use super::{Run, read, write};
use crate::benchmark::goals::figure;
use crate::benchmark::load::Worker;
use crate::client::Target;
use crate::server::{Server, off_thread};
use crate::stats::{Latencies, median};
use crate::watch::events::Event;
use crate::watch::{Ask, Reader, Watchers};
use anyhow::{Context, ensure};
use base::id::{EntryId, QueueId};
use base::process_limits::raise_open_files;
use base::report::{Figure, grouped};
use security::secrets::waiting::Waiting;
use serde_json::json;
use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub const NAMES: [&str; 2] = ["sse_admit_p99", "sse_broadcast_core"];
/// How often people are let in, for the first figure.
const ADMISSIONS: usize = 3;
/// Of those who are not let in, so many are looked at: whether they are told the line.
const LOOKED_AT: usize = 100;
/// The processor time of a shorter window says little.
const WINDOW_MIN: Duration = Duration::from_secs(5);
const TOLD_WITHIN: Duration = Duration::from_secs(10);
/// Between two admissions.
const CALM: Duration = Duration::from_secs(2);
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(30);

/// Files and sockets of the server and of this process beside the streams.
const OTHER_FILES: u64 = 1_000;

/// How many streams there are, and how many people are let in at once. Fewer where a process may not open so many files.
fn streams(quick: bool) -> (usize, usize) {
    let (count, at_once) = if quick { (500, 50) } else { (20_000, 1_000) };
    let files = raise_open_files(count + OTHER_FILES);
    (count.min(files.saturating_sub(OTHER_FILES)) as usize, at_once)
}

pub async fn measure(run: &Run<'_>, server: &Server, quick: bool) -> anyhow::Result<Vec<Figure>> {
    run.progress.says(NAMES[0]);
    let (count, at_once) = streams(quick);
    let window = (run.round * 3).max(WINDOW_MIN);
    let mut workers = Worker::connect(&Target::resolve(&server.url).await?, run.connections).await?;
    let stage = Stage::build(run, server, &mut workers, count + window.as_secs() as usize).await?;

    let address: SocketAddr = server.url.trim_start_matches("http://").parse()?;
    let asks: Vec<Ask> = (1..=count as u32).map(|ticket| stage.ask(run, ticket)).collect();
    let told: Arc<[AtomicU32]> = [const { AtomicU32::new(0) }; ADMISSIONS].into();
    let seen = Arc::new(AtomicU32::new(0));
    let reader = Turns {
        at_once,
        count,
        admitted_at: vec![None; ADMISSIONS * at_once],
        told: told.clone(),
        seen: seen.clone(),
        lines: vec![],
    };
    let looked_at = (0..count).filter(|watcher| reader.is_looked_at(*watcher)).count() as u32;
    let watchers = off_thread(move || Watchers::connect_each(address, &asks, reader)).await?;
    caught_up(&seen, looked_at).await?;

    let (cpu_before, started) = (server.cpu_time().context("no /proc")?, Instant::now());
    for second in 1..=window.as_secs() {
        // Something happens in each: somebody far back leaves.
        stage.leave(run, &mut workers[0], count as u32 + second as u32).await?;
        tokio::time::sleep_until((started + Duration::from_secs(second)).into()).await;
    }
    let ended = Instant::now();
    let core = (server.cpu_time().context("no /proc")? - cpu_before).as_secs_f64() / (ended - started).as_secs_f64();
    run.progress.step();

    let mut admissions = Vec::new();
    for told in told.iter() {
        tokio::time::sleep(CALM).await;
        admissions.push(stage.admit(&mut workers[0], at_once).await?);
        let sent = Instant::now();
        while told.load(Ordering::Relaxed) < at_once as u32 && sent.elapsed() < TOLD_WITHIN && !watchers.has_ended() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    ensure!(!watchers.has_ended(), "a stream was lost: {:#}", watchers.stop().err().context("it ended")?);
    let (turns, reading) = off_thread(move || watchers.stop()).await?;
    run.progress.step();

    let lines = turns.lines_between(started, ended);
    let due = window.as_secs() as usize;
    ensure!(lines.iter().all(|lines| (due - 1..=due + 1).contains(lines)), "{due} frames were due, and {lines:?} came");
    let latencies = turns.after(&admissions)?;
    let mut admit = figure(NAMES[0], Some(latencies.percentile_ms(0.99)), None);
    admit.p50_ms = Some(latencies.percentile_ms(0.5));
    let answers: Vec<f64> = admissions.iter().map(|(sent, answered)| (*answered - *sent).as_secs_f64() * 1e3).collect();
    admit.note = format!(
        "{} streams, {} times {} people, from the sending of the request, which is answered after {:.1} ms",
        grouped(count as u64),
        ADMISSIONS,
        grouped(at_once as u64),
        median(&answers),
    );
    let mut core = figure(NAMES[1], Some(core), None);
    core.note =
        format!("{} streams; the client took {:.1} s in all to read", grouped(count as u64), reading.as_secs_f64());
    Ok(vec![admit, core])
}

/// Waits until the frames are read that came while others still connected: from then on it is one a second.
async fn caught_up(seen: &AtomicU32, looked_at: u32) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        let before = seen.load(Ordering::Relaxed);
        tokio::time::sleep(CALM).await;
        let lines = seen.load(Ordering::Relaxed) - before;
        if (looked_at..=looked_at * (CALM.as_secs() as u32 + 1)).contains(&lines) {
            return Ok(());
        }
        ensure!(started.elapsed() < CAUGHT_UP_WITHIN, "{looked_at} streams bring {lines} lines in {CALM:?}");
    }
}

/// A queue of its own.
struct Stage {
    queue: QueueId,
    organizer_key: String,
}

impl Stage {
    async fn build(run: &Run<'_>, server: &Server, workers: &mut [Worker], people: usize) -> anyhow::Result<Stage> {
        let first = &mut workers[0];
        write(first, "POST", "/v1/organizers", &server.operator_key, Some(br#"{"name":"Benchmark"}"#));
        let organizer = read(first, 201).await?;
        let organizer_key = organizer["key"]["secret"].as_str().context("an organizer without a key")?.to_owned();
        let body = json!({"name": "Streams", "policy": {"manual": true}}).to_string();
        write(first, "POST", "/v1/queues", &organizer_key, Some(body.as_bytes()));
        let queue = read(first, 201).await?;
        let queue: QueueId = queue["queue_id"].as_str().context("a queue without an id")?.parse()?;
        let (path, joined) = (format!("/v1/queues/{queue}/entries"), Cell::new(0));
        let joins = workers.iter_mut().map(async |worker| {
            while joined.get() < people {
                joined.set(joined.get() + 1);
                write(worker, "POST", &path, &run.newcomer(), None);
                read(worker, 201).await?;
            }
            anyhow::Ok(())
        });
        futures_util::future::try_join_all(joins).await?;
        Ok(Stage { queue, organizer_key })
    }

    fn path(&self, ticket: u32) -> String {
        format!("/v1/queues/{}/entries/{}", self.queue, EntryId::of(self.queue, ticket))
    }

    fn token(&self, run: &Run<'_>, ticket: u32) -> String {
        run.secrets.waiting_token(&Waiting { entry: EntryId::of(self.queue, ticket), redirect: 0 })
    }

    fn ask(&self, run: &Run<'_>, ticket: u32) -> Ask {
        Ask { path: self.path(ticket) + "/events", token: Some(self.token(run, ticket)) }
    }

    async fn leave(&self, run: &Run<'_>, worker: &mut Worker, ticket: u32) -> anyhow::Result<()> {
        write(worker, "DELETE", &self.path(ticket), &self.token(run, ticket), None);
        read(worker, 200).await.map(|_| ())
    }

    /// Lets the next ones in. When that was asked for, and when it was answered.
    async fn admit(&self, worker: &mut Worker, count: usize) -> anyhow::Result<(Instant, Instant)> {
        let (path, body) = (format!("/v1/queues/{}/admissions", self.queue), json!({"count": count}).to_string());
        write(worker, "POST", &path, &self.organizer_key, Some(body.as_bytes()));
        let sent = Instant::now();
        let admitted = read(worker, 200).await?;
        let answered = Instant::now();
        ensure!(admitted["admitted"] == count, "{count} should have been let in: {admitted}");
        Ok((sent, answered))
    }
}

/// When whose turn came, and when others were told the line. A watcher has the ticket after its number.
struct Turns {
    at_once: usize,
    count: usize,
    admitted_at: Vec<Option<Instant>>,
    /// How many of each admission were told, for those who wait for it.
    told: Arc<[AtomicU32]>,
    /// How many lines came to those who are looked at.
    seen: Arc<AtomicU32>,
    lines: Vec<(usize, Instant)>,
}

impl Reader for Turns {
    fn event(&mut self, watcher: usize, at: Instant, event: Event<'_>) {
        match self.admitted_at.get_mut(watcher) {
            Some(admitted_at) => {
                let admitted = event.name == "entry" && event.data.contains("\"state\":\"admitted\"");
                if admitted && admitted_at.replace(at).is_none() {
                    self.told[watcher / self.at_once].fetch_add(1, Ordering::Relaxed);
                }
            }
            None if event.name == "line" => {
                self.seen.fetch_add(1, Ordering::Relaxed);
                self.lines.push((watcher, at));
            }
            _ => {}
        }
    }

    fn wants(&self, watcher: usize) -> bool {
        watcher < self.admitted_at.len() || self.is_looked_at(watcher)
    }
}

impl Turns {
    fn is_looked_at(&self, watcher: usize) -> bool {
        watcher >= self.admitted_at.len() && watcher.is_multiple_of((self.count / LOOKED_AT).max(1))
    }

    /// How many lines each who is looked at was told.
    fn lines_between(&self, from: Instant, to: Instant) -> Vec<usize> {
        let looked_at = (0..self.count).filter(|watcher| self.is_looked_at(*watcher));
        let of = |watcher| self.lines.iter().filter(|(who, at)| *who == watcher && (from..to).contains(at)).count();
        looked_at.map(of).collect()
    }

    /// How long after its sending each admission was with each whom it let in.
    fn after(&self, admissions: &[(Instant, Instant)]) -> anyhow::Result<Latencies> {
        let mut latencies = Latencies::default();
        for (people, (sent, _)) in self.admitted_at.chunks(self.at_once).zip(admissions) {
            for (number, at) in people.iter().enumerate() {
                let at = at.with_context(|| format!("number {number} of an admission was not told"))?;
                latencies.record(at.saturating_duration_since(*sent));
            }
        }
        Ok(latencies)
    }
}
