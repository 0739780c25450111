//! Texts that people give: which are taken, and what is said of those that are not.

/// A field that makes no sense, by the name that it has for the caller, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// e.g. `chart.sections[2].rows[0].grade`
    pub field: String,
    pub reason: String,
}

impl Invalid {
    pub(crate) fn new(field: impl Into<String>, reason: impl Into<String>) -> Invalid {
        Invalid { field: field.into(), reason: reason.into() }
    }

    /// Why a text is refused that does not fit: see [`text_fits`].
    pub(crate) fn text(field: &str, chars_max: usize) -> Invalid {
        let reason = format!("must have 1 to {chars_max} characters and none that are invisible or of control");
        Invalid::new(field, reason)
    }
}

/// Whether a text is not blank, has at most `chars_max` characters and none that mislead.
pub(crate) fn text_fits(text: &str, chars_max: usize) -> bool {
    !text.trim().is_empty() && text.chars().count() <= chars_max && base::text::misleading(text).is_none()
}

/// Whether it is an https URL (http for this machine only) that no browser reads in another way than we do: people may be sent
/// there.
pub(crate) fn is_plain_url(url: &str) -> bool {
    let plain = url.bytes().all(|byte| byte.is_ascii_graphic());
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
            assert_eq!(is_plain_url(url), fits, "{url}");
        }
    }
}
