//! Reports in lines: read some at a time, and sent as they are read.

use crate::Api;
use crate::kit::csv::wants_csv;
use crate::kit::error::Problem;
use crate::kit::lists::{After, Models};
use crate::kit::reply::Reply;
use crate::kit::time::Time;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::stream;
use readmodels::Row;
use serde::Serialize;

/// Rows that are read at a time.
pub const ROWS_AT_ONCE: u64 = 500;

/// What is left to be read of a report, and what its lines look like.
pub trait Report: Sized + 'static {
    type Line: Serialize;
    /// The first line of the CSV.
    const HEADER: &'static str;
    /// Whether there is more in it than ids, times and numbers.
    const HAS_TEXT: bool;

    /// The next rows, and what is left behind them; nothing is left behind the last.
    async fn next(self, models: &Models<'_>) -> Result<(Vec<Row>, Option<Self>), Problem>;

    fn line(row: Row) -> Result<Self::Line, Problem>;

    fn write_csv(out: &mut Vec<u8>, row: &Row) -> Result<(), Problem>;
}

/// From when on, and up to before when; everything, unless it is given.
pub fn span(from: Option<Time>, to: Option<Time>) -> (u64, u64) {
    (from.map_or(0, |from| from.0), to.map_or(i64::MAX as u64, |to| to.0))
}

/// The first lines are read before anything is answered, so that what does not work at all is said in order.
pub async fn respond<R: Report>(
    api: web::Data<Api>,
    after: After,
    report: R,
    request: &HttpRequest,
) -> Result<HttpResponse, Problem> {
    let csv = wants_csv(request.headers());
    let (head, tail) = if csv { (R::HEADER, "") } else { ("{\"items\":[", "]}") };
    // Without it spreadsheets take the text for one of an older encoding.
    let mark = if csv && R::HAS_TEXT { "\u{feff}" } else { "" };
    let models = Models::after(&api, after).await?;
    let position = models.position();
    let (rows, rest) = report.next(&models).await?;
    let begun = !rows.is_empty();
    let mut first = [mark, head].concat().into_bytes();
    first.extend(write::<R>(rows, csv, true)?);
    let state = Some((api, rest, begun, Some(first)));
    let body = stream::unfold(state, move |state| async move {
        let (api, rest, begun, first) = state?;
        if let Some(first) = first {
            return Some((Ok::<_, Problem>(Bytes::from(first)), Some((api, rest, begun, None))));
        }
        let Some(rest) = rest else {
            return Some((Ok(Bytes::from_static(tail.as_bytes())), None));
        };
        let read = async {
            let models = Models::after(&api, After::default()).await?;
            let (rows, rest) = rest.next(&models).await?;
            let some = !rows.is_empty();
            Ok((write::<R>(rows, csv, !begun)?, rest, begun || some))
        };
        match read.await {
            Ok((bytes, rest, begun)) => Some((Ok(Bytes::from(bytes)), Some((api, rest, begun, None)))),
            Err(problem) => Some((Err(problem), None)),
        }
    });
    let reply = Reply::ok().position(position).header(header::VARY, "accept");
    Ok(reply.stream(if csv { "text/csv; charset=utf-8" } else { "application/json" }, body))
}

fn write<R: Report>(rows: Vec<Row>, csv: bool, first: bool) -> Result<Vec<u8>, Problem> {
    let mut out = Vec::with_capacity(rows.len() * 256);
    let mut begun = !first;
    for row in rows {
        if !csv && begun {
            out.push(b',');
        }
        begun = true;
        match csv {
            true => R::write_csv(&mut out, &row)?,
            false => serde_json::to_writer(&mut out, &R::line(row)?).expect("a Vec takes every byte"),
        }
    }
    Ok(out)
}
