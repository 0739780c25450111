//! `GET /v1/queues/{id}/line`: a queue as everybody may see it. Made once a second at most, however many ask.

use crate::kit::compress::{GZIP, VARY_ENCODING, accepts_gzip, gzip, tag_of_compressed};
use crate::kit::error::Problem;
use crate::kit::extract::Id;
use crate::kit::query;
use crate::kit::reply::{Reply, etag, not_modified};
use crate::kit::time::Time;
use crate::queues::entries::Between;
use crate::queues::stock::{Prices, StockShown};
use crate::route::{Route, routes};
use crate::streams::position_stream::per_minute;
use crate::{Api, EngineHandle};
use actix_web::http::header::{CACHE_CONTROL, CONTENT_ENCODING, HeaderValue, VARY};
use actix_web::{HttpRequest, HttpResponse, web};
use base::id::{Millis, QueueId};
use bytes::Bytes;
use domain::queue::State;
use engine::views::queues::{QueueView, pace, public_line};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// In a second there is one document of a queue, ms.
const KEPT_MS: Millis = 1_000;
/// Queues whose documents are kept. Of more, those of past seconds are forgotten.
const KEPT_MAX: usize = 256;
/// Whoever keeps copies asks once a second, and gives the last one while they ask.
const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=1, s-maxage=1, stale-while-revalidate=5");

/// A queue, the same for everybody: who knows their own `ticket` computes where they stand, and asks for their own entry
/// when `poll_after_ms` of their entry says so, when the queue opens, and when their turn is near.
///
/// **Place.** Without `draw` in a queue that has opened it is `ticket - 1`. With it, of a `ticket` greater than
/// `draw.last_ticket`, it is `draw.drawn + ticket - draw.last_ticket - 1`. Of one that was drawn: let `lot` be the first 32
/// bits, as a number, of SHA-256(`seed` ‖ `sealed` ‖ `ticket`), with the 32 bytes that `draw.seed` and `draw.sealed` write
/// in hex and the ticket in decimal. With n marks, mark i lies at the place floor(i × `drawn` / n), and behind the last one lies
/// 2³² at the place `drawn`; take the place that lies between its neighbours as `lot` lies between their marks. It is exact
/// where 1,024 or fewer were drawn; of a million it is wrong by 10 places on average. An entry's own `place`, once the queue has opened, is exact,
/// and never changes while one waits, unless the organizer puts one first: then it is negative, and one's entry alone tells
/// the rank.
///
/// **Rank**, people before you: on the line through the two `samples` around your place. Where your place is before `frontier`
/// it was your turn, unless you came after it: ask for your entry.
#[derive(Serialize, ToSchema)]
pub struct PublicLine {
    queue_id: Uuid,
    /// Of the queue: counts what happened to it.
    version: u64,
    /// When this was made, on the server's clock.
    server_time: Time,
    /// `open`, `paused` (people may come and wait, nobody is let in) or `closed` (for good).
    #[schema(value_type = String, examples("open"))]
    queue_state: State,
    /// Whether there is an order: the pre-queue was drawn, or there was none.
    opened: bool,
    /// When it opens and its order is drawn; null once it has.
    opens_at: Option<Time>,
    /// People who wait.
    waiting: u32,
    /// How many were let in, ever.
    admitted_ever: u32,
    /// People let in per minute, as measured over the last one; null when there is too little to tell from.
    rate_per_minute: Option<f64>,
    /// The place of the first who waits in order; null when nobody does, and before there is an order.
    frontier: Option<i64>,
    /// People who come before all who wait in order: the organizer put them first.
    first: u32,
    /// Some `[place, rank]` by ascending places, at most 66, from 0 to behind everybody: one for each 64th of those who wait
    /// in order. Empty before there is an order.
    #[schema(value_type = Vec<Vec<i64>>)]
    samples: Vec<(i64, u32)>,
    /// Null before the draw, and where there was no pre-queue.
    draw: Option<PublicDraw>,
    /// What the organizer tells everybody in line; null when there is nothing to tell.
    notice: Option<String>,
    /// Of all performances that this queue is the `queue_id` of and whose sale is not over; null where there is none.
    prices: Option<Prices>,
    /// Places of these that are free; null where there is none, and unless the queue's page has `show_seats_left`.
    seats_left: Option<u64>,
    /// There are such performances, and no place of any is free. Places come back when holds run out or reservations are
    /// cancelled.
    sold_out: bool,
    /// When to ask for this again.
    poll_after_ms: Between,
}

/// What it takes to compute places from tickets; `…/draw` has the whole order.
#[derive(Serialize, ToSchema)]
pub struct PublicDraw {
    /// 64 hex digits.
    seed: String,
    /// The hash that sealed the tickets, 64 hex digits.
    sealed: String,
    /// The last ticket before the draw.
    last_ticket: u32,
    /// How many were drawn.
    drawn: u32,
    /// The first 32 bits of the lots at some places, ascending: 1,024, or as many as were drawn. They never change. Left out,
    /// as null, with `?marks=false`: for who knows their place.
    #[schema(value_type = Option<Vec<u32>>)]
    marks: Option<Arc<[u32]>>,
}

/// As it stands in the query.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LineQuery {
    /// `false` leaves out the marks of the draw, which are most of the bytes: for who knows their place.
    #[serde(default = "with_marks")]
    #[param(required = false, default = true)]
    marks: bool,
}

fn with_marks() -> bool {
    true
}

/// The documents of this second, by queue.
#[derive(Default)]
pub struct Documents(Mutex<FxHashMap<QueueId, Arc<Document>>>);

/// One queue's.
#[derive(Default)]
struct Document(Mutex<Option<Made>>);

/// With and without marks.
#[derive(Clone)]
struct Made {
    second: Millis,
    whole: Body,
    short: Body,
}

#[derive(Clone)]
struct Body {
    etag: HeaderValue,
    plain: Bytes,
    compressed: Bytes,
}

pub fn routes() -> Vec<Route> {
    routes![read]
}

/// Read a queue as everybody may
///
/// The same bytes for everybody, made once a second at most, and good for caches on the way. It needs no credential and is no
/// sign of life: who waits asks for their own entry, too, as that says.
#[utoipa::path(
    get, path = "/v1/queues/{id}/line", tag = "queues", operation_id = "read_line",
    params(("id" = Uuid, Path), ("If-None-Match" = Option<String>, Header), LineQuery),
    responses(
        (status = 200, description = "The queue", body = PublicLine, headers(("ETag" = String), ("Cache-Control" = String))),
        (status = 304, description = "Unchanged"),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn read(api: web::Data<Api>, id: Id<QueueId>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let query: LineQuery = query::read(request.query_string())?;
    let made = api.state::<Documents>()?.of(api.handle()?, id.0)?;
    let body = if query.marks { made.whole } else { made.short };
    let mut response = match not_modified(&request, &body.etag) {
        Some(unchanged) => unchanged,
        None if accepts_gzip(request.headers()) => {
            let mut response = Reply::ok().etag(tag_of_compressed(&body.etag)).json_bytes(body.compressed);
            response.headers_mut().insert(CONTENT_ENCODING, GZIP);
            response
        }
        None => Reply::ok().etag(body.etag).json_bytes(body.plain),
    };
    response.headers_mut().insert(CACHE_CONTROL, CACHED);
    response.headers_mut().append(VARY, VARY_ENCODING);
    Ok(response)
}

impl Documents {
    /// A queue's document of this second.
    fn of(&self, handle: &EngineHandle, id: QueueId) -> Result<Made, Problem> {
        let second = handle.clock.now() / KEPT_MS;
        let document = self.document(handle, id, second)?;
        // Those who ask while it is made wait for it: some tens of microseconds.
        let mut kept = document.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = kept.as_ref().filter(|made| made.second == second) {
            return Ok(made.clone());
        }
        let view = handle.engine.views().queues().get(id).ok_or_else(|| Problem::no_such("queue"))?;
        let now = handle.clock.now();
        let mut line = PublicLine::of(handle, &view, now).ok_or_else(|| Problem::no_such("queue"))?;
        let whole = Body::of(&line);
        line.draw.as_mut().map(|draw| draw.marks.take());
        let made = Made { second: now / KEPT_MS, whole, short: Body::of(&line) };
        *kept = Some(made.clone());
        Ok(made)
    }

    fn document(&self, handle: &EngineHandle, id: QueueId, second: Millis) -> Result<Arc<Document>, Problem> {
        let mut documents = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(document) = documents.get(&id) {
            return Ok(document.clone());
        }
        if handle.engine.views().queues().get(id).is_none() {
            return Err(Problem::no_such("queue"));
        }
        if documents.len() >= KEPT_MAX {
            documents.retain(|_, document| document.is_of(second));
        }
        if documents.len() >= KEPT_MAX {
            documents.clear();
        }
        Ok(documents.entry(id).or_default().clone())
    }
}

impl Document {
    fn is_of(&self, second: Millis) -> bool {
        // Whose lock is held is being made now.
        self.0.try_lock().map_or(true, |made| made.as_ref().is_some_and(|made| made.second == second))
    }
}

impl Body {
    fn of(line: &PublicLine) -> Body {
        let plain = serde_json::to_vec(line).expect("plain data");
        let hash = blake3::hash(&plain);
        let etag = etag(u64::from_le_bytes(hash.as_bytes()[..8].try_into().expect("32 bytes")));
        Body { etag, compressed: gzip(&plain), plain: plain.into() }
    }
}

impl PublicLine {
    fn of(handle: &EngineHandle, view: &QueueView, now: Millis) -> Option<PublicLine> {
        let public_line::PublicLine { news, draw, polls_per_s_max } = view.public_line(now)?;
        let poll_after_ms = pace::line_poll_ms(news.waiting, polls_per_s_max);
        let (notice, look) = view.look(|live| Some((live.facts()?.notice.clone(), live.facts()?.look.clone())))?;
        let StockShown { prices, seats_left, is_sold_out: sold_out } = StockShown::behind(handle, view.id, &look, now);
        Some(PublicLine {
            queue_id: view.id.0,
            version: news.version,
            server_time: Time(now),
            queue_state: news.state,
            opened: news.opens_at_ms.is_none(),
            opens_at: news.opens_at_ms.map(Time),
            waiting: news.waiting,
            admitted_ever: news.admitted_ever,
            rate_per_minute: per_minute(news.per_s),
            frontier: news.frontier,
            first: news.first,
            samples: news.samples,
            draw: draw.map(|draw| PublicDraw {
                seed: draw.seed,
                sealed: draw.sealed,
                last_ticket: draw.last_ticket,
                drawn: draw.drawn,
                marks: Some(draw.marks),
            }),
            notice,
            prices,
            seats_left,
            sold_out,
            poll_after_ms: Between::of(&poll_after_ms),
        })
    }
}
