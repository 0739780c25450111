//! The figures about those who watch: the same sale without watchers and with them.

use super::Progress;
use super::goals::figure;
use super::load::{Failure, Round, Worker, open};
use super::online::{client_cpu, reservation_id, spoilt};
use super::stage::Stage;
use crate::server::{Server, off_thread};
use crate::stats::Latencies;
use crate::watch::events::Event;
use crate::watch::{Reader, Watchers};
use anyhow::{Context, ensure};
use base::report::Figure;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub const NAMES: [&str; 2] = ["watch_p99", "watch_core"];
/// A shorter sale would be over before its start is forgotten.
pub const WINDOW_MIN: Duration = Duration::from_secs(3);
/// Purchases of two seats per second.
const PURCHASES_PER_S: f64 = 1000.0;
/// Watchers whose events are looked at; the others only receive them.
const LOOKED_AT: usize = 250;
/// More seats than two windows of the usual length sell, and than a chart's rows may need.
const ROWS: usize = 250;
const SEATS_PER_ROW: usize = 100;
/// How long the last change may take to reach everyone.
const ARRIVES_WITHIN: Duration = Duration::from_secs(10);

/// A sale to watch.
pub struct Sale<'a> {
    pub server: &'a Server,
    pub stage: &'a Stage,
    pub progress: &'a Progress,
    pub window: Duration,
    pub watchers: usize,
}

/// An answer that tells of a change: its version, and when it was there.
type ChangeReceipt = (u64, Instant);

/// What one window came to.
struct Window {
    round: Round,
    told: Vec<ChangeReceipt>,
    server_cpu: Duration,
    client_cpu: Duration,
}

impl Sale<'_> {
    /// The figures, and how many purchases were made for them.
    pub async fn measure(&self, workers: &mut [Worker]) -> anyhow::Result<(Vec<Figure>, u64)> {
        self.progress.says(NAMES[0]);
        let seconds = self.window.as_secs_f64();
        let seats = (PURCHASES_PER_S * seconds * 2.0) as usize;
        ensure!(seats < ROWS * SEATS_PER_ROW, "this figure takes at most 12 s");
        let bought = Cell::new(0);
        let alone = self.stage.performance_of(&mut workers[0], ROWS, SEATS_PER_ROW).await?;
        let without = self.sell(workers, &alone, &bought).await?;
        self.progress.step();

        let watched = self.stage.performance_of(&mut workers[0], ROWS, SEATS_PER_ROW).await?;
        let address: SocketAddr = self.server.url.trim_start_matches("http://").parse()?;
        let path = format!("/v1/performances/{watched}/availability/events");
        let (count, every) = (self.watchers, (self.watchers / LOOKED_AT).max(1));
        let newest: Arc<[AtomicU64]> = (0..count.div_ceil(every)).map(|_| AtomicU64::new(0)).collect();
        let arrivals = Arrivals { every, seen: vec![Vec::new(); newest.len()], newest: newest.clone() };
        let watchers = off_thread(move || Watchers::connect(address, &path, count, arrivals)).await?;
        let with = self.sell(workers, &watched, &bought).await?;
        let last = with.told.iter().map(|(version, _)| *version).max().unwrap_or(0);
        let (sold, arrived) = (Instant::now(), |of: &AtomicU64| of.load(Ordering::Relaxed) >= last);
        while !newest.iter().all(arrived) && sold.elapsed() < ARRIVES_WITHIN && !watchers.has_ended() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let watched_s = seconds + sold.elapsed().as_secs_f64();
        ensure!(!watchers.has_ended(), "a watcher lost its stream: {:#}", watchers.stop().err().context("it ended")?);
        let (arrivals, reading) = off_thread(move || watchers.stop()).await?;
        self.progress.step();

        let latencies = arrivals.after(&with.told)?;
        let mut p99 = figure(NAMES[0], Some(latencies.percentile_ms(0.99)), None);
        p99.p50_ms = Some(latencies.percentile_ms(0.5));
        p99.note = format!(
            "{} watchers at {:.0} seats/s; the client took {:.0} % of a core to watch, {:.0} % in all",
            self.watchers,
            with.round.rate() * 2.0,
            100.0 * reading.as_secs_f64() / watched_s,
            100.0 * with.client_cpu.as_secs_f64() / seconds,
        );
        let core = with.server_cpu.saturating_sub(without.server_cpu).as_secs_f64() / seconds;
        let mut core = figure(NAMES[1], Some(core), None);
        core.note = format!(
            "the server took {:.0} % of a core with them and {:.0} % without",
            100.0 * with.server_cpu.as_secs_f64() / seconds,
            100.0 * without.server_cpu.as_secs_f64() / seconds,
        );
        Ok((vec![p99, core], bought.get()))
    }

    async fn sell(&self, workers: &mut [Worker], performance: &str, bought: &Cell<u64>) -> anyhow::Result<Window> {
        let (next, told) = (Cell::new(0), RefCell::new(Vec::new()));
        let tell = |body: &[u8]| {
            let version = version(body).ok_or_else(|| Failure::Unexpected("an answer without a version".into()))?;
            told.borrow_mut().push((version, Instant::now()));
            Ok(())
        };
        let (server_before, client_before) = (self.server.cpu_time().context("no /proc")?, client_cpu());
        let round = open(workers, PURCHASES_PER_S, self.window, async |worker| {
            let number = next.get();
            next.set(number + 1);
            let user = self.stage.write_hold_by(worker, performance, number, &pair(number));
            let held = worker.expect(201).await?;
            tell(held.body)?;
            let id = reservation_id(held.body).ok_or_else(|| Failure::Unexpected("a hold without an id".into()))?;
            self.stage.write_payment(worker, &id, user);
            tell(worker.expect(200).await?.body)?;
            bought.set(bought.get() + 1);
            Ok(())
        })
        .await?;
        let round = spoilt(NAMES[0], round)?;
        let server_cpu = self.server.cpu_time().context("no /proc")? - server_before;
        Ok(Window { round, told: told.into_inner(), server_cpu, client_cpu: client_cpu() - client_before })
    }
}

/// The seats of the `number`th purchase.
fn pair(number: usize) -> [String; 2] {
    let (row, seat) = (number * 2 / SEATS_PER_ROW % ROWS + 1, number * 2 % SEATS_PER_ROW + 1);
    [format!("A-{row}-{seat}"), format!("A-{row}-{}", seat + 1)]
}

/// The value of `"version":…`, without parsing the rest.
fn version(body: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(body).ok()?;
    let rest = text.rsplit_once("\"version\":")?.1;
    rest[..rest.find(|c: char| !c.is_ascii_digit())?].parse().ok()
}

/// When which version reached those watchers that are looked at.
struct Arrivals {
    every: usize,
    seen: Vec<Vec<ChangeReceipt>>,
    /// The newest version of each, for those who wait for it.
    newest: Arc<[AtomicU64]>,
}

impl Reader for Arrivals {
    fn event(&mut self, watcher: usize, at: Instant, event: Event<'_>) {
        if event.name == "end" {
            return;
        }
        let index = watcher / self.every;
        self.seen[index].push((event.id, at));
        self.newest[index].store(event.id, Ordering::Relaxed);
    }

    fn wants(&self, watcher: usize) -> bool {
        watcher.is_multiple_of(self.every)
    }
}

impl Arrivals {
    /// How long each change that was told took to each watcher.
    fn after(&self, told: &[ChangeReceipt]) -> anyhow::Result<Latencies> {
        let mut told = told.to_vec();
        told.sort_unstable_by_key(|(version, _)| *version);
        let mut latencies = Latencies::default();
        for seen in &self.seen {
            let mut seen = seen.iter().peekable();
            for (version, at) in &told {
                while seen.next_if(|(reached, _)| reached < version).is_some() {}
                let (_, arrived) = seen.peek().with_context(|| format!("version {version} reached not everyone"))?;
                let took = arrived.saturating_duration_since(*at);
                ensure!(took < ARRIVES_WITHIN, "version {version} took {took:?}");
                latencies.record(took);
            }
        }
        Ok(latencies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_has_arrived_with_the_first_event_that_is_not_before_it() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let arrivals =
            Arrivals { every: 1, seen: vec![vec![(0, at(0)), (4, at(30)), (9, at(60))]], newest: Arc::new([]) };
        let latencies = arrivals.after(&[(9, at(50)), (3, at(10)), (4, at(40))]).unwrap();
        assert_eq!(latencies.count(), 3);
        assert!((latencies.percentile_ms(1.0) - 20.0).abs() < 0.1);
        assert!(arrivals.after(&[(10, at(1))]).is_err());
    }

    #[test]
    fn versions_are_found_in_bodies() {
        assert_eq!(version(br#"{"state":"held","version":17}"#), Some(17));
        assert_eq!(version(b"{}"), None);
    }

    #[test]
    fn no_two_purchases_are_of_one_seat() {
        let all: std::collections::HashSet<String> = (0..ROWS * SEATS_PER_ROW / 2).flat_map(pair).collect();
        assert_eq!(all.len(), ROWS * SEATS_PER_ROW);
    }
}
