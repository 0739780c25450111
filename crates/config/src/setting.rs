//! One setting: where it stands, what it takes, and what it is called in a file, in the environment and as a flag.

use super::value::{Kind, Raw};
use std::ops::RangeInclusive;

/// What every variable of ours starts with.
pub const VARIABLE_PREFIX: &str = "ONSALE_";

/// What a setting is when nobody sets it.
#[derive(Clone, Copy, Debug)]
pub enum Preset {
    /// Nothing; the text says what happens then.
    Nothing(&'static str),
    Text(&'static str),
    Number(u64),
    Bool(bool),
    /// A number between whole ones, as it is written.
    Fraction(&'static str),
    /// The empty list.
    Empty,
}

/// A row of [`super::SETTINGS`]. The macro `settings!` fills in the first four and `check`.
pub struct Setting {
    /// The table that it stands in.
    pub table: &'static str,
    /// Its field in [`super::Serve`]; flag and environment variable are named after it.
    pub field: &'static str,
    /// The lines of its doc comment.
    pub doc: &'static [&'static str],
    pub kind: Kind,
    /// Whether a value that has the right kind makes sense.
    pub check: fn(&Raw) -> Result<(), String>,
    pub preset: Preset,
    /// Of a number, both ends included. What its type cannot hold is out of range anyway.
    pub range: RangeInclusive<u64>,
    /// Its key in the table, where that is not the field without the table's name.
    pub key: &'static str,
    /// What stands for its value in help texts.
    pub value_name: &'static str,
    /// A running server takes a new value on SIGHUP.
    pub reload: bool,
    /// Only `--help` shows it, not `-h`.
    pub rare: bool,
    /// Only a flag: it says what this one start is for, and has no place in a file.
    pub flag_only: bool,
    /// Never shown.
    pub secret: bool,
}

impl Setting {
    /// What a setting is that says no more than its type.
    pub const PLAIN: Setting = Setting {
        table: "",
        field: "",
        doc: &[],
        kind: Kind::Text,
        check: |_| Ok(()),
        preset: Preset::Nothing(""),
        range: 0..=u64::MAX,
        key: "",
        value_name: "",
        reload: false,
        rare: false,
        flag_only: false,
        secret: false,
    };

    /// Its key within its table: `key_file` of `operator_key_file` in `[operator]`.
    pub fn key(&self) -> &'static str {
        if !self.key.is_empty() {
            return self.key;
        }
        let short = self.field.strip_prefix(self.table).and_then(|rest| rest.strip_prefix('_'));
        short.unwrap_or(self.field)
    }

    /// Its name in messages: `operator.key_file`.
    pub fn path(&self) -> String {
        format!("{}.{}", self.table, self.key())
    }

    /// `operator-key-file`
    pub fn flag(&self) -> String {
        self.field.replace('_', "-")
    }

    /// `ONSALE_OPERATOR_KEY_FILE`
    pub fn variable(&self) -> String {
        format!("{}{}", VARIABLE_PREFIX, self.field.to_uppercase())
    }

    /// Its doc comment in one line per paragraph.
    pub fn paragraphs(&self) -> Vec<String> {
        let mut paragraphs = vec![String::new()];
        for line in self.doc {
            let line = line.trim();
            let last = paragraphs.last_mut().expect("there is one");
            match line {
                "" => paragraphs.push(String::new()),
                line if last.is_empty() => last.push_str(line),
                line => *last += &format!(" {line}"),
            }
        }
        paragraphs
    }

    /// The value when nobody sets it.
    pub fn preset(&self) -> Option<Raw> {
        match self.preset {
            Preset::Nothing(_) => None,
            Preset::Text(text) => Some(Raw::Text(text.into())),
            Preset::Number(number) => Some(Raw::Number(number)),
            Preset::Bool(yes) => Some(Raw::Bool(yes)),
            Preset::Fraction(number) => Some(Raw::Fraction(number.into())),
            Preset::Empty => Some(Raw::List(Vec::new())),
        }
    }

    /// The numbers that it takes.
    fn numbers(&self, type_max: u64) -> RangeInclusive<u64> {
        *self.range.start()..=type_max.min(*self.range.end())
    }

    /// What it takes, in words.
    pub fn takes(&self) -> String {
        match self.kind {
            Kind::Number { max } => match self.numbers(max).into_inner() {
                (from, u64::MAX) => format!("a whole number, {from} or more"),
                (from, to) => format!("a whole number from {from} to {to}"),
            },
            Kind::Bool => "true or false".into(),
            Kind::Text => "a text".into(),
            Kind::Choice(choices) => format!("one of {}", choices.join(", ")),
            Kind::List => "a list of texts".into(),
            Kind::Fraction => "a number from 0 to 1".into(),
        }
    }

    /// Refuses a value of the right kind that makes no sense.
    pub fn check(&self, raw: &Raw) -> Result<(), String> {
        let expected = || format!("{} is expected", self.takes());
        match (&self.kind, raw) {
            (Kind::Number { max }, Raw::Number(number)) if !self.numbers(*max).contains(number) => Err(expected()),
            (Kind::Choice(choices), Raw::Text(text)) if !choices.contains(&text.as_str()) => Err(expected()),
            _ => (self.check)(raw),
        }
    }
}

/// Makes the struct `Serve` and the table `SETTINGS` from one list: a doc comment, a field, its type, and what differs from
/// [`Setting::PLAIN`].
macro_rules! settings {
    ($($table:ident {
        $($(#[doc = $doc:literal])+ $field:ident: $type:ty { $($option:tt)* })*
    })*) => {
        /// What `onsale serve` can be told: defaults, then the file, then the environment, then flags.
        #[derive(Clone, Debug)]
        pub struct Serve {
            $($($(#[doc = $doc])+ pub $field: $type,)*)*
        }

        /// Every setting, in the order of the example file.
        pub static SETTINGS: &[Setting] = &[
            $($(Setting {
                table: stringify!($table),
                field: stringify!($field),
                doc: &[$($doc),+],
                kind: <$type as Value>::KIND,
                check: |raw| <$type as Value>::read(Some(raw)).map(drop),
                $($option)*
                ..Setting::PLAIN
            },)*)*
        ];

        impl Serve {
            /// From a checked value of each setting, in the order of [`SETTINGS`].
            fn of(values: &[Given]) -> Serve {
                let mut values = values.iter();
                Serve {
                    $($($field: {
                        let given = values.next().expect("a value for each setting");
                        <$type as Value>::read(given.raw.as_ref()).expect(stringify!($field))
                    },)*)*
                }
            }
        }
    };
}
