//! Passwords: in one form (OpaqueString, RFC 8265), so that one password is the same from every keyboard; argon2id, away from the threads that speak HTTP, and never more at a time than there are cores.

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use base::text::opaque;
use config::PASSWORDS_WAITING_MAX;
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Semaphore;

/// Hashes and compares passwords. Cheap to clone.
#[derive(Clone)]
pub struct Passwords(Arc<Inner>);

struct Inner {
    argon2: Argon2<'static>,
    /// One per core: each hash fills a core, and its memory is taken only while it runs.
    running: Semaphore,
    waiting: AtomicUsize,
    /// Compared with when there is no account, so that nobody learns from the time whether there is one.
    nobody: String,
}

/// More passwords are waiting than [`PASSWORDS_WAITING_MAX`].
#[derive(Debug, PartialEq, Eq)]
pub struct TooMany;

struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Passwords {
    /// With argon2id's memory and passes (one lane).
    pub fn new(memory_kib: u32, passes: u32) -> anyhow::Result<Passwords> {
        let params = Params::new(memory_kib, passes, 1, None)
            .map_err(|error| anyhow::anyhow!("these password parameters do not fit: {error}"))?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let nobody = hash(&argon2, "nobody has this password");
        Ok(Passwords(Arc::new(Inner { argon2, running: Semaphore::new(cores), waiting: AtomicUsize::new(0), nobody })))
    }

    /// The hash of a password in its form, as a PHC string.
    pub async fn hash(&self, password: String) -> Result<String, TooMany> {
        let form = opaque(&password).map(Cow::into_owned).unwrap_or(password);
        self.run(move |inner| hash(&inner.argon2, &form)).await
    }

    /// Whether `password` is the one of `stored` (a PHC string), in its form or, as hashes of before were made, as it was
    /// typed. Without `stored` it takes as long and is false.
    pub async fn matches(&self, password: String, stored: Option<String>) -> Result<bool, TooMany> {
        self.run(move |inner| {
            let known = stored.is_some();
            let stored = stored.as_deref().unwrap_or(&inner.nobody);
            let form = opaque(&password);
            let typed = form.as_deref().is_none_or(|form| form != password).then_some(password.as_str());
            let fits = PasswordHash::new(stored).is_ok_and(|stored| {
                let mut forms = form.as_deref().into_iter().chain(typed);
                forms.any(|form| inner.argon2.verify_password(form.as_bytes(), &stored).is_ok())
            });
            known && fits
        })
        .await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce(&Inner) -> T + Send + 'static) -> Result<T, TooMany> {
        let before = self.0.waiting.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(&self.0.waiting);
        if before >= PASSWORDS_WAITING_MAX {
            return Err(TooMany);
        }
        let running = self.0.running.acquire().await.expect("never closed");
        let inner = self.0.clone();
        let done = tokio::task::spawn_blocking(move || work(&inner)).await.expect("hashing does not panic");
        drop((running, waiting));
        Ok(done)
    }
}

fn hash(argon2: &Argon2<'_>, password: &str) -> String {
    let hashed: Result<PasswordHash, _> = argon2.hash_password(password.as_bytes());
    hashed.expect("the parameters were checked, and any password up to 4 GiB fits").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_matches() {
        let passwords = Passwords::new(8, 1).unwrap();
        let stored = passwords.hash("correct horse".into()).await.unwrap();
        assert!(stored.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{stored}");
        let matches = async |password: &str, stored: Option<&str>| {
            passwords.matches(password.into(), stored.map(String::from)).await.unwrap()
        };
        assert!(matches("correct horse", Some(&stored)).await);
        assert!(!matches("wrong horse", Some(&stored)).await);
        assert!(!matches("nobody has this password", None).await);
        assert!(!matches("anything", Some("not a hash")).await);
    }

    #[tokio::test]
    async fn a_password_is_the_same_from_every_keyboard_and_hashes_of_before_hold() {
        let passwords = Passwords::new(8, 1).unwrap();
        let (composed, apart) = ("Zauberflöte 1", "Zauberflo\u{308}te\u{a0}1");
        for one in [composed, apart] {
            let stored = passwords.hash(one.into()).await.unwrap();
            for other in [composed, apart] {
                assert!(passwords.matches(other.into(), Some(stored.clone())).await.unwrap(), "{one:?} {other:?}");
            }
            assert!(!passwords.matches("Zauberflote 1".into(), Some(stored)).await.unwrap());
        }
        // As it was typed: what is no password any more, too.
        for typed in [apart, "tab\tand zero\u{200b}width"] {
            let stored = hash(&passwords.0.argon2, typed);
            assert!(passwords.matches(typed.into(), Some(stored)).await.unwrap(), "{typed:?}");
        }
    }

    #[tokio::test]
    async fn a_queue_that_is_full_refuses() {
        let passwords = Passwords::new(8, 1).unwrap();
        passwords.0.waiting.store(PASSWORDS_WAITING_MAX, Ordering::Relaxed);
        assert_eq!(passwords.hash("x".into()).await, Err(TooMany));
        passwords.0.waiting.store(0, Ordering::Relaxed);
        assert!(passwords.hash("x".into()).await.is_ok());
        assert_eq!(passwords.0.waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn parameters_that_do_not_fit_are_refused() {
        assert!(Passwords::new(1, 1).is_err());
    }
}
