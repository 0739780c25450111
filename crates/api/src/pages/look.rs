//! What an organizer's page has of its own: a logo and colors, each named by the hash of its bytes.

use super::assets::FOR_EVER;
use super::document::Document;
use crate::kit::tags::content_hash;
use actix_web::http::header::{CONTENT_SECURITY_POLICY, HeaderValue};
use base::id::QueueId;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::queue::{Colors, Logo, LogoType, Look};

const NOTHING: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// What the page of a queue has of its own, each by its name.
pub fn files(look: &Look) -> Vec<(String, Document)> {
    // Should somebody open it by itself: it is a picture and does nothing.
    let harmless = |document: Document| document.with(CONTENT_SECURITY_POLICY, NOTHING);
    let logo = look.logo.as_ref().map(|logo| {
        let bytes = STANDARD.decode(&logo.data).expect("it was encoded here");
        (name_of(logo), harmless(Document::whole(media_type(logo.media_type), FOR_EVER, bytes.into())))
    });
    let style = style(look)
        .map(|style| (style_name(&style), harmless(Document::text("text/css; charset=utf-8", FOR_EVER, style))));
    logo.into_iter().chain(style).collect()
}

/// Where the logo is.
pub fn logo_path(queue: QueueId, look: &Look) -> Option<String> {
    look.logo.as_ref().map(|logo| format!("/q/{queue}/look/{}", name_of(logo)))
}

/// Where the colors are.
pub fn style_path(queue: QueueId, look: &Look) -> Option<String> {
    style(look).map(|style| format!("/q/{queue}/look/{}", style_name(&style)))
}

fn name_of(logo: &Logo) -> String {
    let extension = match logo.media_type {
        LogoType::Png => "png",
        LogoType::Webp => "webp",
    };
    format!("{}.{extension}", content_hash(logo.data.as_bytes()))
}

fn style_name(style: &str) -> String {
    format!("{}.css", content_hash(style.as_bytes()))
}

fn media_type(logo: LogoType) -> &'static str {
    match logo {
        LogoType::Png => "image/png",
        LogoType::Webp => "image/webp",
    }
}

/// The colors as the page's styles name them; none where the page has those that it comes with.
fn style(look: &Look) -> Option<String> {
    let of = |scheme: &str, colors: &Option<Colors>| {
        colors.as_ref().map_or(String::new(), |Colors { ground, card, text, accent, on_accent }| {
            format!(
                "@media (prefers-color-scheme:{scheme}){{:root{{--ground:{ground};--card:{card};--text:{text};--muted:{text};\
                 --line:color-mix(in srgb,{text} 20%,{card});--accent:{accent};--on-accent:{on_accent}}}}}\n"
            )
        })
    };
    let style = of("light", &look.light) + &of("dark", &look.dark);
    (!style.is_empty()).then_some(style)
}
