//! PagerDuty: Events API v2.
//!
//! All messages about one incident (or one alert, where those are told singly) have one `dedup_key`, so that they are
//! one page, acknowledged and resolved with it. A notice is a page of its own, which a person resolves.

use super::{Service, post};
use crate::db::outbox::Message;
use crate::notify::Outcome;
use crate::notify::guarded_http::{Answer, Call};
use crate::notify::view::{Course, View};
use bartizan_core::Severity;
use serde_json::{Value, json};

/// Where events go, but for accounts in the EU.
pub const URL: &str = "https://events.pagerduty.com/v2/enqueue";

/// Events API v2; the secret is the routing key.
pub struct PagerDuty;

impl Service for PagerDuty {
    fn call(&self, message: &Message, view: &View, routing_key: &str) -> Result<Call, String> {
        let dedup_key = if view.key.is_empty() { &message.message_id } else { &view.key };
        Ok(post(&event(view, dedup_key, routing_key)))
    }

    /// Accepted is 202 with the status `success`.
    fn outcome(&self, answer: &Answer) -> Outcome {
        let accepted = || serde_json::from_str::<Value>(&answer.body).is_ok_and(|body| body.get("status") == Some(&json!("success")));
        match answer.outcome() {
            Outcome::Delivered(_) if answer.code != 202 || !accepted() => Outcome::retry(answer.shown()),
            other => other,
        }
    }
}

fn event(view: &View, dedup_key: &str, routing_key: &str) -> Value {
    let action = match view.course {
        Course::Acknowledged => "acknowledge",
        Course::Resolved => "resolve",
        Course::Opened | Course::Updated | Course::Notice => return trigger(view, dedup_key, routing_key),
    };
    json!({"routing_key": routing_key, "event_action": action, "dedup_key": dedup_key})
}

fn trigger(view: &View, dedup_key: &str, routing_key: &str) -> Value {
    let links: Vec<Value> = view.url.iter().map(|url| json!({"href": url, "text": "Open in Bartizan"})).collect();
    json!({
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": dedup_key,
        "client": "Bartizan",
        "links": links,
        "payload": {
            "summary": view.subject,
            "source": if view.tenant.is_empty() { "bartizan" } else { &view.tenant },
            "severity": severity(view.severity),
            "timestamp": view.timestamp,
            "class": view.detectors.join(", "),
            "custom_details": view.details(),
        },
    })
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "info",
    }
}
