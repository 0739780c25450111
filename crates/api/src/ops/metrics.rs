//! What is counted and measured, for `GET /metrics` (Prometheus). Whoever counts holds a handle: no look-up by name or
//! label on any hot path.

mod database;
mod figure;
pub mod machine;
pub mod sale;
mod traces;

use eventlog::sinks::{SinkStatus, State};
use figure::{Collectors, counter, expect, gauge};
use prometheus::{
    Counter, Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

pub use database::Database;
pub use machine::Machine;
pub use sale::Sale;
pub use traces::Traces;

const QUEUE_PEOPLE: &str = "People in queues, by queue (those with the most people; the rest is `other`) and state";

/// What a figure is called and what it tells.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Description {
    pub name: String,
    pub help: String,
    pub labels: Vec<String>,
}

/// All figures of a running server. Handles are cheap to clone and to update from any thread.
pub struct Metrics {
    registry: Registry,
    /// Of every figure, for the reference: also of those that have no value yet.
    descriptions: Vec<Description>,
    /// By route, method and status; see [`Metrics::request`].
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    refusals: IntCounterVec,

    /// Commits of the log: writes with a sync.
    pub commits: IntCounter,
    /// Events that became durable.
    pub events: IntCounter,
    pub events_per_commit: Histogram,
    /// The sync of one commit.
    pub fsync_seconds: Histogram,
    /// Commands that wait for a shard.
    pub mailbox_depth: IntGauge,
    /// Reservations confirmed.
    pub sales: IntCounter,
    /// Position of the last appended event.
    pub log_position: IntGauge,
    /// Position of the last durable event.
    pub durable_position: IntGauge,
    /// Size of the log on disk.
    pub log_bytes: IntGauge,
    /// Streams of events that are open.
    pub streams_open: IntGauge,
    /// Frames sent to streams, each counted once per stream.
    pub stream_frames: IntCounter,
    /// Bytes sent to streams.
    pub stream_bytes: IntCounter,
    /// Streams that could not go on with the frames that are kept, and were told the difference by themselves.
    pub streams_lagging: IntCounter,
    /// People in queues, by queue and state; see [`Metrics::set_queues`].
    queue_people: IntGaugeVec,
    /// The same of those who ever were.
    queue_people_ever: IntGaugeVec,
    queue_admitted_per_second: GaugeVec,
    queue_longest_wait_seconds: GaugeVec,
    queue_eta_error_seconds: GaugeVec,
    /// Those that have figures.
    queues: Mutex<BTreeMap<String, QueueFigures>>,
    /// How far the time is ahead of the machine's clock, s.
    clock_offset_seconds: Gauge,
    clock_steps: IntCounter,
    clock_stepped_seconds: Counter,
    outputs: Outputs,
    /// Whether it is open and not paused, by queue.
    queue_open: IntGaugeVec,
    /// Commands that may wait for one shard.
    pub mailbox_commands_max: IntGauge,
    pub machine: Machine,
    pub sale: Sale,
    pub database: Database,
    pub traces: Traces,
}

/// One queue's figures, or those of several together.
#[derive(Clone, Default)]
pub struct QueueFigures {
    /// People, by state.
    pub people: [(&'static str, u64); 6],
    /// The same of those who ever were.
    pub ever: [(&'static str, u64); 6],
    pub admitted_per_second: f64,
    /// Of several: the longest.
    pub longest_wait_seconds: f64,
    /// How far off the estimates were, on average. Of several: the largest.
    pub eta_error_seconds: f64,
    /// Whether it lets people in; of several: whether any does.
    pub open: bool,
}

impl QueueFigures {
    /// With those of another queue.
    pub fn add(&mut self, other: &QueueFigures) {
        for (own, other) in [(&mut self.people, &other.people), (&mut self.ever, &other.ever)] {
            for ((state, own), (name, other)) in own.iter_mut().zip(other) {
                (*state, *own) = (name, *own + other);
            }
        }
        self.admitted_per_second += other.admitted_per_second;
        self.longest_wait_seconds = self.longest_wait_seconds.max(other.longest_wait_seconds);
        self.eta_error_seconds = self.eta_error_seconds.max(other.eta_error_seconds);
        self.open |= other.open;
    }
}

/// The figures of what the log goes out to, by its name.
struct Outputs {
    up: IntGaugeVec,
    position: IntGaugeVec,
    lag_events: IntGaugeVec,
    lag_seconds: GaugeVec,
    records: IntCounterVec,
    faults: IntCounterVec,
}

/// The figures of one route, method and status.
#[derive(Clone)]
pub struct Request {
    pub total: IntCounter,
    pub seconds: Histogram,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

impl Metrics {
    pub fn new() -> Metrics {
        let registry = Registry::new();
        let labels = ["route", "method", "status"];
        let of = |name: &str, help: &str| Opts::new(name, help);
        let by_queue = |name: &str, help: &str| expect(GaugeVec::new(Opts::new(name, help), &["queue"]));
        let timed = |name: &str, help: &str, buckets: &[f64]| HistogramOpts::new(name, help).buckets(buckets.into());
        const REQUEST_S: [f64; 16] =
            [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
        const FSYNC_S: [f64; 13] =
            [0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0];
        const EVENTS: [f64; 13] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0];

        let mut figures = Metrics {
            requests: expect(IntCounterVec::new(of("onsale_http_requests_total", "HTTP requests answered"), &labels)),
            request_seconds: expect(HistogramVec::new(
                timed("onsale_http_request_seconds", "Time from a request's head to its answer", &REQUEST_S),
                &labels,
            )),
            refusals: expect(IntCounterVec::new(
                of("onsale_refusals_total", "Requests refused, by reason (the problem's slug)"),
                &["reason"],
            )),
            commits: counter("onsale_log_commits_total", "Commits of the log, each with one sync"),
            events: counter("onsale_log_events_total", "Events that became durable"),
            events_per_commit: expect(Histogram::with_opts(timed(
                "onsale_log_events_per_commit",
                "Events that became durable together",
                &EVENTS,
            ))),
            fsync_seconds: expect(Histogram::with_opts(timed(
                "onsale_log_fsync_seconds",
                "Time of one commit's sync",
                &FSYNC_S,
            ))),
            mailbox_depth: gauge("onsale_mailbox_depth", "Commands waiting for a shard"),
            sales: counter("onsale_sales_total", "Reservations confirmed since the start"),
            log_position: gauge("onsale_log_position", "Position of the last appended event"),
            durable_position: gauge("onsale_log_durable_position", "Position of the last durable event"),
            log_bytes: gauge("onsale_log_bytes", "Size of the log on disk"),
            streams_open: gauge("onsale_streams_open", "Streams of events that are open"),
            stream_frames: counter("onsale_stream_frames_total", "Frames sent to streams, once per stream"),
            stream_bytes: counter("onsale_stream_bytes_total", "Bytes sent to streams"),
            streams_lagging: counter(
                "onsale_streams_lagging_total",
                "Streams that fell behind and were told the difference by themselves",
            ),
            clock_offset_seconds: expect(Gauge::new(
                "onsale_clock_offset_seconds",
                "How far the server's time is ahead of the machine's clock, for which it waits",
            )),
            clock_steps: counter(
                "onsale_clock_steps_total",
                "Times that the machine's clock was set forwards by a second or more and was followed at once",
            ),
            clock_stepped_seconds: expect(Counter::new(
                "onsale_clock_stepped_seconds_total",
                "By how much the machine's clock was set forwards in all",
            )),
            outputs: Outputs::new(),
            queue_people: expect(IntGaugeVec::new(of("onsale_queue_people", QUEUE_PEOPLE), &["queue", "state"])),
            queue_people_ever: expect(IntGaugeVec::new(
                of("onsale_queue_people_ever", "People who ever joined a queue, were admitted, …"),
                &["queue", "state"],
            )),
            queue_admitted_per_second: by_queue(
                "onsale_queue_admitted_per_second",
                "People let in per second, over the last minute",
            ),
            queue_longest_wait_seconds: by_queue(
                "onsale_queue_longest_wait_seconds",
                "How long the one whose turn is next has waited",
            ),
            queue_eta_error_seconds: by_queue(
                "onsale_queue_eta_error_seconds",
                "How far off the estimates were that people were told, on average of the last few hundred",
            ),
            queues: Mutex::default(),
            queue_open: expect(IntGaugeVec::new(
                of("onsale_queue_open", "1 while the queue has opened and is neither paused nor closed"),
                &["queue"],
            )),
            mailbox_commands_max: gauge(
                "onsale_mailbox_commands_max",
                "Commands that may wait for one shard (`mailbox_commands_max`)",
            ),
            machine: Machine::new(),
            sale: Sale::new(),
            database: Database::new(),
            traces: Traces::new(),
            registry,
            descriptions: Vec::new(),
        };
        let mut all: Collectors = vec![
            Box::new(figures.requests.clone()),
            Box::new(figures.request_seconds.clone()),
            Box::new(figures.refusals.clone()),
            Box::new(figures.commits.clone()),
            Box::new(figures.events.clone()),
            Box::new(figures.events_per_commit.clone()),
            Box::new(figures.fsync_seconds.clone()),
            Box::new(figures.mailbox_depth.clone()),
            Box::new(figures.sales.clone()),
            Box::new(figures.log_position.clone()),
            Box::new(figures.durable_position.clone()),
            Box::new(figures.log_bytes.clone()),
            Box::new(figures.streams_open.clone()),
            Box::new(figures.stream_frames.clone()),
            Box::new(figures.stream_bytes.clone()),
            Box::new(figures.streams_lagging.clone()),
            Box::new(figures.outputs.up.clone()),
            Box::new(figures.outputs.position.clone()),
            Box::new(figures.outputs.lag_events.clone()),
            Box::new(figures.outputs.lag_seconds.clone()),
            Box::new(figures.outputs.records.clone()),
            Box::new(figures.outputs.faults.clone()),
            Box::new(figures.clock_offset_seconds.clone()),
            Box::new(figures.clock_steps.clone()),
            Box::new(figures.clock_stepped_seconds.clone()),
            Box::new(figures.queue_people.clone()),
            Box::new(figures.queue_people_ever.clone()),
            Box::new(figures.queue_admitted_per_second.clone()),
            Box::new(figures.queue_longest_wait_seconds.clone()),
            Box::new(figures.queue_eta_error_seconds.clone()),
            Box::new(figures.queue_open.clone()),
            Box::new(figures.mailbox_commands_max.clone()),
        ];
        all.extend(figures.machine.collectors());
        all.extend(figures.sale.collectors());
        all.extend(figures.database.collectors());
        all.extend(figures.traces.collectors());
        for figure in all {
            let described = figure.desc().into_iter().map(|desc| Description {
                name: desc.fq_name.clone(),
                help: desc.help.clone(),
                labels: desc.variable_labels.clone(),
            });
            figures.descriptions.extend(described);
            expect(figures.registry.register(figure));
        }
        figures.descriptions.sort();
        figures
    }

    /// Every figure, by name.
    pub fn descriptions(&self) -> &[Description] {
        &self.descriptions
    }

    /// Shared.
    pub fn shared() -> Arc<Metrics> {
        Arc::new(Metrics::new())
    }

    /// The handles of one route, method and status: to be kept, the look-up is slow.
    pub fn request(&self, route: &str, method: &str, status: u16) -> Request {
        let status = status.to_string();
        let labels = [route, method, status.as_str()];
        Request {
            total: self.requests.with_label_values(&labels),
            seconds: self.request_seconds.with_label_values(&labels),
        }
    }

    /// The counter of one reason to refuse: to be kept, the look-up is slow.
    pub fn refusal(&self, reason: &str) -> IntCounter {
        self.refusals.with_label_values(&[reason])
    }

    /// How an output is now. Only one scrape at a time may tell it: what was counted is added up.
    pub fn output(&self, look: &SinkStatus) {
        let name = [look.name];
        self.outputs.up.with_label_values(&name).set(i64::from(look.state != State::Failing));
        self.outputs.position.with_label_values(&name).set(look.position.0 as i64);
        self.outputs.lag_events.with_label_values(&name).set(look.lag_events as i64);
        self.outputs.lag_seconds.with_label_values(&name).set(look.lag_seconds.unwrap_or_default());
        for (counter, now) in [(&self.outputs.records, look.records), (&self.outputs.faults, look.faults)] {
            let counter = counter.with_label_values(&name);
            counter.inc_by(now.saturating_sub(counter.get()));
        }
    }

    /// How the clock is now. Only one scrape at a time may tell it.
    pub fn clock(&self, look: &base::clock::ClockReading) {
        self.clock_offset_seconds.set(look.offset_ms() as f64 / 1_000.0);
        self.clock_steps.inc_by(look.steps.saturating_sub(self.clock_steps.get()));
        let stepped = look.stepped_ms as f64 / 1_000.0;
        self.clock_stepped_seconds.inc_by((stepped - self.clock_stepped_seconds.get()).max(0.0));
    }

    /// What is known of queues now, by label; what was known before is forgotten.
    pub fn set_queues(&self, queues: &[(String, QueueFigures)]) {
        let by_queue =
            [&self.queue_admitted_per_second, &self.queue_longest_wait_seconds, &self.queue_eta_error_seconds];
        let mut known = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        for (queue, figures) in queues {
            for (by_state, people) in [(&self.queue_people, &figures.people), (&self.queue_people_ever, &figures.ever)]
            {
                for (state, people) in people {
                    by_state.with_label_values(&[queue, *state]).set(*people as i64);
                }
            }
            let values = [figures.admitted_per_second, figures.longest_wait_seconds, figures.eta_error_seconds];
            by_queue.iter().zip(values).for_each(|(figure, value)| figure.with_label_values(&[queue]).set(value));
            self.queue_open.with_label_values(&[queue]).set(figures.open.into());
        }
        // Not all away and then back: somebody else may be reading.
        let now = queues.iter().map(|(queue, figures)| (queue.clone(), figures.clone()));
        for (queue, figures) in std::mem::replace(&mut *known, now.collect()) {
            if known.contains_key(&queue) {
                continue;
            }
            for (by_state, people) in [(&self.queue_people, &figures.people), (&self.queue_people_ever, &figures.ever)]
            {
                for (state, _) in people {
                    let _ = by_state.remove_label_values(&[&queue, *state]);
                }
            }
            for figure in by_queue {
                let _ = figure.remove_label_values(&[&queue]);
            }
            let _ = self.queue_open.remove_label_values(&[&queue]);
        }
    }

    /// Everything in Prometheus' text format.
    pub fn render(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 << 10);
        TextEncoder::new().encode(&self.registry.gather(), &mut out).expect("a Vec takes every byte");
        out
    }
}

impl Outputs {
    fn new() -> Outputs {
        let label = ["output"];
        let gauge = |name: &str, help: &str| expect(IntGaugeVec::new(Opts::new(name, help), &label));
        let counter = |name: &str, help: &str| expect(IntCounterVec::new(Opts::new(name, help), &label));
        Outputs {
            up: gauge("onsale_output_up", "1 while nothing keeps the output from going on"),
            position: gauge("onsale_output_position", "Everything up to this position is there"),
            lag_events: gauge("onsale_output_lag_events", "Durable events that are not there yet"),
            lag_seconds: expect(GaugeVec::new(
                Opts::new("onsale_output_lag_seconds", "How long the first of them has waited"),
                &label,
            )),
            records: counter("onsale_output_records_total", "Records sent since the start"),
            faults: counter("onsale_output_faults_total", "Times that the output could not go on, since the start"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_rendered_by_their_labels() {
        let metrics = Metrics::new();
        metrics.request("/v1/wallet", "GET", 200).total.inc();
        metrics.refusal("seats-unavailable").inc_by(3);
        metrics.fsync_seconds.observe(0.001);
        let text = String::from_utf8(metrics.render()).unwrap();
        for line in [
            "onsale_http_requests_total{method=\"GET\",route=\"/v1/wallet\",status=\"200\"} 1",
            "onsale_refusals_total{reason=\"seats-unavailable\"} 3",
            "onsale_log_fsync_seconds_count 1",
            "onsale_log_durable_position 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn queues_that_are_not_told_any_more_have_no_figures() {
        let metrics = Metrics::new();
        let figures = |waiting| QueueFigures { people: [("waiting", waiting); 6], ..QueueFigures::default() };
        metrics.set_queues(&[("one".into(), figures(1)), ("two".into(), figures(2))]);
        metrics.set_queues(&[("two".into(), figures(3)), ("other".into(), figures(4))]);
        let text = String::from_utf8(metrics.render()).unwrap();
        let people = text.lines().filter(|line| line.starts_with("onsale_queue_people{") && line.contains("waiting"));
        let expected = [("other", 4), ("two", 3)]
            .map(|(queue, people)| format!("onsale_queue_people{{queue=\"{queue}\",state=\"waiting\"}} {people}"));
        assert_eq!(people.collect::<Vec<_>>(), expected);
        assert!(!text.contains("\"one\""));
    }
}
