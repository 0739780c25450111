use super::{cell, head};
use serde_json::Value;
use std::fmt::Write;

const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

pub fn page() -> String {
    let document: Value = serde_json::from_str(&api::document().text).unwrap();
    let mut text = head(
        "HTTP",
        "Every path, in short. `/openapi.json` of each server (and `schema/openapi.json`) has all fields with their limits, and \
         `/docs` shows them in a browser. Refusals that any route may give are in [Calling the API](../guides/integrate.md); \
         each name is in the [list of problems](problems.md).",
    );
    for tag in document["tags"].as_array().unwrap() {
        let name = tag["name"].as_str().unwrap();
        writeln!(text, "\n## {name}\n\n{}", tag["description"].as_str().unwrap_or_default()).unwrap();
        for (path, item) in document["paths"].as_object().unwrap() {
            for method in METHODS {
                let operation = &item[method];
                if operation["tags"].as_array().is_some_and(|tags| tags.iter().any(|tag| tag == name)) {
                    describe(&mut text, method, path, operation);
                }
            }
        }
    }
    text
}

fn describe(text: &mut String, method: &str, path: &str, operation: &Value) {
    writeln!(text, "\n### {} {path}\n", method.to_uppercase()).unwrap();
    writeln!(text, "**{}.** Asked by {}.", operation["summary"].as_str().unwrap_or_default(), who(operation)).unwrap();
    if let Some(about) = operation["description"].as_str() {
        writeln!(text, "\n{}", about.replace('<', "&lt;")).unwrap();
    }
    let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
    let parameters = parameters.iter().filter(|parameter| parameter["in"] != "path").map(|parameter| {
        let required = if parameter["required"] == true { ", required" } else { "" };
        format!(
            "`{}` ({}{required})",
            parameter["name"].as_str().unwrap_or_default(),
            parameter["in"].as_str().unwrap()
        )
    });
    let parameters: Vec<String> = parameters.collect();
    if !parameters.is_empty() {
        writeln!(text, "\nTakes {}.", parameters.join(", ")).unwrap();
    }
    text.push('\n');
    for (status, response) in operation["responses"].as_object().unwrap() {
        // What every route has in common is not said at each.
        if let Some(about) = response["description"].as_str() {
            writeln!(text, "- {status}: {}", cell(about)).unwrap();
        }
    }
}

/// Whose credential a route wants.
fn who(operation: &Value) -> String {
    let Some(schemes) = operation["security"].as_array().filter(|schemes| !schemes.is_empty()) else {
        return "anyone".into();
    };
    let names = schemes.iter().map(|scheme| {
        let names: Vec<&str> = scheme.as_object().unwrap().keys().map(String::as_str).collect();
        if names.is_empty() { "anyone".into() } else { names.join(" and ") }
    });
    names.collect::<Vec<String>>().join(", ")
}
