//! Whether a schema only adds to the one before: whoever reads the old one reads the new events, and the new one allows
//! every event that was written.

use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What says nothing about which data fits.
const WORDS: [&str; 5] = ["$schema", "$id", "title", "description", "examples"];

/// How `new` breaks with `old`; nothing when it does not.
pub fn breaks(old: &Value, new: &Value) -> Vec<String> {
    let mut breaks = Vec::new();
    compare(&Side { root: old, schema: old }, &Side { root: new, schema: new }, "", 0, &mut breaks);
    breaks
}

#[derive(Clone, Copy)]
struct Side<'a> {
    root: &'a Value,
    schema: &'a Value,
}

impl<'a> Side<'a> {
    fn at(self, schema: &'a Value) -> Side<'a> {
        Side { schema, ..self }
    }

    /// What a `$ref` names, with what stands beside it.
    fn resolved(self) -> Map<String, Value> {
        let mut fields = self.schema.as_object().cloned().unwrap_or_default();
        while let Some(Value::String(target)) = fields.remove("$ref") {
            let name = target.trim_start_matches("#/$defs/");
            for (field, value) in self.root["$defs"][name].as_object().into_iter().flatten() {
                fields.entry(field.clone()).or_insert_with(|| value.clone());
            }
        }
        fields
    }
}

fn compare(old: &Side<'_>, new: &Side<'_>, place: &str, depth: usize, breaks: &mut Vec<String>) {
    const DEPTH_MAX: usize = 16;
    if old.schema == new.schema && old.root["$defs"] == new.root["$defs"] || depth > DEPTH_MAX {
        return;
    }
    let (before, after) = (old.resolved(), new.resolved());
    let name = |field: &str| if place.is_empty() { field.to_owned() } else { format!("{place}.{field}") };
    let empty = Value::Object(Map::new());
    let (had, has) = (before.get("properties").unwrap_or(&empty), after.get("properties").unwrap_or(&empty));
    for (field, schema) in had.as_object().into_iter().flatten() {
        match has.get(field) {
            None => breaks.push(format!("{} is gone", name(field))),
            Some(now) => compare(&old.at(schema), &new.at(now), &name(field), depth + 1, breaks),
        }
    }
    let required = |of: &Map<String, Value>| -> BTreeSet<String> {
        let list = of.get("required").and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    for field in required(&after).difference(&required(&before)) {
        breaks.push(format!("{} must be there now", name(field)));
    }
    for field in required(&before).difference(&required(&after)) {
        breaks.push(format!("{} need not be there any more", name(field)));
    }
    if let (Some(before), Some(after)) = (before.get("items"), after.get("items")) {
        compare(&old.at(before), &new.at(after), &name("[]"), depth + 1, breaks);
    }
    let structure = ["properties", "required", "items", "$defs", "x-private", "x-category"];
    for field in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
        let compared = WORDS.contains(&field.as_str()) || structure.contains(&field.as_str());
        if compared || before.get(field).map(bare) == after.get(field).map(bare) {
            continue;
        }
        // One more of several that it can be.
        let choices = |of: &Map<String, Value>| of.get(field).and_then(Value::as_array).cloned();
        let more = match (choices(&before), choices(&after)) {
            (Some(had), Some(has)) if ["enum", "oneOf", "anyOf"].contains(&field.as_str()) => {
                let has: Vec<Value> = has.iter().map(bare).collect();
                had.iter().all(|choice| has.contains(&bare(choice)))
            }
            _ => false,
        };
        if !more {
            let place = if place.is_empty() { "it" } else { place };
            breaks.push(format!("{field} of {place} changed"));
        }
    }
}

/// Without what says nothing about the data.
fn bare(schema: &Value) -> Value {
    match schema {
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(field, _)| !WORDS.contains(&field.as_str()));
            Value::Object(kept.map(|(field, value)| (field.clone(), bare(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(bare).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn adding_is_no_break() {
        let old = json!({
            "type": "object",
            "properties": {"a": {"type": "string"}, "b": {"$ref": "#/$defs/B"}, "c": {"items": {"$ref": "#/$defs/B"}}},
            "required": ["a"],
            "$defs": {"B": {"properties": {"x": {"type": "integer"}}, "required": ["x"]}},
        });
        let with = |pointer: &str, value: Value| {
            let mut new = old.clone();
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            new.pointer_mut(parent).unwrap()[field] = value;
            new
        };
        let table: [(Value, &[&str]); 10] = [
            (old.clone(), &[]),
            (with("/properties/d", json!({"type": "string"})), &[]),
            (with("/properties/a", json!({"type": "string", "description": "more words", "x-private": true})), &[]),
            (with("/$defs/B/properties/y", json!({"type": "integer"})), &[]),
            (with("/properties/a", json!({"type": "integer"})), &["type of a changed"]),
            (with("/required", json!(["a", "b"])), &["b must be there now"]),
            (with("/required", json!([])), &["a need not be there any more"]),
            (
                with("/properties", json!({"b": {"$ref": "#/$defs/B"}, "c": {"items": {"$ref": "#/$defs/B"}}})),
                &["a is gone"],
            ),
            (with("/$defs/B/properties", json!({})), &["b.x is gone", "c.[].x is gone"]),
            (with("/properties/a", json!({"type": "string", "maxLength": 3})), &["maxLength of a changed"]),
        ];
        for (new, want) in table {
            assert_eq!(breaks(&old, &new), want, "{new}");
        }
    }

    #[test]
    fn a_choice_more_is_no_break() {
        let old = json!({"enum": ["a", "b"]});
        assert!(breaks(&old, &json!({"enum": ["a", "b", "c"]})).is_empty());
        assert_eq!(breaks(&old, &json!({"enum": ["a"]})), ["enum of it changed"]);
        let old = json!({"oneOf": [{"const": "a", "description": "x"}]});
        assert!(breaks(&old, &json!({"oneOf": [{"const": "a", "description": "y"}, {"const": "b"}]})).is_empty());
    }
}
