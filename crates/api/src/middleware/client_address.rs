//! Whose request it is, when proxies stand in between.
//!
//! Anybody can write anything into `Forwarded` (RFC 7239) and `X-Forwarded-For`. Each proxy adds at the right end whom it
//! talks to, so the list is read from there, and only as long as the one who wrote the next entry is a proxy that the
//! configuration trusts (`proxy.trusted`). A proxy knows one of the two headers and passes the other one on as its client
//! made it up: where both are there and do not agree, neither is believed.
//!
//! Nothing here needs to know under which host the proxy was reached, so `X-Forwarded-Host` is not read from anybody: every
//! link in an answer is relative, or begins with `queue.public_url`. `X-Forwarded-Proto` is read by [`crate::gate`] alone.

use actix_web::dev::RequestHead;
use actix_web::http::header::{FORWARDED, HeaderMap, HeaderName};
use config::Network;
use std::net::{IpAddr, SocketAddr};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Entries that are looked at: more proxies do not stand in a row.
const ENTRIES_MAX: usize = 32;

/// The address of the client: the peer's, or what trusted proxies say. One comparison where no proxy is trusted.
pub fn client_address(head: &RequestHead, trusted: &[Network]) -> Option<IpAddr> {
    let peer = head.peer_addr?.ip().to_canonical();
    Some(if trusted.is_empty() { peer } else { behind_proxies(peer, head.headers(), trusted) })
}

fn behind_proxies(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    if !is_trusted(&peer, trusted) {
        return peer;
    }
    let forwarded = headers.contains_key(FORWARDED).then(|| {
        let entries = entries(headers, &FORWARDED).map(forwarded_for);
        last_untrusted(peer, entries, trusted)
    });
    let x_forwarded = headers.contains_key(X_FORWARDED_FOR).then(|| {
        let entries = entries(headers, &X_FORWARDED_FOR).map(address);
        last_untrusted(peer, entries, trusted)
    });
    match (forwarded, x_forwarded) {
        (Some(one), Some(other)) if one != other => peer,
        (Some(one), _) | (None, Some(one)) => one,
        (None, None) => peer,
    }
}

fn is_trusted(address: &IpAddr, trusted: &[Network]) -> bool {
    trusted.iter().any(|network| network.contains(address))
}

/// From the right end: the first that is no trusted proxy, or else the last one that is an address.
fn last_untrusted(peer: IpAddr, entries: impl Iterator<Item = Option<IpAddr>>, trusted: &[Network]) -> IpAddr {
    let mut nearest = peer;
    for entry in entries.take(ENTRIES_MAX) {
        // Hidden, unknown or nonsense: what is further left was told by somebody that nobody can name.
        let Some(address) = entry else { return nearest };
        nearest = address;
        if !is_trusted(&address, trusted) {
            break;
        }
    }
    nearest
}

/// Of all headers of this name, from right to left. Commas within quotes do not part.
fn entries<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> + use<'a> {
    let mut all = Vec::new();
    for value in headers.get_all(name) {
        match value.to_str() {
            Ok(text) => all.extend(split(text, ',')),
            // Not ASCII: it stands for one entry that is nonsense.
            Err(_) => all.push(""),
        }
    }
    all.into_iter().rev()
}

fn split(text: &str, at: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c| {
        let parts = c == at && !quoted;
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        parts
    })
    .map(str::trim)
}

/// `for=` of one element: `for="[2001:db8::17]:4711";proto=https`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut found = split(element, ';').filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.eq_ignore_ascii_case("for").then_some(value)
    });
    let value = found.next()?;
    // Twice in one element is forged, or broken.
    if found.next().is_some() {
        return None;
    }
    match value.strip_prefix('"') {
        Some(value) => address(value.strip_suffix('"')?),
        None => address(value),
    }
}

/// An address, with or without brackets and a port.
fn address(node: &str) -> Option<IpAddr> {
    let bare = node.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(node);
    let parsed = bare.parse::<IpAddr>().or_else(|_| node.parse::<SocketAddr>().map(|address| address.ip()));
    parsed.ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;
    use config::testing::serve;

    const TRUSTED: &str = "10.0.0.0/8,192.0.2.7,2001:db8:ffff::/48";

    /// Peer, headers, and whose request it is.
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

    #[test]
    fn only_trusted_proxies_say_whose_request_it_is() {
        let f = |value| ("Forwarded", value);
        let x = |value| ("X-Forwarded-For", value);
        let table: &[Row] = &[
            // Without a proxy, or without its word.
            ("198.51.100.1:5000", &[], "198.51.100.1"),
            ("10.0.0.1:5000", &[], "10.0.0.1"),
            // Forged by a client that talks to the server itself.
            ("198.51.100.1:5000", &[f("for=203.0.113.9")], "198.51.100.1"),
            ("198.51.100.1:5000", &[x("203.0.113.9")], "198.51.100.1"),
            ("198.51.100.1:5000", &[x("10.0.0.1, 10.0.0.2")], "198.51.100.1"),
            // Told by a proxy.
            ("10.0.0.1:5000", &[f("for=203.0.113.9")], "203.0.113.9"),
            ("10.0.0.1:5000", &[x("203.0.113.9")], "203.0.113.9"),
            ("192.0.2.7:5000", &[x("203.0.113.9")], "203.0.113.9"),
            ("192.0.2.8:5000", &[x("203.0.113.9")], "192.0.2.8"),
            ("[2001:db8:ffff::1]:5000", &[x("203.0.113.9")], "203.0.113.9"),
            // An IPv4 proxy that a dual-stack listener sees as IPv6.
            ("[::ffff:10.0.0.1]:5000", &[x("203.0.113.9")], "203.0.113.9"),
            ("10.0.0.1:5000", &[x("::ffff:203.0.113.9")], "203.0.113.9"),
            // The client's own forgery stands to the left of what the proxy saw.
            ("10.0.0.1:5000", &[x("1.1.1.1, 203.0.113.9")], "203.0.113.9"),
            ("10.0.0.1:5000", &[f("for=1.1.1.1, for=203.0.113.9")], "203.0.113.9"),
            ("10.0.0.1:5000", &[x("10.0.0.9, 203.0.113.9")], "203.0.113.9"),
            // Several proxies, each trusted; several headers are one list.
            ("10.0.0.1:5000", &[x("1.1.1.1, 203.0.113.9, 10.0.0.3, 10.0.0.2")], "203.0.113.9"),
            ("10.0.0.1:5000", &[x("1.1.1.1"), x("203.0.113.9"), x("10.0.0.2")], "203.0.113.9"),
            ("10.0.0.1:5000", &[f("for=203.0.113.9"), f("for=10.0.0.2;by=10.0.0.1")], "203.0.113.9"),
            // Nobody but proxies: the furthest of them asked for itself.
            ("10.0.0.1:5000", &[x("10.0.0.3, 10.0.0.2")], "10.0.0.3"),
            // Ports, brackets, quotes, parameters in any order and case.
            ("10.0.0.1:5000", &[x("203.0.113.9:4711")], "203.0.113.9"),
            ("10.0.0.1:5000", &[x("2001:db8::17")], "2001:db8::17"),
            ("10.0.0.1:5000", &[x("[2001:db8::17]:4711")], "2001:db8::17"),
            ("10.0.0.1:5000", &[x("[2001:db8::17]")], "2001:db8::17"),
            ("10.0.0.1:5000", &[f("For=\"[2001:db8::17]:4711\"")], "2001:db8::17"),
            ("10.0.0.1:5000", &[f("for=\"[2001:db8::17]\";proto=https")], "2001:db8::17"),
            ("10.0.0.1:5000", &[f("proto=https;host=\"a,b\";FOR=203.0.113.9")], "203.0.113.9"),
            ("10.0.0.1:5000", &[f("for=\"203.0.113.9:80\" ; by=_x")], "203.0.113.9"),
            // What is hidden or broken hides everything that is further left.
            ("10.0.0.1:5000", &[f("for=unknown")], "10.0.0.1"),
            ("10.0.0.1:5000", &[f("for=_hidden")], "10.0.0.1"),
            ("10.0.0.1:5000", &[f("for=1.1.1.1, for=_hidden, for=10.0.0.2")], "10.0.0.2"),
            ("10.0.0.1:5000", &[x("1.1.1.1, unknown")], "10.0.0.1"),
            ("10.0.0.1:5000", &[x("")], "10.0.0.1"),
            ("10.0.0.1:5000", &[x("1.1.1.1,")], "10.0.0.1"),
            ("10.0.0.1:5000", &[f("for=")], "10.0.0.1"),
            ("10.0.0.1:5000", &[f("proto=https")], "10.0.0.1"),
            ("10.0.0.1:5000", &[f("for=\"203.0.113.9")], "10.0.0.1"),
            ("10.0.0.1:5000", &[f("for=203.0.113.9;for=1.1.1.1")], "10.0.0.1"),
            ("10.0.0.1:5000", &[f("for=\"x\\\", for=1.1.1.1\"")], "10.0.0.1"),
            ("10.0.0.1:5000", &[x("999.1.1.1")], "10.0.0.1"),
            // Both headers: they agree, or one of them is the client's own.
            ("10.0.0.1:5000", &[f("for=203.0.113.9"), x("203.0.113.9")], "203.0.113.9"),
            ("10.0.0.1:5000", &[f("for=1.1.1.1"), x("203.0.113.9")], "10.0.0.1"),
        ];
        let trusted = serve(&["--proxy-trusted", TRUSTED]).proxy_trusted;
        for (peer, headers, expected) in table {
            let request = TestRequest::default().peer_addr(peer.parse().unwrap());
            let request = headers.iter().fold(request, |request, header| request.append_header(*header));
            let found = client_address(request.to_http_request().head(), &trusted);
            assert_eq!(found, Some(expected.parse().unwrap()), "{peer} {headers:?}");
        }
    }

    #[test]
    fn a_list_without_end_is_read_from_its_end() {
        let trusted = serve(&["--proxy-trusted", TRUSTED]).proxy_trusted;
        let many = format!("203.0.113.9{}", ", 10.0.0.2".repeat(10_000));
        let request = TestRequest::default().peer_addr("10.0.0.1:1".parse().unwrap());
        let request = request.append_header(("X-Forwarded-For", many)).to_http_request();
        assert_eq!(client_address(request.head(), &trusted), Some("10.0.0.2".parse().unwrap()));
    }
}
