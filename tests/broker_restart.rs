//! A broker that is stopped, and one that is killed, in mid-stream: it is told, and afterwards nothing
//! is missing or doubled.

use std::time::Duration;

use crate::support::daemon::Daemon;
use crate::support::kafka::Broker;
use crate::support::scenario::{BASE, Line, Script, distinct, kafka_section, replayed, stored, wait_until_stored, wait_until_told};

const SETTLED: Duration = Duration::from_secs(90);

fn write(broker: &Broker, lines: &[Line]) {
    broker.cluster.produce_at(lines.iter().map(|line| ("auth", line.user.as_str(), line.time_ms, line.text.as_bytes())));
}

#[test]
fn a_broker_that_goes_and_comes_back_costs_nothing() {
    let mut broker = Broker::start();
    broker.cluster.create_topic("auth", 1);
    let script = (0..6).fold(Script::new("acme").ordinary(3_000), |script, n| script.stuffing(n).theft(n));
    let lines = script.lines();
    let mut daemon = Daemon::prepare(&(kafka_section(&broker.cluster, "bartizan", &["auth"]) + BASE));
    let wanted = replayed(&daemon, &lines);
    daemon.launch();
    let (first, rest) = lines.split_at(lines.len() / 3);
    let (second, third) = rest.split_at(rest.len() / 2);

    write(&broker, first);
    daemon.wait_for("the first events", SETTLED, |daemon| stored(daemon).filter(|stored| *stored > first.len() / 4));
    broker.stop();
    let reason = daemon.wait_for("an unready daemon", SETTLED, |daemon| daemon.unready());
    assert!(reason.contains("broker"), "{reason}");
    broker.start_again();
    daemon.wait_until_ready(SETTLED);

    write(&broker, second);
    daemon.wait_for("some of the second events", SETTLED, |daemon| stored(daemon).filter(|stored| *stored > first.len()));
    broker.kill();
    daemon.wait_for("an unready daemon", SETTLED, |daemon| daemon.unready());
    broker.start_again();
    daemon.wait_until_ready(SETTLED);

    write(&broker, third);
    wait_until_stored(&mut daemon, distinct(&lines), SETTLED);
    wait_until_told(&broker.cluster, &mut daemon, "acme", &wanted, SETTLED);
    daemon.wait_for("all offsets committed", SETTLED, |_| {
        (broker.cluster.committed("bartizan", "auth") == [i64::try_from(lines.len()).ok()]).then_some(())
    });
}

#[test]
fn a_broker_that_is_down_at_the_start_is_waited_for() {
    let mut broker = Broker::start();
    broker.cluster.create_topic("auth", 2);
    let lines = Script::new("acme").ordinary(200).lines();
    write(&broker, &lines);
    broker.stop();
    let mut daemon = Daemon::prepare(&(kafka_section(&broker.cluster, "bartizan", &["auth"]) + BASE));
    daemon.launch();
    let reason = daemon.wait_for("an unready daemon", SETTLED, |daemon| daemon.unready());
    assert!(reason.contains("\"status\":503") && reason.contains("detail"), "{reason}");
    broker.start_again();
    daemon.wait_until_ready(SETTLED);
    wait_until_stored(&mut daemon, distinct(&lines), SETTLED);
}
