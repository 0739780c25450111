//! Bodies: read whole before anything else happens, within bounds of bytes and time; then JSON, with names for what is wrong.
//!
//! [`crate::middleware::observe`] reads the body of every request before it calls the route: a refusal then never leaves a
//! half-read request on the connection, whoever refuses.

use super::error::{Kind, Problem};
use super::integers;
use super::json_text::composed;
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::error::PayloadError;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use bytes::{Bytes, BytesMut};
use config::BODY_DISCARDED_BYTES_MAX;
use futures_util::Stream;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Sleep;

/// A JSON body, its texts composed (NFC).
pub struct Body<T>(pub T);

/// A JSON body with its texts as they are: secrets, and names that are looked up in either form.
pub struct Verbatim<T>(pub T);

/// A JSON body that may be left out.
pub struct OptionalBody<T>(pub Option<T>);

/// The same, that may be left out.
pub struct OptionalVerbatim<T>(pub Option<T>);

/// A request that carries nothing: no body, or `{}`.
pub struct NoBody;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoFields {}

/// A body that was read, on its way to the handler.
struct Read(Bytes);

impl<T: DeserializeOwned> FromRequest for Body<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let read = check_json(request.headers()).and_then(|()| parse(&composed(&taken(request))).map(Body));
        ready(read)
    }
}

impl<T: DeserializeOwned> FromRequest for Verbatim<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(check_json(request.headers()).and_then(|()| parse(&taken(request)).map(Verbatim)))
    }
}

impl<T: DeserializeOwned> FromRequest for OptionalBody<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let bytes = taken(request);
        if bytes.is_empty() {
            return ready(Ok(OptionalBody(None)));
        }
        let read = check_json(request.headers()).and_then(|()| parse(&composed(&bytes)));
        ready(read.map(|body| OptionalBody(Some(body))))
    }
}

impl<T: DeserializeOwned> FromRequest for OptionalVerbatim<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        if !request.extensions().contains::<Read>() {
            return ready(Ok(OptionalVerbatim(None)));
        }
        let read = Verbatim::from_request(request, payload).into_inner();
        ready(read.map(|Verbatim(body)| OptionalVerbatim(Some(body))))
    }
}

impl FromRequest for NoBody {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let bytes = taken(request);
        ready(if bytes.is_empty() { Ok(NoBody) } else { parse::<NoFields>(&bytes).map(|_| NoBody) })
    }
}

/// A JSON body, or a CSV file as it is.
pub enum JsonOrCsv<T> {
    Json(T),
    Csv(Bytes),
}

impl<T: DeserializeOwned> FromRequest for JsonOrCsv<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(match media_type(request.headers()) {
            b"application/json" => parse(&composed(&taken(request))).map(JsonOrCsv::Json),
            b"text/csv" => Ok(JsonOrCsv::Csv(taken(request))),
            _ => Err(Problem::new(
                Kind::UnsupportedMediaType,
                "Send JSON (Content-Type: application/json) or CSV (Content-Type: text/csv).",
            )),
        })
    }
}

fn taken(request: &HttpRequest) -> Bytes {
    request.extensions_mut().remove::<Read>().map_or(Bytes::new(), |read| read.0)
}

/// Reads a body. Most come in one piece with the head: then nothing is copied and no timer is made.
pub struct Reading {
    payload: Payload,
    bytes_max: usize,
    /// The first piece, and all when there are more.
    first: Bytes,
    all: BytesMut,
    /// More than `bytes_max`: the rest is read and forgotten, so that the client, still sending, sees the refusal.
    discarded_bytes: usize,
    timeout: Duration,
    waited: bool,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Reading {
    /// Of a request that has a body.
    pub fn of(request: &mut ServiceRequest, bytes_max: usize, timeout: Duration) -> Option<Reading> {
        let payload = request.take_payload();
        if matches!(payload, Payload::None) {
            return None;
        }
        let (first, all) = (Bytes::new(), BytesMut::new());
        Some(Reading { payload, bytes_max, first, all, discarded_bytes: 0, timeout, waited: false, timer: None })
    }

    /// Hands what was read to the handler, unless it is encoded.
    pub fn give(request: &ServiceRequest, bytes: Bytes) -> Result<(), Problem> {
        if !bytes.is_empty() {
            check_encoding(request.headers())?;
            request.extensions_mut().insert(Read(bytes));
        }
        Ok(())
    }

    /// Whether it has to wait for the rest.
    pub fn waits(&self) -> bool {
        self.timer.is_some()
    }

    /// Refuses what announces more than anybody would send by mistake.
    pub fn check_length(headers: &HeaderMap, bytes_max: usize) -> Result<(), Problem> {
        let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        match length.and_then(|length| length.parse::<usize>().ok()) {
            Some(length) if length > bytes_max.max(BODY_DISCARDED_BYTES_MAX) => Err(body_too_large(bytes_max)),
            _ => Ok(()),
        }
    }

    fn take(&mut self, piece: Bytes) {
        if self.discarded_bytes > 0 || self.first.len() + self.all.len() + piece.len() > self.bytes_max {
            self.discarded_bytes += self.first.len() + self.all.len() + piece.len();
            (self.first, self.all) = (Bytes::new(), BytesMut::new());
        } else if self.first.is_empty() && self.all.is_empty() {
            self.first = piece;
        } else {
            if self.all.is_empty() {
                self.all.extend_from_slice(&std::mem::take(&mut self.first));
            }
            self.all.extend_from_slice(&piece);
        }
    }

    /// What has arrived.
    pub fn finish(&mut self) -> Result<Bytes, Problem> {
        if self.discarded_bytes > 0 {
            return Err(body_too_large(self.bytes_max));
        }
        let all = std::mem::take(&mut self.all);
        Ok(if all.is_empty() { std::mem::take(&mut self.first) } else { all.freeze() })
    }
}

impl Future for Reading {
    type Output = Result<Bytes, Problem>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            match Pin::new(&mut this.payload).poll_next(context) {
                Poll::Ready(Some(Ok(piece))) => {
                    this.take(piece);
                    if this.discarded_bytes > BODY_DISCARDED_BYTES_MAX {
                        return Poll::Ready(this.finish());
                    }
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(unreadable(error, this.bytes_max))),
                Poll::Ready(None) => return Poll::Ready(this.finish()),
                // actix-web calls before it has looked at the bytes behind the head, which most often are the body: it
                // is asked once more, so that a timer is only made for a body that is really on the way.
                Poll::Pending if !this.waited => {
                    this.waited = true;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Pending => {
                    let timer = this.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(this.timeout)));
                    return timer.as_mut().poll(context).map(|()| Err(too_slow(this.timeout)));
                }
            }
        }
    }
}

fn body_too_large(bytes_max: usize) -> Problem {
    Problem::new(Kind::BodyTooLarge, format!("A body has at most {bytes_max} bytes here.")).with("bytes_max", bytes_max)
}

fn too_slow(timeout: Duration) -> Problem {
    Problem::new(Kind::RequestTimeout, format!("The whole body must arrive within {} s.", timeout.as_secs_f32()))
}

fn unreadable(error: PayloadError, bytes_max: usize) -> Problem {
    match error {
        PayloadError::Overflow => body_too_large(bytes_max),
        _ => Problem::new(Kind::MalformedJson, "The body ended before its announced length."),
    }
}

/// Bodies are read as they are: what is small needs no compression, and what is compressed may be of any size.
fn check_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    let mut lists = headers.get_all(header::CONTENT_ENCODING).map(|list| list.to_str().unwrap_or("?"));
    let plain = |coding: &str| coding.trim().is_empty() || coding.trim().eq_ignore_ascii_case("identity");
    match lists.find(|list| !list.split(',').all(plain)) {
        None => Ok(()),
        Some(list) => Err(Problem::new(
            Kind::UnsupportedMediaType,
            "The body is encoded (Content-Encoding). Send it as it is, without that header.",
        )
        .with("content_encoding", list)),
    }
}

fn check_json(headers: &HeaderMap) -> Result<(), Problem> {
    if media_type(headers) == b"application/json" {
        return Ok(());
    }
    Err(Problem::new(Kind::UnsupportedMediaType, "Send the body as JSON, with Content-Type: application/json."))
}

/// The media type without its parameters: one of those that are known here, or nothing.
fn media_type(headers: &HeaderMap) -> &'static [u8] {
    let given = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let essence = given.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let known: [&[u8]; 2] = [b"application/json", b"text/csv"];
    known.into_iter().find(|known| essence.eq_ignore_ascii_case(known)).unwrap_or_default()
}

/// Reads JSON, and names the field that is wrong when one is. A byte order mark before it does not count (RFC 8259, 8.1).
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    // serde would read a list as an object's values in order.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(match serde_json::from_slice::<IgnoredAny>(bytes) {
            Ok(_) => Problem::invalid("body", "an object is expected"),
            Err(error) => explain::<IgnoredAny>(bytes, error),
        });
    }
    serde_json::from_slice(bytes).or_else(|error| match integers::written_plainly(bytes) {
        Some(plain) if error.classify() == Category::Data => {
            serde_json::from_slice(&plain).map_err(|error| explain::<T>(&plain, error))
        }
        _ => Err(explain::<T>(bytes, error)),
    })
}

fn explain<T: DeserializeOwned>(bytes: &[u8], error: serde_json::Error) -> Problem {
    let (line, column) = (error.line(), error.column());
    if error.classify() != Category::Data {
        let detail = match bytes {
            [] => "The body is empty; a JSON object is expected.".into(),
            [0xfe, 0xff, ..] | [0xff, 0xfe, ..] | [0, ..] | [_, 0, ..] => {
                "The body is UTF-16 or UTF-32; JSON is sent in UTF-8.".into()
            }
            _ => format!("The body is not JSON: {error}."),
        };
        return Problem::new(Kind::MalformedJson, detail).with("line", line).with("column", column);
    }
    // Read again, slowly, to learn where.
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let found = serde_path_to_error::deserialize::<_, T>(&mut reader).err();
    let path = found.as_ref().map_or(String::new(), |found| found.path().to_string());
    let reason = found.map_or(error, |found| found.into_inner()).to_string();
    let reason = reason.split(" at line ").next().unwrap_or_default();
    let field = field_of(&path, reason);
    Problem::invalid(field, in_plain_words(reason)).with("line", line).with("column", column)
}

/// The path of the field itself: of one that is missing or there twice serde only gives the object.
fn field_of(path: &str, reason: &str) -> String {
    let path = if path == "." { "" } else { path };
    let named = |start: &str| reason.strip_prefix(start).and_then(|rest| rest.split('`').next());
    match (path, named("missing field `").or_else(|| named("duplicate field `"))) {
        ("", Some(name)) => name.into(),
        (path, Some(name)) => format!("{path}.{name}"),
        ("", None) => named("unknown field `").unwrap_or("body").into(),
        (path, None) => path.into(),
    }
}

/// serde's reasons without the names of Rust's types.
fn in_plain_words(reason: &str) -> String {
    let table = [
        ("expected u64", "expected a whole number, 0 or more"),
        ("expected u32", "expected a whole number from 0 to 4294967295"),
        ("expected struct ", "expected an object: "),
        ("expected a sequence", "expected a list"),
        ("sequence", "list"),
        ("map", "object"),
    ];
    table.into_iter().fold(reason.to_owned(), |reason, (rust, plain)| reason.replace(rust, plain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Sample {
        points: u64,
        seats: Option<Vec<String>>,
        inner: Option<Inner>,
    }

    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Inner {
        count: u32,
    }

    #[test]
    fn an_integer_is_one_however_it_is_written() {
        let table = [
            ("{\"points\":100}", 100),
            ("{\"points\":100.0}", 100),
            ("{\"points\":1e2,\"seats\":[\"1.5\",\"\\\"2.0\"]}", 100),
            ("{\"points\":1E+2}", 100),
            ("{\"points\":1.2e1}", 12),
            ("{\"points\":1200e-2}", 12),
            ("{\"points\":0.0}", 0),
            ("{\"points\":-0}", 0),
            ("{\"points\":9007199254740993.000}", 9_007_199_254_740_993),
            ("{\"points\":1.8446744073709551615e19}", u64::MAX),
            ("\u{feff}{\"points\":7.00}", 7),
            ("\u{feff} {\"points\":7}", 7),
        ];
        for (body, points) in table {
            assert_eq!(parse::<Sample>(body.as_bytes()).unwrap().points, points, "{body}");
        }
    }

    #[test]
    fn a_wrong_body_is_refused_by_field() {
        let table = [
            ("", "malformed-json", None),
            ("\u{feff}", "malformed-json", None),
            ("\u{feff}\u{feff}{\"points\":1}", "malformed-json", None),
            ("{", "malformed-json", None),
            ("{\"points\":1} x", "malformed-json", None),
            ("{\"points\":1,}", "malformed-json", None),
            ("[1]x", "malformed-json", None),
            ("7", "invalid-request", Some("body")),
            ("[1,null,null]", "invalid-request", Some("body")),
            ("{}", "invalid-request", Some("points")),
            ("{\"points\":-1}", "invalid-request", Some("points")),
            ("{\"points\":1.5}", "invalid-request", Some("points")),
            ("{\"points\":1e-1}", "invalid-request", Some("points")),
            ("{\"points\":1.0e2,\"seats\":7.0}", "invalid-request", Some("seats")),
            ("{\"points\":1e20}", "invalid-request", Some("points")),
            ("{\"points\":1e300}", "invalid-request", Some("points")),
            ("{\"points\":\"1e2\"}", "invalid-request", Some("points")),
            ("{\"points\":\"1\"}", "invalid-request", Some("points")),
            ("{\"points\":null}", "invalid-request", Some("points")),
            ("{\"points\":99999999999999999999}", "invalid-request", Some("points")),
            ("{\"points\":1,\"points\":1}", "invalid-request", Some("points")),
            ("{\"points\":1,\"colour\":1}", "invalid-request", Some("colour")),
            ("{\"points\":1,\"seats\":[\"A\",7]}", "invalid-request", Some("seats[1]")),
            ("{\"points\":1,\"inner\":{}}", "invalid-request", Some("inner.count")),
            ("{\"points\":1,\"inner\":{\"count\":4294967296}}", "invalid-request", Some("inner.count")),
            ("{\"points\":1,\"inner\":{\"count\":1,\"more\":1}}", "invalid-request", Some("inner.more")),
        ];
        for (body, slug, field) in table {
            let problem = parse::<Sample>(body.as_bytes()).map(|_| ()).unwrap_err();
            let named = problem.fields.iter().find(|(name, _)| *name == "field").map(|(_, value)| value);
            assert_eq!((problem.kind.slug(), named.and_then(Value::as_str)), (slug, field), "{body}: {problem}");
        }
    }
}
