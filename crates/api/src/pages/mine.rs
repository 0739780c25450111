//! `GET /q/{queue}/mine`: somebody's place, for browsers without scripts. It looks again by itself when it is told to.

use super::forms::entry_of;
use super::html::escaped;
use super::queue::Queue;
use super::scriptless::{Page, place, refused};
use super::words::Language;
use crate::Api;
use crate::kit::error::Problem;
use crate::queues::entries::Entry;
use crate::queues::stock::{Prices, StockShown};
use crate::route::Route;
use actix_web::http::header::{HeaderName, LOCATION, VARY};
use actix_web::{HttpRequest, HttpResponse, web};
use domain::queue::State;
use std::fmt::Write;
use utoipa::openapi::path::HttpMethod;

const REFRESH: HeaderName = HeaderName::from_static("refresh");
/// So few people, or so little time, is near; as the script has it.
const NEAR_PEOPLE: u32 = 200;
const NEAR_S: u64 = 60;

pub fn routes() -> Vec<Route> {
    vec![Route::undocumented(HttpMethod::Get, "/q/{id}/mine", mine)]
}

async fn mine(api: web::Data<Api>, request: HttpRequest, id: web::Path<String>) -> HttpResponse {
    shown(&api, &request, &id).unwrap_or_else(|problem| refused(&request, &problem))
}

fn shown(api: &Api, request: &HttpRequest, id: &str) -> Result<HttpResponse, Problem> {
    let queue = Queue::named(api, id)?;
    let Some(waiting) = place(api, request, &queue)? else {
        return Ok(HttpResponse::SeeOther().insert_header((LOCATION, queue.path())).finish());
    };
    let entry = entry_of(api, &queue, waiting)?;
    let language = Language::of(request.headers());
    let handle = api.handle()?;
    let stock = StockShown::behind(handle, queue.id, &queue.look, handle.clock.now());
    let stage = stage_of(&entry, &stock);
    let title = queue.say(language, &format!("{stage}_title"), &[]);
    let body = body(language, &queue, (&entry, &stock), stage);
    let mut answer = HttpResponse::Ok();
    answer.insert_header((VARY, "Accept-Language, Cookie"));
    if looks_again(stage) {
        answer.insert_header((REFRESH, entry.poll_after_ms.div_ceil(1_000).to_string()));
    }
    let page = Page { language, queue: Some(&queue), stage, title: &title, body: &body };
    Ok(page.answer(answer, &queue.policy()))
}

/// What is shown, as the script has it.
fn stage_of(entry: &Entry, stock: &StockShown) -> &'static str {
    match (entry.state, entry.queue_state) {
        ("admitted", _) => "turn",
        ("active", _) => "inside",
        ("finished", _) => "done",
        ("expired", _) => "missed",
        ("left", _) => "left",
        ("blocked", _) => "blocked",
        (_, State::Paused) => "paused",
        (_, State::Closed) => "closed",
        _ if stock.is_sold_out => "sold_out",
        _ if entry.opens_at.is_some() => "before",
        _ => match (entry.rank, &entry.eta) {
            (None, _) => "before",
            (Some(rank), _) if rank < NEAR_PEOPLE => "near",
            (_, Some(eta)) if eta.latest_s < NEAR_S => "near",
            _ => "waiting",
        },
    }
}

fn looks_again(stage: &str) -> bool {
    !["done", "missed", "left", "closed"].contains(&stage)
}

fn body(language: &Language, queue: &Queue, (entry, stock): (&Entry, &StockShown), stage: &str) -> String {
    let say = |word: &str| language.say(word, &[]);
    let ends = entry.session_expires_at.map_or(String::new(), |at| at.to_string());
    let mut html =
        format!("<p class=\"lead\">{}</p>", queue.say(language, &format!("{stage}_lead"), &[("time", &clock(&ends))]));
    let mut put = |text: String| html.push_str(&text);
    if let Some(notice) = &queue.notice {
        put(format!("<p class=\"notice\">{}</p>", escaped(notice)));
    }
    if let (Some(rank), "waiting" | "near" | "paused") = (entry.rank, stage) {
        let unit = if rank == 1 { "waiting_unit_one" } else { "waiting_unit" };
        put(format!(
            "<div class=\"figure\"><p class=\"number\">{}</p><p class=\"unit\">{}</p></div>",
            grouped(rank),
            say(unit)
        ));
    }
    if stage == "turn" {
        put(form(queue, "go", "main", &say("go")));
    }
    if stage == "blocked" {
        put(format!("<p class=\"code\">{}\n{}</p>", say("blocked_code"), entry.entry_id));
    }
    let rows = facts(language, entry, stock, stage);
    if !rows.is_empty() {
        put(format!("<dl>{rows}</dl>"));
    }
    let mut actions = String::new();
    if ["missed", "left", "done"].contains(&stage) {
        actions.push_str(&form(queue, "join", "main", &say("again")));
    }
    if looks_again(stage) {
        let path = queue.path();
        let _ = write!(actions, "<a class=\"quiet\" href=\"{path}/mine\">{}</a>", say("refresh"));
    }
    if stage == "before" {
        let _ = write!(actions, "<a class=\"quiet\" href=\"{}/opening.ics\">{}</a>", queue.path(), say("calendar"));
    }
    if ["before", "waiting", "near", "paused", "sold_out", "turn"].contains(&stage) {
        actions.push_str(&form(queue, "leave", "small", &say("leave")));
    }
    html + &format!("<div class=\"actions\">{actions}</div>")
}

fn facts(language: &Language, entry: &Entry, stock: &StockShown, stage: &str) -> String {
    let mut rows: Vec<(&str, String)> = Vec::new();
    let in_line = ["waiting", "near", "paused", "sold_out"].contains(&stage);
    if let Some(opens_at) = entry.opens_at.filter(|_| stage == "before") {
        rows.push(("before_at", format!("{} UTC", clock(&opens_at.to_string()))));
    }
    if in_line && !["paused", "sold_out"].contains(&stage) {
        rows.push((
            "eta",
            match &entry.eta {
                None => language.say("eta_unknown", &[]),
                Some(eta) if eta.latest_s.div_ceil(60) <= 1 => language.say("eta_soon", &[]),
                Some(eta) => {
                    let [from, to] = [(eta.earliest_s / 60).max(1), eta.latest_s.div_ceil(60)].map(|n| n.to_string());
                    language.say("eta_range", &[("from", &from), ("to", &to)])
                }
            },
        ));
    }
    if in_line || stage == "before" {
        rows.push(("all", grouped(entry.waiting)));
        rows.push(("number", grouped(entry.ticket)));
        rows.extend(stock.prices.map(|prices| ("prices", price_range(language, prices))));
        let left = stock.seats_left.filter(|_| stage != "sold_out");
        rows.extend(left.map(|left| ("seats_left", grouped(left))));
    }
    rows.iter()
        .map(|(term, value)| format!("<div><dt>{}</dt><dd>{value}</dd></div>", language.say(term, &[])))
        .collect()
}

fn price_range(language: &Language, Prices { from, to }: Prices) -> String {
    let [from, to] = [from, to].map(grouped);
    let word = if from == to { "price" } else { "price_range" };
    language.say(word, &[("from", &from), ("to", &to)])
}

fn form(queue: &Queue, action: &str, class: &str, label: &str) -> String {
    format!(
        "<form method=\"post\" action=\"{}/{action}\"><button class=\"{class}\">{label}</button></form>",
        queue.path()
    )
}

/// `2026-11-21T10:00:00.000Z` to the minute.
fn clock(rfc3339: &str) -> String {
    rfc3339.get(..16).unwrap_or_default().replace('T', " ")
}

/// `1,234,567`.
fn grouped(number: impl Into<u64>) -> String {
    let digits = number.into().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0_u32, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(clock("2026-11-21T10:00:00.000Z"), "2026-11-21 10:00");
    }
}
