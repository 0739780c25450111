//! What was sold by performance, grade and hour.

use super::lines::{Report, respond, span};
use crate::Api;
use crate::auth::Organizer;
use crate::kit::csv::cell;
use crate::kit::error::Problem;
use crate::kit::lists::{After, Models};
use crate::kit::query;
use crate::kit::time::Time;
use crate::route::{Route, routes};
use actix_web::{HttpRequest, HttpResponse, web};
use base::id::OrganizerId;
use readmodels::{Row, Value, int, text};
use serde::{Deserialize, Serialize};
use std::io::Write;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// Performances whose lines are read at a time.
const PERFORMANCES_AT_ONCE: u64 = 20;

/// Which sales.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SalesQuery {
    /// Only hours that begin then or later.
    #[param(required = false, value_type = String, format = DateTime)]
    from: Option<Time>,
    /// Only hours that begin before.
    #[param(required = false, value_type = String, format = DateTime)]
    to: Option<Time>,
}

/// What was sold of one grade of a performance within one hour.
#[derive(Serialize, ToSchema)]
pub struct SalesLine {
    performance_id: Uuid,
    starts_at: Time,
    title: String,
    grade: String,
    /// When the hour began.
    hour: Time,
    sold_places: u64,
    sold_points: u64,
    refunded_places: u64,
    refunded_points: u64,
}

/// All lines of a report.
#[derive(Serialize, ToSchema)]
pub struct SalesReport {
    items: Vec<SalesLine>,
}

pub fn routes() -> Vec<Route> {
    routes![sales]
}

/// Report sales
///
/// Of all performances of the organizer, by grade and hour (UTC). With `Accept: text/csv` as CSV, with the byte order mark
/// that spreadsheets tell UTF-8 by. It is streamed: an answer
/// that ends early, without its last bracket, is not whole.
#[utoipa::path(
    get, path = "/v1/organizer/reports/sales", tag = "reports", operation_id = "report_sales",
    security(("organizer" = [])),
    params(SalesQuery, ("Onsale-After" = Option<u64>, Header, description = "An `Onsale-Position` that the report has to know of")),
    responses(
        (status = 200, description = "The lines", headers(("Onsale-Position" = u64)),
            content((SalesReport = "application/json"), (String = "text/csv"))),
        (status = 503, description = "`read-models-behind` (with `lag_events`), `read-models-unavailable`",
            body = crate::kit::error::ProblemBody),
    )
)]
pub async fn sales(
    api: web::Data<Api>,
    organizer: Organizer,
    after: After,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let query: SalesQuery = query::read(request.query_string())?;
    let hours = span(query.from, query.to);
    let report = Sales { organizer: organizer.0, hours, after: (0, String::new()) };
    respond(api, after, report, &request).await
}

/// The lines of the next performances of organizer `$1` behind the one that starts at `$2` and is `$3`.
pub const SALES: &str = "SELECT p.performance_id, p.starts_at, c.title, s.grade, s.hour, s.sold_places, s.sold_points, \
    s.refunded_places, s.refunded_points \
    FROM (SELECT performance_id, concert_id, starts_at FROM performances \
        WHERE organizer_id = $1 AND (starts_at, performance_id) > ($2, $3) ORDER BY starts_at, performance_id LIMIT $4) p \
    LEFT JOIN concerts c ON c.concert_id = p.concert_id \
    LEFT JOIN sales s ON s.performance_id = p.performance_id AND s.hour >= $5 AND s.hour < $6 \
    ORDER BY p.starts_at, p.performance_id, s.grade, s.hour";

/// What is left to be read.
struct Sales {
    organizer: OrganizerId,
    hours: (u64, u64),
    /// The start and the id of the performance that was read last.
    after: (u64, String),
}

impl Report for Sales {
    type Line = SalesLine;
    const HEADER: &'static str =
        "performance_id,starts_at,title,grade,hour,sold_places,sold_points,refunded_places,refunded_points\r\n";
    const HAS_TEXT: bool = true;

    async fn next(self, models: &Models<'_>) -> Result<(Vec<Row>, Option<Sales>), Problem> {
        let Sales { organizer, hours, after } = self;
        let parameters: Vec<Value> = vec![
            organizer.to_string().into(),
            after.0.into(),
            after.1.into(),
            PERFORMANCES_AT_ONCE.into(),
            hours.0.into(),
            hours.1.into(),
        ];
        let mut rows = models.rows(SALES, parameters).await?;
        let last = rows.last().map(|last| (int(last, 1), text(last, 0).to_owned()));
        // A performance without sales is there only to be passed.
        rows.retain(|row| row[3] != Value::Null);
        Ok((rows, last.map(|after| Sales { organizer, hours, after })))
    }

    fn line(row: Row) -> Result<SalesLine, Problem> {
        line_of(&row)
    }

    fn write_csv(out: &mut Vec<u8>, row: &Row) -> Result<(), Problem> {
        csv(out, &line_of(row)?);
        Ok(())
    }
}

fn line_of(row: &Row) -> Result<SalesLine, Problem> {
    let id = text(row, 0).parse().map_err(|_| Problem::internal("A row of the read models makes no sense."))?;
    Ok(SalesLine {
        performance_id: id,
        starts_at: Time(int(row, 1)),
        title: text(row, 2).into(),
        grade: text(row, 3).into(),
        hour: Time(int(row, 4)),
        sold_places: int(row, 5),
        sold_points: int(row, 6),
        refunded_places: int(row, 7),
        refunded_points: int(row, 8),
    })
}

fn csv(out: &mut Vec<u8>, line: &SalesLine) {
    let (title, grade) = (cell(&line.title), cell(&line.grade));
    let written = write!(
        out,
        "{},{},{title},{grade},{},{},{},{},{}\r\n",
        line.performance_id,
        line.starts_at,
        line.hour,
        line.sold_places,
        line.sold_points,
        line.refunded_places,
        line.refunded_points
    );
    written.expect("a Vec takes every byte");
}
