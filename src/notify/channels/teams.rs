//! Microsoft Teams: a Workflows webhook that posts a message with an Adaptive Card.
//!
//! The card is made of text runs, which know no Markdown, so nothing in a name becomes a link, a mention or a format.
//! They need version 1.2 of the cards. A message may have 28 KB; what people are told is shorter ([`View`]).

use super::{Service, post};
use crate::db::outbox::Message;
use crate::notify::Outcome;
use crate::notify::guarded_http::{Answer, Call};
use crate::notify::view::{Course, View};
use bartizan_core::Severity;
use serde_json::{Value, json};

/// Workflows webhooks; their address is the secret.
pub struct Teams;

impl Service for Teams {
    fn call(&self, _: &Message, view: &View, _: &str) -> Result<Call, String> {
        let attachment = json!({"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card(view)});
        Ok(post(&json!({"type": "message", "attachments": [attachment]})))
    }

    /// A flow answers 202. A status of 200 may come with what went wrong behind it.
    fn outcome(&self, answer: &Answer) -> Outcome {
        match answer.outcome() {
            Outcome::Delivered(_) if answer.code == 200 && answer.body.to_lowercase().contains("error") => Outcome::retry(answer.shown()),
            other => other,
        }
    }
}

fn card(view: &View) -> Value {
    let heading = json!({"type": "TextRun", "text": view.heading, "size": "Large", "weight": "Bolder", "color": colour(view)});
    let block = |inlines: Vec<Value>| json!({"type": "RichTextBlock", "spacing": "Small", "inlines": inlines});
    let rows = view.rows.iter().map(|row| {
        let label = json!({"type": "TextRun", "text": format!("{} ", row.label), "weight": "Bolder"});
        block(vec![label, json!({"type": "TextRun", "text": row.value})])
    });
    let actions = view.url.iter().map(|url| json!({"type": "Action.OpenUrl", "title": "Open in Bartizan", "url": url}));
    json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.2",
        "fallbackText": view.subject,
        "msteams": {"width": "full"},
        "body": std::iter::once(block(vec![heading])).chain(rows).collect::<Vec<_>>(),
        "actions": actions.collect::<Vec<_>>(),
    })
}

/// What is over is no alarm any more, however bad it was.
fn colour(view: &View) -> &'static str {
    match view.severity {
        _ if view.course == Course::Resolved => "Good",
        Severity::Critical | Severity::High => "Attention",
        Severity::Medium => "Warning",
        Severity::Low | Severity::Info => "Default",
    }
}
