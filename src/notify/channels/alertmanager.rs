//! Prometheus Alertmanager: `POST /api/v2/alerts`.
//!
//! An alert there is its labels, so these must not change in its course, and yet routes want the severity among them. So
//! each message speaks of all severities: the present one fires, the others end. Alertmanager makes no noise about the end
//! of what it never told.
//!
//! It forgets alerts that are not sent again, but for those that name their end. The outbox holds news and nothing is sent
//! without any, so an open alert ends a week after its last message; what is resolved ends at once. Alertmanager keeps
//! alerts in memory: after its own restart an open one comes back with its next message.

use super::{Service, post};
use crate::db::outbox::Message;
use crate::notify::guarded_http::Call;
use crate::notify::view::{Course, View};
use bartizan_core::time::{DAY_MS, HOUR_MS};
use bartizan_core::{Severity, TimeMs};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How long after its last message something open ends by itself.
const OPEN_MS: i64 = 7 * DAY_MS;
/// How long a notice lasts, which nobody resolves.
const NOTICE_MS: i64 = HOUR_MS;

/// Version 2 of its API.
pub struct Alertmanager;

impl Service for Alertmanager {
    fn call(&self, message: &Message, view: &View, _: &str) -> Result<Call, String> {
        Ok(post(&Value::Array(Severity::ALL.iter().map(|severity| alert(message, view, *severity)).collect())))
    }
}

/// An alert as it is posted.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Posted<'a> {
    labels: BTreeMap<&'static str, &'a str>,
    annotations: BTreeMap<&'static str, &'a str>,
    starts_at: TimeMs,
    ends_at: TimeMs,
    #[serde(rename = "generatorURL", skip_serializing_if = "Option::is_none")]
    console: Option<&'a str>,
}

fn alert(message: &Message, view: &View, severity: Severity) -> Value {
    let (name, id) = match view.kind.split_once('.') {
        _ if view.key.is_empty() => ("BartizanNotice", message.message_id.as_str()),
        Some(("incident", _)) => ("BartizanIncident", view.key.as_str()),
        Some(("health", _)) => ("BartizanHealth", view.key.as_str()),
        _ => ("BartizanAlert", view.key.as_str()),
    };
    let lasts_ms = match view.course {
        _ if severity != view.severity => 0,
        Course::Resolved => 0,
        Course::Notice => NOTICE_MS,
        Course::Opened | Course::Updated | Course::Acknowledged => OPEN_MS,
    };
    let lines = view.lines();
    json!(Posted {
        labels: [("alertname", name), ("id", id), ("severity", severity.as_str()), ("tenant", view.tenant.as_str())].into(),
        annotations: [("summary", view.subject.as_str()), ("description", lines.as_str())].into(),
        starts_at: view.began,
        ends_at: TimeMs(view.timestamp.max(view.began).0.saturating_add(lasts_ms)),
        console: view.url.as_deref(),
    })
}
