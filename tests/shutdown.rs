//! SIGTERM: the daemon drains and ends with success within 15 seconds, whatever hangs around it.

use std::time::Duration;

use rustix::process::{Signal, kill_process};

use crate::support::daemon::Daemon;
use crate::support::kafka::shared;
use crate::support::scenario::{
    BASE, Script, by_id, distinct, kafka_section, records, replayed, revocation_section, revocations, stored, wait_until_stored,
    wait_until_told, webhook_section,
};
use crate::support::unique;
use crate::support::webhook::{Reply, Webhook};

const SETTLED: Duration = Duration::from_secs(60);
/// What the product promises.
const STOP_MAX: Duration = Duration::from_secs(15);

#[test]
fn a_stop_in_mid_stream_is_orderly_and_the_next_start_goes_on() {
    let (cluster, topic, tenant) = (shared(), unique("stop"), unique("stop"));
    cluster.create_topic(&topic, 1);
    let lines = (0..4).fold(Script::new(&tenant).ordinary(6_000), |script, n| script.stuffing(n).theft(n)).lines();
    let mut daemon = Daemon::prepare(&(kafka_section(cluster, &unique("group"), &[&topic]) + BASE));
    let wanted = replayed(&daemon, &lines);
    daemon.launch();
    for chunk in lines.chunks(lines.len().div_ceil(3)) {
        let before = stored(&daemon).unwrap_or(0);
        cluster.produce(&topic, &records(chunk));
        daemon.wait_for("some of the chunk", SETTLED, |daemon| stored(daemon).filter(|stored| *stored > before));
        assert_eq!(daemon.terminate(STOP_MAX).code(), Some(0), "{}", daemon.log());
        daemon.launch();
    }
    wait_until_stored(&mut daemon, distinct(&lines), SETTLED);
    wait_until_told(cluster, &mut daemon, &tenant, &wanted, SETTLED);
}

#[test]
fn a_store_that_hangs_does_not_hold_up_a_stop() {
    let (cluster, topic) = (shared(), unique("hang"));
    cluster.create_topic(&topic, 1);
    let lines = Script::new(&unique("hang")).ordinary(500).stuffing(1).lines();
    let mut daemon = Daemon::start(&(kafka_section(cluster, &unique("group"), &[&topic]) + BASE));
    let store = daemon.store_process().unwrap();
    kill_process(store, Signal::STOP).unwrap();
    cluster.produce(&topic, &records(&lines));
    let ends = i64::try_from(lines.len()).unwrap();
    let token = daemon.token("admin", None);
    daemon.wait_for("everything read", SETTLED, |daemon| {
        let status = daemon.get("/api/v1/status", &token).json();
        status["partitions"].as_array()?.iter().any(|one| one["topic"] == topic.as_str() && one["position"] == ends).then_some(())
    });
    assert_eq!(daemon.terminate(STOP_MAX).code(), Some(0), "{}", daemon.log());
    daemon.launch();
    wait_until_stored(&mut daemon, distinct(&lines), SETTLED);
}

#[test]
fn a_webhook_that_hangs_does_not_hold_up_a_stop_and_gets_the_same_id_again() {
    let webhook = Webhook::start();
    webhook.reply_always(Reply { delay: Duration::from_secs(120), ..Reply::from(204) });
    let mut daemon = Daemon::start(&(BASE.to_owned() + &webhook_section("oncall", &webhook.url("/"))));
    let token = daemon.token("ingest", None);
    let body: String = Script::new("acme").stuffing(1).lines().iter().map(|line| format!("{}\n", line.text)).collect();
    assert_eq!(daemon.post("/api/v1/events", &token, body).status, 200);
    webhook.wait_for_count(1, SETTLED);
    assert_eq!(daemon.terminate(STOP_MAX).code(), Some(0), "{}", daemon.log());
    webhook.reply_always(204);
    daemon.launch();
    let received = webhook.wait_for_count(2, SETTLED);
    assert_eq!(by_id(&received).len(), 1, "{received:?}");
}

#[test]
fn what_is_in_flight_at_a_kill_comes_again_under_the_same_id() {
    let (told, asked) = (Webhook::start(), Webhook::start());
    for webhook in [&told, &asked] {
        webhook.reply_always(Reply { delay: Duration::from_secs(120), ..Reply::from(204) });
        // The test call of the revocation hook comes first.
        webhook.reply([204]);
    }
    let config = BASE.to_owned() + &webhook_section("oncall", &told.url("/")) + &revocation_section("identity", &asked.url("/"), false);
    let mut daemon = Daemon::start(&config);
    let token = daemon.token("ingest", None);
    let body: String = Script::new("acme").stuffing(1).theft(1).lines().iter().map(|line| format!("{}\n", line.text)).collect();
    assert_eq!(daemon.post("/api/v1/events", &token, body).status, 200);
    // The first message was answered; the second one hangs, and so does the revocation.
    told.wait_for_count(2, SETTLED);
    asked.wait_until("the revocation", SETTLED, |received| !revocations(received).is_empty());
    // An answer counts once it is recorded; until then its message is in flight, too.
    let token = daemon.token("admin", None);
    daemon.wait_for("the answer recorded", SETTLED, |daemon| {
        let status = daemon.get("/api/v1/status", &token).json();
        let oncall = status["channels"].as_array()?.iter().find(|channel| channel["name"] == "oncall")?;
        (oncall["delivered"] == 1).then_some(())
    });
    daemon.kill();
    told.reply_always(204);
    asked.reply_always(204);
    daemon.launch();
    let messages = told.wait_for_count(3, SETTLED);
    let calls = asked.wait_until("the revocation again", SETTLED, |received| revocations(received).len() >= 2);
    let calls = revocations(&calls);
    assert_eq!((messages[2].id(), &messages[2].body), (messages[1].id(), &messages[1].body));
    assert_eq!((calls[1].id(), &calls[1].body), (calls[0].id(), &calls[0].body));
    daemon.wait_for("nothing pending", SETTLED, |daemon| {
        let status = daemon.get("/api/v1/status", &token).json();
        status["channels"].as_array()?.iter().all(|channel| channel["pending"] == 0).then_some(())
    });
    assert_eq!((told.received().len(), revocations(&asked.received()).len()), (3, 2));
}
