//! `GET /openapi.json`: generated from the handlers. What every operation of a kind has in common is added here.

use super::Endpoint;
use super::error::{Kind, TYPE_BASE};
use super::reply::Reply;
use super::{availability, concerts, health, organizers, performances, reservations, sessions, users, wallet, watch};
use actix_web::HttpResponse;
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
        users::me,
        sessions::create,
        wallet::read,
        wallet::charge,
        organizers::create,
        organizers::read,
        concerts::create,
        concerts::list,
        concerts::read,
        performances::create,
        performances::list,
        performances::read,
        performances::change,
        performances::chart,
        performances::block,
        performances::unblock,
        availability::read,
        watch::events,
        reservations::hold,
        reservations::read,
        reservations::pay,
        reservations::extend,
        reservations::cancel,
        health::livez,
        health::readyz,
        health::metrics,
        read,
    ),
    components(schemas(Problem))
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

pub fn endpoint() -> Endpoint {
    Endpoint::at(PATH).get(read)
}

/// This document
#[utoipa::path(
    get, path = "/openapi.json", tag = "health", operation_id = "openapi",
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value))
)]
pub async fn read() -> HttpResponse {
    Reply::ok().json_bytes(text().as_bytes())
}

/// Adds what the handlers need not say each: credentials, the refusals of every body and credential, problem bodies.
fn complete(document: &mut Value) {
    let bearer = |description: &str| json!({"type": "http", "scheme": "bearer", "description": description});
    document["components"]["securitySchemes"] = json!({
        "user": bearer("A session token (ust_…) of POST /v1/sessions or POST /v1/users; valid for one hour."),
        "organizer": bearer("An organizer's secret key (osk_…)."),
        "operator": bearer("The operator's key (opk_…)."),
    });
    let types: Vec<String> = Kind::ALL.iter().map(|kind| format!("{TYPE_BASE}{}", kind.slug())).collect();
    document["components"]["schemas"]["Problem"]["properties"]["type"]["enum"] = json!(types);
    let paths = document["paths"].as_object_mut().expect("a document has paths");
    for (path, operations) in paths {
        let operations = operations.as_object_mut().expect("a path has operations");
        for operation in operations.values_mut() {
            complete_operation(path, operation);
        }
    }
}

fn complete_operation(path: &str, operation: &mut Value) {
    let has = |operation: &Value, name: &str| operation.get(name).is_some();
    let (body, secured) = (has(operation, "requestBody"), has(operation, "security"));
    let checked = operation["parameters"].as_array().is_some_and(|parameters| {
        let checked = |parameter: &Value| parameter["in"] == "query" || parameter["name"] == "Idempotency-Key";
        parameters.iter().any(checked)
    });
    let responses = operation["responses"].as_object_mut().expect("an operation has responses");
    if body || checked {
        add(responses, 400, "");
    }
    if secured {
        add(responses, 401, "");
        add(responses, 403, "");
    }
    if body {
        [408, 413, 415].into_iter().for_each(|status| add(responses, status, ""));
    }
    if !health::is_path(path) {
        add(responses, 500, "");
        add(responses, 503, "; with Retry-After");
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
fn add(responses: &mut Map<String, Value>, status: u16, more: &str) {
    const OF_ONE_OPERATION: [Kind; 2] = [Kind::BadCredentials, Kind::SelfChargeOff];
    let of_status = |kind: &&Kind| kind.status() == status && !OF_ONE_OPERATION.contains(kind);
    let slugs: Vec<String> = Kind::ALL.iter().filter(of_status).map(|kind| format!("`{}`", kind.slug())).collect();
    let description = format!("{}{more}", slugs.join(", "));
    let schema = json!({"$ref": "#/components/schemas/Problem"});
    responses.entry(status.to_string()).or_insert_with(
        || json!({"description": description, "content": {"application/problem+json": {"schema": schema}}}),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_and_method_is_documented() {
        let document: Value = serde_json::from_str(text()).unwrap();
        let config = crate::config::tests::serve(&[]);
        for endpoint in super::super::endpoints(&config) {
            for method in endpoint.methods.iter().filter(|method| **method != "HEAD") {
                let operation = &document["paths"][endpoint.path][method.to_lowercase()];
                assert!(operation.is_object(), "{method} {} is not documented", endpoint.path);
                let responses = operation["responses"].as_object().unwrap();
                assert!(responses.keys().any(|status| status.starts_with('2')), "{method} {}", endpoint.path);
            }
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
