//! Alerts over their versions, as far as the comparison needs them.

use crate::alert::{Alert, Entities};
use bartizan_core::Severity;
use std::collections::BTreeMap;

/// One version of an alert.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) severity: Severity,
    /// Event time of the alert's first event.
    pub(super) first_ms: i64,
    /// Event time at which it was told.
    pub(super) told_ms: i64,
    pub(super) entities: Entities,
}

/// One alert: the versions that count, and what a list says of it.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) id: String,
    pub(super) detector: String,
    pub(super) tenant: String,
    pub(super) key: String,
    pub(super) reason: String,
    /// The version that first reached medium.
    pub(super) medium: Option<Version>,
    /// The version that first reached high.
    pub(super) high: Option<Version>,
    pub(super) last: Version,
}

/// All alerts, by id. Holds three versions of each at most.
#[derive(Clone, Debug, Default)]
pub struct Cases(BTreeMap<String, Case>);

impl Cases {
    /// Takes the next version of an alert.
    pub fn add(&mut self, alert: &Alert) {
        let version = Version {
            severity: alert.severity,
            first_ms: alert.first_event_time.0,
            told_ms: alert.last_event_time.0,
            entities: alert.entities.clone(),
        };
        let case = self.0.entry(alert.id.clone()).or_insert_with(|| Case {
            id: alert.id.clone(),
            detector: alert.detector.clone(),
            tenant: alert.tenant.clone(),
            key: alert.key.clone(),
            reason: String::new(),
            medium: None,
            high: None,
            last: version.clone(),
        });
        for (slot, level) in [(&mut case.medium, Severity::Medium), (&mut case.high, Severity::High)] {
            if slot.is_none() && version.severity >= level {
                *slot = Some(version.clone());
            }
        }
        case.reason.clone_from(&alert.reason);
        case.last = version;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Case> {
        self.0.values()
    }
}
