//! How often a caller may ask: one bucket per session token, per secret key, and per address of those who show neither.
//!
//! A bucket is one number, the instant at which it will be full again (GCRA: the generic cell rate algorithm, ITU-T I.371).
//! All of them live in a table of fixed size: memory is bounded however many callers come, and a request costs one lock
//! that nobody else holds. Where the table has no room, the bucket that is nearest to full makes it: its caller may then ask
//! a little more often than the limit says, and nobody less often.

use super::client_address::client_address;
use crate::kit::error::rate_limit_status::{Class, RateLimitStatus, WINDOW_NS, seconds};
use crate::kit::error::{Kind, Problem};
use crate::middleware::known_addresses::KnownAddresses;
use actix_web::dev::ServiceRequest;
use actix_web::http::Method;
use actix_web::http::header::AUTHORIZATION;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Instant;

/// Buckets of one set: two lines of cache.
const WAYS: usize = 8;

/// The limits and everybody's buckets.
pub struct Limits {
    live: config::Live,
    pub known_addresses: KnownAddresses,
    /// Made when somebody is limited for the first time.
    sets: OnceLock<Vec<Mutex<[Bucket; WAYS]>>>,
    hash: RandomState,
    started: Instant,
}

/// Of nobody while `caller` is 0.
#[derive(Clone, Copy, Default)]
struct Bucket {
    caller: u64,
    full_at_ns: u64,
}

impl Limits {
    pub fn new(live: config::Live) -> Limits {
        Limits {
            live,
            known_addresses: KnownAddresses::default(),
            sets: OnceLock::new(),
            hash: RandomState::new(),
            started: Instant::now(),
        }
    }

    /// Requests a minute; 0 is no limit. A bucket holds those of one minute, so that a burst of all of them is allowed.
    fn per_minute(&self, class: Class) -> u32 {
        let live = self.live.load();
        match class {
            Class::User => live.limit_user_per_minute,
            Class::Key => live.limit_key_per_minute,
            Class::Address => live.limit_address_per_minute,
            Class::SignIn => live.limit_sign_in_per_minute,
            // Above what one address may try: else one that tries locks everybody out.
            Class::Account => live.limit_sign_in_per_minute.saturating_mul(config::ACCOUNT_TRIES_FACTOR),
        }
    }

    /// Counts a request of whoever `caller` names, by a credential, an address or an e-mail.
    pub fn take(&self, class: Class, caller: &[u8], now: Instant) -> Result<Option<RateLimitStatus>, Problem> {
        self.take_after(class, caller, now, || Ok(()))
    }

    /// Takes a request back that was counted: it was none of those that the limit is for.
    pub fn give_back(&self, left: RateLimitStatus, caller: &[u8]) {
        let caller = self.hashed(left.class, caller);
        let mut set = self.set(caller).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = set.iter_mut().find(|bucket| bucket.caller == caller) {
            bucket.full_at_ns = bucket.full_at_ns.saturating_sub(interval_ns(left.per_minute));
        }
    }

    /// The same, after `meet` for a caller who was not seen before or not for long.
    fn take_after(
        &self,
        class: Class,
        caller: &[u8],
        now: Instant,
        meet: impl FnOnce() -> Result<(), Problem>,
    ) -> Result<Option<RateLimitStatus>, Problem> {
        let per_minute = self.per_minute(class);
        if per_minute == 0 {
            return meet().map(|()| None);
        }
        let interval_ns = interval_ns(per_minute);
        let caller = self.hashed(class, caller);
        let now_ns = now.saturating_duration_since(self.started).as_nanos() as u64;
        let filled = match self.fill(caller, interval_ns, now_ns, false) {
            Some(filled) => filled,
            None => {
                meet()?;
                self.fill(caller, interval_ns, now_ns, true).expect("a new bucket is made")
            }
        };
        match filled {
            Ok(full_at_ns) => {
                let full_in_ns = full_at_ns - now_ns;
                let requests = WINDOW_NS.saturating_sub(full_in_ns) / interval_ns;
                Ok(Some(RateLimitStatus { class, per_minute, requests, full_in_ns }))
            }
            Err(wait_ns) => Err(refuse(class, per_minute, wait_ns)),
        }
    }

    fn hashed(&self, class: Class, caller: &[u8]) -> u64 {
        let mut hasher = self.hash.build_hasher();
        (class as u8).hash(&mut hasher);
        caller.hash(&mut hasher);
        hasher.finish().max(1)
    }

    fn set(&self, caller: u64) -> &Mutex<[Bucket; WAYS]> {
        let made = || (0..config::LIMITED_CALLERS_MAX / WAYS).map(|_| Mutex::default()).collect();
        let sets = self.sets.get_or_init(made);
        &sets[caller as usize % sets.len()]
    }

    /// Adds one request to a bucket, or says how long to wait until it has room. None: there is no such bucket.
    fn fill(&self, caller: u64, interval_ns: u64, now_ns: u64, make: bool) -> Option<Result<u64, u64>> {
        let mut set = self.set(caller).lock().unwrap_or_else(PoisonError::into_inner);
        let found = set.iter().position(|bucket| bucket.caller == caller);
        let index = match found {
            Some(index) => index,
            None if !make => return None,
            None => {
                let fullest = (0..WAYS).min_by_key(|index| set[*index].full_at_ns).expect("a set has buckets");
                set[fullest] = Bucket { caller, full_at_ns: 0 };
                fullest
            }
        };
        let full_at_ns = set[index].full_at_ns.max(now_ns) + interval_ns;
        let room_at_ns = full_at_ns.saturating_sub(WINDOW_NS);
        if room_at_ns > now_ns {
            return Some(Err(room_at_ns - now_ns));
        }
        set[index].full_at_ns = full_at_ns;
        Some(Ok(full_at_ns))
    }
}

#[cold]
fn refuse(class: Class, per_minute: u32, wait_ns: u64) -> Problem {
    let wait_s = seconds(wait_ns);
    let who = match class {
        Class::User => "This session",
        Class::Key => "This key",
        Class::Address | Class::SignIn => "Your address",
        Class::Account => "This e-mail",
    };
    let detail = format!("{who} may ask {per_minute} times a minute. Try again in {wait_s} s.");
    Problem::new(Kind::RateLimited, detail)
        .with("policy", class.name())
        .retry_after_s(wait_s)
        .limited(RateLimitStatus { class, per_minute, requests: 0, full_in_ns: WINDOW_NS })
}

/// The time that one request takes to come back.
fn interval_ns(per_minute: u32) -> u64 {
    WINDOW_NS / u64::from(per_minute)
}

/// Counts a request. A credential is not looked into: one that is new here also counts for its address, so that making
/// them up gains nothing.
pub fn count(
    limits: &Limits,
    request: &ServiceRequest,
    sign_in: bool,
    now: Instant,
) -> Result<Option<RateLimitStatus>, Problem> {
    let address = || client_address(request.head(), &limits.live.load().proxy_trusted);
    let by_address = |class| match address().filter(|address| is_limited(*address)) {
        Some(IpAddr::V4(address)) => limits.take(class, &address.octets(), now),
        // A household has a /64, and whoever has one has all of it.
        Some(IpAddr::V6(address)) => limits.take(class, &address.octets()[..8], now),
        None => Ok(None),
    };
    if sign_in && *request.method() == Method::POST {
        return by_address(Class::SignIn);
    }
    match credential(request) {
        Some((class, credential)) => {
            limits.take_after(class, credential, now, || by_address(Class::Address).map(|_| ()))
        }
        None => by_address(Class::Address),
    }
}

/// What stands behind `Bearer`, whether it is valid or not.
fn credential(request: &ServiceRequest) -> Option<(Class, &[u8])> {
    let value = request.headers().get(AUTHORIZATION)?.as_bytes();
    let credential = value.get("bearer ".len()..)?;
    let key = credential.starts_with(b"osk_") || credential.starts_with(b"opk_");
    Some((if key { Class::Key } else { Class::User }, credential))
}

/// Whether an address is limited. Not that of this machine: who comes from there is a tool, or a proxy that nobody has
/// told us to trust, and with it everybody.
pub fn is_limited(address: IpAddr) -> bool {
    !address.is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn limits(per_minute: u32) -> Limits {
        let given = per_minute.to_string();
        Limits::new(config::Live::new(config::testing::serve(&["--limit-user-per-minute", &given])))
    }

    #[test]
    fn a_burst_of_a_minutes_requests_then_their_rate() {
        let limits = limits(60);
        let at = |ms| limits.started + Duration::from_millis(ms);
        for left in (0..60).rev() {
            let found = limits.take(Class::User, b"a", at(0)).unwrap().unwrap();
            assert_eq!((found.requests, seconds(found.full_in_ns)), (left, 60 - left));
        }
        let refused = limits.take(Class::User, b"a", at(0)).unwrap_err();
        assert_eq!((refused.kind, refused.left.map(|left| left.requests)), (Kind::RateLimited, Some(0)));
        assert!(limits.take(Class::User, b"b", at(0)).is_ok(), "somebody else");
        assert!(limits.take(Class::Key, b"a", at(0)).is_ok(), "another limit");
        assert!(limits.take(Class::User, b"a", at(999)).is_err());
        assert!(limits.take(Class::User, b"a", at(1000)).is_ok());
        assert!(limits.take(Class::User, b"a", at(1000)).is_err());
        assert_eq!(limits.take(Class::User, b"a", at(120_000)).unwrap().unwrap().requests, 59);
    }

    #[test]
    fn what_is_given_back_was_not_asked() {
        let limits = limits(2);
        let take = || limits.take(Class::User, b"a", limits.started);
        take().unwrap();
        for _ in 0..100 {
            let left = take().unwrap().unwrap();
            limits.give_back(left, b"a");
            limits.give_back(left, b"nobody");
        }
        take().unwrap();
        assert!(take().is_err());
    }

    #[test]
    fn a_limit_of_zero_is_none() {
        let limits = limits(0);
        let now = Instant::now();
        assert!((0..10_000).all(|_| limits.take(Class::User, b"a", now).is_ok_and(|left| left.is_none())));
    }

    #[test]
    fn memory_is_bounded_and_the_busiest_stay_limited() {
        let limits = limits(2);
        let now = limits.started;
        assert!(limits.take(Class::User, b"busy", now).is_ok() && limits.take(Class::User, b"busy", now).is_ok());
        for index in 0..2 * config::LIMITED_CALLERS_MAX as u32 {
            limits.take(Class::User, &index.to_be_bytes(), now).unwrap();
        }
        assert!(limits.take(Class::User, b"busy", now).is_err());
        assert_eq!(limits.sets.get().unwrap().len() * WAYS, config::LIMITED_CALLERS_MAX);
    }

    #[test]
    fn made_up_credentials_count_for_their_address() {
        use actix_web::test::TestRequest;
        let config = config::testing::serve(&["--limit-address-per-minute", "5", "--limit-sign-in-per-minute", "2"]);
        let limits = Limits::new(config::Live::new(config));
        let now = limits.started;
        let ask = |method: Method, address: &str, token: Option<&str>, sign_in| {
            let mut request = TestRequest::default().method(method).peer_addr(address.parse().unwrap());
            if let Some(token) = token {
                request = request.insert_header((AUTHORIZATION, format!("Bearer {token}")));
            }
            count(&limits, &request.to_srv_request(), sign_in, now).is_ok()
        };
        let made_up = |index: u32, address: &str| ask(Method::GET, address, Some(&format!("ust_{index}")), false);
        assert!((0..5).all(|index| made_up(index, "203.0.113.1:1")));
        assert!(!made_up(5, "203.0.113.1:1") && !made_up(5, "203.0.113.1:2"), "refused, and not remembered");
        assert!(!ask(Method::GET, "203.0.113.1:3", None, false));
        assert!(made_up(0, "203.0.113.1:1"), "who was there before goes on");
        assert!((0..50).all(|index| made_up(100 + index, "127.0.0.1:1")), "this machine");
        assert!(
            ask(Method::POST, "[2001:db8::1]:1", None, true) && ask(Method::POST, "[2001:db8::2]:1", Some("x"), true)
        );
        assert!(!ask(Method::POST, "[2001:db8::3]:1", None, true), "one household");
        assert!(ask(Method::POST, "[2001:db8:0:1::1]:1", None, true), "another one");
    }
}
