#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use crate::notify::sample;
use serde_json::json;

#[test]
fn every_type_of_message_says_what_it_is_and_what_to_do() {
    for kind in sample::KINDS {
        let view = View::of(&sample::message("oncall", kind, Some("https://bartizan.example")).body).unwrap();
        assert_eq!(view.kind, kind);
        assert!(!view.subject.is_empty() && view.rows.len() >= 2, "{view:?}");
        assert_eq!(view.key.is_empty(), view.course == Course::Notice, "{view:?}");
        let has_page = !view.tenant.is_empty() || ["action.", "response.", "revocation."].iter().any(|about| kind.starts_with(about));
        assert_eq!(view.url.is_some(), has_page, "{view:?}");
        let next = !view.tenant.is_empty() && matches!(view.course, Course::Opened | Course::Updated);
        assert_eq!(view.rows.iter().any(|row| row.label == "Next"), next, "{view:?}");
    }
    assert!(View::of("{}").is_err());
}

#[test]
fn an_incident_is_told_with_its_alerts() {
    let view = View::of(&sample::message("oncall", "incident.acknowledged", None).body).unwrap();
    assert_eq!(view.subject, "[HIGH] acknowledged: Refresh token used again: u1 (acme)");
    assert_eq!((view.key.len(), view.severity, view.course), (32, Severity::High, Course::Acknowledged));
    let lines = view.lines();
    assert!(lines.contains("Alerts   high token_reuse: Refresh token used again\n"), "{lines}");
    assert!(lines.contains("When     2026-03-01 12:00:00 to 12:00:01 UTC, 1 alert, 1 hit\n"), "{lines}");
}

#[test]
fn a_notice_says_its_particulars_and_samples() {
    let body = json!({"type": "channel.ended", "timestamp": "2026-03-01T12:00:00.000Z",
        "data": {"title": "The channel x was ended", "text": "It answered 410.", "details": {"channel": "x", "n": 3}}});
    let view = View::of(&body.to_string()).unwrap();
    assert_eq!((view.subject.as_str(), view.severity), ("[bartizan] The channel x was ended", Severity::High));
    assert!(view.lines().contains("channel = x; n = 3"));
    let mut tally = Tally::default();
    tally.add(&sample::alert("a1"), 10);
    let body = json!({"type": "alert.campaign", "timestamp": "2026-03-01T12:00:00.000Z", "data": {"title": "1 alert", "text": "Many.", "details": tally}});
    let view = View::of(&body.to_string()).unwrap();
    assert_eq!(view.severity, Severity::High, "that of the worst alert in it");
    assert!(view.lines().contains("Alerts   high token_reuse session:ses-1 (acme)\n"), "{}", view.lines());
}

#[test]
fn a_digest_names_incidents_and_is_as_bad_as_what_it_holds_back() {
    let digest = |held_back: u64| {
        let line = json!({"id": "i1", "title": "Stolen session: u1", "severity": "high", "status": "open", "tenant": "acme", "alert_count": 1, "hit_count": 1});
        let details = json!({"incidents": 1, "held_back": held_back, "samples": [line]});
        let body = json!({"type": "incident.digest", "timestamp": "2026-03-01T12:00:00.000Z", "data": {"title": "News of 1 incidents", "text": "t", "details": details}});
        View::of(&body.to_string()).unwrap()
    };
    assert!(digest(0).lines().contains("News     high Stolen session: u1 (acme), open\n"), "{}", digest(0).lines());
    assert_eq!((digest(0).severity, digest(1).severity), (Severity::Info, Severity::High));
}

#[test]
fn a_health_alert_ends_under_the_key_that_it_began_with() {
    let view = |kind: &str| View::of(&sample::message("oncall", kind, None).body).unwrap();
    let (raised, cleared) = (view("health.raised"), view("health.cleared"));
    assert_eq!((raised.course, cleared.course), (Course::Opened, Course::Resolved));
    assert_eq!(raised.key, cleared.key);
}

#[test]
fn what_machines_did_and_left_to_people_is_said() {
    let said = |response: Response, hit| (done(response), next(Course::Opened, hit, response));
    let (asked, left) = said(Response { requested: 2, dry_run: 0, held: 1 }, true);
    assert_eq!(asked.unwrap(), "2 actions asked for; 1 action left to a person to decide");
    assert!(left.contains("approve"), "{left}");
    assert_eq!(said(Response::default(), true).0, None);
    assert_ne!(said(Response::default(), true).1, said(Response::default(), false).1);
    assert_eq!(next(Course::Resolved, true, Response::default()), "");
}

#[test]
fn what_is_resolved_says_how() {
    let said = |disposition, resolution| standing(Status::Resolved, disposition, resolution);
    assert_eq!(said(Some(Disposition::TruePositive), Some(Resolution::Person)), "resolved as a true positive");
    assert_eq!(said(None, Some(Resolution::Silence)), "resolved by silence");
    assert_eq!(said(None, None), "resolved");
    assert_eq!(standing(Status::Acknowledged, None, None), "acknowledged");
}

#[test]
fn a_span_names_its_day_once() {
    let at = |text: &str| TimeMs::parse(text).unwrap();
    let first = at("2026-03-01T23:59:59.999Z");
    assert_eq!(span(first, first), "2026-03-01 23:59:59 UTC");
    assert_eq!(span(at("2026-03-01T00:00:01Z"), first), "2026-03-01 00:00:01 to 23:59:59 UTC");
    assert_eq!(span(first, at("2026-03-02T00:00:00Z")), "2026-03-01 23:59:59 to 2026-03-02 00:00:00 UTC");
}

#[test]
fn all_rows_together_are_bounded() {
    let mut alert = sample::alert("a1");
    let long = "\u{202e}😀".repeat(40_000);
    alert.subjects = (0..100).map(|n| Subject::new(EntityKind::User, format!("{n}{long}"), Role::Victim)).collect();
    alert.reason.clone_from(&long);
    alert.tenant.clone_from(&long);
    alert.key.clone_from(&long);
    let payload = Payload { kind: "alert.opened".to_owned(), timestamp: TimeMs(0), data: alert, response: Response::default(), url: None };
    let view = View::of(&serde_json::to_string(&payload).unwrap()).unwrap();
    assert!(view.lines().len() < ROWS_BYTES_MAX + 20 * 10 + 3, "{}", view.lines().len());
    assert!(view.rows.len() > 8 && view.rows.iter().all(|row| row.value.len() < ROW_BYTES_MAX + 4), "one long row hides no other");
    assert!(view.subject.chars().count() <= SUBJECT_CHARS_MAX + 1 && view.tenant.chars().count() <= VALUE_CHARS_MAX + 1);
    assert!(!view.lines().contains('\u{202e}'));
}
