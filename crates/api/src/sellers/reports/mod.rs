//! Organizers' reports: what was sold by performance, grade and hour, each reservation of a performance, and how a queue went
//! minute by minute ([`minutes`]). As JSON or CSV, streamed: a report has as many lines as there are.

pub mod minutes;

use super::reconciliation::wants_csv;
use crate::buyers::history::{COLUMNS, HELD_POSITION};
use crate::buyers::reservations::Reservation;
use crate::kit::error::Problem;
use crate::kit::extract::Id;
use crate::kit::lists::{After, Models};
use crate::kit::query;
use crate::kit::reply::Reply;
use crate::kit::time::Time;
use crate::middleware::auth::Organizer;
use crate::{Api, Endpoint};
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use base::id::{OrganizerId, PerformanceId, QueueId};
use bytes::Bytes;
use domain::performance::{Command, Rejection};
use futures_util::stream;
use readmodels::{Row, Value, int, text};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::io::Write;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// Performances whose lines are read at a time.
const PERFORMANCES_AT_ONCE: u64 = 20;
/// Reservations, or minutes, that are read at a time.
const ROWS_AT_ONCE: u64 = 500;

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

/// All reservations of a performance, the oldest first.
#[derive(Serialize, ToSchema)]
pub struct ReservationsReport {
    items: Vec<Reservation>,
}

pub fn endpoints() -> [Endpoint; 3] {
    [
        Endpoint::at("/v1/organizer/reports/sales").get(sales),
        Endpoint::at("/v1/performances/{id}/reservations/report").get(reservations),
        Endpoint::at("/v1/queues/{id}/report").get(minutes::report),
    ]
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
            body = crate::ops::openapi::Problem),
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
    let lines = Lines::Sales { organizer: organizer.0, hours, after: (0, String::new()) };
    respond(api, after, Kind::Sales, lines, &request).await
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
        (status = 400, description = "`invalid-request`: Onsale-After", body = crate::ops::openapi::Problem),
        (status = 404, description = "`not-found`", body = crate::ops::openapi::Problem),
        (status = 503, description = "`read-models-behind` (with `lag_events`), `read-models-unavailable`",
            body = crate::ops::openapi::Problem),
    )
)]
pub async fn reservations(
    api: web::Data<Api>,
    organizer: Organizer,
    id: Id<PerformanceId>,
    after: After,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let described = api.shop()?.engine.performance(id.0, Command::Describe).await.map_err(Problem::unless_yours)?;
    let owner = crate::catalogue::performances::described(described)?.answer.organizer;
    if owner != organizer.0 {
        return Err(Rejection::UnknownPerformance.into());
    }
    let lines = Lines::Reservations { performance: id.0, after: 0 };
    respond(api, after, Kind::Reservations, lines, &request).await
}

/// From when on, and up to before when; everything, unless it is given.
fn span(from: Option<Time>, to: Option<Time>) -> (u64, u64) {
    (from.map_or(0, |from| from.0), to.map_or(i64::MAX as u64, |to| to.0))
}

/// What lines look like.
#[derive(Clone, Copy)]
enum Kind {
    Sales,
    Reservations,
    Minutes,
}

/// What is left to be read of a report.
enum Lines {
    Sales { organizer: OrganizerId, hours: (u64, u64), after: (u64, String) },
    Reservations { performance: PerformanceId, after: u64 },
    Minutes { queue: QueueId, minutes: (u64, u64) },
    Done,
}

impl Kind {
    /// Whether there is more in it than ids, times and numbers.
    fn has_text(self) -> bool {
        matches!(self, Kind::Sales | Kind::Reservations)
    }

    fn header(self) -> &'static str {
        match self {
            Kind::Sales => {
                "performance_id,starts_at,title,grade,hour,sold_places,sold_points,refunded_places,refunded_points\r\n"
            }
            Kind::Reservations => {
                "reservation_id,user_id,state,places,points,held_at,expires_at,confirmed_at,cancelled_at,refund_reason\r\n"
            }
            Kind::Minutes => minutes::HEADER,
        }
    }

    fn write(self, rows: Vec<Row>, csv: bool, first: bool) -> Result<Vec<u8>, Problem> {
        let mut out = Vec::with_capacity(rows.len() * 256);
        let mut begun = !first;
        for row in rows {
            if !csv && begun {
                out.push(b',');
            }
            begun = true;
            match (self, csv) {
                (Kind::Reservations, true) => reservation_csv(&mut out, &row),
                (Kind::Reservations, false) => json(&mut out, &Reservation::of_row(row)?),
                (Kind::Sales, true) => sales_csv(&mut out, &sales_line(&row)?),
                (Kind::Sales, false) => json(&mut out, &sales_line(&row)?),
                (Kind::Minutes, true) => minutes::csv(&mut out, &minutes::line(&row)),
                (Kind::Minutes, false) => json(&mut out, &minutes::line(&row)),
            }
        }
        Ok(out)
    }
}

impl Lines {
    /// The next rows, and what is left behind them.
    async fn next(self, models: &Models<'_>) -> Result<(Vec<Row>, Lines), Problem> {
        match self {
            Lines::Sales { organizer, hours, after } => {
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
                Ok((rows, last.map_or(Lines::Done, |after| Lines::Sales { organizer, hours, after })))
            }
            Lines::Reservations { performance, after } => {
                let parameters = vec![performance.to_string().into(), after.into(), ROWS_AT_ONCE.into()];
                let rows = models.rows(&of_performance(), parameters).await?;
                let last = rows.last().map(|last| int(last, HELD_POSITION));
                Ok((rows, last.map_or(Lines::Done, |after| Lines::Reservations { performance, after })))
            }
            Lines::Minutes { queue, minutes: (from, to) } => {
                let parameters = vec![queue.to_string().into(), from.into(), to.into(), ROWS_AT_ONCE.into()];
                let rows = models.rows(minutes::SQL, parameters).await?;
                let last = rows.last().map(|last| int(last, 0) + 1);
                Ok((rows, last.map_or(Lines::Done, |from| Lines::Minutes { queue, minutes: (from, to) })))
            }
            Lines::Done => Ok((Vec::new(), Lines::Done)),
        }
    }
}

/// The lines of the next performances of organizer `$1` behind the one that starts at `$2` and is `$3`.
pub const SALES: &str = "SELECT p.performance_id, p.starts_at, c.title, s.grade, s.hour, s.sold_places, s.sold_points, \
    s.refunded_places, s.refunded_points \
    FROM (SELECT performance_id, concert_id, starts_at FROM performances \
        WHERE organizer_id = $1 AND (starts_at, performance_id) > ($2, $3) ORDER BY starts_at, performance_id LIMIT $4) p \
    LEFT JOIN concerts c ON c.concert_id = p.concert_id \
    LEFT JOIN sales s ON s.performance_id = p.performance_id AND s.hour >= $5 AND s.hour < $6 \
    ORDER BY p.starts_at, p.performance_id, s.grade, s.hour";

/// The reservations of performance `$1` behind position `$2`, at most `$3`.
pub fn of_performance() -> String {
    format!(
        "SELECT {COLUMNS} FROM reservations WHERE performance_id = $1 AND held_position > $2 \
        ORDER BY held_position LIMIT $3"
    )
}

/// The first lines are read before anything is answered, so that what does not work at all is said in order.
async fn respond(
    api: web::Data<Api>,
    after: After,
    kind: Kind,
    lines: Lines,
    request: &HttpRequest,
) -> Result<HttpResponse, Problem> {
    let csv = wants_csv(request.headers());
    let (head, tail) = if csv { (kind.header(), "") } else { ("{\"items\":[", "]}") };
    // Without it spreadsheets take the text for one of an older encoding.
    let mark = if csv && kind.has_text() { "\u{feff}" } else { "" };
    let models = Models::after(&api, after).await?;
    let position = models.position();
    let (rows, rest) = lines.next(&models).await?;
    let begun = !rows.is_empty();
    let mut first = [mark, head].concat().into_bytes();
    first.extend(kind.write(rows, csv, true)?);
    let state = Some((api, rest, begun, Some(first)));
    let body = stream::unfold(state, move |state| async move {
        let (api, rest, begun, first) = state?;
        if let Some(first) = first {
            return Some((Ok::<_, Problem>(Bytes::from(first)), Some((api, rest, begun, None))));
        }
        if matches!(rest, Lines::Done) {
            return Some((Ok(Bytes::from_static(tail.as_bytes())), None));
        }
        let read = async {
            let models = Models::after(&api, After::default()).await?;
            let (rows, rest) = rest.next(&models).await?;
            let some = !rows.is_empty();
            Ok((kind.write(rows, csv, !begun)?, rest, begun || some))
        };
        match read.await {
            Ok((bytes, rest, begun)) => Some((Ok(Bytes::from(bytes)), Some((api, rest, begun, None)))),
            Err(problem) => Some((Err(problem), None)),
        }
    });
    let reply = Reply::ok().position(position).header(header::VARY, "accept");
    Ok(reply.stream(if csv { "text/csv; charset=utf-8" } else { "application/json" }, body))
}

fn json(out: &mut Vec<u8>, line: &impl Serialize) {
    serde_json::to_writer(out, line).expect("a Vec takes every byte");
}

fn sales_line(row: &Row) -> Result<SalesLine, Problem> {
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

fn sales_csv(out: &mut Vec<u8>, line: &SalesLine) {
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

fn reservation_csv(out: &mut Vec<u8>, row: &Row) {
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

/// A text as a cell (RFC 4180). What a spreadsheet would take for a formula gets an apostrophe before it.
fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    match text.contains(['"', ',', '\r', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::cell;

    #[test]
    fn cells_are_no_formulas() {
        let table = [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("a=1", "a=1"),
            ("a, \"b\"", "\"a, \"\"b\"\"\""),
            ("=1,2", "\"'=1,2\""),
            ("겨울", "겨울"),
            ("", ""),
        ];
        for (text, written) in table {
            assert_eq!(cell(text), written);
        }
    }
}
