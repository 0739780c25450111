//! Events as projections see them: without what may not leave the log.

use base::id::Category;
use base::text::{is_of_word, search_form};
use eventlog::{Position, Recorded};
use kafka::record::{Private, without};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

/// Characters of a word that is searched for; of a longer one, its start.
pub const WORD_CHARS_MAX: usize = 24;
/// Words of one event's texts.
const WORDS_MAX: usize = 60;
/// Whose texts are searched: of events of concerts.
const SEARCHED: [&str; 3] = ["title", "artist", "venue"];

/// A row of the relation `events`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub position: Position,
    /// `category-uuid`
    pub stream_id: String,
    pub version: u64,
    /// E.g. `SeatsHeld.v1`.
    pub kind: Arc<str>,
    /// ms since 1970.
    pub occurred_at: u64,
    /// JSON.
    pub data: String,
    /// A JSON array: the starts of all words of what is searched for; null of events that have no such texts.
    pub words: Option<String>,
}

/// Makes rows of recorded events, of what may leave the log: everything but the fields that are marked as private, so that
/// rows are the same whether events come from the log or from Kafka.
pub struct Rows {
    kinds: Vec<Arc<str>>,
    private: Arc<Private>,
}

/// What is private never changes while a process runs, and is read off all schemas.
static PRIVATE: LazyLock<Arc<Private>> = LazyLock::new(|| Arc::new(contracts::private()));

impl Default for Rows {
    fn default() -> Self {
        Rows { kinds: Vec::new(), private: PRIVATE.clone() }
    }
}

impl Rows {
    /// The event's row.
    pub fn row(&mut self, event: &Recorded<'_>) -> Event {
        let data = match self.private.get(event.name) {
            None => Cow::Borrowed(event.data),
            Some(paths) => Cow::Owned(without(event.data, paths)),
        };
        let data = without_nul(String::from_utf8_lossy(&data).into_owned());
        let words = (event.stream.category == Category::Concert).then(|| words_of(&data));
        Event {
            position: event.position,
            stream_id: event.stream.to_string(),
            version: event.version,
            kind: self.kind(event.name),
            occurred_at: event.at_ms,
            data,
            words,
        }
    }

    fn kind(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.kinds.iter().find(|kind| &***kind == name) {
            return known.clone();
        }
        let kind: Arc<str> = name.into();
        self.kinds.push(kind.clone());
        kind
    }
}

/// PostgreSQL's texts cannot have the character NUL; both databases get the replacement character.
fn without_nul(data: String) -> String {
    if !data.contains("\\u0000") {
        return data;
    }
    let Ok(mut value) = serde_json::from_str::<Value>(&data) else { return data };
    replace_nul(&mut value);
    value.to_string()
}

fn replace_nul(value: &mut Value) {
    match value {
        Value::String(text) => *text = text.replace('\0', "\u{fffd}"),
        Value::Array(items) => items.iter_mut().for_each(replace_nul),
        Value::Object(fields) => fields.values_mut().for_each(replace_nul),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn words_of(data: &str) -> String {
    let data: Value = serde_json::from_str(data).unwrap_or_default();
    let texts = SEARCHED.iter().filter_map(|field| data.get(field)?.as_str());
    let words: BTreeSet<String> = texts.flat_map(words).take(WORDS_MAX).collect();
    let mut starts = BTreeSet::new();
    for word in &words {
        let ends = word.char_indices().map(|(at, c)| at + c.len_utf8());
        starts.extend(ends.map(|end| &word[..end]));
    }
    serde_json::to_string(&starts).expect("texts are JSON")
}

/// The words of a text in the form in which they are compared ([`base::text::search_form`]), cut to [`WORD_CHARS_MAX`].
pub fn words(text: &str) -> impl Iterator<Item = String> {
    let form = search_form(text);
    let words = form.split(|c: char| !is_of_word(c)).filter(|word| !word.is_empty());
    words.map(|word| word.chars().take(WORD_CHARS_MAX).collect()).collect::<Vec<String>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::id::StreamId;
    use uuid::Uuid;

    fn row(category: Category, name: &str, data: &str) -> Event {
        let stream = StreamId { category, key: Uuid::from_u128(7) };
        let event = Recorded { position: Position(1), stream, version: 1, at_ms: 5, name, data: data.as_bytes() };
        Rows::default().row(&event)
    }

    #[test]
    fn what_tells_who_somebody_is_stays() {
        let created = row(Category::Account, "AccountCreated.v1", r#"{"key":"k","sealed":"x","user_id":"u"}"#);
        assert_eq!(created.data, r#"{"user_id":"u"}"#);
        let created = row(Category::Organizer, "OrganizerCreated.v1", r#"{"key":{"hash":"93f8"},"name":"Hall"}"#);
        assert_eq!(created.data, r#"{"key":{},"name":"Hall"}"#);
        let admitted =
            row(Category::Queue, "EntriesAdmitted.v1", r#"{"entries":[{"subject":"ada@example.com","ticket":1}]}"#);
        assert_eq!(admitted.data, r#"{"entries":[{"ticket":1}]}"#);
    }

    #[test]
    fn texts_are_found_by_the_starts_of_their_words() {
        let event =
            row(Category::Concert, "ConcertCreated.v1", r#"{"title":"Élan! 겨울","artist":"Élan","venue":"-"}"#);
        assert_eq!(event.words.unwrap(), r#"["é","él","éla","élan","겨","겨울"]"#);
    }

    #[test]
    fn words_are_compared_without_case_width_and_form() {
        let all = |text: &str| words(text).collect::<Vec<_>>();
        for (text, expected) in [
            ("E\u{301}LAN vital", "élan vital"),
            ("ＡＢＢＡ", "abba"),
            ("Straße STRASSE", "strasse strasse"),
            ("DİYARBAKIR Diyarbakır", "diyarbakir diyarbakir"),
            ("ΟΔΥΣΣΕΥΣ Οδυσσευς", "οδυσσευσ οδυσσευσ"),
            ("नमस्ते दुनिया", "नमस्ते दुनिया"),
            ("น\u{e49}\u{e33}", "น\u{e49}\u{e4d}า"),
            ("Rock&Roll 5½", "rock roll 51 2"),
        ] {
            assert_eq!(all(text).join(" "), expected, "{text:?}");
        }
    }

    #[test]
    fn a_nul_becomes_what_both_databases_take() {
        let event = row(Category::Wallet, "PointsCharged.v1", r#"{"reference":"a\u0000b","c":"\\u0000"}"#);
        let data: Value = serde_json::from_str(&event.data).unwrap();
        assert_eq!((&data["reference"], &data["c"]), (&"a\u{fffd}b".into(), &"\\u0000".into()));
    }
}
