//! A store that dies, hangs, or is down at the start: it is told, and nothing is lost.

use std::time::Duration;

use rustix::process::{Signal, kill_process};

use crate::support::daemon::Daemon;
use crate::support::kafka::shared;
use crate::support::proxy::Proxy;
use crate::support::scenario::{BASE, Script, Store, distinct, kafka_section, records, wait_until_stored};
use crate::support::{PATIENCE, unique};

const SETTLED: Duration = Duration::from_secs(90);

#[test]
fn an_embedded_store_that_is_killed_starts_again_and_lacks_nothing() {
    let (cluster, topic) = (shared(), unique("store"));
    cluster.create_topic(&topic, 2);
    let lines = Script::new(&unique("store")).ordinary(3_000).lines();
    let mut daemon = Daemon::start(&(kafka_section(cluster, &unique("group"), &[&topic]) + BASE));
    for chunk in lines.chunks(lines.len().div_ceil(3)) {
        let process = super::support::wait_for("the store's process", PATIENCE, || daemon.store_process());
        cluster.produce(&topic, &records(chunk));
        kill_process(process, Signal::KILL).unwrap();
        super::support::wait_for("another process", PATIENCE, || daemon.store_process().filter(|next| *next != process));
    }
    wait_until_stored(&mut daemon, distinct(&lines), SETTLED);
    daemon.wait_until_ready(SETTLED);
    assert!(daemon.log().contains("embedded store starts again"), "{}", daemon.log());
}

#[test]
fn a_server_that_is_down_at_the_start_is_waited_for() {
    let (cluster, topic) = (shared(), unique("server"));
    cluster.create_topic(&topic, 2);
    let lines = Script::new(&unique("server")).ordinary(3_000).lines();
    cluster.produce(&topic, &records(&lines));

    // Another daemon's embedded store, behind a port that is closed at first, is the server.
    let server = Daemon::start(BASE);
    let server = Store::of(&server).map(|store| (server, store)).unwrap();
    let (url, user, password) = server.1.endpoint();
    let mut proxy = Proxy::closed();
    let clickhouse = format!(
        "[clickhouse]\nurl = \"http://127.0.0.1:{}\"\ndatabase = \"elsewhere\"\nuser = \"{user}\"\npassword_file = \"store.secret\"\n",
        proxy.port
    );
    let mut daemon = Daemon::prepare(&(kafka_section(cluster, &unique("group"), &[&topic]) + BASE + &clickhouse));
    daemon.write("store.secret", password);
    daemon.launch();
    let reason = daemon.wait_for("an unready daemon", SETTLED, |daemon| daemon.unready().filter(|reason| reason.contains("store")));
    assert!(reason.contains("\"status\":503"), "{reason}");
    assert_eq!(daemon.get("/api/v1/events", &daemon.token("viewer", None)).status, 503);

    proxy.open(url.strip_prefix("http://").unwrap());
    let count = || server.1.number("SELECT count() FROM elsewhere.events FINAL");
    daemon.wait_for("the events in the server", SETTLED, |_| count().filter(|count| *count >= distinct(&lines)));
    assert_eq!(count(), Some(distinct(&lines)));
    daemon.wait_until_ready(SETTLED);
    assert!(!daemon.log().contains(password), "the password is in the log");
}
