//! `/q/assets/{hash}.{js,css,svg}`: what pages are made of, each by the hash of its bytes, so that it may be kept for ever.
//!
//! The script is written as modules and sent as one: the imports between them are left out, as all of them are there.

use super::document::Document;
use super::words;
use crate::kit::error::Problem;
use crate::kit::tags::content_hash;
use crate::route::Route;
use actix_web::{HttpRequest, HttpResponse, web};
use std::fmt::Write as _;
use std::sync::LazyLock;
use utoipa::openapi::path::HttpMethod;

pub const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// Each uses only those before it.
const MODULES: &[&str] = &[
    include_str!("../../pages/clock.js"),
    include_str!("../../pages/keep.js"),
    include_str!("../../pages/server.js"),
    include_str!("../../pages/rank.js"),
    include_str!("../../pages/line.js"),
    include_str!("../../pages/stage.js"),
    include_str!("../../pages/words.js"),
    include_str!("../../pages/alerts.js"),
    include_str!("../../pages/view.js"),
    include_str!("../../pages/queue.js"),
];

/// What pages name.
pub static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets {
    script: Asset::new("js", "text/javascript; charset=utf-8", script()),
    style: Asset::new("css", "text/css; charset=utf-8", include_str!("../../pages/queue.css").into()),
    icon: Asset::new("svg", "image/svg+xml", include_str!("../../pages/icon.svg").into()),
});

pub struct Assets {
    pub script: Asset,
    pub style: Asset,
    pub icon: Asset,
}

/// A file.
pub struct Asset {
    pub hash: String,
    name: String,
    document: Document,
}

impl Asset {
    fn new(extension: &str, media_type: &'static str, text: String) -> Asset {
        let hash = content_hash(text.as_bytes());
        Asset { name: format!("{hash}.{extension}"), hash, document: Document::text(media_type, FOR_EVER, text) }
    }
}

pub fn routes() -> Vec<Route> {
    vec![Route::undocumented(HttpMethod::Get, "/q/assets/{file}", asset).open_always()]
}

async fn asset(request: HttpRequest, file: web::Path<String>) -> Result<HttpResponse, Problem> {
    let Assets { script, style, icon } = &*ASSETS;
    let found = [script, style, icon].into_iter().find(|asset| asset.name == *file);
    // Of another version of the server, most likely: the page is newer in a moment.
    let asset = found.ok_or_else(|| Problem::no_such("asset"))?;
    Ok(asset.document.answer(&request))
}

/// The texts, then the modules.
fn script() -> String {
    let mut script = String::from("const LANGUAGES={");
    for (tag, file) in words::FILES {
        let texts: serde_json::Value = serde_json::from_str(file).expect("a file of words is JSON");
        write!(script, "{tag}:{texts},").expect("a String takes every character");
    }
    script.push_str("}\n");
    let kept = MODULES.iter().flat_map(|module| module.lines()).filter(|line| is_sent(line.trim()));
    for line in kept {
        let line = line.trim();
        script.push_str(line.strip_prefix("export ").unwrap_or(line));
        script.push('\n');
    }
    script
}

/// Neither an import nor a comment that has its line for itself.
fn is_sent(line: &str) -> bool {
    let comment = line.starts_with("//") || line.starts_with("* ") || line == "*" || line == "*/";
    let type_only = line.starts_with("/**") && (line.ends_with("*/") || !line.contains("*/"));
    !(line.is_empty() || line.starts_with("import ") || comment || type_only)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_stands_by_itself() {
        let script = script();
        for line in script.lines() {
            assert!(!line.starts_with("import") && !line.starts_with("export") && !line.contains("@param"), "{line}");
        }
        // What an import of several lines would leave.
        assert!(!script.contains("} from '"), "imports stand on one line");
        assert!(script.starts_with("const LANGUAGES={en:{"));
    }

    /// pages.md: script at most 14 KB, styles at most 5 KB, as they are sent.
    #[test]
    fn they_are_small() {
        for (asset, bytes_max) in [(&ASSETS.script, 14_000), (&ASSETS.style, 5_000), (&ASSETS.icon, 1_000)] {
            let bytes = asset.document.sent_bytes();
            assert!(bytes <= bytes_max, "{}: {bytes}", asset.name);
        }
    }
}
