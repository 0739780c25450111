//! How requests fail: problems (RFC 9457). The only place that knows status codes of refusals and their wording.
//!
//! [`performances`], [`queues`], [`sellers`] and [`others`] say why an aggregate refuses. A [`Problem`] is what a handler returns;
//! [`crate::middleware::observe`] renders it, because only there the request id is known.

mod body;
mod others;
mod performances;
mod queues;
pub mod rate_limit_status;
mod sellers;

pub use body::ProblemBody;
pub use rate_limit_status::RateLimitStatus;

use crate::kit::time::Time;
use actix_web::http::header::{
    ACCEPT_ENCODING, ALLOW, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use engine::Failure;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;

/// The start of every problem's `type`.
pub const TYPE_BASE: &str = "https://onsale.dev/problems/";

macro_rules! kinds {
    ($($name:ident = $status:literal $slug:literal $title:literal,)+) => {
        /// Every way in which a request can fail. The slug is part of the API: it never changes its meaning.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Kind { $($name),+ }

        impl Kind {
            pub const ALL: &'static [Kind] = &[$(Kind::$name),+];

            pub fn status(self) -> u16 {
                match self { $(Kind::$name => $status),+ }
            }

            pub fn slug(self) -> &'static str {
                match self { $(Kind::$name => $slug),+ }
            }

            pub fn title(self) -> &'static str {
                match self { $(Kind::$name => $title),+ }
            }
        }
    };
}

kinds! {
    MalformedJson = 400 "malformed-json" "The body is not JSON",
    InvalidRequest = 400 "invalid-request" "The request makes no sense",
    InvalidChart = 400 "invalid-chart" "The chart has mistakes",
    IdempotencyKeyRequired = 400 "idempotency-key-required" "An Idempotency-Key is required",
    RedirectNotAllowed = 400 "redirect-not-allowed" "People may not be sent there",
    UnknownSeat = 400 "unknown-seat" "There are no such seats",
    UnknownArea = 400 "unknown-area" "There is no such standing area",
    UnknownGrade = 400 "unknown-grade" "There is no such grade",
    UnknownSection = 400 "unknown-section" "There is no such section",
    Unauthenticated = 401 "unauthenticated" "Who are you?",
    TokenExpired = 401 "token-expired" "The token has expired",
    SessionEnded = 401 "session-ended" "The session was ended",
    BadCredentials = 401 "bad-credentials" "E-mail or password is wrong",
    BadIdToken = 401 "bad-id-token" "The identity provider's token is not taken",
    BadJoinToken = 401 "bad-join-token" "The token to join with is not taken",
    GateShut = 401 "gate-shut" "Go elsewhere first",
    Forbidden = 403 "forbidden" "The wrong kind of credential",
    WrongPassword = 403 "wrong-password" "The current password is wrong",
    NotAdmitted = 403 "not-admitted" "It is not your turn",
    JoinNotAllowed = 403 "join-not-allowed" "People join this queue in another way",
    BadAdmission = 403 "bad-admission" "The admission is not taken",
    SelfChargeOff = 403 "self-charge-off" "Users cannot charge their own wallet here",
    NotFound = 404 "not-found" "There is no such thing",
    UserNotFound = 404 "user-not-found" "There is no such user",
    MethodNotAllowed = 405 "method-not-allowed" "This method is not allowed here",
    RequestTimeout = 408 "request-timeout" "The request took too long to arrive",
    EmailTaken = 409 "email-taken" "The e-mail has an account",
    QueueClosed = 409 "queue-closed" "The queue is closed",
    JoinTokenUsed = 409 "join-token-used" "Somebody has joined with this token",
    QueueFull = 409 "queue-full" "The queue is full",
    QueueOpened = 409 "queue-opened" "The queue has opened",
    QueueNotOpen = 409 "queue-not-open" "The queue lets nobody in",
    QueueNotManual = 409 "queue-not-manual" "People are let in by the policy",
    QueueBusy = 409 "queue-busy" "As many are inside as may be",
    EntryState = 409 "entry-state" "The entry is not in the right state",
    SeatsUnavailable = 409 "seats-unavailable" "The places are not available",
    SeatLimit = 409 "seat-limit" "Too many places for one user",
    SaleNotOpen = 409 "sale-not-open" "The sale is not open",
    SaleClosed = 409 "sale-closed" "The sale is closed",
    SaleOpened = 409 "sale-opened" "The sale has opened",
    PerformanceCancelled = 409 "performance-cancelled" "The performance was cancelled",
    PlacesInUse = 409 "places-in-use" "Places that are in use cannot go",
    HoldExpired = 409 "hold-expired" "The hold has expired",
    InsufficientPoints = 409 "insufficient-points" "There are not enough points",
    PaymentTimedOut = 409 "payment-timed-out" "The payment took too long",
    PaymentInProgress = 409 "payment-in-progress" "The reservation is being paid",
    CancellationInProgress = 409 "cancellation-in-progress" "The reservation is being cancelled",
    ReservationHeld = 409 "reservation-held" "The reservation is not paid",
    ReservationConfirmed = 409 "reservation-confirmed" "The reservation is paid",
    ReservationCancelled = 409 "reservation-cancelled" "The reservation was cancelled",
    ReservationReleased = 409 "reservation-released" "The reservation was given up",
    CancellationClosed = 409 "cancellation-closed" "It is too late to cancel",
    ExtensionNotAllowed = 409 "extension-not-allowed" "The hold cannot be extended",
    ChargeLimit = 409 "charge-limit" "Too many points in 24 hours",
    BalanceTooLarge = 409 "balance-too-large" "The wallet cannot hold so many points",
    SumsTooLarge = 409 "sums-too-large" "The sums do not fit into 64 bits",
    NoPassword = 409 "no-password" "The user has no password here",
    LastKey = 409 "last-key" "The last key cannot be revoked",
    TooManyKeys = 409 "too-many-keys" "There are too many keys",
    PreconditionFailed = 412 "precondition-failed" "It was changed meanwhile",
    BodyTooLarge = 413 "body-too-large" "The body is too large",
    UriTooLong = 414 "uri-too-long" "The path and query are too long",
    UnsupportedMediaType = 415 "unsupported-media-type" "The body must be JSON",
    IdempotencyKeyReused = 422 "idempotency-key-reused" "The Idempotency-Key stood for another request",
    PreconditionRequired = 428 "precondition-required" "If-Match is required",
    RateLimited = 429 "rate-limited" "Too many requests",
    TooManyLapsedHolds = 429 "too-many-lapsed-holds" "Too many holds came to nothing",
    TooManyStreams = 429 "too-many-streams" "Too many streams of one address",
    TooManyCharges = 429 "too-many-charges" "Too many charges in 24 hours",
    HeadersTooLarge = 431 "headers-too-large" "The request's headers are too large",
    Internal = 500 "internal" "Something went wrong here",
    Overloaded = 503 "overloaded" "Too much to do at the moment",
    Starting = 503 "starting" "The server is starting",
    ReconciliationBehind = 503 "reconciliation-behind" "The sums are not up to date yet",
    ReadModelsBehind = 503 "read-models-behind" "The lists are not up to date yet",
    ReadModelsUnavailable = 503 "read-models-unavailable" "The lists cannot be read at the moment",
    IdentityProviderUnavailable = 503 "identity-provider-unavailable" "The identity provider cannot be reached",
    LogUnavailable = 503 "log-unavailable" "Nothing can be recorded at the moment",
}

/// A refusal or failure as the caller sees it.
#[derive(Clone, Debug)]
pub struct Problem {
    pub kind: Kind,
    /// What happened and what to do about it.
    pub detail: Cow<'static, str>,
    /// Fields that a program can act on.
    pub fields: Vec<(&'static str, Value)>,
    allow: Option<&'static str>,
    retry_after_s: Option<u64>,
    /// Of a limit that was met.
    pub left: Option<RateLimitStatus>,
    /// What the answer says besides.
    headers: Option<Box<HeaderMap>>,
}

impl Problem {
    pub fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Problem {
        let detail = detail.into();
        Problem { kind, detail, fields: Vec::new(), allow: None, retry_after_s: None, left: None, headers: None }
    }

    /// When it makes sense to try again, if that is known better than by the status.
    pub fn retry_after_s(self, seconds: u64) -> Problem {
        Problem { retry_after_s: Some(seconds), ..self }
    }

    /// With what is left of the limit that refused.
    pub fn limited(self, left: RateLimitStatus) -> Problem {
        Problem { left: Some(left), ..self }
    }

    /// With a header. A value that no header can have is left out.
    pub fn header(mut self, name: HeaderName, value: &str) -> Problem {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.get_or_insert_default().append(name, value);
        }
        self
    }

    /// With a field that a program can act on.
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Problem {
        self.fields.push((name, value.into()));
        self
    }

    /// A field of the request that makes no sense.
    pub fn invalid(field: impl Into<String>, reason: impl fmt::Display) -> Problem {
        let field = field.into();
        Problem::new(Kind::InvalidRequest, format!("{field}: {reason}")).with("field", field)
    }

    /// The same problem of another field.
    pub fn about(mut self, field: &'static str) -> Problem {
        let named = self.fields.iter_mut().find(|(name, _)| *name == "field");
        if let Some((_, value)) = named {
            if let Some(rest) = value.as_str().and_then(|before| self.detail.strip_prefix(before)) {
                self.detail = format!("{field}{rest}").into();
            }
            *value = field.into();
        }
        self
    }

    /// More places than anybody may have here; `field` says how many were asked for.
    pub fn too_many_places(field: &'static str, limit: u32) -> Problem {
        Problem::invalid(field, format!("ask for at most {limit} places")).with("limit", limit)
    }

    /// A bug here.
    pub fn internal(detail: &'static str) -> Problem {
        Problem::new(Kind::Internal, detail)
    }

    /// Nothing to be found there, or nothing of the caller's.
    pub fn not_found(what: &str) -> Problem {
        Problem::new(Kind::NotFound, format!("There is no such {what}, or it is not yours."))
    }

    /// Nothing to be found there. Of what anyone may read.
    pub fn no_such(what: &str) -> Problem {
        Problem::new(Kind::NotFound, format!("There is no such {what}."))
    }

    /// Of what anyone may read and only its owner may change, to somebody who wants to change it.
    pub fn unless_yours<R: Into<Problem>>(failure: Failure<R>) -> Problem {
        let mut problem: Problem = failure.into();
        if problem.kind == Kind::NotFound {
            problem.detail = format!("{}, or it is not yours.", problem.detail.trim_end_matches('.')).into();
        }
        problem
    }

    /// The caller has not said which version is to be changed.
    pub fn precondition_required() -> Problem {
        Problem::new(Kind::PreconditionRequired, "Read it first, and send its ETag as If-Match: nobody's edit is lost.")
    }

    /// The path is right, the method is not one of `allow`.
    pub fn method_not_allowed(allow: &'static str) -> Problem {
        Problem { allow: Some(allow), ..Problem::new(Kind::MethodNotAllowed, format!("Allowed here: {allow}.")) }
    }

    /// An edit of another version than the one that is there.
    pub fn changed(version: u64) -> Problem {
        Problem::new(Kind::PreconditionFailed, "Read it again, and send its new ETag as If-Match.")
            .with("version", version)
    }

    /// A chart that is larger than any hall.
    pub fn chart_too_large(invalid: domain::performance::seats::chart::Invalid) -> Problem {
        let detail = format!("{}: {}", invalid.field, invalid.reason);
        Problem::new(Kind::InvalidChart, detail).with("field", invalid.field)
    }

    pub fn key_reused() -> Problem {
        Problem::new(
            Kind::IdempotencyKeyReused,
            "This Idempotency-Key was used for a request with other content. Use a new key for a new request.",
        )
    }

    pub fn overloaded() -> Problem {
        Problem::new(Kind::Overloaded, "Nothing was done. Try again after the time in Retry-After.")
    }

    pub fn starting() -> Problem {
        Problem::new(Kind::Starting, "The server is reading its log. Try again after the time in Retry-After.")
    }

    pub fn log_unavailable() -> Problem {
        Problem::new(
            Kind::LogUnavailable,
            "It is not known whether this was recorded. Repeat the request with the same Idempotency-Key, or look first.",
        )
    }

    /// The status line.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.kind.status()).expect("the table has valid codes")
    }

    /// Adds what belongs to the problem's status.
    pub fn put_headers(&self, headers: &mut HeaderMap) {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        let own = self.headers.iter().flat_map(|own| own.iter());
        own.for_each(|(name, value)| headers.append(name.clone(), value.clone()));
        match self.kind.status() {
            401 => headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"onsale\"")),
            405 => headers.insert(ALLOW, HeaderValue::from_static(self.allow.unwrap_or_default())),
            // RFC 9110, 12.5.3: how bodies may be encoded.
            415 => headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity")),
            429 => headers.insert(RETRY_AFTER, self.retry_after_s.unwrap_or(3600).into()),
            503 => headers.insert(RETRY_AFTER, self.retry_after_s.unwrap_or(1).into()),
            _ => return,
        };
    }

    /// The body, naming the request.
    pub fn render(&self, request_id: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(384);
        serde_json::to_writer(&mut out, &Rendered { problem: self, request_id }).expect("a Vec takes every byte");
        out
    }
}

struct Rendered<'a> {
    problem: &'a Problem,
    request_id: &'a str,
}

impl Serialize for Rendered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Problem { kind, detail, fields, .. } = self.problem;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", &format_args!("{TYPE_BASE}{}", kind.slug()))?;
        map.serialize_entry("title", kind.title())?;
        map.serialize_entry("status", &kind.status())?;
        map.serialize_entry("detail", detail)?;
        map.serialize_entry("request_id", self.request_id)?;
        for (name, value) in fields {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.slug(), self.detail)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status()
    }

    /// Without a body: it is rendered where the request id is known.
    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.status())
    }
}

impl<R: Into<Problem>> From<Failure<R>> for Problem {
    fn from(failure: Failure<R>) -> Problem {
        match failure {
            Failure::Rejected { rejection, .. } => rejection.into(),
            Failure::UserErased => domain::wallet::UnknownWallet.into(),
            Failure::Overloaded => Problem::overloaded(),
            Failure::LogFailed => Problem::log_unavailable(),
        }
    }
}

fn time(at_ms: u64) -> Value {
    Value::String(Time(at_ms).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::performance;
    use serde_json::json;

    #[test]
    fn slugs_are_unique_and_statuses_are_errors() {
        for (index, kind) in Kind::ALL.iter().enumerate() {
            assert!((400..600).contains(&kind.status()), "{kind:?}");
            assert!(Kind::ALL[..index].iter().all(|other| other.slug() != kind.slug()), "{kind:?}");
        }
    }

    #[test]
    fn a_problem_reads_as_rfc_9457_wants_it() {
        let problem = Problem::from(performance::Rejection::SeatsUnavailable { seats: vec!["A-1-1".into()] });
        let body: Value = serde_json::from_slice(&problem.render("r-1")).unwrap();
        let want = json!({
            "type": "https://onsale.dev/problems/seats-unavailable", "title": "The places are not available",
            "status": 409, "detail": "These seats are taken. Nothing was held; choose others.", "request_id": "r-1",
            "seats": ["A-1-1"],
        });
        assert_eq!(body, want);
    }
}
