//! The process and what it has of the machine. Figures of the process have the names that Prometheus' own libraries give.

use super::figure::{Collectors, expect, gauge};
use base::process_usage::{Room, Usage, room};
use prometheus::{Counter, GaugeVec, IntGauge, IntGaugeVec, Opts};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

pub struct Machine {
    ready: IntGauge,
    build: IntGaugeVec,
    cpu_seconds: Counter,
    /// Two scrapes at a time must not both add the same seconds.
    cpu_counted: Mutex<()>,
    resident_bytes: IntGauge,
    threads: IntGauge,
    started_at_s: prometheus::Gauge,
    open_files: IntGauge,
    open_files_max: IntGauge,
    connections_open: IntGauge,
    connections_max: IntGauge,
    free_bytes: IntGauge,
    all_bytes: IntGauge,
    /// Without labels: there is no such figure without a certificate.
    certificate_ends: GaugeVec,
}

/// What the server knows of itself.
pub struct Server<'a> {
    pub ready: bool,
    pub connections_open: usize,
    pub connections_max: usize,
    pub data: &'a Path,
}

impl Machine {
    pub(super) fn new() -> Machine {
        let machine = Machine {
            ready: gauge("onsale_ready", "1 once the log is read and the server sells, and until it is told to stop"),
            build: expect(IntGaugeVec::new(Opts::new("onsale_build_info", "1; which version runs"), &["version"])),
            cpu_seconds: expect(Counter::new("process_cpu_seconds_total", "Processor time of the process")),
            cpu_counted: Mutex::default(),
            resident_bytes: gauge("process_resident_memory_bytes", "Memory of the process"),
            threads: gauge("process_threads", "Threads of the process"),
            started_at_s: expect(prometheus::Gauge::new(
                "process_start_time_seconds",
                "When the process was started, in seconds since 1970",
            )),
            open_files: gauge("process_open_fds", "Files and sockets that are open"),
            open_files_max: gauge("process_max_fds", "Files and sockets that may be open"),
            connections_open: gauge("onsale_connections_open", "HTTP connections that are open"),
            connections_max: gauge("onsale_connections_max", "HTTP connections that may be open (`connections_max`)"),
            free_bytes: gauge("onsale_data_free_bytes", "Room left on the data folder's file system"),
            all_bytes: gauge("onsale_data_size_bytes", "Size of the data folder's file system"),
            certificate_ends: expect(GaugeVec::new(
                Opts::new(
                    "onsale_tls_certificate_not_after_timestamp_seconds",
                    "When the certificate in use ends, in seconds since 1970; only with a certificate",
                ),
                &[],
            )),
        };
        machine.build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        machine
    }

    pub(super) fn collectors(&self) -> Collectors {
        vec![
            Box::new(self.ready.clone()),
            Box::new(self.build.clone()),
            Box::new(self.cpu_seconds.clone()),
            Box::new(self.resident_bytes.clone()),
            Box::new(self.threads.clone()),
            Box::new(self.started_at_s.clone()),
            Box::new(self.open_files.clone()),
            Box::new(self.open_files_max.clone()),
            Box::new(self.connections_open.clone()),
            Box::new(self.connections_max.clone()),
            Box::new(self.free_bytes.clone()),
            Box::new(self.all_bytes.clone()),
            Box::new(self.certificate_ends.clone()),
        ]
    }

    /// Looks how the process is now.
    pub fn look(&self, server: &Server<'_>) {
        self.ready.set(server.ready.into());
        self.connections_open.set(server.connections_open as i64);
        self.connections_max.set(server.connections_max as i64);
        if let Ok(Room { free_bytes, all_bytes }) = room(server.data) {
            self.free_bytes.set(free_bytes as i64);
            self.all_bytes.set(all_bytes as i64);
        }
        let Some(usage) = Usage::now() else { return };
        {
            let _one_at_a_time = self.cpu_counted.lock().unwrap_or_else(PoisonError::into_inner);
            self.cpu_seconds.inc_by((usage.cpu_seconds - self.cpu_seconds.get()).max(0.0));
        }
        self.resident_bytes.set(usage.resident_bytes as i64);
        self.threads.set(usage.threads as i64);
        self.started_at_s.set(usage.started_at_s);
        self.open_files.set(usage.open_files as i64);
        self.open_files_max.set(usage.open_files_max.try_into().unwrap_or(i64::MAX));
    }

    /// When the certificate ends, s since 1970.
    pub fn certificate_ends(&self, at_s: i64) {
        self.certificate_ends.with_label_values::<&str>(&[]).set(at_s as f64);
    }
}
