//! `GET /`: what runs here, for people. Nothing that is not public anyway.

use super::assets::ASSETS;
use super::html::{self, filled};
use crate::Api;
use crate::kit::error::{Kind, Problem};
use crate::route::Route;
use actix_web::http::header::{ACCEPT, HeaderMap, VARY};
use actix_web::{HttpRequest, HttpResponse, web};
use utoipa::openapi::path::HttpMethod;

const TEMPLATE: &str = include_str!("../../pages/home.html");
const SHARED: &str = "public, max-age=10";

pub fn routes() -> Vec<Route> {
    vec![Route::undocumented(HttpMethod::Get, "/", home).open_always()]
}

async fn home(api: web::Data<Api>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    if !wants_html(request.headers()) {
        // What programs always got.
        return Err(Problem::new(Kind::NotFound, "There is no such path; see /openapi.json."));
    }
    let page = filled(
        TEMPLATE,
        &[
            ("version", env!("CARGO_PKG_VERSION")),
            ("links", &api.featured.html()),
            ("css", &ASSETS.style.hash),
            ("icon", &ASSETS.icon.hash),
        ],
    );
    let mut answer = HttpResponse::Ok();
    answer.insert_header((VARY, "Accept"));
    Ok(html::page(answer, &html::policy(&[], &[]), SHARED, page))
}

/// Browsers name it; `*/*` alone is a program.
fn wants_html(headers: &HeaderMap) -> bool {
    let mut lists = headers.get_all(ACCEPT).filter_map(|list| list.to_str().ok());
    lists.any(|list| list.split(',').any(|range| range.split(';').next().unwrap_or_default().trim() == "text/html"))
}
