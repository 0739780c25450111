//! How a queue is run: making it, changing it, pausing and closing it.

use super::event::*;
use super::*;
use crate::text_fits;

/// Characters of a queue's name.
pub const NAME_CHARS_MAX: usize = 200;
/// Allowed redirect URLs.
pub const REDIRECT_URLS_MAX: usize = 20;
/// Characters of one.
pub const REDIRECT_URL_CHARS_MAX: usize = 1_000;
/// How long an admitted person has to come, s. domain.md: at most 5 min.
const CLAIM_TTL_S: std::ops::RangeInclusive<u32> = 1..=300;
const SESSION_TTL_S: std::ops::RangeInclusive<u32> = 1..=86_400;
/// Shorter than a few polls would end sessions of people who are there.
const IDLE_TTL_S: std::ops::RangeInclusive<u32> = 10..=86_400;
const ABSENT_AFTER_S: std::ops::RangeInclusive<u32> = 1..=86_400;

type Decided = Result<Vec<Event>, Rejection>;

impl Queue {
    pub(super) fn create(
        &self,
        organizer: OrganizerId,
        terms: &Terms,
        commitment: &str,
        content: Fingerprint,
    ) -> Decided {
        if let Some(created) = &self.created {
            let same = created.facts.organizer == organizer && created.content == content;
            return if same { Ok(vec![]) } else { Err(Rejection::KeyReused) };
        }
        terms.check()?;
        Ok(vec![Event::QueueCreated(QueueCreated {
            organizer_id: organizer,
            terms: terms.clone(),
            commitment: commitment.to_owned(),
            content,
        })])
    }

    pub(super) fn change(&self, created: &Created, change: &Change, now: Millis) -> Decided {
        if !change.expected.allows(|version| version >= created.edited_version && version <= self.version) {
            return Err(Rejection::Changed { version: self.version });
        }
        if created.facts.state == State::Closed {
            return Err(Rejection::Closed);
        }
        let old = created.facts.terms.clone();
        let terms = Terms {
            name: change.name.clone().unwrap_or(old.name),
            redirect_urls: change.redirect_urls.clone().unwrap_or(old.redirect_urls),
            policy: change.policy.clone().unwrap_or(old.policy),
            opens_at_ms: change.opens_at_ms.unwrap_or(old.opens_at_ms),
            claim_ttl_s: change.claim_ttl_s.unwrap_or(old.claim_ttl_s),
            session_ttl_s: change.session_ttl_s.unwrap_or(old.session_ttl_s),
            idle_ttl_s: change.idle_ttl_s.unwrap_or(old.idle_ttl_s),
            absent_after_s: change.absent_after_s.unwrap_or(old.absent_after_s),
            purchase_completes: change.purchase_completes.unwrap_or(old.purchase_completes),
        };
        if terms.opens_at_ms != created.facts.terms.opens_at_ms
            && (self.line.is_opened() || now >= created.facts.terms.opens_at_ms)
        {
            return Err(Rejection::Opened);
        }
        terms.check()?;
        Ok(if terms == created.facts.terms { vec![] } else { vec![Event::QueueChanged(QueueChanged { terms })] })
    }

    pub(super) fn set_state(&self, created: &Created, state: State) -> Decided {
        match (created.facts.state, state) {
            (before, after) if before == after => Ok(vec![]),
            (State::Closed, _) => Err(Rejection::Closed),
            (_, state) => Ok(vec![Event::QueueStateChanged(QueueStateChanged { state })]),
        }
    }
}

impl Terms {
    fn check(&self) -> Result<(), Rejection> {
        let invalid = |field: &str, reason: String| Err(Rejection::Invalid { field: field.into(), reason });
        if !text_fits(&self.name, NAME_CHARS_MAX) {
            return invalid(
                "name",
                format!("must have 1 to {NAME_CHARS_MAX} characters and none that are invisible or of control"),
            );
        }
        self.policy.check().or_else(|(field, reason)| invalid(field, reason))?;
        let within = |range: &std::ops::RangeInclusive<u32>, seconds: Option<u32>| {
            seconds.is_none_or(|seconds| range.contains(&seconds))
        };
        let seconds = [
            ("claim_ttl_s", CLAIM_TTL_S, Some(self.claim_ttl_s)),
            ("session_ttl_s", SESSION_TTL_S, Some(self.session_ttl_s)),
            ("idle_ttl_s", IDLE_TTL_S, self.idle_ttl_s),
            ("absent_after_s", ABSENT_AFTER_S, self.absent_after_s),
        ];
        if let Some((field, range, _)) = seconds.iter().find(|(_, range, seconds)| !within(range, *seconds)) {
            return invalid(field, format!("must be {range:?} seconds"));
        }
        if self.redirect_urls.len() > REDIRECT_URLS_MAX {
            return invalid("redirect_urls", format!("give at most {REDIRECT_URLS_MAX}"));
        }
        for (index, url) in self.redirect_urls.iter().enumerate() {
            let once = !self.redirect_urls[..index].contains(url);
            if !once || !is_redirect(url) {
                let reason = format!(
                    "must be an https URL (http for localhost only) of at most {REDIRECT_URL_CHARS_MAX} characters, \
                     without user, fragment or spaces, named once"
                );
                return invalid(&format!("redirect_urls[{index}]"), reason);
            }
        }
        Ok(())
    }
}

/// Whether people may be sent there: nothing that a browser would read in another way than we do.
fn is_redirect(url: &str) -> bool {
    let plain = url.len() <= REDIRECT_URL_CHARS_MAX && url.bytes().all(|byte| byte.is_ascii_graphic());
    let clean = plain && !url.contains(['#', '\\', '"', '<', '>', '`', '{', '}', '|', '^']);
    let (rest, local) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (rest, false),
        (None, Some(rest)) => (rest, true),
        (None, None) => return false,
    };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, "1"));
    let named = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    let is_local = host == "localhost" || host == "127.0.0.1";
    clean && named && port.parse::<u16>().is_ok_and(|port| port > 0) && (!local || is_local)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_sent_to_plain_urls_only() {
        let table = [
            ("https://tickets.example/", true),
            ("https://tickets.example:8443/back?from=queue&x=%20", true),
            ("http://localhost:3000/", true),
            ("http://tickets.example/", false),
            ("https://user@tickets.example/", false),
            ("https://tickets.example/#top", false),
            ("https://tickets.example\\@evil.example/", false),
            ("https:///nowhere", false),
            ("https://tickets.example:0/", false),
            ("javascript:alert(1)", false),
            ("//tickets.example/", false),
            ("https://tickets.example/a b", false),
            ("https://tickéts.example/", false),
        ];
        for (url, fits) in table {
            assert_eq!(is_redirect(url), fits, "{url}");
        }
    }
}
