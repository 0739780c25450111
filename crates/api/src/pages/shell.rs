//! `GET /q/{queue}`: the queue's page. Nothing in it is of the person who asks, and no header changes it.

use super::assets::{ASSETS, Assets};
use super::document::Document;
use super::html::{self, escaped, filled};
use super::look;
use super::queue::Queue;
use super::scriptless::{self, brand, links, refused};
use super::words::Language;
use crate::Api;
use crate::kit::error::{Kind, Problem};
use crate::route::Route;
use actix_web::http::header::{CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY};
use actix_web::{HttpRequest, HttpResponse, web};
use base::id::QueueId;
use domain::queue::{Facts, Look};
use rustc_hash::FxHashMap;
use std::sync::{Arc, PoisonError, RwLock};
use utoipa::openapi::path::HttpMethod;

/// A change of the queue's name is seen within seconds; should the server be away, whatever stands before it may go on.
const SHARED: &str = "public, max-age=10, stale-while-revalidate=60, stale-if-error=86400";

const TEMPLATE: &str = include_str!("../../pages/queue.html");

/// Queues whose pages are kept; each has about 100 KB at most.
const KEPT_MAX: usize = 256;

/// Pages as they are sent, by queue: each is made once, and again when something in it is otherwise.
#[derive(Default)]
pub struct Shells(RwLock<FxHashMap<QueueId, Arc<Shell>>>);

/// A queue's page and the files that it has of its own, and what they were made of.
struct Shell {
    name: String,
    redirect_urls: Vec<String>,
    look: Arc<Look>,
    page: Document,
    files: Vec<(String, Document)>,
}

pub fn routes() -> Vec<Route> {
    vec![
        Route::undocumented(HttpMethod::Get, "/q/{id}", shell).open_always(),
        Route::undocumented(HttpMethod::Get, "/q/{id}/look/{file}", file),
    ]
}

async fn shell(api: web::Data<Api>, request: HttpRequest, id: web::Path<String>) -> HttpResponse {
    let id = match Queue::id_of(&id) {
        Ok(id) => id,
        Err(problem) => return refused(&request, &problem),
    };
    match kept(&api, id) {
        Ok(shell) => shell.page.answer(&request),
        // While the log is read: the page is there already and tries again by itself.
        Err(problem) if problem.kind == Kind::Starting => {
            let nameless = Queue {
                id,
                name: String::new(),
                opens_at_ms: 0,
                redirect_urls: vec![],
                look: Arc::default(),
                notice: None,
            };
            html::page(HttpResponse::Ok(), &html::policy(&[], &[]), html::PRIVATE, made(&nameless))
        }
        Err(problem) => refused(&request, &problem),
    }
}

async fn file(
    api: web::Data<Api>,
    request: HttpRequest,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Problem> {
    let (id, asked) = path.into_inner();
    let shell = kept(&api, Queue::id_of(&id)?)?;
    let (_, found) = shell
        .files
        .iter()
        .find(|(name, _)| *name == asked)
        .ok_or_else(|| Problem::no_such("part of this page: it looks otherwise by now"))?;
    Ok(found.answer(&request))
}

/// A queue's page as it is to be now.
fn kept(api: &Api, id: QueueId) -> Result<Arc<Shell>, Problem> {
    let shells = api.state::<Shells>()?;
    let view = api.handle()?.engine.views().queues().get(id).ok_or_else(|| Problem::no_such("queue"))?;
    if let Some(shell) = shells.get(id, |shell| view.look(|live| live.facts().is_some_and(|facts| shell.is_of(facts))))
    {
        return Ok(shell);
    }
    // Two who ask at once make it twice; it is the same.
    let shell = Arc::new(Shell::of(Queue::find(api, id)?));
    shells.put(id, shell.clone());
    Ok(shell)
}

impl Shells {
    fn get(&self, id: QueueId, is_current: impl FnOnce(&Shell) -> bool) -> Option<Arc<Shell>> {
        let shells = self.0.read().unwrap_or_else(PoisonError::into_inner);
        shells.get(&id).filter(|shell| is_current(shell)).cloned()
    }

    fn put(&self, id: QueueId, shell: Arc<Shell>) {
        let mut shells = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if shells.len() >= KEPT_MAX && !shells.contains_key(&id) {
            // Any: where more are asked for than are kept, each is as likely to be asked for next.
            shells.keys().next().copied().map(|other| shells.remove(&other));
        }
        shells.insert(id, shell);
    }
}

impl Shell {
    fn of(queue: Queue) -> Shell {
        let policy = HeaderValue::from_str(&queue.policy()).expect("origins of URLs in plain ASCII");
        let page = Document::text(html::MEDIA_TYPE, SHARED, made(&queue))
            .with(CONTENT_SECURITY_POLICY, policy)
            .with(REFERRER_POLICY, html::REFERRERS);
        let files = look::files(&queue.look);
        Shell { name: queue.name, redirect_urls: queue.redirect_urls, look: queue.look, page, files }
    }

    /// Whether it is what would be made of these.
    fn is_of(&self, facts: &Facts) -> bool {
        let terms = &facts.terms;
        Arc::ptr_eq(&self.look, &facts.look) && self.name == terms.name && self.redirect_urls == terms.redirect_urls
    }
}

fn made(queue: &Queue) -> String {
    let Assets { script, style, icon } = &*ASSETS;
    filled(
        TEMPLATE,
        &[
            ("queue", &queue.id.to_string()),
            ("name", &escaped(&queue.name)),
            ("brand", &brand(queue)),
            ("links", &links(queue)),
            ("look", &scriptless::style(queue)),
            ("texts", &escaped(&serde_json::to_string(&queue.look.texts).expect("plain data"))),
            ("path", &queue.path()),
            ("scriptless", &way_in(queue)),
            ("js", &script.hash),
            ("css", &style.hash),
            ("icon", &icon.hash),
        ],
    )
}

/// The way in without scripts; in every language, as nobody knows whose it is.
fn way_in(queue: &Queue) -> String {
    let languages = Language::all();
    let texts: String = languages
        .iter()
        .map(|language| format!("<p class=\"lead\" lang=\"{}\">{}</p>", language.tag, language.say("scriptless", &[])))
        .collect();
    let join: Vec<String> = languages
        .iter()
        .map(|language| format!("<span lang=\"{}\">{}</span>", language.tag, language.say("join", &[])))
        .collect();
    let (name, path, join) = (escaped(&queue.name), queue.path(), join.concat());
    format!(
        "<h1>{name}</h1>{texts}<form method=\"post\" action=\"{path}/join\"><button class=\"main\">{join}</button></form>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(name: &str) -> Queue {
        Queue {
            id: QueueId::from_random(5),
            name: name.into(),
            opens_at_ms: 0,
            redirect_urls: vec!["https://a.example/".into()],
            look: Arc::default(),
            notice: None,
        }
    }

    #[test]
    fn a_name_is_text() {
        let shell = made(&queue("<script>{js}</script>"));
        assert!(!shell.contains("<script>") && shell.contains("&lt;script&gt;{js}&lt;/script&gt;"), "{shell}");
    }

    /// pages.md: at most 9 KB, as it is sent.
    #[test]
    fn it_is_small() {
        let bytes = Shell::of(queue(&"대기열".repeat(66))).page.sent_bytes();
        assert!(bytes <= 9_000, "{bytes}");
    }

    #[test]
    fn it_is_made_once_and_few_are_kept() {
        let shells = Shells::default();
        let ids: Vec<QueueId> = (0..KEPT_MAX as u64 + 50).map(QueueId::from_random).collect();
        let made = Arc::new(Shell::of(queue("Tour")));
        ids.iter().for_each(|id| shells.put(*id, made.clone()));
        assert_eq!(shells.0.read().unwrap().len(), KEPT_MAX);
        let last = ids[ids.len() - 1];
        assert!(Arc::ptr_eq(&shells.get(last, |_| true).unwrap(), &made));
        assert!(shells.get(last, |_| false).is_none(), "what is otherwise by now is not sent");
        assert!(made.page.plain().contains("Tour"));
    }
}
