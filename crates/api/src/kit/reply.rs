//! Answers: JSON, ETags, positions.

use super::error::Problem;
use super::tags::opaque;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::Bytes;
use eventlog::Position;
use futures_util::Stream;
use serde::Serialize;

/// Where in the log a write is recorded.
pub const ONSALE_POSITION: HeaderName = HeaderName::from_static("onsale-position");
/// `true` on the first result given again.
pub const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TRUE: HeaderValue = HeaderValue::from_static("true");

/// Bytes that most answers fit in: one allocation.
const BODY_BYTES_USUAL: usize = 512;

/// A JSON answer in the making.
pub struct Reply(HttpResponseBuilder);

impl Reply {
    pub fn ok() -> Reply {
        Reply(HttpResponse::build(StatusCode::OK))
    }

    /// 201; `location` is the path of what was created.
    pub fn created(location: &str) -> Reply {
        let mut reply = Reply(HttpResponse::build(StatusCode::CREATED));
        reply.0.insert_header((header::LOCATION, location));
        reply
    }

    /// With the path of what the answer is about.
    pub fn location(mut self, location: &str) -> Reply {
        self.0.insert_header((header::LOCATION, location));
        self
    }

    /// 202; `location` is the path of what tells how far it is.
    pub fn accepted(location: &str) -> Reply {
        let mut reply = Reply(HttpResponse::build(StatusCode::ACCEPTED));
        reply.0.insert_header((header::LOCATION, location));
        reply
    }

    /// 302; `location` is where to go.
    pub fn found(location: &str) -> Reply {
        let mut reply = Reply(HttpResponse::build(StatusCode::FOUND));
        reply.0.insert_header((header::LOCATION, location));
        reply
    }

    /// 204.
    pub fn no_content() -> Reply {
        Reply(HttpResponse::build(StatusCode::NO_CONTENT))
    }

    /// The answer without a body.
    pub fn empty(mut self) -> HttpResponse {
        self.0.finish()
    }

    /// With the strong ETag of a stream's version.
    pub fn etag(mut self, etag: HeaderValue) -> Reply {
        self.0.insert_header((header::ETAG, etag));
        self
    }

    /// What a write is recorded as.
    pub fn position(mut self, position: Position) -> Reply {
        self.0.insert_header((ONSALE_POSITION, number(position.0, None)));
        self
    }

    /// Whether this is the answer to the first request again.
    pub fn replayed(mut self, replayed: bool) -> Reply {
        if replayed {
            self.0.insert_header((IDEMPOTENCY_REPLAYED, TRUE));
        }
        self
    }

    pub fn header(mut self, name: HeaderName, value: &'static str) -> Reply {
        self.0.insert_header((name, HeaderValue::from_static(value)));
        self
    }

    /// With a header whose value is made for this answer.
    pub fn put(mut self, name: HeaderName, value: &str) -> Reply {
        self.0.insert_header((name, value));
        self
    }

    /// The answer with its body.
    pub fn json(self, body: &impl Serialize) -> HttpResponse {
        let mut bytes = Vec::with_capacity(BODY_BYTES_USUAL);
        serde_json::to_writer(&mut bytes, body).expect("a Vec takes every byte");
        self.json_bytes(bytes)
    }

    /// The answer as CSV (RFC 4180, UTF-8).
    pub fn csv(mut self, text: String) -> HttpResponse {
        self.0.insert_header((header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8")));
        self.0.body(text)
    }

    /// The answer with a body that is made while it is sent. A failure on the way breaks the connection.
    pub fn stream<S>(mut self, content_type: &'static str, body: S) -> HttpResponse
    where
        S: Stream<Item = Result<Bytes, Problem>> + 'static,
    {
        self.0.insert_header((header::CONTENT_TYPE, HeaderValue::from_static(content_type)));
        self.0.streaming(body)
    }

    /// The answer with a body that is JSON already.
    pub fn json_bytes(mut self, bytes: impl Into<bytes::Bytes>) -> HttpResponse {
        self.0.insert_header((header::CONTENT_TYPE, JSON));
        self.0.body(bytes.into())
    }
}

/// The strong ETag `"version"`.
pub fn etag(version: u64) -> HeaderValue {
    number(version, Some(b'"'))
}

/// 304 when the caller has what `etag` names.
pub fn not_modified(request: &HttpRequest, etag: &HeaderValue) -> Option<HttpResponse> {
    if !has(request.headers(), etag.as_bytes()) {
        return None;
    }
    let mut response = HttpResponse::new(StatusCode::NOT_MODIFIED);
    response.headers_mut().insert(header::ETAG, etag.clone());
    Some(response)
}

/// RFC 9110, 13.1.2: `*`, or a list of tags that are compared weakly; what a proxy did to them does not count.
fn has(headers: &HeaderMap, etag: &[u8]) -> bool {
    let lists = headers.get_all(header::IF_NONE_MATCH);
    let mut tags = lists.flat_map(|list| list.as_bytes().split(|byte| *byte == b','));
    tags.any(|tag| {
        let tag = tag.trim_ascii();
        tag == etag || tag == b"*" || opaque(tag).is_some_and(|given| Some(given) == opaque(etag))
    })
}

/// A number as a header's value, between `quote`s.
fn number(mut number: u64, quote: Option<u8>) -> HeaderValue {
    let mut text = [0u8; 22];
    let mut start = text.len();
    let mut put = |byte: u8| {
        start -= 1;
        text[start] = byte;
    };
    quote.map(&mut put);
    loop {
        put(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    quote.map(&mut put);
    HeaderValue::from_bytes(&text[start..]).expect("digits and quotes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn versions_become_tags() {
        for (version, tag) in [(0, "\"0\""), (7, "\"7\""), (u64::MAX, "\"18446744073709551615\"")] {
            assert_eq!(etag(version), tag);
        }
        assert_eq!(number(120, None), "120");
    }

    #[test]
    fn tags_are_compared_as_rfc_9110_says() {
        let table = [
            ("\"7\"", true),
            ("W/\"7\"", true),
            ("*", true),
            ("\"6\", \"7\"", true),
            ("\"6\",W/\"7\" ", true),
            ("\"77\"", false),
            ("7", false),
            ("", false),
            ("w/\"7\"", false),
            ("\"7-gzip\"", true),
            ("W/\"7-gzip\"", true),
            ("\"77-gzip\"", false),
            ("\"7;gzip\"", true),
            ("W/\"7-br\"", true),
            ("\"7-before\"", false),
            ("7-gzip", false),
        ];
        for (given, same) in table {
            let request = TestRequest::default().insert_header((header::IF_NONE_MATCH, given)).to_http_request();
            assert_eq!(not_modified(&request, &etag(7)).is_some(), same, "{given}");
        }
        assert!(not_modified(&TestRequest::default().to_http_request(), &etag(7)).is_none());
    }
}
