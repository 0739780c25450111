//! Key sets behind a URL: fetched when they are needed, looked at again while they are fresh no longer, and kept when the
//! provider is away.

use super::fetch::Fetcher;
use super::keys::KeySet;
use super::refused::Refused;
use config::{JWKS_FETCHES_MAX, JWKS_KEPT, JWKS_SOURCES_MAX, JWKS_UNKNOWN_KID_EVERY};
use rustc_hash::FxHashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// After a fetch that failed the next one waits, at first so long, then twice as long each time.
const BACK_OFF: Duration = Duration::from_secs(1);
const BACK_OFF_MAX: Duration = Duration::from_secs(300);

/// All key sets that are fetched, by URL.
pub struct Sources {
    fetcher: Fetcher,
    by_url: Mutex<FxHashMap<String, Arc<Source>>>,
    /// So that providers that do not answer do not take every thread.
    fetching: Arc<Semaphore>,
}

#[derive(Default)]
struct Source {
    state: Mutex<State>,
    /// Held while the set is fetched: who wants it too waits for the same fetch.
    fetching: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct State {
    kept: Option<CachedKeys>,
    /// When the last fetch began.
    tried_at: Option<Instant>,
    /// Fetches that failed since the last one that did not.
    failures: u32,
    used_at: Option<Instant>,
}

struct CachedKeys {
    keys: Arc<KeySet>,
    fetched_at: Instant,
    fresh_until: Instant,
}

/// What to do for somebody who wants a key.
enum Next {
    Take(Arc<KeySet>),
    /// Take it, and have it fetched again meanwhile.
    TakeAndFetch(Arc<KeySet>),
    FetchFirst,
    Wait(Duration),
}

impl State {
    fn next(&self, kid: Option<&str>, now: Instant) -> Next {
        let since = |then: Option<Instant>| then.map_or(Duration::MAX, |then| now.saturating_duration_since(then));
        let back_off = match self.failures {
            0 => Duration::ZERO,
            failures => (BACK_OFF * 2u32.saturating_pow((failures - 1).min(16))).min(BACK_OFF_MAX),
        };
        let wait = back_off.saturating_sub(since(self.tried_at));
        let may_fetch = wait.is_zero();
        match self.kept.as_ref().filter(|kept| since(Some(kept.fetched_at)) < JWKS_KEPT) {
            Some(kept) if kept.keys.knows(kid) => match now >= kept.fresh_until && may_fetch {
                true => Next::TakeAndFetch(kept.keys.clone()),
                false => Next::Take(kept.keys.clone()),
            },
            // The provider may have a new key. Whoever makes up names of keys does not get it asked all the time.
            Some(_) if may_fetch && since(self.tried_at) >= JWKS_UNKNOWN_KID_EVERY => Next::FetchFirst,
            Some(kept) => Next::Take(kept.keys.clone()),
            None if may_fetch => Next::FetchFirst,
            None => Next::Wait(wait),
        }
    }
}

impl Source {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sources {
    pub fn new(fetcher: Fetcher) -> Sources {
        Sources { fetcher, by_url: Mutex::default(), fetching: Arc::new(Semaphore::new(JWKS_FETCHES_MAX)) }
    }

    pub fn check_url(&self, url: &str) -> Result<(), String> {
        self.fetcher.check_url(url)
    }

    /// The keys of a URL, where the one named `kid` is wanted: fetched now if they must be.
    pub async fn keys(&self, url: &str, kid: Option<&str>) -> Result<Arc<KeySet>, Refused> {
        let source = self.source(url);
        match source.state().next(kid, Instant::now()) {
            Next::Take(keys) => return Ok(keys),
            Next::TakeAndFetch(keys) => {
                if let Ok(only_one) = source.fetching.clone().try_lock_owned() {
                    tokio::spawn(self.fetch(url.to_owned(), source.clone(), only_one));
                }
                return Ok(keys);
            }
            Next::Wait(time) => return Err(unavailable(time)),
            Next::FetchFirst => {}
        }
        let only_one = source.fetching.clone().lock_owned().await;
        // Somebody else may have fetched it meanwhile, or tried to.
        let next = source.state().next(kid, Instant::now());
        match next {
            Next::Take(keys) | Next::TakeAndFetch(keys) => return Ok(keys),
            Next::Wait(time) => return Err(unavailable(time)),
            Next::FetchFirst => {}
        }
        self.fetch(url.to_owned(), source.clone(), only_one).await;
        let next = source.state().next(kid, Instant::now());
        match next {
            Next::Take(keys) | Next::TakeAndFetch(keys) => Ok(keys),
            Next::Wait(time) => Err(unavailable(time)),
            Next::FetchFirst => Err(unavailable(BACK_OFF)),
        }
    }

    fn source(&self, url: &str) -> Arc<Source> {
        let mut by_url = self.by_url.lock().unwrap_or_else(PoisonError::into_inner);
        if !by_url.contains_key(url) && by_url.len() >= JWKS_SOURCES_MAX {
            let longest_unused = by_url.iter().min_by_key(|(_, source)| source.state().used_at);
            if let Some(url) = longest_unused.map(|(url, _)| url.clone()) {
                by_url.remove(&url);
            }
        }
        let source = by_url.entry(url.to_owned()).or_default().clone();
        source.state().used_at = Some(Instant::now());
        source
    }

    /// Fetches and keeps. Goes on when whoever asked for it goes away.
    fn fetch(
        &self,
        url: String,
        source: Arc<Source>,
        only_one: tokio::sync::OwnedMutexGuard<()>,
    ) -> impl Future<Output = ()> + use<> {
        let (fetcher, places) = (self.fetcher.clone(), self.fetching.clone());
        async move {
            let place = places.acquire_owned().await.expect("never closed");
            source.state().tried_at = Some(Instant::now());
            let fetched = tokio::task::spawn_blocking(move || {
                let fetched = fetcher.fetch(&url);
                let fetched = fetched.and_then(|it| Ok((KeySet::parse(&it.document)?, it.fresh)));
                let mut state = source.state();
                match fetched {
                    Ok((keys, fresh)) => {
                        let now = Instant::now();
                        state.kept =
                            Some(CachedKeys { keys: Arc::new(keys), fetched_at: now, fresh_until: now + fresh });
                        state.failures = 0;
                    }
                    Err(error) => {
                        state.failures = state.failures.saturating_add(1);
                        tracing::warn!(url, error, "an identity provider's keys cannot be fetched");
                    }
                }
                drop((place, only_one));
            });
            // A panic was reported where it happened.
            let _ = fetched.await;
        }
    }
}

fn unavailable(wait: Duration) -> Refused {
    Refused::Unavailable { retry_after_s: wait.as_secs_f64().ceil().max(1.0) as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET: &[u8] =
        br#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"a"}]}"#;

    /// One look a row: what was there, which key is wanted when, and what is done.
    #[test]
    fn keys_are_kept_fresh_and_survive_an_outage() {
        let start = Instant::now();
        let s = Duration::from_secs;
        let had = |failures, tried: u64| State {
            kept: Some(CachedKeys {
                keys: Arc::new(KeySet::parse(SET).unwrap()),
                fetched_at: start,
                fresh_until: start + s(300),
            }),
            tried_at: Some(start + s(tried)),
            failures,
            used_at: None,
        };
        let never = |failures, tried| State { kept: None, ..had(failures, tried) };
        let (known, unknown) = (Some("a"), Some("b"));
        let table = [
            (State::default(), known, 0, "fetch first"),
            (had(0, 0), known, 1, "take"),
            (had(0, 0), None, 1, "take"),
            (had(0, 0), unknown, 29, "take"),
            (had(0, 0), unknown, 30, "fetch first"),
            (had(0, 0), known, 300, "take and fetch"),
            // The provider is away: what is there is good, and it is asked less and less often.
            (had(1, 300), known, 300, "take"),
            (had(1, 300), known, 301, "take and fetch"),
            (had(4, 400), known, 407, "take"),
            (had(4, 400), known, 408, "take and fetch"),
            (had(60, 1000), known, 1299, "take"),
            (had(60, 1000), known, 1300, "take and fetch"),
            (had(60, 1000), unknown, 1299, "take"),
            (had(60, 86_399), known, 86_399, "take"),
            (had(60, 86_399), known, 86_400, "wait 299"),
            (had(60, 86_399), known, 86_699, "fetch first"),
            (never(1, 0), known, 0, "wait 1"),
            (never(1, 0), known, 1, "fetch first"),
            (never(3, 10), unknown, 12, "wait 2"),
        ];
        for (row, (state, kid, at, want)) in table.into_iter().enumerate() {
            let found = match state.next(kid, start + s(at)) {
                Next::Take(_) => "take".to_owned(),
                Next::TakeAndFetch(_) => "take and fetch".to_owned(),
                Next::FetchFirst => "fetch first".to_owned(),
                Next::Wait(time) => format!("wait {}", time.as_secs()),
            };
            assert_eq!(found, want, "row {row}");
        }
    }
}
