//! Rounds of one figure, and what is read off their answers.

use super::goals::figure;
use super::load::{Failure, Round, Worker, closed};
use crate::server::Server;
use crate::stats::{Latencies, median};
use anyhow::bail;
use base::report::Figure;
use std::time::Duration;

/// Rounds of each figure; the median counts.
pub const ROUNDS: u32 = 3;

/// What rounds of one figure came to.
#[derive(Default)]
pub struct Series {
    pub rates: Vec<f64>,
    pub latencies: Latencies,
    pub done: u64,
    pub server_cpu: Duration,
    pub client_cpu: Duration,
}

impl Series {
    /// One round of `act`, as fast as the workers go round.
    pub async fn round(
        &mut self,
        name: &str,
        server: &Server,
        workers: &mut [Worker],
        window: Duration,
        act: impl AsyncFn(&mut Worker) -> Result<(), Failure>,
    ) -> anyhow::Result<()> {
        let (server_before, client_before) = (server.cpu_time(), client_cpu());
        let round = spoilt(name, closed(workers, window, act).await)?;
        self.rates.push(round.rate());
        self.latencies.add(&round.latencies);
        self.done += round.done;
        self.client_cpu += client_cpu().saturating_sub(client_before);
        if let Some((before, after)) = server_before.zip(server.cpu_time()) {
            self.server_cpu += after.saturating_sub(before);
        }
        Ok(())
    }

    pub fn rate(&self) -> f64 {
        median(&self.rates)
    }

    pub fn figure(&self, name: &str, rival: Option<&Series>) -> Figure {
        let mut figure = figure(name, Some(self.rate()), rival.map(Series::rate));
        figure.p50_ms = Some(self.latencies.percentile_ms(0.5));
        figure.p99_ms = Some(self.latencies.percentile_ms(0.99));
        let each = |time: Duration| time.as_secs_f64() * 1e6 / self.done.max(1) as f64;
        figure.note = format!(
            "processor time each: server {:.1} µs, client {:.1} µs",
            each(self.server_cpu),
            each(self.client_cpu)
        );
        figure
    }
}

/// The value of `"reservation_id":"…"`, without parsing the rest.
pub fn reservation_id(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let rest = text.split_once("\"reservation_id\"")?.1.split_once('"')?.1;
    Some(rest.split_once('"')?.0.to_owned())
}

/// A round with unexpected answers measures something else: it fails the run.
pub fn spoilt(name: &str, round: Round) -> anyhow::Result<Round> {
    match &round.first_unexpected {
        None => Ok(round),
        Some(first) => bail!("{name}: {} unexpected answers, the first: {first}", round.unexpected),
    }
}

/// Processor time of this process so far.
pub fn client_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_in_bodies() {
        assert_eq!(reservation_id(br#"{"reservation_id":"abc","x":1}"#).as_deref(), Some("abc"));
        assert_eq!(reservation_id(br#"{"x":1, "reservation_id" : "abc"}"#).as_deref(), Some("abc"));
        assert_eq!(reservation_id(br#"{"x":1}"#), None);
    }

    #[test]
    fn the_median_of_the_rounds_counts_and_the_ratio_is_of_medians() {
        let series = |rates: &[f64]| Series { rates: rates.to_vec(), done: 10, ..Series::default() };
        let figure = series(&[40.0, 50.0, 10.0]).figure("hold_durable", Some(&series(&[100.0, 90.0, 300.0])));
        assert_eq!((figure.value, figure.ratio, figure.ok), (Some(40.0), Some(0.4), Some(false)));
    }
}
