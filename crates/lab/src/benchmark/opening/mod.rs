//! `--opening`: thousands who ask when they are told to, and thousands who have a stream, through the opening of a queue on a
//! real server: a pause and a resume, everybody reloading at once, and a restart besides.
//!
//! - [`crowd`]: those who ask, over some hundred connections; each request is due at an instant and counts from it
//! - [`listeners`]: those who have a stream, a connection each
//! - [`served`]: what the server says of the same requests

mod crowd;
mod listeners;
mod served;

use super::args::{BenchmarkArgs, Progress, READY_WITHIN, server_alone};
use super::goals::figure;
use crate::client::{Connection, Target, write_request};
use crate::server::{Scratch, Server};
use anyhow::{Context, ensure};
use api::kit::time::Time;
use base::id::{Millis, QueueId};
use base::process_limits::raise_open_files;
use base::report::{Figure, grouped};
use crowd::{Crowd, PARTS};
use serde_json::{Value, json};
use served::PollHistogram;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep_until};

/// Steps of the progress bar: one for each part.
pub const STEPS: u64 = PARTS.len() as u64;
/// Files and sockets beside the streams.
const OTHER_FILES: u64 = 2_000;
/// So many join in a second, on a slow machine; until then the opening waits.
const JOINS_PER_S: u32 = 1_000;
/// One of so many loads the page again around the opening.
const IMPATIENT: usize = 5;
/// All who gathered are let in within about so long, s.
const THROUGH_IN_S: u32 = 120;

/// When what happens, s after the queue opens; and how long before that everybody has joined.
struct Times {
    before: u64,
    pause: u64,
    resume: u64,
    reload: u64,
    restart: u64,
    end: u64,
}

impl Times {
    fn of(quick: bool) -> Times {
        match quick {
            true => Times { before: 3, pause: 6, resume: 9, reload: 12, restart: 16, end: 28 },
            // Nobody is told to ask in the last minute before it: there is a time before that.
            false => Times { before: 90, pause: 40, resume: 60, reload: 80, restart: 100, end: 160 },
        }
    }
}

/// Plays it, and says what came of it.
pub async fn measure(args: &BenchmarkArgs, scratch: &Scratch, progress: &Progress) -> anyhow::Result<Vec<Figure>> {
    let local = LocalSet::new();
    local.run_until(play(args, scratch, progress)).await
}

async fn play(args: &BenchmarkArgs, scratch: &Scratch, progress: &Progress) -> anyhow::Result<Vec<Figure>> {
    let (pollers, streams) = (args.pollers, args.streams);
    let files = raise_open_files(u64::from(streams) + OTHER_FILES);
    ensure!(files >= u64::from(streams) + OTHER_FILES, "a process may open {files} files here: fewer --streams");
    let data = scratch.path().join("opening");
    let streams_max = (streams + 1_000).to_string();
    let mut flags = server_alone();
    flags.extend(["--streams-max", &streams_max, "--limit-address-per-minute", "0"]);
    let mut server = Server::start(&data, &flags, READY_WITHIN).await?;
    // Whoever starts again is to be found at the same address.
    let target = Target::resolve(&server.url).await?;
    let times = Times::of(args.quick);

    let mut organizer = Organizer::new(&server, &target).await?;
    let rate = ((pollers + streams) / THROUGH_IN_S).max(1);
    let opens_in = times.before + u64::from((pollers + streams) / JOINS_PER_S);
    let (queue, opens_at) = organizer.queue(rate, opens_in).await?;
    let crowd = Rc::new(Crowd::new(target.clone(), queue, args.connections.into()));
    let working = crowd.clone().start();
    progress.says(PARTS[0]);
    crowd.join(pollers, streams);
    crowd.all_joined().await?;
    ensure!(Instant::now() < opens_at, "so many could not join in {opens_in} s: fewer --pollers");
    crowd.opens_at.set(Some(opens_at));
    listeners::start(&crowd);
    let after = |seconds: u64| opens_at + Duration::from_secs(seconds);
    let mut served = PollHistogram::look(&mut organizer.connection).await?;
    let mut parts = Vec::new();
    let mut part = async |index: usize, organizer: &mut Organizer, until: Instant| -> anyhow::Result<()> {
        progress.says(PARTS[index]);
        crowd.part.set(index);
        sleep_until(until).await;
        let now = PollHistogram::look(&mut organizer.connection).await?;
        parts.push(now.since(&served));
        served = now;
        progress.step();
        Ok(())
    };
    // Some are impatient.
    crowd.reload_one_of(IMPATIENT, opens_at - Duration::from_secs(times.before / 3), after(times.pause));
    part(0, &mut organizer, opens_at).await?;
    part(1, &mut organizer, after(times.pause)).await?;
    organizer.set_state(queue, "paused").await?;
    part(2, &mut organizer, after(times.resume)).await?;
    organizer.set_state(queue, "open").await?;
    part(3, &mut organizer, after(times.reload)).await?;
    crowd.reload();
    part(4, &mut organizer, after(times.restart)).await?;
    crowd.part.set(5);
    server.kill()?;
    server = Server::start_at(&target.host, &data, &flags, READY_WITHIN).await?;
    let ready_after = server.ready_after;
    served = PollHistogram::default();
    sleep_until(after(times.end)).await;
    parts.push(PollHistogram::look(&mut organizer.connection).await?.since(&served));
    progress.step();
    working.abort();
    server.stop().await?;

    Ok(figures(&crowd, &parts, ready_after, (pollers, streams)))
}

fn figures(
    crowd: &Crowd,
    parts: &[PollHistogram],
    ready_after: Duration,
    (pollers, streams): (u32, u32),
) -> Vec<Figure> {
    let found = crowd.found.borrow();
    // Everybody reloading at the same instant, and a server that was away, are told beside it.
    let mut told = crate::stats::Latencies::default();
    found.polls[..4].iter().for_each(|polls| told.add(polls));
    let mut polls = figure("opening_poll_p99", Some(told.percentile_ms(0.99)), None);
    polls.p50_ms = Some(told.percentile_ms(0.5));
    let each = PARTS.iter().zip(&found.polls).zip(parts).map(|((name, polls), served)| {
        let count = grouped(polls.count());
        let (client, server) = (polls.percentile_ms(0.99), served.percentile_ms(0.99));
        format!("{name} {count} of {client:.1} ms, on the server {server:.1} ms")
    });
    polls.note = format!(
        "{} who ask, {} streams; polls and p99 of each part: {}; ready {:.1} s after kill -9; {} requests failed beside it",
        grouped(pollers.into()),
        grouped(streams.into()),
        each.collect::<Vec<_>>().join(", "),
        ready_after.as_secs_f64(),
        grouped(found.failed),
    );
    let mut loaded = crate::stats::Latencies::default();
    found.pages[..4].iter().for_each(|pages| loaded.add(pages));
    let mut pages = figure("opening_page_p99", Some(loaded.percentile_ms(0.99)), None);
    pages.p50_ms = Some(loaded.percentile_ms(0.5));
    pages.note = format!(
        "{}; while everybody reloads at once {} of {:.1} ms",
        grouped(loaded.count()),
        grouped(found.pages[4].count()),
        found.pages[4].percentile_ms(0.99),
    );
    let mut known = figure("opening_known", Some(found.known_after.as_secs_f64() * 1e3), None);
    known.note = format!("{} were told their place; {} were not", grouped(found.know), grouped(crowd.unknown()));
    let mut late = figure("opening_late", Some(found.late as f64), None);
    late.note = format!(
        "{} were let in, {} of {} streams came back after the restart; first unexpected: {}",
        grouped(found.came),
        grouped(found.streams_back),
        grouped(found.streams_lost),
        found.unexpected.as_deref().unwrap_or("nothing"),
    );
    vec![polls, pages, known, late]
}

/// Who runs the queue.
struct Organizer {
    connection: Connection,
    key: String,
}

impl Organizer {
    async fn new(server: &Server, target: &Target) -> anyhow::Result<Organizer> {
        let connection = Connection::new(target.clone());
        let mut organizer = Organizer { connection, key: server.operator_key.clone() };
        let made = organizer.send("POST", "/v1/organizers", &[], json!({"name": "Opening"})).await?;
        organizer.key = made["key"]["secret"].as_str().context("an organizer without a key")?.to_owned();
        Ok(organizer)
    }

    async fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: Value) -> anyhow::Result<Value> {
        let (host, body) = (self.connection.target().host.clone(), body.to_string());
        let mut request = Vec::new();
        write_request(&mut request, method, path, &host, Some(&self.key), headers, Some(body.as_bytes()));
        let reply = self.connection.exchange_within(Duration::from_secs(30), &request).await?;
        ensure!(reply.status < 300, "{method} {path}: {} {}", reply.status, String::from_utf8_lossy(reply.body));
        Ok(serde_json::from_slice(reply.body)?)
    }

    /// A queue that opens in so many seconds, and that instant.
    async fn queue(&mut self, rate: u32, opens_in: u64) -> anyhow::Result<(QueueId, Instant)> {
        let opens_at = Instant::now() + Duration::from_secs(opens_in);
        let body = json!({
            "name": "Opening", "policy": {"rate": {"count": rate, "interval_s": 1}}, "claim_ttl_s": 120, "opens_at": in_s(opens_in)
        });
        let queue = self.send("POST", "/v1/queues", &[], body).await?;
        Ok((queue["queue_id"].as_str().context("a queue without an id")?.parse()?, opens_at))
    }

    async fn set_state(&mut self, queue: QueueId, state: &str) -> anyhow::Result<()> {
        self.send("PATCH", &format!("/v1/queues/{queue}"), &[], json!({"state": state})).await.map(drop)
    }
}

fn in_s(seconds: u64) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    json!(Time(now.as_millis() as Millis + seconds * 1_000))
}
