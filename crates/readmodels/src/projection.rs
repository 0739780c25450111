//! A projection: one `.sql` file, the same for SQLite and PostgreSQL.
//!
//! Its `CREATE TABLE` and `CREATE INDEX` statements are the read model. All its other statements are run, in their order,
//! for every batch of events, which they find in the relation
//!
//!     events(position, stream_id, version, type, occurred_at, data, words)
//!
//! A statement that names types of events (`'SeatsHeld.v1'`) is only run for batches that have one of these.

use super::sql::{self, Kind, Token};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Characters of a table's or index' name; PostgreSQL takes 63, and a build's number comes behind it.
const NAME_CHARS_MAX: usize = 48;
/// Bytes of a file.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Projections of a folder.
const FILES_MAX: usize = 100;
/// What the projector itself calls its tables.
const RESERVED: [&str; 4] = ["events", "onsale_read_model", "onsale_builds", "onsale_parked"];
/// Begins the line that says which version of itself a file is.
const VERSION: &str = "-- version:";

macro_rules! built_in {
    ($($name:literal),+ $(,)?) => {
        /// Name and text of the projections that are part of the binary.
        const BUILT_IN: &[(&str, &str)] = &[
            $(($name, include_str!(concat!("../../../projections/", $name, ".sql")))),+
        ];
    };
}

built_in!("concerts", "performances", "queues", "reservations", "sales", "seats", "wallet_entries", "wallets",);

/// One statement of a projection.
#[derive(Clone, Debug)]
pub struct Statement {
    pub text: String,
    /// Where it stands in the file, bytes.
    pub at: usize,
    /// The types of events that it names.
    pub types: Vec<String>,
}

/// What a projection's file says.
#[derive(Clone, Debug)]
pub struct Projection {
    pub name: String,
    /// Raised by its author with every change that makes other rows.
    pub version: u64,
    /// Tells its statements from any others; comments do not count.
    pub fingerprint: String,
    /// The whole file.
    pub text: String,
    /// Where it was read, for messages.
    pub file: String,
    /// Its tables, in order.
    pub tables: Vec<String>,
    /// Names that carry a build's number: tables and indices.
    pub names: BTreeSet<String>,
    pub create_tables: Vec<Statement>,
    pub create_indices: Vec<Statement>,
    pub apply: Vec<Statement>,
}

/// A file that is no projection; the message has file, line and column.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

impl Projection {
    /// Reads a file's text. `file` is what messages call it.
    pub fn parse(name: &str, file: &str, text: &str) -> Result<Projection, Invalid> {
        let at = |at: usize, what: &str| {
            let (line, column) = sql::line_and_column(text, at);
            Invalid(format!("{file}:{line}:{column}: {what}"))
        };
        if !is_name(name) {
            return Err(at(0, &format!("a projection's name is small letters, digits and _, not {name:?}")));
        }
        let version = version_of(text).map_err(|line| at(line, "a whole number from 1 is expected after version:"))?;
        let tokens = sql::tokens(text).map_err(|unfinished| at(unfinished.at, "this quote or comment never ends"))?;
        let mut projection = Projection {
            name: name.into(),
            version,
            fingerprint: fingerprint(&tokens),
            text: text.into(),
            file: file.into(),
            tables: Vec::new(),
            names: BTreeSet::new(),
            create_tables: Vec::new(),
            create_indices: Vec::new(),
            apply: Vec::new(),
        };
        for tokens in tokens.split(|token| token.text == ";").filter(|tokens| !tokens.is_empty()) {
            projection.take(tokens, text).map_err(|(place, what)| at(place, &what))?;
        }
        if projection.tables.is_empty() {
            return Err(at(0, "there is no CREATE TABLE in it"));
        }
        Ok(projection)
    }

    fn take(&mut self, tokens: &[Token<'_>], text: &str) -> Result<(), (usize, String)> {
        let (first, last) = (tokens[0], tokens[tokens.len() - 1]);
        let types = tokens.iter().filter(|token| token.kind == Kind::Text).map(|token| token.text.trim_matches('\''));
        let statement = Statement {
            text: text[first.at..last.at + last.text.len()].into(),
            at: first.at,
            types: types.filter(|text| is_type(text)).map(str::to_owned).collect(),
        };
        let word = |index: usize| tokens.get(index).map_or(String::new(), |token| token.text.to_ascii_lowercase());
        match (word(0).as_str(), word(1).as_str(), word(2).as_str()) {
            ("create", "table", _) => {
                let name = self.add_name(tokens, 2)?;
                self.tables.push(name);
                self.create_tables.push(statement);
            }
            ("create", "index", _) => {
                self.add_name(tokens, 2)?;
                self.create_indices.push(statement);
            }
            ("create", "unique", "index") => {
                self.add_name(tokens, 3)?;
                self.create_indices.push(statement);
            }
            ("insert" | "update" | "delete" | "with", ..) => self.apply.push(statement),
            (verb, ..) => {
                let what = "CREATE TABLE, CREATE INDEX, INSERT, UPDATE, DELETE or WITH is expected";
                return Err((first.at, format!("{what}, not {verb:?}")));
            }
        }
        Ok(())
    }

    fn add_name(&mut self, tokens: &[Token<'_>], index: usize) -> Result<String, (usize, String)> {
        let token = tokens.get(index).ok_or_else(|| (tokens[0].at, "a name is missing".to_owned()))?;
        let name = token.text.to_ascii_lowercase();
        if token.kind != Kind::Word || !is_name(&name) || RESERVED.contains(&name.as_str()) {
            let what = "a name of its own in small letters, digits and _, without IF NOT EXISTS, is expected";
            return Err((token.at, format!("{what}, not {}", token.text)));
        }
        if !self.names.insert(name.clone()) {
            return Err((token.at, format!("there are two of {name}")));
        }
        Ok(name)
    }

    /// A statement for the tables of one build, and how its places lead back.
    pub fn of_build(&self, statement: &Statement, build: u64) -> (String, Vec<(usize, usize)>) {
        sql::rename(&statement.text, &self.names, &format!("__{build}"))
    }

    /// Whether rows of the table change after they came.
    pub fn updates(&self, table: &str) -> bool {
        self.apply.iter().any(|statement| {
            let text = statement.text.to_ascii_lowercase();
            let begins = |verb: &str| {
                let rest = text.strip_prefix(verb).and_then(|rest| rest.trim_start().strip_prefix(table));
                rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
            };
            begins("update ") || begins("insert into ") && text.contains("do update")
        })
    }

    /// `file:line:column` of a place in a statement.
    pub fn place(&self, statement: &Statement, at: usize) -> String {
        let (line, column) = sql::line_and_column(&self.text, statement.at + at);
        format!("{}:{line}:{column}", self.file)
    }
}

/// The ones that are built in, and those of `folder`, which may replace them, in the order of their names.
pub fn load(folder: Option<&Path>) -> Result<Vec<Projection>, Invalid> {
    let mut found = Vec::new();
    for (name, text) in BUILT_IN {
        found.push(Projection::parse(name, &format!("projections/{name}.sql"), text)?);
    }
    for path in folder.map_or(Ok(Vec::new()), files)? {
        let io = |error: std::io::Error| Invalid(format!("{}: {error}", path.display()));
        if std::fs::metadata(&path).map_err(io)?.len() > FILE_BYTES_MAX {
            return Err(Invalid(format!("{}: more than {FILE_BYTES_MAX} bytes", path.display())));
        }
        let text = std::fs::read_to_string(&path).map_err(io)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let projection = Projection::parse(&name, &path.display().to_string(), &text)?;
        found.retain(|other| other.name != projection.name);
        found.push(projection);
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    let mut names = BTreeSet::new();
    for projection in &found {
        if let Some(twice) = projection.names.iter().find(|name| !names.insert(name.as_str())) {
            return Err(Invalid(format!("{}: another projection has a {twice}, too", projection.file)));
        }
    }
    Ok(found)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, Invalid> {
    let io = |error: std::io::Error| Invalid(format!("{}: {error}", folder.display()));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|extension| extension == "sql") {
            files.push(path);
        }
    }
    files.sort();
    if files.len() > FILES_MAX {
        return Err(Invalid(format!("{}: more than {FILES_MAX} projections", folder.display())));
    }
    Ok(files)
}

/// The number on the line `-- version: 2`; 1 without such a line. The error is the place of a line that makes no sense.
fn version_of(text: &str) -> Result<u64, usize> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if let Some(number) = line.strip_prefix(VERSION) {
            return number.trim().parse().ok().filter(|version| (1..1 << 53).contains(version)).ok_or(at);
        }
        at += line.len();
    }
    Ok(1)
}

fn fingerprint(tokens: &[Token<'_>]) -> String {
    let mut hasher = blake3::Hasher::new();
    for token in tokens {
        hasher.update(token.text.as_bytes()).update(b"\n");
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=NAME_CHARS_MAX).contains(&name.len()) && name.bytes().all(fits) && !name.as_bytes()[0].is_ascii_digit()
}

/// `SeatsHeld.v1`
fn is_type(text: &str) -> bool {
    text.rsplit_once(".v").is_some_and(|(name, version)| {
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_name && !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit())
    })
}
