//! Reads settings from everywhere, and says all that is wrong with them at once.

use super::flags::Flags;
use super::given::{Findings, Given, Source, nearest};
use super::setting::Setting;
use super::{CONFIG_VARIABLE, FOREIGN_VARIABLES, SETTINGS, Serve, VARIABLE_PREFIX, file};
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

/// The effective configuration.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub serve: Serve,
    /// By place in [`SETTINGS`].
    pub values: Vec<Given>,
    /// What the command line said: it holds at every reload.
    pub flags: Flags,
    pub file: Option<PathBuf>,
    /// What looks like a mistake but keeps nobody from starting.
    pub warnings: Vec<String>,
}

/// Everything that is wrong, a line each.
#[derive(Debug)]
pub struct Invalid {
    pub lines: Vec<String>,
    /// All of it is in the command line.
    pub only_flags: bool,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}

impl std::error::Error for Invalid {}

/// Reads the file that is named, the environment and the flags, in rising order.
pub fn load(flags: &Flags, environment: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Loaded, Invalid> {
    let mut findings = Findings::default();
    let mut values: Vec<Given> =
        SETTINGS.iter().map(|setting| Given { raw: setting.preset(), source: Source::Default }).collect();
    let environment = variables(environment, &mut findings);
    let named = environment.iter().find(|(name, _)| name == CONFIG_VARIABLE).map(|(_, value)| PathBuf::from(value));
    let file = flags.file.clone().or(named);
    if let Some(path) = &file {
        file::read(path, &mut values, &mut findings);
    }
    let warnings = from_environment(&environment, &mut values, &mut findings);
    for (place, text) in &flags.given {
        let setting = &SETTINGS[*place];
        let place = &mut values[*place];
        take(setting, text, Source::Flag, place, &mut findings);
    }
    together(&mut values, &mut findings);
    let Findings { lines, beside_flags } = findings;
    match lines.is_empty() {
        true => Ok(Loaded { serve: Serve::of(&values), values, flags: flags.clone(), file, warnings }),
        false => Err(Invalid { lines: lines.into_iter().chain(warnings).collect(), only_flags: !beside_flags }),
    }
}

/// Those that start like ours and are not empty.
fn variables(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    findings: &mut Findings,
) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (name, value) in environment {
        let Ok(name) = name.into_string() else { continue };
        if !name.starts_with(VARIABLE_PREFIX) || value.is_empty() {
            continue;
        }
        match value.into_string() {
            Ok(value) => found.push((name, value)),
            Err(_) => findings.add(&Source::Variable, format!("{name} is not UTF-8")),
        }
    }
    found
}

/// Gives warnings: a variable may be of a newer version or of somebody else.
fn from_environment(environment: &[(String, String)], values: &mut [Given], findings: &mut Findings) -> Vec<String> {
    let mut warnings = Vec::new();
    for (name, text) in environment {
        let known = SETTINGS.iter().position(|setting| !setting.flag_only && setting.variable() == *name);
        if let Some(place) = known {
            take(&SETTINGS[place], text, Source::Variable, &mut values[place], findings);
        } else if !FOREIGN_VARIABLES.iter().any(|foreign| match foreign.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == foreign,
        }) {
            let names = SETTINGS.iter().filter(|setting| !setting.flag_only).map(Setting::variable);
            // What they have in common makes none of them nearer.
            let bare = |name: &str| name[VARIABLE_PREFIX.len()..].to_owned();
            let names = names.chain([CONFIG_VARIABLE.to_owned()]).map(|name| (bare(&name), name));
            let nearest = nearest(&bare(name), names);
            let hint = nearest.map_or(String::new(), |nearest| format!("; did you mean {nearest}?"));
            warnings.push(format!("{name} is no setting and is ignored{hint}"));
        }
    }
    warnings
}

/// Takes the text of a variable or a flag.
fn take(setting: &Setting, text: &str, source: Source, place: &mut Given, findings: &mut Findings) {
    let read = setting.kind.parse(text).ok_or_else(|| format!("{} is expected", setting.takes()));
    match read.and_then(|raw| setting.check(&raw).map(|()| raw)) {
        Ok(raw) => *place = Given { raw: Some(raw), source },
        Err(expected) => {
            let shown = if setting.secret { "…".into() } else { format!("{text:?}") };
            let name = match source {
                Source::Flag => format!("--{} {shown}", setting.flag()),
                _ => format!("{}={shown}", setting.variable()),
            };
            findings.add(&source, format!("{name}: {expected}"));
        }
    }
}

/// What is right by itself and wrong together.
fn together(values: &mut [Given], findings: &mut Findings) {
    let place = |field| SETTINGS.iter().position(|setting| setting.field == field).expect("a setting");
    let (certificate, key) = (place("tls_certificate"), place("tls_key"));
    if values[certificate].raw.is_some() != values[key].raw.is_some() {
        let given = if values[key].raw.is_some() { key } else { certificate };
        let line = "tls.certificate and tls.key are only of use together: set both or neither";
        findings.add(&values[given].source.clone(), line.into());
    }
    key_or_file(values, findings, place("operator_key"), place("operator_key_file"));
    key_or_file(values, findings, place("kafka_sasl_password"), place("kafka_sasl_password_file"));
    let (certificate, key) = (place("kafka_tls_certificate"), place("kafka_tls_key"));
    if values[certificate].raw.is_some() != values[key].raw.is_some() {
        let given = if values[key].raw.is_some() { key } else { certificate };
        let line = "kafka.tls_certificate and kafka.tls_key are only of use together: set both or neither";
        findings.add(&values[given].source.clone(), line.into());
    }
}

/// A secret, or the file that it is in.
fn key_or_file(values: &mut [Given], findings: &mut Findings, key: usize, file: usize) {
    if values[key].raw.is_some() && values[file].raw.is_some() {
        // Whoever is nearer to this start wins; of two that are as near neither does.
        let level = |place: usize| std::mem::discriminant(&values[place].source);
        if level(key) == level(file) {
            let (key_path, file_path) = (SETTINGS[key].path(), SETTINGS[file].path());
            let line = format!("{key_path} and {file_path} are both set: one of them is expected");
            findings.add(&values[key].source.clone(), line);
        } else if values[key].source < values[file].source {
            values[key].raw = None;
        } else {
            values[file].raw = None;
        }
    }
}
