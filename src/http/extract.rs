//! What handlers take from a request: its JSON body, its id in the path, its Idempotency-Key, its page.

use super::Api;
use super::error::{Kind, Problem};
use crate::config::{BODY_BYTES_MAX, PAGE_ITEMS, PAGE_ITEMS_MAX};
use crate::domain::Fingerprint;
use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::{FromRequest, HttpRequest, web};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use std::future::{Future, Ready, ready};
use std::marker::PhantomData;
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Sleep;
use uuid::Uuid;

/// A JSON body. The only place that reads bodies: it bounds their bytes and their time.
pub struct Body<T, const BYTES_MAX: usize = BODY_BYTES_MAX>(pub T);

/// A request that carries nothing: no body, or `{}`.
pub struct NoBody;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoFields {}

impl<T: DeserializeOwned + 'static, const BYTES_MAX: usize> FromRequest for Body<T, BYTES_MAX> {
    type Error = Problem;
    type Future = Reading<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        if let Err(problem) = check_json(request.headers()) {
            return Reading::refused(problem);
        }
        Reading::new(request, payload, BYTES_MAX, |bytes| parse(bytes).map(Body))
    }
}

impl FromRequest for NoBody {
    type Error = Problem;
    type Future = Reading<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        Reading::new(request, payload, BODY_BYTES_MAX, |bytes| match bytes {
            [] => Ok(NoBody),
            bytes => parse::<NoFields>(bytes).map(|_| NoBody),
        })
    }
}

/// Reads a body. Most come in one piece with the head: then nothing is copied and no timer is made.
pub struct Reading<T> {
    refused: Option<Problem>,
    payload: Payload,
    bytes_max: usize,
    /// The first piece, and all when there are more.
    first: Bytes,
    all: BytesMut,
    timeout: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    finish: fn(&[u8]) -> Result<T, Problem>,
    result: PhantomData<fn() -> T>,
}

impl<T> Reading<T> {
    fn new(
        request: &HttpRequest,
        payload: &mut Payload,
        bytes_max: usize,
        finish: fn(&[u8]) -> Result<T, Problem>,
    ) -> Reading<T> {
        let length = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        let too_large = length.and_then(|length| length.parse().ok()).is_some_and(|length: usize| length > bytes_max);
        let timeout = request
            .app_data::<web::Data<Api>>()
            .map_or(crate::config::BODY_TIMEOUT, |api| Duration::from_millis(api.config.body_timeout_ms));
        Reading {
            refused: too_large.then(|| body_too_large(bytes_max)),
            payload: payload.take(),
            bytes_max,
            first: Bytes::new(),
            all: BytesMut::new(),
            timeout,
            timer: None,
            finish,
            result: PhantomData,
        }
    }

    fn refused(problem: Problem) -> Reading<T> {
        Reading {
            refused: Some(problem),
            payload: Payload::None,
            bytes_max: 0,
            first: Bytes::new(),
            all: BytesMut::new(),
            timeout: Duration::ZERO,
            timer: None,
            finish: |_| Err(Problem::new(Kind::Internal, "")),
            result: PhantomData,
        }
    }

    fn take(&mut self, piece: Bytes) -> Result<(), Problem> {
        if self.first.len() + self.all.len() + piece.len() > self.bytes_max {
            return Err(body_too_large(self.bytes_max));
        }
        if self.first.is_empty() && self.all.is_empty() {
            self.first = piece;
            return Ok(());
        }
        if self.all.is_empty() {
            self.all.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.all.extend_from_slice(&piece);
        Ok(())
    }
}

impl<T> Future for Reading<T> {
    type Output = Result<T, Problem>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(problem) = this.refused.take() {
            return Poll::Ready(Err(problem));
        }
        loop {
            match Pin::new(&mut this.payload).poll_next(context) {
                Poll::Ready(Some(Ok(piece))) => {
                    if let Err(problem) = this.take(piece) {
                        return Poll::Ready(Err(problem));
                    }
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(unreadable(error, this.bytes_max))),
                Poll::Ready(None) => {
                    let bytes = if this.all.is_empty() { &this.first[..] } else { &this.all[..] };
                    return Poll::Ready((this.finish)(bytes));
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

fn check_json(headers: &HeaderMap) -> Result<(), Problem> {
    let media_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let essence = media_type.split(|byte| *byte == b';').next().unwrap_or_default();
    if essence.trim_ascii().eq_ignore_ascii_case(b"application/json") {
        return Ok(());
    }
    Err(Problem::new(Kind::UnsupportedMediaType, "Send the body as JSON, with Content-Type: application/json."))
}

/// Reads JSON, and names the field that is wrong when one is.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| explain::<T>(bytes, error))
}

fn explain<T: DeserializeOwned>(bytes: &[u8], error: serde_json::Error) -> Problem {
    let (line, column) = (error.line(), error.column());
    if error.classify() != Category::Data {
        let detail = match bytes.is_empty() {
            true => "The body is empty; a JSON object is expected.".into(),
            false => format!("The body is not JSON: {error}."),
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

/// The path of the field itself: of a missing one serde only gives the object that lacks it.
fn field_of(path: &str, reason: &str) -> String {
    let path = if path == "." { "" } else { path };
    let named = reason.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    match (path, named) {
        ("", Some(name)) => name.into(),
        (path, Some(name)) => format!("{path}.{name}"),
        ("", None) => match reason.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next()) {
            Some(name) => name.into(),
            None => "body".into(),
        },
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

/// The `{id}` of the path. What is not a UUID names nothing.
pub struct Id<T>(pub T);

impl<T: FromStr> FromRequest for Id<T> {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        const UUID_CHARS: usize = 36;
        let text = request.match_info().get("id").filter(|text| text.len() == UUID_CHARS);
        let id = text.and_then(|text| text.parse().ok());
        ready(id.map(Id).ok_or_else(|| Problem::not_found("thing: the path's id is not a UUID of one")))
    }
}

/// The Idempotency-Key, if there is one.
pub struct IdempotencyKey(Option<HeaderValue>);

const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// domain.md: 8-255 visible ASCII.
const IDEMPOTENCY_KEY_CHARS: std::ops::RangeInclusive<usize> = 8..=255;

impl IdempotencyKey {
    /// The key as text.
    pub fn text(&self) -> Option<&str> {
        self.0.as_ref().and_then(|value| value.to_str().ok())
    }

    /// The key, where there must be one.
    pub fn required(&self) -> Result<&str, Problem> {
        self.text().ok_or_else(|| {
            Problem::new(
                Kind::IdempotencyKeyRequired,
                "Send an Idempotency-Key header of 8 to 255 visible ASCII characters, a new one for each new charge; \
                 with the same one a charge that was sent twice happens once.",
            )
        })
    }

    /// The key within a scope: the same key of somebody else is another key.
    pub fn within(&self, scope: &[u8]) -> Option<Fingerprint> {
        self.0.as_ref().map(|key| Fingerprint::of(&[scope, key.as_bytes()]))
    }
}

impl FromRequest for IdempotencyKey {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let mut keys = request.headers().get_all(IDEMPOTENCY_KEY);
        let key = keys.next();
        let fits = key.is_none_or(|key| {
            IDEMPOTENCY_KEY_CHARS.contains(&key.len()) && key.as_bytes().iter().all(u8::is_ascii_graphic)
        });
        ready(if fits && keys.next().is_none() {
            Ok(IdempotencyKey(key.cloned()))
        } else {
            Err(Problem::invalid("Idempotency-Key", "must be one header of 8 to 255 visible ASCII characters"))
        })
    }
}

/// Which part of a list: `?limit=&cursor=`.
pub struct Page {
    pub limit: usize,
    /// The id of the last item of the page before.
    pub after: Option<Uuid>,
}

/// As it stands in the query.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Items at most; 50 unless given.
    #[param(minimum = 1, maximum = 500, required = false, value_type = u32)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    #[param(required = false, value_type = String)]
    cursor: Option<String>,
}

impl Page {
    /// The cursor that continues after `last`.
    pub fn cursor(last: Uuid) -> String {
        URL_SAFE_NO_PAD.encode(last.as_bytes())
    }

    fn read(query: &str) -> Result<Page, Problem> {
        let query = web::Query::<PageQuery>::from_query(query)
            .map_err(|_| Problem::invalid("query", "only limit and cursor are known here, each once"))?;
        let limit = query.limit.as_deref().map_or(Some(PAGE_ITEMS), |limit| limit.parse().ok());
        let limit = limit
            .filter(|limit| (1..=PAGE_ITEMS_MAX).contains(limit))
            .ok_or_else(|| Problem::invalid("limit", format!("must be 1 to {PAGE_ITEMS_MAX}")))?;
        let after = query.cursor.as_deref().map(|cursor| {
            let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
            bytes
                .and_then(|bytes| Uuid::from_slice(&bytes).ok())
                .ok_or_else(|| Problem::invalid("cursor", "must be the next_cursor of the page before, unchanged"))
        });
        Ok(Page { limit, after: after.transpose()? })
    }
}

impl FromRequest for Page {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Page::read(request.query_string()))
    }
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
    fn a_wrong_body_is_refused_by_field() {
        let table = [
            ("", "malformed-json", None),
            ("{", "malformed-json", None),
            ("{} x", "malformed-json", None),
            ("{\"points\":1,}", "malformed-json", None),
            ("[1]x", "malformed-json", None),
            ("7", "invalid-request", Some("body")),
            ("{}", "invalid-request", Some("points")),
            ("{\"points\":-1}", "invalid-request", Some("points")),
            ("{\"points\":1.5}", "invalid-request", Some("points")),
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

    #[test]
    fn pages() {
        let id = Uuid::from_u128(7);
        let page = Page::read(&format!("limit=500&cursor={}", Page::cursor(id))).unwrap();
        assert_eq!((page.limit, page.after), (500, Some(id)));
        assert_eq!(Page::read("").map(|page| (page.limit, page.after)).unwrap(), (50, None));
        for wrong in ["limit=0", "limit=501", "limit=-1", "limit=x", "cursor=x", "colour=red", "limit=1&limit=2"] {
            assert_eq!(Page::read(wrong).err().map(|problem| problem.kind), Some(Kind::InvalidRequest), "{wrong}");
        }
    }
}
