//! Fetching key sets: from public addresses only, within bounds of time and size, and without following anybody anywhere.

use config::{JWKS_FETCH_TIMEOUT, JWKS_FRESH, JWKS_FRESH_MAX, JWKS_FRESH_MIN};
use domain::organizer::provider::JWKS_BYTES_MAX;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;
use ureq::config::Config;
use ureq::http::{HeaderMap, Uri};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error};

/// What was fetched, and how long it is fresh.
pub struct Fetched {
    pub document: Vec<u8>,
    pub fresh: Duration,
}

/// Fetches key sets. Blocks: not to be called from an HTTP worker.
#[derive(Clone)]
pub struct Fetcher {
    agent: Agent,
    allow_private: bool,
}

impl Fetcher {
    /// `allow_private`: also from private addresses, and without TLS.
    pub fn new(allow_private: bool) -> Fetcher {
        let config = Agent::config_builder()
            .https_only(!allow_private)
            // A proxy would resolve names by itself, and a redirect could lead anywhere.
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .timeout_global(Some(JWKS_FETCH_TIMEOUT))
            .max_idle_connections(0)
            .user_agent("onsale")
            .accept("application/jwk-set+json, application/json")
            .build();
        let resolver = Checked { allow_private, inner: DefaultResolver::default() };
        Fetcher { agent: Agent::with_parts(config, DefaultConnector::new(), resolver), allow_private }
    }

    /// The error says what is wrong with the URL, as far as that can be seen from it.
    pub fn check_url(&self, url: &str) -> Result<(), String> {
        let uri: Uri = url.parse().map_err(|_| "must be a URL".to_owned())?;
        let scheme = uri.scheme_str().unwrap_or_default();
        if scheme != "https" && !(self.allow_private && scheme == "http") {
            return Err("must begin with https://".into());
        }
        let authority = uri.authority().ok_or("must name a host")?;
        if authority.as_str().contains('@') || authority.host().is_empty() || url.contains('#') {
            return Err("must name a host, without a user and without a fragment".into());
        }
        let literal = authority.host().trim_matches(['[', ']']).parse::<IpAddr>();
        match literal {
            Ok(address) if !self.allow_private && !is_public(address) => Err("must name a public host".into()),
            _ => Ok(()),
        }
    }

    /// Fetches one document.
    pub fn fetch(&self, url: &str) -> Result<Fetched, String> {
        let mut response = self.agent.get(url).call().map_err(|error| error.to_string())?;
        if response.status() != 200 {
            return Err(format!("it answered {}", response.status()));
        }
        let fresh = fresh_for(response.headers());
        let body = response.body_mut().with_config().limit(JWKS_BYTES_MAX as u64);
        Ok(Fetched { document: body.read_to_vec().map_err(|error| error.to_string())?, fresh })
    }
}

/// `Cache-Control: max-age`, within bounds.
fn fresh_for(headers: &HeaderMap) -> Duration {
    let directives = headers.get_all("cache-control").iter().filter_map(|value| value.to_str().ok());
    let mut directives = directives.flat_map(|value| value.split(','));
    let max_age = directives.find_map(|directive| {
        let (name, seconds) = directive.trim().split_once('=')?;
        name.eq_ignore_ascii_case("max-age").then(|| seconds.trim_matches('"').parse().ok()).flatten()
    });
    max_age.map_or(JWKS_FRESH, Duration::from_secs).clamp(JWKS_FRESH_MIN, JWKS_FRESH_MAX)
}

/// Looks names up and keeps the public addresses. The connection goes to one of these: a name that is looked up
/// differently a moment later changes nothing.
#[derive(Debug)]
struct Checked {
    allow_private: bool,
    inner: DefaultResolver,
}

impl Resolver for Checked {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let found = self.inner.resolve(uri, config, timeout)?;
        if self.allow_private {
            return Ok(found);
        }
        let mut public = self.empty();
        found.iter().filter(|address| is_public(address.ip())).for_each(|address| public.push(*address));
        if public.is_empty() { Err(Error::HostNotFound) } else { Ok(public) }
    }
}

/// Whether an address is one of the public internet (IANA's special-purpose registries).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || matches!((a, b, c), (0, ..) | (100, 64..=127, _) | (192, 0, 0) | (192, 88, 99) | (198, 18..=19, _))
        // Multicast, reserved, broadcast.
        || a >= 224;
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let [a, b, .., g, h] = segments;
    let within = |high: u16, low: u16| {
        let [[a, b], [c, d]] = [high.to_be_bytes(), low.to_be_bytes()];
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match (a, b) {
        // 6to4 and NAT64 lead to the address that they carry.
        (0x2002, high) => within(high, segments[2]),
        (0x64, 0xff9b) => segments[2..6] == [0; 4] && within(g, h),
        // Teredo and other protocol assignments; documentation.
        (0x2001, 0..=0x1ff | 0xdb8) | (0x3fff, 0..=0xfff) => false,
        // Global unicast; the rest is unspecified, loopback, mapped, unique local, link local, multicast, reserved.
        _ => a & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_public() {
        let private = [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::7f00:1",
            "64:ff9b::a01:203",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        for address in private {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in ["8.8.8.8", "100.128.0.1", "172.32.0.1", "2606:4700::1111", "64:ff9b::808:808", "2002:808:808::"]
        {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn a_url_must_be_public_and_use_tls() {
        let table = [
            ("https://idp.example.com/.well-known/jwks.json", true, true),
            ("https://idp.example.com:8443/jwks?x=1", true, true),
            ("http://idp.example.com/jwks", false, true),
            ("https://127.0.0.1/jwks", false, true),
            ("https://[::1]/jwks", false, true),
            ("https://169.254.169.254/latest", false, true),
            ("https://user:secret@idp.example.com/jwks", false, false),
            ("https://idp.example.com/jwks#x", false, false),
            ("ftp://idp.example.com/jwks", false, false),
            ("file:///etc/passwd", false, false),
            ("/jwks", false, false),
            ("", false, false),
            ("idp.example.com", false, false),
        ];
        for (url, public, private) in table {
            assert_eq!(Fetcher::new(false).check_url(url).is_ok(), public, "{url}");
            assert_eq!(Fetcher::new(true).check_url(url).is_ok(), private, "{url}");
        }
    }

    #[test]
    fn nothing_is_asked_of_a_private_address() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["localhost", "127.0.0.1"] {
            assert!(Fetcher::new(false).fetch(&format!("https://{host}:{port}/jwks")).is_err());
        }
        assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }

    #[test]
    fn freshness_is_bounded() {
        let table = [
            ("max-age=600", 600),
            ("public, MAX-AGE=\"600\", immutable", 600),
            ("max-age=0", 60),
            ("max-age=99999999", 86_400),
            ("no-store", 300),
            ("max-age=soon", 300),
        ];
        for (value, seconds) in table {
            let headers = HeaderMap::from_iter([("cache-control".parse().unwrap(), value.parse().unwrap())]);
            assert_eq!(fresh_for(&headers).as_secs(), seconds, "{value}");
        }
        assert_eq!(fresh_for(&HeaderMap::new()).as_secs(), 300);
    }
}
