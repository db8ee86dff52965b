//! `bartizan token`: works beside a running daemon, at once, since both share the database.

use super::{CommandError, load_values, print};
use crate::clock::now_ms;
use crate::db::Db;
use crate::db::tokens::{NewToken, Role};
use bartizan_core::TimeMs;
use bartizan_core::time::{DAY_MS, HOUR_MS, MINUTE_MS};
use std::path::PathBuf;

/// Bytes of a token's name.
const NAME_BYTES_MAX: usize = 200;

/// Subcommands of `token`.
#[derive(clap::Subcommand)]
pub enum TokenCommand {
    /// Makes a token and prints it; it is shown this once only
    Create(CreateArgs),
    /// Lists tokens (never their secrets)
    List(ListArgs),
    /// Revokes a token by the id that `list` shows
    Revoke(RevokeArgs),
}

/// Arguments of `token create`.
#[derive(clap::Args)]
pub struct CreateArgs {
    /// The configuration file, for its data_dir
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What the token may do
    #[arg(long)]
    role: Role,
    /// A name for the audit trail
    #[arg(long)]
    name: String,
    /// The one tenant that it is for; absent: all tenants
    #[arg(long)]
    tenant: Option<String>,
    /// When it ends: a span (`90d`, `12h`, `30m`) or a time (RFC 3339); absent: never
    #[arg(long)]
    expires: Option<String>,
}

/// Arguments of `token list`.
#[derive(clap::Args)]
pub struct ListArgs {
    /// The configuration file, for its data_dir
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Arguments of `token revoke`.
#[derive(clap::Args)]
pub struct RevokeArgs {
    /// The configuration file, for its data_dir
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Id of the token
    id: String,
}

/// Runs `token`.
///
/// # Errors
/// Wrong arguments, or the database says no.
pub fn run(command: TokenCommand) -> Result<(), CommandError> {
    match command {
        TokenCommand::Create(args) => create(args),
        TokenCommand::List(args) => list(&args),
        TokenCommand::Revoke(args) => revoke(&args),
    }
}

fn open(config: Option<&PathBuf>) -> Result<Db, CommandError> {
    let config = load_values(config.map(PathBuf::as_path))?;
    crate::app::open_database(&config).map_err(CommandError::failed)
}

fn create(args: CreateArgs) -> Result<(), CommandError> {
    let name = args.name.trim().to_owned();
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(CommandError::Wrong(format!("--name: must have 1 to {NAME_BYTES_MAX} bytes")));
    }
    let now_ms = now_ms();
    let expires_ms = args.expires.as_deref().map(|text| expiry(text, now_ms)).transpose()?;
    let new = NewToken { name, role: args.role, tenant: args.tenant, expires_ms };
    let secret = open(args.config.as_ref())?.create_token(&new, now_ms).map_err(CommandError::failed)?;
    print(&secret)
}

/// A span from now, or a time in the future.
fn expiry(text: &str, now_ms: i64) -> Result<i64, CommandError> {
    let span = |unit: char, unit_ms: i64| -> Option<i64> {
        let count: i64 = text.strip_suffix(unit)?.parse().ok().filter(|count| *count > 0)?;
        count.checked_mul(unit_ms)?.checked_add(now_ms)
    };
    let time = || TimeMs::parse(text).map(|time| time.0).filter(|time_ms| *time_ms > now_ms);
    span('d', DAY_MS)
        .or_else(|| span('h', HOUR_MS))
        .or_else(|| span('m', MINUTE_MS))
        .or_else(time)
        .ok_or_else(|| CommandError::Wrong("--expires: must be a span like 90d, 12h or 30m, or a time to come in RFC 3339".to_owned()))
}

fn list(args: &ListArgs) -> Result<(), CommandError> {
    let now_ms = now_ms();
    let mut lines = vec![format!("{:<10} {:<8} {:<16} {:<26} {:<8} NAME", "ID", "ROLE", "TENANT", "EXPIRES", "STATE")];
    for token in open(args.config.as_ref())?.tokens().map_err(CommandError::failed)? {
        let state = match (token.revoked_ms, token.is_valid(now_ms)) {
            (Some(_), _) => "revoked",
            (None, true) => "valid",
            (None, false) => "expired",
        };
        let expires = token.expires_ms.map_or_else(|| "never".to_owned(), |ms| TimeMs(ms).to_string());
        let tenant = token.tenant.as_deref().unwrap_or("(all)");
        let (role, name) = (token.role.as_str(), token.name.escape_debug());
        lines.push(format!("{:<10} {role:<8} {tenant:<16} {expires:<26} {state:<8} {name}", token.id));
    }
    print(&lines.join("\n"))
}

fn revoke(args: &RevokeArgs) -> Result<(), CommandError> {
    if open(args.config.as_ref())?.revoke_token(&args.id, now_ms()).map_err(CommandError::failed)? {
        print(&format!("token {} is revoked", args.id))
    } else {
        Err(CommandError::Failed(format!("there is no valid token with the id {}", args.id)))
    }
}
