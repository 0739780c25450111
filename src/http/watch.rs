//! `GET /v1/performances/{id}/availability/events`: what changes, as it changes, to everyone who watches.
//!
//! One task per watched performance makes the frames; the streams share them. It asks the performance for the difference
//! of two versions, so there is no history to keep, and a frame that comes late or tells more than a stream lacks does no
//! harm: it names final states.

use super::availability::{Entry, changes_since, render_changes};
use super::client_address::client_address;
use super::error::Problem;
use super::extract::Id;
use super::sse::{self, Frame, PHASES, Piece, Seat, Source, Start, Topic};
use super::{Api, Endpoint, Shop};
use crate::domain::performance::{Hours, SaleState};
use crate::id::PerformanceId;
use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use utoipa::IntoParams;

/// How often frames are made, for one phase or several.
const STEP: Duration = Duration::from_millis(25);
/// Every stream is written to once in so many steps, at least.
const STEPS_MIN: usize = 2;
/// What writing to one stream takes, with the receiver's half of the work on the same machine.
const WRITE: Duration = Duration::from_micros(12);
/// The share of a core that writing may take, as far as more seldom writing can see to it.
const CORE_SHARE: f64 = 0.6;
/// A body that is not older is what a new stream starts with, and what changed since then follows.
const START_KEPT: Duration = Duration::from_millis(500);
/// Steps without any stream after which frames are not made any more.
const STEPS_UNWATCHED: u32 = 40;

/// Who watches one performance.
#[derive(Default)]
pub struct Watch {
    topic: Mutex<Option<Arc<Topic>>>,
    /// What new streams start with; when it was made, and for which topic.
    start: tokio::sync::Mutex<Option<(Instant, u64, Piece)>>,
}

/// As it stands in the query.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// For clients that cannot send the header Last-Event-ID with the first request.
    #[param(minimum = 0, required = false, value_type = u64)]
    last_event_id: Option<String>,
}

pub fn endpoint() -> Endpoint {
    Endpoint::at("/v1/performances/{id}/availability/events").get(events)
}

/// Watch which places are left
///
/// Server-sent events. The first is `full` (data as of `GET …/availability`), or with Last-Event-ID a `delta` (data as
/// with `?since=`); then a `delta` for all that changed, a few times a second at most. `id` is the version. A later event
/// may be `full` again: then forget what you knew. Comments keep the connection alive. When it ends, come back after
/// `retry` with Last-Event-ID, as EventSource does by itself.
#[utoipa::path(
    get, path = "/v1/performances/{id}/availability/events", tag = "performances", operation_id = "watch_availability",
    params(("id" = Uuid, Path), ("Last-Event-ID" = Option<u64>, Header), EventsQuery),
    responses(
        (status = 200, description = "Events", body = String, content_type = "text/event-stream"),
        (status = 404, description = "`not-found`", body = super::openapi::Problem),
        (status = 429, description = "`too-many-streams`; with Retry-After", body = super::openapi::Problem),
    )
)]
pub async fn events(api: web::Data<Api>, id: Id<PerformanceId>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let shop = api.shop()?;
    let at = last_event_id(&request)?;
    let entry = shop.shown.entry(shop, id.0).await?;
    if request.method() == Method::HEAD {
        return Ok(sse::answer(None));
    }
    let permit = shop.streams.admit(client_address(request.head(), &api.live.load().proxy_trusted))?;
    let seat = sit(&api, shop, id.0, &entry);
    let topic = seat.topic().clone();
    let first = topic.catch_up(at).await?;
    Ok(sse::answer(Some(Start { permit, seat, first })))
}

fn last_event_id(request: &HttpRequest) -> Result<Option<u64>, Problem> {
    const NAME: &str = "Last-Event-ID";
    let query = web::Query::<EventsQuery>::from_query(request.query_string())
        .map_err(|_| Problem::invalid("query", "only last_event_id is known here, once"))?;
    // The header is the newer one: a client that comes back still has the query that it began with.
    let (field, text) = match request.headers().get(NAME) {
        Some(value) => (NAME, Some(value.to_str().unwrap_or("?"))),
        None => ("last_event_id", query.last_event_id.as_deref()),
    };
    let text = text.filter(|text| !text.is_empty());
    let read =
        |text: &str| text.parse().map_err(|_| Problem::invalid(field, "must be the id of an event of this path"));
    text.map(read).transpose()
}

/// A place among those who watch. The first one starts the making of frames.
fn sit(api: &web::Data<Api>, shop: &Shop, id: PerformanceId, entry: &Arc<Entry>) -> Seat {
    let mut topic = entry.watch.topic.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(topic) = &*topic {
        return topic.sit();
    }
    let source = Arc::new(Performance { api: api.clone(), id, entry: Arc::downgrade(entry) });
    let made = shop.streams.topic(source);
    let seat = made.sit();
    shop.streams.spawn(make_frames(api.clone(), id, entry.clone(), made.clone()));
    *topic = Some(made);
    seat
}

/// Where a stream gets what it lacks.
struct Performance {
    api: web::Data<Api>,
    id: PerformanceId,
    entry: Weak<Entry>,
}

impl Source for Performance {
    fn catch_up(&self, topic: Arc<Topic>, at: Option<u64>) -> BoxFuture<'static, Result<Piece, Problem>> {
        let (api, id, entry) = (self.api.clone(), self.id, self.entry.upgrade());
        async move {
            let shop = api.shop()?;
            let entry = entry.ok_or_else(Problem::overloaded)?;
            let place = topic.place();
            if let Some(at) = at
                && let Some(changed) = changes_since(shop, id, at).await?
            {
                let version = changed.version;
                let data = render_changes(id, at, *changed, shop.clock.now());
                return Ok(Piece { version, place, bytes: event("delta", version, &data) });
            }
            full(shop, id, &entry, &topic, at.unwrap_or(0)).await
        }
        .boxed()
    }
}

/// All of it, at a version that is not before `at`.
async fn full(shop: &Shop, id: PerformanceId, entry: &Entry, topic: &Topic, at: u64) -> Result<Piece, Problem> {
    let mut start = entry.watch.start.lock().await;
    if let Some((made, of, piece)) = &*start
        && *of == topic.id
        && made.elapsed() < START_KEPT
        && piece.version >= at
    {
        return Ok(piece.clone());
    }
    let place = topic.place();
    let body = entry.make(shop, id, shop.clock.now()).await?;
    let piece = Piece { version: body.version, place, bytes: event("full", body.version, &body.bytes) };
    *start = Some((Instant::now(), topic.id, piece.clone()));
    Ok(piece)
}

fn event(name: &str, version: u64, data: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(data.len() + 64);
    out.extend_from_slice(format!("event: {name}\nid: {version}\ndata: ").as_bytes());
    // JSON without line breaks.
    out.extend_from_slice(data);
    out.extend_from_slice(b"\n\n");
    out.into()
}

/// How many steps go by between two writes to a stream: a power of two.
fn steps_between(streams: usize) -> usize {
    let share_at_every_step = streams as f64 * WRITE.as_secs_f64() / STEP.as_secs_f64();
    let steps = (share_at_every_step / CORE_SHARE).ceil() as usize;
    steps.next_power_of_two().clamp(STEPS_MIN, PHASES)
}

/// Makes frames as long as somebody watches.
async fn make_frames(api: web::Data<Api>, id: PerformanceId, entry: Arc<Entry>, topic: Arc<Topic>) {
    let Ok(shop) = api.shop() else { return };
    let mut maker = Maker::new(&entry);
    let mut every = tokio::time::interval(STEP);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut unwatched = 0;
    for step in 0usize.. {
        every.tick().await;
        unwatched = if topic.seats() > 0 { 0 } else { unwatched + 1 };
        if unwatched > STEPS_UNWATCHED {
            // Under the lock nobody sits down.
            let mut watched = entry.watch.topic.lock().unwrap_or_else(PoisonError::into_inner);
            if topic.seats() == 0 {
                *watched = None;
                return;
            }
        }
        let between = steps_between(topic.seats());
        if let Some(frame) = maker.make(shop, id, &entry, between).await {
            topic.publish(frame, (0..PHASES).filter(|phase| phase % between == step % between));
        }
    }
}

/// What was told at each of the last steps.
struct Maker {
    told: VecDeque<(u64, u64)>,
    turn: u64,
    state: Option<(Hours, SaleState)>,
}

impl Maker {
    fn new(entry: &Entry) -> Maker {
        Maker { told: VecDeque::from([(entry.view.version(), 0)]), turn: 0, state: None }
    }

    /// The frame for those who were written to `between` steps ago, if there is anything to tell.
    async fn make(&mut self, shop: &Shop, id: PerformanceId, entry: &Entry, between: usize) -> Option<Frame> {
        let now = shop.clock.now();
        // Time alone opens and closes a sale.
        if let Some((hours, state)) = &mut self.state
            && hours.state(now) != *state
        {
            *state = hours.state(now);
            self.turn += 1;
        }
        let (since, turn) = self.told[self.told.len().saturating_sub(between)];
        let version = entry.view.version();
        if self.state.is_some() && (version, self.turn) == (since, turn) {
            self.tell(version);
            return None;
        }
        // Not now: at the next step it is asked again.
        let Ok(changed) = changes_since(shop, id, since).await else { return None };
        let frame = match changed {
            Some(changed) => {
                let version = changed.version;
                self.state = Some((changed.hours, changed.hours.state(now)));
                let data = render_changes(id, since, *changed, now);
                Frame { since, version, turn: self.turn, bytes: event("delta", version, &data) }
            }
            None => {
                let body = entry.make(shop, id, now).await.ok()?;
                Frame {
                    since: 0,
                    version: body.version,
                    turn: self.turn,
                    bytes: event("full", body.version, &body.bytes),
                }
            }
        };
        self.tell(frame.version);
        Some(frame)
    }

    fn tell(&mut self, version: u64) {
        if self.told.len() > PHASES {
            self.told.pop_front();
        }
        self.told.push_back((version, self.turn));
    }
}
