//! `/v1/queues/{id}/page`: how a queue's page looks.

use crate::Api;
use crate::auth::Organizer;
use crate::kit::body::Body;
use crate::kit::error::Problem;
use crate::kit::extract::Id;
use crate::kit::reply::Reply;
use crate::pages::{image, look, words};
use crate::route::{Route, routes};
use actix_web::{HttpResponse, web};
use base::id::QueueId;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::queue::{self, LOGO_BYTES_MAX, Logo, Look, SetPage};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// How a queue's page is to look: all of it; what is left out is as it comes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QueuePageRequest)]
pub struct NewPage {
    logo: Option<NewLogo>,
    #[serde(default)]
    colors: Schemes,
    /// By language (`en`, `ko`), then by name: `before_title`, `before_lead`, `waiting_title`, `waiting_lead`, `near_lead`,
    /// `paused_title`, `paused_lead`, `turn_lead`, `inside_lead`, `done_lead`, `closed_lead`, `full_lead`. Plain text of at most
    /// 300 characters. `{time}` in `inside_lead` is when the session ends.
    #[serde(default)]
    texts: BTreeMap<String, BTreeMap<String, String>>,
    #[serde(default)]
    #[schema(max_items = 5)]
    links: Vec<PageLink>,
    /// Whether `…/line` and the page say how many places are left of the performances behind the queue.
    #[serde(default)]
    show_seats_left: bool,
    /// Sites that may show the page in a frame, as origins like `https://shop.example.com` (http for localhost only); nobody
    /// else may. In a frame of another site browsers keep no cookies, so the page without scripts does not work there.
    #[serde(default)]
    #[schema(max_items = 5)]
    frame_ancestors: Vec<String>,
}

/// One of the two: a new image, or the one that is there.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QueueLogoRequest)]
pub struct NewLogo {
    /// PNG or WebP in base64 (RFC 4648, section 4); at most 64 KiB and 2,048 pixels a side, which its bytes have to be.
    data: Option<String>,
    /// As the page says it now.
    url: Option<String>,
}

/// Colors for either scheme; those that the page comes with, unless given.
#[derive(Clone, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QueuePageColors)]
pub struct Schemes {
    light: Option<Colors>,
    dark: Option<Colors>,
}

/// Each like `#3b3fd1`. Texts need a contrast of 4.5 (WCAG 2.2): `text` on `ground` and on `card`, `on_accent` on `accent`;
/// `accent` needs 3 on `card`.
#[derive(Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QueuePageScheme)]
pub struct Colors {
    ground: String,
    card: String,
    text: String,
    accent: String,
    on_accent: String,
}

/// Somewhere else to go.
#[derive(Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = QueuePageLink)]
pub struct PageLink {
    #[schema(min_length = 1, max_length = 60)]
    label: String,
    /// https.
    #[schema(max_length = 1_000)]
    url: String,
}

/// How a queue's page looks.
#[derive(Serialize, ToSchema)]
#[schema(as = QueuePage)]
pub struct Page {
    logo: Option<PageLogo>,
    colors: Schemes,
    texts: BTreeMap<String, BTreeMap<String, String>>,
    links: Vec<PageLink>,
    show_seats_left: bool,
    frame_ancestors: Vec<String>,
}

/// Where the logo is.
#[derive(Serialize, ToSchema)]
#[schema(as = QueueLogo)]
pub struct PageLogo {
    url: String,
}

pub fn routes() -> Vec<Route> {
    routes![read, set]
}

/// Read how a queue's page looks
#[utoipa::path(
    get, path = "/v1/queues/{id}/page", tag = "queues", operation_id = "read_queue_page", params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The look; all null, false or empty where nobody has set one", body = Page),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn read(api: web::Data<Api>, id: Id<QueueId>) -> Result<HttpResponse, Problem> {
    let look = look_of(&api, id.0)?;
    Ok(Reply::ok().json(&Page::of(id.0, &look)))
}

/// Set how a queue's page looks
///
/// All of it at once; send what `GET` gave with what is to be otherwise. People see it within 10 s. There is no HTML and no
/// script: whoever needs more builds a page on the same routes.
#[utoipa::path(
    put, path = "/v1/queues/{id}/page", tag = "queues", operation_id = "set_queue_page", request_body = NewPage,
    security(("organizer" = [])), params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The look", body = Page, headers(("Onsale-Position" = u64))),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn set(
    api: web::Data<Api>,
    organizer: Organizer,
    id: Id<QueueId>,
    body: Body<NewPage>,
) -> Result<HttpResponse, Problem> {
    let NewPage { logo, colors: Schemes { light, dark }, texts, links, show_seats_left, frame_ancestors } = body.0;
    let known = |language: &&String| words::FILES.iter().any(|(tag, _)| tag == language);
    if let Some(unknown) = texts.keys().find(|language| !known(language)) {
        let tags: Vec<&str> = words::FILES.iter().map(|(tag, _)| *tag).collect();
        let reason = format!("must be a language of the page: {}", tags.join(", "));
        return Err(Problem::invalid(format!("texts.{unknown}"), reason));
    }
    let now = look_of(&api, id.0)?;
    let look = Look {
        logo: logo.map(|logo| logo.image(id.0, &now)).transpose()?,
        light: light.map(Colors::into),
        dark: dark.map(Colors::into),
        texts,
        links: links.into_iter().map(|PageLink { label, url }| queue::Link { label, url }).collect(),
        show_seats_left,
        frame_ancestors,
    };
    let page = Page::of(id.0, &look);
    let set = SetPage { organizer: organizer.0, look };
    let done = api.handle()?.engine.ask(id.0, set).await.map_err(Problem::unless_yours)?;
    Ok(Reply::ok().position(done.position).json(&page))
}

/// As everybody sees it.
fn look_of(api: &Api, id: QueueId) -> Result<Arc<Look>, Problem> {
    let view = api.handle()?.engine.views().queues().get(id);
    let look = view.and_then(|view| view.look(|live| Some(live.facts()?.look.clone())));
    look.ok_or_else(|| Problem::no_such("queue"))
}

impl NewLogo {
    fn image(self, id: QueueId, now: &Look) -> Result<Logo, Problem> {
        match (self.data, self.url) {
            (Some(data), None) => {
                let bytes = STANDARD.decode(data).map_err(|_| Problem::invalid("logo.data", "must be base64"))?;
                if bytes.len() > LOGO_BYTES_MAX {
                    return Err(Problem::invalid("logo.data", format!("must have at most {LOGO_BYTES_MAX} bytes")));
                }
                let what = "must be one whole PNG or WebP image of at most 2,048 pixels a side";
                let media_type = image::kind(&bytes).ok_or_else(|| Problem::invalid("logo.data", what))?;
                Ok(Logo { media_type, data: STANDARD.encode(bytes) })
            }
            (None, Some(url)) => {
                let kept = now.logo.clone().filter(|_| look::logo_path(id, now).as_ref() == Some(&url));
                kept.ok_or_else(|| Problem::invalid("logo.url", "must be that of the logo that is there now"))
            }
            _ => Err(Problem::invalid("logo", "give data, or url to keep the logo that is there")),
        }
    }
}

impl Page {
    fn of(id: QueueId, look: &Look) -> Page {
        let colors = |colors: &Option<queue::Colors>| colors.clone().map(Colors::from);
        let link = |queue::Link { label, url }: &queue::Link| PageLink { label: label.clone(), url: url.clone() };
        Page {
            logo: look::logo_path(id, look).map(|url| PageLogo { url }),
            colors: Schemes { light: colors(&look.light), dark: colors(&look.dark) },
            texts: look.texts.clone(),
            links: look.links.iter().map(link).collect(),
            show_seats_left: look.show_seats_left,
            frame_ancestors: look.frame_ancestors.clone(),
        }
    }
}

impl From<Colors> for queue::Colors {
    fn from(Colors { ground, card, text, accent, on_accent }: Colors) -> queue::Colors {
        queue::Colors { ground, card, text, accent, on_accent }
    }
}

impl From<queue::Colors> for Colors {
    fn from(queue::Colors { ground, card, text, accent, on_accent }: queue::Colors) -> Colors {
        Colors { ground, card, text, accent, on_accent }
    }
}
