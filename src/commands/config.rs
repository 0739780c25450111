//! `onsale config`: what the settings come to, and where each of them is from.

use ::config::{Flags, Loaded};
use base::terminal::print;
use base::tls::Tls;
use std::process::ExitCode;

/// What `onsale config` is told.
#[derive(clap::Args, Debug)]
pub struct ConfigArgs {
    /// One JSON object: tables of settings, each with its value and its source
    #[arg(long)]
    pub json: bool,
    /// Print nothing but what is wrong, also in the files that settings name; exit code 78 (2 when a flag is wrong)
    #[arg(long, conflicts_with_all = ["json", "example"])]
    pub check: bool,
    /// Print a file with every setting, its meaning and its default instead
    #[arg(long, conflicts_with = "json")]
    pub example: bool,
    #[command(flatten)]
    pub flags: Flags,
}

/// Prints the effective configuration.
pub fn run(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    if args.example {
        return print(&config::example());
    }
    let loaded = config::load(&args.flags, std::env::vars_os())?;
    for warning in &loaded.warnings {
        eprintln!("onsale: {warning}");
    }
    if args.check {
        return check(&loaded);
    }
    match args.json {
        true => print(&format!("{:#}\n", loaded.to_json())),
        false => print(&loaded.to_toml()),
    }
}

fn check(loaded: &Loaded) -> anyhow::Result<ExitCode> {
    let mut wrong = Vec::new();
    wrong.extend(loaded.serve.given_operator_key().err());
    if let (Some(certificate), Some(key)) = (&loaded.serve.tls_certificate, &loaded.serve.tls_key) {
        wrong.extend(Tls::open(certificate, key).err());
    }
    wrong.extend(kafka::Settings::of(&loaded.serve).err());
    for error in &wrong {
        eprintln!("onsale: {error:#}");
    }
    Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(config::EXIT_CONFIG) })
}
