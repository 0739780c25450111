//! `GET /q/{queue}/opening.ics`: the opening as an appointment (RFC 5545).

use super::queue::Queue;
use super::scriptless::refused;
use crate::Api;
use crate::kit::error::Problem;
use crate::kit::time::Time;
use crate::route::Route;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use actix_web::{HttpRequest, HttpResponse, web};
use base::id::Millis;
use utoipa::openapi::path::HttpMethod;

/// How long an opening is in a calendar, ms.
const LENGTH_MS: Millis = 1_800_000;
/// RFC 5545, 3.1: bytes of a line.
const LINE_BYTES_MAX: usize = 75;

pub fn routes() -> Vec<Route> {
    vec![Route::undocumented(HttpMethod::Get, "/q/{id}/opening.ics", opening)]
}

async fn opening(api: web::Data<Api>, request: HttpRequest, id: web::Path<String>) -> HttpResponse {
    made(&api, &id).unwrap_or_else(|problem| refused(&request, &problem))
}

fn made(api: &Api, id: &str) -> Result<HttpResponse, Problem> {
    let queue = Queue::named(api, id)?;
    let opens_at_ms = queue.opens_at_ms;
    let (from, until) = (stamp(opens_at_ms), stamp(opens_at_ms + LENGTH_MS));
    let lines = [
        "BEGIN:VCALENDAR".to_owned(),
        "VERSION:2.0".to_owned(),
        "PRODID:-//Onsale//Queue//EN".to_owned(),
        "BEGIN:VEVENT".to_owned(),
        format!("UID:{}@onsale", queue.id),
        // The same bytes for everybody, whenever they ask.
        format!("DTSTAMP:{from}"),
        format!("DTSTART:{from}"),
        format!("DTEND:{until}"),
        format!("SUMMARY:{}", text(&queue.name)),
        "BEGIN:VALARM".to_owned(),
        "ACTION:DISPLAY".to_owned(),
        format!("DESCRIPTION:{}", text(&queue.name)),
        "TRIGGER:-PT10M".to_owned(),
        "END:VALARM".to_owned(),
        "END:VEVENT".to_owned(),
        "END:VCALENDAR".to_owned(),
    ];
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/calendar; charset=utf-8"))
        .insert_header((CONTENT_DISPOSITION, "attachment; filename=\"opening.ics\""))
        .insert_header((CACHE_CONTROL, "public, max-age=60"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(lines.iter().map(|line| folded(line)).collect::<String>()))
}

/// `20261121T100000Z`.
fn stamp(at_ms: Millis) -> String {
    let text = Time(at_ms).to_string();
    let digits: String = text.chars().take(19).filter(|c| !['-', ':'].contains(c)).collect();
    digits + "Z"
}

/// RFC 5545, 3.3.11.
fn text(text: &str) -> String {
    text.replace('\\', "\\\\").replace(';', "\\;").replace(',', "\\,").replace(['\n', '\r'], " ")
}

/// A line, broken where it is too long; never within a character.
fn folded(line: &str) -> String {
    let mut out = String::with_capacity(line.len() + 8);
    let mut bytes = 0;
    for c in line.chars() {
        if bytes + c.len_utf8() > LINE_BYTES_MAX {
            out.push_str("\r\n ");
            bytes = 1;
        }
        out.push(c);
        bytes += c.len_utf8();
    }
    out + "\r\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_appointment_is_as_rfc_5545_wants_it() {
        assert_eq!(stamp(1_000_000_000_123), "20010909T014640Z");
        assert_eq!(text("a;b,c\\d\ne"), "a\\;b\\,c\\\\d e");
        let long = folded(&format!("SUMMARY:{}", "가".repeat(60)));
        assert!(long.lines().count() == 3 && long.split("\r\n").all(|line| line.len() <= LINE_BYTES_MAX), "{long}");
        assert_eq!(long.replace("\r\n ", ""), format!("SUMMARY:{}\r\n", "가".repeat(60)));
    }
}
