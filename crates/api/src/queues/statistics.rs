//! How a queue goes, for its organizer: once, as a stream, and on `/metrics`.

use crate::auth::{Organizer, OrganizerKey};
use crate::kit::compress::accepts_gzip;
use crate::kit::error::Problem;
use crate::kit::extract::Id;
use crate::kit::reply::Reply;
use crate::kit::time::Time;
use crate::middleware::client_address::client_address;
use crate::ops::metrics::QueueFigures;
use crate::route::{Route, routes};
use crate::streams::opener::Opener;
use crate::streams::position_stream::{event, per_minute};
use crate::streams::sse::{self, CatchUp, End, Frame, Hub, PHASES, Source, Start, Subscription, Topic};
use crate::{Api, EngineHandle};
use actix_web::http::Method;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpRequest, HttpResponse, web};
use base::id::{Millis, OrganizerId, QueueId};
use domain::queue::State;
use engine::views::queues::statistics::Statistics as Found;
use engine::views::queues::{QueueView, Queues};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rustc_hash::FxHashMap;
use serde::Serialize;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use utoipa::ToSchema;
use uuid::Uuid;

const PERIOD: Duration = Duration::from_secs(1);
/// Queues that have figures of their own on `/metrics`: those with the most people. The others are summed up.
const OWN_FIGURES_MAX: usize = 100;

/// A queue in numbers.
#[derive(Serialize, ToSchema)]
#[schema(as = QueueStatistics)]
pub struct Statistics {
    queue_id: Uuid,
    #[schema(value_type = String, examples("open"))]
    queue_state: State,
    opened: bool,
    /// When these numbers were true; new ones are made once a second.
    at: Time,
    /// People who ever joined.
    joined: u32,
    /// People who wait now and were not passed over.
    waiting: u32,
    /// Those of them who gave a sign of life of late. Where more than 65,536 joined, from a sample: right to about half a
    /// percent.
    present: u32,
    /// People whose turn it was while they were away.
    passed_over: u32,
    /// People who were let in and have not come yet.
    admitted: u32,
    /// People in a session.
    active: u32,
    /// Sessions that were completed.
    finished: u32,
    /// Sessions that ended by themselves, claimed or not.
    expired: u32,
    /// People who left.
    left: u32,
    /// People who were passed over and did not come back in time.
    given_up: u32,
    /// People who are shut out now.
    blocked: u32,
    /// How many were let in, ever.
    admitted_ever: u32,
    /// People let in per minute, as measured over the last one; null when there is too little to tell from.
    rate_per_minute: Option<f64>,
    /// How long the one whose turn is next has waited, s; before the queue opens: whoever came first. Null when nobody waits.
    longest_wait_s: Option<u64>,
    eta_error: EtaError,
    /// The queue's version.
    version: u64,
}

/// How good the estimates are that people are told by `eta`: of up to 256 whose turn came, who are chosen at all ranks. The
/// first word that each was told counts.
#[derive(Serialize, ToSchema)]
#[schema(as = QueueEtaError)]
pub struct EtaError {
    people: u32,
    /// Those whose turn came within what they had been told.
    right: u32,
    /// How far off it was on average, s; 0 for those who were told right.
    mean_s: f64,
    /// How much earlier than told it was, at worst, s.
    early_s: f64,
    /// How much later than told it was, at worst, s.
    late_s: f64,
}

/// Queues whose numbers are streamed.
#[derive(Default)]
pub struct Watched(Mutex<FxHashMap<QueueId, Arc<Topic>>>);

pub fn routes() -> Vec<Route> {
    routes![read, events]
}

/// Read a queue's numbers
#[utoipa::path(
    get, path = "/v1/queues/{id}/statistics", tag = "queues", operation_id = "read_queue_statistics",
    security(("organizer" = [])), params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The numbers", body = Statistics),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn read(api: web::Data<Api>, organizer: Organizer, id: Id<QueueId>) -> Result<HttpResponse, Problem> {
    let handle = api.handle()?;
    let view = own(handle, organizer.0, id.0)?;
    let statistics = Statistics::of(handle, &view).ok_or_else(|| Problem::not_found("queue"))?;
    Ok(Reply::ok().header(CACHE_CONTROL, "no-store").json(&statistics))
}

/// Watch a queue's numbers
///
/// Server-sent events: `statistics`, at once and then once a second, with data as of `GET …/statistics`. `id` is the
/// queue's version.
///
/// The last event is `end`; data is a `StreamEnd`: why, and whether to open the stream again. It ends with the key that
/// opened it, and when the queue is closed. Where `reconnect` is false, do not come back: it would be 401, or 204. A stream
/// that ends without `end` broke off: come back after `retry`.
#[utoipa::path(
    get, path = "/v1/queues/{id}/statistics/events", tag = "queues", operation_id = "watch_queue_statistics",
    security(("organizer" = [])), params(("id" = Uuid, Path), ("Last-Event-ID" = Option<u64>, Header)),
    responses(
        (status = 200, description = "Events", body = String, content_type = "text/event-stream"),
        (status = 204, description = "Last-Event-ID is that of an `end`, and nothing changed since: do not come back"),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
        (status = 429, description = "`too-many-streams`; with Retry-After", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn events(
    api: web::Data<Api>,
    key: OrganizerKey,
    id: Id<QueueId>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let handle = api.handle()?;
    let view = own(handle, key.organizer, id.0)?;
    let gzip = accepts_gzip(request.headers());
    if request.method() == Method::HEAD {
        return Ok(sse::head(gzip));
    }
    if sse::was_told_of_end(&request) && is_closed(&view) {
        return Ok(sse::over());
    }
    let opener = Opener::key(&api, &key);
    let hub = api.shared::<Hub>()?;
    let permit = hub.admit(client_address(request.head(), &api.live.load().proxy_trusted))?;
    let subscription = api.state::<Watched>()?.subscribe(&api, &hub, &view);
    let first = subscription.topic().catch_up(None).await?;
    Ok(sse::answer(Start { permit, subscription, first, personal: None, opener, retry_ms: None }, gzip))
}

fn is_closed(view: &QueueView) -> bool {
    view.state() == Some(State::Closed)
}

/// The queue, if it is the organizer's.
fn own(handle: &EngineHandle, organizer: OrganizerId, id: QueueId) -> Result<Arc<QueueView>, Problem> {
    handle.engine.views().queues().own(organizer, id).ok_or_else(|| Problem::not_found("queue"))
}

impl Watched {
    /// A place among those who watch a queue's numbers. The first one starts the making of frames.
    fn subscribe(&self, api: &web::Data<Api>, hub: &Arc<Hub>, view: &Arc<QueueView>) -> Subscription {
        let mut topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(topic) = topics.get(&view.id) {
            return topic.subscribe();
        }
        let source = Numbers { api: api.clone(), view: Arc::downgrade(view) };
        let topic = hub.topic(Some(Arc::new(source)));
        let subscription = topic.subscribe();
        hub.spawn(make_frames(api.clone(), view.clone(), topic.clone()));
        topics.insert(view.id, topic);
        subscription
    }

    /// Ends the streams of a queue that is closed. Whoever comes now gets another topic, which ends at once.
    fn close(&self, id: QueueId, topic: &Topic) {
        // Under the lock nobody subscribes.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        topic.end(End::QueueClosed);
    }

    /// Ends the making of frames, if nobody watches.
    fn end(&self, id: QueueId, topic: &Topic) -> bool {
        // Under the lock nobody subscribes.
        let mut topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = topic.subscriptions() == 0;
        if ends {
            topics.remove(&id);
        }
        ends
    }
}

/// Where a stream begins.
struct Numbers {
    api: web::Data<Api>,
    view: Weak<QueueView>,
}

impl Source for Numbers {
    fn catch_up(&self, topic: Arc<Topic>, _at: Option<u64>) -> BoxFuture<'static, Result<CatchUp, Problem>> {
        let (api, view) = (self.api.clone(), self.view.upgrade());
        async move {
            let cursor = topic.cursor();
            let statistics = view.and_then(|view| Statistics::of(api.handle().ok()?, &view));
            let statistics = statistics.ok_or_else(Problem::overloaded)?;
            let version = statistics.version;
            Ok(CatchUp { version, cursor, text: event("statistics", version, &statistics) })
        }
        .boxed()
    }
}

async fn make_frames(api: web::Data<Api>, view: Arc<QueueView>, topic: Arc<Topic>) {
    let (Ok(handle), Ok(watched)) = (api.handle(), api.state::<Watched>()) else { return };
    let mut every = tokio::time::interval(PERIOD);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    every.tick().await;
    if is_closed(&view) {
        // What a stream begins with is all that there is to tell.
        return watched.close(view.id, &topic);
    }
    let mut turn = 0;
    loop {
        every.tick().await;
        if topic.subscriptions() == 0 && watched.end(view.id, &topic) {
            return;
        }
        // Looked at before the numbers are made, so that the last ones that are told are those of the closed queue.
        let closed = is_closed(&view);
        turn += 1;
        if let Some(statistics) = Statistics::of(handle, &view) {
            let version = statistics.version;
            let text = event("statistics", version, &statistics);
            topic.publish(Frame { since: 0, version, turn, text }, 0..PHASES);
        }
        if closed {
            return watched.close(view.id, &topic);
        }
    }
}

impl Statistics {
    fn of(handle: &EngineHandle, view: &QueueView) -> Option<Statistics> {
        let found = view.statistics(handle.clock.now())?;
        let Found { counts, estimates, .. } = &*found;
        let seconds = |ms: u64| ms as f64 / 1_000.0;
        Some(Statistics {
            queue_id: view.id.0,
            queue_state: found.state,
            opened: found.opened,
            at: Time(found.at_ms),
            joined: found.joined,
            waiting: counts.waiting,
            present: found.present,
            passed_over: counts.passed_over,
            admitted: counts.admitted,
            active: counts.active,
            finished: counts.finished,
            expired: counts.expired,
            left: counts.left,
            given_up: counts.given_up,
            blocked: counts.blocked,
            admitted_ever: counts.admitted_ever,
            rate_per_minute: per_minute(found.per_s),
            longest_wait_s: found.longest_wait_ms.map(|ms| ms / 1_000),
            eta_error: EtaError {
                people: estimates.people,
                right: estimates.right,
                mean_s: seconds(estimates.mean_ms),
                early_s: seconds(estimates.early_ms),
                late_s: seconds(estimates.late_ms),
            },
            version: found.version,
        })
    }
}

/// The same numbers for `/metrics`: by queue, as far as there is room, and of all others together.
pub fn figures(queues: &Queues, now: Millis) -> Vec<(String, QueueFigures)> {
    let found = queues.all();
    let mut found: Vec<_> = found.iter().filter_map(|view| Some((view.id, view.statistics(now)?))).collect();
    let people = |found: &Found| found.counts.waiting + found.counts.inside();
    found.sort_by_cached_key(|(id, found)| (std::cmp::Reverse(people(found)), *id));
    let (mut figures, mut others) = (Vec::new(), None::<QueueFigures>);
    for (index, (id, found)) in found.iter().enumerate() {
        let one = figures_of(found);
        match index < OWN_FIGURES_MAX {
            true => figures.push((id.to_string(), one)),
            false => others.get_or_insert_default().add(&one),
        }
    }
    figures.extend(others.map(|others| ("other".to_owned(), others)));
    figures
}

fn figures_of(found: &Found) -> QueueFigures {
    let counts = &found.counts;
    let people = [
        ("waiting", counts.waiting),
        ("present", found.present),
        ("passed_over", counts.passed_over),
        ("admitted", counts.admitted),
        ("active", counts.active),
        ("blocked", counts.blocked),
    ];
    let ever = [
        ("joined", found.joined),
        ("admitted", counts.admitted_ever),
        ("finished", counts.finished),
        ("expired", counts.expired),
        ("left", counts.left),
        ("given_up", counts.given_up),
    ];
    QueueFigures {
        people: people.map(|(state, people)| (state, u64::from(people))),
        ever: ever.map(|(state, people)| (state, u64::from(people))),
        admitted_per_second: found.per_s.unwrap_or(0.0),
        longest_wait_seconds: found.longest_wait_ms.unwrap_or(0) as f64 / 1_000.0,
        eta_error_seconds: found.estimates.mean_ms as f64 / 1_000.0,
        open: found.opened && found.state == State::Open,
    }
}
