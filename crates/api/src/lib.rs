//! HTTP: one file per resource, each with its request and response types, its handlers and its routes.
//!
//! - [`kit`]: what handlers are made of
//! - [`middleware`]: what goes around every route
//! - [`auth`]: who asks
//! - [`buyers`]: who buys, with what, and what they hold
//! - [`sellers`]: who sells, and what they set up
//! - [`catalogue`]: what there is to buy, and what is left of it
//! - [`queues`]: people who wait until it is their turn; [`gate`]: who may pass to a site behind a queue
//! - [`streams`]: what is told as it changes
//! - [`pages`]: what people see in a browser
//! - [`ops`]: for operators, programs and those who write them
//! - [`state`], [`services`]: what handlers share; [`route`]: a path and the methods that it knows

pub mod auth;
pub mod buyers;
pub mod catalogue;
pub mod gate;
pub mod kit;
pub mod middleware;
pub mod ops;
pub mod pages;
pub mod queues;
pub mod route;
pub mod sellers;
pub mod services;
pub mod state;
pub mod streams;

pub use services::Services;
pub use state::{Api, EngineHandle, Phase};

use crate::buyers::{history, holds, me, reservations, sessions, statement, users, wallet};
use crate::catalogue::{availability, concerts, performances, search};
use crate::kit::error::{Kind, Problem};
use crate::middleware::observe::{Observe, RouteContext};
use crate::ops::openapi::Document;
use crate::ops::{docs, health, noop, openapi};
use crate::queues::{admissions, draws, entries, handover, line, notice, page, queue, signing_keys, statistics};
use crate::route::{Endpoint, Route};
use crate::sellers::{blocks, cancellations, charts, identity_provider, keys, organizers, reconciliation, reports};
use crate::streams::{entry_events, watch};
use actix_web::web;
use config::BODY_BYTES_MAX;
use std::sync::LazyLock;

/// Every route. Those that are asked for most come first: they are tried in this order.
const ROUTES: &[fn() -> Vec<Route>] = &[
    holds::routes,
    availability::routes,
    watch::routes,
    reservations::routes,
    history::routes,
    entries::routes,
    handover::routes,
    line::routes,
    notice::routes,
    page::routes,
    gate::routes,
    entry_events::routes,
    users::routes,
    me::routes,
    sessions::routes,
    wallet::routes,
    statement::routes,
    reconciliation::routes,
    organizers::routes,
    keys::routes,
    identity_provider::routes,
    concerts::routes,
    search::routes,
    reports::sales::routes,
    reports::reservations::routes,
    reports::minutes::routes,
    performances::routes,
    charts::routes,
    blocks::routes,
    cancellations::routes,
    queue::routes,
    admissions::routes,
    draws::routes,
    statistics::routes,
    signing_keys::routes,
    health::routes,
    openapi::routes,
    docs::routes,
    pages::routes,
];

fn all_routes(config: &config::Serve) -> Vec<Route> {
    let measured: Option<fn() -> Vec<Route>> = config.benchmark_routes.then_some(noop::routes);
    measured.iter().chain(ROUTES).flat_map(|routes| routes()).collect()
}

/// What `GET /openapi.json` answers.
pub fn document() -> &'static Document {
    static DOCUMENT: LazyLock<Document> =
        LazyLock::new(|| Document::of(ROUTES.iter().flat_map(|routes| routes()).collect()));
    &DOCUMENT
}

/// Adds every path to an actix-web app.
pub fn routes(api: &web::Data<Api>, app: &mut web::ServiceConfig) {
    app.app_data(api.clone());
    app.app_data(web::Data::new(document().clone()));
    for endpoint in Endpoint::of(all_routes(&api.config)) {
        app.service(endpoint.service(api));
    }
    let nothing =
        || async { Err::<String, _>(Problem::new(Kind::NotFound, "There is no such path; see /openapi.json.")) };
    let context =
        RouteContext { path: "none", allow: "", body_bytes_max: BODY_BYTES_MAX, sign_in: false, open_always: false };
    // Also what is no path: `OPTIONS *`, and the `host:port` of CONNECT.
    app.default_service(actix_service::apply(Observe::new(context, api), web::to(nothing)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::{TestRequest, call_service, init_service, read_body_json};
    use actix_web::{App, http::header::RETRY_AFTER};
    use serde_json::Value;
    use utoipa::openapi::path::HttpMethod;

    /// The arguments that find out who asks, and whom they let in; "" is anybody.
    const ROLES: [(&str, &[&str]); 8] = [
        ("::User", &["user"]),
        ("::Current", &["user"]),
        ("::Organizer", &["organizer"]),
        ("::OrganizerKey", &["organizer"]),
        ("::Operator", &["operator"]),
        ("::Holder", &["organizer", "user"]),
        ("::Joiner", &["", "organizer", "user", "waiting"]),
        ("::Watching", &["", "organizer", "user", "waiting"]),
    ];
    /// Those of which a handler may let in fewer: it says so itself.
    const ROLES_AT_MOST: [(&str, &[&str]); 2] = [
        ("::Caller", &["operator", "organizer", "user"]),
        ("::EntryCaller", &["admission", "organizer", "user", "waiting"]),
    ];

    fn documented_roles(route: &Route) -> Option<Vec<String>> {
        let (operation, _) = route.document.as_ref()?;
        let security = serde_json::to_value(operation.security.as_ref()?).unwrap();
        let name = |one: &Value| one.as_object().and_then(|one| one.keys().next().cloned()).unwrap_or_default();
        let mut roles: Vec<String> = security.as_array().unwrap().iter().map(name).collect();
        roles.sort();
        Some(roles)
    }

    /// A handler says who may ask by its arguments, and in the document above it: the two agree.
    #[test]
    fn the_document_says_whom_the_arguments_let_in() {
        let mut compared = 0;
        for route in ROUTES.iter().flat_map(|routes| routes()).filter(|route| route.document.is_some()) {
            let place = format!("{}: {}", route.path, route.arguments);
            let is_part = |c: char| c.is_alphanumeric() || matches!(c, ':' | '_');
            let has = |name: &str| route.arguments.split(|c| !is_part(c)).any(|argument| argument.ends_with(name));
            let of = |list: &'static [(&str, &'static [&'static str])]| list.iter().find(|(name, _)| has(name));
            let documented = documented_roles(&route);
            match (of(&ROLES), of(&ROLES_AT_MOST)) {
                (Some((_, roles)), _) => {
                    let documented = documented.unwrap_or_default();
                    assert_eq!(documented, *roles, "{place}");
                }
                (None, Some((_, most))) => {
                    let documented = documented.unwrap_or_default();
                    let among = documented.iter().all(|role| most.contains(&role.as_str()));
                    assert!(!documented.is_empty() && among, "{place}: {documented:?}");
                }
                (None, None) => assert_eq!(documented, None, "{place}"),
            }
            compared += 1;
        }
        assert!(compared > 80, "{compared} routes");
    }

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
        let routes = vec![Route::undocumented(HttpMethod::Get, "/panic", panics)];
        let endpoint = Endpoint::of(routes).remove(0);
        let app = App::new().app_data(api.clone()).service(endpoint.service(&api));
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
