//! SIGHUP: settings and certificate anew, without a restart and without letting go of a connection.

use actix_web::web;
use anyhow::Context;
use api::Api;
use api::streams::sse::Hub;
use base::tls::Tls;
use config::{Filter, Loaded, Serve};
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
    api: web::Data<Api>,
    tls: Option<Arc<Tls>>,
    set_filter: SetFilter,
    hang_up: Signal,
}

impl Reloader {
    /// From here on SIGHUP does not end the process.
    pub fn new(
        loaded: Loaded,
        api: web::Data<Api>,
        tls: Option<Arc<Tls>>,
        set_filter: SetFilter,
    ) -> anyhow::Result<Reloader> {
        let hang_up = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
        Ok(Reloader { loaded, api, tls, set_filter, hang_up })
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
        self.api.live.adopt(reload.loaded.serve.clone());
        limit_polls(&self.api, &reload.loaded.serve);
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

/// How often people may ask, as it is set now.
pub fn limit_polls(api: &Api, config: &Serve) {
    if let (Ok(handle), Ok(hub)) = (api.handle(), api.state::<Hub>()) {
        handle.engine.views().queues().limit_polls(config.polls_per_s_max);
        hub.limit_polls(config.polls_per_s_max);
    }
}
