//! Channels that are away, hang or fail: nothing is lost, no other channel waits, and it is seen.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::daemon::Daemon;
use crate::support::scenario::{BASE, Line, Script, by_id, webhook_section};
use crate::support::smtp::Smtp;
use crate::support::webhook::{Reply, Webhook};

const SETTLED: Duration = Duration::from_secs(60);
const ATTACKS: usize = 12;

fn channel(status: &Value, name: &str) -> Value {
    let channels = status["channels"].as_array().unwrap();
    channels.iter().find(|channel| channel["name"] == name).unwrap_or_else(|| panic!("no {name} in {status}")).clone()
}

#[test]
fn channels_that_do_not_work_lose_nothing_and_delay_nobody() {
    let (mut away, hanging, failing, well) = (Webhook::start(), Webhook::start(), Webhook::start(), Webhook::start());
    let mut mail = Smtp::start();
    away.stop();
    mail.stop();
    hanging.reply_always(Reply { delay: Duration::from_secs(120), ..Reply::from(204) });
    failing.reply_always(500);
    let mut config = BASE.to_owned();
    for (name, webhook) in [("away", &away), ("hanging", &hanging), ("failing", &failing), ("well", &well)] {
        config += &webhook_section(name, &webhook.url("/"));
    }
    config += &format!(
        "[[channels]]\nname = \"mail\"\nkind = \"email\"\nsmtp = \"smtp://127.0.0.1:{}\"\nfrom = \"bartizan@example.org\"\nto = [\"oncall@example.org\"]\ngroup = \"alert\"\n",
        mail.port
    );
    let mut daemon = Daemon::start(&config);
    let (ingest, admin) = (daemon.token("ingest", None), daemon.token("admin", None));
    let lines = (0..ATTACKS).fold(Script::new("acme").ordinary(100), Script::stuffing).lines();
    let body = |lines: &[Line]| lines.iter().map(|line| format!("{}\n", line.text)).collect::<String>();
    let posted = Instant::now();
    assert_eq!(daemon.post("/api/v1/events", &ingest, body(&lines)).json()["accepted"], lines.len());

    // The one that works has everything long before any of the others times out.
    let received = well.wait_for_count(ATTACKS, SETTLED);
    assert!(posted.elapsed() < Duration::from_secs(10), "the working channel waited {:?}", posted.elapsed());
    assert_eq!(by_id(&received).len(), ATTACKS);
    let status = daemon.wait_for("the failures in the status", SETTLED, |daemon| {
        let status = daemon.get("/api/v1/status", &admin).json();
        let told = ["away", "failing", "mail"].iter().all(|name| channel(&status, name)["last_error"].is_string());
        (told && channel(&status, "well")["delivered"] == ATTACKS).then_some(status)
    });
    for name in ["away", "failing", "mail"] {
        let shown = channel(&status, name);
        assert_eq!((shown["state"].as_str(), shown["pending"].as_u64()), (Some("retrying"), Some(ATTACKS as u64)), "{shown}");
    }
    assert_eq!(channel(&status, "well")["state"], "delivering", "{status}");
    failing.wait_until("a second try", SETTLED, |received| received.len() > by_id(received).len());

    // A restart in between; then all come back.
    assert!(daemon.terminate(Duration::from_secs(15)).success());
    daemon.launch();
    away.start_again();
    mail.start_again();
    failing.reply_always(204);
    hanging.reply_always(204);
    for webhook in [&away, &hanging, &failing] {
        webhook.wait_until("everything after all", SETTLED, |received| {
            let answered: Vec<_> = received.iter().filter(|request| request.answered == 204).cloned().collect();
            by_id(&answered).len() >= ATTACKS
        });
        assert_eq!(by_id(&webhook.received()).len(), ATTACKS);
    }
    let mails = mail.wait_for_mails(ATTACKS, SETTLED);
    let mut ids: Vec<_> = mails.iter().map(|mail| &mail.headers["message-id"]).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((mails.len(), ids.len()), (ATTACKS, ATTACKS));
    assert_eq!(well.received().len(), ATTACKS, "the working channel was told something twice");
    daemon.wait_for("nothing pending", SETTLED, |daemon| {
        let status = daemon.get("/api/v1/status", &admin).json();
        let done = |name: &&str| channel(&status, name)["pending"] == 0 && channel(&status, name)["failed"] == 0;
        ["away", "hanging", "failing", "well", "mail"].iter().all(done).then_some(())
    });
}
