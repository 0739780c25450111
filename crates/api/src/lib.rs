//! HTTP: one file per resource, each with its request and response types, its handlers and its routes.
//!
//! - [`kit`]: what handlers are made of
//! - [`middleware`]: what goes around every route
//! - [`buyers`]: who buys, with what, and what they hold
//! - [`sellers`]: who sells, and what they set up
//! - [`catalogue`]: what there is to buy, and what is left of it
//! - [`queues`]: people who wait until it is their turn
//! - [`streams`]: what is told as it changes
//! - [`ops`]: for operators, programs and those who write them
//! - [`state`]: what every handler can reach; [`route`]: a path and the methods that it knows

pub mod buyers;
pub mod catalogue;
pub mod kit;
pub mod middleware;
pub mod ops;
pub mod queues;
pub mod route;
pub mod sellers;
pub mod state;
pub mod streams;

pub use route::Endpoint;
pub use state::{Api, Phase, Shop};

use crate::buyers::{history, holds, me, reservations, sessions, statement, users, wallet};
use crate::catalogue::{availability, concerts, performances, search};
use crate::kit::error::{Kind, Problem};
use crate::middleware::observe::{Around, Observe};
use crate::ops::{docs, health, noop, openapi};
use crate::queues::{admissions, draws, entries, queue, signing_keys, statistics};
use crate::sellers::{blocks, cancellations, charts, identity_provider, keys, organizers, reconciliation, reports};
use crate::streams::{entry_events, watch};
use actix_web::web;
use config::BODY_BYTES_MAX;

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
    endpoints.extend(queue::endpoints());
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
    // Also what is no path: `OPTIONS *`, and the `host:port` of CONNECT.
    app.default_service(actix_service::apply(Observe::new(around, api), web::to(nothing)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::{TestRequest, call_service, init_service, read_body_json};
    use actix_web::{App, http::header::RETRY_AFTER};
    use serde_json::Value;

    #[actix_web::test]
    async fn while_the_log_is_read_only_health_answers() {
        let api = web::Data::new(Api::new(config::testing::serve(&[]), crate::ops::metrics::Metrics::shared()));
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
                assert_eq!(problem["type"], format!("{}{slug}", crate::kit::error::TYPE_BASE), "{path}");
            }
        }
    }

    #[actix_web::test]
    async fn a_handler_that_panics_is_our_mistake() {
        async fn panics() -> String {
            panic!("on purpose")
        }
        let api = web::Data::new(Api::new(config::testing::serve(&[]), crate::ops::metrics::Metrics::shared()));
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
            (&format!("{}internal", crate::kit::error::TYPE_BASE).into(), &"mine".into())
        );
        assert_eq!(api.refusals[Kind::Internal as usize].get(), before + 1);
    }
}
