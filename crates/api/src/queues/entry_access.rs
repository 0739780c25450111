//! Who asks about an entry: the person, by waiting token or session; the queue's organizer; or who has the admission.

use crate::auth::{self, User};
use crate::kit::error::{Kind, Problem};
use crate::kit::query;
use crate::queues::admission_token;
use crate::streams::opener::Opener;
use crate::streams::sse::{END_ID, LAST_EVENT_ID, was_told_of_end};
use crate::{Api, EngineHandle};
use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{FromRequest, HttpRequest, web};
use base::id::{EntryId, OrganizerId, QueueId, UserId};
use domain::queue::{EntryRejection, Find, Person};
use engine::Failure;
use engine::views::queues::QueueView;
use futures_util::future::{Either, LocalBoxFuture};
use security::secrets::waiting::Waiting;
use security::secrets::{self, Secrets};
use serde::Deserialize;
use std::future::{Ready, ready};
use std::sync::Arc;
use utoipa::IntoParams;

/// Who may join.
pub enum Joiner {
    User {
        user: UserId,
        /// Whose identity provider's token they sent, if they did.
        provider: Option<OrganizerId>,
    },
    Organizer(OrganizerId),
    Waiting(Waiting),
    Nobody,
}

/// Somebody who asks about the entry of the path.
pub struct EntryCaller {
    queue: QueueId,
    entry: EntryId,
    asks: Credential,
}

enum Credential {
    Waiting(Waiting),
    User(UserId),
    Organizer(OrganizerId),
    /// With an admission, perhaps: it is looked at where one is taken.
    Token(String),
}

/// The same for a stream, and for those who cannot send headers: `waiting_token` in the query counts where there is no header.
pub struct Watching {
    pub here: EntryCaller,
    /// What may end before the stream; a waiting token does not.
    pub opener: Option<Opener>,
    /// They come back by themselves after they were told that the stream ended for good.
    pub was_told_of_end: bool,
}

/// Somebody who may ask about an entry, and has it.
pub struct EntryAccess {
    pub view: Arc<QueueView>,
    pub ticket: u32,
    pub waiting: Waiting,
    pub by_organizer: bool,
}

/// The query of a stream.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WatchingQuery {
    /// For browsers, whose EventSource sends no headers: the token that otherwise goes into `Authorization`.
    #[param(required = false, value_type = String)]
    waiting_token: Option<String>,
    /// As the header Last-Event-ID. The first event tells everything, whatever it says.
    #[param(minimum = 0, required = false, value_type = u64)]
    last_event_id: Option<String>,
}

/// The credential; `None` without the header.
fn credential(request: &HttpRequest) -> Option<&str> {
    request.headers().contains_key(AUTHORIZATION).then(|| auth::credential(request).unwrap_or_default())
}

fn waiting(request: &HttpRequest, token: &str) -> Result<Waiting, Problem> {
    let api = request.app_data::<web::Data<Api>>().ok_or_else(Problem::starting)?;
    api.state::<Secrets>()?.waiting(token).ok_or_else(auth::bad_credential)
}

/// What a stream is opened with. The query has nothing that could end before it.
async fn opener(request: &HttpRequest) -> Result<Option<Opener>, Problem> {
    let api = request.app_data::<web::Data<Api>>().ok_or_else(Problem::starting)?;
    let Some(credential) = credential(request) else { return Ok(None) };
    Ok(match secrets::Kind::of(credential) {
        secrets::Kind::Waiting => None,
        secrets::Kind::Organizer => Opener::key(api, &auth::organizer(request)?),
        secrets::Kind::Identity if admission_token::is_one(credential) => None,
        _ => Opener::user(api, auth::current(request.clone()).await?),
    })
}

type Asked<T> = Either<Ready<Result<T, Problem>>, LocalBoxFuture<'static, Result<T, Problem>>>;

impl FromRequest for Joiner {
    type Error = Problem;
    type Future = Asked<Joiner>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let Some(credential) = credential(request) else { return Either::Left(ready(Ok(Joiner::Nobody))) };
        match secrets::Kind::of(credential) {
            secrets::Kind::Waiting => Either::Left(ready(waiting(request, credential).map(Joiner::Waiting))),
            secrets::Kind::Organizer => {
                let organizer = auth::organizer(request);
                Either::Left(ready(organizer.map(|key| Joiner::Organizer(key.organizer))))
            }
            _ => {
                let current = auth::current(request.clone());
                Either::Right(Box::pin(async move {
                    let current = current.await?;
                    let provider = current.provider.map(|(organizer, _)| organizer);
                    Ok(Joiner::User { user: current.user.user, provider })
                }))
            }
        }
    }
}

impl FromRequest for Watching {
    type Error = Problem;
    type Future = Asked<Watching>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let query = match WatchingQuery::of(request) {
            Ok(query) => query,
            Err(problem) => return Either::Left(ready(Err(problem))),
        };
        let here = EntryCaller::by(request, payload, credential(request).or(query.waiting_token.as_deref()));
        // The header is the newer one: a client that comes back still has the query that it began with.
        let last_id = match request.headers().contains_key(LAST_EVENT_ID) {
            true => None,
            false => query.last_event_id.and_then(|id| id.parse().ok()),
        };
        let was_told_of_end = was_told_of_end(request) || last_id == Some(END_ID);
        let request = request.clone();
        Either::Right(Box::pin(async move {
            let here = here.await?;
            Ok(Watching { here, opener: opener(&request).await?, was_told_of_end })
        }))
    }
}

impl WatchingQuery {
    fn of(request: &HttpRequest) -> Result<WatchingQuery, Problem> {
        let query: WatchingQuery = query::read(request.query_string())?;
        let is_token = |token: &str| secrets::Kind::of(token) == secrets::Kind::Waiting;
        if query.waiting_token.as_deref().is_some_and(|token| !is_token(token)) {
            // Other credentials open more than one entry: they do not belong where links are kept.
            return Err(Problem::invalid("waiting_token", "must be a waiting token (wqt_…); send others in headers"));
        }
        let header = request.headers().get(LAST_EVENT_ID).map(|value| value.to_str().unwrap_or("?"));
        for (field, text) in [(LAST_EVENT_ID, header), ("last_event_id", query.last_event_id.as_deref())] {
            if text.is_some_and(|text| !text.is_empty() && text.parse::<u64>().is_err()) {
                return Err(Problem::invalid(field, "must be the id of an event of this path"));
            }
        }
        Ok(query)
    }
}

impl FromRequest for EntryCaller {
    type Error = Problem;
    type Future = Asked<EntryCaller>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        EntryCaller::by(request, payload, credential(request))
    }
}

impl EntryCaller {
    fn by(request: &HttpRequest, payload: &mut Payload, credential: Option<&str>) -> Asked<EntryCaller> {
        let queue = request.match_info().get("id").and_then(|text| text.parse().ok());
        let (Some(queue), Ok(entry)) = (queue, entry_of(request)) else {
            return Either::Left(ready(Err(Problem::not_found("entry"))));
        };
        let Some(credential) = credential else {
            let what =
                "Send the waiting token of POST /v1/queues/{id}/entries in the header Authorization: Bearer wqt_…";
            return Either::Left(ready(Err(Problem::new(Kind::Unauthenticated, what))));
        };
        let here = move |asks| EntryCaller { queue, entry, asks };
        match secrets::Kind::of(credential) {
            secrets::Kind::Waiting => {
                Either::Left(ready(waiting(request, credential).map(|waiting| here(Credential::Waiting(waiting)))))
            }
            secrets::Kind::Organizer => {
                let organizer = auth::organizer(request);
                Either::Left(ready(organizer.map(|key| here(Credential::Organizer(key.organizer)))))
            }
            secrets::Kind::Identity if admission_token::is_one(credential) => {
                Either::Left(ready(Ok(here(Credential::Token(credential.to_owned())))))
            }
            _ => {
                let user = User::from_request(request, payload);
                Either::Right(Box::pin(async move { user.await.map(|user| here(Credential::User(user.user))) }))
            }
        }
    }

    /// The entry, if it is the caller's, or of the caller's queue.
    pub async fn known(self, handle: &EngineHandle) -> Result<EntryAccess, Problem> {
        match self.asks {
            Credential::Token(_) => Err(Problem::new(
                Kind::Forbidden,
                "An admission speaks for claim, activity and completion only: send the waiting token (wqt_…).",
            )),
            _ => self.found(handle).await,
        }
    }

    /// The same, but for organizers: what is the person's own business.
    pub async fn own(self, handle: &EngineHandle) -> Result<EntryAccess, Problem> {
        if let Credential::Organizer(_) = self.asks {
            let what = "This is for the person who waits: send the waiting token (wqt_…) or their session token.";
            return Err(Problem::new(Kind::Forbidden, what));
        }
        self.known(handle).await
    }

    /// The same; who has the admission may ask, too.
    pub async fn known_or_admitted(self, api: &Api) -> Result<EntryAccess, Problem> {
        let handle = api.handle()?;
        if let Credential::Token(token) = &self.asks {
            let claims = admission_token::checked(api.state()?, self.queue, token)?;
            if claims.jti != self.entry.to_string() {
                return Err(Problem::not_found("entry"));
            }
        }
        self.found(handle).await
    }

    async fn found(self, handle: &EngineHandle) -> Result<EntryAccess, Problem> {
        let EntryCaller { queue, entry, asks } = self;
        let missing = || Problem::not_found("entry");
        let ticket = entry.ticket().filter(|_| entry.queue() == queue).ok_or_else(missing)?;
        let view = handle.engine.views().queues().get(queue).ok_or_else(missing)?;
        let mut waiting = Waiting { entry, redirect: 0 };
        let mut by_organizer = false;
        match asks {
            Credential::Waiting(held) if held.entry == entry => waiting = held,
            Credential::Waiting(_) => return Err(missing()),
            Credential::Organizer(organizer) => {
                by_organizer = true;
                let own = view.is_of(organizer) && view.look(|live| live.line.standing(ticket).is_some());
                if !own {
                    return Err(missing());
                }
            }
            Credential::User(user) => {
                let find = Find { person: Person::User(user), ticket };
                handle.engine.ask(queue, find).await.map_err(|failure| match failure {
                    Failure::Rejected {
                        rejection: EntryRejection::UnknownQueue | EntryRejection::UnknownEntry,
                        ..
                    } => missing(),
                    failure => failure.into(),
                })?;
            }
            Credential::Token(_) => {}
        }
        Ok(EntryAccess { view, ticket, waiting, by_organizer })
    }
}

/// The `{entry}` of the path.
fn entry_of(request: &HttpRequest) -> Result<EntryId, Problem> {
    const UUID_CHARS: usize = 36;
    let text = request.match_info().get("entry").filter(|text| text.len() == UUID_CHARS);
    text.and_then(|text| text.parse().ok()).ok_or_else(|| Problem::not_found("entry"))
}
