//! E-mail addresses: who somebody is who signs up with a password.
//!
//! Two addresses are one when their domains are the same host name (UTS 46) and the parts before the `@` differ in case,
//! width or form only (NFKC and full case folding, as UTS 46 has it). Before that rule an address was its text in small
//! letters; accounts of that time are found by what was typed then.

use crate::kit::error::Problem;
use base::text::{caseless, is_visible, nfc, nfd};
use config::EMAIL_CHARS_MAX;
use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};

/// An address that somebody typed.
#[derive(Debug, PartialEq)]
pub struct Email {
    /// As its owner sees it: in small letters, the domain readable.
    pub shown: String,
    /// Equal for addresses that are one, the text of an account's key first; then the texts that accounts of before may have
    /// as theirs.
    pub keys: Vec<String>,
}

impl Email {
    /// Only what cannot be an address is refused: whether mail arrives there, nobody can tell from its form.
    pub fn new(typed: &str) -> Result<Email, Problem> {
        Email::read(typed).ok_or_else(|| {
            let reason =
                format!("must be an e-mail address of at most {EMAIL_CHARS_MAX} characters, like ada@example.com");
            Problem::invalid("email", reason)
        })
    }

    /// Of whom signs in: also what could be an address before, and has an account if one was made then.
    pub fn of_account(typed: &str) -> Result<Vec<String>, Problem> {
        match Email::new(typed) {
            Ok(email) => Ok(email.keys),
            Err(_) if fitted_before(typed) => Ok(vec![key_before(typed)]),
            Err(problem) => Err(problem),
        }
    }

    fn read(typed: &str) -> Option<Email> {
        let typed = typed.trim();
        let (local, domain) = typed.split_once('@').filter(|(local, _)| !local.is_empty())?;
        if nfc(typed).chars().count() > EMAIL_CHARS_MAX || !local.chars().all(is_of_local) {
            return None;
        }
        let (rules, hyphens) = (Uts46::new(), Hyphens::CheckFirstLast);
        let host = rules.to_ascii(domain.as_bytes(), AsciiDenyList::STD3, hyphens, DnsLength::Verify).ok()?;
        let (readable, read) = rules.to_unicode(domain.as_bytes(), AsciiDenyList::STD3, hyphens);
        read.ok()?;
        let small = nfc(local).to_lowercase();
        let mut keys = vec![format!("{}@{host}", caseless(local))];
        if !typed.is_ascii() || *readable != *host {
            let forms = [&*readable, &*host].map(|domain| format!("{small}@{domain}"));
            let apart = forms.each_ref().map(|form| nfd(form).into_owned());
            for before in [key_before(typed)].into_iter().chain(forms).chain(apart) {
                if !keys.contains(&before) {
                    keys.push(before);
                }
            }
        }
        Some(Email { shown: nfc(&format!("{small}@{readable}")).into_owned(), keys })
    }
}

/// RFC 5322's atoms and dots, wherever they are, and what RFC 6531 adds: everything beyond ASCII that can be seen.
fn is_of_local(c: char) -> bool {
    match c.is_ascii() {
        true => c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c),
        false => is_visible(c),
    }
}

fn key_before(typed: &str) -> String {
    typed.trim().to_lowercase()
}

fn fitted_before(typed: &str) -> bool {
    let email = key_before(typed);
    let host = email.rsplit_once('@').filter(|(local, _)| !local.is_empty());
    email.chars().count() <= EMAIL_CHARS_MAX
        && host.is_some_and(|(_, host)| host.split('.').all(|label| !label.is_empty()))
        && !email.chars().any(|c| c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(typed: &str) -> String {
        Email::new(typed).unwrap().keys.swap_remove(0)
    }

    #[test]
    fn one_address_is_one_however_it_is_typed() {
        let table: [(&[&str], &str, &str); 6] = [
            (&[" Ada@Example.COM ", "ada@example.com", "ADA@EXAMPLE.com\n"], "ada@example.com", "ada@example.com"),
            (
                &["x@bücher.de", "X@BÜCHER.DE", "x@bu\u{308}cher.de", "x@xn--bcher-kva.de", "x@XN--BCHER-KVA.de"],
                "x@xn--bcher-kva.de",
                "x@bücher.de",
            ),
            (&["josé@example.com", "JOSE\u{301}@example.com"], "josé@example.com", "josé@example.com"),
            (&["ada@ｅｘａｍｐｌｅ。com"], "ada@example.com", "ada@example.com"),
            (&["a@b"], "a@b", "a@b"),
            (&["x@faß.de"], "x@xn--fa-hia.de", "x@faß.de"),
        ];
        for (same, expected, shown) in table {
            for typed in same {
                assert_eq!(key(typed), expected, "{typed:?}");
                assert_eq!(Email::new(typed).unwrap().shown, shown, "{typed:?}");
            }
        }
        assert_eq!(key("straße@example.com"), key("STRASSE@example.com"));
        assert_ne!(key("x@faß.de"), key("x@fass.de"));
        for kept in ["a..b.@docomo.ne.jp", "ada+tickets@example.com", "o'neil@example.com", "用户@例子.广告"] {
            assert!(Email::new(kept).is_ok(), "{kept}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@example.com", "a".repeat(243));
        let wrong = [
            "",
            "ada",
            "@example.com",
            "ada@",
            "ada@.com",
            "ada@example..com",
            "ada@example.com.",
            "a da@example.com",
            &long,
            "a@b@c.de",
            "<a@b.de>",
            "mailto:a@b.de",
            "Ada <a@b.de>",
            "a@b.de,c@d.de",
            "a;b@c.de",
            "\"a b\"@c.de",
            "a\u{200b}@b.de",
            "a\u{202e}@b.de",
            "a@b_c.de",
            "a@-b.de",
            "a@xn--99999999.de",
            "a@[127.0.0.1]",
            "a\t@b.de",
        ];
        for typed in wrong {
            assert!(Email::new(typed).is_err(), "{typed:?}");
        }
    }

    #[test]
    fn accounts_of_before_are_looked_for_under_what_was_typed_then() {
        assert_eq!(Email::new("Ada@example.com").unwrap().keys, ["ada@example.com"]);
        for (typed, before) in [
            ("x@bücher.de", "x@bücher.de"),
            ("x@xn--bcher-kva.de", "x@bücher.de"),
            ("x@xn--bcher-kva.de", "x@bu\u{308}cher.de"),
            ("jose\u{301}@example.com", "jose\u{301}@example.com"),
            ("josé@example.com", "jose\u{301}@example.com"),
            ("Straße@example.com", "straße@example.com"),
        ] {
            assert!(Email::new(typed).unwrap().keys[1..].contains(&before.to_owned()), "{typed:?} {before:?}");
        }
        assert_eq!(Email::of_account("A@b@c.de").unwrap(), ["a@b@c.de"]);
        assert!(Email::of_account("nobody").is_err());
    }
}
