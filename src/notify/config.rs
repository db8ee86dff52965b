//! The `[[channels]]` tables, and `[notify]`, the limits of all of them.

use super::channels::pagerduty;
use super::guarded_http::SetupError;
use super::quiet::QuietHours;
use crate::alert::EntityPattern;
use crate::secret::Secret;
use bartizan_core::Severity;
use bartizan_core::time::{DAY_MS, SECOND_MS};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Longest name of a channel or target.
const NAME_BYTES_MAX: usize = 64;

/// Something wrong in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key, e.g. `channels.oncall.url`.
    pub key: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

impl Problem {
    /// A problem with one key.
    pub fn new(key: impl ToString, message: impl ToString) -> Self {
        Self { key: key.to_string(), message: message.to_string() }
    }
}

/// `[notify]`: limits of telling.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct NotifyConfig {
    /// Alerts that a detector may open in a tenant and minute; its further ones are folded. Default 100.
    pub opened_per_minute_max: u32,
    /// Incidents of which a channel hears singly within an hour; critical ones always, further ones in its digest.
    /// Default 30.
    pub incidents_per_hour_max: u32,
    /// Of them, those that are milder than high. Default 5.
    pub mild_incidents_per_hour_max: u32,
    /// Recipients of one mail channel. Default 50.
    pub recipients_max: usize,
    /// Alerts that the notice of a campaign or backlog shows. Default 10.
    pub samples_max: usize,
    /// Calls of one webhook or revocation target at the same time. Default 4.
    pub calls_in_flight_max: usize,
    /// Mails of one channel at the same time. Default 2.
    pub mails_in_flight_max: usize,
    /// Versions of alerts on their way to one topic, or to the store, at the same time. Default 64.
    pub versions_in_flight_max: usize,
}

impl Default for NotifyConfig {
    fn default() -> Self {
        Self {
            opened_per_minute_max: 100,
            incidents_per_hour_max: 30,
            mild_incidents_per_hour_max: 5,
            recipients_max: 50,
            samples_max: 10,
            calls_in_flight_max: 4,
            mails_in_flight_max: 2,
            versions_in_flight_max: 64,
        }
    }
}

impl NotifyConfig {
    /// What is wrong with the values, each with its key; empty when nothing is.
    #[must_use]
    pub fn errors(&self) -> Vec<(&'static str, String)> {
        out_of_range!(self;
            opened_per_minute_max: 1..=1_000_000,
            incidents_per_hour_max: 1..=1_000_000,
            mild_incidents_per_hour_max: 0..=1_000_000,
            recipients_max: 1..=10_000,
            samples_max: 0..=1_000,
            calls_in_flight_max: 1..=1_000,
            mails_in_flight_max: 1..=1_000,
            versions_in_flight_max: 1..=10_000,
        )
        .collect()
    }
}

/// What kind of channel it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelKind {
    /// `POST`s signed as Standard Webhooks describes.
    Webhook,
    /// Mail by SMTP.
    Email,
    /// A topic of the log: every version of every alert, keyed by id.
    Kafka,
    /// An incoming webhook of Slack.
    Slack,
    /// A Workflows webhook of Microsoft Teams.
    Teams,
    /// Events API v2 of PagerDuty.
    #[serde(rename = "pagerduty")]
    PagerDuty,
    /// API v2 of Prometheus Alertmanager.
    Alertmanager,
    /// Any service: headers and body by templates.
    Http,
}

impl ChannelKind {
    /// The name as it stands in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Email => "email",
            Self::Kafka => "kafka",
            Self::Slack => "slack",
            Self::Teams => "teams",
            Self::PagerDuty => "pagerduty",
            Self::Alertmanager => "alertmanager",
            Self::Http => "http",
        }
    }

    /// Does the other end keep a state of its own for each incident, so that each change of it is told?
    #[must_use]
    pub const fn keeps_state(self) -> bool {
        matches!(self, Self::Webhook | Self::PagerDuty | Self::Alertmanager | Self::Http)
    }
}

/// What a channel is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Each alert at once.
    Alert,
    /// Incidents: what opens one and makes it worse at once, the rest in a digest.
    Incident,
}

/// One `[[channels]]` table. Which keys a kind needs, [`ChannelConfig::problems`] says.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelConfig {
    /// Letters, digits, `-`, `_`; unique.
    pub name: String,
    /// What kind it is.
    pub kind: ChannelKind,
    /// Only alerts at least this bad. Default `medium`.
    #[serde(default = "medium")]
    pub min_severity: Severity,
    /// Only alerts of these detectors; empty (the default): of all.
    #[serde(default)]
    pub detectors: Vec<String>,
    /// Only alerts of these tenants; empty (the default): of all.
    #[serde(default)]
    pub tenants: Vec<String>,
    /// Only what names one of these entities, like `user:*@board.example` or `ip:203.0.113.0/24`; empty (the default): all.
    #[serde(default)]
    pub entities: Vec<EntityPattern>,
    /// Only where somebody was hit: a sign-in that succeeded, a token that was used. Default no.
    #[serde(default)]
    pub only_hits: bool,
    /// Alerts milder than `min_severity`, but at least this bad, come in a digest once a day. Default: nowhere.
    #[serde(default)]
    pub digest_severity: Option<Severity>,
    /// What it is told of. Default `alert` for programs (webhook, HTTP), `incident` for people.
    #[serde(default)]
    pub group: Option<Group>,
    /// A sign of life so often while all is well; 0 (the default): none.
    #[serde(default)]
    pub heartbeat_ms: i64,
    /// Of incidents: told only once nobody acknowledged for so long; 0 (the default): at once.
    #[serde(default)]
    pub escalate_after_ms: i64,
    /// Of incidents: when what is not bad enough waits. Default: never.
    #[serde(default)]
    pub quiet: Option<QuietHours>,
    /// All but mail and topics: where to. Default for PagerDuty: its address in the US.
    #[serde(default)]
    pub url: Option<String>,
    /// The same in a file, where the address itself is the secret (Slack, Teams).
    #[serde(default)]
    pub url_file: Option<PathBuf>,
    /// Webhook: the signing secret, `whsec_` and base64. PagerDuty: the routing key. HTTP: what templates call `secret`.
    #[serde(default)]
    pub secret: Option<Secret>,
    /// A file with it.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// May the address be loopback or private (and the URL plain `http`)? Default no.
    #[serde(default)]
    pub allow_private: bool,
    /// Certificates (PEM) to trust besides the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// HTTP: `POST` (the default), `PUT` or `PATCH`.
    #[serde(default)]
    pub method: Option<String>,
    /// HTTP: headers by templates. Default: `content-type` is `application/json`.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// HTTP: the template of the body.
    #[serde(default)]
    pub body: Option<String>,
    /// Mail: `smtps://user@host:465`, or `smtp://user@host:587?tls=required`. Without TLS only to
    /// this machine.
    #[serde(default)]
    pub smtp: Option<String>,
    /// Mail: the user's password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// Mail: a file with it.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// Mail: the sender, `Name <address>` or an address.
    #[serde(default)]
    pub from: Option<String>,
    /// Mail: who gets it.
    #[serde(default)]
    pub to: Vec<String>,
    /// Kafka: the topic. Default `bartizan.alerts`.
    #[serde(default)]
    pub topic: Option<String>,
}

fn medium() -> Severity {
    Severity::Medium
}

impl ChannelConfig {
    /// What it is told of.
    #[must_use]
    pub fn group(&self) -> Group {
        self.group.unwrap_or(match self.kind {
            ChannelKind::Webhook | ChannelKind::Http | ChannelKind::Kafka => Group::Alert,
            ChannelKind::Email | ChannelKind::Slack | ChannelKind::Teams | ChannelKind::PagerDuty | ChannelKind::Alertmanager => {
                Group::Incident
            }
        })
    }

    /// What only channels that are told of incidents can have.
    fn incident_problems(&self, key: &impl Fn(&str) -> String) -> Vec<Problem> {
        let mut problems = Vec::new();
        let given = [("escalate_after_ms", self.escalate_after_ms != 0), ("quiet", self.quiet.is_some())];
        for (name, _) in given.iter().filter(|(_, given)| *given && self.group() != Group::Incident) {
            problems.push(Problem::new(key(name), "needs group = \"incident\""));
        }
        if !(0..=DAY_MS).contains(&self.escalate_after_ms) {
            problems.push(Problem::new(key("escalate_after_ms"), format!("{}: must lie between 0 and {DAY_MS}", self.escalate_after_ms)));
        }
        if let Some(Err((name, message))) = self.quiet.as_ref().map(QuietHours::read) {
            problems.push(Problem::new(key(name), message));
        }
        let may_miss = matches!(self.kind, ChannelKind::Webhook | ChannelKind::Http);
        if self.heartbeat_ms != 0 && (!may_miss || !(10 * SECOND_MS..=DAY_MS).contains(&self.heartbeat_ms)) {
            let message = "between 10000 and 86400000, of kind webhook or http: a receiver that misses what stays away";
            problems.push(Problem::new(key("heartbeat_ms"), message));
        }
        let chosen = [
            ("group", self.group.is_some()),
            ("entities", !self.entities.is_empty()),
            ("only_hits", self.only_hits),
            ("digest_severity", self.digest_severity.is_some()),
        ];
        for (name, _) in chosen.iter().filter(|(_, given)| *given && self.kind == ChannelKind::Kafka) {
            problems.push(Problem::new(key(name), "a topic gets every version of every alert"));
        }
        if self.digest_severity.is_some_and(|least| least >= self.min_severity) {
            problems.push(Problem::new(key("digest_severity"), "must be milder than min_severity: what is as bad is told by itself"));
        }
        problems
    }

    /// What is wrong with this table, as far as can be told without reading files or the network.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = name_problems("channels", &self.name);
        let key = |name: &str| format!("channels.{}.{name}", self.name);
        let mut missing = |given: bool, name: &str, message: &str| {
            if !given {
                problems.push(Problem::new(key(name), message));
            }
        };
        let has_url = self.url.is_some() || self.url_file.is_some();
        let has_secret = self.secret.is_some() || self.secret_file.is_some();
        match self.kind {
            ChannelKind::Webhook => {
                missing(has_url, "url", "a webhook needs a url");
                missing(has_secret, "secret_file", "a webhook needs a secret or secret_file");
            }
            ChannelKind::Email => {
                missing(self.smtp.is_some(), "smtp", "mail needs smtp, e.g. smtps://user@host:465");
                missing(self.from.is_some(), "from", "mail needs a sender");
                missing(!self.to.is_empty(), "to", "mail needs at least one recipient");
            }
            ChannelKind::Slack | ChannelKind::Teams => missing(has_url, "url_file", "needs the address of the webhook: url_file or url"),
            ChannelKind::PagerDuty => missing(has_secret, "secret_file", "PagerDuty needs a routing key: secret_file or secret"),
            ChannelKind::Alertmanager => missing(has_url, "url", "needs a url, e.g. https://alertmanager.example:9093/api/v2/alerts"),
            ChannelKind::Http => {
                missing(has_url, "url", "needs a url");
                missing(self.body.is_some(), "body", "needs a template of the body");
            }
            ChannelKind::Kafka => {}
        }
        problems.extend(self.incident_problems(&key));
        problems
    }

    /// The address that is called; reads its file.
    ///
    /// # Errors
    /// It is missing, given twice or cannot be read.
    pub fn address(&self) -> Result<String, SetupError> {
        let inline = self.url.clone().map(Secret::new);
        let given = SetupError::secret("url_file", inline.as_ref(), self.url_file.as_deref())?;
        let default = (self.kind == ChannelKind::PagerDuty).then(|| pagerduty::URL.to_owned());
        given.map(|url| url.expose().to_owned()).or(default).ok_or_else(|| SetupError::Url("missing".to_owned()))
    }

    /// The secret, if there is one; reads its file.
    ///
    /// # Errors
    /// It is given twice or cannot be read.
    pub fn secret(&self) -> Result<Option<Secret>, SetupError> {
        SetupError::secret("secret_file", self.secret.as_ref(), self.secret_file.as_deref())
    }
}

/// Names stand in the outbox, in metrics and in ids.
#[must_use]
pub fn name_problems(table: &str, name: &str) -> Vec<Problem> {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if !name.is_empty() && name.len() <= NAME_BYTES_MAX && plain {
        return Vec::new();
    }
    vec![Problem::new(format!("{table}.name"), format!("{name:?}: use 1 to {NAME_BYTES_MAX} letters, digits, - and _"))]
}
