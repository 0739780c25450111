//! Who asks about an entry: the person, by waiting token or session; the queue's organizer; or who has the admission.

use super::auth::{self, User};
use super::entries::entry_of;
use super::error::{Kind, Problem};
use super::{Api, Shop, admission};
use crate::actors::Failure;
use crate::actors::queues::QueueView;
use crate::domain::queue::{Command, Person, Rejection};
use crate::id::{EntryId, OrganizerId, QueueId, UserId};
use crate::secrets::{self, waiting::Waiting};
use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::{FromRequest, HttpRequest, web};
use futures_util::future::{Either, LocalBoxFuture};
use std::future::{Ready, ready};
use std::sync::Arc;

/// Who may join.
pub enum Holder {
    User(UserId),
    Organizer(OrganizerId),
    Waiting(Waiting),
    Nobody,
}

/// Somebody who asks about the entry of the path.
pub struct Here {
    queue: QueueId,
    entry: EntryId,
    asks: Asks,
}

enum Asks {
    Waiting(Waiting),
    User(UserId),
    Organizer(OrganizerId),
    /// With an admission, perhaps: it is looked at where one is taken.
    Token(String),
}

/// Somebody who may ask about an entry, and has it.
pub struct Known {
    pub view: Arc<QueueView>,
    pub ticket: u32,
    pub waiting: Waiting,
    pub by_organizer: bool,
}

/// The credential; `None` without the header.
fn credential(request: &HttpRequest) -> Option<&str> {
    request.headers().contains_key(AUTHORIZATION).then(|| auth::credential(request).unwrap_or_default())
}

fn waiting(request: &HttpRequest, token: &str) -> Result<Waiting, Problem> {
    let api = request.app_data::<web::Data<Api>>().ok_or_else(Problem::starting)?;
    api.shop()?.secrets.waiting(token).ok_or_else(auth::bad_credential)
}

type Asked<T> = Either<Ready<Result<T, Problem>>, LocalBoxFuture<'static, Result<T, Problem>>>;

impl FromRequest for Holder {
    type Error = Problem;
    type Future = Asked<Holder>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let Some(credential) = credential(request) else { return Either::Left(ready(Ok(Holder::Nobody))) };
        match secrets::Kind::of(credential) {
            secrets::Kind::Waiting => Either::Left(ready(waiting(request, credential).map(Holder::Waiting))),
            secrets::Kind::Organizer => {
                let organizer = auth::organizer(request);
                Either::Left(ready(organizer.map(|key| Holder::Organizer(key.organizer))))
            }
            _ => {
                let user = User::from_request(request, payload);
                Either::Right(Box::pin(async move { user.await.map(|user| Holder::User(user.user)) }))
            }
        }
    }
}

impl FromRequest for Here {
    type Error = Problem;
    type Future = Asked<Here>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let queue = request.match_info().get("id").and_then(|text| text.parse().ok());
        let (Some(queue), Ok(entry)) = (queue, entry_of(request)) else {
            return Either::Left(ready(Err(Problem::not_found("entry"))));
        };
        let Some(credential) = credential(request) else {
            let what =
                "Send the waiting token of POST /v1/queues/{id}/entries in the header Authorization: Bearer wqt_…";
            return Either::Left(ready(Err(Problem::new(Kind::Unauthenticated, what))));
        };
        let here = move |asks| Here { queue, entry, asks };
        match secrets::Kind::of(credential) {
            secrets::Kind::Waiting => {
                Either::Left(ready(waiting(request, credential).map(|waiting| here(Asks::Waiting(waiting)))))
            }
            secrets::Kind::Organizer => {
                let organizer = auth::organizer(request);
                Either::Left(ready(organizer.map(|key| here(Asks::Organizer(key.organizer)))))
            }
            secrets::Kind::Identity if admission::is_one(credential) => {
                Either::Left(ready(Ok(here(Asks::Token(credential.to_owned())))))
            }
            _ => {
                let user = User::from_request(request, payload);
                Either::Right(Box::pin(async move { user.await.map(|user| here(Asks::User(user.user))) }))
            }
        }
    }
}

impl Here {
    /// The entry, if it is the caller's, or of the caller's queue.
    pub async fn known(self, shop: &Shop) -> Result<Known, Problem> {
        match self.asks {
            Asks::Token(_) => Err(Problem::new(
                Kind::Forbidden,
                "An admission speaks for claim, activity and completion only: send the waiting token (wqt_…).",
            )),
            _ => self.found(shop).await,
        }
    }

    /// The same; who has the admission may ask, too.
    pub async fn known_or_admitted(self, api: &Api) -> Result<Known, Problem> {
        let shop = api.shop()?;
        if let Asks::Token(token) = &self.asks {
            let claims = admission::checked(shop, self.queue, token)?;
            if claims.jti != self.entry.to_string() {
                return Err(Problem::not_found("entry"));
            }
        }
        self.found(shop).await
    }

    async fn found(self, shop: &Shop) -> Result<Known, Problem> {
        let Here { queue, entry, asks } = self;
        let missing = || Problem::not_found("entry");
        let ticket = entry.ticket().filter(|_| entry.queue() == queue).ok_or_else(missing)?;
        let view = shop.engine.views().queues().get(queue).ok_or_else(missing)?;
        let mut waiting = Waiting { entry, redirect: 0 };
        let mut by_organizer = false;
        match asks {
            Asks::Waiting(held) if held.entry == entry => waiting = held,
            Asks::Waiting(_) => return Err(missing()),
            Asks::Organizer(organizer) => {
                by_organizer = true;
                let own = view.look(|live| {
                    let known = live.line.standing(ticket).is_some();
                    known && live.facts().is_some_and(|facts| facts.organizer == organizer)
                });
                if !own {
                    return Err(missing());
                }
            }
            Asks::User(user) => {
                let find = Command::Find { person: Person::User(user), ticket };
                shop.engine.queue(queue, find).await.map_err(|failure| match failure {
                    Failure::Rejected { rejection: Rejection::UnknownQueue | Rejection::UnknownEntry, .. } => missing(),
                    failure => failure.into(),
                })?;
            }
            Asks::Token(_) => {}
        }
        Ok(Known { view, ticket, waiting, by_organizer })
    }
}
