//! An event as a record: key, headers and value of the CloudEvents Kafka binding, binary mode.

use base::clock::rfc3339;
use base::id::{Category, StreamId};
use base::trace_context::{TRACEPARENT, TRACESTATE, TraceContext};
use eventlog::{Position, Recorded};
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use serde_json::Value;
use std::collections::HashMap;
use std::fmt::Write;
use uuid::Uuid;

pub const CONTENT_TYPE: &str = "application/json";
pub const SPEC_VERSION: &str = "1.0";

/// Fields of events that stay private, by the event's name: each the names that lead to it.
pub type Private = HashMap<String, Vec<Vec<String>>>;

/// The topic of a category.
pub fn topic(prefix: &str, category: Category) -> String {
    format!("{prefix}.{}", category.as_str())
}

/// What an event's source is: this log, wherever its server runs.
pub fn source(log_id: Uuid) -> String {
    format!("urn:uuid:{log_id}")
}

/// Makes records; its texts are used again for the next one.
pub struct Renderer {
    log_id: String,
    source: String,
    private: Private,
    key: String,
    number: String,
    version: String,
    value: Vec<u8>,
}

/// One record, until the next is made.
pub struct Rendered<'a> {
    pub key: &'a str,
    pub value: &'a [u8],
    number: &'a str,
    version: &'a str,
    time: [u8; 24],
    name: &'a str,
    source: &'a str,
    log_id: &'a str,
    /// The trace that it comes from, if it is known.
    origin: Option<&'a TraceContext>,
}

impl Renderer {
    pub fn new(log_id: Uuid, private: Private) -> Renderer {
        Renderer {
            log_id: log_id.to_string(),
            source: source(log_id),
            private,
            key: String::new(),
            number: String::new(),
            version: String::new(),
            value: Vec::new(),
        }
    }

    /// The record of `event`.
    pub fn render<'a>(&'a mut self, event: &Recorded<'a>) -> Rendered<'a> {
        // Two numbers for each record: `fmt` takes several times as long for one.
        for (text, value) in [(&mut self.number, event.position.0), (&mut self.version, event.version)] {
            text.clear();
            text.push_str(itoa::Buffer::new().format(value));
        }
        self.key.clear();
        write!(self.key, "{}", event.stream).expect("a String takes every character");
        let value = match self.private.get(event.name) {
            None => event.data,
            Some(paths) => {
                self.value = without(event.data, paths);
                &self.value
            }
        };
        Rendered {
            key: &self.key,
            value,
            number: &self.number,
            version: &self.version,
            time: rfc3339(event.at_ms),
            name: event.name,
            source: &self.source,
            log_id: &self.log_id,
            origin: None,
        }
    }
}

impl<'a> Rendered<'a> {
    /// With what it comes from.
    pub fn from(mut self, origin: Option<&'a TraceContext>) -> Rendered<'a> {
        self.origin = origin;
        self
    }
}

impl Rendered<'_> {
    /// Headers by name; the order is the same for every record.
    pub fn headers(&self) -> OwnedHeaders {
        let headers: [(&str, &[u8]); 10] = [
            ("ce_specversion", SPEC_VERSION.as_bytes()),
            ("ce_id", self.number.as_bytes()),
            ("ce_source", self.source.as_bytes()),
            ("ce_type", self.name.as_bytes()),
            ("ce_time", &self.time),
            ("ce_subject", self.key.as_bytes()),
            ("ce_position", self.number.as_bytes()),
            ("ce_logid", self.log_id.as_bytes()),
            ("ce_streamversion", self.version.as_bytes()),
            ("content-type", CONTENT_TYPE.as_bytes()),
        ];
        let insert =
            |made: OwnedHeaders, (key, value): &(&str, &[u8])| made.insert(Header { key, value: Some(*value) });
        let Some(origin) = self.origin else {
            return headers.iter().fold(OwnedHeaders::new_with_capacity(headers.len()), insert);
        };
        // CloudEvents' extension for distributed tracing, and what clients of Kafka that trace look for.
        let parent = origin.traceparent();
        let state = origin.state.as_deref();
        let traced = [("ce_traceparent", TRACEPARENT, Some(parent.as_str())), ("ce_tracestate", TRACESTATE, state)];
        let traced = traced.iter().filter_map(|(event, client, value)| Some((*event, *client, (*value)?.as_bytes())));
        let traced = traced.flat_map(|(event, client, value)| [(event, value), (client, value)]);
        let all: Vec<(&str, &[u8])> = headers.into_iter().chain(traced).collect();
        all.iter().fold(OwnedHeaders::new_with_capacity(all.len()), insert)
    }
}

/// The JSON object `data` without the fields that `paths` lead to. What is no JSON is nothing that may leave.
pub fn without(data: &[u8], paths: &[Vec<String>]) -> Vec<u8> {
    let mut value: Value = serde_json::from_slice(data).unwrap_or(Value::Null);
    for path in paths {
        remove(&mut value, path);
    }
    value.to_string().into_bytes()
}

fn remove(value: &mut Value, path: &[String]) {
    match (value, path) {
        (Value::Array(items), path) => items.iter_mut().for_each(|item| remove(item, path)),
        (Value::Object(fields), [field]) => drop(fields.remove(field)),
        (Value::Object(fields), [field, rest @ ..]) => {
            if let Some(value) = fields.get_mut(field) {
                remove(value, rest);
            }
        }
        _ => {}
    }
}

/// What a record says that one of ours says, whoever wrote it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stamp {
    pub log_id: Uuid,
    pub position: Position,
    pub stream: StreamId,
    pub version: u64,
    pub name: String,
}

impl Stamp {
    /// `None` of a record that is nobody's event.
    pub fn of(message: &BorrowedMessage<'_>) -> Option<Stamp> {
        let headers = message.headers()?;
        let text = |name: &str| {
            let found = headers.iter().find(|header| header.key == name)?;
            std::str::from_utf8(found.value?).ok()
        };
        Some(Stamp {
            log_id: text("ce_logid")?.parse().ok()?,
            position: Position(text("ce_position")?.parse().ok()?),
            stream: text("ce_subject")?.parse().ok()?,
            version: text("ce_streamversion")?.parse().ok()?,
            name: text("ce_type")?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &'static str, data: &'static str) -> Recorded<'static> {
        let stream = StreamId { category: Category::Account, key: Uuid::from_u128(7) };
        Recorded { position: Position(12), stream, version: 3, at_ms: 1_000, name, data: data.as_bytes() }
    }

    #[test]
    fn a_record_is_a_cloud_event() {
        let log_id = Uuid::from_u128(9);
        let mut renderer = Renderer::new(log_id, Private::new());
        let event = event("SessionEnded.v1", "{\"a\":1}");
        let record = renderer.render(&event);
        assert_eq!(record.key, "account-00000000-0000-0000-0000-000000000007");
        assert_eq!(record.value, b"{\"a\":1}");
        let headers = record.headers();
        let found: Vec<(String, String)> = headers
            .as_borrowed()
            .iter()
            .map(|header| (header.key.into(), String::from_utf8(header.value.unwrap().into()).unwrap()))
            .collect();
        let found: Vec<(&str, &str)> = found.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(
            found,
            [
                ("ce_specversion", "1.0"),
                ("ce_id", "12"),
                ("ce_source", "urn:uuid:00000000-0000-0000-0000-000000000009"),
                ("ce_type", "SessionEnded.v1"),
                ("ce_time", "1970-01-01T00:00:01.000Z"),
                ("ce_subject", "account-00000000-0000-0000-0000-000000000007"),
                ("ce_position", "12"),
                ("ce_logid", "00000000-0000-0000-0000-000000000009"),
                ("ce_streamversion", "3"),
                ("content-type", "application/json"),
            ]
        );
    }

    #[test]
    fn a_record_leads_to_its_trace() {
        let mut renderer = Renderer::new(Uuid::nil(), Private::new());
        let event = event("SessionEnded.v1", "{}");
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let origin = TraceContext::parse(parent.as_bytes()).unwrap().with_state(Some(b"a=1"));
        let headers = renderer.render(&event).from(Some(&origin)).headers();
        let found: Vec<(&str, &[u8])> =
            headers.as_borrowed().iter().skip(10).map(|header| (header.key, header.value.unwrap())).collect();
        let (parent, state) = (parent.as_bytes(), b"a=1".as_slice());
        assert_eq!(
            found,
            [("ce_traceparent", parent), ("traceparent", parent), ("ce_tracestate", state), ("tracestate", state)]
        );
        let stateless = TraceContext { state: None, ..origin };
        assert_eq!(renderer.render(&event).from(Some(&stateless)).headers().count(), 12);
    }

    #[test]
    fn what_is_private_stays() {
        let path = |path: &str| path.split('.').map(str::to_owned).collect::<Vec<_>>();
        let private =
            Private::from([("KeyCreated.v1".to_owned(), vec![path("key.hash"), path("list.name"), path("no")])]);
        let mut renderer = Renderer::new(Uuid::nil(), private);
        let table = [
            (
                r#"{"key":{"hash":"h","key_id":1},"list":[{"name":"x"},{"b":2}]}"#,
                r#"{"key":{"key_id":1},"list":[{},{"b":2}]}"#,
            ),
            (r#"{"key":null}"#, r#"{"key":null}"#),
            ("no JSON", "null"),
        ];
        for (data, left) in table {
            let event = event("KeyCreated.v1", data);
            assert_eq!(std::str::from_utf8(renderer.render(&event).value).unwrap(), left);
        }
        let other = event("KeyUsed.v1", "{\"key\":1}");
        assert_eq!(renderer.render(&other).value, b"{\"key\":1}");
    }
}
