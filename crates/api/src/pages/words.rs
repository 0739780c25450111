//! The texts of the pages, by language. A third language is one file in `crates/api/pages/words`, and its line here.

use super::html::escaped;
use actix_web::http::header::{ACCEPT_LANGUAGE, HeaderMap};
use rustc_hash::FxHashMap;
use std::sync::LazyLock;

/// By the language's tag; the first one is of those who ask for none of them.
pub const FILES: &[(&str, &str)] =
    &[("en", include_str!("../../pages/words/en.json")), ("ko", include_str!("../../pages/words/ko.json"))];

type Texts = FxHashMap<String, String>;

static LANGUAGES: LazyLock<Vec<Language>> = LazyLock::new(|| {
    let read = |text| serde_json::from_str(text).expect("a file of words is one object of texts");
    FILES.iter().map(|(tag, text)| Language { tag, texts: read(text) }).collect()
});

/// One language.
pub struct Language {
    pub tag: &'static str,
    texts: Texts,
}

impl Language {
    pub fn all() -> &'static [Language] {
        &LANGUAGES
    }

    /// The one that a browser likes best (RFC 9110, 12.5.4).
    pub fn of(headers: &HeaderMap) -> &'static Language {
        let lists = headers.get_all(ACCEPT_LANGUAGE).filter_map(|list| list.to_str().ok());
        let mut best = (0.0, &LANGUAGES[0]);
        for range in lists.flat_map(|list| list.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let tag = parts.next().unwrap_or_default().split('-').next().unwrap_or_default();
            let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse::<f32>().ok());
            let known = LANGUAGES.iter().find(|language| language.tag.eq_ignore_ascii_case(tag));
            if let (Some(known), Some(weight)) = (known, weight)
                && weight > best.0
            {
                best = (weight, known);
            }
        }
        best.1
    }

    /// A text as HTML, with these values.
    pub fn filled(text: &str, values: &[(&str, &str)]) -> String {
        let fill = |text: String, (name, value): &(&str, &str)| text.replace(&format!("{{{name}}}"), value);
        escaped(&values.iter().fold(text.to_owned(), fill))
    }

    /// The word as HTML, with these values.
    pub fn say(&self, word: &str, values: &[(&str, &str)]) -> String {
        let text = self.texts.get(word).unwrap_or_else(|| panic!("there is no word {word}"));
        Language::filled(text, values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    /// The names in braces, sorted.
    fn values(text: &str) -> Vec<&str> {
        let mut names: Vec<&str> = text.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn every_language_says_everything() {
        let [first, others @ ..] = Language::all() else { panic!("no language") };
        for other in others {
            for (word, text) in &first.texts {
                let found = other.texts.get(word).unwrap_or_else(|| panic!("{} lacks {word}", other.tag));
                assert_eq!(values(found), values(text), "{} {word}", other.tag);
                assert!(!found.trim().is_empty(), "{} {word}", other.tag);
            }
            assert_eq!(other.texts.len(), first.texts.len(), "{} has words that are not used", other.tag);
        }
    }

    #[test]
    fn a_browser_gets_the_language_that_it_likes_best() {
        let table = [
            ("ko-KR,ko;q=0.9,en;q=0.8", "ko"),
            ("en-US,en;q=0.9,ko;q=0.8", "en"),
            ("fr, KO;q=0.4, en;q=0.3", "ko"),
            ("fr", "en"),
            ("ko;q=0, en;q=0.1", "en"),
            ("ko;q=much", "en"),
            ("", "en"),
        ];
        for (given, tag) in table {
            let request = TestRequest::default().insert_header((ACCEPT_LANGUAGE, given)).to_http_request();
            assert_eq!(Language::of(request.headers()).tag, tag, "{given}");
        }
    }

    #[test]
    fn what_is_filled_in_is_text() {
        let said = Language::all()[0].say("turn_soon", &[("seconds", "<b>")]);
        assert_eq!(said, "Going in by itself in &lt;b&gt; s.");
    }
}
