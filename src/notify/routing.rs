//! Who is told of what: the configured channels and targets, without their wires.

use super::config::{ChannelConfig, ChannelKind, Group, NotifyConfig, Problem};
use super::quiet::Quiet;
use crate::alert::{Alert, Concern};
use crate::incident::{Incident, IncidentConfig};
use crate::normalise::HeldTokens;
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
    /// Only alerts of these tenants; empty: of all.
    pub tenants: Vec<String>,
    /// Only what concerns these, in alerts, and in incidents by the subjects that they show.
    pub concern: Concern,
    /// Milder alerts, at least this bad, come in a digest once a day.
    pub digest_severity: Option<Severity>,
    /// Every version of every alert, bare, and nothing else: topics, not people.
    pub every_version: bool,
    /// Single alerts, or incidents?
    pub group: Group,
    /// Does the other end keep a state of its own for each incident, so that each change of it is told?
    pub keeps_state: bool,
    /// It hears of incidents that nobody acknowledged for so long; 0: at once.
    pub escalate_after_ms: i64,
    /// When what is not bad enough waits.
    pub quiet: Option<Quiet>,
}

impl Route {
    /// A channel that carries every version of every alert.
    #[must_use]
    pub fn every_version(name: &str) -> Self {
        Self { every_version: true, ..Self::people(name, Severity::Info) }
    }

    /// A channel for people that hears at once of each alert at least this bad.
    #[must_use]
    pub fn people(name: &str, min_severity: Severity) -> Self {
        Self {
            name: name.to_owned(),
            min_severity,
            detectors: Vec::new(),
            tenants: Vec::new(),
            concern: Concern::default(),
            digest_severity: None,
            every_version: false,
            group: Group::Alert,
            keeps_state: false,
            escalate_after_ms: 0,
            quiet: None,
        }
    }

    /// Does an alert belong here, at this severity?
    #[must_use]
    pub fn takes(&self, alert: &Alert, severity: Severity) -> bool {
        severity >= self.min_severity && self.is_about(alert)
    }

    /// Does an alert belong into the digest, at this severity?
    #[must_use]
    pub fn digests(&self, alert: &Alert, severity: Severity) -> bool {
        severity < self.min_severity && self.digest_severity.is_some_and(|least| severity >= least) && self.is_about(alert)
    }

    fn is_about(&self, alert: &Alert) -> bool {
        let wanted = |names: &[String], name: &String| names.is_empty() || names.contains(name);
        wanted(&self.detectors, &alert.detector) && wanted(&self.tenants, &alert.tenant) && self.concern.is_met(&alert.subjects)
    }

    /// Does an incident belong here, as it is now?
    #[must_use]
    pub fn takes_incident(&self, incident: &Incident) -> bool {
        let of_tenant = self.tenants.is_empty() || self.tenants.contains(&incident.tenant);
        let of_detector = self.detectors.is_empty() || self.detectors.iter().any(|name| incident.detectors.contains_key(name));
        incident.severity >= self.min_severity && of_tenant && of_detector && self.concern.is_met(&incident.subjects)
    }

    /// When a message about something of this severity may go that is due at `due_ms`.
    #[must_use]
    pub fn due_ms(&self, severity: Severity, due_ms: i64) -> i64 {
        self.quiet.as_ref().map_or(due_ms, |quiet| quiet.due_ms(severity, due_ms))
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
    /// Tokens that targets want themselves.
    pub held: HeldTokens,
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
            _ => Route {
                detectors: config.detectors.clone(),
                tenants: config.tenants.clone(),
                concern: Concern { entities: config.entities.clone(), only_hits: config.only_hits },
                digest_severity: config.digest_severity,
                group: config.group(),
                keeps_state: config.kind.keeps_state(),
                escalate_after_ms: config.escalate_after_ms,
                quiet: config.quiet.as_ref().and_then(|quiet| quiet.read().ok()),
                ..Route::people(&config.name, config.min_severity)
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

    /// Where the console shows an incident.
    #[must_use]
    pub fn url_of_incident(&self, id: &str) -> Option<String> {
        self.public_url.as_ref().map(|url| format!("{url}/#/incidents/{id}"))
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
