//! `onsale keys`: the keys that sign admissions.

use super::client::{Access, Caller};
use super::shown;
use clap::{Args, Subcommand};
use serde_json::json;
use std::process::ExitCode;

/// What `onsale keys` is told.
#[derive(Args, Debug)]
pub struct KeysArgs {
    #[command(flatten)]
    access: Access,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// The keys that sign admissions: the current one, the next one, those that signed until lately
    List,
    /// Have the next key sign and make a new next one; every token that is valid stays valid
    Rotate,
}

pub fn run(args: KeysArgs) -> anyhow::Result<ExitCode> {
    let KeysArgs { access, command } = args;
    shown(&access, |caller: &Caller| match command {
        Command::List => caller.get("/v1/signing-keys"),
        Command::Rotate => caller.act("/v1/signing-keys/rotation", &json!({})),
    })
}
