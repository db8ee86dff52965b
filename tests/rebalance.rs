//! Partitions that another member of the group takes away: detection stops, which is told, and goes on
//! without a gap once they are back.

use std::time::Duration;

use crate::support::daemon::Daemon;
use crate::support::kafka::shared;
use crate::support::scenario::{BASE, Script, distinct, kafka_section, records, replayed, wait_until_stored, wait_until_told};
use crate::support::unique;

const SETTLED: Duration = Duration::from_secs(90);

#[test]
fn partitions_that_are_lost_and_come_back_leave_no_gap() {
    let (cluster, topic, tenant) = (shared(), unique("taken"), unique("taken"));
    // One partition with everything, so that the order is that of a replay; the other one is empty.
    cluster.create_topic(&topic, 2);
    let lines = (0..4).fold(Script::new(&tenant).ordinary(1_500), |script, n| script.stuffing(n).theft(n)).lines();
    let mut one_key = lines.clone();
    one_key.iter_mut().for_each(|line| line.user = "one-partition".to_owned());
    let (first, rest) = one_key.split_at(one_key.len() / 3);
    let (second, third) = rest.split_at(rest.len() / 2);
    // The group notices soon that a killed member is gone.
    let session = "properties = { \"session.timeout.ms\" = \"3000\", \"heartbeat.interval.ms\" = \"500\" }\n";
    let config = kafka_section(cluster, &unique("group"), &[&topic]) + session + BASE;
    let mut daemon = Daemon::prepare(&config);
    let wanted = replayed(&daemon, &lines);
    daemon.launch();
    cluster.produce(&topic, &records(first));
    wait_until_stored(&mut daemon, distinct(first), SETTLED);

    let mut other = Daemon::prepare(&config);
    other.launch();
    let reason = daemon.wait_for("an unready daemon", SETTLED, |daemon| daemon.unready());
    assert!(reason.contains("artition"), "{reason}");
    cluster.produce(&topic, &records(second));
    other.wait_for("that the other one is not ready either", SETTLED, |other| other.unready());
    other.kill();

    daemon.wait_until_ready(SETTLED);
    cluster.produce(&topic, &records(third));
    wait_until_stored(&mut daemon, distinct(&lines), SETTLED);
    wait_until_told(cluster, &mut daemon, &tenant, &wanted, SETTLED);
}
