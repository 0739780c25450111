//! Each reservation of a performance.

use super::lines::{ROWS_AT_ONCE, Report, respond};
use crate::Api;
use crate::auth::Organizer;
use crate::buyers::history::{COLUMNS, HELD_POSITION};
use crate::buyers::reservations::Reservation;
use crate::kit::csv::cell;
use crate::kit::error::Problem;
use crate::kit::extract::Id;
use crate::kit::lists::{After, Models};
use crate::kit::time::Time;
use crate::route::{Route, routes};
use actix_web::{HttpRequest, HttpResponse, web};
use base::id::PerformanceId;
use domain::performance::{Describe, Rejection};
use readmodels::{Row, int, text};
use serde::Serialize;
use std::borrow::Cow;
use std::io::Write;
use utoipa::ToSchema;

/// All reservations of a performance, the oldest first.
#[derive(Serialize, ToSchema)]
pub struct ReservationsReport {
    items: Vec<Reservation>,
}

pub fn routes() -> Vec<Route> {
    routes![reservations]
}

/// Report the reservations of a performance
///
/// Each of them, the oldest first, as it is now. With `Accept: text/csv` as CSV, with the byte order mark that spreadsheets
/// tell UTF-8 by. It is streamed: an answer that ends early,
/// without its last bracket, is not whole.
#[utoipa::path(
    get, path = "/v1/performances/{id}/reservations/report", tag = "reports", operation_id = "report_reservations",
    security(("organizer" = [])),
    params(("id" = Uuid, Path), ("Onsale-After" = Option<u64>, Header, description = "An `Onsale-Position` that the report has to know of")),
    responses(
        (status = 200, description = "The reservations", headers(("Onsale-Position" = u64)),
            content((ReservationsReport = "application/json"), (String = "text/csv"))),
        (status = 400, description = "`invalid-request`: Onsale-After", body = crate::kit::error::ProblemBody),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
        (status = 503, description = "`read-models-behind` (with `lag_events`), `read-models-unavailable`",
            body = crate::kit::error::ProblemBody),
    )
)]
pub async fn reservations(
    api: web::Data<Api>,
    organizer: Organizer,
    id: Id<PerformanceId>,
    after: After,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let described = api.handle()?.engine.ask(id.0, Describe).await.map_err(Problem::unless_yours)?.answer;
    if described.organizer != organizer.0 {
        return Err(Rejection::UnknownPerformance.into());
    }
    respond(api, after, Reservations { performance: id.0, after: 0 }, &request).await
}

/// What is left to be read.
struct Reservations {
    performance: PerformanceId,
    after: u64,
}

impl Report for Reservations {
    type Line = Reservation;
    const HEADER: &'static str =
        "reservation_id,user_id,state,places,points,held_at,expires_at,confirmed_at,cancelled_at,refund_reason\r\n";
    const HAS_TEXT: bool = true;

    async fn next(self, models: &Models<'_>) -> Result<(Vec<Row>, Option<Reservations>), Problem> {
        let Reservations { performance, after } = self;
        let parameters = vec![performance.to_string().into(), after.into(), ROWS_AT_ONCE.into()];
        let rows = models.rows(&of_performance(), parameters).await?;
        let last = rows.last().map(|last| int(last, HELD_POSITION));
        Ok((rows, last.map(|after| Reservations { performance, after })))
    }

    fn line(row: Row) -> Result<Reservation, Problem> {
        Reservation::of_row(row)
    }

    fn write_csv(out: &mut Vec<u8>, row: &Row) -> Result<(), Problem> {
        csv(out, row);
        Ok(())
    }
}

/// The reservations of performance `$1` behind position `$2`, at most `$3`.
pub fn of_performance() -> String {
    format!(
        "SELECT {COLUMNS} FROM reservations WHERE performance_id = $1 AND held_position > $2 \
        ORDER BY held_position LIMIT $3"
    )
}

fn csv(out: &mut Vec<u8>, row: &Row) {
    let time = |column: usize| row[column].int().map_or(String::new(), |at| Time(at as u64).to_string());
    let written = write!(
        out,
        "{},{},{},{},{},{},{},{},{},{}\r\n",
        cell(text(row, 0)),
        cell(text(row, 2)),
        cell(text(row, 3)),
        cell(&places(row)),
        int(row, 6),
        time(10),
        time(11),
        time(12),
        time(13),
        cell(text(row, 14)),
    );
    written.expect("a Vec takes every byte");
}

/// `A-12-7 A-12-8, 2 × Floor`; labels that have a space or a comma in quotes: `"Block D-1-2" "Block D-1-3"`.
fn places(row: &Row) -> String {
    let json = |column: usize| serde_json::from_str::<serde_json::Value>(text(row, column)).unwrap_or_default();
    let seats = json(4);
    let seats: Vec<Cow<'_, str>> =
        seats.as_array().into_iter().flatten().filter_map(|seat| seat["seat"].as_str()).map(quoted).collect();
    let area = json(5);
    let area = area["area"].as_str().map(|name| format!("{} × {name}", area["count"]));
    let seats = (!seats.is_empty()).then(|| seats.join(" "));
    seats.into_iter().chain(area).collect::<Vec<_>>().join(", ")
}

fn quoted(label: &str) -> Cow<'_, str> {
    match label.contains([' ', ',', '"']) {
        true => format!("\"{}\"", label.replace('"', "\"\"")).into(),
        false => label.into(),
    }
}
