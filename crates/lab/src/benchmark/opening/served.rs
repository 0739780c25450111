//! How long polls took on the server, from its own figures.

use super::crowd::POLLED;
use crate::client::{Connection, write_request};
use anyhow::ensure;
use std::time::Duration;

const FIGURE: &str = "onsale_http_request_seconds_bucket{";

/// Polls that took no longer than so many seconds, as far as it is told.
#[derive(Clone, Debug, Default)]
pub struct PollHistogram(Vec<(f64, f64)>);

impl PollHistogram {
    pub async fn look(connection: &mut Connection) -> anyhow::Result<PollHistogram> {
        let mut request = Vec::new();
        let host = connection.target().host.clone();
        write_request(&mut request, "GET", "/metrics", &host, None, &[], None);
        let reply = connection.exchange_within(Duration::from_secs(30), &request).await?;
        ensure!(reply.status == 200, "GET /metrics: {}", reply.status);
        Ok(PollHistogram::read(&String::from_utf8_lossy(reply.body)))
    }

    fn read(metrics: &str) -> PollHistogram {
        let (route, mut buckets) = (format!("route=\"{POLLED}\""), Vec::<(f64, f64)>::new());
        let lines = metrics.lines().filter_map(|line| line.strip_prefix(FIGURE));
        for line in lines.filter(|line| line.contains(&route) && line.contains("method=\"GET\"")) {
            let Some((labels, count)) = line.split_once("} ") else { continue };
            let Some((_, le)) = labels.split_once("le=\"") else { continue };
            let le = le.split('"').next().and_then(|le| le.replace("+Inf", "inf").parse().ok());
            let (Some(le), Ok(count)) = (le, count.trim().parse::<f64>()) else { continue };
            match buckets.iter_mut().find(|(known, _)| *known == le) {
                Some((_, sum)) => *sum += count,
                None => buckets.push((le, count)),
            }
        }
        buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
        PollHistogram(buckets)
    }

    /// What came since.
    pub fn since(&self, before: &PollHistogram) -> PollHistogram {
        let earlier = |le: f64| before.0.iter().find(|(known, _)| *known == le).map_or(0.0, |(_, count)| *count);
        PollHistogram(self.0.iter().map(|(le, count)| (*le, count - earlier(*le))).collect())
    }

    /// The bound, ms, that so large a share did not exceed; 0 when there were none.
    pub fn percentile_ms(&self, share: f64) -> f64 {
        let all = self.0.last().map_or(0.0, |(_, count)| *count);
        let within = self.0.iter().find(|(_, count)| all > 0.0 && *count >= all * share);
        within.map_or(0.0, |(le, _)| le * 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buckets_of_polls_are_added_up() {
        let line = |route: &str, method: &str, status: u32, le: &str, count: u32| {
            format!("{FIGURE}method=\"{method}\",route=\"{route}\",status=\"{status}\",le=\"{le}\"}} {count}\n")
        };
        let text: String = [
            line(POLLED, "GET", 200, "0.001", 90),
            line(POLLED, "GET", 200, "0.01", 99),
            line(POLLED, "GET", 200, "+Inf", 100),
            line(POLLED, "GET", 404, "0.001", 10),
            line(POLLED, "GET", 404, "0.01", 10),
            line(POLLED, "GET", 404, "+Inf", 10),
            line(POLLED, "DELETE", 200, "0.001", 1_000),
            line("/v1/queues", "GET", 200, "0.001", 1_000),
        ]
        .concat();
        let served = PollHistogram::read(&text);
        assert_eq!(served.0, [(0.001, 100.0), (0.01, 109.0), (f64::INFINITY, 110.0)]);
        assert_eq!((served.percentile_ms(0.9), served.percentile_ms(0.99)), (1.0, 10.0));
        assert_eq!(served.since(&served).percentile_ms(0.99), 0.0);
        assert_eq!(PollHistogram::default().percentile_ms(0.5), 0.0);
    }
}
