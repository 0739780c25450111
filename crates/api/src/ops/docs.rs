//! `GET /docs`: the API in a browser. The page and its scripts are in the binary: nothing comes from elsewhere.

use crate::kit::error::{Kind, Problem};
use crate::kit::reply::not_modified;
use crate::route::{Route, routes};
use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{HttpRequest, HttpResponse, web};
use std::sync::{Arc, LazyLock};
use utoipa_swagger_ui::Config;

/// The page runs its own scripts and asks this server, nobody else. Swagger UI writes styles into its elements.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      font-src 'self' data:; connect-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'";

static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    let config = Config::new([super::openapi::PATH]).try_it_out_enabled(true);
    // The validator's badge would ask a server elsewhere; models below the operations repeat what stands in them.
    Arc::new(config.validator_url("none").default_models_expand_depth(-1).filter(true))
});

pub fn routes() -> Vec<Route> {
    routes![page.open_always().slash_or_not(), part.open_always()]
}

/// The API in a browser
#[utoipa::path(
    get, path = "/docs", tag = "health", operation_id = "docs",
    responses((status = 200, description = "A page that shows this document", body = String, content_type = "text/html"))
)]
pub async fn page(request: HttpRequest) -> Result<HttpResponse, Problem> {
    show(&request, "index.html")
}

/// Scripts and styles of the page
#[utoipa::path(
    get, path = "/docs/{file}", tag = "health", operation_id = "docs_file",
    params(("file" = String, Path, description = "As the page names it")),
    responses(
        (status = 200, description = "The file", content_type = "*/*"),
        (status = 404, description = "`not-found`", body = crate::kit::error::ProblemBody),
    )
)]
pub async fn part(request: HttpRequest, file: web::Path<String>) -> Result<HttpResponse, Problem> {
    show(&request, &file)
}

fn show(request: &HttpRequest, name: &str) -> Result<HttpResponse, Problem> {
    let found = utoipa_swagger_ui::serve(name, CONFIG.clone());
    let failed = |_| Problem::new(Kind::Internal, "The page cannot be made.");
    let Some(file) = found.map_err(failed)? else {
        return Err(Problem::new(Kind::NotFound, "The page has no such part; start at /docs."));
    };
    let mut bytes = file.bytes.into_owned();
    if name == "index.html" {
        // So that its parts are found from /docs, too.
        let page = String::from_utf8_lossy(&bytes).replacen("<head>", "<head>\n    <base href=\"/docs/\">", 1);
        bytes = page.replace("<title>Swagger UI</title>", "<title>Onsale API</title>").into_bytes();
    }
    let etag = format!("\"{}\"", crate::kit::tags::content_hash(&bytes));
    let etag = HeaderValue::from_str(&etag).expect("hexadecimal digits and quotes");
    if let Some(unchanged) = not_modified(request, &etag) {
        return Ok(unchanged);
    }
    Ok(HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, file.content_type))
        .insert_header((ETAG, etag))
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((REFERRER_POLICY, "no-referrer"))
        .body(bytes))
}
