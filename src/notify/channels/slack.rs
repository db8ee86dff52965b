//! Slack: an incoming webhook, with blocks.
//!
//! What people are told stands in a `rich_text` block: its texts are shown as they are, so nothing in a name becomes a
//! link, a mention or a format. Only the line for notifications is `mrkdwn`, with that switched off and its control
//! characters escaped. Limits: 150 characters in a header, some 13,000 in all blocks.

use super::{Service, post};
use crate::db::outbox::Message;
use crate::notify::Outcome;
use crate::notify::guarded_http::{Answer, Call};
use crate::notify::view::View;
use crate::notify::visible::shortened;
use serde_json::{Value, json};

/// Characters of a header.
const HEADER_UNITS_MAX: usize = 150;

/// Incoming webhooks; their address is the secret.
pub struct Slack;

impl Service for Slack {
    fn call(&self, _: &Message, view: &View, _: &str) -> Result<Call, String> {
        Ok(post(&blocks(view)))
    }

    /// The whole of a good answer is `ok`; some errors come with the status 200.
    fn outcome(&self, answer: &Answer) -> Outcome {
        match answer.outcome() {
            Outcome::Delivered(_) if answer.body.trim() != "ok" => Outcome::retry(answer.shown()),
            other => other,
        }
    }
}

fn blocks(view: &View) -> Value {
    let said = view.rows.iter().flat_map(|row| {
        let label = json!({"type": "text", "text": format!("{} ", row.label), "style": {"bold": true}});
        [label, json!({"type": "text", "text": format!("{}\n", row.value)})]
    });
    let link = view.url.iter().map(|url| json!({"type": "link", "url": url, "text": "Open in Bartizan"}));
    let section = json!({"type": "rich_text_section", "elements": said.chain(link).collect::<Vec<_>>()});
    let header = json!({"type": "plain_text", "text": shortened(&view.heading, HEADER_UNITS_MAX), "emoji": false});
    json!({
        "text": mrkdwn(&view.subject),
        "mrkdwn": false,
        "unfurl_links": false,
        "unfurl_media": false,
        "blocks": [{"type": "header", "text": header}, {"type": "rich_text", "elements": [section]}],
    })
}

/// The three characters that begin entities, links and mentions.
fn mrkdwn(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
