#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
use super::*;
use crate::notify::Channel;
use crate::notify::channels::HttpChannel;
use serde_json::json;

fn config(changes: Json) -> ChannelConfig {
    let mut table = json!({"name": "x", "kind": "http", "url": "https://a.example"});
    table.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    serde_json::from_value(table).unwrap()
}

fn error(changes: Json) -> String {
    Template::new(&config(changes)).err().unwrap().to_string()
}

fn preview(changes: Json, message: &Message) -> String {
    let config = config(changes);
    HttpChannel::new(&config, Template::new(&config).unwrap()).unwrap().preview(message).unwrap()
}

/// A message whose title is hostile.
fn titled(title: &str) -> Message {
    let body =
        json!({"type": "channel.ended", "timestamp": "2026-03-01T12:00:00.000Z", "data": {"title": title, "text": "t", "details": {}}});
    Message { body: body.to_string(), ..sample::message("x", "channel.ended", None) }
}

#[test]
fn mistakes_are_found_before_they_are_needed() {
    for (template, said) in [
        (r#"{"text": {{ titel }}}"#, "undefined"),
        (r#"{"text": {{ heading }"#, "syntax error"),
        (r#"{"text": "{{ heading }}"}"#, "not JSON"),
        (r#"{"sure": {{ data.confidence }}}"#, "of a message incident.opened: undefined value"),
        (r"{% for a in range(9999) %}{% for b in range(9999) %}{{ b }}{% endfor %}{% endfor %}", "fuel"),
    ] {
        let error = error(json!({"body": template}));
        assert!(error.contains(said), "{template}: {error}");
    }
    assert!(error(json!({"body": "x", "method": "GET"})).contains("method"));
    assert!(error(json!({"body": "x", "headers": {"a b": "c"}})).contains("no header"));
    assert!(error(json!({"body": "x", "headers": {"content-type": "application/pdf"}})).contains("no way is known"));
    assert!(error(json!({"body": "{}", "headers": {"x-text": "{{ text }}"}})).contains("line breaks"));
    assert!(error(json!({"body": "x".repeat(BODY_BYTES_MAX + 1)})).contains("at most"));
}

#[test]
fn a_part_that_only_some_messages_have_is_asked_for() {
    let body = r#"{"sure": {% if data.confidence is defined %}{{ data.confidence }}{% else %}null{% endif %}, "rows": {{ rows }}}"#;
    let shown = preview(json!({"body": body}), &sample::message("x", "alert.opened", None));
    let body: Json = serde_json::from_str(shown.split_once("\n\n").unwrap().1).unwrap();
    assert!((body["sure"].as_f64().unwrap() - 0.93).abs() < 0.001);
    assert_eq!(body["rows"][0]["label"], "Why");
}

#[test]
fn secrets_serve_and_are_not_shown() {
    let table = json!({"method": "PUT", "secret": "hunter2://x", "headers": {"Authorization": "Bearer {{ secret }}"}, "body": r#"{"key": {{ secret }}}"#});
    let shown = preview(table.clone(), &titled("t"));
    assert!(shown.starts_with("PUT\n") && shown.contains("authorization: Bearer ***\n"), "{shown}");
    assert!(shown.ends_with(r#"{"key": "***"}"#), "{shown}");
    let (message, template) = (titled("t"), Template::new(&config(table)).unwrap());
    let call = template.call(&message, &View::of(&message.body).unwrap(), "hunter2://x").unwrap();
    assert_eq!((call.headers["authorization"].to_str().unwrap(), call.body.as_str()), ("Bearer hunter2://x", r#"{"key": "hunter2://x"}"#));
}

#[test]
fn values_are_escaped_as_the_content_type_asks_for() {
    let hostile = titled("a\r\nb: c&d=<e>\" 😀");
    let body = |content_type: &str, body: &str| {
        let shown = preview(json!({"headers": {"Content-Type": content_type, "X-Title": "{{ data.title }}"}, "body": body}), &hostile);
        let (head, body) = shown.split_once("\n\n").unwrap();
        assert!(
            head.contains("x-title: a\\u{d}\\u{a}b: c&d=<e>\" 😀\n") || head.ends_with("x-title: a\\u{d}\\u{a}b: c&d=<e>\" 😀"),
            "{head}"
        );
        body.to_owned()
    };
    assert_eq!(body("application/json", "{{ data.title }}"), r#""a\r\nb: c&d=<e>\" 😀""#);
    assert_eq!(body("application/x-www-form-urlencoded", "t={{ data.title }}"), "t=a%0D%0Ab%3A+c%26d%3D%3Ce%3E%22+%F0%9F%98%80");
    assert_eq!(body("text/plain; charset=utf-8", "t={{ data.title }}"), "t=a\\u{d}\\u{a}b: c&d=<e>\" 😀");
    assert_eq!(body("text/html", "{{ data.title }}"), "a\r\nb: c&amp;d=&lt;e&gt;&quot; 😀");
    assert!(body("text/plain", "{{ text }}").starts_with("What     t\n"), "lines stay lines");
}
