//! `GET /openapi.json`: generated from the handlers. What every operation of a kind has in common is added here.

use crate::kit::error::{Kind, ProblemBody, TYPE_BASE};
use crate::kit::examples;
use crate::kit::reply::{Reply, not_modified};
use crate::route::{Route, routes};
use actix_web::http::header::HeaderValue;
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use utoipa::OpenApi;
use utoipa::openapi::Components;

pub const PATH: &str = "/openapi.json";

/// The document, as it is sent.
#[derive(Clone, Debug)]
pub struct Document {
    pub text: String,
    tag: HeaderValue,
}

/// What the document begins with.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Onsale",
        description = "Sells every seat exactly once. Every answer carries X-Request-Id (yours is kept), every write \
            Onsale-Position. Repeat a request with the same Idempotency-Key and it happens once. GET works as HEAD, too.",
    ),
    components(schemas(ProblemBody))
)]
struct Frame;

impl Document {
    /// Of these routes.
    pub fn of(routes: Vec<Route>) -> Document {
        let open_always: BTreeSet<String> =
            routes.iter().filter(|route| route.open_always).map(|route| route.path.clone()).collect();
        let mut document = Frame::openapi();
        let mut components = document.components.take().unwrap_or_else(Components::new);
        for route in routes {
            let Some((operation, schemas)) = route.document else { continue };
            document.paths.add_path_operation(route.path, vec![route.method], operation);
            components.schemas.extend(schemas);
        }
        document.components = Some(components);
        let mut document = serde_json::to_value(document).expect("a document is plain data");
        complete(&mut document, &open_always);
        let text = serde_json::to_string_pretty(&document).expect("a document is plain data") + "\n";
        let tag = format!("\"{}\"", crate::kit::tags::content_hash(text.as_bytes()));
        Document { tag: HeaderValue::from_str(&tag).expect("hexadecimal digits and quotes"), text }
    }
}

pub fn routes() -> Vec<Route> {
    routes![read.open_always()]
}

/// This document
#[utoipa::path(
    get, path = "/openapi.json", tag = "health", operation_id = "openapi",
    params(("If-None-Match" = Option<String>, Header)),
    responses(
        (status = 200, description = "OpenAPI 3.1", body = serde_json::Value, headers(("ETag" = String))),
        (status = 304, description = "Unchanged"),
    )
)]
pub async fn read(document: web::Data<Document>, request: HttpRequest) -> HttpResponse {
    let tag = document.tag.clone();
    let answer = || Reply::ok().etag(tag.clone()).json_bytes(document.text.clone());
    not_modified(&request, &tag).unwrap_or_else(answer)
}

/// Adds what the handlers need not say each: who publishes it, credentials, the refusals of every body and credential.
fn complete(document: &mut Value, open_always: &BTreeSet<String>) {
    let bearer = |description: &str| json!({"type": "http", "scheme": "bearer", "description": description});
    document["info"]["contact"] = json!({"name": "Onsale", "url": "https://onsale.dev"});
    document["info"]["license"] = json!({"name": "Apache-2.0", "identifier": "Apache-2.0"});
    document["servers"] = json!([{"url": "/", "description": "The server that this document comes from"}]);
    document["components"]["securitySchemes"] = json!({
        "user": bearer("A session token (ust_…) of POST /v1/sessions or POST /v1/users, valid for one hour; or a token of \
             the organizer's identity provider."),
        "organizer": bearer("An organizer's secret key (osk_…)."),
        "operator": bearer("The operator's key (opk_…)."),
        "waiting": bearer("The waiting token (wqt_…) of POST /v1/queues/{id}/entries."),
        "admission": bearer("The token of an admission (a JWT)."),
    });
    let types: Vec<String> = Kind::ALL.iter().map(|kind| format!("{TYPE_BASE}{}", kind.slug())).collect();
    document["components"]["schemas"]["Problem"]["properties"]["type"]["enum"] = json!(types);
    let common: Map<String, Value> = COMMON.iter().map(|status| (status.to_string(), common(*status))).collect();
    let named = common.into_iter().map(|(status, answer)| (response_name(&status), answer));
    document["components"]["responses"] = Value::Object(named.collect());
    // What the events of a stream look like is not said by a media type: one of them is, here.
    const LINE: &str =
        "/paths/~1v1~1queues~1{id}~1entries~1{entry}~1events/get/responses/200/content/text~1event-stream/schema";
    let line = document.pointer_mut(LINE).expect("the stream of an entry is documented");
    line["contentMediaType"] = json!("text/event-stream");
    line["contentSchema"] = json!({"$ref": "#/components/schemas/QueueLine"});
    let mut tags = BTreeSet::new();
    let paths = document["paths"].as_object_mut().expect("a document has paths");
    for (path, operations) in paths {
        let operations = operations.as_object_mut().expect("a path has operations");
        for operation in operations.values_mut() {
            complete_operation(operation, open_always.contains(path));
            tags.extend(operation["tags"].as_array().into_iter().flatten().map(|tag| tag.to_string()));
        }
    }
    let tags = tags.iter().map(|tag| tag.trim_matches('"')).map(|tag| json!({"name": tag, "description": about(tag)}));
    document["tags"] = tags.collect();
    lift_examples(document);
}

/// Examples of a whole list stand at the list, not at its items.
fn lift_examples(value: &mut Value) {
    let is_list =
        value["type"] == "array" || value["type"].as_array().is_some_and(|types| types.contains(&json!("array")));
    if is_list && let Some(items) = value.get_mut("items").and_then(Value::as_object_mut) {
        let of_lists =
            items.get("examples").and_then(Value::as_array).is_some_and(|all| all.iter().all(Value::is_array));
        if let Some(examples) = of_lists.then(|| items.remove("examples")).flatten() {
            value["examples"] = examples;
        }
    }
    match value {
        Value::Array(items) => items.iter_mut().for_each(lift_examples),
        Value::Object(fields) => fields.values_mut().for_each(lift_examples),
        _ => {}
    }
}

/// What a tag's operations are about; also the order in which pages show them.
fn about(tag: &str) -> &'static str {
    match tag {
        "concerts" => "What is played. Made by organizers, read by anyone.",
        "health" => "For operators and their machines.",
        "organizers" => "Who sells.",
        "performances" => "What is for sale, and what is left of it.",
        "queues" => "Wait until it is one's turn: for a performance, or for any other site.",
        "reservations" => "Hold, pay, extend, give up, cancel.",
        "users" => "Who buys: accounts and sessions.",
        "wallet" => "Points: what they pay with.",
        _ => "More.",
    }
}

/// Refusals that say the same wherever they come from.
const COMMON: [u16; 11] = [400, 401, 403, 408, 413, 414, 415, 429, 431, 500, 503];

fn response_name(status: &str) -> String {
    format!("Refused{status}")
}

fn complete_operation(operation: &mut Value, open_always: bool) {
    let has = |operation: &Value, name: &str| operation.get(name).is_some();
    let (body, secured) = (has(operation, "requestBody"), has(operation, "security"));
    if !secured {
        // Said, not forgotten: no credential is needed.
        operation["security"] = json!([]);
    }
    // A body that may be left out is not one that may be `null`.
    if let Some(schema) = operation.pointer_mut("/requestBody/content/application~1json/schema")
        && let Some(either) = schema.get("oneOf").and_then(Value::as_array)
        && let Some(body) = either.iter().find(|one| one.get("$ref").is_some()).cloned()
    {
        *schema = body;
    }
    examples::add(operation);
    let checked = operation["parameters"].as_array().is_some_and(|parameters| {
        let checked = |parameter: &Value| parameter["in"] == "query" || parameter["name"] == "Idempotency-Key";
        parameters.iter().any(checked)
    });
    let mut refusals = vec![414, 429, 431];
    if body || checked {
        refusals.push(400);
    }
    if secured {
        refusals.extend([401, 403]);
    }
    if body {
        refusals.extend([408, 413, 415]);
    }
    if !open_always {
        refusals.extend([500, 503]);
    }
    let responses = operation["responses"].as_object_mut().expect("an operation has responses");
    for status in refusals {
        let status = status.to_string();
        let reference = json!({"$ref": format!("#/components/responses/{}", response_name(&status))});
        responses.entry(status).or_insert(reference);
    }
    for (status, response) in responses {
        if status.as_str() >= "400"
            && let Some(content) = response.get_mut("content").and_then(Value::as_object_mut)
            && let Some(body) = content.remove("application/json")
        {
            content.insert("application/problem+json".into(), body);
        }
    }
}

/// A refusal that needs no words of its own: the slugs of its status, as far as they are not about one operation.
fn common(status: u16) -> Value {
    const OF_ONE_OPERATION: [Kind; 5] =
        [Kind::NotAdmitted, Kind::BadCredentials, Kind::BadIdToken, Kind::SelfChargeOff, Kind::WrongPassword];
    let of_status = |kind: &&Kind| kind.status() == status && !OF_ONE_OPERATION.contains(kind);
    let slugs: Vec<String> = Kind::ALL.iter().filter(of_status).map(|kind| format!("`{}`", kind.slug())).collect();
    let mut answer = json!({
        "description": slugs.join(", "),
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    });
    if matches!(status, 429 | 503) {
        let seconds = json!({"description": "Seconds to wait", "schema": {"type": "integer", "minimum": 1}});
        answer["headers"] = json!({"Retry-After": seconds});
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::middleware::cors;

    fn text() -> &'static str {
        &crate::document().text
    }

    #[test]
    fn every_operation_says_how_it_succeeds() {
        let document: Value = serde_json::from_str(text()).unwrap();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for (method, operation) in operations.as_object().unwrap() {
                let responses = operation["responses"].as_object().unwrap();
                assert!(responses.keys().any(|status| status.starts_with('2')), "{method} {path}");
            }
        }
    }

    #[test]
    fn only_what_measures_and_pages_are_not_documented() {
        let config = config::testing::serve(&["--benchmark-routes"]);
        let hidden = crate::all_routes(&config).into_iter().filter(|route| route.document.is_none());
        let paths = hidden.map(|route| route.path).filter(|path| path != "/" && !path.starts_with("/q/"));
        assert_eq!(paths.collect::<BTreeSet<_>>(), BTreeSet::from(["/noop".to_owned()]));
    }

    /// Generators make of a schema `X` a function `NewX`, `NullableX`, and the like (openapi-generator's for Go): no schema
    /// may be called so.
    #[test]
    fn names_of_schemas_do_not_meet_those_of_generators() {
        let document: Value = serde_json::from_str(text()).unwrap();
        let names: Vec<&String> = document["components"]["schemas"].as_object().unwrap().keys().collect();
        for name in &names {
            let taken = ["New", "Nullable", "Api"].iter().any(|start| name.starts_with(start));
            assert!(!taken, "{name} is what a generator would call something of its own");
            let once = names.iter().filter(|other| other.eq_ignore_ascii_case(name)).count();
            assert_eq!(once, 1, "{name} differs from another name by case alone, and files by nothing");
        }
    }

    /// The values of an enumeration become constants of the whole package in Go and C: two may not share one. What is
    /// written in place, not under a name, becomes a text there.
    #[test]
    fn no_two_enumerations_share_a_value() {
        let document: Value = serde_json::from_str(text()).unwrap();
        let mut known = std::collections::BTreeMap::new();
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            for value in schema["enum"].as_array().into_iter().flatten() {
                let other = known.insert(value.as_str().unwrap(), name);
                assert_eq!(other, None, "{value} is of {name}, too: write one of them in place (#[schema(inline)])");
            }
        }
        assert!(!known.is_empty());
    }

    /// Each once, whatever its case.
    fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
        let once: std::collections::BTreeMap<String, &str> = names.map(|name| (name.to_lowercase(), name)).collect();
        once.into_values().collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn pages_of_other_origins_may_use_every_header_that_the_document_names() {
        // Of every operation: its own, or in part any one's.
        let of_all_requests =
            ["Authorization", "Content-Type", "Last-Event-ID", "Traceparent", "Tracestate", "X-Request-Id"];
        let of_all_answers = [
            "Deprecation",
            "Link",
            "Location",
            "RateLimit",
            "RateLimit-Policy",
            "Retry-After",
            "Sunset",
            "X-Request-Id",
        ];
        let document: Value = serde_json::from_str(text()).unwrap();
        let operations = |with_gate: bool| {
            let paths = document["paths"].as_object().unwrap().iter();
            let paths = paths.filter(move |(path, _)| with_gate || !path.ends_with("/gate"));
            paths.filter_map(|(_, methods)| methods.as_object()).flat_map(Map::values)
        };
        // What the gate is asked with comes from proxies, and from no page.
        let parameters = operations(false).filter_map(|operation| operation["parameters"].as_array()).flatten();
        let sent = parameters.filter(|parameter| parameter["in"] == "header");
        let sent = sent.filter_map(|parameter| parameter["name"].as_str());
        assert_eq!(cors::REQUEST_HEADERS, listed(of_all_requests.into_iter().chain(sent)));
        let shared = document["components"]["responses"].as_object();
        let responses = operations(true).filter_map(|operation| operation["responses"].as_object()).chain(shared);
        let answered = responses.flat_map(Map::values).filter_map(|response| response["headers"].as_object());
        // No page may ever read a cookie's header.
        let answered = answered.flat_map(Map::keys).map(String::as_str).filter(|name| *name != "Set-Cookie");
        assert_eq!(cors::ANSWER_HEADERS, listed(of_all_answers.into_iter().chain(answered)));
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document: Value = serde_json::from_str(text()).unwrap();
        let references = text().split("\"$ref\": \"#").skip(1).map(|rest| rest.split('"').next().unwrap());
        for reference in references {
            assert!(document.pointer(reference).is_some(), "{reference} leads nowhere");
        }
    }
}
