//! What of an event is published: everything but the fields that its type marks as private.

use super::contracts;
use domain::PRIVATE;
use serde_json::{Map, Value};
use std::collections::HashMap;

/// The definition that a `$ref` names, by its last part.
const DEFINITIONS: &str = "#/$defs/";

/// The private fields of every event that has some, by the event's name: each the names that lead to it, lists aside.
pub fn private() -> HashMap<String, Vec<Vec<String>>> {
    let mut private = HashMap::new();
    for contract in contracts() {
        let mut paths = Vec::new();
        find(&contract.schema, &contract.schema, &mut Vec::new(), &mut paths);
        if !paths.is_empty() {
            private.insert(contract.name.to_owned(), paths);
        }
    }
    private
}

fn find(root: &Value, schema: &Value, path: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
    // No event's data is deeper; a definition that holds itself would be looked at for ever.
    const DEPTH_MAX: usize = 8;
    if path.len() > DEPTH_MAX {
        return;
    }
    if let Some(name) = schema["$ref"].as_str().and_then(|target| target.strip_prefix(DEFINITIONS)) {
        find(root, &root["$defs"][name], path, paths);
    }
    for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
        path.push(field.clone());
        match schema[PRIVATE].as_bool() {
            Some(true) => paths.push(path.clone()),
            _ => find(root, schema, path, paths),
        }
        path.pop();
    }
    find_in(root, &schema["items"], path, paths);
    for list in ["anyOf", "oneOf", "allOf"] {
        for schema in schema[list].as_array().into_iter().flatten() {
            find_in(root, schema, path, paths);
        }
    }
}

fn find_in(root: &Value, schema: &Value, path: &mut Vec<String>, paths: &mut Vec<Vec<String>>) {
    if schema.is_object() {
        find(root, schema, path, paths);
    }
}

/// `schema` without what is private in it.
pub fn published(schema: &Value) -> Value {
    match schema {
        Value::Object(fields) => {
            let private: Vec<&String> = fields
                .get("properties")
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .filter(|(_, schema)| schema[PRIVATE] == Value::Bool(true))
                .map(|(field, _)| field)
                .collect();
            let kept = fields.iter().map(|(name, value)| {
                let value = match (name.as_str(), value) {
                    ("properties", Value::Object(properties)) => {
                        let kept = properties.iter().filter(|(field, _)| !private.contains(field));
                        Value::Object(kept.map(|(field, schema)| (field.clone(), published(schema))).collect())
                    }
                    ("required", Value::Array(required)) => {
                        let kept = required.iter().filter(|field| !private.iter().any(|private| *field == *private));
                        Value::Array(kept.cloned().collect())
                    }
                    (_, value) => published(value),
                };
                (name.clone(), value)
            });
            Value::Object(kept.collect::<Map<String, Value>>())
        }
        Value::Array(items) => Value::Array(items.iter().map(published).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base::id::Category;
    use serde_json::json;

    #[test]
    fn what_is_sealed_or_secret_is_marked() {
        let private = private();
        let of = |name: &str| {
            let mut paths: Vec<String> = private[name].iter().map(|path| path.join(".")).collect();
            paths.sort();
            paths
        };
        assert_eq!(of("AccountCreated.v1"), ["key", "sealed"]);
        assert_eq!(of("PasswordChanged.v1"), ["sealed"]);
        assert_eq!(of("SessionEnded.v1"), ["session"]);
        assert_eq!(of("OrganizerCreated.v1"), ["key.hash", "key.prefix"]);
        assert_eq!(of("KeyCreated.v1"), ["key.hash", "key.prefix"]);
        assert!(!private.contains_key("SeatsHeld.v1"), "what is sold most must not be taken apart");
        // Whoever seals or hashes something in an event marks it.
        for contract in contracts() {
            let text = published(&contract.schema).to_string();
            for word in ["\"hash\"", "\"password", "\"email\"", "\"visitor\":"] {
                assert!(!text.contains(word), "{} publishes {word}", contract.name);
            }
            let sealed = contract.category == Category::Account && text.contains("\"sealed\"");
            assert!(!sealed, "{} publishes what is sealed", contract.name);
        }
    }

    #[test]
    fn what_is_private_is_neither_described_nor_required() {
        let schema = json!({
            "properties": {"a": {"x-private": true}, "b": {"items": {"properties": {"c": {"x-private": true}}, "required": ["c"]}}},
            "required": ["a", "b"],
        });
        let left = json!({"properties": {"b": {"items": {"properties": {}, "required": []}}}, "required": ["b"]});
        assert_eq!(published(&schema), left);
    }
}
