//! HTTP: one file per resource, each with its request and response types, its handlers and its routes.
//!
//! - [`users`], [`sessions`], [`wallet`]: who buys, and with what
//! - [`organizers`], [`concerts`], [`performances`], [`availability`]: who sells, what, and what is left of it
//! - [`watch`]: availability as it changes; [`sse`]: what any such stream is made of
//! - [`reservations`]: hold, read, pay, extend, cancel
//! - [`health`], [`noop`], [`openapi`]: for operators and programs
//! - [`error`]: the only place that knows how refusals look; [`observe`]: request ids, figures, logs around every route
//! - [`auth`], [`body`], [`extract`], [`reply`], [`time`]: what handlers are made of
//! - [`server`]: the listener, from bind to drain

pub mod auth;
pub mod availability;
pub mod body;
pub mod concerts;
pub mod error;
pub mod extract;
pub mod health;
pub mod noop;
pub mod observe;
pub mod openapi;
pub mod organizers;
pub mod performances;
pub mod reply;
pub mod reservations;
pub mod server;
pub mod sessions;
pub mod sse;
pub mod time;
pub mod users;
pub mod wallet;
pub mod watch;

use crate::actors::Engine;
use crate::clock::Clock;
use crate::config::{self, BODY_BYTES_MAX};
use crate::id::{Ids, Millis};
use crate::metrics::Metrics;
use crate::passwords::Passwords;
use crate::secrets::{Operator, Secrets};
use crate::vault::Vault;
use actix_web::dev::HttpServiceFactory;
use actix_web::{FromRequest, Handler, Resource, Responder, Route, web};
use error::{Kind, Problem};
use observe::Observe;
use prometheus::IntCounter;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

/// How far the server is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
#[repr(u8)]
pub enum Phase {
    /// The log is being read: only the paths of [`health`] answer.
    Starting,
    /// The server asks itself, to warm its own paths.
    Warming,
    Ready,
    Stopping,
}

/// What every handler can reach.
pub struct Api {
    pub config: config::Serve,
    pub metrics: Arc<Metrics>,
    shop: OnceLock<Shop>,
    phase: AtomicU8,
    /// By [`Kind`].
    refusals: Vec<IntCounter>,
}

/// What is there once the log was read.
pub struct Shop {
    pub engine: Engine,
    pub clock: Arc<dyn Clock>,
    pub ids: Arc<dyn Ids>,
    pub secrets: Secrets,
    pub operator: Operator,
    pub vault: Arc<Vault>,
    pub passwords: Passwords,
    pub session_ttl_ms: Millis,
    pub verified_keys: auth::VerifiedKeys,
    pub shown: availability::Shown,
    pub streams: Arc<sse::Hub>,
    /// Brings those figures up to date that are looked up rather than counted.
    pub refresh: Box<dyn Fn(&Metrics) + Send + Sync>,
}

impl Api {
    pub fn new(config: config::Serve, metrics: Arc<Metrics>) -> Api {
        let refusals = Kind::ALL.iter().map(|kind| metrics.refusal(kind.slug())).collect();
        Api { config, metrics, shop: OnceLock::new(), phase: AtomicU8::new(Phase::Starting as u8), refusals }
    }

    /// What is for sale, once the log was read.
    pub fn shop(&self) -> Result<&Shop, Problem> {
        self.shop.get().ok_or_else(Problem::starting)
    }

    /// The log was read: from now on every path answers.
    pub fn open(&self, shop: Shop) {
        if self.shop.set(shop).is_ok() {
            self.enter(Phase::Warming);
        }
    }

    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Starting,
            1 => Phase::Warming,
            2 => Phase::Ready,
            _ => Phase::Stopping,
        }
    }

    pub fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }
}

/// A path, the methods that it knows, and everything that goes around each route: made here so that no route lacks it.
pub struct Endpoint {
    path: &'static str,
    resource: Resource,
    methods: Vec<&'static str>,
    body_bytes_max: usize,
}

impl Endpoint {
    pub fn at(path: &'static str) -> Endpoint {
        Endpoint { path, resource: web::resource(path), methods: Vec::new(), body_bytes_max: BODY_BYTES_MAX }
    }

    /// GET, and HEAD, which is the same without the body.
    pub fn get<F, Args>(self, handler: F) -> Endpoint
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on("GET", web::get(), handler.clone()).on("HEAD", web::head(), handler)
    }

    pub fn post<F, Args>(self, handler: F) -> Endpoint
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on("POST", web::post(), handler)
    }

    pub fn patch<F, Args>(self, handler: F) -> Endpoint
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on("PATCH", web::patch(), handler)
    }

    pub fn delete<F, Args>(self, handler: F) -> Endpoint
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on("DELETE", web::delete(), handler)
    }

    /// Larger bodies than elsewhere.
    pub fn body_bytes_max(mut self, bytes: usize) -> Endpoint {
        self.body_bytes_max = bytes;
        self
    }

    fn on<F, Args>(mut self, method: &'static str, route: Route, handler: F) -> Endpoint
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.methods.push(method);
        self.resource = self.resource.route(route.to(handler));
        self
    }

    fn service(self, api: &web::Data<Api>) -> impl HttpServiceFactory + 'static {
        // One string per path and process start: the routes live as long as the server.
        let allow: &'static str = self.methods.join(", ").leak();
        let refuse = move || async move { Err::<String, _>(Problem::method_not_allowed(allow)) };
        self.resource.default_service(web::to(refuse)).wrap(Observe::new(self.path, self.body_bytes_max, api))
    }
}

/// Every path. Those that are asked for most come first: they are tried in this order.
fn endpoints(config: &config::Serve) -> Vec<Endpoint> {
    let mut endpoints = Vec::new();
    if config.benchmark_routes {
        endpoints.push(noop::endpoint());
    }
    endpoints.extend([reservations::hold_endpoint(), availability::endpoint(), watch::endpoint()]);
    endpoints.extend(reservations::endpoints());
    endpoints.extend([users::create_endpoint(), users::me_endpoint(), sessions::endpoint()]);
    endpoints.extend(wallet::endpoints());
    endpoints.extend(organizers::endpoints());
    endpoints.extend(concerts::endpoints());
    endpoints.extend(performances::endpoints());
    endpoints.extend(health::endpoints());
    endpoints.push(openapi::endpoint());
    endpoints
}

/// Adds every path to an actix-web app.
pub fn routes(api: &web::Data<Api>, app: &mut web::ServiceConfig) {
    app.app_data(api.clone());
    for endpoint in endpoints(&api.config) {
        app.service(endpoint.service(api));
    }
    let nothing =
        || async { Err::<String, _>(Problem::new(Kind::NotFound, "There is no such path; see /openapi.json.")) };
    app.service(web::resource("/{path:.*}").default_service(web::to(nothing)).wrap(Observe::new(
        "none",
        BODY_BYTES_MAX,
        api,
    )));
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::{TestRequest, call_service, init_service, read_body_json};
    use actix_web::{App, http::header::RETRY_AFTER};
    use serde_json::Value;

    #[actix_web::test]
    async fn while_the_log_is_read_only_health_answers() {
        let api = web::Data::new(Api::new(config::tests::serve(&[]), Metrics::shared()));
        let app = init_service(App::new().configure(|app| routes(&api, app))).await;
        let table = [
            ("/livez", 200, None),
            ("/metrics", 200, None),
            ("/openapi.json", 200, None),
            ("/readyz", 503, Some("starting")),
            ("/v1/concerts", 503, Some("starting")),
            ("/v1/wallet", 503, Some("starting")),
            ("/nothing", 503, Some("starting")),
        ];
        for (path, status, slug) in table {
            let answer = call_service(&app, TestRequest::get().uri(path).to_request()).await;
            assert_eq!(answer.status().as_u16(), status, "{path}");
            assert_eq!(answer.headers().contains_key(RETRY_AFTER), status == 503, "{path}");
            if let Some(slug) = slug {
                let problem: Value = read_body_json(answer).await;
                assert_eq!(problem["type"], format!("{}{slug}", error::TYPE_BASE), "{path}");
            }
        }
    }
}
