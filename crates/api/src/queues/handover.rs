//! Taking one's place to another device, by a code that counts once.
//!
//! Codes are kept in memory, for minutes: after a restart people ask for another.

use crate::Api;
use crate::kit::body::{Body, OptionalBody};
use crate::kit::error::Problem;
use crate::kit::extract::Id;
use crate::kit::reply::Reply;
use crate::kit::time::Time;
use crate::queues::entries::Joined;
use crate::queues::entry_access::EntryCaller;
use crate::route::{Route, routes};
use actix_web::http::header::CACHE_CONTROL;
use actix_web::{HttpResponse, web};
use base::id::{EntryId, Millis, QueueId};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use qrcodegen::{QrCode, QrCodeEcc};
use rustc_hash::FxHashMap;
use security::secrets::random_bytes;
use security::secrets::waiting::Waiting;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use utoipa::ToSchema;

/// How long a code counts, ms.
const CODE_TTL_MS: Millis = 300_000;
/// Codes that count at a time. Of more, those whose time is over are forgotten.
const CODES_MAX: usize = 65_536;
/// Characters of a page's address.
const PAGE_URL_CHARS_MAX: usize = 500;

/// The codes of now, by entry: a new one takes the place of the one before.
#[derive(Default)]
pub struct Handovers(Mutex<FxHashMap<EntryId, Code>>);

struct Code {
    text: String,
    waiting: Waiting,
    until_ms: Millis,
    taken: bool,
}

/// What the code is for.
#[derive(Deserialize, Default, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = HandoverRequest)]
pub struct NewHandover {
    /// The address of the page that takes codes behind `#m=`: then the answer has the link and its QR code.
    #[schema(max_length = 500, examples("https://queue.example.com/q/1f1fa4ec-025f-8df7-8ec3-179ccb35c2a9"))]
    page_url: Option<String>,
}

/// A code that takes a place to another device.
#[derive(Serialize, ToSchema)]
pub struct Handover {
    /// For `POST /v1/queues/{id}/handover`. It counts once.
    code: String,
    expires_at: Time,
    /// Somebody has come with it: the place is elsewhere now.
    taken: bool,
    /// `page_url#m=code`.
    link: Option<String>,
    qr: Option<Qr>,
}

/// A QR code of the link.
#[derive(Serialize, ToSchema)]
#[schema(as = HandoverQr)]
pub struct Qr {
    /// Modules of a side, without the four of quiet zone that belong around it.
    size: i32,
    /// The dark modules as the `d` of an SVG path, one unit each.
    path: String,
}

/// Who takes the place.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = HandoverCode)]
pub struct Take {
    code: String,
}

pub fn routes() -> Vec<Route> {
    routes![create, read, take]
}

/// Make a code for another device
///
/// Good for 5 minutes and once; one made before is good no more. Whoever has it has the place: show it to the person alone.
#[utoipa::path(
    post, path = "/v1/queues/{id}/entries/{entry}/handover", tag = "queues", operation_id = "create_handover",
    request_body = Option<NewHandover>, security(("user" = []), ("waiting" = [])),
    params(("id" = Uuid, Path), ("entry" = Uuid, Path)),
    responses(
        (status = 200, description = "The code", body = Handover),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn create(
    api: web::Data<Api>,
    here: EntryCaller,
    body: OptionalBody<NewHandover>,
) -> Result<HttpResponse, Problem> {
    let page_url = body.0.unwrap_or_default().page_url.map(checked).transpose()?;
    let handle = api.handle()?;
    let here = here.own(handle).await?;
    let random = URL_SAFE_NO_PAD.encode(random_bytes::<18>());
    let text = format!("{}.{random}", here.waiting.entry);
    let link = page_url.map(|page| format!("{page}#m={text}"));
    let until_ms = handle.clock.now() + CODE_TTL_MS;
    let code = Code { text: text.clone(), waiting: here.waiting, until_ms, taken: false };
    api.state::<Handovers>()?.keep(code, handle.clock.now())?;
    let qr = link.as_deref().map(Qr::of).transpose()?;
    let handover = Handover { code: text, expires_at: Time(until_ms), taken: false, link, qr };
    Ok(Reply::ok().header(CACHE_CONTROL, "no-store").json(&handover))
}

/// Look whether a code was used
#[utoipa::path(
    get, path = "/v1/queues/{id}/entries/{entry}/handover", tag = "queues", operation_id = "read_handover",
    security(("user" = []), ("waiting" = [])), params(("id" = Uuid, Path), ("entry" = Uuid, Path)),
    responses(
        (status = 200, description = "The entry's last code", body = Handover),
        (status = 404, description = "`not-found`: there is none, or its time is over", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn read(api: web::Data<Api>, here: EntryCaller) -> Result<HttpResponse, Problem> {
    let here = here.own(api.handle()?).await?;
    let now = api.handle()?.clock.now();
    let codes = api.state::<Handovers>()?.codes();
    let code = codes.get(&here.waiting.entry).filter(|code| now < code.until_ms);
    let code = code.ok_or_else(|| Problem::not_found("code"))?;
    let (text, expires_at, taken) = (code.text.clone(), Time(code.until_ms), code.taken);
    let handover = Handover { code: text, expires_at, taken, link: None, qr: None };
    Ok(Reply::ok().header(CACHE_CONTROL, "no-store").json(&handover))
}

/// Take a place with a code
///
/// The answer is as of joining. The place is the same one: the device that made the code should forget it.
#[utoipa::path(
    post, path = "/v1/queues/{id}/handover", tag = "queues", operation_id = "take_handover", request_body = Take,
    params(("id" = Uuid, Path)),
    responses(
        (status = 200, description = "The place is yours", body = Joined),
        (status = 404, description = "`not-found`: no such code, or it was used, or its time is over", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn take(api: web::Data<Api>, id: Id<QueueId>, body: Body<Take>) -> Result<HttpResponse, Problem> {
    let handle = api.handle()?;
    let view = handle.engine.views().queues().get(id.0).ok_or_else(|| Problem::no_such("queue"))?;
    let taken = api.state::<Handovers>()?.take(&body.0.code, id.0, handle.clock.now());
    let waiting = taken.ok_or_else(|| Problem::no_such("code: it was used, or its time is over; ask for another"))?;
    Ok(Reply::ok().header(CACHE_CONTROL, "no-store").json(&Joined::of(&api, &view, waiting)?))
}

impl Handovers {
    fn keep(&self, code: Code, now: Millis) -> Result<(), Problem> {
        let mut codes = self.codes();
        if codes.len() >= CODES_MAX && !codes.contains_key(&code.waiting.entry) {
            codes.retain(|_, code| now < code.until_ms);
            if codes.len() >= CODES_MAX {
                return Err(Problem::overloaded());
            }
        }
        codes.insert(code.waiting.entry, code);
        Ok(())
    }

    /// Once.
    fn take(&self, text: &str, queue: QueueId, now: Millis) -> Option<Waiting> {
        let entry: EntryId = text.split('.').next()?.parse().ok()?;
        let mut codes = self.codes();
        let code = codes.get_mut(&entry).filter(|code| !code.taken && now < code.until_ms)?;
        // By their hashes: how long that takes says nothing about the code.
        let same = blake3::hash(code.text.as_bytes()) == blake3::hash(text.as_bytes());
        (same && entry.queue() == queue).then(|| {
            code.taken = true;
            code.waiting
        })
    }

    fn codes(&self) -> MutexGuard<'_, FxHashMap<EntryId, Code>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An address that a code can stand behind.
fn checked(url: String) -> Result<String, Problem> {
    let scheme = url.starts_with("https://") || url.starts_with("http://");
    let plain = url.len() <= PAGE_URL_CHARS_MAX && url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    match scheme && plain {
        true => Ok(url),
        false => {
            let reason = format!("must be an http or https URL of at most {PAGE_URL_CHARS_MAX} characters without #");
            Err(Problem::invalid("page_url", reason))
        }
    }
}

impl Qr {
    fn of(link: &str) -> Result<Qr, Problem> {
        let code = QrCode::encode_text(link, QrCodeEcc::Low);
        let code = code.map_err(|_| Problem::invalid("page_url", "is too long for a QR code"))?;
        let size = code.size();
        let mut path = String::new();
        for y in 0..size {
            let mut x = 0;
            while x < size {
                let dark = (x..size).take_while(|x| code.get_module(*x, y)).count() as i32;
                if dark > 0 {
                    write!(path, "M{x},{y}h{dark}v1h-{dark}z").expect("a String takes every character");
                }
                x += dark.max(1);
            }
        }
        Ok(Qr { size, path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_counts_once_and_not_for_ever() {
        let handovers = Handovers::default();
        let queue = QueueId::from_random(5);
        let code = |ticket: u32, random: &str| {
            let entry = EntryId::of(queue, ticket);
            let waiting = Waiting { entry, redirect: 3 };
            Code { text: format!("{entry}.{random}"), waiting, until_ms: 100, taken: false }
        };
        let text = |ticket: u32, random: &str| code(ticket, random).text;
        handovers.keep(code(1, "old"), 0).unwrap();
        handovers.keep(code(1, "new"), 0).unwrap();
        handovers.keep(code(2, "late"), 0).unwrap();
        let table = [
            (text(1, "old"), queue, 50, false),
            (text(1, "new"), QueueId::from_random(6), 50, false),
            (text(1, "new"), queue, 100, false),
            (text(3, "new"), queue, 50, false),
            ("".into(), queue, 50, false),
            (text(1, "new"), queue, 99, true),
            (text(1, "new"), queue, 99, false),
            (text(2, "late"), queue, 100, false),
        ];
        for (text, queue, now, taken) in table {
            assert_eq!(handovers.take(&text, queue, now).is_some(), taken, "{text} at {now}");
        }
    }

    #[test]
    fn codes_are_bounded() {
        let handovers = Handovers::default();
        let code = |ticket: u32, until_ms| {
            let waiting = Waiting { entry: EntryId::of(QueueId::from_random(5), ticket), redirect: 0 };
            Code { text: String::new(), waiting, until_ms, taken: false }
        };
        for ticket in 1..=CODES_MAX as u32 {
            handovers.keep(code(ticket, 100), 0).unwrap();
        }
        assert!(handovers.keep(code(CODES_MAX as u32 + 1, 100), 99).is_err());
        handovers.keep(code(1, 300), 99).unwrap();
        handovers.keep(code(CODES_MAX as u32 + 1, 300), 100).unwrap();
        assert_eq!(handovers.codes().len(), 2);
    }

    #[test]
    fn a_qr_code_is_a_path() {
        let Qr { size, path } = Qr::of("https://queue.example.com/q/x#m=y").unwrap();
        assert_eq!((size - 17) % 4, 0);
        // The corner that readers look for.
        assert!(path.starts_with("M0,0h7v1h-7z"), "{path}");
        assert!(Qr::of(&"x".repeat(3_000)).is_err());
    }
}
