//! Entries: people in a queue. A poll is answered from a view: it asks no actor and no disk.

use crate::Api;
use crate::auth::Organizer;
use crate::auth::accounts::Accounts;
use crate::kit::body::{Body, NoBody, OptionalBody};
use crate::kit::error::{self, Problem};
use crate::kit::extract::{Id, IdempotencyKey};
use crate::kit::reply::Reply;
use crate::kit::time::Time;
use crate::queues::admission_token::{self, Admission, Admissions};
use crate::queues::entry_access::{EntryAccess, EntryCaller, Joiner};
use crate::route::{Route, routes};
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpResponse, web};
use base::id::{EntryId, Millis, QueueId};
use domain::Command;
use domain::queue::order::{Kind, Standing};
use domain::queue::{self, Person, Queue, State};
use engine::views::queues::{QueueView, Seen};
use security::identity::Invited;
use security::secrets::Secrets;
use security::secrets::waiting::Waiting;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;
use utoipa::ToSchema;
use uuid::Uuid;

/// Who wants to wait. Users are known by their session, and anybody may come without.
#[derive(Deserialize, Default, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = EntryRequest)]
pub struct New {
    /// Organizers: your own id of the visitor, 1 to 128 characters. It is kept in the log: do not use e-mail addresses.
    #[schema(min_length = 1, max_length = 128)]
    visitor: Option<String>,
    /// A token that the organizer has signed for this queue and for you, with a key of its identity provider: a JWT with `iss` the
    /// provider's issuer, `aud` this queue's id, `sub` the organizer's own id of you, `jti`, and `exp` if wanted. A `jti` opens one
    /// place, ever.
    #[schema(max_length = 16_384)]
    token: Option<String>,
    /// Where to go when it is one's turn: one of the queue's `redirect_urls`; the first one, unless given.
    redirect_url: Option<String>,
}

/// Somebody in a queue.
#[derive(Serialize, ToSchema)]
#[schema(as = QueueEntry)]
pub struct Entry {
    pub(crate) entry_id: Uuid,
    queue_id: Uuid,
    /// Counts from 1 in the order of joining; what a draw is about.
    pub(crate) ticket: u32,
    /// `waiting`, `admitted` (it is your turn: come before the admission expires), `active`, `finished`, `expired`, `left`
    /// or `blocked`.
    pub(crate) state: &'static str,
    /// People before you; null before the queue opens, and when you do not wait.
    pub(crate) rank: Option<u32>,
    /// By which `rank` follows from the events of `…/events`; negative for those whom the organizer put before all others;
    /// null when `rank` is.
    place: Option<i64>,
    /// People who wait.
    pub(crate) waiting: u32,
    /// When it will be your turn, from the speed of the last minute; null when that is not known.
    pub(crate) eta: Option<Eta>,
    /// When to ask again, ms; the last answer counts. Who asks then misses nothing: should it be their turn before, they have
    /// the queue's `claim_ttl_s` from then on. Who does not ask for much longer than that is taken to be away, and is passed
    /// over; they are let in first when they come back.
    pub(crate) poll_after_ms: u64,
    /// When to ask again should there be no answer, or a 503: at a time between these, drawn anew each time.
    retry_after_ms: Between,
    #[schema(value_type = String, examples("open"))]
    pub(crate) queue_state: State,
    /// When the queue opens and its order is drawn; null once it has.
    pub(crate) opens_at: Option<Time>,
    pub(crate) admission: Option<Admission>,
    /// When the session ends, at the latest; null outside of one.
    pub(crate) session_expires_at: Option<Time>,
}

/// From the earliest to the latest, s from now.
#[derive(Serialize, ToSchema)]
pub struct Eta {
    pub(crate) earliest_s: u64,
    pub(crate) latest_s: u64,
}

/// From the earliest to the latest, ms from now: take a time between the two, drawn evenly each time, so that not all ask
/// at once.
#[derive(Serialize, ToSchema)]
#[schema(as = BetweenMs)]
pub struct Between {
    min: u64,
    max: u64,
}

impl Between {
    pub fn of(range: &RangeInclusive<u64>) -> Between {
        Between { min: *range.start(), max: *range.end() }
    }
}

/// Somebody who joined, with what they are known by from now on.
#[derive(Serialize, ToSchema)]
pub struct Joined {
    /// Who you are in this queue: send it as `Authorization: Bearer wqt_…`. It is the same person's again when they come
    /// back.
    waiting_token: String,
    #[serde(flatten)]
    entry: Entry,
}

/// Why somebody is shut out.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = BlockEntry)]
pub struct Block {
    #[schema(min_length = 1, max_length = 200)]
    reason: String,
}

pub fn routes() -> Vec<Route> {
    routes![read, leave, join, claim, activity, complete, block, restore]
}

/// Join a queue
///
/// With a user's session, from an organizer's own backend (its key and `visitor`), with a token that the organizer has signed
/// (`token`), or without any credential, as the queue's `join` says. The same
/// person gets the same entry, whatever happened meanwhile; without a credential the same person is who sends the waiting
/// token, or the same Idempotency-Key. After the answer the place survives anything.
#[utoipa::path(
    post, path = "/v1/queues/{id}/entries", tag = "queues", operation_id = "join", request_body = Option<New>,
    security((), ("user" = []), ("organizer" = []), ("waiting" = [])),
    params(
        ("id" = Uuid, Path, description = "The queue"),
        ("Idempotency-Key" = Option<String>, Header, description = "8 to 255 visible ASCII characters")),
    responses(
        (status = 201, description = "Joined", body = Joined, headers(("Location" = String), ("Onsale-Position" = u64))),
        (status = 200, description = "You are in this queue already", body = Joined, headers(("Location" = String))),
        (status = 401, description = "`bad-join-token`", body = crate::kit::error::ProblemBody),
        (status = 403, description = "`join-not-allowed` (with `join`)", body = crate::kit::error::ProblemBody),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
        (status = 409, description = "`queue-closed`, `queue-full`, `join-token-used`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn join(
    api: web::Data<Api>,
    id: Id<QueueId>,
    holder: Joiner,
    key: IdempotencyKey,
    body: OptionalBody<New>,
) -> Result<HttpResponse, Problem> {
    let handle = api.handle()?;
    let New { visitor, token, redirect_url } = body.0.unwrap_or_default();
    let view = handle.engine.views().queues().get(id.0).ok_or_else(|| Problem::no_such("queue"))?;
    let redirect = redirect_url.map(|url| allowed(&view, &url)).transpose()?.unwrap_or(0);
    let join = match (holder, visitor, token) {
        (Joiner::Organizer(organizer), visitor, None) => {
            if !view.is_of(organizer) {
                return Err(Problem::not_found("queue"));
            }
            queue::Join::of(Person::Visitor(
                visitor.ok_or_else(|| Problem::invalid("visitor", "say for which visitor"))?,
            ))
        }
        (_, Some(_), _) => return Err(Problem::invalid("visitor", "only organizers bring visitors")),
        (Joiner::Nobody, None, Some(token)) => invited(api.state()?, &view, &token).await?,
        (_, None, Some(_)) => {
            return Err(Problem::invalid("token", "is a credential itself: send no other one with it"));
        }
        (Joiner::User { user, provider }, None, None) => {
            let is_ours = provider.is_some_and(|organizer| view.is_of(organizer));
            let by = if is_ours { queue::Credential::Identity } else { queue::Credential::Account };
            queue::Join { person: Person::User(user), by }
        }
        (Joiner::Waiting(waiting), None, None) => return again(&api, &view, waiting, redirect),
        (Joiner::Nobody, None, None) => queue::Join::of(Person::Anonymous(key.within(id.0.0.as_bytes()))),
    };
    let done = handle.engine.ask(id.0, join).await?;
    let queue::Joined { ticket, repeated } = done.answer;
    let entry = EntryId::of(id.0, ticket);
    let joined = Joined::of(&api, &view, Waiting { entry, redirect })?;
    let location = format!("/v1/queues/{}/entries/{entry}", id.0);
    let reply = if repeated { Reply::ok().location(&location) } else { Reply::created(&location) };
    Ok(reply.position(done.position).header(CACHE_CONTROL, "no-store").json(&joined))
}

/// Somebody whom the queue's organizer has signed a token for.
async fn invited(accounts: &Accounts, view: &QueueView, token: &str) -> Result<queue::Join, Problem> {
    let organizer = view.look(|live| live.facts().map(|facts| facts.organizer));
    let provider = organizer.and_then(|organizer| accounts.engine.views().tenants().get(organizer)?.provider.clone());
    let provided = provider.filter(|provided| provided.provider.enabled).ok_or_else(|| {
        Problem::new(
            error::Kind::BadJoinToken,
            "The queue's organizer has no identity provider whose keys would check it.",
        )
    })?;
    let organizer = organizer.expect("whose provider was found");
    let invited = accounts.identities.verify_join(organizer, &provided, token, view.id).await;
    let Invited { subject, token } = invited.map_err(Problem::of_join_token)?;
    Ok(queue::Join { person: Person::Visitor(subject), by: queue::Credential::Token(token) })
}

/// With the waiting token: whoever has it is in already.
fn again(api: &Api, view: &QueueView, waiting: Waiting, redirect: u32) -> Result<HttpResponse, Problem> {
    if waiting.entry.queue() != view.id {
        return Err(Problem::not_found("queue: the waiting token is of another one"));
    }
    let redirect = if redirect == 0 { waiting.redirect } else { redirect };
    let joined = Joined::of(api, view, Waiting { entry: waiting.entry, redirect })?;
    let location = format!("/v1/queues/{}/entries/{}", view.id, waiting.entry);
    Ok(Reply::ok().location(&location).header(CACHE_CONTROL, "no-store").json(&joined))
}

/// What a token keeps of a redirect URL, if the queue allows it.
fn allowed(view: &QueueView, url: &str) -> Result<u32, Problem> {
    let known =
        view.look(|live| live.facts().is_some_and(|facts| facts.terms.redirect_urls.iter().any(|one| one == url)));
    match known {
        true => Ok(Waiting::fingerprint(url)),
        false => Err(Problem::new(
            error::Kind::RedirectNotAllowed,
            "redirect_url: must be one of the queue's redirect_urls, exactly; its organizer can add it.",
        )
        .with("field", "redirect_url")),
    }
}

/// Read one's entry: poll this
///
/// Costs next to nothing; ask again after `poll_after_ms`. Asking is the sign of life.
#[utoipa::path(
    get, path = "/v1/queues/{id}/entries/{entry}", tag = "queues", operation_id = "read_entry",
    security(("waiting" = []), ("user" = []), ("organizer" = [])),
    params(("id" = Uuid, Path), ("entry" = Uuid, Path)),
    responses(
        (status = 200, description = "The entry", body = Entry),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn read(api: web::Data<Api>, here: EntryCaller) -> Result<HttpResponse, Problem> {
    let here = here.known(api.handle()?).await?;
    // An organizer speaks for its own visitors; who looks at a user is not the user.
    let visitor = || here.view.look(|live| live.line.kind(here.ticket) == Some(Kind::Visitor));
    let alive = !here.by_organizer || visitor();
    let entry = Entry::of(&api, &here.view, here.waiting, alive)?;
    Ok(Reply::ok().header(CACHE_CONTROL, "no-store").json(&entry))
}

/// Leave a queue
///
/// Everybody behind moves up at once; inside, the slot is free. Leaving twice is leaving once.
#[utoipa::path(
    delete, path = "/v1/queues/{id}/entries/{entry}", tag = "queues", operation_id = "leave",
    security(("waiting" = []), ("user" = []), ("organizer" = [])),
    params(("id" = Uuid, Path), ("entry" = Uuid, Path)),
    responses(
        (status = 200, description = "Left", body = Entry, headers(("Onsale-Position" = u64))),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
        (status = 409, description = "`entry-state`: it is blocked", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn leave(api: web::Data<Api>, here: EntryCaller) -> Result<HttpResponse, Problem> {
    let here = here.known(api.handle()?).await?;
    run(&api, &here, queue::Leave { ticket: here.ticket }).await
}

/// Claim an admission: the session begins
///
/// By the person, or by the site that they came to, with its key or with the admission itself as the credential. Before the
/// admission expires; again is once. Booking a seat claims by itself.
#[utoipa::path(
    post, path = "/v1/queues/{id}/entries/{entry}/claim", tag = "queues", operation_id = "claim",
    security(("waiting" = []), ("user" = []), ("organizer" = []), ("admission" = [])),
    params(("id" = Uuid, Path), ("entry" = Uuid, Path)),
    responses(
        (status = 200, description = "Active", body = Entry, headers(("Onsale-Position" = u64))),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
        (status = 409, description = "`entry-state` (with `state`): not admitted, or not any more", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn claim(api: web::Data<Api>, here: EntryCaller, _: NoBody) -> Result<HttpResponse, Problem> {
    let here = here.known_or_admitted(&api).await?;
    run(&api, &here, queue::Claim { ticket: here.ticket }).await
}

/// Say that a session is in use
///
/// For queues with `idle_ttl_s`: a sign of life for those who do not poll any more. Kept in memory only.
#[utoipa::path(
    post, path = "/v1/queues/{id}/entries/{entry}/activity", tag = "queues", operation_id = "note_activity",
    security(("waiting" = []), ("user" = []), ("organizer" = []), ("admission" = [])),
    params(("id" = Uuid, Path), ("entry" = Uuid, Path)),
    responses(
        (status = 200, description = "Noted", body = Entry),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn activity(api: web::Data<Api>, here: EntryCaller, _: NoBody) -> Result<HttpResponse, Problem> {
    let here = here.known_or_admitted(&api).await?;
    let entry = Entry::of(&api, &here.view, here.waiting, true)?;
    Ok(Reply::ok().header(CACHE_CONTROL, "no-store").json(&entry))
}

/// Complete a session
///
/// What the person came for is done: the slot is free for the next one. Completing twice is completing once.
#[utoipa::path(
    post, path = "/v1/queues/{id}/entries/{entry}/completion", tag = "queues", operation_id = "complete",
    security(("waiting" = []), ("user" = []), ("organizer" = []), ("admission" = [])),
    params(("id" = Uuid, Path), ("entry" = Uuid, Path)),
    responses(
        (status = 200, description = "Finished", body = Entry, headers(("Onsale-Position" = u64))),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
        (status = 409, description = "`entry-state` (with `state`): no session", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn complete(api: web::Data<Api>, here: EntryCaller, _: NoBody) -> Result<HttpResponse, Problem> {
    let here = here.known_or_admitted(&api).await?;
    run(&api, &here, queue::Finish { ticket: here.ticket }).await
}

/// Block an entry
///
/// Somebody who waits keeps the place, for when they are restored; a session ends.
#[utoipa::path(
    put, path = "/v1/queues/{id}/entries/{entry}/block", tag = "queues", operation_id = "block_entry", request_body = Block,
    security(("organizer" = [])), params(("id" = Uuid, Path), ("entry" = Uuid, Path)),
    responses(
        (status = 200, description = "Blocked", body = Entry, headers(("Onsale-Position" = u64))),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
        (status = 409, description = "`entry-state`: it is over", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn block(
    api: web::Data<Api>,
    organizer: Organizer,
    here: EntryCaller,
    body: Body<Block>,
) -> Result<HttpResponse, Problem> {
    let here = here.known(api.handle()?).await?;
    run(&api, &here, queue::Block { organizer: organizer.0, ticket: here.ticket, reason: body.0.reason }).await
}

/// Restore a blocked entry
///
/// At the place that it had.
#[utoipa::path(
    delete, path = "/v1/queues/{id}/entries/{entry}/block", tag = "queues", operation_id = "restore_entry",
    security(("organizer" = [])), params(("id" = Uuid, Path), ("entry" = Uuid, Path)),
    responses(
        (status = 200, description = "Waiting again", body = Entry, headers(("Onsale-Position" = u64))),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
        (status = 409, description = "`entry-state`: it is over", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn restore(api: web::Data<Api>, organizer: Organizer, here: EntryCaller) -> Result<HttpResponse, Problem> {
    let here = here.known(api.handle()?).await?;
    run(&api, &here, queue::Restore { organizer: organizer.0, ticket: here.ticket }).await
}

async fn run<C>(api: &Api, here: &EntryAccess, command: C) -> Result<HttpResponse, Problem>
where
    C: Command<On = Queue, Rejection: Into<Problem>>,
{
    let done = api.handle()?.engine.ask(here.view.id, command).await?;
    let entry = Entry::of(api, &here.view, here.waiting, false)?;
    Ok(Reply::ok().position(done.position).header(CACHE_CONTROL, "no-store").json(&entry))
}

impl Joined {
    /// With the token that they are known by.
    pub fn of(api: &Api, view: &QueueView, waiting: Waiting) -> Result<Joined, Problem> {
        let entry = Entry::of(api, view, waiting, true)?;
        Ok(Joined { waiting_token: api.state::<Secrets>()?.waiting_token(&waiting), entry })
    }
}

impl Entry {
    /// As it is now. A sign of life, if `alive`.
    pub fn of(api: &Api, view: &QueueView, waiting: Waiting, alive: bool) -> Result<Entry, Problem> {
        let handle = api.handle()?;
        let now = handle.clock.now();
        let seen = waiting.entry.ticket().and_then(|ticket| view.see(ticket, now, alive));
        let seen = seen.ok_or_else(|| Problem::not_found("entry"))?;
        Ok(Entry::shown(api.state()?, view, waiting, &seen, now))
    }

    /// Somebody who was seen at `now`.
    pub fn shown(admissions: &Admissions, view: &QueueView, waiting: Waiting, seen: &Seen, now: Millis) -> Entry {
        let session = seen.session.as_ref().filter(|session| now < session.until_ms);
        let state = match (seen.standing, session) {
            // Its end is recorded within the next tick.
            (Standing::Admitted | Standing::Active, None) => Standing::Expired,
            (standing, _) => standing,
        };
        let unclaimed = session.filter(|session| !session.is_claimed);
        Entry {
            entry_id: waiting.entry.0,
            queue_id: view.id.0,
            ticket: seen.ticket,
            state: state.name(),
            rank: seen.rank,
            place: seen.place,
            waiting: seen.waiting,
            eta: seen.eta_ms.map(|(from, to)| Eta { earliest_s: from / 1_000, latest_s: to.div_ceil(1_000) }),
            poll_after_ms: seen.poll_after_ms,
            retry_after_ms: Between::of(&seen.retry_after_ms),
            queue_state: seen.state,
            opens_at: seen.opens_at_ms.map(Time),
            admission: unclaimed.and_then(|session| admission_token::of(admissions, view, waiting, session)),
            session_expires_at: session.filter(|session| session.is_claimed).map(|session| Time(session.until_ms)),
        }
    }
}
