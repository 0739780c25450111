//! The TOML file: tables of settings, with the line of everything that is wrong in it.

use super::SETTINGS;
use super::given::{Findings, Given, Source, nearest};
use super::setting::Setting;
use super::value::{Kind, Raw};
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Bytes of a configuration file: whatever is longer is something else.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Takes what the file says.
pub(super) fn read(path: &Path, values: &mut [Given], findings: &mut Findings) {
    let text = match text_of(path) {
        Ok(text) => text,
        Err(error) => return findings.add(&Source::File(0), format!("cannot read {}: {error}", path.display())),
    };
    let mut reading = Reading { text: &text, values, wrong: Vec::new() };
    let (tables, errors) = DeTable::parse_recoverable(&text);
    for error in errors {
        let message = error.message().replace('\n', ", ");
        reading.complain(&error.span().unwrap_or_default(), message);
    }
    for (name, value) in tables.into_inner() {
        reading.table(&name, value);
    }
    reading.wrong.sort();
    for (line, what) in reading.wrong {
        findings.add(&Source::File(line), format!("{}:{line}: {what}", path.display()));
    }
}

fn text_of(path: &Path) -> std::io::Result<String> {
    // Read, not asked for its length: a device has none.
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    match text.len() as u64 > FILE_BYTES_MAX {
        true => Err(std::io::Error::other(format!("it is longer than {FILE_BYTES_MAX} bytes"))),
        false => Ok(text),
    }
}

struct Reading<'a> {
    text: &'a str,
    values: &'a mut [Given],
    /// By line, which is not the order that the parser gives.
    wrong: Vec<(usize, String)>,
}

impl Reading<'_> {
    /// From 1.
    fn line(&self, span: &Range<usize>) -> usize {
        self.text.as_bytes()[..span.start.min(self.text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
    }

    fn complain(&mut self, span: &Range<usize>, what: String) {
        let line = self.line(span);
        self.wrong.push((line, what));
    }

    fn table(&mut self, name: &Spanned<std::borrow::Cow<'_, str>>, value: Spanned<DeValue<'_>>) {
        let table = name.get_ref().as_ref();
        let known = in_files().any(|setting| setting.table == table);
        let DeValue::Table(entries) = value.into_inner() else {
            let what = match known {
                true => format!("{table} is a table: [{table}]"),
                false => unknown(table),
            };
            return self.complain(&name.span(), what);
        };
        if !known {
            let near = nearest(table, in_files().map(|setting| (setting.table.to_owned(), setting.table)));
            let hint = near.map_or(String::new(), |near| format!("; did you mean [{near}]?"));
            return self.complain(&name.span(), format!("[{table}] is no table of settings{hint}"));
        }
        for (key, value) in entries {
            let path = format!("{table}.{}", key.get_ref());
            match SETTINGS.iter().position(|setting| !setting.flag_only && setting.path() == path) {
                Some(place) => self.setting(place, &key.span(), value.get_ref()),
                None => self.complain(&key.span(), unknown(&path)),
            }
        }
    }

    fn setting(&mut self, place: usize, span: &Range<usize>, value: &DeValue<'_>) {
        let setting = &SETTINGS[place];
        let raw = raw(setting.kind, value).ok_or_else(|| format!("{} is expected", setting.takes()));
        match raw.and_then(|raw| setting.check(&raw).map(|()| raw)) {
            Ok(raw) => self.values[place] = Given { raw: Some(raw), source: Source::File(self.line(span)) },
            Err(expected) => {
                let shown = if setting.secret { "…".into() } else { shown(value) };
                self.complain(span, format!("{} = {shown}: {expected}", setting.path()));
            }
        }
    }
}

fn in_files() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(|setting| !setting.flag_only)
}

/// Says what was probably meant: the same key in another table, a key of this table, or one that is called so as a flag.
fn unknown(path: &str) -> String {
    let (table, key) = path.rsplit_once('.').unwrap_or(("", path));
    let elsewhere = in_files().find(|setting| setting.key() == key || setting.field == key).map(Setting::path);
    let here =
        in_files().filter(|setting| setting.table == table).map(|setting| (setting.key().to_owned(), setting.path()));
    let flags = in_files().map(|setting| (setting.field.to_owned(), setting.path()));
    let meant = elsewhere.or_else(|| nearest(key, here)).or_else(|| nearest(key, flags));
    let hint = meant.map_or(String::new(), |meant| format!("; did you mean {meant}?"));
    format!("{path} is no setting{hint}")
}

/// The value, if it is of this kind.
fn raw(kind: Kind, value: &DeValue<'_>) -> Option<Raw> {
    match (kind, value) {
        (Kind::Number { .. }, DeValue::Integer(number)) => {
            u64::from_str_radix(number.as_str(), number.radix()).ok().map(Raw::Number)
        }
        (Kind::Bool, DeValue::Boolean(yes)) => Some(Raw::Bool(*yes)),
        (Kind::Text | Kind::Choice(_), DeValue::String(text)) => Some(Raw::Text(text.to_string())),
        (Kind::Fraction, DeValue::Float(number)) => Kind::Fraction.parse(number.as_str()),
        (Kind::Fraction, DeValue::Integer(number)) => Kind::Fraction.parse(number.as_str()),
        (Kind::List, DeValue::Array(items)) => {
            let texts = items.iter().map(|item| item.get_ref().as_str().map(str::to_owned));
            texts.collect::<Option<Vec<_>>>().map(Raw::List)
        }
        _ => None,
    }
}

fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => Raw::Text(text.to_string()).to_string(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(yes) => yes.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) => "[…]".into(),
        DeValue::Table(_) => "{…}".into(),
    }
}
