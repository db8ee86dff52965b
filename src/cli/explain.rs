//! `bartizan explain`: what each detector makes of one event, and what kept it silent.
//!
//! Over log files by itself, exactly as `replay` judges them; without files by asking the running daemon.

use super::input::Inputs;
use super::normalise::InputArgs;
use super::{CommandError, load_values, print};
use crate::app;
use crate::config::Config;
use crate::explain::{Explainer, Explanation, Standing};
use crate::normalise::{Format, Normaliser, TokenKey};
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
    if args.inputs.is_empty() {
        return ask(args, &config);
    }
    if args.inputs.iter().any(|path| path.as_os_str() == "-") {
        return Err(CommandError::wrong("explain reads its files twice, so standard input cannot be one"));
    }
    let (event, explanation) = judge(args, &config)?;
    if args.json {
        return print(&serde_json::to_string_pretty(&explanation).map_err(CommandError::failed)?);
    }
    print(&format!("{event}\n{}", text(&explanation)))
}

/// Which event is meant, as its place among all events of the files.
struct Place {
    number: u64,
    time_ms: i64,
}

impl ExplainArgs {
    fn is_meant(&self, event: &Event<'_>, before: Option<&Place>) -> bool {
        if self.tenant.as_deref().is_some_and(|tenant| tenant != event.tenant()) {
            return false;
        }
        match (&self.event, &self.user, self.time) {
            (Some(id), ..) => before.is_none() && event.id() == id,
            (None, Some(user), Some(time)) => {
                event.user() == Some(user) && event.time_ms() <= time.0 && before.is_none_or(|before| event.time_ms() >= before.time_ms)
            }
            _ => false,
        }
    }

    fn input(&self) -> InputArgs {
        InputArgs { format: self.format, rejects: None, assume_year: None, assume_zone: None, inputs: self.inputs.clone() }
    }
}

fn judge(args: &ExplainArgs, config: &Config) -> Result<(String, Explanation), CommandError> {
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
                place = Some(Place { number, time_ms: event.time_ms() });
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
    let mut left = place.number;
    loop {
        inputs.next_batch(&mut events).map_err(CommandError::failed)?;
        if events.is_empty() {
            return Err(CommandError::failed("the files have changed meanwhile"));
        }
        enricher.enrich(&mut events, &mut cache);
        if left < events.len() as u64 {
            let mut past = EventBatch::default();
            events.iter().take(left as usize).for_each(|event| _ = past.copy(&event));
            explainer.past(&past);
            let Some(event) = events.get(left as usize) else { continue };
            return Ok((headline(&event), explainer.explain(&event, None)));
        }
        left -= events.len() as u64;
        explainer.past(&events);
    }
}

fn headline(event: &Event<'_>) -> String {
    let (time, kind, outcome) = (TimeMs(event.time_ms()), event.kind(), event.outcome());
    let ip = event.ip().map_or_else(|| "no address".to_owned(), |ip| ip.to_string());
    let user = event.user().unwrap_or("nobody");
    format!("{time} {kind} {outcome} of {user} from {ip} ({}), tenant {}, event {}", event.network_class(), event.tenant(), event.id())
}

fn text(explanation: &Explanation) -> String {
    let standing = match explanation.standing {
        Standing::Judged => "judged",
        Standing::Late => "not judged: it came after its time had passed",
        Standing::Repeated => "not judged: it had come before",
    };
    let mut text = format!("{standing}, after {} events before it", explanation.events_before);
    for account in &explanation.detectors {
        text.push('\n');
        text.push_str(&account.to_string());
    }
    text
}

/// Asks the running daemon.
fn ask(args: &ExplainArgs, config: &Config) -> Result<(), CommandError> {
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
    if args.json {
        return print(&String::from_utf8_lossy(&body));
    }
    let explanation: Explanation = serde_json::from_slice(&body).map_err(|error| CommandError::failed(format!("{url}: {error}")))?;
    print(&text(&explanation))
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
