//! HTTP: one file per resource, each with its request and response types, its handlers and its routes.
//!
//! - [`users`], [`me`], [`sessions`], [`identities`], [`wallet`], [`statement`]: who buys, and with what
//! - [`organizers`], [`keys`], [`identity_provider`]: who sells
//! - [`concerts`], [`performances`], [`availability`]: what, and what is left of it
//! - [`watch`]: availability as it changes; [`sse`]: what any such stream is made of
//! - [`reconciliation`]: what was charged, spent, refunded and adjusted, by day
//! - [`charts`], [`chart_csv`], [`blocks`], [`cancellations`]: a performance's places, and its end
//! - [`holds`]: hold; [`reservations`]: read, pay, extend, cancel
//! - [`history`]: what a user has held; [`search`]: concerts by words and dates, the schedule; [`reports`]: of sales and
//!   reservations;
//!   [`read_models`]: what all lists from SQL have in common
//! - [`queues`], [`entries`], [`admissions`], [`draws`]: people who wait until it is their turn; [`entry_events`] and
//!   [`lines`]: how they are told; [`statistics`]: how it goes; [`admission`] and
//!   [`signing_keys`]: the signed word that it is; [`in_line`]: who asks
//! - [`health`], [`noop`], [`openapi`], [`docs`]: for operators, programs and those who write them
//! - [`error`]: the only place that knows how refusals look; [`observe`]: request ids, figures, logs around every route
//! - [`cors`], [`limits`], [`compress`]: what `observe` asks: pages, rates, sizes; [`familiar`]: whom a limit of others does
//!   not hold up
//! - [`auth`], [`body`], [`extract`], [`reply`], [`time`]: what handlers are made of
//! - [`client_address`]: whose request it is, when proxies stand in between
//! - [`server`]: the listener, from bind to drain; [`connections`]: what ends a connection that only takes up room

pub mod admission;
pub mod admissions;
pub mod auth;
pub mod availability;
pub mod blocks;
pub mod body;
pub mod cancellations;
pub mod chart_csv;
pub mod charts;
pub mod client_address;
pub mod compress;
pub mod concerts;
pub mod connections;
pub mod cors;
pub mod docs;
pub mod draws;
pub mod entries;
pub mod entry_events;
pub mod error;
pub mod extract;
pub mod familiar;
pub mod health;
pub mod history;
pub mod holds;
pub mod identities;
pub mod identity_provider;
pub mod in_line;
pub mod keys;
pub mod limits;
pub mod lines;
pub mod me;
pub mod noop;
pub mod observe;
pub mod openapi;
pub mod organizers;
pub mod performances;
pub mod queues;
pub mod read_models;
pub mod reconciliation;
pub mod reply;
pub mod reports;
pub mod reservations;
pub mod search;
pub mod server;
pub mod sessions;
pub mod signing_keys;
pub mod sse;
pub mod statement;
pub mod statistics;
pub mod time;
pub mod users;
pub mod wallet;
pub mod watch;

use crate::actors::Engine;
use crate::clock::Clock;
use crate::config::{self, BODY_BYTES_MAX};
use crate::id::{Ids, Millis};
use crate::identity::Identities;
use crate::ledger::Ledger;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::outputs::Output;
use crate::passwords::Passwords;
use crate::projector::read::Reader;
use crate::secrets::{Operator, Secrets};
use crate::signing::Keyring;
use crate::vault::Vault;
use actix_web::dev::HttpServiceFactory;
use actix_web::{FromRequest, Handler, Resource, Responder, Route, web};
use error::{Kind, Problem};
use observe::{Around, Observe};
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
    /// What was set when the server started.
    pub config: config::Serve,
    /// What is set now: here is what can change while it runs.
    pub live: config::Live,
    pub metrics: Arc<Metrics>,
    pub limits: limits::Limits,
    compressed: compress::Compressed,
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
    pub secrets: Arc<Secrets>,
    pub operator: Operator,
    pub vault: Arc<Vault>,
    pub passwords: Passwords,
    pub session_ttl_ms: Millis,
    pub ledger: Ledger,
    pub log: Arc<dyn Log>,
    /// Where lists, history, search and reports come from; none when that is switched off.
    pub reader: Option<Reader>,
    pub identities: Arc<Identities>,
    pub shown: availability::Shown,
    pub streams: Arc<sse::Hub>,
    /// What the log goes out to.
    pub outputs: Vec<Arc<Output>>,
    pub lines: lines::Lines,
    pub statistics: statistics::Watched,
    pub keyring: Arc<Keyring>,
    pub verified: admission::Verified,
    /// Who signs admissions: `iss`.
    pub issuer: String,
    /// Brings those figures up to date that are looked up rather than counted.
    pub refresh: Box<dyn Fn(&Metrics) + Send + Sync>,
}

impl Shop {
    /// What is ended before its time would have ended by itself within this, ms: a session, or a token of an identity
    /// provider.
    pub fn sessions_end_within_ms(&self) -> Millis {
        self.session_ttl_ms.max(config::IDENTITY_TOKEN_LIFE_MS)
    }
}

impl Api {
    pub fn new(config: config::Serve, metrics: Arc<Metrics>) -> Api {
        let refusals = Kind::ALL.iter().map(|kind| metrics.refusal(kind.slug())).collect();
        let live = config::Live::new(config.clone());
        Api {
            limits: limits::Limits::new(live.clone()),
            compressed: Default::default(),
            config,
            live,
            metrics,
            shop: OnceLock::new(),
            phase: AtomicU8::new(Phase::Starting as u8),
            refusals,
        }
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
    sign_in: bool,
}

impl Endpoint {
    pub fn at(path: &'static str) -> Endpoint {
        let (resource, methods) = (web::resource(path), Vec::new());
        Endpoint { path, resource, methods, body_bytes_max: BODY_BYTES_MAX, sign_in: false }
    }

    /// The same, with a slash behind the path or without.
    pub fn at_slash_or_not(path: &'static str) -> Endpoint {
        let paths = [path.to_owned(), format!("{path}/")];
        Endpoint { resource: web::resource(paths.to_vec()), ..Endpoint::at(path) }
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

    pub fn put<F, Args>(self, handler: F) -> Endpoint
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.on("PUT", web::put(), handler)
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

    /// Its POST costs a password's hash: less often than elsewhere.
    pub fn sign_in(mut self) -> Endpoint {
        self.sign_in = true;
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
        let allow: &'static str = [&self.methods[..], &["OPTIONS"]].concat().join(", ").leak();
        let refuse = move || async move { Err::<String, _>(Problem::method_not_allowed(allow)) };
        let around = Around { path: self.path, allow, body_bytes_max: self.body_bytes_max, sign_in: self.sign_in };
        self.resource.default_service(web::to(refuse)).wrap(Observe::new(around, api))
    }
}

/// Every path. Those that are asked for most come first: they are tried in this order.
fn endpoints(config: &config::Serve) -> Vec<Endpoint> {
    let mut endpoints = Vec::new();
    if config.benchmark_routes {
        endpoints.push(noop::endpoint());
    }
    endpoints.extend([holds::endpoint(), availability::endpoint(), watch::endpoint()]);
    endpoints.extend(reservations::endpoints());
    endpoints.push(history::endpoint());
    endpoints.extend(entries::endpoints());
    endpoints.push(entry_events::endpoint());
    endpoints.push(users::endpoint());
    endpoints.extend(me::endpoints());
    endpoints.extend(sessions::endpoints());
    endpoints.extend(wallet::endpoints());
    endpoints.extend(statement::endpoints());
    endpoints.extend(reconciliation::endpoints());
    endpoints.extend(organizers::endpoints());
    endpoints.extend(keys::endpoints());
    endpoints.push(identity_provider::endpoint());
    endpoints.extend(concerts::endpoints());
    endpoints.push(search::endpoint());
    endpoints.extend(reports::endpoints());
    endpoints.extend(performances::endpoints());
    endpoints.extend(charts::endpoints());
    endpoints.extend(blocks::endpoints());
    endpoints.push(cancellations::endpoint());
    endpoints.extend(queues::endpoints());
    endpoints.push(admissions::endpoint());
    endpoints.push(draws::endpoint());
    endpoints.extend(statistics::endpoints());
    endpoints.extend(signing_keys::endpoints());
    endpoints.extend(health::endpoints());
    endpoints.push(openapi::endpoint());
    endpoints.extend(docs::endpoints());
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
    let around = Around { path: "none", allow: "", body_bytes_max: BODY_BYTES_MAX, sign_in: false };
    app.service(web::resource("/{path:.*}").default_service(web::to(nothing)).wrap(Observe::new(around, api)));
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

    #[actix_web::test]
    async fn a_handler_that_panics_is_our_mistake() {
        async fn panics() -> String {
            panic!("on purpose")
        }
        let api = web::Data::new(Api::new(config::tests::serve(&[]), Metrics::shared()));
        api.enter(Phase::Ready);
        let app = App::new().app_data(api.clone()).service(Endpoint::at("/panic").get(panics).service(&api));
        let app = init_service(app).await;
        let before = api.refusals[Kind::Internal as usize].get();
        let request = TestRequest::get().uri("/panic").insert_header(("X-Request-Id", "mine")).to_request();
        let answer = match actix_web::test::try_call_service(&app, request).await {
            Ok(_) => panic!("it answered"),
            Err(error) => error.error_response(),
        };
        assert_eq!(
            (answer.status().as_u16(), answer.headers().get("X-Request-Id").unwrap().as_bytes()),
            (500, &b"mine"[..])
        );
        let body = actix_web::body::to_bytes(answer.into_body()).await.unwrap();
        let problem: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (&problem["type"], &problem["request_id"]),
            (&format!("{}internal", error::TYPE_BASE).into(), &"mine".into())
        );
        assert_eq!(api.refusals[Kind::Internal as usize].get(), before + 1);
    }
}
