use super::{cell, head};
use serde_json::Value;
use std::fmt::Write;

pub fn page() -> String {
    let mut text = head(
        "Events",
        "Everything that can be in a log, by the kind of stream that it belongs to. An event that was released keeps its name and its \
         fields; fields may be added. What is marked *private* stays in the log: it is in no topic of Kafka and in no read model. \
         The JSON Schemas and a sample of each are in `schema/events`.",
    );
    let mut category = String::new();
    for contract in contracts::contracts() {
        if contract.category.as_str() != category {
            category = contract.category.as_str().to_owned();
            writeln!(text, "\n## {category}").unwrap();
        }
        let schema = &contract.schema;
        writeln!(text, "\n### {}\n", contract.name).unwrap();
        writeln!(text, "{}\n", cell(schema["description"].as_str().unwrap_or_default())).unwrap();
        let Some(fields) = schema["properties"].as_object().filter(|fields| !fields.is_empty()) else { continue };
        text += "| field | type | |\n|---|---|---|\n";
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        for (name, field) in fields {
            let optional = if required.iter().any(|known| known == name) { "" } else { ", optional" };
            let private = if is_private(field) { " *private*" } else { "" };
            let about = cell(field["description"].as_str().unwrap_or_default());
            writeln!(text, "| `{name}` | {}{optional} | {about}{private} |", kind(field)).unwrap();
        }
    }
    text
}

fn is_private(field: &Value) -> bool {
    field[domain::PRIVATE] == Value::Bool(true)
}

/// What a schema says a field is, in a word.
fn kind(field: &Value) -> String {
    if let Some(reference) = field["$ref"].as_str() {
        return reference.rsplit('/').next().unwrap_or_default().to_owned();
    }
    if let Some(any) = field["anyOf"].as_array().or_else(|| field["oneOf"].as_array()) {
        let kinds: Vec<String> = any.iter().map(kind).filter(|kind| kind != "null").collect();
        return kinds.join(" or ");
    }
    let plain = match &field["type"] {
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => {
            kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect::<Vec<_>>().join(" or ")
        }
        _ => "any".into(),
    };
    match plain.as_str() {
        "array" => format!("list of {}", kind(&field["items"])),
        _ => field["format"].as_str().filter(|format| *format == "uuid").map_or(plain, str::to_owned),
    }
}
