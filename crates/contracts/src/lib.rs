//! The contracts of the events, as files: `schema/events/Name.vN.schema.json`, and a golden sample of each beside it.
//!
//! Schemas are generated from the types. A sample, once there, is never written again: it stands for every log that was
//! written since, so it must decode for ever, to the same JSON. `released.json` holds each sample's hash, so that none is
//! changed or removed by accident.

mod additive;
pub mod asyncapi;
mod published;
mod sample;

pub use published::private;

use base::id::Category;
use domain::{Aggregate, DecodeError, EventData, by_category};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::{fs, io};

/// The file of the samples' hashes.
pub const RELEASED: &str = "released.json";
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// One version of one event.
pub struct Contract {
    /// e.g. `SeatsHeld.v1`
    pub name: &'static str,
    pub category: Category,
    pub schema: Value,
}

/// Everything that can be in a log.
pub fn contracts() -> Vec<Contract> {
    let of_category = |category| by_category!(category, A => of::<<A as Aggregate>::Event>(category));
    Category::ALL.into_iter().flat_map(of_category).collect()
}

fn of<E: EventData>(category: Category) -> Vec<Contract> {
    let contracts = E::schemas().into_iter().map(|(name, schema)| {
        let schema = described(name, category, schema.into());
        Contract { name, category, schema }
    });
    contracts.collect()
}

/// What a sample looks like while none is there.
fn sample_of(contract: &Contract) -> Result<Value, DecodeError> {
    recoded(contract.name, contract.category, sample::of(&contract.schema).to_string().as_bytes())
}

/// With the event's name and category in front.
fn described(name: &str, category: Category, schema: Value) -> Value {
    let Value::Object(schema) = schema else { panic!("the schema of {name} is an object") };
    let mut described = Map::new();
    described.insert("$schema".into(), json!(DIALECT));
    described.insert("$id".into(), json!(format!("https://onsale.dev/schema/events/{name}.schema.json")));
    described.insert("title".into(), json!(name));
    described.insert("x-category".into(), json!(category.as_str()));
    for (field, value) in schema {
        described.entry(field).or_insert(value);
    }
    Value::Object(described)
}

fn json_of(event: &impl EventData) -> Value {
    let mut bytes = Vec::new();
    event.encode(&mut bytes);
    serde_json::from_slice(&bytes).expect("an event is JSON")
}

/// A recorded event, decoded and encoded again.
fn recoded(name: &str, category: Category, data: &[u8]) -> Result<Value, DecodeError> {
    by_category!(category, A => <A as Aggregate>::Event::decode(name, data).map(|event| json_of(&event)))
}

/// Writes the schemas into `dir`, and the samples that are not there yet. A schema that breaks with the one that is there is
/// not written: the error says how.
pub fn write(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let mut released = released(dir)?;
    for contract in contracts() {
        let before = read(&dir.join(schema_file(contract.name)))?;
        if let Some(before) = before.and_then(|text| serde_json::from_str(&text).ok()) {
            let breaks = additive::breaks(&before, &contract.schema);
            if !breaks.is_empty() {
                let (name, breaks) = (contract.name, breaks.join("; "));
                return Err(io::Error::other(format!("{name} was released: {breaks}; add a version instead")));
            }
        }
        fs::write(dir.join(schema_file(contract.name)), pretty(&contract.schema))?;
        let sample = dir.join(sample_file(contract.name));
        // One that was removed is for `check` to complain about, not to be made up again.
        if !sample.exists() && !released.contains_key(contract.name) {
            let made = sample_of(&contract).map_err(|error| {
                io::Error::other(format!("sample.rs has to learn to make a sample of this schema: {error}"))
            })?;
            fs::write(&sample, pretty(&made))?;
            released.insert(contract.name.into(), hash(&made));
        }
    }
    fs::write(dir.join(RELEASED), pretty(&json!(released)))
}

/// What is wrong in `dir`: schemas that are not what the code says, samples that are gone, changed, or no longer decode.
pub fn check(dir: &Path) -> io::Result<Vec<String>> {
    let contracts = contracts();
    let released = released(dir)?;
    let mut wrong = Vec::new();
    let mut expected = BTreeSet::from([RELEASED.to_string()]);
    for contract in &contracts {
        let (schema, sample) = (schema_file(contract.name), sample_file(contract.name));
        match read(&dir.join(&schema))? {
            None => wrong.push(format!("{schema} is missing")),
            Some(text) if text != pretty(&contract.schema) => wrong.push(format!("{schema} is not what the code says")),
            Some(_) => {}
        }
        match read(&dir.join(&sample))? {
            None => wrong.push(format!("{sample} is missing")),
            Some(text) => wrong.extend(check_sample(contract, &text, released.get(contract.name))),
        }
        expected.extend([schema, sample]);
    }
    for name in released.keys().filter(|name| contracts.iter().all(|contract| contract.name != *name)) {
        wrong.push(format!("{name} was released, and the code does not know it any more: old logs could not be read"));
    }
    for entry in fs::read_dir(dir)? {
        let file = entry?.file_name().to_string_lossy().into_owned();
        if !expected.contains(&file) {
            wrong.push(format!("{file} belongs to no event"));
        }
    }
    Ok(wrong)
}

fn check_sample(contract: &Contract, text: &str, released: Option<&String>) -> Option<String> {
    let file = sample_file(contract.name);
    let sample: Value = match serde_json::from_str(text) {
        Ok(sample) => sample,
        Err(error) => return Some(format!("{file} is not JSON: {error}")),
    };
    if released != Some(&hash(&sample)) {
        return Some(format!("{file} was changed: a sample stands for logs that were written, add a version instead"));
    }
    match recoded(contract.name, contract.category, text.as_bytes()) {
        Err(error) => Some(format!("{file} no longer decodes: {error}")),
        Ok(again) if again != sample => Some(format!("{file} decodes, but to something else: {again}")),
        Ok(_) => None,
    }
}

fn schema_file(name: &str) -> String {
    format!("{name}.schema.json")
}

fn sample_file(name: &str) -> String {
    format!("{name}.sample.json")
}

fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

fn released(dir: &Path) -> io::Result<BTreeMap<String, String>> {
    match read(&dir.join(RELEASED))? {
        None => Ok(BTreeMap::new()),
        Some(text) => Ok(serde_json::from_str(&text)?),
    }
}

/// Of the value, so that white space does not count.
fn hash(sample: &Value) -> String {
    blake3::hash(sample.to_string().as_bytes()).to_hex()[..32].to_string()
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}
