//! `GET /v1/performances/{id}/availability/events`: what changes, as it changes, to everyone who watches.
//!
//! One task per watched performance makes the frames; the streams share them. It asks the performance for the difference
//! of two versions, so there is no history to keep, and a frame that comes late or tells more than a stream lacks does no
//! harm: it names final states.

use super::sse::{
    self, CatchUp, Cursor, END_ID, End, Frame, Hub, LAST_EVENT_ID, LastEvent, PHASES, Pace, Source, Start,
    Subscription, Text, Topic,
};
use super::watchers::CachedCatchUp;
use crate::catalogue::availability::{Entry, Shown, changes_since, render_changes};
use crate::kit::compress::accepts_gzip;
use crate::kit::error::Problem;
use crate::kit::extract::Id;
use crate::kit::query;
use crate::middleware::client_address::client_address;
use crate::route::{Route, routes};
use crate::{Api, EngineHandle};
use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, web};
use base::id::PerformanceId;
use domain::performance::{Hours, SaleState};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Deserialize;
use std::sync::{Arc, PoisonError, Weak};
use std::time::{Duration, Instant};
use utoipa::IntoParams;

/// How often frames are made, for some phases or all.
const STEP: Duration = Duration::from_millis(25);
/// Every stream is written to once in so many steps: what writing to all takes decides between these. The second is
/// what remains where it takes too long: a second late, not more and more.
const PERIOD_STEPS: std::ops::RangeInclusive<f64> = 2.0..=40.0;
/// A catch-up that is not older is used again; what changed since then follows.
const CATCH_UP_KEPT: Duration = Duration::from_millis(500);
const CATCH_UPS_MAX: usize = 16;
/// Whoever lacks fewer versions is told exactly those.
const ROUNDED_FROM: u64 = 256;
/// Steps without any stream after which frames are not made any more.
const STEPS_UNWATCHED: u32 = 40;

/// As it stands in the query.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// For clients that cannot send the header Last-Event-ID with the first request.
    #[param(minimum = 0, required = false, value_type = u64)]
    last_event_id: Option<String>,
}

pub fn routes() -> Vec<Route> {
    routes![events.schema::<LastEvent>()]
}

/// Watch which places are left
///
/// Server-sent events. The first is `full` (data as of `GET …/availability`), or with Last-Event-ID a `delta` (data as
/// with `?since=`); then a `delta` for all that changed, a few times a second at most. `id` is the version. A later event
/// may be `full` again: then forget what you knew; so is the first, when Last-Event-ID is not known (any more). Comments
/// keep the connection alive.
///
/// The last event is `end`; data is a `StreamEnd`: why, and whether to open the stream again. A sale that is closed and a
/// performance that is cancelled end it for good, with `reconnect` false: close an EventSource then. If it comes back by
/// itself it gets 204, unless the sale was prolonged. A stream that ends without `end` broke off: come back after `retry`
/// with Last-Event-ID, as EventSource does by itself.
#[utoipa::path(
    get, path = "/v1/performances/{id}/availability/events", tag = "performances", operation_id = "watch_availability",
    params(("id" = Uuid, Path), ("Last-Event-ID" = Option<u64>, Header), EventsQuery),
    responses(
        (status = 200, description = "Events", body = String, content_type = "text/event-stream"),
        (status = 204, description = "Last-Event-ID is that of an `end`, and nothing changed since: do not come back"),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
        (status = 429, description = "`too-many-streams`; with Retry-After", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn events(api: web::Data<Api>, id: Id<PerformanceId>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let handle = api.handle()?;
    let at = last_event_id(&request)?;
    let entry = api.state::<Shown>()?.entry(handle, id.0).await?;
    let gzip = accepts_gzip(request.headers());
    if request.method() == Method::HEAD {
        return Ok(sse::head(gzip));
    }
    if at == Some(END_ID) && is_over(handle, id.0, &entry).await? {
        return Ok(sse::over());
    }
    // Whoever is ahead of what there is begins anew: it was restored from a backup, or has begun again after its end.
    let at = at.filter(|at| *at <= entry.view.version());
    let hub = api.shared::<Hub>()?;
    let permit = hub.admit(client_address(request.head(), &api.live.load().proxy_trusted))?;
    let subscription = subscribe(&api, &hub, id.0, &entry);
    let topic = subscription.topic().clone();
    let first = topic.catch_up(at).await?;
    Ok(sse::answer(Start { permit, subscription, first, personal: None, opener: None, retry_ms: None }, gzip))
}

/// Whether nothing of it is sold any more.
async fn is_over(handle: &EngineHandle, id: PerformanceId, entry: &Entry) -> Result<bool, Problem> {
    let changed = changes_since(handle, id, entry.view.version()).await?;
    // Where that is not known it is found while the stream goes on.
    Ok(changed.is_some_and(|changed| end_of(changed.hours.state(handle.clock.now())).is_some()))
}

/// Why there will be nothing more to tell of a performance, but for a sale that is prolonged.
fn end_of(state: SaleState) -> Option<End> {
    match state {
        SaleState::Closed => Some(End::SaleClosed),
        SaleState::Cancelled => Some(End::PerformanceCancelled),
        SaleState::Scheduled | SaleState::OnSale | SaleState::Paused => None,
    }
}

fn last_event_id(request: &HttpRequest) -> Result<Option<u64>, Problem> {
    let query: EventsQuery = query::read(request.query_string())?;
    // The header is the newer one: a client that comes back still has the query that it began with.
    let (field, text) = match request.headers().get(LAST_EVENT_ID) {
        Some(value) => (LAST_EVENT_ID, Some(value.to_str().unwrap_or("?"))),
        None => ("last_event_id", query.last_event_id.as_deref()),
    };
    let text = text.filter(|text| !text.is_empty());
    let read =
        |text: &str| text.parse().map_err(|_| Problem::invalid(field, "must be the id of an event of this path"));
    text.map(read).transpose()
}

/// A place among those who watch. The first one starts the making of frames.
fn subscribe(api: &web::Data<Api>, hub: &Arc<Hub>, id: PerformanceId, entry: &Arc<Entry>) -> Subscription {
    let mut topic = entry.watch.topic.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(topic) = &*topic {
        return topic.subscribe();
    }
    let source = Arc::new(Performance { api: api.clone(), id, entry: Arc::downgrade(entry) });
    let made = hub.topic(Some(source));
    let subscription = made.subscribe();
    hub.spawn(make_frames(api.clone(), id, entry.clone(), made.clone()));
    *topic = Some(made);
    subscription
}

/// Where a stream gets what it lacks.
struct Performance {
    api: web::Data<Api>,
    id: PerformanceId,
    entry: Weak<Entry>,
}

impl Source for Performance {
    fn catch_up(&self, topic: Arc<Topic>, at: Option<u64>) -> BoxFuture<'static, Result<CatchUp, Problem>> {
        let (api, id, entry) = (self.api.clone(), self.id, self.entry.upgrade());
        async move {
            let handle = api.handle()?;
            let entry = entry.ok_or_else(Problem::overloaded)?;
            // Held while a catch-up is made: those who ask meanwhile wait for the same one.
            let mut catch_ups = entry.watch.catch_ups.lock().await;
            catch_ups.retain(|kept| kept.topic == topic.id && kept.made.elapsed() < CATCH_UP_KEPT);
            let from = at.map(|at| rounded(at, entry.view.version()));
            if let Some(kept) = catch_ups.iter().find(|kept| kept.suits(from, at)) {
                return Ok(kept.catch_up.clone());
            }
            let cursor = topic.cursor();
            let mut made = None;
            if let (Some(from), Some(at)) = (from, at) {
                made = delta(handle, id, from, cursor).await?;
                if made.is_none() && from != at {
                    made = delta(handle, id, at, cursor).await?;
                }
            }
            let (since, catch_up) = match made {
                Some((since, catch_up)) => (Some(since), catch_up),
                None => {
                    if let Some(kept) = catch_ups.iter().find(|kept| kept.suits(None, at)) {
                        return Ok(kept.catch_up.clone());
                    }
                    let body = entry.make(handle, id, handle.clock.now()).await?;
                    let text = event("full", body.version, &body.bytes);
                    (None, CatchUp { version: body.version, cursor, text })
                }
            };
            if catch_ups.len() == CATCH_UPS_MAX {
                catch_ups.pop_front();
            }
            catch_ups.push_back(CachedCatchUp {
                made: Instant::now(),
                topic: topic.id,
                since,
                catch_up: catch_up.clone(),
            });
            Ok(catch_up)
        }
        .boxed()
    }
}

/// The changes that lead on from `since`, and `since`; `None` when they are not known.
async fn delta(
    handle: &EngineHandle,
    id: PerformanceId,
    since: u64,
    cursor: Cursor,
) -> Result<Option<(u64, CatchUp)>, Problem> {
    Ok(changes_since(handle, id, since).await?.map(|changed| {
        let version = changed.version;
        let data = render_changes(id, since, *changed, handle.clock.now());
        (since, CatchUp { version, cursor, text: event("delta", version, &data) })
    }))
}

/// A version that is not after `at`, and the same for many who are about as far behind. They are told a quarter more than
/// they lack, at most, but it is made once for all of them.
fn rounded(at: u64, newest: u64) -> u64 {
    let behind = newest.saturating_sub(at);
    if behind < ROUNDED_FROM { at } else { at & !((1 << (behind / 4).ilog2()) - 1) }
}

fn event(name: &str, version: u64, data: &[u8]) -> Text {
    let mut out = Vec::with_capacity(data.len() + 64);
    out.extend_from_slice(format!("event: {name}\nid: {version}\ndata: ").as_bytes());
    // JSON without line breaks.
    out.extend_from_slice(data);
    out.extend_from_slice(b"\n\n");
    out.into()
}

/// Makes frames as long as somebody watches.
async fn make_frames(api: web::Data<Api>, id: PerformanceId, entry: Arc<Entry>, topic: Arc<Topic>) {
    let Ok(handle) = api.handle() else { return };
    let mut maker = Maker::new(&entry);
    let mut pace = Pace::default();
    let mut every = tokio::time::interval(STEP);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut unwatched = 0;
    loop {
        every.tick().await;
        unwatched = if topic.subscriptions() > 0 { 0 } else { unwatched + 1 };
        if unwatched > STEPS_UNWATCHED {
            // Under the lock nobody subscribes.
            let mut watched = entry.watch.topic.lock().unwrap_or_else(PoisonError::into_inner);
            if topic.subscriptions() == 0 {
                *watched = None;
                return;
            }
        }
        let period_steps = topic.period().div_duration_f64(STEP).clamp(*PERIOD_STEPS.start(), *PERIOD_STEPS.end());
        let phases = pace.turn(period_steps);
        if let Some(frame) = maker.make(handle, id, &entry, phases.clone()).await {
            topic.publish(frame, phases);
        }
        if let Some(end) = maker.state.and_then(|(_, state)| end_of(state)) {
            // Under the lock nobody subscribes. Whoever comes now gets another topic, which ends with its first step.
            *entry.watch.topic.lock().unwrap_or_else(PoisonError::into_inner) = None;
            topic.end(end);
            return;
        }
    }
}

/// What each phase was told: the version, and the turn.
struct Maker {
    told: [(u64, u64); PHASES],
    turn: u64,
    state: Option<(Hours, SaleState)>,
}

impl Maker {
    fn new(entry: &Entry) -> Maker {
        Maker { told: [(entry.view.version(), 0); PHASES], turn: 0, state: None }
    }

    /// The frame for those of these phases, if there is anything to tell.
    async fn make(
        &mut self,
        handle: &EngineHandle,
        id: PerformanceId,
        entry: &Entry,
        phases: impl Iterator<Item = usize> + Clone,
    ) -> Option<Frame> {
        let now = handle.clock.now();
        // Time alone opens and closes a sale.
        if let Some((hours, state)) = &mut self.state
            && hours.state(now) != *state
        {
            *state = hours.state(now);
            self.turn += 1;
        }
        let told = phases.clone().map(|phase| self.told[phase]);
        let (since, turn) = told.reduce(|one, other| (one.0.min(other.0), one.1.min(other.1)))?;
        if self.state.is_some() && (entry.view.version(), self.turn) == (since, turn) {
            return None;
        }
        // Not now: at the next step it is asked again.
        let Ok(changed) = changes_since(handle, id, since).await else { return None };
        // Where everything is told the state is in it, but is not known here: it is asked for at the next step.
        self.state = changed.as_ref().map(|changed| (changed.hours, changed.hours.state(now)));
        let frame = match changed {
            Some(changed) => {
                let version = changed.version;
                let data = render_changes(id, since, *changed, now);
                Frame { since, version, turn: self.turn, text: event("delta", version, &data) }
            }
            None => {
                let body = entry.make(handle, id, now).await.ok()?;
                let text = event("full", body.version, &body.bytes);
                Frame { since: 0, version: body.version, turn: self.turn, text }
            }
        };
        phases.for_each(|phase| self.told[phase] = (frame.version, self.turn));
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_are_about_as_far_behind_are_told_the_same() {
        for (at, newest, from) in [
            (0, 0, 0),
            (7, 7, 7),
            (9, 7, 9),
            (1_001, 1_256, 1_001),
            (1_001, 1_257, 960),
            (1_023, 1_290, 960),
            (100_000, 104_000, 99_840),
            (u64::MAX, 5, u64::MAX),
        ] {
            assert_eq!(rounded(at, newest), from, "{at} of {newest}");
            assert!(at - from <= newest.saturating_sub(at) / 4);
        }
    }
}
