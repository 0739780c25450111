//! The configuration as text: the effective one, and the example file that has every setting.

use super::given::{Given, Source};
use super::load::Loaded;
use super::setting::{Preset, Setting};
use super::value::Raw;
use super::{CONFIG_VARIABLE, SETTINGS};
use serde_json::{Value, json};
use std::fmt::Write;

const MASK: &str = "********";
/// Columns of a comment in the example file.
const COLUMNS: usize = 100;

impl Loaded {
    /// The effective configuration as TOML that gives the same one again, but for secrets; each value with its source.
    pub fn to_toml(&self) -> String {
        let rows = SETTINGS.iter().zip(&self.values).map(|(setting, given)| {
            let value = match (&given.raw, setting.preset) {
                (Some(_), _) if setting.secret => format!("# {} = \"{MASK}\"", setting.key()),
                (Some(raw), _) if setting.flag_only => format!("# --{}={raw}", setting.flag()),
                (Some(raw), _) => format!("{} = {raw}", setting.key()),
                (None, Preset::Nothing("")) => format!("# {} is not set", setting.key()),
                (None, Preset::Nothing(what)) => format!("# {} is not set: {what}", setting.key()),
                (None, _) => format!("# {} is not set", setting.key()),
            };
            (setting, value, self.source(setting, given))
        });
        let rows: Vec<_> = rows.collect();
        let width = rows.iter().map(|(_, value, _)| value.chars().count()).filter(|width| *width < 60).max();
        let width = width.unwrap_or_default();
        let mut text = String::new();
        let mut table = "";
        for (setting, value, source) in rows {
            if setting.table != table {
                let gap = if table.is_empty() { "" } else { "\n" };
                writeln!(text, "{gap}[{}]", setting.table).expect("a String takes every character");
                table = setting.table;
            }
            writeln!(text, "{value:width$}  # {source}").expect("a String takes every character");
        }
        text
    }

    /// The same as one JSON object: tables of `{"value": …, "source": …}`; what is not set is null, secrets are masked.
    pub fn to_json(&self) -> Value {
        let mut tables = serde_json::Map::new();
        for (setting, given) in SETTINGS.iter().zip(&self.values) {
            let value = match &given.raw {
                None => Value::Null,
                Some(_) if setting.secret => json!(MASK),
                Some(Raw::Number(number)) => json!(number),
                Some(Raw::Bool(yes)) => json!(yes),
                Some(Raw::Text(text)) => json!(text),
                Some(Raw::Fraction(number)) => json!(number.parse::<f64>().ok()),
                Some(Raw::List(items)) => json!(items),
            };
            let table = tables.entry(setting.table).or_insert_with(|| json!({}));
            table[setting.key()] = json!({"value": value, "source": self.source(setting, given)});
        }
        Value::Object(tables)
    }

    fn source(&self, setting: &Setting, given: &Given) -> String {
        match given.source {
            Source::Default => "default".into(),
            Source::File(line) => {
                let file = self.file.as_ref().map_or(String::new(), |file| file.display().to_string());
                format!("{file}:{line}")
            }
            Source::Variable => setting.variable(),
            Source::Flag => format!("--{}", setting.flag()),
        }
    }
}

/// Every setting with its doc, what it takes, its default and its other names; all of it commented out, so that the file
/// as it stands changes nothing.
pub fn example() -> String {
    let mut text = format!(
        "# Every setting of `onsale serve`, commented out, with its default. Generated: `onsale config --example`.\n\
         #\n\
         # This file is read when it is named: `--config FILE`, or {CONFIG_VARIABLE}=FILE. A variable of the environment wins\n\
         # over the file, a flag over both. `onsale config` prints what comes out, and where each value is from. On SIGHUP\n\
         # a running server reads the file again; what is marked \"reload\" changes at once, for the rest it wants a restart.\n"
    );
    let mut table = "";
    for setting in SETTINGS.iter().filter(|setting| !setting.flag_only) {
        if setting.table != table {
            writeln!(text, "\n[{}]", setting.table).expect("a String takes every character");
            table = setting.table;
        }
        text.push('\n');
        for paragraph in setting.paragraphs() {
            comment(&mut text, &format!("{}.", paragraph.trim_end_matches('.')));
        }
        let reload = if setting.reload { "; reload" } else { "" };
        let names = format!("({}; {}, --{}{reload})", setting.takes(), setting.variable(), setting.flag());
        comment(&mut text, &names);
        let default = match (setting.preset(), setting.preset) {
            (Some(raw), _) => format!("# {} = {raw}", setting.key()),
            (None, Preset::Nothing("")) => format!("# {} =", setting.key()),
            (None, Preset::Nothing(what)) => format!("# {} =  # not set: {what}", setting.key()),
            (None, _) => unreachable!("every other preset is a value"),
        };
        writeln!(text, "{default}").expect("a String takes every character");
    }
    text
}

/// A comment of lines that are short enough.
fn comment(text: &mut String, paragraph: &str) {
    let mut line = "#".to_owned();
    for word in paragraph.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > COLUMNS {
            *text += &format!("{line}\n");
            line = "#".into();
        }
        line += &format!(" {word}");
    }
    *text += &format!("{line}\n");
}
