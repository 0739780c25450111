//! What is left to a caller of a rate limit, as the headers of its answers say it (draft-ietf-httpapi-ratelimit-headers).

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use std::fmt::Write;

/// What is allowed, by name: `"user";q=600;w=60`.
pub const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// What is left of it: `"user";r=599;t=1`.
pub const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The time over which each limit counts.
pub const WINDOW_NS: u64 = 60_000_000_000;
/// Who is limited, and by which of the limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// By session token.
    User,
    /// By an organizer's or the operator's key.
    Key,
    /// By address: without a credential, or with one that is not valid.
    Address,
    /// By address, where passwords are asked for.
    SignIn,
    /// By the e-mail that somebody signs in with: what fails.
    Account,
}

impl Class {
    pub fn name(self) -> &'static str {
        match self {
            Class::User => "user",
            Class::Key => "key",
            Class::Address => "address",
            Class::SignIn => "sign-in",
            Class::Account => "account",
        }
    }
}

/// What is left to a caller after a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RateLimitStatus {
    pub class: Class,
    pub per_minute: u32,
    pub requests: u64,
    pub full_in_ns: u64,
}

impl RateLimitStatus {
    /// Tells a caller what is allowed, and what is left of it.
    pub fn put_headers(self, headers: &mut HeaderMap) {
        let (name, per_minute, window_s) = (self.class.name(), self.per_minute, WINDOW_NS / 1_000_000_000);
        headers.insert(RATELIMIT_POLICY, value(format_args!("\"{name}\";q={per_minute};w={window_s}")));
        let (requests, full_in_s) = (self.requests, seconds(self.full_in_ns));
        headers.insert(RATELIMIT, value(format_args!("\"{name}\";r={requests};t={full_in_s}")));
    }
}

fn value(text: std::fmt::Arguments) -> HeaderValue {
    let mut out = Text::default();
    out.write_fmt(text).expect("the longest name and numbers fit");
    HeaderValue::from_bytes(out.bytes()).expect("plain ASCII")
}

/// Whole seconds, rounded up.
pub fn seconds(ns: u64) -> u64 {
    ns.div_ceil(1_000_000_000)
}

/// A header's value in the making, without an allocation.
#[derive(Default)]
struct Text {
    bytes: [u8; 32],
    length: usize,
}

impl Text {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let free = self.bytes.get_mut(self.length..self.length + text.len()).ok_or(std::fmt::Error)?;
        free.copy_from_slice(text.as_bytes());
        self.length += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_structured_fields() {
        let status = RateLimitStatus { class: Class::User, per_minute: 600, requests: 599, full_in_ns: 100_000_000 };
        let mut headers = HeaderMap::new();
        status.put_headers(&mut headers);
        assert_eq!(headers.get(RATELIMIT_POLICY).unwrap(), "\"user\";q=600;w=60");
        assert_eq!(headers.get(RATELIMIT).unwrap(), "\"user\";r=599;t=1");
    }
}
