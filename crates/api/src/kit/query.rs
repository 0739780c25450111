//! Queries: what stands behind the question mark, with names for what is wrong.

use super::error::Problem;
use serde::de::DeserializeOwned;

/// Reads a query. What is not known, or there twice, is refused as `query`; a value that makes no sense by its name.
pub fn read<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    serde_urlencoded::from_str(query).or_else(|_| explain(query))
}

/// Reads it again, slowly, to learn where it is wrong.
fn explain<T: DeserializeOwned>(query: &str) -> Result<T, Problem> {
    let pairs = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
    serde_path_to_error::deserialize(pairs).map_err(|error| {
        let path = error.path().to_string();
        let reason = error.inner().to_string();
        let of_a_name = reason.starts_with("unknown field") || reason.starts_with("duplicate field");
        if path == "." || path == "?" || of_a_name {
            return Problem::invalid("query", reason);
        }
        let reason =
            reason.strip_prefix("UUID parsing failed").map_or_else(|| reason.clone(), |_| "must be a UUID".into());
        // A time zone's plus is a space unless it is escaped.
        let hint =
            if reason.contains("RFC 3339") && query.contains('+') { "; in a query, + is written %2B" } else { "" };
        Problem::invalid(path, format!("{reason}{hint}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::time::Time;
    use serde::Deserialize;
    use serde_json::Value;
    use uuid::Uuid;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only whether it is read")]
    struct Sample {
        from: Option<Time>,
        organizer_id: Option<Uuid>,
        limit: Option<String>,
    }

    #[test]
    fn a_wrong_query_is_refused_by_field() {
        let table = [
            ("", None),
            ("from=2026-11-21T10:00:00Z&limit=5&organizer_id=00000000-0000-4000-8000-000000000000", None),
            ("from=2026-11-21T19:00:00%2B09:00", None),
            ("from=yesterday", Some("from")),
            ("from=2026-11-21T19:00:00+09:00", Some("from")),
            ("from=", Some("from")),
            ("limit=5&organizer_id=7", Some("organizer_id")),
            ("organizer_id=", Some("organizer_id")),
            ("colour=red", Some("query")),
            ("from=2026-11-21T10:00:00Z&from=2026-11-21T10:00:00Z", Some("query")),
            ("%ff=1", Some("query")),
            ("limit=5&limit=5", Some("query")),
        ];
        for (query, field) in table {
            let problem = read::<Sample>(query).err();
            let named = problem.as_ref().and_then(|problem| problem.fields.iter().find(|(name, _)| *name == "field"));
            assert_eq!(named.and_then(|(_, field)| field.as_str()), field, "{query}: {problem:?}");
        }
        let escaped = read::<Sample>("from=2026-11-21T19:00:00+09:00").err().unwrap();
        assert!(escaped.detail.ends_with("%2B"), "{escaped}");
        let named = read::<Sample>("colour=red").err().unwrap();
        assert!(
            matches!(&named.fields[..], [("field", Value::String(_))]) && named.detail.contains("colour"),
            "{named}"
        );
    }
}
