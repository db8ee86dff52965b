//! `bartizan demo`: the daemon, with simulated traffic sent through the real ingest path.

use super::run::{admin_token, runtime, start, stop_signal};
use super::{CommandError, load};
use crate::app::Daemon;
use crate::clock::now_ms;
use crate::db::tokens::{NewToken, Role};
use crate::respond::{PolicyConfig, RevocationConfig};
use crate::simulate::DemoTraffic;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

/// How often traffic is sent.
const STEP: Duration = Duration::from_millis(250);

/// Arguments of `demo`.
#[derive(clap::Args)]
pub struct DemoArgs {
    /// Configuration file [default: embedded store under ./bartizan-data, no Kafka]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Seed: the same seed gives the same people and attacks
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Events a second
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    rate: u32,
}

/// Runs the daemon with traffic until SIGTERM or SIGINT.
///
/// # Errors
/// Wrong configuration, or something that keeps it from starting.
pub fn run(args: &DemoArgs) -> Result<(), CommandError> {
    let mut config = load(args.config.as_deref())?;
    // What a demo shows is its own attacks.
    config.canary.enabled = false;
    if config.revocation.is_empty() && config.policies.is_empty() {
        (config.revocation, config.policies) = responses().map_err(CommandError::failed)?;
    }
    runtime()?.block_on(async {
        let stopped = stop_signal()?;
        let daemon = start(config).await?;
        println!("token:   {}", admin_token(&daemon, "demo")?);
        println!("Simulated traffic with attacks runs; open the console and sign in with the token. Ctrl-C ends it.");
        let sent = send(&daemon, args.seed, args.rate);
        let result = tokio::select! {
            result = sent => result,
            () = stopped => Ok(()),
        };
        daemon.stop().await;
        result
    })
}

/// What is done where the configuration says nothing of it: sessions would end, in a dry run that calls nobody, and who
/// stuffs credentials is put on the list of blocked addresses when a person agrees.
fn responses() -> serde_json::Result<(Vec<RevocationConfig>, Vec<PolicyConfig>)> {
    let zeros = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let target = json!({"name": "identity", "url": "https://identity.invalid/revoke", "secret": zeros, "detectors": ["token_reuse"]});
    let accounts = json!({
        "name": "taken-accounts", "detectors": ["account_takeover"], "actions": ["revoke_user_sessions", "require_sign_in"],
        "target": "identity",
    });
    let stuffers = json!({
        "name": "stuffers", "detectors": ["credential_stuffing"], "actions": ["block_address"], "approvals": 1, "shadow": false,
    });
    serde_json::from_value(json!([[target], [accounts, stuffers]]))
}

/// Posts traffic to the daemon's own ingest route, as any other client would.
async fn send(daemon: &Daemon, seed: u64, rate: u32) -> Result<(), CommandError> {
    let new = NewToken { name: "demo traffic".to_owned(), role: Role::Ingest, tenant: None, expires_ms: None };
    let token = daemon.db.create_token(&new, now_ms()).map_err(CommandError::failed)?;
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().map_err(CommandError::failed)?;
    let url = format!("{}/api/v1/events?format=bartizan", daemon.url());
    let mut traffic = DemoTraffic::new(seed, now_ms(), rate);
    let progress = progress();
    let mut step = tokio::time::interval(STEP);
    loop {
        step.tick().await;
        let batch = traffic.next_batch(now_ms());
        let lines = memchr::memchr_iter(b'\n', &batch).count() as u64;
        while let Err(error) = post(&client, &url, &token, batch.clone()).await {
            tracing::warn!(error, "traffic was not taken, it is sent again");
            tokio::time::sleep(STEP * 4).await;
        }
        progress.inc(lines);
    }
}

async fn post(client: &reqwest::Client, url: &str, token: &str, batch: Vec<u8>) -> Result<(), String> {
    if batch.is_empty() {
        return Ok(());
    }
    let answer = client.post(url).bearer_auth(token).body(batch).send().await.map_err(|error| error.to_string())?;
    if answer.status().is_success() { Ok(()) } else { Err(answer.status().to_string()) }
}

fn progress() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {human_pos} events sent, {per_sec}, {elapsed}");
    ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn what_the_demo_does_is_in_order_and_calls_nobody() {
        let (targets, policies) = responses().unwrap();
        let problems = targets.iter().flat_map(RevocationConfig::problems).chain(PolicyConfig::all_problems(&policies, &targets));
        assert_eq!(problems.collect::<Vec<_>>(), []);
        assert!(targets.iter().all(|target| target.dry_run));
    }
}
