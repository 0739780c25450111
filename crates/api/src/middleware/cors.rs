//! Which web pages may call from a browser: Cross-Origin Resource Sharing (the Fetch standard), for configured origins.
//!
//! Credentials are bearer tokens that a page adds itself, never cookies: so no answer allows credentials, and `*` is safe.
//!
//! What a page may send and read is what the document of this API names: a header that is documented is allowed. The lists
//! here are held against the document by a test of [`crate::ops::openapi`].

use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue, VARY,
};
use config::Origin;

/// How long a browser need not ask again, s. No browser believes more than two hours.
const MAX_AGE_S: HeaderValue = HeaderValue::from_static("7200");
const ANY: HeaderValue = HeaderValue::from_static("*");
/// Every header that requests of this API may have.
pub const REQUEST_HEADERS: &str = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, \
                                   Onsale-Admission, Onsale-After, Traceparent, Tracestate, X-Request-Id";
/// Every header that answers of this API may have, beside those that a browser always shows.
pub const ANSWER_HEADERS: &str = "Cache-Control, Deprecation, ETag, Idempotency-Replayed, Link, Location, Onsale-Entry, \
                                  Onsale-Position, RateLimit, RateLimit-Policy, Retry-After, Sunset, X-Request-Id";
const VARY_ORIGIN: HeaderValue = HeaderValue::from_static("Origin");

/// Lets the page that asked read the answer, if it may.
pub fn answer(origins: &[Origin], asked: Option<&HeaderValue>, answer: &mut HeaderMap) {
    if allow(origins, asked, answer) {
        answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(ANSWER_HEADERS));
    }
}

/// Answers the question that a browser asks before a request that is more than a plain form could send.
pub fn preflight(origins: &[Origin], request: &HeaderMap, methods: &'static str, answer: &mut HeaderMap) {
    // Whether this page may is said where every answer says it.
    if !origins.is_empty() && request.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
        answer.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
        answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(REQUEST_HEADERS));
        answer.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE_S);
    }
}

fn allow(origins: &[Origin], asked: Option<&HeaderValue>, answer: &mut HeaderMap) -> bool {
    if origins.iter().any(|origin| origin.as_str() == "*") {
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
        return asked.is_some();
    }
    // Also without an Origin: a cache must not give this answer to a page.
    answer.append(VARY, VARY_ORIGIN);
    let known = asked.filter(|asked| origins.iter().any(|origin| origin.as_str().as_bytes() == asked.as_bytes()));
    if let Some(origin) = known {
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
    known.is_some()
}
