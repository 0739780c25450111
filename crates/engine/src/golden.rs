//! The bytes that are stored as snapshots and as the ledger's copy, as they were when the format got its number: whoever
//! changes them without another number is told here, not by a server that reads an old file as a new one.
//!
//! `golden/` has the events that lead to some states, and a file for each format with its number in its name. What a format's
//! file has: the shape of each stored type (what serde is given, names of structs and fields aside), then the states' bytes.
//! `UPDATE_GOLDEN=1` writes the file of a new number; the one of a number that is there is never written again.

use crate::aggregate_store::SNAPSHOT_SCHEMA;
use crate::ledger::file::MAGIC;
use crate::ledger::sums::Sums;
use base::id::{Category, Millis, StreamId};
use domain::account::Account;
use domain::concert::Concert;
use domain::organizer::Organizer;
use domain::organizer::provider::{Algorithm, Jwks};
use domain::performance::{self, Performance, Sale};
use domain::queue::{self, Queue};
use domain::wallet::Wallet;
use domain::{Aggregate, EventData};
use eventlog::memory::MemoryLog;
use eventlog::{Batch, Log, Position};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_reflection::{ContainerFormat, Format, Named, Registry, Samples, Tracer, TracerConfig, VariantFormat};
use std::fmt::Write;
use std::path::Path;
use uuid::Uuid;

/// A line of `golden/events.jsonl`.
#[derive(Deserialize)]
struct Line {
    aggregate: String,
    at_ms: Millis,
    name: String,
    data: Box<RawValue>,
    /// What is stored after this event is in the golden file, under this name.
    state: Option<String>,
}

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"))
}

fn lines() -> Vec<Line> {
    let text = std::fs::read_to_string(folder().join("events.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The shape of an aggregate and its golden states. `text`: what a text may be for every one that is read as JSON; `enums`: a
/// look at each enum that is stored, for a look at the aggregate finds one variant of each.
fn aggregate<A: Aggregate>(lines: &[Line], text: &str, enums: fn(&mut Tracer)) -> String {
    let category = A::CATEGORY.as_str();
    let mut out = format!("{category}: {}\n", shape_of::<A>(text, enums));
    let (mut state, mut version) = (A::default(), 0);
    for line in lines.iter().filter(|line| line.aggregate == category) {
        let event = A::Event::decode(&line.name, line.data.get().as_bytes()).unwrap();
        version += 1;
        state.evolve(&event, version, line.at_ms);
        state.check();
        let Some(name) = &line.state else { continue };
        let bytes = postcard::to_stdvec(&state).unwrap();
        let mut again: A = postcard::from_bytes(&bytes).unwrap();
        again.rebuild();
        again.check();
        assert_eq!(
            postcard::to_stdvec(&again).unwrap(),
            bytes,
            "{category}, {name}: what was read is written as it was"
        );
        write_bytes(&mut out, &format!("{category}, {name}"), &bytes);
    }
    assert!(version > 0, "no events of a {category}");
    out
}

fn write_bytes(out: &mut String, name: &str, bytes: &[u8]) {
    write!(out, "\n{name}: {} bytes", bytes.len()).unwrap();
    for (at, byte) in bytes.iter().enumerate() {
        write!(out, "{}{byte:02x}", if at % 48 == 0 { "\n" } else { "" }).unwrap();
    }
    out.push('\n');
}

fn shape_of<T: DeserializeOwned>(text: &str, enums: fn(&mut Tracer)) -> String {
    let config = TracerConfig::default().default_borrowed_bytes_value(&[0; 16]).default_string_value(text.into());
    let mut tracer = Tracer::new(config);
    enums(&mut tracer);
    let (format, _) = tracer.trace_type_once::<T>(&Samples::new()).expect("a stored type can be looked at");
    let registry = tracer.registry().expect("the stored enums of this type are named in this test");
    let mut out = String::new();
    write_format(&mut out, &format, &registry, 0);
    out
}

/// Looks at an enum until all its variants are known.
fn look_at<E: DeserializeOwned>(tracer: &mut Tracer) {
    tracer.trace_simple_type::<E>().expect("an enum can be looked at");
}

/// Structs are written as the list of what they hold, so that another name is no other shape; variants by name and number.
fn write_format(out: &mut String, format: &Format, registry: &Registry, depth: usize) {
    match format {
        Format::TypeName(name) => match &registry[name] {
            ContainerFormat::UnitStruct => out.push_str("()"),
            ContainerFormat::NewTypeStruct(inner) => write_format(out, inner, registry, depth),
            ContainerFormat::TupleStruct(list) => write_list(out, list.iter(), registry, depth),
            ContainerFormat::Struct(fields) => write_list(out, values(fields), registry, depth),
            ContainerFormat::Enum(variants) => {
                for (number, variant) in variants {
                    write!(out, "{}{number} {}", if *number > 0 { " | " } else { "" }, variant.name).unwrap();
                    match &variant.value {
                        VariantFormat::NewType(inner) => write_list(out, [&**inner].into_iter(), registry, depth),
                        VariantFormat::Tuple(list) => write_list(out, list.iter(), registry, depth),
                        VariantFormat::Struct(fields) => write_list(out, values(fields), registry, depth),
                        VariantFormat::Unit | VariantFormat::Variable(_) => {}
                    }
                }
            }
        },
        Format::Option(inner) => {
            out.push_str("optional ");
            write_format(out, inner, registry, depth);
        }
        Format::Seq(inner) => {
            out.push_str("list of ");
            write_format(out, inner, registry, depth);
        }
        Format::Map { key, value } => {
            out.push_str("map of ");
            write_list(out, [&**key, &**value].into_iter(), registry, depth);
        }
        Format::Tuple(list) => write_list(out, list.iter(), registry, depth),
        Format::TupleArray { content, size } => {
            write!(out, "{size} times ").unwrap();
            write_format(out, content, registry, depth);
        }
        plain => write!(out, "{plain:?}").unwrap(),
    }
}

fn values(fields: &[Named<Format>]) -> impl Iterator<Item = &Format> {
    fields.iter().map(|field| &field.value)
}

fn write_list<'a>(out: &mut String, list: impl Iterator<Item = &'a Format>, registry: &Registry, depth: usize) {
    let indent = "  ".repeat(depth + 1);
    out.push('{');
    for format in list {
        write!(out, "\n{indent}").unwrap();
        write_format(out, format, registry, depth + 1);
    }
    write!(out, "\n{}}}", "  ".repeat(depth)).unwrap();
}

/// Compares with the file of this number, or writes it if it is wanted and not there.
#[track_caller]
fn compare(kind: &str, number: u32, raise: &str, found: &str) {
    let path = folder().join(format!("{kind}-{number}.txt"));
    match std::fs::read_to_string(&path) {
        Ok(expected) => {
            let different = expected.lines().zip(found.lines()).enumerate().find(|(_, (one, other))| one != other);
            assert!(
                expected == found,
                "What is stored is not format {number} any more ({}, first different line: {different:?}). An old file would \
                 be read as what it is not: raise {raise}, then write the new golden file with UPDATE_GOLDEN=1.",
                path.display()
            );
        }
        Err(_) if std::env::var_os("UPDATE_GOLDEN").is_some() => std::fs::write(&path, found).unwrap(),
        Err(error) => panic!("{}: {error}; UPDATE_GOLDEN=1 writes it", path.display()),
    }
}

#[test]
fn stored_aggregates_are_what_their_number_says() {
    let lines = lines();
    // As the terms of a queue are stored.
    let terms = lines.iter().find(|line| line.name == "QueueChanged.v1").expect("a queue is changed").data.get();
    let parts = [
        aggregate::<Performance>(&lines, "null", |tracer| {
            look_at::<Sale>(tracer);
            look_at::<performance::reservation::State>(tracer);
        }),
        aggregate::<Wallet>(&lines, "", |_| {}),
        aggregate::<Account>(&lines, "", |_| {}),
        aggregate::<Organizer>(&lines, "", |tracer| {
            look_at::<Algorithm>(tracer);
            look_at::<Jwks>(tracer);
        }),
        aggregate::<Concert>(&lines, "", |_| {}),
        aggregate::<Queue>(&lines, terms, look_at::<queue::State>),
    ];
    compare("snapshot", SNAPSHOT_SCHEMA, "SNAPSHOT_SCHEMA", &parts.join("\n"));
}

#[test]
fn the_ledgers_copy_is_what_its_number_says() {
    let log = MemoryLog::auto();
    for category in [Category::Performance, Category::Wallet] {
        let stream = StreamId { category, key: Uuid::from_u128(6) };
        let mut batch = Batch::new();
        for (version, line) in (1..).zip(lines().iter().filter(|line| line.aggregate == category.as_str())) {
            batch
                .push(stream, version, line.at_ms, &line.name, |out| out.extend_from_slice(line.data.get().as_bytes()));
        }
        log.append(batch, None).unwrap();
    }
    let mut sums = Sums::default();
    log.read_from(Position(0), &mut |event| sums.apply(&event).map(|()| true).unwrap()).unwrap();

    let mut found = format!("sums: {}\n", shape_of::<Sums>("", |_| {}));
    write_bytes(&mut found, "sums", &postcard::to_stdvec(&sums).unwrap());
    let number = std::str::from_utf8(MAGIC).unwrap().trim_end().rsplit(' ').next().unwrap();
    compare("ledger", number.parse().unwrap(), "the number in ledger::file::MAGIC", &found);
}
