//! A queue minute by minute.

use super::lines::{ROWS_AT_ONCE, Report, respond, span};
use crate::Api;
use crate::auth::Organizer;
use crate::kit::error::Problem;
use crate::kit::extract::Id;
use crate::kit::lists::{After, Models};
use crate::kit::query;
use crate::kit::time::Time;
use crate::route::{Route, routes};
use actix_web::{HttpRequest, HttpResponse, web};
use base::id::QueueId;
use readmodels::{Row, int};
use serde::{Deserialize, Serialize};
use std::io::Write;
use utoipa::{IntoParams, ToSchema};

/// Which minutes.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MinutesQuery {
    /// Only minutes that begin then or later.
    #[param(required = false, value_type = String, format = DateTime)]
    from: Option<Time>,
    /// Only minutes that begin before.
    #[param(required = false, value_type = String, format = DateTime)]
    to: Option<Time>,
}

/// What happened in a queue within one minute.
#[derive(Serialize, ToSchema)]
pub struct QueueMinute {
    /// When the minute began.
    minute: Time,
    joined: u64,
    /// They were let in, whether they came or not.
    admitted: u64,
    /// They did not want to wait any longer, or were away for too long.
    left: u64,
    /// Sessions that were completed.
    finished: u64,
    /// Sessions that ended by themselves.
    expired: u64,
    /// People who waited when it ended.
    waiting: u64,
    /// People who had been let in and were not done when it ended.
    inside: u64,
}

/// The minutes in which something happened, in order.
#[derive(Serialize, ToSchema)]
pub struct QueueReport {
    items: Vec<QueueMinute>,
}

/// The minutes of queue `$1` from `$2` on that begin before `$3`, at most `$4`. How many people there are is noted in a minute
/// only when it changes: otherwise it is what it was before.
pub const SQL: &str = "SELECT m.minute, m.joined, m.admitted, m.went, m.finished, m.expired, \
    COALESCE(m.waiting, (SELECT b.waiting FROM queue_minutes b WHERE b.queue_id = m.queue_id AND b.minute < m.minute \
        AND b.waiting IS NOT NULL ORDER BY b.minute DESC LIMIT 1), 0), \
    COALESCE(m.inside, (SELECT b.inside FROM queue_minutes b WHERE b.queue_id = m.queue_id AND b.minute < m.minute \
        AND b.inside IS NOT NULL ORDER BY b.minute DESC LIMIT 1), 0) \
    FROM queue_minutes m WHERE m.queue_id = $1 AND m.minute >= $2 AND m.minute < $3 ORDER BY m.minute LIMIT $4";

pub fn routes() -> Vec<Route> {
    routes![report]
}

/// Report a queue minute by minute
///
/// Who joined, was let in and went, and how many waited; minutes (UTC) in which nothing happened are left out. With
/// `Accept: text/csv` as CSV. It is streamed: an answer that ends early, without its last bracket, is not whole.
#[utoipa::path(
    get, path = "/v1/queues/{id}/report", tag = "reports", operation_id = "report_queue",
    security(("organizer" = [])),
    params(("id" = Uuid, Path), MinutesQuery,
        ("Onsale-After" = Option<u64>, Header, description = "An `Onsale-Position` that the report has to know of")),
    responses(
        (status = 200, description = "The minutes", headers(("Onsale-Position" = u64)),
            content((QueueReport = "application/json"), (String = "text/csv"))),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
        (status = 503, description = "`read-models-behind` (with `lag_events`), `read-models-unavailable`",
            body = crate::kit::error::ProblemBody),
    )
)]
pub async fn report(
    api: web::Data<Api>,
    organizer: Organizer,
    id: Id<QueueId>,
    after: After,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let query: MinutesQuery = query::read(request.query_string())?;
    let queues = api.handle()?.engine.views().queues();
    queues.own(organizer.0, id.0).ok_or_else(|| Problem::not_found("queue"))?;
    respond(api, after, Minutes { queue: id.0, minutes: span(query.from, query.to) }, &request).await
}

/// What is left to be read.
struct Minutes {
    queue: QueueId,
    minutes: (u64, u64),
}

impl Report for Minutes {
    type Line = QueueMinute;
    const HEADER: &'static str = "minute,joined,admitted,left,finished,expired,waiting,inside\r\n";
    const HAS_TEXT: bool = false;

    async fn next(self, models: &Models<'_>) -> Result<(Vec<Row>, Option<Minutes>), Problem> {
        let Minutes { queue, minutes: (from, to) } = self;
        let parameters = vec![queue.to_string().into(), from.into(), to.into(), ROWS_AT_ONCE.into()];
        let rows = models.rows(SQL, parameters).await?;
        let last = rows.last().map(|last| int(last, 0) + 1);
        Ok((rows, last.map(|from| Minutes { queue, minutes: (from, to) })))
    }

    fn line(row: Row) -> Result<QueueMinute, Problem> {
        Ok(line_of(&row))
    }

    fn write_csv(out: &mut Vec<u8>, row: &Row) -> Result<(), Problem> {
        csv(out, &line_of(row));
        Ok(())
    }
}

/// A row of [`SQL`].
fn line_of(row: &Row) -> QueueMinute {
    QueueMinute {
        minute: Time(int(row, 0)),
        joined: int(row, 1),
        admitted: int(row, 2),
        left: int(row, 3),
        finished: int(row, 4),
        expired: int(row, 5),
        waiting: int(row, 6),
        inside: int(row, 7),
    }
}

fn csv(out: &mut Vec<u8>, line: &QueueMinute) {
    let QueueMinute { minute, joined, admitted, left, finished, expired, waiting, inside } = line;
    let written = write!(out, "{minute},{joined},{admitted},{left},{finished},{expired},{waiting},{inside}\r\n");
    written.expect("a Vec takes every byte");
}
