//! The flags of `onsale serve` and `onsale config`, made from the table of settings.

use super::setting::{Preset, Setting};
use super::value::Kind;
use super::{CONFIG_VARIABLE, SETTINGS};
use clap::{Arg, ArgAction, ArgMatches, Command, Error};
use std::path::PathBuf;

/// What the command line says, unread: it is judged together with the file and the environment.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--config`
    pub file: Option<PathBuf>,
    /// Place in [`SETTINGS`], and text.
    pub given: Vec<(usize, String)>,
}

impl clap::Args for Flags {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help(format!("TOML file with settings; none is read unless it is named [env: {CONFIG_VARIABLE}]"));
        SETTINGS.iter().fold(command.arg(file), |command, setting| command.arg(argument(setting)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Flags::augment_args(command)
    }
}

impl clap::FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Flags, Error> {
        let mut given = Vec::new();
        for (place, setting) in SETTINGS.iter().enumerate() {
            if let Some(texts) = matches.get_many::<String>(setting.field) {
                given.push((place, texts.cloned().collect::<Vec<_>>().join(",")));
            }
        }
        Ok(Flags { file: matches.get_one::<PathBuf>("config").cloned(), given })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Flags::from_arg_matches(matches)?;
        Ok(())
    }
}

fn argument(setting: &Setting) -> Arg {
    let argument = Arg::new(setting.field)
        .long(setting.flag())
        .help(help(setting, " "))
        .long_help(help(setting, "\n"))
        .help_heading(heading(setting))
        .hide(setting.flag_only && setting.rare)
        .hide_short_help(setting.rare);
    let value_name = match setting.value_name {
        "" => "VALUE",
        name => name,
    };
    match setting.kind {
        Kind::Bool => argument.num_args(0..=1).require_equals(true).default_missing_value("true").value_name("BOOL"),
        Kind::List => argument.action(ArgAction::Append).value_name(value_name),
        Kind::Choice(choices) => argument.value_name(choices.join("|")),
        _ => argument.value_name(value_name),
    }
}

/// With its default and its variable, after `gap`.
fn help(setting: &Setting, gap: &str) -> String {
    let mut help = setting.paragraphs().join(" ");
    match setting.preset {
        Preset::Nothing("") | Preset::Bool(false) | Preset::Empty => {}
        Preset::Nothing(what) => help += &format!("{gap}[default: {what}]"),
        Preset::Text(text) => help += &format!("{gap}[default: {text}]"),
        Preset::Fraction(number) => help += &format!("{gap}[default: {number}]"),
        Preset::Number(number) => help += &format!("{gap}[default: {number}]"),
        Preset::Bool(true) => help += &format!("{gap}[default: true]"),
    }
    if !setting.flag_only {
        help += &format!("{gap}[env: {}]", setting.variable());
    }
    help
}

fn heading(setting: &Setting) -> String {
    format!("[{}]", setting.table)
}
