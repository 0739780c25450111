//! The pass of a session, as a cookie of the site behind the gate.

use actix_web::http::header::{COOKIE, HeaderMap, HeaderName};
use base::id::{Millis, QueueId};

/// By which a proxy says that its client speaks HTTPS.
pub const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// Cookies of our name that are looked at: a browser may have one for each folder of a site.
const SAME_NAME_MAX: usize = 4;

/// The cookie of a queue: its name tells whether only HTTPS carries it.
pub struct PassCookie {
    name: String,
    is_secure: bool,
}

impl PassCookie {
    /// The one that the browser behind this request has or would get. With HTTPS nobody but the site itself can have set it
    /// (RFC 6265bis, 4.1.3.2: the prefix `__Host-`). What the header says is believed from anybody: it concerns only who
    /// sends it.
    pub fn of(queue: QueueId, headers: &HeaderMap) -> PassCookie {
        let proto = headers.get(X_FORWARDED_PROTO).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_secure = proto.split(',').next().is_some_and(|first| first.trim().eq_ignore_ascii_case("https"));
        let prefix = if is_secure { "__Host-" } else { "" };
        PassCookie { name: format!("{prefix}onsale-{queue}"), is_secure }
    }

    /// The passes that a request has.
    pub fn values<'a>(&'a self, headers: &'a HeaderMap) -> impl Iterator<Item = &'a str> {
        let cookies = headers.get_all(COOKIE).filter_map(|value| value.to_str().ok());
        let pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.filter(|(name, _)| *name == self.name).map(|(_, value)| value).take(SAME_NAME_MAX)
    }

    /// `Set-Cookie` with a pass that ends with its session.
    pub fn set(&self, pass: &str, until_ms: Millis, now: Millis) -> String {
        let PassCookie { name, is_secure } = self;
        let seconds = until_ms.saturating_sub(now) / 1_000;
        let secure = if *is_secure { "; Secure" } else { "" };
        format!("{name}={pass}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;

    #[test]
    fn a_cookie_is_of_its_queue_and_of_how_it_came() {
        let (queue, other) = (QueueId::from_random(1), QueueId::from_random(2));
        let mut headers = HeaderMap::new();
        let cookies = format!("a=b; onsale-{other}=theirs;onsale-{queue}=ours; __Host-onsale-{queue}=safe; broken");
        headers.insert(COOKIE, HeaderValue::from_str(&cookies).unwrap());
        headers.append(COOKIE, HeaderValue::from_str(&format!("onsale-{queue}=second")).unwrap());
        let plain = PassCookie::of(queue, &headers);
        assert_eq!(plain.values(&headers).collect::<Vec<_>>(), ["ours", "second"]);
        let set = plain.set("pass", 10_999, 1_000);
        assert_eq!(set, format!("onsale-{queue}=pass; Path=/; Max-Age=9; HttpOnly; SameSite=Lax"));
        for (proto, is_secure) in [("https", true), ("HTTPS, http", true), ("http", false), ("http, https", false)] {
            headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(proto));
            let cookie = PassCookie::of(queue, &headers);
            let found = cookie.values(&headers).next();
            assert_eq!(found, Some(if is_secure { "safe" } else { "ours" }), "{proto}");
            assert_eq!(cookie.set("pass", 0, 1).ends_with("; Secure"), is_secure, "{proto}");
        }
    }
}
