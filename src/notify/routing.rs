//! Who is told of what: the configured channels and targets, without their wires.

use super::config::{ChannelConfig, ChannelKind, NotifyConfig, Problem};
use crate::alert::Alert;
use crate::incident::IncidentConfig;
use crate::respond::{PolicyConfig, ResponseConfig, RevocationConfig};
use bartizan_core::Severity;
use std::collections::BTreeSet;

/// Name of the channel that carries all alert versions to the topic `bartizan.alerts`.
pub const ALERTS_TOPIC_CHANNEL: &str = "alerts-topic";
/// Name of the channel that carries every change of an action to the topic `bartizan.actions`.
pub const ACTIONS_TOPIC_CHANNEL: &str = "actions-topic";
/// Name of the channel that keeps every version in the store.
pub const HISTORY_CHANNEL: &str = "history";

/// One channel, as far as deciding goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Its name in the outbox.
    pub name: String,
    /// Only alerts at least this bad.
    pub min_severity: Severity,
    /// Only alerts of these detectors; empty: of all.
    pub detectors: Vec<String>,
    /// Every version of every alert, bare, and nothing else: topics, not people.
    pub every_version: bool,
}

impl Route {
    /// A channel that carries every version of every alert.
    #[must_use]
    pub fn every_version(name: &str) -> Self {
        Self { name: name.to_owned(), min_severity: Severity::Info, detectors: Vec::new(), every_version: true }
    }

    /// Does an alert of this detector and severity belong here?
    #[must_use]
    pub fn takes(&self, detector: &str, severity: Severity) -> bool {
        severity >= self.min_severity && (self.detectors.is_empty() || self.detectors.iter().any(|name| name == detector))
    }
}

/// Everything that a version's transaction needs to know of the configuration.
#[derive(Clone, Debug, Default)]
pub struct Routing {
    /// Channels.
    pub channels: Vec<Route>,
    /// Revocation targets.
    pub targets: Vec<RevocationConfig>,
    /// What is done beside what the targets' tables mean by themselves.
    pub policies: Vec<PolicyConfig>,
    /// What holds for all of them.
    pub response: ResponseConfig,
    /// What belongs to one incident.
    pub incidents: IncidentConfig,
    /// How many are told singly, and shown.
    pub limits: NotifyConfig,
    /// Where people reach the console, e.g. `https://bartizan.example`; alerts link to it.
    pub public_url: Option<String>,
}

impl Routing {
    /// From the configuration.
    #[must_use]
    pub fn new(channels: &[ChannelConfig], targets: &[RevocationConfig], limits: &NotifyConfig, public_url: Option<&str>) -> Self {
        let route = |config: &ChannelConfig| match config.kind {
            ChannelKind::Kafka => Route::every_version(&config.name),
            ChannelKind::Webhook | ChannelKind::Email => Route {
                name: config.name.clone(),
                min_severity: config.min_severity,
                detectors: config.detectors.clone(),
                every_version: false,
            },
        };
        let public_url = public_url.filter(|url| !url.is_empty()).map(|url| url.trim_end_matches('/').to_owned());
        Self {
            channels: channels.iter().map(route).collect(),
            targets: targets.to_vec(),
            limits: limits.clone(),
            public_url,
            ..Self::default()
        }
    }

    /// Everything wrong with the two lists of tables, at once.
    #[must_use]
    pub fn problems(channels: &[ChannelConfig], targets: &[RevocationConfig]) -> Vec<Problem> {
        let mut problems: Vec<Problem> = channels.iter().flat_map(ChannelConfig::problems).collect();
        problems.extend(targets.iter().flat_map(RevocationConfig::problems));
        let doubled = |table: &str, names: Vec<&str>| {
            let mut seen = BTreeSet::from([ALERTS_TOPIC_CHANNEL, ACTIONS_TOPIC_CHANNEL, HISTORY_CHANNEL]);
            let mut found = Vec::new();
            for name in names {
                if !seen.insert(name) {
                    found.push(Problem::new(format!("{table}.{name}"), "this name is taken"));
                }
            }
            found
        };
        problems.extend(doubled("channels", channels.iter().map(|config| config.name.as_str()).collect()));
        problems.extend(doubled("revocation", targets.iter().map(|config| config.name.as_str()).collect()));
        problems
    }

    /// What is to be done about an alert, what is meant before what is only tried.
    #[must_use]
    pub fn policies_for(&self, alert: &Alert) -> Vec<PolicyConfig> {
        let all = self.targets.iter().map(PolicyConfig::of_target).chain(self.policies.iter().cloned());
        let mut found: Vec<PolicyConfig> = all.filter(|policy| policy.takes(alert)).collect();
        found.sort_by_key(|policy| (policy.shadow, policy.approvals));
        found
    }

    /// Where the console shows an alert.
    #[must_use]
    pub fn url_of(&self, alert: &Alert) -> Option<String> {
        self.public_url.as_ref().map(|url| format!("{url}/#/alerts/{}", alert.id))
    }
}
