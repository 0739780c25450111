//! Bodies that can be sent as they are, once ids are one's own: what `/docs` fills in, and what a reader copies.

use serde_json::{Map, Value, json};

/// Of an operation: each example's name, what it does, and the body.
fn of_operation(operation_id: &str) -> Vec<(&'static str, &'static str, Value)> {
    let chart = json!({
        "sections": [{"section": "A", "rows": [
            {"row": "1", "grade": "R", "seat_count": 20},
            {"row": "2", "grade": "S", "seat_count": 20, "breaks_after": ["10"]},
        ]}],
        "areas": [{"area": "Floor", "grade": "S", "capacity": 100}],
    });
    let prices = json!({"R": 300, "S": 200});
    match operation_id {
        "sign_up" => vec![(
            "password",
            "A user with a password",
            json!({"email": "ada@example.com", "password": "correct horse battery", "name": "Ada"}),
        )],
        "sign_in" => vec![
            ("password", "With a password", json!({"email": "ada@example.com", "password": "correct horse battery"})),
            (
                "id_token",
                "With a token of an organizer's identity provider",
                json!({"organizer_id": "01890a5d-ac96-774b-bcce-b302099a8057", "id_token": "eyJ…"}),
            ),
        ],
        "hold" => vec![
            ("seats", "These very seats", json!({"seats": ["A-1-1", "A-1-2"]})),
            ("best_available", "The two best seats of a grade", json!({"best_available": {"grade": "R", "count": 2}})),
            ("standing", "Two places of a standing area", json!({"area": "Floor", "count": 2})),
            (
                "group",
                "Organizers: ten seats for one of their buyers",
                json!({"best_available": {"count": 10}, "user_id": "01890a5d-ac96-774b-bcce-b302099a8057", "group": true}),
            ),
        ],
        "charge" => vec![
            (
                "for_a_user",
                "By an organizer's or the operator's key",
                json!({
                    "points": 1000, "reference": "pi_3Nc7", "user_id": "01890a5d-ac96-774b-bcce-b302099a8057",
                }),
            ),
            ("own", "By a user, where that is on", json!({"points": 1000})),
        ],
        "create_concert" => vec![(
            "concert",
            "A concert",
            json!({"title": "Winter Journey", "artist": "Ada and the Engines", "venue": "Town Hall"}),
        )],
        "create_performance" => vec![(
            "performance",
            "On sale at once, seats and standing places",
            json!({"starts_at": "2030-12-31T20:00:00Z", "prices": prices, "chart": chart}),
        )],
        "change_performance" => vec![
            ("pause", "Pause the sale", json!({"state": "paused"})),
            ("prices", "Other prices, for holds from now on", json!({"prices": {"R": 350, "S": 250}})),
        ],
        "replace_chart" => vec![
            ("chart", "Another chart", json!({"chart": chart})),
            ("with_prices", "Another chart at other prices", json!({"chart": chart, "prices": prices})),
        ],
        "validate_chart" => vec![("chart", "A chart", json!({"chart": chart}))],
        _ => Vec::new(),
    }
}

/// Adds its examples to an operation.
pub fn add(operation: &mut Value) {
    let examples = of_operation(operation["operationId"].as_str().unwrap_or_default());
    if examples.is_empty() {
        return;
    }
    let named = examples.into_iter().map(|(name, summary, value)| {
        let example = json!({"summary": summary, "value": value});
        (name.to_owned(), example)
    });
    let named: Map<String, Value> = named.collect();
    let body = operation.pointer_mut("/requestBody/content/application~1json").expect("only bodies have examples");
    body["examples"] = Value::Object(named);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buyers::{holds, sessions, users, wallet};
    use crate::catalogue::{concerts, performance_request};
    use crate::kit::body::parse;
    use crate::kit::error;
    use crate::sellers::charts;
    use std::collections::BTreeSet;

    #[test]
    fn every_example_is_read_as_its_body() {
        type Reads = fn(&[u8]) -> Result<(), error::Problem>;
        let table: [(&str, Reads); 9] = [
            ("sign_up", |body| parse::<users::SignUp>(body).map(drop)),
            ("sign_in", |body| parse::<sessions::SignIn>(body).map(drop)),
            ("hold", |body| parse::<holds::Hold>(body).map(drop)),
            ("charge", |body| parse::<wallet::Charge>(body).map(drop)),
            ("create_concert", |body| parse::<concerts::NewConcert>(body).map(drop)),
            ("create_performance", |body| parse::<performance_request::NewPerformance>(body).map(drop)),
            ("change_performance", |body| parse::<performance_request::PerformanceChange>(body).map(drop)),
            ("replace_chart", |body| parse::<charts::ChartWithPrices>(body).map(drop)),
            ("validate_chart", |body| parse::<charts::ChartWithPrices>(body).map(drop)),
        ];
        for (operation, reads) in table {
            let examples = of_operation(operation);
            assert!(!examples.is_empty(), "{operation}");
            for (name, _, body) in examples {
                let body = body.to_string();
                reads(body.as_bytes()).unwrap_or_else(|refused| panic!("{operation}, {name}: {refused}"));
            }
        }
        let document: Value = serde_json::from_str(&crate::document().text).unwrap();
        let operations = document["paths"].as_object().unwrap().values();
        let operations = operations.flat_map(|path| path.as_object().unwrap().values());
        let shown = operations
            .filter(|operation| operation.pointer("/requestBody/content/application~1json/examples").is_some())
            .map(|operation| operation["operationId"].as_str().unwrap());
        assert_eq!(shown.collect::<BTreeSet<_>>(), table.iter().map(|(operation, _)| *operation).collect());
    }
}
