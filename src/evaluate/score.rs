//! Labels against alerts: what was found, what was not, and what has no label.
//!
//! An attack is found if an alert of a fitting detector, of the same tenant and overlapping in time,
//! names one of its users, addresses (or their network) or sessions. An alert of another detector
//! about an attack is counted as such, not as a false one.

use super::labels::Label;
use bartizan_core::time::{MINUTE_MS, TimeMs};
use ipnet::IpNet;
use serde::Deserialize;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;

/// By how much an alert may lie outside of an attack's time.
const SLACK_MS: i64 = 10 * MINUTE_MS;

/// What of an alert the comparison needs.
#[derive(Clone, Debug, Deserialize)]
pub struct ScoredAlert {
    id: String,
    detector: String,
    tenant: String,
    first_event_time: TimeMs,
    last_event_time: TimeMs,
    #[serde(default)]
    entities: AlertEntities,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct AlertEntities {
    users: Vec<String>,
    ips: Vec<String>,
    sessions: Vec<String>,
    networks: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Found {
    total: u64,
    found: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Raised {
    alerts: u64,
    fitting: u64,
    other_attack: u64,
    innocent: u64,
    unlabelled: u64,
}

/// The result of a comparison; its text form is the table.
#[derive(Clone, Debug, Default)]
pub struct Score {
    kinds: BTreeMap<String, Found>,
    detectors: BTreeMap<String, Raised>,
    missed: Vec<String>,
    unlabelled: Vec<String>,
}

impl Score {
    /// Attacks of a kind: how many there were and how many were found.
    #[must_use]
    pub fn of_kind(&self, kind: &str) -> (u64, u64) {
        let prefix = format!("{kind}/");
        let mut sums = (0, 0);
        for (name, found) in &self.kinds {
            if name == kind || name.starts_with(&prefix) {
                sums = (sums.0 + found.total, sums.1 + found.found);
            }
        }
        sums
    }

    /// Alerts of a detector that are about no attack.
    #[must_use]
    pub fn false_alerts(&self, detector: &str) -> u64 {
        self.detectors.get(detector).map_or(0, |r| r.innocent + r.unlabelled)
    }

    /// Ids of the attacks that were not found.
    #[must_use]
    pub fn missed(&self) -> &[String] {
        &self.missed
    }

    /// Ids of the alerts that no label is about.
    #[must_use]
    pub fn unlabelled(&self) -> &[String] {
        &self.unlabelled
    }
}

/// Compares labels with alerts. Of several versions of an alert the last one given counts.
#[must_use]
pub fn score(labels: &[Label], alerts: &[ScoredAlert]) -> Score {
    let mut latest: BTreeMap<&str, &ScoredAlert> = BTreeMap::new();
    for alert in alerts {
        latest.insert(&alert.id, alert);
    }
    let index = Index::new(labels);
    let mut found = vec![false; labels.len()];
    let mut score = Score::default();
    for alert in latest.values() {
        let about: Vec<usize> = index.labels_of(alert).into_iter().filter(|i| labels.get(*i).is_some_and(|l| overlap(l, alert))).collect();
        let mut fits = false;
        for number in &about {
            let fitting = labels.get(*number).is_some_and(|l| l.detectors.contains(&alert.detector));
            fits |= fitting;
            if let Some(slot) = found.get_mut(*number) {
                *slot |= fitting;
            }
        }
        let has_attack = about.iter().any(|i| labels.get(*i).is_some_and(|l| l.attack.is_some()));
        let raised = score.detectors.entry(alert.detector.clone()).or_default();
        raised.alerts += 1;
        match (fits, has_attack, about.is_empty()) {
            (true, _, _) => raised.fitting += 1,
            (false, true, _) => raised.other_attack += 1,
            (false, false, false) => raised.innocent += 1,
            (false, false, true) => {
                raised.unlabelled += 1;
                score.unlabelled.push(alert.id.clone());
            }
        }
    }
    for (label, found) in labels.iter().zip(found) {
        let Some(attack) = &label.attack else { continue };
        let name = if label.variant.is_empty() { label.kind.clone() } else { format!("{}/{}", label.kind, label.variant) };
        let row = score.kinds.entry(name).or_default();
        row.total += 1;
        row.found += u64::from(found);
        if !found {
            score.missed.push(attack.clone());
        }
    }
    score
}

fn overlap(label: &Label, alert: &ScoredAlert) -> bool {
    label.start.0 - SLACK_MS <= alert.last_event_time.0 && alert.first_event_time.0 <= label.end.0 + SLACK_MS
}

/// Labels by tenant and name.
struct Index<'a> {
    names: HashMap<(&'a str, &'a str), Vec<usize>>,
    addresses: Vec<(IpAddr, &'a str, usize)>,
}

impl<'a> Index<'a> {
    fn new(labels: &'a [Label]) -> Self {
        let mut index = Self { names: HashMap::new(), addresses: Vec::new() };
        for (number, label) in labels.iter().enumerate() {
            let entities = &label.entities;
            for name in entities.users.iter().chain(&entities.ips).chain(&entities.sessions) {
                index.names.entry((&label.tenant, name)).or_default().push(number);
            }
            for ip in entities.ips.iter().filter_map(|ip| ip.parse().ok()) {
                index.addresses.push((ip, &label.tenant, number));
            }
        }
        index.addresses.sort_unstable();
        index
    }

    fn labels_of(&self, alert: &'a ScoredAlert) -> Vec<usize> {
        let entities = &alert.entities;
        let mut numbers: Vec<usize> = entities
            .users
            .iter()
            .chain(&entities.ips)
            .chain(&entities.sessions)
            .filter_map(|name| self.names.get(&(alert.tenant.as_str(), name.as_str())))
            .flatten()
            .copied()
            .collect();
        for network in entities.networks.iter().filter_map(|n| n.parse::<IpNet>().ok()) {
            let first = self.addresses.partition_point(|(ip, _, _)| *ip < network.network());
            let inside = self.addresses.iter().skip(first).take_while(|(ip, _, _)| network.contains(ip));
            numbers.extend(inside.filter(|(_, tenant, _)| *tenant == alert.tenant).map(|(_, _, number)| *number));
        }
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<34} {:>8} {:>8}", "attack", "total", "found")?;
        let mut sum = Found::default();
        for (kind, row) in &self.kinds {
            writeln!(f, "{kind:<34} {:>8} {:>8}", row.total, row.found)?;
            sum = Found { total: sum.total + row.total, found: sum.found + row.found };
        }
        writeln!(f, "{:<34} {:>8} {:>8}\n", "all", sum.total, sum.found)?;
        writeln!(f, "{:<24} {:>8} {:>8} {:>12} {:>10} {:>10}", "detector", "alerts", "fitting", "other attack", "innocent", "no label")?;
        for (detector, row) in &self.detectors {
            writeln!(
                f,
                "{detector:<24} {:>8} {:>8} {:>12} {:>10} {:>10}",
                row.alerts, row.fitting, row.other_attack, row.innocent, row.unlabelled
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn label(text: &str) -> Label {
        serde_json::from_str(text).unwrap()
    }

    fn alert(id: &str, detector: &str, entities: &str, time: &str) -> ScoredAlert {
        serde_json::from_str(&format!(
            r#"{{"id":"{id}","version":1,"detector":"{detector}","tenant":"t","first_event_time":"{time}","last_event_time":"{time}","entities":{entities}}}"#
        ))
        .unwrap()
    }

    #[test]
    fn an_attack_is_found_by_a_fitting_detector_at_its_time_alone() {
        let labels = [
            label(
                r#"{"attack":"a","kind":"credential_stuffing","variant":"subnet","detectors":["credential_stuffing"],"tenant":"t","start":"2026-01-01T00:00:00.000Z","end":"2026-01-01T00:10:00.000Z","hit":false,"entities":{"users":["u"],"ips":["192.0.2.9"],"sessions":[]},"events":5}"#,
            ),
            label(
                r#"{"innocent":"i","kind":"refresh_race","detectors":[],"tenant":"t","start":"2026-01-01T00:00:00.000Z","end":"2026-01-01T00:10:00.000Z","hit":false,"entities":{"users":["v"],"ips":[],"sessions":[]},"events":2}"#,
            ),
        ];
        let late = alert("1", "credential_stuffing", r#"{"users":["u"]}"#, "2026-01-02T00:00:00Z");
        let other = alert("2", "token_reuse", r#"{"users":["u"]}"#, "2026-01-01T00:05:00Z");
        let innocent = alert("3", "token_reuse", r#"{"users":["v"]}"#, "2026-01-01T00:05:00Z");
        let network = alert("4", "credential_stuffing", r#"{"networks":["192.0.2.0/24","AS64496"]}"#, "2026-01-01T00:05:00Z");
        let before = score(&labels, &[late.clone(), other.clone(), innocent.clone()]);
        assert_eq!(before.of_kind("credential_stuffing"), (1, 0));
        assert_eq!(before.missed(), ["a"]);
        assert_eq!(before.unlabelled(), ["1"]);
        assert_eq!(before.false_alerts("token_reuse"), 1);
        let after = score(&labels, &[late, other, innocent, network]);
        assert_eq!(after.of_kind("credential_stuffing"), (1, 1));
        assert!(after.to_string().contains("credential_stuffing/subnet"));
    }
}
