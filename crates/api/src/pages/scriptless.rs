//! What pages without scripts have in common: their frame, the cookie that keeps a place, and who may send their forms.

use super::assets::ASSETS;
use super::html::{self, PRIVATE, escaped, filled};
use super::look;
use super::queue::Queue;
use super::words::Language;
use crate::Api;
use crate::kit::error::{Kind, Problem};
use actix_web::http::header::{CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use domain::queue::Link;
use security::secrets::Secrets;
use security::secrets::waiting::Waiting;

const TEMPLATE: &str = include_str!("../../pages/scriptless.html");
/// The waiting token, for the pages of one queue; scripts cannot read it, and no other route does.
const PLACE: &str = "onsale_place";
/// A place is kept for a week.
const PLACE_S: u32 = 7 * 86_400;
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// A page without scripts.
pub struct Page<'a> {
    pub language: &'static Language,
    /// Nothing where there is none.
    pub queue: Option<&'a Queue>,
    pub stage: &'a str,
    /// HTML.
    pub title: &'a str,
    /// HTML.
    pub body: &'a str,
}

impl Page<'_> {
    pub fn answer(&self, answer: HttpResponseBuilder, policy: &str) -> HttpResponse {
        let html = filled(
            TEMPLATE,
            &[
                ("lang", self.language.tag),
                ("stage", self.stage),
                ("name", &escaped(self.queue.map_or("Onsale", |queue| queue.name.as_str()))),
                ("brand", &self.queue.map_or_else(|| "Onsale".into(), brand)),
                ("links", &self.queue.map_or_else(String::new, links)),
                ("look", &self.queue.map_or_else(String::new, style)),
                ("title", self.title),
                ("body", self.body),
                ("css", &ASSETS.style.hash),
                ("icon", &ASSETS.icon.hash),
            ],
        );
        html::page(answer, policy, PRIVATE, html)
    }
}

/// What a page is headed with: the organizer's logo, or the queue's name.
pub fn brand(queue: &Queue) -> String {
    let name = escaped(&queue.name);
    match look::logo_path(queue.id, &queue.look) {
        Some(path) => format!("<img class=\"logo\" src=\"{path}\" alt=\"{name}\">"),
        None => name,
    }
}

/// The organizer's own colors, if there are any.
pub fn style(queue: &Queue) -> String {
    let path = look::style_path(queue.id, &queue.look);
    path.map_or_else(String::new, |path| format!("<link rel=\"stylesheet\" href=\"{path}\">"))
}

/// Where else to go.
pub fn links(queue: &Queue) -> String {
    let link =
        |link: &Link| format!("<a href=\"{}\" rel=\"noreferrer\">{}</a>", escaped(&link.url), escaped(&link.label));
    queue.look.links.iter().map(link).collect()
}

/// A refusal as a page, where a person and no program asked.
pub fn refused(request: &HttpRequest, problem: &Problem) -> HttpResponse {
    let language = Language::of(request.headers());
    let stage = match problem.kind {
        Kind::NotFound => "unknown",
        Kind::QueueClosed => "closed",
        Kind::QueueFull => "full",
        _ => "refused",
    };
    let lead = match stage {
        "refused" => escaped(&problem.detail),
        _ => language.say(&format!("{stage}_lead"), &[]),
    };
    let (title, body) = (language.say(&format!("{stage}_title"), &[]), format!("<p class=\"lead\">{lead}</p>"));
    let page = Page { language, queue: None, stage, title: &title, body: &body };
    let mut answer = page.answer(HttpResponse::build(problem.status()), &html::policy(&[], &[]));
    // What belongs to the status, but not the type of its usual body.
    let content_type = answer.headers().get(CONTENT_TYPE).cloned();
    problem.put_headers(answer.headers_mut());
    content_type.map(|html| answer.headers_mut().insert(CONTENT_TYPE, html));
    answer
}

/// Who keeps a place in this queue, by the cookie. One of another queue, or none of ours, is none.
pub fn place(api: &Api, request: &HttpRequest, queue: &Queue) -> Result<Option<Waiting>, Problem> {
    let secrets = api.state::<Secrets>()?;
    let found = tokens(request.headers()).find_map(|token| secrets.waiting(token));
    Ok(found.filter(|waiting| waiting.entry.queue() == queue.id))
}

fn tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lists = headers.get_all(COOKIE).filter_map(|list| list.to_str().ok());
    let pairs = lists.flat_map(|list| list.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(name, _)| *name == PLACE).map(|(_, token)| token)
}

/// Sent to the pages of this queue alone; over TLS only, where they came over TLS.
pub fn cookie(request: &HttpRequest, queue: &Queue, token: &str) -> String {
    // Browsers say where a request comes from on TLS and on this machine only.
    let origin = request.headers().get(ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"));
    let local = request.headers().get(ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"http://"));
    let secure = origin || (!local && request.headers().contains_key(SEC_FETCH_SITE));
    let secure = if secure { "; Secure" } else { "" };
    format!("{PLACE}={token}; Path={}; Max-Age={PLACE_S}; HttpOnly; SameSite=Lax{secure}", queue.path())
}

/// A form counts if it was sent from a page of this server: nobody else's page may join, leave or go in somebody's name.
pub fn check_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name| headers.get(name).map(HeaderValue::as_bytes);
    let same = match (text(&SEC_FETCH_SITE), text(&ORIGIN), text(&HOST)) {
        (Some(site), ..) => site == b"same-origin",
        (None, Some(origin), Some(host)) => {
            let authority = origin.strip_prefix(b"https://").or_else(|| origin.strip_prefix(b"http://"));
            authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
        }
        _ => false,
    };
    match same {
        true => Ok(()),
        false => Err(Problem::new(
            Kind::Forbidden,
            "This form was sent from elsewhere: open the queue's page, and send it from there. \
             Programs use POST /v1/queues/{id}/entries.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn forms_are_sent_from_here() {
        let table: &[(&[(&str, &str)], bool)] = &[
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "same-origin"), ("origin", "https://shop.example"), ("host", "q.example")], true),
            (&[("sec-fetch-site", "same-site"), ("origin", "https://q.example"), ("host", "q.example")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("origin", "https://q.example"), ("host", "q.example")], true),
            (&[("origin", "http://q.example:8080"), ("host", "Q.example:8080")], true),
            (&[("origin", "https://q.example:8080"), ("host", "q.example")], false),
            (&[("origin", "https://evil.example"), ("host", "q.example")], false),
            (&[("origin", "https://evil.example"), ("host", "q.example"), ("x-forwarded-host", "evil.example")], false),
            (&[("origin", "null"), ("host", "q.example")], false),
            (&[("host", "q.example")], false),
            (&[], false),
        ];
        for (headers, from_here) in table {
            let request = headers.iter().fold(TestRequest::default(), |request, header| request.insert_header(*header));
            assert_eq!(check_origin(request.to_http_request().headers()).is_ok(), *from_here, "{headers:?}");
        }
    }

    /// Fifty million have to join before a server says so.
    #[actix_web::test]
    async fn a_full_queue_is_a_page() {
        for (language, says) in [("en", "The queue is full"), ("ko", "대기열이 가득 찼습니다")] {
            let request = TestRequest::default().insert_header(("accept-language", language)).to_http_request();
            let answer = refused(&request, &Problem::new(Kind::QueueFull, "There is room for 50000000."));
            assert_eq!(answer.status().as_u16(), 409);
            let page = actix_web::body::to_bytes(answer.into_body()).await.unwrap();
            let page = String::from_utf8(page.to_vec()).unwrap();
            assert!(page.contains(&format!("<h1>{says}</h1>")) && page.contains("data-stage=\"full\""), "{page}");
        }
    }

    #[test]
    fn a_place_is_one_cookie_among_others() {
        let request = TestRequest::default().insert_header((COOKIE, "a=b; onsale_place=wqt_1;not_onsale_place=2; c"));
        assert_eq!(tokens(request.to_http_request().headers()).collect::<Vec<_>>(), ["wqt_1"]);
    }
}
