//! Reservations: pay for them, extend them, give them back. How they are made: [`super::holds`].

use crate::Api;
use crate::auth::{Organizer, User};
use crate::kit::body::{Body, NoBody};
use crate::kit::error::{Kind, Problem};
use crate::kit::extract::Id;
use crate::kit::reply::{Reply, etag, not_modified};
use crate::kit::time::Time;
use crate::queues::admission_token;
use crate::route::{Route, routes};
use actix_web::{HttpRequest, HttpResponse, web};
use base::id::ReservationId;
use domain::Step;
use domain::performance::reservation::{AreaView, SeatView, State, View};
use domain::performance::seats::best::Relaxed;
use domain::performance::{Extend, Performance, ReadReservation, Rejection};
use domain::process::purchase::{self, Cancel, Pay};
use engine::Failure;
use readmodels::{Row, int, text};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// A reservation. Its price was fixed when it was held.
#[derive(Serialize, ToSchema)]
pub struct Reservation {
    reservation_id: Uuid,
    performance_id: Uuid,
    user_id: Uuid,
    #[schema(inline)]
    state: State,
    seats: Vec<SeatView>,
    area: Option<AreaView>,
    /// The price of all places.
    points: u64,
    /// Whether the seats are side by side.
    adjacent: bool,
    /// What the search for the best available seats had to give up, if anything.
    relaxed: Vec<Relaxed>,
    /// Whether the organizer holds the places for the user.
    by_organizer: bool,
    held_at: Time,
    /// Until when it must be paid.
    expires_at: Time,
    confirmed_at: Option<Time>,
    cancelled_at: Option<Time>,
    /// Why the organizer cancelled it, if it was the organizer.
    #[serde(skip_serializing_if = "Option::is_none")]
    refund_reason: Option<String>,
    /// The performance's version at its last change; also the ETag.
    version: u64,
}

impl From<View> for Reservation {
    fn from(view: View) -> Reservation {
        let come = |at_ms| (at_ms > 0).then_some(Time(at_ms));
        Reservation {
            reservation_id: view.id.0,
            performance_id: view.performance.0,
            user_id: view.user.0,
            state: view.state,
            seats: view.seats,
            area: view.area,
            points: view.points,
            adjacent: view.adjacent,
            relaxed: view.relaxed,
            by_organizer: view.by_organizer,
            held_at: Time(view.held_at_ms),
            expires_at: Time(view.expires_at_ms),
            confirmed_at: come(view.confirmed_at_ms),
            cancelled_at: come(view.cancelled_at_ms),
            refund_reason: view.refund_reason,
            version: view.version,
        }
    }
}

impl Reservation {
    /// From a row of [`super::history::COLUMNS`].
    pub(crate) fn of_row(row: Row) -> Result<Reservation, Problem> {
        let wrong = || Problem::new(Kind::Internal, "A row of the read models makes no sense.");
        let id = |column| text(&row, column).parse::<Uuid>().map_err(|_| wrong());
        let come = |column: usize| row[column].int().map(|at_ms| Time(at_ms as u64));
        let state = serde_json::from_value(text(&row, 3).into()).map_err(|_| wrong())?;
        let seats = serde_json::from_str(text(&row, 4)).map_err(|_| wrong())?;
        let area = row[5].text().map(serde_json::from_str).transpose().map_err(|_| wrong())?;
        let relaxed = row[8].text().map_or(Ok(Vec::new()), serde_json::from_str).map_err(|_| wrong())?;
        Ok(Reservation {
            reservation_id: id(0)?,
            performance_id: id(1)?,
            user_id: id(2)?,
            state,
            seats,
            area,
            points: int(&row, 6),
            adjacent: int(&row, 7) == 1,
            relaxed,
            by_organizer: int(&row, 9) == 1,
            held_at: Time(int(&row, 10)),
            expires_at: Time(int(&row, 11)),
            confirmed_at: come(12),
            cancelled_at: come(13),
            refund_reason: row[14].text().map(str::to_owned),
            version: int(&row, 15),
        })
    }
}

pub fn routes() -> Vec<Route> {
    routes![pay, read, cancel, extend, refund]
}

/// Read a reservation
#[utoipa::path(
    get, path = "/v1/reservations/{id}", tag = "reservations", operation_id = "read_reservation",
    security(("user" = [])), params(("id" = Uuid, Path), ("If-None-Match" = Option<String>, Header)),
    responses(
        (status = 200, description = "The reservation", body = Reservation, headers(("ETag" = String))),
        (status = 304, description = "Unchanged"),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn read(
    api: web::Data<Api>,
    user: User,
    id: Id<ReservationId>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let command = ReadReservation { user: user.user, reservation: id.0 };
    let done = api.handle()?.engine.ask(id.0.performance(), command).await.map_err(refused)?;
    let view = *done.answer;
    let etag = etag(view.version);
    match not_modified(&request, &etag) {
        Some(unchanged) => Ok(unchanged),
        None => Ok(Reply::ok().etag(etag).json(&Reservation::from(view))),
    }
}

/// Pay
///
/// Takes the points from the wallet and makes the places yours. Paying twice is paying once. A hold whose payment is refused
/// goes on for what it had left, at least a minute, but never more than 5 minutes beyond the time that it was given.
#[utoipa::path(
    post, path = "/v1/reservations/{id}/payment", tag = "reservations", operation_id = "pay", security(("user" = [])),
    params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "Confirmed", body = Reservation, headers(
            ("Onsale-Position" = u64), ("ETag" = String))),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
        (status = 409, description = "`hold-expired`, `insufficient-points` (with `balance`, `required` and `expires_at`: \
            charge and pay again), `performance-cancelled`, `payment-timed-out`, `payment-in-progress`, `cancellation-in-progress`, \
            `reservation-cancelled`, `reservation-released`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn pay(api: web::Data<Api>, user: User, id: Id<ReservationId>, _: NoBody) -> Result<HttpResponse, Problem> {
    let paid = change(&api, id.0, Pay { user: user.user, reservation: id.0 }).await?;
    admission_token::note_purchase(api.state()?, id.0.performance(), user.user).await?;
    Ok(paid)
}

/// Extend a hold, once
///
/// By the performance's `extension_s`. An extension that would gain nothing, because refused payments gave the hold more
/// time already, is refused and not used up.
#[utoipa::path(
    post, path = "/v1/reservations/{id}/extension", tag = "reservations", operation_id = "extend",
    security(("user" = [])), params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "Extended", body = Reservation, headers(
            ("Onsale-Position" = u64), ("ETag" = String))),
        (status = 403, description = "`not-admitted` (with `queue_id` and `queue`), `bad-admission`, `forbidden`",
            body = crate::kit::error::ProblemBody),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
        (status = 409, description = "`extension-not-allowed` (with `expires_at` where it would gain nothing), \
            `performance-cancelled`, `hold-expired`, `payment-in-progress`, \
            `reservation-confirmed`, `reservation-cancelled`, `reservation-released`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn extend(
    api: web::Data<Api>,
    user: User,
    id: Id<ReservationId>,
    _: NoBody,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    admission_token::pass_gate(api.state()?, id.0.performance(), user.user, &request).await?;
    change(&api, id.0, Extend { user: user.user, reservation: id.0 }).await
}

/// Give a hold up, or cancel what is paid
///
/// The points of a paid reservation come back. Cancelling twice is cancelling once.
#[utoipa::path(
    delete, path = "/v1/reservations/{id}", tag = "reservations", operation_id = "cancel", security(("user" = [])),
    params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "Released or cancelled", body = Reservation, headers(
            ("Onsale-Position" = u64), ("ETag" = String))),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
        (status = 409, description = "`cancellation-closed`, `hold-expired`, `payment-in-progress`",
            body = crate::kit::error::ProblemBody),
    )
)]
pub async fn cancel(api: web::Data<Api>, user: User, id: Id<ReservationId>) -> Result<HttpResponse, Problem> {
    change(&api, id.0, Cancel { user: user.user, reservation: id.0 }).await
}

/// Why a paid reservation is cancelled.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Refund {
    /// For the user, who sees it on the reservation and in the wallet's entries.
    #[schema(min_length = 1, max_length = 200)]
    reason: String,
}

/// Cancel what is paid, for the organizer
///
/// At any time, also after the users' `cancellation_closes_at`. All of its points go back, and the places are free. Doing
/// it twice, or after the user did, is doing it once.
#[utoipa::path(
    post, path = "/v1/reservations/{id}/refund", tag = "reservations", operation_id = "refund", request_body = Refund,
    security(("organizer" = [])), params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "Cancelled", body = Reservation, headers(
            ("Onsale-Position" = u64), ("ETag" = String))),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
        (status = 409, description = "`reservation-held`, `payment-in-progress`, `reservation-released`, \
            `hold-expired`: nothing was paid", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn refund(
    api: web::Data<Api>,
    organizer: Organizer,
    id: Id<ReservationId>,
    body: Body<Refund>,
) -> Result<HttpResponse, Problem> {
    change(&api, id.0, purchase::Refund { organizer: organizer.0, reservation: id.0, reason: body.0.reason }).await
}

async fn change<S>(api: &Api, id: ReservationId, command: S) -> Result<HttpResponse, Problem>
where
    S: Step<On = Performance, Answer = Box<View>, Rejection = Rejection>,
{
    let done = api.handle()?.engine.ask(id.performance(), command).await.map_err(refused)?;
    let (view, position) = (*done.answer, done.position);
    Ok(Reply::ok().position(position).etag(etag(view.version)).json(&Reservation::from(view)))
}

/// A made-up reservation leads to a made-up performance; the caller asked for a reservation.
fn refused(failure: Failure<Rejection>) -> Problem {
    match failure {
        Failure::Rejected { rejection: Rejection::UnknownPerformance, .. } => Problem::not_found("reservation"),
        failure => failure.into(),
    }
}
