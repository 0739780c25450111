//! SIGHUP: settings and certificate anew, without a restart and without letting go of a connection.

use anyhow::Context;
use base::tls::Tls;
use config::{Filter, Live, Loaded};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How often the certificate's files are looked at without a signal.
const CERTIFICATE_EVERY: Duration = Duration::from_secs(60);

/// Changes what is logged.
pub type SetFilter = Box<dyn Fn(&Filter)>;

/// What runs, and whom to tell when it changes.
pub struct Reloader {
    loaded: Loaded,
    live: Live,
    tls: Option<Arc<Tls>>,
    set_filter: SetFilter,
    hang_up: Signal,
}

impl Reloader {
    /// From here on SIGHUP does not end the process.
    pub fn new(loaded: Loaded, live: Live, tls: Option<Arc<Tls>>, set_filter: SetFilter) -> anyhow::Result<Reloader> {
        let hang_up = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
        Ok(Reloader { loaded, live, tls, set_filter, hang_up })
    }

    /// Until the process ends.
    pub async fn run(mut self) {
        loop {
            tokio::select! {
                _ = self.hang_up.recv() => self.reload(),
                () = tokio::time::sleep(CERTIFICATE_EVERY), if self.tls.is_some() => self.refresh_certificate(),
            }
        }
    }

    fn reload(&mut self) {
        let reload = match self.loaded.reload(std::env::vars_os()) {
            Ok(reload) => reload,
            Err(invalid) => {
                let wrong = invalid.lines.join("; ");
                tracing::error!("SIGHUP: nothing is changed, because the configuration is wrong: {wrong}");
                return self.refresh_certificate();
            }
        };
        for warning in &reload.loaded.warnings {
            tracing::warn!("{warning}");
        }
        if !reload.restart.is_empty() {
            tracing::warn!("needs a restart: {}", reload.restart.join(", "));
        }
        (self.set_filter)(&reload.loaded.serve.log);
        self.live.adopt(reload.loaded.serve.clone());
        self.loaded = reload.loaded;
        match reload.changed.is_empty() {
            true => tracing::info!("SIGHUP: the configuration is read again, nothing changed"),
            false => tracing::info!("SIGHUP: changed: {}", reload.changed.join(", ")),
        }
        self.refresh_certificate();
    }

    fn refresh_certificate(&self) {
        let Some(tls) = &self.tls else { return };
        let config = &self.loaded.serve;
        let (Some(certificate), Some(key)) = (&config.tls_certificate, &config.tls_key) else { return };
        match tls.refresh(certificate, key) {
            Ok(true) => tracing::info!("new connections get the new certificate of {}", certificate.display()),
            Ok(false) => {}
            Err(error) => tracing::error!("the old certificate stays: {error:#}"),
        }
    }
}
