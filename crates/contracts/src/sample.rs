//! A sample of an event, made of its schema: with every field that it can have.

use serde_json::{Map, Value, json};

/// The definition that a `$ref` names, by its last part.
const DEFINITIONS: &str = "#/$defs/";
/// What every id of a sample is.
const ID: &str = "0190a5d0-1111-7aaa-8bbb-000000000001";
/// 2026-11-21T10:00:00Z
const NOON_MS: u64 = 1_795_255_200_000;

/// Something that the schema describes.
pub fn of(schema: &Value) -> Value {
    value(schema, schema, "")
}

/// `name`: of the field that has it, which is what a text says.
fn value(root: &Value, schema: &Value, name: &str) -> Value {
    match schema["$ref"].as_str().and_then(|target| target.strip_prefix(DEFINITIONS)) {
        // 32 hex digits, says its description alone.
        Some("Fingerprint") => return json!(ID.replace('-', "")),
        Some(definition) => return value(root, &root["$defs"][definition], name),
        None => {}
    }
    // The last choice: the first one mostly is what a missing field means, which is not written.
    let mut choices = ["oneOf", "anyOf"].iter().filter_map(|list| schema[*list].as_array()).flatten();
    if let Some(choice) = choices.rfind(|choice| choice["type"] != "null") {
        return value(root, choice, name);
    }
    if let Some(word) = schema.get("const").or_else(|| schema["enum"].as_array()?.last()) {
        return word.clone();
    }
    let types = schema["type"].as_array().map_or_else(|| vec![&schema["type"]], |types| types.iter().collect());
    let named = types.into_iter().filter_map(Value::as_str).find(|named| *named != "null");
    match named {
        Some("object") => object(root, schema, name),
        Some("array") => json!([value(root, &schema["items"], name)]),
        Some("boolean") => json!(true),
        Some("integer") if name.ends_with("_ms") => json!(NOON_MS),
        Some("integer") => json!(1),
        Some("string") if schema["format"] == "uuid" => json!(ID),
        Some("string") => json!(name),
        _ => Value::Null,
    }
}

fn object(root: &Value, schema: &Value, name: &str) -> Value {
    let mut fields = Map::new();
    for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
        fields.insert(field.clone(), value(root, schema, field));
    }
    if schema["additionalProperties"].is_object() {
        fields.insert(name.to_owned(), value(root, &schema["additionalProperties"], name));
    }
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use crate::{contracts, sample_of};

    /// The events that there are show every way to describe one: what is made for the next decodes, too, with all its fields.
    #[test]
    fn what_is_made_of_a_schema_decodes() {
        for contract in contracts() {
            let sample = sample_of(&contract).unwrap_or_else(|error| panic!("{}: {error}", contract.name));
            let fields = contract.schema["properties"].as_object().map_or(0, |properties| properties.len());
            assert_eq!(sample.as_object().map(|sample| sample.len()), Some(fields), "{}: {sample}", contract.name);
        }
    }
}
