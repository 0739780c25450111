//! `onsale admin`: what an operator or an organizer does over HTTP, from the shell.
//!
//! Every command is one request or a few to a running server; what the server answers is the outcome. Exit codes: 0 done,
//! 1 refused (the problem's detail is on stderr), 2 the command line makes no sense, 69 no answer, or one that says that the
//! server cannot answer at the moment (sysexits' `EX_UNAVAILABLE`).

mod client;
pub mod signing;
mod table;

use anyhow::{Context, bail, ensure};
use api::kit::time::Time;
use base::clock::{Clock, SystemClock};
use clap::{Args, Subcommand};
use client::{Access, Caller, Reply};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use uuid::Uuid;

/// Exit code when the server refused.
const EXIT_REFUSED: u8 = 1;
/// Exit code when there is no answer.
const EXIT_UNAVAILABLE: u8 = 69;
/// Exit code when the command line makes no sense: clap's.
const EXIT_USAGE: u8 = 2;

/// Bytes of a file with a JSON Web Key Set.
const JWKS_BYTES_MAX: u64 = 1 << 20;

/// What `onsale admin` is told.
#[derive(Args, Debug)]
#[command(after_help = "Exit codes: 0 done, 1 refused, 2 wrong command line, 69 no answer from the server\n\n\
    Examples:\n  \
    export ONSALE_OPERATOR_KEY=opk_…\n  \
    onsale admin organizers create \"Loopback Hall\"\n  \
    onsale admin charge 01a1fdf0-5003-72d6-ad8d-42b123d23b68 50000 --reference inv-17\n  \
    onsale admin --key-file organizer.key performances pause 1496ce9c-f26b-8245-b1a5-df77961625d2")]
pub struct AdminArgs {
    #[command(flatten)]
    pub access: Access,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Organizers: those who sell (operator)
    #[command(subcommand)]
    Organizers(Organizers),
    /// Secret keys of an organizer (operator with --organizer, organizer for itself)
    #[command(subcommand)]
    Keys(Keys),
    /// The identity provider that an organizer trusts with its users (organizer)
    #[command(subcommand)]
    IdentityProvider(Provider),
    /// Charge a user's wallet with points that were paid for (operator, organizer)
    Charge(Charge),
    /// Correct a user's balance, up or down, for a stated reason (operator)
    Adjust(Adjust),
    /// Performances: pause, resume, close, cancel (organizer)
    #[command(subcommand)]
    Performances(Performances),
    /// Points charged, spent, refunded, adjusted, and outstanding
    Reconciliation(Reconciliation),
    /// Whether the server is ready, and its main figures
    Status,
}

#[derive(Subcommand, Debug)]
enum Organizers {
    /// Make one; prints its first key, this once
    Create {
        name: String,
        #[command(flatten)]
        repeat: Repeat,
    },
    /// All of them
    List,
    /// One of them
    Show { organizer_id: Uuid },
}

#[derive(Subcommand, Debug)]
enum Keys {
    /// Make one; prints the secret, this once
    Create {
        /// What it is for
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        repeat: Repeat,
    },
    /// All of them, without their secrets
    List {
        #[command(flatten)]
        of: Of,
    },
    /// Make one useless, for good
    Revoke {
        key_id: Uuid,
        #[command(flatten)]
        of: Of,
    },
}

/// Whose.
#[derive(Args, Debug)]
struct Of {
    /// Whose keys; needed with the operator's key
    #[arg(long, value_name = "ORGANIZER_ID")]
    organizer: Option<Uuid>,
}

/// How a request can be sent again.
#[derive(Args, Debug)]
struct Repeat {
    /// The same key with the same content happens once; a new one is made up unless given
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

#[derive(Subcommand, Debug)]
enum Provider {
    /// Name it, or replace it
    Set {
        /// What a token's `iss` must be
        #[arg(long)]
        issuer: String,
        /// What must be among a token's `aud`
        #[arg(long)]
        audience: String,
        /// Where its JSON Web Key Set is
        #[arg(long, value_name = "URL", required_unless_present = "jwks_file")]
        jwks_url: Option<String>,
        /// File with its JSON Web Key Set
        #[arg(long, value_name = "FILE", conflicts_with = "jwks_url")]
        jwks_file: Option<PathBuf>,
        /// How tokens may be signed, e.g. RS256,ES256
        #[arg(long, value_delimiter = ',', value_name = "NAMES")]
        algorithms: Vec<String>,
    },
    /// What is set
    Show,
    /// Its tokens are not taken any more
    Remove,
}

#[derive(Args, Debug)]
struct Charge {
    /// Whose wallet
    user_id: Uuid,
    /// Points to add
    points: u64,
    /// Your own name for it, e.g. the payment provider's
    #[arg(long)]
    reference: Option<String>,
    #[command(flatten)]
    repeat: Repeat,
}

#[derive(Args, Debug)]
struct Adjust {
    /// Whose wallet
    user_id: Uuid,
    /// Points to add, or with a minus sign to take
    #[arg(allow_negative_numbers = true)]
    points: i64,
    /// Why: it stays in the log
    #[arg(long)]
    reason: String,
    /// In whose books it counts
    #[arg(long, value_name = "ORGANIZER_ID")]
    organizer: Option<Uuid>,
    #[command(flatten)]
    repeat: Repeat,
}

#[derive(Subcommand, Debug)]
enum Performances {
    /// Sell nothing for now; holds run on
    Pause { performance_id: Uuid },
    /// Sell again
    Resume { performance_id: Uuid },
    /// End the sale, for good
    Close { performance_id: Uuid },
    /// Cancel it, for good: everybody gets their points back
    Cancel {
        performance_id: Uuid,
        /// What buyers are told
        #[arg(long)]
        reason: String,
    },
    /// How far a cancellation is
    Cancellation { performance_id: Uuid },
}

#[derive(Args, Debug)]
struct Reconciliation {
    /// The first day, in UTC; the last one unless given
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    from: Option<String>,
    /// The last day, in UTC; today unless given
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    to: Option<String>,
    /// With the operator's key: whose books, or `none` for what is on nobody's; all together unless given
    #[arg(long, value_name = "ORGANIZER_ID", value_parser = organizer_or_none)]
    organizer: Option<String>,
}

/// What stands in a query goes there as it is.
fn day(text: &str) -> Result<String, String> {
    let fits = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    fits.then(|| text.to_owned()).ok_or_else(|| "a day like 2026-11-21 is expected".into())
}

/// In UTC.
fn today() -> String {
    let mut now = Time(SystemClock::default().now()).to_string();
    now.truncate("2026-11-21".len());
    now
}

fn organizer_or_none(text: &str) -> Result<String, String> {
    let fits = text == "none" || text.parse::<Uuid>().is_ok();
    fits.then(|| text.to_owned()).ok_or_else(|| "an organizer's id, or none, is expected".into())
}

/// Sends what was asked for and prints what came back.
pub fn run(args: AdminArgs) -> anyhow::Result<ExitCode> {
    let AdminArgs { access, command } = args;
    if let Command::Keys(Keys::Create { of, .. } | Keys::List { of } | Keys::Revoke { of, .. }) = &command
        && of.organizer.is_none()
        && Caller::new(&access)?.is_operator()
    {
        eprintln!("onsale: say whose keys: --organizer ORGANIZER_ID (onsale admin organizers list shows them)");
        return Ok(ExitCode::from(EXIT_USAGE));
    }
    shown(&access, |caller| send(caller, command))
}

/// Asks, and prints what came back.
fn shown(access: &Access, ask: impl FnOnce(&Caller) -> anyhow::Result<Reply>) -> anyhow::Result<ExitCode> {
    let caller = Caller::new(access)?;
    let json = access.json;
    let reply = match ask(&caller) {
        Ok(reply) => reply,
        Err(error) => match error.downcast_ref::<client::Unreachable>() {
            Some(_) => {
                eprintln!("onsale: {error:#}");
                return Ok(ExitCode::from(EXIT_UNAVAILABLE));
            }
            None => return Err(error),
        },
    };
    if reply.status < 400 {
        return base::terminal::print(&if json { reply.json() } else { table::text(&reply.body) });
    }
    if json {
        base::terminal::print(&reply.json())?;
    }
    eprintln!("onsale: {}", reply.problem());
    Ok(ExitCode::from(if reply.status >= 500 { EXIT_UNAVAILABLE } else { EXIT_REFUSED }))
}

fn send(caller: &Caller, command: Command) -> anyhow::Result<Reply> {
    match command {
        Command::Organizers(command) => organizers(caller, command),
        Command::Keys(command) => keys(caller, command),
        Command::IdentityProvider(command) => identity_provider(caller, command),
        Command::Performances(command) => performances(caller, command),
        Command::Charge(Charge { user_id, points, reference, repeat }) => {
            let body = json!({"user_id": user_id, "points": points, "reference": reference});
            caller.post("/v1/wallet/charges", &body, repeat.idempotency_key)
        }
        Command::Adjust(Adjust { user_id, points, reason, organizer, repeat }) => {
            let mut body = json!({"points": points, "reason": reason});
            if let Some(organizer) = organizer {
                body["organizer_id"] = json!(organizer);
            }
            caller.post(&format!("/v1/users/{user_id}/wallet/adjustments"), &body, repeat.idempotency_key)
        }
        Command::Reconciliation(Reconciliation { organizer, from, to }) => {
            let to = to.unwrap_or_else(today);
            let days = format!("from={}&to={to}", from.as_ref().unwrap_or(&to));
            match organizer {
                Some(organizer) => caller.get(&format!("/v1/reconciliation?{days}&organizer_id={organizer}")),
                None if caller.is_organizer() => caller.get(&format!("/v1/organizer/reconciliation?{days}")),
                None => caller.get(&format!("/v1/reconciliation?{days}")),
            }
        }
        Command::Status => caller.status(),
    }
}

fn organizers(caller: &Caller, command: Organizers) -> anyhow::Result<Reply> {
    match command {
        Organizers::Create { name, repeat } => {
            caller.post("/v1/organizers", &json!({"name": name}), repeat.idempotency_key)
        }
        Organizers::List => caller.list("/v1/organizers"),
        Organizers::Show { organizer_id } => caller.get(&format!("/v1/organizers/{organizer_id}")),
    }
}

fn keys(caller: &Caller, command: Keys) -> anyhow::Result<Reply> {
    let path = |of: Of| match of.organizer {
        Some(organizer) => format!("/v1/organizers/{organizer}/keys"),
        None => "/v1/organizer/keys".into(),
    };
    match command {
        Keys::Create { name, of, repeat } => {
            let body = name.map_or_else(|| json!({}), |name| json!({"name": name}));
            caller.post(&path(of), &body, repeat.idempotency_key)
        }
        Keys::List { of } => caller.list(&path(of)),
        Keys::Revoke { key_id, of } => caller.delete(&format!("{}/{key_id}", path(of))),
    }
}

fn identity_provider(caller: &Caller, command: Provider) -> anyhow::Result<Reply> {
    const PATH: &str = "/v1/organizer/identity-provider";
    let Provider::Set { issuer, audience, jwks_url, jwks_file, algorithms } = command else {
        return match command {
            Provider::Remove => caller.delete(PATH),
            _ => caller.get(PATH),
        };
    };
    let mut body = json!({"issuer": issuer, "audience": audience});
    match jwks_file {
        Some(file) => body["jwks"] = key_set(&file)?,
        None => body["jwks_url"] = json!(jwks_url),
    }
    if !algorithms.is_empty() {
        body["algorithms"] = json!(algorithms);
    }
    // What is there is replaced, whatever it is: that is what was asked for.
    let there = caller.get(PATH)?;
    caller.put(PATH, &body, there.etag.as_deref())
}

fn key_set(file: &PathBuf) -> anyhow::Result<Value> {
    let cannot = || format!("cannot read {}", file.display());
    ensure!(std::fs::metadata(file).with_context(cannot)?.len() <= JWKS_BYTES_MAX, "{} is too long", file.display());
    let text = std::fs::read_to_string(file).with_context(cannot)?;
    match serde_json::from_str::<Value>(&text) {
        Ok(set) if set.is_object() => Ok(set),
        Ok(_) => bail!("{} is no JSON Web Key Set: an object is expected", file.display()),
        Err(error) => bail!("{} is no JSON Web Key Set: {error}", file.display()),
    }
}

fn performances(caller: &Caller, command: Performances) -> anyhow::Result<Reply> {
    let (id, state) = match command {
        Performances::Pause { performance_id } => (performance_id, "paused"),
        Performances::Resume { performance_id } => (performance_id, "on_sale"),
        Performances::Close { performance_id } => (performance_id, "closed"),
        Performances::Cancel { performance_id, reason } => {
            let path = format!("/v1/performances/{performance_id}/cancellation");
            return caller.act(&path, &json!({"reason": reason}));
        }
        Performances::Cancellation { performance_id } => {
            return caller.get(&format!("/v1/performances/{performance_id}/cancellation"));
        }
    };
    caller.patch(&format!("/v1/performances/{id}"), &json!({"state": state}))
}
