//! HTML: templates with names in braces, and the headers of every page.

use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{HttpResponse, HttpResponseBuilder};

pub const MEDIA_TYPE: &str = "text/html; charset=utf-8";
/// Not `no-referrer`: then browsers would not say either from where a form was sent.
pub const REFERRERS: HeaderValue = HeaderValue::from_static("same-origin");
/// For what is one person's.
pub const PRIVATE: &str = "no-store";

/// Text as it may stand in an element or in an attribute within double quotes.
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(c),
        }
    }
    safe
}

/// A template with its names in braces filled in, in one pass: what is filled in is not looked at again. Names that are not
/// given stay as they are.
pub fn filled(template: &str, values: &[(&str, &str)]) -> String {
    let mut page = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some((before, from)) = rest.split_once('{') {
        page.push_str(before);
        let known = from.split_once('}').and_then(|(name, after)| {
            let (_, value) = values.iter().find(|(known, _)| *known == name)?;
            Some((*value, after))
        });
        rest = match known {
            Some((value, after)) => {
                page.push_str(value);
                after
            }
            None => {
                page.push('{');
                from
            }
        };
    }
    page + rest
}

/// What a page may do: run and ask what is of this server, send forms here and to `form_origins`, and be framed by
/// `frame_ancestors` alone.
pub fn policy(form_origins: &[String], frame_ancestors: &[String]) -> String {
    let origins: String = form_origins.iter().map(|origin| format!(" {origin}")).collect();
    let frames = if frame_ancestors.is_empty() { "'none'".into() } else { frame_ancestors.join(" ") };
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
         form-action 'self'{origins}; frame-ancestors {frames}"
    )
}

/// The origins of URLs, each once.
pub fn origins(urls: &[String]) -> Vec<String> {
    let mut origins: Vec<String> = Vec::new();
    for url in urls {
        let Some((scheme, rest)) = url.split_once("://") else { continue };
        let origin = format!("{scheme}://{}", rest.split(['/', '?']).next().unwrap_or_default());
        if !origins.contains(&origin) {
            origins.push(origin);
        }
    }
    origins
}

/// A page's answer, with the headers that all of them have.
pub fn page(mut answer: HttpResponseBuilder, policy: &str, cached: &'static str, html: String) -> HttpResponse {
    answer
        .insert_header((CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE)))
        .insert_header((CACHE_CONTROL, HeaderValue::from_static(cached)))
        .insert_header((CONTENT_SECURITY_POLICY, policy))
        .insert_header((X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")))
        .insert_header((REFERRER_POLICY, REFERRERS))
        .body(html)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_filled_in_stays_what_it_is() {
        let table = [("a {x} b", "a {y} b"), ("{x}{x}", "{y}{y}"), ("{ {x", "{ {x"), ("{z} }", "{z} }")];
        for (template, page) in table {
            assert_eq!(filled(template, &[("x", "{y}"), ("y", "no")]), page, "{template}");
        }
    }

    #[test]
    fn text_is_no_markup() {
        assert_eq!(escaped("<b a=\"'\">&amp;"), "&lt;b a=&quot;&#39;&quot;&gt;&amp;amp;");
    }

    #[test]
    fn forms_go_to_the_origins_of_the_queue() {
        let urls = ["https://a.example/x?y", "https://a.example", "http://localhost:3000?z"].map(str::to_owned);
        assert_eq!(origins(&urls), ["https://a.example", "http://localhost:3000"]);
        let policy = policy(&origins(&urls), &["https://b.example".into(), "https://c.example:8443".into()]);
        assert!(policy.contains("form-action 'self' https://a.example http://localhost:3000;"), "{policy}");
        assert!(policy.ends_with("; frame-ancestors https://b.example https://c.example:8443"), "{policy}");
    }
}
