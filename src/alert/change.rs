//! Changes of alerts, for live views.

use super::{Alert, Status};
use std::sync::Arc;
use tokio::sync::broadcast;

/// An alert as it is shown, whenever it changes.
pub type AlertChanges = broadcast::Sender<Arc<AlertChange>>;

/// A change of an alert.
#[derive(Clone, Debug)]
pub struct AlertChange {
    /// `alert.opened`, `alert.updated` or `alert.resolved`.
    pub kind: &'static str,
    /// The alert as it is shown now.
    pub alert: Alert,
}

impl AlertChange {
    /// A new version of detection.
    #[must_use]
    pub fn detected(alert: Alert) -> Self {
        Self { kind: if alert.version == 1 { "alert.opened" } else { "alert.updated" }, alert }
    }

    /// A step of a person.
    #[must_use]
    pub fn triaged(alert: Alert) -> Self {
        Self { kind: if alert.status == Status::Resolved { "alert.resolved" } else { "alert.updated" }, alert }
    }
}
