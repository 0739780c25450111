//! Which web pages may call from a browser: Cross-Origin Resource Sharing (the Fetch standard), for configured origins.
//!
//! Credentials are bearer tokens that a page adds itself, never cookies: so no answer allows credentials, and `*` is safe.

use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue,
    ORIGIN, VARY,
};

/// What a page may send.
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, X-Request-Id",
);
/// What a page may read besides the body.
const ANSWER_HEADERS: HeaderValue = HeaderValue::from_static(
    "Deprecation, ETag, Idempotency-Replayed, Link, Location, Onsale-Position, RateLimit, RateLimit-Policy, Retry-After, \
     Sunset, X-Request-Id",
);
/// How long a browser need not ask again, s. No browser believes more than two hours.
const MAX_AGE_S: HeaderValue = HeaderValue::from_static("7200");
const ANY: HeaderValue = HeaderValue::from_static("*");
const VARY_ORIGIN: HeaderValue = HeaderValue::from_static("Origin");

/// The origins whose pages may call.
pub struct Cors {
    any: bool,
    origins: Vec<String>,
}

impl Cors {
    /// None when no page may: then requests are not even looked at.
    pub fn new(origins: &[String]) -> Option<Cors> {
        let any = origins.iter().any(|origin| origin == "*");
        (!origins.is_empty()).then(|| Cors { any, origins: origins.to_vec() })
    }

    /// Lets the page that asked read the answer, if it may.
    pub fn answer(&self, request: &HeaderMap, answer: &mut HeaderMap) {
        if self.allow(request, answer) {
            answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, ANSWER_HEADERS);
        }
    }

    /// Answers the question that a browser asks before a request that is more than a plain form could send.
    pub fn preflight(&self, request: &HeaderMap, methods: &'static str, answer: &mut HeaderMap) {
        if self.allow(request, answer) && request.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            answer.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
            answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
            answer.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE_S);
        }
    }

    fn allow(&self, request: &HeaderMap, answer: &mut HeaderMap) -> bool {
        if self.any {
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
            return request.contains_key(ORIGIN);
        }
        // Also without an Origin: a cache must not give this answer to a page.
        answer.append(VARY, VARY_ORIGIN);
        let Some(origin) = request.get(ORIGIN) else { return false };
        let known = self.origins.iter().any(|known| known.as_bytes() == origin.as_bytes());
        if known {
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
        known
    }
}

/// Reads a configured origin: `*`, or scheme, host and, unless it is the scheme's own, port.
pub fn parse_origin(text: &str) -> Result<String, String> {
    const EXPECTED: &str =
        "an origin is *, or e.g. https://tickets.example.com: no path, no slash at the end, all lower case";
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let plain = |host: &str| {
        let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b':' | b'[' | b']' | b'_');
        !host.is_empty() && host.bytes().all(fits)
    };
    if text == "*" || host.is_some_and(plain) { Ok(text.to_owned()) } else { Err(EXPECTED.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins() {
        for origin in ["*", "https://tickets.example.com", "http://localhost:5173", "http://[::1]:8080"] {
            assert_eq!(parse_origin(origin).as_deref(), Ok(origin));
        }
        for wrong in
            ["", "tickets.example.com", "https://", "https://a/", "https://a/b", "https://A.b", "null", "ftp://a"]
        {
            assert!(parse_origin(wrong).is_err(), "{wrong}");
        }
    }
}
