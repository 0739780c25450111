//! Queues that somebody watches: one frame a second for all, and at once those who have to be told something else.

mod mailbox;

use super::sse::{Frame, Hub, PHASES, Subscription, Text, Topic};
use crate::kit::error::Problem;
use crate::kit::time::Time;
use crate::{Api, EngineHandle};
use actix_web::web;
use base::id::QueueId;
use domain::queue::State;
use engine::views::queues::QueueView;
use engine::views::queues::queue_deltas::QueueDelta;
use engine::views::queues::rank_deltas::{Changed, Move};
pub use mailbox::{Mailbox, Mailboxes};
use rustc_hash::FxHashMap;
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;

/// Every stream is written to once in this time, or more seldom where writing to all takes longer.
const PERIOD: Duration = Duration::from_secs(1);
const PERIOD_MAX: Duration = Duration::from_secs(5);
/// Rounds of all phases without any stream after which frames are not made any more.
const ROUNDS_UNWATCHED: u32 = 3;
/// People who are woken at a time where everybody is: others have their turn in between.
const WOKEN_AT_ONCE: usize = 2_000;
const BETWEEN_WAKES: Duration = Duration::from_millis(20);

/// All that are watched.
#[derive(Default)]
pub struct Lines(Mutex<FxHashMap<QueueId, Arc<Watched>>>);

/// One that is.
pub struct Watched {
    pub view: Arc<QueueView>,
    pub mailboxes: Mailboxes,
    /// The version of the last frame that told ranks as samples.
    pub sampled: AtomicU64,
    topic: Arc<Topic>,
}

/// A queue, once a second, for everybody who waits in it.
#[derive(Serialize, ToSchema)]
#[schema(as = QueueLine)]
pub struct Line {
    queue_id: Uuid,
    /// What moved leads from this version to `version`.
    since: u64,
    /// Also the event's `id`.
    version: u64,
    #[schema(value_type = String, examples("open"))]
    queue_state: State,
    /// Whether there is an order: the pre-queue was drawn, or there was none.
    opened: bool,
    /// When it opens and its order is drawn; null once it has.
    opens_at: Option<Time>,
    /// What the organizer tells everybody in line; null when there is nothing to tell.
    notice: Option<String>,
    /// People who wait.
    waiting: u32,
    /// How many were let in, ever.
    admitted_ever: u32,
    /// People let in per minute, as measured over the last one; null when there is too little to tell from.
    rate_per_minute: Option<f64>,
    /// The place of the first who waits in order; null when nobody does.
    frontier: Option<i64>,
    /// People who come before all who wait in order: the organizer put them first.
    first: u32,
    /// Each is `[version, place, by]`: at this version, the ranks of all with a greater place changed by `by`.
    #[schema(value_type = Vec<Vec<i64>>)]
    moves: Vec<Move>,
    /// Null, or, when too much moved, instead of `moves`: some `[place, rank]` by ascending places, from 0 to behind everybody.
    #[schema(value_type = Option<Vec<Vec<i64>>>)]
    samples: Option<Vec<(i64, u32)>>,
}

impl Lines {
    /// A place among those who watch a queue. The first one starts the making of frames.
    pub fn subscribe(
        &self,
        api: &web::Data<Api>,
        view: &Arc<QueueView>,
    ) -> Result<(Arc<Watched>, Subscription), Problem> {
        let hub = api.shared::<Hub>()?;
        let mut watched = self.watched();
        if let Some(watched) = watched.get(&view.id) {
            return Ok((watched.clone(), watched.topic.subscribe()));
        }
        let topic = hub.topic(None);
        let subscription = topic.subscribe();
        let (mailboxes, sampled) = (Mailboxes::default(), AtomicU64::new(0));
        let new = Arc::new(Watched { view: view.clone(), mailboxes, sampled, topic });
        view.watch();
        watched.insert(view.id, new.clone());
        hub.spawn(run(api.clone(), new.clone()));
        Ok((new, subscription))
    }

    /// Whether an entry has as many streams as it may have.
    pub fn is_full(&self, queue: QueueId, ticket: u32) -> bool {
        self.watched().get(&queue).is_some_and(|line| line.mailboxes.is_full(ticket))
    }

    /// Ends the watching of a queue, if nobody does.
    fn end(&self, line: &Watched) -> bool {
        // Under the lock nobody subscribes.
        let mut watched = self.watched();
        let ends = line.topic.subscriptions() == 0;
        if ends {
            line.view.unwatch();
            watched.remove(&line.view.id);
        }
        ends
    }

    fn watched(&self) -> MutexGuard<'_, FxHashMap<QueueId, Arc<Watched>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells those who watch, as long as there are any.
async fn run(api: web::Data<Api>, line: Arc<Watched>) {
    let (Ok(handle), Ok(lines)) = (api.handle(), api.state::<Lines>()) else { return };
    let (mut phase, mut unwatched, mut turn) = (0, 0, 0);
    let mut next = Instant::now() + PERIOD / PHASES as u32;
    loop {
        tokio::select! {
            () = line.view.changed() => line.wake().await,
            () = tokio::time::sleep_until(next) => {
                let period = line.topic.period().clamp(PERIOD, PERIOD_MAX);
                next = (next + period / PHASES as u32).max(Instant::now());
                if phase == 0 {
                    unwatched = if line.topic.subscriptions() > 0 { 0 } else { unwatched + 1 };
                    if unwatched > ROUNDS_UNWATCHED && lines.end(&line) {
                        return;
                    }
                    turn += 1;
                    line.publish(handle, turn);
                }
                line.topic.call(phase);
                phase = (phase + 1) % PHASES;
            }
        }
    }
}

impl Watched {
    /// Wakes those who have to be told something else, and nobody else.
    async fn wake(&self) {
        match self.view.take_changed() {
            Changed::These(tickets) => self.mailboxes.wake(&tickets),
            Changed::Everybody => {
                for tickets in self.mailboxes.tickets().chunks(WOKEN_AT_ONCE) {
                    self.mailboxes.wake(tickets);
                    tokio::time::sleep(BETWEEN_WAKES).await;
                }
            }
        }
    }

    fn publish(&self, handle: &EngineHandle, turn: u64) {
        let Some(news) = self.view.tell(handle.clock.now()) else { return };
        let (since, version) = (news.since, news.version);
        let sampled = news.moves.is_none();
        let text = event("line", version, &Line::of(&self.view, news));
        if sampled {
            self.sampled.fetch_max(version, Ordering::AcqRel);
        }
        // Whoever has missed something can go on with samples, too.
        let since = if sampled { 0 } else { since };
        self.topic.publish(Frame { since, version, turn, text }, std::iter::empty());
    }

    pub fn topic(&self) -> &Topic {
        &self.topic
    }
}

impl Line {
    fn of(view: &QueueView, news: QueueDelta) -> Line {
        Line {
            queue_id: view.id.0,
            since: news.since,
            version: news.version,
            queue_state: news.state,
            opened: news.opens_at_ms.is_none(),
            opens_at: news.opens_at_ms.map(Time),
            notice: view.look(|live| live.facts()?.notice.clone()),
            waiting: news.waiting,
            admitted_ever: news.admitted_ever,
            rate_per_minute: per_minute(news.per_s),
            frontier: news.frontier,
            first: news.first,
            samples: news.moves.is_none().then_some(news.samples),
            moves: news.moves.unwrap_or_default(),
        }
    }
}

/// To a tenth.
pub fn per_minute(per_s: Option<f64>) -> Option<f64> {
    per_s.map(|per_s| (per_s * 600.0).round() / 10.0)
}

/// An event whose data is JSON.
pub fn event(name: &str, version: u64, data: &impl Serialize) -> Text {
    let mut out = format!("event: {name}\nid: {version}\ndata: ").into_bytes();
    // JSON without line breaks.
    serde_json::to_writer(&mut out, data).expect("plain data");
    out.extend_from_slice(b"\n\n");
    out.into()
}
