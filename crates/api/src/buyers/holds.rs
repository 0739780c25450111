//! Holds: by users for themselves, by organizers for their buyers.

use super::reservations::Reservation;
use crate::auth::{Organizer, User};
use crate::kit::body::Verbatim;
use crate::kit::error::Problem;
use crate::kit::extract::{Id, IdempotencyKey};
use crate::kit::reply::{Reply, etag};
use crate::queues::admission_token;
use crate::route::{Route, routes};
use crate::{Api, EngineHandle};
use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{FromRequest, HttpRequest, HttpResponse, web};
use base::id::{PerformanceId, ReservationId, UserId};
use domain::performance::{self, FindHold, Held, HoldForBuyer, Rejection, SeatRequest};
use domain::{Fingerprint, IdempotencyRecord, wallet};
use engine::{Done, Failure};
use futures_util::TryFutureExt;
use futures_util::future::{Either, MapOk};
use security::secrets;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// The places that are wanted, all or nothing: `seats` or `best_available`, or `area` with `count`, or both.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// These very seats.
    #[schema(min_items = 1, examples(json!(["A-1-1", "A-1-2"])))]
    seats: Option<Vec<String>>,
    best_available: Option<Best>,
    /// Places in this standing area.
    area: Option<String>,
    /// How many places in `area`.
    #[schema(minimum = 1, maximum = 500)]
    count: Option<u32>,
    /// Organizers: the buyer who gets the places, and pays for them.
    user_id: Option<Uuid>,
    /// Organizers: more places than one user may have, up to 500. The user's own limit is left as it is.
    #[serde(default)]
    group: bool,
}

/// The best seats that are free, side by side if that can be had; the answer says in `relaxed` what could not. A grade that
/// has standing areas only gives places of the first area with enough of them, where no `area` is asked for beside it.
/// What the chart can never fulfil is 400 with the field, whatever is sold.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Best {
    grade: Option<String>,
    section: Option<String>,
    #[schema(minimum = 1, maximum = 500)]
    count: u32,
    /// How many of the seats must be accessible ones; companion seats beside them are preferred. Those who ask for none are
    /// given neither.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 500, default = 0)]
    accessible: u32,
}

pub fn routes() -> Vec<Route> {
    routes![hold]
}

/// Who may hold places.
pub enum Holder {
    User(User),
    Organizer(Organizer),
}

type AsHolder<T> = MapOk<<T as FromRequest>::Future, fn(T) -> Holder>;

impl FromRequest for Holder {
    type Error = Problem;
    /// Users do not pay, with a box on the heap, for there being organizers.
    type Future = Either<AsHolder<User>, AsHolder<Organizer>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let value = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let credential = value.split_at_checked("bearer ".len()).map_or("", |(_, credential)| credential.trim());
        match secrets::Kind::of(credential) {
            secrets::Kind::Organizer => {
                let organizer = Organizer::from_request(request, payload);
                Either::Right(organizer.map_ok(Holder::Organizer as fn(Organizer) -> Holder))
            }
            _ => Either::Left(User::from_request(request, payload).map_ok(Holder::User as fn(User) -> Holder)),
        }
    }
}

/// Hold places
///
/// All or nothing. The places are yours until `expires_at`; pay before that. An organizer can hold up to 500 places of an own
/// performance for one of their buyers (`user_id` with `group`), who finds them among their reservations and pays; they do
/// not count among the places that the buyer may have.
#[utoipa::path(
    post, path = "/v1/performances/{id}/reservations", tag = "reservations", operation_id = "hold",
    request_body = Hold, security(("user" = []), ("organizer" = [])),
    params(
        ("id" = Uuid, Path, description = "The performance"),
        ("Onsale-Admission" = Option<String>, Header, description = "The token of the admission, for performances behind a \
            queue. It may be left out: who is admitted is known here"),
        ("Idempotency-Key" = Option<String>, Header, description = "8 to 255 visible ASCII characters; kept 24 h")),
    responses(
        (status = 201, description = "Held", body = Reservation, headers(
            ("Location" = String), ("Onsale-Position" = u64), ("Idempotency-Replayed" = bool), ("ETag" = String))),
        (status = 403, description = "`not-admitted` (with `queue_id` and `queue`, where to join), `bad-admission`, `forbidden`",
            body = crate::kit::error::ProblemBody),
        (status = 404, description = "`not-found`, `user-not-found`", body = crate::kit::error::ProblemBody),
        (status = 409, description = "`seats-unavailable` (with the taken `seats` and `replacement`: `seats` with their \
            prices, `points`, `adjacent` and `relaxed` of free seats instead, held by nobody, or null; or with `available`, \
            `available_by_kind` and, for standing places, `area`), `seat-limit` (with `limit` and `held`), `sale-not-open` (with `state` and \
            `sale_opens_at`)", body = crate::kit::error::ProblemBody),
        (status = 422, description = "`idempotency-key-reused`", body = crate::kit::error::ProblemBody),
        (status = 429, description = "`too-many-lapsed-holds` (with `limit`, `window_s` and `retry_at`): too many holds were \
            left to expire or given up after more than a minute, or after less many times", body = crate::kit::error::ProblemBody,
            headers(("Retry-After" = u64))),
    )
)]
pub async fn hold(
    api: web::Data<Api>,
    holder: Holder,
    id: Id<PerformanceId>,
    key: IdempotencyKey,
    body: Verbatim<Hold>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let handle = api.handle()?;
    if let Holder::User(user) = &holder
        && let Err(shut) = admission_token::pass_gate(api.state()?, id.0, user.user, &request).await
    {
        return again(handle, id.0, user.user, &key, body.0).await.ok_or(shut);
    }
    let (buyer, group) = (body.0.user_id, body.0.group);
    let wish = body.0.wish()?;
    let asked = Asked::of(&wish);
    let content = || content_of(&wish);
    let done = match holder {
        Holder::User(user) => {
            if buyer.is_some() || group {
                let field = if group { "group" } else { "user_id" };
                return Err(Problem::invalid(field, "only organizers hold places for others"));
            }
            let repeat = key.within(user.user.0.as_bytes()).map(|key| IdempotencyRecord { key, content: content() });
            handle.engine.ask(id.0, performance::Hold { user: user.user, wish, repeat }).await
        }
        Holder::Organizer(organizer) => {
            let user = buyer.ok_or_else(|| Problem::invalid("user_id", "say for which buyer"))?;
            if !group {
                return Err(Problem::invalid("group", "must be true: organizers hold places for groups"));
            }
            handle.engine.ask(UserId(user), wallet::CheckOpen).await?;
            let scope = [b"organizer".as_slice(), organizer.0.0.as_bytes(), user.as_bytes()].concat();
            let repeat = key.within(&scope).map(|key| IdempotencyRecord { key, content: content() });
            let user = UserId(user);
            handle.engine.ask(id.0, HoldForBuyer { organizer: organizer.0, user, wish, repeat }).await
        }
    };
    done.map(held).map_err(|failure| asked.refused(failure))
}

fn held(Done { answer: Held { view, repeated }, position }: Done<Held>) -> HttpResponse {
    Reply::created(&location(view.id))
        .position(position)
        .replayed(repeated)
        .etag(etag(view.version))
        .json(&Reservation::from(*view))
}

/// The answer to a hold that was made before, for somebody whose turn is over since.
#[cold]
async fn again(
    handle: &EngineHandle,
    id: PerformanceId,
    user: UserId,
    key: &IdempotencyKey,
    asked: Hold,
) -> Option<HttpResponse> {
    let key = key.within(user.0.as_bytes())?;
    let repeat = IdempotencyRecord { key, content: content_of(&asked.wish().ok()?) };
    handle.engine.ask(id, FindHold { user, repeat }).await.ok().map(held)
}

fn location(id: ReservationId) -> String {
    const PATH: &str = "/v1/reservations/";
    let mut location = String::with_capacity(PATH.len() + uuid::fmt::Hyphenated::LENGTH);
    location.push_str(PATH);
    location.push_str(id.0.hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer()));
    location
}

/// What only a refusal needs to know of a wish: which field says how many, and which standing area was meant.
struct Asked {
    field: &'static str,
    area: Option<String>,
}

impl Asked {
    fn of(wish: &SeatRequest) -> Asked {
        match wish {
            SeatRequest::Seats(_) => Asked { field: "seats", area: None },
            SeatRequest::Best { .. } => Asked { field: "best_available.count", area: None },
            SeatRequest::Area { area, .. } => Asked { field: "count", area: Some(area.clone()) },
            SeatRequest::Both { .. } => Asked { field: "count", area: None },
        }
    }

    fn refused(self, failure: Failure<Rejection>) -> Problem {
        match (failure, self.area) {
            (Failure::Rejected { rejection: Rejection::TooManyPlaces { limit }, .. }, _) => {
                Problem::too_many_places(self.field, limit)
            }
            (failure @ Failure::Rejected { rejection: Rejection::TooFewLeft { .. }, .. }, Some(area)) => {
                Problem::from(failure).with("area", area)
            }
            (failure, _) => failure.into(),
        }
    }
}

impl Hold {
    fn wish(self) -> Result<SeatRequest, Problem> {
        let standing = match (self.area, self.count) {
            (None, None) => None,
            (Some(_), Some(0)) => return Err(Problem::invalid("count", "ask for at least one place")),
            (Some(area), Some(count)) => Some((area, count)),
            (Some(_), None) => return Err(Problem::invalid("count", "say how many places in area")),
            (None, Some(_)) => return Err(Problem::invalid("area", "say in which area")),
        };
        let seats = match (self.seats, self.best_available) {
            (Some(seats), None) => Some(SeatRequest::Seats(seats)),
            (None, Some(Best { count: 0, .. })) => {
                return Err(Problem::invalid("best_available.count", "ask for at least one place"));
            }
            (None, Some(Best { grade, section, count, accessible })) => {
                Some(SeatRequest::Best { grade, section, count, accessible })
            }
            (None, None) => None,
            (Some(_), Some(_)) => return Err(Problem::invalid("body", "give seats or best_available, not both")),
        };
        match (seats, standing) {
            (Some(seats), None) => Ok(seats),
            (None, Some((area, count))) => Ok(SeatRequest::Area { area, count }),
            (Some(seats), Some((area, count))) => Ok(SeatRequest::Both { seats: Box::new(seats), area, count }),
            (None, None) => Err(Problem::invalid("body", "give one of seats, best_available, or area with count")),
        }
    }
}

fn content_of(wish: &SeatRequest) -> Fingerprint {
    let optional = |text: &Option<String>| text.as_ref().map_or_else(Vec::new, |text| [b"+", text.as_bytes()].concat());
    match wish {
        SeatRequest::Seats(seats) => {
            let parts: Vec<&[u8]> = std::iter::once(&b"seats"[..]).chain(seats.iter().map(String::as_bytes)).collect();
            Fingerprint::of(&parts)
        }
        SeatRequest::Best { grade, section, count, accessible: 0 } => {
            Fingerprint::of(&[b"best", &optional(grade), &optional(section), &count.to_be_bytes()])
        }
        SeatRequest::Best { grade, section, count, accessible } => {
            let (grade, section) = (optional(grade), optional(section));
            Fingerprint::of(&[b"best", &grade, &section, &count.to_be_bytes(), &accessible.to_be_bytes()])
        }
        SeatRequest::Area { area, count } => Fingerprint::of(&[b"area", area.as_bytes(), &count.to_be_bytes()]),
        SeatRequest::Both { seats, area, count } => {
            let seats = content_of(seats).0.to_be_bytes();
            Fingerprint::of(&[b"both", &seats, area.as_bytes(), &count.to_be_bytes()])
        }
    }
}
