//! The queue of traces, and the thread that sends them.

use crate::request::Request;
use crate::sampler::Sampler;
use crate::spans::{self, Clock};
use anyhow::Context;
use base::trace_context::{Hex, new_trace_id};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{Protocol as Otlp, SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tonic::transport::{Certificate, ClientTlsConfig};

/// Traces that wait to be sent; more are dropped. A few kilobytes each, mostly less.
pub const QUEUE_MAX: usize = 2_048;
/// Traces that are sent at once. A request has some ten spans.
const BATCH_MAX: usize = 128;
/// How long a trace waits for others to be sent with.
const BATCH_WAIT: Duration = Duration::from_millis(500);
/// How long the collector may take, with every try.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long the last ones may take at the end.
const DRAIN: Duration = Duration::from_secs(2);
/// What belongs to the path of OTLP over HTTP, where the URL has none.
const HTTP_PATH: &str = "/v1/traces";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    Grpc,
    Http,
}

/// Where traces go.
pub struct Settings {
    /// `http://` or `https://`, host and port.
    pub endpoint: String,
    pub protocol: Protocol,
    /// PEM file with the authorities that the collector's certificate is trusted by; otherwise the machine's.
    pub ca: Option<PathBuf>,
    pub service_name: String,
    pub service_version: String,
}

/// What became of traces.
#[derive(Debug, Default)]
pub struct Figures {
    pub sent: AtomicU64,
    /// Callers asked for more, or more were slow or failed, than may be in a second.
    pub limited: AtomicU64,
    /// The queue was full.
    pub queue_full: AtomicU64,
    /// The collector did not take them.
    pub refused: AtomicU64,
}

/// Takes traces; never waits.
#[derive(Clone)]
pub struct Tracer {
    pub sampler: Arc<Sampler>,
    pub figures: Arc<Figures>,
    queue: mpsc::Sender<Request>,
}

impl Tracer {
    /// Sends it, sooner or later, unless there are too many.
    pub fn send(&self, request: Request) {
        if self.queue.try_send(request).is_err() {
            self.figures.queue_full.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One was wanted, and there were too many.
    pub fn limited(&self) {
        self.figures.limited.fetch_add(1, Ordering::Relaxed);
    }
}

/// The thread that sends traces.
pub struct Exporter {
    pub tracer: Tracer,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

impl Exporter {
    /// Does not wait for the collector; an error is one of the settings.
    pub fn start(settings: Settings) -> anyhow::Result<Exporter> {
        let (queue, received) = mpsc::channel(QUEUE_MAX);
        let (stop, stopped) = watch::channel(false);
        let tracer = Tracer { sampler: Arc::default(), figures: Arc::default(), queue };
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start a thread")?;
        let exporter = {
            // The client of gRPC belongs to a runtime from its beginning.
            let _entered = runtime.enter();
            open(&settings).with_context(|| format!("traces cannot be sent to {}", settings.endpoint))?
        };
        let sending = Sending {
            exporter,
            scope: InstrumentationScope::builder("onsale").with_version(settings.service_version).build(),
            figures: tracer.figures.clone(),
            endpoint: settings.endpoint,
            failing: false,
        };
        let run = move || {
            base::process_limits::yield_to_others();
            runtime.block_on(sending.run(received, stopped));
        };
        let thread = std::thread::Builder::new().name("traces".into()).spawn(run).context("cannot start a thread")?;
        Ok(Exporter { tracer, stop, thread: Some(thread) })
    }
}

impl Drop for Exporter {
    /// Gives the last traces a moment to leave.
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        let Some(thread) = self.thread.take() else { return };
        let until = Instant::now() + DRAIN + Duration::from_millis(200);
        while !thread.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn open(settings: &Settings) -> anyhow::Result<SpanExporter> {
    // Whoever was first has the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let ca =
        settings.ca.as_ref().map(|file| std::fs::read(file).with_context(|| format!("cannot read {}", file.display())));
    let ca = ca.transpose()?;
    let mut exporter = match settings.protocol {
        Protocol::Grpc => {
            let builder = SpanExporter::builder().with_tonic().with_endpoint(&settings.endpoint).with_timeout(TIMEOUT);
            let builder = match (settings.endpoint.starts_with("https://"), ca) {
                (false, _) => builder,
                (true, None) => builder.with_tls_config(ClientTlsConfig::new().with_native_roots()),
                (true, Some(pem)) => {
                    builder.with_tls_config(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)))
                }
            };
            builder.build()?
        }
        Protocol::Http => {
            let mut client = reqwest::Client::builder().timeout(TIMEOUT).no_proxy();
            if let Some(pem) = ca {
                client = client.tls_certs_only(reqwest::Certificate::from_pem_bundle(&pem)?);
            }
            SpanExporter::builder()
                .with_http()
                .with_protocol(Otlp::HttpBinary)
                .with_endpoint(with_path(&settings.endpoint))
                .with_timeout(TIMEOUT)
                .with_http_client(client.build()?)
                .build()?
        }
    };
    let instance = Hex(&new_trace_id()).to_string();
    let resource = Resource::builder()
        .with_service_name(settings.service_name.clone())
        .with_attributes([
            KeyValue::new("service.version", settings.service_version.clone()),
            KeyValue::new("service.instance.id", instance),
        ])
        .build();
    exporter.set_resource(&resource);
    Ok(exporter)
}

fn with_path(endpoint: &str) -> String {
    let (_, rest) = endpoint.split_once("://").unwrap_or(("", endpoint));
    match rest.split_once('/') {
        None => format!("{endpoint}{HTTP_PATH}"),
        Some((_, "")) => format!("{}{HTTP_PATH}", endpoint.trim_end_matches('/')),
        Some(_) => endpoint.to_owned(),
    }
}

struct Sending {
    exporter: SpanExporter,
    scope: InstrumentationScope,
    figures: Arc<Figures>,
    endpoint: String,
    /// The collector took nothing the last time, and somebody was told.
    failing: bool,
}

impl Sending {
    async fn run(mut self, mut queue: mpsc::Receiver<Request>, mut stopped: watch::Receiver<bool>) {
        let mut requests = Vec::with_capacity(BATCH_MAX);
        loop {
            tokio::select! {
                biased;
                _ = stopped.changed() => break,
                taken = self.take(&mut queue, &mut requests) => if !taken { break },
            }
            // A collector that takes its time does not keep the process.
            let (sent, mut stopped) = (self.send(&mut requests), stopped.clone());
            tokio::select! {
                () = sent => {}
                _ = async { stopped.wait_for(|stop| *stop).await.map(drop) } => {}
            }
        }
        let drain = async {
            while !requests.is_empty() || queue.try_recv().map(|request| requests.push(request)).is_ok() {
                while requests.len() < BATCH_MAX
                    && let Ok(request) = queue.try_recv()
                {
                    requests.push(request);
                }
                self.send(&mut requests).await;
            }
        };
        let _ = tokio::time::timeout(DRAIN, drain).await;
    }

    /// Waits for a trace, then a little for others. False when there will be none.
    async fn take(&self, queue: &mut mpsc::Receiver<Request>, requests: &mut Vec<Request>) -> bool {
        let Some(first) = queue.recv().await else { return false };
        requests.push(first);
        let until = tokio::time::Instant::now() + BATCH_WAIT;
        while requests.len() < BATCH_MAX {
            match tokio::time::timeout_at(until, queue.recv()).await {
                Ok(Some(request)) => requests.push(request),
                Ok(None) | Err(_) => break,
            }
        }
        true
    }

    async fn send(&mut self, requests: &mut Vec<Request>) {
        let clock = Clock::now();
        let mut spans: Vec<SpanData> = Vec::new();
        requests.iter().for_each(|request| spans::add(request, &self.scope, &clock, &mut spans));
        let count = requests.len() as u64;
        requests.clear();
        let sent = tokio::time::timeout(TIMEOUT, self.exporter.export(spans)).await;
        match sent {
            Ok(Ok(())) => {
                self.figures.sent.fetch_add(count, Ordering::Relaxed);
                if std::mem::take(&mut self.failing) {
                    tracing::info!(endpoint = self.endpoint, "the collector takes traces again");
                }
            }
            Ok(Err(error)) => self.failed(count, &error.to_string()),
            Err(_) => self.failed(count, "it does not answer"),
        }
    }

    /// Said once, not for each batch.
    fn failed(&mut self, count: u64, what: &str) {
        self.figures.refused.fetch_add(count, Ordering::Relaxed);
        if !std::mem::replace(&mut self.failing, true) {
            tracing::warn!(
                endpoint = self.endpoint,
                "the collector takes no traces, which are dropped until it does: {what}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::with_path;

    #[test]
    fn a_collector_over_http_has_a_path() {
        for (endpoint, url) in [
            ("http://localhost:4318", "http://localhost:4318/v1/traces"),
            ("https://otel.example.com/", "https://otel.example.com/v1/traces"),
            ("https://otel.example.com/team/v1/traces", "https://otel.example.com/team/v1/traces"),
        ] {
            assert_eq!(with_path(endpoint), url);
        }
    }
}
