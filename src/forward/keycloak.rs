//! Events of Keycloak realms, by its admin REST API, to Kafka or to HTTP ingest.
//!
//! Keycloak stores an event at the end of the request that made it, under the time of its beginning, and
//! gives no sequence numbers. So each question goes back by an overlap, what was sent already is known by its
//! id and not sent again, and every half minute ten minutes are read once more, for requests that took long
//! and for servers of one cluster whose clocks differ. The position moves to the newest time that was
//! acknowledged, never beyond this machine's clock, and is kept on disk; after a restart ten minutes come
//! again, which is harmless, as the id of an event is its own (`normalise::formats::keycloak`).
//!
//! Each realm has two streams, of users and of administrators, which wait for nobody but themselves. Whatever
//! fails is tried again, after a second to every half minute: Keycloak keeps its events for as long as the
//! realm's settings say, so an outage shorter than that loses nothing.
//!
//! Beside an event are written `realmName`, and `tenant` where one is configured. What an administrator
//! changed (`representation`) is left out: it may be large, or personal, and no detector reads it.

use super::ForwardError;
use super::config::KeycloakConfig;
use super::destination::{Destination, Outbound};
use super::positions::Positions;
use crate::clock::now_ms;
use crate::config::Config;
use crate::keycloak::{Account, AdminApi, RealmConfig};
use crate::log::kafka::KafkaAppender;
use crate::notify::guarded_http::certificates;
use crate::secret::Secret;
use parking_lot::Mutex;
use reqwest::{Client, Method, StatusCode, Url, redirect};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::path::Path;
use std::time::{Duration, Instant};

/// File of positions in the data directory.
const POSITIONS_FILE: &str = "forward-keycloak.json";
/// What is read once more from time to time, and how often.
const SWEEP_MS: i64 = 600_000;
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);
/// Events of one answer; those of administrators come with what was changed.
const PAGE_USER: usize = 500;
const PAGE_ADMIN: usize = 100;
/// Bytes of one answer.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Events that are known to be sent; beyond them the oldest would be sent again.
const SENT_MAX: usize = 1_000_000;
/// Longest call.
const CALL_MAX: Duration = Duration::from_secs(30);
/// Pause after a failure: the first, and the longest.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Forwards until the future is dropped.
///
/// # Errors
/// Something that trying again would not mend.
pub async fn run(config: &Config) -> Result<(), ForwardError> {
    let settings = config.keycloak.as_ref().ok_or_else(|| ForwardError::Config("there is no [keycloak]".to_owned()))?;
    let forwarder = Forwarder::new(settings, config)?;
    let streams = settings.realms.iter().flat_map(|realm| {
        let admin = settings.admin_events.then_some(Stream { realm, admin: true });
        [Some(Stream { realm, admin: false }), admin].into_iter().flatten()
    });
    futures::future::try_join_all(streams.map(|stream| forwarder.follow(stream))).await.map(|_| ())
}

/// One kind of events of one realm.
#[derive(Clone, Copy)]
struct Stream<'a> {
    realm: &'a RealmConfig,
    admin: bool,
}

impl Stream<'_> {
    fn name(&self) -> String {
        format!("{} {}", self.route(), self.realm.name)
    }

    fn route(&self) -> &'static str {
        if self.admin { "admin-events" } else { "events" }
    }

    fn page(&self) -> usize {
        if self.admin { PAGE_ADMIN } else { PAGE_USER }
    }
}

struct Forwarder<'a> {
    settings: &'a KeycloakConfig,
    api: AdminApi,
    destination: Destination,
    positions: Mutex<Positions>,
}

/// What a stream remembers between two questions.
struct Progress {
    position_ms: i64,
    /// Times and hashed ids of events that were sent, as far back as is ever asked for.
    sent: BTreeSet<(i64, u64)>,
    hasher: RandomState,
    swept: Option<Instant>,
}

impl Progress {
    fn from(position_ms: i64) -> Self {
        Self { position_ms, sent: BTreeSet::new(), hasher: RandomState::new(), swept: None }
    }

    /// How an event is remembered.
    fn mark(&self, event: &Map<String, Value>) -> (i64, u64) {
        (time_of(event), self.hasher.hash_one(event.get("id").and_then(Value::as_str).unwrap_or_default()))
    }

    /// All up to `newest_ms` is acknowledged.
    fn advance(&mut self, newest_ms: i64, now_ms: i64) {
        self.position_ms = self.position_ms.max(newest_ms.min(now_ms));
        self.sent = self.sent.split_off(&(self.position_ms.saturating_sub(SWEEP_MS), 0));
        while self.sent.len() > SENT_MAX {
            self.sent.pop_first();
        }
    }
}

fn time_of(event: &Map<String, Value>) -> i64 {
    event.get("time").and_then(Value::as_i64).unwrap_or_default()
}

/// What a realm stores of its events.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Stored {
    events_enabled: bool,
    admin_events_enabled: bool,
    enabled_event_types: Vec<String>,
}

impl<'a> Forwarder<'a> {
    fn new(settings: &'a KeycloakConfig, config: &Config) -> Result<Self, ForwardError> {
        let wrong = |error: &dyn std::fmt::Display| ForwardError::Config(error.to_string());
        let secret = |key: &str, path: &Path| match Secret::resolve(None, Some(path)) {
            Ok(Some(secret)) => Ok(secret),
            Ok(None) => Err(ForwardError::Config(format!("keycloak.{key}: is missing"))),
            Err(error) => Err(ForwardError::Config(format!("keycloak.{key}: {error}"))),
        };
        let url = Url::parse(settings.url.trim_end_matches('/')).map_err(|error| wrong(&error))?;
        let mut builder = Client::builder()
            .user_agent(concat!("bartizan/", env!("CARGO_PKG_VERSION")))
            .timeout(CALL_MAX)
            .redirect(redirect::Policy::none());
        let plain = url.scheme() == "http" && !settings.ingest_url.starts_with("https");
        if plain {
            // Without TLS no trust store is needed, so a machine without one will do.
            builder = builder.tls_certs_only([]);
        } else if !settings.ca_file.as_os_str().is_empty() {
            builder = builder.tls_certs_merge(certificates(&settings.ca_file).map_err(|error| wrong(&error))?);
        }
        let client = builder.build().map_err(|error| wrong(&error))?;
        let destination = match (&config.kafka, settings.ingest_url.as_str()) {
            (Some(kafka), "") => {
                let log = KafkaAppender::new(kafka).map_err(|error| wrong(&error))?;
                Destination::Topic { log: Box::new(log), topic: settings.topic.clone() }
            }
            (_, "") => return Err(ForwardError::Config("neither [kafka] nor keycloak.ingest_url: nowhere to forward to".to_owned())),
            (_, url) => {
                let mut url = Url::parse(url).map_err(|error| wrong(&error))?;
                url.query_pairs_mut().clear().append_pair("format", "keycloak");
                let token = secret("ingest_token_file", &settings.ingest_token_file)?.expose().to_owned();
                Destination::Ingest { client: client.clone(), url, token }
            }
        };
        std::fs::create_dir_all(&config.data_dir).map_err(|error| wrong(&error))?;
        let path = config.data_dir.join(POSITIONS_FILE);
        let positions = Positions::open(&path).map_err(|error| wrong(&format_args!("{}: {error}", path.display())))?;
        let secret = secret("client_secret_file", &settings.client_secret_file)?;
        let account = Account { client_id: settings.client_id.clone(), secret, realm: settings.auth_realm.clone() };
        let api = AdminApi::new(client, url, account, ANSWER_BYTES_MAX);
        Ok(Self { settings, api, destination, positions: Mutex::new(positions) })
    }

    /// Reads a stream for ever.
    async fn follow(&self, stream: Stream<'_>) -> Result<(), ForwardError> {
        let name = stream.name();
        let start_ms = || now_ms().saturating_sub(self.settings.backfill_ms);
        let mut progress = Progress::from(self.positions.lock().get(&name).unwrap_or_else(start_ms));
        let (mut pause, mut looked) = (PAUSE_MIN, false);
        loop {
            let done = async {
                if !looked {
                    self.look(stream, progress.position_ms).await?;
                    looked = true;
                }
                self.round(stream, &name, &mut progress).await
            };
            let wait = match done.await {
                Ok(()) => {
                    if pause > PAUSE_MIN {
                        tracing::info!(stream = name, "events are forwarded again");
                    }
                    pause = PAUSE_MIN;
                    Duration::from_millis(self.settings.poll_ms)
                }
                Err(ForwardError::Retry(reason)) => {
                    tracing::warn!(stream = name, reason, "events are not forwarded, trying again");
                    let wait = pause;
                    pause = (pause * 2).min(PAUSE_MAX);
                    wait
                }
                Err(fatal) => return Err(fatal),
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Warns of what a realm does not store, which nothing could forward.
    async fn look(&self, stream: Stream<'_>, since_ms: i64) -> Result<(), ForwardError> {
        let Some(answer) = self.ask(stream, &["events", "config"], &[]).await? else { return Ok(()) };
        let stored: Stored = serde_json::from_slice(&answer).map_err(ForwardError::retry)?;
        let realm = &stream.realm.name;
        if !(if stream.admin { stored.admin_events_enabled } else { stored.events_enabled }) {
            tracing::warn!(realm, kind = stream.route(), "the realm does not save these events: switch that on");
        } else if !stream.admin && !stored.enabled_event_types.iter().any(|kind| kind == "REFRESH_TOKEN") {
            tracing::warn!(realm, "the realm does not save REFRESH_TOKEN events, so stolen refresh tokens cannot be found");
        }
        tracing::info!(realm, kind = stream.route(), since_ms, "forwarding");
        Ok(())
    }

    /// Sends what is new since the last round.
    async fn round(&self, stream: Stream<'_>, name: &str, progress: &mut Progress) -> Result<(), ForwardError> {
        let sweeps = progress.swept.is_none_or(|swept| swept.elapsed() >= SWEEP_INTERVAL);
        let back_ms = if sweeps { SWEEP_MS } else { self.settings.overlap_ms };
        let from = progress.position_ms.saturating_sub(back_ms).max(0).to_string();
        let (mut first, mut newest_ms) = (0, progress.position_ms);
        loop {
            let (skip, max) = (first.to_string(), stream.page().to_string());
            // Oldest first, so that what is added meanwhile moves nothing from one page to the one before.
            let query = [("dateFrom", from.as_str()), ("direction", "asc"), ("first", skip.as_str()), ("max", max.as_str())];
            let answer = self.ask(stream, &[stream.route()], &query).await?;
            let answer = answer.ok_or_else(|| ForwardError::Retry("the service account lacks the role view-events".to_owned()))?;
            let page: Vec<Map<String, Value>> = serde_json::from_slice(&answer).map_err(ForwardError::retry)?;
            let count = page.len();
            newest_ms = page.iter().map(time_of).fold(newest_ms, i64::max);
            let marked = page.into_iter().map(|event| (progress.mark(&event), event));
            let (marks, fresh): (Vec<_>, Vec<_>) = marked.filter(|(mark, _)| !progress.sent.contains(mark)).unzip();
            if !fresh.is_empty() {
                self.destination.send(fresh.into_iter().map(|event| outbound(event, stream.realm)).collect()).await?;
                progress.sent.extend(marks);
            }
            if count < stream.page() {
                break;
            }
            first += count;
        }
        if sweeps {
            progress.swept = Some(Instant::now());
        }
        progress.advance(newest_ms, now_ms());
        self.positions.lock().advance(name, progress.position_ms).map_err(ForwardError::retry)
    }

    /// The answer to a question about a realm; `None` if it is none of the service account's business.
    async fn ask(&self, stream: Stream<'_>, path: &[&str], query: &[(&str, &str)]) -> Result<Option<Vec<u8>>, ForwardError> {
        let realm = &stream.realm.name;
        let answer = self.api.call(Method::GET, realm, path, query, None).await.map_err(ForwardError::retry)?;
        match answer.status {
            StatusCode::OK => Ok(Some(answer.body)),
            StatusCode::FORBIDDEN => Ok(None),
            status => Err(ForwardError::Retry(format!("Keycloak answered {status} for {} of realm {realm:?}", path.join("/")))),
        }
    }
}

impl Drop for Forwarder<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.positions.lock().write() {
            tracing::warn!(%error, "positions were not written: some events will be sent again");
        }
    }
}

/// The record of an event, under its user's key, so that a person's events keep their order.
fn outbound(mut event: Map<String, Value>, realm: &RealmConfig) -> Outbound {
    event.remove("representation");
    event.insert("realmName".to_owned(), Value::String(realm.name.clone()));
    if !realm.tenant.is_empty() {
        event.insert("tenant".to_owned(), Value::String(realm.tenant.clone()));
    }
    let key = ["userId", "sessionId", "resourcePath", "ipAddress"].iter().find_map(|name| event.get(*name)?.as_str());
    let key = key.unwrap_or_default().to_owned();
    Outbound { key, payload: Value::Object(event).to_string().into_bytes() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use serde_json::json;

    fn event(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_position_moves_with_events_but_never_beyond_the_clock_or_back() {
        let now_ms = 10 * SWEEP_MS;
        let mut progress = Progress::from(now_ms - 2 * SWEEP_MS);
        let (old, new) = (json!({"id": "a", "time": now_ms - 2 * SWEEP_MS}), json!({"id": "a", "time": now_ms - 1}));
        let marks = [progress.mark(&event(old)), progress.mark(&event(new))];
        progress.sent.extend(marks);
        progress.advance(now_ms - 1, now_ms);
        assert_eq!((progress.position_ms, progress.sent.iter().collect::<Vec<_>>()), (now_ms - 1, vec![&marks[1]]));
        // A server whose clock is an hour ahead must not take the others' events out of reach.
        progress.advance(now_ms + 3_600_000, now_ms);
        assert_eq!(progress.position_ms, now_ms);
        progress.advance(0, now_ms);
        assert_eq!(progress.position_ms, now_ms);
    }

    #[test]
    fn an_event_goes_under_its_users_key_with_its_realm_and_without_what_was_changed() {
        let realm = RealmConfig { name: "people".to_owned(), tenant: "acme".to_owned() };
        let admin = json!({"id": "a", "time": 1, "resourcePath": "users/u-1", "representation": "{}"});
        let record = outbound(event(admin), &realm);
        let expected = json!({"id": "a", "time": 1, "resourcePath": "users/u-1", "realmName": "people", "tenant": "acme"});
        assert_eq!((record.key.as_str(), serde_json::from_slice::<Value>(&record.payload).unwrap()), ("users/u-1", expected));
        let user = outbound(event(json!({"userId": "u-1", "sessionId": "s", "time": 1})), &RealmConfig::default());
        assert_eq!(user.key, "u-1");
        assert!(!String::from_utf8(user.payload).unwrap().contains("tenant"));
    }
}
