//! The AsyncAPI document of what is published through Kafka: a channel per category, a message per event.

use super::published::published;
use super::{contracts, pretty};
use base::id::Category;
use serde_json::{Map, Value, json};

/// What topics are called here; an installation may choose another word before the dot.
const PREFIX: &str = "onsale";

/// `schema/asyncapi.json`.
pub fn text() -> String {
    pretty(&document())
}

fn document() -> Value {
    let (mut channels, mut operations, mut messages, mut schemas) = (Map::new(), Map::new(), Map::new(), Map::new());
    let contracts = contracts();
    for category in Category::ALL {
        let category_name = category.as_str();
        let of_it = contracts.iter().filter(|contract| contract.category == category);
        let mut listed = Map::new();
        for contract in of_it {
            let reference = json!({"$ref": format!("#/components/messages/{}", contract.name)});
            listed.insert(contract.name.into(), reference);
            messages.insert(contract.name.into(), message(contract.name, category, &contract.schema));
            adopt(&mut schemas, contract.name, published(&contract.schema));
        }
        let address = format!("{PREFIX}.{category_name}");
        channels.insert(
            category_name.into(),
            json!({
                "address": address,
                "description": format!(
                    "Everything that happens to a {category_name}, in the order in which it happened to it. Another prefix \
                     can be set: kafka.prefix."
                ),
                "messages": listed,
                "bindings": {"kafka": {"topicConfiguration": {"cleanup.policy": ["delete"], "retention.ms": -1}}},
            }),
        );
        operations.insert(
            format!("publish-{category_name}"),
            json!({"action": "send", "channel": {"$ref": format!("#/channels/{category_name}")}}),
        );
    }
    json!({
        "asyncapi": "3.0.0",
        "id": "urn:onsale:events",
        "info": {
            "title": "Onsale's events",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What happened, as CloudEvents 1.0 in the Kafka binding's binary mode. A record's key is its stream, and a \
                stream is in one partition: its events come in order and without gaps (ce_streamversion). ce_position is the event's \
                place in the log. Now and then a record comes twice: a reader that drops what is not behind the last ce_position that \
                it has seen, by ce_logid and partition, has each once. New fields and new events are added without notice; anything \
                else is another version of the event, with a name of its own.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "local": {
                "host": "localhost:9092",
                "protocol": "kafka",
                "description": "The broker of compose.yaml; yours is what kafka.brokers says.",
            },
        },
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": schemas, "messageTraits": {"cloudEvent": cloud_event()}},
    })
}

fn message(name: &str, category: Category, schema: &Value) -> Value {
    let key = format!("^{}-[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}$", category.as_str());
    json!({
        "name": name,
        "title": name,
        "summary": schema["description"].as_str().unwrap_or_default(),
        "contentType": "application/json",
        "payload": {"$ref": format!("#/components/schemas/{name}")},
        "bindings": {"kafka": {"key": {"type": "string", "pattern": key}}},
        "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}],
    })
}

/// The headers, all of them texts.
fn cloud_event() -> Value {
    let fields = [
        ("ce_specversion", json!({"const": "1.0"})),
        ("ce_id", json!({"description": "The position: unique within ce_source", "pattern": "^[1-9][0-9]*$"})),
        ("ce_source", json!({"description": "The log, as urn:uuid:…", "format": "uri"})),
        ("ce_type", json!({"description": "The event's name and version, e.g. SeatsHeld.v1"})),
        ("ce_time", json!({"description": "When it happened", "format": "date-time"})),
        ("ce_subject", json!({"description": "The stream, category-uuid; also the record's key"})),
        (
            "ce_position",
            json!({"description": "Place in the log, rising; others are in between", "pattern": "^[1-9][0-9]*$"}),
        ),
        ("ce_logid", json!({"description": "Which log: another one counts its positions anew", "format": "uuid"})),
        (
            "ce_streamversion",
            json!({"description": "The event's number within its stream: 1, 2, 3 …", "pattern": "^[1-9][0-9]*$"}),
        ),
        ("content-type", json!({"const": "application/json"})),
    ];
    // CloudEvents' extension for distributed tracing; and without prefix what clients of Kafka that trace look for.
    let parent = "The trace and the span of the request that the event comes from, as W3C Trace Context has it, while the server \
        remembers it: where its caller sent one, or it was sampled";
    let state = "What others said of that trace, unchanged";
    let traces = [("traceparent", parent), ("tracestate", state)];
    let traces = traces.map(|(name, description)| {
        [format!("ce_{name}"), name.to_owned()]
            .map(|name| (name, json!({"type": "string", "description": description})))
    });
    let mut properties: Map<String, Value> = traces.into_iter().flatten().collect();
    for (name, mut schema) in fields.clone() {
        schema["type"] = json!("string");
        properties.insert(name.into(), schema);
    }
    let required: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    json!({"headers": {"type": "object", "properties": properties, "required": required}})
}

/// Takes over an event's schema, and its definitions as schemas of their own.
fn adopt(schemas: &mut Map<String, Value>, name: &str, schema: Value) {
    let Value::Object(mut schema) = schema else { panic!("the schema of {name} is an object") };
    for (definition, schema) in schema.remove("$defs").and_then(|found| found.as_object().cloned()).unwrap_or_default()
    {
        let schema = hoisted(schema);
        let before = schemas.insert(definition.clone(), schema.clone());
        assert!(before.is_none_or(|before| before == schema), "two different definitions are called {definition}");
    }
    schema.remove("$schema");
    schema.remove("$id");
    schemas.insert(name.into(), hoisted(Value::Object(schema)));
}

/// With references to where definitions are in the document.
fn hoisted(schema: Value) -> Value {
    match schema {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(name, value)| match value {
                    Value::String(target) if name == "$ref" => {
                        (name, json!(target.replace("#/$defs/", "#/components/schemas/")))
                    }
                    value => (name, hoisted(value)),
                })
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(hoisted).collect()),
        other => other,
    }
}
