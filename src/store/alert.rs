//! Rows of the table `alerts`: the columns to filter by, and the whole alert as JSON.

use crate::alert::Alert;
use clickhouse::Row;
use serde::Serialize;

/// One version of an alert on its way into ClickHouse.
#[derive(Row, Serialize)]
pub(super) struct AlertRow<'a> {
    tenant: &'a str,
    id: &'a str,
    version: u32,
    detector: &'a str,
    severity: String,
    status: String,
    disposition: String,
    confidence: f32,
    first_event_time: i64,
    last_event_time: i64,
    detected_time: i64,
    event_count: u64,
    incident: &'a str,
    users: &'a [String],
    ips: &'a [String],
    sessions: &'a [String],
    json: String,
    written_time: i64,
}

impl<'a> AlertRow<'a> {
    /// # Errors
    /// When the alert cannot be written as JSON.
    pub(super) fn new(alert: &'a Alert, now_ms: i64) -> Result<Self, serde_json::Error> {
        Ok(Self {
            tenant: &alert.tenant,
            id: &alert.id,
            version: alert.version,
            detector: &alert.detector,
            severity: name(&alert.severity)?,
            status: name(&alert.status)?,
            disposition: alert.disposition.as_ref().map_or(Ok(String::new()), name)?,
            confidence: alert.confidence,
            first_event_time: alert.first_event_time.0,
            last_event_time: alert.last_event_time.0,
            detected_time: alert.detected_time.0,
            event_count: alert.event_count,
            incident: alert.incident.as_deref().unwrap_or_default(),
            users: &alert.entities.users,
            ips: &alert.entities.ips,
            sessions: &alert.entities.sessions,
            json: serde_json::to_string(alert)?,
            written_time: now_ms,
        })
    }
}

/// The wire name of a closed set's value.
fn name(value: &impl Serialize) -> Result<String, serde_json::Error> {
    Ok(serde_json::to_value(value)?.as_str().unwrap_or_default().to_owned())
}
