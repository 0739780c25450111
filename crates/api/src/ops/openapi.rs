//! `GET /openapi.json`: generated from the handlers. What every operation of a kind has in common is added here.

use super::{docs, health};
use crate::Endpoint;
use crate::buyers::{history, holds, me, reservations, sessions, statement, users, wallet};
use crate::catalogue::{availability, concerts, performances, search};
use crate::kit::error::{Kind, TYPE_BASE};
use crate::kit::reply::{Reply, not_modified};
use crate::queues::{admissions, draws, entries, queue, signing_keys, statistics};
use crate::sellers::{blocks, cancellations, charts, identity_provider, keys, organizers, reconciliation, reports};
use crate::streams::{entry_events, position_stream, sse, watch};
use actix_web::http::header::HeaderValue;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::sync::LazyLock;
use utoipa::{OpenApi, ToSchema};

pub const PATH: &str = "/openapi.json";

/// How every refusal and failure looks (RFC 9457). Further fields depend on the `type`.
#[derive(Serialize, ToSchema)]
pub struct Problem {
    /// Stable: a program can tell problems apart by it.
    #[schema(examples("https://onsale.dev/problems/seats-unavailable"))]
    r#type: String,
    title: String,
    status: u16,
    /// What happened and what to do about it, for people.
    detail: String,
    /// Also in the header X-Request-Id.
    request_id: String,
    /// Of `invalid-request`: the field that makes no sense.
    field: Option<String>,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Onsale",
        description = "Sells every seat exactly once. Every answer carries X-Request-Id (yours is kept), every write \
            Onsale-Position. Repeat a request with the same Idempotency-Key and it happens once. GET works as HEAD, too.",
    ),
    paths(
        users::create,
        me::read,
        me::erase,
        me::change_password,
        sessions::create,
        sessions::end,
        sessions::end_all,
        wallet::read,
        wallet::charge,
        wallet::adjust,
        wallet::read_of_user,
        statement::read,
        statement::read_of_user,
        reconciliation::read,
        reconciliation::read_all,
        organizers::create,
        organizers::list,
        organizers::read,
        organizers::read_own,
        organizers::rename_own,
        keys::create,
        keys::list,
        keys::revoke,
        keys::create_own,
        keys::list_own,
        keys::revoke_own,
        identity_provider::set,
        identity_provider::read,
        identity_provider::remove,
        concerts::create,
        concerts::list,
        concerts::read,
        concerts::change,
        performances::create,
        performances::list,
        performances::read,
        performances::change,
        charts::read,
        charts::replace,
        charts::validate,
        blocks::block_seats,
        blocks::unblock_seats,
        blocks::block_areas,
        blocks::read,
        cancellations::create,
        cancellations::read,
        availability::read,
        watch::events,
        holds::hold,
        reservations::read,
        reservations::pay,
        reservations::extend,
        reservations::cancel,
        reservations::refund,
        history::list,
        search::schedule,
        reports::sales,
        reports::reservations,
        reports::minutes::report,
        queue::create,
        queue::list,
        queue::read,
        queue::change,
        admissions::admit,
        entries::join,
        entries::read,
        entry_events::events,
        statistics::read,
        statistics::events,
        entries::leave,
        entries::claim,
        entries::activity,
        entries::complete,
        entries::block,
        entries::restore,
        draws::read,
        signing_keys::jwks,
        signing_keys::list,
        signing_keys::rotate,
        health::livez,
        health::readyz,
        health::metrics,
        read,
        docs::page,
        docs::part,
    ),
    components(schemas(Problem, position_stream::Line, sse::LastEvent))
)]
struct Document;

static TEXT: LazyLock<String> = LazyLock::new(|| {
    let mut document = serde_json::to_value(Document::openapi()).expect("a document is plain data");
    complete(&mut document);
    serde_json::to_string_pretty(&document).expect("a document is plain data") + "\n"
});

/// The document.
pub fn text() -> &'static str {
    &TEXT
}

/// The names of headers, each list as the Fetch standard writes it.
pub struct HeaderNames {
    /// That requests may have.
    pub of_requests: HeaderValue,
    /// That answers may have.
    pub of_answers: HeaderValue,
}

/// Of every operation: its own, or in part any one's.
const REQUEST_HEADERS: [&str; 4] = ["Authorization", "Content-Type", "Last-Event-ID", "X-Request-Id"];
const ANSWER_HEADERS: [&str; 8] =
    ["Deprecation", "Link", "Location", "RateLimit", "RateLimit-Policy", "Retry-After", "Sunset", "X-Request-Id"];

/// Every header that the document names.
pub fn header_names() -> &'static HeaderNames {
    static NAMES: LazyLock<HeaderNames> = LazyLock::new(|| {
        let document: Value = serde_json::from_str(text()).expect("the document is JSON");
        let paths = document["paths"].as_object().into_iter().flatten().map(|(_, path)| path);
        let operations: Vec<&Value> = paths.filter_map(Value::as_object).flat_map(Map::values).collect();
        let parameters = operations.iter().flat_map(|operation| operation["parameters"].as_array()).flatten();
        let sent = parameters.filter(|parameter| parameter["in"] == "header");
        let sent = sent.filter_map(|parameter| parameter["name"].as_str());
        let shared = document["components"]["responses"].as_object();
        let responses = operations.iter().filter_map(|operation| operation["responses"].as_object()).chain(shared);
        let answered = responses.flat_map(Map::values).filter_map(|response| response["headers"].as_object());
        let answered = answered.flat_map(Map::keys).map(String::as_str);
        HeaderNames {
            of_requests: listed(REQUEST_HEADERS.into_iter().chain(sent)),
            of_answers: listed(ANSWER_HEADERS.into_iter().chain(answered)),
        }
    });
    &NAMES
}

/// Each once, whatever its case.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> HeaderValue {
    let once: std::collections::BTreeMap<String, &str> = names.map(|name| (name.to_lowercase(), name)).collect();
    let list = once.into_values().collect::<Vec<_>>().join(", ");
    HeaderValue::from_str(&list).expect("names of headers are visible ASCII")
}

pub fn endpoint() -> Endpoint {
    Endpoint::at(PATH).get(read)
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
pub async fn read(request: HttpRequest) -> HttpResponse {
    static TAG: LazyLock<String> = LazyLock::new(|| format!("\"{}\"", &blake3::hash(text().as_bytes()).to_hex()[..16]));
    let tag = HeaderValue::from_static(&TAG);
    not_modified(&request, &tag).unwrap_or_else(|| Reply::ok().etag(tag).json_bytes(text().as_bytes()))
}

/// Adds what the handlers need not say each: who publishes it, credentials, the refusals of every body and credential.
fn complete(document: &mut Value) {
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
    let mut tags = std::collections::BTreeSet::new();
    let paths = document["paths"].as_object_mut().expect("a document has paths");
    for (path, operations) in paths {
        let operations = operations.as_object_mut().expect("a path has operations");
        for operation in operations.values_mut() {
            complete_operation(path, operation);
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

fn complete_operation(path: &str, operation: &mut Value) {
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
    crate::kit::examples::add(operation);
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
    if !health::is_path(path) {
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

    #[test]
    fn every_path_and_method_is_documented() {
        let document: Value = serde_json::from_str(text()).unwrap();
        let config = config::testing::serve(&[]);
        for endpoint in crate::endpoints(&config) {
            for method in endpoint.methods.iter().filter(|method| **method != "HEAD") {
                let operation = &document["paths"][endpoint.path][method.to_lowercase()];
                assert!(operation.is_object(), "{method} {} is not documented", endpoint.path);
                let responses = operation["responses"].as_object().unwrap();
                assert!(responses.keys().any(|status| status.starts_with('2')), "{method} {}", endpoint.path);
            }
        }
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

    #[test]
    fn every_header_that_is_named_is_listed() {
        let HeaderNames { of_requests, of_answers } = header_names();
        let listed = |list: &HeaderValue| list.to_str().unwrap().split(", ").map(str::to_lowercase).collect::<Vec<_>>();
        for name in [
            "authorization",
            "content-type",
            "idempotency-key",
            "if-match",
            "if-none-match",
            "last-event-id",
            "onsale-admission",
            "onsale-after",
            "x-request-id",
        ] {
            assert!(listed(of_requests).iter().any(|known| known == name), "{name} is not in {of_requests:?}");
        }
        for name in [
            "deprecation",
            "etag",
            "idempotency-replayed",
            "link",
            "location",
            "onsale-position",
            "ratelimit",
            "ratelimit-policy",
            "retry-after",
            "sunset",
            "x-request-id",
        ] {
            assert!(listed(of_answers).iter().any(|known| known == name), "{name} is not in {of_answers:?}");
        }
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
