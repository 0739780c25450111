//! How requests fail: problems (RFC 9457). The only place that knows status codes of refusals and their wording.
//!
//! A [`Problem`] is what a handler returns; [`super::observe`] renders it, because only there the request id is known.

use crate::actors::Failure;
use crate::domain::reservation::State;
use crate::domain::{account, concert, organizer, performance, wallet};
use crate::http::time::Time;
use actix_web::http::header::{ALLOW, HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
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
    IdempotencyKeyRequired = 400 "idempotency-key-required" "An Idempotency-Key is required",
    UnknownSeat = 400 "unknown-seat" "There are no such seats",
    UnknownArea = 400 "unknown-area" "There is no such standing area",
    UnknownGrade = 400 "unknown-grade" "There is no such grade",
    UnknownSection = 400 "unknown-section" "There is no such section",
    Unauthenticated = 401 "unauthenticated" "Who are you?",
    TokenExpired = 401 "token-expired" "The token has expired",
    BadCredentials = 401 "bad-credentials" "E-mail or password is wrong",
    Forbidden = 403 "forbidden" "The wrong kind of credential",
    SelfChargeOff = 403 "self-charge-off" "Users cannot charge their own wallet here",
    NotFound = 404 "not-found" "There is no such thing",
    UserNotFound = 404 "user-not-found" "There is no such user",
    MethodNotAllowed = 405 "method-not-allowed" "This method is not allowed here",
    RequestTimeout = 408 "request-timeout" "The request took too long to arrive",
    EmailTaken = 409 "email-taken" "The e-mail has an account",
    SeatsUnavailable = 409 "seats-unavailable" "The places are not available",
    SeatLimit = 409 "seat-limit" "Too many places for one user",
    SaleNotOpen = 409 "sale-not-open" "The sale is not open",
    SaleClosed = 409 "sale-closed" "The sale is closed for good",
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
    BalanceTooLarge = 409 "balance-too-large" "The wallet cannot hold so many points",
    OrganizerExists = 409 "organizer-exists" "The organizer is there already",
    BodyTooLarge = 413 "body-too-large" "The body is too large",
    UnsupportedMediaType = 415 "unsupported-media-type" "The body must be JSON",
    IdempotencyKeyReused = 422 "idempotency-key-reused" "The Idempotency-Key stood for another request",
    TooManyStreams = 429 "too-many-streams" "Too many streams of one address",
    TooManyCharges = 429 "too-many-charges" "Too many charges in 24 hours",
    Internal = 500 "internal" "Something went wrong here",
    Overloaded = 503 "overloaded" "Too much to do at the moment",
    Starting = 503 "starting" "The server is starting",
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
}

impl Problem {
    pub fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem { kind, detail: detail.into(), fields: Vec::new(), allow: None }
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

    /// Nothing to be found there, or nothing of the caller's.
    pub fn not_found(what: &str) -> Problem {
        Problem::new(Kind::NotFound, format!("There is no such {what}, or it is not yours."))
    }

    /// The path is right, the method is not one of `allow`.
    pub fn method_not_allowed(allow: &'static str) -> Problem {
        Problem { allow: Some(allow), ..Problem::new(Kind::MethodNotAllowed, format!("Allowed here: {allow}.")) }
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
        match self.kind.status() {
            401 => headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"onsale\"")),
            405 => headers.insert(ALLOW, HeaderValue::from_static(self.allow.unwrap_or_default())),
            429 if self.kind == Kind::TooManyStreams => headers.insert(RETRY_AFTER, HeaderValue::from_static("10")),
            429 => headers.insert(RETRY_AFTER, HeaderValue::from_static("3600")),
            503 => headers.insert(RETRY_AFTER, HeaderValue::from_static("1")),
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
            Failure::Overloaded => Problem::overloaded(),
            Failure::LogFailed => Problem::log_unavailable(),
        }
    }
}

fn time(at_ms: u64) -> Value {
    Value::String(Time(at_ms).to_string())
}

impl From<performance::Rejection> for Problem {
    fn from(rejection: performance::Rejection) -> Problem {
        use performance::Rejection as R;
        let problem = |kind, detail: &'static str| Problem::new(kind, detail);
        match rejection {
            R::UnknownPerformance => Problem::not_found("performance"),
            R::UnknownReservation => Problem::not_found("reservation"),
            R::KeyReused => Problem::key_reused(),
            R::Invalid(invalid) => Problem::invalid(invalid.field, invalid.reason),
            R::NoPlaces => Problem::invalid("seats", "ask for at least one place"),
            R::TooManyPlaces { limit } => {
                Problem::invalid("seats", format!("ask for at most {limit} places")).with("limit", limit)
            }
            R::RepeatedSeat { seat } => {
                Problem::invalid("seats", format!("{seat:?} is named twice")).with("seats", json!([seat]))
            }
            R::UnknownSeats { seats } => problem(
                Kind::UnknownSeat,
                "Seats are named section-row-seat, e.g. A-1-12; the performance's chart lists them.",
            )
            .with("seats", seats),
            R::UnknownArea { area } => {
                problem(Kind::UnknownArea, "The performance's chart lists its standing areas.").with("area", area)
            }
            R::UnknownGrade { grade } => {
                problem(Kind::UnknownGrade, "The performance's prices list its grades.").with("grade", grade)
            }
            R::UnknownSection { section } => {
                problem(Kind::UnknownSection, "The performance's chart lists its sections.").with("section", section)
            }
            R::SaleNotOpen { state, opens_at_ms } => {
                let detail = match state {
                    performance::SaleState::Scheduled => "It opens at sale_opens_at.",
                    performance::SaleState::Paused => "It is paused; what is held stays held. Try again later.",
                    _ => "It is over.",
                };
                problem(Kind::SaleNotOpen, detail).with("state", json!(state)).with("sale_opens_at", time(opens_at_ms))
            }
            R::SeatLimit { limit, held } => Problem::new(
                Kind::SeatLimit,
                format!("One user may have {limit} places here; you have {held}. Give some up or ask for fewer."),
            )
            .with("limit", limit)
            .with("held", held),
            R::SeatsUnavailable { seats } => {
                problem(Kind::SeatsUnavailable, "These seats are taken. Nothing was held; choose others.")
                    .with("seats", seats)
            }
            R::TooFewLeft { available } => Problem::new(
                Kind::SeatsUnavailable,
                format!("Only {available} of what you asked for are left. Nothing was held; ask for fewer or others."),
            )
            .with("available", available),
            R::HoldExpired { expired_at_ms } => {
                problem(Kind::HoldExpired, "The places are free again. Hold them anew.")
                    .with("expired_at", time(expired_at_ms))
            }
            R::WrongState { state } => wrong_state(state),
            R::InsufficientPoints { balance, required, expires_at_ms } => Problem::new(
                Kind::InsufficientPoints,
                format!("You have {balance} of {required} points. Charge your wallet and pay again before expires_at."),
            )
            .with("balance", balance)
            .with("required", required)
            .with("expires_at", time(expires_at_ms)),
            R::PaymentTimedOut { expires_at_ms } => {
                problem(Kind::PaymentTimedOut, "Nothing was paid. Pay again before expires_at.")
                    .with("expires_at", time(expires_at_ms))
            }
            R::CancellationClosed { closed_at_ms } => {
                problem(Kind::CancellationClosed, "Paid reservations could be cancelled until closed_at.")
                    .with("closed_at", time(closed_at_ms))
            }
            R::ExtensionNotAllowed { already: true } => {
                problem(Kind::ExtensionNotAllowed, "A hold can be extended once, and this one was.")
            }
            R::ExtensionNotAllowed { already: false } => {
                problem(Kind::ExtensionNotAllowed, "This performance does not allow it. Pay before expires_at.")
            }
            R::SaleClosed => problem(Kind::SaleClosed, "A closed sale cannot be opened or paused again."),
        }
    }
}

fn wrong_state(state: State) -> Problem {
    let (kind, detail) = match state {
        State::Held => (Kind::ReservationHeld, "It has to be paid first."),
        State::Paying => (Kind::PaymentInProgress, "Its payment is on the way. Read it again in a moment."),
        State::Confirmed => (Kind::ReservationConfirmed, "It is paid: the places are yours."),
        State::Cancelling => (Kind::CancellationInProgress, "Its points are on the way back. Read it in a moment."),
        State::Cancelled => (Kind::ReservationCancelled, "Its points are back in the wallet. Hold places anew."),
        State::Released => (Kind::ReservationReleased, "Its places are free again. Hold places anew."),
        State::Expired => (Kind::HoldExpired, "Its places are free again. Hold places anew."),
    };
    Problem::new(kind, detail).with("state", json!(state))
}

impl From<wallet::Rejection> for Problem {
    fn from(rejection: wallet::Rejection) -> Problem {
        use wallet::Rejection as R;
        match rejection {
            R::UnknownWallet => Problem::new(Kind::UserNotFound, "Nobody with this user_id has signed up."),
            R::KeyReused => Problem::key_reused(),
            R::ChargeOutOfRange | R::AdjustmentOutOfRange => {
                Problem::invalid("points", format!("must be 1 to {}", wallet::CHARGE_POINTS_MAX))
                    .with("minimum", 1)
                    .with("maximum", wallet::CHARGE_POINTS_MAX)
            }
            R::TextOutOfRange => {
                Problem::invalid("reference", format!("must have at most {} characters", wallet::REFERENCE_CHARS_MAX))
            }
            R::TooManyCharges => Problem::new(
                Kind::TooManyCharges,
                format!("A wallet can be charged {} times in 24 hours.", wallet::CHARGES_PER_DAY_MAX),
            ),
            R::BalanceTooLarge { balance } => Problem::new(
                Kind::BalanceTooLarge,
                format!("A wallet holds at most {} points.", wallet::BALANCE_POINTS_MAX),
            )
            .with("balance", balance)
            .with("maximum", wallet::BALANCE_POINTS_MAX),
            R::InsufficientPoints { balance, required } => {
                Problem::new(Kind::InsufficientPoints, "Charge the wallet first.")
                    .with("balance", balance)
                    .with("required", required)
            }
            R::TooLate { balance } => {
                Problem::new(Kind::PaymentTimedOut, "Nothing was paid. Try again.").with("balance", balance)
            }
            R::NeverSpent => Problem::not_found("payment"),
        }
    }
}

impl From<account::Rejection> for Problem {
    fn from(rejection: account::Rejection) -> Problem {
        match rejection {
            account::Rejection::UnknownAccount => Problem::not_found("account"),
            account::Rejection::EmailTaken => {
                Problem::new(Kind::EmailTaken, "Sign in with POST /v1/sessions, or use another e-mail.")
            }
        }
    }
}

impl From<organizer::Rejection> for Problem {
    fn from(rejection: organizer::Rejection) -> Problem {
        use organizer::Rejection as R;
        match rejection {
            R::UnknownOrganizer => Problem::not_found("organizer"),
            R::AlreadyThere => Problem::new(Kind::OrganizerExists, "It was created before."),
            R::NameOutOfRange => Problem::invalid(
                "name",
                format!("must have 1 to {} characters and no control characters", organizer::NAME_CHARS_MAX),
            ),
            R::WrongKey => Problem::new(Kind::Unauthenticated, "This organizer key is not valid."),
        }
    }
}

impl From<concert::Rejection> for Problem {
    fn from(rejection: concert::Rejection) -> Problem {
        use concert::Rejection as R;
        match rejection {
            R::UnknownConcert => Problem::not_found("concert"),
            R::KeyReused => Problem::key_reused(),
            R::TextOutOfRange { field } => Problem::invalid(
                field,
                format!("must have 1 to {} characters and no control characters", concert::TEXT_CHARS_MAX),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
