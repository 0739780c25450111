//! Where somebody wanted to go on the site behind the gate, as its proxy says, and the admission that the address carries.

use crate::queues::admission_token::REDIRECT_PARAMETER;
use actix_web::http::header::{HeaderMap, HeaderName};
use config::URI_BYTES_MAX;
use std::borrow::Cow;

/// What nginx is told to send, by the file in `examples/gate`.
pub const X_ORIGINAL_URI: HeaderName = HeaderName::from_static("x-original-uri");
/// What Caddy and Traefik send by themselves.
pub const X_FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
pub const X_ORIGINAL_METHOD: HeaderName = HeaderName::from_static("x-original-method");
pub const X_FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");

/// An address of the site: always on the site itself, whatever somebody wrote into it.
#[derive(Debug, PartialEq, Eq)]
pub struct Address {
    /// Path and query without an admission: where to send somebody whose admission was taken.
    pub clean: String,
    /// The admission that it carries; `None` also where it carries several, which nobody sends by mistake.
    pub admission: Option<String>,
    /// Whether it has the parameter at all.
    pub is_marked: bool,
}

impl Address {
    /// The address of the request that a proxy asks about; `None` where no proxy says one, or two do not agree.
    pub fn of(headers: &HeaderMap) -> Option<Address> {
        let mut said = headers.get_all(X_ORIGINAL_URI).chain(headers.get_all(X_FORWARDED_URI));
        let first = said.next()?;
        // A proxy sets one of the two and may pass on the other one as its client made it up.
        let is_sure = said.all(|other| other == first);
        first.to_str().ok().filter(|_| is_sure).map(Address::read)
    }

    /// Whether the proxy says that the request can be sent again at another address without loss.
    pub fn is_read_only(headers: &HeaderMap) -> bool {
        let mut said = headers.get_all(X_ORIGINAL_METHOD).chain(headers.get_all(X_FORWARDED_METHOD));
        said.all(|method| method == "GET" || method == "HEAD")
    }

    fn read(text: &str) -> Address {
        let home = Address { clean: "/".into(), admission: None, is_marked: false };
        if text.len() > URI_BYTES_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return home;
        }
        let text = text.split('#').next().unwrap_or_default();
        let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
        // `//host` and `/\host` are other sites to a browser, and so is `https://host`.
        let rooted = path.starts_with(['/', '\\']);
        let path = if rooted { path.trim_start_matches(['/', '\\']) } else { "" };
        let mut address = Address { clean: format!("/{path}"), ..home };
        let mut mark = '?';
        for pair in query.into_iter().flat_map(|query| query.split('&')) {
            let parsed = form_urlencoded::parse(pair.as_bytes()).next();
            match parsed.filter(|(name, _)| name == REDIRECT_PARAMETER) {
                Some((_, admission)) => address.mark(admission),
                None => {
                    address.clean.push(mark);
                    address.clean.push_str(pair);
                    mark = '&';
                }
            }
        }
        address
    }

    fn mark(&mut self, admission: Cow<str>) {
        self.admission = if self.is_marked { None } else { Some(admission.into_owned()) };
        self.is_marked = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    #[test]
    fn an_address_stays_on_the_site_and_loses_its_admission() {
        let table = [
            ("/", "/", None),
            ("/shop?tour=7", "/shop?tour=7", None),
            ("/shop?onsale_admission=T", "/shop", Some("T")),
            ("/shop?tour=7&onsale_admission=T", "/shop?tour=7", Some("T")),
            ("/shop?onsale_admission=T&tour=7&x", "/shop?tour=7&x", Some("T")),
            ("/shop?%6Fnsale%5Fadmission=T%2Ea", "/shop", Some("T.a")),
            ("/shop?tour=%26&onsale_admission=T#top", "/shop?tour=%26", Some("T")),
            ("/?onsale_admission=T&onsale_admission=U", "/", None),
            ("/?onsale_admission=T&onsale_admission=U&onsale_admission=V", "/", None),
            ("/?onsale_admission", "/", Some("")),
            ("/shop?", "/shop?", None),
            ("//evil.example/?onsale_admission=T", "/evil.example/", Some("T")),
            ("///evil.example", "/evil.example", None),
            ("/\\evil.example", "/evil.example", None),
            ("\\\\evil.example", "/evil.example", None),
            ("https://evil.example/x?onsale_admission=T", "/", Some("T")),
            ("javascript:alert(1)", "/", None),
            ("@evil.example", "/", None),
            ("/a b", "/", None),
            ("/\t/evil.example", "/", None),
            ("", "/", None),
        ];
        for (text, clean, admission) in table {
            let found = Address::read(text);
            assert_eq!((found.clean.as_str(), found.admission.as_deref()), (clean, admission), "{text}");
            assert_eq!(found.is_marked, text.to_lowercase().contains("admission"), "{text}");
        }
        assert_eq!(Address::read(&format!("/{}", "x".repeat(URI_BYTES_MAX))).clean, "/");
    }

    #[test]
    fn proxies_that_do_not_agree_are_not_believed() {
        let headers = |said: &[(HeaderName, &'static str)]| {
            let mut headers = HeaderMap::new();
            said.iter().for_each(|(name, uri)| headers.append(name.clone(), HeaderValue::from_static(uri)));
            headers
        };
        let (original, forwarded) = (X_ORIGINAL_URI, X_FORWARDED_URI);
        let table = [
            (vec![], None),
            (vec![(original.clone(), "/a")], Some("/a")),
            (vec![(forwarded.clone(), "/a")], Some("/a")),
            (vec![(original.clone(), "/a"), (forwarded.clone(), "/a")], Some("/a")),
            (vec![(original.clone(), "/a"), (forwarded, "/b")], None),
            (vec![(original.clone(), "/a"), (original, "/b")], None),
        ];
        for (said, clean) in table {
            let found = Address::of(&headers(&said)).map(|address| address.clean);
            assert_eq!(found.as_deref(), clean, "{said:?}");
        }
        for (method, is_read_only) in [("GET", true), ("HEAD", true), ("POST", false), ("get", false)] {
            assert_eq!(Address::is_read_only(&headers(&[(X_FORWARDED_METHOD, method)])), is_read_only, "{method}");
        }
        assert!(Address::is_read_only(&headers(&[])));
    }
}
