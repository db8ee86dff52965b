//! What the services publish of the calls that they take, written down apart from the code that makes them: each member
//! that may be there, its form and its limits. Anything else is refused. Against the types that Slack, Microsoft and
//! PagerDuty publish for their own SDKs, bodies are held where they arrive (`tests/published.rs`).

use serde_json::Value;

/// Serialised characters of all blocks that Slack was seen to take.
const SLACK_BLOCKS_MAX: usize = 13_000;
/// Bytes of a message in Teams.
const TEAMS_BYTES_MAX: usize = 28 * 1024;
/// Bytes of an event of PagerDuty.
const PAGERDUTY_BYTES_MAX: usize = 512 * 1024;

/// What is wrong with it.
type Checked = Result<(), String>;

fn check(good: bool, what: &str, value: &Value) -> Checked {
    if good { Ok(()) } else { Err(format!("{what}: {value}")) }
}

/// An object with these members, of which the first `required` must be there.
fn members(value: &Value, known: &[&str], required: usize) -> Checked {
    let object = value.as_object().ok_or_else(|| format!("no object: {value}"))?;
    check(object.keys().all(|key| known.contains(&key.as_str())), "an unknown member", value)?;
    check(known[..required].iter().all(|key| object.contains_key(*key)), "a missing member", value)
}

fn list(value: &Value) -> Result<&Vec<Value>, String> {
    value.as_array().ok_or_else(|| format!("no list: {value}"))
}

/// A text of `min` to `max` characters, counted as UTF-16 does.
fn text(value: &Value, min: usize, max: usize) -> Checked {
    let length = value.as_str().map(|text| text.encode_utf16().count());
    check(length.is_some_and(|length| (min..=max).contains(&length)), "a text that is none or has another length", value)
}

fn one_of(value: &Value, known: &[&str]) -> Checked {
    check(value.as_str().is_some_and(|text| known.contains(&text)), "none of the known values", value)
}

fn url(value: &Value) -> Checked {
    check(value.as_str().is_some_and(|text| reqwest::Url::parse(text).is_ok()), "no URL", value)
}

fn time(value: &Value) -> Result<jiff::Timestamp, String> {
    value.as_str().and_then(|text| text.parse().ok()).ok_or_else(|| format!("no time: {value}"))
}

/// An incoming webhook of Slack: <https://docs.slack.dev/reference/block-kit>.
pub fn slack(body: &Value) -> Checked {
    members(body, &["text", "blocks", "mrkdwn", "unfurl_links", "unfurl_media"], 2)?;
    text(&body["text"], 1, 40_000)?;
    let line = body["text"].as_str().unwrap_or_default();
    let entities = ["&amp;", "&lt;", "&gt;"].iter().fold(line.to_owned(), |line, entity| line.replace(entity, ""));
    check(!entities.contains(['<', '>', '&']), "control characters of mrkdwn", &body["text"])?;
    let blocks = list(&body["blocks"])?;
    check((1..=50).contains(&blocks.len()), "too many blocks", &body["blocks"])?;
    check(body["blocks"].to_string().chars().count() <= SLACK_BLOCKS_MAX, "blocks are too long", &Value::Null)?;
    blocks.iter().try_for_each(|block| match block["type"].as_str() {
        Some("header") => {
            members(block, &["type", "text"], 2)?;
            members(&block["text"], &["type", "text", "emoji"], 2)?;
            one_of(&block["text"]["type"], &["plain_text"])?;
            text(&block["text"]["text"], 1, 150)
        }
        Some("rich_text") => {
            members(block, &["type", "elements"], 2)?;
            list(&block["elements"])?.iter().try_for_each(slack_section)
        }
        _ => Err(format!("an unknown block: {block}")),
    })
}

fn slack_section(section: &Value) -> Checked {
    members(section, &["type", "elements"], 2)?;
    one_of(&section["type"], &["rich_text_section"])?;
    list(&section["elements"])?.iter().try_for_each(|element| match element["type"].as_str() {
        Some("text") => {
            members(element, &["type", "text", "style"], 2)?;
            text(&element["text"], 1, 3_000)?;
            element.get("style").map_or(Ok(()), |style| members(style, &["bold", "italic", "strike", "code"], 0))
        }
        Some("link") => {
            members(element, &["type", "url", "text"], 2)?;
            url(&element["url"])
        }
        _ => Err(format!("an unknown element: {element}")),
    })
}

/// A Workflows webhook with a card: <https://adaptivecards.io/explorer>.
pub fn teams(body: &Value) -> Checked {
    check(body.to_string().len() <= TEAMS_BYTES_MAX, "a message is too long", &Value::Null)?;
    members(body, &["type", "attachments"], 2)?;
    one_of(&body["type"], &["message"])?;
    list(&body["attachments"])?.iter().try_for_each(|attachment| {
        members(attachment, &["contentType", "content", "contentUrl"], 2)?;
        one_of(&attachment["contentType"], &["application/vnd.microsoft.card.adaptive"])?;
        card(&attachment["content"])
    })
}

fn card(card: &Value) -> Checked {
    members(card, &["type", "version", "body", "actions", "$schema", "fallbackText", "msteams"], 3)?;
    one_of(&card["type"], &["AdaptiveCard"])?;
    // Text runs came with 1.2; workflows take no more than 1.5.
    one_of(&card["version"], &["1.2", "1.3", "1.4", "1.5"])?;
    list(&card["body"])?.iter().try_for_each(|block| {
        members(block, &["type", "inlines", "spacing"], 2)?;
        one_of(&block["type"], &["RichTextBlock"])?;
        check(!list(&block["inlines"])?.is_empty(), "no text", block)?;
        list(&block["inlines"])?.iter().try_for_each(|run| {
            members(run, &["type", "text", "weight", "size", "color"], 2)?;
            one_of(&run["type"], &["TextRun"])?;
            one_of(run.get("weight").unwrap_or(&"Default".into()), &["Default", "Lighter", "Bolder"])?;
            one_of(run.get("size").unwrap_or(&"Default".into()), &["Default", "Small", "Medium", "Large", "ExtraLarge"])?;
            one_of(run.get("color").unwrap_or(&"Default".into()), &["Default", "Dark", "Light", "Accent", "Good", "Warning", "Attention"])?;
            text(&run["text"], 1, TEAMS_BYTES_MAX)
        })
    })?;
    list(&card["actions"])?.iter().try_for_each(|action| {
        members(action, &["type", "url", "title"], 2)?;
        one_of(&action["type"], &["Action.OpenUrl"])?;
        url(&action["url"])
    })
}

/// Events API v2: <https://developer.pagerduty.com/docs/send-alert-event>.
pub fn pagerduty(body: &Value) -> Checked {
    check(body.to_string().len() <= PAGERDUTY_BYTES_MAX, "an event is too long", &Value::Null)?;
    members(body, &["routing_key", "event_action", "dedup_key", "payload", "client", "client_url", "links", "images"], 2)?;
    text(&body["routing_key"], 32, 32)?;
    one_of(&body["event_action"], &["trigger", "acknowledge", "resolve"])?;
    text(&body["dedup_key"], 1, 255)?;
    if body["event_action"] != "trigger" {
        return members(body, &["routing_key", "event_action", "dedup_key"], 3);
    }
    let payload = &body["payload"];
    members(payload, &["summary", "source", "severity", "timestamp", "component", "group", "class", "custom_details"], 3)?;
    text(&payload["summary"], 1, 1024)?;
    text(&payload["source"], 1, 1024)?;
    one_of(&payload["severity"], &["critical", "error", "warning", "info"])?;
    time(&payload["timestamp"])?;
    check(payload["custom_details"].is_object(), "details that are no object", payload)?;
    list(&body["links"])?.iter().try_for_each(|link| {
        members(link, &["href", "text"], 1)?;
        url(&link["href"])
    })
}

/// API v2 of Alertmanager: `postableAlerts` of its OpenAPI document.
pub fn alertmanager(body: &Value) -> Checked {
    let mut labels: Vec<String> = Vec::new();
    for alert in list(body)? {
        members(alert, &["labels", "startsAt", "endsAt", "annotations", "generatorURL"], 1)?;
        check(!alert["labels"]["alertname"].as_str().unwrap_or_default().is_empty(), "no name", alert)?;
        for set in [&alert["labels"], &alert["annotations"]] {
            let set = set.as_object().ok_or_else(|| format!("no set of labels: {set}"))?;
            let name =
                |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_ascii_digit());
            check(set.iter().all(|(key, value)| name(key) && value.is_string()), "no labels", alert)?;
        }
        check(time(&alert["startsAt"])? <= time(&alert["endsAt"])?, "ends before it starts", alert)?;
        alert.get("generatorURL").map_or(Ok(()), url)?;
        labels.push(alert["labels"].to_string());
    }
    let count = labels.len();
    labels.sort_unstable();
    labels.dedup();
    check(count > 0 && labels.len() == count, "none, or one twice", body)
}
