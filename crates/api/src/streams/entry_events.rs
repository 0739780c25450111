//! `GET /v1/queues/{id}/entries/{entry}/events`: somebody's state at once, and the whole queue once a second.
//!
//! Only the first kind of event is made for one person: when they come, and when their state changes. Ranks follow from the
//! second kind, which is made once for all. A stream is a sign of life.

use super::sse::{self, CatchUp, End, Hub, Personal, Start, Text, Told};
use crate::Api;
use crate::kit::compress::accepts_gzip;
use crate::kit::error::Problem;
use crate::middleware::client_address::client_address;
use crate::queues::entries::Entry;
use crate::queues::entry_access::{EntryAccess, Watching, WatchingQuery};
use crate::route::{Route, routes};
use crate::streams::position_stream::{self, Line, Lines, Mailbox, Watched};
use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, web};
use domain::queue::State;
use domain::queue::order::Standing;
use engine::views::queues::Seen;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::{Duration, Instant};

/// A stream is written to at least as often as that: the next sign of life, ms.
const NEXT_SIGN_MS: u64 = 5_000;
/// After ranks were told as samples, everybody is told the true one within a time between this and twice as much.
const TRUE_RANK_AFTER: Duration = Duration::from_secs(5);

pub fn routes() -> Vec<Route> {
    routes![events.schema::<Line>()]
}

/// Watch one's entry
///
/// Server-sent events, instead of polling; an open stream is the sign of life. Two kinds:
///
/// - `entry`: data as of `GET …/entries/{entry}`, but for `poll_after_ms`: when to ask once the stream has ended. It is the first event, whenever you come or come back, so that nothing can
///   be missed; and it comes at once when your state changes: admitted, active, finished, expired, left, blocked, or put
///   before others.
/// - `line`: data is a `QueueLine`; once a second, the same for everybody.
///
/// `id` is the queue's version. Your rank, exactly, while `entry` tells one: take `place`, `rank` and the event's id as
/// `version` from the last `entry`. With each `line`: for each `[v, p, by]` of `moves` with `v > version` and
/// `p < place`, add `by` to `rank`. If `samples` is not null and `place >= 0`, take instead the line through the two of them
/// around your `place`, as an estimate: an `entry` with the true rank follows within some seconds. Then, if `place >= 0`
/// and (`frontier` is null or `place < frontier`), `rank` is `first`. Then `version` is the line's, if that is greater.
///
/// The last event is `end`; data is a `StreamEnd`: why, and whether to open the stream again. It ends with what opened it
/// (a session, a token of an identity provider, an organizer's key) and with the entry: finished, expired, left, blocked,
/// or waiting in a queue that closes. Where `reconnect` is false, close an EventSource: if it comes back by itself it gets
/// 401, or 204 as long as there is nothing new. A stream that ends without `end` broke off: come back after `retry`, as
/// EventSource does by itself. An entry has at most five streams: a sixth ends the oldest. With `Accept-Encoding: gzip` events come compressed, each to be read at once.
#[utoipa::path(
    get, path = "/v1/queues/{id}/entries/{entry}/events", tag = "queues", operation_id = "watch_entry",
    security((), ("waiting" = []), ("user" = []), ("organizer" = [])),
    params(
        ("id" = Uuid, Path), ("entry" = Uuid, Path), ("Last-Event-ID" = Option<u64>, Header), WatchingQuery),
    responses(
        (status = 200, description = "Events", body = String, content_type = "text/event-stream"),
        (status = 204, description = "Last-Event-ID is that of an `end`, and nothing changed since: do not come back"),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
        (status = 429, description = "`too-many-streams`; with Retry-After", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn events(api: web::Data<Api>, watching: Watching, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let Watching { here, opener, was_told_of_end } = watching;
    let known = here.known(api.handle()?).await?;
    let gzip = accepts_gzip(request.headers());
    // Somebody who is not there has no stream.
    Entry::of(&api, &known.view, known.waiting, false)?;
    if request.method() == Method::HEAD {
        return Ok(sse::head(gzip));
    }
    if was_told_of_end && !is_new(&api, &known)? {
        return Ok(sse::over());
    }
    let permit = api.shared::<Hub>()?.admit(client_address(request.head(), &api.live.load().proxy_trusted))?;
    let (line, subscription) = api.state::<Lines>()?.subscribe(&api, &known.view)?;
    let cursor = subscription.topic().cursor();
    // All who wait in this queue may have lost theirs, at the same instant.
    let retry_ms = known.view.look(|live| live.retry_after_ms());
    let mut own = Own::new(api.clone(), line, known);
    let (version, text) = own.tell().ok_or_else(|| Problem::not_found("entry"))?;
    let first = CatchUp { version, cursor, text };
    Ok(sse::answer(
        Start { permit, subscription, first, personal: Some(Box::new(own)), opener, retry_ms: Some(retry_ms) },
        gzip,
    ))
}

/// Whether there is something to tell to one who was told that there would be nothing more.
fn is_new(api: &Api, known: &EntryAccess) -> Result<bool, Problem> {
    let seen = known.view.see(known.ticket, api.handle()?.clock.now(), false);
    let ended = seen.is_none_or(|seen| end_of(&seen).is_some());
    // Two who replaced each other all the time would help nobody.
    Ok(!ended && !api.state::<Lines>()?.is_full(known.view.id, known.ticket))
}

/// Why there will be nothing more to tell to somebody who stands like this. Whoever was blocked may be restored one day:
/// nobody keeps a stream open for that.
fn end_of(seen: &Seen) -> Option<End> {
    match seen.standing {
        Standing::Finished => Some(End::Finished),
        Standing::Expired => Some(End::Expired),
        Standing::Left | Standing::GivenUp => Some(End::Left),
        Standing::Blocked => Some(End::Blocked),
        standing if standing.waits() && seen.state == State::Closed => Some(End::QueueClosed),
        _ => None,
    }
}

/// One person's part of a stream.
struct Own {
    api: web::Data<Api>,
    line: Arc<Watched>,
    known: EntryAccess,
    mailbox: Arc<Mailbox>,
    /// What they were told last: whether they wait, at which version, when.
    waits: bool,
    version: u64,
    at: Instant,
    tells_again: bool,
    /// Why they will be told nothing more.
    end: Option<End>,
}

impl Own {
    fn new(api: web::Data<Api>, line: Arc<Watched>, known: EntryAccess) -> Own {
        // Before anything is told: what happens from here on is noticed.
        let mailbox = line.mailboxes.open(known.ticket);
        Own { api, line, known, mailbox, waits: false, version: 0, at: Instant::now(), tells_again: false, end: None }
    }

    /// The person's state as it is now.
    fn tell(&mut self) -> Option<(u64, Text)> {
        let now = self.api.handle().ok()?.clock.now();
        let admissions = self.api.state().ok()?;
        let EntryAccess { view, ticket, waiting, .. } = &self.known;
        let mut seen = view.see(*ticket, now, false)?;
        // What counts is the sign of life that this stream gives: who loses it asks as soon.
        seen.poll_after_ms = seen.poll_after_ms.min(NEXT_SIGN_MS);
        let text = position_stream::event("entry", seen.version, &Entry::shown(admissions, view, *waiting, &seen, now));
        (self.waits, self.version) = (seen.standing.waits(), seen.version);
        (self.at, self.tells_again) = (Instant::now(), false);
        self.end = end_of(&seen);
        Some((seen.version, text))
    }

    /// Whether they were told samples since they were told their rank, some time ago.
    fn has_samples(&self) -> bool {
        let spread = TRUE_RANK_AFTER * (self.known.ticket % 64) / 64;
        let samples = self.waits && self.version < self.line.sampled.load(Ordering::Acquire);
        samples && self.at.elapsed() > TRUE_RANK_AFTER + spread
    }
}

impl Personal for Own {
    fn next(&mut self, waker: &Waker) -> Told {
        let news = self.mailbox.take(waker);
        if self.mailbox.is_ended() {
            return Told::End(End::Replaced);
        }
        if let Some(end) = self.end.filter(|_| !news) {
            return Told::End(end);
        }
        if !news && !self.tells_again && !self.has_samples() {
            return Told::Nothing;
        }
        match self.tell() {
            Some((version, text)) => Told::Event { version, text },
            None => Told::End(End::Overloaded),
        }
    }

    fn again(&mut self) {
        self.tells_again = true;
    }

    fn taken(&mut self) {
        // An organizer who looks is not the person.
        if !self.known.by_organizer
            && let Ok(handle) = self.api.handle()
        {
            self.known.view.hear(self.known.ticket, NEXT_SIGN_MS, handle.clock.now());
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.line.mailboxes.close(self.known.ticket, &self.mailbox);
    }
}
