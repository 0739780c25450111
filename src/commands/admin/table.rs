//! An answer as a person reads it: a list as a table, an object as one line per field.

use serde_json::{Map, Value};

/// Text for a terminal; empty when there is nothing to say.
pub fn text(body: &Value) -> String {
    match body {
        Value::Null => "done\n".into(),
        Value::Object(fields) => match fields.get("items").and_then(Value::as_array) {
            Some(items) => list(items),
            None => object(fields),
        },
        other => format!("{}\n", cell(other)),
    }
}

/// Its fields, and then what it has lists of.
fn object(fields: &Map<String, Value>) -> String {
    let (lists, plain): (Vec<_>, Vec<_>) = fields.iter().partition(|(_, value)| has_objects(value));
    let mut rows = Vec::new();
    for (name, value) in plain {
        flatten(name, value, &mut rows);
    }
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(name, value)| vec![name, value]).collect();
    let lists = lists.into_iter().filter_map(|(name, value)| Some(format!("\n{name}\n{}", list(value.as_array()?))));
    align(&rows) + &lists.collect::<String>()
}

fn has_objects(value: &Value) -> bool {
    value.as_array().is_some_and(|items| items.iter().any(Value::is_object))
}

fn list(items: &[Value]) -> String {
    if items.is_empty() {
        return "none\n".into();
    }
    let rows: Vec<Vec<(String, String)>> = items
        .iter()
        .map(|item| {
            let mut row = Vec::new();
            flatten("", item, &mut row);
            row
        })
        .collect();
    let mut names: Vec<&String> = Vec::new();
    for (name, _) in rows.iter().flatten() {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut lines = vec![names.iter().map(|name| name.to_uppercase()).collect::<Vec<_>>()];
    for row in &rows {
        let find =
            |name: &String| row.iter().find(|(found, _)| found == name).map_or("-".into(), |(_, value)| value.clone());
        lines.push(names.iter().map(|name| find(name)).collect());
    }
    align(&lines)
}

/// Nested objects become `key.secret`.
fn flatten(prefix: &str, value: &Value, into: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                flatten(&name, value, into);
            }
        }
        value => into.push((prefix.to_owned(), cell(value))),
    }
}

fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => "-".into(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
            items.iter().map(cell).collect::<Vec<_>>().join(",")
        }
        other => other.to_string(),
    };
    // Names come from others: what they write must not steer the terminal.
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn answers_are_tables() {
        let table = [
            (Value::Null, "done\n"),
            (json!({"items": []}), "none\n"),
            (json!({"name": "Hall", "key": {"secret": "osk_1"}}), "key.secret  osk_1\nname        Hall\n"),
            (
                json!({"items": [{"id": 1, "name": "Ä"}, {"id": 22, "more": null, "name": "B\u{1b}[2J"}], "next_cursor": null}),
                "ID  NAME   MORE\n1   Ä      -\n22  B\u{fffd}[2J  -\n",
            ),
            (json!({"id": 1, "days": [{"date": "a", "net": -1}]}), "id  1\n\ndays\nDATE  NET\na     -1\n"),
            (json!({"algorithms": ["RS256", "ES256"]}), "algorithms  RS256,ES256\n"),
        ];
        for (body, expected) in table {
            assert_eq!(text(&body), expected, "{body}");
        }
    }
}
