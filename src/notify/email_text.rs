//! What a mail says: what an engineer on call needs to decide, in a text and an HTML form.
//!
//! Both forms come from the same rows. Every text that comes from a log goes through
//! [`visible`](super::visible::visible), and in HTML through [`html`] as well. No pictures, no
//! remote content, no styles that carry meaning.

use super::notice::Sample;
use super::payload::{Notice, Payload, Response};
use super::visible::{html, visible};
use crate::alert::Alert;
use bartizan_core::{EntityKind, Role, Subject};
use serde::Deserialize;
use serde_json::Value;
use std::fmt::Write;

/// Characters of a subject: longer ones are cut by readers anyway.
const SUBJECT_CHARS_MAX: usize = 120;
/// Characters of one value.
const VALUE_CHARS_MAX: usize = 200;
/// Characters of a reason.
const REASON_CHARS_MAX: usize = 600;
/// Names in one row; the alert has the rest.
const NAMES_MAX: usize = 12;
/// Numbers of the evidence.
const NUMBERS_MAX: usize = 16;

/// A mail's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// One line, bounded, without control characters.
    pub subject: String,
    /// The text part.
    pub text: String,
    /// The HTML part.
    pub html: String,
}

/// Renders the body of an outbox message.
///
/// # Errors
/// The body is no message that is known here.
pub fn render(body: &str) -> Result<Rendered, serde_json::Error> {
    let any: Payload<Value> = serde_json::from_str(body)?;
    match any.kind.as_str() {
        "alert.opened" | "alert.updated" | "alert.resolved" => {
            let alert: Alert = serde_json::from_value(any.data)?;
            Ok(alert_mail(&any.kind, &alert, any.response, any.url.as_deref()))
        }
        _ => Ok(notice_mail(&any.kind, &serde_json::from_value(any.data)?)),
    }
}

struct Rows {
    heading: String,
    rows: Vec<(&'static str, String)>,
}

fn alert_mail(kind: &str, alert: &Alert, response: Response, url: Option<&str>) -> Rendered {
    let word = match kind {
        "alert.opened" => "",
        "alert.updated" => "update: ",
        _ => "resolved: ",
    };
    let severity = alert.severity.as_str().to_uppercase();
    let subject = format!("[{severity}] {word}{}: {} ({})", alert.title, alert.key, alert.tenant);
    let attack: Vec<String> = alert.attack.iter().map(|attack| format!("{} {}", attack.tactic, attack.technique)).collect();
    let ongoing = if alert.ongoing { "goes on" } else { "over" };
    let mut rows = vec![
        ("What", line(&format!("{} ({}, {})", alert.title, alert.detector, attack.join(", ")))),
        ("Who", names(alert, |subject| subject.role == Role::Victim)),
        ("From", names(alert, |subject| subject.role != Role::Victim)),
        ("Since", format!("{}, last event {}, {} events, {ongoing}", alert.first_event_time, alert.last_event_time, alert.event_count)),
        ("Why", visible(&alert.reason, REASON_CHARS_MAX)),
        ("Sure", format!("{:.0} %", alert.confidence * 100.0)),
        ("Numbers", numbers(alert)),
        ("Done", done(response)),
        ("Tenant", line(&alert.tenant)),
        ("Alert", format!("{} version {}, {}", line(&alert.id), alert.version, alert.status.as_str())),
    ];
    if let Some(assignee) = &alert.assignee {
        rows.push(("Assignee", line(assignee)));
    }
    let link = url.map(str::to_owned);
    layout(&subject, Rows { heading: line(&format!("[{severity}] {word}{}", alert.title)), rows }, link)
}

fn notice_mail(kind: &str, notice: &Notice) -> Rendered {
    let mut rows = vec![("What", visible(&notice.text, REASON_CHARS_MAX))];
    let details = notice.details.as_object().into_iter().flatten().filter(|(name, value)| !value.is_null() && *name != "samples");
    let shown: Vec<String> = details.take(NUMBERS_MAX).map(|(name, value)| line(&format!("{name} = {}", plain(value)))).collect();
    rows.push(("Details", shown.join("; ")));
    let samples: Vec<Sample> = notice.details.get("samples").and_then(|samples| Vec::deserialize(samples).ok()).unwrap_or_default();
    rows.extend(samples.iter().map(|one| ("Alerts", line(&format!("{} {} {} ({})", one.severity, one.detector, one.key, one.tenant)))));
    rows.push(("Kind", line(kind)));
    layout(&format!("[bartizan] {}", notice.title), Rows { heading: line(&notice.title), rows }, None)
}

fn layout(subject: &str, content: Rows, link: Option<String>) -> Rendered {
    let mut text = format!("{}\n\n", content.heading);
    let mut page = format!("<!doctype html><html><body><h2>{}</h2>\n<table cellpadding=\"4\">\n", html(&content.heading));
    for (label, value) in content.rows.iter().filter(|(_, value)| !value.is_empty()) {
        writeln!(text, "{label:<9}{value}").ok();
        writeln!(page, "<tr><th align=\"left\" valign=\"top\">{label}</th><td>{}</td></tr>", html(value)).ok();
    }
    page.push_str("</table>\n");
    if let Some(link) = link {
        write!(text, "\n{link}\n").ok();
        writeln!(page, "<p><a href=\"{0}\">{0}</a></p>", html(&link)).ok();
    }
    page.push_str("</body></html>\n");
    Rendered { subject: visible(subject, SUBJECT_CHARS_MAX), text, html: page }
}

fn line(text: &str) -> String {
    visible(text, VALUE_CHARS_MAX)
}

/// Names of the subjects that match, those that were hit first.
fn names(alert: &Alert, matches: impl Fn(&Subject) -> bool) -> String {
    let mut chosen: Vec<&Subject> = alert.subjects.iter().filter(|subject| matches(subject)).collect();
    chosen.sort_by_key(|subject| !subject.hit);
    let mut shown: Vec<String> = chosen.iter().take(NAMES_MAX).map(|subject| name(subject)).collect();
    if chosen.len() > NAMES_MAX {
        shown.push(format!("and {} more", chosen.len() - NAMES_MAX));
    }
    shown.join(", ")
}

fn name(subject: &Subject) -> String {
    let kind = match subject.kind {
        EntityKind::Ip | EntityKind::Network => String::new(),
        kind => format!("{kind} "),
    };
    let shared = if subject.role == Role::Shared { " (shared)" } else { "" };
    format!("{kind}{}{shared}{}", line(&subject.value), if subject.hit { " (hit)" } else { "" })
}

fn numbers(alert: &Alert) -> String {
    let scalars = alert.evidence.iter().filter(|(_, value)| !value.is_object() && !value.is_array() && !value.is_null());
    let shown: Vec<String> = scalars.take(NUMBERS_MAX).map(|(name, value)| line(&format!("{name} = {}", plain(value)))).collect();
    shown.join("; ")
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn done(response: Response) -> String {
    let parts = [
        (response.requested, "asked to be ended"),
        (response.dry_run, "would have been asked to be ended (dry run)"),
        (response.held, "held by a brake: a person decides"),
    ];
    let said: Vec<String> = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {} {what}", if *count == 1 { "session" } else { "sessions" }))
        .collect();
    if said.is_empty() { "no session was asked to be ended because of this version".to_owned() } else { said.join("; ") }
}
