//! What scenarios share: traffic, configurations, and looks at what came out.
//!
//! Traffic is made in code and the same each time, except that it ends about now: the daemon judges
//! by the clock what is too old to act upon. Single attacks are written by hand ([`Script`]); days of
//! ordinary life with attacks among them come from `bartizan simulate` ([`simulated`]).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::daemon::{Daemon, bartizan};
use super::folder;
use super::http::{client, send};
use super::kafka::{Cluster, Record};
use super::webhook::Received;

/// Signing secret of all hooks.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// No place files (they take time to read), checkpoints often, and token hashes as `replay` makes them.
pub const BASE: &str = r#"
[places]
city = []
networks = []
[detect]
checkpoint_interval_ms = 500
[secrets]
token_key = "a key of thirty-two characters..."
"#;

/// Longest question to a store.
const LONGEST: Duration = Duration::from_secs(600);

/// Milliseconds since 1970.
pub fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(now.as_millis()).expect("a time")
}

/// `[kafka]` that reads these topics in the native format from `cluster`.
pub fn kafka_section(cluster: &Cluster, group: &str, topics: &[&str]) -> String {
    let topics: Vec<_> = topics.iter().map(|name| format!(r#"{{ name = "{name}", format = "bartizan" }}"#)).collect();
    format!("[kafka]\nbrokers = \"{}\"\ngroup = \"{group}\"\ntopics = [{}]\n", cluster.brokers, topics.join(", "))
}

/// A `[[channels]]` table of a webhook on this machine.
pub fn webhook_section(name: &str, url: &str) -> String {
    format!("[[channels]]\nname = \"{name}\"\nkind = \"webhook\"\nurl = \"{url}\"\nsecret = \"{SECRET}\"\nallow_private = true\n")
}

/// A `[[revocation]]` table of a hook on this machine.
pub fn revocation_section(name: &str, url: &str, dry_run: bool) -> String {
    format!("[[revocation]]\nname = \"{name}\"\nurl = \"{url}\"\nsecret = \"{SECRET}\"\nallow_private = true\ndry_run = {dry_run}\n")
}

/// One event with its time.
#[derive(Debug, Clone)]
pub struct Line {
    /// Event time in milliseconds since 1970.
    pub time_ms: i64,
    /// Its user, as the key of its record.
    pub user: String,
    /// `api_request`, `login` and so on.
    pub kind: String,
    /// The event as one line of JSON.
    pub text: String,
}

/// Events written by hand, from an hour and a half ago until now.
pub struct Script {
    tenant: String,
    start_ms: i64,
    lines: Vec<Line>,
    next: usize,
}

/// How long a script lasts, so that its thefts are young enough to be acted upon.
const SCRIPT_MS: i64 = 90 * 60_000;

const OWNER_AGENT: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36";

impl Script {
    /// An empty script of a tenant.
    pub fn new(tenant: &str) -> Self {
        Self { tenant: tenant.to_owned(), start_ms: now_ms() - SCRIPT_MS, lines: Vec::new(), next: 0 }
    }

    fn push(&mut self, offset_ms: i64, kind: &str, outcome: &str, members: &Value) {
        let time_ms = self.start_ms + offset_ms;
        self.next += 1;
        let mut event = json!({
            "time": time_ms, "id": format!("{}-{}", self.tenant, self.next), "tenant": self.tenant,
            "kind": kind, "outcome": outcome, "source": "auth-service",
        });
        let (event_members, members) = (event.as_object_mut().expect("an object"), members.as_object().expect("members"));
        event_members.extend(members.clone());
        let user = members["user"].as_str().unwrap_or_default().to_owned();
        self.lines.push(Line { time_ms, user, kind: kind.to_owned(), text: event.to_string() });
    }

    /// `count` requests of ordinary users, evenly spread.
    #[must_use]
    pub fn ordinary(mut self, count: usize) -> Self {
        for n in 0..count {
            let offset_ms = SCRIPT_MS * n as i64 / count as i64;
            let user = format!("user-{}", n % 97);
            let members = json!({
                "user": user, "ip": format!("192.0.2.{}", n % 97), "user_agent": OWNER_AGENT, "device": format!("device-{user}"),
                "session": format!("{}-{user}", self.tenant), "method": "GET", "path": "/orders", "status": 200,
            });
            self.push(offset_ms, "api_request", "success", &members);
        }
        self
    }

    /// Twelve names tried once each from one address: an attempt, of medium severity.
    #[must_use]
    pub fn stuffing(mut self, number: usize) -> Self {
        let start_ms = (number as i64 * 217_000) % (SCRIPT_MS - 60_000);
        for n in 0..12 {
            let members = json!({
                "user": format!("name-{number}-{n}"), "ip": format!("203.0.{number}.7"), "user_agent": "curl/8.5", "reason": "bad_password",
                "ja4": format!("t13d1512h2_8daaf6152771_{number:012x}"),
            });
            self.push(start_ms + n * 1_000, "login", "failure", &members);
        }
        self
    }

    /// A refresh token that a thief exchanges and its owner brings later: a hit, and one session to end.
    #[must_use]
    pub fn theft(mut self, number: usize) -> Self {
        let start_ms = (number as i64 * 311_000) % (SCRIPT_MS - 26 * 60_000);
        let session = self.session(number);
        let token = |n: usize| format!("{session}-token-{n}");
        let base = json!({"user": format!("victim-{number}"), "session": session, "grant": "refresh_token"});
        let with = |members: Value| {
            let mut all = base.clone();
            all.as_object_mut().expect("an object").extend(members.as_object().expect("members").clone());
            all
        };
        let owner = json!({"ip": format!("198.51.100.{number}"), "user_agent": OWNER_AGENT, "device": format!("laptop-{number}")});
        let thief = json!({"ip": format!("203.1.{number}.99"), "user_agent": "python-requests/2.32", "device": format!("stolen-{number}")});
        let (owner, thief) = (with(owner), with(thief));
        let tokens = |of: &Value, old: usize, new: Option<usize>| {
            let mut all = of.clone();
            all["token"] = json!(token(old));
            if let Some(new) = new {
                all["token_issued"] = json!(token(new));
            }
            all
        };
        self.push(start_ms, "login", "success", &owner);
        self.push(start_ms + 60_000, "token_refresh", "success", &tokens(&owner, 1, Some(2)));
        self.push(start_ms + 600_000, "token_refresh", "success", &tokens(&thief, 2, Some(3)));
        self.push(start_ms + 1_500_000, "token_refresh", "failure", &tokens(&owner, 2, None));
        self
    }

    /// The session of a theft.
    pub fn session(&self, number: usize) -> String {
        format!("{}-stolen-{number}", self.tenant)
    }

    /// The events in order of time.
    pub fn lines(mut self) -> Vec<Line> {
        self.lines.sort_by_key(|line| line.time_ms);
        self.lines
    }
}

/// Simulated days, moved so that `share` of them lie before now. Lines over a day ahead are left out.
pub fn simulated(seed: u64, events: u64, days: u32, share: f64) -> Vec<Line> {
    let folder = folder("simulated");
    let (seed, events, days_text) = (seed.to_string(), events.to_string(), days.to_string());
    let arguments = ["simulate", "--seed", &seed, "--events", &events, "--days", &days_text, "--out", "events", "--labels", "labels"];
    let output = bartizan(&folder, &arguments);
    assert!(output.status.success(), "{output:?}");
    let start_ms = parse_time(&json!("2026-06-01T00:00:00Z"));
    let shift_ms = now_ms() - start_ms - (f64::from(days) * 86_400_000.0 * share) as i64;
    let latest_ms = now_ms() + 23 * 3_600_000;
    let text = std::fs::read_to_string(folder.join("events")).expect("the events");
    let moved = text.lines().map(|line| {
        let mut event: Value = serde_json::from_str(line).expect("an event");
        let time_ms = parse_time(&event["time"]) + shift_ms;
        event["time"] = json!(time_ms);
        let member = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        Line { time_ms, user: member("user"), kind: member("kind"), text: event.to_string() }
    });
    moved.filter(|line| line.time_ms < latest_ms).collect()
}

fn parse_time(time: &Value) -> i64 {
    time.as_i64().unwrap_or_else(|| {
        let text = time.as_str().expect("a time");
        text.parse::<jiff::Timestamp>().expect("an RFC 3339 time").as_millisecond()
    })
}

/// Different events: the same tenant, id and time count once.
pub fn distinct(lines: &[Line]) -> usize {
    let key = |line: &Line| {
        let event: Value = serde_json::from_str(&line.text).expect("an event");
        (event["tenant"].to_string(), event["id"].to_string(), line.time_ms)
    };
    lines.iter().map(key).collect::<BTreeSet<_>>().len()
}

/// Records of lines, keyed by user.
pub fn records(lines: &[Line]) -> Vec<(&str, &[u8])> {
    lines.iter().map(|line| (line.user.as_str(), line.text.as_bytes())).collect()
}

/// The embedded store, asked over its own HTTP interface.
pub struct Store {
    url: String,
    user: String,
    password: String,
}

impl Store {
    /// The store of a daemon, once it is there.
    pub fn of(daemon: &Daemon) -> Option<Self> {
        let text = std::fs::read(daemon.folder.join("data/store/endpoint.json")).ok()?;
        let endpoint: Value = serde_json::from_slice(&text).ok()?;
        let member = |name: &str| endpoint[name].as_str().map(str::to_owned);
        Some(Self { url: member("url")?, user: member("user")?, password: member("password")? })
    }

    /// Its address, user and password, for a configuration.
    pub fn endpoint(&self) -> (&str, &str, &str) {
        (&self.url, &self.user, &self.password)
    }

    /// The rows of a question, tab-separated; `None` when the store does not answer.
    pub fn query(&self, sql: &str) -> Option<Vec<String>> {
        let answer = send(self.request(&[]).body(sql.to_owned())).ok()?;
        (answer.status == 200).then(|| answer.body.lines().map(str::to_owned).collect())
    }

    /// A request to it with these members in its address: `query`, or settings.
    pub fn request(&self, members: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let address = format!("{}/?database=bartizan&default_format=TabSeparated", self.url);
        let url = members.iter().fold(address, |url, (name, value)| {
            url + "&" + &form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish()
        });
        client().post(url).header("X-ClickHouse-User", &self.user).header("X-ClickHouse-Key", &self.password).timeout(LONGEST)
    }

    /// A single number.
    pub fn number(&self, sql: &str) -> Option<usize> {
        self.query(sql)?.first()?.parse().ok()
    }
}

/// Counts the events of some tenants as a reader sees them: what was written twice counts once.
pub fn stored(daemon: &Daemon) -> Option<usize> {
    Store::of(daemon)?.number("SELECT count() FROM events FINAL")
}

/// Waits until the store holds `count` events, and asserts that it then holds no more.
pub fn wait_until_stored(daemon: &mut Daemon, count: usize, deadline: Duration) {
    let mut last = None;
    daemon.wait_for(&format!("{count} events in the store"), deadline, |daemon| {
        last = stored(daemon).or(last);
        (last? >= count).then_some(())
    });
    assert_eq!(stored(daemon), Some(count), "events in the store");
}

/// What `replay` says of the same lines under the daemon's configuration: every version, by id and version.
pub fn replayed(daemon: &Daemon, lines: &[Line]) -> BTreeMap<(String, u64), Value> {
    let file = daemon.folder.join("replayed.jsonl");
    let text: String = lines.iter().map(|line| format!("{}\n", line.text)).collect();
    std::fs::write(&file, text).expect("the lines");
    let output = daemon.run(&["replay", "-c", "bartizan.toml", "--format", "bartizan", "replayed.jsonl"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("JSON Lines");
    versions(text.lines().map(|line| serde_json::from_str(line).expect("an alert")))
}

/// Alert versions by id and version, without the time at which each was found and the incident that the daemon put it
/// into, which a replay of plain files does not know.
///
/// # Panics
/// When two different alerts have the same id and version.
pub fn versions(alerts: impl Iterator<Item = Value>) -> BTreeMap<(String, u64), Value> {
    let mut all = BTreeMap::new();
    for mut alert in alerts {
        let key = (alert["id"].as_str().expect("an id").to_owned(), alert["version"].as_u64().expect("a version"));
        for member in ["detected_time", "incident"] {
            alert.as_object_mut().expect("an alert").remove(member);
        }
        if let Some(before) = all.insert(key.clone(), alert.clone()) {
            assert_eq!(before, alert, "two alerts with the same id and version");
        }
    }
    all
}

fn alerts_of(records: &[Record]) -> impl Iterator<Item = Value> {
    records.iter().map(|record| serde_json::from_slice(&record.value).expect("an alert"))
}

/// The versions of all alerts in a topic.
pub fn told_in(records: &[Record]) -> BTreeMap<(String, u64), Value> {
    versions(alerts_of(records))
}

/// The versions of one tenant's alerts in a topic.
pub fn told_versions(records: &[Record], tenant: &str) -> BTreeMap<(String, u64), Value> {
    versions(alerts_of(records).filter(|alert| alert["tenant"] == tenant))
}

/// Waits until the alerts topic holds exactly the wanted versions of a tenant.
pub fn wait_until_told(cluster: &Cluster, daemon: &mut Daemon, tenant: &str, wanted: &BTreeMap<(String, u64), Value>, deadline: Duration) {
    let mut ends = Vec::new();
    daemon.wait_for("all versions in the alerts topic", deadline, |_| {
        let now = cluster.end_offsets("bartizan.alerts");
        if now == ends {
            return None;
        }
        ends = now;
        (told_versions(&cluster.records("bartizan.alerts"), tenant).len() >= wanted.len()).then_some(())
    });
    let told = told_versions(&cluster.records("bartizan.alerts"), tenant);
    assert_eq!(told.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>(), "ids and versions");
    assert_eq!(&told, wanted);
}

/// From when to when each kill took.
pub type Kills = Vec<(Instant, Instant)>;

/// Kills the daemon (SIGKILL) and notes when.
pub fn kill(daemon: &mut Daemon, kills: &mut Kills) {
    let before = Instant::now();
    daemon.kill();
    kills.push((before, Instant::now()));
}

/// Checks that what was received more than once under one id was in flight when the daemon was
/// killed, and was the same each time.
pub fn assert_repeated_only_over(kills: &Kills, received: &[Received]) {
    const IN_FLIGHT_MAX: Duration = Duration::from_secs(2);
    let mut first: BTreeMap<&str, &Received> = BTreeMap::new();
    for request in received {
        let Some(before) = first.insert(request.id(), request) else { continue };
        assert_eq!(before.body, request.body, "one id, two messages");
        let in_flight = |(start, end): &&(Instant, Instant)| before.at + IN_FLIGHT_MAX > *start && before.at <= *end && *end <= request.at;
        assert!(
            kills.iter().any(|kill| in_flight(&kill)),
            "{} came twice without a crash between, kills {kills:?}: {before:?}, {request:?}",
            request.id()
        );
    }
}

/// The messages by `webhook-id`: what was received more than once counts once.
pub fn by_id(received: &[Received]) -> BTreeMap<String, Value> {
    received.iter().map(|request| (request.id().to_owned(), request.json())).collect()
}

/// The calls to a revocation hook that ask for something; the test call at its start does not.
pub fn revocations(received: &[Received]) -> Vec<Received> {
    received.iter().filter(|request| request.json()["type"] == "session.revoke").cloned().collect()
}

/// Lines that a file has.
pub fn lines_of(file: &Path) -> Vec<String> {
    std::fs::read_to_string(file).expect("the file").lines().map(str::to_owned).collect()
}
