//! Bad input on every route: one table, generated from `/openapi.json`. Each row gets a documented 4xx, told as a problem,
//! and changes nothing: the log is as long as before.

use crate::common::{Answer, OPERATOR_KEY, PATIENCE, Request, Server, User};
use serde_json::{Map, Value, json};
use std::time::Instant;

struct Stage {
    server: Server,
    document: Value,
    user: User,
    organizer: String,
    expired: String,
    concert: String,
    performance: String,
    reservation: String,
    _data: tempfile::TempDir,
}

fn stage() -> Stage {
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("data");
    let before = Server::start(&folder, &["--session-ttl-s", "1"]);
    let expired = before.user("expired").token;
    before.stop();
    let server = Server::start(&folder, &["--self-charge"]);
    let document = server.get("/openapi.json", "").expect(200).json();
    let (organizer, user) = (server.organizer(), server.user("user"));
    let performance = server.performance(&organizer, json!({}));
    let concert = server.concert(&organizer);
    let held = server.hold(&performance, &user, json!({"seats": ["A-1-1"]})).expect(201).text("/reservation_id");
    let until = Instant::now() + PATIENCE;
    while server.get("/v1/me", &expired).status != 401 {
        assert!(Instant::now() < until, "the token does not expire");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    Stage { server, document, user, organizer, expired, concert, performance, reservation: held, _data: data }
}

/// A request, what is wrong with it, and the statuses that it may get.
#[derive(Clone)]
struct Row {
    request: Request,
    wrong: String,
    statuses: &'static [u16],
}

/// One method of one path, and how to ask it rightly.
struct Operation<'a> {
    stage: &'a Stage,
    method: &'static str,
    path: &'a str,
    described: &'a Value,
}

const ANY: &[u16] = &[400, 404, 409, 412, 415, 422];

impl Operation<'_> {
    /// Who may ask; nobody in particular where anybody may.
    fn roles(&self) -> Vec<&str> {
        let listed = self.described["security"].as_array().into_iter().flatten();
        if listed.clone().any(|one| one.as_object().is_some_and(serde_json::Map::is_empty)) {
            return vec![];
        }
        listed.flat_map(|one| one.as_object().into_iter().flat_map(|one| one.keys())).map(String::as_str).collect()
    }

    fn token(&self) -> &str {
        match self.roles().first() {
            Some(&"user") => &self.stage.user.token,
            Some(&"organizer") => &self.stage.organizer,
            Some(_) => OPERATOR_KEY,
            None => "",
        }
    }

    fn has(&self, place: &str, name: &str) -> bool {
        let parameters = self.described["parameters"].as_array().into_iter().flatten();
        parameters.into_iter().any(|found| found["in"] == place && (name.is_empty() || found["name"] == name))
    }

    fn uri(&self) -> String {
        let stage = self.stage;
        let id = match self.path {
            path if path.starts_with("/v1/concerts/") => &stage.concert,
            path if path.starts_with("/v1/performances/") => &stage.performance,
            path if path.starts_with("/v1/reservations/") => &stage.reservation,
            _ => &stage.user.id,
        };
        let mut parts = self.path.split('/').map(|part| if part.starts_with('{') { id } else { part });
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |uri, part| format!("{uri}/{part}"))
    }

    /// Everything but the body.
    fn request(&self, uri: &str, token: &str) -> Request {
        let mut request = Request::new(self.method, uri).token(token);
        if self.has("header", "Idempotency-Key") {
            request = request.key(&format!("bad-input-{}", uuid::Uuid::new_v4()));
        }
        if self.has("header", "If-Match") { request.header("If-Match", "*") } else { request }
    }

    fn schema(&self) -> Option<&Value> {
        self.described.pointer("/requestBody/content/application~1json/schema")
    }

    fn sample(&self) -> Option<Value> {
        self.schema().map(|schema| sample(&self.stage.document, schema))
    }

    fn rows(&self) -> Vec<Row> {
        let mut rows = [self.credentials(), self.paths(), self.queries(), self.keys()].concat();
        if let Some(schema) = self.schema() {
            rows.extend(self.raw_bodies());
            let valid = sample(&self.stage.document, schema);
            let mut bad = Vec::new();
            spoil(&self.stage.document, schema, &valid, "", &mut |wrong, body| bad.push((wrong, body)));
            for (wrong, body) in bad {
                rows.push(self.row(self.request(&self.uri(), self.token()).json(body), &wrong, ANY));
            }
        }
        rows
    }

    fn row(&self, request: Request, wrong: &str, statuses: &'static [u16]) -> Row {
        Row { request, wrong: wrong.into(), statuses }
    }

    fn credentials(&self) -> Vec<Row> {
        let roles = self.roles();
        if roles.is_empty() {
            return Vec::new();
        }
        let with = |token: &str, wrong: &str, statuses| {
            let request = self.request(&self.uri(), token);
            let request = self.sample().map_or(request.clone(), |body| request.json(body));
            self.row(request, wrong, statuses)
        };
        let (rest, last) = self.token().split_at(self.token().len() - 1);
        let forged = format!("{rest}{}", if last == "A" { "B" } else { "A" });
        let mut rows = vec![
            with("", "no credential", &[401]),
            with("nonsense", "nonsense as a credential", &[401, 403]),
            with(&forged, "a forged credential", &[401]),
        ];
        let others =
            [("user", &*self.stage.user.token), ("organizer", &self.stage.organizer), ("operator", OPERATOR_KEY)];
        for (role, token) in others {
            if !roles.contains(&role) {
                rows.push(with(token, &format!("the credential of a {role}"), &[403]));
            }
        }
        if roles.contains(&"user") {
            rows.push(with(&self.stage.expired, "an expired token", &[401]));
        }
        rows
    }

    fn paths(&self) -> Vec<Row> {
        let Some((start, _)) = self.path.split_once('{') else { return Vec::new() };
        let rest = self.path.split_once('}').map_or("", |(_, rest)| rest);
        let long = "x".repeat(300);
        let ids = ["x", "0", "..", "%00", "%ff", "%F0%9F%8E%AB", &long, "00000000-0000-0000-0000-000000000000"];
        let row = |id: &str| {
            let request = self.request(&format!("{start}{id}{rest}"), self.token());
            let request = self.sample().map_or(request.clone(), |body| request.json(body));
            self.row(request, &format!("the id {id:?}"), &[400, 404, 405])
        };
        ids.into_iter().filter(|_| !rest.contains('{')).map(row).collect()
    }

    fn queries(&self) -> Vec<Row> {
        if !self.has("query", "") {
            return Vec::new();
        }
        let mut queries = vec!["colour=red", "%ff=1"];
        if self.has("query", "limit") {
            queries.extend(["limit=0", "limit=-1", "limit=501", "limit=x", "limit=1&limit=2", "limit=1.5", "limit="]);
            queries.push("limit=99999999999999999999");
        }
        if self.has("query", "cursor") {
            queries.extend(["cursor=x", "cursor=AAAA", "cursor=%00", "cursor=AAAAAAAAAAAAAAAAAAAAAA%3D%3D"]);
        }
        let row = |query| {
            let request = self.request(&format!("{}?{query}", self.uri()), self.token());
            self.row(request, &format!("the query {query}"), &[400])
        };
        queries.into_iter().map(row).collect()
    }

    fn keys(&self) -> Vec<Row> {
        if !self.has("header", "Idempotency-Key") {
            return Vec::new();
        }
        let long = "k".repeat(256);
        let row = |key: &str| {
            let request = Request::new(self.method, &self.uri()).token(self.token()).key(key);
            let request = self.sample().map_or(request.clone(), |body| request.json(body));
            self.row(request, &format!("the Idempotency-Key {key:?}"), &[400])
        };
        ["", "short", "with a space", "with\ttab", "ключ-не-ascii", &long].into_iter().map(row).collect()
    }

    fn raw_bodies(&self) -> Vec<Row> {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        let large = vec![b' '; (8 << 20) + 1];
        let table: [(&str, &[u8], &[u16]); 13] = [
            ("an empty body", b"", &[400]),
            ("half an object", b"{", &[400]),
            ("a comma too many", b"{\"a\":1,}", &[400]),
            ("something behind the object", b"{} {}", &[400]),
            ("a list", b"[1]", &[400]),
            ("a number", b"7", &[400]),
            ("null", b"null", &[400]),
            ("no UTF-8", b"{\"\xff\":1}", &[400]),
            ("half a surrogate pair", b"{\"a\":\"\\ud800\"}", &[400]),
            ("10,000 levels", deep.as_bytes(), &[400]),
            ("a name twice", b"{\"a\":1,\"a\":2}", &[400]),
            ("an unknown field", b"{\"no_such_field\":1}", &[400]),
            ("a body over every limit", &large, &[413]),
        ];
        let request = || self.request(&self.uri(), self.token());
        let row = |(wrong, body, statuses): (&str, &[u8], _)| {
            self.row(request().body("application/json", body), wrong, statuses)
        };
        // Some bodies may be left out.
        let needed = self.described["requestBody"]["required"] == true;
        let mut rows: Vec<Row> = table.into_iter().filter(|(_, body, _)| needed || !body.is_empty()).map(row).collect();
        let body = self.sample().unwrap_or_default().to_string();
        for (wrong, media_type) in [("text/plain", "text/plain"), ("a form", "application/x-www-form-urlencoded")] {
            rows.push(self.row(request().body(media_type, body.as_bytes()), wrong, &[415]));
        }
        if needed {
            rows.push(self.row(request().header("Content-Length", "0"), "neither a body nor its type", &[400, 415]));
        }
        rows
    }
}

fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    if let Some(reference) = schema["$ref"].as_str() {
        return resolve(document, document.pointer(reference.trim_start_matches('#')).expect(reference));
    }
    for list in ["oneOf", "anyOf", "allOf"] {
        if let Some(found) = schema[list].as_array().and_then(|list| list.iter().find(|one| one["type"] != "null")) {
            return resolve(document, found);
        }
    }
    schema
}

fn takes(document: &Value, schema: &Value, wanted: &str) -> bool {
    let of = |kind: &Value| kind == wanted || (wanted == "integer" && kind == "number");
    let any =
        |list: &str| schema[list].as_array().is_some_and(|all| all.iter().any(|one| takes(document, one, wanted)));
    let reference = schema["$ref"].as_str().and_then(|reference| document.pointer(reference.trim_start_matches('#')));
    of(&schema["type"])
        || schema["type"].as_array().is_some_and(|types| types.iter().any(of))
        || any("oneOf")
        || any("anyOf")
        || any("allOf")
        || reference.is_some_and(|schema| takes(document, schema, wanted))
}

/// Something that fits a schema.
fn sample(document: &Value, schema: &Value) -> Value {
    let schema = resolve(document, schema);
    if let Some(given) = schema["examples"].as_array().and_then(|examples| examples.first()) {
        return given.clone();
    }
    if let Some(one) = schema["enum"].as_array().and_then(|values| values.first()) {
        return one.clone();
    }
    let is = |wanted: &str| takes(document, schema, wanted);
    if is("object") {
        let mut body = Map::new();
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            body.insert(name.into(), sample(document, &schema["properties"][name]));
        }
        if schema["additionalProperties"].is_object() {
            body.insert("VIP".into(), sample(document, &schema["additionalProperties"]));
        }
        return body.into();
    }
    match schema["format"].as_str() {
        Some("uuid") => json!("00000000-0000-4000-8000-000000000000"),
        Some("date-time") => json!("2099-01-01T19:00:00Z"),
        _ if is("string") => json!("x".repeat(schema["minLength"].as_u64().unwrap_or(1).max(1) as usize)),
        _ if is("integer") => json!(schema["minimum"].as_u64().unwrap_or(1).max(1)),
        _ if is("boolean") => json!(true),
        _ if is("array") => json!([sample(document, &schema["items"])]),
        _ => json!({}),
    }
}

/// Every way to break one thing of a value: `found` gets what is wrong, and the whole value with it.
fn spoil(document: &Value, schema: &Value, valid: &Value, path: &str, found: &mut dyn FnMut(String, Value)) {
    let wrong_types = [
        ("null", json!(null)),
        ("boolean", json!(true)),
        ("integer", json!(7)),
        ("string", json!("a text")),
        ("array", json!([])),
        ("object", json!({})),
    ];
    for (kind, value) in wrong_types.into_iter().filter(|(kind, _)| !path.is_empty() && !takes(document, schema, kind))
    {
        found(format!("{path} is a {kind}"), value);
    }
    let schema = resolve(document, schema);
    if takes(document, schema, "integer") && !takes(document, schema, "string") {
        let fraction = schema["type"] != "number";
        let low = schema["minimum"].as_i64().map(|least| json!(least - 1));
        let high = schema["maximum"].as_u64().map(|most| json!(most + 1));
        let odd = [Some(json!(1.5)).filter(|_| fraction), Some(json!(-1)), Some(json!(1e300)), low, high];
        odd.into_iter().flatten().for_each(|value| found(format!("{path} is {value}"), value.clone()));
    }
    if let Some(most) = schema["maxLength"].as_u64() {
        found(format!("{path} has {} characters", most + 1), json!("x".repeat(most as usize + 1)));
    }
    if let Some(least) = schema["minLength"].as_u64().filter(|least| *least > 0) {
        found(format!("{path} has {} characters", least - 1), json!("x".repeat(least as usize - 1)));
    }
    if matches!(schema["format"].as_str(), Some("uuid" | "date-time")) || schema["enum"].is_array() {
        found(format!("{path} is none of what is expected"), json!("no-such-thing"));
    }
    if let Some(items) = valid.as_array().and_then(|items| items.first()) {
        let mut of_item = |wrong: String, item: Value| found(wrong, json!([item]));
        spoil(document, &schema["items"], items, &format!("{path}[0]"), &mut of_item);
    }
    let Some(fields) = valid.as_object() else { return };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let mut without = fields.clone();
        without.remove(name);
        found(format!("{path}.{name} is missing"), without.into());
    }
    if !schema["additionalProperties"].is_object() {
        let more = [fields.clone(), Map::from_iter([("no_such_field".to_owned(), json!(1))])];
        found(format!("{path} has an unknown field"), more.into_iter().flatten().collect::<Map<_, _>>().into());
    }
    for (name, of_field) in schema["properties"].as_object().into_iter().flatten() {
        let value = fields.get(name).cloned().unwrap_or_else(|| sample(document, of_field));
        let mut of_whole = |wrong: String, value: Value| {
            let mut whole = fields.clone();
            whole.insert(name.clone(), value);
            found(wrong, whole.into());
        };
        spoil(document, of_field, &value, &format!("{path}.{name}"), &mut of_whole);
    }
}

fn method(name: &str) -> &'static str {
    let known = ["GET", "POST", "PUT", "PATCH", "DELETE"];
    known.into_iter().find(|known| known.eq_ignore_ascii_case(name)).expect("a method of ours")
}

/// How long the log is.
fn position(server: &Server) -> String {
    let figures = server.get("/metrics", "").expect(200);
    let text = String::from_utf8(figures.body).unwrap();
    text.lines().find_map(|line| line.strip_prefix("onsale_log_position ")).expect("the figure").to_owned()
}

/// What is not as it should be about an answer.
fn complaint(described: &Value, row: &Row, answer: &Answer) -> Option<String> {
    let body = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
    let status = answer.status;
    let text = |name: &str| body[name].as_str().is_some_and(|text| !text.is_empty());
    // Of which answers the body is left out, or which routes there are, the document of one operation does not say.
    let documented = described["responses"].get(status.to_string()).is_some() || status == 405;
    match () {
        _ if !row.statuses.contains(&status) => Some(format!("{status} instead of {:?}", row.statuses)),
        _ if !documented => Some(format!("{status} is not documented")),
        _ if answer.header("content-type") != Some("application/problem+json") => Some("it is no problem".into()),
        _ if !["type", "title", "detail", "request_id"].into_iter().all(text) => Some("a field is missing".into()),
        _ if body["status"] != status || body["request_id"].as_str() != answer.header("x-request-id") => {
            Some("status or request_id are not those of the head".into())
        }
        _ => None,
    }
}

#[test]
fn bad_input_is_refused_on_every_route_and_changes_nothing() {
    let stage = stage();
    let mut rows = 0;
    let mut wrong = Vec::new();
    let mut before = position(&stage.server);
    for (path, operations) in stage.document["paths"].as_object().unwrap() {
        for (name, described) in operations.as_object().unwrap() {
            let operation = Operation { stage: &stage, method: method(name), path, described };
            for row in operation.rows() {
                rows += 1;
                let answer = stage.server.send(row.request.clone());
                let after = position(&stage.server);
                let changed = (before != after).then(|| format!("the log went from {before} to {after}"));
                before = after;
                if let Some(what) = complaint(described, &row, &answer).or(changed) {
                    let body: String = String::from_utf8_lossy(&answer.body).chars().take(300).collect();
                    wrong.push(format!("{} {path}, {}: {what}\n    {body}", operation.method, row.wrong));
                }
            }
        }
    }
    println!("{rows} rows");
    assert!(rows > 500, "{rows} rows are too few: is the document read?");
    assert!(wrong.is_empty(), "{} of {rows} rows:\n{}", wrong.len(), wrong.join("\n"));
}
