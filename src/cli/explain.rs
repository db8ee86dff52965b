//! `bartizan explain`: what each detector makes of one event, and what kept it silent.
//!
//! Over log files by itself, exactly as `replay` judges them; without files by asking the running daemon. Either way it
//! is told in one form, that of the API ([`ExplainView`]), as text or as JSON.

use super::input::Inputs;
use super::normalise::InputArgs;
use super::{CommandError, load_values, print};
use crate::api::events::EventView;
use crate::api::explain::ExplainView;
use crate::api::suppressions::SuppressedView;
use crate::app;
use crate::config::Config;
use crate::explain::around::Around;
use crate::explain::{Explainer, Standing};
use crate::normalise::{Format, Normaliser, TokenKey};
use crate::store::{EventRow, Position, StoredEvent};
use bartizan_core::{Event, EventBatch, TimeMs};
use std::path::PathBuf;
use std::time::Duration;

/// Where the token for the daemon stands: a command line can be read by others.
const TOKEN: &str = "BARTIZAN_TOKEN";
/// Longest wait for the daemon.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Arguments of `explain`.
#[derive(clap::Args)]
pub struct ExplainArgs {
    /// Configuration file
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Id of the event; of several with it the first of files, the newest of the store
    #[arg(long, value_name = "ID", required_unless_present = "user", conflicts_with = "user")]
    event: Option<String>,
    /// Instead of an event: the latest one of this user at or before --time
    #[arg(long, value_name = "NAME", requires = "time")]
    user: Option<String>,
    /// Event time, for --user
    #[arg(long, value_name = "RFC3339", requires = "user", value_parser = parse_time)]
    time: Option<TimeMs>,
    /// Only of this tenant
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Address of the daemon, if no files are given [default: that of the configuration]; its token stands in BARTIZAN_TOKEN
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Write JSON
    #[arg(long)]
    json: bool,
    /// Format of the files; `auto` recognises it record by record
    #[arg(long, value_name = "F", default_value = "auto")]
    format: Format,
    /// Files to read, gzip and zstd unpacked; none: ask the daemon
    #[arg(value_name = "INPUT")]
    inputs: Vec<PathBuf>,
}

fn parse_time(text: &str) -> Result<TimeMs, String> {
    TimeMs::parse(text).ok_or_else(|| "not an RFC 3339 time, like 2026-06-01T00:00:00Z".to_owned())
}

/// Explains one event.
///
/// # Errors
/// Wrong configuration, files that cannot be read, no such event, a daemon that does not answer.
pub fn run(args: &ExplainArgs) -> Result<(), CommandError> {
    let config = load_values(args.config.as_deref())?;
    let view = if args.inputs.is_empty() { ask(args, &config)? } else { judge(args, &config)? };
    if args.json {
        return print(&serde_json::to_string_pretty(&view).map_err(CommandError::failed)?);
    }
    print(&text(&view))
}

/// Which event is meant, as its place among all events of the files.
struct Place {
    number: u64,
    event: StoredEvent,
}

impl ExplainArgs {
    fn is_meant(&self, event: &Event<'_>, before: Option<&Place>) -> bool {
        if self.tenant.as_deref().is_some_and(|tenant| tenant != event.tenant()) {
            return false;
        }
        match (&self.event, &self.user, self.time) {
            (Some(id), ..) => before.is_none() && event.id() == id,
            (None, Some(user), Some(time)) => {
                event.user() == Some(user) && event.time_ms() <= time.0 && before.is_none_or(|before| event.time_ms() >= before.event.time)
            }
            _ => false,
        }
    }

    fn input(&self) -> InputArgs {
        InputArgs { format: self.format, rejects: None, assume_year: None, assume_zone: None, inputs: self.inputs.clone() }
    }
}

fn stored(event: &Event<'_>) -> StoredEvent {
    EventRow::new(event, Position::default()).into()
}

/// Explains an event of the files, and judges on to their end for what became of it.
fn judge(args: &ExplainArgs, config: &Config) -> Result<ExplainView, CommandError> {
    if args.inputs.iter().any(|path| path.as_os_str() == "-") {
        return Err(CommandError::wrong("explain reads its files twice, so standard input cannot be one"));
    }
    let token_key = app::token_key_of(config).map_err(CommandError::wrong)?.map_or(TokenKey([0; 32]), TokenKey);
    let normaliser = Normaliser::new(&config.normalise, &token_key).map_err(CommandError::wrong)?;
    let mut explainer = Explainer::of(config).map_err(|errors| CommandError::wrong(errors.join("\n")))?;
    let mut events = EventBatch::default();
    let (mut number, mut place) = (0, None);
    let mut inputs = Inputs::open(&args.input(), &normaliser).map_err(CommandError::failed)?;
    loop {
        inputs.next_batch(&mut events).map_err(CommandError::failed)?;
        if events.is_empty() {
            break;
        }
        for event in events.iter() {
            if args.is_meant(&event, place.as_ref()) {
                place = Some(Place { number, event: stored(&event) });
            }
            number += 1;
        }
    }
    if !inputs.whole {
        return Err(CommandError::failed("not every input could be read to its end"));
    }
    let place = place.ok_or_else(|| CommandError::failed("there is no such event in the files"))?;
    let (enricher, problems) = app::open_enricher(config);
    problems.iter().for_each(|problem| tracing::warn!(%problem, "place file not usable"));
    let mut cache = enricher.cache();
    let mut inputs = Inputs::open(&args.input(), &normaliser).map_err(CommandError::failed)?;
    explainer.gather(Around::of(&place.event));
    let (mut first, mut explained) = (0, None);
    loop {
        inputs.next_batch(&mut events).map_err(CommandError::failed)?;
        if events.is_empty() {
            break;
        }
        enricher.enrich(&mut events, &mut cache);
        let at = place.number.checked_sub(first).and_then(|at| usize::try_from(at).ok());
        let before = at.map_or(events.len(), |at| at.min(events.len()));
        explainer.judge(events.iter().take(before));
        if let Some(event) = events.get(before) {
            explained = Some((stored(&event), explainer.explain(&event, None)));
            explainer.judge(events.iter().skip(before + 1));
        }
        first += events.len() as u64;
    }
    let (event, explanation) = explained.ok_or_else(|| CommandError::failed("the files have changed meanwhile"))?;
    let (alerts, lines) = explainer.gathered().map(Around::newest_first).unwrap_or_default();
    let ledger = lines.into_iter().map(Into::into).collect();
    Ok(ExplainView { event: event.into(), explanation, truncated: false, alerts, ledger })
}

fn headline(event: &EventView) -> String {
    let EventView { time, kind, outcome, tenant, id, .. } = event;
    let user = event.user.as_deref().unwrap_or("nobody");
    let ip = event.ip.map_or_else(|| "no address".to_owned(), |ip| ip.to_string());
    let class = event.network.as_ref().map_or("unknown", |network| &network.class);
    format!("{time} {kind} {outcome} of {user} from {ip} ({class}), tenant {tenant}, event {id}")
}

fn standing(view: &ExplainView) -> String {
    let standing = match view.explanation.standing {
        Standing::Judged => "judged",
        Standing::Late => "not judged: it came after its time had passed",
        Standing::Repeated => "not judged: it had come before",
    };
    let more = if view.truncated { ", and there were more than are judged again" } else { "" };
    format!("{standing}, after {} events before it{more}", view.explanation.events_before)
}

/// A line of the ledger, with the columns of an account.
fn held_back(line: &SuppressedView) -> String {
    let by = line.gate.as_ref().or(line.suppression.as_ref()).map_or("", String::as_str);
    format!(
        "{:<20} {:<13} [{by}] {} {} findings of {}: {}",
        line.detector, "in the ledger", line.severity, line.findings, line.key, line.reason
    )
}

fn text(view: &ExplainView) -> String {
    let mut lines = vec![headline(&view.event), standing(view)];
    lines.extend(view.explanation.detectors.iter().map(ToString::to_string));
    lines.extend(view.ledger.iter().map(held_back));
    lines.extend(view.alerts.iter().map(|id| format!("alert {id}")));
    lines.join("\n")
}

/// Asks the running daemon.
fn ask(args: &ExplainArgs, config: &Config) -> Result<ExplainView, CommandError> {
    let token = std::env::var(TOKEN).map_err(|_| CommandError::wrong(format!("name files, or put the daemon's API token into {TOKEN}")))?;
    let base = args.url.clone().unwrap_or_else(|| {
        let scheme = if config.http.has_tls() { "https" } else { "http" };
        format!("{scheme}://{}", config.http.listen)
    });
    let time = args.time.map(|time| time.to_string());
    let parameters = [("event", &args.event), ("user", &args.user), ("time", &time), ("tenant", &args.tenant)];
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in parameters.into_iter().filter_map(|(name, value)| value.as_ref().map(|value| (name, value))) {
        query.append_pair(name, value);
    }
    let url = format!("{}/api/v1/explain?{}", base.trim_end_matches('/'), query.finish());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CommandError::failed)?;
    let body = runtime.block_on(fetch(&url, &token)).map_err(CommandError::Failed)?;
    serde_json::from_slice(&body).map_err(|error| CommandError::failed(format!("{url}: {error}")))
}

async fn fetch(url: &str, token: &str) -> Result<Vec<u8>, String> {
    let failed = |error: reqwest::Error| format!("{url}: {error}");
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().map_err(failed)?;
    let mut answer = client.get(url).bearer_auth(token).send().await.map_err(failed)?;
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(failed)? {
        body.extend_from_slice(&piece);
        if body.len() > ANSWER_BYTES_MAX {
            return Err(format!("{url}: more than {ANSWER_BYTES_MAX} bytes"));
        }
    }
    if answer.status().is_success() {
        return Ok(body);
    }
    let detail =
        serde_json::from_slice::<serde_json::Value>(&body).ok().and_then(|problem| Some(problem.get("detail")?.as_str()?.to_owned()));
    Err(detail.unwrap_or_else(|| answer.status().to_string()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::explain::Verdict;

    /// Fifty wrong passwords, a second apart.
    fn guesses() -> String {
        let line = |number| {
            format!(
                "{{\"time\":\"2026-06-01T00:00:{number:02}Z\",\"id\":\"e{number}\",\"kind\":\"login\",\"outcome\":\"failure\",\
                 \"reason\":\"bad_password\",\"user\":\"ann\",\"ip\":\"203.0.113.9\"}}\n"
            )
        };
        (0..50).map(line).collect()
    }

    fn explained(event: &str) -> ExplainView {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("events.jsonl");
        std::fs::write(&file, guesses()).unwrap();
        let args = ExplainArgs {
            config: None,
            event: Some(event.to_owned()),
            user: None,
            time: None,
            tenant: None,
            url: None,
            json: false,
            format: Format::Auto,
            inputs: vec![file],
        };
        judge(&args, &Config::default()).unwrap()
    }

    #[test]
    fn files_are_explained_with_what_became_of_it() {
        let view = explained("e39");
        assert_eq!((view.event.id.as_str(), view.explanation.events_before, view.truncated), ("e39", 39, false));
        let brute_force = view.explanation.detectors.iter().find(|account| account.detector == "brute_force").unwrap();
        assert_eq!(brute_force.verdict, Verdict::Found, "{brute_force}");
        assert!(!view.alerts.is_empty());
        let text = text(&view);
        assert!(text.starts_with("2026-06-01T00:00:39.000Z login failure of ann from 203.0.113.9 (unknown), tenant default, event e39\njudged, after 39 events before it\n"), "{text}");
        assert!(view.alerts.iter().all(|id| text.contains(&format!("\nalert {id}"))), "{text}");
    }

    #[test]
    fn what_comes_later_tells_of_what_an_event_was_part_of() {
        let view = explained("e2");
        assert!(view.explanation.detectors.iter().all(|account| account.verdict != Verdict::Found), "two failures before it are nothing");
        assert_eq!(view.alerts, explained("e39").alerts, "the alert of the guesses after it names it, too");
    }

    #[test]
    fn what_the_daemon_answers_reads_back_as_it_was() {
        let view = explained("e39");
        let json = serde_json::to_string(&view).unwrap();
        let read: ExplainView = serde_json::from_str(&json).unwrap();
        assert_eq!((serde_json::to_string(&read).unwrap(), text(&read)), (json, text(&view)));
    }
}
