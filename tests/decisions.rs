//! What a policy proposes waits for a person, who agrees on the console's page; and the stop switch there.

use std::time::Duration;

use serde_json::json;

use crate::support::browser::browse;
use crate::support::daemon::Daemon;
use crate::support::scenario::{BASE, SECRET, Script, revocation_section, revocations};
use crate::support::webhook::Webhook;

const SETTLED: Duration = Duration::from_secs(60);
const POLICY: &str = r#"detectors = ["mfa_fatigue"]
[[policies]]
name = "stolen-sessions"
detectors = ["token_reuse"]
actions = ["revoke_session"]
target = "identity"
approvals = 1
shadow = false
"#;

#[test]
fn a_person_agrees_on_the_page_and_only_then_the_target_is_asked() {
    let asked = Webhook::start();
    let mut daemon = Daemon::start(&(BASE.to_owned() + &revocation_section("identity", &asked.url("/revoke"), false) + POLICY));
    let (ingest, analyst) = (daemon.token("ingest", None), daemon.token("analyst", None));
    let script = Script::new("acme").ordinary(300).theft(0);
    let session = script.session(0);
    let lines: String = script.lines().iter().map(|line| format!("{}\n", line.text)).collect();
    assert_eq!(daemon.post("/api/v1/events?format=bartizan", &ingest, lines).status, 200);
    let proposed = daemon.wait_for("a proposal", SETTLED, |daemon| {
        daemon.get("/api/v1/actions?state=proposed", &analyst).json()["items"].as_array()?.first().cloned()
    });
    assert_eq!(proposed["session"], session);
    assert_eq!(revocations(&asked.received()).len(), 0, "nobody agreed yet");

    let page = |hash: &str| json!({"do": "goto", "url": daemon.url(&format!("/#/{hash}"))});
    let click = |selector: &str| json!({"do": "click", "selector": selector});
    let wait = |selector: &str| json!({"do": "wait", "selector": selector});
    let outcome = browse(&json!([
        page("incidents"), {"do": "fill", "selector": "#token", "value": analyst}, {"do": "press", "key": "Enter"},
        wait("#waiting >> text=1"), page("actions?state=held%2Cproposed"),
        {"do": "wait_count", "selector": "tr.case", "at_least": 1}, {"do": "press", "key": "j"}, {"do": "press", "key": "Enter"},
        wait("text=Nothing is done until people agree."), click("text=Approve …"),
        wait("dialog[open] >> text=Your word is the last one needed"), {"do": "text", "selector": "dialog[open]", "name": "dialog"},
        click("dialog[open] button.primary"), wait(".badges >> text=not confirmed"),
        {"do": "text", "selector": "main", "name": "action"},
        page("actions"), click("text=Stop machines …"),
        {"do": "fill", "selector": "dialog[open] [name=reason]", "value": "it ends the <b>wrong</b> ones"},
        click("dialog[open] button.primary"), wait("#response .stopped"), {"do": "text", "selector": "#response", "name": "stopped"},
    ]));
    assert_eq!(outcome.error, None, "{outcome:?}");
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    for (name, part) in
        [("dialog", &*session), ("dialog", "stolen-sessions"), ("action", "agreed"), ("stopped", "Reason: it ends the <b>wrong</b> ones")]
    {
        assert!(outcome.values[name].as_str().is_some_and(|text| text.contains(part)), "{part} in {}", outcome.values[name]);
    }

    let calls = revocations(&asked.wait_until("the order", SETTLED, |received| !revocations(received).is_empty()));
    assert_eq!(calls.len(), 1);
    calls[0].verify(SECRET).unwrap();
    assert_eq!(calls[0].json()["data"]["session"], session);
    let response = daemon.get("/api/v1/response", &analyst).json();
    assert_eq!((&response["stopped"], &response["waiting"]), (&json!(true), &json!(0)));
}
